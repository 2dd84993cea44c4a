//! Things by number, in chunks: a copy shares all chunks but those that are changed afterwards.

use std::sync::Arc;

const CHUNK: usize = 256;

/// See the module's comment.
pub(super) struct Numbered<T> {
    chunks: Vec<Arc<[Option<T>; CHUNK]>>,
    /// Numbers that were ever given.
    given: usize,
}

impl<T> Clone for Numbered<T> {
    fn clone(&self) -> Numbered<T> {
        Numbered { chunks: self.chunks.clone(), given: self.given }
    }
}

impl<T> Default for Numbered<T> {
    fn default() -> Numbered<T> {
        Numbered { chunks: Vec::new(), given: 0 }
    }
}

impl<T: Clone> Numbered<T> {
    #[inline(always)]
    pub(super) fn get(&self, number: usize) -> Option<&T> {
        self.chunks.get(number / CHUNK)?[number % CHUNK].as_ref()
    }

    /// A number that was never given.
    pub(super) fn next(&mut self) -> usize {
        if self.given.is_multiple_of(CHUNK) {
            self.chunks.push(Arc::new([const { None }; CHUNK]));
        }
        self.given += 1;
        self.given - 1
    }

    /// Puts `thing` in the place of a number that was given.
    pub(super) fn set(&mut self, number: usize, thing: Option<T>) {
        if let Some(chunk) = self.chunks.get_mut(number / CHUNK) {
            Arc::make_mut(chunk)[number % CHUNK] = thing;
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_copy_keeps_what_it_had() {
        let mut numbered = Numbered::default();
        for n in 0..1_000 {
            assert_eq!(numbered.next(), n);
            numbered.set(n, Some(n));
        }
        let copy = numbered.clone();
        numbered.set(500, None);
        numbered.set(5_000, Some(0));
        assert_eq!((numbered.get(500), numbered.get(501), numbered.get(5_000)), (None, Some(&501), None));
        assert!((0..1_000).all(|n| copy.get(n) == Some(&n)));
        assert!(Arc::ptr_eq(&numbered.chunks[0], &copy.chunks[0]), "shared");
    }
}
