//! Puts a scenario together from its seed.

use super::{
    CostSeed, Edit, Jump, KEYS, KeySeed, LimitEdit, MAX_LINES, Number, PLANS, Place, SUBJECTS, Scenario,
    Seed, Start, What, merge,
};
use crate::text::{Nanos, rate, whole};
use crate::{Model, config};
use chrono::{DateTime, Days, NaiveDate, Offset, SecondsFormat, TimeZone};
use num_traits::{ToPrimitive, Zero};
use serde_json::{Map, Value, json};

const SECOND: Nanos = 1_000_000_000;
const DAY: Nanos = 86_400 * SECOND;

struct Assembler {
    model: Model,
    file: Value,
    default_plan: Option<String>,
    /// Plans as they are after the lines so far.
    plans: Map<String, Value>,
    first: Nanos,
    now: Nanos,
    /// Instants that answers named.
    boundaries: Vec<Nanos>,
    trace: Vec<Value>,
}

pub(super) fn assemble(seed: &Seed) -> Scenario {
    let first = beginning(&seed.start);
    let file = plan_file(seed, first);
    let default_plan = seed.default_plan.map(|plan| PLANS[plan].to_owned());
    let mut model = Model::from_plan_json(&file.to_string()).expect("a valid plan file");
    if let Some(plan) = &default_plan {
        model = model.with_default_plan(plan);
    }
    let plans = file["plans"].as_object().expect("plans").clone();
    let mut all =
        Assembler { model, file, default_plan, plans, first, now: first, boundaries: vec![], trace: vec![] };
    for step in &seed.steps {
        all.jump(&step.jump);
        match &step.what {
            What::Check { peek, times, request } => {
                for _ in 0..*times {
                    let line = json!({ "op": if *peek { "peek" } else { "check" } });
                    let line = all.request(line, request, *peek);
                    all.push(line, step.text);
                }
            }
            What::KeyOp(op, id) => {
                all.push(json!({ "op": op, "key_id": format!("i{id}") }), step.text);
            }
            What::Apply(edits) => {
                let line = all.apply(edits);
                all.push(line, step.text);
            }
            What::Bad(kind) => all.bad(*kind),
        }
    }
    all.trace.truncate(MAX_LINES);
    Scenario { plans: all.file, default_plan: all.default_plan, trace: all.trace }
}

fn beginning(start: &Start) -> Nanos {
    match start {
        Start::At(ns) => Nanos::from(*ns),
        Start::Transition { zone, year, nth, offset, nanos } => {
            let zone: chrono_tz::Tz = zone.parse().expect("a zone");
            let new_year = NaiveDate::from_ymd_opt(*year, 1, 1).expect("a date");
            let noon = |day: u64| {
                let date = new_year.checked_add_days(Days::new(day)).expect("a date");
                date.and_hms_opt(12, 0, 0).expect("noon").and_utc().timestamp()
            };
            let shift = |seconds: i64| {
                let utc = DateTime::from_timestamp(seconds, 0).expect("an instant").naive_utc();
                zone.offset_from_utc_datetime(&utc).fix()
            };
            let changes: Vec<u64> =
                (0..366).filter(|day| shift(noon(*day)) != shift(noon(day + 1))).collect();
            let day = changes.get(nth % changes.len().max(1)).copied().unwrap_or(0);
            let (mut before, mut after) = (noon(day), noon(day + 1));
            let old = shift(before);
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                if shift(middle) == old { before = middle } else { after = middle }
            }
            Nanos::from(after + offset) * SECOND + Nanos::from(*nanos)
        }
    }
}

