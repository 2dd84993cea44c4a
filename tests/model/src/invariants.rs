//! What holds of the model's state after every line of every scenario.

use crate::text::{self, Nanos};
use crate::window::Period;
use crate::{Model, Owner, Scope, StateId, r#gen};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use std::collections::BTreeSet;

/// Windows that were over when their rows were corrected: "otherwise only its usage log".
type Apart = BTreeSet<(StateId, Nanos)>;

fn hold(model: &Model, apart: &Apart) {
    let spent = &model.spent;
    for (state, quota) in &spent.quotas {
        assert!(quota.used >= 0, "{state:?} {quota:?}");
        let Some(known) = model.quota_in_place(&state.1).filter(|_| Model::logged(state)) else {
            assert!(matches!(state.0, Owner::Registered(_)) || quota.row.is_none());
            continue;
        };
        // Windows of whole days of the log; the log holds no more than 90 of them.
        let of_days = matches!(known.period, Period::Day(_) | Period::Week(..) | Period::Month(..));
        if of_days && !apart.contains(&(state.clone(), quota.start)) {
            let window = known.period.window(quota.start);
            assert_eq!(window.start, quota.start);
            let logged = spent.logs.get(state).map_or(0, |log| log.sum(&known, window));
            assert_eq!(logged, quota.used, "{state:?} {quota:?}");
        }
    }
    assert!(spent.logs.keys().all(Model::logged));
    assert!(spent.marks.keys().all(|(owner, _)| !matches!(owner, Owner::Anonymous(_))));
    for (id, entry) in &spent.book {
        for part in &entry.parts {
            assert!(part.debit.is_none() || part.cost > 0, "{id}");
        }
    }
}

/// The windows of the debits that a line may correct, as far as they are over.
fn over(model: &Model, line: &Value) -> Apart {
    let entry = line["id"].as_str().and_then(|id| model.spent.book.get(id));
    let (Ok(now), Some(entry)) = (text::instant(&line["at"]), entry) else {
        return Apart::new();
    };
    let windows = entry.parts.iter().filter_map(|part| {
        let state = model.spent.quotas.get(&part.state)?;
        let window = part.debit?.window?;
        let (period, _) = &model.periods[&part.state.1];
        (state.start == window && period.window(now).start > window).then(|| (part.state.clone(), window))
    });
    windows.collect()
}

#[test]
fn the_log_adds_up_to_what_is_used() {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let scenarios = r#gen::scenario_of(Scope::EVERYTHING);
    for _ in 0..400 {
        let scenario = scenarios.new_tree(&mut runner).unwrap().current();
        let mut model = Model::from_plan_json(&scenario.plans.to_string()).unwrap().with_usage_log();
        if let Some(plan) = &scenario.default_plan {
            model = model.with_default_plan(plan);
        }
        let mut apart = Apart::new();
        for line in &scenario.trace {
            if line.get("op").is_some_and(|op| op == "settle" || op == "refund") {
                apart.extend(over(&model, line));
            }
            let answer = model.step(line);
            assert!(answer.is_object(), "{line}");
            hold(&model, &apart);
        }
    }
}
