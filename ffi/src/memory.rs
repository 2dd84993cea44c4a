//! Memory for when there is none.
//!
//! The library underneath counts on small allocations to succeed, as Rust programs do, which end where one fails. Here
//! what the system refuses comes out of a spare that lies in the program's zeroed data, and takes no memory before it
//! is touched. Calls that begin while the spare runs low, and the system has nothing yet, are refused with
//! `TOLLGATE_ERR_NOMEM`; those that have begun have the other half of it.
//!
//! **Fast path**: an allocation that succeeds; a block that is not of the spare, which its address says. **Slow path**: a
//! map of units under a lock that needs no memory itself, as those of some systems do.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::yield_now;

use crate::status::TOLLGATE_ERR_NOMEM;

/// No block is aligned to more than a unit.
const UNIT: usize = 64;
const UNITS: usize = 1 << 16;

/// What one call should find at least, of the system's or in the spare.
const ENOUGH: usize = 256 << 10;

#[repr(align(64))]
struct Spare(UnsafeCell<[u8; UNITS * UNIT]>);

// SAFETY: a unit is whoever's the map says; nobody looks at it through this.
unsafe impl Sync for Spare {}

static SPARE: Spare = Spare(UnsafeCell::new([0; UNITS * UNIT]));

/// Bit i % 64 of word i / 64: unit i is in use.
struct Map(UnsafeCell<[u64; UNITS / 64]>);

// SAFETY: only `with_map` looks at it, one thread at a time.
unsafe impl Sync for Map {}

static MAP: Map = Map(UnsafeCell::new([0; UNITS / 64]));

/// Whether a thread holds the map: taken with Acquire, given back with Release.
static HELD: AtomicBool = AtomicBool::new(false);

/// Lends the map to a step that neither panics nor allocates.
fn with_map<R>(step: impl FnOnce(&mut [u64; UNITS / 64]) -> R) -> R {
    while HELD.swap(true, Ordering::Acquire) {
        yield_now();
    }
    // SAFETY: no other thread is between these two.
    let result = step(unsafe { &mut *MAP.0.get() });
    HELD.store(false, Ordering::Release);
    result
}

/// Units in use. Relaxed: a level, which publishes nothing; blocks go from thread to thread under the map's lock.
static USED: AtomicUsize = AtomicUsize::new(0);

#[global_allocator]
static MEMORY: Memory = Memory;

struct Memory;

/// Whether a call may begin.
#[inline(always)]
pub(crate) fn is_left() -> bool {
    USED.load(Ordering::Relaxed) <= UNITS / 2 || is_back()
}

/// Whether the system has memory again.
#[cold]
fn is_back() -> bool {
    can_be_had(ENOUGH)
}

/// Whether the system has so many bytes at present.
fn can_be_had(bytes: usize) -> bool {
    let Ok(layout) = Layout::from_size_align(bytes, UNIT) else { return false };
    // SAFETY: a layout that is not empty, and what was got with it, if anything.
    unsafe {
        let got = System.alloc(layout);
        if !got.is_null() {
            System.dealloc(got, layout);
        }
        !got.is_null()
    }
}

/// For calls that will need more than the spare has: refuses them while there is still nothing to undo. It is a look, not a
/// promise: another thread may take what is there.
pub(crate) fn expect(bytes: u64) -> Result<(), i32> {
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).max(ENOUGH);
    if can_be_had(bytes) { Ok(()) } else { Err(TOLLGATE_ERR_NOMEM) }
}

fn is_spare(block: *mut u8) -> bool {
    block.addr().wrapping_sub(SPARE.0.get().addr()) < UNITS * UNIT
}

fn units(layout: Layout) -> usize {
    layout.size().div_ceil(UNIT)
}

/// Marks or unmarks units.
fn mark(map: &mut [u64], first: usize, count: usize, used: bool) {
    for unit in first..first + count {
        let bit = 1 << (unit % 64);
        match used {
            true => map[unit / 64] |= bit,
            false => map[unit / 64] &= !bit,
        }
    }
}

