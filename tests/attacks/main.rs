//! What somebody does who wants to be admitted more often than he may, to learn a key, or to take the engine's time or
//! memory. Sprays of keys are in `tests/spray.rs`, forged snapshots in `tests/snapshots` and `src/engine/snapshot/forged.rs`,
//! forged regions in `tests/shared.rs`, any bytes for all of them in `fuzz/`.

#[cfg(target_os = "linux")]
mod flooding;
mod giants;
mod secrets;
mod timing;

use tollgate::{Capacity, Changes, Engine, Nanos, Request, Verdict};

const T0: u64 = 1_700_000_000_000_000_000;

fn engine(toml: &str) -> Engine {
    let changes = Changes::from_toml(toml).unwrap();
    Engine::builder().capacity(Capacity::new().cells(10_000).lines(1_000)).changes(changes).build().unwrap()
}

fn check(engine: &Engine, request: &Request<'_>) -> Verdict {
    engine.check_at(request, Nanos::new(T0)).verdict()
}
