//! Keys that were verified before, so that a check does not compute a cryptographic digest again.
//!
//! What stands for a key is a 128-bit tag of SipHash-1-3 under a key that this process drew at random: nobody who does
//! not know that can find a second key of the same tag. A slot holds 96 bits of it and the number of the key's record;
//! the record says in what state the key is, so that a slot that is out of date does no harm.
//!
//! A slot is one word, complete in itself: Relaxed throughout.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use siphasher::sip128::SipHasher13;

use crate::sync::{Ordering, Word};

/// Slots of a set, which share a cache line.
const WAYS: usize = 4;
const NUMBER: u128 = (1 << 31) - 1;
/// Bit 127 stays 0.
const TAG: u128 = !NUMBER & !(1 << 127);

/// See the module's comment.
pub(crate) struct Recent {
    hasher: SipHasher13,
    /// A power of two, at least [`WAYS`].
    slots: Box<[Word]>,
}

/// What stands for a key in this process.
#[derive(Clone, Copy)]
pub(crate) struct Tag(u128);

impl Recent {
    /// Room for about so many keys.
    pub(crate) fn new(keys: usize) -> Recent {
        let random = |n: u8| RandomState::new().hash_one(n);
        let slots = (keys.clamp(64, 1 << 22) * 2).next_power_of_two();
        Recent {
            hasher: SipHasher13::new_with_keys(random(0), random(1)),
            slots: (0..slots).map(|_| Word::new(0)).collect(),
        }
    }

    /// The number of keys that there is room for.
    pub(crate) fn room(&self) -> usize {
        self.slots.len() / 2
    }

    #[inline]
    pub(crate) fn tag(&self, key: &[u8]) -> Tag {
        Tag(self.hasher.hash(key).as_u128())
    }

    #[inline]
    fn set(&self, tag: Tag) -> &[Word] {
        // The bits that a slot has no room for choose the set.
        let first = ((tag.0 & NUMBER) as usize * WAYS) & (self.slots.len() - 1);
        &self.slots[first..first + WAYS]
    }

    /// The number of the record of a key that was verified before.
    #[inline]
    pub(crate) fn get(&self, tag: Tag) -> Option<u32> {
        let mut found = 0;
        for slot in self.set(tag) {
            let word = slot.load(Ordering::Relaxed);
            if (word ^ tag.0) & TAG == 0 {
                found = word;
            }
        }
        // 1 + the number; 0 is an empty slot.
        ((found & NUMBER) as u32).checked_sub(1)
    }

    /// Remembers a key that has just been verified.
    pub(crate) fn put(&self, tag: Tag, number: u32) {
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

#[cfg(all(test, not(loom)))]
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
        assert!(found > 900, "{found}");
        recent.put(recent.tag(&[7]), 1);
        recent.put(recent.tag(&[7]), 2);
        assert_eq!(recent.get(recent.tag(&[7])), Some(2));
        for n in 0..2_000u32 {
            let number = recent.get(recent.tag(&n.to_le_bytes()));
            assert!(number.is_none_or(|number| number == n));
        }
    }
}