/// A block of the spare, or NULL. What it holds is any bytes.
#[cold]
fn take(layout: Layout) -> *mut u8 {
    let count = units(layout);
    if layout.align() > UNIT {
        return ptr::null_mut();
    }
    let first = with_map(|map| {
        let mut free = 0;
        for unit in 0..UNITS {
            free = if map[unit / 64] >> (unit % 64) & 1 == 0 { free + 1 } else { 0 };
            if free >= count {
                let first = unit + 1 - count;
                mark(map, first, count, true);
                return Some(first);
            }
        }
        None
    });
    let Some(first) = first else { return ptr::null_mut() };
    USED.fetch_add(count, Ordering::Relaxed);
    // SAFETY: a unit of the spare.
    unsafe { SPARE.0.get().cast::<u8>().add(first * UNIT) }
}

#[cold]
fn put_back(block: *mut u8, layout: Layout) {
    let (first, count) = ((block.addr() - SPARE.0.get().addr()) / UNIT, units(layout));
    with_map(|map| mark(map, first, count, false));
    USED.fetch_sub(count, Ordering::Relaxed);
}

// SAFETY: blocks are the system's, or units of the spare that are nobody else's; the address tells which. Nothing unwinds.
unsafe impl GlobalAlloc for Memory {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc(layout) };
        if block.is_null() { take(layout) } else { block }
    }

    #[inline]
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's promise.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            return block;
        }
        let block = take(layout);
        if !block.is_null() {
            // SAFETY: so many bytes were taken.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if is_spare(block) {
            return put_back(block, layout);
        }
        // SAFETY: not of the spare, so the system's; the caller's promise.
        unsafe { System.dealloc(block, layout) }
    }

    #[inline]
    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if !is_spare(block) {
            // SAFETY: the system's; the caller's promise.
            let moved = unsafe { System.realloc(block, layout, size) };
            if !moved.is_null() {
                return moved;
            }
        }
        // SAFETY: the caller's promises: a size that is not 0 and does not overflow with this alignment.
        unsafe {
            let moved = self.alloc(Layout::from_size_align_unchecked(size, layout.align()));
            if !moved.is_null() {
                moved.copy_from_nonoverlapping(block, layout.size().min(size));
                self.dealloc(block, layout);
            }
            moved
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_spare_is_given_out_once_and_taken_back() {
        let layout = Layout::from_size_align(1000, 16).unwrap();
        let blocks: Vec<_> = (0..100).map(|_| take(layout)).collect();
        for (at, &block) in blocks.iter().enumerate() {
            assert!(is_spare(block) && block.addr() % UNIT == 0);
            assert!(blocks[..at].iter().all(|other| other.addr().abs_diff(block.addr()) >= 1000));
        }
        assert_eq!(USED.load(Ordering::Relaxed), 100 * 16);
        assert!(is_left());
        // The whole spare is not to be had while something of it is given out.
        assert!(take(Layout::from_size_align(UNITS * UNIT, 1).unwrap()).is_null());
        let most = Layout::from_size_align(UNITS * UNIT / 2, 64).unwrap();
        let half = take(most);
        assert!(!half.is_null() && take(most).is_null());
        assert!(is_left(), "the system has memory");
        put_back(half, most);
        // SAFETY: blocks of these layouts.
        let grown = unsafe {
            blocks[0].write_bytes(7, 1000);
            MEMORY.realloc(blocks[0], layout, 5000)
        };
        // SAFETY: as above.
        unsafe {
            assert!(!is_spare(grown) && (0..1000).all(|at| *grown.add(at) == 7));
            MEMORY.dealloc(grown, Layout::from_size_align(5000, 16).unwrap());
            blocks[1..].iter().for_each(|&block| MEMORY.dealloc(block, layout));
        }
        assert_eq!(USED.load(Ordering::Relaxed), 0);
    }
}
