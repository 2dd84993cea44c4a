//! The engine, behind the replay, against the exact model: the same random plan files and traces, the
//! same answers line by line; in a process's own memory, and in a region.
//!
//! `TOLLGATE_CASES` sets the number of scenarios.

#[path = "common/agree.rs"]
mod agree;

use agree::{Home, agree};
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::Value;
use tollgate_model::{Scenario, Scope, scenario_of};

const QUICK: u32 = 3_000;

fn compare(scope: Scope, share: u32) {
    let cases = std::env::var("TOLLGATE_CASES").ok().map_or(QUICK, |text| text.parse().expect("a number"));
    let cases = (cases / share).max(1);
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    match runner.run(&scenario_of(scope), |scenario| {
        agree(&scenario, Home::Heap)?;
        agree(&scenario, Home::Region)
    }) {
        Ok(()) => {}
        // As files that `tollgate replay` and `tollgate-model` take.
        Err(TestError::Fail(reason, Scenario { plans, default_plan, trace })) => {
            let trace: Vec<String> = trace.iter().map(Value::to_string).collect();
            panic!("{reason}\n--plan {default_plan:?}\n{plans}\n\n{}", trace.join("\n"));
        }
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_engine_agrees_with_the_model_on_decisions() {
    compare(Scope::DECISIONS, 4);
}

#[test]
fn the_engine_agrees_with_the_model_on_requests_in_flight() {
    compare(Scope { concurrency: true, reservations: true, ..Scope::DECISIONS }, 4);
}

#[test]
fn the_engine_agrees_with_the_model_on_what_is_metered() {
    compare(Scope { usage: true, grants: true, alerts: true, ..Scope::DECISIONS }, 4);
}

#[test]
fn the_engine_agrees_with_the_model_on_everything() {
    compare(Scope::EVERYTHING, 2);
}
