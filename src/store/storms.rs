//! The protocols under many threads, in schedules that are drawn at random: `.ci/storms`.
//!
//! shuttle is sequentially consistent: orderings are the business of `models`, which are too small for what comes here:
//! a table that grows while it is filled, records that run out, several who reclaim. `TOLLGATE_SCHEDULES` says how many
//! schedules each storm has; a failure prints how to see it again.

use std::sync::Arc;

use shuttle::thread;

use super::*;
use crate::sync::Number;

fn storm(body: impl Fn() + Send + Sync + 'static) {
    let schedules = std::env::var("TOLLGATE_SCHEDULES").map_or(2_000, |count| count.parse().unwrap());
    shuttle::check_random(body, schedules);
}

fn store(cells: u64, lines: u64) -> Arc<Store> {
    Arc::new(Store::heap(Size::heap(cells, lines)).unwrap())
}

/// A hash for each number, spread over the bits that choose group, line and tag.
fn hash(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1
}

/// Segment 2 is as fresh, nothing else ever is.
fn age(_: &Txn<'_>, content: Content) -> Option<u64> {
    matches!(content, Content::Level { segment: 2, .. }).then_some(0)
}

/// Adds 1 to a hash's level and leaves it under `segment`.
fn add(store: &Store, hash: u64, segment: u32) {
    loop {
        let mut txn = store.transaction();
        match store.find(hash) {
            Some((at, word, Content::Level { level, .. })) => {
                txn.put(at, word, Content::Level { segment, level: level + 1 });
            }
            Some(other) => panic!("{other:?}"),
            None => match txn.claim(hash, Claim::Level { segment, level: 1 }, false, &age) {
                Ok(_) => {}
                Err(NoRoom::Taken) => {
                    thread::yield_now();
                    continue;
                }
                Err(NoRoom::Full) => panic!("full"),
            },
        }
        if txn.commit() {
            return;
        }
        thread::yield_now();
    }
}

fn level(store: &Store, hash: u64) -> u64 {
    match store.find(hash) {
        Some((_, _, Content::Level { level, .. })) => level,
        other => panic!("{other:?}"),
    }
}

