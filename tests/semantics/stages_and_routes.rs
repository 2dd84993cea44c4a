//! Stages, routes and pools: which limits apply.

use tollgate::{Request, Verdict};

use super::*;

const PLANS: &str = r#"
[plans.pets]
stages = ["pets/prod", "pets/test"]
quotas = [{ limit = 9, per = "day" }]
[plans.orders]
stages = ["orders/prod"]
quotas = [{ limit = 5, per = "day" }]
[plans.all]
quotas = [{ limit = 3, per = "day" }]
[plans.all.routes."GET /a"]
quotas = [{ limit = 1, per = "day" }]
[plans.all.routes."x/y GET /a"]
[plans.all.routes."GET /b/*"]
quotas = [{ limit = 2, per = "day" }]
[plans.all.pool]
quotas = [{ name = "all-day", limit = 4, per = "day" }]
[subjects.acme]
plans = ["pets", "orders"]
keys = [{ id = "a", value = "acme's" }]
[subjects.beta]
plans = ["all"]
keys = [{ id = "b", value = "beta's" }]
"#;

#[test]
fn a_subject_is_on_one_plan_per_stage() {
    let engine = engine(PLANS);
    let acme = Request::new("acme's");
    assert_eq!(remaining(&engine, &acme.stage("pets/prod"), T0), [9]);
    assert_eq!(remaining(&engine, &acme.stage("orders/prod"), T0), [5]);
    assert_eq!(check(&engine, &acme.stage("pets/test").cost(2), T0), OK);
    assert_eq!(remaining(&engine, &acme.stage("pets/prod"), T0), [7], "summed over the plan's stages");
}

#[test]
fn a_plan_without_stages_covers_all_and_is_the_only_kind_without_a_stage() {
    let engine = engine(PLANS);
    let (acme, beta) = (Request::new("acme's"), Request::new("beta's"));
    assert_eq!(check(&engine, &acme, T0), (Verdict::NoPlanForStage, None));
    assert_eq!(check(&engine, &acme.stage("pets/dev"), T0), (Verdict::NoPlanForStage, None));
    assert_eq!(remaining(&engine, &beta, T0), [3, 4]);
    assert_eq!(remaining(&engine, &beta.stage("any/thing"), T0), [3, 4]);
    let anonymous = Request::anonymous("pets", "visitor");
    assert_eq!(check(&engine, &anonymous, T0), (Verdict::NoPlanForStage, None));
    assert_eq!(check(&engine, &anonymous.stage("pets/prod"), T0), OK);
    assert_eq!(check(&engine, &Request::anonymous("none", "visitor"), T0), (Verdict::NoPlanForStage, None));
}

#[test]
fn two_plans_for_a_stage_are_a_conflict_that_changes_nothing() {
    let engine = engine(PLANS);
    for change in [
        "[subjects.acme]\nplans = [\"pets\", \"all\"]",
        "[subjects.acme]\nplans = [\"pets\", \"orders\"]\n[plans.orders]\nstages = [\"pets/test\"]",
        "[plans.pets]",
    ] {
        let error = apply(&engine, change, T0).unwrap_err();
        assert!(error.is_conflict(), "{error}");
        assert!(error.to_string().starts_with("subjects.acme.plans: plans "), "{error}");
        assert_eq!(remaining(&engine, &Request::new("acme's").stage("orders/prod"), T0), [5]);
    }
}

#[test]
fn route_limits_come_on_top_and_have_one_bucket_per_pattern() {
    let engine = engine(PLANS);
    let beta = Request::new("beta's");
    let a = beta.route("GET /a?q=1");
    assert_eq!(check(&engine, &a, T0), OK);
    let refused = report(&engine, &a, T0);
    assert_eq!(violated(&refused), ["route:GET /a:day"]);
    assert_eq!(remaining(&engine, &a, T0), [2, 0, 3], "plan, route and pool are debited");
    // A pattern with a stage wins; an empty table has no limits of its own.
    assert_eq!(remaining(&engine, &a.stage("x/y"), T0), [2, 3]);
    assert_eq!(check(&engine, &beta.route("GET /b/1"), T0), OK);
    assert_eq!(remaining(&engine, &beta.route("GET /b/2"), T0), [1, 1, 2], "one bucket per pattern");
    assert_eq!(
        remaining(&engine, &beta.route("GET /b"), T0),
        [1, 2],
        "a prefix does not match without its slash"
    );
}

#[test]
fn a_pool_is_one_state_for_every_subject() {
    let engine = engine(PLANS);
    assert_eq!(check(&engine, &Request::new("beta's").cost(3), T0), OK);
    let visitor = Request::anonymous("all", "visitor");
    assert_eq!(remaining(&engine, &visitor, T0), [3, 1]);
    assert_eq!(check(&engine, &visitor, T0), OK);
    let refused = report(&engine, &visitor, T0);
    assert_eq!(violated(&refused), ["pool:all-day"]);
}

#[test]
fn reports_name_limits_in_order() {
    let engine = engine(
        r#"
        [plans.p]
        throttle = [{ name = "second", rate = "9/s", burst = 9 }, { rate = "99/m", burst = 9 }]
        quotas = [{ limit = 9, per = "15m" }, { name = "b", limit = 9, per = "day" }]
        [plans.p.routes."* *"]
        quotas = [{ limit = 9, per = "day" }]
        throttle = { rate = "9/s", burst = 9 }
        [plans.p.pool]
        throttle = { rate = "9/s", burst = 9 }
        "#,
    );
    let report = report(&engine, &visitor().route("GET /"), T0);
    let names: Vec<_> = report.limits().iter().map(|limit| limit.name()).collect();
    assert_eq!(
        names,
        ["second", "throttle", "15m", "b", "route:* *:throttle", "route:* *:day", "pool:throttle"]
    );
    assert_eq!((report.plan(), report.subject(), report.key_id()), (Some("p"), None, None));
}
