//! The store by itself: uniqueness, all or nothing, growth, reuse.

use crate::sync::{AtomicU64 as Count, Ordering::Relaxed};
use std::thread;

use super::*;

fn store(cells: u64, lines: u64) -> Store {
    Store::heap(Size::heap(cells, lines)).unwrap()
}

fn hash(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 1
}

/// Nothing is ever as fresh.
fn never(_: &Txn<'_>, _: Content) -> Option<u64> {
    None
}

/// Adds 1 to the level of `hash`, from nothing if there is none.
fn add(store: &Store, hash: u64) -> u64 {
    loop {
        let mut txn = store.transaction();
        let level = match store.find(hash) {
            Some((at, word, Content::Level { segment, level })) => {
                txn.put(at, word, Content::Level { segment, level: level + 1 });
                level + 1
            }
            Some(other) => panic!("{other:?}"),
            None => match txn.claim(hash, Claim::Level { segment: 1, level: 1 }, false, &never) {
                Ok(_) => 1,
                Err(NoRoom::Taken) => continue,
                Err(NoRoom::Full) => panic!("full"),
            },
        };
        if txn.commit() {
            return level;
        }
    }
}

#[test]
fn every_hash_has_one_cell_while_the_table_grows() {
    let store = store(200_000, 0);
    let before = store.table.groups(store.geometry());
    thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..100_000 {
                    add(store, hash((n + thread * 7) % 100_000));
                }
            });
        }
    });
    assert!(store.table.groups(store.geometry()) > before, "it has grown");
    assert_eq!(store.cells(), 100_000);
    for n in 0..100_000 {
        assert!(matches!(store.find(hash(n)), Some((_, _, Content::Level { level: 4, .. }))), "{n}");
    }
    assert_eq!(store.find(hash(100_001)), None);
}

