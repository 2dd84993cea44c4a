//! Alerts.

use super::*;

/// Subject, threshold and window (seconds after T0) of the events since the last call.
fn events(m: &mut Model) -> Vec<(Value, Value, i64)> {
    let answer = m.step(&json!({ "at": T0, "op": "alerts" }));
    assert_eq!(answer["dropped"], 0);
    let events = answer["events"].as_array().unwrap().iter();
    let after = |event: &Value| (event["window_start"].as_i64().unwrap() - T0 as i64) / S as i64;
    events.map(|event| (event["subject"].clone(), event["threshold"].clone(), after(event))).collect()
}

fn acme(threshold: impl Into<Value>, window: i64) -> (Value, Value, i64) {
    (json!("acme"), threshold.into(), window)
}

fn minute(limit: u64, alerts: Value) -> Value {
    json!({ "p": { "quotas": [{ "name": "q", "limit": limit, "per": "minute", "alerts": alerts }] } })
}

#[test]
fn each_threshold_once_a_window() {
    let quota = json!({ "quotas": [{ "name": "q", "limit": 10, "per": "minute" }] });
    let mut m = model(json!({ "p": quota }));
    check(&mut m, 0, 7);
    assert_eq!(events(&mut m), []);
    check(&mut m, S, 1);
    let answer = m.step(&json!({ "at": T0, "op": "alerts" }));
    let event = json!({ "subject": "acme", "plan": "p", "limit": "q", "threshold": 80, "window_start": T0 });
    assert_eq!(answer, json!({ "events": [event], "dropped": 0 }));
    check(&mut m, S, 1);
    check(&mut m, S, 1);
    check(&mut m, S, 1);
    check(&mut m, S, 99);
    assert_eq!(events(&mut m), [acme(100, 0), acme("breached", 0)]);
    // The next window; several at once, in ascending order.
    check(&mut m, 60 * S, 10);
    assert_eq!(events(&mut m), [acme(80, 60), acme(100, 60)]);
}

#[test]
fn a_refund_below_and_back_does_not_fire_again() {
    let mut m = model(minute(10, json!([100, 50])));
    for id in ["a", "b"] {
        m.step(&json!({ "at": T0, "key": "k", "id": id, "cost": 5 }));
        by_id(&mut m, 0, "refund", id);
    }
    assert_eq!(events(&mut m), [acme(50, 0)]);
}

#[test]
fn a_settle_crosses_and_a_peek_does_not() {
    let mut m = model(minute(10, json!([50, 90])));
    m.step(&json!({ "at": T0, "op": "reserve", "key": "k", "id": "a", "cost": 5, "ttl": "1h" }));
    m.step(&json!({ "at": T0, "op": "reserve", "key": "k", "id": "b", "cost": 1, "ttl": "1h" }));
    assert_eq!(events(&mut m), [acme(50, 0)]);
    m.step(&json!({ "at": T0, "op": "peek", "key": "k", "cost": 9 }));
    m.step(&json!({ "at": T0, "op": "settle", "id": "a", "actual": 20 }));
    assert_eq!(events(&mut m), [acme(90, 0)]);
    // The window is over: only the log changes.
    m.step(&json!({ "at": T0 + 60 * S, "op": "settle", "id": "b", "actual": 20 }));
    assert_eq!(events(&mut m), []);
}

#[test]
fn breached_is_raised_without_a_debit() {
    let mut m = model(minute(10, json!([])));
    check(&mut m, 60 * S, 11);
    check(&mut m, 60 * S, 11);
    assert_eq!(events(&mut m), [acme("breached", 60)]);
    // Only windows after the last that was breached.
    check(&mut m, 0, 11);
    assert_eq!(events(&mut m), []);
    check(&mut m, 120 * S, 11);
    assert_eq!(events(&mut m), [acme("breached", 120)]);
}

#[test]
fn another_limit_or_period_re_arms() {
    let plan = |quota: Value| json!({ "plans": { "p": { "quotas": [quota] } } });
    let quota = |limit: u64| json!({ "name": "q", "limit": limit, "per": "minute" });
    let mut m = model(json!({ "p": { "quotas": [quota(10)] } }));
    check(&mut m, 0, 8);
    check(&mut m, 0, 8);
    assert_eq!(events(&mut m), [acme(80, 0), acme("breached", 0)]);
    // There and back; it fires at the next debit.
    apply(&mut m, 0, plan(quota(20)));
    apply(&mut m, 0, plan(quota(10)));
    assert_eq!(events(&mut m), []);
    check(&mut m, 0, 8);
    check(&mut m, 0, 1);
    assert_eq!(events(&mut m), [acme("breached", 0), acme(80, 0)]);
    // Thresholds alone: only those that have not fired.
    apply(&mut m, 0, plan(json!({ "name": "q", "limit": 10, "per": "minute", "alerts": [60, 80, 90] })));
    check(&mut m, 0, 1);
    assert_eq!(events(&mut m), [acme(60, 0), acme(90, 0)]);
    // Gone and back with the same limit.
    apply(&mut m, 0, json!({ "plans": { "p": {} } }));
    apply(&mut m, 0, plan(quota(10)));
    check(&mut m, 0, 1);
    assert_eq!(events(&mut m), []);
    apply(&mut m, 0, plan(json!({ "name": "q", "limit": 10, "per": "hour" })));
    check(&mut m, 0, 1);
    assert_eq!(events(&mut m), [acme("breached", 0)]);
}

#[test]
fn pools_and_anonymous_subjects() {
    let mut m = model(json!({ "p": {
        "quotas": [{ "name": "q", "limit": 10, "per": "minute" }],
        "routes": { "GET /": { "quotas": [{ "name": "r", "limit": 10, "per": "minute" }] } },
        "pool": { "quotas": [{ "name": "all", "limit": 10, "per": "minute", "alerts": [100] }] },
    } }))
    .with_default_plan("p");
    m.step(&json!({ "at": T0, "key": "somebody", "route": "GET /", "cost": 8 }));
    assert_eq!(events(&mut m), []);
    m.step(&json!({ "at": T0, "key": "somebody", "cost": 2 }));
    assert_eq!(events(&mut m), [(json!(null), json!(100), 0)]);
    let refused = m.step(&json!({ "at": T0, "key": "k", "route": "GET /", "cost": 11 }));
    assert_eq!(refused["violated"], json!(["q", "route:GET /:r", "pool:all"]));
    let answer = m.step(&json!({ "at": T0, "op": "alerts" }));
    let limits: Vec<_> = answer["events"].as_array().unwrap().iter().map(|e| &e["limit"]).collect();
    assert_eq!(limits, ["q", "route:GET /:r", "pool:all"]);
}

#[test]
fn observed_and_granted() {
    let mut m = model(json!({ "p": {
        "observe": true, "quotas": [{ "name": "q", "limit": 10, "per": "minute", "initial_debit": 4 }],
    } }));
    check(&mut m, 0, 6);
    check(&mut m, 0, 6);
    // 60 of 100 are used: an initial debit does not count.
    assert_eq!(events(&mut m), [acme("breached", 0)]);
    let grant = json!({
        "at": T0, "op": "grant", "subject": "acme", "plan": "p", "limit": "q", "remaining": 50,
    });
    m.step(&grant);
    check(&mut m, 0, 6);
    check(&mut m, 0, 60);
    assert_eq!(events(&mut m), [acme(80, 0), acme(100, 0)]);
}
