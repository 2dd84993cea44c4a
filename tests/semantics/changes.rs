//! Live changes: they take effect at their instant and carry consumption over.

use tollgate::{Request, Verdict};

use super::*;

fn throttle(rate: &str, burst: u64) -> String {
    format!("[plans.p]\nthrottle = {{ rate = \"{rate}\", burst = {burst} }}\n")
}

#[test]
fn until_its_instant_the_old_rate_refilled_afterwards_the_new_one() {
    let engine = engine(&throttle("1/s", 10));
    assert_eq!(check(&engine, &visitor().cost(10), T0), OK);
    apply(&engine, &throttle("2/s", 10), T0 + 4 * SECOND).unwrap();
    assert_eq!(remaining(&engine, &visitor(), T0 + 4 * SECOND), [4]);
    assert_eq!(remaining(&engine, &visitor(), T0 + 6 * SECOND), [8]);
    assert_eq!(remaining(&engine, &visitor(), T0 + 3 * SECOND), [3], "the old rate before it");
    assert_eq!(check(&engine, &visitor().cost(9), T0 + 6 * SECOND), (Verdict::Throttled, Some(SECOND / 2)));
    assert_eq!(check(&engine, &visitor().cost(6), T0 + 2 * SECOND), (Verdict::Throttled, Some(3 * SECOND)));
}

#[test]
fn changing_the_rate_there_and_back_mints_nothing() {
    // A third of a token is owed when the rates change; no unit of the fast rate alone can hold that.
    let engine = engine(&throttle("1/3s", 5));
    let second = Request::anonymous("p", "another");
    for request in [visitor(), second] {
        assert_eq!(check(&engine, &request.cost(5), T0), OK);
    }
    for _ in 0..100 {
        apply(&engine, &throttle("1000003/s", 5), T0 + SECOND + 1).unwrap();
        apply(&engine, &throttle("7/d", 5), T0 + SECOND + 1).unwrap();
        assert_eq!(check(&engine, &visitor(), T0 + SECOND + 1).0, Verdict::Throttled);
        apply(&engine, &throttle("1/3s", 5), T0 + SECOND + 1).unwrap();
    }
    for request in [visitor(), second] {
        assert_eq!(check(&engine, &request, T0 + SECOND + 1), (Verdict::Throttled, Some(2 * SECOND - 1)));
        assert_eq!(check(&engine, &request, T0 + 3 * SECOND), OK);
    }
}

#[test]
fn an_instant_before_a_change_finds_what_was_there() {
    // At a rate so much slower that what the fast one refilled in a second would take it 11 days.
    let engine = engine(&throttle("1000000/s", 1_000));
    assert_eq!(check(&engine, &visitor().cost(1_000), T0), OK);
    apply(&engine, &throttle("1/s", 1_000), T0 + SECOND).unwrap();
    assert_eq!(remaining(&engine, &visitor(), T0 + SECOND), [1_000]);
    assert_eq!(remaining(&engine, &visitor(), T0 + 300_000), [300], "earlier there was less");
    assert_eq!(check(&engine, &visitor().cost(301), T0 + 300_000), (Verdict::Throttled, Some(1_000)));
}

#[test]
fn debt_is_exact_through_debits_under_several_rates() {
    // 1/7 of a token refilled under each rate in turn, with debits in between.
    let engine = engine(&throttle("1/7s", 9));
    assert_eq!(check(&engine, &visitor().cost(9), T0), OK);
    apply(&engine, &throttle("3/11us", 9), T0 + SECOND).unwrap();
    // One seventh is there; 3 tokens per 11 us, so a whole one after 22/7 us.
    assert_eq!(check(&engine, &visitor(), T0 + SECOND), (Verdict::Throttled, Some(3_143)));
    assert_eq!(check(&engine, &visitor(), T0 + SECOND + 3_143), OK);
    // 1/7 + 3143 * 3/11000 - 1 = 3/77000 of a token is there.
    apply(&engine, &throttle("1/11d", 9), T0 + SECOND + 3_143).unwrap();
    let exact = 11 * DAY - 11 * DAY * 3 / 77_000;
    assert_eq!(check(&engine, &visitor(), T0 + SECOND + 3_143), (Verdict::Throttled, Some(exact)));
}