/// Four threads fill a table that grows from one group, each adding to keys that others put in, too.
#[test]
fn a_table_that_grows_keeps_every_count() {
    const KEYS: u64 = 40;
    storm(|| {
        let store = store(200, 0);
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                let store = store.clone();
                thread::spawn(move || {
                    (0..KEYS).for_each(|n| add(&store, hash((n * (2 * thread + 1)) % KEYS), 1))
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let counts = |n: u64| {
            (0..4).map(|t| (0..KEYS).filter(|m| m * (2 * t + 1) % KEYS == n).count() as u64).sum::<u64>()
        };
        for n in 0..KEYS {
            // Every key that anybody came to.
            if counts(n) > 0 {
                assert_eq!(level(&store, hash(n)), counts(n), "{n}");
            }
        }
        assert_eq!(store.cells(), (0..KEYS).filter(|&n| counts(n) > 0).count());
        assert!(store.geometry() != Geometry::of(0), "it grew");
    });
}

/// Four threads commit overlapping sets of words, with two records between them.
#[test]
fn decisions_over_several_lines_are_whole() {
    storm(|| {
        let store = store(1, 4);
        let words: Vec<At> = (1..=4).map(|n| store.line(n).unwrap().count()).collect();
        let threads: Vec<_> = (0..4usize)
            .map(|thread| {
                let (store, words) = (store.clone(), words.clone());
                thread::spawn(move || {
                    for round in 0..3 {
                        // Three of the four words, or one alone.
                        let mine: Vec<At> = match (thread + round) % 4 {
                            3 => vec![words[thread]],
                            left => (0..4).filter(|&n| n != left).map(|n| words[n]).collect(),
                        };
                        loop {
                            let mut txn = store.transaction();
                            for &at in &mine {
                                let old = txn.read(at);
                                txn.write(at, old, old + 1);
                            }
                            if txn.commit() {
                                break;
                            }
                            thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        // What a reader finds twice in the first word stood there at once with what it found in between.
        for _ in 0..4 {
            let first = store.read(words[0]);
            let seen: Vec<u128> = words.iter().map(|&at| store.read(at)).collect();
            if store.read(words[0]) == first {
                assert!(seen.iter().all(|&value| value <= 12), "{seen:?}");
            }
        }
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let mut expected = [0u128; 4];
        for thread in 0..4 {
            for round in 0..3 {
                match (thread + round) % 4 {
                    3 => expected[thread] += 1,
                    left => (0..4).filter(|&n| n != left).for_each(|n| expected[n] += 1),
                }
            }
        }
        assert_eq!(words.iter().map(|&at| store.read(at)).collect::<Vec<_>>(), expected);
        assert_eq!(store.records.busy(&store.memory), 0);
    });
}

/// Two threads make keys as fresh, one reclaims, one puts in others: what was never as fresh keeps its count, and what was
/// counts on or begins anew.
#[test]
fn reclaiming_takes_nothing_but_what_is_fresh() {
    storm(|| {
        let store = store(60, 0);
        let debits = Arc::new(AtomicU64::new(0));
        let kept = 0..6u64;
        let passing = 6..12u64;
        let adders: Vec<_> = (0..2)
            .map(|_| {
                let (store, debits) = (store.clone(), debits.clone());
                let (kept, passing) = (kept.clone(), passing.clone());
                thread::spawn(move || {
                    for (a, b) in kept.zip(passing) {
                        add(&store, hash(a), 1);
                        add(&store, hash(b), 2);
                        debits.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        let reclaimer = {
            let store = store.clone();
            thread::spawn(move || (0..3).map(|_| store.reclaim_groups(64, &age)).sum::<u32>())
        };
        let newcomer = {
            let store = store.clone();
            thread::spawn(move || (12..18).for_each(|n| add(&store, hash(n), 1)))
        };
        adders.into_iter().for_each(|thread| thread.join().unwrap());
        newcomer.join().unwrap();
        reclaimer.join().unwrap();
        assert_eq!(debits.load(Ordering::Relaxed), 12);
        for n in kept {
            assert_eq!(level(&store, hash(n)), 2, "{n}");
        }
        for n in 12..18 {
            assert_eq!(level(&store, hash(n)), 1, "{n}");
        }
        for n in passing {
            let level = store.find(hash(n)).map_or(0, |_| level(&store, hash(n)));
            assert!(level <= 2, "{n}: {level}");
        }
    });
}

/// An owner dies after each of its steps in turn, among three who go on.
#[test]
fn who_dies_is_in_nobodys_way() {
    // One schedule after the other.
    let round = Number::new(0);
    storm(move || {
        let steps = round.get() % 6;
        round.set(round.get() + 1);
        let store = store(1, 2);
        let (a, b) = (store.line(1).unwrap().count(), store.line(2).unwrap().count());
        let dead = {
            let store = store.clone();
            thread::spawn(move || {
                let entries = [Entry { at: a, old: 0, new: 100 }, Entry { at: b, old: 0, new: 100 }];
                store.records.abandon(&store.memory, &entries, u32::MAX / 2 - 1, steps)
            })
        };
        let others: Vec<_> = (0..3)
            .map(|_| {
                let store = store.clone();
                thread::spawn(move || {
                    loop {
                        let mut txn = store.transaction();
                        for at in [b, a] {
                            let old = txn.read(at);
                            txn.write(at, old, old + 1);
                        }
                        if txn.commit() {
                            return;
                        }
                        thread::yield_now();
                    }
                })
            })
            .collect();
        others.into_iter().for_each(|thread| thread.join().unwrap());
        let debited = if dead.join().unwrap() >= 3 { 103 } else { 3 };
        store.records.recover(&store.memory, process::this());
        assert_eq!((store.read(a), store.read(b)), (debited, debited));
        assert_eq!(store.records.busy(&store.memory), 0);
    });
}
