//! The outcome as one self-contained page: the table, what it means, and plots as inline SVG.

use std::fmt::Write;

use anyhow::Context;
use plotters::prelude::*;
use tollgate::Nanos;
use tollgate::lab::Limit;

use super::Request;
use super::report::{MEASURES, Report, Row, Source, name, span};
use crate::args::AlgorithmName;
use crate::page::{self, SIZE, escape};
use crate::replay::time;
use crate::replay::timeline::Timeline;

const RIGHT: RGBColor = RGBColor(46, 125, 50);
const WRONG: RGBColor = RGBColor(198, 40, 40);
const OFFERED: RGBColor = RGBColor(190, 190, 190);

/// Windows of the plot of one key, and points in each.
const WINDOWS: u64 = 5;
const POINTS: u64 = 40;

/// What the plots show: one of each per entrant.
pub(crate) struct Plots {
    timelines: Vec<Timeline>,
    /// Of the first key, by point; `None` if none is shown. The last one is what was offered.
    counts: Vec<Vec<u64>>,
    /// From when on, from the origin.
    from: Option<u64>,
    window: u64,
    limit: u64,
}

impl Plots {
    /// `from`: when the plot of the first key begins, if there is to be one.
    pub(crate) fn new(entrants: usize, limit: &Limit, from: Option<u64>) -> Plots {
        Plots {
            timelines: (0..entrants).map(|_| Timeline::new()).collect(),
            counts: vec![vec![0; (WINDOWS * POINTS) as usize]; entrants + 1],
            from,
            window: limit.window().get(),
            limit: limit.limit(),
        }
    }

    /// Takes in a decision of the entrant of that number.
    pub(crate) fn add(&mut self, entrant: usize, request: &Request, admitted: bool) {
        let bin = self.timelines[entrant].at(Nanos::new(request.at));
        match admitted {
            true => bin.admitted += request.cost,
            false => bin.refused += request.cost,
        }
        let Some(passed) = self.from.and_then(|from| request.at.checked_sub(from)) else { return };
        let point = u128::from(passed) * u128::from(POINTS) / u128::from(self.window);
        if request.key != 0 || point >= u128::from(WINDOWS * POINTS) {
            return;
        }
        let offered = self.counts.len() - 1;
        if admitted {
            self.counts[entrant][point as usize] += request.cost;
        }
        if entrant == 0 {
            self.counts[offered][point as usize] += request.cost;
        }
    }
}

/// Colours that are told apart by most people (M. Okabe, K. Ito, "Color Universal Design", 2002).
fn colour(algorithm: AlgorithmName) -> RGBColor {
    match algorithm {
        AlgorithmName::Gcra => RGBColor(0, 114, 178),
        AlgorithmName::TokenBucket => RGBColor(86, 180, 233),
        AlgorithmName::LeakyBucket => RGBColor(0, 158, 115),
        AlgorithmName::FixedWindow => RGBColor(213, 94, 0),
        AlgorithmName::SlidingCounter => RGBColor(230, 159, 0),
        AlgorithmName::SlidingLog => RGBColor(0, 0, 0),
    }
}

/// The page. Timestamps of a recorded trace begin at `origin`.
pub(crate) fn page(report: &Report, plots: &Plots, origin: u64) -> anyhow::Result<String> {
    let mut body = String::new();
    write!(body, "<h1>{}</h1>", escape(&report.title()))?;
    for sentence in report.headline().lines() {
        write!(body, "<p>{}</p>", escape(sentence))?;
    }
    table(&mut body, report)?;
    if report.requests > 0 && !report.rows.is_empty() {
        write!(body, "<h2>Right and wrong</h2>{}", right_and_wrong(report).context("plot")?)?;
        write!(body, "<h2>Admitted over time</h2>{}", over_time(report, plots, origin).context("plot")?)?;
        if plots.from.is_some() {
            write!(body, "<h2>One key</h2>{}", one_key(report, plots).context("plot")?)?;
        }
    }
    body += "<h2>What the columns mean</h2><p>Counts are of requests, each as often as it costs.</p><dl>";
    for (name, meaning) in MEASURES {
        write!(body, "<dt>{}<dd>{}", escape(name), escape(meaning))?;
    }
    body += "</dl>";
    Ok(page::whole(&report.title(), &body))
}

fn table(body: &mut String, report: &Report) -> anyhow::Result<()> {
    *body += "<table><tr><th>algorithm";
    for (name, _) in MEASURES {
        write!(body, "<th class=n>{}", escape(name))?;
    }
    *body += "</tr>";
    for row in &report.rows {
        write!(body, "<tr class=s><td>{}", escape(&name(row.name)))?;
        for cell in report.cells(row) {
            write!(body, "<td class=n>{}", escape(&cell))?;
        }
        *body += "</tr>";
    }
    *body += "</table>";
    Ok(())
}

/// A name in the colour of its line.
fn key(text: &str, RGBColor(red, green, blue): RGBColor) -> String {
    format!("<span style=\"color:rgb({red},{green},{blue})\">&#9632;</span> {} ", escape(text))
}

fn keys(rows: &[Row]) -> String {
    rows.iter().map(|row| key(&name(row.name), colour(row.name))).collect()
}

/// Lines that are drawn later are thinner, so that those beneath show.
fn width(rows: usize, number: usize) -> u32 {
    (rows - number) as u32
}

