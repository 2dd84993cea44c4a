//! Token leases, for hosts that [want them](super::EngineBuilder::leases): what threads may spend of a hot throttle without
//! a write that others see.
//!
//! A thread that finds another one at the same throttle debits some tokens at once, its *lease*, spends them by itself until
//! the lease's life ends, and gives back the rest when it comes by next. **Fast path.** [`Engine::leased`]: a look at memory
//! that is the thread's own. **Slow path.** [`Leases::lend`] and [`Leases::give_back`]: two
//! or three compare-and-swaps each.
//!
//! **Never more than without.** A lease is debited as at the end of its life, so that it may be spent until then. Giving
//! tokens back must not undo a refill: if the bucket became full meanwhile, it was full but for those tokens. So whoever
//! debits a throttle of which tokens are lent debits it as if these had been spent before ([`Narrow::lend`],
//! [`Timeline::debit`]); then a level never is below that of the same admissions without leases, whenever the rest comes
//! back. That needs the number of tokens that are lent, which is in a [`Slot`]:
//!
//! | step | of a lease | of a debit |
//! | --- | --- | --- |
//! | 1 | its tokens are added to the slot | the line is read |
//! | 2 | they are debited from the line (AcqRel) | the slot is read |
//! | 3 | ... the rest is credited to the line (AcqRel) | the line is changed, if its count is what it was |
//! | 4 | they are taken off the slot | |
//!
//! A line's count never comes back to a value, so that a debit which succeeds knew all leases that were in the level: it
//! read the line (Acquire) after the swap that put them there, and so the slot after they were added. Only lines are lent,
//! therefore; the cell of a hot throttle is widened first. (A line that became full and was taken for another owner may come
//! back as a cell while an idle thread still has a lease: cells are debited in the same way, and widened before anything is
//! lent or given back.) A refund leaves a level that covers what is lent ([`Timeline::credit`]).
//!
//! (A settlement debits whatever it has to, lent or not: what was lent before it is still spent, as if it had been spent
//! then.)
//!
//! **Never much less.** At most a 24th of the burst is lent at a time. What is lent and never comes back, as its thread has
//! ended, went to another engine or missed a change of the limit, counts as lent until the bucket is seen full, or must be. With what
//! is refilled in the life of a lease and what others debit for tokens already spent that is an eighth of the burst at
//! most.
//!
//! [`Narrow::lend`]: crate::algo::gcra::Narrow::lend
//! [`Timeline::debit`]: crate::algo::gcra::Timeline::debit
//! [`Timeline::credit`]: crate::algo::gcra::Timeline::credit

#[cfg(all(test, loom))]
mod models;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;

use std::cell::Cell;

use super::Engine;
use super::current::Here;
use super::state::{Raw, head_tag, lone_level};
use crate::algo::gcra::{MAX_FILL, Terms};
use crate::plan::Quick;
use crate::store::{At, Content, Entry, Head, Store, raised_with};
use crate::sync::{AtomicU64, Ordering};

/// Throttles of an engine that are lent at a time.
const SLOTS: usize = if cfg!(loom) { 1 } else { 256 };

/// Leases of a thread at a time.
const MINE: usize = 8;

/// How often it is tried to take a lease, and to give back what is left of one, which else is lost.
const TAKES: u32 = 4;
const RETURNS: u32 = 64;

/// A lease begins with so many times the cost of a check; if as much as half of that is spent, another follows it.
const FIRST: u64 = 64;

/// So many nanoseconds after there was nothing to be had it is tried again.
const PAUSE: u64 = 100_000;

/// The bits of a slot's tokens that are lent; what is lost is above them.
const LENT: u64 = u32::MAX as u64;

/// Tokens of a slot whose owner changes.
const CHANGING: u64 = u64::MAX;

/// What is lent of one throttle. Its owner only changes while nothing is.
#[derive(Debug)]
struct Slot {
    /// The hash of the throttle's line; 0: none.
    owner: AtomicU64,
    /// Lent in bits 0..32, lost in 32..64, together at most the [terms](Terms); or [`CHANGING`].
    tokens: AtomicU64,
    /// No lease of this owner ends later. Raised before the line is debited.
    end: AtomicU64,
}

/// What is lent of an engine's throttles.
#[derive(Debug)]
pub(super) struct Leases {
    slots: Box<[Slot]>,
    /// Raised before a snapshot is put back, which knows nothing of what was lent since.
    restored: AtomicU64,
}

impl Leases {
    pub(super) fn new() -> Leases {
        let slot = |_| Slot { owner: AtomicU64::new(0), tokens: AtomicU64::new(0), end: AtomicU64::new(0) };
        Leases { slots: (0..SLOTS).map(slot).collect(), restored: AtomicU64::new(0) }
    }