#[test]
fn a_debt_over_the_new_burst_is_forgiven() {
    let engine = engine(&throttle("1/s", 100));
    assert_eq!(check(&engine, &visitor().cost(100), T0), OK);
    apply(&engine, &throttle("1/s", 5), T0).unwrap();
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::Throttled, Some(SECOND)));
    assert_eq!(remaining(&engine, &visitor(), T0 + 5 * SECOND), [5], "one refill");
    // A larger burst: the debt is kept.
    apply(&engine, &throttle("1/s", 100), T0).unwrap();
    assert_eq!(remaining(&engine, &visitor(), T0), [95]);
}

#[test]
fn an_unchanged_rate_is_no_change() {
    let engine = engine("[plans.p]\nthrottle = { rate = \"1/s\", burst = 1, mode = { delay = \"9s\" } }");
    for _ in 0..4 {
        assert!(check(&engine, &visitor(), T0).0.is_allowed());
    }
    // Three tokens over the burst are owed; the same rate written otherwise forgives nothing.
    apply(&engine, &throttle("60/m", 1), T0).unwrap();
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::Throttled, Some(4 * SECOND)));
}

#[test]
fn state_outlives_its_limit() {
    let engine = engine(
        "[plans.p]\nthrottle = { rate = \"1/m\", burst = 5 }\nquotas = [{ limit = 5, per = \"day\" }]",
    );
    assert_eq!(check(&engine, &visitor().cost(5), T0), OK);
    apply(&engine, "[plans.p]", T0).unwrap();
    assert_eq!(check(&engine, &visitor().cost(50), T0), OK);
    apply(&engine, "[plans]\n[plans.q]", T0).unwrap();
    apply(
        &engine,
        "[plans.p]\nthrottle = { rate = \"1/m\", burst = 5 }\nquotas = [{ limit = 6, per = \"day\" }]",
        T0,
    )
    .unwrap();
    assert_eq!(remaining(&engine, &visitor(), T0 + 60 * SECOND), [1, 1]);
    // Another unit, name or plan is another limit.
    apply(&engine, "[plans.p]\nquotas = [{ limit = 5, per = \"day\", unit = \"x\" }, { name = \"n\", limit = 4, per = \"day\" }]", T0).unwrap();
    assert_eq!(remaining(&engine, &visitor(), T0), [5, 4]);
}

#[test]
fn a_limit_changed_mid_window_keeps_used_and_shifts_the_allowance() {
    let quota = |limit: u64, debit: u64| {
        format!(
            "[plans.p]\nquotas = [{{ name = \"q\", limit = {limit}, per = \"day\", initial_debit = {debit} }}]"
        )
    };
    let engine = engine(&quota(10, 4));
    assert_eq!(check(&engine, &visitor().cost(3), T0), OK);
    for (limit, left) in [(12, 5), (8, 1), (6, 0), (2, 0), (10, 3)] {
        apply(&engine, &quota(limit, 0), T0).unwrap();
        assert_eq!(remaining(&engine, &visitor(), T0), [left], "limit {limit}");
    }
}

#[test]
fn a_period_changed_mid_window_keeps_used_until_the_new_window_ends() {
    let quota = |per: &str| format!("[plans.p]\nquotas = [{{ name = \"q\", limit = 9, per = \"{per}\" }}]");
    let engine = engine(&quota("day"));
    assert_eq!(check(&engine, &visitor().cost(2), T0), OK);
    apply(&engine, &quota("hour"), T0).unwrap();
    assert_eq!(remaining(&engine, &visitor(), T0), [7]);
    assert_eq!(remaining(&engine, &visitor(), T0 + 2_800 * SECOND), [9], "the hour ends at 23:00");
    // An hour that has ended is not carried into a day.
    assert_eq!(check(&engine, &visitor().cost(5), T0), OK);
    apply(&engine, &quota("month"), T0 + 3_600 * SECOND).unwrap();
    assert_eq!(remaining(&engine, &visitor(), T0 + 3_600 * SECOND), [9]);
}

