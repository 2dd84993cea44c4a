//! The C ABI of tollgate: a shell over the library's public API that decides nothing.
//!
//! `include/tollgate.h` is generated from these sources (`tests/header.rs`): their comments are the manual that C
//! programmers read. What `cbindgen.toml` puts at the head of it holds for every function here.
//!
//! Every function is one `guard`: pointers are checked, panics are contained, errors become statuses. Enums cross the
//! boundary as integers. Whoever calls upholds what the header says of pointers: one that is not NULL points to a value
//! of its type, text and arrays have as many elements as is said, and outputs can be written to.

// The names are those of C.
#![allow(non_camel_case_types)]
// What a caller has to uphold is said once, above.
#![allow(clippy::missing_safety_doc)]

mod config;
mod definition;
mod guard;
mod layout;
mod memory;
mod text;
mod types;

// In the order of the header.
mod version;

mod status;

mod engine;

mod names;

mod decide;

mod batch;

mod report;

mod reserve;

mod keys;

mod usage;

mod metrics;

mod snapshot;
