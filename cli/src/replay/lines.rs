//! Lines of any input in bounded memory, with a view of what is at hand without waiting.

use std::io::{self, Read};

use super::line::LineError;

/// A longer line is skipped.
pub(crate) const LONGEST_LINE: usize = 64 << 20;

const FIRST_BUFFER: usize = 256 << 10;

/// A line without its line end.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Found<'a> {
    Line(&'a [u8]),
    /// More than [`LONGEST_LINE`] bytes.
    TooLong,
}

impl<'a> Found<'a> {
    /// # Errors
    /// The line is too long.
    pub(crate) fn line(&self) -> Result<&'a [u8], LineError> {
        match *self {
            Found::Line(line) => Ok(line),
            Found::TooLong => {
                Err(LineError::new(format!("the line is longer than {} MiB", LONGEST_LINE >> 20)))
            }
        }
    }
}

/// Splits an input into lines.
pub(crate) struct Lines<R> {
    input: R,
    buffer: Vec<u8>,
    /// `buffer[start..end]` is read and not yet handed out; no line end is in `[start..scanned]`.
    start: usize,
    scanned: usize,
    end: usize,
    /// Within a line that is too long.
    skipping: bool,
    longest: usize,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(input: R) -> Lines<R> {
        Lines {
            input,
            buffer: vec![0; FIRST_BUFFER],
            start: 0,
            scanned: 0,
            end: 0,
            skipping: false,
            longest: LONGEST_LINE,
        }
    }

    /// The next complete line that has been read already.
    pub(crate) fn at_hand(&mut self) -> Option<Found<'_>> {
        let Some(length) = memchr::memchr(b'\n', &self.buffer[self.scanned..self.end]) else {
            self.skipping |= self.end - self.start > self.longest;
            if self.skipping {
                (self.start, self.end) = (0, 0);
            }
            self.scanned = self.end;
            return None;
        };
        let (from, to) = (self.start, self.scanned + length);
        self.start = to + 1;
        self.scanned = self.start;
        if std::mem::take(&mut self.skipping) || to - from > self.longest {
            return Some(Found::TooLong);
        }
        Some(Found::Line(&self.buffer[from..to]))
    }

    /// Reads more, waiting for it if need be. 0 bytes: the input has ended. Call it when nothing is
    /// [at hand](Lines::at_hand).
    pub(crate) fn fill(&mut self) -> io::Result<usize> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.end == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        loop {
            match self.input.read(&mut self.buffer[self.end..]) {
                Ok(count) => {
                    self.end += count;
                    return Ok(count);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// What follows the last line end, when the input has ended.
    pub(crate) fn rest(&mut self) -> Option<Found<'_>> {
        if std::mem::take(&mut self.skipping) {
            return Some(Found::TooLong);
        }
        let (from, to) = (self.start, self.end);
        self.start = to;
        (from < to).then(|| Found::Line(&self.buffer[from..to]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands out at most so many bytes per read.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let most = self.1.min(buffer.len());
            self.0.read(&mut buffer[..most])
        }
    }

    fn split(text: &[u8], step: usize, longest: usize) -> Vec<Option<Vec<u8>>> {
        let owned = |found: Found<'_>| match found {
            Found::Line(line) => Some(line.to_vec()),
            Found::TooLong => None,
        };
        let mut lines = Lines::new(Slow(text, step));
        lines.longest = longest;
        lines.buffer.truncate(4);
        let mut all = Vec::new();
        loop {
            while let Some(found) = lines.at_hand() {
                all.push(owned(found));
            }
            if lines.fill().unwrap() == 0 {
                all.extend(lines.rest().map(owned));
                return all;
            }
        }
    }

    #[test]
    fn every_way_to_read_gives_the_same_lines() {
        for step in 1..12 {
            let line = |text: &str| Some(text.as_bytes().to_vec());
            assert_eq!(split(b"", step, 9), vec![]);
            assert_eq!(split(b"\n", step, 9), vec![line("")]);
            assert_eq!(split(b"ab\n\ncd", step, 9), vec![line("ab"), line(""), line("cd")]);
            assert_eq!(split(b"12345\n123456\n1\n", step, 5), vec![line("12345"), None, line("1")]);
            assert_eq!(split(b"1\n1234567890123456789012", step, 5), vec![line("1"), None]);
            assert_eq!(split(b"1234567890123456789012\n\n2", step, 5), vec![None, line(""), line("2")]);
        }
    }
}
