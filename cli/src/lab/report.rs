//! The outcome as a table and as JSON, and what its columns mean.

use clap::ValueEnum;
use indicatif::HumanCount;
use serde_json::{Value, json};
use tollgate::lab::Limit;
use tollgate::{Nanos, Rate};

use super::meter::BINS_PER_WINDOW;
use super::{Entrant, Totals};
use crate::args::{AlgorithmName, WorkloadName};
use crate::replay::summary::{align_right, plain_table, shown};
use crate::replay::time;

/// The columns after the algorithm's name, and what they mean. Counts are of requests, each as often as it costs.
pub(crate) const MEASURES: [(&str, &str); 9] = [
    ("admitted", "how many were admitted"),
    (
        "of ideal",
        "the same over what the ideal admits: an exact log of the same limit over the same trace. No schedule that \
         keeps every window within the limit admits more, so what is above 100 % broke the limit somewhere",
    ),
    (
        "wrongly admitted",
        "how many of the admitted put more than the limit, by however little, into the window that ends with them, \
         judged by what the algorithm itself had admitted before",
    ),
    (
        "wrongly refused",
        "how many were refused although that window had room for them; judged likewise, each alone: if one place is \
         never filled, every refusal is wrong, but what that costs in all is what `of ideal` lacks",
    ),
    ("worst window", "the most that any key was given in any window, wherever that begins; over the limit"),
    (
        "fairness",
        "Jain's index of the share of its own requests that each key was given: 1 is the same share for all, 1/n all \
         for one of n. Keys that ask for different amounts get different shares of any limit: compare with the log's",
    ),
    (
        "burstiness",
        "index of dispersion of what a key was given in each twentieth of a window: variance over mean, keys \
         weighed by their means. 0 is clockwork, 1 is random, more comes in bursts",
    ),
    (
        "ns/decision",
        "measured here and now: the median over batches of 1024 requests that are in memory, states found by number. \
         Not what a check of the engine takes, which finds a key first and shares its state between threads",
    ),
    ("bytes/key", "size of a key's state, the log's ring included; without key, table or allocator"),
];

/// For `--help` and the page.
pub(crate) fn legend() -> String {
    let lines = MEASURES.iter().map(|(name, meaning)| format!("  {name}: {meaning}\n"));
    format!(
        "Columns (counts are of requests, each as often as it costs):\n{}\nWindows are half-open: a request counts \
         until exactly a window later. Fixed windows begin at multiples of --per since the epoch.\n\
         Buckets get the rate limit/per and --burst; with a burst as large as the limit, up to twice the limit fits \
         into one window.",
        lines.collect::<String>()
    )
}

/// Where the requests came from.
pub(crate) enum Source {
    Made { workload: WorkloadName, load: f64, seed: u64, duration: u64 },
    Recorded { name: String, origin: u64, failed: u64, passed_over: u64 },
}

/// One algorithm's outcome. `None`: nothing to divide by.
pub(crate) struct Row {
    pub(crate) name: AlgorithmName,
    pub(crate) admitted: u64,
    pub(crate) of_ideal: Option<f64>,
    pub(crate) wrongly_admitted: u64,
    pub(crate) wrongly_refused: u64,
    pub(crate) worst: u64,
    pub(crate) fairness: Option<f64>,
    pub(crate) burstiness: Option<f64>,
    pub(crate) nanos: Option<f64>,
    pub(crate) bytes: usize,
}

/// All that came out.
pub(crate) struct Report {
    pub(crate) source: Source,
    pub(crate) limit: Limit,
    pub(crate) requests: u64,
    pub(crate) offered: u64,
    pub(crate) keys: usize,
    /// First and last instant, from the origin.
    pub(crate) span: Option<(u64, u64)>,
    pub(crate) burstiness: Option<f64>,
    pub(crate) ideal: u64,
    /// Those that were asked for.
    pub(crate) rows: Vec<Row>,
}

impl Report {
    pub(crate) fn new(source: Source, limit: &Limit, totals: &Totals, entrants: &[Entrant]) -> Report {
        let intervals = totals.intervals(limit);
        let log = entrants.iter().find(|entrant| entrant.name == AlgorithmName::SlidingLog);
        let ideal = log.map_or(0, |log| log.meter.admitted);
        let asked = entrants.iter().filter(|entrant| !entrant.hidden);
        Report {
            source,
            limit: *limit,
            requests: totals.requests,
            offered: totals.offered,
            keys: totals.dispersion.keys(),
            span: totals.span,
            burstiness: totals.dispersion.index(intervals),
            ideal,
            rows: asked.map(|entrant| entrant.row(totals, intervals, ideal)).collect(),
        }
    }

    /// Lines that could not be read.
    pub(crate) fn failed(&self) -> u64 {
        match self.source {
            Source::Made { .. } => 0,
            Source::Recorded { failed, .. } => failed,
        }
    }

    pub(crate) fn title(&self) -> String {
        match &self.source {
            Source::Made { workload, .. } => format!("Algorithm lab: {}", name(*workload)),
            Source::Recorded { name, .. } => format!("Algorithm lab: {}", shown(name, 200)),
        }
    }

