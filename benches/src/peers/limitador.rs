//! limitador: fixed windows in memory, found by evaluating expressions over a request's values.

use std::collections::HashMap;

use limitador::RateLimiter;
use limitador::limit::{Limit, Namespace};

use super::{Entry, Peer, Setup, Time};
use crate::workload::Key;

pub(super) const DEFAULT: Entry = Entry {
    name: "limitador",
    title: "limitador, in memory",
    version: env!("VERSION_LIMITADOR"),
    time: Time::Own,
    how: "one limit by the variable `user_id`, `check_rate_limited_and_update`; a fixed window, not a bucket",
    bytes_per_key: 1_100,
    most_keys: 1_000_000,
    most_denied: 1_000_000,
    why_not: "takes more than 10 GB",
    patience: 8,
    build: |setup| Box::new(Limiter::new(setup)),
    ..Entry::USUAL
};

struct Limiter {
    limiter: RateLimiter,
    namespace: Namespace,
    burst: u64,
}

impl Limiter {
    fn new(setup: &Setup) -> Limiter {
        let namespace = Namespace::from("bench");
        let burst = setup.limit.burst.into();
        let variable = "user_id".try_into().expect("a name is an expression");
        let seconds = setup.limit.period().as_secs();
        let limiter = RateLimiter::new(u64::from(setup.keys) * 2);
        limiter.add_limit(Limit::new(namespace.clone(), burst, seconds, Vec::new(), vec![variable]));
        Limiter { limiter, namespace, burst }
    }

    fn take(&self, key: &Key, cost: u64) -> bool {
        let values = HashMap::from([("user_id".to_owned(), key.text().to_owned())]);
        let result = self.limiter.check_rate_limited_and_update(&self.namespace, &values.into(), cost);
        result.is_ok_and(|result| !result.limited)
    }
}

impl Peer for Limiter {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, _now: u64) -> bool {
        self.take(key, 1)
    }

    fn drain(&self, key: &Key, _now: u64) -> bool {
        self.take(key, self.burst)
    }
}
