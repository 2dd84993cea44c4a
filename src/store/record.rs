//! How several words change as one: all of them or none, whoever dies on the way.
//!
//! Every word of a store's memory is changed by [`Records::commit`] and read by [`Records::read`]. A
//! change of one word is one compare-and-swap. A change of several goes through a *record*, which holds
//! each word's offset, its old and its new value:
//!
//! 1. **acquire** a record that is free: its control word gets a new generation and the state `OPEN`;
//! 2. write the entries, then **mark** the words in ascending order: each is swapped from its old value for a
//!    mark that names record, generation and entry. A word that holds something else ends the attempt;
//! 3. **decide** by swapping the control word's state from `OPEN` to `DONE`: the instant at which all
//!    words change;
//! 4. **release**: swap each mark for the new value, and free the record.
//!
//! Only the owner marks and decides. Anybody who meets a mark may read through it (an `OPEN` record's
//! words have their old values, a `DONE` one's the new), may end an `OPEN` record by swapping its state for
//! `UNDONE`, and may release the words of one that has ended. So a reader never waits, and a writer waits for
//! a moment, in ascending order only, before it ends what stands in its way: no circle, and nothing stuck when
//! an owner stops or dies. What a killed owner leaves is a record that is not free again until
//! [`Records::recover`] finds its process gone: then nobody marks for it any more, and releasing all its words frees it.
//!
//! **Why a sleeper does no harm.** A mark stands in a word at most once per generation, because its owner
//! places it once. So the swap of one who slept since the mark was released fails for ever; and a record's
//! entries are only rewritten after the owner has itself released every word, so that entries that were read
//! between two equal looks at the control word belong to its generation. Marks that an owner places after
//! others ended its record name a record that has ended: the next comer takes them off.
//!
//! **Orderings.** `Word::replace` is AcqRel. The entries are written before the first mark is placed: who
//! reads a mark (Acquire) sees them. A record is freed by a Release store that the next acquirer's swap pairs
//! with. Readers of entries re-read the control word behind an Acquire fence (a sequence lock).

use smallvec::SmallVec;

use super::memory::{At, Memory};
use crate::sync::{AtomicUsize, Ordering, fence, spin_loop};

/// Set in a word that holds a mark; values never have it.
pub(super) const MARK: u128 = 1 << 127;

/// Most words that one decision can change.
pub(crate) const ENTRIES: usize = if cfg!(loom) {
    8
} else if cfg!(shuttle) {
    32
} else {
    256
};

/// Words per record: control, and three words per entry.
const STRIDE: u32 = 1 + 3 * ENTRIES as u32;

/// How often a writer looks at an open record in its way before it ends it.
const PATIENCE: u32 = if cfg!(any(loom, shuttle)) { 1 } else { 256 };

const FREE: u128 = 0;
const OPEN: u128 = 1;
const DONE: u128 = 2;
const UNDONE: u128 = 3;

/// One word's part in a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Entry {
    pub at: At,
    pub old: u128,
    pub new: u128,
}

pub(crate) type Entries = SmallVec<[Entry; 8]>;

/// A record's control word: generation in bits 0..64, state in bits 64..66, owner's process in bits 96..128.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Control(u128);

impl Control {
    fn generation(self) -> u64 {
        self.0 as u64
    }

    fn state(self) -> u128 {
        self.0 >> 64 & 3
    }

    fn with(self, state: u128) -> Control {
        Control(self.0 & !(3 << 64) | state << 64)
    }

    fn process(self) -> u32 {
        (self.0 >> 96) as u32
    }
}

/// A word's content while a record is at it: generation in bits 0..64, record in 64..96, entry in 96..112.
#[derive(Clone, Copy)]
struct Mark {
    generation: u64,
    record: u32,
    entry: u32,
}

impl Mark {
    fn word(self) -> u128 {
        MARK | u128::from(self.entry) << 96 | u128::from(self.record) << 64 | u128::from(self.generation)
    }

    fn of(word: u128) -> Mark {
        Mark { generation: word as u64, record: (word >> 64) as u32, entry: (word >> 96) as u32 & 0xffff }
    }
}

