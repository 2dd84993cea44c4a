//! Throttle(rate, burst).

use tollgate::{Nanos, Plan, Request, Throttle, Verdict};

use super::*;

#[test]
fn a_bucket_is_full_at_first_sight_and_refills_continuously() {
    let engine = with_plan(Plan::new().throttle(Throttle::new("10/s", 5)));
    for _ in 0..5 {
        assert_eq!(check(&engine, &visitor(), T0), OK);
    }
    let tenth = SECOND / 10;
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::Throttled, Some(tenth)));
    assert_eq!(check(&engine, &visitor(), T0 + tenth - 1), (Verdict::Throttled, Some(1)));
    assert_eq!(check(&engine, &visitor(), T0 + tenth), OK);
    assert_eq!(remaining(&engine, &visitor(), T0 + 3 * tenth), [2]);
    assert_eq!(remaining(&engine, &visitor(), T0 + 100 * tenth), [5]);
}

#[test]
fn retry_after_is_the_smallest_wait_that_admits() {
    for (rate, burst) in
        [("3/s", 2), ("7/s", 3), ("67/s", 5), ("101/s", 1), ("3/250ms", 4), ("0.7/m", 2), ("7.77/3us", 9)]
    {
        let engine = with_plan(Plan::new().throttle(Throttle::new(rate, burst)));
        let mut now = T0;
        for cost in [burst, 1, burst, burst, 1, 1] {
            let request = visitor().cost(cost);
            let wait = peek(&engine, &request, now).decision().retry_after().unwrap().get();
            if wait > 0 {
                let early = check(&engine, &request, now + wait - 1);
                assert_eq!(early, (Verdict::Throttled, Some(1)), "{rate}");
            }
            assert_eq!(check(&engine, &request, now + wait), OK, "{rate}");
            now += wait;
        }
    }
}

#[test]
fn a_whole_burst_is_admitted_at_one_instant_at_any_rate() {
    for rate in ["1/s", "67/s", "101/s", "333.333/s", "7.77/s", "12345.678/m", "64/ns", "1/30d"] {
        let engine = with_plan(Plan::new().throttle(Throttle::new(rate, 5)));
        for now in [T0 + 1, T0 + 200 * DAY + 12_345] {
            assert_eq!(check(&engine, &visitor().cost(2), now), OK, "{rate}");
            assert_eq!(remaining(&engine, &visitor(), now), [3], "{rate}");
            assert_eq!(check(&engine, &visitor().cost(3), now), OK, "{rate}");
            assert_eq!(remaining(&engine, &visitor(), now), [0], "{rate}");
            assert_eq!(check(&engine, &visitor(), now).0, Verdict::Throttled, "{rate}");
        }
    }
}

#[test]
fn an_earlier_instant_mints_nothing_and_moves_nothing_back() {
    let engine = with_plan(Plan::new().throttle(Throttle::new("1/s", 5)));
    assert_eq!(check(&engine, &visitor().cost(2), T0 + 10 * SECOND), OK);
    // Seen from eight seconds earlier there is less: a debt of 2 + 8.
    assert_eq!(check(&engine, &visitor(), T0 + 2 * SECOND), (Verdict::Throttled, Some(6 * SECOND)));
    assert_eq!(remaining(&engine, &visitor(), T0 + 2 * SECOND), [0]);
    assert_eq!(remaining(&engine, &visitor(), T0 + 10 * SECOND), [3]);
    assert_eq!(check(&engine, &visitor(), T0 + 9 * SECOND), OK);
    assert_eq!(remaining(&engine, &visitor(), T0 + 10 * SECOND), [2]);
}

#[test]
fn a_refusal_a_peek_and_cost_0_leave_no_trace() {
    let engine = with_plan(Plan::new().throttle(Throttle::new("1/s", 2)));
    assert!(peek(&engine, &visitor(), T0).decision().is_allowed());
    assert_eq!(check(&engine, &visitor().cost(0), T0), OK);
    assert_eq!(check(&engine, &visitor().cost(3), T0), (Verdict::CostExceedsLimit, None));
    assert_eq!(engine.cells(), 0);
    assert_eq!(check(&engine, &visitor().cost(2), T0), OK);
    for _ in 0..10 {
        assert_eq!(check(&engine, &visitor(), T0), (Verdict::Throttled, Some(SECOND)));
    }
    assert_eq!(check(&engine, &visitor().cost(0), T0), OK);
}

