//! The fixed window: one counter, from 0 again in every window.

use super::{Algorithm, Limit};
use crate::time::Nanos;

/// A counter per window; windows begin at the multiples of `window` from the origin.
///
/// Source: common practice, such as Redis' documentation of `INCR` ("Pattern: Rate limiter").
///
/// Error: what ends one window and what begins the next are counted apart, so that up to twice the limit comes at
/// once around the boundary. Refusals are never wrong: the window so far is part of the window before any instant.
#[derive(Clone, Debug)]
pub struct FixedWindow {
    limit: u64,
    window: u64,
}

/// State of a [`FixedWindow`]. The default has counted nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WindowCount {
    /// The window's number.
    window: u64,
    count: u64,
}

impl Algorithm for FixedWindow {
    type State = WindowCount;

    fn new(limit: &Limit) -> FixedWindow {
        FixedWindow { limit: limit.limit, window: limit.window }
    }

    #[inline]
    fn step(&self, state: WindowCount, _ring: &mut [u64], now: Nanos, cost: u64) -> Option<WindowCount> {
        let window = (now.get() / self.window).max(state.window);
        let before = if window == state.window { state.count } else { 0 };
        let count = before.checked_add(cost)?;
        (count <= self.limit).then_some(WindowCount { window, count })
    }
}
