//! Trace lines: one JSON object each, read into a typed operation without copying.
//!
//! Everything is borrowed from the line unless a string holds an escape. A key is a secret: the
//! messages of [`LineError`] never repeat a value given as `key` or `value`.

mod fields;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt;

use serde::de::Deserializer as _;
use tollgate::Nanos;

use fields::Raw;

/// Why a line has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineError(String);

impl LineError {
    /// Messages may repeat parts of the line, so they are cut at this many bytes.
    const LONGEST: usize = 400;

    pub(crate) fn new(message: impl Into<String>) -> LineError {
        let mut message = message.into();
        if message.len() > LineError::LONGEST {
            message.truncate(message.floor_char_boundary(LineError::LONGEST));
            message.push('…');
        }
        LineError(message)
    }

    fn json(error: &serde_json::Error) -> LineError {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        match text.strip_suffix(&place) {
            Some(problem) => LineError::new(format!("{} (column {})", cut(problem), error.column())),
            None => LineError::new(text),
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LineError {}

/// Leaves room for the column behind a long message.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LineError::LONGEST - 40)]
}

/// An API key, of a request or a new one. It can be read, but not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<'a>(Cow<'a, str>);

impl<'a> Secret<'a> {
    pub(super) fn new(key: Cow<'a, str>) -> Secret<'a> {
        Secret(key)
    }

    /// The key itself.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn into_bytes(self) -> Cow<'a, [u8]> {
        match self.0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a request costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cost<'a> {
    /// The same on every limit.
    Each(u64),
    /// By unit; no unit is named twice.
    Units(Vec<(Cow<'a, str>, u64)>),
}

/// A request to decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked<'a> {
    /// The caller's API key.
    pub key: Option<Secret<'a>>,
    /// `api/stage`.
    pub stage: Option<Cow<'a, str>>,
    /// `METHOD /path`.
    pub route: Option<Cow<'a, str>>,
    /// 1 if the line has none.
    pub cost: Cost<'a>,
    /// A name for later operations on this request.
    pub id: Option<Cow<'a, str>>,
}

/// A change of a key's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyChange {
    /// Lets the key work again.
    Enable,
    /// Stops the key until it is enabled.
    Disable,
    /// Ends the key's life now.
    Expire,
    /// Stops the key for good.
    Revoke,
}

/// What a line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op<'a> {
    /// Decide and debit.
    Check(Asked<'a>),
    /// Decide, debit nothing.
    Peek(Asked<'a>),
    /// Decide and debit, to be settled within a time to live. The request has an id.
    Reserve(Asked<'a>, Nanos),
    /// Make the cost of a reservation the actual one.
    Settle {
        /// The reservation's.
        id: Cow<'a, str>,
        /// What it did cost.
        actual: Cost<'a>,
    },
    /// Return everything that a request debited.
    Refund {
        /// The request's.
        id: Cow<'a, str>,
    },
    /// Free a request's slots, return nothing.
    Release {
        /// The request's.
        id: Cow<'a, str>,
    },
    /// Read the usage log. The dates are the text of the line.
    Usage {
        /// Whose.
        subject: Cow<'a, str>,
        /// On which plan.
        plan: Cow<'a, str>,
        /// The first day.
        from: Cow<'a, str>,
        /// The last day.
        to: Cow<'a, str>,
    },
    /// Set what is left in a quota's window.
    Grant {
        /// Whose.
        subject: Cow<'a, str>,
        /// On which plan.
        plan: Cow<'a, str>,
        /// The quota's name as `limits` shows it.
        limit: Cow<'a, str>,
        /// Left from now on.
        remaining: u64,
    },
    /// Read the alerts raised since the last time.
    Alerts,
    /// Change a key's state.
    Key(KeyChange, Cow<'a, str>),
    /// Replace a key by a new one.
    Rotate {
        /// The key that goes.
        key_id: Cow<'a, str>,
        /// For so long it still works.
        overlap: Nanos,
        /// The id of the new key.
        new_id: Cow<'a, str>,
        /// The new key, if the engine is not to make it.
        value: Option<Secret<'a>>,
    },
    /// Keep what requests have left behind.
    Snapshot {
        /// By which it is restored.
        name: Cow<'a, str>,
    },
    /// Put back what a snapshot holds.
    Restore {
        /// The snapshot's.
        name: Cow<'a, str>,
    },
    /// Put plans and subjects in place: the JSON text of the two fields.
    Apply {
        /// The field `plans`.
        plans: Option<&'a str>,
        /// The field `subjects`.
        subjects: Option<&'a str>,
    },
}

/// A parsed line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// When it happens.
    pub at: Nanos,
    /// What happens.
    pub op: Op<'a>,
}

impl<'a> Line<'a> {
    /// Reads one line, with or without its line end.
    ///
    /// # Errors
    /// What is wrong with the line, without any key.
    pub fn parse(line: &'a [u8]) -> Result<Line<'a>, LineError> {
        match line.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => {}
            Some(_) => return Err(LineError::new("not a JSON object: a line begins with '{'")),
            None => return Err(LineError::new("the line is blank")),
        }
        let mut raw = Raw::default();
        let mut json = serde_json::Deserializer::from_slice(line);
        json.deserialize_map(&mut raw).and_then(|()| json.end()).map_err(|error| LineError::json(&error))?;
        raw.typed()
    }
}
