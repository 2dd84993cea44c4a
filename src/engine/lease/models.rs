//! The protocol of leases, in every interleaving that a model checker finds: `.ci/models`.

use loom::sync::Arc;
use loom::thread;

use super::*;
use crate::algo::gcra::{Narrow, Timeline};
use crate::algo::rate::Rate;
use crate::store::{Claim, Size, Txn};

/// Two throttles that share the slot, as all do in a model.
const A: u64 = 0x1234_5678_9abc_def0;
const B: u64 = 0x0fed_cba9_8765_4321;

const BURST: u64 = 1_000;
const TERMS: Terms = Terms { most: 16, life: 10 };

/// A token is refilled in each nanosecond.
fn throttle() -> Narrow {
    Timeline::new(Rate::per_nanos(1, 1).unwrap(), BURST, 0).narrow().unwrap()
}

fn quick() -> Quick {
    Quick {
        line: 0,
        segment: 1,
        cell_segment: 0,
        unit: "".into(),
        throttle: Some(throttle()),
        quotas: [const { None }; 2],
        refuses: false,
        terms: Some(TERMS),
        hint: crate::sync::Number::default(),
    }
}

/// A store with a line for each hash.
fn store(hashes: &[u64]) -> Arc<Store> {
    let store = Store::heap(Size::heap(4, 4)).unwrap();
    for &hash in hashes {
        let mut txn = store.transaction();
        let never = |_: &Txn<'_>, _: Content| None;
        let (line, _) = txn.claim(hash, Claim::Line { pinned: true }, false, &never).unwrap();
        Raw::fresh(1).settle(&mut txn, line.unwrap(), head_tag(hash), |raw| raw.counted(1));
        assert!(txn.commit());
    }
    Arc::new(store)
}

fn level(store: &Store, hash: u64) -> u64 {
    lone_level(&line_of(store, hash).unwrap().ok().unwrap().1, 1).unwrap()
}

/// What a check does that finds no lease.
fn debit(store: &Store, leases: &Leases, hash: u64, now: u64) {
    loop {
        let (at, words) = line_of(store, hash).unwrap().ok().unwrap();
        let level = throttle().admit(lone_level(&words, 1).unwrap(), now, 1, leases.lent(hash)).unwrap();
        if store.commit(&mut [Entry { at, old: words[1], new: raised_with(words[1], level) }]) {
            return;
        }
        thread::yield_now();
    }
}

/// Takes a lease at 0 and spends two of its tokens.
fn take(store: &Store, leases: &Leases, hash: u64) -> Lease {
    let lease = Lease::none();
    leases.lend(store, &lease, &quick(), hash, 0, 8);
    if lease.covers(hash, 1, 2) {
        lease.spend(2);
    }
    lease
}

/// The same, and gives back the rest.
fn lease(store: &Store, leases: &Leases, hash: u64) {
    leases.give_back(store, &take(store, leases, hash));
}

/// Whether a line has what was debited from it last, at 500, when it was full again, and at most what is lent besides.
#[track_caller]
fn assert_refilled(store: &Store, hash: u64) {
    let level = level(store, hash);
    assert!((501..=501 + u64::from(TERMS.most)).contains(&level), "{level}");
}

#[test]
fn a_rest_that_comes_back_undoes_no_refill() {
    loom::model(|| {
        let (store, leases) = (store(&[A]), Arc::new(Leases::new()));
        let lease = take(&store, &leases, A);
        let (other, others) = (store.clone(), leases.clone());
        let thread = thread::spawn(move || debit(&other, &others, A, 500));
        leases.give_back(&store, &lease);
        thread.join().unwrap();
        assert_refilled(&store, A);
        assert_eq!(leases.lent(A), 0);
    });
}

#[test]
fn what_is_lent_is_known_before_it_is_debited() {
    loom::model(|| {
        let (store, leases) = (store(&[A]), Arc::new(Leases::new()));
        let (other, others) = (store.clone(), leases.clone());
        let thread = thread::spawn(move || debit(&other, &others, A, 500));
        let lease = take(&store, &leases, A);
        thread.join().unwrap();
        leases.give_back(&store, &lease);
        assert!(lease.hash.get() == 0 && leases.lent(A) == 0);
        assert_refilled(&store, A);
    });
}

#[test]
fn leases_of_one_throttle_are_within_its_terms() {
    loom::model(|| {
        let (store, leases) = (store(&[A]), Arc::new(Leases::new()));
        let (other, others) = (store.clone(), leases.clone());
        let thread = thread::spawn(move || lease(&other, &others, A));
        lease(&store, &leases, A);
        assert!(leases.lent(A) <= u64::from(TERMS.most));
        thread.join().unwrap();
        // What either spent, as at the end of its life.
        let level = level(&store, A);
        assert!(level <= TERMS.life + 2 + 2 + 8, "{level}");
        assert_eq!(leases.lent(A), 0);
    });
}

#[test]
fn a_slot_has_one_owner() {
    loom::model(|| {
        let (store, leases) = (store(&[A, B]), Arc::new(Leases::new()));
        let (other, others) = (store.clone(), leases.clone());
        let thread = thread::spawn(move || {
            lease(&other, &others, B);
            debit(&other, &others, B, 500);
        });
        lease(&store, &leases, A);
        thread.join().unwrap();
        debit(&store, &leases, A, 500);
        assert_eq!(level(&store, A), 501);
        // What is lent of another throttle since can be taken for its own.
        assert_refilled(&store, B);
        assert_eq!((leases.lent(A), leases.lent(B)), (0, 0));
    });
}
