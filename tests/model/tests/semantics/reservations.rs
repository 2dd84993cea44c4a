//! Reserve, settle, refund.

use super::*;

fn reserve(m: &mut Model, after: u64, id: &str, cost: Value, ttl: &str) -> Value {
    m.step(&json!({ "at": T0 + after, "op": "reserve", "key": "k", "id": id, "cost": cost, "ttl": ttl }))
}

/// Status and overdraft.
fn settle(m: &mut Model, after: u64, id: &str, actual: Value) -> (String, Option<u64>) {
    let answer = m.step(&json!({ "at": T0 + after, "op": "settle", "id": id, "actual": actual }));
    (answer["status"].as_str().unwrap().to_owned(), answer["overdraft"].as_u64())
}

fn done(status: &str, overdraft: impl Into<Option<u64>>) -> (String, Option<u64>) {
    (status.to_owned(), overdraft.into())
}

fn throttle_and_quota() -> Model {
    model(json!({ "p": {
        "throttle": { "rate": "1/s", "burst": 10 },
        "quotas": [{ "limit": 20, "per": "hour" }],
    } }))
}

#[test]
fn a_surplus_is_returned() {
    let mut m = throttle_and_quota();
    assert_eq!(outcome(&reserve(&mut m, 0, "a", json!(8), "10s")), is("ok", 0, 0));
    assert_eq!(remaining(&mut m, 0), [2, 12]);
    assert_eq!(settle(&mut m, S, "a", json!(3)), done("settled", 0));
    assert_eq!(remaining(&mut m, S), [8, 17]);
    assert_eq!(settle(&mut m, S, "a", json!(3)), done("already_settled", None));
    assert_eq!(by_id(&mut m, S, "refund", "a"), "already_settled");
    assert_eq!(remaining(&mut m, S), [8, 17]);
    // "up to its capacity"
    reserve(&mut m, S, "b", json!(8), "10s");
    assert_eq!(settle(&mut m, 7 * S, "b", json!(0)), done("settled", 0));
    assert_eq!(remaining(&mut m, 7 * S), [10, 17]);
    // Two were owed after 1 s and eight more were debited; a second earlier one more is owed.
    let before = m.step(&json!({ "at": T0, "op": "peek", "key": "k" }));
    assert_eq!(stands(&before, 0), (7, Some(3 * S)));
}

#[test]
fn late_begins_at_the_end_of_the_ttl() {
    for (after, want) in [(10 * S - 1, "settled"), (10 * S, "late"), (3600 * S - 1, "late")] {
        let mut m = throttle_and_quota();
        reserve(&mut m, 0, "a", json!(8), "10s");
        assert_eq!(settle(&mut m, after, "a", json!(3)), done(want, 0));
        assert_eq!(remaining(&mut m, after), [10, 17]);
        assert_eq!(settle(&mut m, after, "a", json!(3)), done("already_settled", None));
    }
    let mut m = throttle_and_quota();
    reserve(&mut m, S, "a", json!(8), "0s");
    assert_eq!(settle(&mut m.clone(), S, "a", json!(8)), done("late", 0));
    assert_eq!(settle(&mut m, S - 1, "a", json!(8)), done("settled", 0));
}

#[test]
fn an_overrun_is_debited_past_every_limit() {
    let mut m = throttle_and_quota();
    reserve(&mut m, 0, "a", json!(2), "10s");
    assert_eq!(settle(&mut m, S, "a", json!(25)), done("settled", 5));
    let peek = m.step(&json!({ "at": T0 + S, "op": "peek", "key": "k" }));
    // One token of the two has come back; 23 more are debited: 24 owed.
    assert_eq!(stands(&peek, 0), (0, Some(24 * S)));
    assert_eq!(stands(&peek, 1), (0, Some(3599 * S)));
    assert_eq!(outcome(&peek), is("quota_exceeded", 3599 * S, 0));
    // Not carried into the next window.
    assert_eq!(remaining(&mut m, 3600 * S), [10, 20]);
}

#[test]
fn an_overrun_of_a_bucket_that_is_full_since_is_debited_now() {
    let mut m = throttle_and_quota();
    reserve(&mut m, 0, "a", json!(2), "10s");
    settle(&mut m, 100 * S, "a", json!(5));
    assert_eq!(remaining(&mut m, 100 * S), [7, 15]);
}

