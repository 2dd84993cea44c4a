//! tokio-rate-limit: token buckets in 256 of flurry's hash maps.

use tokio_rate_limit::RateLimiter;

use super::{Entry, Peer, Setup, Time};
use crate::workload::Key;

pub(super) const DEFAULT: Entry = Entry {
    name: "tokio-rate-limit",
    title: "tokio-rate-limit",
    version: env!("VERSION_TOKIO_RATE_LIMIT"),
    time: Time::Own,
    how: "the builder's defaults and `check`, which is not async",
    bytes_per_key: 270,
    // A drained key has a token again after a second, before most of a larger population is asked about again.
    most_denied: 1_000,
    why_not: "its slowest rate is one per second: a large drained population refills while it is being timed",
    build: |setup| Box::new(Limiter::new(setup)),
    ..Entry::USUAL
};

struct Limiter {
    limiter: RateLimiter,
    burst: u64,
}

impl Limiter {
    fn new(setup: &Setup) -> Limiter {
        let burst = setup.limit.burst.into();
        let rate = (1_000_000_000 / setup.limit.interval.as_nanos() as u64).max(1);
        let limiter = RateLimiter::builder().requests_per_second(rate).burst(burst).build();
        Limiter { limiter: limiter.expect("a valid rate"), burst }
    }
}

impl Peer for Limiter {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, _now: u64) -> bool {
        self.limiter.check(key.text()).permitted
    }

    fn drain(&self, key: &Key, _now: u64) -> bool {
        self.limiter.check_with_cost(key.text(), self.burst).permitted
    }
}
