//! An algorithm at work: the states of all keys, and how long its decisions take.

use std::time::Instant;

use tollgate::Nanos;
use tollgate::lab::{
    Algorithm, FixedWindow, Gcra, LeakyBucket, Limit, SlidingCounter, SlidingLog, TokenBucket, WideGcra,
};

use super::Request;
use crate::args::AlgorithmName;

/// Decisions that are timed together: many, beside what reading a clock takes, and yet so few that being interrupted
/// spoils few of them.
const BATCH: usize = 1_024;

/// An algorithm with the states of its keys.
pub(crate) trait Contestant {
    /// Decides requests whose keys are below `keys`, in their order.
    fn decide(&mut self, keys: usize, requests: &[Request], verdicts: &mut Vec<bool>);

    /// Nanoseconds per decision: the median over batches. `None` before the first decision.
    fn nanos(&self) -> Option<f64>;

    /// Of state, and of a log's ring.
    fn bytes_per_key(&self) -> usize;
}

/// The algorithm of that name.
pub(crate) fn contestant(name: AlgorithmName, limit: &Limit) -> Box<dyn Contestant> {
    match name {
        AlgorithmName::Gcra if Gcra::fits(limit) => Box::new(AtWork::<Gcra>::new(limit)),
        AlgorithmName::Gcra => Box::new(AtWork::<WideGcra>::new(limit)),
        AlgorithmName::TokenBucket => Box::new(AtWork::<TokenBucket>::new(limit)),
        AlgorithmName::LeakyBucket => Box::new(AtWork::<LeakyBucket>::new(limit)),
        AlgorithmName::FixedWindow => Box::new(AtWork::<FixedWindow>::new(limit)),
        AlgorithmName::SlidingCounter => Box::new(AtWork::<SlidingCounter>::new(limit)),
        AlgorithmName::SlidingLog => Box::new(AtWork::<SlidingLog>::new(limit)),
    }
}

struct AtWork<A: Algorithm> {
    algorithm: A,
    /// By key.
    states: Vec<A::State>,
    /// By key, `ring` words each.
    rings: Vec<u64>,
    ring: usize,
    /// Nanoseconds per decision of each batch: whole ones, or else the one there is.
    batches: Vec<f64>,
}

impl<A: Algorithm> AtWork<A> {
    fn new(limit: &Limit) -> AtWork<A> {
        let algorithm = A::new(limit);
        let ring = algorithm.ring();
        AtWork { algorithm, states: Vec::new(), rings: Vec::new(), ring, batches: Vec::new() }
    }

    fn batch(&mut self, requests: &[Request], verdicts: &mut [bool]) {
        for (&Request { at, key, cost }, verdict) in requests.iter().zip(verdicts) {
            let key = key as usize;
            let state = &mut self.states[key];
            let ring = &mut self.rings[key * self.ring..][..self.ring];
            if let Some(next) = self.algorithm.step(*state, ring, Nanos::new(at), cost) {
                *state = next;
                *verdict = true;
            }
        }
    }
}

impl<A: Algorithm> Contestant for AtWork<A> {
    fn decide(&mut self, keys: usize, requests: &[Request], verdicts: &mut Vec<bool>) {
        if keys > self.states.len() {
            self.states.resize(keys, A::State::default());
            self.rings.resize(keys * self.ring, 0);
        }
        verdicts.clear();
        verdicts.resize(requests.len(), false);
        for (requests, verdicts) in requests.chunks(BATCH).zip(verdicts.chunks_mut(BATCH)) {
            let start = Instant::now();
            self.batch(requests, verdicts);
            let nanos = start.elapsed().as_nanos() as f64 / requests.len() as f64;
            if requests.len() == BATCH || self.batches.is_empty() {
                self.batches.push(nanos);
            }
        }
    }

    fn nanos(&self) -> Option<f64> {
        let mut sorted = self.batches.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    fn bytes_per_key(&self) -> usize {
        size_of::<A::State>() + self.ring * size_of::<u64>()
    }
}
