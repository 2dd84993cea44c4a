//! gcra: GCRA over `DashMap`, behind functions that are async and never wait.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use gcra::{RateLimit, RateLimiter};

use super::{Entry, Peer, Room, START, Setup, Time};
use crate::workload::Key;

pub(super) const OWN: Entry = Entry {
    name: "gcra",
    title: "gcra",
    version: env!("VERSION_GCRA"),
    time: Time::Own,
    how: "`RateLimiter::check` with `String` keys, which it takes by value; the future is ready when first polled",
    bytes_per_key: 170,
    build: |setup| Box::new(Limiter::<String, false>::new(setup)),
    ..Entry::USUAL
};

pub(super) const GIVEN: Entry = Entry {
    name: "gcra-given",
    title: "gcra, keys of two words",
    time: Time::Given,
    how: "the best found: `check_at`, and 128 bits of ahash of the key for a key, since it copies keys and wants them \
          to be `Display`",
    bytes_per_key: 110,
    build: |setup| Box::new(Limiter::<u128, true>::new(setup)),
    ..OWN
};

struct Limiter<K: Eq + std::hash::Hash, const GIVEN: bool> {
    limiter: RateLimiter<K>,
    limit: RateLimit,
    began: Instant,
    hashers: [ahash::RandomState; 2],
}

/// The result of a future that does not wait.
#[inline(always)]
fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("gcra takes a lock of DashMap and awaits nothing"),
    }
}

/// How a key is made of a stream's.
trait MadeOf: Eq + std::hash::Hash + Clone + std::fmt::Display + Send + Sync + 'static {
    fn made_of(key: &Key, hashers: &[ahash::RandomState; 2]) -> Self;
}

impl MadeOf for String {
    #[inline(always)]
    fn made_of(key: &Key, _: &[ahash::RandomState; 2]) -> String {
        key.text().to_owned()
    }
}

impl MadeOf for u128 {
    #[inline(always)]
    fn made_of(key: &Key, [a, b]: &[ahash::RandomState; 2]) -> u128 {
        u128::from(a.hash_one(key.bytes())) << 64 | u128::from(b.hash_one(key.bytes()))
    }
}

impl<K: MadeOf, const GIVEN: bool> Limiter<K, GIVEN> {
    fn new(setup: &Setup) -> Limiter<K, GIVEN> {
        let capacity = if setup.room == Room::Planned { setup.keys as usize } else { 0 };
        Limiter {
            limiter: RateLimiter::new(capacity),
            limit: RateLimit::new(setup.limit.burst, setup.limit.period()),
            began: Instant::now(),
            hashers: [ahash::RandomState::new(), ahash::RandomState::new()],
        }
    }

    #[inline(always)]
    fn take(&self, key: &Key, cost: u32, now: u64) -> bool {
        let key = K::made_of(key, &self.hashers);
        match GIVEN {
            true => {
                let now = self.began + Duration::from_nanos(now - START);
                ready(self.limiter.check_at(key, &self.limit, cost, now)).is_ok()
            }
            false => ready(self.limiter.check(key, &self.limit, cost)).is_ok(),
        }
    }
}

impl<K: MadeOf, const GIVEN: bool> Peer for Limiter<K, GIVEN> {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, now: u64) -> bool {
        self.take(key, 1, now)
    }

    fn drain(&self, key: &Key, now: u64) -> bool {
        self.take(key, self.limit.resource_limit, now)
    }
}
