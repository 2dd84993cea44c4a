//! Interleaved rounds: in each, every contender checks the same streams, so that what happens to the machine happens
//! to all; a figure is the median over rounds, a ratio the median of the ratios within rounds.

use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context;

use crate::cases::{Case, Kind};
use crate::options::Options;
use crate::peers::{Contender, Entry, Limit, Room, START, STEP, Set, Setup};
use crate::report::{Left, Report, Row, Speed};
use crate::workload::{Key, Mix, Workload};
use crate::{latency, memory};

/// Of a stream, one key in so many is checked before the timed part, and not in it.
const WARM: usize = 16;

/// A contender whose keys are all there.
pub struct Built {
    /// Which.
    pub entry: &'static Entry,
    /// What was built.
    pub contender: Box<dyn Contender>,
    /// Where the given time has got to.
    now: AtomicU64,
}

impl Built {
    /// Builds one, makes all keys known, and takes the burst of those that are to be refused; the others may be asked
    /// about `allowance` times.
    ///
    /// # Panics
    /// If a key is not admitted: figures of such a contender would be of something else.
    pub fn new(entry: &'static Entry, workload: &Workload, allowance: u32) -> Built {
        let limit = if workload.mix == Mix::Allowed { Limit::AMPLE } else { Limit::slow(allowance) };
        let contender = (entry.build)(&Setup { keys: workload.keys, room: Room::Planned, limit });
        for number in 0..workload.keys {
            let key = Key::new(number);
            let allowed = match workload.is_drained(number) {
                true => contender.drain(&key, START),
                false => contender.run(&[key], START) == 1,
            };
            // A sketch may have counted another's burst already.
            assert!(allowed || entry.approximate, "{}: key {number} was not admitted", entry.name);
        }
        Built { entry, contender, now: AtomicU64::new(START) }
    }

    /// The next instant, `steps` before the one after.
    pub fn advance(&self, steps: usize) -> u64 {
        self.now.fetch_add(steps as u64 * STEP, Ordering::Relaxed)
    }

    /// What of a stream this contender has the patience for: first the part to be timed, then that before it.
    pub(crate) fn parts<'a>(&self, stream: &'a [Key]) -> (&'a [Key], &'a [Key]) {
        let keys = &stream[..stream.len() / self.entry.patience];
        keys.split_at(keys.len() - keys.len() / WARM)
    }

    /// All streams at once, one a thread: nanoseconds of wall time per check, and the share that was refused.
    pub fn time(&self, streams: &[Vec<Key>]) -> (f64, f64) {
        let now = self.advance(streams[0].len());
        let checks: usize = streams.iter().map(|stream| self.parts(stream).0.len()).sum();
        let barrier = Barrier::new(streams.len());
        let run = |stream: &[Key]| {
            let (timed, warm) = self.parts(stream);
            self.contender.run(warm, now);
            barrier.wait();
            let start = Instant::now();
            let allowed = self.contender.run(timed, now + warm.len() as u64 * STEP);
            (start, Instant::now(), allowed)
        };
        let ran: Vec<_> = match streams {
            [one] => vec![run(one)],
            several => thread::scope(|scope| {
                let run = &run;
                let threads: Vec<_> = several.iter().map(|stream| scope.spawn(move || run(stream))).collect();
                threads.into_iter().map(|thread| thread.join().expect("no contender panics")).collect()
            }),
        };
        let allowed: u64 = ran.iter().map(|(_, _, allowed)| allowed).sum();
        let first = ran.iter().map(|(start, _, _)| *start).min();
        let last = ran.iter().map(|(_, end, _)| *end).max();
        let wall = first.zip(last).map_or(Duration::ZERO, |(first, last)| last - first);
        (wall.as_nanos() as f64 / checks as f64, 1.0 - allowed as f64 / checks as f64)
    }
}