/// The records of a memory. See the module's comment.
#[derive(Clone, Copy)]
pub(super) struct Records {
    first: At,
    /// A power of two.
    count: u32,
    /// Whether other processes have records here.
    shared: bool,
}

/// What a mark stands for.
enum Meaning {
    /// The record is open: the word has its old value.
    Open { control: Control, old: u128 },
    /// The record has ended, and the word is to have this value.
    Ended(u128),
    /// The mark is gone meanwhile.
    Gone,
}

impl Records {
    pub(super) fn new(first: At, count: u32, shared: bool) -> Records {
        Records { first, count: count.max(1).next_power_of_two(), shared }
    }

    /// Words that `count` records take.
    pub(super) fn words(count: u32) -> u32 {
        count.max(1).next_power_of_two() * STRIDE
    }

    fn control(self, record: u32) -> At {
        self.first + record * STRIDE
    }

    fn entry(self, record: u32, entry: u32) -> At {
        self.control(record) + 1 + 3 * entry
    }

    /// The value of a word, whoever is at it. Acquire.
    #[inline(always)]
    pub(super) fn read(self, memory: &Memory, at: At) -> u128 {
        let word = memory.word(at).load(Ordering::Acquire);
        if word & MARK == 0 { word } else { self.read_through(memory, at, word) }
    }

    #[cold]
    fn read_through(self, memory: &Memory, at: At, mut word: u128) -> u128 {
        loop {
            if word & MARK == 0 {
                return word;
            }
            match self.meaning(memory, at, word) {
                Meaning::Open { old, .. } => return old,
                Meaning::Ended(value) => return value,
                Meaning::Gone => word = memory.word(at).load(Ordering::Acquire),
            }
        }
    }

    /// What `word`, a mark that was read at `at`, stands for.
    fn meaning(self, memory: &Memory, at: At, word: u128) -> Meaning {
        let mark = Mark::of(word);
        if mark.record >= self.count || mark.entry >= ENTRIES as u32 {
            // Nobody places such a mark: the memory is damaged.
            return Meaning::Ended(0);
        }
        let control_word = memory.word(self.control(mark.record));
        let before = Control(control_word.load(Ordering::Acquire));
        if before.generation() != mark.generation {
            return self.gone_or_damaged(memory, at, word);
        }
        let entry = self.entry(mark.record, mark.entry);
        let old = memory.word(entry + 1).load(Ordering::Relaxed) & !MARK;
        let new = memory.word(entry + 2).load(Ordering::Relaxed) & !MARK;
        // Pairs with the AcqRel swap that acquires the record anew: had an entry been read from a later
        // generation, this load would find that generation.
        fence(Ordering::Acquire);
        // Acquire: pairs with the swap that decided, behind which every word of the record is marked, or with the
        // store that freed the record, behind which none is. Who goes on from here finds the others so.
        let order =
            if cfg!(tollgate_bug = "relaxed-decision") { Ordering::Relaxed } else { Ordering::Acquire };
        let control = Control(control_word.load(order));
        if control.generation() != mark.generation {
            return self.gone_or_damaged(memory, at, word);
        }
        // The state only moves on within a generation: an old and a new look agree on what is past.
        match control.state() {
            OPEN => Meaning::Open { control, old },
            DONE => Meaning::Ended(new),
            UNDONE => Meaning::Ended(old),
            // Free: the owner has released every word.
            _ => self.gone_or_damaged(memory, at, word),
        }
    }

    /// A mark whose record has gone on has left its word, unless the memory is damaged.
    fn gone_or_damaged(self, memory: &Memory, at: At, word: u128) -> Meaning {
        if memory.word(at).load(Ordering::Acquire) == word { Meaning::Ended(0) } else { Meaning::Gone }
    }

    /// Makes `at` hold a value again. Waits a moment for an open record, then ends it.
    fn settle(self, memory: &Memory, at: At, mut patience: u32) {
        loop {
            let word = memory.word(at).load(Ordering::Acquire);
            if word & MARK == 0 {
                return;
            }
            match self.meaning(memory, at, word) {
                Meaning::Gone => {}
                Meaning::Ended(value) => {
                    // Whoever was faster did the same.
                    let _ = memory.word(at).replace(word, value);
                    return;
                }
                Meaning::Open { control, .. } if patience == 0 => {
                    let record = memory.word(self.control(Mark::of(word).record));
                    let _ = record.replace(control.0, control.with(UNDONE).0);
                }
                Meaning::Open { .. } => {
                    patience -= 1;
                    spin_loop();
                }
            }
        }
    }

