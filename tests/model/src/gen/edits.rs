//! The changes of an `apply`.

use super::assemble::{Assembler, key};
use super::pools::*;
use super::{Edit, LimitEdit, Place, merge};
use crate::text::{Nanos, rate, whole};
use num_traits::{ToPrimitive, Zero};
use serde_json::{Map, Value, json};

const DAY: Nanos = 86_400_000_000_000;

impl Assembler {
    pub(super) fn apply(&self, edits: &[Edit]) -> Value {
        let mut plans = Map::new();
        let mut subjects = Map::new();
        for edit in edits {
            match edit {
                Edit::ReplacePlan(p, plan) => {
                    plans.insert(PLANS[*p].to_owned(), plan.clone());
                }
                Edit::RemovePlan(p) => {
                    // What `--plan` names stays.
                    let known = self.plans.contains_key(PLANS[*p]);
                    if known && self.default_plan.as_deref() != Some(PLANS[*p]) {
                        plans.insert(PLANS[*p].to_owned(), Value::Null);
                    }
                }
                Edit::RestorePlan(p) => {
                    let plan = self.file["plans"][PLANS[*p]].clone();
                    plans.insert(PLANS[*p].to_owned(), plan);
                }
                Edit::Stages(p, stages) => {
                    let mut plan = self.plan(&plans, *p);
                    set(&mut plan, "stages", stages);
                    plans.insert(PLANS[*p].to_owned(), plan);
                }
                Edit::Observe(p, observe) => {
                    let mut plan = self.plan(&plans, *p);
                    set(&mut plan, "observe", &json!(observe));
                    plans.insert(PLANS[*p].to_owned(), plan);
                }
                Edit::Limits(p, place, edit) => {
                    let mut plan = self.plan(&plans, *p);
                    let original = &self.file["plans"][PLANS[*p]];
                    let (pattern, limits) = locate(&mut plan, original, place);
                    edit_limits(limits, original_limits(original, place, &pattern), edit);
                    plans.insert(PLANS[*p].to_owned(), plan);
                }
                Edit::Subject(s, names, keys) => {
                    let names: Vec<&str> = names.iter().map(|plan| PLANS[*plan]).collect();
                    let mut subject = json!({ "plans": names });
                    if let Some(keys) = keys {
                        subject["keys"] = keys.iter().map(|k| key(k, self.now)).collect();
                    }
                    subjects.insert(SUBJECTS[*s].to_owned(), subject);
                }
                Edit::RemoveSubject(s) => {
                    subjects.insert(SUBJECTS[*s].to_owned(), Value::Null);
                }
                Edit::RestoreSubject(s) => {
                    let subject = self.file["subjects"][SUBJECTS[*s]].clone();
                    subjects.insert(SUBJECTS[*s].to_owned(), subject);
                }
            }
        }
        let mut line = json!({ "op": "apply" });
        for (_, plan) in &mut plans {
            feasible(plan);
        }
        if !plans.is_empty() {
            line["plans"] = Value::Object(plans);
        }
        if !subjects.is_empty() {
            line["subjects"] = Value::Object(subjects);
        }
        line
    }

    /// A plan as it is, with the edits so far; as in the plan file if it has been removed.
    fn plan(&self, edited: &Map<String, Value>, p: usize) -> Value {
        let plan = edited.get(PLANS[p]).filter(|plan| !plan.is_null());
        let plan = plan.or_else(|| self.plans.get(PLANS[p]));
        plan.unwrap_or(&self.file["plans"][PLANS[p]]).clone()
    }
}

/// Every set of limits of a plan.
fn places(plan: &mut Value) -> Vec<&mut Value> {
    let mut all = Vec::new();
    if let Some(fields) = plan.as_object_mut() {
        for (name, value) in fields {
            match name.as_str() {
                "routes" => all.extend(value.as_object_mut().into_iter().flat_map(Map::values_mut)),
                "pool" => all.push(value),
                _ => {}
            }
        }
    }
    all
}

/// The throttles of a set of limits.
fn throttles(limits: &mut Value) -> Vec<&mut Value> {
    match limits.get_mut("throttle") {
        None => vec![],
        Some(Value::Array(list)) => list.iter_mut().collect(),
        Some(one) => vec![one],
    }
}

/// "a longer one may be refused at configuration": bursts that take at most 170 days to refill.
pub(super) fn feasible(plan: &mut Value) {
    let clamp = |throttle: &mut Value| {
        let rate = rate(throttle["rate"].as_str().expect("a rate")).expect("a rate");
        let most = (rate * whole(170 * DAY)).to_integer();
        let burst = throttle["burst"].as_u64().expect("a burst");
        if !most.is_zero() {
            throttle["burst"] = json!(burst.min(most.to_u64().unwrap_or(u64::MAX)));
        }
    };
    throttles(plan).into_iter().for_each(clamp);
    for limits in places(plan) {
        throttles(limits).into_iter().for_each(clamp);
    }
}

