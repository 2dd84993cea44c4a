//! Checks, and what makes room for them.

use tollgate::{Changes, Engine, Limits, Nanos, Plan, Quota, Request, Throttle, Verdict, WhenFull};

use super::scene::{CASE, Case, DAY, KEPT, POOL, T0, WINDOW, admitted, anonymous, check, debit, left};
use super::walk::Pace;

/// One check, admitted.
fn once(engine: &Engine, plan: &str, subject: &str, now: u64) {
    assert_eq!(check(engine, &anonymous(plan, subject), now), Verdict::Ok);
}

/// A plan of three lines.
fn many(engine: &Engine) {
    let quota = |limit| Quota::new(limit, "day");
    let many = Plan::new()
        .throttle(Throttle::new("1/d", 4))
        .quota(quota(6))
        .route("GET /r", Limits::new().quota(quota(8)))
        .pool(Limits::new().throttle(Throttle::new("100000/d", POOL)).quota(quota(POOL)));
    engine.apply_at(&Changes::new().plan("many", many), Nanos::new(T0)).unwrap();
}

fn routed() -> Request<'static> {
    anonymous("many", "x").route("GET /r")
}

/// Fills a tight table with subjects that were debited so much; the first a little less.
fn fill(engine: &Engine, plan: &str, cost: u64) {
    for n in 0..*WINDOW - KEPT {
        let cost = if n == 0 { 1 } else { cost };
        let name = format!("{n}");
        assert_eq!(check(engine, &anonymous(plan, &name).cost(cost), T0), Verdict::Ok, "{n}");
    }
    assert_eq!(engine.cells(), *WINDOW);
    assert!(matches!(engine.full_counts(), counts if counts == Default::default()));
}

/// A quota besides the throttle, so that a cell does not do any more.
fn wider() -> Changes {
    Changes::new().plan("cell", Plan::new().throttle(Throttle::new("2/d", 3)).quota(Quota::new(10, "day")))
}

