//! Snapshot and restore.

use super::*;

fn named(m: &mut Model, op: &str, name: &str) -> Value {
    m.step(&json!({ "at": T0, "op": op, "name": name }))
}

fn plans() -> Value {
    json!({ "p": {
        "throttle": { "rate": "1/s", "burst": 10 },
        "quotas": [{ "name": "q", "limit": 10, "per": "day" }],
        "concurrency": { "limit": 5 },
    } })
}

#[test]
fn consumption_comes_back() {
    let mut m = model(plans());
    m.step(&json!({ "at": T0, "op": "reserve", "key": "k", "id": "a", "cost": 4, "ttl": "1h" }));
    assert_eq!(named(&mut m, "snapshot", "s"), json!({ "status": "ok" }));
    m.step(&json!({ "at": T0, "op": "settle", "id": "a", "actual": 8 }));
    m.step(&json!({ "at": T0, "key": "k", "id": "b" }));
    assert_eq!(remaining(&mut m, 0), [1, 1, 4]);
    for _ in 0..2 {
        assert_eq!(named(&mut m, "restore", "s"), json!({ "status": "ok" }));
        assert_eq!(remaining(&mut m, 0), [6, 6, 4]);
        // What came after is forgotten.
        assert_eq!(by_id(&mut m, 0, "refund", "b"), "unknown_id");
        assert_eq!(by_id(&mut m, 0, "refund", "a"), "refunded");
        assert_eq!(remaining(&mut m, 0), [10, 10, 5]);
        m.step(&json!({ "at": T0, "key": "k", "id": "b" }));
    }
    assert!(named(&mut m, "restore", "t")["error"].is_string());
}

#[test]
fn the_log_and_the_marks_come_back() {
    let mut m = model(plans());
    check(&mut m, 0, 8);
    named(&mut m, "snapshot", "s");
    check(&mut m, 0, 2);
    named(&mut m, "restore", "s");
    check(&mut m, 0, 2);
    let line = json!({
        "at": T0, "op": "usage", "subject": "acme", "plan": "p", "from": "2026-01-01", "to": "2026-01-01",
    });
    assert_eq!(m.step(&line)["days"][0]["used"], 10);
    // 80 had fired before, 100 had not; what was raised is still to be read.
    let answer = m.step(&json!({ "at": T0, "op": "alerts" }));
    let fired: Vec<_> = answer["events"].as_array().unwrap().iter().map(|e| &e["threshold"]).collect();
    assert_eq!(fired, [80, 100, 100]);
}

#[test]
fn key_states_never_go_back() {
    let mut m = model(plans());
    let op = |m: &mut Model, op: &str, id: &str| m.step(&json!({ "at": T0, "op": op, "key_id": id }));
    named(&mut m, "snapshot", "s");
    let rotate = json!({
        "at": T0, "op": "rotate", "key_id": "i", "new_id": "n", "value": "kn", "overlap": "0s",
    });
    m.step(&rotate);
    named(&mut m, "restore", "s");
    assert_eq!(check(&mut m, 0, 1)["verdict"], "key_revoked");
    let successor = json!({ "at": T0, "key": "kn" });
    assert_eq!(m.step(&successor)["verdict"], "ok");
    op(&mut m, "disable", "n");
    named(&mut m, "snapshot", "s");
    op(&mut m, "enable", "n");
    named(&mut m, "restore", "s");
    assert_eq!(m.step(&successor)["verdict"], "ok");
}

#[test]
fn plans_that_changed_since() {
    let plan = |rate: &str, burst: u64, per: &str| {
        json!({ "plans": { "p": {
            "throttle": { "rate": rate, "burst": burst },
            "quotas": [{ "name": "q", "limit": 10, "per": per }],
        } } })
    };
    let mut m = model(plan("1/s", 10, "hour")["plans"].clone()).with_usage_log();
    check(&mut m, 0, 9);
    named(&mut m, "snapshot", "s");
    // One token comes back, five of the eight that are owed are over the new burst.
    assert_eq!(apply(&mut m, S, plan("1/2s", 3, "day")), "ok");
    check(&mut m, S, 1);
    named(&mut m, "restore", "s");
    assert_eq!(remaining(&mut m, S), [0, 1]);
    assert_eq!(remaining(&mut m, 5 * S), [2, 1]);
    assert_eq!(remaining(&mut m, 3600 * S), [3, 1]);
}
