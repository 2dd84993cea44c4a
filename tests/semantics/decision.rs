//! The decision: all or nothing, every violated limit, the longest wait; observing.

use tollgate::{Limits, Nanos, Plan, Quota, Request, SettleStatus, Throttle, Ticket, Verdict};

use super::*;

#[test]
fn all_are_debited_or_none_is() {
    let engine = with_plan(
        Plan::new()
            .throttle(Throttle::new("1/s", 9))
            .quota(Quota::new(9, "day"))
            .route("GET /", Limits::new().quota(Quota::new(2, "day")))
            .pool(Limits::new().throttle(Throttle::new("1/s", 9))),
    );
    let request = visitor().route("GET /");
    assert_eq!(check(&engine, &request.cost(2), T0), OK);
    let before = remaining(&engine, &request, T0);
    assert_eq!(before, [7, 7, 0, 7]);
    for _ in 0..5 {
        assert_eq!(check(&engine, &request, T0).0, Verdict::QuotaExceeded);
    }
    assert_eq!(remaining(&engine, &request, T0), before);
}

#[test]
fn a_refusal_names_every_violated_limit_and_the_longest_wait() {
    let engine = with_plan(
        Plan::new()
            .throttle(Throttle::new("1/h", 1))
            .quota(Quota::new(1, "hour"))
            .quota(Quota::new(1, "day"))
            .quota(Quota::new(9, "week")),
    );
    assert_eq!(check(&engine, &visitor(), T0), OK);
    let refused = report(&engine, &visitor(), T0);
    assert_eq!(violated(&refused), ["throttle", "hour", "day"]);
    // One hour from now, the end of the hour, midnight.
    assert_eq!(refused.decision().verdict(), Verdict::QuotaExceeded);
    assert_eq!(refused.decision().retry_after(), Some(Nanos::from_secs(6_400)));
    // At 23:30 the throttle is the last to come back... were it not full by then: debit again at 23:13:20.
    let later = T0 + 3_600 * SECOND;
    assert_eq!(report(&engine, &visitor(), later).decision().verdict(), Verdict::QuotaExceeded);
}

#[test]
fn a_tie_goes_to_the_quota() {
    // The bucket is full again at the very end of the minute, 40 s from T0.
    let engine = with_plan(Plan::new().throttle(Throttle::new("1/40s", 1)).quota(Quota::new(1, "minute")));
    assert_eq!(check(&engine, &visitor(), T0), OK);
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::QuotaExceeded, Some(40 * SECOND)));
    let engine = with_plan(Plan::new().throttle(Throttle::new("1/41s", 1)).quota(Quota::new(1, "minute")));
    assert_eq!(check(&engine, &visitor(), T0), OK);
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::Throttled, Some(41 * SECOND)));
}

#[test]
fn a_limit_that_can_never_admit_is_the_longest_wait() {
    let engine = with_plan(Plan::new().throttle(Throttle::new("0/s", 1)).quota(Quota::new(1, "day")));
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::Throttled, None));
    let engine = with_plan(Plan::new().throttle(Throttle::new("0/s", 1)).quota(Quota::new(0, "day")));
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::QuotaExceeded, None), "tie");
}

#[test]
fn observing_runs_the_enforced_decision_and_refuses_nothing() {
    let engine = with_plan(
        Plan::new()
            .throttle(Throttle::new("1/s", 1).delay("500ms"))
            .quota(Quota::new(2, "day"))
            .observe(true),
    );
    let first = engine.check_at(&visitor(), Nanos::new(T0));
    assert_eq!((first.verdict(), first.would_deny()), (Verdict::Ok, Some(false)));
    let denied = report(&engine, &visitor(), T0);
    assert_eq!(violated(&denied), ["throttle"]);
    let decision = denied.decision();
    assert_eq!(
        (decision.verdict(), decision.would_deny(), decision.delay()),
        (Verdict::Ok, Some(true), Nanos::ZERO)
    );
    assert_eq!(decision.retry_after(), Some(Nanos::new(SECOND / 2)));
    assert_eq!(remaining(&engine, &visitor(), T0), [0, 1], "a would-be refusal debits nothing");
    let delayed = engine.check_at(&visitor(), Nanos::new(T0 + SECOND / 2));
    assert_eq!(
        (delayed.verdict(), delayed.would_deny(), delayed.delay()),
        (Verdict::Ok, Some(false), Nanos::ZERO)
    );
    assert_eq!(remaining(&engine, &visitor(), T0 + SECOND), [0, 0], "debited as if delayed");
    let missing = engine.check_at(&Request::anonymous("p", ""), Nanos::new(T0));
    assert_eq!(
        (missing.verdict(), missing.would_deny()),
        (Verdict::KeyMissing, None),
        "key errors refuse all the same"
    );
}

