//! Cells: four words of state per owner and limit, and how several of them change as one.
//!
//! The store knows 128-bit owners, limit numbers and words, not their meaning. A cell of zeros is
//! one that was never written, and takes no memory.
//!
//! This is the seam between decisions and storage: [`Store::transact`] is all that a decision uses.
//! Cells of one owner live in one shard, behind its lock; a transaction locks the shards of its
//! cells in ascending order, so that two never wait for each other in a circle.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::sync::{Mutex, MutexGuard};

/// A cell's content.
pub(crate) type Words = [u64; 4];

/// Which cell.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct CellKey {
    /// A keyed hash of the subject or pool.
    pub owner: u128,
    pub limit: u32,
}

type Cells = HashMap<CellKey, Words, ahash::RandomState>;

/// More than the threads of large machines, so that two rarely meet.
const SHARDS: usize = 256;

/// See the module's comment.
pub(crate) struct Store {
    shards: Box<[Mutex<Cells>]>,
}

impl Store {
    pub(crate) fn new() -> Store {
        let shards = (0..SHARDS).map(|_| Mutex::new(Cells::default())).collect();
        Store { shards }
    }

    fn shard_of(key: &CellKey) -> usize {
        // The low bits of a keyed hash: below SHARDS.
        (key.owner as usize) % SHARDS
    }

    /// Hands the words of `keys`, which are distinct, to `step`, and stores what `step` changed.
    /// No other transaction sees or changes any of these cells meanwhile.
    pub(crate) fn transact<R>(&self, keys: &[CellKey], step: impl FnOnce(&mut [Words]) -> R) -> R {
        let mut order: SmallVec<[usize; 8]> = keys.iter().map(Store::shard_of).collect();
        order.sort_unstable();
        order.dedup();
        let mut shards: SmallVec<[(usize, MutexGuard<'_, Cells>); 4]> =
            order.iter().map(|&shard| (shard, self.shards[shard].lock())).collect();
        let position = |key: &CellKey| {
            let shard = Store::shard_of(key);
            order.iter().position(|&other| other == shard).unwrap_or_default()
        };

        let before: SmallVec<[Words; 8]> =
            keys.iter().map(|key| shards[position(key)].1.get(key).copied().unwrap_or_default()).collect();
        let mut after = before.clone();
        let result = step(&mut after);
        for ((key, before), after) in keys.iter().zip(&before).zip(&after) {
            if before != after {
                shards[position(key)].1.insert(*key, *after);
            }
        }
        result
    }

    /// Number of cells in use.
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_that_was_never_written_takes_no_memory() {
        let store = Store::new();
        let key = CellKey { owner: 7, limit: 1 };
        assert_eq!(store.transact(&[key], |cells| cells[0]), [0; 4]);
        assert_eq!(store.len(), 0);
        store.transact(&[key], |cells| cells[0][2] = 5);
        assert_eq!(store.transact(&[key], |cells| cells[0]), [0, 0, 5, 0]);
        assert_eq!(store.len(), 1);
    }

    #[test]
    fn transactions_over_several_shards_do_not_deadlock_or_tear() {
        let store = Store::new();
        let keys: Vec<CellKey> = (0..4).map(|n| CellKey { owner: n * 85, limit: 0 }).collect();
        std::thread::scope(|scope| {
            for turn in 0..4 {
                let (store, mut keys) = (&store, keys.clone());
                keys.rotate_left(turn);
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        store.transact(&keys, |cells| {
                            assert!(cells.iter().all(|cell| cell[0] == cells[0][0]));
                            cells.iter_mut().for_each(|cell| cell[0] += 1);
                        });
                    }
                });
            }
        });
        assert_eq!(store.transact(&keys, |cells| cells[3][0]), 40_000);
    }
}
