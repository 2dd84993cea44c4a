//! The bits of the words that the table and the lines are made of. Bit 127 is never set: it is the mark's.
//!
//! | word | 126 | 123..126 | 76..123 | 64..76 | 0..64 |
//! | --- | --- | --- | --- | --- | --- |
//! | cell of its own | 0 | displacement | tag | segment | level |
//! | cell with a line | 1 | displacement | tag | bit 64: pinned | line |
//!
//! An empty cell is 0. A segment is never 0, nor is a line (numbers begin at 1), so that a cell in use never is.
//! The *displacement* is how many groups after its home a cell stands; the *tag* are 47 bits of the hash.

use super::memory::At;

pub(super) const TAG: u64 = (1 << 47) - 1;
const LINE: u128 = 1 << 126;
const PINNED: u128 = 1 << 64;

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

/// A cell of the table: 0, or who owns it and what it holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cell {
    pub displacement: u32,
    pub tag: u64,
    pub content: Content,
}

impl Cell {
    pub(super) fn word(self) -> u128 {
        let owner = u128::from(self.displacement) << 123 | u128::from(self.tag) << 76;
        match self.content {
            Content::Level { segment, level } => owner | u128::from(segment) << 64 | u128::from(level),
            Content::Line { line, pinned } => {
                owner | LINE | if pinned { PINNED } else { 0 } | u128::from(line)
            }
        }
    }

    /// `None` for an empty cell.
    pub(super) fn of(word: u128) -> Option<Cell> {
        if word == 0 {
            return None;
        }
        let (displacement, tag) = ((word >> 123) as u32 & 7, (word >> 76) as u64 & TAG);
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
        let owner = word & ((1 << 50) - 1) << 76;
        owner | Cell { displacement: 0, tag: 0, content }.word()
    }

    /// What the high half of a word is, but for kind and content, if it is a cell of `tag`, `displacement` groups from
    /// its home.
    #[inline]
    pub(super) fn sought(tag: u64, displacement: u32) -> u64 {
        u64::from(displacement) << 59 | tag << 12
    }

    /// The bits of a word's high half that say whose cell it is: mark, displacement and tag.
    pub(super) const SOUGHT: u64 = 1 << 63 | ((1 << 62) - (1 << 12));

    /// Whether a word is the cell that [`sought`](Cell::sought) describes, and not marked. Tags are not 0, so that no
    /// empty cell and no control word is taken for one.
    #[inline(always)]
    pub(super) fn is(word: u128, sought: u64) -> bool {
        (word >> 64) as u64 & Cell::SOUGHT == sought
    }
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
            let cell = Cell { displacement: 7, tag: TAG, content };
            assert_eq!(Cell::of(cell.word()), Some(cell));
            assert!(
                Cell::is(cell.word(), Cell::sought(TAG, 7)) && !Cell::is(cell.word(), Cell::sought(TAG, 6))
            );
            assert_eq!(cell.word() >> 127, 0);
        }
        assert_eq!(Cell::of(0), None);
        assert!(!Cell::is(0, Cell::sought(1, 0)));
        let head = Head { tag: HEAD_TAG, segment: 65_535, high: HIGH };
        assert_eq!(Head::of(head.word()), head);
        assert_eq!(head.word() >> 127, 0);
    }
}
