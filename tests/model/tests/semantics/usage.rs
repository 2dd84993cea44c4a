//! The usage log, grants, and what a change of period takes from the log.

use super::*;

/// 1 January 2026 and so many days, at noon.
fn noon(day: u64) -> u64 {
    (day - 1) * 86_400 * S + 43_200 * S
}

/// `used`, `remaining`, `refused` of each day.
fn usage(m: &mut Model, after: u64, from: &str, to: &str) -> Vec<(i64, i64, u64)> {
    let answer = m.step(&json!({
        "at": T0 + after, "op": "usage", "subject": "acme", "plan": "p", "from": from, "to": to,
    }));
    let days = answer["days"].as_array().unwrap_or_else(|| panic!("{answer}"));
    let row = |row: &Value| {
        let number = |field: &str| row[field].as_i64().unwrap();
        (number("used"), number("remaining"), row["refused"].as_u64().unwrap())
    };
    days.iter().map(row).collect()
}

fn grant(m: &mut Model, after: u64, limit: &str, n: u64) -> Value {
    m.step(&json!({
        "at": T0 + after, "op": "grant", "subject": "acme", "plan": "p", "limit": limit, "remaining": n,
    }))
}

fn quotas(quotas: Value) -> Value {
    json!({ "p": { "quotas": quotas } })
}

fn plan(quota: Value) -> Value {
    json!({ "plans": quotas(json!([quota])) })
}

#[test]
fn a_row_a_day() {
    let mut m = model(quotas(json!([{ "name": "q", "limit": 10, "per": "day" }])));
    check(&mut m, noon(1), 3);
    check(&mut m, noon(1), 4);
    check(&mut m, noon(1), 4);
    check(&mut m, noon(3), 9);
    m.step(&json!({ "at": T0 + noon(3), "op": "peek", "key": "k", "cost": 9 }));
    check(&mut m, noon(3), 2);
    check(&mut m, noon(3), 99);
    let answer = m.step(&json!({
        "at": T0 + noon(3), "op": "usage", "subject": "acme", "plan": "p",
        "from": "2026-01-01", "to": "2026-01-01",
    }));
    let row = json!({ "limit": "q", "date": "2026-01-01", "used": 7, "remaining": 3, "refused": 1 });
    assert_eq!(answer, json!({ "days": [row] }));
    let days = usage(&mut m, noon(3), "2025-12-31", "2026-01-04");
    assert_eq!(days, [(0, 10, 0), (7, 3, 1), (0, 10, 0), (9, 1, 2), (0, 10, 0)]);
    // On the day after nothing is used yet.
    assert_eq!(usage(&mut m, noon(4), "2026-01-03", "2026-01-04"), [(9, 1, 2), (0, 10, 0)]);
}

#[test]
fn a_month_has_what_its_days_have_left() {
    let mut m = model(quotas(json!([{ "name": "q", "limit": 100, "per": "month" }])));
    check(&mut m, noon(2), 30);
    check(&mut m, noon(5), 20);
    let days = usage(&mut m, noon(6), "2026-01-01", "2026-01-07");
    assert_eq!(days, [(0, 100, 0), (30, 70, 0), (0, 70, 0), (0, 70, 0), (20, 50, 0), (0, 50, 0), (0, 50, 0)]);
    assert_eq!(usage(&mut m, noon(6), "2026-01-31", "2026-02-01"), [(0, 50, 0), (0, 100, 0)]);
    // A limit that changes does not touch the days that were.
    apply(&mut m, noon(7), plan(json!({ "name": "q", "limit": 60, "per": "month" })));
    let days = usage(&mut m, noon(7), "2026-01-04", "2026-01-07");
    assert_eq!(days, [(0, 70, 0), (20, 50, 0), (0, 50, 0), (0, 10, 0)]);
    // A grant shows from its day on, and with the debit that was the last so far.
    assert_eq!(grant(&mut m, noon(8), "q", 500), json!({ "status": "ok" }));
    let days = usage(&mut m, noon(8), "2026-01-04", "2026-01-09");
    assert_eq!(days, [(0, 70, 0), (20, 500, 0), (0, 500, 0), (0, 500, 0), (0, 500, 0), (0, 500, 0)]);
    check(&mut m, noon(9), 1);
    assert_eq!(usage(&mut m, noon(9), "2026-01-09", "2026-01-10"), [(1, 499, 0), (0, 499, 0)]);
}

