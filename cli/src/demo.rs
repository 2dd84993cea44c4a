//! `tollgate demo`: a slice of a real access log, decided under three usage plans.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Instant;

use anyhow::{Context, anyhow};
use indicatif::HumanCount;
use tollgate::{Changes, Engine, Mode, Nanos, Request};

use crate::replay::summary::{Counts, Summary, Who, align_right, plain_table};
use crate::replay::{Combined, KeySource, Session};

const LOG: &[u8] = include_bytes!("../demo/access.log");
const PLANS: &str = include_str!("../demo/plans.toml");
/// The plan of everybody who is not registered.
const EVERYBODY: &str = "free";
/// Subjects that are shown one by one.
const SHOWN: usize = 8;
/// Passes over the log, each through a fresh engine, to measure.
const ROUNDS: usize = 101;

/// A request of the log.
struct Entry {
    at: Nanos,
    key: Vec<u8>,
    route: Option<String>,
}

impl Entry {
    fn request(&self) -> Request<'_> {
        let request = Request::new(&self.key);
        self.route.as_deref().map_or(request, |route| request.route(route))
    }
}

/// Runs the demo on standard output.
///
/// # Errors
/// Standard output cannot be written.
pub fn run() -> anyhow::Result<()> {
    let entries = entries()?;
    let changes = Changes::from_toml(PLANS)?;
    let session = Session::new(changes.clone(), Some(EVERYBODY), Vec::new())?;
    let mut summary = Summary::new(Who::Named);
    for entry in &entries {
        let report = session.decide(entry.request(), entry.at, Mode::Check);
        summary.add(entry.at, &report, &entry.key);
    }
    let text = format!(
        "A real web server's access log (elastic/examples, Apache-2.0) under three usage plans:\n\
         clients are API keys, four customers are registered, everybody else is on the free plan.\n\n\
         {}\n\n{}\n\n{}\n\n\
         The plans: cli/demo/plans.toml. On your own log:\n  \
         tollgate replay --plans PLANS.toml --format combined --plan free --summary ACCESS.LOG\n",
        by_plan(&summary),
        summary.table(SHOWN),
        speed(&entries, &changes)?,
    );
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(()),
    }
}

fn entries() -> anyhow::Result<Vec<Entry>> {
    let mut log = Combined::new(KeySource::RemoteAddr);
    let mut entries = Vec::new();
    for line in LOG.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let entry = log.read(line).map_err(|error| anyhow!("the embedded log: {error}"))?;
        entries.push(Entry { at: entry.at, key: entry.key.to_vec(), route: entry.route.map(str::to_owned) });
    }
    Ok(entries)
}

fn by_plan(summary: &Summary) -> String {
    let mut plans: BTreeMap<&str, (u64, Counts)> = BTreeMap::new();
    let (rows, _) = summary.top(usize::MAX);
    for row in rows {
        let (subjects, counts) = plans.entry(&row.plan).or_default();
        *subjects += 1;
        counts.merge(&row.counts);
    }
    let mut table = plain_table();
    table.set_header(["plan", "subjects", "requests", "admitted", "refused", "causes"]);
    for (plan, (subjects, counts)) in plans {
        let (plan, subjects) = match plan {
            // Key errors have no plan, and one row for all subjects.
            "" => ("(no plan)".to_owned(), String::new()),
            plan => (plan.to_owned(), HumanCount(subjects).to_string()),
        };
        let [requests, admitted, refused] =
            [counts.requests, counts.admitted, counts.refused()].map(|n| HumanCount(n).to_string());
        table.add_row([plan, subjects, requests, admitted, refused, counts.causes()]);
    }
    align_right(&mut table, 1..5);
    table.to_string()
}

/// What a decision takes: the median of some passes, parsing apart.
fn speed(entries: &[Entry], changes: &Changes) -> anyhow::Result<String> {
    let mut passes = Vec::with_capacity(ROUNDS);
    for _ in 0..ROUNDS {
        let engine = Engine::builder().changes(changes.clone()).build()?;
        let start = Instant::now();
        let admitted = entries
            .iter()
            .filter(|entry| engine.check_at(&entry.request().or_anonymous(EVERYBODY), entry.at).is_allowed())
            .count();
        passes.push(start.elapsed().as_nanos());
        // The work must be done.
        std::hint::black_box(admitted);
    }
    passes.sort_unstable();
    let each = passes[ROUNDS / 2] / entries.len().max(1) as u128;
    Ok(format!(
        "{each} ns per decision on one thread, the SHA-256 of the key and up to four limits included \
         (median of {ROUNDS} passes over the log)."
    ))
}
