//! Far more keys than there is room for. Alone in its process, whose memory it measures.
#![cfg(target_os = "linux")]

use std::fs;
use std::sync::Mutex;

use tollgate::{
    Capacity, Changes, Engine, Key, Mode, Nanos, Plan, Quota, Request, SecretKey, Subject, Throttle, Verdict,
    WhenFull,
};

const T0: u64 = 1_700_000_000_000_000_000;
const CAPACITY: u64 = 100_000;
/// Keys by which the table is full: it has room for more cells than were planned for.
const FULL: u64 = 4 * CAPACITY;
/// Keys from one look at the others to the next.
const STEP: u64 = 10_000;
const QUOTA: u64 = 1_000_000;

/// Resident bytes of this process, counted page by page.
fn resident() -> u64 {
    let text = fs::read_to_string("/proc/self/smaps_rollup").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
}

fn check(engine: &Engine, request: &Request<'_>) -> Verdict {
    engine.check_at(request, Nanos::new(T0)).verdict()
}

fn engine(when_full: WhenFull) -> Engine {
    let key = Key::new("k", SecretKey::new("a registered key").unwrap());
    let changes = Changes::new()
        .plan("free", Plan::new().throttle(Throttle::new("1/d", 2)))
        .plan("gold", Plan::new().quota(Quota::new(QUOTA, "day")))
        .subject("s", Subject::new(["gold"]).key(key));
    let capacity = Capacity::new().cells(CAPACITY).lines(100);
    Engine::builder().changes(changes).capacity(capacity).when_full(when_full).build().unwrap()
}

/// Sprays so many anonymous subjects, one after the other.
fn spray(when_full: WhenFull, keys: u64) {
    let engine = engine(when_full);
    let abuser = Request::anonymous("free", "abuser");
    let registered = Request::new("a registered key");
    assert_eq!([(); 3].map(|()| check(&engine, &abuser)), [Verdict::Ok, Verdict::Ok, Verdict::Throttled]);

    let (mut debited, mut admitted, mut full) = (0, 0, (0, 0));
    for n in 0..keys {
        match check(&engine, &Request::anonymous("free", &n.to_le_bytes())) {
            Verdict::Ok => admitted += 1,
            verdict => assert_eq!((verdict, when_full), (Verdict::StoreFull, WhenFull::Refuse)),
        }
        if n % STEP == 0 {
            assert_eq!(check(&engine, &abuser), Verdict::Throttled, "at its limit, {n} keys later");
            assert_eq!(check(&engine, &registered), Verdict::Ok);
            debited += 1;
            let report = engine.report_at(&registered.cost(0), Nanos::new(T0), Mode::Peek);
            assert_eq!(report.limits()[0].remaining(), QUOTA - debited);
        }
        if n == FULL {
            full = (resident(), engine.cells());
        }
    }

    let (bytes, cells) = (resident(), engine.cells());
    println!(
        "{keys} keys, {when_full:?}: {admitted} admitted, {} cells and {} bytes resident when full, {cells} and {bytes} at the end",
        full.1, full.0
    );
    assert!(bytes <= full.0 + full.0 / 10, "{bytes} resident bytes, {} when it was full", full.0);
    assert!(cells as u64 <= 2 * CAPACITY && cells <= full.1 + full.1 / 100);
    let counts = engine.full_counts();
    assert_eq!(counts.refused, keys - admitted);
    // The registered subject has three. What has no cell was left out, or took another's; the abuser and the registered subject have theirs.
    assert_eq!(counts.passed + counts.evicted + counts.refused, keys + 4 - cells as u64);
}

/// Asks with keys that are nobody's.
fn guess(keys: u64) {
    let engine = engine(WhenFull::Refuse);
    let guessed = |n: u64| assert_eq!(check(&engine, &Request::new(&n.to_le_bytes())), Verdict::KeyUnknown);
    guessed(0);
    let before = (resident(), engine.cells());
    (1..=keys).for_each(guessed);
    let after = (resident(), engine.cells());
    println!("{keys} unknown keys: {before:?} bytes and cells before, {after:?} after");
    assert_eq!(after.1, before.1);
    // Less than a byte for each: code and stacks that are touched for the first time.
    assert!(after.0 < before.0 + keys, "{before:?}, {after:?}");
}

/// One at a time: they share what they measure.
static TURN: Mutex<()> = Mutex::new(());

fn in_turn(test: impl FnOnce()) {
    let _turn = TURN.lock();
    test();
}

#[test]
fn a_spray_takes_no_memory_and_frees_nobody() {
    in_turn(|| {
        for when_full in [WhenFull::Refuse, WhenFull::Pass, WhenFull::EvictSmallest] {
            spray(when_full, 600_000);
        }
    });
}

#[test]
#[ignore = "takes minutes"]
fn a_spray_of_ten_million_keys_takes_no_memory_and_frees_nobody() {
    in_turn(|| {
        for when_full in [WhenFull::Refuse, WhenFull::Pass, WhenFull::EvictSmallest] {
            spray(when_full, 10_000_000);
        }
    });
}

#[test]
fn unknown_keys_take_no_memory() {
    in_turn(|| guess(1_000_000));
}
