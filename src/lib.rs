#![doc = include_str!("crate.md")]
#![warn(missing_docs)]
#![deny(unsafe_code)]

mod algo;
mod calendar;
mod engine;
mod error;
pub mod http;
mod key;
mod plan;
mod store;
mod sync;
mod time;

#[cfg(feature = "lab")]
pub use algo::compare as lab;
pub use algo::rate::Rate;
pub use engine::{
    Capacity, Decision, Engine, EngineBuilder, FullCounts, LimitKind, LimitReport, Mode, PlanId, Region,
    Report, Request, Verdict, WhenFull,
};
#[cfg(feature = "import")]
pub use error::CsvError;
#[cfg(feature = "lab")]
pub use error::LimitError;
pub use error::{ApplyError, DurationError, KeyError, PlanFileError, RateError, RegionError};
pub use key::{KeyFormat, Pepper, SecretKey};
pub use plan::view;
pub use plan::{Changes, Key, Limits, Plan, Quota, Subject, Throttle};
#[cfg(feature = "import")]
pub use plan::{CsvImport, CsvKeys, CsvWarning, ImportedKey};
pub use time::{Clock, ManualClock, Nanos, SystemClock, parse_duration};
