//! Cells and lines in a memory of words, and how several of them change as one.
//!
//! The store knows hashes, tags and words, not their meaning. A throttle alone is one 16-byte cell of the
//! [table](table); anything more is a *line* of four words, which a cell points to. Lines never move; cells do when
//! the table grows. Everything that changes goes through a [`Txn`], whose commit is all or nothing
//! ([`record`]) and takes no lock; what two processes share is nothing but the words.
//!
//! **Fast path.** A cell that is there: one search, mostly one cache miss, and one compare-and-swap.
//! **Slow path.** A new cell: its group's control word besides, and now and then a group of a growing table split.

mod cell;
mod memory;
#[cfg(all(test, loom))]
mod models;
mod process;
mod record;
mod region;
mod size;
mod stored;
#[cfg(all(test, shuttle))]
mod storms;
mod table;
#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
mod txn;

pub(crate) use cell::{CELL_SEGMENTS, Content, Head, Line, content_of, level_under, with_level};
pub(crate) use memory::At;
pub(crate) use size::Size;
pub(crate) use stored::Stored;
pub(crate) use txn::{Claim, NoRoom, Txn, raised, raised_with};

use crate::sync::{AtomicU64, Inlined, Mutex, Ordering, Word};
use cell::Cell;
pub(crate) use memory::Memory;
use record::Records;
pub(crate) use record::{ENTRIES, Entry};
use size::{LOAD_PERCENT, Layout};
use table::{CELLS, Control, Geometry, LINES, Table, WINDOW};

/// Offsets of the words that belong to the whole store, each on a line of its own.
/// Lines that were ever given out.
const LINES_USED: At = 8;
/// Lines that were given back: the first one's number in bits 0..32 (0: none), a version in 32..127.
const FREE_LINES: At = 12;
/// Events of a region that were recorded.
const EVENTS: At = 16;
/// What the region's clock adds to that of the machine.
pub(crate) const CLOCK: At = 20;
const HEADER: At = 24;

/// Words of an event.
pub(crate) const EVENT: usize = 6;
/// The last events are kept for whoever must not fail.
const SPARE_EVENTS: u64 = 16;

/// What became of an event that was to be recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Appended {
    Done,
    /// Another stands at its place.
    Taken,
    Full,
}

/// See the module's comment.
pub(crate) struct Store {
    memory: Memory,
    records: Records,
    events: At,
    max_events: u32,
    table: Table,
    /// First word of line 1.
    lines: At,
    max_lines: u32,
    /// The [`Geometry`]. Changed by the holder of `growing` (Release); only a heap's ever is, so that it need not be in
    /// the memory.
    geometry: AtomicU64,
    /// Cells in use, about; only this process's, and only for growth. Relaxed: it publishes nothing.
    filled: AtomicU64,
    /// Where the next round of reclaiming goes on. Relaxed: any order will do.
    line_hand: AtomicU64,
    group_hand: AtomicU64,
    /// Held by whoever splits a group. Only a heap grows, so nobody else's death can leave it held.
    growing: Mutex<()>,
}

/// A word as it was seen, its halves at two instants: good for nothing but to be replaced.
pub(crate) struct Glanced<'s> {
    at: At,
    word: &'s Word,
    pub value: u128,
}

impl Glanced<'_> {
    /// Changes the word, if it is what was seen, without waiting for whoever is at it.
    #[inline(always)]
    pub(crate) fn replace(self, new: u128) -> bool {
        self.word.replace(self.value, new).is_ok()
    }

    /// The same for who has asked what the processor has.
    #[inline(always)]
    pub(crate) fn replace_inlined(self, new: u128, inlined: Inlined) -> bool {
        self.word.replace_inlined(self.value, new, inlined).is_ok()
    }

    #[inline(always)]
    pub(crate) fn is_whole_inlined(&self, inlined: Inlined) -> bool {
        self.word.load_inlined(inlined) == self.value
    }

    /// Whether the word is all that was seen.
    #[inline(always)]
    pub(crate) fn is_whole(&self) -> bool {
        self.word.load(Ordering::Acquire) == self.value
    }
}

