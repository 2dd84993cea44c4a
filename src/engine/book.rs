//! What is known of admitted requests by their ids, so that they can be settled, refunded and released.
//!
//! A book is its process's own, in shards of a lock each; a check without an id never comes here. It holds so many ids: for
//! a new one the oldest is forgotten that is settled, refunded or only a check's, and when all are open reservations there is
//! no room.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::judge::{Account, Seat};
use super::slots::Taken;
use crate::calendar::Date;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// Ids that are known, unless a host asks for more or less.
pub(super) const DEFAULT_ROOM: u64 = 65_536;

const SHARDS: usize = 64;

/// An admitted request.
#[derive(Clone, Debug, Default)]
pub(super) struct Entry {
    /// Of a reservation: from when on a settlement is late.
    pub late_from: Option<u64>,
    /// Settled or refunded.
    pub closed: bool,
    pub released: bool,
    /// Every throttle and quota that applied, in the order of reports.
    pub parts: Vec<Part>,
    pub slots: SmallVec<[Taken; 1]>,
}

/// What a request debited on one limit.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// The registered subject, if it is one's.
    pub subject: Option<Arc<str>>,
    /// Whether it is that of a pool.
    pub pool: bool,
    pub plan: Arc<str>,
    pub owner: u64,
    pub line: u32,
    pub unit: Arc<str>,
    /// 0: nothing was debited.
    pub cost: u64,
    pub what: What,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum What {
    Throttle,
    Quota { slot: usize, debit: Option<Debit> },
}

/// Where a quota was debited.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Debit {
    /// Of the window, as long as the quota may still count in it; else 0.
    pub stamp: u64,
    pub generation: u32,
    /// The row of the usage log.
    pub row: Option<Date>,
}

impl Entry {
    /// Forgets what an attempt noted.
    pub(super) fn clear(&mut self) {
        self.parts.clear();
        self.slots.clear();
    }

    /// Whether a new id may take its place.
    fn is_of_the_past(&self) -> bool {
        self.closed || self.late_from.is_none()
    }
}

impl Part {
    pub(super) fn new(seat: &Seat<'_>, cost: u64, what: What) -> Part {
        Part {
            subject: match seat.account {
                Account::Subject(name) => Some(name.clone()),
                Account::Anonymous | Account::Pool => None,
            },
            pool: matches!(seat.account, Account::Pool),
            plan: seat.plan.clone(),
            owner: seat.owner,
            line: seat.used.shape.line,
            unit: seat.used.unit.clone(),
            cost,
            what,
        }
    }

    pub(super) fn account(&self) -> Account<'_> {
        match &self.subject {
            Some(name) => Account::Subject(name),
            None if self.pool => Account::Pool,
            None => Account::Anonymous,
        }
    }
}

/// Why an id cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    InUse,
    Full,
}

#[derive(Default)]
pub(super) struct Shard {
    /// None: its request is being decided.
    entries: HashMap<u128, Option<Entry>, ahash::RandomState>,
    /// Ids that may be forgotten, oldest first; some are forgotten already.
    past: VecDeque<u128>,
}

impl Shard {
    pub(super) fn get(&mut self, id: u128) -> Option<&mut Entry> {
        self.entries.get_mut(&id)?.as_mut()
    }

    /// Lets an id be forgotten in its turn, once its entry was closed.
    pub(super) fn closed(&mut self, id: u128) {
        self.past.push_back(id);
    }

    /// Forgets the oldest id that may be.
    fn forget_one(&mut self) -> bool {
        while let Some(id) = self.past.pop_front() {
            if self.get(id).is_some_and(|entry| entry.is_of_the_past()) {
                self.entries.remove(&id);
                return true;
            }
        }
        false
    }

    pub(super) fn entries(&mut self) -> impl Iterator<Item = (u128, &mut Entry)> {
        self.entries.iter_mut().filter_map(|(&id, entry)| Some((id, entry.as_mut()?)))
    }
}

