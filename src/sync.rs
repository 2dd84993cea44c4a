//! The atomics and locks of the crate, named in one place so that a model checker can stand in for them.

#[cfg(all(not(any(loom, shuttle)), target_arch = "x86_64"))]
pub(crate) use core::sync::atomic::AtomicU8;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(shuttle)]
pub(crate) use shuttle::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

#[cfg(not(any(loom, shuttle)))]
pub(crate) use core::hint::spin_loop;
#[cfg(loom)]
pub(crate) use loom::thread::yield_now as spin_loop;
#[cfg(shuttle)]
pub(crate) use shuttle::thread::yield_now as spin_loop;

#[cfg(loom)]
pub(crate) use loom::thread::yield_now;
#[cfg(shuttle)]
pub(crate) use shuttle::thread::yield_now;
#[cfg(not(any(loom, shuttle)))]
pub(crate) use std::thread::yield_now;

pub(crate) use own::{OWN_BYTES, own};

/// No model checker sees it wait: for threads that no model runs.
pub(crate) use parking_lot::Condvar;
#[cfg(not(shuttle))]
pub(crate) use parking_lot::Mutex;

/// One whose waiting the scheduler sees.
#[cfg(shuttle)]
pub(crate) struct Mutex<T>(parking_lot::Mutex<T>);

#[cfg(shuttle)]
impl<T> Mutex<T> {
    pub(crate) const fn new(value: T) -> Mutex<T> {
        Mutex(parking_lot::Mutex::new(value))
    }

    pub(crate) fn try_lock(&self) -> Option<parking_lot::MutexGuard<'_, T>> {
        self.0.try_lock()
    }

    pub(crate) fn lock(&self) -> parking_lot::MutexGuard<'_, T> {
        loop {
            match self.0.try_lock() {
                Some(guard) => return guard,
                None => spin_loop(),
            }
        }
    }
}

/// A number that is complete in itself. Relaxed: it publishes nothing, and whoever reads it checks what it leads to.
#[derive(Debug, Default)]
pub(crate) struct Number(core::sync::atomic::AtomicU32);

impl Number {
    pub(crate) const fn new(number: u32) -> Number {
        Number(core::sync::atomic::AtomicU32::new(number))
    }

    #[inline]
    pub(crate) fn get(&self) -> u32 {
        self.0.load(core::sync::atomic::Ordering::Relaxed)
    }

    pub(crate) fn set(&self, number: u32) {
        self.0.store(number, core::sync::atomic::Ordering::Relaxed);
    }
}

impl Clone for Number {
    fn clone(&self) -> Number {
        Number::new(self.get())
    }
}

#[cfg(any(loom, shuttle))]
pub(crate) use numbered_word::{Inlined, Word};
#[cfg(all(not(any(loom, shuttle)), not(target_arch = "x86_64")))]
pub(crate) use word::{Inlined, Word};
#[cfg(all(not(any(loom, shuttle)), target_arch = "x86_64"))]
pub(crate) use x86::{Inlined, Word};

mod own;
#[cfg(all(not(any(loom, shuttle)), target_arch = "x86_64"))]
mod x86;

#[cfg(all(not(any(loom, shuttle)), not(target_arch = "x86_64")))]
mod word {
    use portable_atomic::AtomicU128;

    use super::Ordering;

    /// That operations on words need no call.
    #[derive(Clone, Copy)]
    pub(crate) struct Inlined(());

    impl Inlined {
        pub(crate) fn known() -> Option<Inlined> {
            Some(Inlined(()))
        }
    }

    /// 128 bits, 16-byte aligned, that change as one. The layout is that of a `u128`.
    #[repr(transparent)]
    pub(crate) struct Word(AtomicU128);

    impl Word {
        pub(crate) const fn new(value: u128) -> Word {
            Word(AtomicU128::new(value))
        }

        /// Asks for the line that it stands in, where there is a way to.
        pub(crate) fn prefetch(&self) {}

        #[inline]
        pub(crate) fn load(&self, order: Ordering) -> u128 {
            self.0.load(order)
        }

        /// Which of four words has `sought` in its bits from 64 + `SHIFT` on; any, if none has. Relaxed: a hint of what a
        /// load may find.
        #[inline]
        pub(crate) fn position<const SHIFT: u32>(words: &[Word; 4], sought: u64) -> usize {
            let found = |word: &Word| (word.0.load(Ordering::Relaxed) >> 64) as u64 >> SHIFT == sought;
            words.iter().position(found).unwrap_or(0)
        }

