//! The C ABI as its own sources have it, for callers in Rust: the package itself makes C libraries only, so that they are
//! optimised as a whole.

#![allow(non_camel_case_types, missing_docs, dead_code)]
#![allow(clippy::missing_safety_doc)]

#[path = "../../../ffi/src/batch.rs"]
pub mod batch;
#[path = "../../../ffi/src/config.rs"]
pub mod config;
#[path = "../../../ffi/src/decide.rs"]
pub mod decide;
#[path = "../../../ffi/src/definition.rs"]
pub mod definition;
#[path = "../../../ffi/src/engine.rs"]
pub mod engine;
#[path = "../../../ffi/src/guard.rs"]
pub mod guard;
#[path = "../../../ffi/src/keys.rs"]
pub mod keys;
#[path = "../../../ffi/src/layout.rs"]
pub mod layout;
#[path = "../../../ffi/src/memory.rs"]
pub mod memory;
#[path = "../../../ffi/src/metrics.rs"]
pub mod metrics;
#[path = "../../../ffi/src/names.rs"]
pub mod names;
#[path = "../../../ffi/src/report.rs"]
pub mod report;
#[path = "../../../ffi/src/reserve.rs"]
pub mod reserve;
#[path = "../../../ffi/src/snapshot.rs"]
pub mod snapshot;
#[path = "../../../ffi/src/status.rs"]
pub mod status;
#[path = "../../../ffi/src/text.rs"]
pub mod text;
#[path = "../../../ffi/src/types.rs"]
pub mod types;
#[path = "../../../ffi/src/usage.rs"]
pub mod usage;
#[path = "../../../ffi/src/version.rs"]
pub mod version;