#[test]
fn an_initial_debit_shows() {
    let mut m = model(quotas(json!([{ "name": "q", "limit": 10, "per": "day", "initial_debit": 4 }])));
    assert_eq!(usage(&mut m, noon(2), "2026-01-01", "2026-01-03"), [(0, 6, 0); 3]);
    check(&mut m, noon(2), 7);
    check(&mut m, noon(2), 1);
    assert_eq!(usage(&mut m, noon(2), "2026-01-01", "2026-01-03"), [(0, 10, 0), (1, 5, 1), (0, 10, 0)]);
}

#[test]
fn days_are_those_of_the_zone() {
    let mut m = model(quotas(json!([
        { "name": "utc", "limit": 10, "per": "hour" },
        { "name": "tokyo", "limit": 20, "per": "hour", "zone": "Asia/Tokyo" },
    ])));
    // 15:00 is midnight in Tokyo.
    check(&mut m, 15 * 3600 * S - 1, 1);
    check(&mut m, 15 * 3600 * S, 2);
    let days = usage(&mut m, 15 * 3600 * S, "2026-01-01", "2026-01-02");
    assert_eq!(days, [(3, 8, 0), (0, 10, 0), (1, 19, 0), (2, 18, 0)]);
    // In the next hour nothing is used yet.
    let days = usage(&mut m, 16 * 3600 * S, "2026-01-01", "2026-01-02");
    assert_eq!(days, [(3, 10, 0), (0, 10, 0), (1, 19, 0), (2, 20, 0)]);
}

#[test]
fn the_clock_steps_back() {
    let mut m = model(quotas(json!([{ "name": "q", "limit": 10, "per": "day" }])));
    check(&mut m, noon(3), 2);
    // It counts in the newest window, and is dated there.
    check(&mut m, noon(1), 3);
    check(&mut m, noon(1), 8);
    assert_eq!(usage(&mut m, noon(1), "2026-01-01", "2026-01-03"), [(0, 10, 0), (0, 10, 0), (5, 5, 1)]);
    let mut m = model(quotas(json!([{ "name": "q", "limit": 10, "per": "month" }])));
    check(&mut m, noon(3), 2);
    check(&mut m, noon(1), 3);
    assert_eq!(
        usage(&mut m, noon(3), "2026-01-01", "2026-01-04"),
        [(3, 5, 0), (0, 5, 0), (2, 5, 0), (0, 5, 0)]
    );
}

#[test]
fn settles_and_refunds_correct_the_day_of_the_debit() {
    let mut m = model(quotas(json!([
        { "name": "d", "limit": 10, "per": "day" },
        { "name": "m", "limit": 50, "per": "month" },
        { "name": "t", "limit": 9, "per": "day", "unit": "tokens" },
    ])));
    for id in ["a", "b"] {
        m.step(&json!({
            "at": T0 + noon(1), "op": "reserve", "key": "k", "id": id, "cost": { "requests": 4 }, "ttl": "7d",
        }));
    }
    m.step(&json!({
        "at": T0 + noon(3), "op": "settle", "id": "a", "actual": { "requests": 30, "tokens": 12 },
    }));
    let days = usage(&mut m, noon(3), "2026-01-01", "2026-01-03");
    // The day that is over keeps what it noted; the month is noted anew.
    let daily = [(34, 2, 0), (0, 10, 0), (0, 10, 0)];
    let monthly = [(34, 16, 0), (0, 16, 0), (0, 16, 0)];
    let tokens = [(0, 9, 0), (0, 9, 0), (12, 0, 0)];
    assert_eq!(days, [daily, monthly, tokens].concat());
    assert_eq!(by_id(&mut m, noon(4), "refund", "b"), "refunded");
    let days = usage(&mut m, noon(4), "2026-01-01", "2026-01-02");
    assert_eq!(days[..4], [(30, 2, 0), (0, 10, 0), (30, 20, 0), (0, 20, 0)]);
    assert_eq!(remaining(&mut m, noon(4)), [10, 20, 9]);
}

#[test]
fn would_be_refusals_count_and_other_limits_do_not() {
    let mut m = model(json!({ "p": {
        "observe": true, "quotas": [{ "name": "q", "limit": 1, "per": "day" }],
        "throttle": { "rate": "1/h", "burst": 3 },
        "routes": { "GET /": { "quotas": [{ "name": "r", "limit": 5, "per": "day" }] } },
        "pool": { "quotas": [{ "name": "all", "limit": 5, "per": "day" }] },
    } }));
    check(&mut m, noon(1), 1);
    check(&mut m, noon(1), 1);
    m.step(&json!({ "at": T0 + noon(1), "key": "nobody" }));
    // Of the plan, then of the route; a pool has no log.
    assert_eq!(usage(&mut m, noon(1), "2026-01-01", "2026-01-01"), [(1, 0, 1), (0, 5, 0)]);
    let mut m = model(json!({ "p": {
        "quotas": [{ "name": "q", "limit": 9, "per": "day" }], "throttle": { "rate": "1/h", "burst": 1 },
    } }));
    check(&mut m, noon(1), 1);
    check(&mut m, noon(1), 1);
    assert_eq!(usage(&mut m, noon(1), "2026-01-01", "2026-01-01"), [(1, 8, 0)]);
}

