//! Scenarios of the random comparison, changed here and there, decided by the engine, at both of its homes, and by the
//! exact model.
//!
//! The first byte says what scenarios are made of, four more draw one. Then come two bytes for each of its lines: how
//! often it stands there, and at which instant; what they leave is as it was drawn.

use proptest::strategy::{BoxedStrategy, Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;
use tollgate_model::{Model, Scenario, Scope, scenario_of};

#[path = "../../cli/tests/common/agree.rs"]
mod agree;

use agree::{Home, agree};

/// The engine's arithmetic covers a year before its first instant, and four after it.
const FAR: i128 = 300 * 86_400_000_000_000;

/// See the module's comment.
pub fn run(bytes: &[u8]) {
    let Some((&[scope, ref seed @ ..], picks)) = bytes.split_first_chunk::<5>() else { return };
    let scenario = changed(drawn(scope, *seed), picks);
    for home in [Home::Heap, Home::Region] {
        if let Err(error) = agree(&scenario, home) {
            let Scenario { plans, default_plan, trace } = scenario;
            let trace: Vec<String> = trace.iter().map(Value::to_string).collect();
            panic!("{error}\n--plan {default_plan:?}\n{plans}\n\n{}", trace.join("\n"));
        }
    }
}

fn scope_of(bits: u8) -> Scope {
    let has = |bit: u8| bits >> bit & 1 != 0;
    Scope {
        concurrency: has(0),
        reservations: has(1),
        usage: has(2),
        grants: has(3),
        alerts: has(4),
        rotation: has(5),
        snapshots: has(6),
    }
}

fn drawn(scope: u8, seed: [u8; 4]) -> Scenario {
    thread_local! {
        static STRATEGIES: [BoxedStrategy<Scenario>; 128] =
            std::array::from_fn(|scope| scenario_of(scope_of(scope as u8)).boxed());
    }
    let mut whole = [0; 32];
    whole[..4].copy_from_slice(&seed);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &whole);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let tree = STRATEGIES.with(|all| all[usize::from(scope & 127)].new_tree(&mut runner));
    tree.expect("nothing is filtered out").current()
}

fn changed(mut scenario: Scenario, picks: &[u8]) -> Scenario {
    let text = scenario.plans.to_string();
    let mut model = Model::from_plan_json(&text).expect("a valid plan file").with_usage_log();
    if let Some(plan) = &scenario.default_plan {
        model = model.with_default_plan(plan);
    }
    let mut picks = picks.chunks_exact(2);
    let (mut trace, mut named) = (Vec::new(), Vec::new());
    let mut first = None;
    for line in std::mem::take(&mut scenario.trace) {
        let (times, jump) = picks.next().map_or((1, 0), |pick| (pick[0], pick[1]));
        // Most lines stand there once.
        let times = if times < 4 { usize::from(times) } else { 1 };
        for _ in 0..times {
            let mut line = line.clone();
            let at = named.len().checked_sub(1 + usize::from(jump / 4)).map(|back| named[back]);
            if let Some(at) = at.filter(|_| jump % 4 != 0) {
                let at: i128 = at + i128::from(jump % 4) - 2;
                let first = *first.get_or_insert(at);
                if at >= 0 && (at - first).abs() < FAR && line.get("at").is_some() {
                    line["at"] = (at as u64).into();
                }
            }
            let answer = model.step(&line);
            if let Some(now) = line.get("at").and_then(Value::as_u64) {
                first.get_or_insert(now.into());
                boundaries(&answer, now.into(), &mut named);
            }
            trace.push(line);
        }
    }
    Scenario { trace, ..scenario }
}

/// Instants that an answer names.
fn boundaries(answer: &Value, now: i128, named: &mut Vec<i128>) {
    let limits = answer["limits"].as_array().into_iter().flatten();
    let waits = limits.map(|limit| &limit["reset_ns"]).chain([&answer["retry_after_ns"]]);
    for wait in waits.filter_map(Value::as_u64).filter(|&wait| wait > 0) {
        named.push(now + i128::from(wait));
    }
    named.push(now);
}
