//! Quota(limit, period, start, zone).

use crate::text::Nanos;
use crate::window::{Period, Window, day_of, day_start};
use crate::{Consumption, LimitId, Model, StateId};
use chrono::NaiveDate;
use chrono_tz::Tz;

/// A quota as configured.
#[derive(Clone, Debug)]
pub struct Quota {
    /// What a window holds.
    pub limit: u64,
    /// What the window of the first debit holds less.
    pub initial_debit: u64,
    /// When windows begin.
    pub period: Period,
    /// Whose days the usage log has.
    pub zone: Tz,
    /// Ascending percentages.
    pub alerts: Vec<u64>,
}

/// What is kept of a quota once it has been debited or granted; nothing is kept before.
#[derive(Clone, Debug)]
pub struct QuotaState {
    /// The start of the newest window that was debited or granted: "A quota counts in the newest window that
    /// it has debited."
    pub start: Nanos,
    /// "`used` counts admitted cost in the window".
    pub used: i128,
    /// What the window's allowance is more (or less) than the limit.
    pub adjust: i128,
    /// Whether it was ever debited; else the initial debit is still to come.
    pub debited: bool,
    /// The row of the last debit in the window, if there is a log.
    pub row: Option<NaiveDate>,
}

/// A quota as it stands at an instant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The window that counts: that of the instant, or the newest debited if that is later.
    pub window: Window,
    /// Used in it.
    pub used: i128,
    /// The difference between its allowance and the limit.
    pub adjust: i128,
    /// The limit and the difference, at least 0.
    pub allowance: i128,
}

impl Quota {
    /// How the quota stands at `now`.
    pub fn standing(&self, state: Option<&QuotaState>, now: Nanos) -> Standing {
        let window = self.period.window(now);
        let (window, used, adjust) = match state {
            // "until that debit every window is judged and reported as if it were that one"
            None => (window, 0, self.fresh(None) - i128::from(self.limit)),
            Some(state) if state.start >= window.start => {
                (self.period.window(state.start), state.used, state.adjust)
            }
            Some(_) => (window, 0, self.fresh(state) - i128::from(self.limit)),
        };
        let allowance = (i128::from(self.limit) + adjust).max(0);
        Standing { window, used, adjust, allowance }
    }

    /// The allowance of windows that are neither debited nor granted.
    pub fn fresh(&self, state: Option<&QuotaState>) -> i128 {
        let initial = if state.is_some_and(|state| state.debited) { 0 } else { self.initial_debit };
        i128::from(self.limit) - i128::from(initial)
    }

    /// The day of the log that holds an instant.
    pub fn day(&self, at: Nanos) -> NaiveDate {
        day_of(self.zone, at)
    }

    /// "Admitted iff `used + c <= allowance`".
    pub fn admits(&self, state: Option<&QuotaState>, now: Nanos, cost: u64) -> bool {
        let standing = self.standing(state, now);
        standing.used + i128::from(cost) <= standing.allowance
    }

    /// "could not hold the cost even when full (`c > max(limit, allowance)`)".
    pub fn exceeded_by(&self, state: Option<&QuotaState>, now: Nanos, cost: u64) -> bool {
        let standing = self.standing(state, now);
        i128::from(cost) > standing.allowance.max(i128::from(self.limit))
    }

    /// The wait for a refused `cost`; none if no wait helps.
    pub fn wait(&self, state: Option<&QuotaState>, now: Nanos, cost: u64) -> Option<Nanos> {
        if i128::from(cost) > self.fresh(state) {
            return None;
        }
        self.reset(state, now)
    }

    /// "`reset_ns` until its window ends, null for `forever`".
    pub fn reset(&self, state: Option<&QuotaState>, now: Nanos) -> Option<Nanos> {
        self.standing(state, now).window.end.map(|end| end - now)
    }

    /// "`remaining = max(0, allowance - used)`".
    pub fn remaining(&self, state: Option<&QuotaState>, now: Nanos) -> i128 {
        let standing = self.standing(state, now);
        (standing.allowance - standing.used).max(0)
    }

    /// The state after a debit.
    pub fn debit(&self, state: Option<&QuotaState>, now: Nanos, cost: u64) -> QuotaState {
        let standing = self.standing(state, now);
        QuotaState {
            start: standing.window.start,
            used: standing.used + i128::from(cost),
            adjust: standing.adjust,
            debited: true,
            row: None,
        }
    }
}

impl Consumption {
    /// A change of a quota's period at `at`: "`used` becomes the sum of the usage log's rows dated in
    /// the new current window (days of the quota's zone); without a log, or for windows under a day, the
    /// old `used` stays until the new window ends". Without a log a window that is over by then leaves
    /// nothing but that there was a debit.
    pub fn change_period(&mut self, id: &LimitId, old: &Period, new: &Quota, at: Nanos, by_log: bool) {
        let by_log = by_log && new.period.of_days();
        let states: Vec<StateId> = self.quotas.keys().filter(|(_, of)| of == id).cloned().collect();
        for owned in states {
            let state = self.quotas[&owned].clone();
            let open = old.window(state.start).end.is_none_or(|end| end > at);
            if !open && !state.debited {
                // A grant that is over.
                self.quotas.remove(&owned);
                continue;
            }
            let adjust = if open { state.adjust } else { 0 };
            if by_log && Model::logged(&owned) {
                let log = self.logs.get(&owned).cloned().unwrap_or_default();
                // "A quota counts in the newest window that it has debited", which the rows tell.
                let newest = log.newest_debit().map_or(at, |date| at.max(day_start(new.zone, date)));
                let window = new.period.window(newest.max(state.start));
                for debit in self.debits_of(&owned) {
                    let summed = debit.row.is_some_and(|date| window.holds(day_start(new.zone, date)));
                    debit.window = summed.then_some(window.start);
                }
                let used = log.sum(new, window);
                let row = log.last_debited(new, window);
                self.quotas.insert(owned, QuotaState { start: window.start, used, adjust, row, ..state });
                continue;
            }
            let start = new.period.window(if open { at.max(state.start) } else { at }).start;
            for debit in self.debits_of(&owned) {
                let kept = open && debit.window == Some(state.start);
                debit.window = kept.then_some(start);
            }
            let used = if open { state.used } else { 0 };
            let row = state.row.filter(|_| open);
            self.quotas.insert(owned, QuotaState { start, used, adjust, row, ..state });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Nanos = 1_000_000_000;

    fn quota(limit: u64, initial_debit: u64, seconds: u64) -> Quota {
        let period = Period::Fixed(seconds * 1_000_000_000);
        Quota { limit, initial_debit, period, zone: Tz::UTC, alerts: vec![] }
    }

    #[test]
    fn the_first_window_is_smaller() {
        let quota = quota(10, 4, 60);
        assert_eq!(quota.remaining(None, 0), 6);
        assert_eq!(quota.remaining(None, 500 * S), 6);
        assert!(!quota.admits(None, 0, 7));
        assert!(!quota.exceeded_by(None, 0, 7));
        assert_eq!(quota.wait(None, 0, 7), None);
        let state = quota.debit(None, 70 * S, 1);
        assert_eq!(quota.remaining(Some(&state), 119 * S), 5);
        assert_eq!(quota.wait(Some(&state), 119 * S, 7), Some(S));
        assert_eq!(quota.remaining(Some(&state), 120 * S), 10);
        // An earlier instant counts in the newest window.
        assert_eq!(quota.remaining(Some(&state), 10 * S), 5);
        assert_eq!(quota.reset(Some(&state), 10 * S), Some(110 * S));
    }
}
