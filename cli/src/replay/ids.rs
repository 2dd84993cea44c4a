//! The ids of admitted requests, in bounded memory.

use std::collections::hash_map::RandomState;
use std::collections::{HashSet, VecDeque};
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

/// Remembers the last [`IdBook::CAPACITY`] ids, which may have any length, by their marks.
pub(crate) struct IdBook {
    marks: Marks,
    known: HashSet<u128>,
    /// The members of `known`, oldest first.
    order: VecDeque<u128>,
}

impl IdBook {
    pub(crate) const CAPACITY: usize = 65_536;

    pub(crate) fn new() -> IdBook {
        IdBook { marks: Marks::new(), known: HashSet::new(), order: VecDeque::new() }
    }

    pub(crate) fn contains(&self, id: &str) -> bool {
        !self.known.is_empty() && self.known.contains(&self.marks.of(id))
    }

    /// Adds an id, forgetting the oldest of a full book.
    pub(crate) fn add(&mut self, id: &str) {
        let mark = self.marks.of(id);
        if !self.known.insert(mark) {
            return;
        }
        self.order.push_back(mark);
        if self.order.len() > IdBook::CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten() {
        let mut book = IdBook::new();
        for id in 0..=IdBook::CAPACITY {
            assert!(!book.contains(&id.to_string()));
            book.add(&id.to_string());
        }
        assert!(!book.contains("0"));
        assert!(book.contains("1"));
        assert!(book.contains(&IdBook::CAPACITY.to_string()));
        assert_eq!(book.known.len(), IdBook::CAPACITY);
    }
}
