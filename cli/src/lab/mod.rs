//! `tollgate lab`: rate-limiting algorithms over the same trace, made or recorded.
//!
//! The trace is taken in chunks. Each is in memory before the first algorithm decides it, so that what decisions take
//! does not include making or reading requests, and measuring comes after the clock has stopped. Memory is that of the
//! states, of what was admitted in the last window, and of one chunk.

mod contest;
mod html;
mod meter;
mod report;
mod trace;
mod workload;

use std::fs::File;
use std::io::{self, Write};
use std::iter::Peekable;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::ValueEnum;
use tollgate::lab::Limit;

use crate::args::{AlgorithmName, LabArgs};
use crate::replay::summary::Progress;
use contest::Contestant;
use html::Plots;
use meter::{Dispersion, Meter, interval};
use report::{Report, Row, Source};
use trace::Trace;
use workload::{Requests, Workload};

pub(crate) use report::legend;

/// Requests of a chunk: few enough for a cache.
const CHUNK: usize = 16_384;

/// More keys are refused.
const MOST_KEYS: usize = 1_000_000;

/// Keys times limit stay below this: the log and the measures keep so many instants, up to thirteen times.
const MOST_INSTANTS: u64 = 5_000_000;

/// A request of a trace.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Request {
    /// Nanoseconds since an origin that is a multiple of the window.
    at: u64,
    /// Numbered from 0.
    key: u32,
    /// Not 0.
    cost: u64,
}

/// Where requests come from.
enum Input {
    Made(Workload, Box<Peekable<Requests>>),
    Recorded(Box<Trace>),
}

/// An algorithm and what measures it.
struct Entrant {
    name: AlgorithmName,
    contestant: Box<dyn Contestant>,
    meter: Meter,
    /// Not asked for, but the others are measured by it.
    hidden: bool,
}

/// Runs the lab.
///
/// # Errors
/// Bad options; files that cannot be read or written.
pub fn run(args: &LabArgs) -> anyhow::Result<ExitCode> {
    // Messages begin with the name of the option.
    let limit = Limit::new(args.limit, args.per, args.burst).map_err(|error| anyhow::anyhow!("--{error}"))?;
    let mut input = match &args.trace {
        Some(path) => {
            Input::Recorded(Box::new(Trace::open(path, args.format, args.key, limit.window().get())?))
        }
        None => {
            let workload = Workload::new(args, &limit)?;
            room(args.keys as usize, &limit).context("--keys and --limit")?;
            let requests = Box::new(workload.requests().peekable());
            Input::Made(workload, requests)
        }
    };
    // Opened first, so that a long trace is not run in vain.
    let page =
        args.html.as_deref().map(|path| File::create(path).with_context(|| path.display().to_string()));
    let page = page.transpose()?;

    let mut entrants = entrants(&args.algorithms, &limit);
    let mut plots = page.is_some().then(|| Plots::new(entrants.len(), &limit, input.sight()));
    let progress = input.progress();
    let mut run = Totals::default();
    let (mut chunk, mut verdicts) = (Vec::with_capacity(CHUNK), Vec::with_capacity(CHUNK));
    while let Some(passed) = input.read(&mut chunk)? {
        progress.add(passed, input.count(&run));
        // The rest of a chunk is still to come.
        if chunk.len() == CHUNK {
            run.decide(&chunk, &limit, &mut entrants, &mut verdicts, plots.as_mut())?;
            chunk.clear();
        }
    }
    run.decide(&chunk, &limit, &mut entrants, &mut verdicts, plots.as_mut())?;
    progress.finish();

    let report = Report::new(input.source(args), &limit, &run, &entrants);
    if let (Some(mut page), Some(plots)) = (page, &plots) {
        let origin = input.origin();
        page.write_all(html::page(&report, plots, origin)?.as_bytes()).context("--html")?;
    }
    let text = if args.json { format!("{:#}\n", report.json()) } else { format!("{}\n", report.table()) };
    match io::stdout().lock().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            return Err(error).context("standard output");
        }
        _ => {}
    }
    Ok(if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::from(1) })
}

fn room(keys: usize, limit: &Limit) -> anyhow::Result<()> {
    let instants = (keys as u64).saturating_mul(limit.limit());
    if instants > MOST_INSTANTS {
        bail!(
            "{keys} keys times a limit of {} are {instants} instants to remember: at most {MOST_INSTANTS}",
            limit.limit()
        );
    }
    Ok(())
}

