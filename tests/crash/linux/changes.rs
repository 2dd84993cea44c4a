//! Changes of plans, subjects and keys, and idle work.

use tollgate::{Changes, Engine, Limits, Mode, Nanos, Plan, Quota, Request, Throttle, Verdict};

use super::scene::{
    CASE, Case, DAY, KEPT, POOL, T0, admitted, anonymous, check, debit, left, plans, subject,
};
use super::walk::Pace;

fn apply(engine: &Engine, changes: &Changes) {
    engine.apply_at(changes, Nanos::new(T0)).unwrap();
}

/// A plan with a pool.
fn new_plan(burst: u64) -> Changes {
    let plan = Plan::new()
        .throttle(Throttle::new("1/d", burst))
        .quota(Quota::new(9, "month"))
        .pool(Limits::new().quota(Quota::new(POOL, "forever")));
    Changes::new().plan("new", plan)
}

/// Another rate for a cell, and another period for a quota.
fn other_rates() -> Changes {
    let plan = Plan::new()
        .quota(Quota::new(4, "week").named("own"))
        .pool(Limits::new().quota(Quota::new(POOL, "forever")));
    Changes::new().plan("cell", Plan::new().throttle(Throttle::new("2/d", 3))).plan("pool", plan)
}

fn new_subject() -> Changes {
    Changes::new().subject("t", subject("t", "new key"))
}

fn verdict(engine: &Engine, key: &str) -> Verdict {
    check(engine, &Request::new(key).cost(0), T0)
}

/// How a key is, one of two ways: 1 for the `later`.
fn key_is(engine: &Engine, sooner: Verdict, later: Verdict) -> u8 {
    let verdict = verdict(engine, "a key");
    assert!([sooner, later].contains(&verdict), "{verdict:?}");
    u8::from(verdict == later)
}

/// The key works as if nobody had been at it.
fn key_works(engine: &Engine) {
    engine.enable("k").unwrap();
    assert_eq!(left(engine, &Request::new("a key"), T0), [4, POOL]);
    assert_eq!(admitted(engine, &Request::new("a key"), T0), 4);
}

/// A key that is expired or revoked stays so.
fn key_is_gone(engine: &Engine, sooner: Verdict, later: Verdict) -> u8 {
    let stage = key_is(engine, sooner, later);
    engine.disable("k").unwrap();
    engine.enable("k").unwrap();
    assert_eq!(verdict(engine, "a key"), [sooner, later][usize::from(stage)]);
    engine.revoke("k").unwrap();
    assert_eq!(verdict(engine, "a key"), Verdict::KeyRevoked);
    stage
}

/// Cells, lines and cells at their limit.
const IDLE: (u64, u64, u64) = (10, 5, 3);

fn idle(engine: &Engine, plan: &str, n: u64, cost: u64, now: u64) -> Verdict {
    check(engine, &anonymous(plan, &format!("{plan} {n}, {cost}")).cost(cost), now)
}

