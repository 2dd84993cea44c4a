//! What the words of cells and lines mean. A line that was never written, and an empty cell, are the fresh state.
//!
//! | word of a line | 64..127 | 0..64 |
//! | --- | --- | --- |
//! | head | owner's tag | segment, level's high part |
//! | count | everything that was ever debited, modulo 2^63 | level's low part |
//! | quota | count less charge; frozen: charge | bit 63: frozen, 61: special, generation 46..61, stamp 0..46 |
//!
//! All limits of a line share one unit, so that a debit changes the count word alone: a quota's charge is the
//! count less what it was when the window began. The other words change when a window, a day, a generation or the owner does,
//! and the count with them: it never takes a value twice (before 2^63 units were debited), so that a decision whose
//! count word is still in place was made on all four.
//!
//! A quota that its plan does not use (any more) is *frozen*: what the others debit is not its charge.

use super::kinds::Kind;
use super::world::World;
use crate::algo::gcra::Bucket;
use crate::algo::quota::{Counter, LEAST_CHARGE};
use crate::plan::{LineUse, QUOTAS, Quick, Shape};
use crate::store::{Content, Head, Line, Txn};

const COUNT: u64 = i64::MAX as u64;
/// Special charges above it would be taken for such below 0.
const MOST_CHARGE: i64 = (LEAST_CHARGE as u64 & COUNT) as i64 - 1;
const FROZEN: u64 = 1 << 63;
const SPECIAL: u64 = 1 << 61;
const STAMP: u64 = (1 << 46) - 1;
const GENERATION: u64 = (1 << 15) - 1;

/// What is stored for one owner and line, as one look found it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Raw {
    pub segment: u32,
    pub level: u128,
    pub count: u64,
    quotas: [u128; QUOTAS],
}

impl Raw {
    /// The state of a new owner.
    pub(super) fn fresh(segment: u32) -> Raw {
        Raw { segment, ..Raw::default() }
    }

    /// That of a line which says what it is in its head.
    pub(super) fn of_high(high: u64) -> Raw {
        Raw { level: u128::from(high) << 64, ..Raw::default() }
    }

    pub(super) fn of_cell(segment: u32, level: u64) -> Raw {
        Raw { segment, level: level.into(), ..Raw::default() }
    }

    /// The state of a line that has an owner. `count` is the count word, which was read before the others.
    #[inline]
    pub(super) fn of_line(head: Head, count: u128, quotas: [u128; QUOTAS]) -> Raw {
        Raw {
            segment: head.segment,
            level: u128::from(head.high) << 64 | u128::from(count as u64),
            count: (count >> 64) as u64,
            quotas,
        }
    }

    #[inline]
    pub(super) fn counter(&self, slot: usize) -> Counter {
        let word = self.quotas[slot];
        let (value, low) = ((word >> 64) as u64, word as u64);
        let stamp = low & STAMP;
        if stamp == 0 {
            return Counter::default();
        }
        let charged = if low & FROZEN != 0 { value } else { self.count.wrapping_sub(value) } & COUNT;
        let special = low & SPECIAL != 0;
        let negative = special && charged > MOST_CHARGE as u64;
        let charged = if negative { charged | !COUNT } else { charged } as i64;
        // Below 2^15.
        Counter { charged, stamp, generation: (low >> 46 & GENERATION) as u32, special }
    }

    /// Whether what the others debit would be the charge of a quota that is not in use.
    #[inline]
    pub(super) fn is_running(&self, slot: usize) -> bool {
        let low = self.quotas[slot] as u64;
        low & STAMP != 0 && low & FROZEN == 0
    }

    /// Whether a quota that no shape knows was debited.
    fn has_quota(&self, slot: usize) -> bool {
        self.quotas[slot] as u64 & STAMP != 0
    }

    /// This state with `cost` counted. Charges stay as they are until [`set_counter`](Raw::set_counter).
    #[inline]
    pub(super) fn counted(&self, cost: u64) -> Raw {
        Raw { count: self.count.wrapping_add(cost) & COUNT, ..*self }
    }

    /// This state with another count, and every charge as it is.
    pub(super) fn recounted(&self) -> Raw {
        self.moved_to(self.counted(1).count)
    }

    /// This state, of `segment` if it was of none.
    #[inline]
    pub(super) fn begun_in(self, segment: u32) -> Raw {
        Raw { segment: if self.segment == 0 { segment } else { self.segment }, ..self }
    }

