//! Everything that is in a table, read while others change it.

use super::Store;
use super::cell::{Cell, Content};
use super::table::WINDOW;

/// What a cell of the table holds, and what names it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stored {
    /// The hash is one that finds the cell.
    Level { hash: u64, segment: u32, level: u64 },
    /// Of a line that has no owner (any more) the head's tag is 0.
    Line { words: [u128; 4] },
}

impl Store {
    /// Everything in the table, each cell and line as it was at some instant. What moves meanwhile, as the table grows, comes
    /// twice: later as it was later.
    pub(crate) fn stored(&self) -> impl Iterator<Item = Stored> {
        // A cell only ever moves to a group that is still to come, if the last ones are looked up as late as that.
        let groups = (0..).take_while(|&group| group < self.table.groups(self.geometry()) + WINDOW - 1);
        let cells = groups.flat_map(|group| self.table.cells(group, 0).map(move |at| (group, at)));
        cells.filter_map(|(group, at)| {
            let word = self.read(at);
            let cell = Cell::of(word)?;
            match cell.content {
                Content::Level { segment, level } => {
                    Some(Stored::Level { hash: self.table.hash_of(cell, group), segment, level })
                }
                Content::Line { line, .. } => {
                    let line = self.line(line)?;
                    // Bounded, as whatever is tried again.
                    let mut words = self.read_line(line);
                    for _ in 0..1_000 {
                        if self.read(line.count()) == words[1] {
                            break;
                        }
                        words = self.read_line(line);
                    }
                    Some(Stored::Line { words })
                }
            }
        })
    }
}
