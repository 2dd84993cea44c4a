//! rate-net: token buckets over shards behind a `RwLock`, bounded by default.

use std::time::Duration;

use clock_lib::Clock;
use rate_net::{CoarseClock, Eviction, RateLimiter};

use super::tollgate::TICK_INTERVAL;
use super::{Entry, Peer, Room, Setup, Time};
use crate::workload::Key;

pub(super) const DEFAULT: Entry = Entry {
    name: "rate-net",
    title: "rate-net",
    version: env!("VERSION_RATE_NET"),
    time: Time::Own,
    how: "the builder's defaults, with room for all keys; `check_bytes`, as it says for keys of more than 22 bytes",
    bytes_per_key: 200,
    build: |setup| {
        let builder = RateLimiter::builder();
        let (quota, burst) = quota(setup);
        let limiter = builder.quota(quota.0, quota.1).burst(burst).eviction(eviction(setup)).try_build();
        Box::new(Limiter { limiter: limiter.expect("a valid quota"), burst })
    },
    ..Entry::USUAL
};

pub(super) const COARSE: Entry = Entry {
    name: "rate-net-coarse",
    title: "rate-net, coarse clock, key digests",
    time: Time::Tick,
    how: "the best found: `CoarseClock` of a millisecond, and keys kept as digests of 16 bytes",
    build: |setup| {
        let clock = CoarseClock::spawn(TICK_INTERVAL).expect("a thread can be started");
        let builder = RateLimiter::builder().clock(clock).digest_keys_longer_than(22);
        let (quota, burst) = quota(setup);
        let limiter = builder.quota(quota.0, quota.1).burst(burst).eviction(eviction(setup)).try_build();
        Box::new(Limiter { limiter: limiter.expect("a valid quota"), burst })
    },
    ..DEFAULT
};

fn quota(setup: &Setup) -> ((u32, Duration), u32) {
    let limit = setup.limit;
    match limit.interval < Duration::from_secs(1) {
        true => ((1_000_000_000 / limit.interval.subsec_nanos(), Duration::from_secs(1)), limit.burst),
        false => ((1, limit.interval), limit.burst),
    }
}

fn eviction(setup: &Setup) -> Eviction {
    match setup.room {
        Room::Planned => Eviction::capacity((setup.keys as usize * 5 / 4).max(1 << 20)),
        Room::Growing => Eviction::unbounded(),
    }
}

struct Limiter<C: Clock + Clone> {
    limiter: RateLimiter<C>,
    burst: u32,
}

impl<C: Clock + Clone + Send + Sync + 'static> Peer for Limiter<C> {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, _now: u64) -> bool {
        self.limiter.check_bytes(key.bytes()).is_allow()
    }

    fn drain(&self, key: &Key, _now: u64) -> bool {
        self.limiter.check_n_bytes(key.bytes(), self.burst).is_allow()
    }
}
