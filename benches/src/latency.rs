//! The time of every single check.
//!
//! A thread reads the processor's cycle counter after each check, so that an interval is one check, one reading and
//! the fetching of the next key. What the latter two cost is the control's figure: it is said, not subtracted.

use std::sync::Barrier;
use std::thread;

use hdrhistogram::Histogram;
use quanta::Clock;

use crate::cases::Case;
use crate::options::Options;
use crate::peers::STEP;
use crate::report::{Latency, Percentiles, Report};
use crate::runner::Built;
use crate::workload::Key;

/// Of times in nanoseconds, to three digits. What takes more than a minute counts as a minute.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("valid bounds")
}

/// Adds the intervals between readings.
pub(crate) fn add(histogram: &mut Histogram<u64>, clock: &Clock, readings: &[u64]) {
    for pair in readings.windows(2) {
        histogram.saturating_record(clock.delta_as_nanos(pair[0], pair[1]));
    }
}

/// Runs a case; `again` if it was begun with other contenders.
pub(crate) fn run(
    case: &Case,
    built: &[Built],
    streams: &[Vec<Key>],
    again: bool,
    options: &Options,
    report: &mut Report,
) {
    let clock = Clock::new();
    let mut histograms: Vec<_> = built.iter().map(|_| histogram()).collect();
    for round in 0..options.rounds() {
        for turn in 0..built.len() {
            let at = (turn + round) % built.len();
            for readings in readings(&built[at], streams, &clock) {
                add(&mut histograms[at], &clock, &readings);
            }
        }
    }
    for (built, histogram) in built.iter().zip(&histograms) {
        let name = built.entry.name;
        if again && report.latencies.iter().any(|row| (row.case, row.peer) == (case.name, name)) {
            continue;
        }
        let times = Percentiles::of(histogram);
        report.latencies.push(Latency { case: case.name, threads: streams.len(), peer: name, times });
    }
}

/// What the clock said after each check, by thread.
fn readings(built: &Built, streams: &[Vec<Key>], clock: &Clock) -> Vec<Vec<u64>> {
    let now = built.advance(streams[0].len());
    let barrier = Barrier::new(streams.len());
    let run = |stream: &[Key]| {
        let (timed, warm) = built.parts(stream);
        // Touched, so that no interval has a page fault of ours.
        let mut readings = vec![1; timed.len() + 1];
        built.contender.run(warm, now);
        barrier.wait();
        let now = now + warm.len() as u64 * STEP;
        built.contender.clocked(&mut timed.iter().copied(), now, clock, &mut readings);
        readings
    };
    match streams {
        [one] => vec![run(one)],
        several => thread::scope(|scope| {
            let run = &run;
            let threads: Vec<_> = several.iter().map(|stream| scope.spawn(move || run(stream))).collect();
            threads.into_iter().map(|thread| thread.join().expect("no contender panics")).collect()
        }),
    }
}