#[test]
fn rate_0_admits_nothing_ever() {
    let engine = with_plan(Plan::new().throttle(Throttle::new("0/s", 5)));
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::Throttled, None));
    assert_eq!(check(&engine, &visitor().cost(9), T0), (Verdict::Throttled, None), "not cost_exceeds_limit");
    assert_eq!(check(&engine, &visitor().cost(0), T0), OK);
    let report = report(&engine, &visitor(), T0);
    let limit = &report.limits()[0];
    assert_eq!((limit.limit(), limit.remaining(), limit.reset()), (5, 0, None));
}

#[test]
fn no_throttle_is_unlimited() {
    let engine = with_plan(Plan::new());
    assert_eq!(check(&engine, &visitor().cost(u64::MAX), T0), OK);
    assert!(report(&engine, &visitor(), T0).limits().is_empty());
}

#[test]
fn delay_accepts_what_has_to_wait_and_debits_it_now() {
    let engine = with_plan(Plan::new().throttle(Throttle::new("10/s", 1).delay("250ms")));
    let tenth = SECOND / 10;
    let delays: Vec<_> = (0..4)
        .map(|_| {
            let decision = engine.check_at(&visitor(), Nanos::new(T0));
            (decision.verdict(), decision.delay().get(), decision.retry_after().map(Nanos::get))
        })
        .collect();
    assert_eq!(
        delays,
        [
            (Verdict::Ok, 0, Some(0)),
            (Verdict::Delayed, tenth, Some(0)),
            (Verdict::Delayed, 2 * tenth, Some(0)),
            (Verdict::Throttled, 0, Some(tenth / 2)),
        ]
    );
    assert_eq!(remaining(&engine, &visitor(), T0), [0]);
    // Three debits are owed: full again when they are refilled.
    assert_eq!(peek(&engine, &visitor().cost(0), T0).limits()[0].reset(), Some(Nanos::new(3 * tenth)));
}

#[test]
fn delay_is_the_longest_wait_if_all_accept() {
    let plan = || {
        Plan::new()
            .throttle(Throttle::new("1/s", 1).delay("2s").named("slow"))
            .throttle(Throttle::new("2/s", 1).delay("300ms").named("fast"))
    };
    let engine = with_plan(plan());
    assert_eq!(check(&engine, &visitor(), T0), OK);
    // slow would wait 1 s and accepts; fast would wait 500 ms and does not.
    let refused = report(&engine, &visitor(), T0);
    assert_eq!(violated(&refused), ["fast"]);
    assert_eq!(refused.decision().retry_after(), Some(Nanos::new(200_000_000)));
    let decision = engine.check_at(&visitor(), Nanos::new(T0 + 200_000_000));
    assert_eq!((decision.verdict(), decision.delay()), (Verdict::Delayed, Nanos::new(800_000_000)));
}

#[test]
fn every_instant_from_a_year_before_to_years_after_is_exact() {
    let year = 365 * DAY;
    let engine = with_plan(Plan::new().throttle(Throttle::new("3/s", 2)));
    assert_eq!(check(&engine, &visitor(), T0), OK);
    for (number, now) in
        [T0 - year + 1, T0 + 4 * year - 1, T0 + 5 * year, T0 + 11 * year, u64::MAX - 10 * SECOND]
            .iter()
            .enumerate()
    {
        let name = format!("visitor {number}");
        let request = Request::anonymous("p", &name);
        assert_eq!(check(&engine, &request.cost(2), *now), OK);
        assert_eq!(check(&engine, &request, *now), (Verdict::Throttled, Some(333_333_334)), "{now}");
        assert_eq!(check(&engine, &request, now + 333_333_334), OK, "{now}");
    }
}

#[test]
fn a_delay_is_text_or_nanoseconds() {
    for delay in ["\"1500ms\"", "1500000000"] {
        let engine = engine(&format!(
            "[plans.p]\nthrottle = {{ rate = \"1/s\", burst = 1, mode = {{ delay = {delay} }} }}"
        ));
        assert_eq!(check(&engine, &visitor(), T0), OK);
        assert_eq!(check(&engine, &visitor(), T0).0, Verdict::Delayed);
        assert_eq!(check(&engine, &visitor(), T0), (Verdict::Throttled, Some(SECOND / 2)));
    }
    assert!(
        refused("[plans.p]\nthrottle = { rate = \"1/s\", burst = 1, mode = { delay = -1 } }")
            .contains("line 2: plans.p.throttle.mode.delay: a duration is not negative")
    );
}