    #[inline(always)]
    fn slot(&self, hash: u64) -> &Slot {
        &self.slots[hash as usize % SLOTS]
    }

    /// Tokens that are lent of the line of a hash. To be read after the line.
    #[inline(always)]
    pub(super) fn lent(&self, hash: u64) -> u64 {
        let slot = self.slot(hash);
        // Relaxed: that the line was read before (Acquire) is what counts.
        if cfg!(tollgate_bug = "unlent-debit") || slot.owner.load(Ordering::Relaxed) != hash {
            return 0;
        }
        match slot.tokens.load(Ordering::Relaxed) {
            CHANGING => 0,
            // Those of another owner since, at worst.
            tokens => tokens & LENT,
        }
    }

    /// The last instant at which any of them may be spent. To be read after them.
    fn end(&self, hash: u64) -> u64 {
        self.slot(hash).end.load(Ordering::Relaxed)
    }

    /// Adds up to `wanted` tokens, as far as the terms go: their number, and what the slot holds with them.
    fn add(&self, hash: u64, wanted: u64, now: u64, terms: Terms) -> Option<(u64, u64)> {
        let slot = self.slot(hash);
        if slot.owner.load(Ordering::Acquire) != hash {
            // Nothing is lent, and what was lost does not matter any more.
            let tokens = slot.tokens.load(Ordering::Relaxed);
            let over = slot.end.load(Ordering::Relaxed).saturating_add(MAX_FILL) < now;
            if tokens != 0 && !(over && tokens != CHANGING && tokens & LENT == 0) {
                return None;
            }
            slot.tokens.compare_exchange(tokens, CHANGING, Ordering::Acquire, Ordering::Relaxed).ok()?;
            slot.end.store(0, Ordering::Relaxed);
            slot.owner.store(hash, Ordering::Release);
            slot.tokens.store(0, Ordering::Release);
        }
        let mut tokens = slot.tokens.load(Ordering::Acquire);
        let added = loop {
            if tokens == CHANGING {
                return None;
            }
            let room = u64::from(terms.most).checked_sub((tokens & LENT) + (tokens >> 32))?;
            // Others are to have some, too.
            let added = wanted.min((room / 2).max(Terms::LEAST));
            if added > room {
                return None;
            }
            // Acquire, with the release of who gave the slot to another owner.
            let changed =
                slot.tokens.compare_exchange(tokens, tokens + added, Ordering::AcqRel, Ordering::Acquire);
            match changed {
                Ok(_) => break (added, tokens + added),
                Err(present) => tokens = present,
            }
        };
        // From now on the owner stays.
        if slot.owner.load(Ordering::Acquire) == hash {
            slot.end.fetch_max(now.saturating_add(terms.life), Ordering::Relaxed);
            return Some(added);
        }
        slot.tokens.fetch_sub(added.0, Ordering::Release);
        None
    }

    /// Takes off what was [added](Leases::add), of which `lost` tokens never came back.
    fn take_off(&self, hash: u64, tokens: u64, lost: u64) {
        // Release: who gives the slot to another owner, or reads the line after this, finds the line as it is.
        self.slot(hash).tokens.fetch_add((lost << 32).wrapping_sub(tokens), Ordering::Release);
    }

    /// The bucket was full when the slot held `tokens`: of what was lost before, nothing is missing any more.
    fn found_full(&self, hash: u64, tokens: u64) {
        // If something else has changed since, another time will do.
        let _ = self.slot(hash).tokens.compare_exchange(
            tokens,
            tokens & LENT,
            Ordering::Release,
            Ordering::Relaxed,
        );
    }

    /// Takes a lease, or notes that there is none to be had.
    fn lend(&self, store: &Store, lease: &Lease, quick: &Quick, hash: u64, now: u64, wanted: u64) {
        if self.try_lend(store, lease, quick, hash, now, wanted).is_none() {
            lease.begin(hash, now, PAUSE, 0);
        }
    }

