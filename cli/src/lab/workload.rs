//! Requests made in virtual time, one after the other, from a seeded generator.
//!
//! The same options and seed give the same requests everywhere: the generator is ChaCha8, draws are made in the order
//! of the requests, and the distributions need no mathematics of the platform's.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use anyhow::bail;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Exp1, Poisson, Uniform};
use tollgate::lab::{LONGEST, Limit};

use super::Request;
use crate::args::{LabArgs, WorkloadName};

/// How much denser than their mean the requests of a burst are.
const DENSITY: f64 = 20.0;

/// A flash crowd begins after this part of the time,
const CROWD_START: f64 = 1.0 / 3.0;
/// multiplies the requests by this,
const CROWD_HEIGHT: f64 = 20.0;
/// and fades by a factor of e in this part.
const CROWD_FADE: f64 = 0.1;
/// The mean of a flash crowd over its time, as a multiple of the time before it. The number is `e^(-20/3)`: what is
/// left of it at the end.
const CROWD_MEAN: f64 = 1.0 + (CROWD_HEIGHT - 1.0) * CROWD_FADE * (1.0 - 0.001_272_633_801);

/// Closest mean distance of requests, in nanoseconds, at which whole nanoseconds are still fine enough.
const CLOSEST: f64 = 10.0;

/// What is to be made.
#[derive(Clone, Debug)]
pub(crate) struct Workload {
    kind: WorkloadName,
    keys: u32,
    duration: u64,
    /// Mean time between two requests of a key, in nanoseconds.
    gap: f64,
    /// Requests of a burst.
    burst: u64,
    seed: u64,
}

/// A stream of a key's requests.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Stream {
    Steady,
    Random,
    Burst,
    Crowd,
}

/// Makes the requests of a [`Workload`], in order of time, ties in order of keys.
pub(crate) struct Requests {
    workload: Workload,
    rng: ChaCha8Rng,
    next: BinaryHeap<Reverse<(u64, u32, Stream)>>,
    /// By key: requests made (steady), left in its burst, or left of the crowd.
    counts: Vec<u64>,
}

impl Workload {
    /// # Errors
    /// Options out of range.
    pub(crate) fn new(args: &LabArgs, limit: &Limit) -> anyhow::Result<Workload> {
        let duration = args.duration.get();
        if duration == 0 || args.duration > LONGEST {
            bail!("--duration: {duration} ns is out of range: above 0, at most 1461d");
        }
        let gap = limit.window().get() as f64 / (limit.limit() as f64 * args.load);
        let closest = if args.workload == WorkloadName::Poisson || args.workload == WorkloadName::Steady {
            CLOSEST
        } else {
            CLOSEST * DENSITY
        };
        if gap < closest {
            bail!(
                "--load: {} would put requests of a key less than {CLOSEST} ns apart: at most {} at this limit",
                args.load,
                limit.window().get() as f64 / (limit.limit() as f64 * closest)
            );
        }
        Ok(Workload {
            kind: args.workload,
            keys: args.keys,
            duration,
            gap,
            burst: limit.limit(),
            seed: args.seed,
        })
    }

    pub(crate) fn duration(&self) -> u64 {
        self.duration
    }

    /// An instant at which there is something to see.
    pub(crate) fn sight(&self) -> u64 {
        match self.kind {
            WorkloadName::FlashCrowd => (self.duration as f64 * CROWD_START) as u64,
            _ => 0,
        }
    }

    pub(crate) fn requests(&self) -> Requests {
        Requests::new(self.clone())
    }

    /// Mean time from the end of a burst to the next.
    fn pause(&self) -> f64 {
        self.gap * self.burst as f64 - self.gap / DENSITY * (self.burst - 1) as f64
    }

    fn fade(&self) -> f64 {
        self.duration as f64 * CROWD_FADE
    }
}

