//! Slots of concurrency limits, in lines of their own: number 0 knows of the others, each of which has two slots.
//!
//! | line | count, low half | quota 0 | quota 1 |
//! | --- | --- | --- | --- |
//! | number 0 | 0..32: how many others there ever were | the end of the latest lease | - |
//! | others | - | a slot | a slot |
//!
//! A slot is 0, or the first instant after its lease (bits 0..64) and a number that the owner's slots never had before (64..127).
//! Whatever changes one of them changes the count of number 0, which so answers for all of them.

use super::Engine;
use super::debit::Draft;
use super::decide::ATTEMPTS;
use super::kinds::{Kind, Spot};
use crate::algo::concurrency::Cap;
use crate::store::{At, NoRoom, raised, raised_with};
use crate::sync::spin_loop;

/// Slots of a line.
const SLOTS: u64 = 2;

/// Ended slots that one decision gives up besides the one it takes.
const MANY: usize = 32;

/// With so many words planned, a decision gives up no more of them: the rest is for its other limits.
const MOST_WORDS: usize = 64;

/// Which slot a request took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Taken {
    pub owner: u64,
    pub line: u32,
    number: u32,
    slot: usize,
    word: u128,
}

impl Taken {
    pub(super) fn of(owner: u64, line: u32, number: u32, slot: usize, word: u128) -> Taken {
        Taken { owner, line, number, slot, word }
    }

    /// The line's number, the slot in it, and its word.
    pub(super) fn parts(&self) -> (u32, usize, u128) {
        (self.number, self.slot, self.word)
    }
}

/// The slots of one owner and limit, as one look found them. Small where there are none, as for nearly all limits.
#[derive(Clone, Default)]
pub(super) struct Slots {
    /// Number 0, if there is one.
    first: Option<Box<Spot>>,
    /// By number less 1; none where nothing was ever taken, or it is of no use any more.
    others: Vec<Option<Spot>>,
}

fn end_of(slot: u128) -> u64 {
    slot as u64
}

/// Lines that the slots of a limit take, number 0 included.
pub(super) fn lines(limit: u64) -> u64 {
    1 + limit.div_ceil(SLOTS)
}

impl Slots {
    /// The ends of all leases, past ones included.
    pub(super) fn ends(&self) -> impl Iterator<Item = u64> {
        self.others
            .iter()
            .flatten()
            .flat_map(|(_, words)| &words[2..])
            .filter(|&&slot| slot != 0)
            .map(|&slot| end_of(slot))
    }

    pub(super) fn remaining(&self, cap: &Cap, now: u64) -> u64 {
        cap.limit.saturating_sub(self.ends().filter(|&end| now < end).count() as u64)
    }

    /// The word that changes with any of them, and what it was.
    pub(super) fn guard(&self) -> Option<(At, u128)> {
        self.first.as_deref().map(|(line, words)| (line.count(), words[1]))
    }

    /// The first slot that is free at `now`, by its index.
    fn free(&self, now: u64) -> u64 {
        let all = self.others.iter().enumerate().flat_map(|(n, other)| {
            let slots = other.map_or([0; SLOTS as usize], |(_, [_, _, a, b])| [a, b]);
            slots.into_iter().enumerate().map(move |(k, slot)| (n as u64 * SLOTS + k as u64, slot))
        });
        let mut free = all.filter(|&(_, slot)| slot == 0 || end_of(slot) <= now).map(|(index, _)| index);
        free.next().unwrap_or(self.others.len() as u64 * SLOTS)
    }
}

impl Engine {
    /// The slots of an owner.
    pub(super) fn look_at_slots(&self, owner: u64, line: u32) -> Slots {
        let kind = |number: u32| Kind::Slots { line, number };
        for _ in 0..ATTEMPTS {
            let Some(first) = self.look_at(owner, line, kind(0)) else { break };
            let ((guard, words), most) = (first, self.store.most_lines());
            // What a damaged memory has here is not believed beyond what it can hold.
            let others = 1..=(words[1] as u32).min(most);
            let others = others.map(|number| self.look_at(owner, line, kind(number))).collect();
            if self.store.read(guard.count()) == words[1] {
                return Slots { first: Some(Box::new(first)), others };
            }
            spin_loop();
        }
        Slots::default()
    }

    /// Plans to take a slot, and to give up those whose leases have ended.
    pub(super) fn take_slot(
        &self,
        draft: &mut Draft<'_>,
        (owner, line): (u64, u32),
        slots: &Slots,
        cap: &Cap,
    ) -> Result<Taken, NoRoom> {
        let kind = |number: u32| Kind::Slots { line, number };
        let Some((first, words)) = slots.first.as_deref().copied() else {
            self.spot(draft, owner, line, kind(0)).ok_or(NoRoom::Full)?;
            return Err(NoRoom::Taken);
        };
        let now = draft.now;
        let index = slots.free(now);
        let (number, slot) = ((index / SLOTS) as u32 + 1, slot_of(index));
        let (other, others_words) = match slots.others.get(number as usize - 1).copied().flatten() {
            Some(known) => known,
            None => self.spot(draft, owner, line, kind(number)).ok_or(NoRoom::Full)?,
        };
        let txn = &mut draft.txn;
        let word = raised_with(words[1], cap.end(now));
        // Had the line gone to another, its count would be another.
        txn.write(other.count(), others_words[1], raised(others_words[1], 1));
        txn.write(other.quota(slot), others_words[2 + slot], word);
        let ended = slots.others.iter().flatten().flat_map(|(line, words)| {
            let ended = move |&(k, slot): &(usize, u128)| {
                slot != 0 && end_of(slot) <= now && (*line, k) != (other, slot_of(index))
            };
            [words[2], words[3]]
                .into_iter()
                .enumerate()
                .filter(ended)
                .map(move |(k, slot)| (*line, words[1], k, slot))
        });
        for (line, count, k, slot) in ended.take(MANY) {
            if txn.words() >= MOST_WORDS {
                break;
            }
            if line != other {
                txn.write(line.count(), count, raised(count, 1));
            }
            txn.write(line.quota(k), slot, 0);
        }
        txn.write(first.count(), words[1], raised_with(words[1], (words[1] as u32).max(number).into()));
        txn.write(first.quota(0), words[2], (words[2] as u64).max(cap.end(now)).into());
        Ok(Taken { owner, line, number, slot, word })
    }

    /// Frees a slot, if the request that took it has it still.
    pub(super) fn free_slot(&self, taken: &Taken) {
        let &Taken { owner, line, number, slot, word } = taken;
        let kind = |number: u32| Kind::Slots { line, number };
        for _ in 0..ATTEMPTS {
            let Some((first, words)) = self.look_at(owner, line, kind(0)) else { return };
            let Some((other, slots)) = self.look_at(owner, line, kind(number)) else { return };
            if slots[2 + slot] != word {
                return;
            }
            let mut txn = self.store.transaction();
            txn.write(other.count(), slots[1], raised(slots[1], 1));
            txn.write(other.quota(slot), word, 0);
            txn.write(first.count(), words[1], raised(words[1], 1));
            if txn.commit() {
                return;
            }
            spin_loop();
        }
    }
}

fn slot_of(index: u64) -> usize {
    (index % SLOTS) as usize
}

/// In how many nanoseconds after `now` none of a line's leases goes on.
pub(super) fn age(number: u32, words: &[u128; 4], now: u64) -> u64 {
    let end = match number {
        0 => words[2] as u64,
        _ => end_of(words[2]).max(end_of(words[3])),
    };
    end.saturating_sub(now)
}
