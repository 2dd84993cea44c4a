//! The parts of the command `tollgate`, for its tests and for programs that drive a replay themselves.

#![forbid(unsafe_code)]

pub mod args;
pub mod bench;
pub mod demo;
pub mod keys;
pub mod lab;
mod page;
mod plan_file;
pub mod plans;
pub mod replay;
pub mod usage;