impl Requests {
    fn new(workload: Workload) -> Requests {
        let rng = ChaCha8Rng::seed_from_u64(workload.seed);
        let counts = vec![0; workload.keys as usize];
        let mut requests = Requests { workload, rng, next: BinaryHeap::new(), counts };
        for key in 0..requests.workload.keys {
            requests.begin(key);
        }
        requests
    }

    fn begin(&mut self, key: u32) {
        match self.workload.kind {
            WorkloadName::Steady => {
                // The gap is at least 10 ns, so that the range is not empty.
                let phase =
                    Uniform::new(0.0, self.workload.gap).map_or(0.0, |range| range.sample(&mut self.rng));
                self.push(phase as u64, key, Stream::Steady);
            }
            WorkloadName::Poisson => self.after(0, self.workload.gap, key, Stream::Random),
            WorkloadName::Bursts => {
                self.counts[key as usize] = self.workload.burst;
                self.after(0, self.workload.pause(), key, Stream::Burst);
            }
            WorkloadName::FlashCrowd => {
                let gap = self.workload.gap * CROWD_MEAN;
                self.after(0, gap, key, Stream::Random);
                // Those of the crowd are a random number, each with a delay of its own: made in order, the next of n
                // comes in a mean of 1/n of the fade.
                let mean = (CROWD_HEIGHT - 1.0) * self.workload.fade() / gap;
                let crowd = Poisson::new(mean).map_or(0.0, |number| number.sample(&mut self.rng)) as u64;
                self.counts[key as usize] = crowd;
                let start = (self.workload.duration as f64 * CROWD_START) as u64;
                if crowd > 0 {
                    self.after(start, self.workload.fade() / crowd as f64, key, Stream::Crowd);
                }
            }
        }
    }

    fn push(&mut self, at: u64, key: u32, stream: Stream) {
        if at < self.workload.duration {
            self.next.push(Reverse((at, key, stream)));
        }
    }

    /// At a random time after `at`, of this mean.
    fn after(&mut self, at: u64, mean: f64, key: u32, stream: Stream) {
        let gap: f64 = Exp1.sample(&mut self.rng);
        self.push(at.saturating_add((gap * mean).round() as u64), key, stream);
    }
}

impl Iterator for Requests {
    type Item = Request;

    fn next(&mut self) -> Option<Request> {
        let Reverse((at, key, stream)) = self.next.pop()?;
        let gap = self.workload.gap;
        let count = self.counts[key as usize];
        match stream {
            Stream::Steady => {
                // The phase is found again: what has passed before was a whole number of gaps, rounded down.
                let phase = at - (count as f64 * gap) as u64;
                self.counts[key as usize] += 1;
                self.push(phase + ((count + 1) as f64 * gap) as u64, key, stream);
            }
            Stream::Random => {
                let gap = if self.workload.kind == WorkloadName::FlashCrowd { gap * CROWD_MEAN } else { gap };
                self.after(at, gap, key, stream);
            }
            Stream::Burst if count > 1 => {
                self.counts[key as usize] -= 1;
                self.push(at + (gap / DENSITY).round() as u64, key, stream);
            }
            Stream::Burst => {
                self.counts[key as usize] = self.workload.burst;
                self.after(at, self.workload.pause(), key, stream);
            }
            Stream::Crowd => {
                self.counts[key as usize] -= 1;
                if count > 1 {
                    self.after(at, self.workload.fade() / (count - 1) as f64, key, stream);
                }
            }
        }
        Some(Request { at, key, cost: 1 })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Args, Command};
    use clap::Parser;

    const SECOND: u64 = 1_000_000_000;

    fn workload(options: &str) -> anyhow::Result<(Workload, Limit)> {
        let line = format!("tollgate lab {options}");
        let Some(Command::Lab(args)) = Args::try_parse_from(line.split(' '))?.command else {
            panic!("{options}")
        };
        let limit = Limit::new(args.limit, args.per, args.burst)?;
        Ok((Workload::new(&args, &limit)?, limit))
    }