#[test]
fn rows_are_kept_for_ninety_days() {
    let mut m = model(quotas(json!([{ "name": "q", "limit": 10, "per": "day" }])));
    check(&mut m, noon(1), 1);
    check(&mut m, noon(2), 2);
    check(&mut m, noon(90), 3);
    assert_eq!(usage(&mut m, noon(90), "2026-01-01", "2026-01-02"), [(1, 9, 0), (2, 8, 0)]);
    check(&mut m, noon(91), 4);
    assert_eq!(usage(&mut m, noon(91), "2026-01-01", "2026-01-02"), [(0, 10, 0), (2, 8, 0)]);
}

#[test]
fn questions_that_are_errors() {
    let mut m = model(quotas(json!([{ "name": "q", "limit": 10, "per": "day" }])));
    let line = |fields: Value| {
        let mut line = json!({
            "at": T0, "op": "usage", "subject": "acme", "plan": "p",
            "from": "2026-01-01", "to": "2026-01-01",
        });
        for (field, value) in fields.as_object().unwrap() {
            line[field.as_str()] = value.clone();
        }
        line
    };
    assert!(m.step(&line(json!({})))["days"].is_array());
    for bad in [
        json!({ "subject": "nobody" }),
        json!({ "plan": "q" }),
        json!({ "from": "2026-01-02" }),
        json!({ "to": "2026-02-30" }),
        json!({ "to": "2026-1-1" }),
        json!({ "to": 20260101 }),
        json!({ "to": "2046-01-01" }),
        json!({ "limit": "q" }),
    ] {
        assert!(m.step(&line(bad.clone()))["error"].is_string(), "{bad}");
    }
    for (subject, plan, limit) in
        [("nobody", "p", "q"), ("acme", "x", "q"), ("acme", "p", "x"), ("acme", "p", "throttle")]
    {
        let line = json!({
            "at": T0, "op": "grant", "subject": subject, "plan": plan, "limit": limit, "remaining": 5,
        });
        assert!(m.step(&line)["error"].is_string(), "{line}");
    }
    assert!(grant(&mut m, 0, "q", 5)["error"].is_null());
}

#[test]
fn a_grant_is_for_its_window() {
    let mut m = model(quotas(json!([{ "name": "q", "limit": 10, "per": "day" }])));
    check(&mut m, noon(1), 8);
    grant(&mut m, noon(1), "q", 15);
    assert_eq!(remaining(&mut m, noon(1)), [15]);
    assert_eq!(outcome(&check(&mut m, noon(1), 12)), is("ok", 0, 0));
    // 20 of 23 are used; 10 more are no matter of the limit but of the allowance.
    assert_eq!(outcome(&check(&mut m, noon(1), 23)), is("quota_exceeded", None, 0));
    assert_eq!(outcome(&check(&mut m, noon(1), 24)), is("cost_exceeds_limit", None, 0));
    assert_eq!(outcome(&check(&mut m, noon(1), 10)), is("quota_exceeded", 43_200 * S, 0));
    grant(&mut m, noon(1), "q", 1);
    assert_eq!(remaining(&mut m, noon(1)), [1]);
    // "shifts `allowance` by the difference"
    apply(&mut m, noon(1), plan(json!({ "name": "q", "limit": 12, "per": "day" })));
    assert_eq!(remaining(&mut m, noon(1)), [3]);
    assert_eq!(remaining(&mut m, noon(2)), [12]);
    // A grant opens its window: the day before counts in it.
    grant(&mut m, noon(2), "q", 5);
    assert_eq!(remaining(&mut m, noon(1)), [5]);
}

