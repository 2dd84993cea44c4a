//! Concurrency limits, leases, release.

use super::*;

fn request(model: &mut Model, after: u64, id: &str) -> Value {
    model.step(&json!({ "at": T0 + after, "key": "k", "id": id }))
}

#[test]
fn a_slot_is_held_until_its_lease_ends() {
    let mut m = model(json!({ "p": { "concurrency": { "limit": 2, "lease": "10s" } } }));
    let first = request(&mut m, 0, "a");
    assert_eq!(
        first["limits"][0],
        json!({ "name": "concurrency", "kind": "concurrency", "limit": 2, "remaining": 1, "reset_ns": null })
    );
    request(&mut m, 3 * S, "b");
    let refused = request(&mut m, 4 * S, "c");
    assert_eq!(outcome(&refused), is("concurrency_exceeded", 6 * S, 0));
    assert_eq!(refused["violated"], json!(["concurrency"]));
    // Its id is not known.
    assert_eq!(by_id(&mut m, 4 * S, "release", "c"), "unknown_id");
    assert_eq!(outcome(&request(&mut m, 10 * S - 1, "c")), is("concurrency_exceeded", 1, 0));
    assert_eq!(outcome(&request(&mut m, 10 * S, "c")), is("ok", 0, 0));
    // The clock steps back: b's and c's leases run, and a's slot has gone to c.
    assert_eq!(outcome(&request(&mut m, 9 * S, "d")), is("concurrency_exceeded", 4 * S, 0));
}

#[test]
fn the_default_lease_is_a_minute() {
    let mut m = model(json!({ "p": { "concurrency": { "limit": 1 } } }));
    request(&mut m, 0, "a");
    assert_eq!(outcome(&check(&mut m, 1, 5)), is("concurrency_exceeded", 60 * S - 1, 0));
    assert_eq!(outcome(&check(&mut m, 1, 0)), is("ok", 0, 0));
}

#[test]
fn release_settle_and_refund_free_the_slot() {
    let mut m = model(json!({ "p": {
        "quotas": [{ "limit": 10, "per": "day" }], "concurrency": { "limit": 1 },
    } }));
    request(&mut m, 0, "a");
    assert_eq!(remaining(&mut m, 0), [9, 0]);
    assert_eq!(by_id(&mut m, 1, "release", "a"), "released");
    assert_eq!(by_id(&mut m, 1, "release", "a"), "already_released");
    assert_eq!(remaining(&mut m, 1), [9, 1]);
    request(&mut m, 2, "b");
    assert_eq!(by_id(&mut m, 3, "refund", "b"), "refunded");
    assert_eq!(by_id(&mut m, 3, "release", "b"), "already_released");
    assert_eq!(remaining(&mut m, 3), [9, 1]);
    m.step(&json!({ "at": T0 + 4, "op": "reserve", "key": "k", "id": "c", "ttl": "1s" }));
    assert_eq!(remaining(&mut m, 4), [8, 0]);
    m.step(&json!({ "at": T0 + 5, "op": "settle", "id": "c", "actual": 3 }));
    assert_eq!(remaining(&mut m, 5), [6, 1]);
    // A release frees its own slot only, and once.
    request(&mut m, 6, "d");
    assert_eq!(by_id(&mut m, 7, "release", "c"), "already_released");
    assert_eq!(by_id(&mut m, 7, "release", "nobody"), "unknown_id");
    assert_eq!(remaining(&mut m, 7), [5, 0]);
    // A refund after a release returns the cost.
    assert_eq!(by_id(&mut m, 8, "release", "d"), "released");
    assert_eq!(by_id(&mut m, 8, "refund", "d"), "refunded");
    assert_eq!(remaining(&mut m, 8), [6, 1]);
}

#[test]
fn a_release_after_the_lease_is_the_first_all_the_same() {
    let mut m = model(json!({ "p": { "concurrency": { "limit": 1, "lease": "1s" } } }));
    request(&mut m, 0, "a");
    request(&mut m, S, "b");
    assert_eq!(by_id(&mut m, S, "release", "a"), "released");
    assert_eq!(remaining(&mut m, S), [0]);
    let mut m = model(json!({ "p": {} }));
    request(&mut m, 0, "a");
    assert_eq!(by_id(&mut m, S, "release", "a"), "released");
}

#[test]
fn the_longest_wait_and_the_order_of_ties() {
    let plan = |rate: &str, lease: &str| {
        model(json!({ "p": {
            "throttle": { "rate": rate, "burst": 1 },
            "concurrency": { "limit": 1, "lease": lease },
        } }))
    };
    for (rate, lease, want) in [
        ("1/s", "2s", is("concurrency_exceeded", 2 * S, 0)),
        ("1/s", "1s", is("throttled", S, 0)),
        ("1/m", "1s", is("throttled", 60 * S, 0)),
    ] {
        let mut m = plan(rate, lease);
        check(&mut m, 0, 1);
        let refused = check(&mut m, 0, 1);
        assert_eq!(outcome(&refused), want, "{rate} {lease}");
        assert_eq!(refused["violated"], json!(["throttle", "concurrency"]));
    }
    // No wait helps at limit 0.
    let mut m = model(json!({ "p": {
        "quotas": [{ "limit": 1, "per": "day" }], "concurrency": { "limit": 0 },
    } }));
    let refused = check(&mut m, 0, 1);
    assert_eq!(outcome(&refused), is("concurrency_exceeded", None, 0));
    assert_eq!(stands(&refused, 1), (0, None));
    assert_eq!(outcome(&check(&mut m, 0, 2)), is("cost_exceeds_limit", None, 0));
}

