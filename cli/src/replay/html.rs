//! A summary as one self-contained page: the table, and plots as inline SVG.

use std::fmt::Write;

use anyhow::Context;
use plotters::prelude::*;
use tollgate::Nanos;

use super::summary::{Row, Summary};
use super::time;
use crate::page::{self, SIZE, escape};

const ADMITTED: RGBColor = RGBColor(46, 125, 50);
const REFUSED: RGBColor = RGBColor(198, 40, 40);

/// The page. `top`: how many subjects are shown one by one.
pub(crate) fn page(summary: &Summary, title: &str, top: usize) -> anyhow::Result<String> {
    let (rows, others) = summary.top(top);
    let mut body = String::new();
    write!(body, "<h1>{}</h1><p>{}</p>", escape(title), escape(&summary.headline()))?;
    if summary.total.requests > 0 {
        write!(body, "<h2>Requests over time</h2>{}", over_time(summary).context("plot")?)?;
        write!(body, "<h2>Busiest subjects</h2>{}", by_subject(&rows).context("plot")?)?;
    }
    body += "<h2>Subjects and limits</h2><table><tr><th>subject<th>plan<th>limit<th class=n>admitted\
             <th class=n>refused<th class=n>peak<th>causes</tr>";
    for row in &rows {
        let counts = &row.counts;
        write!(
            body,
            "<tr class=s><td>{}<td>{}<td>all<td class=n>{}<td class=n>{}<td><td>{}</tr>",
            escape(&row.subject),
            escape(&row.plan),
            counts.admitted,
            counts.refused(),
            escape(&counts.causes())
        )?;
        for limit in &row.limits {
            let (used, of) = limit.peak;
            write!(
                body,
                "<tr><td><td><td>{}<td class=n>{}<td class=n>{}<td class=n>{used} of {of}<td></tr>",
                escape(&limit.name),
                limit.admitted,
                limit.refused
            )?;
        }
    }
    if let Some((count, rest)) = others {
        write!(
            body,
            "<tr class=s><td>{}<td><td>all<td class=n>{}<td class=n>{}<td><td>{}</tr>",
            escape(&summary.others_name(count)),
            rest.admitted,
            rest.refused(),
            escape(&rest.causes())
        )?;
    }
    body += "</table>";
    Ok(page::whole(title, &body))
}

/// Stacked bars: what was admitted, and on top what was refused.
fn over_time(summary: &Summary) -> anyhow::Result<String> {
    let timeline = &summary.timeline;
    let (start, width, bins) = (timeline.start(), timeline.width(), timeline.bins());
    let highest = bins.iter().map(|bin| bin.admitted + bin.refused).max().unwrap_or(0);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(28)
            .y_label_area_size(60)
            .build_cartesian_2d(0..bins.len() as u64, 0..highest + 1)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .x_labels(5)
            .x_label_formatter(&|bin| {
                time::shown(Nanos::new(start.saturating_add(bin.saturating_mul(width))))
            })
            .draw()?;
        let bars = bins.iter().zip(0u64..);
        chart.draw_series(
            bars.clone()
                .filter(|(bin, _)| bin.admitted > 0)
                .map(|(bin, at)| Rectangle::new([(at, 0), (at + 1, bin.admitted)], ADMITTED.filled())),
        )?;
        chart.draw_series(bars.filter(|(bin, _)| bin.refused > 0).map(|(bin, at)| {
            Rectangle::new([(at, bin.admitted), (at + 1, bin.admitted + bin.refused)], REFUSED.filled())
        }))?;
        area.present()?;
    }
    let seconds = width as f64 / 1e9;
    Ok(format!("<p>Per {seconds} s; green: admitted, red: refused.</p>{svg}"))
}

fn by_subject(rows: &[&Row]) -> anyhow::Result<String> {
    let highest = rows.iter().map(|row| row.counts.requests).max().unwrap_or(0);
    let count = rows.len() as u64;
    let mut svg = String::new();
    {
        let height = 40 + 22 * u32::try_from(rows.len()).unwrap_or(u32::MAX).min(200);
        let area = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(24)
            .y_label_area_size(220)
            .build_cartesian_2d(0..highest + 1, (0..count).into_segmented())?;
        chart
            .configure_mesh()
            .disable_y_mesh()
            .y_labels(rows.len())
            .y_label_formatter(&|at| match at {
                SegmentValue::CenterOf(at) => rows
                    .len()
                    .checked_sub(1 + *at as usize)
                    .map_or(String::new(), |at| rows[at].subject.clone()),
                _ => String::new(),
            })
            .draw()?;
        let bar = |at: u64, from: u64, to: u64, colour: RGBColor| {
            let at = count - 1 - at;
            let mut bar = Rectangle::new(
                [(from, SegmentValue::Exact(at)), (to, SegmentValue::Exact(at + 1))],
                colour.filled(),
            );
            bar.set_margin(3, 3, 0, 0);
            bar
        };
        let counts = || (0u64..).zip(rows.iter().map(|row| &row.counts));
        chart.draw_series(counts().map(|(at, c)| bar(at, 0, c.admitted, ADMITTED)))?;
        chart.draw_series(counts().map(|(at, c)| bar(at, c.admitted, c.admitted + c.refused(), REFUSED)))?;
        area.present()?;
    }
    Ok(svg)
}

#[cfg(test)]
mod tests {
    use super::super::summary::Who;
    use super::*;
    use crate::replay::Session;
    use tollgate::{Changes, Mode, Request};

    #[test]
    fn a_page_holds_plots_and_escapes_names() {
        let plans = "[plans.p]\nquotas = [{ limit = 1, per = \"day\" }]";
        let session = Session::new(Changes::from_toml(plans).unwrap(), Some("p"), Vec::new()).unwrap();
        let mut summary = Summary::new(Who::Named);
        for (key, second) in [("<script>", 0u64), ("<script>", 3_600), ("b", 7_200)] {
            let at = Nanos::new(second * 1_000_000_000);
            summary.add(at, &session.decide(Request::new(key), at, Mode::Check), key.as_bytes());
        }
        let page = page(&summary, "a & b", 10).unwrap();
        assert_eq!(page.matches("<svg").count(), 2);
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;"), "{page}");
        assert!(page.contains("<title>a &amp; b</title>"));
        assert!(!page.contains("http-equiv") && !page.contains("src="), "self-contained");
    }

    #[test]
    fn nothing_to_plot_is_a_page_all_the_same() {
        assert!(page(&Summary::new(Who::Named), "empty", 10).unwrap().contains("0 requests"));
    }
}
