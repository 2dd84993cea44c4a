//! Tollgate beside its peers, in one process: speed, latency, growth and memory, and where it loses.
//!
//! `peers` are the contenders, `workload` the keys that they are asked about, `cases` what is measured, `runner`,
//! `latency` and `growth` how, `report` what is made of it. The package's README has the table and the machine.

pub mod cases;
pub mod growth;
pub mod latency;
mod machine;
mod memory;
pub mod options;
pub mod peers;
pub mod report;
pub mod runner;
pub mod workload;

use std::fs;

use anyhow::Context;

use crate::cases::{Case, Kind};
use crate::options::Options;
use crate::report::Report;

/// What the program does: measures what the options ask for, prints the tables and writes the files.
///
/// # Errors
/// A file that cannot be written, more checks than a case is for, or a child that measures growth and fails.
pub fn run(options: &Options) -> anyhow::Result<()> {
    if options.list {
        print!("{}", report::table::list());
        return Ok(());
    }
    if let Some(name) = &options.child {
        let growth = growth::measure(peers::named(name).context("no such contender")?, options.keys);
        println!("{}", serde_json::to_string(&growth)?);
        return Ok(());
    }
    let cases = options.cases();
    let entries = options.peers();
    let mut report = Report::new(options, &entries);
    for group in groups(&cases) {
        runner::run(&group, &entries, options, &mut report)?;
    }
    for case in cases.iter().filter(|case| case.kind == Kind::Growth) {
        growth::run(case, &entries, options, &mut report)?;
    }
    print!("{}", report::table::all(&report));
    if let Some(path) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(path, json + "\n").with_context(|| format!("--json {}", path.display()))?;
    }
    if let Some(path) = &options.html {
        let page = report::html::page(&report)?;
        fs::write(path, page).with_context(|| format!("--html {}", path.display()))?;
    }
    Ok(())
}

/// Cases that the same contenders can be asked about, one after the other: they are built and filled once.
fn groups(cases: &[&'static Case]) -> Vec<Vec<&'static Case>> {
    let mut groups: Vec<Vec<&'static Case>> = Vec::new();
    for case in cases.iter().copied().filter(|case| case.kind != Kind::Growth) {
        let fits = |group: &Vec<&'static Case>| {
            let (one, other) = (group[0], case);
            (one.set, one.workload.keys, one.workload.mix)
                == (other.set, other.workload.keys, other.workload.mix)
        };
        match groups.iter_mut().find(|group| fits(group)) {
            Some(group) => group.push(case),
            None => groups.push(vec![case]),
        }
    }
    groups
}
