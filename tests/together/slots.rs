//! Concurrency limits: never more in flight than there are slots, and none lost.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tollgate::{Concurrency, Engine, Limits, Nanos, Plan, ReleaseStatus, Request, Subject, Verdict};

use super::*;

const LIMIT: u64 = 5;

/// Slots of a subject, a route and a pool.
fn changes(lease: &str) -> Changes {
    let slots = || Concurrency::new(LIMIT).lease(lease);
    let plan = Plan::new()
        .concurrency(slots())
        .route("GET /r", Limits::new().concurrency(slots()))
        .pool(Limits::new().concurrency(slots()));
    Changes::new().plan("p", plan).subject("s", Subject::new(["p"]).key(key("k", "a key")))
}

fn request() -> Request<'static> {
    Request::new("a key").route("GET /r")
}

/// All slots are free: so many can be taken at once, and no more.
fn all_are_free(engine: &Engine, now: u64) {
    for n in 0..LIMIT {
        assert_eq!(engine.check_at(&request(), Nanos::new(now)).verdict(), Verdict::Ok, "slot {n}");
    }
    assert_eq!(engine.check_at(&request(), Nanos::new(now)).verdict(), Verdict::ConcurrencyExceeded);
}

#[test]
fn never_more_in_flight_than_slots() {
    in_both_homes(
        "flight",
        &changes("60s"),
        |builder| builder,
        |engines| {
            let in_flight = AtomicU64::new(0);
            let admitted = in_threads(engines, |thread, engine| {
                let mut admitted = 0;
                for n in 0..2_000 {
                    let id = format!("{thread} {n}");
                    if !engine.check_as_at(&request(), &id, Nanos::new(T0)).unwrap().is_allowed() {
                        continue;
                    }
                    admitted += 1;
                    let others = in_flight.fetch_add(1, Ordering::SeqCst);
                    assert!(others < LIMIT, "{} in flight", others + 1);
                    if n % 64 == 0 {
                        thread::yield_now();
                    }
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    match n % 3 {
                        0 => assert_eq!(engine.release(&id), ReleaseStatus::Released),
                        1 => {
                            engine.refund_at(&id, Nanos::new(T0));
                        }
                        // Freed twice, it is not another's slot that goes.
                        _ => {
                            assert_eq!(engine.release(&id), ReleaseStatus::Released);
                            assert_eq!(engine.release(&id), ReleaseStatus::AlreadyReleased);
                            engine.refund_at(&id, Nanos::new(T0));
                        }
                    }
                }
                admitted
            });
            assert!(admitted.iter().sum::<u64>() > 0);
            all_are_free(&engines[0], T0);
        },
    );
}

#[test]
fn as_many_threads_as_slots_are_never_refused() {
    in_both_homes(
        "enough",
        &changes("60s"),
        |builder| builder,
        |engines| {
            in_threads(engines, |thread, engine| {
                for n in 0..if thread < LIMIT as usize { 2_000 } else { 0 } {
                    let id = format!("{thread} {n}");
                    let decision = engine.check_as_at(&request(), &id, Nanos::new(T0)).unwrap();
                    assert_eq!(decision.verdict(), Verdict::Ok, "refused because of others");
                    assert_eq!(engine.release(&id), ReleaseStatus::Released);
                }
            });
            all_are_free(&engines[0], T0);
        },
    );
}

/// Nobody releases. All come at one instant and then at the next: each slot is taken again when its lease has ended, by one.
#[test]
fn leases_that_run_out_are_taken_again_at_once() {
    const STEPS: usize = 3;
    in_both_homes(
        "leases",
        &changes("3s"),
        |builder| builder,
        |engines| {
            let turn = std::sync::Barrier::new(THREADS);
            let rounds = 400;
            let taken: Vec<AtomicU64> = (0..rounds).map(|_| AtomicU64::new(0)).collect();
            in_threads(engines, |thread, engine| {
                for (round, taken) in taken.iter().enumerate() {
                    turn.wait();
                    let now = Nanos::new(T0 + round as u64 * SECOND);
                    // Some only want one, so that slots are taken at different instants.
                    if round % STEPS == thread % STEPS || round > 40 {
                        taken.fetch_add(
                            engine.check_at(&request(), now).is_allowed().into(),
                            Ordering::SeqCst,
                        );
                    }
                }
            });
            let taken: Vec<u64> = taken.into_iter().map(AtomicU64::into_inner).collect();
            for held in taken.windows(STEPS) {
                assert_eq!(held.iter().sum::<u64>(), LIMIT, "{taken:?}");
            }
            all_are_free(&engines[0], T0 + (rounds + STEPS) as u64 * SECOND);
        },
    );
}

// --- processes ---------------------------------------------------------------------------------------------------

const ROUND: u64 = 600 * SECOND;

fn attached(file: &std::path::Path) -> Engine {
    let capacity = Capacity::new().cells(1_000).lines(1_000);
    let region = Region::file(file, capacity.region_bytes()).unwrap();
    let clock = Clock::Manual(ManualClock::at(Nanos::new(T0)));
    Engine::attach(region).capacity(capacity).changes(changes("60s")).clock(clock).build().unwrap()
}

/// Not a test of its own: what a child does until it is killed. Its first slots it keeps.
#[test]
#[ignore = "started by others"]
fn child() {
    let engine = attached(std::env::var_os("TOLLGATE_REGION").unwrap().as_ref());
    let round = asked("TOLLGATE_ROUND", 0);
    let now = Nanos::new(T0 + round * ROUND);
    for n in 0..round % LIMIT {
        assert!(engine.check_as_at(&request(), &format!("kept {n}"), now).unwrap().is_allowed());
    }
    println!("at work");
    for n in 0u64.. {
        let id = n.to_le_bytes();
        if engine.check_as_at(&request(), &id, now).unwrap().is_allowed() {
            engine.release(&id);
        }
    }
}

fn start(file: &Scratch, round: u64) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "slots::child", "--test-threads", "1", "--nocapture"])
        .env("TOLLGATE_REGION", &file.0)
        .env("TOLLGATE_ROUND", round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line.contains("at work")));
    child
}

#[test]
fn slots_of_killed_processes_come_back_when_their_leases_end() {
    let file = Scratch::new("killed-slots");
    let engine = attached(&file.0);
    for round in 0..asked("TOLLGATE_KILLS", 20) {
        let mut child = start(&file, round);
        thread::sleep(Duration::from_micros(round * 7_919 % 2_000));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = T0 + round * ROUND;
        // What it kept is held, and at most one that it was about to release.
        let free = LIMIT - round % LIMIT;
        let ids = || (0..LIMIT).map(|n| format!("{round} {n}"));
        let admitted =
            |id: &String| engine.check_as_at(&request(), id, Nanos::new(now)).unwrap().is_allowed();
        let taken: Vec<String> = ids().filter(admitted).collect();
        let count = taken.len() as u64;
        assert!(count == free || count + 1 == free, "{count} of {free} slots");
        taken.iter().for_each(|id| assert_eq!(engine.release(id), ReleaseStatus::Released));
        all_are_free(&engine, now + 60 * SECOND);
    }
}
