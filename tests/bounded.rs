//! Memory is bounded by the configured capacity, whatever keys come.

use tollgate::{
    ApplyError, Capacity, Changes, Engine, Key, Nanos, Plan, Quota, Request, SecretKey, Subject, Throttle,
    Verdict, WhenFull,
};

const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn engine(capacity: Capacity, when_full: WhenFull) -> Engine {
    let plan = Plan::new().throttle(Throttle::new("1/m", 1));
    let metered = Plan::new().throttle(Throttle::new("1/m", 1)).quota(Quota::new(10, "day"));
    let key = Key::new("k", SecretKey::new("a registered key").unwrap());
    let changes = Changes::new()
        .plan("free", plan)
        .plan("metered", metered.clone())
        .plan("gold", metered)
        .subject("s", Subject::new(["gold"]).key(key));
    Engine::builder().changes(changes).capacity(capacity).when_full(when_full).build().unwrap()
}

fn verdict(engine: &Engine, request: &Request<'_>, now: u64) -> Verdict {
    engine.check_at(request, Nanos::new(now)).verdict()
}

/// As many new subjects as it takes to fill the table, and as many again.
fn spray(engine: &Engine, plan: &str, now: u64, count: u32) -> u32 {
    let check = |n: u32| {
        let key = [n.to_le_bytes(), (now as u32).to_le_bytes()].concat();
        verdict(engine, &Request::anonymous(plan, &key), now) == Verdict::Ok
    };
    (0..count).map(check).filter(|allowed| *allowed).count() as u32
}

#[test]
fn a_spray_of_keys_takes_no_more_than_the_capacity_and_frees_nobody() {
    let engine = engine(Capacity::new().cells(10_000).lines(100), WhenFull::Refuse);
    let abuser = Request::anonymous("free", "abuser");
    assert_eq!(verdict(&engine, &abuser, T0), Verdict::Ok);
    assert_eq!(verdict(&engine, &Request::new("a registered key"), T0), Verdict::Ok);
    let admitted = spray(&engine, "free", T0 + 1, 200_000);
    assert!((10_000..20_000).contains(&admitted), "{admitted}");
    assert_eq!(engine.full_counts().refused, u64::from(200_000 - admitted));
    // The registered subject has a line, one beside its quota, and one for the day.
    assert!(engine.cells() as u32 <= admitted + 4);
    assert_eq!(verdict(&engine, &abuser, T0 + 2), Verdict::Throttled, "still at its limit");
    assert_eq!(verdict(&engine, &Request::new("a registered key"), T0 + 2), Verdict::Throttled);
    assert_eq!(verdict(&engine, &Request::new("a registered key"), T0 + 60 * SECOND), Verdict::Ok);
    // A minute later all are as fresh, and their cells are used again.
    let cells = engine.cells();
    let again = spray(&engine, "free", T0 + 61 * SECOND, 200_000);
    assert!(again > 9_000, "{again}");
    assert!(engine.cells() <= cells + cells / 10);
    // Idle time empties them.
    assert!(engine.maintain_at(10_000, Nanos::new(T0 + 200 * SECOND)) > 9_000);
    assert_eq!(engine.cells(), 3, "the registered subject's");
    assert_eq!(engine.full_counts().evicted, 0);
}

#[test]
fn what_a_full_table_does_is_chosen_and_counted() {
    let capacity = Capacity::new().cells(1_000).lines(10);
    let passing = engine(capacity, WhenFull::Pass);
    assert_eq!(spray(&passing, "free", T0, 10_000), 10_000);
    let stored = passing.cells() as u64;
    assert!(stored < 3_000, "{stored}");
    assert!(passing.full_counts().passed >= 10_000 - stored);

    let evicting = engine(capacity, WhenFull::EvictSmallest);
    assert_eq!(spray(&evicting, "free", T0, 10_000), 10_000);
    assert!(evicting.cells() < 3_000);
    assert!(evicting.full_counts().evicted >= 10_000 - evicting.cells() as u64);
    assert_eq!(evicting.full_counts().refused, 0);
    assert_eq!(verdict(&evicting, &Request::new("a registered key"), T0), Verdict::Ok, "never evicted");
    assert_eq!(verdict(&evicting, &Request::new("a registered key"), T0), Verdict::Throttled);

    // Lines end before cells do: eight of the ten are left.
    let refusing = engine(capacity, WhenFull::Refuse);
    assert_eq!(spray(&refusing, "metered", T0, 100), 8);
    assert_eq!(verdict(&refusing, &Request::anonymous("metered", "x"), T0), Verdict::StoreFull);
    let decision = refusing.check_at(&Request::anonymous("metered", "x"), Nanos::new(T0));
    assert_eq!((decision.retry_after(), decision.is_allowed()), (None, false));
    // The next day all eight are as fresh.
    assert_eq!(spray(&refusing, "free", T0, 1), 1);
}

#[test]
fn registering_more_than_there_is_room_for_fails_and_changes_nothing() {
    let engine = engine(Capacity::new().cells(100).lines(6), WhenFull::Refuse);
    let subject = |n: u32| {
        let key = Key::new(&format!("k{n}"), SecretKey::new(format!("key {n}")).unwrap());
        Subject::new(["gold"]).key(key)
    };
    let two = Changes::new().subject("a", subject(1)).subject("b", subject(2));
    engine.apply_at(&two, Nanos::new(T0)).unwrap();
    let cells = engine.cells();
    let error = engine.apply_at(&Changes::new().subject("c", subject(3)), Nanos::new(T0)).unwrap_err();
    assert!(matches!(error, ApplyError::Capacity { .. }), "{error}");
    assert!(error.to_string().starts_with("subjects.c: "), "{error}");
    assert_eq!(verdict(&engine, &Request::new("key 3"), T0), Verdict::KeyUnknown);
    assert_eq!(engine.cells(), cells);
    // One that goes makes room, as it was never debited.
    engine.apply_at(&Changes::new().remove_subject("a"), Nanos::new(T0)).unwrap();
    engine.apply_at(&Changes::new().subject("c", subject(3)), Nanos::new(T0)).unwrap();
    assert_eq!(verdict(&engine, &Request::new("key 3"), T0), Verdict::Ok);
    assert_eq!(verdict(&engine, &Request::new("key 2"), T0), Verdict::Ok);
}

#[test]
fn memory_that_is_taken_at_once_holds_what_it_was_planned_for() {
    let plan = Plan::new().throttle(Throttle::new("1/d", 2));
    let capacity = Capacity::new().cells(100_000).lines(10);
    let build = || Engine::builder().changes(Changes::new().plan("free", plan.clone())).capacity(capacity);
    for engine in [build().touched().build().unwrap(), build().build().unwrap()] {
        assert_eq!(spray(&engine, "free", T0, 100_000), 100_000);
        assert_eq!(engine.cells(), 100_000);
        assert_eq!(spray(&engine, "free", T0, 100_000), 100_000, "the second of two");
        assert_eq!(spray(&engine, "free", T0, 1_000), 0);
    }
}

#[test]
fn a_table_takes_all_that_it_was_planned_for() {
    let plan = Plan::new().throttle(Throttle::new("1/d", 1));
    for touched in [false, true] {
        let capacity = Capacity::new().cells(3_000_000).lines(10);
        let builder = Engine::builder().changes(Changes::new().plan("free", plan.clone())).capacity(capacity);
        let engine = if touched { builder.touched() } else { builder }.build().unwrap();
        assert_eq!(spray(&engine, "free", T0, 3_000_000), 3_000_000);
    }
}
