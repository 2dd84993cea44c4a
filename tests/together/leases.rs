//! Token leases: never more than without, and never much less.

use std::sync::atomic::{AtomicU64, Ordering};

use tollgate::{Engine, Limits, Nanos, Plan, Request, Subject, Throttle};

use super::*;

const BURST: u64 = 50_000;
const RATE: u64 = 1_000_000;

fn engine() -> Engine {
    let throttle = || Throttle::new(&format!("{RATE}/s"), BURST);
    let own = Plan::new().throttle(throttle());
    let pooled = own.clone().pool(Limits::new().throttle(throttle()));
    let changes = Changes::new()
        .plan("own", own)
        .plan("pooled", pooled)
        .subject("s", Subject::new(["own"]).key(key("k", "a key")));
    Engine::builder()
        .changes(changes)
        .capacity(Capacity::new().cells(1_000).lines(100))
        .leases()
        .build()
        .unwrap()
}

/// Requests of a thread for one throttle: a key of its own, a name, and names on a plan with a pool.
fn requests(engine: &Engine, thread: usize) -> [Request<'static>; 3] {
    const NAMES: [&str; THREADS] =
        ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15"];
    let id = |plan| engine.plan_id(plan).unwrap();
    [
        Request::new("a key"),
        Request::anonymous_in(id("own"), "everybody"),
        Request::anonymous_in(id("pooled"), NAMES[thread]),
    ]
}

#[test]
fn of_a_bucket_that_nothing_refills_all_but_an_eighth_and_no_more() {
    for which in 0..3 {
        let engine = engine();
        let admitted = in_threads(std::slice::from_ref(&engine), |thread, engine| {
            let request = requests(engine, thread)[which];
            let check = |_: &u64| engine.check_at(&request, Nanos::new(T0)).is_allowed();
            (0..BURST / 4).filter(check).count() as u64
        });
        let admitted: u64 = admitted.iter().sum();
        assert!((BURST - BURST / 8..=BURST).contains(&admitted), "{which}: {admitted}");
    }
}

#[test]
fn never_more_than_burst_and_refill() {
    // Each thread moves the time on by this much with each check: together more than is refilled.
    const STEP: u64 = 200;
    for which in 0..3 {
        let engine = engine();
        let time = AtomicU64::new(T0);
        let admitted = in_threads(std::slice::from_ref(&engine), |thread, engine| {
            let request = requests(engine, thread)[which];
            let check = |_: &u64| {
                let now = time.fetch_add(STEP, Ordering::Relaxed) + STEP;
                engine.check_at(&request, Nanos::new(now)).is_allowed()
            };
            (0..BURST / 2).filter(check).count() as u64
        });
        let admitted: u64 = admitted.iter().sum();
        let refilled = (time.into_inner() - T0) / (SECOND / RATE);
        let most = BURST + refilled;
        assert!((most - BURST / 8..=most).contains(&admitted), "{which}: {admitted} of {most}");
    }
}
