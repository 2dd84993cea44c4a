//! Blocks under checksums: what a snapshot's file looks like. All numbers are little-endian.
//!
//! ```text
//! header   magic [u8; 8]   version u32   zero u32            CRC-32 u32 of the 16 bytes before
//! block    kind u8   zero [u8; 3]   length u32   payload     CRC-32 u32
//! end      a block of kind 0: blocks before it u64, bytes before it u64
//! ```
//! A block's checksum covers its kind, zeros and length, then its ordinal number (u64, from 0; not in the file), then
//! the payload: a block that is lost, repeated or in another's place is seen like one whose bytes have changed. CRC-32
//! (IEEE 802.3) sees every change within 32 neighbouring bits for certain, any other but for one in 2^32; it is no
//! protection against somebody who wants to deceive.
//!
//! Every version keeps the header as it is, so that an older library can say which version it was given.

use std::io::{self, Write};

use super::codec::Decoder;
use crate::error::SnapshotError;

/// The first byte has bit 7 set and line ends of both kinds follow, so that a transfer as text is noticed at once.
const MAGIC: [u8; 8] = *b"\x89TGS\r\n\x1a\n";

/// The version that this library writes, and the only one that it reads.
pub(crate) const VERSION: u32 = 1;

/// Bytes of the header.
const HEADER: usize = 20;

/// Bytes of a block before its payload.
const FRAME: usize = 8;

/// Bytes of a checksum.
const SUM: usize = 4;

/// The kind of the last block.
const END: u8 = 0;

/// Bytes of the last block's payload.
const END_PAYLOAD: usize = 16;

/// Bytes that a payload may have.
pub(crate) const MAX_PAYLOAD: usize = 1 << 20;

fn header(version: u32) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&version.to_le_bytes());
    let sum = crc32fast::hash(&header[..HEADER - SUM]);
    header[HEADER - SUM..].copy_from_slice(&sum.to_le_bytes());
    header
}

fn frame(kind: u8, length: u32) -> [u8; FRAME] {
    let [a, b, c, d] = length.to_le_bytes();
    [kind, 0, 0, 0, a, b, c, d]
}

fn checksum(frame: &[u8; FRAME], ordinal: u64, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(frame);
    hasher.update(&ordinal.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

/// Writes a snapshot, block by block. Without [`finish`](Writer::finish) it is one that was cut off.
#[must_use = "a snapshot without its end is not read"]
pub(crate) struct Writer<W> {
    out: W,
    /// Blocks that were written.
    blocks: u64,
    /// Bytes that were written.
    bytes: u64,
}

impl<W: Write> Writer<W> {
    /// Writes the header.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn new(mut out: W) -> io::Result<Writer<W>> {
        out.write_all(&header(VERSION))?;
        Ok(Writer { out, blocks: 0, bytes: HEADER as u64 })
    }

    /// Writes a block. Kinds are the caller's, from 1 on.
    ///
    /// # Errors
    /// Kind 0 and a payload of more than [`MAX_PAYLOAD`] bytes are invalid input, of which nothing was written; else
    /// those of `out`, after which the snapshot cannot be completed.
    pub(crate) fn block(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let invalid = |problem: String| Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        if kind == END {
            return invalid("a block of kind 0: that is the end, kinds begin at 1".to_owned());
        }
        if payload.len() > MAX_PAYLOAD {
            let bytes = payload.len();
            return invalid(format!("a block of {bytes} bytes: at most {MAX_PAYLOAD}, cut it into several"));
        }
        self.write(kind, payload)
    }

    /// Writes the end and returns what was written to, not flushed.
    ///
    /// # Errors
    /// Those of `out`.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let mut end = [0; END_PAYLOAD];
        end[..8].copy_from_slice(&self.blocks.to_le_bytes());
        end[8..].copy_from_slice(&self.bytes.to_le_bytes());
        self.write(END, &end)?;
        Ok(self.out)
    }

    fn write(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let frame = frame(kind, payload.len() as u32);
        self.out.write_all(&frame)?;
        self.out.write_all(payload)?;
        self.out.write_all(&checksum(&frame, self.blocks, payload).to_le_bytes())?;
        self.blocks += 1;
        self.bytes += (FRAME + payload.len() + SUM) as u64;
        Ok(())
    }
}

/// A block of a snapshot that was checked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Block<'a> {
    /// What the payload is; never 0.
    pub(crate) kind: u8,
    /// At most [`MAX_PAYLOAD`] bytes.
    pub(crate) payload: &'a [u8],
    /// Where in the file the payload begins.
    pub(crate) offset: u64,
}

