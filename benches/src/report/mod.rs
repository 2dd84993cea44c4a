//! What was measured, as tables, JSON and a page.

pub mod html;
pub mod table;

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::growth::Growth;
use crate::machine::Machine;
use crate::options::Options;
use crate::peers::{Entry, Time};
use crate::workload::Workload;

/// Everything that was measured.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Where.
    pub machine: Machine,
    /// How.
    pub settings: Settings,
    /// Of whom.
    pub contenders: Vec<Described>,
    /// Nanoseconds per check.
    pub speeds: Vec<Speed>,
    /// Times of single checks.
    pub latencies: Vec<Latency>,
    /// First checks, and memory.
    pub growths: Vec<Growth>,
    /// Who was not asked about what.
    pub left: Vec<Left>,
}

/// How it was measured.
#[derive(Debug, Serialize)]
pub struct Settings {
    /// Rounds in which all take turns.
    pub rounds: usize,
    /// Checks of a thread in a round, those that warm up included.
    pub checks: usize,
    /// What the streams were drawn from.
    pub seed: u64,
}

/// A contender.
#[derive(Debug, Serialize)]
pub struct Described {
    /// What `--peer` calls it.
    pub name: &'static str,
    /// What the tables call it.
    pub title: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// Where its time comes from.
    pub time: Time,
    /// How it is used.
    pub how: &'static str,
}

/// A case with a number of threads.
#[derive(Debug, Serialize)]
pub struct Speed {
    /// The case.
    pub case: &'static str,
    /// Its keys.
    #[serde(flatten)]
    pub workload: Workload,
    /// How many threads check at once.
    pub threads: usize,
    /// Checks of each thread in a round.
    pub checks: usize,
    /// By contender.
    pub rows: Vec<Row>,
}

/// What a contender did.
#[derive(Debug, Serialize)]
pub struct Row {
    /// The contender.
    pub peer: &'static str,
    /// Nanoseconds of wall time per check of any thread: the median over rounds.
    pub ns: f64,
    /// By this much slower than Tollgate with the same kind of clock: the median over rounds of the ratio in a round.
    pub ratio: Option<f64>,
    /// The share of checks that was refused.
    pub denied: f64,
    /// Nanoseconds per check by round.
    pub rounds: Vec<f64>,
    /// The ratio by round.
    #[serde(skip)]
    pub ratios: Vec<f64>,
}

impl Row {
    /// From what was measured in each round.
    pub fn new(
        peer: &'static str,
        rounds: Vec<f64>,
        ratios: Vec<f64>,
        denied: impl Iterator<Item = f64>,
    ) -> Row {
        let ratio = (!ratios.is_empty()).then(|| median(&ratios));
        let denied = denied.sum::<f64>() / rounds.len() as f64;
        Row { peer, ns: median(&rounds), ratio, denied, rounds, ratios }
    }

    /// Adds what other contenders did, and further rounds of the same.
    pub(crate) fn merge(rows: &mut Vec<Row>, more: Vec<Row>) {
        for new in more {
            match rows.iter_mut().find(|row| row.peer == new.peer) {
                None => rows.push(new),
                Some(row) => {
                    let (before, denied) = (row.rounds.len(), row.denied);
                    let rounds = [row.rounds.as_slice(), &new.rounds].concat();
                    let ratios = [row.ratios.as_slice(), &new.ratios].concat();
                    let denied = (0..before).map(|_| denied).chain(new.rounds.iter().map(|_| new.denied));
                    *row = Row::new(row.peer, rounds, ratios, denied);
                }
            }
        }
    }
}

/// Times of single checks.
#[derive(Debug, Serialize)]
pub struct Latency {
    /// The case.
    pub case: &'static str,
    /// How many threads checked at once.
    pub threads: usize,
    /// The contender.
    pub peer: &'static str,
    /// Over all rounds and threads, the reading of the clock included.
    pub times: Percentiles,
}

/// Times in nanoseconds.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Percentiles {
    /// The median.
    pub p50: u64,
    /// 99 of 100 took no more.
    pub p99: u64,
    /// 999 of 1,000 took no more.
    pub p99_9: u64,
    /// 9,999 of 10,000 took no more.
    pub p99_99: u64,
    /// The worst.
    pub worst: u64,
}

impl Percentiles {
    /// Of a histogram of nanoseconds.
    pub fn of(histogram: &Histogram<u64>) -> Percentiles {
        Percentiles {
            p50: histogram.value_at_quantile(0.5),
            p99: histogram.value_at_quantile(0.99),
            p99_9: histogram.value_at_quantile(0.999),
            p99_99: histogram.value_at_quantile(0.9999),
            worst: histogram.max(),
        }
    }

    /// The median of each.
    pub fn median(of: &[Percentiles]) -> Percentiles {
        let each = |get: fn(&Percentiles) -> u64| {
            median(&of.iter().map(|times| get(times) as f64).collect::<Vec<_>>()) as u64
        };
        Percentiles {
            p50: each(|times| times.p50),
            p99: each(|times| times.p99),
            p99_9: each(|times| times.p99_9),
            p99_99: each(|times| times.p99_99),
            worst: each(|times| times.worst),
        }
    }
}

/// Who was not asked about what, and why.
#[derive(Debug, Serialize)]
pub struct Left {
    /// The contender.
    pub peer: &'static str,
    /// The cases.
    pub cases: Vec<&'static str>,
    /// The reason.
    pub why: &'static str,
}

impl Report {
    /// Nothing measured yet.
    pub fn new(options: &Options, entries: &[&'static Entry]) -> Report {
        let describe = |entry: &&'static Entry| Described {
            name: entry.name,
            title: entry.title,
            version: entry.version,
            time: entry.time,
            how: entry.how,
        };
        Report {
            machine: Machine::here(),
            settings: Settings { rounds: options.rounds(), checks: options.checks(), seed: options.seed },
            contenders: entries.iter().map(describe).collect(),
            speeds: Vec::new(),
            latencies: Vec::new(),
            growths: Vec::new(),
            left: Vec::new(),
        }
    }
}

/// The middle one, of an even number the lower of the two; 0 of none.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or(0.0)
}

/// Nanoseconds as text with a unit.
pub(crate) fn shown(ns: u64) -> String {
    match ns {
        0..10_000 => format!("{ns} ns"),
        10_000..10_000_000 => format!("{:.1} us", ns as f64 / 1e3),
        _ => format!("{:.1} ms", ns as f64 / 1e6),
    }
}
