//! Usage plans: their definition, its validation, and the compiled form that decisions use.

mod compile;
mod directory;
mod event;
#[cfg(feature = "plan-file")]
mod file;
mod names;
mod route;
mod spec;

pub(crate) use compile::{CompiledPlan, Kind, Limit, LimitSet, LineUse, Quick, QuickQuota};
pub(crate) use directory::{Directory, QUOTAS, Shape, TooMany};
pub(crate) use event::{Event, Ledger};
pub(crate) use names::{check_name, shown};
pub(crate) use spec::Secret;
pub use spec::{Changes, Key, Limits, Plan, Quota, Subject, Throttle};
