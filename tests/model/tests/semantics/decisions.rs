//! Throttles, quotas, key states, changes.

use super::*;

#[test]
fn throttle() {
    let mut m = model(json!({ "p": { "throttle": { "rate": "3/s", "burst": 2 } } }));
    assert_eq!(stands(&check(&mut m, 0, 2), 0), (0, Some(666_666_667)));
    let refused = check(&mut m, 0, 1);
    assert_eq!(outcome(&refused), is("throttled", 333_333_334, 0));
    assert_eq!(refused["violated"], json!(["throttle"]));
    assert_eq!(outcome(&check(&mut m, 333_333_333, 1)), is("throttled", 1, 0));
    assert_eq!(outcome(&check(&mut m, 333_333_334, 1)), is("ok", 0, 0));
    // Three tokens debited in all: the bucket is full again a whole second after the first.
    assert_eq!(stands(&check(&mut m, 333_333_334, 0), 0), (0, Some(666_666_666)));
    // An earlier instant: there is less than there was later, here less than nothing.
    assert_eq!(stands(&check(&mut m, 0, 0), 0), (0, Some(S)));
    assert_eq!(outcome(&check(&mut m, 0, 3)), is("cost_exceeds_limit", None, 0));
}

#[test]
fn rate_zero_stays_throttled() {
    let mut m = model(json!({ "p": { "throttle": { "rate": "0/s", "burst": 2 } } }));
    let refused = check(&mut m, 0, 3);
    assert_eq!(outcome(&refused), is("throttled", None, 0));
    assert_eq!(stands(&refused, 0), (0, None));
    assert_eq!(outcome(&check(&mut m, 0, 0)), is("ok", 0, 0));
}

#[test]
fn delay() {
    let slow = json!({ "name": "slow", "rate": "1/s", "burst": 1, "mode": { "delay": "2s" } });
    let fast = json!({ "name": "fast", "rate": "2/s", "burst": 1, "mode": { "delay": "1s" } });
    let mut m = model(json!({ "p": { "throttle": [slow, fast] } }));
    assert_eq!(outcome(&check(&mut m, 0, 1)), is("ok", 0, 0));
    assert_eq!(outcome(&check(&mut m, 0, 1)), is("delayed", 0, S));
    let last = check(&mut m, 0, 1);
    assert_eq!(outcome(&last), is("delayed", 0, 2 * S));
    assert_eq!(stands(&last, 0), (0, Some(3 * S)));
    assert_eq!(stands(&last, 1), (0, Some(3 * S / 2)));
    let refused = check(&mut m, 0, 1);
    // Waits of 3 s and 1.5 s, of which 2 s and 1 s are accepted.
    assert_eq!(outcome(&refused), is("throttled", S, 0));
    assert_eq!(refused["violated"], json!(["slow", "fast"]));
    let refused = check(&mut m, S / 2, 1);
    assert_eq!(refused["violated"], json!(["slow"]));
    assert_eq!(outcome(&refused), is("throttled", S / 2, 0));
    assert_eq!(outcome(&check(&mut m, S, 1)), is("delayed", 0, 2 * S));
}

#[test]
fn the_longest_wait_names_the_verdict() {
    let plan = |rate: &str| {
        model(json!({ "p": {
            "throttle": { "rate": rate, "burst": 1 },
            "quotas": [{ "limit": 1, "per": "minute" }],
        } }))
    };
    for (rate, want) in [
        ("1/s", is("quota_exceeded", 60 * S, 0)),
        ("1/m", is("quota_exceeded", 60 * S, 0)),
        ("1/h", is("throttled", 3600 * S, 0)),
    ] {
        let mut m = plan(rate);
        check(&mut m, 0, 1);
        let refused = check(&mut m, 0, 1);
        assert_eq!(outcome(&refused), want, "{rate}");
        assert_eq!(refused["violated"], json!(["throttle", "minute"]));
    }
    let mut m = model(json!({ "p": { "quotas": [
        { "limit": 5, "per": "second" }, { "limit": 0, "per": "day" },
    ] } }));
    assert_eq!(outcome(&check(&mut m, 0, 1)), is("quota_exceeded", None, 0));
    assert_eq!(outcome(&check(&mut m, 0, 6)), is("cost_exceeds_limit", None, 0));
}