    fn requests(options: &str) -> Vec<Request> {
        workload(options).unwrap().0.requests().collect()
    }

    const KINDS: [&str; 4] = ["steady", "poisson", "bursts", "flash-crowd"];

    #[test]
    fn requests_come_in_order_and_as_many_as_the_load_says() {
        for kind in KINDS {
            // 50 keys at 0.8 * 100/s for 40 s: 160,000.
            let made = requests(&format!("--workload {kind} --keys 50 --load 0.8 --duration 40s"));
            assert!(made.is_sorted_by_key(|request| (request.at, request.key)), "{kind}");
            assert!(
                made.iter().all(|request| request.at < 40 * SECOND && request.key < 50 && request.cost == 1)
            );
            let off = made.len() as f64 / 160_000.0 - 1.0;
            // One seed, so no chance here: bursts of 100 vary most.
            assert!(off.abs() < 0.03, "{kind}: {off}");
            let by_key = |key| made.iter().filter(|request| request.key == key).count();
            assert!((0..50).all(|key| by_key(key) > 1_500), "{kind}");
        }
    }

    #[test]
    fn a_seed_makes_the_same_requests_and_another_makes_others() {
        for kind in KINDS {
            let of = |seed: u64| requests(&format!("--workload {kind} --keys 3 --duration 5s --seed {seed}"));
            assert_eq!(of(7), of(7), "{kind}");
            assert_ne!(of(7), of(8), "{kind}");
        }
    }

    #[test]
    fn steady_requests_are_equally_far_apart() {
        let made = requests("--workload steady --keys 1 --limit 7 --load 1 --duration 100s");
        assert_eq!(made.len(), 700);
        let phase = made[0].at;
        for (n, request) in (0u64..).zip(&made) {
            let exact = u128::from(n) * u128::from(SECOND) / 7;
            assert!((request.at - phase).abs_diff(exact as u64) <= 1, "{n}");
        }
    }

    #[test]
    fn a_burst_is_the_limit_within_a_twentieth_of_its_time() {
        let made = requests("--workload bursts --keys 1 --limit 10 --load 1 --duration 100s");
        // A mean of 1 s from burst to burst, so 5 ms from request to request.
        for burst in made.chunks(10) {
            assert!(burst.windows(2).all(|pair| pair[1].at - pair[0].at == SECOND / 10 / 20));
        }
    }

    #[test]
    fn a_crowd_comes_after_a_third_of_the_time_and_fades() {
        let made = requests("--workload flash-crowd --keys 100 --load 1 --duration 30s");
        let within = |from: u64, to: u64| {
            made.iter().filter(|request| (from * SECOND..to * SECOND).contains(&request.at)).count() as f64
        };
        let before = within(0, 10) / 10.0;
        // The mean over the first second of 1 + 19 exp(-t / 3 s), and what is left between the last two.
        assert!((within(10, 11) / before - 17.16).abs() < 1.0, "{}", within(10, 11) / before);
        assert!((within(29, 30) / before - 1.03).abs() < 0.1, "{}", within(29, 30) / before);
    }

    #[test]
    fn the_tail_of_a_crowd_is_the_number_it_is_said_to_be() {
        assert!(((-20.0f64 / 3.0).exp() - 0.001_272_633_801).abs() < 1e-12);
    }

    #[test]
    fn what_cannot_be_made_is_refused() {
        let error = |options: &str| workload(options).unwrap_err().to_string();
        assert!(error("--duration 0s").starts_with("--duration: 0 ns"));
        assert!(error("--duration 1462d").contains("at most 1461d"));
        let most = error("--limit 1000000 --per 1ms --load 2");
        assert!(most.starts_with("--load: 2 would") && most.contains("at most 0.1 "), "{most}");
        assert!(workload("--limit 1000000 --per 1ms --load 0.1").is_ok());
    }
}
