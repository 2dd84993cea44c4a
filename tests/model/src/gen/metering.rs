//! Operations on what was admitted.

use super::assemble::Assembler;
use super::pools::*;
use super::{CostSeed, Number, RequestSeed, Scope, cost, number, one_of, request};
use crate::text::Nanos;
use crate::window::day_of;
use chrono::Duration;
use chrono_tz::Tz;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

/// An operation besides decisions and changes.
#[derive(Clone, Debug)]
pub(super) enum Metering {
    /// `settle`, `refund`, `release`.
    ById {
        op: &'static str,
        which: Which,
        /// Of an open reservation, at its end and so many nanoseconds.
        at_end: Option<i64>,
        times: usize,
        actual: CostSeed,
    },
    /// From so many days ago on, for so many days.
    Usage {
        about: About,
        back: i64,
        days: i64,
    },
    Grant {
        about: About,
        quota: usize,
        remaining: Number,
    },
    Alerts,
    Rotate {
        key: usize,
        overlap: &'static str,
        id: Option<usize>,
        value: Option<usize>,
    },
    /// A check of a key that was rotated, when its overlap ends and so many nanoseconds.
    Overlap {
        back: usize,
        offset: i64,
        request: Box<RequestSeed>,
    },
    /// `snapshot` or `restore`.
    Snapshot(&'static str, &'static str),
}

/// A subject and a plan.
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    /// Those of a quota that was debited or refused.
    Known(usize),
    /// Past the last: nobody.
    Any(usize, usize),
}

/// An id, counted from the latest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Admitted(usize),
    Refused(usize),
    Nobody,
}

/// The operations in scope, and their weight beside 40 decisions.
pub(super) fn metering(scope: Scope) -> (u32, BoxedStrategy<Metering>) {
    let mut all: Vec<(u32, BoxedStrategy<Metering>)> = Vec::new();
    if scope.ids() {
        let settles = if scope.reservations { 1 } else { 0 };
        let op = one_of(vec![
            (12 * settles, Just("settle").boxed()),
            (5 * settles, Just("refund").boxed()),
            (6, Just("release").boxed()),
        ]);
        all.push((if scope.reservations { 25 } else { 10 }, by_id(op).boxed()));
    }
    let about = prop_oneof![
        12 => (0..12_usize).prop_map(About::Known),
        2 => (0..=SUBJECTS.len(), 0..=PLANS.len()).prop_map(|(subject, plan)| About::Any(subject, plan)),
    ];
    if scope.usage {
        let back = prop_oneof![6 => 0..4_i64, 3 => 0..40_i64, 1 => 0..110_i64];
        let days = prop_oneof![20 => 1..8_i64, 2 => 30..34_i64, 1 => -1..1_i64];
        let usage = (about.clone(), back, days);
        let usage = usage.prop_map(|(about, back, days)| Metering::Usage { about, back, days });
        all.push((6, usage.boxed()));
    }
    if scope.grants {
        let grant = (about, 0..12_usize, number());
        let grant = grant.prop_map(|(about, quota, remaining)| Metering::Grant { about, quota, remaining });
        all.push((5, grant.boxed()));
    }
    if scope.alerts {
        all.push((6, Just(Metering::Alerts).boxed()));
    }
    if scope.rotation {
        let overlap = select(vec!["10s", "1ns", "0s", "1s", "2h", "2h", "1d"]);
        let old = || option::weighted(0.08, 0..=KEYS + 2);
        let rotate = (prop_oneof![3 => 0..3_usize, 2 => 0..=KEYS + 3], overlap, old(), old())
            .prop_map(|(key, overlap, id, value)| Metering::Rotate { key, overlap, id, value });
        all.push((4, rotate.boxed()));
        let overlap = (0..3_usize, -1..=1_i64, request(scope)).prop_map(|(back, offset, request)| {
            Metering::Overlap { back, offset, request: Box::new(request) }
        });
        all.push((2, overlap.boxed()));
    }
    if scope.snapshots {
        let op = prop_oneof![2 => Just("snapshot"), 3 => Just("restore")];
        let name = prop_oneof![8 => Just("first"), 1 => Just("second")];
        all.push((3, (op, name).prop_map(|(op, name)| Metering::Snapshot(op, name)).boxed()));
    }
    let weight = all.iter().map(|(weight, _)| weight).sum();
    if all.is_empty() {
        // Never drawn: it has no weight.
        all.push((1, by_id(Just("release").boxed()).boxed()));
    }
    (weight, one_of(all))
}

fn by_id(op: BoxedStrategy<&'static str>) -> impl Strategy<Value = Metering> {
    let which = prop_oneof![
        12 => (0..3_usize).prop_map(Which::Admitted),
        6 => (0..40_usize).prop_map(Which::Admitted),
        1 => (0..5_usize).prop_map(Which::Refused),
        1 => Just(Which::Nobody),
    ];
    let times = prop_oneof![6 => Just(1_usize), 1 => Just(2)];
    (op, which, option::weighted(0.35, -1..=1_i64), times, cost())
        .prop_map(|(op, which, at_end, times, actual)| Metering::ById { op, which, at_end, times, actual })
}

/// The member that is so far from the last.
pub(super) fn back<T>(all: &[T], n: usize) -> Option<&T> {
    all.len().checked_sub(1 + n % all.len().max(1)).map(|i| &all[i])
}

