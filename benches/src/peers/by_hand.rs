//! What one writes in an afternoon: a token bucket behind a `Mutex` in a `DashMap`.

use std::sync::Mutex;
use std::time::Instant;

use dashmap::DashMap;

use super::{Entry, Limit, Peer, Setup, Time};
use crate::workload::Key;

pub(super) const DASHMAP_MUTEX: Entry = Entry {
    name: "by-hand",
    title: "by hand: DashMap<String, Mutex<TokenBucket>>",
    version: concat!("dashmap ", env!("VERSION_DASHMAP")),
    time: Time::Own,
    how: "a look-up by `&str`, the entry made if it is not there, `Instant::now()` under the bucket's lock",
    bytes_per_key: 150,
    build: |setup| Box::new(Buckets::new(setup)),
    ..Entry::USUAL
};

struct TokenBucket {
    tokens: f64,
    last: Instant,
}

impl TokenBucket {
    fn full(limit: &Limit) -> Mutex<TokenBucket> {
        Mutex::new(TokenBucket { tokens: limit.burst.into(), last: Instant::now() })
    }

    fn take(&mut self, cost: f64, limit: &Limit) -> bool {
        let now = Instant::now();
        let refill = (now - self.last).as_nanos() as f64 / limit.interval.as_nanos() as f64;
        self.tokens = (self.tokens + refill).min(limit.burst.into());
        self.last = now;
        let enough = self.tokens >= cost;
        if enough {
            self.tokens -= cost;
        }
        enough
    }
}

struct Buckets {
    map: DashMap<String, Mutex<TokenBucket>>,
    limit: Limit,
}

impl Buckets {
    fn new(setup: &Setup) -> Buckets {
        Buckets { map: DashMap::new(), limit: setup.limit }
    }

    #[inline(always)]
    fn take(&self, key: &Key, cost: f64) -> bool {
        let taken =
            |bucket: &Mutex<TokenBucket>| bucket.lock().expect("no holder panics").take(cost, &self.limit);
        match self.map.get(key.text()) {
            Some(bucket) => taken(&bucket),
            None => taken(
                &self.map.entry(key.text().to_owned()).or_insert_with(|| TokenBucket::full(&self.limit)),
            ),
        }
    }
}

impl Peer for Buckets {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, _now: u64) -> bool {
        self.take(key, 1.0)
    }

    fn drain(&self, key: &Key, _now: u64) -> bool {
        self.take(key, self.limit.burst.into())
    }
}
