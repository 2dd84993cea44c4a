//! The reference model of the semantics of a decision: naive, exact, and independent of the
//! engine. It reads the same plan file and the same trace, and answers with the same objects, so
//! that the two can be compared line by line.
//!
//! Where the contract is silent the head of each module lists what was chosen: `book` (reservations),
//! `concurrency`, `log` (usage), `grant`, `alerts`, `rotation`, `snapshot`.
//!
//! Everything is computed anew at each line, in exact fractions, from the definitions; calendar
//! boundaries come from another time zone library than the engine's.

mod alerts;
mod book;
mod concurrency;
mod config;
mod cost;
mod decide;
pub mod r#gen;
mod grant;
#[cfg(test)]
mod invariants;
mod log;
mod quota;
mod registry;
mod rotation;
mod route;
mod snapshot;
mod text;
mod throttle;
mod window;

pub use r#gen::{Scenario, Scope, scenario, scenario_of};

use alerts::Marks;
use book::Entry;
use concurrency::Slot;
use config::{Change, KindSpec, Plan, only, string, text_of};
use cost::Cost;
use decide::{Mode, Request};
use log::Log;
use quota::{Quota, QuotaState};
use registry::Registry;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use text::{Fraction, Nanos};
use throttle::Throttle;
use window::Period;

/// "State belongs to (subject or pool, plan, route pattern, limit name, kind, unit)": all of it
/// but the owner.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct LimitId {
    plan: String,
    place: Place,
    name: String,
    kind: Kind,
    unit: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Plan,
    Route(String),
    Pool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Throttle,
    Quota,
    Concurrency,
}

/// Whose a state is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Registered(String),
    Anonymous(String),
    Pool,
}

/// Whose state it is, and of which limit.
type StateId = (Owner, LimitId);

/// What requests have left behind.
#[derive(Clone, Debug, Default)]
struct Consumption {
    /// S of every bucket ever debited.
    buckets: BTreeMap<StateId, Fraction>,
    /// Every quota ever debited.
    quotas: BTreeMap<StateId, QuotaState>,
    /// Slots that were taken.
    slots: BTreeMap<StateId, Vec<Slot>>,
    /// Admitted requests by id.
    book: BTreeMap<String, Entry>,
    /// Of quotas of registered subjects.
    logs: BTreeMap<StateId, Log>,
    /// Alerts that were raised.
    marks: BTreeMap<StateId, Marks>,
}

impl Consumption {
    fn slots_of(&self, state: &StateId) -> &[Slot] {
        self.slots.get(state).map_or(&[], Vec::as_slice)
    }
}

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    registry: Registry,
    default_plan: Option<String>,
    /// Every throttle ever configured, removed ones included: they keep their refill.
    throttles: BTreeMap<LimitId, Throttle>,
    /// The last known period of every quota ever configured, and the instant of its last change.
    periods: BTreeMap<LimitId, (Period, Nanos)>,
    /// The last known limit of every quota ever configured.
    quota_limits: BTreeMap<LimitId, u64>,
    spent: Consumption,
    snapshots: BTreeMap<String, Consumption>,
    /// Alerts that were not read yet.
    events: Vec<Value>,
    /// Whether the usage log decides what a change of period keeps.
    usage_log: bool,
    /// Lines read so far.
    lines: u64,
}

impl Model {
    /// A model of the plan file in its JSON form.
    pub fn from_plan_json(text: &str) -> Result<Model, String> {
        let file: Value = serde_json::from_str(text).map_err(|e| e.to_string())?;
        let fields = file.as_object().ok_or("the plan file is not a table")?;
        only(fields, &["plans", "subjects"])?;
        let change = Change::parse(fields.get("plans"), fields.get("subjects"))?;
        let mut model = Model {
            registry: Registry::default(),
            default_plan: None,
            throttles: BTreeMap::new(),
            periods: BTreeMap::new(),
            quota_limits: BTreeMap::new(),
            spent: Consumption::default(),
            snapshots: BTreeMap::new(),
            events: Vec::new(),
            usage_log: false,
            lines: 0,
        };
        model.commit(0, change).map_err(|(_, error)| error)?;
        Ok(model)
    }

    /// "`--plan NAME` makes a key that is not registered an anonymous subject of that plan".
    #[must_use]
    pub fn with_default_plan(mut self, plan: &str) -> Model {
        self.default_plan = Some(plan.to_owned());
        self
    }

    /// A registered subject's usage log decides what a change of a quota's period keeps; otherwise
    /// changes are as "without a log".
    #[must_use]
    pub fn with_usage_log(mut self) -> Model {
        self.usage_log = true;
        self
    }

    /// Whether a plan of this name exists now.
    pub fn has_plan(&self, name: &str) -> bool {
        self.registry.plans.contains_key(name)
    }

    /// Decides one line of a trace.
    pub fn step(&mut self, line: &Value) -> Value {
        self.lines += 1;
        match self.line(line) {
            Ok(answer) => answer,
            Err(error) => json!({"error": error, "line": self.lines}),
        }
    }

    /// The answer to a line that is not JSON at all.
    pub fn unreadable(&mut self, error: &str) -> Value {
        self.lines += 1;
        json!({"error": error, "line": self.lines})
    }