impl Assembler {
    pub(super) fn meter(&mut self, seed: &Metering, text: bool) {
        match seed {
            Metering::ById { op, which, at_end, times, actual } => {
                let named = match *which {
                    // A check has nothing to settle.
                    Which::Admitted(n) if *op == "settle" && n % 8 != 7 => {
                        back(&self.reservations, n).or(back(&self.admitted, n)).cloned()
                    }
                    Which::Admitted(n) => back(&self.admitted, n).cloned(),
                    Which::Refused(n) => back(&self.refused, n).cloned(),
                    Which::Nobody => None,
                };
                let mut id = named.unwrap_or_else(|| "nobody".to_owned());
                if let (Some(offset), Which::Admitted(n)) = (at_end, *which)
                    && let Some((open, end)) = back(&self.reserved, n).cloned()
                {
                    id = open;
                    self.go(end + Nanos::from(*offset));
                }
                for _ in 0..*times {
                    let mut line = json!({ "op": op, "id": id });
                    if *op == "settle" {
                        line["actual"] = self.cost(actual);
                    }
                    self.push(line, text);
                }
            }
            Metering::Usage { about, back, days } => {
                let (subject, plan) = self.about(*about);
                let newest = self.model.newest_row(&subject, &plan).filter(|_| days % 4 > 0);
                let today = newest.unwrap_or_else(|| day_of(Tz::UTC, self.now));
                let date = |after: i64| (today + Duration::days(after)).format("%Y-%m-%d").to_string();
                let line = json!({
                    "op": "usage", "subject": subject, "plan": plan,
                    "from": date(-back), "to": date(days - 1 - back),
                });
                self.push(line, text);
            }
            Metering::Grant { about, quota, remaining } => {
                let (subject, plan) = self.about(*about);
                let names = self.plans.get(&plan).map(quota_names).unwrap_or_default();
                let limit = back(&names, *quota).map_or("nothing", String::as_str);
                let line = json!({
                    "op": "grant", "subject": subject, "plan": plan, "limit": limit,
                    "remaining": self.number(remaining),
                });
                self.push(line, text);
            }
            Metering::Alerts => self.push(json!({ "op": "alerts" }), text),
            Metering::Rotate { key, overlap, id, value } => {
                let n = self.rotated.len();
                let new_id = id.map_or_else(|| format!("n{n}"), |id| self.key_id(id));
                let value = match value {
                    None => format!("v{n}"),
                    Some(k) if *k < KEYS => format!("k{k}"),
                    Some(k) => format!("v{}", k - KEYS),
                };
                let line = json!({
                    "op": "rotate", "key_id": self.key_id(*key), "overlap": overlap, "new_id": new_id,
                    "value": value,
                });
                self.push(line, text);
            }
            Metering::Overlap { back: n, offset, request } => {
                let Some((old, end)) = back(&self.ending, *n).cloned() else {
                    return;
                };
                self.go(end + Nanos::from(*offset));
                let mut line = self.request("check", request);
                line["key"] = json!(old);
                self.push(line, text);
            }
            Metering::Snapshot(op, name) => self.push(json!({ "op": op, "name": name }), text),
        }
    }

    fn about(&self, about: About) -> (String, String) {
        let name = |all: &[&str], which: usize| all.get(which).copied().unwrap_or("nobody").to_owned();
        match about {
            About::Any(subject, plan) => (name(&SUBJECTS, subject), name(&PLANS, plan)),
            About::Known(n) => {
                let known: Vec<_> = self.model.logged_quotas().collect();
                back(&known, n).cloned().unwrap_or_else(|| (name(&SUBJECTS, 0), name(&PLANS, 0)))
            }
        }
    }

    /// The value of a key.
    pub(super) fn key_value(&self, id: &str) -> String {
        let rotated = self.rotated.iter().find(|(known, _)| known == id);
        rotated.map_or_else(|| id.replacen('i', "k", 1), |(_, value)| value.clone())
    }

    /// The id of a key: those of the plan file, then those of rotations.
    pub(super) fn key_id(&self, key: usize) -> String {
        let rotated = key.checked_sub(KEYS).and_then(|n| back(&self.rotated, n));
        rotated.map_or_else(|| format!("i{key}"), |(id, _)| id.clone())
    }
}

/// The names of a plan's quotas and throttles as answers show them, a pool's too.
fn quota_names(plan: &Value) -> Vec<String> {
    let own = |limits: &Value, prefix: &str| -> Vec<String> {
        let quotas = limits["quotas"].as_array().into_iter().flatten();
        let named = quotas.map(|quota| quota["name"].as_str().or(quota["per"].as_str()).unwrap_or_default());
        named.map(|name| format!("{prefix}{name}")).collect()
    };
    let mut all = own(&plan["pool"], "pool:");
    if plan.get("throttle").is_some() {
        all.push("throttle".to_owned());
    }
    for (pattern, limits) in plan["routes"].as_object().into_iter().flatten() {
        all.extend(own(limits, &format!("route:{pattern}:")));
    }
    let plan = own(plan, "");
    // Those of the plan itself are the likeliest.
    all.extend(plan.iter().chain(&plan).chain(&plan).cloned());
    all
}
