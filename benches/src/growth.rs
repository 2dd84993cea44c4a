//! The worst single check while keys appear, and the memory that they take. Each contender has a process of its own, so
//! that nobody meets memory that another has given back.

use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use quanta::Clock;
use serde::{Deserialize, Serialize};

use crate::cases::Case;
use crate::latency;
use crate::memory;
use crate::options::Options;
use crate::peers::{Entry, Limit, Room, START, Set, Setup};
use crate::report::{Left, Percentiles, Report, median};
use crate::workload::Key;

/// What one process measured.
#[derive(Debug, Serialize, Deserialize)]
pub struct Grown {
    /// Of the first check of every key.
    pub times: Percentiles,
    /// Resident bytes that came with the keys, by key.
    pub bytes_per_key: Option<f64>,
}

/// What several processes measured of one contender.
#[derive(Debug, Serialize)]
pub struct Growth {
    /// The case.
    pub case: &'static str,
    /// The contender.
    pub peer: &'static str,
    /// How many keys appeared.
    pub keys: u32,
    /// The medians over runs of the figures of the runs.
    pub times: Percentiles,
    /// The smallest of the runs' worst checks, in nanoseconds: what is the contender's own doing is in every run.
    pub smallest_worst: u64,
    /// Resident bytes per key, the median.
    pub bytes_per_key: Option<f64>,
}

/// Measures in this process.
pub fn measure(entry: &Entry, keys: u32) -> Grown {
    let clock = Clock::new();
    // Touched, so that it is not taken for the contender's.
    let mut readings = vec![1; keys as usize + 1];
    let before = memory::resident();
    let contender = (entry.build)(&Setup { keys, room: Room::Growing, limit: Limit::AMPLE });
    contender.clocked(&mut (0..keys).map(Key::new), START, &clock, &mut readings);
    let bytes = before.zip(memory::resident()).map(|(before, after)| after.saturating_sub(before));
    let mut histogram = latency::histogram();
    latency::add(&mut histogram, &clock, &readings);
    drop(contender);
    let bytes_per_key = bytes.map(|bytes| bytes as f64 / f64::from(keys));
    Grown { times: Percentiles::of(&histogram), bytes_per_key }
}

/// Has every contender measured in processes of its own.
pub(crate) fn run(
    case: &Case,
    entries: &[&'static Entry],
    options: &Options,
    report: &mut Report,
) -> anyhow::Result<()> {
    let keys = case.workload.keys;
    for entry in entries.iter().filter(|entry| entry.set != Set::Registered) {
        if !entry.can_hold(&case.workload) {
            report.left.push(Left { peer: entry.name, cases: vec![case.name], why: entry.why_not });
            continue;
        }
        eprintln!("{}: {}", case.name, entry.name);
        let runs: Vec<Grown> =
            (0..options.growth_runs()).map(|_| child(entry, keys)).collect::<anyhow::Result<_>>()?;
        let times: Vec<_> = runs.iter().map(|run| run.times).collect();
        let bytes: Option<Vec<f64>> = runs.iter().map(|run| run.bytes_per_key).collect();
        report.growths.push(Growth {
            case: case.name,
            peer: entry.name,
            keys,
            times: Percentiles::median(&times),
            smallest_worst: times.iter().map(|times| times.worst).min().unwrap_or(0),
            bytes_per_key: bytes.map(|bytes| median(&bytes)),
        });
    }
    Ok(())
}

fn child(entry: &Entry, keys: u32) -> anyhow::Result<Grown> {
    let program = std::env::current_exe().context("the path of this program")?;
    let output = Command::new(program)
        .args(["--child", entry.name, "--keys", &keys.to_string()])
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("the process that measures {}", entry.name))?;
    if !output.status.success() {
        bail!("the process that measures {} ended with {}", entry.name, output.status);
    }
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("what the process that measures {} said", entry.name))
}
