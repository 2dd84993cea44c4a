//! The random scenarios themselves: they are decided without a panic, they reach what they are
//! meant to reach, and what holds of every trace holds in them.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, TestRunner};
use serde_json::Value;
use std::collections::BTreeMap;
use tollgate_model::{Model, Scenario, Scope, scenario_of};

fn draw(scope: Scope, count: usize) -> Vec<Scenario> {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let strategy = scenario_of(scope);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn model(scenario: &Scenario) -> Model {
    let model = Model::from_plan_json(&scenario.plans.to_string()).unwrap();
    let model = model.with_usage_log();
    match &scenario.default_plan {
        Some(plan) => model.with_default_plan(plan),
        None => model,
    }
}

fn is_check(line: &Value) -> bool {
    line.is_object() && line.get("op").is_none_or(|op| op == "check" || op == "reserve")
}

/// How often each verdict and status is answered.
fn answers(scope: Scope) -> BTreeMap<String, usize> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for scenario in draw(scope, 600) {
        let mut model = model(&scenario);
        for line in &scenario.trace {
            let answer = model.step(line);
            let kind = if answer.get("line").is_some() { "error" } else { "" };
            let field = |name| answer.get(name).and_then(Value::as_str).unwrap_or(kind).to_owned();
            *seen.entry(field("verdict") + &field("status")).or_default() += 1;
            if answer.get("would_deny").is_some_and(|deny| deny == true) {
                *seen.entry("would_deny".to_owned()).or_default() += 1;
            }
            let op = line.get("op").and_then(Value::as_str).unwrap_or("check");
            *seen.entry(format!("{op} {}", field("status"))).or_default() += 1;
            for event in answer["events"].as_array().into_iter().flatten() {
                let kind = if event["threshold"].is_u64() { "alert" } else { "breached" };
                *seen.entry(kind.to_owned()).or_default() += 1;
            }
            let used = |row: &&Value| row["used"] != 0 || row["refused"] != 0;
            let rows = answer["days"].as_array().into_iter().flatten().filter(used).count();
            *seen.entry("row".to_owned()).or_default() += rows;
            *seen.entry("row of many".to_owned()).or_default() += usize::from(rows > 1);
            if answer["overdraft"].as_u64().is_some_and(|over| over > 0) {
                *seen.entry("overdraft".to_owned()).or_default() += 1;
            }
        }
    }
    println!("{seen:#?}");
    seen
}

#[test]
fn all_answers_are_reached() {
    let decisions = [
        "ok",
        "delayed",
        "throttled",
        "quota_exceeded",
        "cost_exceeds_limit",
        "key_missing",
        "key_unknown",
        "key_disabled",
        "key_expired",
        "key_revoked",
        "no_plan_for_stage",
        "conflict",
        "invalid",
        "would_deny",
    ];
    let besides = [
        "concurrency_exceeded",
        "settled",
        "late",
        "already_settled",
        "refunded",
        "unknown_id",
        "released",
        "already_released",
        "overdraft",
        "alert",
        "breached",
        "row",
        "row of many",
        "rotate ok",
        "rotate error",
        "grant ok",
        "grant error",
        "usage error",
        "snapshot ok",
        "restore ok",
        "restore error",
        "check error",
    ];
    for (scope, wanted) in [
        (Scope::DECISIONS, decisions.to_vec()),
        (Scope::EVERYTHING, decisions.into_iter().chain(besides).collect()),
    ] {
        let seen = answers(scope);
        for wanted in wanted {
            assert!(seen.get(wanted).is_some_and(|count| *count >= 20), "{wanted}: {seen:#?}");
        }
    }
}

/// "`retry_after` = the smallest integer `d >= 0` ns such that the same request would be admitted
/// at `now + d` if nothing else happened." And: refusals and peeks "leave no trace at all".
#[test]
fn retry_after_is_the_first_instant_that_admits() {
    for scenario in draw(Scope::EVERYTHING, 150) {
        let mut model = model(&scenario);
        for line in &scenario.trace {
            let answer = model.clone().step(line);
            let at = line.get("at").and_then(Value::as_u64);
            if is_check(line)
                && let Some(at) = at
                && let Some(wait) = answer["retry_after_ns"].as_u64()
                && wait > 0
                && answer.get("would_deny").is_none()
            {
                for (instant, admitted) in [(at + wait, true), (at + wait - 1, false)] {
                    let mut later = line.clone();
                    later["at"] = instant.into();
                    let key_ok = |verdict: &str| !verdict.starts_with("key_");
                    let verdict = model.clone().step(&later)["verdict"].as_str().unwrap().to_owned();
                    let passes = verdict == "ok" || verdict == "delayed";
                    assert!(!key_ok(&verdict) || passes == admitted, "{line} {answer} {verdict}");
                }
            }
            let real = model.step(line);
            assert_eq!(real, answer);
        }
    }
}

