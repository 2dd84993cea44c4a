//! Puts a scenario together from its seed.

use super::edits::{feasible, numbers};
use super::pools::*;
use super::{CostSeed, IdSeed, Jump, KeySeed, MAX_LINES, Number, Scenario, Scope, Seed, Start, What};
use crate::text::{self, Nanos};
use crate::{Model, config};
use chrono::{DateTime, Days, NaiveDate, Offset, SecondsFormat, TimeZone};
use serde_json::{Map, Value, json};

const SECOND: Nanos = 1_000_000_000;
const DAY: Nanos = 86_400 * SECOND;

pub(super) struct Assembler {
    pub(super) model: Model,
    pub(super) file: Value,
    pub(super) default_plan: Option<String>,
    /// Plans as they are after the lines so far.
    pub(super) plans: Map<String, Value>,
    first: Nanos,
    pub(super) now: Nanos,
    /// Instants that answers named, and ends of leases and reservations.
    pub(super) boundaries: Vec<Nanos>,
    /// Ids of admitted requests.
    pub(super) admitted: Vec<String>,
    /// Ids of reservations.
    pub(super) reservations: Vec<String>,
    /// Ids of open reservations, and from when on their settles are late.
    pub(super) reserved: Vec<(String, Nanos)>,
    /// Ids of refused requests.
    pub(super) refused: Vec<String>,
    /// Ids and values of keys that rotations made.
    pub(super) rotated: Vec<(String, String)>,
    /// Values of keys that were rotated, and the ends of their overlaps.
    pub(super) ending: Vec<(String, Nanos)>,
    trace: Vec<Value>,
}

pub(super) fn assemble(seed: &Seed, scope: Scope) -> Scenario {
    let first = beginning(&seed.start);
    let file = plan_file(seed, first);
    let default_plan = seed.default_plan.map(|plan| PLANS[plan].to_owned());
    let mut model = Model::from_plan_json(&file.to_string()).expect("a valid plan file");
    if let Some(plan) = &default_plan {
        model = model.with_default_plan(plan);
    }
    if scope.usage {
        model = model.with_usage_log();
    }
    let plans = file["plans"].as_object().expect("plans").clone();
    let mut all = Assembler {
        model,
        file,
        default_plan,
        plans,
        first,
        now: first,
        boundaries: vec![],
        admitted: vec![],
        reservations: vec![],
        reserved: vec![],
        refused: vec![],
        rotated: vec![],
        ending: vec![],
        trace: vec![],
    };
    for step in &seed.steps {
        all.jump(&step.jump);
        match &step.what {
            What::Check { op, times, request } => {
                for _ in 0..*times {
                    let line = all.request(op, request);
                    all.push(line, step.text);
                }
            }
            What::Metering(op) => all.meter(op, step.text),
            What::KeyOp(op, id) => {
                all.push(json!({ "op": op, "key_id": all.key_id(*id) }), step.text);
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

fn written(at: Nanos) -> Option<String> {
    let at = DateTime::from_timestamp_nanos(i64::try_from(at).ok()?);
    Some(at.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

pub(super) fn key(seed: &KeySeed, now: Nanos) -> Value {
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
        key["expires"] = json!(written(now + Nanos::from(seconds) * SECOND));
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
        self.go(to);
    }

    /// To an instant, if it is not too far off.
    pub(super) fn go(&mut self, to: Nanos) {
        let (least, most) = (self.first - 328 * DAY, self.first + 1277 * DAY);
        if (least..=most).contains(&to) {
            self.now = to;
        }
    }

    /// Adds a line, decides it, and notes the instants that the answer names.
    pub(super) fn push(&mut self, mut line: Value, as_text: bool) {
        line["at"] = match written(self.now).filter(|_| as_text) {
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
        if line["op"] == "rotate" && answer["status"] == "ok" {
            let field = |name: &str| line[name].as_str().expect("a text").to_owned();
            let overlap = text::duration(&line["overlap"]).expect("a duration");
            let end = self.now + Nanos::from(overlap);
            self.ending.push((self.key_value(&field("key_id")), end));
            self.boundaries.push(end);
            self.rotated.push((field("new_id"), field("value")));
        }
        if matches!(answer["status"].as_str(), Some("settled" | "late" | "refunded")) {
            self.reserved.retain(|(id, _)| line["id"] != *id);
        }
        let verdict = answer["verdict"].as_str();
        if line["op"] != "peek" && verdict.is_some() {
            let admitted = matches!(verdict, Some("ok" | "delayed")) && answer["would_deny"] != true;
            self.asked(&line, admitted);
        }
        self.trace.push(line);
    }

    /// Notes the id of a request, and when it ends.
    fn asked(&mut self, line: &Value, admitted: bool) {
        let id = line["id"].as_str().map(str::to_owned);
        if !admitted {
            self.refused.extend(id);
            return;
        }
        let length = |value: &Value| text::duration(value).ok().map(Nanos::from);
        let late = length(&line["ttl"]).map(|ttl| self.now + ttl);
        let mut leases = Vec::new();
        self.plans.values().for_each(|plan| super::edits::leases(plan, &mut leases));
        self.boundaries.extend(leases.iter().filter_map(length).map(|lease| self.now + lease));
        self.boundaries.extend(late);
        self.reserved.extend(id.clone().zip(late));
        self.reservations.extend(id.clone().filter(|_| late.is_some()));
        self.admitted.extend(id);
    }

    pub(super) fn request(&self, op: &str, seed: &super::RequestSeed) -> Value {
        let mut line = json!({ "op": op });
        let rotated = seed.rotated.and_then(|n| super::metering::back(&self.rotated, n));
        if let Some(key) = rotated.map(|(_, value)| value).or(seed.key.as_ref()) {
            line["key"] = json!(key);
        }
        if let Some(stage) = seed.stage {
            line["stage"] = json!(stage);
        }
        if let Some(route) = seed.route {
            line["route"] = json!(route);
        }
        let again = |back: usize| {
            let all: Vec<&String> = self.refused.iter().chain(&self.admitted).collect();
            super::metering::back(&all, back).map(|id| (*id).clone())
        };
        let new = || format!("r{}", self.trace.len());
        let id = match seed.id {
            Some(IdSeed::New) => Some(new()),
            Some(IdSeed::Again(back)) => again(back),
            None => (op == "reserve").then(new),
        };
        if let Some(id) = id {
            line["id"] = json!(id);
        }
        if op == "reserve" {
            line["ttl"] = json!(seed.ttl);
        }
        if let Some(cost) = &seed.cost {
            line["cost"] = self.cost(cost);
        }
        line
    }

    pub(super) fn cost(&self, seed: &CostSeed) -> Value {
        match seed {
            CostSeed::Every(n) => json!(self.number(n)),
            CostSeed::Named(requests, tokens, other) => {
                let mut named = Map::new();
                for (unit, n) in [("requests", requests), ("tokens", tokens)] {
                    if let Some(n) = n {
                        named.insert(unit.to_owned(), json!(self.number(n)));
                    }
                }
                if *other {
                    named.insert("bytes".to_owned(), json!(3));
                }
                Value::Object(named)
            }
        }
    }

    pub(super) fn number(&self, seed: &Number) -> u64 {
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
