//! governor: GCRA over `DashMap`.

use std::num::NonZeroU32;
use std::sync::OnceLock;

use ahash::RandomState;
use dashmap::DashMap;
use governor::clock::{Clock, QuantaClock, QuantaInstant, QuantaUpkeepClock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::state::InMemoryState;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use super::tollgate::TICK_INTERVAL;
use super::{Entry, Limit, Peer, Setup, Time};
use crate::workload::Key;

const VERSION: &str = env!("VERSION_GOVERNOR");

pub(super) const DEFAULT: Entry = Entry {
    name: "governor",
    title: "governor",
    version: VERSION,
    time: Time::Own,
    how: "`RateLimiter::keyed` with `String` keys: DashMap, SipHash, quanta's clock; the text is copied into a buffer",
    bytes_per_key: 120,
    build: |setup| Box::new(Plain::new(setup)),
    ..Entry::USUAL
};

pub(super) const AHASH: Entry = Entry {
    name: "governor-ahash",
    title: "governor, ahash, [u8; 32]",
    how: "DashMap with ahash, keys of 32 bytes without a heap, quanta's clock",
    bytes_per_key: 90,
    build: |setup| Box::new(Arrays::new(setup, QuantaClock::default())),
    ..DEFAULT
};

pub(super) const TICK: Entry = Entry {
    name: "governor-tick",
    title: "governor, ahash, [u8; 32], upkeep clock",
    time: Time::Tick,
    how: "the best found: the same with `QuantaUpkeepClock`, which a thread moves every millisecond",
    build: |setup| Box::new(Arrays::new(setup, upkeep())),
    ..AHASH
};

fn quota(limit: &Limit) -> Quota {
    let burst = NonZeroU32::new(limit.burst).expect("a burst is not 0");
    Quota::with_period(limit.interval).expect("an interval is not 0").allow_burst(burst)
}

/// There can be one upkeep thread in a process.
fn upkeep() -> QuantaUpkeepClock {
    static CLOCK: OnceLock<QuantaUpkeepClock> = OnceLock::new();
    CLOCK.get_or_init(|| QuantaUpkeepClock::from_interval(TICK_INTERVAL).expect("none runs yet")).clone()
}

struct Plain {
    limiter: DefaultKeyedRateLimiter<String>,
    burst: NonZeroU32,
}

impl Plain {
    fn new(setup: &Setup) -> Plain {
        let quota = quota(&setup.limit);
        Plain { limiter: RateLimiter::keyed(quota), burst: quota.burst_size() }
    }
}

impl Peer for Plain {
    /// The key as a `String`, which is what governor looks up by; it clones it if it is new.
    type Scratch = String;

    #[inline(always)]
    fn check(&self, text: &mut String, key: &Key, _now: u64) -> bool {
        text.clear();
        text.push_str(key.text());
        self.limiter.check_key(text).is_ok()
    }

    fn drain(&self, key: &Key, _now: u64) -> bool {
        matches!(self.limiter.check_key_n(&key.text().to_owned(), self.burst), Ok(Ok(())))
    }
}

type Store = DashMap<[u8; 32], InMemoryState, RandomState>;

struct Arrays<C: Clock> {
    limiter: RateLimiter<[u8; 32], Store, C, NoOpMiddleware<C::Instant>>,
    burst: NonZeroU32,
}

impl<C: Clock> Arrays<C> {
    fn new(setup: &Setup, clock: C) -> Arrays<C> {
        let quota = quota(&setup.limit);
        let store = Store::with_hasher(RandomState::new());
        Arrays { limiter: RateLimiter::new(quota, store, clock), burst: quota.burst_size() }
    }
}

impl<C> Peer for Arrays<C>
where
    C: Clock<Instant = QuantaInstant> + Send + Sync + 'static,
    C::Instant: Reference,
{
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, _now: u64) -> bool {
        self.limiter.check_key(key.bytes()).is_ok()
    }

    fn drain(&self, key: &Key, _now: u64) -> bool {
        matches!(self.limiter.check_key_n(key.bytes(), self.burst), Ok(Ok(())))
    }
}
