//! The sliding-window counter: two fixed windows, weighed.

use super::{Algorithm, Limit};
use crate::time::Nanos;

/// The counts of this fixed window and the one before; of the latter counts the part that a sliding window still overlaps.
///
/// Source: J. Desgats, "How we built rate limiting capable of scaling to millions of domains", Cloudflare, 2017:
/// 42 in the minute before and 18 in the first 15 s of this one are `42 * (60 - 15) / 60 + 18 = 49.5`. Only what was
/// admitted is counted here.
///
/// Error: it takes the window before for evenly filled. If that was full only towards its end, up to `2 limit - 1` come
/// in one window; if only at its beginning, requests are refused although the window before them has room.
#[derive(Clone, Debug)]
pub struct SlidingCounter {
    limit: u64,
    window: u64,
}

/// State of a [`SlidingCounter`]. The default has counted nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TwoCounts {
    /// The number of the window that `count` belongs to.
    window: u64,
    count: u32,
    /// Of the window before.
    before: u32,
}

impl Algorithm for SlidingCounter {
    type State = TwoCounts;

    fn new(limit: &Limit) -> SlidingCounter {
        SlidingCounter { limit: limit.limit, window: limit.window }
    }

    #[inline]
    fn step(&self, state: TwoCounts, _ring: &mut [u64], now: Nanos, cost: u64) -> Option<TwoCounts> {
        let (window, passed) = (now.get() / self.window, now.get() % self.window);
        let (before, count) = match window.saturating_sub(state.window) {
            0 => (state.before, state.count),
            1 => (state.count, 0),
            _ => (0, 0),
        };
        // At most the limit, which is below 2^32, if it is admitted.
        let count = u32::try_from(cost.checked_add(count.into())?).ok()?;
        // Counts in units of 1/window, exactly.
        let estimate = u128::from(before) * u128::from(self.window - passed)
            + u128::from(count) * u128::from(self.window);
        (estimate <= u128::from(self.limit) * u128::from(self.window)).then_some(TwoCounts {
            window: window.max(state.window),
            count,
            before,
        })
    }
}
