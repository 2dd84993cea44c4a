//! Rotation.

use super::*;

fn keys() -> Model {
    let keys = json!([
        { "id": "i", "value": "k" },
        { "id": "off", "value": "koff", "enabled": false, "expires": "2026-01-01T01:00:00Z" },
    ]);
    let file = json!({
        "plans": { "p": { "quotas": [{ "limit": 9, "per": "day" }] } },
        "subjects": {
            "acme": { "plans": ["p"], "keys": keys },
            "bob": { "plans": ["p"], "keys": [{ "id": "b", "value": "kb" }] },
        },
    });
    Model::from_plan_json(&file.to_string()).unwrap()
}

fn rotate(m: &mut Model, after: u64, old: &str, overlap: &str, new: &str, value: &str) -> Value {
    m.step(&json!({
        "at": T0 + after, "op": "rotate", "key_id": old, "overlap": overlap, "new_id": new, "value": value,
    }))
}

fn verdict(m: &mut Model, after: u64, key: &str) -> String {
    m.step(&json!({ "at": T0 + after, "key": key }))["verdict"].as_str().unwrap().to_owned()
}

#[test]
fn both_work_until_the_overlap_ends() {
    let mut m = keys();
    assert_eq!(rotate(&mut m, S, "i", "10s", "i2", "k2"), json!({ "status": "ok" }));
    assert_eq!(verdict(&mut m, S, "k"), "ok");
    assert_eq!(verdict(&mut m, S, "k2"), "ok");
    // They share the quota.
    let peek = m.step(&json!({ "at": T0 + S, "op": "peek", "key": "k2" }));
    assert_eq!(stands(&peek, 0).0, 7);
    assert_eq!(verdict(&mut m, 11 * S - 1, "k"), "ok");
    assert_eq!(verdict(&mut m, 11 * S, "k"), "key_revoked");
    assert_eq!(verdict(&mut m, 11 * S, "k2"), "ok");
    assert_eq!(verdict(&mut m, 10 * S, "k"), "ok");
    m.step(&json!({ "at": T0, "op": "enable", "key_id": "i" }));
    assert_eq!(verdict(&mut m, 11 * S, "k"), "key_revoked");
    assert!(rotate(&mut m, 11 * S, "i", "10s", "i3", "k3")["error"].is_string());
    assert_eq!(verdict(&mut m, 11 * S, "k3"), "key_unknown");
}

#[test]
fn no_overlap_revokes_at_once() {
    let mut m = keys();
    rotate(&mut m, 10 * S, "i", "0s", "i2", "k2");
    assert_eq!(verdict(&mut m, 10 * S, "k"), "key_revoked");
    assert_eq!(verdict(&mut m, 0, "k"), "key_revoked");
    assert_eq!(verdict(&mut m, 0, "k2"), "ok");
}

#[test]
fn the_successor_inherits_enabled_and_expiry() {
    let mut m = keys();
    rotate(&mut m, 0, "off", "1h", "i2", "k2");
    assert_eq!(verdict(&mut m, 0, "k2"), "key_disabled");
    m.step(&json!({ "at": T0, "op": "enable", "key_id": "i2" }));
    assert_eq!(verdict(&mut m, 0, "k2"), "ok");
    assert_eq!(verdict(&mut m, 0, "koff"), "key_disabled");
    assert_eq!(verdict(&mut m, 3600 * S, "k2"), "key_expired");
    // An expired key may be rotated, to no avail.
    rotate(&mut m, 3600 * S, "i2", "1h", "i3", "k3");
    assert_eq!(verdict(&mut m, 3600 * S, "k3"), "key_expired");
}

#[test]
fn rotations_that_are_errors() {
    let mut m = keys();
    m.step(&json!({ "at": T0, "op": "revoke", "key_id": "b" }));
    for (old, new, value) in [
        ("b", "n", "kn"),
        ("nobody", "n", "kn"),
        ("i", "i", "kn"),
        ("i", "b", "kn"),
        ("i", "n", "k"),
        ("i", "n", "kb"),
        ("i", "n", "koff"),
        ("i", "n", ""),
        ("i", "n", &"x".repeat(4097)),
    ] {
        assert!(rotate(&mut m, 0, old, "1s", new, value)["error"].is_string(), "{old} {new} {value}");
    }
    assert_eq!(verdict(&mut m, 10 * S, "k"), "ok");
    assert_eq!(verdict(&mut m, 10 * S, "kn"), "key_unknown");
    let line = json!({ "at": T0, "op": "rotate", "key_id": "i", "new_id": "n", "value": "v" });
    assert!(m.step(&line)["error"].is_string());
    let line = json!({ "at": T0, "op": "rotate", "key_id": "i", "new_id": "n", "overlap": 5 });
    let value = m.step(&line)["value"].as_str().unwrap().to_owned();
    assert_eq!(verdict(&mut m, 0, &value), "ok");
}

#[test]
fn what_ends_first_ends_a_key() {
    let mut m = keys();
    rotate(&mut m, 0, "i", "10s", "i2", "k2");
    rotate(&mut m, S, "i", "100s", "i3", "k3");
    assert_eq!(verdict(&mut m, 10 * S, "k"), "key_revoked");
    assert_eq!(verdict(&mut m, 10 * S, "k2"), "ok");
    rotate(&mut m, S, "i2", "100s", "i4", "k4");
    m.step(&json!({ "at": T0, "op": "revoke", "key_id": "i2" }));
    assert_eq!(verdict(&mut m, S, "k2"), "key_revoked");
    assert_eq!(verdict(&mut m, S, "k4"), "ok");
}

#[test]
fn lists_of_keys() {
    let mut m = keys();
    let acme = |keys: Value| json!({ "subjects": { "acme": { "plans": ["p"], "keys": keys } } });
    rotate(&mut m, 0, "i", "10s", "i2", "k2");
    assert_eq!(apply(&mut m, 0, json!({ "subjects": { "acme": { "plans": ["p"] } } })), "ok");
    assert_eq!(verdict(&mut m, 0, "k2"), "ok");
    assert_eq!(apply(&mut m, 0, acme(json!([{ "id": "i2", "value": "k2" }]))), "ok");
    assert_eq!(verdict(&mut m, 0, "k"), "key_unknown");
    // Listed again it ends when it was to end.
    assert_eq!(apply(&mut m, 0, acme(json!([{ "id": "i", "value": "k" }]))), "ok");
    assert_eq!(verdict(&mut m, 0, "k2"), "key_unknown");
    assert_eq!(verdict(&mut m, 10 * S - 1, "k"), "ok");
    assert_eq!(verdict(&mut m, 10 * S, "k"), "key_revoked");
}
