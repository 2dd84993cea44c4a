//! The header of memory that several processes map: what it is, how large its parts are, and its hash seed.
//!
//! | word | bits 64..128 | bits 0..64 |
//! | --- | --- | --- |
//! | 0 | [`MAGIC`] | layout version |
//! | 1 | cells that were planned for | lines |
//! | 2 | words in all | events, records (32 bits each) |
//! | 3 | hash seed | hash seed |
//!
//! **Formatting.** The first to attach swaps each word from 0 to what it is to be, the magic last. Whoever else is at it
//! does the same: the first swap of each word counts, and those who wanted other sizes find that out (who would have other
//! numbers of events and records goes by what stands there). So it does not matter who is killed where. A region whose
//! first word is neither 0 nor the magic is not touched.

use super::memory::{At, Memory};
use super::{Layout, Size};
use crate::error::RegionError;
use crate::sync::Ordering;

/// "tollgate" in ASCII.
const MAGIC: u64 = u64::from_be_bytes(*b"tollgate");

/// Changes with every change of what words mean.
const VERSION: u64 = 4;

const SIZES: At = 1;
const EXTENT: At = 2;
const SEED: At = 3;

/// What a joined region says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub size: Size,
    pub seed: u128,
}

/// Formats `memory` for `size`, or joins what was formatted for as many cells and lines, with the records and events that it
/// has. Without a size it only joins.
pub(super) fn join(memory: &Memory, wanted: Option<Size>, seed: u128) -> Result<Header, RegionError> {
    if memory.words() < super::HEADER as usize {
        return Err(RegionError::TooSmall {
            bytes: memory.words() as u64 * 16,
            needed: wanted.map_or(u64::from(super::HEADER) * 16, Size::bytes_fixed),
        });
    }
    let magic = u128::from(MAGIC) << 64 | u128::from(VERSION);
    let found = memory.word(0).load(Ordering::Acquire);
    if found == 0 {
        let size = wanted.ok_or(RegionError::Empty)?;
        format(memory, size, seed)?;
        // Whoever was faster wrote the same.
        let _ = memory.word(0).replace(0, magic);
    } else if (found >> 64) as u64 != MAGIC {
        return Err(RegionError::Foreign);
    } else if found != magic {
        return Err(RegionError::Version { found: found as u64, known: VERSION });
    }
    let header = read(memory)?;
    match wanted {
        Some(size) if (size.cells, size.lines) != (header.size.cells, header.size.lines) => {
            Err(differs(size, header.size))
        }
        _ => Ok(header),
    }
}

fn format(memory: &Memory, size: Size, seed: u128) -> Result<(), RegionError> {
    let needed = size.bytes_fixed();
    let layout = size.layout(false).filter(|layout| layout.words <= memory.words() as u64);
    let Some(Layout { words, .. }) = layout else {
        return Err(RegionError::TooSmall { bytes: memory.words() as u64 * 16, needed });
    };
    let fields = [
        (SIZES, u128::from(size.cells) << 64 | u128::from(size.lines)),
        (EXTENT, u128::from(words) << 64 | u128::from(size.events) << 32 | u128::from(size.records)),
        // Not 0, and no mark.
        (SEED, (seed | 1) & !(1 << 127)),
    ];
    for (at, value) in fields {
        let _ = memory.word(at).replace(0, value);
    }
    Ok(())
}

fn read(memory: &Memory) -> Result<Header, RegionError> {
    let [sizes, extent, seed] = [SIZES, EXTENT, SEED].map(|at| memory.word(at).load(Ordering::Acquire));
    let damaged = |what: &'static str| RegionError::Damaged { what };
    let (records, events) = (extent as u32, (extent >> 32) as u32);
    let size = Size { cells: (sizes >> 64) as u64, lines: sizes as u64, records, events, base: None };
    if records == 0 || !records.is_power_of_two() || records > 1 << 16 {
        return Err(damaged("number of records"));
    }
    let words = size.layout(false).ok_or(damaged("sizes"))?.words;
    if words != (extent >> 64) as u64 || seed == 0 {
        return Err(damaged("sizes"));
    }
    if words > memory.words() as u64 {
        return Err(RegionError::TooSmall { bytes: memory.words() as u64 * 16, needed: words * 16 });
    }
    Ok(Header { size, seed })
}

fn differs(wanted: Size, found: Size) -> RegionError {
    let text = |size: Size| format!("{} cells, {} lines", size.cells, size.lines);
    RegionError::Layout { wanted: text(wanted), found: text(found) }
}
