//! GCRA and the algorithms that are used in its place, behind one trait, to be run over the same trace.
//!
//! `tollgate lab` is the program for it. The engine itself decides by [`Gcra`] alone.
//!
//! # One limit, six algorithms
//!
//! A [`Limit`] is `limit` per `window`, and a `burst`, which is the limit unless it is given. What that comes to:
//!
//! | algorithm | what it holds to | most in any window |
//! | --- | --- | --- |
//! | [`SlidingLog`] | at most `limit` in any window | `limit` |
//! | [`SlidingCounter`] | the same, by an estimate from two counters | below `2 limit` |
//! | [`FixedWindow`] | at most `limit` in each window that begins at a multiple of `window` | `2 limit` |
//! | [`Gcra`], [`TokenBucket`] | a rate of `limit / window`, and `burst` at once | below `burst + limit` |
//! | [`LeakyBucket`] | the same, drained in whole tokens | `burst + limit` |
//!
//! "Any window" is any half-open interval `[t, t + window)`. Windows know no burst: `limit` may come at once. Buckets
//! know no window: `burst` at once, then the rate. One that must never admit more than `limit` in any window needs
//! `burst + rate * window <= limit`, so a lower rate than `limit / window`: `burst` trades bursts for throughput.
//!
//! # The ideal
//!
//! [`SlidingLog`] admits whenever that leaves no window with more than the limit. For requests that cost 1 no schedule
//! with that property admits more, not even one that knows the future: the schedule's k-th admission is no earlier
//! than its (k-1)-th and a window later than its (k-n)-th, n being the limit, and so, by induction, no earlier than the
//! log's k-th, which comes at the first request for which both hold. It is therefore what the others are measured by.
//! (Where costs differ, knowing the future can help, as in packing.)
//!
//! # Steps
//!
//! Instants are counted from an origin that is at most [`LONGEST`] before them, and never go back for one state: an
//! instant before the last one is harmless, but not exact.
//!
//! ```
//! use tollgate::Nanos;
//! use tollgate::lab::{Algorithm, Gcra, Limit};
//!
//! let gcra = Gcra::new(&Limit::new(2, Nanos::from_secs(1), None)?);
//! let state = Default::default();
//! let state = gcra.step(state, &mut [], Nanos::ZERO, 2).expect("a burst of 2");
//! assert!(gcra.step(state, &mut [], Nanos::new(499_999_999), 1).is_none());
//! assert!(gcra.step(state, &mut [], Nanos::new(500_000_000), 1).is_some());
//! # Ok::<(), tollgate::LimitError>(())
//! ```

mod fixed_window;
mod gcra;
mod leaky_bucket;
mod sliding_counter;
mod sliding_log;
mod token_bucket;

use super::gcra::MAX_FILL;
use super::rate::Rate;
use crate::error::LimitError;
use crate::time::Nanos;

pub use fixed_window::{FixedWindow, WindowCount};
pub use gcra::{Gcra, WideGcra};
pub use leaky_bucket::{Drained, LeakyBucket};
pub use sliding_counter::{SlidingCounter, TwoCounts};
pub use sliding_log::SlidingLog;
pub use token_bucket::{TokenBucket, Tokens};

/// The latest instant that the algorithms are exact for: four years.
pub const LONGEST: Nanos = Nanos::from_secs(4 * 31_557_600);

const MOST: u64 = 1_000_000;
const SHORTEST_WINDOW: u64 = 1_000_000;
const LONGEST_WINDOW: u64 = 30 * 86_400_000_000_000;

/// `limit` per `window`, and a `burst`. See [`lab`](self) for what each algorithm makes of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limit {
    limit: u64,
    window: u64,
    burst: u64,
    /// `limit / window` in lowest terms.
    rate: Rate,
}

impl Limit {
    /// `limit` (1 to 1,000,000) per `window` (1 ms to 30 d); `burst` (1 to 1,000,000) is the limit unless it is given.
    ///
    /// # Errors
    /// A number out of range, or a burst that takes more than 180 days to refill or has 2^63 or more of the rate's
    /// fractions of a token, the last only where limit and window have few common divisors.
    pub fn new(limit: u64, window: Nanos, burst: Option<u64>) -> Result<Limit, LimitError> {
        let (window, burst) = (window.get(), burst.unwrap_or(limit));
        if !(1..=MOST).contains(&limit) {
            return Err(LimitError::Limit(limit));
        }
        if !(SHORTEST_WINDOW..=LONGEST_WINDOW).contains(&window) {
            return Err(LimitError::Per(window));
        }
        if !(1..=MOST).contains(&burst) {
            return Err(LimitError::Burst(burst));
        }
        // Below 2^54: a window has at least as many nanoseconds as a limit can have tokens.
        let most = u128::from(MAX_FILL) * u128::from(limit) / u128::from(window);
        if u128::from(burst) > most {
            return Err(LimitError::Slow { burst, most: most as u64 });
        }
        // Cannot fail: the limit is at most one per nanosecond, and both are far below what rates can have.
        let rate = Rate::per_nanos(limit, window).map_err(|_| LimitError::Limit(limit))?;
        let most = i64::MAX as u64 / rate.nanos();
        if burst > most {
            return Err(LimitError::Precise { burst, rate: rate.to_string(), most });
        }
        Ok(Limit { limit, window, burst, rate })
    }

    /// How many per window.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How long a window is.
    pub fn window(&self) -> Nanos {
        Nanos::new(self.window)
    }

    /// How many at once, for buckets.
    pub fn burst(&self) -> u64 {
        self.burst
    }

    /// `limit / window`.
    pub fn rate(&self) -> Rate {
        self.rate
    }
}

/// An algorithm under one limit: a pure step over `Copy` state.
pub trait Algorithm {
    /// What is kept per key. The default is that of a key that was never seen.
    type State: Copy + Default;

    /// The algorithm under `limit`.
    fn new(limit: &Limit) -> Self;

    /// Words of memory that a key needs besides its state, all 0 at first: the ring of a log.
    fn ring(&self) -> usize {
        0
    }

    /// The state after `cost` was admitted at `now`; `None` if it is refused, which changes nothing, not the ring either.
    /// `ring` is the key's own, of the length that [`ring`](Algorithm::ring) says.
    fn step(&self, state: Self::State, ring: &mut [u64], now: Nanos, cost: u64) -> Option<Self::State>;
}