pub const CASES: &[Case] = &[
    Case {
        name: "apply: a new plan",
        run: |engine| apply(engine, &new_plan(3)),
        after: |engine, point| {
            let mut pool = POOL;
            if point.is_newcomers() {
                // One who defines it in another way comes first.
                apply(engine, &new_plan(2));
                pool -= admitted(engine, &anonymous("new", "y"), T0);
                assert_eq!(pool, POOL - 2);
            }
            apply(engine, &new_plan(3));
            debit(engine, &anonymous("new", "x"), T0, point, &[3, 9, pool])
        },
        last: 0,
        kept: KEPT + 2,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "apply: other rates and periods",
        before: |engine| {
            assert_eq!(admitted(engine, &anonymous("cell", "x"), T0), 3);
            assert_eq!(admitted(engine, &anonymous("pool", "x"), T0), 4);
        },
        run: |engine| apply(engine, &other_rates()),
        after: |engine, _| {
            let peeked = |plan, now| engine.report_at(&anonymous(plan, "x"), Nanos::new(now), Mode::Peek);
            let wait = || peeked("cell", T0).decision().retry_after().unwrap().get();
            let window = || peeked("pool", T0 + DAY).limits()[0].window().unwrap().get();
            let rates = [wait() == DAY / 2, window() == 7 * DAY];
            assert!(rates[0] || wait() == DAY);
            assert!(rates[1] || window() == DAY);
            apply(engine, &other_rates());
            assert_eq!((wait(), window()), (DAY / 2, 7 * DAY));
            assert_eq!(admitted(engine, &anonymous("cell", "x"), T0 + DAY), 2);
            assert_eq!(admitted(engine, &anonymous("pool", "x"), T0 + DAY), 0);
            apply(engine, &plans());
            rates.into_iter().map(u8::from).sum()
        },
        last: 2,
        // One that came later would bring the former ones along.
        newcomers: false,
        now: T0 + DAY,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "apply: a new subject",
        run: |engine| apply(engine, &new_subject()),
        after: |engine, point| {
            assert_eq!(verdict(engine, "new key"), Verdict::KeyUnknown);
            apply(engine, &new_subject());
            debit(engine, &Request::new("new key"), T0, point, &[4, POOL])
        },
        last: 0,
        kept: KEPT + 3,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "apply: a subject goes",
        before: |engine| assert_eq!(check(engine, &Request::new("a key"), T0), Verdict::Ok),
        run: |engine| apply(engine, &Changes::new().remove_subject("s")),
        after: |engine, point| {
            // For whoever has it, it is there as it was.
            debit(engine, &Request::new("a key"), T0, point, &[3, POOL - 1]);
            apply(engine, &Changes::new().remove_subject("s"));
            assert_eq!(verdict(engine, "a key"), Verdict::KeyUnknown);
            0
        },
        last: 0,
        kept: KEPT - 2,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "disable",
        run: |engine| engine.disable("k").unwrap(),
        after: |engine, _| {
            let stage = key_is(engine, Verdict::Ok, Verdict::KeyDisabled);
            key_works(engine);
            stage
        },
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "enable",
        before: |engine| engine.disable("k").unwrap(),
        run: |engine| engine.enable("k").unwrap(),
        after: |engine, _| {
            let stage = key_is(engine, Verdict::KeyDisabled, Verdict::Ok);
            key_works(engine);
            stage
        },
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "expire",
        run: |engine| engine.expire("k").unwrap(),
        after: |engine, _| key_is_gone(engine, Verdict::Ok, Verdict::KeyExpired),
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "revoke",
        run: |engine| engine.revoke("k").unwrap(),
        after: |engine, _| key_is_gone(engine, Verdict::Ok, Verdict::KeyRevoked),
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "maintain",
        before: |engine| {
            let (cells, lines, spent) = IDLE;
            (0..cells).for_each(|n| assert_eq!(idle(engine, "cell", n, 1, T0), Verdict::Ok));
            (0..lines).for_each(|n| assert_eq!(idle(engine, "two", n, 1, T0), Verdict::Ok));
            (0..spent).for_each(|n| assert_eq!(idle(engine, "cell", n, 3, T0 + 40 * DAY), Verdict::Ok));
        },
        run: |engine| {
            assert_eq!(u64::from(engine.maintain_at(100, Nanos::new(T0 + 40 * DAY))), IDLE.0 + IDLE.1);
        },
        after: |engine, _| {
            let (cells, lines, spent) = IDLE;
            let all = KEPT as u64 + cells + lines + spent;
            let emptied = all - engine.cells() as u64;
            let spent_are = |engine: &Engine| {
                (0..spent)
                    .for_each(|n| assert_eq!(idle(engine, "cell", n, 3, T0 + 40 * DAY), Verdict::Throttled));
            };
            spent_are(engine);
            let rest = engine.maintain_at(100, Nanos::new(T0 + 40 * DAY));
            assert_eq!(emptied + u64::from(rest), cells + lines);
            spent_are(engine);
            emptied as u8
        },
        last: 15,
        now: T0 + 40 * DAY,
        pace: Pace::Writes,
        ..CASE
    },
];