#[test]
fn initial_debit() {
    let mut m = model(json!({ "p": { "quotas": [
        { "name": "q", "limit": 10, "per": "day", "initial_debit": 4 },
    ] } }));
    assert_eq!(outcome(&check(&mut m, 0, 7)), is("quota_exceeded", None, 0));
    assert_eq!(stands(&check(&mut m, 0, 0), 0), (6, Some(86_400 * S)));
    assert_eq!(stands(&check(&mut m, 86_400 * S, 1), 0), (5, Some(86_400 * S)));
    assert_eq!(outcome(&check(&mut m, 86_401 * S, 7)), is("quota_exceeded", 86_399 * S, 0));
    assert_eq!(stands(&check(&mut m, 2 * 86_400 * S, 10), 0), (0, Some(86_400 * S)));
    // The day before counts in the newest window that was debited.
    let refused = check(&mut m, 86_400 * S, 1);
    assert_eq!(outcome(&refused), is("quota_exceeded", 2 * 86_400 * S, 0));
    assert_eq!(stands(&refused, 0), (0, Some(2 * 86_400 * S)));
}

#[test]
fn routes_pools_and_units() {
    let file = json!({
        "plans": { "p": {
            "throttle": { "rate": "1/s", "burst": 5 },
            "quotas": [{ "limit": 100, "per": "day", "unit": "tokens" }],
            "routes": {
                "GET /pets": { "throttle": { "name": "r", "rate": "1/s", "burst": 2 } },
                "* *": { "quotas": [{ "name": "rest", "limit": 1, "per": "forever" }] },
            },
            "pool": { "quotas": [{ "name": "all", "limit": 3, "per": "hour" }] },
        } },
        "subjects": {
            "acme": { "plans": ["p"], "keys": [{ "id": "a", "value": "ka" }] },
            "bob": { "plans": ["p"], "keys": [{ "id": "b", "value": "kb" }] },
        },
    });
    let mut m = Model::from_plan_json(&file.to_string()).unwrap();
    let cost = json!({ "requests": 2, "tokens": 30 });
    let line = json!({ "at": T0, "key": "ka", "route": "GET /pets?x", "cost": cost });
    let answer = m.step(&line);
    let names: Vec<_> = answer["limits"].as_array().unwrap().iter().map(|l| &l["name"]).collect();
    assert_eq!(names, ["throttle", "day", "route:GET /pets:r", "pool:all"]);
    assert_eq!(stands(&answer, 0), (3, Some(2 * S)));
    assert_eq!(stands(&answer, 1), (70, Some(86_400 * S)));
    assert_eq!(stands(&answer, 2), (0, Some(2 * S)));
    assert_eq!(stands(&answer, 3), (1, Some(3600 * S)));
    // Bob's own limits are untouched; the pool is not his own.
    let refused = m.step(&json!({ "at": T0, "key": "kb", "cost": { "requests": 2 } }));
    assert_eq!(outcome(&refused), is("quota_exceeded", 3600 * S, 0));
    assert_eq!(refused["violated"], json!(["pool:all"]));
    assert_eq!(stands(&refused, 0), (5, Some(0)));
    let put = m.step(&json!({ "at": T0, "key": "kb", "route": "PUT /pets" }));
    assert_eq!(
        put["limits"][2],
        json!({
            "name": "route:* *:rest", "kind": "quota", "limit": 1, "remaining": 0, "reset_ns": null,
        })
    );
    assert_eq!(stands(&put, 3), (0, Some(3600 * S)));
}