#[test]
fn a_grant_before_the_first_debit() {
    let new = || model(quotas(json!([{ "name": "q", "limit": 10, "per": "day", "initial_debit": 4 }])));
    let mut m = new();
    grant(&mut m, noon(1), "q", 2);
    assert_eq!(remaining(&mut m, noon(1)), [2]);
    // The next window holds 6 until the first debit, so that a wait helps for 6 and not for 7.
    assert_eq!(outcome(&check(&mut m, noon(1), 6)), is("quota_exceeded", 43_200 * S, 0));
    assert_eq!(outcome(&check(&mut m, noon(1), 7)), is("quota_exceeded", None, 0));
    assert_eq!(remaining(&mut m, noon(2)), [6]);
    check(&mut m, noon(1), 1);
    assert_eq!(remaining(&mut m, noon(2)), [10]);
    let mut m = model(quotas(json!([{ "name": "q", "limit": 0, "per": "day" }])));
    grant(&mut m, noon(1), "q", 2);
    assert_eq!(outcome(&check(&mut m, noon(1), 2)), is("ok", 0, 0));
    assert_eq!(outcome(&check(&mut m, noon(1), 1)), is("quota_exceeded", None, 0));
}

#[test]
fn a_period_takes_the_sum_of_the_log() {
    let quota = |per: &str| json!({ "name": "q", "limit": 100, "per": per });
    let new = |per: &str| model(quotas(json!([quota(per)]))).with_usage_log();
    // Days into a week: 28 December to 3 January; the 1st was another window and counts.
    let mut m = new("day");
    check(&mut m, noon(1), 10);
    check(&mut m, noon(2), 5);
    apply(&mut m, noon(2), plan(quota("week")));
    assert_eq!(remaining(&mut m, noon(2)), [85]);
    // And back: the 2nd.
    apply(&mut m, noon(2), plan(quota("day")));
    assert_eq!(remaining(&mut m, noon(2)), [95]);
    // A week later: nothing was used in the new week, nor in the new day.
    apply(&mut m, noon(9), plan(quota("week")));
    assert_eq!(remaining(&mut m, noon(9)), [100]);
    // The month has all.
    apply(&mut m, noon(9), plan(quota("month")));
    assert_eq!(remaining(&mut m, noon(9)), [85]);
    // Windows under a day: the old count stays until the new window ends.
    apply(&mut m, noon(9), plan(quota("hour")));
    assert_eq!(remaining(&mut m, noon(9)), [85]);
    assert_eq!(remaining(&mut m, noon(9) + 3600 * S), [100]);
    check(&mut m, noon(9), 1);
    apply(&mut m, noon(9) + 3600 * S, plan(quota("1d")));
    assert_eq!(remaining(&mut m, noon(9) + 3600 * S), [99]);
    apply(&mut m, noon(9) + 3600 * S, plan(quota("forever")));
    assert_eq!(remaining(&mut m, noon(9) + 3600 * S), [84]);
    // Without a log.
    let mut m = model(quotas(json!([quota("day")])));
    check(&mut m, noon(1), 10);
    check(&mut m, noon(2), 5);
    apply(&mut m, noon(2), plan(quota("week")));
    assert_eq!(remaining(&mut m, noon(2)), [95]);
}

#[test]
fn a_reservation_goes_where_its_row_goes() {
    let quota = |per: &str| json!({ "name": "q", "limit": 100, "per": per });
    let mut m = model(quotas(json!([quota("day")]))).with_usage_log();
    m.step(&json!({ "at": T0 + noon(1), "op": "reserve", "key": "k", "id": "a", "cost": 10, "ttl": "9d" }));
    m.step(&json!({ "at": T0 + noon(2), "op": "reserve", "key": "k", "id": "b", "cost": 5, "ttl": "9d" }));
    apply(&mut m, noon(2), plan(quota("week")));
    // The day of a was over, and is in the week.
    m.step(&json!({ "at": T0 + noon(2), "op": "settle", "id": "a", "actual": 1 }));
    assert_eq!(remaining(&mut m, noon(2)), [94]);
    apply(&mut m, noon(2), plan(quota("day")));
    let settled = m.step(&json!({ "at": T0 + noon(2), "op": "settle", "id": "b", "actual": 101 }));
    assert_eq!(settled, json!({ "status": "settled", "overdraft": 1 }));
    // What the week has left is noted with its last debit, which was on the 2nd.
    assert_eq!(usage(&mut m, noon(2), "2026-01-01", "2026-01-02"), [(1, 90, 0), (101, 0, 0)]);
}

#[test]
fn a_period_does_not_go_back_behind_the_log() {
    let quota = |per: &str| json!({ "name": "q", "limit": 100, "per": per });
    let mut m = model(quotas(json!([quota("month")]))).with_usage_log();
    check(&mut m, noon(20), 10);
    apply(&mut m, noon(5), plan(quota("day")));
    assert_eq!(remaining(&mut m, noon(5)), [90]);
    assert_eq!(remaining(&mut m, noon(20)), [90]);
    assert_eq!(remaining(&mut m, noon(21)), [100]);
}
