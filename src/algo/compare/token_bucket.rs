//! The token bucket: tokens, and when they were counted.

use super::{Algorithm, Limit};
use crate::time::Nanos;

/// A token bucket: `burst` tokens at first, refilled at `limit / window` up to `burst`; a request takes its cost.
///
/// Source: RFC 2697, section 3 (a count that begins at CBS and is incremented CIR times per second up to CBS), refilled,
/// as is usual today, at each admission for the time since the last one.
///
/// Error: none beyond GCRA's, whose decisions it makes, one by one: tokens are whole fractions of a token here, in which
/// the refill of a nanosecond is a whole number. Common implementations keep tokens in floating point, or refill whole
/// tokens and drop the remainder of the time, and drift. It needs two numbers where GCRA needs one.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    /// Units per token; a burst has less than 2^63 units.
    units: u64,
    per_nano: u64,
    full: u64,
}

/// State of a [`TokenBucket`]. The default is a full bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tokens {
    /// Units that are missing from a full bucket.
    missing: u64,
    /// When they were counted, in nanoseconds.
    at: u64,
}

impl Algorithm for TokenBucket {
    type State = Tokens;

    fn new(limit: &Limit) -> TokenBucket {
        let units = limit.rate.nanos();
        TokenBucket { units, per_nano: limit.rate.tokens(), full: limit.burst * units }
    }

    #[inline]
    fn step(&self, state: Tokens, _ring: &mut [u64], now: Nanos, cost: u64) -> Option<Tokens> {
        let elapsed = now.get().saturating_sub(state.at);
        let missing = state.missing.saturating_sub(self.per_nano.saturating_mul(elapsed));
        let missing = cost.checked_mul(self.units).and_then(|units| missing.checked_add(units))?;
        (missing <= self.full).then_some(Tokens { missing, at: now.get().max(state.at) })
    }
}
