//! Snapshots while others debit: what is restored is what once was.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tollgate::{Changes, Cost, Date, Key, Plan, Quota, SecretKey, Subject, Throttle};

use super::*;

/// Subjects enough that their state is written in several blocks.
const SUBJECTS: u64 = 3_000;

fn key(n: u64) -> String {
    format!("key of {n}")
}

fn many(plan: Plan) -> Changes {
    (0..SUBJECTS).fold(Changes::new().plan("p", plan), |changes, n| {
        let key = Key::new(&format!("k{n}"), SecretKey::new(key(n)).unwrap());
        changes.subject(&format!("s{n}"), Subject::new(["p"]).key(key))
    })
}

fn roomy(changes: &Changes) -> EngineBuilder {
    heap(changes).capacity(Capacity::new().cells(100_000).lines(100_000))
}

/// Rows of a day.
fn used_on(engine: &Engine, n: u64, instant: u64) -> Vec<u64> {
    let date = Date::from_days((instant / DAY) as i32);
    let now = Nanos::new(T0 + 9 * DAY);
    let rows = engine.usage_at(&format!("s{n}"), "p", date, date, now).unwrap();
    rows.iter().map(|row| row.used()).collect()
}

/// Does something in the middle of a snapshot: when the first of many blocks is written.
struct Meanwhile<F> {
    bytes: Vec<u8>,
    act: Option<F>,
}

impl<F: FnOnce()> Write for Meanwhile<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > 1 << 16
            && let Some(act) = self.act.take()
        {
            act();
        }
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn written_while(engine: &Engine, act: impl FnOnce()) -> Snapshot {
    let mut out = Meanwhile { bytes: Vec::new(), act: Some(act) };
    engine.write_snapshot(&mut out).unwrap();
    assert!(out.act.is_none(), "too little for several blocks");
    Snapshot::read(&out.bytes).unwrap()
}

/// The first two days' debits of each subject, the second day's while the snapshot is written: in it a subject has those of
/// the second day or it does not, and the log says so, too.
#[test]
fn a_day_begins_meanwhile() {
    let changes = many(Plan::new().quota(Quota::new(1_000, "month")));
    let engine = roomy(&changes).build().unwrap();
    let debit = |now: u64, cost: u64| {
        for n in 0..SUBJECTS {
            assert_eq!(check(&engine, &Request::new(&key(n)).cost(cost), now), Verdict::Ok);
        }
    };
    debit(T0, 3);
    let snapshot = written_while(&engine, || {
        debit(T0 + DAY, 5);
        (0..SUBJECTS).step_by(2).for_each(|n| {
            engine.grant_at(&format!("s{n}"), "p", "month", 900, Nanos::new(T0 + DAY)).unwrap();
        });
        debit(T0 + 2 * DAY, 7);
    });
    let new = roomy(&changes).snapshot(snapshot).build().unwrap();
    let mut sums = [0, 0];
    for n in 0..SUBJECTS {
        let name = key(n);
        let request = Request::new(&name);
        let rows = |engine: &Engine| [0, 1, 2].map(|day| used_on(engine, n, T0 + day * DAY)[0]);
        let [first, second, third] = rows(&new);
        let left = left(&new, &request, T0 + 2 * DAY)[0];
        let granted = n % 2 == 0;
        match (first, second, third) {
            (3, 0, 0) => {
                sums[0] += 1;
                assert_eq!(left, 997, "{n}");
            }
            (3, 5, 7) => {
                sums[1] += 1;
                assert_eq!(left, if granted { 893 } else { 985 }, "{n}");
            }
            other => panic!("subject {n}: {other:?}, {left} left"),
        }
        // It goes on from there.
        assert_eq!(check(&new, &request.cost(11), T0 + DAY), Verdict::Ok);
        assert_eq!(rows(&new), [first, second + 11, third], "{n}");
        assert_eq!(check(&new, &request.cost(13), T0 + 2 * DAY), Verdict::Ok);
        assert_eq!(rows(&new), [first, second + 11, third + 13], "{n}");
    }
    assert!(sums.iter().all(|&sum| sum > 0), "{sums:?}");
}

/// Four threads at a few subjects as fast as they can.
#[test]
fn whatever_threads_do_meanwhile() {
    const BUSY: u64 = 3;
    let plan = Plan::new()
        // Full again in each round, and never empty.
        .throttle(Throttle::new("1000000/s", 1 << 30))
        .quota(Quota::new(1 << 40, "day"))
        .quota(Quota::new(1 << 40, "month"));
    let changes = many(plan);
    let engine = roomy(&changes).build().unwrap();
    for round in 0..asked("TOLLGATE_ROUNDS", 6) {
        let now = T0 + round * 3_600 * SECOND;
        let done = AtomicBool::new(false);
        let of = |engine: &Engine, n: u64| -> [u64; 3] {
            let left = left(engine, &Request::new(&key(n)), now);
            let by_limit = [(1 << 40) - left[1], (1 << 40) - left[2]];
            [by_limit[0], by_limit[1], left[0]]
        };
        let before: Vec<[u64; 3]> = (0..BUSY).map(|n| of(&engine, n)).collect();
        let snapshot = thread::scope(|scope| {
            for thread in 0..4u64 {
                let (engine, done) = (&engine, &done);
                scope.spawn(move || {
                    let mut n = thread;
                    while !done.load(Ordering::Relaxed) {
                        let name = key(n % BUSY);
                        let request = Request::new(&name);
                        if n % 8 == 0 {
                            let id = format!("{round} {thread} {n}");
                            engine.reserve_at(&request, &id, Nanos::new(DAY), Nanos::new(now)).unwrap();
                            engine.settle_at(&id, Cost::Every(n % 3), Nanos::new(now));
                        } else {
                            engine.check_at(&request, Nanos::new(now));
                        }
                        n += 1;
                    }
                });
            }
            let snapshot = snapshot(&engine);
            done.store(true, Ordering::Relaxed);
            snapshot
        });
        let after: Vec<[u64; 3]> = (0..BUSY).map(|n| of(&engine, n)).collect();
        let new = roomy(&changes).snapshot(snapshot).build().unwrap();
        for n in 0..BUSY {
            let found = of(&new, n);
            let (before, after) = (before[n as usize], after[n as usize]);
            for slot in 0..2 {
                // A settlement may have given one back since.
                assert!(
                    before[slot] <= found[slot] && found[slot] <= after[slot] + 4,
                    "{found:?} after {before:?}"
                );
            }
            assert_eq!(found[0] - before[0], found[1] - before[1], "torn");
            assert_eq!(before[2] - found[2], found[1] - before[1], "torn");
            assert!(after[1] > before[1], "nobody was at it");
            let days = (0..=now / DAY - T0 / DAY).map(|day| used_on(&new, n, T0 + day * DAY)[1]);
            assert_eq!(days.sum::<u64>(), found[1], "the log");
            assert_eq!(used_on(&new, n, now)[0], found[0], "the log of the day");
        }
    }
}
