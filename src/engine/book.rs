//! What is known of admitted requests by their ids, so that they can be settled, refunded and released.
//!
//! A book is its process's own, in shards of a lock each; a check without an id never comes here. It holds so many ids: for
//! a new one the oldest is forgotten that is settled, refunded or only a check's, and when all are open reservations there is
//! no room. An id whose request is still being decided is waited for: if that is refused, it was never known.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use smallvec::SmallVec;

use super::judge::{Account, Seat};
use super::slots::Taken;
use crate::calendar::Date;
use crate::sync::{AtomicU64, Mutex, Ordering, spin_loop, yield_now};

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

    /// Whether there is anything that a settlement or a release could change.
    pub(super) fn holds_something(&self) -> bool {
        !self.parts.is_empty() || !self.slots.is_empty()
    }

    /// Whether a new id may take its place.
    fn is_of_the_past(&self) -> bool {
        self.closed || self.late_from.is_none()
    }
}

impl Part {
    pub(super) fn new(seat: &Seat<'_>, cost: u64, what: What) -> Part {
        Part {
            subject: seat.account.name(),
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

/// How often a thread looks again at once for a request that is being decided, before it lets others run.
const PATIENCE: u32 = 64;

/// Why an id cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Refused {
    InUse,
    Full,
    /// There is no memory to know it in.
    Memory,
}

#[derive(Default)]
pub(super) struct Shard {
    /// None: its request is being decided.
    entries: HashMap<u128, Option<Entry>, ahash::RandomState>,
}

impl Shard {
    pub(super) fn get(&mut self, id: u128) -> Option<&mut Entry> {
        self.entries.get_mut(&id)?.as_mut()
    }

    pub(super) fn entries(&mut self) -> impl Iterator<Item = (u128, &mut Entry)> {
        self.entries.iter_mut().filter_map(|(&id, entry)| Some((id, entry.as_mut()?)))
    }
}

/// See the module's comment.
pub(super) struct Book {
    shards: Box<[Mutex<Shard>]>,
    /// Ids that may be forgotten, each once, oldest first. Locked by who holds no shard, or after it.
    past: Mutex<VecDeque<u128>>,
    /// How many ids `past` has memory for, which never falls: for every id that is known or taken, so that nothing has to be
    /// had when a request is admitted. Relaxed: a number that is looked at again under the lock.
    turns: AtomicU64,
    /// How many ids are known or taken, and how many of them are only taken: times [`TAKEN`]. Relaxed: a bound, not a promise
    /// of what a shard holds.
    state: AtomicU64,
    /// Held by who makes room.
    forgetting: Mutex<()>,
    room: u64,
}

const TAKEN: u64 = 1 << 40;

fn held(state: u64) -> u64 {
    state % TAKEN
}

impl Book {
    pub(super) fn new(room: u64) -> Book {
        let shards = (0..SHARDS).map(|_| Mutex::new(Shard::default())).collect();
        let (past, forgetting) = (Mutex::new(VecDeque::new()), Mutex::new(()));
        let (state, turns) = (AtomicU64::new(0), AtomicU64::new(0));
        Book { shards, past, turns, state, forgetting, room: room.clamp(1, TAKEN - 1) }
    }

    pub(super) fn shard(&self, id: u128) -> &Mutex<Shard> {
        &self.shards[id as usize % SHARDS]
    }

    pub(super) fn shards(&self) -> &[Mutex<Shard>] {
        &self.shards
    }

    /// Takes an id for a request that is about to be decided; [`put`](Book::put) or [`drop`](Book::drop) follows.
    pub(super) fn take(&self, id: u128) -> Result<(), Refused> {
        let mut tries = 0;
        loop {
            match self.try_take(id) {
                Ok(taken) => return taken,
                Err(Undecided) if tries < PATIENCE => spin_loop(),
                Err(Undecided) => yield_now(),
            }
            tries += 1;
        }
    }

    /// The outer error: that hangs on a request that is being decided.
    fn try_take(&self, id: u128) -> Result<Result<(), Refused>, Undecided> {
        match self.shard(id).lock().entries.get(&id) {
            Some(None) => return Err(Undecided),
            Some(Some(_)) => return Ok(Err(Refused::InUse)),
            None => {}
        }
        if let Err(refused) = self.take_place()? {
            return Ok(Err(refused));
        }
        let mut shard = self.shard(id).lock();
        if shard.entries.contains_key(&id) {
            self.state.fetch_sub(1 + TAKEN, Ordering::Relaxed);
            return Err(Undecided);
        }
        if shard.entries.try_reserve(1).is_err() || !self.has_turns() {
            self.state.fetch_sub(1 + TAKEN, Ordering::Relaxed);
            return Ok(Err(Refused::Memory));
        }
        shard.entries.insert(id, None);
        Ok(Ok(()))
    }

    /// Whether every id has memory for its turn to be forgotten; gets it, if it can be had. The caller holds a shard.
    fn has_turns(&self) -> bool {
        let wanted = self.len();
        if wanted <= self.turns.load(Ordering::Relaxed) {
            return true;
        }
        let mut past = self.past.lock();
        let more = (wanted as usize).saturating_sub(past.len());
        let had = past.try_reserve(more).is_ok();
        self.turns.store(past.capacity() as u64, Ordering::Relaxed);
        had
    }

    /// Takes the place of one more id.
    fn take_place(&self) -> Result<Result<(), Refused>, Undecided> {
        let one_more = |state: u64| (held(state) < self.room).then_some(state + 1 + TAKEN);
        loop {
            if self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok() {
                return Ok(Ok(()));
            }
            let _forgetting = self.forgetting.lock();
            let state = self.state.load(Ordering::Relaxed);
            if held(state) < self.room {
                continue;
            }
            if self.forget_one() {
                self.state.fetch_add(TAKEN, Ordering::Relaxed);
                return Ok(Ok(()));
            }
            return if state >= TAKEN { Err(Undecided) } else { Ok(Err(Refused::Full)) };
        }
    }

    /// Forgets the oldest id that may be, and leaves its place to the caller, who holds `forgetting`.
    fn forget_one(&self) -> bool {
        loop {
            let Some(id) = self.past.lock().pop_front() else { return false };
            let mut shard = self.shard(id).lock();
            if shard.get(id).is_some_and(|entry| entry.is_of_the_past()) {
                shard.entries.remove(&id);
                return true;
            }
        }
    }

    /// Ids that are known.
    pub(super) fn len(&self) -> u64 {
        held(self.state.load(Ordering::Relaxed))
    }

    /// Makes an id that was taken known.
    pub(super) fn put(&self, id: u128, entry: Entry) {
        let mut shard = self.shard(id).lock();
        if entry.is_of_the_past() {
            self.past.lock().push_back(id);
        }
        // Its place is there since it was taken.
        if let Some(place) = shard.entries.get_mut(&id) {
            *place = Some(entry);
        }
        self.state.fetch_sub(TAKEN, Ordering::Relaxed);
    }

    /// Lets an id be forgotten in its turn, once its entry was closed. The caller holds its shard.
    pub(super) fn closed(&self, id: u128) {
        self.past.lock().push_back(id);
    }

    /// Gives back an id that was taken, of a request that was refused.
    pub(super) fn drop(&self, id: u128) {
        self.shard(id).lock().entries.remove(&id);
        self.state.fetch_sub(1 + TAKEN, Ordering::Relaxed);
    }

    /// Copies of all that is known, in the order in which it is forgotten.
    pub(super) fn list(&self) -> Vec<(u128, Entry)> {
        let turns: HashMap<u128, usize> =
            self.past.lock().iter().enumerate().map(|(turn, &id)| (id, turn)).collect();
        let mut all = Vec::new();
        for shard in &self.shards {
            all.extend(shard.lock().entries().map(|(id, entry)| (id, entry.clone())));
        }
        // What was closed meanwhile is the youngest.
        all.sort_by_key(|(id, _)| turns.get(id).copied().unwrap_or(usize::MAX));
        all
    }

    /// Puts these entries in the place of all, the first to be forgotten first. Requests that are being decided become known
    /// afterwards.
    pub(super) fn replace(&self, entries: Vec<(u128, Entry)>) {
        self.past.lock().clear();
        for shard in &self.shards {
            let mut shard = shard.lock();
            let before = shard.entries.len();
            shard.entries.retain(|_, entry| entry.is_none());
            self.state.fetch_sub((before - shard.entries.len()) as u64, Ordering::Relaxed);
        }
        for (id, entry) in entries {
            if self.take(id).is_ok() {
                self.put(id, entry);
            }
        }
    }
}

/// It hangs on a request that is being decided.
struct Undecided;

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    fn reservation() -> Entry {
        Entry { late_from: Some(0), ..Entry::default() }
    }

    #[test]
    fn the_oldest_of_the_past_is_forgotten() {
        let book = Book::new(3);
        let ids: Vec<u128> = (1..=6).map(|n| n * 7).collect();
        for &id in &ids[..3] {
            assert_eq!(book.take(id), Ok(()));
            book.put(id, reservation());
            assert_eq!(book.take(id), Err(Refused::InUse));
        }
        assert_eq!(book.take(ids[3]), Err(Refused::Full));
        for &id in &ids[1..3] {
            let mut shard = book.shard(id).lock();
            shard.get(id).unwrap().closed = true;
            book.closed(id);
        }
        assert_eq!(book.take(ids[3]), Ok(()));
        assert!(book.shard(ids[1]).lock().get(ids[1]).is_none());
        assert!(book.shard(ids[2]).lock().get(ids[2]).is_some());
        book.drop(ids[3]);
        assert_eq!(book.take(ids[4]), Ok(()));
        book.put(ids[4], Entry::default());
        assert_eq!(book.take(ids[5]), Ok(()));
        assert!(book.shard(ids[0]).lock().get(ids[0]).is_some());
    }
}
