//! The algorithms of `tollgate::lab`, each beside a naive reference in exact fractions, over random traces.

mod reference;

use proptest::collection::vec;
use proptest::prelude::*;
use tollgate::lab::{
    Algorithm, FixedWindow, Gcra, LONGEST, LeakyBucket, Limit, SlidingCounter, SlidingLog, TokenBucket,
    WideGcra,
};
use tollgate::{Changes, Engine, LimitError, Nanos, Request};

/// Instant and cost.
type Trace = Vec<(u64, u64)>;

const MS: u64 = 1_000_000;

/// What `A` admits of a trace.
fn run<A: Algorithm>(limit: &Limit, trace: &[(u64, u64)]) -> Vec<bool> {
    let algorithm = A::new(limit);
    let mut state = A::State::default();
    let mut ring = vec![0; algorithm.ring()];
    let step = |&(at, cost): &(u64, u64)| match algorithm.step(state, &mut ring, Nanos::new(at), cost) {
        Some(next) => {
            state = next;
            true
        }
        None => false,
    };
    trace.iter().map(step).collect()
}

fn admitted(trace: &[(u64, u64)], verdicts: &[bool]) -> Trace {
    trace.iter().zip(verdicts).filter(|(_, admitted)| **admitted).map(|(request, _)| *request).collect()
}

fn total(trace: &[(u64, u64)]) -> u64 {
    trace.iter().map(|(_, cost)| cost).sum()
}

/// The most in any half-open interval of `length`, by looking at all that begin with a request.
fn most_within(trace: &[(u64, u64)], length: u64) -> u64 {
    let from = |start: u64| trace.iter().filter(move |(at, _)| (start..start + length).contains(at));
    trace.iter().map(|&(start, _)| from(start).map(|(_, cost)| cost).sum()).max().unwrap_or(0)
}

fn limits() -> impl Strategy<Value = Limit> {
    let windows = prop_oneof![Just(MS), Just(1_000 * MS), Just(3 * MS + 1), Just(86_400_000 * MS)];
    let limits = prop_oneof![Just(1), 1u64..20, Just(97)];
    (limits, windows, proptest::option::of(1u64..30))
        .prop_map(|(limit, window, burst)| Limit::new(limit, Nanos::new(window), burst).unwrap())
}

