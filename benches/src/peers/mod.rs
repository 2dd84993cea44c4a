//! One adapter per contender, behind one trait.
//!
//! A peer is used as its own documentation says; where that is not its fastest way, a second adapter has the best that
//! was found. Every adapter is held to limiting by `tests/peers.rs`.

mod by_hand;
pub(crate) mod control;
mod gcra;
mod governor;
mod limitador;
mod pingora;
mod rate_net;
mod throttlecrab;
mod tokio_rate_limit;
mod tollgate;

use std::hint::black_box;
use std::time::Duration;

use serde::Serialize;

use crate::workload::{Key, Mix, Workload};

/// Nanoseconds between two checks of one thread where the time is given.
pub const STEP: u64 = 10;
/// The given time begins here, in nanoseconds since the Unix epoch.
pub const START: u64 = 1_700_000_000_000_000_000;

/// The one limit that a contender holds for every key.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// So many at once.
    pub burst: u32,
    /// The emission interval: one more after each.
    pub interval: Duration,
}

impl Limit {
    /// One that no stream reaches: a thousand million per second, and as many at once.
    pub const AMPLE: Limit = Limit { burst: 1_000_000_000, interval: Duration::from_nanos(1) };
    /// The most that [`slow`](Limit::slow) can have at once: one a second, full in 170 days.
    pub const MOST_SLOW: u32 = 170 * 86_400;

    /// One that gives nothing back within a run: of a drained key nothing is admitted. `burst`: at most
    /// [`MOST_SLOW`](Limit::MOST_SLOW).
    ///
    /// The slower the better, but the engine wants a bucket to be full again within 180 days, and some peers want whole
    /// seconds.
    pub fn slow(burst: u32) -> Limit {
        Limit { burst, interval: Duration::from_secs((Limit::MOST_SLOW / burst).max(1).into()) }
    }

    /// The time in which a drained key is full again.
    pub fn period(&self) -> Duration {
        self.interval * self.burst
    }
}

/// How a contender's memory is to be laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Room {
    /// For all keys from the start, where the contender can be told.
    Planned,
    /// Growing from what the contender begins with.
    Growing,
}

/// What a contender is made for.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// How many keys will come.
    pub keys: u32,
    /// Whether to plan for them.
    pub room: Room,
    /// The limit of each.
    pub limit: Limit,
}

/// Where a decision's instant comes from. Figures of different kinds are not compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Time {
    /// From the caller, with each check.
    Given,
    /// From a tick that another thread moves: as precise as that.
    Tick,
    /// From a clock that each check reads.
    Own,
}

impl Time {
    /// In one word.
    pub fn word(self) -> &'static str {
        match self {
            Time::Given => "given",
            Time::Tick => "tick",
            Time::Own => "own",
        }
    }
}

/// A rate limiter with a key.
pub trait Peer: Send + Sync + 'static {
    /// What a thread keeps from check to check, such as a buffer.
    type Scratch: Default;

    /// Whether `key` may go ahead, and counts it if so. `now` is for those whose time is given.
    fn check(&self, scratch: &mut Self::Scratch, key: &Key, now: u64) -> bool;

    /// Takes the whole burst of a key that was never checked, in one request of that cost: whether it was admitted.
    fn drain(&self, key: &Key, now: u64) -> bool;

    /// Checks all of `keys`: how many may go ahead. A peer that decides several at once does so here.
    #[inline(always)]
    fn run(&self, keys: &[Key], mut now: u64) -> u64 {
        let mut scratch = Self::Scratch::default();
        let mut allowed = 0;
        for key in keys {
            now += STEP;
            allowed += u64::from(self.check(&mut scratch, key, now));
        }
        allowed
    }
}

/// A [`Peer`] as the runners hold it: the loops are compiled for each peer, with its checks inlined.
pub trait Contender: Send + Sync {
    /// [`Peer::run`].
    fn run(&self, keys: &[Key], now: u64) -> u64;

    /// Runs, and notes when each check was done: readings of `clock`, one more than there are keys, the first from
    /// before the first check.
    fn clocked(&self, keys: &mut dyn Iterator<Item = Key>, now: u64, clock: &quanta::Clock, into: &mut [u64]);