/// Runs cases that share their keys and their mix.
pub(crate) fn run(
    group: &[&'static Case],
    entries: &[&'static Entry],
    options: &Options,
    report: &mut Report,
) -> anyhow::Result<()> {
    let case = group[0];
    let workload = &case.workload;
    let takes_part = |entry: &&&'static Entry| entry.set == case.set || entry.set == Set::Control;
    let (able, unable): (Vec<_>, Vec<_>) =
        entries.iter().filter(takes_part).copied().partition(|entry| entry.can_hold(workload));
    for entry in unable {
        let cases = group.iter().map(|case| case.name).collect();
        report.left.push(Left { peer: entry.name, cases, why: entry.why_not });
    }
    let streams = options.threads().iter().sum::<usize>() * options.rounds() * group.len();
    let allowance = allowance(workload, streams * options.checks())?;
    let mut results: Vec<(&Case, usize, Vec<Row>)> = Vec::new();
    for (number, heat) in heats(&able, workload.keys).iter().enumerate() {
        eprintln!("{} keys, {:?}: filling {} contenders", workload.keys, workload.mix, heat.len());
        let built: Vec<Built> = heat.iter().map(|entry| Built::new(entry, workload, allowance)).collect();
        for case in group.iter().copied() {
            for threads in options.threads() {
                eprintln!("{}, {threads} threads", case.name);
                let streams: Vec<Vec<Key>> = (0..threads as u64)
                    .map(|thread| case.workload.stream(options.checks(), options.seed << 16 | thread))
                    .collect();
                if case.kind == Kind::Latency {
                    latency::run(case, &built, &streams, number > 0, options, report);
                    continue;
                }
                let rows = race(&built, &streams, options.rounds());
                match results.iter_mut().find(|(other, n, _)| (other.name, *n) == (case.name, threads)) {
                    Some((_, _, all)) => Row::merge(all, rows),
                    None => results.push((case, threads, rows)),
                }
            }
        }
    }
    for (case, threads, mut rows) in results {
        rows.sort_by_key(|row| entries.iter().position(|entry| entry.name == row.peer));
        let workload = case.workload;
        report.speeds.push(Speed { case: case.name, workload, threads, checks: options.checks(), rows });
    }
    Ok(())
}

/// How often each key that is not drained may be asked about in so many checks: twice the average, and what chance may
/// add to that.
fn allowance(workload: &Workload, checks: usize) -> anyhow::Result<u32> {
    let average = match workload.mix {
        Mix::Denied => checks / workload.keys as usize,
        Mix::Allowed | Mix::Refused => 0,
    };
    u32::try_from(2 * average + 100).ok().filter(|most| *most <= Limit::MOST_SLOW).with_context(|| {
        format!(
            "--rounds, --threads and --checks: {checks} checks of {} keys, some of which are not to be refused: at \
             most {} here",
            workload.keys,
            u64::from(Limit::MOST_SLOW / 2) * u64::from(workload.keys)
        )
    })
}

/// Every contender in every round, each round beginning with another one.
pub fn race(built: &[Built], streams: &[Vec<Key>], rounds: usize) -> Vec<Row> {
    let mut times: Vec<Vec<(f64, f64)>> = vec![Vec::new(); built.len()];
    for round in 0..rounds {
        for turn in 0..built.len() {
            let at = (turn + round) % built.len();
            times[at].push(built[at].time(streams));
        }
    }
    let baseline =
        |entry: &Entry| built.iter().position(|other| other.entry.baseline && other.entry.time == entry.time);
    built
        .iter()
        .zip(&times)
        .map(|(built, own)| {
            let against = baseline(built.entry).map(|at| &times[at]);
            let ratios = against.map_or(Vec::new(), |against| {
                own.iter().zip(against).map(|(own, against)| own.0 / against.0).collect()
            });
            Row::new(
                built.entry.name,
                own.iter().map(|own| own.0).collect(),
                ratios,
                own.iter().map(|own| own.1),
            )
        })
        .collect()
}

/// Contenders that fit into half of the memory that is there, together; what ratios refer to is always among them.
fn heats(entries: &[&'static Entry], keys: u32) -> Vec<Vec<&'static Entry>> {
    let budget = memory::available().map_or(4 << 30, |bytes| bytes / 2);
    let bytes = |entry: &Entry| entry.bytes_per_key * u64::from(keys);
    let (always, others): (Vec<_>, Vec<_>) =
        entries.iter().copied().partition(|entry| entry.baseline || entry.set == Set::Control);
    let room = budget.saturating_sub(always.iter().map(|entry| bytes(entry)).sum());
    let mut heats = vec![always.clone()];
    let mut taken = 0;
    for entry in others {
        if taken > 0 && taken + bytes(entry) > room {
            heats.push(always.clone());
            taken = 0;
        }
        taken += bytes(entry);
        if let Some(heat) = heats.last_mut() {
            heat.push(entry);
        }
    }
    heats
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peers;

    #[test]
    fn a_slow_limit_can_be_built_for_any_allowance() {
        let workload =
            |keys, mix| Workload { keys, distribution: crate::workload::Distribution::Uniform, mix };
        // Nobody has to be let through where all are refused: however many checks there are.
        assert_eq!(allowance(&workload(1, Mix::Refused), 1 << 40).unwrap(), 100);
        assert_eq!(allowance(&workload(1_000, Mix::Denied), 1_000_000).unwrap(), 2_100);
        let error = allowance(&workload(1_000, Mix::Denied), 8_000_000_000).unwrap_err().to_string();
        assert!(error.contains("--rounds") && error.contains("7344000000"), "{error}");
        for burst in [1, 100, 2_100, 10_000_000, Limit::MOST_SLOW] {
            let setup = Setup { keys: 10, room: Room::Planned, limit: Limit::slow(burst) };
            assert!((peers::named("tollgate").unwrap().build)(&setup).drain(&Key::new(1), START), "{burst}");
        }
    }

    #[test]
    fn contenders_that_do_not_fit_take_turns_and_none_is_left_out() {
        let entries: Vec<_> = peers::ALL.iter().filter(|entry| entry.set == Set::Throttle).collect();
        for keys in [1, 1_000_000, 100_000_000] {
            let heats = heats(&entries, keys);
            for entry in &entries {
                let times = heats.iter().filter(|heat| heat.iter().any(|e| e.name == entry.name)).count();
                assert_eq!(times, if entry.baseline { heats.len() } else { 1 }, "{} of {keys}", entry.name);
            }
        }
        assert_eq!(heats(&entries, 1).len(), 1);
        assert!(heats(&entries, 100_000_000).len() > 1);
    }
}
