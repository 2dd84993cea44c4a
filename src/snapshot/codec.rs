//! Values in payloads: little-endian numbers, and bytes behind their length (u32).

use crate::error::SnapshotError;

/// Appends values to a payload.
#[derive(Clone, Default, Debug)]
pub(crate) struct Encoder {
    bytes: Vec<u8>,
}

impl Encoder {
    /// An empty payload.
    pub(crate) fn new() -> Encoder {
        Encoder::default()
    }

    /// One byte.
    pub(crate) fn u8(&mut self, value: u8) -> &mut Encoder {
        self.raw(&[value])
    }

    /// Four bytes.
    pub(crate) fn u32(&mut self, value: u32) -> &mut Encoder {
        self.raw(&value.to_le_bytes())
    }

    /// Eight bytes.
    pub(crate) fn u64(&mut self, value: u64) -> &mut Encoder {
        self.raw(&value.to_le_bytes())
    }

    /// Sixteen bytes.
    pub(crate) fn u128(&mut self, value: u128) -> &mut Encoder {
        self.raw(&value.to_le_bytes())
    }

    /// Bytes behind their length. A length that the prefix cannot hold makes a payload that
    /// [`Writer::block`](super::container::Writer::block) refuses.
    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Encoder {
        self.u32(value.len() as u32).raw(value)
    }

    /// A string behind its length in bytes.
    pub(crate) fn str(&mut self, value: &str) -> &mut Encoder {
        self.bytes(value.as_bytes())
    }

    /// The payload so far.
    pub(crate) fn payload(&self) -> &[u8] {
        &self.bytes
    }

    /// Begins another payload in the same memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
    }

    fn raw(&mut self, bytes: &[u8]) -> &mut Encoder {
        self.bytes.extend_from_slice(bytes);
        self
    }
}

/// Reads what an [`Encoder`] wrote. Errors name the byte of the file.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    rest: &'a [u8],
    /// Where in the file `rest` begins.
    offset: u64,
    /// Where the last value began.
    last: u64,
}

impl<'a> Decoder<'a> {
    /// Of a payload that begins at `offset` in the file.
    pub(super) fn new(payload: &'a [u8], offset: u64) -> Decoder<'a> {
        Decoder { rest: payload, offset, last: offset }
    }

    /// One byte.
    pub(crate) fn u8(&mut self) -> Result<u8, SnapshotError> {
        self.array().map(u8::from_le_bytes)
    }

    /// Four bytes.
    pub(crate) fn u32(&mut self) -> Result<u32, SnapshotError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes.
    pub(crate) fn u64(&mut self) -> Result<u64, SnapshotError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Sixteen bytes.
    pub(crate) fn u128(&mut self) -> Result<u128, SnapshotError> {
        self.array().map(u128::from_le_bytes)
    }

    /// Bytes behind their length.
    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], SnapshotError> {
        let mut length = self.u32()?;
        if cfg!(tollgate_bug = "unchecked-length") {
            length = length.min(self.rest.len() as u32);
        }
        let Some((value, rest)) = self.rest.split_at_checked(length as usize) else {
            return Err(self.refuse(format!("{length} bytes are announced, {} are left", self.rest.len())));
        };
        self.rest = rest;
        self.offset += u64::from(length);
        Ok(value)
    }

    /// A string behind its length in bytes.
    pub(crate) fn str(&mut self) -> Result<&'a str, SnapshotError> {
        let bytes = self.bytes()?;
        str::from_utf8(bytes).map_err(|error| {
            let begin = self.offset - bytes.len() as u64;
            SnapshotError::Damaged {
                offset: begin + error.valid_up_to() as u64,
                what: "a string that is not UTF-8".to_owned(),
            }
        })
    }

    /// Whether all was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// That the value read last cannot be right.
    pub(crate) fn refuse(&self, what: impl Into<String>) -> SnapshotError {
        SnapshotError::Damaged { offset: self.last, what: what.into() }
    }

    /// That nothing is left.
    pub(super) fn finish(self) -> Result<(), SnapshotError> {
        match self.rest.len() {
            0 => Ok(()),
            left => {
                let what = format!("{left} bytes more than the block's content takes");
                Err(SnapshotError::Damaged { offset: self.offset, what })
            }
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], SnapshotError> {
        self.last = self.offset;
        let Some((value, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.refuse(format!("a number of {N} bytes, of which {} are left", self.rest.len())));
        };
        self.rest = rest;
        self.offset += N as u64;
        Ok(*value)
    }
}
