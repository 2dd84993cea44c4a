//! The protocols, in every interleaving that a model checker finds: `.ci/models`.
//!
//! Each model is small: two or three threads, a table of two groups of three cells, two records.

use loom::sync::Arc;
use loom::thread;

use super::record::MARK;
use super::*;

/// Two hashes with the same home, as every hash has in a table of one group.
const A: u64 = 0x1234_5678_9abc_def0;
const B: u64 = 0x0fed_cba9_8765_4321;

fn store(cells: u64, lines: u64) -> Arc<Store> {
    Arc::new(Store::heap(Size::heap(cells, lines)).unwrap())
}

fn never(_: &Txn<'_>, _: Content) -> Option<u64> {
    None
}

fn level(store: &Store, hash: u64) -> Option<u64> {
    store.find(hash).map(|(_, _, content)| match content {
        Content::Level { level, .. } => level,
        Content::Line { .. } => panic!("a line"),
    })
}

/// Adds 1 to the level of `hash`, from nothing if there is none.
fn add(store: &Store, hash: u64) {
    loop {
        let mut txn = store.transaction();
        match store.find(hash) {
            Some((at, word, Content::Level { segment, level })) => {
                txn.put(at, word, Content::Level { segment, level: level + 1 });
            }
            Some(other) => panic!("{other:?}"),
            None => match txn.claim(hash, Claim::Level { segment: 1, level: 1 }, false, &never) {
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

/// Adds 1 to each of `words`, as one.
fn add_to_all(store: &Store, words: &[At]) {
    loop {
        let mut txn = store.transaction();
        for &at in words {
            let old = txn.read(at);
            txn.write(at, old, (old + 1) & !MARK);
        }
        if txn.commit() {
            return;
        }
        thread::yield_now();
    }
}

#[test]
fn update_against_update() {
    loom::model(|| {
        let store = store(1, 0);
        add(&store, A);
        let other = store.clone();
        let thread = thread::spawn(move || add(&other, A));
        add(&store, A);
        thread.join().unwrap();
        assert_eq!(level(&store, A), Some(3));
    });
}

#[test]
fn insert_against_insert() {
    loom::model(|| {
        let store = store(1, 0);
        let other = store.clone();
        let thread = thread::spawn(move || add(&other, A));
        add(&store, A);
        thread.join().unwrap();
        assert_eq!(level(&store, A), Some(2));
        assert_eq!(store.cells(), 1);
    });
}

#[test]
fn decide_against_decide() {
    loom::model(|| {
        let store = store(1, 2);
        let (a, b) = (store.line(1).unwrap().count(), store.line(2).unwrap().count());
        let other = store.clone();
        let thread = thread::spawn(move || add_to_all(&other, &[a, b]));
        add_to_all(&store, &[b, a]);
        thread.join().unwrap();
        assert_eq!((store.read(a), store.read(b)), (2, 2));
    });
}

#[test]
fn decide_against_a_single_update() {
    loom::model(|| {
        let store = store(1, 2);
        let (a, b) = (store.line(1).unwrap().count(), store.line(2).unwrap().count());
        let other = store.clone();
        let thread = thread::spawn(move || add_to_all(&other, &[a, b]));
        add_to_all(&store, &[b]);
        thread.join().unwrap();
        assert_eq!((store.read(a), store.read(b)), (1, 2));
    });
}

#[test]
fn decide_against_a_reader() {
    loom::model(|| {
        let store = store(1, 2);
        let (a, b) = (store.line(1).unwrap().count(), store.line(2).unwrap().count());
        let other = store.clone();
        let thread = thread::spawn(move || add_to_all(&other, &[a, b]));
        // As a refusal looks: what stood there twice stood there at once.
        let (first, second) = (store.read(a), store.read(b));
        if store.read(a) == first {
            assert!(first == second || first == 0 && store.read(b) == second, "{first} {second}");
            assert_eq!(first.min(second), first, "a changed with b or after it was read");
        }
        thread.join().unwrap();
        assert_eq!((store.read(a), store.read(b)), (1, 1));
    });
}

/// One thread updates A while another gives A's cell to B.
#[test]
fn evict_and_reuse_against_update() {
    loom::model(|| {
        let store = store(1, 0);
        for hash in [A, A + 1, A + 2, A + 3, A + 4, A + 5] {
            add(&store, hash);
        }
        let other = store.clone();
        let thread = thread::spawn(move || {
            // A is the only one that is ever as fresh.
            let age = |_: &Txn<'_>, content: Content| match content {
                Content::Level { segment: 2, .. } => Some(0),
                _ => None,
            };
            let mut txn = other.transaction();
            let claimed = txn.claim(B, Claim::Level { segment: 1, level: 100 }, false, &age);
            claimed.is_ok() && txn.commit()
        });
        let (at, word, _) = store.find(A).unwrap();
        let mut txn = store.transaction();
        txn.put(at, word, Content::Level { segment: 2, level: 7 });
        assert!(txn.commit(), "nobody takes it before it is as fresh");
        let mut txn = store.transaction();
        let updated = match store.find(A) {
            Some((at, word, _)) => {
                txn.put(at, word, Content::Level { segment: 1, level: 50 });
                txn.commit()
            }
            None => false,
        };
        let taken = thread.join().unwrap();
        assert!(!(taken && updated), "one of the two");
        assert_eq!(level(&store, B), taken.then_some(100));
        assert_eq!(level(&store, A).is_none(), taken);
    });
}

/// A line goes from A to B while a decision for A is under way.
#[test]
fn a_line_changes_its_owner_against_update() {
    loom::model(|| {
        let store = store(1, 1);
        let own = |store: &Store, hash: u64| {
            let mut txn = store.transaction();
            let (line, _) = txn.claim(hash, Claim::Line { pinned: false }, true, &|_, _| Some(0)).ok()?;
            let line = line?;
            let (head, count) = (txn.read(line.head()), txn.read(line.count()));
            txn.write(line.head(), head, Head { tag: hash, segment: 1, high: 0 }.word());
            txn.write(line.count(), count, txn::raised(count, 1));
            txn.commit().then_some(line)
        };
        let line = own(&store, A).unwrap();
        // The other cells of the window are never free.
        for hash in [A + 1, A + 2, A + 3, A + 4, A + 5] {
            add(&store, hash);
        }
        let other = store.clone();
        let thread = thread::spawn(move || {
            let age = |_: &Txn<'_>, content: Content| matches!(content, Content::Line { .. }).then_some(0);
            let mut txn = other.transaction();
            let Ok((Some(line), _)) = txn.claim(B, Claim::Line { pinned: false }, false, &age) else {
                return false;
            };
            let (head, count) = (txn.read(line.head()), txn.read(line.count()));
            txn.write(line.head(), head, Head { tag: B, segment: 1, high: 0 }.word());
            txn.write(line.count(), count, txn::raised(count, 1));
            txn.commit()
        });
        // A decision for A: the count word before the head that says whose it is.
        let count = store.read(line.count());
        let debited = Head::of(store.read(line.head())).tag == A && {
            let mut txn = store.transaction();
            txn.write(line.count(), count, txn::raised(count, 10));
            txn.commit()
        };
        let taken = thread.join().unwrap();
        let total = (store.read(line.count()) >> 64) as u64;
        assert_eq!(total, 1 + u64::from(taken) + 10 * u64::from(debited));
        if taken {
            assert_eq!(Head::of(store.read(line.head())).tag, B);
            assert!(matches!(store.find(B), Some((_, _, Content::Line { .. }))));
        }
    });
}

#[test]
fn grow_against_update_and_insert() {
    loom::model(|| {
        // Three cells wanted at 60 % of three: a second group to grow to.
        let store = store(3, 0);
        assert_eq!(store.table.max_level, 1);
        add(&store, A + 1);
        let other = store.clone();
        let thread = thread::spawn(move || other.make_room());
        // Moves: its lowest bit is set. The other is put in while the group is being split.
        add(&store, A + 1);
        add(&store, A + 3);
        thread.join().unwrap();
        assert_eq!((level(&store, A + 1), level(&store, A + 3)), (Some(2), Some(1)));
        assert_eq!(store.cells(), 2);
    });
}

/// The present plans are a number; state is written under the number that its writer saw.
#[test]
fn plan_swap_against_check() {
    loom::model(|| {
        let store = store(1, 0);
        let world = Arc::new(AtomicU64::new(1));
        // A debit under the present plans; how often they were found to be older than the state.
        let check = |store: &Store, world: &AtomicU64| loop {
            let now = world.load(Ordering::Acquire);
            let mut txn = store.transaction();
            match store.find(A) {
                Some((_, _, Content::Level { segment, .. })) if u64::from(segment) > now => {
                    // As `Outdated`: the newer plans are in place already.
                    assert!(world.load(Ordering::Acquire) >= u64::from(segment));
                    continue;
                }
                Some((at, word, Content::Level { level, .. })) => {
                    txn.put(at, word, Content::Level { segment: now as u32, level: level + 1 });
                }
                Some(other) => panic!("{other:?}"),
                None => {
                    let claim = Claim::Level { segment: now as u32, level: 1 };
                    if txn.claim(A, claim, false, &never).is_err() {
                        thread::yield_now();
                        continue;
                    }
                }
            }
            if txn.commit() {
                return;
            }
            thread::yield_now();
        };
        let (other, theirs) = (store.clone(), world.clone());
        let thread = thread::spawn(move || {
            theirs.store(2, Ordering::Release);
            check(&other, &theirs);
        });
        check(&store, &world);
        thread.join().unwrap();
        assert_eq!(level(&store, A), Some(2));
    });
}

/// An owner stops for ever after each of its steps while another goes on.
#[test]
fn a_dead_owner_against_decide() {
    for steps in 0..=5 {
        loom::model(move || {
            let store = store(1, 2);
            let (a, b) = (store.line(1).unwrap().count(), store.line(2).unwrap().count());
            let entries = [Entry { at: a, old: 0, new: 10 }, Entry { at: b, old: 0, new: 10 }];
            let (other, dead) = (store.clone(), u32::MAX / 2 - 1);
            let thread = thread::spawn(move || other.records.abandon(&other.memory, &entries, dead, steps));
            let read = store.read(a);
            assert!(read == 0 || read == 10 && steps >= 3);
            add_to_all(&store, &[b, a]);
            // What the other did not reach because of this debit, it did not do.
            let done = thread.join().unwrap() >= 3;
            store.records.recover(&store.memory, process::this());
            assert_eq!(store.records.busy(&store.memory), 0);
            let total = if done { 11 } else { 1 };
            assert_eq!((store.read(a), store.read(b)), (total, total));
        });
    }
}