#[test]
fn check_all_is_one_decision_over_several_subjects() {
    let engine = engine(
        r#"
        [plans.p]
        quotas = [{ limit = 3, per = "day" }]
        [plans.q]
        quotas = [{ limit = 2, per = "day" }]
        [plans.dry]
        observe = true
        quotas = [{ limit = 1, per = "day" }]
        "#,
    );
    let [p, q, dry] = ["p", "q", "dry"].map(|plan| Request::anonymous(plan, "visitor"));
    let all = |requests: &[Request<'_>]| engine.check_all_at(requests, Nanos::new(T0));
    let left = || [&p, &q, &dry].map(|request| remaining(&engine, request, T0)[0]);
    assert!(all(&[]).is_allowed());
    assert!(all(&[p, q]).is_allowed());
    assert_eq!(left(), [2, 1, 1]);
    assert_eq!(all(&[p, q.cost(2)]).verdict(), Verdict::QuotaExceeded);
    assert_eq!(left(), [2, 1, 1], "none is debited");
    assert_eq!(all(&[p.cost(1), p.cost(2)]).verdict(), Verdict::QuotaExceeded, "costs on one limit add up");
    assert_eq!(all(&[p, Request::new("unknown")]).verdict(), Verdict::KeyUnknown);
    assert_eq!(left(), [2, 1, 1]);
    // An observing plan neither refuses nor keeps the others from being debited.
    let decision = all(&[p, dry.cost(2)]);
    assert_eq!((decision.verdict(), decision.would_deny()), (Verdict::Ok, Some(true)));
    assert_eq!(left(), [1, 1, 1]);
    assert_eq!(all(&[p, dry]).would_deny(), Some(false));
    assert_eq!(left(), [0, 1, 0]);
}

#[test]
fn what_an_observing_plan_would_refuse_is_settled_for_the_others() {
    let engine = engine(
        r#"
        [plans.slots]
        concurrency = { limit = 1, lease = "1h" }
        quotas = [{ limit = 100, per = "day", unit = "bytes" }]
        [plans.dry]
        observe = true
        quotas = [{ name = "calls", limit = 1, per = "day" }, { name = "bytes", limit = 1000, per = "day", unit = "bytes" }]
        "#,
    );
    let costs = |bytes| [("requests", 1), ("bytes", bytes)];
    let before = costs(1);
    let [slots, dry] = ["slots", "dry"].map(|plan| Request::anonymous(plan, "visitor").costs(&before));
    let left = || {
        [(&slots, "day"), (&dry, "bytes")].map(|(request, name)| {
            let report = peek(&engine, &request.cost(0), T0);
            report.limits().iter().find(|limit| limit.name() == name).unwrap().remaining()
        })
    };
    let decide = |id: &str, requests: &[Request<'_>]| {
        let ticket = Ticket::reserve(id, Nanos::new(u64::MAX));
        engine.check_all_as_at(requests, ticket, Nanos::new(T0)).unwrap()
    };
    for (n, would_deny) in [false, true, true].into_iter().enumerate() {
        let id = format!("id-{n}");
        let decision = decide(&id, &[slots, dry]);
        assert_eq!((decision.verdict(), decision.would_deny()), (Verdict::Ok, Some(would_deny)));
        assert_eq!(decide("other", &[slots]).verdict(), Verdict::ConcurrencyExceeded);
        let settled = engine.settle_at(&id, &costs(10)[..], Nanos::new(T0));
        assert_eq!(settled.status(), SettleStatus::Settled);
    }
    // Three times ten; of the plan that observes only what it would have admitted.
    assert_eq!(left(), [70, 990]);
    // Alone it still leaves no trace.
    assert_eq!(decide("alone", &[dry]).would_deny(), Some(true));
    let unknown = engine.settle_at("alone", &costs(10)[..], Nanos::new(T0));
    assert_eq!(unknown.status(), SettleStatus::UnknownId);
}
