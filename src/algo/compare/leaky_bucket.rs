//! The leaky bucket as a meter: a counter that is decremented periodically.

use super::{Algorithm, Limit};
use crate::time::Nanos;

/// A leaky bucket: a request adds its cost to a counter, which is decremented `limit` times per `window` and refuses what
/// would take it above `burst`.
///
/// Source: J. Turner, "New Directions in Communications (or Which Way to the Information Age?)", 1986: a counter "is
/// incremented whenever the user sends a packet and is decremented periodically". It is a meter: nothing waits in it. The
/// leaky bucket that is a queue is a shaper, whose output has no bursts at all, at the price of delays.
///
/// Error: the decrements come at the same instants for all, so a key may meet one right after it has filled the
/// bucket: in any interval at most one token more than GCRA, never adding up. For requests that come at those
/// instants its decisions are those of GCRA and the token bucket.
#[derive(Clone, Debug)]
pub struct LeakyBucket {
    limit: u64,
    window: u64,
    burst: u64,
}

/// State of a [`LeakyBucket`]. The default is an empty one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Drained {
    count: u64,
    /// Decrements since the origin that `count` knows.
    decrements: u64,
}

impl LeakyBucket {
    /// Decrements from the origin to `now`, inclusive: number k comes at `k * window / limit`.
    fn decrements(&self, now: Nanos) -> u64 {
        let tokens = u128::from(now.get()) * u128::from(self.limit) / u128::from(self.window);
        // A limit is at most one per nanosecond.
        tokens as u64
    }
}

impl Algorithm for LeakyBucket {
    type State = Drained;

    fn new(limit: &Limit) -> LeakyBucket {
        LeakyBucket { limit: limit.limit, window: limit.window, burst: limit.burst }
    }

    #[inline]
    fn step(&self, state: Drained, _ring: &mut [u64], now: Nanos, cost: u64) -> Option<Drained> {
        let decrements = self.decrements(now).max(state.decrements);
        let count = state.count.saturating_sub(decrements - state.decrements).checked_add(cost)?;
        (count <= self.burst).then_some(Drained { count, decrements })
    }
}
