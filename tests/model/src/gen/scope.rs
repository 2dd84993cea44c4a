//! What scenarios are made of.

/// Which parts of the contract scenarios use, besides the decisions over throttles and quotas,
/// changes of plans and states of keys, which they always do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scope {
    /// Concurrency limits, and `release`.
    pub concurrency: bool,
    /// `reserve`, `settle`, `refund`.
    pub reservations: bool,
    /// `usage`; and what the log means to a change of period, so that the model is to be made
    /// [`with_usage_log`](crate::Model::with_usage_log).
    pub usage: bool,
    /// `grant`.
    pub grants: bool,
    /// `alerts`.
    pub alerts: bool,
    /// `rotate`.
    pub rotation: bool,
    /// `snapshot` and `restore`.
    pub snapshots: bool,
}

impl Scope {
    /// Nothing besides.
    pub const DECISIONS: Scope = Scope {
        concurrency: false,
        reservations: false,
        usage: false,
        grants: false,
        alerts: false,
        rotation: false,
        snapshots: false,
    };

    /// The whole contract.
    pub const EVERYTHING: Scope = Scope {
        concurrency: true,
        reservations: true,
        usage: true,
        grants: true,
        alerts: true,
        rotation: true,
        snapshots: true,
    };

    /// Whether requests are referred to by their ids.
    pub(super) fn ids(self) -> bool {
        self.concurrency || self.reservations
    }
}
