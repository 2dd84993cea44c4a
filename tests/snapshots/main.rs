//! Snapshots of engines: what is in them, and what becomes of it.

#[path = "../common/scratch.rs"]
mod scratch;

mod anew;
mod beside;
mod damage;
mod keys;
mod kills;
mod large;

use scratch::Scratch;
use tollgate::{
    ApplyError, Capacity, Changes, Clock, Engine, EngineBuilder, ManualClock, Mode, Nanos, Region, Request,
    Snapshot, Verdict,
};

/// 14 November 2023, 22:13:20 UTC, a whole second.
const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

fn toml(text: &str) -> Changes {
    Changes::from_toml(text).unwrap()
}

fn clock(now: u64) -> Clock {
    Clock::Manual(ManualClock::at(Nanos::new(now)))
}

fn heap(changes: &Changes) -> EngineBuilder {
    Engine::builder().capacity(capacity()).changes(changes.clone()).clock(clock(T0))
}

fn capacity() -> Capacity {
    Capacity::new().cells(2_000).lines(2_000)
}

fn region(file: &Scratch, changes: &Changes) -> EngineBuilder {
    let region = Region::file(&file.0, capacity().region_bytes()).unwrap();
    Engine::attach(region).capacity(capacity()).changes(changes.clone()).clock(clock(T0))
}

fn bytes(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.write_snapshot(&mut bytes).unwrap();
    bytes
}

fn snapshot(engine: &Engine) -> Snapshot {
    Snapshot::read(&bytes(engine)).unwrap()
}

fn check(engine: &Engine, request: &Request<'_>, now: u64) -> Verdict {
    engine.check_at(request, Nanos::new(now)).verdict()
}

/// Every limit's name, size, rest and reset.
fn standing(engine: &Engine, request: &Request<'_>, now: u64) -> String {
    format!("{:?}", engine.report_at(&request.cost(0), Nanos::new(now), Mode::Peek))
}

/// What each limit has left.
fn left(engine: &Engine, request: &Request<'_>, now: u64) -> Vec<u64> {
    let report = engine.report_at(&request.cost(0), Nanos::new(now), Mode::Peek);
    report.limits().iter().map(|limit| limit.remaining()).collect()
}

fn refused(built: Result<Engine, ApplyError>) -> String {
    match built {
        Err(ApplyError::Snapshot(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

/// What an environment variable asks for.
fn asked(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}
