//! The usage log, and `usage`.
//!
//! "Per registered subject, plan and quota: a daily log (days of the quota's zone) of `used`,
//! `remaining`, refusals". Choices where the contract is silent:
//! * A plan's own quotas and those of its routes have a log for each subject; pool quotas have none.
//! * A day is the one of the quota's `zone` (UTC without one), for periods that are aligned to UTC
//!   too; it begins as a window of a day does, so that in an hour that occurs twice the later day
//!   holds from its first midnight on.
//! * A debit is dated with the day of `now`, or with the first day of the window in which the quota
//!   counts if that window begins later (the clock stepped back). A refusal likewise.
//! * `refused` counts requests, not their cost: checks and reserves (not peeks) that have this quota
//!   among `violated`, would-be refusals included.
//! * A settle or refund corrects `used` in the row of the debit, whichever the day. What a
//!   reservation did not debit is a debit of the settle's day.
//! * `remaining` of a day is what was left of the window after the last debit of that day, at the
//!   limit of then: it is noted with every debit, and noted anew by a settle, refund or grant that
//!   changes the window in which that debit is, as long as no later debit was made. A quota that its
//!   plan does not have at the time is not noted. A change of a limit or period does not touch rows.
//! * What `usage` reports as `remaining` of a day, a day without traffic included: for the day of
//!   `at` (or the first day of the window in which the quota counts, if that is later) and the days
//!   after it that begin within that window, if no later day has a debit: what is left at `at`. For
//!   all others: what was noted last in the same window up to that day (the windows of the present
//!   period that hold the starts of the two days); if nothing was, the present limit, less the initial
//!   debit if the quota was never debited.
//! * Rows are kept for 90 days, the newest row's day included: a row that is 90 days older than
//!   another of its log is dropped when that other one is made, and not made after it.
//! * `usage` lists the quotas that the plan has now, whether or not the subject is on the plan now: by
//!   quota in the order of `limits` (routes by their patterns' bytes), then by day. A subject or plan
//!   that is not there, a `from` after `to`, or more than 3,660 days are errors.
//! * A change of period to windows of a day or more takes the sum of the rows whose days begin in the
//!   new window, even if the old window was over. The new window is that of the change, or that of the
//!   start of the newest day with a debit or of the old window's start, whichever is the latest. The
//!   allowance's difference from the limit (initial debit, grant) is kept if the old window was not
//!   over, and is none if it was. Only rows that are kept are summed, for `forever` too.
//! * The log stays with the name of its subject: one that is removed finds it when it comes back.

use crate::config::{string, text_of};
use crate::quota::Quota;
use crate::text::Nanos;
use crate::window::{Window, day_start};
use crate::{Kind, LimitId, Model, Owner, Place, StateId, decide};
use chrono::NaiveDate;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// "kept 90 days by default"
const KEPT: i64 = 90;
const MOST_DAYS: i64 = 3_660;

/// The rows of one quota of one subject.
#[derive(Clone, Debug, Default)]
pub struct Log {
    rows: BTreeMap<NaiveDate, Row>,
}

#[derive(Clone, Debug, Default)]
struct Row {
    used: i128,
    refused: u64,
    /// Noted with the last debit; none without a debit.
    remaining: Option<i128>,
}

impl Log {
    /// The row of a day, made if need be; none if it would be too old to be kept.
    fn row(&mut self, date: NaiveDate) -> Option<&mut Row> {
        let newest = self.rows.keys().last().map_or(date, |last| date.max(*last));
        let kept = |date: &NaiveDate| (newest - *date).num_days() < KEPT;
        self.rows.retain(|date, _| kept(date));
        kept(&date).then(|| self.rows.entry(date).or_default())
    }

    /// Whether there is a row for it.
    pub fn debit(&mut self, date: NaiveDate, cost: u64) -> bool {
        let row = self.row(date);
        let found = row.is_some();
        if let Some(row) = row {
            row.used += i128::from(cost);
            row.remaining.get_or_insert(0);
        }
        found
    }

    pub fn refuse(&mut self, date: NaiveDate) {
        if let Some(row) = self.row(date) {
            row.refused += 1;
        }
    }

    /// Makes the cost of a debit another one.
    pub fn correct(&mut self, date: NaiveDate, by: i128) {
        if let Some(row) = self.rows.get_mut(&date) {
            row.used += by;
        }
    }

    pub fn note(&mut self, date: NaiveDate, remaining: i128) {
        if let Some(row) = self.rows.get_mut(&date) {
            row.remaining = Some(remaining);
        }
    }

    /// "the sum of the usage log's rows dated in" a window
    pub fn sum(&self, quota: &Quota, window: Window) -> i128 {
        let dated = self.rows.iter().filter(|(date, _)| window.holds(day_start(quota.zone, **date)));
        dated.map(|(_, row)| row.used).sum()
    }

    fn debited(&self) -> impl DoubleEndedIterator<Item = (NaiveDate, i128)> {
        self.rows.iter().filter_map(|(date, row)| Some((*date, row.remaining?)))
    }