impl Store {
    /// A store in this process's memory, which grows to `size`; `None` if it cannot be had.
    pub(crate) fn heap(size: Size) -> Option<Store> {
        let layout = size.layout(true)?;
        Some(Store::of(Memory::heap(usize::try_from(layout.words).ok()?)?, layout, size))
    }

    /// The same of full size, all of its memory touched.
    pub(crate) fn touched_heap(size: Size) -> Option<Store> {
        let layout = size.layout(false)?;
        Some(Store::of(Memory::touched_heap(usize::try_from(layout.words).ok()?)?, layout, size))
    }

    /// A store in memory that several processes map, formatted for `size` or joined; and the region's hash seed, which
    /// is `seed` if this is the first to attach.
    ///
    /// Sizes and offsets are those of the region's header, which is checked; what the words after it hold is checked where
    /// it is used as an index.
    pub(crate) fn attach(
        memory: Memory,
        size: Option<Size>,
        seed: u128,
    ) -> Result<(Store, u128), crate::error::RegionError> {
        let header = region::join(&memory, size, seed)?;
        let damaged = crate::error::RegionError::Damaged { what: "sizes" };
        let layout = header.size.layout(false).ok_or(damaged)?;
        Ok((Store::of(memory, layout, header.size), header.seed))
    }

    /// The memory holds the layout's words.
    fn of(memory: Memory, Layout { events, table, lines, .. }: Layout, size: Size) -> Store {
        Store {
            // Only a region has events.
            records: Records::new(HEADER, size.records, size.events > 0),
            events,
            max_events: size.events,
            table,
            lines,
            // Its words are within the layout.
            max_lines: size.lines as u32,
            geometry: AtomicU64::new(0),
            filled: AtomicU64::new(0),
            line_hand: AtomicU64::new(0),
            group_hand: AtomicU64::new(0),
            growing: Mutex::new(()),
            memory,
        }
    }

