//! Costs: one number for every unit, or one per unit.

use tollgate::{Plan, Quota, Throttle, Verdict};

use super::*;

fn metered() -> tollgate::Engine {
    with_plan(
        Plan::new()
            .throttle(Throttle::new("1/s", 5))
            .quota(Quota::new(1_000, "day").unit("tokens"))
            .quota(Quota::new(10, "week").unit("requests")),
    )
}

#[test]
fn a_number_costs_the_same_on_every_limit_whatever_its_unit() {
    let engine = metered();
    assert_eq!(check(&engine, &visitor().cost(3), T0), OK);
    assert_eq!(remaining(&engine, &visitor(), T0), [2, 997, 7]);
    assert_eq!(check(&engine, &visitor(), T0), OK);
    assert_eq!(remaining(&engine, &visitor(), T0), [1, 996, 6], "absent: 1");
}

#[test]
fn a_vector_costs_what_it_names_and_0_elsewhere() {
    let engine = metered();
    assert_eq!(check(&engine, &visitor().costs(&[("requests", 1), ("tokens", 300)]), T0), OK);
    assert_eq!(remaining(&engine, &visitor(), T0), [4, 700, 9]);
    assert_eq!(check(&engine, &visitor().costs(&[("tokens", 700), ("joules", 5)]), T0), OK);
    assert_eq!(remaining(&engine, &visitor(), T0), [4, 0, 9]);
    assert_eq!(check(&engine, &visitor().costs(&[("requests", 4)]), T0), OK, "cost 0 is never refused");
    assert_eq!(check(&engine, &visitor().costs(&[]), T0), OK);
    assert_eq!(remaining(&engine, &visitor(), T0), [0, 0, 5]);
}

#[test]
fn a_cost_that_no_limit_can_hold_exceeds_it_whatever_else_is_violated() {
    let engine = metered();
    assert_eq!(check(&engine, &visitor().cost(5), T0), OK);
    let refused = report(&engine, &visitor().cost(6), T0);
    assert_eq!(
        (refused.decision().verdict(), refused.decision().retry_after()),
        (Verdict::CostExceedsLimit, None)
    );
    assert_eq!(violated(&refused), ["throttle", "week"]);
}

#[test]
fn cost_0_is_not_refused_where_more_than_the_burst_is_owed() {
    let engine = with_plan(Plan::new().throttle(tollgate::Throttle::new("1/s", 1)));
    assert_eq!(check(&engine, &visitor(), T0), OK);
    assert_eq!(check(&engine, &visitor().cost(0), T0 - 1), OK);
    assert_eq!(check(&engine, &visitor(), T0 - 1), (tollgate::Verdict::Throttled, Some(SECOND + 1)));
}