    fn line(&mut self, line: &Value) -> Result<Value, String> {
        let fields = line.as_object().ok_or("a line is not an object")?;
        let at = text::instant(fields.get("at").ok_or("no instant")?)?;
        let op = fields.get("op").map_or(Ok("check"), |v| string(v, "op"))?;
        match op {
            "check" | "peek" => {
                only(fields, &["at", "op", "key", "stage", "route", "cost", "id"])?;
                let request = Request::parse(fields)?;
                if op == "peek" {
                    return Ok(self.decide(at, &request, Mode::Peek));
                }
                self.unused(request.id.as_deref())?;
                Ok(self.decide(at, &request, Mode::Debit))
            }
            "reserve" => {
                only(fields, &["at", "op", "key", "stage", "route", "cost", "id", "ttl"])?;
                let request = Request::parse(fields)?;
                request.ttl.ok_or("no ttl")?;
                self.unused(Some(request.id.as_deref().ok_or("no id")?))?;
                Ok(self.decide(at, &request, Mode::Debit))
            }
            "settle" => {
                only(fields, &["at", "op", "id", "actual"])?;
                let actual = fields.get("actual").ok_or("no actual cost")?;
                Ok(self.settle(at, id(fields)?, &Cost::parse(Some(actual))?))
            }
            "refund" | "release" => {
                only(fields, &["at", "op", "id"])?;
                let id = id(fields)?;
                Ok(if op == "refund" { self.refund(at, id) } else { self.release(id) })
            }
            "usage" => {
                only(fields, &["at", "op", "subject", "plan", "from", "to"])?;
                self.usage(at, fields)
            }
            "grant" => {
                only(fields, &["at", "op", "subject", "plan", "limit", "remaining"])?;
                self.grant(at, fields)
            }
            "alerts" => {
                only(fields, &["at", "op"])?;
                Ok(self.alerts())
            }
            "rotate" => {
                only(fields, &["at", "op", "key_id", "overlap", "new_id", "value"])?;
                self.rotate(at, fields)
            }
            "snapshot" | "restore" => {
                only(fields, &["at", "op", "name"])?;
                let name = text_of(fields, "name")?;
                if op == "snapshot" { Ok(self.snapshot(name)) } else { self.restore(name) }
            }
            "apply" => {
                only(fields, &["at", "op", "plans", "subjects"])?;
                Ok(self.apply(at, fields))
            }
            "enable" | "disable" | "expire" | "revoke" => {
                only(fields, &["at", "op", "key_id"])?;
                self.registry.key_op(op, text_of(fields, "key_id")?)?;
                Ok(json!({"status": "ok"}))
            }
            other => Err(format!("op {other:?} is not known")),
        }
    }

    fn apply(&mut self, at: Nanos, fields: &Map<String, Value>) -> Value {
        let change = Change::parse(fields.get("plans"), fields.get("subjects"));
        let done = change.map_err(|error| ("invalid", error)).and_then(|change| self.commit(at, change));
        match done {
            Ok(()) => json!({"status": "ok"}),
            Err((status, error)) => json!({"status": status, "error": error}),
        }
    }

    /// "nothing is changed unless `ok`"
    fn commit(&mut self, at: Nanos, change: Change) -> Result<(), (&'static str, String)> {
        let named: Vec<String> = change.plans.keys().cloned().collect();
        self.registry = self.registry.changed(change)?;
        for name in named {
            if let Some(plan) = self.registry.plans.get(&name).cloned() {
                self.configure(at, &name, &plan);
            }
        }
        Ok(())
    }

    /// Takes over the limits of a plan: of those known already, what differs changes at `at`.
    fn configure(&mut self, at: Nanos, name: &str, plan: &Plan) {
        for (id, spec) in decide::limits_of(name, plan) {
            match spec.kind.clone() {
                KindSpec::Throttle { rate, burst, .. } => self.configure_throttle(at, id, rate, burst),
                KindSpec::Quota(quota) => self.configure_quota(at, &id, &quota),
                KindSpec::Concurrency(_) => {}
            }
        }
    }

    /// What requests have left behind, also what a snapshot holds of it.
    fn consumption(&mut self) -> impl Iterator<Item = &mut Consumption> {
        std::iter::once(&mut self.spent).chain(self.snapshots.values_mut())
    }

    fn configure_throttle(&mut self, at: Nanos, id: LimitId, rate: Fraction, burst: u64) {
        let Some(known) = self.throttles.get_mut(&id) else {
            self.throttles.insert(id, Throttle::new(rate, burst));
            return;
        };
        let Some(changed) = known.change(at, rate, burst) else {
            return;
        };
        let throttle = known.clone();
        for spent in self.consumption() {
            for ((_, of), full_at) in &mut spent.buckets {
                if *of == id {
                    *full_at = throttle.forgive(full_at, changed);
                }
            }
        }
    }

    fn configure_quota(&mut self, at: Nanos, id: &LimitId, quota: &Quota) {
        let by_log = self.usage_log;
        let limit = self.quota_limits.insert(id.clone(), quota.limit);
        let known = self.periods.entry(id.clone());
        let (period, changed) = known.or_insert_with(|| (quota.period.clone(), 0));
        let old = std::mem::replace(period, quota.period.clone());
        let other_period = old != quota.period;
        if other_period {
            *changed = at.max(*changed);
        }
        let at = *changed;
        for spent in self.consumption() {
            if other_period {
                spent.change_period(id, &old, quota, at, by_log);
            }
            // "They re-arm when the window or the limit changes"
            if other_period || limit.is_some_and(|limit| limit != quota.limit) {
                spent.marks.retain(|(_, of), _| of != id);
            }
        }
    }
}

fn id(fields: &Map<String, Value>) -> Result<&str, String> {
    text_of(fields, "id")
}