#[test]
fn a_window_that_is_over_is_left_alone() {
    for (actual, left) in [(9, [10, 20]), (1, [10, 20])] {
        let mut m = throttle_and_quota();
        reserve(&mut m, 0, "a", json!(5), "1d");
        assert_eq!(settle(&mut m, 3600 * S, "a", json!(actual)), done("settled", 0));
        let throttle = if actual == 9 { 6 } else { left[0] };
        assert_eq!(remaining(&mut m, 3600 * S), [throttle, left[1]]);
    }
    // Another request has debited the next window; the clock steps back.
    let mut m = throttle_and_quota();
    reserve(&mut m, 0, "a", json!(5), "1d");
    check(&mut m, 3600 * S, 1);
    settle(&mut m, 0, "a", json!(1));
    assert_eq!(remaining(&mut m, 3600 * S), [10, 19]);
    // Only the clock has stepped back.
    let mut m = throttle_and_quota();
    reserve(&mut m, 3600 * S, "a", json!(5), "1d");
    settle(&mut m, 0, "a", json!(1));
    assert_eq!(remaining(&mut m, 3600 * S), [9, 19]);
}

#[test]
fn units_that_the_reservation_did_not_debit() {
    let mut m = model(json!({ "p": {
        "throttle": { "rate": "1/s", "burst": 10 },
        "quotas": [{ "name": "t", "limit": 50, "per": "hour", "unit": "tokens" }],
    } }));
    reserve(&mut m, 0, "a", json!({ "requests": 1 }), "2h");
    assert_eq!(remaining(&mut m, 0), [9, 50]);
    // It is charged in its current window, and the throttle gets its token back.
    let actual = json!({ "tokens": 60 });
    assert_eq!(settle(&mut m, 3600 * S, "a", actual), done("settled", 10));
    assert_eq!(remaining(&mut m, 3600 * S), [10, 0]);
    assert_eq!(remaining(&mut m, 7200 * S), [10, 50]);
    // "An integer costs n on every limit".
    reserve(&mut m, 7200 * S, "b", json!({ "tokens": 7 }), "2h");
    assert_eq!(settle(&mut m, 7200 * S, "b", json!(4)), done("settled", 0));
    assert_eq!(remaining(&mut m, 7200 * S), [6, 46]);
}

#[test]
fn overdraft_is_the_largest_of_the_quotas_adjusted() {
    let mut m = model(json!({ "p": { "quotas": [
        { "name": "a", "limit": 10, "per": "day" },
        { "name": "b", "limit": 7, "per": "day" },
        { "name": "t", "limit": 1, "per": "day", "unit": "tokens" },
    ] } }));
    reserve(&mut m, 0, "1", json!({ "requests": 6 }), "1h");
    reserve(&mut m, 0, "2", json!({ "requests": 1 }), "1h");
    assert_eq!(settle(&mut m, 0, "1", json!({ "requests": 11, "tokens": 3 })), done("settled", 5));
    // The actual cost is the reserved one: nothing is adjusted.
    assert_eq!(settle(&mut m.clone(), 0, "2", json!({ "requests": 1 })), done("settled", 0));
    // A surplus adjusts, too: 11 of 7 are used, then.
    assert_eq!(settle(&mut m, 0, "2", json!({ "requests": 0 })), done("settled", 4));
}

#[test]
fn a_refund_returns_everything_once() {
    let mut m = throttle_and_quota();
    m.step(&json!({ "at": T0, "key": "k", "id": "c", "cost": 4 }));
    assert_eq!(settle(&mut m, 0, "c", json!(1)), done("unknown_id", None));
    assert_eq!(by_id(&mut m, 0, "refund", "c"), "refunded");
    assert_eq!(remaining(&mut m, 0), [10, 20]);
    assert_eq!(by_id(&mut m, 0, "refund", "c"), "already_settled");
    assert_eq!(settle(&mut m, 0, "c", json!(1)), done("unknown_id", None));
    reserve(&mut m, 0, "r", json!(4), "1s");
    assert_eq!(by_id(&mut m, 5 * S, "refund", "r"), "refunded");
    assert_eq!(settle(&mut m, 5 * S, "r", json!(1)), done("already_settled", None));
    assert_eq!(remaining(&mut m, 5 * S), [10, 20]);
    assert_eq!(by_id(&mut m, 0, "refund", "nobody"), "unknown_id");
}

#[test]
fn an_unsettled_reservation_stays_debited() {
    let mut m = throttle_and_quota();
    reserve(&mut m, 0, "r", json!(4), "1s");
    assert_eq!(remaining(&mut m, 1800 * S), [10, 16]);
}

#[test]
fn a_live_id_is_not_used_again() {
    let mut m = throttle_and_quota();
    reserve(&mut m, 0, "r", json!(4), "1s");
    for op in ["check", "reserve"] {
        for key in ["k", "nobody"] {
            let mut line = json!({ "at": T0, "op": op, "key": key, "id": "r" });
            if op == "reserve" {
                line["ttl"] = json!(5);
            }
            assert!(m.step(&line)["error"].is_string());
        }
    }
    by_id(&mut m, 0, "refund", "r");
    assert!(reserve(&mut m, 0, "r", json!(4), "1s")["error"].is_string());
    let peek = m.step(&json!({ "at": T0, "op": "peek", "key": "k", "id": "r" }));
    assert_eq!(peek["verdict"], "ok");
    // An id that was refused may be used.
    reserve(&mut m, 0, "s", json!(11), "1s");
    assert_eq!(settle(&mut m, 0, "s", json!(0)), done("unknown_id", None));
    assert_eq!(outcome(&reserve(&mut m, 0, "s", json!(10), "1s")), is("ok", 0, 0));
}

