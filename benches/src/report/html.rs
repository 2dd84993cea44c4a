//! One self-contained page: tables, and plots as inline SVG.

use std::fmt::Write;

use anyhow::Context;
use plotters::prelude::*;

use super::{Report, Speed, shown};

const OURS: RGBColor = RGBColor(46, 125, 50);
const THEIRS: RGBColor = RGBColor(120, 144, 156);

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:2em auto;max-width:64em;padding:0 1em}\
table{border-collapse:collapse;width:100%}td,th{padding:.2em .6em;text-align:left;vertical-align:top;\
border-bottom:1px solid #ddd}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\
svg{width:100%;height:auto}";

/// The page.
///
/// # Errors
/// A plot that cannot be drawn.
pub fn page(report: &Report) -> anyhow::Result<String> {
    let settings = &report.settings;
    let mut body = format!(
        "<h1>Tollgate beside its peers</h1><p>{}.<br>{} interleaved rounds in one process, {} checks per thread, \
         seed {}. A figure is the median over rounds; a ratio is the median of the ratios within rounds to Tollgate \
         with the same kind of clock.</p>",
        escape(&report.machine.line()),
        settings.rounds,
        settings.checks,
        settings.seed
    );
    body += "<h2>Contenders</h2><table><tr><th><th>version<th>clock<th>how</tr>";
    for contender in &report.contenders {
        write!(
            body,
            "<tr><td>{}<td>{}<td>{}<td>{}</tr>",
            escape(contender.title),
            escape(contender.version),
            contender.time.word(),
            escape(contender.how)
        )?;
    }
    body += "</table>";
    for speed in &report.speeds {
        body += &speed_section(report, speed).with_context(|| format!("the plot of {}", speed.case))?;
    }
    let mut groups: Vec<(&str, usize)> = Vec::new();
    for latency in &report.latencies {
        let group = (latency.case, latency.threads);
        if !groups.contains(&group) {
            groups.push(group);
        }
    }
    for (case, threads) in groups {
        body += &latency_section(report, case, threads).with_context(|| format!("the plot of {case}"))?;
    }
    let mut cases: Vec<&str> = report.growths.iter().map(|growth| growth.case).collect();
    cases.dedup();
    for case in cases {
        body += &growth_section(report, case).with_context(|| format!("the plot of {case}"))?;
    }
    if !report.left.is_empty() {
        body += "<h2>Not measured</h2><ul>";
        for left in &report.left {
            let cases = left.cases.join(", ");
            write!(body, "<li>{} in {}: {}", escape(left.peer), escape(&cases), escape(left.why))?;
        }
        body += "</ul>";
    }
    Ok(format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>Tollgate beside its peers</title><style>{STYLE}</style><body>{body}</body></html>\n"
    ))
}

fn title<'a>(report: &'a Report, peer: &str) -> &'a str {
    report.contenders.iter().find(|contender| contender.name == peer).map_or("", |contender| contender.title)
}

fn speed_section(report: &Report, speed: &Speed) -> anyhow::Result<String> {
    let workload = &speed.workload;
    let mut text = format!(
        "<h2>{}, {} threads</h2><p>{} keys, {:?}, {:.0} % refused: ns of wall time per check.</p>",
        escape(speed.case),
        speed.threads,
        workload.keys,
        workload.distribution,
        workload.denied_share() * 100.0
    );
    let bar = |row: &super::Row| Bar::new(title(report, row.peer), row.peer, row.ns);
    text += &bars(&speed.rows.iter().map(bar).collect::<Vec<_>>(), "ns")?;
    text +=
        "<table><tr><th><th>clock<th class=n>ns<th class=n>rounds<th class=n>ratio<th class=n>refused</tr>";
    for row in &speed.rows {
        let clock = report.contenders.iter().find(|contender| contender.name == row.peer);
        let lowest = row.rounds.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = row.rounds.iter().copied().fold(0.0, f64::max);
        write!(
            text,
            "<tr><td>{}<td>{}<td class=n>{:.1}<td class=n>{lowest:.1} to {highest:.1}<td class=n>{}<td class=n>{:.1} %</tr>",
            escape(title(report, row.peer)),
            clock.map_or("", |contender| contender.time.word()),
            row.ns,
            row.ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}")),
            row.denied * 100.0
        )?;
    }
    text += "</table>";
    Ok(text)
}

