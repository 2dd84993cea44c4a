//! Promises that many threads try to break at once: in a process's own memory, and with two engines at one region.

#[path = "../common/scratch.rs"]
mod scratch;

mod alerts;
mod keys;
mod leases;
mod many_limits;
mod reservations;
mod slots;
mod usage;

use std::thread;

use scratch::Scratch;
use tollgate::{Capacity, Changes, Clock, Engine, EngineBuilder, Key, ManualClock, Nanos, Region, SecretKey};

/// 14 November 2023, 22:13:20 UTC, a whole second.
const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;
const THREADS: usize = 16;

fn key(id: &str, secret: &str) -> Key {
    Key::new(id, SecretKey::new(secret).unwrap())
}

/// Lets `test` have one engine, and then two that share a region.
fn in_both_homes(
    name: &str,
    changes: &Changes,
    with: impl Fn(EngineBuilder) -> EngineBuilder,
    test: impl Fn(&[Engine]),
) {
    let capacity = Capacity::new().cells(20_000).lines(20_000);
    let clock = || Clock::Manual(ManualClock::at(Nanos::new(T0)));
    let begun = |builder: EngineBuilder| {
        let builder = builder.capacity(capacity).changes(changes.clone()).clock(clock());
        with(builder).build().unwrap()
    };
    test(&[begun(Engine::builder())]);
    let file = Scratch::new(name);
    let attach = || begun(Engine::attach(Region::file(&file.0, capacity.region_bytes()).unwrap()));
    test(&[attach(), attach()]);
}

/// Runs `act` in so many threads, each with its number and an engine.
fn in_threads<R: Send>(engines: &[Engine], act: impl Fn(usize, &Engine) -> R + Sync) -> Vec<R> {
    thread::scope(|scope| {
        let start = |thread: usize| {
            let act = &act;
            scope.spawn(move || act(thread, &engines[thread % engines.len()]))
        };
        let threads: Vec<_> = (0..THREADS).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Numbers that are different for each seed: xorshift64* of Vigna.
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Random {
        Random((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// Below `end`.
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % end
    }
}

/// What an environment variable asks for.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}
