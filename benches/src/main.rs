//! One thread, the time given, 32-byte keys: the engine beside governor, in interleaved rounds of one process.
//!
//! `cargo run --release -p tollgate-bench`; the README has a table and the machine.

use std::hint::black_box;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use governor::clock::{QuantaClock, QuantaUpkeepClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota as GovernorQuota, RateLimiter};
use tollgate::{
    Capacity, Changes, Engine, Key, Limits, Nanos, Plan, Quota, Request, SecretKey, Subject, Throttle,
};

const ROUNDS: usize = 9;
const T0: u64 = 1_700_000_000_000_000_000;

/// The key of a number.
fn key(n: u32) -> [u8; 32] {
    // A letter from a to p for each half byte.
    let mut x = u64::from(n);
    x = (x | x << 16) & 0x0000_ffff_0000_ffff;
    x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
    x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    let digits = (x + 0x6161_6161_6161_6161).to_le_bytes();
    let mut key = *b"key-of-a-client-________-32bytes";
    key[16..24].copy_from_slice(&digits);
    key
}

/// A stream of keys that a processor cannot foresee.
fn order(keys: usize, count: usize) -> Vec<[u8; 32]> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    (0..count).map(|_| key((next() % keys as u64) as u32)).collect()
}

type Contender = (&'static str, Box<dyn FnMut(&[[u8; 32]]) -> u64>);

/// Nanoseconds per check: the median over rounds in which all take turns.
fn race(title: &str, keys: usize, mut contenders: Vec<Contender>) {
    let order = order(keys, 1_000_000);
    for (_, run) in &mut contenders {
        // Every key is there.
        let all: Vec<_> = (0..keys as u32).map(key).collect();
        black_box(run(&all));
    }
    let mut times = vec![Vec::new(); contenders.len()];
    for _ in 0..ROUNDS {
        for ((_, run), times) in contenders.iter_mut().zip(&mut times) {
            let start = Instant::now();
            black_box(run(&order));
            times.push(start.elapsed().as_nanos() as f64 / order.len() as f64);
        }
    }
    println!("{title}");
    for ((name, _), times) in contenders.iter().zip(&mut times) {
        times.sort_by(f64::total_cmp);
        println!("  {name:<58} {:>7.1} ns  ({:.1} to {:.1})", times[ROUNDS / 2], times[0], times[ROUNDS - 1]);
    }
}

fn governors() -> Vec<Contender> {
    let most = NonZeroU32::new(u32::MAX).unwrap();
    let quota = || GovernorQuota::per_second(most).allow_burst(most);
    let plain = RateLimiter::<String, DashMapStateStore<String>, QuantaClock>::dashmap_with_clock(
        quota(),
        QuantaClock::default(),
    );
    let clock = QuantaUpkeepClock::from_interval(Duration::from_micros(100)).unwrap();
    let store: dashmap::DashMap<[u8; 32], governor::state::InMemoryState, ahash::RandomState> =
        dashmap::DashMap::with_hasher(ahash::RandomState::new());
    let best: RateLimiter<_, _, _, NoOpMiddleware<governor::clock::QuantaInstant>> =
        RateLimiter::new(quota(), store, clock);
    vec![
        (
            "governor, DashMap<String>",
            Box::new(move |order: &[[u8; 32]]| {
                let mut text = String::with_capacity(32);
                let check = |key: &[u8; 32]| {
                    text.clear();
                    text.push_str(std::str::from_utf8(key).unwrap());
                    plain.check_key(&text).is_ok()
                };
                order.iter().map(check).filter(|allowed| *allowed).count() as u64
            }),
        ),
        (
            "governor, DashMap<[u8; 32], ahash>, upkeep clock",
            Box::new(move |order: &[[u8; 32]]| {
                order.iter().filter(|key| best.check_key(key).is_ok()).count() as u64
            }),
        ),
    ]
}

fn anonymous(keys: usize) -> Contender {
    let throttle = Throttle::new("1000000000/s", 1_000_000_000);
    let changes = Changes::new().plan("free", Plan::new().throttle(throttle));
    let capacity = Capacity::new().cells(keys as u64 * 5 / 4).lines(16);
    let engine = Engine::builder().changes(changes).capacity(capacity).touched().build().unwrap();
    let plan = engine.plan_id("free").unwrap();
    let mut now = T0;
    let run = move |order: &[[u8; 32]]| {
        let check = |key: &[u8; 32]| {
            now += 10;
            engine.check_at(&Request::anonymous_in(plan, key), Nanos::new(now)).is_allowed()
        };
        order.iter().map(check).filter(|allowed| *allowed).count() as u64
    };
    ("tollgate, anonymous, throttle", Box::new(run))
}

fn registered(keys: usize, pool: bool) -> Contender {
    let throttle = || Throttle::new("1000000000/s", 1_000_000_000);
    let quota = |per| Quota::new(1 << 60, per);
    let mut plan = Plan::new().throttle(throttle()).quota(quota("day")).quota(quota("month"));
    if pool {
        plan = plan.pool(Limits::new().throttle(throttle()));
    }
    let mut changes = Changes::new().plan("gold", plan);
    for n in 0..keys as u32 {
        let secret = SecretKey::new(String::from_utf8(key(n).to_vec()).unwrap()).unwrap();
        let name = format!("s{n}");
        changes = changes.subject(&name, Subject::new(["gold"]).key(Key::new(&format!("k{n}"), secret)));
    }
    let engine = Engine::builder().changes(changes).build().unwrap();
    let mut now = T0;
    let run = move |order: &[[u8; 32]]| {
        let check = |key: &[u8; 32]| {
            now += 10;
            engine.check_at(&Request::new(key), Nanos::new(now)).is_allowed()
        };
        order.iter().map(check).filter(|allowed| *allowed).count() as u64
    };
    let name = if pool {
        "tollgate, registered, throttle + 2 quotas + pool"
    } else {
        "tollgate, registered, throttle + 2 quotas"
    };
    (name, Box::new(run))
}

/// 0 to 10 million anonymous subjects: the worst check, and bytes per subject.
fn growth() {
    let throttle = Throttle::new("1/s", 10);
    let changes = Changes::new().plan("free", Plan::new().throttle(throttle));
    let capacity = Capacity::new().cells(10_000_000).lines(16);
    let before = resident();
    let engine = Engine::builder().changes(changes).capacity(capacity).build().unwrap();
    let mut times: Vec<u32> = vec![1; 10_000_000];
    for (n, time) in (0u32..).zip(&mut times) {
        let key = key(n);
        let start = Instant::now();
        let decision = engine.check_at(&Request::anonymous("free", &key), Nanos::new(T0));
        *time = start.elapsed().as_nanos().min(u32::MAX.into()) as u32;
        assert!(decision.is_allowed(), "{n}: {decision:?} {:?}", engine.full_counts());
    }
    let grown = resident() - before - times.len() as u64 * 4;
    times.sort_unstable();
    let at = |share: f64| f64::from(times[((times.len() - 1) as f64 * share) as usize]) / 1e3;
    println!(
        "growth 0 -> 10M anonymous subjects: p50 {:.2} us, p99.99 {:.2} us, worst {:.1} us; {:.1} bytes per subject",
        at(0.5),
        at(0.9999),
        at(1.0),
        grown as f64 / times.len() as f64
    );
}

/// Resident bytes of this process.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) * 1024
}

fn main() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| only == name);
    for keys in [1_000, 1_000_000] {
        if only.as_deref() == Some(if keys == 1_000 { "one" } else { "million" }) {
            race("one", keys, vec![anonymous(keys)]);
        }
        if wanted("throttle") {
            let mut contenders = governors();
            contenders.push(anonymous(keys));
            race(&format!("{keys} keys, throttle only"), keys, contenders);
        }
    }
    if only.as_deref() == Some("gold") {
        race("one", 1_000, vec![registered(1_000, false)]);
    }
    if only.as_deref() == Some("pool") {
        race("one", 1_000, vec![registered(1_000, true)]);
    }
    if wanted("registered") {
        race("1000 registered keys", 1_000, vec![registered(1_000, false), registered(1_000, true)]);
    }
    if wanted("growth") {
        growth();
    }
}