    pub fn newest_debit(&self) -> Option<NaiveDate> {
        self.debited().next_back().map(|(date, _)| date)
    }

    /// The last day in a window that has a debit.
    pub fn last_debited(&self, quota: &Quota, window: Window) -> Option<NaiveDate> {
        let mut latest = self.debited().rev().map(|(date, _)| date);
        latest.find(|date| window.holds(day_start(quota.zone, *date)))
    }
}

impl Model {
    /// Registered subjects have a log.
    pub(crate) fn logged(state: &StateId) -> bool {
        matches!(state.0, Owner::Registered(_))
    }

    /// Subjects and plans that have a log.
    pub(crate) fn logged_quotas(&self) -> impl Iterator<Item = (String, String)> {
        self.spent.logs.keys().filter_map(|(owner, id)| match owner {
            Owner::Registered(name) => Some((name.clone(), id.plan.clone())),
            _ => None,
        })
    }

    /// The newest day with a debit of any quota of a plan.
    pub(crate) fn newest_row(&self, subject: &str, plan: &str) -> Option<NaiveDate> {
        let owner = Owner::Registered(subject.to_owned());
        let logs = self.spent.logs.iter().filter(|((of, id), _)| *of == owner && id.plan == plan);
        logs.filter_map(|(_, log)| log.newest_debit()).max()
    }

    /// Notes what is left after a change of a quota's state.
    pub(crate) fn note_remaining(&mut self, state: &StateId, quota: &Quota) {
        let now = &self.spent.quotas[state];
        if let (Some(date), Some(log)) = (now.row, self.spent.logs.get_mut(state)) {
            log.note(date, quota.remaining(Some(now), now.start));
        }
    }

    pub(crate) fn usage(&self, at: Nanos, fields: &Map<String, Value>) -> Result<Value, String> {
        let (subject, plan) = (text_of(fields, "subject")?, text_of(fields, "plan")?);
        if !self.registry.subjects.contains_key(subject) {
            return Err(format!("unknown subject {subject:?}"));
        }
        let quotas = self.quotas_of(plan)?;
        let (from, to) = (date(fields, "from")?, date(fields, "to")?);
        if from > to || (to - from).num_days() >= MOST_DAYS {
            return Err(format!("{from} to {to} is no range of at most {MOST_DAYS} days"));
        }
        let mut days = Vec::new();
        for (id, quota) in &quotas {
            let state = (Owner::Registered(subject.to_owned()), id.clone());
            let log = self.spent.logs.get(&state).cloned().unwrap_or_default();
            for date in from.iter_days().take_while(|date| *date <= to) {
                let row = log.rows.get(&date).cloned().unwrap_or_default();
                days.push(json!({
                    "limit": decide::shown(id),
                    "date": date.format("%Y-%m-%d").to_string(),
                    "used": decide::nanos(row.used),
                    "remaining": decide::nanos(self.remaining_on(at, &state, quota, &log, date)),
                    "refused": row.refused,
                }));
            }
        }
        Ok(json!({ "days": days }))
    }

    /// The quotas of a plan that each subject has for itself.
    pub(crate) fn quotas_of(&self, plan: &str) -> Result<Vec<(LimitId, Quota)>, String> {
        let spec = self.registry.plans.get(plan).ok_or_else(|| format!("unknown plan {plan:?}"))?;
        let limits = decide::limits_of(plan, spec).into_iter().map(|(id, _)| id);
        let own = limits.filter(|id| id.kind == Kind::Quota && id.place != Place::Pool);
        Ok(own.filter_map(|id| Some((id.clone(), self.quota_in_place(&id)?))).collect())
    }

    fn remaining_on(&self, at: Nanos, state: &StateId, quota: &Quota, log: &Log, date: NaiveDate) -> i128 {
        let begins = |date: NaiveDate| day_start(quota.zone, date);
        let known = self.spent.quotas.get(state);
        if log.newest_debit().is_none_or(|newest| newest <= date) {
            let window = quota.standing(known, at).window;
            let today = quota.day(at.max(window.start));
            if date == today || date > today && window.holds(begins(date)) {
                return quota.remaining(known, at);
            }
        }
        let Some((debited, noted)) = log.debited().rev().find(|(debited, _)| *debited <= date) else {
            return quota.fresh(known);
        };
        let window = |date: NaiveDate| quota.period.window(begins(date));
        if debited == date || window(debited) == window(date) { noted } else { quota.fresh(known) }
    }
}

fn date(fields: &Map<String, Value>, field: &str) -> Result<NaiveDate, String> {
    let text = string(fields.get(field).ok_or_else(|| format!("no {field}"))?, field)?;
    let shape = text.len() == 10
        && text
            .bytes()
            .enumerate()
            .all(|(i, b)| if i == 4 || i == 7 { b == b'-' } else { b.is_ascii_digit() });
    let date = if shape { NaiveDate::parse_from_str(text, "%Y-%m-%d").ok() } else { None };
    date.ok_or_else(|| format!("{text:?} is not a date"))
}