/// See the module's comment.
pub(super) struct Book {
    shards: Box<[Mutex<Shard>]>,
    /// Ids that are known. Relaxed: a bound, not a promise of what a shard holds.
    count: AtomicU64,
    room: u64,
}

impl Book {
    pub(super) fn new(room: u64) -> Book {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        Book { shards, count: AtomicU64::new(0), room: room.max(1) }
    }

    pub(super) fn shard(&self, id: u128) -> &Mutex<Shard> {
        &self.shards[id as usize % SHARDS]
    }

    pub(super) fn shards(&self) -> &[Mutex<Shard>] {
        &self.shards
    }

    /// Takes an id for a request that is about to be decided; [`put`](Book::put) or [`drop`](Book::drop) follows.
    pub(super) fn take(&self, id: u128) -> Result<(), Refused> {
        if self.shard(id).lock().entries.contains_key(&id) {
            return Err(Refused::InUse);
        }
        if self.count.fetch_add(1, Ordering::Relaxed) >= self.room && !self.forget_one(id) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::Full);
        }
        let mut shard = self.shard(id).lock();
        if shard.entries.contains_key(&id) {
            self.count.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::InUse);
        }
        shard.entries.insert(id, None);
        Ok(())
    }

    /// Forgets an id that may be, of the shard of `id` or the next that has one.
    fn forget_one(&self, id: u128) -> bool {
        let first = id as usize % SHARDS;
        let forgotten = (0..SHARDS).any(|n| self.shards[(first + n) % SHARDS].lock().forget_one());
        if forgotten {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
        forgotten
    }

    /// Ids that are known.
    pub(super) fn len(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Makes an id that was taken known.
    pub(super) fn put(&self, id: u128, entry: Entry) {
        let mut shard = self.shard(id).lock();
        if entry.is_of_the_past() {
            shard.past.push_back(id);
        }
        shard.entries.insert(id, Some(entry));
    }

    /// Gives back an id that was taken, of a request that was refused.
    pub(super) fn drop(&self, id: u128) {
        self.shard(id).lock().entries.remove(&id);
        self.count.fetch_sub(1, Ordering::Relaxed);
    }

    /// Puts these entries in the place of all. Requests that are being decided become known afterwards.
    pub(super) fn replace(&self, entries: Vec<(u128, Entry)>) {
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.entries.len();
            shard.entries.retain(|_, entry| entry.is_none());
            shard.past.clear();
            self.count.fetch_sub((before - shard.entries.len()) as u64, Ordering::Relaxed);
        }
        for (id, entry) in entries {
            if self.take(id).is_ok() {
                self.put(id, entry);
            }
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn reservation() -> Entry {
        Entry { late_from: Some(0), ..Entry::default() }
    }

    #[test]
    fn the_oldest_of_the_past_is_forgotten() {
        let book = Book::new(3);
        // Of one shard, so that the order is strict.
        let ids: Vec<u128> = (1..=6).map(|n| n * SHARDS as u128).collect();
        for &id in &ids[..3] {
            assert_eq!(book.take(id), Ok(()));
            assert_eq!(book.take(id), Err(Refused::InUse));
            book.put(id, reservation());
        }
        assert_eq!(book.take(ids[3]), Err(Refused::Full));
        for &id in &ids[1..3] {
            let mut shard = book.shard(id).lock();
            shard.get(id).unwrap().closed = true;
            shard.closed(id);
        }
        assert_eq!(book.take(ids[3]), Ok(()));
        assert!(book.shard(ids[1]).lock().get(ids[1]).is_none());
        assert!(book.shard(ids[2]).lock().get(ids[2]).is_some());
        book.drop(ids[3]);
        assert_eq!(book.take(ids[4]), Ok(()));
        book.put(ids[4], Entry::default());
        assert_eq!(book.take(ids[5]), Ok(()), "from another shard, if need be");
        assert!(book.shard(ids[0]).lock().get(ids[0]).is_some());
    }
}
