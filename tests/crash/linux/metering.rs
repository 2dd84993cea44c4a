//! Slots, reservations, the usage log and grants.

use tollgate::{
    Changes, Concurrency, Cost, Date, Engine, Nanos, Plan, Quota, RefundStatus, ReleaseStatus, Request,
    SettleStatus, Threshold, UsageRow, Verdict,
};

use super::scene::{CASE, Case, DAY, KEPT, POOL, T0, admitted, anonymous, check, debit, left, subject};
use super::walk::Pace;

const LEASE: u64 = 60_000_000_000;
const SLOTS: u64 = 2;

/// A quota beside slots.
fn slots(engine: &Engine) {
    let plan = Plan::new().quota(Quota::new(POOL, "day")).concurrency(Concurrency::new(SLOTS));
    engine.apply_at(&Changes::new().plan("slots", plan), Nanos::new(T0)).unwrap();
}

fn visitor() -> Request<'static> {
    anonymous("slots", "x")
}

fn key() -> Request<'static> {
    Request::new("a key")
}

/// How many slots are taken, of which nobody was told: as many as the quota was debited, less `returned`. They are free again
/// when their leases have ended.
fn taken(engine: &Engine, debited: u64) -> u64 {
    let [quota, free] = left(engine, &visitor(), T0)[..] else { panic!("not two limits") };
    assert_eq!(POOL - quota, debited, "torn: {free} slots are free");
    assert_eq!(admitted(engine, &visitor(), T0), free);
    assert_eq!(check(engine, &visitor(), T0 + LEASE - 1), Verdict::ConcurrencyExceeded);
    assert_eq!(admitted(engine, &visitor(), T0 + LEASE), SLOTS);
    assert_eq!(left(engine, &visitor(), T0 + LEASE), [POOL - debited - free - SLOTS, 0]);
    SLOTS - free
}

/// A request of an id that only its process knows.
fn known(engine: &Engine, request: &Request<'_>) {
    assert!(engine.check_as_at(request, "an id", Nanos::new(T0)).unwrap().is_allowed());
}

fn reserve(engine: &Engine, cost: u64) {
    let decision = engine.reserve_at(&key().cost(cost), "an id", Nanos::new(DAY), Nanos::new(T0));
    assert!(decision.unwrap().is_allowed());
}

fn settle(engine: &Engine, actual: u64) {
    let settlement = engine.settle_at("an id", Cost::Every(actual), Nanos::new(T0));
    assert_eq!(settlement.status(), SettleStatus::Settled);
}

/// The row of a day.
fn row(engine: &Engine, now: u64) -> UsageRow {
    let date = Date::from_days((now / DAY) as i32);
    engine.usage_at("s", "pool", date, date, Nanos::new(now)).unwrap().remove(0)
}

/// What a subject has used, one of two numbers: the same of its quota (of 4), the pool's and the log; 1 for the `later`. All
/// goes on from there.
fn used(engine: &Engine, sooner: u64, later: u64) -> u8 {
    let [own, pool] = left(engine, &key(), T0)[..] else { panic!("not two limits") };
    let used = POOL - pool;
    assert!([sooner, later].contains(&used), "{used} used");
    assert_eq!(own, 4u64.saturating_sub(used), "torn: {used} of the pool");
    assert_eq!(row(engine, T0).used(), used, "torn: the log");
    assert_eq!(admitted(engine, &key(), T0), own);
    assert_eq!((row(engine, T0).used(), row(engine, T0).remaining()), (used + own, 0));
    u8::from(used == later)
}

