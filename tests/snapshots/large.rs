//! Snapshots of many subjects: how long checks take meanwhile, how large the file is; nothing timed is asserted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tollgate::{Changes, Key, Plan, Quota, SecretKey, Subject, Throttle};

use super::*;

fn key(n: u64) -> String {
    format!("key of {n}")
}

fn changes(subjects: u64) -> Changes {
    let plan = Plan::new().quota(Quota::new(1_000_000, "month")).throttle(Throttle::new("1/h", 500));
    (0..subjects).fold(Changes::new().plan("p", plan), |changes, n| {
        let key = Key::new(&format!("k{n}"), SecretKey::new(key(n)).unwrap());
        changes.subject(&format!("s{n}"), Subject::new(["p"]).key(key))
    })
}

/// The longest check of two threads for as long as `act` takes, and how many there were.
fn slowest<R>(engine: &Engine, subjects: u64, act: impl FnOnce() -> R) -> (R, Duration, u64) {
    let (done, checks) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let threads: Vec<_> = (0..2u64)
            .map(|thread| {
                let (done, checks) = (&done, &checks);
                scope.spawn(move || {
                    let (mut longest, mut n) = (Duration::ZERO, thread);
                    while !done.load(Ordering::Relaxed) {
                        let name = key(n.wrapping_mul(0x9e37_79b9_7f4a_7c15) % subjects);
                        let request = Request::new(&name);
                        let start = Instant::now();
                        engine.check_at(&request, Nanos::new(T0));
                        longest = longest.max(start.elapsed());
                        n += 2;
                    }
                    checks.fetch_add(n / 2, Ordering::Relaxed);
                    longest
                })
            })
            .collect();
        let result = act();
        done.store(true, Ordering::Relaxed);
        let longest = threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
        (result, longest, checks.load(Ordering::Relaxed))
    })
}

fn walk(subjects: u64) {
    let changes = changes(subjects);
    let capacity = Capacity::new().cells(4 * subjects + 1_000).lines(4 * subjects + 1_000);
    let builder = || heap(&changes).capacity(capacity);
    let engine = builder().build().unwrap();
    for n in 0..subjects {
        let request = key(n);
        assert_eq!(check(&engine, &Request::new(&request).cost(1 + n % 7), T0), Verdict::Ok);
    }
    let file = Scratch::new("large");
    let ((), alone, checks) = slowest(&engine, subjects, || thread::sleep(Duration::from_millis(500)));
    println!("{subjects} subjects: slowest of {checks} checks without a snapshot {alone:?}");
    let start = Instant::now();
    let ((), beside, checks) = slowest(&engine, subjects, || engine.save(&file.0).unwrap());
    let bytes = std::fs::metadata(&file.0).unwrap().len();
    println!(
        "saved in {:?} beside checks: slowest of {checks} checks {beside:?}; {bytes} bytes, {} a subject",
        start.elapsed(),
        bytes / subjects
    );

    // What is to be compared is saved once more, with nobody beside.
    let start = Instant::now();
    engine.save(&file.0).unwrap();
    println!("saved in {:?} alone", start.elapsed());
    let start = Instant::now();
    let snapshot = Snapshot::load(&file.0).unwrap();
    let read = start.elapsed();
    let start = Instant::now();
    let new = builder().snapshot(snapshot).build().unwrap();
    println!("read in {read:?}, an engine built from it in {:?}", start.elapsed());
    for n in 0..subjects {
        let name = key(n);
        let request = Request::new(&name);
        assert_eq!(left(&new, &request, T0), left(&engine, &request, T0), "subject {n}");
    }
}

#[test]
fn twenty_thousand_subjects() {
    walk(20_000);
}

#[test]
#[ignore = "takes a minute and some GB"]
fn a_million_subjects() {
    walk(1_000_000);
}