#[test]
fn observe_answers_ok_and_debits_nothing_it_would_deny() {
    let mut m = model(json!({ "p": { "observe": true, "throttle": { "rate": "1/s", "burst": 1 } } }));
    assert_eq!(check(&mut m, 0, 1)["would_deny"], false);
    for _ in 0..2 {
        let denied = check(&mut m, 0, 1);
        assert_eq!(outcome(&denied), is("ok", S, 0));
        assert_eq!(denied["would_deny"], true);
        assert_eq!(denied["violated"], json!(["throttle"]));
        assert_eq!(stands(&denied, 0), (0, Some(S)));
    }
}

#[test]
fn a_peek_debits_nothing() {
    let mut m = model(json!({ "p": { "throttle": { "rate": "1/s", "burst": 1 } } }));
    for _ in 0..2 {
        let peek = m.step(&json!({ "at": T0, "op": "peek", "key": "k" }));
        assert_eq!(outcome(&peek), is("ok", 0, 0));
        assert_eq!(stands(&peek, 0), (1, Some(0)));
    }
}

#[test]
fn there_and_back_mints_nothing() {
    let plan = |rate: &str, burst: u64| json!({ "plans": { "p": { "throttle": { "rate": rate, "burst": burst } } } });
    let mut m = model(plan("1/s", 10)["plans"].clone());
    check(&mut m, 0, 10);
    // 4 s at 1/s, 1 s at 3/s, then 1/s again: three tokens are owed.
    assert_eq!(apply(&mut m, 4 * S, plan("3/s", 10)), "ok");
    assert_eq!(apply(&mut m, 5 * S, plan("1/s", 10)), "ok");
    assert_eq!(stands(&check(&mut m, 5 * S, 0), 0), (7, Some(3 * S)));
    // An earlier instant, before both changes: 8 are owed, and 2 s, 1 s and 3 s repay 2, 3, 3.
    assert_eq!(stands(&check(&mut m, 2 * S, 0), 0), (2, Some(6 * S)));
    // The same rate in other words is no change.
    assert_eq!(apply(&mut m, 5 * S, plan("60/m", 10)), "ok");
    assert_eq!(stands(&check(&mut m, 5 * S, 7), 0), (0, Some(10 * S)));
    // A smaller burst forgives what exceeds it.
    assert_eq!(apply(&mut m, 6 * S, plan("1/s", 4)), "ok");
    assert_eq!(stands(&check(&mut m, 6 * S, 0), 0), (0, Some(4 * S)));
}

#[test]
fn a_removed_limit_is_found_again() {
    let plan = |rate: &str| json!({ "plans": { "p": { "throttle": { "rate": rate, "burst": 10 } } } });
    let mut m = model(plan("1/s")["plans"].clone());
    check(&mut m, 0, 10);
    assert_eq!(apply(&mut m, S, json!({ "plans": { "p": {} } })), "ok");
    assert_eq!(check(&mut m, S, 99)["limits"], json!([]));
    // It lived on at 1/s until it came back at 2/s: six are owed.
    assert_eq!(apply(&mut m, 4 * S, plan("2/s")), "ok");
    assert_eq!(stands(&check(&mut m, 4 * S, 0), 0), (4, Some(3 * S)));
}

#[test]
fn a_period_changed_mid_window() {
    let plan = |per: &str, limit: u64| json!({ "plans": { "p": { "quotas": [{ "name": "q", "limit": limit, "per": per }] } } });
    let mut m = model(plan("hour", 10)["plans"].clone());
    check(&mut m, 60 * S, 4);
    assert_eq!(apply(&mut m, 120 * S, plan("day", 10)), "ok");
    assert_eq!(stands(&check(&mut m, 120 * S, 0), 0), (6, Some(86_280 * S)));
    assert_eq!(apply(&mut m, 120 * S, plan("minute", 3)), "ok");
    assert_eq!(stands(&check(&mut m, 120 * S, 0), 0), (0, Some(60 * S)));
    assert_eq!(stands(&check(&mut m, 180 * S, 0), 0), (3, Some(60 * S)));
}

