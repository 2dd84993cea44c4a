//! The file layer of snapshots: blocks under checksums, a file that is replaced whole or not at all, a thread that does
//! so again and again. It knows bytes, not what they mean.
//!
//! **The promise.** After a kill at any instant the last completed snapshot is intact: its file is never written to, only
//! replaced by a rename, and a new one takes its name when all of it is on the disk. A file that is damaged all the same
//! is refused whole, with the byte at which the damage was seen.

mod codec;
mod container;
mod periodic;
mod place;

pub(crate) use codec::{Decoder, Encoder};
pub(crate) use container::{Block, Writer, read};
pub use periodic::{Periodic, PeriodicStatus};
pub(crate) use place::{load, replace};
