//! The limiter algorithms: pure steps over `Copy` state.
//!
//! They know no storage, keys or clocks: a step takes a configuration, a state, an instant and a
//! cost, and answers with how long to wait and the state that a debit would leave.

#[cfg(feature = "lab")]
pub mod compare;
pub(crate) mod concurrency;
pub(crate) mod gcra;
pub(crate) mod quota;
pub(crate) mod rate;

/// When a limit would accept a cost, if nothing else happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Wait {
    /// So many nanoseconds from now; 0: now.
    Nanos(u64),
    /// Never, although the limit could hold the cost.
    Never,
    /// Never: the cost is more than the limit can hold even when full.
    Exceeds,
}

impl Wait {
    pub(crate) const NOW: Wait = Wait::Nanos(0);
}

/// How one limit stands, as callers are told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    /// Burst or quota limit.
    pub limit: u64,
    /// Whole units that could be taken now.
    pub remaining: u64,
    /// Nanoseconds until full again or until the window ends; `None`: never.
    pub reset: Option<u64>,
}

impl Standing {
    pub(crate) const NONE: Standing = Standing { limit: 0, remaining: 0, reset: None };
}
