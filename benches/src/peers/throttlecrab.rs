//! throttlecrab: GCRA over a hash map that is not shared; its users bring the lock.

use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ahash::RandomState;
use throttlecrab::{PeriodicStore, RateLimiter};

use super::{Entry, Limit, Peer, Room, Setup, Time};
use crate::workload::Key;

const VERSION: &str = env!("VERSION_THROTTLECRAB");

pub(super) const MUTEX: Entry = Entry {
    name: "throttlecrab",
    title: "throttlecrab",
    version: VERSION,
    time: Time::Own,
    how: "`PeriodicStore` behind one `Mutex`, `SystemTime::now()` with every check, as its documentation has it",
    bytes_per_key: 160,
    build: |setup| Box::new(Sharded::<false>::new(setup, 1)),
    ..Entry::USUAL
};

pub(super) const SHARDED: Entry = Entry {
    name: "throttlecrab-sharded",
    title: "throttlecrab, 64 shards",
    time: Time::Given,
    how: "the best found: 64 of them by ahash of the key, each behind a `Mutex`; the time is given",
    build: |setup| Box::new(Sharded::<true>::new(setup, 64)),
    ..MUTEX
};

type Shard = Mutex<RateLimiter<PeriodicStore>>;

struct Sharded<const GIVEN: bool> {
    shards: Vec<Shard>,
    hasher: RandomState,
    burst: i64,
    /// So many per so many seconds.
    rate: (i64, i64),
}

impl<const GIVEN: bool> Sharded<GIVEN> {
    fn new(setup: &Setup, shards: usize) -> Sharded<GIVEN> {
        let store = || match setup.room {
            Room::Planned => PeriodicStore::with_capacity(setup.keys as usize / shards),
            Room::Growing => PeriodicStore::new(),
        };
        Sharded {
            shards: (0..shards).map(|_| Mutex::new(RateLimiter::new(store()))).collect(),
            hasher: RandomState::new(),
            burst: setup.limit.burst.into(),
            rate: rate(&setup.limit),
        }
    }

    #[inline(always)]
    fn take(&self, key: &Key, cost: i64, now: u64) -> bool {
        let shard = match self.shards.as_slice() {
            [one] => one,
            several => &several[self.hasher.hash_one(key.bytes()) as usize % several.len()],
        };
        let mut limiter = shard.lock().expect("no holder panics");
        let now = match GIVEN {
            true => UNIX_EPOCH + Duration::from_nanos(now),
            false => SystemTime::now(),
        };
        let (count, seconds) = self.rate;
        limiter
            .rate_limit(key.text(), self.burst, count, seconds, cost, now)
            .is_ok_and(|(allowed, _)| allowed)
    }
}

/// A rate in whole seconds.
fn rate(limit: &Limit) -> (i64, i64) {
    const SECOND: u128 = 1_000_000_000;
    let interval = limit.interval.as_nanos();
    match interval.is_multiple_of(SECOND) {
        true => (1, (interval / SECOND) as i64),
        false => ((SECOND / interval) as i64, 1),
    }
}

impl<const GIVEN: bool> Peer for Sharded<GIVEN> {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, now: u64) -> bool {
        self.take(key, 1, now)
    }

    fn drain(&self, key: &Key, now: u64) -> bool {
        self.take(key, self.burst, now)
    }
}