    /// The charge of a quota in use. Changes no word if it grew by what was counted, in the same window.
    #[inline]
    pub(super) fn set_counter(&mut self, slot: usize, counter: Counter) {
        let (least, most) = if counter.special { (LEAST_CHARGE, MOST_CHARGE) } else { (0, i64::MAX) };
        let charged = counter.charged.clamp(least, most);
        let base = self.count.wrapping_sub(charged as u64) & COUNT;
        let special = if counter.special { SPECIAL } else { 0 };
        let low = running(counter.generation, counter.stamp) | special;
        self.quotas[slot] = u128::from(base) << 64 | u128::from(low);
    }

    pub(super) fn is_frozen(&self, slot: usize) -> bool {
        self.quotas[slot] as u64 & FROZEN != 0
    }

    /// The charge of a quota that may be frozen.
    pub(super) fn put_counter(&mut self, slot: usize, counter: Counter, frozen: bool) {
        self.set_counter(slot, counter);
        if frozen {
            let set = *self;
            self.freeze(slot, &set);
        }
    }

    /// Keeps the charge that `before` has for a quota that is not in use.
    #[inline]
    pub(super) fn freeze(&mut self, slot: usize, before: &Raw) {
        let low = before.quotas[slot] as u64;
        if before.is_running(slot) {
            let charged = before.counter(slot).charged;
            self.quotas[slot] = u128::from(charged as u64 & COUNT) << 64 | u128::from(low | FROZEN);
        }
    }

    /// Plans what `change` makes of this state for a line that `tag` is to own.
    pub(super) fn settle(&self, txn: &mut Txn<'_>, line: Line, tag: u64, change: impl FnOnce(&Raw) -> Raw) {
        let words = txn.read_line(line);
        // The count goes on from that of a former owner.
        change(&self.moved_to((words[1] >> 64) as u64)).write(txn, line, words, tag);
    }

    /// The same for a line with another count.
    fn moved_to(&self, count: u64) -> Raw {
        let mut moved = Raw { count, ..*self };
        for slot in 0..QUOTAS {
            if self.is_running(slot) {
                moved.set_counter(slot, self.counter(slot));
            }
        }
        moved
    }

    #[inline]
    fn count_word(&self) -> u128 {
        u128::from(self.count) << 64 | u128::from(self.level as u64)
    }

    #[inline]
    fn words(&self, tag: u64) -> [u128; 4] {
        // Levels are below 2^112.
        let head = Head { tag, segment: self.segment, high: (self.level >> 64) as u64 };
        [head.word(), self.count_word(), self.quotas[0], self.quotas[1]]
    }

    /// Plans this state for a line of `tag`, as far as its words differ from what stands there.
    #[inline]
    pub(super) fn write(&self, txn: &mut Txn<'_>, line: Line, before: [u128; 4], tag: u64) {
        txn.write_line(line, before, self.words(tag));
    }

    /// Whether a cell of its own can hold it.
    #[inline]
    pub(super) fn fits_cell(&self, used: &LineUse) -> bool {
        self.segment < crate::store::CELL_SEGMENTS
            && self.level >> 64 == 0
            && !used.quotas[0]
            && !used.quotas[1]
    }
}

/// The tag of a line's owner; 0 is that of a line without one.
#[inline]
pub(super) fn head_tag(hash: u64) -> u64 {
    hash.max(1)
}

/// The count word of a line with these words, once `cost` was debited from all limits of `quick`; `None` if they do not
/// all accept at once, or another word would have to change too, or is about to. The head is this owner's, unmarked.
#[inline(always)]
pub(super) fn debited_at_once(words: &[u128; 4], quick: &Quick, now: u64, cost: u64) -> Option<u128> {
    let [head, count, quotas @ ..] = words;
    if (count | quotas[0] | quotas[1]) >> 127 != 0 {
        return None;
    }
    let (mut level, count) = (*count as u64, (count >> 64) as u64);
    if let Some(throttle) = &quick.throttle {
        // This segment, and nothing in the level's high part.
        if *head as u64 != (Head { tag: 0, segment: quick.segment, high: 0 }).word() as u64 {
            return None;
        }
        level = throttle.admit(level, now, cost)?;
    }
    for (word, used) in quotas.iter().zip(&quick.quotas) {
        let (base, low) = ((word >> 64) as u64, *word as u64);
        match used {
            Some(quota) => {
                // Not less than 0: that is special.
                let charged = count.wrapping_sub(base) & COUNT;
                let schedule = &quota.schedule;
                if low != running(schedule.generation(), schedule.stamp_at(now))
                    || !quota.accepts(charged, cost)
                {
                    return None;
                }
            }
            // What this line counts would be the charge of a quota that is not in use.
            None if low & STAMP != 0 && low & FROZEN == 0 => return None,
            None => {}
        }
    }
    let count = count.wrapping_add(cost) & COUNT;
    Some(u128::from(count) << 64 | u128::from(level))
}

