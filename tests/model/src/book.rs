//! Reserve, settle, refund, release: what is known of admitted requests by their ids.
//!
//! Choices where the contract is silent:
//! * An id is live as long as it is known: open, settled, refunded or released. It belongs to the
//!   engine, not to a subject. A `check` or `reserve` with a live id is an error before anything
//!   else is looked at (the key, say); a `peek` ignores its id. An id that was refused, by a key's
//!   state or by a would-be refusal under `observe` too, may be used again.
//! * A check's id is `unknown_id` to `settle` at all times, also after its refund.
//! * `reserve` needs `id` and `ttl`, `settle` needs `actual`; with a ttl of 0 every settle at or after
//!   the reservation's `now` is `late`, and a settle at an earlier `now` is `settled`. The instant of a
//!   refund does not matter.
//! * A settle or refund concerns the throttles and quotas that applied when the request was admitted,
//!   whatever plan, subject or key has become of them: limits added since are not charged.
//! * A throttle's overrun is a debit at the settle's `now`; so is that of a throttle that the
//!   reservation cost nothing. One that its plan does not have any more is adjusted as well.
//! * "If the window that was debited is still current": if the window in which the quota counts at
//!   the settle's `now` (that of `now`, or a newer one that was debited) is the one that was debited.
//!   A quota that its plan does not have at the moment is adjusted like any other, in windows of its
//!   last period, but has no allowance: it does not count for `overdraft`; and one that the
//!   reservation did not debit is then not charged.
//! * A change of period takes a debit along with the count that it is part of: where the old count
//!   stays, the debits of its open window go into the new window with it; where the sum of rows takes
//!   its place, the debits whose rows are in the sum are current, and no others.
//! * `overdraft` is of the quotas whose `used` the settle changed: an actual cost that equals the
//!   reserved one adjusts nothing.
//! * The first `release` is `released`, whether or not a slot was still held (a lease may have ended,
//!   no concurrency limit may apply); after a release, settle or refund it is `already_released`. A
//!   release does not stand in the way of a settle or refund.
//! * The model's book is not bounded.

use crate::cost::Cost;
use crate::decide;
use crate::quota::Quota;
use crate::text::{Nanos, whole};
use crate::{Consumption, Kind, LimitId, Model, StateId};
use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::{Value, json};

/// An admitted request.
#[derive(Clone, Debug)]
pub struct Entry {
    /// By which its slots are known.
    request: u64,
    /// Of a reservation: from when on a settle is late.
    late_from: Option<Nanos>,
    /// Settled or refunded.
    closed: bool,
    released: bool,
    /// Every throttle and quota that applied, in the order of `limits`.
    pub parts: Vec<Part>,
    /// Where it took slots.
    pub slots: Vec<StateId>,
}

/// What a request debited on one limit.
#[derive(Clone, Debug)]
pub struct Part {
    pub state: StateId,
    /// 0: nothing was debited.
    pub cost: u64,
    /// Of a quota that was debited.
    pub debit: Option<Debit>,
}

/// Where a quota was debited.
#[derive(Clone, Copy, Debug)]
pub struct Debit {
    /// The start of the window, as long as the quota may still count in it.
    pub window: Option<Nanos>,
    /// The row of the usage log.
    pub row: Option<NaiveDate>,
}

impl Entry {
    /// A request that has debited nothing yet.
    pub fn new(request: u64, late_from: Option<Nanos>) -> Entry {
        Entry { request, late_from, closed: false, released: false, parts: vec![], slots: vec![] }
    }
}

impl Consumption {
    /// "it frees the slot"
    fn free(&mut self, entry: &Entry) {
        for state in &entry.slots {
            if let Some(slots) = self.slots.get_mut(state) {
                slots.retain(|slot| slot.request != entry.request);
            }
        }
    }

    fn close(&mut self, id: &str, mut entry: Entry) {
        self.free(&entry);
        (entry.closed, entry.released) = (true, true);
        self.book.insert(id.to_owned(), entry);
    }

    /// Every debit of a quota that some id stands for.
    pub fn debits_of<'a>(&'a mut self, state: &'a StateId) -> impl Iterator<Item = &'a mut Debit> {
        let parts = self.book.values_mut().flat_map(|entry| &mut entry.parts);
        parts.filter(move |part| part.state == *state).filter_map(|part| part.debit.as_mut())
    }
}

