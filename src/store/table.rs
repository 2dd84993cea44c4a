//! Where a hash's cell stands: groups of fifteen cells behind a control word, and linear hashing.
//!
//! A cell stands in its *home* group or, where that was full, in one of the fourteen after it. Within a group the
//! search begins at a line that the tag chooses, so that it is mostly there at the first cache miss.
//!
//! **One cell per hash.** Whoever puts a hash into the table changes the control word of its home (its version
//! goes up) in the same commit as the cell, and reads the control word before it searches: of two who put the same
//! hash, one fails and looks again.
//!
//! **Growth** (a heap only) is linear hashing: it doubles the table by splitting one group after the other. The cells of
//! home `s` whose next hash bit is set move to `s + base * 2^level`. While the geometry says that `s` is being split, a hash of that family is sought first in the
//! old home, then in the new one, and put into the new: a cell only moves in that direction, so that a search misses
//! none. After the geometry has changed the splitter changes the control word of `s`, and whoever puts a hash reads
//! the geometry before and after the control word: what was put with the geometry of before is in place when the
//! moving begins, or fails.
//!
//! A search that finds nothing counts only if the geometry is still the same.

use super::cell::{Cell, DISPLACEMENTS, TAG};
use super::memory::At;

/// Words of a group, the control word being the first. (A model checker explores smaller ones.)
pub(super) const GROUP: u32 = if cfg!(loom) { 4 } else { 16 };
pub(super) const CELLS: u32 = GROUP - 1;
pub(super) const LINES: u32 = GROUP / 4;
/// Groups in which a hash's cell can stand. At a load of 0.7, which unsplit groups of a growing table come to, cells overflow
/// so many groups with a probability below 10^-7 (225 cells, 157 expected, a standard deviation of 12.5).
pub(super) const WINDOW: u32 = if cfg!(loom) { 2 } else { DISPLACEMENTS };

/// Where the groups stand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    pub first: At,
    /// Groups at level 0.
    pub base: u32,
    /// Most times that the table doubles.
    pub max_level: u32,
}

/// How many groups are in use: `base * 2^level + split`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Geometry {
    pub level: u32,
    /// The next group to be split.
    pub split: u32,
    /// Whether it is being split.
    pub splitting: bool,
}

impl Geometry {
    /// Bits 0..32: the next group to be split; 32..62: 2^level - 1; 63: whether it is being split.
    pub(super) fn word(self) -> u64 {
        let mask = (1u64 << self.level) - 1;
        u64::from(self.splitting) << 63 | mask << 32 | u64::from(self.split)
    }

    #[inline]
    pub(super) fn of(word: u64) -> Geometry {
        let mask = (word >> 32) as u32 & (u32::MAX >> 2);
        Geometry { level: mask.count_ones(), split: word as u32, splitting: word >> 63 == 1 }
    }
}

/// The groups that a hash is at home in: twice the same but while its family is being split.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Homes {
    pub old: u32,
    pub new: u32,
}

/// The control word of a group: version in bits 0..64, reach in 64..68.
///
/// The *reach* is the largest displacement that a cell of this home ever had.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Control(pub u128);

impl Control {
    pub(super) fn reach(self) -> u32 {
        (self.0 >> 64) as u32 & 15
    }

    /// The next version, reaching `displacement`.
    pub(super) fn next(self, displacement: u32) -> Control {
        let version = (self.0 as u64).wrapping_add(1);
        Control(u128::from(version) | u128::from(self.reach().max(displacement & 15)) << 64)
    }
}

impl Table {
    /// Most home groups.
    pub(super) fn max_groups(&self) -> u32 {
        self.base << self.max_level
    }

    /// Words that a table of so many home groups takes.
    pub(super) fn words(max_groups: u32) -> u64 {
        (u64::from(max_groups) + u64::from(WINDOW) - 1) * u64::from(GROUP)
    }

    pub(super) fn groups(&self, geometry: Geometry) -> u32 {
        ((self.base << geometry.level) + geometry.split).min(self.max_groups())
    }

    /// After the split that is going on.
    pub(super) fn after_split(&self, geometry: Geometry) -> Geometry {
        match geometry.split + 1 {
            all if all == self.base << geometry.level => {
                Geometry { level: geometry.level + 1, split: 0, splitting: false }
            }
            split => Geometry { split, splitting: false, ..geometry },
        }
    }

    /// Whether a table of this geometry with so many cells in use is to be split.
    ///
    /// Groups that are still to be split hold twice as much as those that were. Splitting begins when they are half
    /// full and is done with all of them by the time they are at 70 %.
    pub(super) fn is_crowded(&self, geometry: Geometry, filled: u64) -> bool {
        let (groups, split) = (u64::from(self.base) << geometry.level, u64::from(geometry.split));
        let cells = groups * u64::from(CELLS);
        // split / groups < (filled / cells - 0.5) / 0.2
        geometry.level < self.max_level
            && split * u64::from(CELLS) < (filled * 5).saturating_sub(cells / 2 * 5)
    }

    #[inline(always)]
    pub(super) fn tag(&self, hash: u64) -> u64 {
        hash & TAG
    }

    /// [`Homes::old`] at a geometry's word.
    #[inline(always)]
    pub(super) fn old_home(&self, hash: u64, geometry: u64) -> u32 {
        let base = (((hash >> 31) * u64::from(self.base)) >> 32) as u32;
        let mask = (geometry >> 32) as u32 & (u32::MAX >> 2);
        let home = base + self.base * (hash as u32 & mask);
        let split = geometry as u32;
        if split == 0 {
            return home;
        }
        let next = base + self.base * (hash as u32 & (2 * mask + 1));
        if home < split { next } else { home }
    }

