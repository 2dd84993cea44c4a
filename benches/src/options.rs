//! The command line.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;

use crate::cases::{self, Case};
use crate::peers::{self, Entry, Set, is_meant};

/// Tollgate beside its peers: interleaved rounds in one process, medians and ratios.
#[derive(Debug, Parser)]
#[command(name = "tollgate-bench", version)]
pub struct Options {
    /// A choice of cases that takes about three minutes (the default)
    #[arg(long, conflicts_with = "full")]
    pub quick: bool,
    /// Every case, longer streams and more rounds: most of an hour, and up to half of the machine's memory
    #[arg(long)]
    pub full: bool,
    /// Only this case, or with a star at the end all that begin so; may be repeated
    #[arg(long = "case", value_name = "NAME", value_parser = case_name)]
    pub case: Vec<String>,
    /// Only this contender, or with a star at the end all that begin so; may be repeated
    #[arg(long = "peer", value_name = "NAME", value_parser = peer_name)]
    pub peer: Vec<String>,
    /// Numbers of threads [default: 1, 2, 4 and so on up to the number of cores]
    #[arg(long, value_name = "N,N", value_delimiter = ',', value_parser = clap::value_parser!(u16).range(1..=1_024))]
    pub threads: Vec<u16>,
    /// Rounds in which all contenders take turns [default: 5, with --full 9]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pub rounds: Option<u16>,
    /// Checks of a thread in a round [default: 400000, with --full 1000000]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    pub checks: Option<u32>,
    /// Write everything that was measured
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// Write a page with tables and plots
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// What the key streams are drawn from
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Say what cases and contenders there are
    #[arg(long)]
    pub list: bool,
    /// Measure the growth of one contender in this process, for the process that started it
    #[arg(long, hide = true, requires = "keys")]
    pub child: Option<String>,
    /// How many keys a child adds
    #[arg(long, hide = true, default_value_t = 0)]
    pub keys: u32,
}

fn case_name(name: &str) -> Result<String, String> {
    if cases::ALL.iter().any(|case| is_meant(case.name, name)) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = cases::ALL.iter().map(|case| case.name).collect();
    Err(format!("there is no such case; there are {}", names.join(", ")))
}

fn peer_name(name: &str) -> Result<String, String> {
    if peers::ALL.iter().any(|entry| is_meant(entry.name, name)) {
        return Ok(name.to_owned());
    }
    let names: Vec<_> = peers::ALL.iter().map(|entry| entry.name).collect();
    Err(format!("there is no such contender; there are {}", names.join(", ")))
}

impl Options {
    /// The cases that are asked for.
    pub fn cases(&self) -> Vec<&'static Case> {
        let asked = |case: &Case| match self.case.as_slice() {
            [] => self.full || case.quick,
            names => names.iter().any(|name| is_meant(case.name, name)),
        };
        cases::ALL.iter().filter(|case| asked(case)).collect()
    }

    /// The contenders that are asked for; the control is always there.
    pub fn peers(&self) -> Vec<&'static Entry> {
        let asked = |entry: &Entry| {
            self.peer.is_empty()
                || entry.set == Set::Control
                || self.peer.iter().any(|name| is_meant(entry.name, name))
        };
        peers::ALL.iter().filter(|entry| asked(entry)).collect()
    }

    /// Numbers of threads.
    pub fn threads(&self) -> Vec<usize> {
        if !self.threads.is_empty() {
            return self.threads.iter().map(|threads| usize::from(*threads)).collect();
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        std::iter::successors(Some(1), |threads| Some(threads * 2)).take_while(|n| *n <= cores).collect()
    }

    /// How often all contenders take turns.
    pub fn rounds(&self) -> usize {
        self.rounds.map_or(if self.full { 9 } else { 5 }, usize::from)
    }

    /// Keys of a stream.
    pub fn checks(&self) -> usize {
        self.checks.map_or(if self.full { 1_000_000 } else { 400_000 }, |checks| checks as usize)
    }

    /// How many children measure each contender's growth.
    pub fn growth_runs(&self) -> usize {
        if self.full { 3 } else { 1 }
    }
}