    /// [`Peer::drain`].
    fn drain(&self, key: &Key, now: u64) -> bool;
}

impl<P: Peer> Contender for P {
    #[inline(never)]
    fn run(&self, keys: &[Key], now: u64) -> u64 {
        black_box(Peer::run(self, black_box(keys), now))
    }

    #[inline(never)]
    fn clocked(
        &self,
        keys: &mut dyn Iterator<Item = Key>,
        mut now: u64,
        clock: &quanta::Clock,
        into: &mut [u64],
    ) {
        let mut scratch = P::Scratch::default();
        let Some((first, rest)) = into.split_first_mut() else { return };
        let mut next = keys.next();
        *first = clock.raw();
        for done in rest {
            let Some(key) = next else { return };
            now += STEP;
            black_box(self.check(&mut scratch, &key, now));
            *done = clock.raw();
            next = keys.next();
        }
    }

    fn drain(&self, key: &Key, now: u64) -> bool {
        Peer::drain(self, key, now)
    }
}

/// What takes part in which cases.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Set {
    /// One limit per key: every peer can do this.
    Throttle,
    /// Registered keys with several limits: nobody else can do this, so it is ours beside ours.
    Registered,
    /// Measures the loop itself.
    Control,
}

/// A contender that can be built.
pub struct Entry {
    /// What `--peer` calls it.
    pub name: &'static str,
    /// What the tables call it.
    pub title: &'static str,
    /// The package's version, from `Cargo.lock`.
    pub version: &'static str,
    /// Where its time comes from.
    pub time: Time,
    /// How it is used.
    pub how: &'static str,
    /// Where it takes part.
    pub set: Set,
    /// What the ratios of its kind of time refer to.
    pub baseline: bool,
    /// Memory per key, roughly: contenders that do not fit into memory together take turns.
    pub bytes_per_key: u64,
    /// The largest population that it is asked about, and the largest of which nine in ten are denied.
    pub most_keys: u32,
    /// As `most_keys`, where keys are denied.
    pub most_denied: u32,
    /// Why it ends there; empty where it does not.
    pub why_not: &'static str,
    /// Keys are counted together by chance, so that it refuses some that have not used their allowance.
    pub approximate: bool,
    /// It is given one in so many of the keys of a stream, because it would take minutes.
    pub patience: usize,
    /// Makes one.
    pub build: fn(&Setup) -> Box<dyn Contender>,
}

impl Entry {
    /// The usual case; adapters change what is different.
    const USUAL: Entry = Entry {
        name: "",
        title: "",
        version: "",
        time: Time::Own,
        how: "",
        set: Set::Throttle,
        baseline: false,
        bytes_per_key: 150,
        most_keys: u32::MAX,
        most_denied: u32::MAX,
        why_not: "",
        approximate: false,
        patience: 1,
        build: |_| Box::new(control::Nothing),
    };
}

impl Entry {
    /// Whether it can be asked about this population.
    pub fn can_hold(&self, workload: &Workload) -> bool {
        let denied = workload.mix != Mix::Allowed && workload.keys > self.most_denied;
        !denied && workload.keys <= self.most_keys
    }
}

/// Every contender, in the order of the tables.
pub const ALL: &[Entry] = &[
    tollgate::GIVEN,
    tollgate::TICK,
    tollgate::OWN,
    tollgate::OWN_BY_ID,
    governor::TICK,
    governor::AHASH,
    governor::DEFAULT,
    throttlecrab::SHARDED,
    throttlecrab::MUTEX,
    gcra::GIVEN,
    gcra::OWN,
    rate_net::COARSE,
    rate_net::DEFAULT,
    tokio_rate_limit::DEFAULT,
    limitador::DEFAULT,
    pingora::DEFAULT,
    pingora::SIZED,
    by_hand::DASHMAP_MUTEX,
    tollgate::REGISTERED,
    tollgate::REGISTERED_POOL,
    control::NOTHING,
];

/// Whether an option's value means a case or contender of this name: the name itself, or its beginning and a star.
pub(crate) fn is_meant(name: &str, pattern: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

/// The contender of this name.
pub fn named(name: &str) -> Option<&'static Entry> {
    ALL.iter().find(|entry| entry.name == name)
}
