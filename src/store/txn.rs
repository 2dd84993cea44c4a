//! One decision's changes: read, planned, and committed as one.

use super::cell::{Cell, Content, Head, Line};
use super::memory::At;
use super::record::{ENTRIES, Entries, Entry};
use super::table::{Control, WINDOW};
use super::{FREE_LINES, LINES_USED, Store};
use crate::sync::Ordering;

/// Reads see what this transaction is about to write. Nothing is written before [`commit`](Txn::commit), which fails
/// if a word that is to be written has changed since it was read.
pub(crate) struct Txn<'s> {
    store: &'s Store,
    entries: Entries,
    /// Empty cells that are to be filled.
    fills: u64,
}

/// What a new owner is to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Claim {
    /// A cell that holds this level.
    Level { segment: u32, level: u64 },
    /// A line.
    Line { pinned: bool },
}

/// Lines that are looked at for one that is fresh, when none is free.
const RECLAIM: u32 = 32;

/// Why there is no cell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum NoRoom {
    /// The hash has one, or there is more room now: look again.
    Taken,
    /// Nothing is free, and nothing could be reused.
    Full,
}

impl<'s> Txn<'s> {
    pub(super) fn new(store: &'s Store) -> Txn<'s> {
        Txn { store, entries: Entries::new(), fills: 0 }
    }

    /// The words of a line; `None` for a number that no line has.
    #[inline]
    pub(crate) fn line(&self, number: u32) -> Option<Line> {
        self.store.line(number)
    }

    #[inline]
    pub(crate) fn read(&self, at: At) -> u128 {
        match self.entries.iter().find(|entry| entry.at == at) {
            Some(entry) => entry.new,
            None => self.store.records.read(&self.store.memory, at),
        }
    }

    /// Plans `new` in the place of `old`, which is what [`read`](Txn::read) gave.
    #[inline]
    pub(crate) fn write(&mut self, at: At, old: u128, new: u128) {
        match self.entries.iter_mut().find(|entry| entry.at == at) {
            Some(entry) => entry.new = new,
            None => self.entries.push(Entry { at, old, new }),
        }
    }

    /// Plans the words of a line in the place of `before`, as far as they differ.
    #[inline]
    pub(crate) fn write_line(&mut self, line: Line, before: [u128; 4], words: [u128; 4]) {
        let ats = [line.head(), line.count(), line.quota(0), line.quota(1)];
        for ((at, old), new) in ats.into_iter().zip(before).zip(words) {
            if old != new {
                self.write(at, old, new);
            }
        }
    }

    /// The four words of a line, the count before the others.
    #[inline]
    pub(crate) fn read_line(&self, line: Line) -> [u128; 4] {
        let count = self.read(line.count());
        [self.read(line.head()), count, self.read(line.quota(0)), self.read(line.quota(1))]
    }

    /// Words that are planned to change.
    pub(crate) fn words(&self) -> usize {
        self.entries.len()
    }

    /// Whether more words are planned than can change at once.
    pub(crate) fn is_too_large(&self) -> bool {
        self.entries.len() > ENTRIES
    }

    /// Does what was planned, all of it or, if that has become impossible, nothing. A table that this fills grows a little.
    #[inline]
    pub(crate) fn commit(&mut self) -> bool {
        let store = self.store;
        let done = store.commit(&mut self.entries);
        // A model's table grows when the model says so: fewer interleavings.
        if done && self.fills > 0 && !cfg!(loom) {
            store.filled.fetch_add(self.fills, Ordering::Relaxed);
            store.grow(2);
        }
        done
    }

    /// Plans a cell for `hash`, which was not found, and gives its line if it is to have one.
    ///
    /// `age` says in how many nanoseconds a cell's content will be indistinguishable from fresh, if ever; with
    /// 0 it may be reused. With `evict` the one with the least is reused if there is no other; the flag in the
    /// answer says so.
    pub(crate) fn claim(
        &mut self,
        hash: u64,
        claim: Claim,
        evict: bool,
        age: &dyn Fn(&Txn<'_>, Content) -> Option<u64>,
    ) -> Result<(Option<Line>, bool), NoRoom> {
        let store = self.store;
        let table = &store.table;
        let tag = table.tag(hash);
        let geometry = store.geometry();
        let homes = table.homes(hash, geometry);
        let controls =
            [homes.old, homes.new].map(|home| (table.control(home), self.read(table.control(home))));
        if store.geometry() != geometry {
            return Err(NoRoom::Taken);
        }
        for home in [homes.old, homes.new] {
            if store.search(home, tag, |at| self.read(at)).is_some() {
                return Err(NoRoom::Taken);
            }
        }

        let mut evicted = false;
        let (at, displacement, old) = match self.empty(homes.new, tag) {
            Some((at, displacement)) => {
                self.fills += 1;
                (at, displacement, 0)
            }
            None => {
                let victim = self.victim(homes.new, tag, age);
                evicted = victim.is_none_or(|(.., age)| age > 0);
                if evicted && store.make_room() {
                    return Err(NoRoom::Taken);
                }
                match victim {
                    Some((at, displacement, old, _)) if evict || !evicted => (at, displacement, old),
                    _ => return Err(NoRoom::Full),
                }
            }
        };
        let left = Cell::of(old).and_then(|cell| match cell.content {
            Content::Line { line, .. } => Some(line),
            Content::Level { .. } => None,
        });
        let (content, line) = match claim {
            Claim::Level { segment, level } => {
                if let Some(line) = left {
                    self.give_back(line);
                }
                (Content::Level { segment, level }, None)
            }
            Claim::Line { pinned } => {
                let (number, line) = match left.and_then(|number| Some((number, store.line(number)?))) {
                    Some(kept) => kept,
                    None => match self.take_line() {
                        Some(taken) => taken,
                        None if store.reclaim_lines(RECLAIM, age) > 0 => return Err(NoRoom::Taken),
                        None => return Err(NoRoom::Full),
                    },
                };
                (Content::Line { line: number, pinned }, Some(line))
            }
        };
        self.write(at, old, Cell { displacement, tag, content }.word());
        for (control, word) in controls {
            // The same twice but during a split.
            let needed = control == table.control(homes.new) || homes.old != homes.new;
            if needed && !cfg!(tollgate_bug = "unversioned-insert") {
                let reach = if control == table.control(homes.new) { displacement } else { 0 };
                self.write(control, word, Control(word).next(reach).0);
            }
        }
        Ok((line, evicted))
    }

    /// Plans a line in the place of the level that `hash`'s cell holds, at `at` with the word `old`.
    pub(crate) fn widen(&mut self, at: At, old: u128) -> Option<Line> {
        let cell = Cell::of(old)?;
        let (line, words) = self.take_line()?;
        self.write(at, old, Cell { content: Content::Line { line, pinned: false }, ..cell }.word());
        Some(words)
    }

    /// Plans another content for a cell, in the place of `old`.
    #[inline]
    pub(crate) fn put(&mut self, at: At, old: u128, content: Content) {
        self.write(at, old, Cell::with(old, content));
    }

    /// Plans an empty cell in the place of `old`, and lets its line go.
    pub(crate) fn let_go_of(&mut self, at: At, old: u128) {
        if let Some(Content::Line { line, .. }) = Cell::of(old).map(|cell| cell.content) {
            self.give_back(line);
        }
        self.write(at, old, 0);
    }

    /// An empty cell for `tag`, and its displacement.
    pub(super) fn empty(&self, home: u32, tag: u64) -> Option<(At, u32)> {
        (0..WINDOW).find_map(|displacement| {
            let mut cells = self.store.table.cells(home + displacement, tag);
            cells.find(|&at| self.read(at) == 0).map(|at| (at, displacement))
        })
    }

    /// The cell that will be indistinguishable from fresh first: where, displacement, word, and when.
    fn victim(
        &self,
        home: u32,
        tag: u64,
        age: &dyn Fn(&Txn<'_>, Content) -> Option<u64>,
    ) -> Option<(At, u32, u128, u64)> {
        let mut least: Option<(At, u32, u128, u64)> = None;
        for displacement in 0..WINDOW {
            for at in self.store.table.cells(home + displacement, tag) {
                let word = self.read(at);
                let planned = self.entries.iter().any(|entry| entry.at == at);
                let Some(cell) = Cell::of(word).filter(|_| !planned) else { continue };
                if matches!(cell.content, Content::Line { pinned: true, .. }) {
                    continue;
                }
                match age(self, cell.content) {
                    Some(0) => return Some((at, displacement, word, 0)),
                    Some(age) if least.is_none_or(|(.., other)| age < other) => {
                        least = Some((at, displacement, word, age));
                    }
                    _ => {}
                }
            }
        }
        least
    }

    /// Plans to take a line that nobody has.
    fn take_line(&mut self) -> Option<(u32, Line)> {
        let free = self.read(FREE_LINES);
        if let Some(line) = self.store.line(free as u32) {
            let next = Head::of(self.read(line.head())).high;
            let version = (free >> 32).wrapping_add(1) & ((1 << 95) - 1);
            self.write(FREE_LINES, free, version << 32 | u128::from(next as u32));
            return Some((free as u32, line));
        }
        let used = self.read(LINES_USED);
        let number = u32::try_from(used).ok()?.checked_add(1)?;
        let line = self.store.line(number)?;
        self.write(LINES_USED, used, number.into());
        Some((number, line))
    }

    /// Plans to let a line go. Its count goes up, so that nobody who has it in mind changes it.
    fn give_back(&mut self, number: u32) {
        let Some(line) = self.store.line(number) else { return };
        let free = self.read(FREE_LINES);
        let version = (free >> 32).wrapping_add(1) & ((1 << 95) - 1);
        self.write(FREE_LINES, free, version << 32 | u128::from(number));
        let head = self.read(line.head());
        self.write(line.head(), head, Head { high: (free as u32).into(), ..Head::default() }.word());
        let count = self.read(line.count());
        self.write(line.count(), count, raised(count, 1));
        for slot in 0..2 {
            let quota = self.read(line.quota(slot));
            self.write(line.quota(slot), quota, 0);
        }
    }
}

/// A line's count word with `by` more, modulo 2^63.
pub(crate) fn raised(count: u128, by: u64) -> u128 {
    count.wrapping_add(u128::from(by) << 64) & !(1 << 127)
}

/// A line's count word with one more, and `low` in its low half.
pub(crate) fn raised_with(count: u128, low: u64) -> u128 {
    raised(count, 1) >> 64 << 64 | u128::from(low)
}
