//! Checks, which mostly go the short way, and batches of them, beside reports, which never do: the same operations on
//! several engines.

use proptest::prelude::*;
use tollgate::{Capacity, Changes, Engine, Mode, Nanos, Request};

const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

/// What plan `p` may be.
const PLANS: &[&str] = &[
    "throttle = { rate = \"1/s\", burst = 4 }",
    "throttle = { rate = \"3/7s\", burst = 2 }",
    "throttle = { rate = \"0/s\", burst = 2 }",
    "throttle = { rate = \"1/s\", burst = 4 }\nquotas = [{ limit = 6, per = \"minute\" }]",
    "quotas = [{ limit = 5, per = \"minute\" }, { limit = 9, per = \"day\" }]",
    "quotas = [{ limit = 4, per = \"forever\", initial_debit = 1 }]",
    "throttle = { rate = \"2/s\", burst = 3 }\npool.quotas = [{ limit = 12, per = \"minute\" }]",
    "throttle = [{ rate = \"2/s\", burst = 3 }, { name = \"slow\", rate = \"1/m\", burst = 7, unit = \"bytes\" }]",
    "throttle = { rate = \"1/s\", burst = 2, mode = { delay = \"1500ms\" } }",
    "observe = true\nthrottle = { rate = \"1/s\", burst = 1 }",
    "",
];

#[derive(Clone, Debug)]
enum Operation {
    Check {
        who: usize,
        how: usize,
        cost: u64,
    },
    Apply(usize),
    Toggle(bool),
    /// Forwards, or a little back.
    Time(i64),
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => (0..3usize, 0..3usize, prop_oneof![8 => Just(1u64), 2 => 0..4u64])
            .prop_map(|(who, how, cost)| Operation::Check { who, how, cost }),
        2 => (0..PLANS.len()).prop_map(Operation::Apply),
        1 => any::<bool>().prop_map(Operation::Toggle),
        4 => prop_oneof![6 => 0..3 * SECOND as i64, 1 => -(SECOND as i64)..0, 1 => Just(60 * SECOND as i64)]
            .prop_map(Operation::Time),
    ]
}

fn definitions(plan: usize) -> Changes {
    let subject = |n: usize| {
        format!("[subjects.s{n}]\nplans = [\"p\"]\nkeys = [{{ id = \"k{n}\", value = \"key {n}\" }}]\n")
    };
    let text = format!("[plans.p]\n{}\n{}{}", PLANS[plan], subject(0), subject(1));
    Changes::from_toml(&text).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_check_decides_as_a_report_does(first in 0..PLANS.len(), operations in prop::collection::vec(operation(), 1..60)) {
        let engine = || {
            let capacity = Capacity::new().cells(100).lines(100);
            Engine::builder().changes(definitions(first)).capacity(capacity).build().unwrap()
        };
        let (short, long, batched, prepared) = (engine(), engine(), engine(), engine());
        let mut now = T0;
        // What the batch is to come to.
        let (mut batch, mut expected) = (Vec::new(), Vec::new());
        for operation in operations.into_iter().chain([Operation::Time(0)]) {
            if !matches!(operation, Operation::Check { .. }) {
                let mut decisions = Vec::new();
                batched.check_batch_at(&batch, Nanos::new(now), &mut decisions);
                prop_assert_eq!(&decisions, &expected);
                // Nothing of it has been debited yet.
                let early: Vec<_> = batch.iter().map(|request| prepared.prepare(request)).collect();
                let decisions: Vec<_> =
                    early.iter().map(|early| prepared.check_prepared_at(early, Nanos::new(now))).collect();
                prop_assert_eq!(&decisions, &expected);
                (batch, expected) = (Vec::new(), Vec::new());
            }
            match operation {
                Operation::Check { who, how, cost } => {
                    let names = ["a visitor", "b", "somebody with a name that is not short at all"];
                    let keys = ["key 0", "key 1", "key 2"];
                    let request = |engine: &Engine| match how {
                        0 => Request::anonymous_in(engine.plan_id("p").unwrap(), names[who]),
                        1 => Request::anonymous("p", names[who]),
                        _ => Request::new(keys[who]),
                    };
                    let decision = short.check_at(&request(&short).cost(cost), Nanos::new(now));
                    let report = long.report_at(&request(&long).cost(cost), Nanos::new(now), Mode::Check);
                    prop_assert_eq!(decision, report.decision());
                    expected.push(decision);
                    // Plans have the same numbers in all of them.
                    batch.push(request(&batched).cost(cost));
                    let left = |engine: &Engine| engine.report_at(&request(engine), Nanos::new(now), Mode::Peek);
                    prop_assert_eq!(left(&short), left(&long));
                }
                Operation::Apply(plan) => {
                    for engine in [&short, &long, &batched, &prepared] {
                        engine.apply_at(&definitions(plan), Nanos::new(now)).unwrap();
                    }
                }
                Operation::Toggle(on) => {
                    for engine in [&short, &long, &batched, &prepared] {
                        if on { engine.enable("k0") } else { engine.disable("k0") }.unwrap();
                    }
                }
                Operation::Time(by) => now = now.saturating_add_signed(by),
            }
        }
    }
}