        /// What the word held, its low half at an earlier instant than its high half: only to be compared with by
        /// [`replace`](Word::replace). Acquire.
        #[inline]
        pub(crate) fn glance(&self) -> u128 {
            self.load(Ordering::Acquire)
        }

        #[inline]
        pub(crate) fn store(&self, value: u128, order: Ordering) {
            self.0.store(value, order);
        }

        /// `new` in the place of `old`, AcqRel, or what stands there instead, Acquire.
        #[inline]
        pub(crate) fn replace(&self, old: u128, new: u128) -> Result<(), u128> {
            self.0.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).map(drop)
        }

        #[inline]
        pub(crate) fn position_inlined<const SHIFT: u32>(
            words: &[Word; 4],
            sought: u64,
            _: Inlined,
        ) -> usize {
            Word::position::<SHIFT>(words, sought)
        }

        #[inline]
        pub(crate) fn load_inlined(&self, _: Inlined) -> u128 {
            self.load(Ordering::Acquire)
        }

        #[inline]
        pub(crate) fn replace_inlined(&self, old: u128, new: u128, _: Inlined) -> Result<(), u128> {
            self.replace(old, new)
        }
    }
}

/// Model checkers have no 128-bit atomics: values are numbered, and a word holds a number in a 64-bit atomic, whose
/// orderings are thus the ones that are explored.
#[cfg(any(loom, shuttle))]
mod numbered_word {
    use std::collections::HashMap;

    use parking_lot::Mutex;

    use super::{AtomicU64, Ordering};

    /// Values by number; number 0 is the value 0.
    static VALUES: Mutex<Option<(Vec<u128>, HashMap<u128, u64>)>> = Mutex::new(None);

    fn number(value: u128) -> u64 {
        let mut values = VALUES.lock();
        let (list, numbers) = values.get_or_insert_with(|| (vec![0], HashMap::from([(0, 0)])));
        *numbers.entry(value).or_insert_with(|| {
            list.push(value);
            list.len() as u64 - 1
        })
    }

    fn value(number: u64) -> u128 {
        VALUES.lock().as_ref().map_or(0, |(list, _)| list[number as usize])
    }

    /// That operations on words need no call.
    #[derive(Clone, Copy)]
    pub(crate) struct Inlined(());

    impl Inlined {
        pub(crate) fn known() -> Option<Inlined> {
            Some(Inlined(()))
        }
    }

    pub(crate) struct Word(AtomicU64);

    impl Word {
        pub(crate) fn new(value: u128) -> Word {
            Word(AtomicU64::new(number(value)))
        }

        /// Nothing to explore.
        pub(crate) fn prefetch(&self) {}

        pub(crate) fn load(&self, order: Ordering) -> u128 {
            value(self.0.load(order))
        }

        pub(crate) fn glance(&self) -> u128 {
            self.load(Ordering::Acquire)
        }

        /// In loom always wrong but by chance, which a hint may be: nothing to explore.
        pub(crate) fn position<const SHIFT: u32>(words: &[Word; 4], sought: u64) -> usize {
            if cfg!(loom) {
                return 0;
            }
            let found = |word: &Word| (word.load(Ordering::Relaxed) >> 64) as u64 >> SHIFT == sought;
            words.iter().position(found).unwrap_or(0)
        }

        pub(crate) fn store(&self, value: u128, order: Ordering) {
            self.0.store(number(value), order);
        }

        pub(crate) fn replace(&self, old: u128, new: u128) -> Result<(), u128> {
            let changed =
                self.0.compare_exchange(number(old), number(new), Ordering::AcqRel, Ordering::Acquire);
            changed.map(drop).map_err(value)
        }

        #[inline]
        pub(crate) fn position_inlined<const SHIFT: u32>(
            words: &[Word; 4],
            sought: u64,
            _: Inlined,
        ) -> usize {
            Word::position::<SHIFT>(words, sought)
        }

        #[inline]
        pub(crate) fn load_inlined(&self, _: Inlined) -> u128 {
            self.load(Ordering::Acquire)
        }

        #[inline]
        pub(crate) fn replace_inlined(&self, old: u128, new: u128, _: Inlined) -> Result<(), u128> {
            self.replace(old, new)
        }
    }
}