    /// Changes all words from their old to their new values at one instant, or none if one of them holds
    /// something else. `entries` name distinct words, at most [`ENTRIES`]; sorted on return.
    ///
    /// False also when another ended the attempt, or no record could be had: to be tried again from the start.
    #[inline]
    pub(super) fn commit(self, memory: &Memory, entries: &mut [Entry]) -> bool {
        match entries {
            [] => true,
            [entry] => self.commit_one(memory, entry),
            entries => {
                entries.sort_unstable_by_key(|entry| entry.at);
                self.commit_all(memory, entries)
            }
        }
    }

    /// The same for two words.
    #[inline]
    pub(super) fn commit_two(self, memory: &Memory, one: Entry, other: Entry) -> bool {
        debug_assert!(one.at != other.at);
        let ascending = one.at < other.at;
        let (first, second) = if ascending { (one, other) } else { (other, one) };
        self.commit_all(memory, &[first, second])
    }

    #[inline]
    fn commit_one(self, memory: &Memory, entry: &Entry) -> bool {
        loop {
            let word = memory.word(entry.at);
            if cfg!(tollgate_bug = "lost-update") && word.load(Ordering::Acquire) == entry.old {
                word.store(entry.new, Ordering::Release);
                return true;
            }
            match word.replace(entry.old, entry.new) {
                Ok(()) => return true,
                Err(found) if found & MARK == 0 => return false,
                Err(_) => self.settle(memory, entry.at, PATIENCE),
            }
        }
    }

    /// `entries` ascend.
    fn commit_all(self, memory: &Memory, entries: &[Entry]) -> bool {
        debug_assert!(entries.len() <= ENTRIES && entries.is_sorted_by_key(|entry| entry.at));
        let Some((record, control)) = self.acquire(memory, super::process::this()) else {
            return false;
        };
        for (n, entry) in (0..).zip(entries) {
            let at = self.entry(record, n);
            memory.word(at).store(entry.at.into(), Ordering::Relaxed);
            memory.word(at + 1).store(entry.old, Ordering::Relaxed);
            memory.word(at + 2).store(entry.new, Ordering::Relaxed);
        }

        let mut marked = 0;
        let all = (0..).zip(entries).all(|(n, entry)| {
            let mark = Mark { generation: control.generation(), record, entry: n }.word();
            loop {
                match memory.word(entry.at).replace(entry.old, mark) {
                    Ok(()) => {
                        marked += 1;
                        return true;
                    }
                    Err(found) if found & MARK == 0 => return false,
                    Err(_) => self.settle(memory, entry.at, PATIENCE),
                }
            }
        });
        let word = memory.word(self.control(record));
        let end = if all { DONE } else { UNDONE };
        let decided = word.replace(control.0, control.with(end).0);
        let done = all && decided.is_ok();
        for (n, entry) in (0..marked).zip(entries) {
            let mark = Mark { generation: control.generation(), record, entry: n }.word();
            let value = if done || cfg!(tollgate_bug = "missing-rollback") { entry.new } else { entry.old };
            // Whoever was faster did the same.
            let _ = memory.word(entry.at).replace(mark, value);
        }
        // Release: the words above hold no mark of this generation before the record can be had again.
        word.store(Control(0).with(FREE).0 | u128::from(control.generation()), Ordering::Release);
        done
    }

    /// A free record, open, with a generation that it never had.
    fn acquire(self, memory: &Memory, process: u32) -> Option<(u32, Control)> {
        let hint = thread_hint();
        for round in 0..3 {
            for n in 0..self.count {
                let record = (hint as u32).wrapping_add(n) & (self.count - 1);
                let word = memory.word(self.control(record));
                let found = Control(word.load(Ordering::Relaxed));
                if found.state() != FREE {
                    continue;
                }
                let next = u128::from(found.generation() + 1) | u128::from(process) << 96;
                let next = Control(next).with(OPEN);
                if word.replace(found.0, next.0).is_ok() {
                    return Some((record, next));
                }
            }
            if round == 1 {
                self.recover(memory, process);
            }
            spin_loop();
        }
        None
    }