#[test]
fn routes_pools_and_costs_in_units() {
    let mut m = model(json!({ "p": {
        "concurrency": { "limit": 9 },
        "quotas": [{ "limit": 5, "per": "day" }],
        "routes": { "GET /": { "concurrency": { "limit": 5, "lease": "1s" } } },
        "pool": { "concurrency": { "limit": 3 }, "throttle": { "rate": "1/s", "burst": 7 } },
    } }));
    let ask = |m: &mut Model, cost: Value| {
        m.step(&json!({ "at": T0, "key": "k", "route": "GET /", "id": cost.to_string(), "cost": cost }))
    };
    // A unit that no limit counts is a cost, too.
    let answer = ask(&mut m, json!({ "bytes": 2 }));
    let names: Vec<_> = answer["limits"].as_array().unwrap().iter().map(|l| &l["name"]).collect();
    assert_eq!(names, ["day", "concurrency", "route:GET /:concurrency", "pool:throttle", "pool:concurrency"]);
    let free = |answer: &Value| (0..5).map(|i| stands(answer, i).0).collect::<Vec<_>>();
    assert_eq!(free(&answer), [5, 8, 4, 7, 2]);
    for cost in [json!({}), json!({ "bytes": 0 }), json!(0)] {
        assert_eq!(free(&ask(&mut m, cost)), [5, 8, 4, 7, 2]);
    }
    assert_eq!(free(&ask(&mut m, json!(3))), [2, 7, 3, 4, 1]);
    assert_eq!(by_id(&mut m, 0, "release", "3"), "released");
    assert_eq!(free(&ask(&mut m, json!({ "x": 0 }))), [2, 8, 4, 4, 2]);
}

#[test]
fn a_limit_that_changes_goes_and_comes_back() {
    let plan = |concurrency: Value| json!({ "plans": { "p": { "concurrency": concurrency } } });
    let mut m = model(json!({ "p": { "concurrency": { "limit": 3, "lease": "10s" } } }));
    for id in ["a", "b", "c"] {
        request(&mut m, 0, id);
    }
    assert_eq!(apply(&mut m, S, plan(json!({ "limit": 2, "lease": "1s" }))), "ok");
    assert_eq!(outcome(&request(&mut m, S, "d")), is("concurrency_exceeded", 9 * S, 0));
    by_id(&mut m, S, "release", "a");
    assert_eq!(outcome(&request(&mut m, S, "d")), is("concurrency_exceeded", 9 * S, 0));
    by_id(&mut m, S, "release", "b");
    // The lease is that of the admission.
    assert_eq!(outcome(&request(&mut m, S, "d")), is("ok", 0, 0));
    assert_eq!(outcome(&request(&mut m, S, "e")), is("concurrency_exceeded", S, 0));
    assert_eq!(apply(&mut m, S, json!({ "plans": { "p": {} } })), "ok");
    request(&mut m, S, "e");
    assert_eq!(apply(&mut m, S, plan(json!({ "limit": 3 }))), "ok");
    assert_eq!(remaining(&mut m, S), [1]);
    assert_eq!(remaining(&mut m, 2 * S), [2]);
    assert_eq!(apply(&mut m, S, plan(json!({ "limit": 3, "lease": "0s" }))), "invalid");
}

#[test]
fn a_would_be_refusal_takes_no_slot() {
    let mut m = model(json!({ "p": { "observe": true, "concurrency": { "limit": 1 } } }));
    assert_eq!(request(&mut m, 0, "a")["would_deny"], false);
    for _ in 0..2 {
        let denied = request(&mut m, 0, "b");
        assert_eq!(outcome(&denied), is("ok", 60 * S, 0));
        assert_eq!(denied["would_deny"], true);
    }
    assert_eq!(by_id(&mut m, 0, "release", "b"), "unknown_id");
    assert_eq!(by_id(&mut m, 0, "release", "a"), "released");
}

#[test]
fn a_delayed_request_holds_its_slot_from_now_on() {
    let mut m = model(json!({ "p": {
        "throttle": { "rate": "1/s", "burst": 1, "mode": { "delay": "5s" } },
        "concurrency": { "limit": 2, "lease": "3s" },
    } }));
    check(&mut m, 0, 1);
    assert_eq!(outcome(&check(&mut m, 0, 1)), is("delayed", 0, S));
    // The third would be delayed by 2 s, which is accepted; the slots are free in 3 s.
    let refused = check(&mut m, 0, 1);
    assert_eq!(outcome(&refused), is("concurrency_exceeded", 3 * S, 0));
    assert_eq!(refused["violated"], json!(["concurrency"]));
}