/// Refused requests and peeks can be left out without any later answer changing, but that refusals
/// are counted and raise alerts.
#[test]
fn refusals_leave_no_trace() {
    let scope = Scope { usage: false, alerts: false, ..Scope::EVERYTHING };
    for scenario in draw(scope, 150) {
        let (mut full, mut short) = (model(&scenario), model(&scenario));
        for line in &scenario.trace {
            let answer = full.step(line);
            let admitted = matches!(answer["verdict"].as_str(), Some("ok" | "delayed"))
                && answer.get("would_deny").is_none_or(|deny| deny == false);
            let request = is_check(line) || line.get("op").is_some_and(|op| op == "peek");
            if !request || (is_check(line) && admitted) {
                let mut other = short.step(line);
                if let Some(number) = answer.get("line") {
                    other["line"] = number.clone();
                }
                assert_eq!(other, answer, "{line}");
            }
        }
    }
}

/// The cases at the edges of the contract, counted from outside: by lines and answers.
#[test]
fn the_edges_are_reached() {
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for scenario in draw(Scope::EVERYTHING, 600) {
        let mut model = model(&scenario);
        let mut late_from: BTreeMap<String, u64> = BTreeMap::new();
        let mut closed_by: BTreeMap<String, String> = BTreeMap::new();
        let (mut refused_ids, mut free_at, mut ends) = (vec![], vec![], vec![]);
        let mut last = 0;
        for line in &scenario.trace {
            let answer = model.step(line);
            let Some(at) = at_of(line) else { continue };
            let mut edge = |name: &'static str, reached: bool| {
                *seen.entry(name).or_default() += usize::from(reached);
            };
            let op = line.get("op").and_then(Value::as_str).unwrap_or("check");
            let id = line.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
            let status = answer["status"].as_str().unwrap_or_default();
            edge("the clock steps back", at < last);
            last = at;
            match op {
                "check" | "reserve" => {
                    let violated = answer["violated"].as_array().into_iter().flatten();
                    let full = violated.filter_map(Value::as_str).any(|name| name.ends_with("concurrency"));
                    edge("a live id is used again", answer.get("line").is_some() && id.starts_with('r'));
                    edge("a delayed reservation", op == "reserve" && answer["verdict"] == "delayed");
                    edge("an observed refusal with an id", answer["would_deny"] == true && !id.is_empty());
                    edge("at the end of a lease", free_at.contains(&at) && admitted(&answer));
                    edge(
                        "at the end of an overlap",
                        ends.contains(&at) && answer["verdict"] == "key_revoked",
                    );
                    if full && let Some(wait) = answer["retry_after_ns"].as_u64() {
                        free_at.push(at + wait);
                    }
                    if admitted(&answer) {
                        let ttl = line.get("ttl").and_then(Value::as_str);
                        let ttl = ttl.and_then(|ttl| {
                            [("1s", 1_000_000_000), ("1ns", 1), ("10s", 10_000_000_000)]
                                .into_iter()
                                .find(|known| known.0 == ttl)
                        });
                        late_from.extend(ttl.map(|(_, ttl)| (id.clone(), at + ttl)));
                    } else {
                        refused_ids.push(id);
                    }
                }
                "settle" | "refund" | "release" => {
                    let before = closed_by.get(&id).map(String::as_str);
                    let end = late_from.get(&id).copied();
                    edge("late at the end of a ttl", status == "late" && end == Some(at));
                    edge("settled before the end of a ttl", status == "settled" && end == Some(at + 1));
                    edge("settled twice", op == "settle" && status == "already_settled");
                    edge("a refund after a settle", op == "refund" && before == Some("settle"));
                    edge("a settle after a refund", op == "settle" && before == Some("refund"));
                    edge("a release after a settle", op == "release" && before == Some("settle"));
                    edge("released twice", status == "already_released" && before.is_none());
                    edge("an id that was refused", refused_ids.contains(&id) && status == "unknown_id");
                    edge(
                        "an actual cost in units",
                        line["actual"].is_object() && answer["overdraft"].is_u64(),
                    );
                    if matches!(status, "settled" | "late" | "refunded") {
                        closed_by.insert(id, op.to_owned());
                    }
                }
                "rotate" if status == "ok" => {
                    let long = [("10s", 10_000_000_000), ("1s", 1_000_000_000), ("1ns", 1)];
                    let found = long.into_iter().find(|(text, _)| line["overlap"] == *text);
                    ends.extend(found.map(|(_, ns)| at + ns));
                }
                "alerts" => {
                    let events = answer["events"].as_array().unwrap();
                    let pair = |pair: &[Value]| {
                        let same = |field: &str| pair[0][field] == pair[1][field];
                        let percent = |i: usize| pair[i]["threshold"].as_u64().unwrap_or(u64::MAX);
                        same("limit") && same("window_start") && percent(0) < percent(1)
                    };
                    edge("several thresholds", events.windows(2).any(pair));
                    edge("an alert of a pool", events.iter().any(|event| event["subject"].is_null()));
                }
                _ => {}
            }
        }
    }
    println!("{seen:#?}");
    assert!(seen.len() == 17 && seen.values().all(|count| *count >= 10), "{seen:#?}");
}

