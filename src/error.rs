//! What can go wrong, one enum per layer boundary. Messages name the value and what would be right.
//!
//! No message ever holds an API key.

use thiserror::Error;

/// A duration could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum DurationError {
    /// Not an integer followed by a unit.
    #[error("{0:?} is not a duration: write an integer and one of ns, us, ms, s, m, h, d, as in \"300ms\"")]
    Syntax(String),
    /// More than 2^64 - 1 nanoseconds.
    #[error("{0:?} is too long: at most 213503d")]
    TooLong(String),
}

/// A rate could not be read, or cannot be kept exactly.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RateError {
    /// Not of the form `<decimal>/[<integer>]<unit>`.
    #[error(
        "{0:?} is not a rate: write decimal digits, '/', and one of ns, us, ms, s, m, h, d, as in \"10/s\", \"0.1/s\" or \"3/250ms\" (no sign, no exponent)"
    )]
    Syntax(String),
    /// The interval is 0.
    #[error("{0:?} divides by an interval of 0: the interval must be at least 1ns")]
    ZeroInterval(String),
    /// A term of the reduced fraction passes 2^52 (tokens) or 2^62 (nanoseconds).
    #[error(
        "{0:?} has too many digits to be kept exactly: as a fraction in lowest terms it must stay below 2^52 tokens and 2^62 nanoseconds"
    )]
    TooPrecise(String),
    /// More than 64 tokens per nanosecond.
    #[error("{0:?} is too fast: at most \"64/ns\"")]
    TooFast(String),
}

/// A date could not be read.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{0:?} is not a date: write year, month and day, as in \"2026-01-31\"")]
pub struct DateError(pub(crate) String);

/// A limit of the algorithm lab is out of range. Messages begin with the field.
#[cfg(feature = "lab")]
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum LimitError {
    /// How many per window.
    #[error("limit: {0} is out of range: 1 to 1000000")]
    Limit(u64),
    /// How long a window is, in nanoseconds.
    #[error("per: {0} ns is out of range: \"1ms\" to \"30d\"")]
    Per(u64),
    /// How many at once.
    #[error("burst: {0} is out of range: 1 to 1000000")]
    Burst(u64),
    /// The bucket takes too long to fill.
    #[error("burst: {burst} takes more than 180 days to refill at this rate: at most {most}")]
    Slow {
        /// The burst given.
        burst: u64,
        /// The largest burst of this rate.
        most: u64,
    },
    /// Fractions of a token at this rate are too small.
    #[error(
        "burst: {burst} at a rate of {rate}, in its smallest fractions of a token, passes 2^63: at most {most}, or a limit that has more divisors in common with the window's nanoseconds"
    )]
    Precise {
        /// The burst given.
        burst: u64,
        /// The rate in lowest terms.
        rate: String,
        /// The largest burst of this rate.
        most: u64,
    },
}

/// A quota's period could not be understood.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum PeriodError {
    /// No such period.
    #[error(
        "{0:?} is not a period: write second, minute, hour, day, week, month, forever, or a length such as \"15m\""
    )]
    Unknown(String),
    /// A window of less than a millisecond.
    #[error("{0:?} is too short for a quota: at least \"1ms\"")]
    Short(String),
    /// The start day does not exist in this period.
    #[error("start {start} is out of range for {period:?}: 0 to {last}")]
    Start {
        /// The period as written.
        period: String,
        /// The start day given.
        start: u64,
        /// The largest start day of this period.
        last: u64,
    },
    /// Not a zone of the IANA database.
    #[error("{0:?} is not an IANA time zone such as \"UTC\" or \"Asia/Tokyo\"")]
    Zone(String),
}

/// A definition of plans and subjects was refused; nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Something in the definition is wrong in itself.
    #[error("{field}: {problem}")]
    Invalid {
        /// Where, as a path: `plans.gold.throttle.rate`.
        field: String,
        /// The value and what would be right.
        problem: String,
    },
    /// Two plans for a stage, or a key that another subject owns.
    #[error("{field}: {problem}")]
    Conflict {
        /// Where, as a path: `subjects.acme.plans`.
        field: String,
        /// What is in the way.
        problem: String,
    },
    /// What is to be changed does not exist.
    #[error("{field}: {problem}")]
    Unknown {
        /// Which argument.
        field: String,
        /// What there is none of.
        problem: String,
    },
    /// The memory that the engine was to be attached to.
    #[error(transparent)]
    Region(#[from] RegionError),
    /// The snapshot that the engine was to begin from.
    #[error("snapshot: {0}")]
    Snapshot(String),
    /// There is no memory for what was planned.
    #[error("{field}: there is no memory for {bytes} bytes: plan for less")]
    Memory {
        /// What it was for: `capacity`, `alerts`.
        field: &'static str,
        /// How much.
        bytes: u64,
    },
    /// There is no room for the state of what was to be registered.
    #[error("{field}: {problem}")]
    Capacity {
        /// Where, as a path: `subjects.acme`.
        field: String,
        /// What is full, and how to make it larger.
        problem: String,
    },
}

