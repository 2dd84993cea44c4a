//! The model against numbers worked out by hand.

mod alerts;
mod concurrency;
mod decisions;
mod reservations;
mod rotation;
mod snapshots;
mod usage;

use serde_json::{Value, json};
use tollgate_model::Model;

const S: u64 = 1_000_000_000;
/// 1 January 2026, 00:00 UTC, a Thursday.
const T0: u64 = 1_767_225_600 * S;

/// A model of some plans, with subject `acme`, whose key is `k`, on all of them.
fn model(plans: Value) -> Model {
    let names: Vec<&String> = plans.as_object().unwrap().keys().collect();
    let acme = json!({ "plans": names, "keys": [{ "id": "i", "value": "k" }] });
    let file = json!({ "plans": plans, "subjects": { "acme": acme } });
    Model::from_plan_json(&file.to_string()).unwrap()
}

fn check(model: &mut Model, after: u64, cost: u64) -> Value {
    model.step(&json!({ "at": T0 + after, "key": "k", "cost": cost }))
}

fn apply(model: &mut Model, after: u64, line: Value) -> Value {
    let mut line = line;
    line["at"] = json!(T0 + after);
    line["op"] = json!("apply");
    model.step(&line)["status"].clone()
}

/// Verdict, wait, delay.
fn outcome(answer: &Value) -> (String, Option<u64>, u64) {
    (
        answer["verdict"].as_str().unwrap().to_owned(),
        answer["retry_after_ns"].as_u64(),
        answer["delay_ns"].as_u64().unwrap(),
    )
}

/// Remaining and reset of one limit.
fn stands(answer: &Value, limit: usize) -> (u64, Option<u64>) {
    let limit = &answer["limits"][limit];
    (limit["remaining"].as_u64().unwrap(), limit["reset_ns"].as_u64())
}

fn is(verdict: &str, wait: impl Into<Option<u64>>, delay: u64) -> (String, Option<u64>, u64) {
    (verdict.to_owned(), wait.into(), delay)
}

/// An operation by id, and its status.
fn by_id(model: &mut Model, after: u64, op: &str, id: &str) -> Value {
    model.step(&json!({ "at": T0 + after, "op": op, "id": id }))["status"].clone()
}

/// What is free of each limit, by a peek.
fn remaining(model: &mut Model, after: u64) -> Vec<u64> {
    let answer = model.step(&json!({ "at": T0 + after, "op": "peek", "key": "k" }));
    let limits = answer["limits"].as_array().unwrap();
    limits.iter().map(|limit| limit["remaining"].as_u64().unwrap()).collect()
}