pub const CASES: &[Case] = &[
    Case {
        name: "check: a first slot",
        before: slots,
        joined: slots,
        run: |engine| assert_eq!(check(engine, &visitor(), T0), Verdict::Ok),
        after: |engine, _| {
            let debited = POOL - left(engine, &visitor(), T0)[0];
            let taken = taken(engine, debited);
            assert_eq!(taken, debited, "torn");
            taken as u8
        },
        now: T0 + LEASE,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "check: a second slot",
        before: |engine| {
            slots(engine);
            assert_eq!(check(engine, &visitor(), T0), Verdict::Ok);
        },
        joined: slots,
        run: |engine| assert_eq!(check(engine, &visitor(), T0), Verdict::Ok),
        after: |engine, _| {
            let debited = POOL - left(engine, &visitor(), T0)[0];
            let taken = taken(engine, debited);
            assert_eq!(taken, debited, "torn");
            taken as u8 - 1
        },
        now: T0 + LEASE,
        ..CASE
    },
    Case {
        name: "check: a slot whose lease has ended",
        before: |engine| {
            slots(engine);
            assert_eq!(admitted(engine, &visitor(), T0 - LEASE), SLOTS);
        },
        joined: slots,
        run: |engine| assert_eq!(check(engine, &visitor(), T0), Verdict::Ok),
        after: |engine, _| {
            let debited = POOL - left(engine, &visitor(), T0)[0];
            let taken = taken(engine, debited);
            assert_eq!(taken, debited - SLOTS, "torn");
            taken as u8
        },
        now: T0 + LEASE,
        ..CASE
    },
    Case {
        name: "release",
        before: slots,
        joined: |engine| {
            slots(engine);
            known(engine, &visitor());
        },
        run: |engine| assert_eq!(engine.release("an id"), ReleaseStatus::Released),
        after: |engine, _| 1 - taken(engine, 1) as u8,
        // Who comes later would take a slot as well.
        newcomers: false,
        now: T0 + LEASE,
        ..CASE
    },
    Case {
        name: "settle: less than was reserved",
        joined: |engine| reserve(engine, 3),
        run: |engine| settle(engine, 1),
        after: |engine, _| used(engine, 3, 1),
        newcomers: false,
        ..CASE
    },
    Case {
        name: "settle: more than was reserved",
        joined: |engine| reserve(engine, 1),
        run: |engine| settle(engine, 6),
        after: |engine, _| used(engine, 1, 6),
        newcomers: false,
        ..CASE
    },
    Case {
        name: "reserve and settle",
        run: |engine| {
            reserve(engine, 3);
            settle(engine, 2);
        },
        after: |engine, _| match 4 - left(engine, &key(), T0)[0] {
            0 => used(engine, 0, u64::MAX),
            3 => 1 + used(engine, 3, u64::MAX),
            _ => 1 + used(engine, 3, 2),
        },
        last: 2,
        pace: Pace::Writes,
        ..CASE
    },
    Case {
        name: "refund",
        joined: |engine| known(engine, &key().cost(3)),
        run: |engine| {
            assert_eq!(engine.refund_at("an id", Nanos::new(T0)), RefundStatus::Refunded);
        },
        after: |engine, _| used(engine, 3, 0),
        newcomers: false,
        ..CASE
    },
    Case {
        name: "check: the first row of a log",
        run: |engine| assert_eq!(check(engine, &key(), T0), Verdict::Ok),
        after: |engine, _| used(engine, 0, 1),
        ..CASE
    },
    Case {
        name: "check: the row of a new day",
        before: |engine| assert_eq!(check(engine, &key().cost(2), T0), Verdict::Ok),
        run: |engine| assert_eq!(check(engine, &key(), T0 + DAY), Verdict::Ok),
        after: |engine, point| {
            let seen = row(engine, T0 + DAY).used();
            let stage = debit(engine, &key(), T0 + DAY, point, &[4, POOL - 2]);
            assert_eq!(seen, u64::from(stage), "torn: the log");
            let rows = [row(engine, T0), row(engine, T0 + DAY)];
            assert_eq!(rows.map(|row| (row.used(), row.remaining())), [(2, 2), (4, 0)]);
            stage
        },
        now: T0 + DAY,
        ..CASE
    },
    Case {
        name: "check: a refusal that is logged",
        before: |engine| assert_eq!(check(engine, &key().cost(4), T0), Verdict::Ok),
        run: |engine| assert_eq!(check(engine, &key(), T0), Verdict::QuotaExceeded),
        after: |engine, _| {
            let refused = row(engine, T0).refused();
            assert!(refused <= 1, "{refused} refused");
            engine.alerts();
            assert_eq!(check(engine, &key(), T0), Verdict::QuotaExceeded);
            assert_eq!(row(engine, T0).refused(), refused + 1);
            // Once for the window: by this one, or by the one that was killed.
            let raised = engine.alerts().events;
            let breaches = raised.iter().filter(|alert| alert.threshold() == Threshold::Breached).count();
            assert_eq!((raised.len(), breaches), (1 - refused as usize, 1 - refused as usize));
            assert_eq!(used(engine, 4, u64::MAX), 0);
            refused as u8
        },
        ..CASE
    },
    Case {
        name: "grant",
        before: |engine| assert_eq!(check(engine, &key().cost(3), T0), Verdict::Ok),
        run: |engine| engine.grant_at("s", "pool", "own", 7, Nanos::new(T0)).unwrap(),
        after: |engine, _| {
            let own = left(engine, &key(), T0)[0];
            assert!(own == 1 || own == 7, "{own} left");
            assert_eq!((row(engine, T0).used(), row(engine, T0).remaining()), (3, own), "torn: the log");
            assert_eq!(admitted(engine, &key(), T0), own);
            assert_eq!(left(engine, &key(), T0), [0, POOL - 3 - own]);
            assert_eq!(row(engine, T0).used(), 3 + own);
            // The next day is as ever.
            assert_eq!(admitted(engine, &key(), T0 + DAY), 4);
            u8::from(own == 7)
        },
        now: T0 + DAY,
        ..CASE
    },
    Case {
        name: "rotate: at once",
        run: |engine| {
            let new = tollgate::SecretKey::new("a new key").unwrap();
            engine.rotate_to_at("k", "k2", &new, Nanos::ZERO, Nanos::new(T0)).unwrap();
        },
        after: |engine, _| {
            // The new one is known to nobody else; the old one works or it is gone for good.
            let verdict = check(engine, &key().cost(0), T0);
            assert!([Verdict::Ok, Verdict::KeyRevoked].contains(&verdict), "{verdict:?}");
            engine.revoke("k").unwrap();
            assert_eq!(check(engine, &key().cost(0), T0), Verdict::KeyRevoked);
            // Whoever lists the new one finds or makes its state.
            let new = tollgate::Key::new("k2", tollgate::SecretKey::new("a new key").unwrap());
            let both = tollgate::Changes::new().subject("s", subject("k", "a key").key(new));
            engine.apply_at(&both, Nanos::new(T0)).unwrap();
            assert_eq!(check(engine, &key().cost(0), T0), Verdict::KeyRevoked);
            assert_eq!(check(engine, &Request::new("a new key").cost(0), T0), Verdict::Ok);
            u8::from(verdict == Verdict::KeyRevoked)
        },
        kept: KEPT + 1,
        pace: Pace::Writes,
        ..CASE
    },
];
