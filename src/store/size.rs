//! How much a store can hold, and where everything stands then.

use super::memory::At;
use super::record::Records;
use super::table::{CELLS, GROUP, Table};
use super::{EVENT, HEADER};

/// Records in a heap: as many commits of several words can go on at once.
const HEAP_RECORDS: u32 = if cfg!(any(loom, shuttle)) { 2 } else { 64 };

/// The same in a region, where threads of several processes meet, and some may be dead: a twentieth of its memory, about.
/// Powers of two.
const REGION_RECORDS: Share = if cfg!(any(loom, shuttle)) {
    Share { of: 1, least: 2, most: 2 }
} else {
    Share { of: 1 << 13, least: 8, most: 256 }
};

/// Changes of limits that a region has room for, for its life: another twentieth.
const REGION_EVENTS: Share = Share { of: 1 << 6, least: 1 << 9, most: 1 << 14 };

/// One for so many cells and lines.
struct Share {
    of: u64,
    least: u32,
    most: u32,
}

impl Share {
    fn befitting(&self, cells: u64, lines: u64) -> u32 {
        let share = cells.saturating_add(lines) / self.of;
        u32::try_from(share).unwrap_or(u32::MAX).clamp(self.least, self.most)
    }
}

/// Groups that a growing table begins with, at most.
const FIRST_GROUPS: u64 = if cfg!(any(loom, shuttle)) { 1 } else { 1 << 12 };

/// How much a store can hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Size {
    /// Cells that the table holds at its load limit.
    pub cells: u64,
    pub lines: u64,
    pub records: u32,
    /// Events that a region has room for; a heap needs none.
    pub events: u32,
    /// Groups that a heap's table begins with, if it is not free to choose.
    pub base: Option<u32>,
}

/// Cells in use per hundred that a table of the planned size has.
pub(super) const LOAD_PERCENT: u64 = 60;

/// Where everything stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct Layout {
    pub events: At,
    pub table: Table,
    pub lines: At,
    pub words: u64,
}

impl Size {
    pub(crate) fn heap(cells: u64, lines: u64) -> Size {
        Size { cells, lines, records: HEAP_RECORDS, events: 0, base: None }
    }

    pub(crate) fn region(cells: u64, lines: u64) -> Size {
        let records = 1 << REGION_RECORDS.befitting(cells, lines).ilog2();
        Size { cells, lines, records, events: REGION_EVENTS.befitting(cells, lines), base: None }
    }

    /// Bytes of a region.
    pub(crate) fn bytes_fixed(self) -> u64 {
        self.layout(false).map_or(u64::MAX, |layout| layout.words.saturating_mul(16))
    }

    /// Bytes of a heap when all of it is in use.
    pub(crate) fn bytes(self) -> u64 {
        self.layout(true).map_or(u64::MAX, |layout| layout.words.saturating_mul(16))
    }

    /// `None` if offsets do not reach.
    pub(super) fn layout(self, grows: bool) -> Option<Layout> {
        let needed = self.cells.checked_mul(100)?.div_ceil(LOAD_PERCENT * u64::from(CELLS)).max(1);
        let mut table = Table { first: 0, base: 0, max_level: 0 };
        let most = self.base.map_or(FIRST_GROUPS, u64::from);
        while (grows || self.base.is_some()) && needed.div_ceil(1 << table.max_level) > most {
            table.max_level += 1;
        }
        table.base = match self.base {
            Some(base) => base,
            None => u32::try_from(needed.div_ceil(1 << table.max_level)).ok()?,
        };
        let max_groups = table.base.checked_mul(1 << table.max_level)?;
        let events = u64::from(HEADER) + u64::from(Records::words(self.records));
        let first = events + u64::from(self.events) * EVENT as u64;
        let first = first.next_multiple_of(u64::from(GROUP));
        table.first = At::try_from(first).ok()?;
        let lines = first + Table::words(max_groups);
        let words = lines.checked_add(self.lines.checked_mul(4)?)?;
        At::try_from(words).ok()?;
        let events = At::try_from(events).ok()?;
        Some(Layout { events, table, lines: At::try_from(lines).ok()?, words })
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn what_a_region_has_of_its_own_befits_it() {
        let mut before = 0;
        for cells in (0..24).map(|n| 1 << n) {
            let size = Size::region(cells, cells / 20);
            let bytes = size.bytes_fixed();
            assert!(bytes >= before && size.records.is_power_of_two());
            before = bytes;
            let own = bytes - Size { records: 1, events: 0, ..size }.bytes_fixed();
            let most = if cells < 1 << 16 { 150_000 } else { bytes / 8 };
            assert!(own < most, "{own} of {bytes} for {cells} cells");
        }
        // A megabyte.
        assert!(Size::region(26_000, 1_400).bytes_fixed() < 1_000_000);
        assert_eq!((Size::region(1 << 30, 0).records, Size::region(1 << 30, 0).events), (256, 16_384));
    }
}
