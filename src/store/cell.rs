//! The bits of the words that the table and the lines are made of. Bit 127 is never set: it is the mark's.
//!
//! | word | 123..127 | 77..123 | 76 | 64..76 | 0..64 |
//! | --- | --- | --- | --- | --- | --- |
//! | cell of its own | displacement | tag | 0 | segment | level |
//! | cell with a line | displacement | tag | 1 | bit 64: pinned | line |
//!
//! An empty cell is 0. The *displacement* is 1 more than the number of groups between a cell and its home, so that a cell in
//! use is never 0; the *tag* are 46 bits of the hash. Segments and lines are never 0.

use super::memory::At;

const TAG_BITS: u32 = 46;
pub(super) const TAG: u64 = (1 << TAG_BITS) - 1;

/// Groups in which a cell can stand: displacements end before it.
pub(super) const DISPLACEMENTS: u32 = 15;
const LINE: u128 = 1 << 76;
const PINNED: u128 = 1 << 64;

/// Where the tag begins.
const OWNER: u32 = 77;

/// Segments that fit into a cell of its own.
pub(crate) const CELL_SEGMENTS: u32 = 1 << 12;

/// What a cell of the table holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Content {
    /// A throttle's level and the segment it was written under, 1..4096.
    Level { segment: u32, level: u64 },
    /// The number of a line, from 1; one that is pinned is never given to another.
    Line { line: u32, pinned: bool },
}

impl Content {
    fn bits(self) -> u128 {
        match self {
            Content::Level { segment, level } => u128::from(segment) << 64 | u128::from(level),
            Content::Line { line, pinned } => LINE | if pinned { PINNED } else { 0 } | u128::from(line),
        }
    }
}

/// A cell of the table: 0, or who owns it and what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    pub displacement: u32,
    pub tag: u64,
    pub content: Content,
}

impl Cell {
    pub(super) fn word(self) -> u128 {
        u128::from(Cell::sought(self.tag, self.displacement)) << OWNER | self.content.bits()
    }

    /// `None` for an empty cell.
    pub(super) fn of(word: u128) -> Option<Cell> {
        if word == 0 {
            return None;
        }
        let (displacement, tag) =
            (((word >> (OWNER + TAG_BITS)) as u32 & 15).saturating_sub(1), (word >> OWNER) as u64 & TAG);
        Some(Cell { displacement, tag, content: Cell::content(word) })
    }

    /// Whether a cell's line is never given to another.
    pub(super) fn is_pinned(word: u128) -> bool {
        word & LINE != 0 && word & PINNED != 0
    }

    /// What a cell in use holds.
    #[inline]
    pub(super) fn content(word: u128) -> Content {
        if word & LINE == 0 {
            Content::Level { segment: (word >> 64) as u32 & 0xfff, level: word as u64 }
        } else {
            Content::Line { line: word as u32, pinned: word & PINNED != 0 }
        }
    }

    /// The word of the same owner with another content.
    #[inline]
    pub(super) fn with(word: u128, content: Content) -> u128 {
        let owner = word >> OWNER << OWNER;
        owner | content.bits()
    }

    /// Bits 77 to 127 of a cell of `tag`, `displacement` groups from its home, that is not marked.
    #[inline(always)]
    pub(super) fn sought(tag: u64, displacement: u32) -> u64 {
        u64::from(displacement + 1) << TAG_BITS | tag
    }

    pub(super) const TAG_BITS: u32 = TAG_BITS;

    /// How far the high half of a word is shifted to the right to be compared with what is [`sought`](Cell::sought).
    pub(super) const SHIFT: u32 = OWNER - 64;

    /// Whether a word is the cell that [`sought`](Cell::sought) describes. No empty cell and no control word is taken for
    /// one.
    #[inline(always)]
    pub(super) fn is(word: u128, sought: u64) -> bool {
        (word >> OWNER) as u64 == sought
    }
}

/// What the word of a cell in use says that it holds.
#[inline]
pub(crate) fn content_of(word: u128) -> Content {
    Cell::content(word)
}

/// The level of a cell in use, if it is one of its own that was written under `segment`.
#[inline(always)]
pub(crate) fn level_under(word: u128, segment: u32) -> Option<u64> {
    // The kind's bit stands next to the segment: with it the number is no segment of a cell.
    let kind_and_segment = (word >> 64) as u32 & (2 * CELL_SEGMENTS - 1);
    (kind_and_segment == segment && segment < CELL_SEGMENTS).then_some(word as u64)
}

/// The word of the same cell with another level.
#[inline(always)]
pub(crate) fn with_level(word: u128, level: u64) -> u128 {
    word >> 64 << 64 | u128::from(level)
}

/// Where the words of a line stand.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Line(At);

impl Line {
    pub(super) fn at(first: At) -> Line {
        Line(first)
    }

    /// Owner's tag, segment, high part of the level.
    pub(crate) fn head(self) -> At {
        self.0
    }

    /// Count and low part of the level. Every change of a line changes this word, to one that it never held.
    pub(crate) fn count(self) -> At {
        self.0 + 1
    }

    /// The two quotas.
    pub(crate) fn quota(self, slot: usize) -> At {
        self.0 + 2 + (slot as u32 & 1)
    }
}

/// The first word of a line: tag in bits 64..127, segment in 48..64, high part of the level in 0..48.
///
/// The tag of a line without an owner is 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Head {
    pub tag: u64,
    pub segment: u32,
    pub high: u64,
}

const HEAD_TAG: u64 = (1 << 63) - 1;
const HIGH: u64 = (1 << 48) - 1;

impl Head {
    pub(crate) fn word(self) -> u128 {
        let low = u64::from(self.segment) << 48 | self.high & HIGH;
        u128::from(self.tag & HEAD_TAG) << 64 | u128::from(low)
    }

    pub(crate) fn of(word: u128) -> Head {
        let low = word as u64;
        Head { tag: (word >> 64) as u64 & HEAD_TAG, segment: (low >> 48) as u32, high: low & HIGH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_hold_every_field() {
        for content in [
            Content::Level { segment: 4095, level: u64::MAX },
            Content::Level { segment: 1, level: 0 },
            Content::Line { line: u32::MAX, pinned: true },
            Content::Line { line: 1, pinned: false },
        ] {
            let cell = Cell { displacement: 14, tag: TAG, content };
            assert_eq!(Cell::of(cell.word()), Some(cell));
            assert!(
                Cell::is(cell.word(), Cell::sought(TAG, 14)) && !Cell::is(cell.word(), Cell::sought(TAG, 13))
            );
            assert_eq!(cell.word() >> 127, 0);
        }
        assert_eq!(Cell::of(0), None);
        let cell = |content| Cell { displacement: 0, tag: TAG, content }.word();
        let level = cell(Content::Level { segment: 4095, level: 9 });
        assert_eq!((level_under(level, 4095), level_under(level, 4094)), (Some(9), None));
        for pinned in [false, true] {
            let line = cell(Content::Line { line: 9, pinned });
            assert!((0..20_000).all(|segment| level_under(line, segment).is_none()));
        }
        assert!(!Cell::is(0, Cell::sought(0, 0)));
        let head = Head { tag: HEAD_TAG, segment: 65_535, high: HIGH };
        assert_eq!(Head::of(head.word()), head);
        assert_eq!(head.word() >> 127, 0);
    }
}