#[test]
fn several_words_change_as_one_and_readers_see_no_mixture() {
    let store = store(10, 8);
    let lines: Vec<Line> = (1..=4).map(|n| store.line(n).unwrap()).collect();
    let done = Count::new(0);
    let moved = Count::new(0);
    let (store, lines, done, moved) = (&store, &lines, &done, &moved);
    thread::scope(|scope| {
        // Writers move amounts between words in both directions; the sum stays 0 modulo 2^127.
        let writers: Vec<_> = (0..4u64)
            .map(|thread| {
                scope.spawn(move || {
                    for n in 0..20_000 {
                        let (a, b) = ((thread + n) as usize % 4, (thread + n + 1 + n % 3) as usize % 4);
                        loop {
                            let mut txn = store.transaction();
                            let (from, to) = (lines[a].count(), lines[b].count());
                            let (x, y) = (txn.read(from), txn.read(to));
                            txn.write(from, x, x.wrapping_sub(n.into()) & !record::MARK);
                            txn.write(to, y, y.wrapping_add(n.into()) & !record::MARK);
                            if txn.commit() {
                                moved.fetch_add(1, Relaxed);
                                break;
                            }
                        }
                    }
                })
            })
            .collect();
        scope.spawn(move || {
            while done.load(Relaxed) == 0 {
                let sum = |store: &Store| {
                    let words: Vec<u128> = lines.iter().map(|line| store.read(line.count())).collect();
                    let again: Vec<u128> = lines.iter().map(|line| store.read(line.count())).collect();
                    (words == again).then(|| {
                        words.iter().fold(0u128, |sum, word| sum.wrapping_add(*word)) & !record::MARK
                    })
                };
                assert!(sum(store).is_none_or(|sum| sum == 0));
            }
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(1, Relaxed);
    });
    assert_eq!(moved.load(Relaxed), 80_000);
    let sum = lines.iter().fold(0u128, |sum, line| sum.wrapping_add(store.read(line.count())));
    assert_eq!(sum & !record::MARK, 0);
}

#[test]
fn a_full_table_reuses_what_is_fresh_and_evicts_only_when_told() {
    // One home group, so that all compete for the same window.
    let store = store(1, 4);
    let capacity = {
        let mut n = 0;
        loop {
            let mut txn = store.transaction();
            match txn.claim(hash(n), Claim::Level { segment: 1, level: n }, false, &never) {
                Ok(_) => assert!(txn.commit()),
                Err(error) => {
                    assert_eq!(error, NoRoom::Full);
                    break n;
                }
            }
            n += 1;
        }
    };
    assert_eq!(capacity, u64::from(CELLS * WINDOW));
    assert_eq!(store.cells() as u64, capacity);
    // Cell 7 is the only one that is fresh again; the others will be after as many nanoseconds as their level.
    let age = |_: &Txn<'_>, content| match content {
        Content::Level { level: 7, .. } => Some(0),
        Content::Level { level, .. } => Some(level + 1),
        Content::Line { .. } => None,
    };
    let mut txn = store.transaction();
    assert!(!txn.claim(hash(1_000), Claim::Line { pinned: true }, false, &age).unwrap().1);
    assert!(txn.commit());
    assert_eq!(store.find(hash(7)), None);
    let mut txn = store.transaction();
    let age = |txn: &Txn<'_>, content| age(txn, content).filter(|&age| age > 0);
    assert_eq!(txn.claim(hash(1_001), Claim::Line { pinned: true }, false, &age), Err(NoRoom::Full));
    let (line, evicted) = txn.claim(hash(1_001), Claim::Line { pinned: true }, true, &age).unwrap();
    assert!(line.is_some() && evicted);
    assert!(txn.commit());
    assert_eq!(store.find(hash(0)), None, "the one that would have been fresh first");
    assert_eq!(store.cells() as u64, capacity);
}

#[test]
fn a_line_goes_from_owner_to_owner_and_its_count_never_falls() {
    let store = store(10, 1);
    let mut last = 0;
    for n in 0..50 {
        let mut txn = store.transaction();
        let (line, _) = txn.claim(hash(n), Claim::Line { pinned: false }, true, &|_, _| Some(0)).unwrap();
        let line = line.unwrap();
        let count = txn.read(line.count());
        assert!(count >= last);
        txn.write(line.count(), count, txn::raised(count, 1));
        let head = txn.read(line.head());
        txn.write(line.head(), head, Head { tag: n + 1, segment: 1, high: 0 }.word());
        assert!(txn.commit());
        last = store.read(line.count());
        // A level in its place gives the line back.
        let (at, word, _) = store.find(hash(n)).unwrap();
        let mut txn = store.transaction();
        let other = txn.claim(hash(n + 1_000), Claim::Line { pinned: false }, true, &|_, _| None);
        assert_eq!(other, Err(NoRoom::Full), "the only line is taken");
        let mut txn = store.transaction();
        txn.let_go_of(at, word);
        assert!(txn.commit());
        assert_eq!(Head::of(store.read(line.head())).tag, 0);
    }
}

#[test]
fn what_a_dead_process_left_is_undone_or_finished() {
    let store = store(10, 2);
    let (a, b) = (store.line(1).unwrap().count(), store.line(2).unwrap().count());
    // A number that no process has.
    let dead = u32::MAX / 2 - 1;
    for round in 0..200u128 {
        let entries =
            [Entry { at: a, old: round, new: round + 1 }, Entry { at: b, old: round, new: round + 1 }];
        let stop = store.records.abandon(&store.memory, &entries, dead, round as u32 % 6);
        let committed = stop >= 3;
        // Read through whatever stands there.
        let value = if committed { round + 1 } else { round };
        assert_eq!((store.read(a), store.read(b)), (value, value), "round {round}");
        if round % 2 == 0 {
            // A writer comes first.
            let mut txn = store.transaction();
            txn.write(b, value, round + 1);
            txn.write(a, value, round + 1);
            assert!(txn.commit());
        } else {
            store.records.recover(&store.memory, process::this());
            let mut txn = store.transaction();
            txn.write(a, value, round + 1);
            txn.write(b, value, round + 1);
            assert!(txn.commit());
        }
        store.records.recover(&store.memory, process::this());
        assert_eq!(store.records.busy(&store.memory), 0);
    }
}