    /// Frees the records of processes that are gone.
    #[cold]
    pub(super) fn recover(self, memory: &Memory, process: u32) {
        for record in 0..self.count {
            let word = memory.word(self.control(record));
            let found = Control(word.load(Ordering::Acquire));
            if found.state() == FREE
                || found.process() == process
                // Only a child that was forked finds others' records in a heap, and their owners are not in it.
                || self.shared && super::process::is_alive(found.process())
            {
                continue;
            }
            self.finish(memory, record, found);
        }
    }

    /// Ends the record of an owner that does nothing any more, and frees it. Several may do so at once.
    fn finish(self, memory: &Memory, record: u32, mut control: Control) {
        let word = memory.word(self.control(record));
        if control.state() == OPEN {
            if let Err(found) = word.replace(control.0, control.with(UNDONE).0) {
                if Control(found).generation() != control.generation() {
                    return;
                }
                control = Control(found);
            } else {
                control = control.with(UNDONE);
            }
        }
        if control.state() == FREE {
            return;
        }
        // The entries of an owner that died while it wrote them are in part those of before, whose words hold
        // no mark of this generation.
        for entry in 0..ENTRIES as u32 {
            let at = memory.word(self.entry(record, entry)).load(Ordering::Relaxed);
            let mark = Mark { generation: control.generation(), record, entry }.word();
            let Some(at) = At::try_from(at).ok().filter(|&at| (at as usize) < memory.words()) else {
                continue;
            };
            if memory.word(at).load(Ordering::Acquire) == mark {
                self.settle(memory, at, 0);
            }
        }
        // Only from this very state: another who recovers may have freed it, and an owner acquired it since.
        let _ = word.replace(control.0, u128::from(control.generation()));
    }
}

#[cfg(test)]
impl Records {
    /// Begins a commit of two words and stops for ever after so many of its steps: mark, mark, decide, release,
    /// release. Ends sooner where the commit would have failed. Gives the number of steps taken.
    pub(super) fn abandon(self, memory: &Memory, entries: &[Entry; 2], process: u32, steps: u32) -> u32 {
        let Some((record, control)) = self.acquire(memory, process) else { return 0 };
        for (n, entry) in (0..).zip(entries) {
            let at = self.entry(record, n);
            memory.word(at).store(entry.at.into(), Ordering::Relaxed);
            memory.word(at + 1).store(entry.old, Ordering::Relaxed);
            memory.word(at + 2).store(entry.new, Ordering::Relaxed);
        }
        let mark = |entry| Mark { generation: control.generation(), record, entry }.word();
        for step in 1..=steps {
            let done = match step {
                1 | 2 => {
                    let entry = entries[step as usize - 1];
                    memory.word(entry.at).replace(entry.old, mark(step - 1))
                }
                3 => memory.word(self.control(record)).replace(control.0, control.with(DONE).0),
                4 | 5 => {
                    let entry = entries[step as usize - 4];
                    // Whoever was faster did the same.
                    let _ = memory.word(entry.at).replace(mark(step - 4), entry.new);
                    Ok(())
                }
                _ => Ok(()),
            };
            if done.is_err() {
                return step - 1;
            }
        }
        steps
    }

    /// Records that are not free.
    pub(super) fn busy(self, memory: &Memory) -> usize {
        let state = |record| Control(memory.word(self.control(record)).load(Ordering::Acquire)).state();
        (0..self.count).filter(|&record| state(record) != FREE).count()
    }
}

/// A number that differs between threads, for each to begin its search at another record.
fn thread_hint() -> usize {
    #[cfg(not(any(loom, shuttle)))]
    {
        use std::cell::Cell;
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static HINT: Cell<usize> = const { Cell::new(usize::MAX) });
        HINT.with(|hint| {
            if hint.get() == usize::MAX {
                hint.set(NEXT.fetch_add(1, Ordering::Relaxed) % (1 << 16));
            }
            hint.get()
        })
    }
    #[cfg(any(loom, shuttle))]
    {
        let _ = core::marker::PhantomData::<AtomicUsize>;
        0
    }
}
