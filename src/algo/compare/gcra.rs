//! GCRA as the engine runs it: its own steps, on a level without key or generation.

use super::{Algorithm, Limit};
use crate::algo::gcra::{Bucket, Narrow, Timeline};
use crate::time::Nanos;

/// Numerators of rates up to this keep levels below 2^64 for as long as an origin is used.
const NARROW: u64 = 64;

fn timeline(limit: &Limit) -> Timeline {
    Timeline::new(limit.rate, limit.burst, 0)
}

/// The level after a debit at once.
#[inline]
fn decide(timeline: &Timeline, level: u128, now: Nanos, cost: u64) -> Option<u128> {
    let bucket = Bucket { level, generation: 0 };
    let admits = timeline.admits(bucket, now.get(), cost);
    admits.then(|| timeline.debit(bucket, now.get(), cost).level)
}

/// The generic cell rate algorithm (ITU-T I.371, virtual scheduling), by the engine's own steps, for rates whose
/// numerator in lowest terms (tokens per nanoseconds) is [at most 64](Gcra::fits).
///
/// State: one number, the theoretical arrival time multiplied by the rate. Error: none against its own rule. Against "at
/// most `limit` in any window" it admits up to `burst - 1` more: the bucket is emptied at once and refilled meanwhile.
#[derive(Clone, Debug)]
pub struct Gcra {
    timeline: Timeline,
    /// The engine's short way, for as long as it reaches.
    narrow: Option<Narrow>,
}

impl Gcra {
    /// Whether 64 bits hold every level of this limit, for every instant up to [`LONGEST`](super::LONGEST).
    pub fn fits(limit: &Limit) -> bool {
        limit.rate.tokens() <= NARROW
    }
}

impl Algorithm for Gcra {
    type State = u64;

    fn new(limit: &Limit) -> Gcra {
        let timeline = timeline(limit);
        Gcra { narrow: timeline.narrow(), timeline }
    }

    #[inline]
    fn step(&self, level: u64, _ring: &mut [u64], now: Nanos, cost: u64) -> Option<u64> {
        if let Some(level) = self.narrow.as_ref().and_then(|narrow| narrow.admit(level, now.get(), cost)) {
            return Some(level);
        }
        decide(&self.timeline, level.into(), now, cost).map(|level| u64::try_from(level).unwrap_or(u64::MAX))
    }
}

/// [`Gcra`] for every rate: its level has 128 bits.
#[derive(Clone, Debug)]
pub struct WideGcra(Timeline);

impl Algorithm for WideGcra {
    type State = u128;

    fn new(limit: &Limit) -> WideGcra {
        WideGcra(timeline(limit))
    }

    #[inline]
    fn step(&self, level: u128, _ring: &mut [u64], now: Nanos, cost: u64) -> Option<u128> {
        decide(&self.0, level, now, cost)
    }
}