pub const CASES: &[Case] = &[
    Case {
        name: "check: a cell",
        before: |engine| once(engine, "cell", "x", T0),
        run: |engine| once(engine, "cell", "x", T0),
        after: |engine, point| debit(engine, &anonymous("cell", "x"), T0, point, &[2]),
        ..CASE
    },
    Case {
        name: "check: two quotas",
        before: |engine| once(engine, "two", "x", T0),
        run: |engine| once(engine, "two", "x", T0),
        after: |engine, point| debit(engine, &anonymous("two", "x"), T0, point, &[3, 8]),
        ..CASE
    },
    Case {
        name: "check: own quota and pool",
        before: |engine| once(engine, "pool", "x", T0),
        run: |engine| once(engine, "pool", "x", T0),
        after: |engine, point| debit(engine, &anonymous("pool", "x"), T0, point, &[3, POOL - 1]),
        ..CASE
    },
    Case {
        name: "check: a key, own quota and pool",
        run: |engine| assert_eq!(check(engine, &Request::new("a key"), T0), Verdict::Ok),
        after: |engine, point| debit(engine, &Request::new("a key"), T0, point, &[4, POOL]),
        ..CASE
    },
    Case {
        name: "check: throttle, quota, route and pool",
        before: |engine| {
            many(engine);
            assert_eq!(check(engine, &routed(), T0), Verdict::Ok);
        },
        joined: many,
        kept: KEPT + 2,
        run: |engine| assert_eq!(check(engine, &routed(), T0), Verdict::Ok),
        after: |engine, point| debit(engine, &routed(), T0, point, &[3, 5, 7, POOL - 1, POOL - 1]),
        ..CASE
    },
    Case {
        name: "check: two subjects at once",
        before: |engine| once(engine, "pool", "x", T0),
        run: |engine| {
            let both = [anonymous("pool", "x"), anonymous("two", "y")];
            assert!(engine.check_all_at(&both, Nanos::new(T0)).is_allowed());
        },
        after: |engine, point| {
            let one = debit(engine, &anonymous("pool", "x"), T0, point, &[3, POOL - 1]);
            let other = debit(engine, &anonymous("two", "y"), T0, point, &[4, 9]);
            assert_eq!(one, other, "torn");
            one
        },
        ..CASE
    },
    Case {
        name: "check: a new cell",
        run: |engine| once(engine, "cell", "x", T0),
        after: |engine, point| debit(engine, &anonymous("cell", "x"), T0, point, &[3]),
        ..CASE
    },
    Case {
        name: "check: a new line and a pool",
        run: |engine| once(engine, "pool", "x", T0),
        after: |engine, point| debit(engine, &anonymous("pool", "x"), T0, point, &[4, POOL]),
        ..CASE
    },
    Case {
        name: "check: new lines with a route and a pool",
        before: many,
        joined: many,
        kept: KEPT + 2,
        run: |engine| assert_eq!(check(engine, &routed(), T0), Verdict::Ok),
        after: |engine, point| debit(engine, &routed(), T0, point, &[4, 6, 8, POOL, POOL]),
        ..CASE
    },
    Case {
        name: "check: a line in a cell's place",
        before: |engine| {
            once(engine, "cell", "x", T0);
            engine.apply_at(&wider(), Nanos::new(T0)).unwrap();
        },
        joined: |engine| engine.apply_at(&wider(), Nanos::new(T0)).unwrap(),
        run: |engine| once(engine, "cell", "x", T0),
        after: |engine, point| debit(engine, &anonymous("cell", "x"), T0, point, &[2, 10]),
        ..CASE
    },
    Case {
        name: "check: the first of a new day",
        before: |engine| assert_eq!(admitted(engine, &anonymous("pool", "x"), T0), 4),
        run: |engine| once(engine, "pool", "x", T0 + DAY),
        after: |engine, point| debit(engine, &anonymous("pool", "x"), T0 + DAY, point, &[4, POOL - 4]),
        now: T0 + DAY,
        ..CASE
    },
    Case {
        name: "check: the first in years",
        before: |engine| assert_eq!(admitted(engine, &anonymous("pool", "x"), T0), 4),
        run: |engine| once(engine, "pool", "x", T0 + 2_000 * DAY),
        after: |engine, point| {
            debit(engine, &anonymous("pool", "x"), T0 + 2_000 * DAY, point, &[4, POOL - 4])
        },
        now: T0 + 2_000 * DAY,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "check: refused by a cell",
        before: |engine| assert_eq!(admitted(engine, &anonymous("cell", "x"), T0), 3),
        run: |engine| assert_eq!(check(engine, &anonymous("cell", "x"), T0), Verdict::Throttled),
        after: |engine, _| {
            assert_eq!(admitted(engine, &anonymous("cell", "x"), T0), 0);
            assert_eq!(admitted(engine, &anonymous("cell", "x"), T0 + DAY), 1);
            0
        },
        last: 0,
        silent: true,
        now: T0 + DAY,
        ..CASE
    },
    Case {
        name: "check: refused by a quota",
        before: |engine| assert_eq!(admitted(engine, &anonymous("pool", "x"), T0), 4),
        run: |engine| assert_eq!(check(engine, &anonymous("pool", "x"), T0), Verdict::QuotaExceeded),
        after: |engine, point| debit(engine, &anonymous("pool", "x"), T0, point, &[0, POOL - 4]),
        last: 0,
        silent: true,
        ..CASE
    },
    Case {
        name: "peek",
        run: |engine| assert!(engine.peek_at(&anonymous("pool", "x"), Nanos::new(T0)).is_allowed()),
        after: |engine, point| debit(engine, &anonymous("pool", "x"), T0, point, &[4, POOL]),
        last: 0,
        silent: true,
        ..CASE
    },
    Case {
        name: "check: a cell that is as fresh is used again",
        tight: true,
        before: |engine| fill(engine, "cell", 2),
        run: |engine| once(engine, "cell", "x", T0 + 9 * DAY),
        after: |engine, point| {
            let debit = debit(engine, &anonymous("cell", "x"), T0 + 9 * DAY, point, &[3]);
            assert_eq!((engine.cells(), engine.full_counts()), (*WINDOW, Default::default()));
            debit
        },
        now: T0 + 9 * DAY,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "check: a line that is as fresh is used again",
        tight: true,
        before: |engine| fill(engine, "two", 2),
        run: |engine| once(engine, "two", "x", T0 + 40 * DAY),
        after: |engine, point| {
            let debit = debit(engine, &anonymous("two", "x"), T0 + 40 * DAY, point, &[4, 9]);
            assert_eq!((engine.cells(), engine.full_counts()), (*WINDOW, Default::default()));
            debit
        },
        now: T0 + 40 * DAY,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "check: a cell in a line's place",
        tight: true,
        before: |engine| fill(engine, "two", 2),
        run: |engine| once(engine, "cell", "x", T0 + 40 * DAY),
        after: |engine, point| {
            let debit = debit(engine, &anonymous("cell", "x"), T0 + 40 * DAY, point, &[3]);
            assert_eq!((engine.cells(), engine.full_counts()), (*WINDOW, Default::default()));
            debit
        },
        now: T0 + 40 * DAY,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "check: evict_smallest",
        tight: true,
        when_full: WhenFull::EvictSmallest,
        before: |engine| fill(engine, "cell", 2),
        run: |engine| {
            once(engine, "cell", "x", T0);
            assert_eq!(engine.full_counts().evicted, 1);
        },
        after: |engine, point| {
            let debit = debit(engine, &anonymous("cell", "x"), T0, point, &[3]);
            assert_eq!(engine.cells(), *WINDOW);
            // The one that was to go has gone, and no other.
            for n in 1..*WINDOW - KEPT {
                assert_eq!(left(engine, &anonymous("cell", &n.to_string()), T0), [1], "{n}");
            }
            assert_eq!(left(engine, &anonymous("cell", "0"), T0), [3]);
            debit
        },
        pace: Pace::Writes,
        ..CASE
    },
];