/// The low half of the word of a quota that was debited last in this window and on this day.
#[inline]
fn running(generation: u32, stamp: u64) -> u64 {
    u64::from(generation) << 46 | stamp & STAMP
}

/// In how many nanoseconds after `now` a cell's content will be indistinguishable from fresh; `None`: never, or
/// not that this world could know.
pub(super) fn age(world: &World, txn: &Txn<'_>, content: Content, now: u64) -> Option<u64> {
    let raw = match content {
        Content::Level { segment, level } => Raw::of_cell(segment, level),
        Content::Line { line: number, .. } => {
            let [head, count, a, b] = txn.read_line(txn.line(number)?);
            let head = Head::of(head);
            if head.tag == 0 {
                return Some(0);
            }
            if head.segment == 0 {
                return Kind::of(head)?.age(world, &[head.word(), count, a, b], now);
            }
            Raw::of_line(head, count, [a, b])
        }
    };
    let shape = world.directory.shape_of(raw.segment)?;
    let throttle = match &shape.throttle {
        Some(timeline) => {
            let bucket: Bucket = world.directory.bucket(shape, raw.segment, raw.level)?;
            timeline.time_to_full(bucket, now)?
        }
        None => 0,
    };
    (0..QUOTAS).try_fold(throttle, |longest, slot| Some(longest.max(quota_age(shape, &raw, slot, now)?)))
}

fn quota_age(shape: &Shape, raw: &Raw, slot: usize, now: u64) -> Option<u64> {
    match &shape.quotas[slot] {
        None => (!raw.has_quota(slot)).then_some(0),
        Some(quota) => {
            let counter = quota.schedule.bring_forward(raw.counter(slot))?;
            // The window of the first debit knows an initial debit that no later one does.
            let fresh = counter.stamp == 0 || !quota.initial_debit;
            if fresh { quota.schedule.time_to_end(counter, now) } else { None }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counter(charged: i64, stamp: u64) -> Counter {
        Counter { charged, stamp, generation: 1, special: false }
    }

    fn latest(charged: i64) -> Counter {
        Counter { charged, stamp: STAMP, generation: GENERATION as u32, special: true }
    }

    #[test]
    fn a_grant_can_leave_less_than_no_charge() {
        for charged in [LEAST_CHARGE, -1, 0, 1, MOST_CHARGE] {
            let mut raw = Raw { count: 5, ..Raw::default() };
            raw.set_counter(0, latest(charged));
            assert_eq!(raw.counter(0), latest(charged));
            let mut frozen = raw.counted(7);
            frozen.freeze(0, &raw);
            assert_eq!(frozen.counter(0), latest(charged));
        }
        let mut raw = Raw::default();
        raw.set_counter(0, latest(i64::MAX));
        assert_eq!(raw.counter(0).charged, MOST_CHARGE);
    }

    #[test]
    fn a_debit_changes_the_count_word_alone() {
        let mut raw = Raw { segment: 7, level: (1 << 70) + 5, count: COUNT - 3, ..Raw::default() };
        raw.set_counter(0, counter(4, 12));
        raw.set_counter(1, latest(0));
        let mut after = raw.counted(10);
        after.level += 3;
        after.set_counter(0, counter(14, 12));
        after.set_counter(1, latest(10));
        let (before, words) = (raw.words(9), after.words(9));
        assert_eq!(before[0], words[0]);
        assert_ne!(before[1], words[1]);
        assert_eq!(before[2..], words[2..]);
        assert_eq!(after.counter(0), counter(14, 12));
        assert!(words.iter().all(|word| word >> 127 == 0));
        assert_eq!(Raw::of_line(Head::of(words[0]), words[1], [words[2], words[3]]), after);
    }

    #[test]
    fn a_frozen_quota_keeps_its_charge() {
        let mut raw = Raw::default();
        raw.set_counter(1, counter(4, 12));
        let mut after = raw.counted(10);
        after.freeze(1, &raw);
        assert_eq!(after.counter(1), raw.counter(1));
        let later = after.counted(5);
        assert_eq!(later.counter(1).charged, 4);
        let moved = later.moved_to(99);
        assert_eq!(moved.counter(1), raw.counter(1));
        let moved = raw.moved_to(99);
        assert_eq!(moved.counter(1), raw.counter(1));
        let mut fresh = Raw::default();
        fresh.freeze(0, &Raw::default());
        assert_eq!(fresh, Raw::default());
    }
}