fn text(at: Nanos) -> Option<String> {
    let at = DateTime::from_timestamp_nanos(i64::try_from(at).ok()?);
    Some(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

fn key(seed: &KeySeed, now: Nanos) -> Value {
    let value = format!("k{}", seed.value);
    let mut key = json!({ "id": format!("i{}", seed.id) });
    if seed.hashed {
        let hex: String = config::digest(&value).iter().map(|b| format!("{b:02x}")).collect();
        key["sha256"] = json!(hex);
    } else {
        key["value"] = json!(value);
    }
    if let Some(enabled) = seed.enabled {
        key["enabled"] = json!(enabled);
    }
    if let Some(seconds) = seed.expires {
        key["expires"] = json!(text(now + Nanos::from(seconds) * SECOND));
    }
    key
}

/// The plan file: as drawn, less what would make it invalid.
fn plan_file(seed: &Seed, now: Nanos) -> Value {
    let mut plans = Map::new();
    for (name, plan) in PLANS.iter().zip(&seed.plans) {
        let mut plan = plan.clone();
        feasible(&mut plan);
        plans.insert((*name).to_owned(), plan);
    }
    let mut subjects = Map::new();
    for (s, name) in SUBJECTS.iter().enumerate() {
        let mut taken: Vec<usize> = Vec::new();
        for plan in &seed.subjects[s] {
            let stages = |plan: usize| plans[PLANS[plan]].get("stages").and_then(Value::as_array);
            let overlap = |other: &usize| match (stages(*plan), stages(*other)) {
                (Some(a), Some(b)) => a.iter().any(|stage| b.contains(stage)),
                _ => true,
            };
            if !taken.iter().any(overlap) {
                taken.push(*plan);
            }
        }
        let keys: Vec<Value> = (0..KEYS)
            .filter(|key| seed.owners[*key] == s)
            .map(|j| {
                let (enabled, expires, hashed) = seed.flags[j];
                key(&KeySeed { value: j, id: j, enabled, expires, hashed }, now)
            })
            .collect();
        let names: Vec<&str> = taken.iter().map(|plan| PLANS[*plan]).collect();
        subjects.insert((*name).to_owned(), json!({ "plans": names, "keys": keys }));
    }
    json!({ "plans": plans, "subjects": subjects })
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
fn feasible(plan: &mut Value) {
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

impl Assembler {
    fn jump(&mut self, jump: &Jump) {
        let to = match *jump {
            Jump::Stay => self.now,
            Jump::By(ns) => self.now + Nanos::from(ns),
            Jump::Boundary(back, offset) => {
                let last = self.boundaries.len();
                match last.checked_sub(1 + back % last.max(1)) {
                    Some(i) => self.boundaries[i] + Nanos::from(offset),
                    None => self.now,
                }
            }
            Jump::Round(unit, offset) => {
                let unit = Nanos::from(unit);
                (self.now / unit + 1) * unit + Nanos::from(offset)
            }
            Jump::First(offset) => self.first + Nanos::from(offset),
        };
        let (least, most) = (self.first - 328 * DAY, self.first + 1277 * DAY);
        if (least..=most).contains(&to) {
            self.now = to;
        }
    }

    /// Adds a line, decides it, and notes the instants that the answer names.
    fn push(&mut self, mut line: Value, as_text: bool) {
        line["at"] = match text(self.now).filter(|_| as_text) {
            Some(text) => json!(text),
            None => json!(u64::try_from(self.now).expect("an instant")),
        };
        if line["op"] == "check" && self.trace.len().is_multiple_of(2) {
            line.as_object_mut().expect("a line").remove("op");
        }
        let answer = self.model.step(&line);
        if line["op"] == "apply" && answer["status"] == "ok" {
            for (name, plan) in line["plans"].as_object().into_iter().flatten() {
                if plan.is_null() {
                    self.plans.remove(name);
                } else {
                    self.plans.insert(name.clone(), plan.clone());
                }
            }
        }
        let resets = answer["limits"].as_array().into_iter().flatten();
        let mut named: Vec<u64> = resets.filter_map(|limit| limit["reset_ns"].as_u64()).collect();
        named.extend(answer["retry_after_ns"].as_u64());
        named.extend(answer["delay_ns"].as_u64());
        for wait in named.into_iter().filter(|wait| *wait > 0) {
            let instant = self.now + Nanos::from(wait);
            if self.boundaries.last() != Some(&instant) {
                self.boundaries.push(instant);
            }
        }
        self.trace.push(line);
    }

    fn request(&self, mut line: Value, seed: &super::RequestSeed, peek: bool) -> Value {
        if let Some(key) = &seed.key {
            line["key"] = json!(key);
        }
        if let Some(stage) = seed.stage {
            line["stage"] = json!(stage);
        }
        if let Some(route) = seed.route {
            line["route"] = json!(route);
        }
        // "a live id used again is an error": ids are never used twice.
        if let Some(id) = seed.id.filter(|_| !peek) {
            line["id"] = json!(format!("{}-{id}", self.trace.len()));
        }
        match &seed.cost {
            None => {}
            Some(CostSeed::Every(n)) => line["cost"] = json!(self.number(n)),
            Some(CostSeed::Named(requests, tokens, other)) => {
                let mut named = Map::new();
                for (unit, n) in [("requests", requests), ("tokens", tokens)] {
                    if let Some(n) = n {
                        named.insert(unit.to_owned(), json!(self.number(n)));
                    }
                }
                if *other {
                    named.insert("bytes".to_owned(), json!(3));
                }
                line["cost"] = Value::Object(named);
            }
        }
        line
    }

    fn number(&self, seed: &Number) -> u64 {
        match *seed {
            Number::Plain(n) => n,
            Number::Near(i, offset) => {
                let mut all = Vec::new();
                for plan in self.plans.values() {
                    numbers(plan, &mut all);
                }
                let n = if all.is_empty() { 1 } else { all[i % all.len()] };
                n.saturating_add_signed(offset)
            }
        }
    }

    fn apply(&self, edits: &[Edit]) -> Value {
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

    fn bad(&mut self, kind: usize) {
        let at = u64::try_from(self.now).expect("an instant");
        let line = match kind {
            0 => json!({ "key": "k0" }),
            1 => json!({ "at": at, "op": "frobnicate" }),
            2 => json!({ "at": at, "key": "k0", "cost": -1 }),
            3 => json!({ "at": at, "key": "k0", "cost": 1.5 }),
            4 => json!({ "at": at, "key": "k0", "colour": "red" }),
            5 => json!({ "at": -1, "key": "k0" }),
            6 => json!({ "at": "2026-01-01T00:00:00", "key": "k0" }),
            7 => json!({ "at": at, "op": "revoke", "key_id": "nobody" }),
            8 => json!({ "at": at, "key": 7 }),
            _ => json!([at, "check"]),
        };
        self.model.step(&line);
        self.trace.push(line);
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
fn numbers(value: &Value, all: &mut Vec<u64>) {
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
        LimitEdit::Clear => {
            set(limits, "throttle", &Value::Null);
            set(limits, "quotas", &Value::Null);
        }
    }
}
