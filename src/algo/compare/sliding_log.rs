//! The sliding-window log: the instants of the last `limit` tokens.

use super::{Algorithm, Limit};
use crate::time::Nanos;

/// The instants of the last `limit` tokens that were admitted, in a ring: a token is free again a window after its instant.
///
/// Source: common practice, such as a sorted set per key in Redis. A ring of the last `limit` is enough of a log, since
/// nothing before them can matter.
///
/// Error: none; see [the ideal](super#the-ideal). Its price is memory: 8 bytes for each token of the limit, per key.
#[derive(Clone, Debug)]
pub struct SlidingLog {
    limit: u64,
    window: u64,
}

impl Algorithm for SlidingLog {
    /// The position in the ring that is written next: that of the oldest token.
    type State = u32;

    fn new(limit: &Limit) -> SlidingLog {
        SlidingLog { limit: limit.limit, window: limit.window }
    }

    fn ring(&self) -> usize {
        // At most a million.
        self.limit as usize
    }

    /// The ring holds the instants at which its tokens are free again, in ascending order from the position on; 0 for those
    /// that were never taken. A ring of another length than [`ring`](Algorithm::ring) says is as if the limit were so.
    #[inline]
    fn step(&self, next: u32, ring: &mut [u64], now: Nanos, cost: u64) -> Option<u32> {
        let size = ring.len();
        let cost = usize::try_from(cost).ok().filter(|&cost| cost <= size)?;
        let mut at = next as usize;
        if cost == 0 || at >= size {
            return (cost == 0).then_some(next);
        }
        let wrapped = |at: usize| if at >= size { at - size } else { at };
        // If the last of those that it takes is free, so are those before it.
        if ring[wrapped(at + cost - 1)] > now.get() {
            return None;
        }
        let free = now.get().saturating_add(self.window);
        for _ in 0..cost {
            ring[at] = free;
            at = wrapped(at + 1);
        }
        Some(at as u32)
    }
}
