//! Requests of a recorded trace: the readers of `tollgate replay`, with keys turned into numbers.
//!
//! What counts of a line is its instant, its key and its cost. Keys are secrets: they are known by hashes only.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;

use anyhow::{Context, bail};
use tollgate::Nanos;
use tollgate::lab::LONGEST;

use super::{MOST_KEYS, Request};
use crate::args::Format;
use crate::replay::line::{Cost, Line, LineError, Op};
use crate::replay::lines::{Found, Lines};
use crate::replay::marks::Marks;
use crate::replay::{self, Combined, Entry, KeySource};

/// The unit of a limit of requests: what counts of a cost that names several.
const UNIT: &str = "requests";

/// Reads a trace.
pub(crate) struct Trace {
    lines: Lines<Box<dyn Read>>,
    size: Option<u64>,
    name: String,
    /// `None`: JSON.
    log: Option<Combined>,
    keys: Keys,
    /// The length of the windows that the origin is aligned to.
    window: u64,
    origin: Option<u64>,
    /// The latest instant so far, from the origin: requests are decided at that.
    latest: u64,
    pub(crate) line: u64,
    /// Lines that could not be read.
    pub(crate) failed: u64,
    /// Lines that are no request with a key and a cost.
    pub(crate) passed_over: u64,
}

/// Numbers for keys, in order of their first request.
struct Keys {
    marks: Marks,
    known: HashMap<u128, u32>,
}

