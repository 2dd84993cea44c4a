//! Nothing drifts: admitted counts over ten million requests, against arithmetic that has no state.

use tollgate::{Nanos, Plan, Throttle};

use super::*;

const REQUESTS: u64 = 10_000_000;

/// `REQUESTS` checks `gap` nanoseconds apart (the last digits wander) on a bucket of 1 token:
/// a request is admitted iff an emission interval has passed since the last admission.
fn admitted_is_exact(rate: &str, tokens: u64, nanos: u64, gap: u64) {
    let engine = with_plan(Plan::new().throttle(Throttle::new(rate, 1)));
    let request = visitor();
    let (mut admitted, mut full_since) = (0u64, None::<u128>);
    let mut now = T0;
    // In units of 1/tokens ns.
    for n in 0..REQUESTS {
        let expected = full_since.is_none_or(|full| u128::from(now) * u128::from(tokens) >= full);
        let decision = engine.check_at(&request, Nanos::new(now));
        assert_eq!(decision.is_allowed(), expected, "{rate}: request {n} at {now}");
        if expected {
            admitted += 1;
            // Full when it was asked, so the token comes back one interval after now.
            full_since = Some(u128::from(now) * u128::from(tokens) + u128::from(nanos));
        }
        now += gap + (n * 7_919) % 13;
    }
    assert!(admitted > REQUESTS / 20, "{rate}: {admitted}");
}

/// A drained bucket that is asked again at every instant that `retry_after` names: one admission per
/// token, at the exact instants. (With a burst of 1 the bucket would be full at each of them, and
/// what an instant is past its exact fraction of a nanosecond would rightly be lost.)
fn every_admission_instant_is_exact(rate: &str, tokens: u64, nanos: u64, burst: u64) {
    let engine = with_plan(Plan::new().throttle(Throttle::new(rate, burst)));
    let request = visitor();
    assert!(engine.check_at(&request.cost(burst), Nanos::new(T0)).is_allowed());
    let mut now = T0;
    for n in 1..=REQUESTS / 2 {
        let wait = engine.check_at(&request, Nanos::new(now)).retry_after().unwrap().get();
        let exact = (u128::from(n) * u128::from(nanos)).div_ceil(tokens.into());
        assert_eq!(u128::from(now + wait - T0), exact, "{rate}: admission {n}");
        now += wait;
        assert!(engine.check_at(&request, Nanos::new(now)).is_allowed(), "{rate}: admission {n}");
    }
}

macro_rules! rates {
    ($($name:ident: $rate:literal = $tokens:literal / $nanos:literal, every $gap:literal;)*) => {
        $(#[test]
        fn $name() {
            admitted_is_exact($rate, $tokens, $nanos, $gap);
            every_admission_instant_is_exact($rate, $tokens, $nanos, 10);
        })*
    };
}

rates! {
    three_per_second: "3/s" = 3 / 1_000_000_000, every 33_333_331;
    seven_per_second: "7/s" = 7 / 1_000_000_000, every 14_285_713;
    a_tenth_per_second: "0.1/s" = 1 / 10_000_000_000, every 1_000_000_007;
    three_million_per_second: "3000000/s" = 3 / 1_000, every 30;
    a_thousand_per_minute: "1000/m" = 1 / 60_000_000, every 6_000_001;
    a_large_numerator: "123.457/s" = 123_457 / 1_000_000_000_000, every 1_000_003;
}