fn at_of(line: &Value) -> Option<u64> {
    line.get("at").and_then(Value::as_u64)
}

fn admitted(answer: &Value) -> bool {
    matches!(answer["verdict"].as_str(), Some("ok" | "delayed")) && answer["would_deny"] != true
}

/// "`refund(id)` [...] returns everything": at the same instant all is as it was.
#[test]
fn a_refund_undoes_a_check() {
    for scenario in draw(Scope::EVERYTHING, 100) {
        let mut model = model(&scenario);
        for line in &scenario.trace {
            if let (Some(at), true) = (at_of(line), is_check(line)) {
                let mut other = model.clone();
                let (mut peek, mut check) = (line.clone(), line.clone());
                peek["op"] = "peek".into();
                peek.as_object_mut().unwrap().remove("ttl");
                check["id"] = "refunded".into();
                let before = other.step(&peek);
                if admitted(&other.step(&check)) {
                    let refund = serde_json::json!({ "at": at, "op": "refund", "id": "refunded" });
                    assert_eq!(other.step(&refund)["status"], "refunded");
                    let after = other.step(&peek);
                    assert_eq!(after["limits"], before["limits"], "{line}");
                }
            }
            model.step(line);
        }
    }
}

/// "the cost becomes the actual one": a reservation of nothing that is settled at once is a check.
#[test]
fn a_settle_makes_the_cost_the_actual_one() {
    let mut compared = 0;
    for scenario in draw(Scope::EVERYTHING, 100) {
        let mut model = model(&scenario);
        for line in &scenario.trace {
            if let (Some(at), true) = (at_of(line), is_check(line)) {
                let (mut one, mut other) = (model.clone(), model.clone());
                let (mut check, mut reserve) = (line.clone(), line.clone());
                check["id"] = "x".into();
                reserve["id"] = "x".into();
                reserve["op"] = "reserve".into();
                reserve["ttl"] = 1.into();
                reserve["cost"] = serde_json::json!({});
                let actual = line.get("cost").cloned().unwrap_or(1.into());
                if admitted(&one.step(&check)) {
                    other.step(&reserve);
                    let by_id = |op: &str| serde_json::json!({ "at": at, "op": op, "id": "x" });
                    one.step(&by_id("release"));
                    let mut settle = by_id("settle");
                    settle["actual"] = actual;
                    let answer = other.step(&settle);
                    assert_eq!(answer, serde_json::json!({ "status": "settled", "overdraft": 0 }));
                    let mut peek = line.clone();
                    peek["op"] = "peek".into();
                    peek.as_object_mut().unwrap().remove("ttl");
                    assert_eq!(one.step(&peek), other.step(&peek), "{line}");
                    compared += 1;
                }
            }
            model.step(line);
        }
    }
    assert!(compared > 500, "{compared}");
}

/// "reset_ns": at that instant a throttle that was left alone is full, one nanosecond before it
/// is not.
#[test]
fn reset_is_the_first_instant_that_is_full() {
    for scenario in draw(Scope::EVERYTHING, 100) {
        let mut model = model(&scenario);
        for line in &scenario.trace {
            let answer = model.step(line);
            let (Some(at), true) = (line.get("at").and_then(Value::as_u64), is_check(line)) else {
                continue;
            };
            for (i, limit) in answer["limits"].as_array().into_iter().flatten().enumerate() {
                let Some(reset) = limit["reset_ns"].as_u64().filter(|ns| *ns > 0) else {
                    continue;
                };
                if limit["kind"] != "throttle" {
                    continue;
                }
                for (instant, full) in [(at + reset, true), (at + reset - 1, false)] {
                    let mut later = line.clone();
                    later["at"] = instant.into();
                    later["op"] = "peek".into();
                    let then = model.clone().step(&later);
                    if let Some(then) = then["limits"].get(i) {
                        assert_eq!(then["reset_ns"] == 0, full, "{line} {limit} {then}");
                        let all = then["remaining"] == then["limit"];
                        assert_eq!(all, full, "{line} {limit} {then}");
                    }
                }
            }
        }
    }
}
