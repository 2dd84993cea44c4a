//! Keys that are gone are gone: for every thread, and for every process that is attached.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tollgate::{Engine, Nanos, Plan, Quota, Request, SecretKey, Subject};

use super::*;

const KEYS: usize = 400;

fn secret(n: usize) -> String {
    format!("key number {n}")
}

/// One subject whose keys are taken away one after the other.
fn changes() -> Changes {
    let subject = (0..KEYS).fold(Subject::new(["p"]), |subject, n| subject.key(key(&id(n), &secret(n))));
    Changes::new().plan("p", Plan::new().quota(Quota::new(1 << 50, "day"))).subject("s", subject)
}

fn id(n: usize) -> String {
    format!("k{n}")
}

fn admitted(engine: &Engine, n: usize) -> bool {
    engine.check_at(&Request::new(&secret(n)), Nanos::new(T0)).is_allowed()
}

/// Takes key number `n` away, in one of the ways.
fn take_away(engine: &Engine, n: usize) {
    match n % 4 {
        0 => engine.revoke(&id(n)).unwrap(),
        1 => engine.disable(&id(n)).unwrap(),
        2 => engine.expire(&id(n)).unwrap(),
        _ => {
            let new = SecretKey::new(format!("new {n}")).unwrap();
            engine.rotate_to_at(&id(n), &format!("new{n}"), &new, Nanos::ZERO, Nanos::new(T0)).unwrap();
            let name = format!("new {n}");
            assert!(engine.check_at(&Request::new(&name), Nanos::new(T0)).is_allowed());
        }
    }
}

#[test]
fn no_thread_admits_a_key_that_is_gone() {
    in_both_homes(
        "gone",
        &changes(),
        |builder| builder,
        |engines| {
            let gone: Vec<AtomicBool> = (0..KEYS).map(|_| AtomicBool::new(false)).collect();
            let (present, checks) = (AtomicUsize::new(0), AtomicU64::new(0));
            in_threads(engines, |thread, engine| {
                if thread == 0 {
                    for (n, gone) in gone.iter().enumerate() {
                        present.store(n, Ordering::Relaxed);
                        // Until others are at it.
                        let before = checks.load(Ordering::Relaxed);
                        while checks.load(Ordering::Relaxed) < before + 200 {
                            thread::yield_now();
                        }
                        take_away(engine, n);
                        gone.store(true, Ordering::SeqCst);
                    }
                    present.store(KEYS, Ordering::Relaxed);
                    return;
                }
                let mut seen = 0;
                loop {
                    let n = present.load(Ordering::Relaxed);
                    if n == KEYS {
                        break;
                    }
                    // This one, and one that went before.
                    for n in [n, n.saturating_sub(seen % 3)] {
                        let was_gone = gone[n].load(Ordering::SeqCst);
                        let admitted = admitted(engine, n);
                        assert!(!(was_gone && admitted), "key {n} was admitted when it was gone");
                    }
                    seen += 1;
                    checks.fetch_add(1, Ordering::Relaxed);
                }
            });
            assert!((0..KEYS).all(|n| engines.iter().all(|engine| !admitted(engine, n))));
        },
    );
}

// --- processes ---------------------------------------------------------------------------------------------------

fn attached(file: &Path) -> Engine {
    let capacity = Capacity::new().cells(4_000).lines(4_000);
    let region = Region::file(file, capacity.region_bytes()).unwrap();
    let clock = Clock::Manual(ManualClock::at(Nanos::new(T0)));
    Engine::attach(region).capacity(capacity).changes(changes()).clock(clock).build().unwrap()
}

/// After a byte for each key: the number of the key that is next, of two bytes.
const NEXT: u64 = KEYS as u64;
/// Then a count of its checks for each child.
const CHECKS: u64 = NEXT + 2;
const CHILDREN: u64 = 4;

/// Not a test of its own: what a child does until there is no key left.
#[test]
#[ignore = "started by others"]
fn child() {
    let path = |name: &str| std::env::var_os(name).unwrap();
    let engine = attached(path("TOLLGATE_REGION").as_ref());
    let flags = OpenOptions::new().read(true).write(true).open(path("TOLLGATE_FLAGS")).unwrap();
    let (slot, mut checks) = (asked("TOLLGATE_SLOT", 0), 0u64);
    loop {
        let (mut next, mut gone) = ([0; 2], [0]);
        flags.read_exact_at(&mut next, NEXT).unwrap();
        let n = usize::from(u16::from_le_bytes(next));
        if n == KEYS {
            return;
        }
        for n in [n, n.saturating_sub(1)] {
            flags.read_exact_at(&mut gone, n as u64).unwrap();
            let admitted = admitted(&engine, n);
            assert!(!(gone == [1] && admitted), "key {n} was admitted when it was gone");
        }
        checks += 1;
        flags.write_all_at(&checks.to_le_bytes(), CHECKS + 8 * slot).unwrap();
    }
}

#[test]
fn no_process_admits_a_key_that_is_gone() {
    let (region, file) = (Scratch::new("gone-region"), Scratch::new("gone-flags"));
    let engine = attached(&region.0);
    fs::write(&file.0, vec![0; (CHECKS + 8 * CHILDREN) as usize]).unwrap();
    let flags = OpenOptions::new().read(true).write(true).open(&file.0).unwrap();
    let start = |slot: u64| {
        Command::new(std::env::current_exe().unwrap())
            .args(["--ignored", "--exact", "keys::child", "--test-threads", "1"])
            .env("TOLLGATE_REGION", &region.0)
            .env("TOLLGATE_FLAGS", &file.0)
            .env("TOLLGATE_SLOT", slot.to_string())
            .stdout(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut children: Vec<Child> = (0..CHILDREN).map(start).collect();
    let checks = |slot: u64| {
        let mut count = [0; 8];
        flags.read_exact_at(&mut count, CHECKS + 8 * slot).unwrap();
        u64::from_le_bytes(count)
    };
    for n in 0..KEYS {
        flags.write_all_at(&(n as u16).to_le_bytes(), NEXT).unwrap();
        let before: Vec<u64> = (0..CHILDREN).map(checks).collect();
        // Until each child has been at this one.
        for (slot, child) in children.iter_mut().enumerate() {
            while checks(slot as u64) < before[slot] + 2 {
                assert!(child.try_wait().unwrap().is_none(), "a child has found something");
                thread::sleep(Duration::from_micros(50));
            }
        }
        take_away(&engine, n);
        flags.write_all_at(&[1], n as u64).unwrap();
    }
    flags.write_all_at(&(KEYS as u16).to_le_bytes(), NEXT).unwrap();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
}