#[test]
fn plans_that_change_in_between() {
    let quota = |name: &str, limit: u64| json!({ "name": name, "limit": limit, "per": "day" });
    let plan = |rate: &str, quotas: Value| json!({ "plans": { "p": { "throttle": { "rate": rate, "burst": 10 }, "quotas": quotas } } });
    let start = |m: &mut Model| {
        reserve(m, 0, "r", json!(4), "1h");
        assert_eq!(remaining(m, 0), [6, 6]);
    };
    let new = || model(plan("1/s", json!([quota("q", 10)]))["plans"].clone());
    // A limit that is new is not charged; one that is lower is overdrawn.
    let mut m = new();
    start(&mut m);
    apply(&mut m, 0, plan("1/s", json!([quota("q", 5), quota("n", 9)])));
    assert_eq!(settle(&mut m, 0, "r", json!(8)), done("settled", 3));
    assert_eq!(remaining(&mut m, 0), [2, 0, 9]);
    // Limits that are gone are adjusted, and found again as they were.
    let mut m = new();
    start(&mut m);
    apply(&mut m, 0, json!({ "plans": { "p": {} } }));
    assert_eq!(settle(&mut m, 0, "r", json!(15)), done("settled", 0));
    apply(&mut m, 0, plan("1/s", json!([quota("q", 20)])));
    assert_eq!(remaining(&mut m, 0), [0, 5]);
    // The subject is gone and comes back.
    let mut m = new();
    start(&mut m);
    apply(&mut m, 0, json!({ "subjects": { "acme": null } }));
    assert_eq!(settle(&mut m, 0, "r", json!(1)), done("settled", 0));
    let acme = json!({ "plans": ["p"], "keys": [{ "id": "i", "value": "k" }] });
    apply(&mut m, 0, json!({ "subjects": { "acme": acme } }));
    assert_eq!(remaining(&mut m, 0), [9, 9]);
    // At rate 0 nothing is admitted, and what is returned is there again at another rate.
    let mut m = new();
    start(&mut m);
    apply(&mut m, 0, plan("0/s", json!([])));
    settle(&mut m, S, "r", json!(1));
    apply(&mut m, 2 * S, plan("1/s", json!([])));
    assert_eq!(remaining(&mut m, 2 * S), [9]);
}

#[test]
fn a_period_that_changes_in_between() {
    let plan =
        |per: &str| json!({ "plans": { "p": { "quotas": [{ "name": "q", "limit": 10, "per": per }] } } });
    // The open hour goes into the minute, and the reservation with it.
    let mut m = model(plan("hour")["plans"].clone());
    reserve(&mut m, 0, "r", json!(4), "1h");
    apply(&mut m, 90 * S, plan("minute"));
    assert_eq!(remaining(&mut m, 90 * S), [6]);
    assert_eq!(settle(&mut m.clone(), 119 * S, "r", json!(12)), done("settled", 2));
    assert_eq!(settle(&mut m.clone(), 120 * S, "r", json!(12)), done("settled", 0));
    settle(&mut m, 119 * S, "r", json!(1));
    assert_eq!(remaining(&mut m, 119 * S), [9]);
    // The minute was over.
    let mut m = model(plan("minute")["plans"].clone());
    reserve(&mut m, 0, "r", json!(4), "1h");
    apply(&mut m, 90 * S, plan("hour"));
    assert_eq!(remaining(&mut m, 90 * S), [10]);
    settle(&mut m, 90 * S, "r", json!(1));
    assert_eq!(remaining(&mut m, 90 * S), [10]);
}

#[test]
fn pools_routes_and_anonymous_subjects() {
    let plans = json!({ "p": {
        "routes": { "GET /": { "quotas": [{ "name": "r", "limit": 5, "per": "day" }] } },
        "pool": { "quotas": [{ "name": "all", "limit": 6, "per": "day" }] },
    } });
    let mut m = model(plans).with_default_plan("p");
    let line = json!({
        "at": T0, "op": "reserve", "key": "anon", "route": "GET /", "id": "x", "ttl": 5, "cost": 2,
    });
    m.step(&line);
    assert_eq!(settle(&mut m, 0, "x", json!(10)), done("settled", 5));
    assert_eq!(remaining(&mut m, 0), [0]);
    let peek = m.step(&json!({ "at": T0, "op": "peek", "key": "anon", "route": "GET /" }));
    assert_eq!((stands(&peek, 0).0, stands(&peek, 1).0), (0, 0));
}