impl ApplyError {
    /// True for a definition that is right in itself but collides with another.
    pub fn is_conflict(&self) -> bool {
        matches!(self, ApplyError::Conflict { .. })
    }

    pub(crate) fn invalid(field: impl Into<String>, problem: impl ToString) -> ApplyError {
        ApplyError::Invalid { field: field.into(), problem: problem.to_string() }
    }

    pub(crate) fn unknown(field: impl Into<String>, problem: impl ToString) -> ApplyError {
        ApplyError::Unknown { field: field.into(), problem: problem.to_string() }
    }

    pub(crate) fn capacity(field: impl Into<String>, problem: impl ToString) -> ApplyError {
        ApplyError::Capacity { field: field.into(), problem: problem.to_string() }
    }

    pub(crate) fn conflict(field: impl Into<String>, problem: impl ToString) -> ApplyError {
        ApplyError::Conflict { field: field.into(), problem: problem.to_string() }
    }
}

/// A key could not be used or found.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum KeyError {
    /// No registered key has this id.
    #[error("key_id {0:?} is not a registered key's id")]
    UnknownId(String),
    /// What was revoked cannot be rotated.
    #[error("key_id {0:?} is that of a revoked key: register a new key for its subject")]
    Revoked(String),
    /// The id of a new key is not a name.
    #[error("{0}")]
    Name(String),
    /// The id or the key itself is another's, or was revoked.
    #[error("new_id {0:?}: the id or the key is in use, or the key was revoked: give new ones")]
    Taken(String),
    /// The engine takes no key of this form.
    #[error("new_id {0:?}: the key has not the form of the engine's keys: generate it")]
    Format(String),
    /// The region has no room for the state of another key.
    #[error("key_id {0:?}: the region has no room for the key's state: plan for more lines")]
    NoRoom(String),
    /// A key has 1 to 4096 bytes.
    #[error("an API key has 1 to 4096 bytes, this one has {0}")]
    Length(usize),
    /// Not the hexadecimal form of a digest.
    #[error("a digest is written as 64 hexadecimal digits, this one has {0} characters or other characters")]
    Digest(usize),
    /// Not what a generated key can begin with.
    #[error(
        "{0:?} is not a prefix of generated keys: at most 89 letters, digits and '_', as in \"tg_live_\""
    )]
    Prefix(String),
    /// The operating system gave no random bits.
    #[error("the operating system has no random bits for a key: {0}")]
    Random(String),
    /// A pepper is too short to keep digests safe, or could not be read.
    #[error("pepper {name:?}: {problem}")]
    Pepper {
        /// The pepper's name.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// What a subject has used could not be read or changed; nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum UsageError {
    /// No registered subject has this name.
    #[error("subject {0:?} is not registered")]
    UnknownSubject(String),
    /// No plan has this name.
    #[error("plan {0:?} does not exist")]
    UnknownPlan(String),
    /// The subject is on other plans.
    #[error("subject {subject:?} is not on plan {plan:?}")]
    NotOnPlan {
        /// The subject.
        subject: String,
        /// The plan.
        plan: String,
    },
    /// The plan has no such quota for each subject.
    #[error("limit {limit:?} is not a quota that subjects of plan {plan:?} have for themselves")]
    NoQuota {
        /// The plan.
        plan: String,
        /// As given.
        limit: String,
    },
    /// Days in the wrong order, or too many of them.
    #[error("from {from} to {to} is no range of 1 to 3660 days")]
    Range {
        /// The first day asked for.
        from: String,
        /// The last.
        to: String,
    },
    /// More than can be granted.
    #[error("remaining {remaining} is too much: at most {most}")]
    TooMuch {
        /// As given.
        remaining: u64,
        /// The most.
        most: u64,
    },
    /// There is no memory for so many days of so many quotas.
    #[error("there is no memory for {rows} rows: ask for fewer days at a time")]
    Memory {
        /// Days times quotas.
        rows: usize,
    },
    /// State is of no plans that there are: the region is damaged.
    #[error("the state cannot be read: the region is damaged")]
    Damaged,
}

/// A request cannot have this id; nothing was decided. Ids are shown up to their 64th byte.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum IdError {
    /// It is that of a request that the engine knows: open, settled, refunded or released.
    #[error("id {0:?} is that of an earlier request that was admitted: give each request an id of its own")]
    InUse(String),
    /// There is no memory to know it in.
    #[error("id {0:?} cannot be kept: there is no memory for one id more")]
    Memory(String),
}

impl IdError {
    pub(crate) fn shown(id: &[u8]) -> String {
        String::from_utf8_lossy(&id[..id.len().min(64)]).into_owned()
    }
}