    /// The trace and the limit in sentences.
    pub(crate) fn headline(&self) -> String {
        let limit = &self.limit;
        let number = |count: u64| HumanCount(count).to_string();
        let mut text = format!("{} requests of {} keys", number(self.requests), number(self.keys as u64));
        if self.offered != self.requests {
            text += &format!(" that cost {}", number(self.offered));
        }
        match &self.source {
            Source::Made { workload, load, seed, duration } => {
                let kind = name(*workload);
                text += &format!(" in {}: {kind} at {load} times the limit, seed {seed}", span(*duration));
            }
            Source::Recorded { origin, failed, passed_over, .. } => {
                if let Some((first, last)) = self.span {
                    let instant = |at: u64| time::shown(Nanos::new(origin.saturating_add(at)));
                    text += &format!(", {} to {} UTC", instant(first), instant(last));
                }
                if *passed_over > 0 {
                    text += &format!("; {} lines without a request, key or cost", number(*passed_over));
                }
                if *failed > 0 {
                    text += &format!("; {} lines could not be read", number(*failed));
                }
            }
        }
        text += &format!(
            "\nlimit {} per {} a key; buckets: rate {}, burst {}; offered burstiness {}; ideal {}",
            number(limit.limit()),
            span(limit.window().get()),
            per(limit.rate()),
            number(limit.burst()),
            decimal(self.burstiness, 2),
            number(self.ideal)
        );
        text
    }

    /// A row's cells in the order of [`MEASURES`].
    pub(crate) fn cells(&self, row: &Row) -> [String; 9] {
        let number = |count: u64| HumanCount(count).to_string();
        [
            number(row.admitted),
            row.of_ideal.map_or("-".into(), |share| format!("{:.2} %", 100.0 * share)),
            number(row.wrongly_admitted),
            number(row.wrongly_refused),
            format!("{} = {:.2}x", number(row.worst), row.worst as f64 / self.limit.limit() as f64),
            decimal(row.fairness, 4),
            decimal(row.burstiness, 2),
            decimal(row.nanos, 1),
            number(row.bytes as u64),
        ]
    }

    /// For a terminal or file.
    pub(crate) fn table(&self) -> String {
        let mut table = plain_table();
        // In two lines, so that the columns are as narrow as their numbers.
        let headers = MEASURES.map(|(name, _)| name.replace(' ', "\n").replace('/', "/\n"));
        table.set_header(["algorithm".to_owned()].into_iter().chain(headers));
        for row in &self.rows {
            table.add_row([name(row.name)].into_iter().chain(self.cells(row)));
        }
        align_right(&mut table, 1..1 + MEASURES.len());
        format!("{}\n\n{table}\n\nWhat the columns mean: tollgate lab --help", self.headline())
    }

    /// For programs. Numbers that there are none of are null.
    pub(crate) fn json(&self) -> Value {
        let source = match &self.source {
            Source::Made { workload, load, seed, duration } => json!({
                "workload": name(*workload), "load": load, "seed": seed, "duration_ns": duration,
            }),
            Source::Recorded { name, failed, passed_over, .. } => json!({
                "trace": name, "lines_failed": failed, "lines_passed_over": passed_over,
            }),
        };
        let row = |row: &Row| {
            json!({
                "name": name(row.name),
                "admitted": row.admitted,
                "of_ideal": row.of_ideal,
                "wrongly_admitted": row.wrongly_admitted,
                "wrongly_refused": row.wrongly_refused,
                "worst_window": row.worst,
                "worst_overshoot": row.worst as f64 / self.limit.limit() as f64,
                "fairness": row.fairness,
                "burstiness": row.burstiness,
                "ns_per_decision": row.nanos,
                "bytes_per_key": row.bytes,
            })
        };
        json!({
            "limit": self.limit.limit(),
            "per_ns": self.limit.window().get(),
            "burst": self.limit.burst(),
            "source": source,
            "requests": self.requests,
            "offered": self.offered,
            "keys": self.keys,
            "burstiness": self.burstiness,
            "burstiness_interval_ns": self.limit.window().get() as f64 / BINS_PER_WINDOW as f64,
            "ideal": self.ideal,
            "algorithms": self.rows.iter().map(row).collect::<Vec<_>>(),
        })
    }
}

/// As it is written in the command.
pub(crate) fn name(value: impl ValueEnum) -> String {
    value.to_possible_value().map_or(String::new(), |value| value.get_name().to_owned())
}

fn decimal(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}

/// A duration in its largest whole unit.
pub(crate) fn span(nanos: u64) -> String {
    const UNITS: [(&str, u64); 6] = [
        ("d", 86_400_000_000_000),
        ("h", 3_600_000_000_000),
        ("m", 60_000_000_000),
        ("s", 1_000_000_000),
        ("ms", 1_000_000),
        ("us", 1_000),
    ];
    let whole = UNITS.into_iter().find(|&(_, unit)| nanos > 0 && nanos.is_multiple_of(unit));
    let other = if nanos == 0 { "0".to_owned() } else { format!("{nanos}ns") };
    whole.map_or(other, |(name, unit)| format!("{}{name}", nanos / unit))
}

/// A rate as it is, or rounded where that takes many digits.
fn per(rate: Rate) -> String {
    let text = rate.to_string();
    if text.len() <= 12 {
        return text;
    }
    format!("about {:.3}/s", rate.tokens() as f64 / rate.nanos() as f64 * 1e9)
}