/// Those that were asked for, in their order, each once; the log in any case.
fn entrants(names: &[AlgorithmName], limit: &Limit) -> Vec<Entrant> {
    let asked = if names.is_empty() { AlgorithmName::value_variants() } else { names };
    let mut entrants: Vec<Entrant> = Vec::new();
    let hidden = [AlgorithmName::SlidingLog];
    for (&name, hidden) in
        asked.iter().map(|name| (name, false)).chain(hidden.iter().map(|name| (name, true)))
    {
        if entrants.iter().all(|other| other.name != name) {
            let (contestant, meter) = (contest::contestant(name, limit), Meter::new(limit));
            entrants.push(Entrant { name, contestant, meter, hidden });
        }
    }
    entrants
}

/// What the trace came to.
#[derive(Default)]
pub(crate) struct Totals {
    requests: u64,
    /// The sum of the costs.
    offered: u64,
    dispersion: Dispersion,
    /// First and last instant, from the origin.
    span: Option<(u64, u64)>,
}

impl Totals {
    fn decide(
        &mut self,
        chunk: &[Request],
        limit: &Limit,
        entrants: &mut [Entrant],
        verdicts: &mut Vec<bool>,
        mut plots: Option<&mut Plots>,
    ) -> anyhow::Result<()> {
        let (Some(first), Some(last)) = (chunk.first(), chunk.last()) else { return Ok(()) };
        self.span = Some((self.span.map_or(first.at, |(first, _)| first), last.at));
        self.requests += chunk.len() as u64;
        for request in chunk {
            self.offered = self.offered.saturating_add(request.cost);
            self.dispersion.add(request.key, interval(request.at, limit.window().get()), request.cost);
        }
        let keys = self.dispersion.keys();
        room(keys, limit).context("--limit")?;
        for (number, entrant) in entrants.iter_mut().enumerate() {
            entrant.contestant.decide(keys, chunk, verdicts);
            for (request, &admitted) in chunk.iter().zip(verdicts.iter()) {
                entrant.meter.add(request, admitted);
                if let Some(plots) = &mut plots {
                    plots.add(number, request, admitted);
                }
            }
        }
        Ok(())
    }

    /// Intervals of the dispersion from the first to the last request.
    fn intervals(&self, limit: &Limit) -> u64 {
        let number = |at| interval(at, limit.window().get());
        self.span.map_or(0, |(first, last)| number(last) - number(first) + 1)
    }
}

impl Entrant {
    fn row(&self, totals: &Totals, intervals: u64, ideal: u64) -> Row {
        let meter = &self.meter;
        Row {
            name: self.name,
            admitted: meter.admitted,
            of_ideal: (ideal > 0).then(|| meter.admitted as f64 / ideal as f64),
            wrongly_admitted: meter.wrongly_admitted,
            wrongly_refused: meter.wrongly_refused,
            worst: meter.worst,
            fairness: meter.fairness(&totals.dispersion),
            burstiness: meter.dispersion.index(intervals),
            nanos: self.contestant.nanos(),
            bytes: self.contestant.bytes_per_key(),
        }
    }
}

impl Input {
    /// Appends up to a chunk. Returns how far it came, in nanoseconds or bytes; `None`: it has ended.
    fn read(&mut self, chunk: &mut Vec<Request>) -> anyhow::Result<Option<u64>> {
        match self {
            Input::Made(_, requests) => {
                let Some(first) = requests.peek().map(|request| request.at) else { return Ok(None) };
                chunk.extend(requests.take(CHUNK - chunk.len()));
                let reached = requests.peek().map_or(first, |request| request.at);
                Ok(Some(reached - first))
            }
            Input::Recorded(trace) => trace.read(chunk, CHUNK),
        }
    }

    fn progress(&self) -> Progress {
        match self {
            Input::Made(workload, _) => Progress::through(workload.duration()),
            Input::Recorded(trace) => Progress::new(trace.size()),
        }
    }

    /// Lines or requests so far.
    fn count(&self, totals: &Totals) -> u64 {
        match self {
            Input::Made(..) => totals.requests,
            Input::Recorded(trace) => trace.line,
        }
    }

    fn origin(&self) -> u64 {
        match self {
            Input::Made(..) => 0,
            Input::Recorded(trace) => trace.origin(),
        }
    }

    /// From when on the first key is plotted; recorded keys are not.
    fn sight(&self) -> Option<u64> {
        match self {
            Input::Made(workload, _) => Some(workload.sight()),
            Input::Recorded(_) => None,
        }
    }

    fn source(&self, args: &LabArgs) -> Source {
        match self {
            Input::Made(..) => Source::Made {
                workload: args.workload,
                load: args.load,
                seed: args.seed,
                duration: args.duration.get(),
            },
            Input::Recorded(trace) => Source::Recorded {
                name: trace.name().to_owned(),
                origin: trace.origin(),
                failed: trace.failed,
                passed_over: trace.passed_over,
            },
        }
    }
}