    fn try_lend(
        &self,
        store: &Store,
        lease: &Lease,
        quick: &Quick,
        hash: u64,
        now: u64,
        wanted: u64,
    ) -> Option<()> {
        let (throttle, terms) = (quick.throttle.as_ref()?, quick.terms?);
        let late = cfg!(tollgate_bug = "late-lease");
        let (added, held) = if late { (wanted, 0) } else { self.add(hash, wanted, now, terms)? };
        let restored = self.restored.load(Ordering::Acquire);
        let take = || {
            let (line, words) = line_of(store, hash)?.ok()?;
            let level = lone_level(&words, quick.segment)?;
            let others = self.lent(hash).saturating_sub(added);
            let lent = throttle.lend(level, now, terms, others, added)?;
            let new = raised_with(words[1], lent.level);
            Some((lent, store.commit(&mut [Entry { at: line, old: words[1], new }])))
        };
        for _ in 0..TAKES {
            match take() {
                Some((lent, true)) => {
                    if late {
                        self.add(hash, wanted, now, terms)?;
                    }
                    if lent.was_full {
                        self.found_full(hash, held);
                    }
                    self.take_off(hash, added - lent.tokens, 0);
                    lease.begin(hash, now, terms.life, lent.tokens);
                    lease.segment.set(quick.segment);
                    lease.units.set(throttle.units());
                    lease.restored.set(restored);
                    return Some(());
                }
                Some((_, false)) => {}
                None => break,
            }
        }
        self.take_off(hash, added, 0);
        None
    }

    /// Gives back what is left of a lease, and clears it.
    fn give_back(&self, store: &Store, lease: &Lease) {
        let (hash, size, left) = (lease.hash.get(), lease.size.get(), lease.left.get());
        if size > 0 {
            let returned = left == 0 || (0..RETURNS).find_map(|_| self.credit(store, lease)).unwrap_or(false);
            self.take_off(hash, size, if returned { 0 } else { left });
        }
        lease.clear();
    }

    /// Credits what is left of a lease to its line, once: whether it need not, or cannot be missed; `None` to try again.
    fn credit(&self, store: &Store, lease: &Lease) -> Option<bool> {
        let (line, words) = match line_of(store, lease.hash.get()) {
            Some(Ok(line)) => line,
            Some(Err(NoLine)) => return None,
            // State that is gone was full.
            None => return Some(true),
        };
        // After the line: who puts a snapshot back says so before it changes lines.
        let restored = self.restored.load(Ordering::Acquire) != lease.restored.get();
        let level = lone_level(&words, lease.segment.get()).filter(|_| !restored);
        let Some(level) = level else { return Some(false) };
        let level = level.saturating_sub(lease.left.get() * lease.units.get());
        let new = raised_with(words[1], level);
        store.commit(&mut [Entry { at: line, old: words[1], new }]).then_some(true)
    }

    /// A snapshot is about to be put back.
    pub(super) fn forget(&self) {
        self.restored.fetch_add(1, Ordering::Release);
    }
}

/// A thread's lease, or, with a size of 0, that there was none to be had; the hash is 0 if it is neither.
pub(super) struct Lease {
    hash: Cell<u64>,
    /// First instant at which it may be spent, and for how many nanoseconds.
    from: Cell<u64>,
    life: Cell<u64>,
    /// Tokens that it began with, and what is left of them.
    size: Cell<u64>,
    left: Cell<u64>,
    /// The segment of the level that they were debited from, and what they are there.
    segment: Cell<u32>,
    units: Cell<u64>,
    restored: Cell<u64>,
}

impl Lease {
    const fn none() -> Lease {
        Lease {
            hash: Cell::new(0),
            from: Cell::new(0),
            life: Cell::new(0),
            size: Cell::new(0),
            left: Cell::new(0),
            segment: Cell::new(0),
            units: Cell::new(0),
            restored: Cell::new(0),
        }
    }

    #[inline(always)]
    fn lives(&self, now: u64) -> bool {
        // An instant before the first wraps to one far after it.
        now.wrapping_sub(self.from.get()) <= self.life.get()
    }

    #[inline(always)]
    fn covers(&self, hash: u64, now: u64, cost: u64) -> bool {
        self.hash.get() == hash && self.lives(now) && cost <= self.left.get()
    }

    /// Spends what it [covers](Lease::covers).
    #[inline(always)]
    pub(super) fn spend(&self, cost: u64) {
        self.left.set(self.left.get() - cost);
    }

    fn clear(&self) {
        self.hash.set(0);
        self.size.set(0);
        self.left.set(0);
    }

    fn begin(&self, hash: u64, now: u64, life: u64, tokens: u64) {
        self.hash.set(hash);
        self.from.set(now);
        self.life.set(life);
        self.size.set(tokens);
        self.left.set(tokens);
    }
}

/// A thread's leases, of the engine that it used last.
pub(super) struct Mine {
    leases: [Lease; MINE],
    /// No lease ends before it.
    next_end: Cell<u64>,
}

impl Mine {
    pub(super) const fn new() -> Mine {
        Mine { leases: [const { Lease::none() }; MINE], next_end: Cell::new(u64::MAX) }
    }

    #[inline(always)]
    fn lease(&self, hash: u64) -> &Lease {
        &self.leases[(hash >> 32) as usize % MINE]
    }

