//! Bytes and text across the boundary.

use std::borrow::Cow;
use std::ffi::{c_char, c_void};

use crate::status::{TOLLGATE_ERR_ARGUMENT, TOLLGATE_ERR_NOMEM};
use crate::types::{tollgate_buf, tollgate_str};

/// No text is longer, but for the definitions of plans.
const MOST_TEXT: usize = 1 << 20;

/// Definitions of plans are not longer.
const MOST_DEFINITION: usize = 1 << 30;

/// The longest API key has 4096 bytes: this one is longer, and unknown.
static TOO_LONG: [u8; 4097] = [0; 4097];

/// Bytes that the caller lends; none for a length of 0.
#[inline(always)]
unsafe fn bytes<'a>(data: *const c_void, len: usize, most: usize) -> Result<&'a [u8], i32> {
    if len == 0 {
        return Ok(&[]);
    }
    if data.is_null() || len > most {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    // SAFETY: not NULL, not too long, and by the caller's promise `len` bytes.
    Ok(unsafe { std::slice::from_raw_parts(data.cast(), len) })
}

/// An API key or an anonymous subject: of what is too long to be one nothing is read.
#[inline(always)]
pub(crate) unsafe fn key<'a>(key: &tollgate_str) -> Result<&'a [u8], i32> {
    if key.len >= TOO_LONG.len() {
        return if key.data.is_null() { Err(TOLLGATE_ERR_ARGUMENT) } else { Ok(&TOO_LONG) };
    }
    // SAFETY: the caller's promise.
    unsafe { bytes(key.data, key.len, TOO_LONG.len()) }
}

/// An id: any bytes.
pub(crate) unsafe fn id<'a>(data: *const c_void, len: usize) -> Result<&'a [u8], i32> {
    // SAFETY: the caller's promise.
    unsafe { bytes(data, len, MOST_TEXT) }
}

/// Text in UTF-8.
pub(crate) unsafe fn text<'a>(data: *const c_void, len: usize) -> Result<&'a str, i32> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(data, len, MOST_TEXT) }?;
    std::str::from_utf8(bytes).map_err(|_| TOLLGATE_ERR_ARGUMENT)
}

/// The text of a plan file.
pub(crate) unsafe fn definition<'a>(text: &tollgate_str) -> Result<&'a str, i32> {
    // SAFETY: the caller's promise.
    let bytes = unsafe { bytes(text.data, text.len, MOST_DEFINITION) }?;
    std::str::from_utf8(bytes).map_err(|_| TOLLGATE_ERR_ARGUMENT)
}

impl tollgate_str {
    /// Text in UTF-8.
    pub(crate) unsafe fn text<'a>(&self) -> Result<&'a str, i32> {
        // SAFETY: the caller's promise.
        unsafe { text(self.data, self.len) }
    }

    /// Text from a request, which may hold anything: what is not UTF-8 is U+FFFD, so that it is no pattern's own path
    /// and falls under prefixes as ever.
    pub(crate) unsafe fn lossy<'a>(&self) -> Result<Cow<'a, str>, i32> {
        // SAFETY: the caller's promise.
        let bytes = unsafe { bytes(self.data, self.len, MOST_TEXT) }?;
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Cow::Borrowed(text)),
            Err(_) => replaced(bytes).map(Cow::Owned),
        }
    }

    /// Lends a text to a callback.
    pub(crate) fn lend(text: &str) -> tollgate_str {
        tollgate_str { data: text.as_ptr().cast(), len: text.len() }
    }
}

/// As `String::from_utf8_lossy`, but that having no memory is an error.
#[cold]
fn replaced(bytes: &[u8]) -> Result<String, i32> {
    let mut text = String::new();
    // Each invalid byte becomes at most one character of 3 bytes.
    text.try_reserve_exact(bytes.len() * 3).map_err(|_| TOLLGATE_ERR_NOMEM)?;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
    Ok(text)
}

/// A copy of a text, if there is memory for it.
pub(crate) fn copied(text: &str) -> Result<String, i32> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len()).map_err(|_| TOLLGATE_ERR_NOMEM)?;
    copy.push_str(text);
    Ok(copy)
}

/// Writes as much of a text as fits, ended by a NUL.
pub(crate) fn write_cut(field: &mut [c_char], text: &str) {
    let end = text.floor_char_boundary(field.len() - 1);
    for (to, from) in field.iter_mut().zip(text.as_bytes()[..end].iter().chain(std::iter::repeat(&0))) {
        *to = *from as c_char;
    }
}

impl tollgate_buf {
    /// Nothing is written to a buffer that is refused.
    pub(crate) fn checked(self) -> Result<tollgate_buf, i32> {
        if self.data.is_null() && self.cap > 0 || self.cap > isize::MAX as usize {
            return Err(TOLLGATE_ERR_ARGUMENT);
        }
        Ok(self)
    }

    /// Stores the whole text, or where it does not fit an empty one; gives whether it did.
    pub(crate) unsafe fn write(&mut self, text: &[u8]) -> bool {
        self.len = text.len();
        let fits = text.len() < self.cap;
        let kept = if fits { text } else { &[] };
        if self.cap > 0 {
            // SAFETY: not NULL, by `checked`, and `cap` bytes by the caller's promise, which is more than are written.
            unsafe {
                self.data.copy_from_nonoverlapping(kept.as_ptr().cast(), kept.len());
                self.data.add(kept.len()).write(0);
            }
        }
        fits
    }
}

/// Writes a text into a buffer piece by piece, so that nowhere else there need be memory for all of it.
pub(crate) struct Filling<'b> {
    out: &'b mut tollgate_buf,
    length: usize,
}

impl<'b> Filling<'b> {
    /// # Safety
    /// The buffer is [`checked`](tollgate_buf::checked), and its bytes are nobody else's until the end.
    pub(crate) unsafe fn begin(out: &'b mut tollgate_buf) -> Filling<'b> {
        Filling { out, length: 0 }
    }

    /// Whether the whole text fitted; else an empty one is there in its place.
    pub(crate) fn end(self) -> bool {
        let fits = self.length < self.out.cap;
        self.out.len = self.length;
        if self.out.cap > 0 {
            // SAFETY: within the buffer, by `begin`.
            unsafe { self.out.data.add(if fits { self.length } else { 0 }).write(0) };
        }
        fits
    }
}

impl std::fmt::Write for Filling<'_> {
    fn write_str(&mut self, piece: &str) -> std::fmt::Result {
        let end = self.length.saturating_add(piece.len());
        if end < self.out.cap {
            // SAFETY: the piece ends within the buffer, by `begin`.
            unsafe {
                let to = self.out.data.add(self.length);
                to.copy_from_nonoverlapping(piece.as_ptr().cast(), piece.len());
            }
        }
        self.length = end;
        Ok(())
    }
}