    pub(crate) fn transaction(&self) -> Txn<'_> {
        Txn::new(self)
    }

    #[inline(always)]
    fn geometry(&self) -> Geometry {
        Geometry::of(self.geometry.load(Ordering::Acquire))
    }

    /// The words of a line; `None` for a number that no line has.
    #[inline]
    pub(crate) fn line(&self, number: u32) -> Option<Line> {
        let index = number.checked_sub(1).filter(|&index| index < self.max_lines)?;
        Some(Line::at(self.lines + 4 * index))
    }

    /// Lines that there can be.
    pub(crate) fn most_lines(&self) -> u32 {
        self.max_lines
    }

    /// The cell of a hash: where it stands, its word, and what it holds.
    #[inline]
    pub(crate) fn find(&self, hash: u64) -> Option<(At, u128, Content)> {
        let Glanced { at, value, .. } = self.find_by(hash, |word| word.load(Ordering::Acquire))?;
        Some((at, value, Cell::content(value)))
    }

    /// The cell of a hash, as it was seen.
    #[inline(always)]
    pub(crate) fn find_glanced(&self, hash: u64) -> Option<Glanced<'_>> {
        self.find_by(hash, Word::glance)
    }

    /// Asks for the line in which the cell of a hash stands nearly always.
    #[inline(always)]
    pub(crate) fn prefetch(&self, hash: u64) {
        let tag = self.table.tag(hash);
        let home = self.table.old_home(hash, self.geometry.load(Ordering::Acquire));
        self.memory.word(self.table.line(home, tag, 0)).prefetch();
    }

    /// Asks for a line, if there is one of this number.
    #[inline(always)]
    pub(crate) fn prefetch_line(&self, number: u32) {
        if let Some(line) = self.line(number) {
            self.memory.word(line.head()).prefetch();
        }
    }

    /// The cell of a hash where it stands nearly always, as it was seen.
    #[inline(always)]
    pub(crate) fn find_nearby(&self, hash: u64, inlined: Inlined) -> Option<Glanced<'_>> {
        let tag = self.table.tag(hash);
        let home = self.table.old_home(hash, self.geometry.load(Ordering::Acquire));
        let line = self.table.line(home, tag, 0);
        let sought = Cell::sought(tag, 0);
        let words = self.memory.known_line(line)?;
        let n = Word::position_inlined::<{ Cell::SHIFT }>(words, sought, inlined);
        let (at, word) = (line + n as u32, &words[n]);
        let value = word.glance();
        Cell::is(value, sought).then_some(Glanced { at, word, value })
    }

    #[inline(always)]
    fn find_by(&self, hash: u64, see: impl Fn(&Word) -> u128) -> Option<Glanced<'_>> {
        let tag = self.table.tag(hash);
        let geometry = self.geometry.load(Ordering::Acquire);
        let home = self.table.old_home(hash, geometry);
        // Nearly always there, in the first line of the first group.
        let found = self.find_in_line(self.table.line(home, tag, 0), Cell::sought(tag, 0), see);
        if found.is_some() { found } else { self.find_further(hash, Geometry::of(geometry)) }
    }

    /// The cell of a line that is `sought`, unless it is marked.
    #[inline(always)]
    fn find_in_line(&self, line: At, sought: u64, see: impl Fn(&Word) -> u128) -> Option<Glanced<'_>> {
        let words = self.memory.line(line);
        let n = Word::position::<{ Cell::SHIFT }>(words, sought);
        let (at, word) = (line + n as u32, &words[n]);
        let value = see(word);
        Cell::is(value, sought).then_some(Glanced { at, word, value })
    }

    #[inline(never)]
    fn find_further(&self, hash: u64, mut geometry: Geometry) -> Option<Glanced<'_>> {
        let tag = self.table.tag(hash);
        let others = |n| {
            let line = self.table.line(self.table.homes(hash, geometry).old, tag, n);
            self.find_in_line(line, Cell::sought(tag, 0), |word| word.load(Ordering::Acquire))
        };
        let found = (1..LINES).find_map(others);
        if found.is_some() {
            return found;
        }
        loop {
            let homes = self.table.homes(hash, geometry);
            let read = |at| self.records.read(&self.memory, at);
            let mut found = self.search(homes.old, tag, read);
            if found.is_none() && homes.new != homes.old {
                found = self.search(homes.new, tag, read);
            }
            if let Some((at, value)) = found {
                return Some(Glanced { at, word: self.memory.word(at), value });
            }
            let present = self.geometry();
            if present == geometry {
                return None;
            }
            geometry = present;
        }
    }

    /// A cell of `tag` whose home is `home`.
    fn search(&self, home: u32, tag: u64, read: impl Fn(At) -> u128) -> Option<(At, u128)> {
        let find = |displacement: u32| {
            let sought = Cell::sought(tag, displacement);
            self.table.cells(home + displacement, tag).find_map(|at| {
                let word = read(at);
                Cell::is(word, sought).then_some((at, word))
            })
        };
        let found = find(0);
        if found.is_some() {
            return found;
        }
        let reach = Control(read(self.table.control(home))).reach();
        (1..=reach).find_map(find)
    }

    /// Changes all words or, if one of them is not what it was, none.
    #[inline]
    pub(crate) fn commit(&self, entries: &mut [Entry]) -> bool {
        self.records.commit(&self.memory, entries)
    }

    /// Changes two different words or, if one of them is not what it was, none.
    #[inline]
    pub(crate) fn commit_two(&self, one: Entry, other: Entry) -> bool {
        self.records.commit_two(&self.memory, one, other)
    }

    /// Changes one word, if it is what it was, without waiting for whoever is at it.
    #[inline(always)]
    pub(crate) fn replace(&self, entry: Entry) -> bool {
        self.memory.word(entry.at).replace(entry.old, entry.new).is_ok()
    }

    /// The value of a word. Acquire.
    #[inline(always)]
    pub(crate) fn read(&self, at: At) -> u128 {
        self.records.read(&self.memory, at)
    }

    /// The four words of a line, the count before the others: if it is still the same when it is written or read
    /// again, all four stood there at once.
    #[inline(always)]
    pub(crate) fn read_line(&self, line: Line) -> [u128; 4] {
        let count = self.read(line.count());
        [self.read(line.head()), count, self.read(line.quota(0)), self.read(line.quota(1))]
    }

    /// The four words of a line: if the count is still the same when it is replaced, all four stood there at once, as far as
    /// they are not marked. Head and count are good for nothing but to be compared with.
    ///
    /// The count's high half, which never takes a value twice, is read after its low half and before the other words. The
    /// quotas are read whole: of one whose record is undone meanwhile the halves could be those of mark and value, while
    /// the count has its old value again.
    #[inline(always)]
    pub(crate) fn glance_at_line(&self, line: Line) -> [u128; 4] {
        let words = self.memory.line(line.head());
        let count = words[1].glance();
        [words[0].glance(), count, words[2].load(Ordering::Acquire), words[3].load(Ordering::Acquire)]
    }

    /// Number of events that were recorded.
    #[inline]
    pub(crate) fn event_count(&self) -> u64 {
        (self.read(EVENTS) as u64).min(self.max_events.into())
    }

    /// Events that there is room for, but for those that are kept.
    pub(crate) fn event_room(&self) -> u64 {
        u64::from(self.max_events).saturating_sub(SPARE_EVENTS)
    }

    /// Event number `n`, if it was recorded.
    pub(crate) fn event(&self, n: u64) -> Option<[u128; EVENT]> {
        let first = (n < self.event_count()).then(|| self.events + n as u32 * EVENT as u32)?;
        Some(core::array::from_fn(|word| self.read(first + word as u32)))
    }

    /// Records event number `n`, if it is the next. With `must` it may be one of those that are kept for this.
    pub(crate) fn append(&self, n: u64, event: [u128; EVENT], must: bool) -> Appended {
        let count = self.read(EVENTS);
        let room = if must { self.max_events.into() } else { self.event_room() };
        if n >= room {
            return Appended::Full;
        }
        if count != u128::from(n) {
            return Appended::Taken;
        }
        let first = self.events + n as u32 * EVENT as u32;
        let mut txn = Txn::new(self);
        txn.write(EVENTS, count, count + 1);
        for (at, word) in (first..).zip(event) {
            txn.write(at, txn.read(at), word);
        }
        if txn.commit() { Appended::Done } else { Appended::Taken }
    }

    /// Groups of the table at level 0.
    pub(crate) fn base(&self) -> u32 {
        self.table.base
    }

    /// Lines that were ever given out.
    pub(crate) fn lines_used(&self) -> u64 {
        (self.read(LINES_USED) as u64).min(self.max_lines.into())
    }

    /// Cells and lines that were planned for.
    pub(crate) fn room(&self) -> (u64, u64) {
        let cells = u64::from(self.table.max_groups()) * u64::from(CELLS);
        (cells * LOAD_PERCENT / 100 + u64::from(WINDOW * CELLS), self.max_lines.into())
    }

    /// The heads of lines that are never given to another, as they stand one after the other.
    pub(crate) fn pinned_heads(&self) -> impl Iterator<Item = Head> {
        let groups = 0..self.table.groups(self.geometry()) + WINDOW - 1;
        let pinned = groups.flat_map(|group| self.table.cells(group, 0)).map(|at| self.read(at));
        pinned.filter(|&word| Cell::is_pinned(word)).filter_map(|word| match Cell::content(word) {
            Content::Line { line, .. } => Some(Head::of(self.read(self.line(line)?.head()))),
            Content::Level { .. } => None,
        })
    }

    /// Number of cells in use.
    pub(crate) fn cells(&self) -> usize {
        let groups = 0..self.table.groups(self.geometry()) + WINDOW - 1;
        let cells = groups.flat_map(|group| self.table.cells(group, 0));
        cells.filter(|&at| self.records.read(&self.memory, at) != 0).count()
    }

    /// Splits up to `steps` groups, as far as the table is too full for its size. Does nothing while another
    /// thread is at it.
    pub(crate) fn grow(&self, steps: usize) {
        for _ in 0..steps {
            if !self.table.is_crowded(self.geometry(), self.filled.load(Ordering::Relaxed)) {
                return;
            }
            let Some(_growing) = self.growing.try_lock() else { return };
            self.split();
        }
    }

    /// Empties those of the next so many lines, round and round, whose state is indistinguishable from fresh, as `age`
    /// says. Gives their number.
    pub(crate) fn reclaim_lines(&self, steps: u32, age: &dyn Fn(&Txn<'_>, Content) -> Option<u64>) -> u32 {
        let most = self.records.read(&self.memory, LINES_USED).min(self.max_lines.into()) as u32;
        let steps = steps.min(most);
        let first = self.line_hand.fetch_add(steps.into(), Ordering::Relaxed);
        let numbers = (0..u64::from(steps)).map(|n| 1 + ((first + n) % u64::from(most)) as u32);
        numbers.filter(|&number| self.reclaim_line(number, age).unwrap_or(false)).count() as u32
    }

    fn reclaim_line(&self, number: u32, age: &dyn Fn(&Txn<'_>, Content) -> Option<u64>) -> Option<bool> {
        let owner = Head::of(self.read(self.line(number)?.head())).tag;
        match self.find(owner)? {
            (at, word, Content::Line { line, pinned: false }) if line == number => {
                Some(self.reclaim(at, word, age))
            }
            _ => None,
        }
    }

    /// Empties the cells of the next so many groups, round and round, whose state is indistinguishable from fresh.
    /// Gives their number.
    pub(crate) fn reclaim_groups(&self, steps: u32, age: &dyn Fn(&Txn<'_>, Content) -> Option<u64>) -> u32 {
        let most = self.table.groups(self.geometry()) + WINDOW - 1;
        let steps = steps.min(most);
        let first = self.group_hand.fetch_add(steps.into(), Ordering::Relaxed);
        let groups = (0..u64::from(steps)).map(|n| ((first + n) % u64::from(most)) as u32);
        let cells = groups.flat_map(|group| self.table.cells(group, 0));
        let fresh = |&at: &At| match self.read(at) {
            0 => false,
            word => !Cell::is_pinned(word) && self.reclaim(at, word, age),
        };
        cells.filter(fresh).count() as u32
    }

    /// Empties a cell, if its state is indistinguishable from fresh.
    fn reclaim(&self, at: At, word: u128, age: &dyn Fn(&Txn<'_>, Content) -> Option<u64>) -> bool {
        let mut txn = Txn::new(self);
        // The line's words before its state is judged: whoever debits it meanwhile changes its count word.
        txn.let_go_of(at, word);
        if age(&Txn::new(self), Cell::content(word)) != Some(0) || !txn.commit() {
            return false;
        }
        let _ = self.filled.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1));
        true
    }

    /// Splits a group now, waiting for whoever is at it; false if the table is as large as it gets.
    ///
    /// Only needed where a thread that splits was stopped for so long that others have filled what room was left.
    #[cold]
    fn make_room(&self) -> bool {
        if self.geometry().level >= self.table.max_level {
            return false;
        }
        let _growing = self.growing.lock();
        self.split();
        true
    }

    /// Splits one group. The caller holds `growing`.
    fn split(&self) {
        let before = self.geometry();
        if before.level >= self.table.max_level {
            return;
        }
        let geometry = Geometry { splitting: true, ..before };
        if !before.splitting {
            self.geometry.store(geometry.word(), Ordering::Release);
        }
        let (old, new) = (geometry.split, geometry.split + (self.table.base << geometry.level));
        if !cfg!(tollgate_bug = "silent-split") {
            self.change(self.table.control(old), |word| Control(word).next(0).0);
        }
        for displacement in 0..WINDOW {
            for at in self.table.cells(old + displacement, 0) {
                loop {
                    let word = self.records.read(&self.memory, at);
                    let Some(cell) = Cell::of(word) else { break };
                    if cell.displacement != displacement || !self.table.moves(cell, geometry) {
                        break;
                    }
                    let mut txn = Txn::new(self);
                    let Some((to, displacement)) = txn.empty(new, cell.tag) else {
                        // No room there: the split is gone on with at the next occasion.
                        return;
                    };
                    let control = txn.read(self.table.control(new));
                    txn.write(self.table.control(new), control, Control(control).next(displacement).0);
                    txn.write(at, word, 0);
                    txn.write(to, 0, Cell { displacement, ..cell }.word());
                    if txn.commit() {
                        break;
                    }
                }
            }
        }
        self.geometry.store(self.table.after_split(geometry).word(), Ordering::Release);
    }

    /// Changes one word by itself.
    fn change(&self, at: At, change: impl Fn(u128) -> u128) {
        loop {
            let old = self.records.read(&self.memory, at);
            if self.commit(&mut [Entry { at, old, new: change(old) }]) {
                return;
            }
        }
    }
}
