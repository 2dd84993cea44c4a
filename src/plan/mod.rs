//! Usage plans: their definition, its validation, and the compiled form that decisions use.

mod compile;
#[cfg(feature = "import")]
mod csv_records;
mod directory;
mod event;
#[cfg(feature = "plan-file")]
mod file;
#[cfg(feature = "import")]
mod import_csv;
mod names;
mod quick;
mod route;
mod spec;
pub mod view;

pub(crate) use compile::{Alert, CompiledPlan, Kind, Limit, LimitSet, LineUse};
pub(crate) use directory::{Directory, QUOTAS, Shape, TooMany};
pub(crate) use event::{EVENT_WORDS, Event, Ledger};
#[cfg(feature = "import")]
pub use import_csv::{CsvImport, CsvKeys, CsvWarning, ImportedKey};
pub(crate) use names::{check_name, shown};
pub(crate) use quick::Quick;
pub(crate) use spec::Secret;
pub use spec::{Changes, Concurrency, Key, Limits, Plan, Quota, Subject, Throttle};