fn latency_section(report: &Report, case: &str, threads: usize) -> anyhow::Result<String> {
    let rows: Vec<_> =
        report.latencies.iter().filter(|row| (row.case, row.threads) == (case, threads)).collect();
    let mut text = format!(
        "<h2>{}, {threads} threads</h2><p>Time of one check; every figure has the reading of a clock in it, which is \
         what the loop alone shows. The plot: 99.9 % took no more, on a logarithmic scale.</p>",
        escape(case)
    );
    let bar = |row: &&super::Latency| Bar::new(title(report, row.peer), row.peer, row.times.p99_9 as f64);
    text += &bars(&rows.iter().map(bar).collect::<Vec<_>>(), "log ns")?;
    text += "<table><tr><th><th class=n>p50<th class=n>p99<th class=n>p99.9<th class=n>max</tr>";
    for row in rows {
        write!(
            text,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            escape(title(report, row.peer)),
            shown(row.times.p50),
            shown(row.times.p99),
            shown(row.times.p99_9),
            shown(row.times.worst)
        )?;
    }
    text += "</table>";
    Ok(text)
}

fn growth_section(report: &Report, case: &str) -> anyhow::Result<String> {
    let rows: Vec<_> = report.growths.iter().filter(|row| row.case == case).collect();
    let mut text = format!(
        "<h2>{}</h2><p>Every key's first check. The plot: the worst, on a logarithmic scale in ns, the smallest of \
         the runs.</p>",
        escape(case)
    );
    let worst = |row: &&super::Growth| Bar::new(title(report, row.peer), row.peer, row.smallest_worst as f64);
    text += &bars(&rows.iter().map(worst).collect::<Vec<_>>(), "log ns")?;
    text += "<p>Resident bytes per key.</p>";
    let bytes = |row: &&super::Growth| {
        row.bytes_per_key.map(|bytes| Bar::new(title(report, row.peer), row.peer, bytes))
    };
    text += &bars(&rows.iter().filter_map(bytes).collect::<Vec<_>>(), "bytes")?;
    text += "<table><tr><th><th class=n>p50<th class=n>p99.99<th class=n>worst<th class=n>bytes per key</tr>";
    for row in rows {
        write!(
            text,
            "<tr><td>{}<td class=n>{}<td class=n>{}<td class=n>{}<td class=n>{}</tr>",
            escape(title(report, row.peer)),
            shown(row.times.p50),
            shown(row.times.p99_99),
            shown(row.times.worst),
            row.bytes_per_key.map_or("-".to_owned(), |bytes| format!("{bytes:.0}"))
        )?;
    }
    text += "</table>";
    Ok(text)
}

struct Bar<'a> {
    name: &'a str,
    ours: bool,
    value: f64,
}

impl<'a> Bar<'a> {
    fn new(name: &'a str, peer: &str, value: f64) -> Bar<'a> {
        Bar { name, ours: peer.starts_with("tollgate"), value }
    }
}

/// Horizontal bars, ours in another colour. A unit that begins with `log` has a logarithmic scale.
fn bars(bars: &[Bar<'_>], unit: &str) -> anyhow::Result<String> {
    if bars.is_empty() {
        return Ok(String::new());
    }
    let logarithmic = unit.starts_with("log ");
    let scaled = |value: f64| if logarithmic { value.max(1.0).log10() } else { value };
    let label = |value: &f64| match logarithmic {
        true => format!("{:.0}", 10f64.powf(*value)),
        false => format!("{value:.0}"),
    };
    let highest = bars.iter().map(|bar| scaled(bar.value)).fold(0.0, f64::max).max(1.0);
    let count = bars.len();
    let mut svg = String::new();
    {
        let height = 40 + 20 * u32::try_from(count).unwrap_or(u32::MAX).min(200);
        let area = SVGBackend::with_string(&mut svg, (960, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(320)
            .build_cartesian_2d(0.0..highest * 1.05, (0..count).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .x_label_formatter(&label)
            .y_labels(count)
            .y_label_formatter(&|at| match at {
                SegmentValue::CenterOf(at) => {
                    count.checked_sub(1 + at).map_or(String::new(), |at| bars[at].name.to_owned())
                }
                _ => String::new(),
            })
            .draw()?;
        chart.draw_series(bars.iter().rev().enumerate().map(|(at, bar)| {
            let colour = if bar.ours { OURS } else { THEIRS };
            let mut shape = Rectangle::new(
                [(0.0, SegmentValue::Exact(at)), (scaled(bar.value), SegmentValue::Exact(at + 1))],
                colour.filled(),
            );
            shape.set_margin(3, 3, 0, 0);
            shape
        }))?;
        area.present()?;
    }
    Ok(svg)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