    pub(super) fn homes(&self, hash: u64, geometry: Geometry) -> Homes {
        // The high 32 of 63 bits choose among the groups of level 0, the low bits, which are in the tag, do the rest.
        let base = (((hash >> 31) * u64::from(self.base)) >> 32) as u32;
        let home = |level: u32| base + self.base * (hash as u32 & ((1 << level) - 1));
        let (old, next) = (home(geometry.level), geometry.level + 1);
        match old.cmp(&geometry.split) {
            core::cmp::Ordering::Less => Homes { old: home(next), new: home(next) },
            core::cmp::Ordering::Equal if geometry.splitting => Homes { old, new: home(next) },
            _ => Homes { old, new: old },
        }
    }

    /// The hash of a cell that stands in `group`, or another one with its tag that is at home in the same group at every level.
    pub(super) fn hash_of(&self, cell: Cell, group: u32) -> u64 {
        // 32 of its bits choose among the groups of level 0, of which the tag has the lower part.
        let low = cell.tag >> 31;
        let group = u64::from(group.wrapping_sub(cell.displacement) % self.base);
        let first = (group << 32).div_ceil(self.base.into());
        let step = 1 << (Cell::TAG_BITS - 31);
        let high = (first.saturating_sub(low).div_ceil(step) * step) | low;
        high << 31 | cell.tag & ((1 << 31) - 1)
    }

    /// Whether a cell at home in `geometry.split` moves when that is split.
    pub(super) fn moves(&self, cell: Cell, geometry: Geometry) -> bool {
        cell.tag >> geometry.level & 1 == 1
    }

    #[inline]
    pub(super) fn control(&self, group: u32) -> At {
        self.first + group * GROUP
    }

    /// The first word of that line of a group in which `tag` is sought after `n` others: four words, of which the first
    /// may be the control word.
    #[inline(always)]
    pub(super) fn line(&self, group: u32, tag: u64, n: u32) -> At {
        self.control(group) + (Table::first_line(tag) + n) % LINES * 4
    }

    #[inline(always)]
    fn first_line(tag: u64) -> u32 {
        (tag >> 44) as u32 % LINES
    }

    /// The cells of a group in the order in which `tag` is sought.
    #[inline]
    pub(super) fn cells(&self, group: u32, tag: u64) -> impl Iterator<Item = At> {
        let first = self.control(group);
        let start = Table::first_line(tag);
        (0..GROUP).map(move |n| (n + start * 4) & (GROUP - 1)).filter(|&n| n != 0).map(move |n| first + n)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_split_moves_exactly_the_cells_whose_home_changes() {
        let table = Table { first: 0, base: 5, max_level: 6 };
        let mut geometry = Geometry { level: 0, split: 0, splitting: false };
        for groups in 6..=table.max_groups() {
            let splitting = Geometry { splitting: true, ..geometry };
            let after = table.after_split(splitting);
            assert_eq!(table.groups(after), groups);
            assert_eq!(Geometry::of(splitting.word()), splitting);
            for n in 0..1_000u64 {
                let hash = n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1;
                let (before, during, then) =
                    (table.homes(hash, geometry), table.homes(hash, splitting), table.homes(hash, after));
                assert_eq!(before.old, before.new);
                assert_eq!((during.old, during.new), (before.old, then.new));
                for at in [geometry, splitting, after] {
                    assert_eq!(table.old_home(hash, at.word()), table.homes(hash, at).old);
                }
                let content = super::super::cell::Content::Line { line: 1, pinned: false };
                let cell = Cell { displacement: 0, tag: table.tag(hash), content };
                let displaced = Cell { displacement: 3, ..cell };
                let like = table.hash_of(displaced, then.new + 3);
                assert_eq!((table.tag(like), like >> 63), (cell.tag, 0));
                for at in [geometry, splitting, after] {
                    assert_eq!(table.homes(like, at), table.homes(hash, at));
                }
                let moves = before.old == geometry.split && table.moves(cell, geometry);
                assert_eq!(moves, before.old != then.new);
                assert!(then.new < groups);
            }
            geometry = after;
        }
        assert_eq!(geometry, Geometry { level: 6, split: 0, splitting: false });
        assert!(!table.is_crowded(geometry, 1 << 40), "as large as it gets");
    }

    #[test]
    fn splitting_is_done_before_groups_are_full() {
        let table = Table { first: 0, base: 1_000, max_level: 3 };
        let mut geometry = Geometry { level: 0, split: 0, splitting: false };
        for filled in 0..=table.base as u64 * u64::from(CELLS) * 8 {
            while table.is_crowded(geometry, filled) {
                geometry = table.after_split(geometry);
            }
            let unsplit = filled as f64 / f64::from(table.base << geometry.level) / f64::from(CELLS);
            assert!(geometry.level == 3 || unsplit <= 0.701, "{unsplit} at {filled}");
        }
        assert_eq!(geometry.level, 3);
    }

    #[test]
    fn every_cell_of_a_group_is_sought_once() {
        let table = Table { first: 64, base: 8, max_level: 0 };
        for tag in [0, 1 << 44, 2 << 44, 3 << 44] {
            let mut cells: Vec<At> = table.cells(3, tag).collect();
            assert_eq!((cells[0] - 64) / 4, 3 * 4 + (tag >> 44) as At, "first the line that the tag chooses");
            cells.sort_unstable();
            assert_eq!(cells, (64 + 3 * 16 + 1..64 + 4 * 16).collect::<Vec<_>>());
        }
    }
}
