//! Keys that were verified before, so that a check does not compute a cryptographic digest again.
//!
//! A slot holds 96 bits of a key's [`Tag`] and the number of the key's record; the record says in what state the key is,
//! so that a slot that is out of date does no harm. The set that a tag belongs to is looked at as a whole, and the tag
//! compared in constant time.
//!
//! A slot is one word, complete in itself: Relaxed throughout.

use super::tag::{Tag, Tagger};
use crate::sync::{Ordering, Word};

/// Slots of a set, which share a cache line.
const WAYS: usize = 4;
const NUMBER: u128 = (1 << 31) - 1;
/// Bit 127 stays 0.
const TAG: u128 = !NUMBER & !(1 << 127);

#[repr(align(64))]
struct Set([Word; WAYS]);

/// See the module's comment.
pub(super) struct Recent {
    tagger: Tagger,
    /// A power of two.
    sets: Box<[Set]>,
}

impl Recent {
    /// Room for about so many keys.
    pub(super) fn new(keys: usize) -> Recent {
        // Four slots per key: few sets have more keys than they can hold.
        let sets = keys.clamp(64, 1 << 21).next_power_of_two();
        let set = |_| Set(core::array::from_fn(|_| Word::new(0)));
        Recent { tagger: Tagger::new(), sets: (0..sets).map(set).collect() }
    }

    /// The number of keys that there is room for.
    pub(super) fn room(&self) -> usize {
        self.sets.len()
    }

    #[inline(always)]
    pub(super) fn tag(&self, key: &[u8]) -> Tag {
        self.tagger.tag(key)
    }

    #[inline(always)]
    fn set(&self, tag: Tag) -> &[Word; WAYS] {
        // The bits that a slot has no room for choose the set.
        &self.sets[(tag.0 & NUMBER) as usize & (self.sets.len() - 1)].0
    }

    /// The number of the record of a key that was verified before.
    #[inline(always)]
    pub(super) fn get(&self, tag: Tag) -> Option<u32> {
        let set = self.set(tag);
        // Bit 127 of a slot is 0.
        let word = set[Word::position::<0>(set, ((tag.0 & TAG) >> 64) as u64)].load(Ordering::Relaxed);
        // 1 + the number; 0 is an empty slot.
        if (word ^ tag.0) & TAG == 0 { ((word & NUMBER) as u32).checked_sub(1) } else { None }
    }

    /// Asks for the set of a tag.
    #[inline(always)]
    pub(super) fn prefetch(&self, tag: Tag) {
        self.set(tag)[0].prefetch();
    }

    /// Remembers a key that has just been verified.
    pub(super) fn put(&self, tag: Tag, number: u32) {
        let number = u128::from(number) + 1;
        if number > NUMBER {
            return;
        }
        let set = self.set(tag);
        // A key that comes back has another number.
        let same = |slot: &&Word| (slot.load(Ordering::Relaxed) ^ tag.0) & TAG == 0;
        let empty = |slot: &&Word| slot.load(Ordering::Relaxed) == 0;
        let free = set.iter().find(same).or_else(|| set.iter().find(empty));
        let slot = free.unwrap_or(&set[(tag.0 >> 120) as usize % WAYS]);
        slot.store(tag.0 & TAG | number, Ordering::Relaxed);
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_is_found_and_nothing_else() {
        let recent = Recent::new(1_000);
        assert!(recent.room() >= 1_000);
        for n in 0..1_000u32 {
            recent.put(recent.tag(&n.to_le_bytes()), n);
        }
        let found = (0..1_000u32).filter(|n| recent.get(recent.tag(&n.to_le_bytes())) == Some(*n)).count();
        // Of about as many sets as keys four in a thousand have more than four: 4 keys are lost, seldom 20.
        assert!(found > 970, "{found}");
        recent.put(recent.tag(&[7]), 1);
        recent.put(recent.tag(&[7]), 2);
        assert_eq!(recent.get(recent.tag(&[7])), Some(2));
        for n in 0..2_000u32 {
            let number = recent.get(recent.tag(&n.to_le_bytes()));
            assert!(number.is_none_or(|number| number == n));
        }
    }
}