    /// Lets no lease be spent before it was looked at: limits have changed.
    pub(super) fn suspend(&self) {
        for lease in &self.leases {
            // No instant is so late.
            lease.from.set(u64::MAX);
            lease.life.set(0);
        }
        self.next_end.set(0);
    }

    /// Gives all leases up: nobody will give back what is left of them.
    pub(super) fn give_up(&self, leases: &Leases) {
        for lease in self.leases.iter().filter(|lease| lease.size.get() > 0) {
            leases.take_off(lease.hash.get(), lease.size.get(), lease.left.get());
        }
        self.leases.iter().for_each(Lease::clear);
        self.next_end.set(u64::MAX);
    }

    fn note_ends(&self) {
        let present = self.leases.iter().filter(|lease| lease.hash.get() != 0);
        let ends = present.map(|lease| lease.from.get().saturating_add(lease.life.get()));
        self.next_end.set(ends.min().unwrap_or(u64::MAX));
    }
}

impl Engine {
    /// The same, and until when.
    pub(super) fn lent_until(&self, hash: u64) -> (u64, u64) {
        (self.lent(hash), self.leases.as_ref().map_or(0, |leases| leases.end(hash)))
    }

    /// Tokens that are lent of the line of a hash. To be read after the line.
    #[inline(always)]
    pub(super) fn lent(&self, hash: u64) -> u64 {
        self.leases.as_ref().map_or(0, |leases| leases.lent(hash))
    }

    /// This thread's lease that covers a cost, if it has one.
    #[inline(always)]
    pub(super) fn leased<'h, const LENDS: bool>(
        &self,
        here: &'h Here,
        quick: &Quick,
        hash: u64,
        now: u64,
        cost: u64,
    ) -> Option<&'h Lease> {
        let leases = if LENDS { self.leases.as_deref()? } else { return None };
        let mine = here.mine();
        let lease = mine.lease(hash);
        if lease.covers(hash, now, cost) {
            return Some(lease);
        }
        if lease.hash.get() == hash && lease.size.get() > 0 || now > mine.next_end.get() {
            self.tend_leases(leases, mine, quick, hash, now, cost);
            return lease.covers(hash, now, cost).then_some(lease);
        }
        None
    }

    /// Has the lease of a throttle followed by another, if it is worth it, and gives back what is left of those that have
    /// ended.
    #[cold]
    #[inline(never)]
    fn tend_leases(&self, leases: &Leases, mine: &Mine, quick: &Quick, hash: u64, now: u64, cost: u64) {
        for lease in &mine.leases {
            let (size, left) = (lease.size.get(), lease.left.get());
            let own = lease.hash.get() == hash;
            if lease.hash.get() == 0 || lease.lives(now) && (!own || size == 0) {
                continue;
            }
            let exhausted = lease.lives(now);
            leases.give_back(&self.store, lease);
            let spent = size - left;
            let worth = cost.saturating_mul(FIRST / 2);
            if own && (exhausted || spent >= worth) {
                let wanted = if exhausted { size.max(worth) } else { spent }.saturating_mul(2);
                leases.lend(&self.store, lease, quick, hash, now, wanted);
            }
        }
        mine.note_ends();
    }

    /// Takes a lease of a throttle at which another thread was met.
    #[cold]
    #[inline(never)]
    pub(super) fn met_another(&self, mine: &Mine, quick: &Quick, hash: u64, cost: u64, now: u64) {
        let Some(leases) = self.leases.as_deref() else { return };
        let lease = mine.lease(hash);
        if lease.hash.get() == 0 {
            leases.lend(&self.store, lease, quick, hash, now, cost.saturating_mul(FIRST));
            mine.note_ends();
        }
    }
}

/// There is state, but no line for it, or something changed meanwhile.
struct NoLine;

/// The line of a hash that has state: where its count stands, and its words. A cell is widened.
fn line_of(store: &Store, hash: u64) -> Option<Result<(At, [u128; 4]), NoLine>> {
    let (at, word, content) = store.find(hash)?;
    let line = match content {
        Content::Line { line, .. } => store.line(line)?,
        Content::Level { segment, level } => {
            let mut txn = store.transaction();
            let Some(line) = txn.widen(at, word) else { return Some(Err(NoLine)) };
            Raw::of_cell(segment, level).settle(&mut txn, line, head_tag(hash), |raw| raw.counted(1));
            if !txn.commit() {
                return Some(Err(NoLine));
            }
            line
        }
    };
    let words = store.read_line(line);
    (Head::of(words[0]).tag == head_tag(hash)).then_some(Ok((line.count(), words)))
}