impl<'a> Block<'a> {
    /// What `read` makes of the payload, which it has to use up.
    ///
    /// # Errors
    /// Those of `read`; bytes that it left.
    pub(crate) fn decode<T>(
        &self,
        read: impl FnOnce(&mut Decoder<'a>) -> Result<T, SnapshotError>,
    ) -> Result<T, SnapshotError> {
        let mut decoder = Decoder::new(self.payload, self.offset);
        let value = read(&mut decoder)?;
        decoder.finish()?;
        Ok(value)
    }
}

fn damaged<T>(offset: usize, what: impl Into<String>) -> Result<T, SnapshotError> {
    Err(SnapshotError::Damaged { offset: offset as u64, what: what.into() })
}

/// The blocks of a snapshot without its end, once all of it was checked. What is held besides `bytes` is in proportion
/// to them.
///
/// # Errors
/// The first thing that is wrong, and where.
pub(crate) fn read(bytes: &[u8]) -> Result<Vec<Block<'_>>, SnapshotError> {
    check_header(bytes)?;
    let mut blocks = Vec::new();
    let mut at = HEADER;
    loop {
        let block = block_at(bytes, at, blocks.len() as u64)?;
        let next = at + FRAME + block.payload.len() + SUM;
        if block.kind == END {
            check_end(&block, at, blocks.len() as u64)?;
            if next < bytes.len() {
                return damaged(next, format!("{} bytes after the end", bytes.len() - next));
            }
            return Ok(blocks);
        }
        blocks.push(block);
        at = next;
    }
}

fn check_header(bytes: &[u8]) -> Result<(), SnapshotError> {
    let begun = bytes.len().min(MAGIC.len());
    if bytes[..begun] != MAGIC[..begun] {
        return Err(SnapshotError::NotASnapshot);
    }
    let Some(found) = bytes.first_chunk::<HEADER>() else {
        return Err(SnapshotError::CutOff { offset: bytes.len() as u64 });
    };
    let version = u32::from_le_bytes([found[8], found[9], found[10], found[11]]);
    let sum = crc32fast::hash(&found[..HEADER - SUM]);
    if found[HEADER - SUM..] != sum.to_le_bytes() {
        return damaged(8, "the header does not match its checksum");
    }
    if version != VERSION {
        return Err(SnapshotError::Version { found: version, known: VERSION });
    }
    if let Some(zero) = found[12..16].iter().position(|&byte| byte != 0) {
        return damaged(12 + zero, "a reserved byte of the header is not 0");
    }
    Ok(())
}

/// The block that begins at byte `at`, which is within the file or its end.
fn block_at(bytes: &[u8], at: usize, ordinal: u64) -> Result<Block<'_>, SnapshotError> {
    let cut_off = SnapshotError::CutOff { offset: bytes.len() as u64 };
    let Some((frame, rest)) = bytes[at..].split_first_chunk::<FRAME>() else {
        return Err(cut_off);
    };
    let [kind, zeros @ .., a, b, c, d] = *frame;
    let length = u32::from_le_bytes([a, b, c, d]) as usize;
    if let Some(zero) = zeros.iter().position(|&byte| byte != 0) {
        return damaged(at + 1 + zero, format!("a reserved byte of block {ordinal} is not 0"));
    }
    let longest = if kind == END { END_PAYLOAD } else { MAX_PAYLOAD };
    if length > longest {
        return damaged(at + 4, format!("block {ordinal} cannot have {length} bytes: at most {longest}"));
    }
    let body = rest.split_at_checked(length).and_then(|(payload, rest)| Some((payload, rest.first_chunk()?)));
    let Some((payload, sum)) = body else {
        if has_an_end(bytes) {
            return damaged(at + 4, format!("block {ordinal} has {length} bytes, more than follow"));
        }
        return Err(cut_off);
    };
    if *sum != checksum(frame, ordinal, payload).to_le_bytes() {
        return damaged(at, format!("block {ordinal} does not match its checksum"));
    }
    Ok(Block { kind, payload, offset: (at + FRAME) as u64 })
}

/// Whether the last bytes are the end of a snapshot of just this length: it was not cut off, whatever else is wrong.
fn has_an_end(bytes: &[u8]) -> bool {
    let Some((before, end)) = bytes.split_last_chunk::<{ FRAME + END_PAYLOAD + SUM }>() else {
        return false;
    };
    let Some((begin, rest)) = end.split_first_chunk::<FRAME>() else { return false };
    let Some((blocks, _)) = rest.split_first_chunk() else { return false };
    // This frame's block fits: reading it asks nothing back.
    if *begin != frame(END, END_PAYLOAD as u32) {
        return false;
    }
    let blocks = u64::from_le_bytes(*blocks);
    block_at(end, 0, blocks).is_ok_and(|block| check_end(&block, before.len(), blocks).is_ok())
}

/// Whether a block that begins at byte `at` is the end after `blocks` blocks.
fn check_end(end: &Block<'_>, at: usize, blocks: u64) -> Result<(), SnapshotError> {
    let wrong = |offset, what| Err(SnapshotError::Damaged { offset, what });
    end.decode(|payload| {
        let (counted, bytes) = (payload.u64()?, payload.u64()?);
        if counted != blocks {
            return wrong(end.offset, format!("the end counts {counted} blocks, there are {blocks}"));
        }
        if bytes != at as u64 {
            return wrong(end.offset + 8, format!("the end counts {bytes} bytes before it, there are {at}"));
        }
        Ok(())
    })
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests;
