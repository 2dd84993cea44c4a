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
mod snapshot;
mod store;
mod sync;
mod time;

#[cfg(feature = "lab")]
pub use algo::compare as lab;
pub use algo::rate::Rate;
pub use calendar::Date;
pub use engine::{
    Alert, Alerts, Capacity, Cost, Decision, Engine, EngineBuilder, FullCounts, LimitKind, LimitReport,
    Metrics, Mode, Needs, NotPlain, PlanId, PlanMetrics, Prepared, RefundStatus, Region, ReleaseStatus,
    Report, Request, SettleStatus, Settlement, Snapshot, Threshold, Ticket, UsageRow, Verdict, WhenFull,
};
#[cfg(feature = "import")]
pub use error::CsvError;
#[cfg(feature = "lab")]
pub use error::LimitError;
pub use error::{
    ApplyError, DateError, DurationError, IdError, KeyError, PlanFileError, RateError, RegionError,
    SnapshotError, UsageError,
};
pub use key::{KeyFormat, Pepper, SecretKey};
pub use plan::view;
pub use plan::{Changes, Concurrency, Key, Limits, Plan, Quota, Subject, Throttle};
#[cfg(feature = "import")]
pub use plan::{CsvImport, CsvKeys, CsvWarning, ImportedKey};
pub use snapshot::{Periodic, PeriodicStatus};
pub use time::{Clock, ManualClock, Nanos, SystemClock, parse_duration};