/// A limit, and requests that come now at once, now apart, now at the instants at which windows begin and tokens arrive.
fn cases() -> impl Strategy<Value = (Limit, Trace)> {
    let steps =
        vec((0u8..6, any::<u64>(), prop_oneof![6 => Just(1u64), 2 => 1u64..6, 1 => 0u64..200]), 1..120);
    (limits(), steps).prop_map(|(limit, steps)| {
        let (window, mut now) = (limit.window().get(), 0);
        let mut trace = Vec::new();
        for (kind, draw, cost) in steps {
            now = match kind {
                0 | 1 => now,
                2 => now + draw % (2 * window / limit.limit() + 1),
                3 => now + draw % (2 * window),
                // The next window, or the nanosecond before.
                4 => ((now / window + 1) * window - draw % 2).max(now),
                // The next token of the grid, or the nanosecond before.
                _ => {
                    let token = u128::from(now) * u128::from(limit.limit()) / u128::from(window) + 1;
                    let at = (token * u128::from(window)).div_ceil(limit.limit().into()) as u64;
                    (at - draw % 2).max(now)
                }
            };
            trace.push((now, cost));
        }
        (limit, trace)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn gcra_and_the_token_bucket_are_the_same_exact_rule((limit, trace) in cases()) {
        let expected = reference::token_bucket(&limit, &trace);
        prop_assert_eq!(&run::<WideGcra>(&limit, &trace), &expected);
        prop_assert_eq!(&run::<TokenBucket>(&limit, &trace), &expected);
        if Gcra::fits(&limit) {
            prop_assert_eq!(&run::<Gcra>(&limit, &trace), &expected);
        }
    }

    #[test]
    fn gcra_never_admits_more_than_burst_and_rate_in_any_interval((limit, trace) in cases()) {
        let admitted = admitted(&trace, &run::<WideGcra>(&limit, &trace));
        for (first, &(start, _)) in admitted.iter().enumerate() {
            let mut sum = 0u128;
            for &(at, cost) in &admitted[first..] {
                sum += u128::from(cost);
                // sum <= burst + limit * (at - start) / window
                let refilled = u128::from(limit.limit()) * u128::from(at - start);
                let window = u128::from(limit.window().get());
                prop_assert!(sum * window <= u128::from(limit.burst()) * window + refilled);
            }
        }
    }

    #[test]
    fn the_log_never_passes_the_limit_in_any_window((limit, trace) in cases()) {
        let verdicts = run::<SlidingLog>(&limit, &trace);
        prop_assert_eq!(&verdicts, &reference::sliding_log(&limit, &trace));
        prop_assert!(most_within(&admitted(&trace, &verdicts), limit.window().get()) <= limit.limit());
    }

    #[test]
    fn no_schedule_within_the_limit_admits_more_than_the_log(
        limit in 1u64..4,
        gaps in vec(0u64..5, 1..14),
    ) {
        // Windows of four steps; every subset of the requests is tried.
        let step = MS;
        let limit = Limit::new(limit, Nanos::new(4 * step), None).unwrap();
        let mut now = 0;
        let trace: Trace = gaps.iter().map(|gap| { now += gap * step; (now, 1) }).collect();
        let best = (0u32..1 << trace.len())
            .map(|set| {
                let chosen: Vec<bool> = (0..trace.len()).map(|bit| set >> bit & 1 == 1).collect();
                let chosen = admitted(&trace, &chosen);
                if most_within(&chosen, 4 * step) <= limit.limit() { chosen.len() } else { 0 }
            })
            .max();
        let log = admitted(&trace, &run::<SlidingLog>(&limit, &trace)).len();
        prop_assert_eq!(Some(log), best);
    }

    #[test]
    fn a_fixed_window_holds_the_limit_and_nothing_less((limit, trace) in cases()) {
        let verdicts = run::<FixedWindow>(&limit, &trace);
        prop_assert_eq!(&verdicts, &reference::fixed_window(&limit, &trace));
        prop_assert!(most_within(&admitted(&trace, &verdicts), limit.window().get()) <= 2 * limit.limit());
    }

    #[test]
    fn the_sliding_counter_is_its_formula((limit, trace) in cases()) {
        let verdicts = run::<SlidingCounter>(&limit, &trace);
        prop_assert_eq!(&verdicts, &reference::sliding_counter(&limit, &trace));
        prop_assert!(most_within(&admitted(&trace, &verdicts), limit.window().get()) < 2 * limit.limit());
    }

    #[test]
    fn the_leaky_bucket_drains_one_by_one((limit, trace) in cases()) {
        let verdicts = run::<LeakyBucket>(&limit, &trace);
        prop_assert_eq!(&verdicts, &reference::leaky_bucket(&limit, &trace));
        // A token more than the token bucket, in any interval.
        let admitted = admitted(&trace, &verdicts);
        for (first, &(start, _)) in admitted.iter().enumerate() {
            let mut sum = 0u128;
            for &(at, cost) in &admitted[first..] {
                sum += u128::from(cost);
                let window = u128::from(limit.window().get());
                let refilled = u128::from(limit.limit()) * u128::from(at - start);
                prop_assert!(sum * window < (u128::from(limit.burst()) + 1) * window + refilled);
            }
        }
    }

    #[test]
    fn at_the_instants_of_its_drain_the_leaky_bucket_is_the_token_bucket(
        limit in 1u64..20,
        emission in 1u64..5,
        burst in 1u64..30,
        steps in vec((0u64..4, 1u64..4), 1..120),
    ) {
        // A token every `emission` milliseconds exactly.
        let emission = emission * MS;
        let limit = Limit::new(limit, Nanos::new(limit * emission), Some(burst)).unwrap();
        let mut now = 0;
        let trace: Trace = steps.iter().map(|&(gap, cost)| { now += gap * emission; (now, cost) }).collect();
        prop_assert_eq!(run::<LeakyBucket>(&limit, &trace), run::<TokenBucket>(&limit, &trace));
    }

    #[test]
    fn gcra_of_the_lab_is_that_of_the_engine((limit, trace) in cases()) {
        let rate = format!("{}/{}ns", limit.limit(), limit.window().get());
        let plans = format!("[plans.p]\nthrottle = {{ rate = \"{rate}\", burst = {} }}", limit.burst());
        let engine = Engine::builder().changes(Changes::from_toml(&plans).unwrap()).build().unwrap();
        let decide = |&(at, cost): &(u64, u64)| {
            let request = Request::new("k").cost(cost).or_anonymous("p");
            engine.check_at(&request, Nanos::new(at)).is_allowed()
        };
        let expected: Vec<bool> = trace.iter().map(decide).collect();
        prop_assert_eq!(&run::<WideGcra>(&limit, &trace), &expected);
        if Gcra::fits(&limit) {
            prop_assert_eq!(&run::<Gcra>(&limit, &trace), &expected);
        }
    }

    /// Time that goes back, costs and instants without bounds: some answer, no panic.
    #[test]
    fn nothing_panics(limit in limits(), trace in vec((any::<u64>(), any::<u64>()), 1..40)) {
        run::<Gcra>(&limit, &trace);
        run::<WideGcra>(&limit, &trace);
        run::<TokenBucket>(&limit, &trace);
        run::<LeakyBucket>(&limit, &trace);
        run::<FixedWindow>(&limit, &trace);
        run::<SlidingCounter>(&limit, &trace);
        run::<SlidingLog>(&limit, &trace);
    }
}

fn per_second(limit: u64) -> Limit {
    Limit::new(limit, Nanos::from_secs(1), None).unwrap()
}

/// So many requests at each of these milliseconds.
fn at_ms(instants: &[(u64, usize)]) -> Trace {
    instants.iter().flat_map(|&(ms, count)| std::iter::repeat_n((ms * MS, 1), count)).collect()
}

#[test]
fn a_fixed_window_admits_twice_the_limit_across_a_boundary() {
    let trace = at_ms(&[(999, 150), (1_000, 150)]);
    let admitted = admitted(&trace, &run::<FixedWindow>(&per_second(100), &trace));
    assert_eq!(most_within(&admitted, 2 * MS), 200);
    assert_eq!(total(&admitted), 200);
}

#[test]
fn a_sliding_counter_is_misled_by_what_came_late_or_early() {
    let limit = per_second(100);
    // Late in its window: taken for spread out, so that the next one fills up while all of it still counts.
    let mut trace = at_ms(&[(999, 100)]);
    trace.extend((1_000..1_999).map(|ms| (ms * MS, 1)));
    let late = admitted(&trace, &run::<SlidingCounter>(&limit, &trace));
    assert_eq!(most_within(&late, 1_000 * MS), 199);
    // Early: it has left the sliding window, but 50 are still counted.
    let trace = at_ms(&[(0, 100), (1_500, 100)]);
    assert_eq!(total(&admitted(&trace, &run::<SlidingCounter>(&limit, &trace))), 150);
    assert_eq!(total(&admitted(&trace, &run::<SlidingLog>(&limit, &trace))), 200);
}

#[test]
fn the_example_of_the_sliding_counter() {
    // 42 in the minute before, 18 in the first 15 s of this one: 49.5 and the next.
    let trace = |last: u64| {
        let mut trace = vec![(30_000 * MS, 42), (62_000 * MS, 18)];
        trace.push((75_000 * MS, last));
        trace
    };
    let minute = |limit: u64| Limit::new(limit, Nanos::from_secs(60), None).unwrap();
    assert_eq!(run::<SlidingCounter>(&minute(60), &trace(10)), [true, true, true]);
    assert_eq!(run::<SlidingCounter>(&minute(60), &trace(11)), [true, true, false]);
    assert_eq!(run::<SlidingCounter>(&minute(59), &trace(10)), [true, true, false]);
}

#[test]
fn buckets_pass_the_limit_of_a_window_by_their_burst() {
    let mut trace = at_ms(&[(5, 200)]);
    trace.extend((6..1_005).map(|ms| (ms * MS, 1)));
    let most = |verdicts: Vec<bool>| most_within(&admitted(&trace, &verdicts), 1_000 * MS);
    assert_eq!(most(run::<Gcra>(&per_second(100), &trace)), 199);
    let small = Limit::new(100, Nanos::from_secs(1), Some(10)).unwrap();
    assert_eq!(most(run::<Gcra>(&small, &trace)), 109);
    assert_eq!(most(run::<LeakyBucket>(&small, &trace)), 110);
}

#[test]
fn state_is_exact_until_the_end_of_its_time() {
    for (limit, window) in [(1_000_000, 1), (1, 30 * 86_400_000), (999_983, 1_000)] {
        let limit = Limit::new(limit, Nanos::new(window * MS), None).unwrap();
        let end = LONGEST.get();
        let trace = [(end, limit.burst()), (end, 1), (end + limit.window().get(), limit.burst())];
        let expected = [true, false, true];
        assert_eq!(run::<WideGcra>(&limit, &trace), expected);
        assert_eq!(run::<TokenBucket>(&limit, &trace), expected);
        assert_eq!(run::<SlidingLog>(&limit, &trace), expected);
        if Gcra::fits(&limit) {
            assert_eq!(run::<Gcra>(&limit, &trace), expected);
        }
    }
    assert!(!Gcra::fits(&Limit::new(999_983, Nanos::from_secs(1), None).unwrap()));
}

#[test]
fn limits_out_of_range_say_what_would_be_right() {
    let limit = |limit, window, burst| Limit::new(limit, Nanos::new(window), burst).unwrap_err();
    assert_eq!(limit(0, MS, None), LimitError::Limit(0));
    assert_eq!(limit(1_000_001, MS, Some(1)), LimitError::Limit(1_000_001));
    assert_eq!(limit(1, MS - 1, None), LimitError::Per(MS - 1));
    assert_eq!(limit(1, 31 * 86_400_000 * MS, None), LimitError::Per(31 * 86_400_000 * MS));
    assert_eq!(limit(1, MS, Some(0)), LimitError::Burst(0));
    let month = 30 * 86_400_000 * MS;
    assert_eq!(limit(1, month, Some(7)), LimitError::Slow { burst: 7, most: 6 });
    assert!(Limit::new(1, Nanos::new(month), Some(6)).is_ok());
    let error = limit(999_983, 86_400_000 * MS, None);
    let LimitError::Precise { most, .. } = error else { panic!("{error}") };
    assert!(Limit::new(999_983, Nanos::new(86_400_000 * MS), Some(most)).is_ok());
    assert!(error.to_string().starts_with("burst: 999983 "), "{error}");
    let limit = Limit::new(7, Nanos::new(MS), None).unwrap();
    assert_eq!((limit.limit(), limit.window().get(), limit.burst()), (7, MS, 7));
    assert_eq!(limit.rate().to_string(), "7000/s");
}
