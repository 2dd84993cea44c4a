//! One scenario, decided by the engine, behind the replay, and by the exact model: the same answers line by line.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;
use serde_json::Value;
use tollgate::{Capacity, Changes, Clock, Engine, ManualClock, Region};
use tollgate_cli::replay::Session;
use tollgate_model::{Model, Scenario};

/// What the two must agree on: all of an answer, but that an error is an error whatever its words.
fn comparable(mut answer: Value) -> Value {
    if let Some(error) = answer.get_mut("error") {
        assert!(error.as_str().is_some_and(|text| !text.is_empty()), "an error says something");
        *error = Value::Null;
    }
    saturate(&mut answer);
    answer
}

/// A number that 64 bits are too few for is text in the model's answers, and the largest one in the engine's.
fn saturate(answer: &mut Value) {
    match answer {
        Value::Object(fields) => fields
            .iter_mut()
            .filter(|(name, value)| name.ends_with("_ns") || !value.is_string())
            .for_each(|(_, value)| saturate(value)),
        Value::Array(items) => items.iter_mut().for_each(saturate),
        Value::String(text) if text.parse::<i128>().is_ok_and(|n| n > u64::MAX.into()) => {
            *answer = u64::MAX.into();
        }
        _ => {}
    }
}

/// Where the engine's state is.
#[derive(Clone, Copy, Debug)]
pub enum Home {
    /// In the process's own memory.
    Heap,
    /// In memory that processes could share.
    Region,
}

/// A region that nobody else has.
fn region(capacity: Capacity) -> Region {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("tollgate-model-{}-{number}", std::process::id());
    let path = std::env::temp_dir().join(name);
    let _ = std::fs::remove_file(&path);
    let region = Region::file(&path, capacity.region_bytes()).expect("a file can be mapped");
    // The mapping stays.
    std::fs::remove_file(&path).expect("the file is there");
    region
}

/// Whether they agree.
///
/// # Errors
/// The line on which they do not, with both answers.
pub fn agree(scenario: &Scenario, home: Home) -> Result<(), TestCaseError> {
    let Scenario { plans, default_plan, trace } = scenario;
    let text = plans.to_string();
    let mut model = Model::from_plan_json(&text).map_err(TestCaseError::fail)?.with_usage_log();
    if let Some(plan) = default_plan {
        model = model.with_default_plan(plan);
    }
    let changes = Changes::from_json(&text).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let capacity = Capacity::new().cells(40_000).lines(40_000);
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
