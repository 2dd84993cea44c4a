//! What stands for things that are long or secret.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};

/// 128-bit hashes with random keys, to stand for things that are long or secret.
pub(crate) struct Marks([RandomState; 2]);

impl Marks {
    pub(crate) fn new() -> Marks {
        Marks([RandomState::new(), RandomState::new()])
    }

    pub(crate) fn of(&self, thing: impl Hash) -> u128 {
        let [high, low] = self.0.each_ref().map(|hasher| u128::from(hasher.hash_one(&thing)));
        high << 64 | low
    }
}
