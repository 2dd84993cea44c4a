//! A snapshot's file, as it is and with its checksums set right: an error, or an engine that answers, and whose own
//! snapshot makes another engine that holds all of it. A restoration that fails changes nothing.

use std::sync::OnceLock;

use tollgate::{Capacity, Clock, Engine, EngineBuilder, ManualClock, Nanos, Snapshot};

use crate::container::{content, repaired};
use crate::scene::{self, DAY, T0};

/// See the module's comment.
pub fn run(bytes: &[u8]) {
    if let Err(error) = Snapshot::read(bytes) {
        assert!(!error.to_string().is_empty());
    }
    let file = repaired(bytes);
    restore(&file);
    begin(&file);
}

/// An engine that lived for some days.
pub fn example() -> Vec<u8> {
    let engine = builder().build().expect("plans of the scene");
    scene::traffic(&engine);
    written(&engine)
}

fn builder() -> EngineBuilder {
    let clock = Clock::Manual(ManualClock::at(Nanos::new(T0 + 2 * DAY)));
    let capacity = Capacity::new().cells(300).lines(300);
    Engine::builder().capacity(capacity).changes(scene::changes()).clock(clock)
}

fn written(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.write_snapshot(&mut bytes).expect("memory can be written to");
    bytes
}

fn begin(file: &[u8]) {
    let Ok(snapshot) = Snapshot::read(file) else { return };
    let engine = match builder().snapshot(snapshot).build() {
        Ok(engine) => engine,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let first = written(&engine);
    let snapshot = Snapshot::read(&first).expect("what was written can be read");
    let again = builder().snapshot(snapshot).build().expect("and an engine begins from it");
    let (one, other) = (content(&first), content(&written(&again)));
    assert!(other[EVENTS].starts_with(&one[EVENTS]), "histories have changed");
    for kind in EVENTS + 1..one.len() {
        let (one, other) = (sorted(&one, kind), sorted(&other, kind));
        // What a registered subject has and a forged file had not is made again.
        let is_there = |record| other.binary_search(record).is_ok();
        assert!(one.iter().all(is_there), "the second engine has lost some of what the first one held");
    }
    scene::ask_everything(&engine);
    Snapshot::read(&written(&engine)).expect("what was written can be read");
}

fn restore(file: &[u8]) {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    let Ok(snapshot) = Snapshot::read(file) else { return };
    let good = Snapshot::read(GOOD.get_or_init(example)).expect("a snapshot");
    let engine = builder().snapshot(good).build().expect("an engine");
    let before = content(&written(&engine));
    match engine.restore_at(&snapshot, Nanos::new(T0 + 2 * DAY)) {
        Ok(()) => scene::ask_everything(&engine),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let after = content(&written(&engine));
            let is_same = |kind| sorted(&before, kind) == sorted(&after, kind);
            assert!((0..before.len()).all(is_same), "a restoration that failed has changed something");
        }
    }
}

/// Kinds of blocks: after this one come cells, lines, ids, keys.
const EVENTS: usize = 2;

/// The records of a kind without their order; of ids and keys, whose length varies, only the bytes. Counts of lines, which
/// nobody has ever debited where a file was forged, begin anew with a line.
fn sorted(content: &[Vec<u8>; 7], kind: usize) -> Vec<Vec<u8>> {
    let length = [usize::MAX, usize::MAX, usize::MAX, 20, 72, 1, 1][kind];
    let mut records: Vec<Vec<u8>> = content[kind].chunks(length).map(<[u8]>::to_vec).collect();
    if length == 72 {
        records.iter_mut().for_each(|record| record[32..40].fill(0));
    }
    records.sort_unstable();
    records
}
