//! `grant`.
//!
//! Choices where the contract is silent:
//! * The window of a grant is the one in which the quota counts at `at`; the grant opens it, as a
//!   debit would: an earlier `now` counts in it from then on.
//! * `remaining` afterwards is the `n` of the grant, more or less than before, also at a limit of 0. A
//!   limit that changes later in the window shifts it by the difference.
//! * A grant is no debit. Before the first debit it stands in for the initial debit in its window; if
//!   nothing is debited there, the initial debit is still to come.
//! * `limit` is the name that `limits` shows, of a quota of the plan itself or of one of its routes; a
//!   pool quota or another kind of limit is an error, and so is a plan that the subject is not on.

use crate::config::text_of;
use crate::quota::QuotaState;
use crate::text::{self, Nanos};
use crate::{Model, Owner, decide};
use serde_json::{Map, Value, json};

impl Model {
    pub(crate) fn grant(&mut self, at: Nanos, fields: &Map<String, Value>) -> Result<Value, String> {
        let (subject, plan) = (text_of(fields, "subject")?, text_of(fields, "plan")?);
        let name = text_of(fields, "limit")?;
        let n = text::integer(fields.get("remaining").ok_or("no remaining")?)?;
        let known =
            self.registry.subjects.get(subject).ok_or_else(|| format!("unknown subject {subject:?}"))?;
        let quotas = self.quotas_of(plan)?;
        if !known.plans.iter().any(|on| on == plan) {
            return Err(format!("{subject:?} is not on plan {plan:?}"));
        }
        let quota = quotas.into_iter().find(|(id, _)| decide::shown(id) == name);
        let (id, quota) = quota.ok_or_else(|| format!("plan {plan:?} has no quota {name:?}"))?;
        let state = (Owner::Registered(subject.to_owned()), id);
        let before = self.spent.quotas.get(&state);
        let standing = quota.standing(before, at);
        let same = before.filter(|before| before.start == standing.window.start);
        let granted = QuotaState {
            start: standing.window.start,
            used: standing.used,
            // "or `used + n` after a grant of `n`"
            adjust: standing.used + i128::from(n) - i128::from(quota.limit),
            debited: before.is_some_and(|before| before.debited),
            row: same.and_then(|same| same.row),
        };
        self.spent.quotas.insert(state.clone(), granted);
        self.note_remaining(&state, &quota);
        Ok(json!({ "status": "ok" }))
    }
}
