//! The atomics and locks of the crate, named in one place so that a model checker can stand in for them.

pub(crate) use core::sync::atomic::{AtomicU64, Ordering};
pub(crate) use parking_lot::{Mutex, MutexGuard};