impl Model {
    /// "a live id used again is an error"
    pub(crate) fn unused(&self, id: Option<&str>) -> Result<(), String> {
        match id.filter(|id| self.spent.book.contains_key(*id)) {
            Some(id) => Err(format!("id {id:?} is in use")),
            None => Ok(()),
        }
    }

    /// "in both cases the cost becomes the actual one"
    pub(crate) fn settle(&mut self, now: Nanos, id: &str, actual: &Cost) -> Value {
        let found = self.spent.book.get(id).and_then(|entry| Some((entry.late_from?, entry.clone())));
        let Some((late_from, entry)) = found else {
            return json!({ "status": "unknown_id" });
        };
        if entry.closed {
            return json!({ "status": "already_settled" });
        }
        let over = self.adjust_all(now, &entry, |limit| actual.of(&limit.unit));
        self.spent.close(id, entry);
        let status = if now < late_from { "settled" } else { "late" };
        json!({ "status": status, "overdraft": decide::nanos(over.into_iter().fold(0, i128::max)) })
    }

    /// "returns everything, once"
    pub(crate) fn refund(&mut self, now: Nanos, id: &str) -> Value {
        let Some(entry) = self.spent.book.get(id).cloned() else {
            return json!({ "status": "unknown_id" });
        };
        if entry.closed {
            return json!({ "status": "already_settled" });
        }
        self.adjust_all(now, &entry, |_| 0);
        self.spent.close(id, entry);
        json!({ "status": "refunded" })
    }

    /// "it frees the slot and returns no cost"
    pub(crate) fn release(&mut self, id: &str) -> Value {
        let Some(entry) = self.spent.book.get_mut(id) else {
            return json!({ "status": "unknown_id" });
        };
        if entry.released {
            return json!({ "status": "already_released" });
        }
        entry.released = true;
        let entry = entry.clone();
        self.spent.free(&entry);
        json!({ "status": "released" })
    }

    /// Makes the costs of a request other ones. The answers are `used - allowance` of the quotas
    /// adjusted in their current window.
    fn adjust_all(&mut self, now: Nanos, entry: &Entry, cost: impl Fn(&LimitId) -> u64) -> Vec<i128> {
        let mut over = Vec::new();
        for part in &entry.parts {
            let actual = cost(&part.state.1);
            if part.state.1.kind == Kind::Throttle {
                self.adjust_throttle(now, part, actual);
            } else {
                over.extend(self.adjust_quota(now, part, actual));
            }
        }
        over
    }

    fn adjust_throttle(&mut self, now: Nanos, part: &Part, actual: u64) {
        if actual > part.cost {
            let throttle = self.throttles[&part.state.1].clone();
            self.debit_throttle(now, &part.state, &throttle, actual - part.cost);
        } else if let Some(full_at) = self.spent.buckets.get_mut(&part.state) {
            // "a credit lowers the TAT by exactly the surplus, even below `now`"
            *full_at -= whole(part.cost - actual);
        }
    }

    fn adjust_quota(&mut self, now: Nanos, part: &Part, actual: u64) -> Option<i128> {
        if actual == part.cost {
            return None;
        }
        let id = &part.state.1;
        let present = self.quota_in_place(id);
        // Without a limit: only its windows matter.
        let period = &self.periods[id].0;
        let bare =
            || Quota { limit: 0, initial_debit: 0, period: period.clone(), zone: Tz::UTC, alerts: vec![] };
        let quota = present.clone().unwrap_or_else(bare);
        let by = i128::from(actual) - i128::from(part.cost);
        match part.debit {
            // "charged in its current window"
            None => {
                present.as_ref()?;
                self.debit_quota(now, &part.state, &quota, actual);
            }
            Some(Debit { window, row }) => {
                if let (Some(date), Some(log)) = (row, self.spent.logs.get_mut(&part.state)) {
                    log.correct(date, by);
                }
                let standing = quota.standing(self.spent.quotas.get(&part.state), now);
                if window != Some(standing.window.start) {
                    return None;
                }
                let state = self.spent.quotas.get_mut(&part.state).expect("the debited quota");
                state.used += by;
                if present.is_some() {
                    self.note_remaining(&part.state, &quota);
                }
                if present.is_some() && by > 0 {
                    self.crossed(&part.state, &quota);
                }
            }
        }
        let standing = present?.standing(self.spent.quotas.get(&part.state), now);
        Some(standing.used - standing.allowance)
    }
}
