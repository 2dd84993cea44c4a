//! What holds under threads.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use tollgate::{Limits, Nanos, Plan, Quota, Request, Throttle, Verdict};

use super::*;

#[test]
fn sixteen_threads_share_a_quota_exactly() {
    let engine = with_plan(
        Plan::new()
            .quota(Quota::new(1_000_000, "day"))
            .throttle(Throttle::new("1/s", 5_000_000))
            .route("GET /", Limits::new().quota(Quota::new(1_000_000, "week")))
            .pool(Limits::new().quota(Quota::new(1_000_000, "month"))),
    );
    let admitted = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..70_000 {
                    let decision = engine.check_at(&visitor().route("GET /"), Nanos::new(T0));
                    admitted.fetch_add(decision.is_allowed().into(), Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(admitted.into_inner(), 1_000_000);
    assert_eq!(remaining(&engine, &visitor().route("GET /"), T0), [4_000_000, 0, 0, 0]);
}

#[test]
fn demand_that_equals_the_limit_is_admitted_whole() {
    let engine = with_plan(
        Plan::new()
            .throttle(Throttle::new("1/d", 8))
            .pool(Limits::new().quota(Quota::new(16_000, "forever"))),
    );
    thread::scope(|scope| {
        for thread in 0..16u32 {
            let engine = &engine;
            scope.spawn(move || {
                for n in 0..1_000u32 {
                    let name = format!("{}", n / 8 + 1_000 * thread);
                    let decision = engine.check_at(&Request::anonymous("p", &name), Nanos::new(T0));
                    assert!(decision.is_allowed(), "refused because of others");
                }
            });
        }
    });
    assert_eq!(check(&engine, &visitor(), T0).0, Verdict::QuotaExceeded);
}

#[test]
fn a_check_sees_the_old_set_or_the_new_one() {
    // Each set gives both subjects the same plan, and each plan a rate and a quota that belong together.
    let set = |n: u64| {
        format!(
            "[plans.a]\nquotas = [{{ name = \"q\", limit = {n}, per = \"day\" }}]\nthrottle = {{ rate = \"1/s\", burst = {n} }}\n\
             [plans.b]\nquotas = [{{ name = \"q\", limit = {n}, per = \"day\" }}]\n\
             [subjects.s]\nplans = [\"{}\"]\nkeys = [{{ id = \"k{n}\", value = \"key\" }}]",
            if n.is_multiple_of(2) { "a" } else { "b" }
        )
    };
    let engine = engine(&set(1));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut seen = 0u64;
                while !done.load(Ordering::Relaxed) {
                    let report = report(&engine, &Request::new("key").cost(0), T0);
                    let n = report.limits().last().unwrap().limit();
                    assert!(report.limits().iter().all(|limit| limit.limit() == n));
                    assert_eq!(report.plan(), Some(if n.is_multiple_of(2) { "a" } else { "b" }));
                    assert_eq!(report.key_id(), Some(format!("k{n}").as_str()));
                    assert!(n >= seen, "sets do not go back");
                    seen = n;
                }
            });
        }
        for n in 2..500 {
            apply(&engine, &set(n), T0).unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn rates_that_change_under_running_checks_mint_nothing() {
    let plan =
        |n: u64| format!("[plans.p]\nthrottle = {{ rate = \"{}/11d\", burst = 1000 }}", 62 + n % 7 * 4);
    let engine = engine(&plan(0));
    let admitted = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    let decision = engine.check_at(&visitor(), Nanos::new(T0));
                    admitted.fetch_add(decision.is_allowed().into(), Ordering::Relaxed);
                }
            });
        }
        for n in 1..300 {
            apply(&engine, &plan(n), T0).unwrap();
        }
    });
    assert_eq!(admitted.into_inner(), 1_000);
}

#[test]
fn after_disable_has_returned_no_thread_admits_the_key() {
    let engine = engine("[plans.p]\n[subjects.s]\nplans = [\"p\"]\nkeys = [{ id = \"k\", value = \"key\" }]");
    // Odd while the key is off.
    let epoch = AtomicU64::new(0);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let before = epoch.load(Ordering::Acquire);
                    let allowed = engine.check_at(&Request::new("key"), Nanos::new(T0)).is_allowed();
                    let off_throughout = before % 2 == 1 && epoch.load(Ordering::Acquire) == before;
                    assert!(!(off_throughout && allowed));
                }
            });
        }
        for _ in 0..300 {
            engine.disable("k").unwrap();
            epoch.fetch_add(1, Ordering::Release);
            thread::yield_now();
            epoch.fetch_add(1, Ordering::Release);
            engine.enable("k").unwrap();
        }
        done.store(true, Ordering::Relaxed);
    });
}