/// A memory region could not be attached.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum RegionError {
    /// Nobody has formatted it, and it is only to be read.
    #[error("there is nothing in the region: no engine was ever attached to it")]
    Empty,
    /// Limits changed again and again while it was copied.
    #[error("limits changed again and again while the region was copied: try again")]
    Busy,
    /// It holds something else.
    #[error(
        "the region does not begin with the mark of a tollgate region, nor with zeros: it holds something else"
    )]
    Foreign,
    /// Another version of the library formatted it.
    #[error("the region has layout version {found}, this library knows {known}: use a new region")]
    Version {
        /// As the region says.
        found: u64,
        /// That of this library.
        known: u64,
    },
    /// It was formatted for another capacity.
    #[error("the region was formatted for {found}; asked for were {wanted}")]
    Layout {
        /// As asked for.
        wanted: String,
        /// As the region says.
        found: String,
    },
    /// It has too few bytes.
    #[error("the region has {bytes} bytes, at least {needed} are needed")]
    TooSmall {
        /// Those that there are.
        bytes: u64,
        /// Those that are needed.
        needed: u64,
    },
    /// Its file could not be opened, made larger or mapped.
    #[error("{path}: {problem}")]
    Io {
        /// The file.
        path: String,
        /// The system's answer.
        problem: String,
    },
    /// Its header contradicts itself.
    #[error("the region is damaged: {what} in its header cannot be right")]
    Damaged {
        /// The field.
        what: &'static str,
    },
}

/// A snapshot could not be written, read or restored.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// The system refused a step of writing or reading the file.
    #[error("{path}: could not {step}: {source}")]
    Io {
        /// The snapshot's file.
        path: String,
        /// What was being done: "write", "sync".
        step: &'static str,
        /// The system's answer.
        source: std::io::Error,
    },
    /// It is something else.
    #[error("it does not begin with the mark of a tollgate snapshot: it is something else")]
    NotASnapshot,
    /// Another version of the library wrote it.
    #[error(
        "the snapshot has format version {found}, this library knows {known}: restore it with the library that wrote it, or a newer one"
    )]
    Version {
        /// As the snapshot says.
        found: u32,
        /// That of this library.
        known: u32,
    },
    /// Its bytes are not those that were written.
    #[error("the snapshot is damaged at byte {offset}: {what}")]
    Damaged {
        /// From the beginning of the file.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// It ends too early.
    #[error("the snapshot is cut off at byte {offset}: its end is missing")]
    CutOff {
        /// From the beginning of the file: how many bytes there are.
        offset: u64,
    },
    /// It is whole, but does not fit what it is to be restored into.
    #[error("the snapshot does not fit: {what}")]
    Mismatch {
        /// What differs, as it is and as it would have to be.
        what: String,
    },
    /// Periodic snapshots cannot follow each other so closely.
    #[error("interval {0:?} is too short for snapshots: at least 1ms")]
    Interval(std::time::Duration),
    /// Periodic snapshots need a thread.
    #[error("no thread for periodic snapshots: {0}")]
    Thread(std::io::Error),
}

/// A plan file could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PlanFileError {
    /// The file could not be opened or read.
    #[error("{path}: {error}")]
    Io {
        /// The file.
        path: String,
        /// The system's answer.
        error: std::io::Error,
    },
    /// Not TOML or JSON of the plan file's form.
    #[error("{}{message}", .line.map_or(String::new(), |line| format!("line {line}: ")))]
    Syntax {
        /// Line in the file, from 1, where it is known.
        line: Option<usize>,
        /// What was found and what would be right.
        message: String,
    },
    /// A value was refused.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// A list of API keys in CSV could not be imported at all. What is wrong with one row is a
/// [warning](crate::CsvWarning).
#[cfg(feature = "import")]
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[non_exhaustive]
pub enum CsvError {
    /// A column that every list has is missing from the first row.
    #[error(
        "the first row names no column {column}: it must name Name and Key, and may name Description, Enabled and UsagePlanIds, parted by commas"
    )]
    MissingColumn {
        /// The column.
        column: &'static str,
    },
    /// Two columns have one name.
    #[error("the first row names the column {column} twice")]
    RepeatedColumn {
        /// The column.
        column: &'static str,
    },
    /// Keys that are known already cannot be recognised.
    #[error("keys are listed under the pepper {name:?}: give it, so that the same key is recognised")]
    UnknownPepper {
        /// The pepper's name.
        name: String,
    },
    /// A listed key's digest cannot be read, so that the same key cannot be recognised.
    #[error("{field}: {problem}")]
    Digest {
        /// Where, as a path: `subjects.acme.keys[0]`.
        field: String,
        /// What would be right.
        problem: String,
    },
    /// The peppers contradict each other.
    #[error(transparent)]
    Pepper(#[from] KeyError),
}