/// Sets a field, or removes it where the value is null.
fn set(table: &mut Value, field: &str, value: &Value) {
    if value.is_null() {
        table.as_object_mut().expect("a table").remove(field);
    } else {
        table[field] = value.clone();
    }
}

/// The bursts and limits in a plan.
pub(super) fn numbers(value: &Value, all: &mut Vec<u64>) {
    match value {
        Value::Object(fields) => {
            all.extend(fields.get("burst").and_then(Value::as_u64));
            all.extend(fields.get("limit").and_then(Value::as_u64));
            fields.values().for_each(|value| numbers(value, all));
        }
        Value::Array(list) => list.iter().for_each(|value| numbers(value, all)),
        _ => {}
    }
}

/// The leases in a plan.
pub(super) fn leases(value: &Value, all: &mut Vec<Value>) {
    match value {
        Value::Object(fields) => {
            all.extend(fields.get("lease").cloned());
            fields.values().for_each(|value| leases(value, all));
        }
        Value::Array(list) => list.iter().for_each(|value| leases(value, all)),
        _ => {}
    }
}

/// The set of limits to edit, and the pattern if it is a route's.
fn locate<'a>(plan: &'a mut Value, original: &Value, place: &Place) -> (String, &'a mut Value) {
    match place {
        Place::Own => (String::new(), plan),
        Place::Pool => {
            if plan.get("pool").is_none() {
                plan["pool"] = json!({});
            }
            (String::new(), &mut plan["pool"])
        }
        Place::Route(i) => {
            let known = |plan: &Value| -> Vec<String> {
                let routes = plan.get("routes").and_then(Value::as_object);
                routes.into_iter().flat_map(Map::keys).cloned().collect()
            };
            let mut patterns = known(original);
            patterns.extend(known(plan));
            if patterns.is_empty() {
                return (String::new(), plan);
            }
            let pattern = patterns[i % patterns.len()].clone();
            if plan.get("routes").and_then(|routes| routes.get(&pattern)).is_none() {
                plan["routes"][pattern.as_str()] = json!({});
            }
            let limits = &mut plan["routes"][pattern.as_str()];
            (pattern, limits)
        }
    }
}

/// The same set of limits as in the plan file.
fn original_limits<'a>(plan: &'a Value, place: &Place, pattern: &str) -> Option<&'a Value> {
    match place {
        Place::Pool => plan.get("pool"),
        Place::Route(_) if !pattern.is_empty() => plan.get("routes")?.get(pattern),
        _ => Some(plan),
    }
}

fn edit_limits(limits: &mut Value, original: Option<&Value>, edit: &LimitEdit) {
    let restored = |field: &str| original.and_then(|o| o.get(field)).cloned().unwrap_or_default();
    let quota = |limits: &mut Value, i: usize, change: &dyn Fn(&mut Value)| {
        if let Some(list) = limits.get_mut("quotas").and_then(Value::as_array_mut) {
            let count = list.len().max(1);
            if let Some(quota) = list.get_mut(i % count) {
                change(quota);
            }
        }
    };
    match edit {
        LimitEdit::Throttle(field, value) => match throttles(limits).first_mut() {
            Some(throttle) => set(throttle, field, value),
            None => {
                let mut throttle = json!({ "rate": "10/s", "burst": 5 });
                set(&mut throttle, field, value);
                limits["throttle"] = throttle;
            }
        },
        LimitEdit::Quota(i, field, value) => quota(limits, *i, &|quota| set(quota, field, value)),
        LimitEdit::Period(i, period) => quota(limits, *i, &|quota| {
            for field in ["per", "start", "zone"] {
                set(quota, field, &Value::Null);
            }
            merge(quota, period);
        }),
        LimitEdit::DropThrottle => set(limits, "throttle", &Value::Null),
        LimitEdit::RestoreThrottle => set(limits, "throttle", &restored("throttle")),
        LimitEdit::DropQuota(i) => {
            if let Some(list) = limits.get_mut("quotas").and_then(Value::as_array_mut)
                && !list.is_empty()
            {
                list.remove(i % list.len());
            }
        }
        LimitEdit::RestoreQuotas => set(limits, "quotas", &restored("quotas")),
        LimitEdit::Concurrency(field, value) => {
            if limits.get("concurrency").is_none() {
                limits["concurrency"] = json!({ "limit": 1 });
            }
            set(&mut limits["concurrency"], field, value);
        }
        LimitEdit::DropConcurrency => set(limits, "concurrency", &Value::Null),
        LimitEdit::RestoreConcurrency => set(limits, "concurrency", &restored("concurrency")),
        LimitEdit::Clear => {
            set(limits, "throttle", &Value::Null);
            set(limits, "quotas", &Value::Null);
            set(limits, "concurrency", &Value::Null);
        }
    }
}