#[test]
fn a_failed_change_leaves_everything_as_it_was() {
    let engine = engine(&format!(
        "{}[subjects.s]\nplans = [\"p\"]\nkeys = [{{ id = \"k\", value = \"key\" }}]",
        throttle("1/s", 5)
    ));
    for change in [
        "[plans.p]\n[plans.q]\nthrottle = { rate = \"0/0s\", burst = 1 }",
        "[plans.p]\n[subjects.t]\nplans = [\"nowhere\"]",
        "[plans.p]\n[subjects.t]\nplans = [\"p\"]\nkeys = [{ id = \"k\", value = \"other\" }]",
        "[plans.p]\n[subjects.t]\nplans = [\"p\"]\nkeys = [{ id = \"l\", value = \"key\" }]",
        "[subjects.s]\nplans = []\nkeys = [{ id = \"k\", value = \"other\", expires = \"tomorrow\" }]",
    ] {
        apply(&engine, change, T0).unwrap_err();
        assert_eq!(remaining(&engine, &Request::new("key"), T0), [5], "{change}");
        assert!(!engine.has_plan("q"));
        assert_eq!(check(&engine, &Request::new("other"), T0).0, Verdict::KeyUnknown);
    }
    let removal = tollgate::Changes::new().remove_plan("p");
    let error = engine.apply_at(&removal, tollgate::Nanos::new(T0)).unwrap_err();
    assert!(!error.is_conflict() && error.to_string().contains("\"p\""), "{error}");
}

#[test]
fn a_key_can_move_and_a_subject_can_go() {
    let engine = engine(
        "[plans.p]\nquotas = [{ limit = 5, per = \"day\" }]\n[subjects.s]\nplans = [\"p\"]\nkeys = [{ id = \"k\", value = \"key\" }]",
    );
    assert_eq!(check(&engine, &Request::new("key"), T0), OK);
    apply(&engine, "[subjects.s]\nplans = [\"p\"]\nkeys = []\n[subjects.t]\nplans = [\"p\"]\nkeys = [{ id = \"k\", value = \"key\" }]", T0).unwrap();
    assert_eq!(remaining(&engine, &Request::new("key"), T0), [5]);
    engine
        .apply_at(
            &tollgate::Changes::new().remove_subject("t").remove_subject("none").remove_plan("none"),
            tollgate::Nanos::new(T0),
        )
        .unwrap();
    assert_eq!(check(&engine, &Request::new("key"), T0).0, Verdict::KeyUnknown);
    assert!(engine.enable("k").is_err());
}

#[test]
fn a_quota_that_comes_later_counts_for_whoever_was_there_before() {
    let plan = |more: &str| format!("[plans.p]\nthrottle = {{ rate = \"100/s\", burst = 100 }}\n{more}");
    for by_number in [false, true] {
        let engine = engine(&plan(""));
        let number = engine.plan_id("p").unwrap();
        let request = |name: &'static str| match by_number {
            true => Request::anonymous_in(number, name),
            false => Request::anonymous("p", name),
        };
        assert_eq!(check(&engine, &request("one"), T0), OK);
        assert_eq!(check(&engine, &request("other"), T0), OK);
        apply(&engine, &plan("quotas = [{ limit = 3, per = \"day\" }]"), T0).unwrap();
        // The thread has seen the change when the first comes again.
        assert_eq!(check(&engine, &request("other"), T0), OK);
        for _ in 0..3 {
            assert_eq!(check(&engine, &request("one"), T0), OK);
        }
        assert_eq!(check(&engine, &request("one"), T0).0, Verdict::QuotaExceeded, "{by_number}");
    }
}

#[test]
fn as_many_limits_as_there_are_keep_their_states_apart() {
    let throttle = || tollgate::Throttle::new("1/d", 5);
    let plans = (0..2_100).map(|n| format!("p{n}"));
    let changes = plans.clone().fold(tollgate::Changes::new(), |changes, name| {
        changes.plan(&name, tollgate::Plan::new().throttle(throttle()))
    });
    let engine = tollgate::Engine::builder().changes(changes).build().unwrap();
    for name in plans {
        let number = engine.plan_id(&name).unwrap();
        let admitted =
            (0..7).filter(|_| check(&engine, &Request::anonymous_in(number, "x"), T0) == OK).count();
        assert_eq!(admitted, 5, "{name}");
    }
}