#[test]
fn key_states() {
    let keys = json!([
        { "id": "i", "value": "k" },
        { "id": "off", "value": "koff", "enabled": false },
        { "id": "old", "value": "kold", "enabled": false, "expires": "2026-01-01T00:00:05Z" },
    ]);
    let file = json!({
        "plans": { "p": { "stages": ["a/b"] } },
        "subjects": { "acme": { "plans": ["p"], "keys": keys } },
    });
    let mut m = Model::from_plan_json(&file.to_string()).unwrap();
    fn verdict(m: &mut Model, after: u64, key: Value) -> String {
        let mut line = json!({ "at": T0 + after, "stage": "a/b" });
        if !key.is_null() {
            line["key"] = key;
        }
        m.step(&line)["verdict"].as_str().unwrap().to_owned()
    }
    assert_eq!(verdict(&mut m, 0, json!(null)), "key_missing");
    assert_eq!(verdict(&mut m, 0, json!("")), "key_missing");
    assert_eq!(verdict(&mut m, 0, json!("x")), "key_unknown");
    assert_eq!(verdict(&mut m, 0, json!("koff")), "key_disabled");
    assert_eq!(verdict(&mut m, 5 * S - 1, json!("kold")), "key_disabled");
    assert_eq!(verdict(&mut m, 5 * S, json!("kold")), "key_expired");
    assert_eq!(verdict(&mut m, 0, json!("k")), "ok");
    let elsewhere = m.step(&json!({ "at": T0, "key": "k", "stage": "a/c" }));
    assert_eq!(
        elsewhere,
        json!({
            "verdict": "no_plan_for_stage", "retry_after_ns": null, "delay_ns": 0,
            "violated": [], "limits": [],
        })
    );
    let op = |m: &mut Model, op: &str, id: &str| m.step(&json!({ "at": T0, "op": op, "key_id": id }));
    assert_eq!(op(&mut m, "enable", "off"), json!({ "status": "ok" }));
    assert_eq!(verdict(&mut m, 0, json!("koff")), "ok");
    assert_eq!(op(&mut m, "expire", "off"), json!({ "status": "ok" }));
    assert_eq!(verdict(&mut m, 0, json!("koff")), "key_expired");
    assert_eq!(op(&mut m, "enable", "off"), json!({ "status": "ok" }));
    assert_eq!(verdict(&mut m, 0, json!("koff")), "key_expired");
    op(&mut m, "revoke", "i");
    assert_eq!(op(&mut m, "enable", "i"), json!({ "status": "ok" }));
    assert_eq!(verdict(&mut m, 0, json!("k")), "key_revoked");
    assert!(op(&mut m, "enable", "nobody")["error"].is_string());
    // Unlisted it is unknown; listed again it is revoked still.
    let acme = |keys: Value| json!({ "subjects": { "acme": { "plans": ["p"], "keys": keys } } });
    assert_eq!(apply(&mut m, 0, acme(json!([]))), "ok");
    assert_eq!(verdict(&mut m, 0, json!("k")), "key_unknown");
    assert_eq!(apply(&mut m, 0, acme(json!([{ "id": "i2", "value": "k" }]))), "ok");
    assert_eq!(verdict(&mut m, 0, json!("k")), "key_revoked");
}

#[test]
fn anonymous_subjects() {
    let plans = json!({ "p": { "quotas": [{ "limit": 1, "per": "day" }] } });
    let mut m = model(plans).with_default_plan("p");
    let check = |m: &mut Model, key: &str| m.step(&json!({ "at": T0, "key": key }))["verdict"].clone();
    assert_eq!(check(&mut m, "10.0.0.1"), "ok");
    assert_eq!(check(&mut m, "10.0.0.1"), "quota_exceeded");
    // A registered subject of that name is another.
    assert_eq!(check(&mut m, "acme"), "ok");
    assert_eq!(check(&mut m, "k"), "ok");
    assert_eq!(check(&mut m, "k"), "quota_exceeded");
}

