//! Tables for the terminal.

use std::fmt::Write;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};

use super::{Described, Report, Speed, shown};
use crate::cases;
use crate::peers::{self, control};

/// Everything that was measured.
pub fn all(report: &Report) -> String {
    let mut text = String::new();
    let settings = &report.settings;
    // Writing to a string cannot fail.
    let _ = writeln!(text, "{}", report.machine.line());
    let _ = writeln!(
        text,
        "{} interleaved rounds of {} checks per thread; seed {}",
        settings.rounds, settings.checks, settings.seed
    );
    for part in [false, true] {
        let speeds: Vec<_> =
            report.speeds.iter().filter(|speed| (speed.workload.denied_share() > 0.0) == part).collect();
        for speeds in speeds.chunks(6) {
            let what = if part { "with refusals" } else { "all allowed" };
            let _ = writeln!(
                text,
                "\nns of wall time per check, {what}; in brackets: times Tollgate's, with the same kind of clock"
            );
            let _ = writeln!(text, "{}", self::speeds(report, speeds));
        }
    }
    if !report.latencies.is_empty() {
        let _ = writeln!(
            text,
            "\ntime of one check, with the reading of a clock, which is what the loop alone takes"
        );
        let _ = writeln!(text, "{}", latencies(report));
    }
    if !report.growths.is_empty() {
        let _ = writeln!(text, "\nfirst check of every key, while keys appear; and resident memory");
        let _ = writeln!(text, "{}", growths(report));
    }
    for left in &report.left {
        let _ = writeln!(text, "not measured: {} in {}: {}", left.peer, left.cases.join(", "), left.why);
    }
    text
}

/// A line under the header, as wide as the content; numbers after so many columns of text.
fn table(header: Vec<String>, text_columns: usize) -> Table {
    const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));
    let mut table = Table::new();
    table.load_style(STYLE).set_content_arrangement(ContentArrangement::Disabled).set_header(header);
    for column in table.column_iter_mut().skip(text_columns) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn speeds(report: &Report, speeds: &[&Speed]) -> Table {
    let head = |speed: &&Speed| format!("{}\n{} thr.", speed.case, speed.threads);
    let header = ["".to_owned(), "clock".to_owned()].into_iter().chain(speeds.iter().map(head));
    let mut table = table(header.collect(), 2);
    for contender in &report.contenders {
        let cells: Vec<_> = speeds.iter().map(|speed| cell(speed, contender)).collect();
        if cells.iter().any(|cell| cell != "-") {
            let names = [contender.title.to_owned(), contender.time.word().to_owned()];
            table.add_row(names.into_iter().chain(cells));
        }
    }
    table
}

fn cell(speed: &Speed, contender: &Described) -> String {
    let Some(row) = speed.rows.iter().find(|row| row.peer == contender.name) else { return "-".to_owned() };
    let ratio = row.ratio.map_or(String::new(), |ratio| format!(" ({ratio:.1})"));
    format!("{:.1}{ratio}", row.ns)
}

fn latencies(report: &Report) -> Table {
    let header = ["case", "threads", "", "clock", "p50", "p99", "p99.9", "max"];
    let mut table = table(header.map(str::to_owned).to_vec(), 4);
    let mut rows: Vec<_> = report.latencies.iter().collect();
    rows.sort_by_key(|latency| (latency.case, latency.threads, latency.peer != control::NAME));
    for latency in rows {
        let Some(contender) = report.contenders.iter().find(|c| c.name == latency.peer) else { continue };
        let times = latency.times;
        table.add_row([
            latency.case.to_owned(),
            latency.threads.to_string(),
            contender.title.to_owned(),
            contender.time.word().to_owned(),
            shown(times.p50),
            shown(times.p99),
            shown(times.p99_9),
            shown(times.worst),
        ]);
    }
    table
}

fn growths(report: &Report) -> Table {
    let header = ["case", "", "p50", "p99.99", "worst", "worst, at least", "bytes per key"];
    let mut table = table(header.map(str::to_owned).to_vec(), 2);
    for growth in &report.growths {
        let Some(contender) = report.contenders.iter().find(|c| c.name == growth.peer) else { continue };
        table.add_row([
            growth.case.to_owned(),
            contender.title.to_owned(),
            shown(growth.times.p50),
            shown(growth.times.p99_99),
            shown(growth.times.worst),
            shown(growth.smallest_worst),
            growth.bytes_per_key.map_or("-".to_owned(), |bytes| format!("{bytes:.0}")),
        ]);
    }
    table
}

/// The cases and contenders that there are.
pub fn list() -> String {
    let mut text = String::from("cases (* unless --full or --case says otherwise)\n");
    for case in cases::ALL {
        let star = if case.quick { '*' } else { ' ' };
        let workload = &case.workload;
        let _ = writeln!(
            text,
            "{star} {:<16} {:?}, {} keys, {:?}, {:?}",
            case.name, case.kind, workload.keys, workload.distribution, workload.mix
        );
    }
    text += "contenders\n";
    for entry in peers::ALL {
        let _ = writeln!(text, "  {:<22} {} {}: {}", entry.name, entry.title, entry.version, entry.how);
    }
    text
}
