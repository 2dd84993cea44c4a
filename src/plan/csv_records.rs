//! The records of a CSV text, in memory that is wiped.

use csv_core::{ReadRecordResult, Reader};
use zeroize::Zeroizing;

/// Reads record after record. Blank lines are none.
pub(super) struct Records<'a> {
    text: &'a [u8],
    /// Bytes of `text` that were read.
    at: usize,
    /// Where the last record began, and the line ends before that. (A record never begins within a line end.)
    last: usize,
    line_ends: u64,
    reader: Reader,
    /// Fields of the present record, one after the other. As long as the text, so that it never moves.
    content: Zeroizing<Vec<u8>>,
    ends: Vec<usize>,
}

/// One record.
pub(super) struct Record<'r> {
    /// Where it begins, from 1.
    pub(super) line: u64,
    /// Without white space around them.
    pub(super) fields: Vec<&'r [u8]>,
    /// Whether a double quote is still open at the end of the text.
    pub(super) is_open: bool,
}

impl<'a> Records<'a> {
    pub(super) fn new(text: &'a [u8]) -> Records<'a> {
        let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
        let content = Zeroizing::new(vec![0; text.len() + 1]);
        Records { text, at: 0, last: 0, line_ends: 0, reader: Reader::new(), content, ends: vec![0; 16] }
    }

    pub(super) fn next(&mut self) -> Option<Record<'_>> {
        let blank = self.text[self.at..].iter().take_while(|byte| matches!(byte, b'\r' | b'\n'));
        let start = self.at + blank.count();
        self.line_ends += line_ends(&self.text[self.last..start]);
        (self.at, self.last) = (start, start);

        let (mut length, mut count) = (0, 0);
        let has_end = loop {
            let rest = &self.text[self.at..];
            let (result, read, written, ended) =
                self.reader.read_record(rest, &mut self.content[length..], &mut self.ends[count..]);
            (self.at, length, count) = (self.at + read, length + written, count + ended);
            match result {
                // What follows is an empty text, which says that there is no more.
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull => unreachable!("a record has no more bytes than the text"),
                ReadRecordResult::OutputEndsFull => self.ends.resize(self.ends.len() * 2, 0),
                ReadRecordResult::Record => break read > 0,
                ReadRecordResult::End => return None,
            }
        };
        let quotes = self.text[start..self.at].iter().filter(|&&byte| byte == b'"').count();
        let mut from = 0;
        let fields = self.ends[..count].iter().map(|&end| {
            let field = self.content[from..end].trim_ascii();
            from = end;
            field
        });
        let fields = fields.collect();
        let line = 1 + self.line_ends;
        Some(Record { line, fields, is_open: !has_end && quotes % 2 == 1 })
    }
}

/// A line ends with `\n`, `\r\n` or `\r`.
fn line_ends(text: &[u8]) -> u64 {
    let pairs = text.windows(2).filter(|pair| pair == b"\r\n").count();
    let ends = text.iter().filter(|&&byte| matches!(byte, b'\r' | b'\n')).count();
    (ends - pairs) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Vec<String>)> {
        let mut records = Records::new(text.as_bytes());
        let mut found = Vec::new();
        while let Some(record) = records.next() {
            let fields = record.fields.iter().map(|field| String::from_utf8(field.to_vec()).unwrap());
            found.push((record.line, fields.collect()));
        }
        found
    }

    #[test]
    fn lines_are_those_of_an_editor() {
        let text = "a,b\n\n\"x\ny\",\" \"\"q\"\", \"\n\n\nlast,";
        for line_end in ["\n", "\r\n", "\r"] {
            let text = text.replace('\n', line_end);
            for text in [text.clone(), format!("\u{feff}{text}"), format!("{text}{line_end}{line_end}")] {
                let read = read(&text);
                let lines: Vec<_> = read.iter().map(|(line, _)| *line).collect();
                assert_eq!(lines, [1, 3, 7], "{text:?}");
                assert_eq!(read[1].1, [format!("x{line_end}y"), "\"q\",".into()], "{text:?}");
                assert_eq!(read[2].1, ["last", ""], "{text:?}");
            }
        }
        assert!(read("").is_empty() && read("\n\r\n").is_empty());
    }

    #[test]
    fn many_fields_and_long_ones() {
        let long = "x".repeat(100_000);
        let text = format!("{}\n{long},{long}", ",".repeat(999));
        let read = read(&text);
        assert_eq!((read[0].1.len(), read[1].1[1].len()), (1_000, 100_000));
    }
}
