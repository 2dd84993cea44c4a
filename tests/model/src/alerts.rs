//! Alerts.
//!
//! Choices where the contract is silent:
//! * Quotas of plans and routes alert for their registered subject, pool quotas for the pool (subject
//!   null) whoever debits them, anonymous subjects too. `limit` is the name that `limits` shows.
//! * Thresholds are different whole percentages from 1 to 100; `[]` leaves `breached` alone.
//! * `used` is that of the window, without an initial debit, and `limit` the configured number, not
//!   the allowance: grants do not matter. At a limit of 0 any debit (after a grant, or by a settle)
//!   is over every threshold.
//! * A threshold is judged after every debit by an admitted check or reserve, and after a settle that
//!   adds to `used` of the window in which the quota counts.
//! * `breached` is raised by a check or reserve (not a peek) that has the quota among `violated`,
//!   enforced or observed, for the window in which the quota counts at that `now`, if that window is
//!   later than the last that was breached.
//! * The limit changes when an `apply` gives the quota another number, there and back too; then, and
//!   with a change of period, all marks are gone. Other thresholds alone change no marks.
//! * Events come in the order in which they were raised: within a decision or settle in the order of
//!   `limits`. The queue is emptied by `alerts`, `dropped` counts since the last call, and the
//!   model's queue drops nothing; it is no part of a snapshot.

use crate::quota::Quota;
use crate::text::Nanos;
use crate::{Model, Owner, StateId, decide};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// What has been raised for one quota.
#[derive(Clone, Debug, Default)]
pub struct Marks {
    /// The window of the thresholds.
    window: Option<Nanos>,
    fired: BTreeSet<u64>,
    /// The latest window that was breached.
    breached: Option<Nanos>,
}

impl Model {
    /// "a threshold fires at the first debit (check or settle) in a window after which `used x 100 >= t
    /// x limit`, several in ascending order"
    pub(crate) fn crossed(&mut self, state: &StateId, quota: &Quota) {
        if matches!(state.0, Owner::Anonymous(_)) {
            return;
        }
        let (start, used) = (self.spent.quotas[state].start, self.spent.quotas[state].used);
        let marks = self.spent.marks.entry(state.clone()).or_default();
        if marks.window != Some(start) {
            marks.window = Some(start);
            marks.fired.clear();
        }
        let over = |t: &u64| used * 100 >= i128::from(*t) * i128::from(quota.limit);
        let new: Vec<u64> =
            quota.alerts.iter().copied().filter(over).filter(|t| marks.fired.insert(*t)).collect();
        for threshold in new {
            self.raise(state, json!(threshold), start);
        }
    }

    /// "`breached` at the first refusal (or `would_deny`) by that quota"
    pub(crate) fn breached(&mut self, now: Nanos, state: &StateId, quota: &Quota) {
        if matches!(state.0, Owner::Anonymous(_)) {
            return;
        }
        let start = quota.standing(self.spent.quotas.get(state), now).window.start;
        let marks = self.spent.marks.entry(state.clone()).or_default();
        if marks.breached.is_none_or(|last| last < start) {
            marks.breached = Some(start);
            self.raise(state, json!("breached"), start);
        }
    }

    fn raise(&mut self, (owner, id): &StateId, threshold: Value, start: Nanos) {
        let subject = match owner {
            Owner::Registered(name) => Some(name),
            _ => None,
        };
        self.events.push(json!({
            "subject": subject, "plan": id.plan, "limit": decide::shown(id),
            "threshold": threshold, "window_start": decide::nanos(start),
        }));
    }

    /// What was raised since the last call.
    pub(crate) fn alerts(&mut self) -> Value {
        json!({ "events": std::mem::take(&mut self.events), "dropped": 0 })
    }
}