#[test]
fn conflicts_change_nothing() {
    let file = json!({
        "plans": {
            "all": { "quotas": [{ "limit": 1, "per": "day" }] },
            "prod": { "stages": ["a/prod"] },
            "dev": { "stages": ["a/dev"] },
        },
        "subjects": {
            "acme": { "plans": ["prod", "dev"], "keys": [{ "id": "i", "value": "k" }] },
            "bob": { "plans": ["all"] },
        },
    });
    let mut m = Model::from_plan_json(&file.to_string()).unwrap();
    for (change, want) in [
        (json!({ "subjects": { "acme": { "plans": ["prod", "all"] } } }), "conflict"),
        (json!({ "plans": { "dev": {} } }), "conflict"),
        (json!({ "plans": { "dev": null } }), "invalid"),
        (json!({ "subjects": { "bob": { "plans": ["gone"] } } }), "invalid"),
        (
            json!({ "subjects": { "bob": { "plans": [], "keys": [{ "id": "i", "value": "z" }] } } }),
            "conflict",
        ),
        (
            json!({ "subjects": { "bob": { "plans": [], "keys": [{ "id": "z", "value": "k" }] } } }),
            "conflict",
        ),
        (
            json!({ "subjects": { "acme": null, "bob": { "plans": [], "keys": [{ "id": "i", "value": "k" }] } } }),
            "ok",
        ),
        (json!({ "plans": { "dev": null, "prod": null } }), "ok"),
    ] {
        let before = m.clone().step(&json!({ "at": T0, "key": "k", "stage": "a/dev" }));
        assert_eq!(apply(&mut m, 0, change.clone()), want, "{change}");
        if want != "ok" {
            assert_eq!(m.step(&json!({ "at": T0, "key": "k", "stage": "a/dev" })), before);
        }
    }
    assert_eq!(check(&mut m, 0, 1)["verdict"], "no_plan_for_stage");
}

#[test]
fn a_short_day() {
    let mut m = model(json!({ "p": { "quotas": [{ "limit": 1, "per": "day", "zone": "America/Havana" }] } }));
    // Midnight of 8 March 2026 is in a gap; the day begins at 05:00 UTC and has 23 hours.
    let line = json!({ "at": "2026-03-08T04:59:59.999999999Z", "key": "k" });
    assert_eq!(stands(&m.step(&line), 0), (0, Some(1)));
    let line = json!({ "at": "2026-03-08T05:00:00Z", "key": "k" });
    assert_eq!(stands(&m.step(&line), 0), (0, Some(23 * 3600 * S)));
}

#[test]
fn lines_that_are_errors() {
    let mut m = model(json!({ "p": {} }));
    for (i, line) in [
        json!({ "key": "k" }),
        json!({ "at": T0, "op": "settle", "id": "x" }),
        json!({ "at": T0, "op": "settle", "id": "x", "actual": -1 }),
        json!({ "at": T0, "op": "refund" }),
        json!({ "at": T0, "op": "reserve", "key": "k", "id": "x" }),
        json!({ "at": T0, "op": "reserve", "key": "k", "ttl": 1 }),
        json!({ "at": T0, "op": "check", "key": "k", "ttl": 1 }),
        json!({ "at": T0, "key": "k", "cost": -1 }),
        json!({ "at": T0, "key": "k", "cost": 1.5 }),
        json!({ "at": T0, "key": "k", "x": 1 }),
        json!(7),
    ]
    .iter()
    .enumerate()
    {
        let answer = m.step(line);
        assert!(answer["error"].is_string(), "{line}");
        assert_eq!(answer["line"], i + 1);
    }
}