/// Bars: rightly admitted, wrongly admitted; a line: the ideal. (What was wrongly refused does not add up: where one place
/// stays free, many are refused for it.)
fn right_and_wrong(report: &Report) -> anyhow::Result<String> {
    let rows = &report.rows;
    let count = rows.len() as u64;
    let highest = rows.iter().map(|row| row.admitted).chain([report.ideal]).max().unwrap_or(0);
    let mut svg = String::new();
    {
        let height = 40 + 24 * rows.len() as u32;
        let area = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .margin_right(40)
            .x_label_area_size(24)
            .y_label_area_size(120)
            .build_cartesian_2d(0..highest.saturating_add(1), (0..count - 1).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(rows.len())
            .y_label_formatter(&|at| match at {
                SegmentValue::CenterOf(at) => {
                    let row = rows.len().checked_sub(1 + *at as usize).and_then(|at| rows.get(at));
                    row.map_or(String::new(), |row| name(row.name))
                }
                _ => String::new(),
            })
            .draw()?;
        let bar = |at: u64, from: u64, to: u64, colour: RGBColor| {
            let at = count - 1 - at;
            let corners = [(from, SegmentValue::Exact(at)), (to, SegmentValue::Exact(at + 1))];
            let mut bar = Rectangle::new(corners, colour.filled());
            bar.set_margin(3, 3, 0, 0);
            bar
        };
        for (at, row) in (0..).zip(rows) {
            let right = row.admitted - row.wrongly_admitted;
            chart.draw_series([bar(at, 0, right, RIGHT), bar(at, right, row.admitted, WRONG)])?;
        }
        let ends = [0, count].map(|at| (report.ideal, SegmentValue::Exact(at)));
        chart.draw_series([PathElement::new(ends.to_vec(), BLACK.stroke_width(2))])?;
        area.present()?;
    }
    let keys =
        [key("rightly admitted", RIGHT), key("wrongly admitted", WRONG), key("the ideal (line)", BLACK)];
    Ok(format!("<p>{}</p>{svg}", keys.concat()))
}

/// Lines: what was admitted of all keys, and, as an area, what was offered.
fn over_time(report: &Report, plots: &Plots, origin: u64) -> anyhow::Result<String> {
    let Some(all) = plots.timelines.first() else { return Ok(String::new()) };
    let (start, width_of_bin) = (all.start(), all.width());
    let offered = || all.bins().iter().map(|bin| bin.admitted.saturating_add(bin.refused));
    let highest = offered().max().unwrap_or(0);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(60)
            .build_cartesian_2d(0..all.bins().len() as u64, 0..highest.saturating_add(1))?;
        let instant = |bin: &u64| {
            let at = start.saturating_add(bin.saturating_mul(width_of_bin));
            match report.source {
                Source::Made { .. } => span(at),
                Source::Recorded { .. } => time::shown(Nanos::new(origin.saturating_add(at))),
            }
        };
        chart.configure_mesh().disable_x_mesh().x_labels(6).x_label_formatter(&instant).draw()?;
        let bars = (0u64..).zip(offered()).filter(|(_, count)| *count > 0);
        chart.draw_series(
            bars.map(|(at, count)| Rectangle::new([(at, 0), (at + 1, count)], OFFERED.filled())),
        )?;
        for (number, (row, timeline)) in report.rows.iter().zip(&plots.timelines).enumerate() {
            let style = colour(row.name).stroke_width(width(report.rows.len(), number));
            let steps = (0u64..).zip(timeline.bins());
            let steps = steps.flat_map(|(at, bin)| [(at, bin.admitted), (at + 1, bin.admitted)]);
            chart.draw_series([PathElement::new(steps.collect::<Vec<_>>(), style)])?;
        }
        area.present()?;
    }
    let keys = key("offered", OFFERED) + &keys(&report.rows);
    Ok(format!(
        "<p>All keys, per {}; of lines that coincide the later is thinner and lies on top. {keys}</p>{svg}",
        span(width_of_bin)
    ))
}

/// Lines: what one key was given since the plot begins.
fn one_key(report: &Report, plots: &Plots) -> anyhow::Result<String> {
    let from = plots.from.unwrap_or(0);
    let sums = |counts: &[u64]| -> Vec<u64> {
        let sums = counts.iter().scan(0u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        });
        std::iter::once(0).chain(sums).collect()
    };
    let highest = plots.counts[..report.rows.len()].iter().filter_map(|counts| sums(counts).last().copied());
    let highest = highest.max().unwrap_or(0).max(plots.limit * (WINDOWS + 1));
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (SIZE.0, SIZE.1 + 100)).into_drawing_area();
        let windows = (0..=WINDOWS).map(|window| window * POINTS).collect();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(60)
            .build_cartesian_2d((0..WINDOWS * POINTS).with_key_points(windows), 0..highest + 1)?;
        let instant = |point: &u64| {
            let passed = u128::from(*point) * u128::from(plots.window) / u128::from(POINTS);
            span(from.saturating_add(passed as u64))
        };
        chart.configure_mesh().x_label_formatter(&instant).draw()?;
        let offered = plots.counts.last().map_or(Vec::new(), |counts| sums(counts));
        let offered = (0..).zip(offered).take_while(|(_, sum)| *sum <= highest);
        chart.draw_series([PathElement::new(offered.collect::<Vec<_>>(), OFFERED.stroke_width(2))])?;
        for (number, (row, counts)) in report.rows.iter().zip(&plots.counts).enumerate() {
            let style = colour(row.name).stroke_width(width(report.rows.len(), number));
            let points: Vec<_> = (0..).zip(sums(counts)).collect();
            chart.draw_series([PathElement::new(points, style)])?;
        }
        area.present()?;
    }
    let keys = key("offered", OFFERED) + &keys(&report.rows);
    Ok(format!(
        "<p>The first key, over {WINDOWS} windows: the sum of what it was given. Where it is level, all is refused; \
         the limit is one step up per window. {keys}</p>{svg}"
    ))
}
