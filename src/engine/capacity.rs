//! How much state an engine can hold, and what it does when that is used up.

use crate::store::Size;
use crate::sync::{AtomicU64, Ordering};

/// What happens to a new anonymous subject when there is no cell for it that is indistinguishable from fresh.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub enum WhenFull {
    /// It is refused: [`Verdict::StoreFull`](crate::Verdict::StoreFull).
    #[default]
    Refuse,
    /// Its own limits are left out: they neither refuse nor count it.
    Pass,
    /// It takes the cell that would be full again first, whose owner starts fresh when it comes back.
    EvictSmallest,
}

/// How much state an engine can hold. Address space is reserved for all of it when the engine is made; memory is
/// used as far as it is filled.
///
/// * An anonymous subject on a plan with one throttle takes a *cell*: 16 bytes, 27 with the room that the table
///   keeps free.
/// * Everything else - a registered subject, a pool, an anonymous subject on a plan with a quota - takes a cell and a
///   *line* of 64 bytes for each throttle with up to two quotas, per plan and per route pattern.
/// * Each quota of a registered subject or a pool takes another cell and line, for grants and alerts; and one for each day
///   of the last 90 on which the subject had traffic.
/// * A concurrency limit takes a cell and a line, and one for every two slots.
///
/// ```
/// use tollgate::Capacity;
/// let capacity = Capacity::new().cells(100_000).lines(10_000);
/// assert!(capacity.bytes() < 5_000_000);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Capacity {
    cells: u64,
    lines: u64,
}

impl Default for Capacity {
    fn default() -> Capacity {
        Capacity::new()
    }
}

/// No offset can pass 2^32 words of 16 bytes.
const MOST: u64 = 1 << 30;

impl Capacity {
    /// Four million cells and as many lines: 400 MB at most.
    pub const fn new() -> Capacity {
        Capacity { cells: 1 << 22, lines: 1 << 22 }
    }

    /// Room for so many cells, 1 to 2^30; anything beyond is brought within.
    pub const fn cells(mut self, cells: u64) -> Capacity {
        self.cells = if cells == 0 {
            1
        } else if cells > MOST {
            MOST
        } else {
            cells
        };
        self
    }

    /// Room for so many lines, up to 2^29; anything beyond is brought within.
    pub const fn lines(mut self, lines: u64) -> Capacity {
        self.lines = if lines > MOST / 2 { MOST / 2 } else { lines };
        self
    }

    /// Room for what either has room for, together.
    ///
    /// ```
    /// use tollgate::Capacity;
    /// let (one, other) = (Capacity::new().cells(10).lines(0), Capacity::new().cells(1).lines(5));
    /// assert_eq!(one.plus(other), Capacity::new().cells(11).lines(5));
    /// ```
    pub const fn plus(self, other: Capacity) -> Capacity {
        // Each is at most 2^30.
        self.cells(self.cells + other.cells).lines(self.lines + other.lines)
    }

    /// Bytes of memory when all of it is in use.
    pub fn bytes(&self) -> u64 {
        self.size().bytes()
    }

    /// Bytes of a [`Region`](crate::Region) for this capacity. It is used as it is planned, and does not grow. A key whose
    /// state is shared takes a line, too.
    pub fn region_bytes(&self) -> u64 {
        self.region_size().bytes_fixed()
    }

    pub(super) fn region_size(self) -> Size {
        Size::region(self.cells, self.lines)
    }

    pub(super) fn size(self) -> Size {
        Size::heap(self.cells, self.lines)
    }
}

/// What happened when there was no room.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FullCounts {
    /// Decisions refused as `store_full`.
    pub refused: u64,
    /// Lines left out of an admitted decision by [`WhenFull::Pass`].
    pub passed: u64,
    /// Cells taken from an owner whose state was not yet as fresh, by [`WhenFull::EvictSmallest`].
    pub evicted: u64,
    /// Debits and refusals that the usage log has no row for.
    pub unlogged: u64,
}

/// The engine's sums. Relaxed: they publish nothing, and each is exact by itself.
#[derive(Debug, Default)]
pub(super) struct FullTotals {
    refused: AtomicU64,
    passed: AtomicU64,
    evicted: AtomicU64,
    unlogged: AtomicU64,
}

impl FullTotals {
    #[inline]
    pub(super) fn add(&self, counts: &FullCounts) {
        if *counts != FullCounts::default() {
            self.add_some(counts);
        }
    }

    #[cold]
    fn add_some(&self, counts: &FullCounts) {
        self.refused.fetch_add(counts.refused, Ordering::Relaxed);
        self.passed.fetch_add(counts.passed, Ordering::Relaxed);
        self.evicted.fetch_add(counts.evicted, Ordering::Relaxed);
        self.unlogged.fetch_add(counts.unlogged, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> FullCounts {
        FullCounts {
            refused: self.refused.load(Ordering::Relaxed),
            passed: self.passed.load(Ordering::Relaxed),
            evicted: self.evicted.load(Ordering::Relaxed),
            unlogged: self.unlogged.load(Ordering::Relaxed),
        }
    }
}