impl Trace {
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(
        path: &Path,
        format: Format,
        key: Option<KeySource>,
        window: u64,
    ) -> anyhow::Result<Trace> {
        if format == Format::Json && key.is_some() {
            bail!("--key belongs to --format combined: a JSON trace has the field `key`");
        }
        let (input, size) = replay::open(path)?;
        let log = (format == Format::Combined).then(|| Combined::new(key.unwrap_or(KeySource::RemoteAddr)));
        Ok(Trace {
            lines: Lines::new(input),
            size,
            name: path.display().to_string(),
            log,
            keys: Keys { marks: Marks::new(), known: HashMap::new() },
            window,
            origin: None,
            latest: 0,
            line: 0,
            failed: 0,
            passed_over: 0,
        })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Bytes, if that is known.
    pub(crate) fn size(&self) -> Option<u64> {
        self.size
    }

    /// The instant that requests are counted from: a multiple of the window.
    pub(crate) fn origin(&self) -> u64 {
        self.origin.unwrap_or(0)
    }

    /// Appends requests until there are `most`, or as far as the input is at hand. Returns the bytes read; `None`: it has
    /// ended.
    ///
    /// # Errors
    /// The input cannot be read, or has too many keys.
    pub(crate) fn read(&mut self, out: &mut Vec<Request>, most: usize) -> anyhow::Result<Option<u64>> {
        while out.len() < most {
            let Some(found) = self.lines.at_hand() else {
                let count = self.lines.fill().with_context(|| self.name.clone())?;
                if count > 0 {
                    return Ok(Some(count as u64));
                }
                let Some(found) = self.lines.rest() else { return Ok(None) };
                let read = read(&found, &mut self.log, &mut self.keys);
                self.take(read, out)?;
                return Ok(None);
            };
            let read = read(&found, &mut self.log, &mut self.keys);
            self.take(read, out)?;
        }
        Ok(Some(0))
    }

    fn take(
        &mut self,
        read: Result<Option<Request>, LineError>,
        out: &mut Vec<Request>,
    ) -> anyhow::Result<()> {
        self.line += 1;
        if self.keys.known.len() > MOST_KEYS {
            bail!(
                "{}: line {}: this is key number {}: at most {MOST_KEYS}",
                self.name,
                self.line,
                MOST_KEYS + 1
            );
        }
        let placed = read.and_then(|request| match request {
            Some(request) => self.placed(request).map(Some),
            None => Ok(None),
        });
        match placed {
            Ok(Some(request)) => out.push(request),
            Ok(None) => self.passed_over += 1,
            Err(error) => {
                replay::warn(self.line, self.failed, &error);
                self.failed += 1;
            }
        }
        Ok(())
    }

    /// The request with its instant from the origin.
    fn placed(&mut self, request: Request) -> Result<Request, LineError> {
        let origin = *self.origin.get_or_insert(request.at - request.at % self.window);
        let at = request.at.saturating_sub(origin);
        if Nanos::new(at) > LONGEST {
            return Err(LineError::new("the instant is more than 1461 days after the first one"));
        }
        self.latest = self.latest.max(at);
        Ok(Request { at: self.latest, ..request })
    }
}

/// The request of a line, at its own instant; `None`: it is none, or has no key, or costs nothing.
fn read(
    found: &Found<'_>,
    log: &mut Option<Combined>,
    keys: &mut Keys,
) -> Result<Option<Request>, LineError> {
    let line = found.line()?;
    let (at, key, cost) = match log {
        Some(log) => {
            let Entry { at, key, .. } = log.read(line)?;
            (at, keys.number(key), 1)
        }
        None => {
            let Line { at, op } = Line::parse(line)?;
            let Op::Check(asked) = op else { return Ok(None) };
            let cost = match &asked.cost {
                Cost::Each(cost) => *cost,
                Cost::Units(units) => {
                    units.iter().find(|(unit, _)| unit == UNIT).map_or(0, |(_, cost)| *cost)
                }
            };
            if cost == 0 {
                return Ok(None);
            }
            (at, asked.key.as_ref().and_then(|key| keys.number(key.as_bytes())), cost)
        }
    };
    Ok(key.map(|key| Request { at: at.get(), key, cost }))
}

impl Keys {
    fn number(&mut self, key: &[u8]) -> Option<u32> {
        if key.is_empty() {
            return None;
        }
        // At most one more than the most.
        let next = self.known.len() as u32;
        Some(*self.known.entry(self.marks.of(key)).or_insert(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(text: &str, log: Option<Combined>) -> (Trace, Vec<Request>) {
        let mut trace = Trace {
            lines: Lines::new(Box::new(std::io::Cursor::new(text.to_owned()))),
            size: None,
            name: "t".into(),
            log,
            keys: Keys { marks: Marks::new(), known: HashMap::new() },
            window: 1_000,
            origin: None,
            latest: 0,
            line: 0,
            failed: 0,
            passed_over: 0,
        };
        let mut requests = Vec::new();
        while trace.read(&mut requests, usize::MAX).unwrap().is_some() {}
        (trace, requests)
    }

    #[test]
    fn what_counts_of_a_line_is_its_instant_key_and_cost() {
        let lines = [
            r#"{"at":5300,"key":"a"}"#,
            r#"{"at":5900,"key":"b","cost":3,"stage":"x/y","route":"GET /"}"#,
            // Back in time: decided at the latest instant.
            r#"{"at":5200,"key":"a","cost":{"requests":2,"tokens":9}}"#,
            r#"{"at":6000,"key":"a","cost":{"tokens":9}}"#,
            r#"{"at":6000,"key":"a","cost":0}"#,
            r#"{"at":6000}"#,
            r#"{"at":6000,"op":"peek","key":"a"}"#,
            r#"{"at":6000,"op":"revoke","key_id":"a"}"#,
            r#"{"at":200000000000000000,"key":"a"}"#,
            "garbage",
            r#"{"at":6000,"key":"b"}"#,
        ];
        let (trace, requests) = trace(&lines.join("\n"), None);
        let request = |at, key, cost| Request { at, key, cost };
        assert_eq!(trace.origin(), 5_000);
        assert_eq!(
            requests,
            [request(300, 0, 1), request(900, 1, 3), request(900, 0, 2), request(1_000, 1, 1)]
        );
        assert_eq!((trace.line, trace.failed, trace.passed_over), (11, 2, 5));
    }

    #[test]
    fn an_access_log_has_addresses_for_keys() {
        let line = |key: &str, second: u64| {
            format!("{key} - - [17/May/2015:10:05:0{second} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"\n")
        };
        let text = [line("1.2.3.4", 3), line("::1", 4), line("-", 5), line("1.2.3.4", 2)].concat();
        let (trace, requests) = trace(&text, Some(Combined::new(KeySource::RemoteAddr)));
        let keys: Vec<_> = requests.iter().map(|request| (request.at / 1_000_000_000, request.key)).collect();
        assert_eq!(keys, [(0, 0), (1, 1), (2, 0)]);
        assert_eq!((trace.failed, trace.passed_over), (0, 1));
    }
}
