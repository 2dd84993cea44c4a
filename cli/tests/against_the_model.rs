//! The engine, behind the replay, against the exact model: the same random plan files and traces, the
//! same answers line by line; in a process's own memory, and in a region.
//!
//! `TOLLGATE_CASES` sets the number of scenarios.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};
use serde_json::Value;
use tollgate::{Capacity, Changes, Clock, Engine, ManualClock, Region};
use tollgate_cli::replay::Session;
use tollgate_model::{Model, Scenario, scenario};

const QUICK: u32 = 3_000;

/// What the two must agree on: all of an answer, but that an error is an error whatever its words.
fn comparable(mut answer: Value) -> Value {
    if let Some(error) = answer.get_mut("error") {
        assert!(error.as_str().is_some_and(|text| !text.is_empty()), "an error says something");
        *error = Value::Null;
    }
    answer
}

#[derive(Clone, Copy, Debug)]
enum Home {
    Heap,
    Region,
}

/// A region that nobody else has.
fn region(capacity: Capacity) -> Region {
    let path = std::env::temp_dir().join(format!("tollgate-model-{}", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let region = Region::file(&path, capacity.region_bytes()).expect("a file can be mapped");
    // The mapping stays.
    std::fs::remove_file(&path).expect("the file is there");
    region
}

fn agree(scenario: &Scenario, home: Home) -> Result<(), TestCaseError> {
    let Scenario { plans, default_plan, trace } = scenario;
    let text = plans.to_string();
    let mut model = Model::from_plan_json(&text).map_err(TestCaseError::fail)?;
    if let Some(plan) = default_plan {
        model = model.with_default_plan(plan);
    }
    let changes = Changes::from_json(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let capacity = Capacity::new().cells(4_000).lines(4_000);
    let builder = match home {
        Home::Heap => Engine::builder(),
        Home::Region => Engine::attach(region(capacity)).clock(Clock::Manual(ManualClock::default())),
    };
    let mut session = Session::of(builder.capacity(capacity).changes(changes), default_plan.as_deref())
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    for (line, number) in trace.iter().zip(1..) {
        let expected = model.step(line);
        let mut out = Vec::new();
        session.step(line.to_string().as_bytes(), number, &mut out);
        let answer: Value = serde_json::from_slice(&out).expect("an answer is JSON");
        prop_assert_eq!(
            comparable(answer.clone()),
            comparable(expected),
            "in {:?}, line {}: {}\nanswered {}",
            home,
            number,
            line,
            answer
        );
    }
    Ok(())
}

#[test]
fn the_engine_agrees_with_the_model() {
    let cases = std::env::var("TOLLGATE_CASES").ok().map_or(QUICK, |text| text.parse().expect("a number"));
    let mut runner = TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() });
    match runner.run(&scenario(), |scenario| {
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
