//! Any bytes, as whatever tollgate reads. Each module has one function `run`, which returns whatever the bytes are, or
//! panics: that is a finding. `.ci/fuzz` hands it to libFuzzer under AddressSanitizer; `tests/corpus.rs` replays what
//! was found worth keeping, on any toolchain.
//!
//! Bytes that could not be anything are worth little: each target says how it makes more of them.

pub mod c_abi;
pub mod import_csv;
pub mod model;
pub mod plan_file;
pub mod region;
pub mod snapshot;
pub mod trace_line;

mod container;
mod scene;

/// A target's name, and what it does with its bytes.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 7] = [
    ("c_abi", c_abi::run),
    ("import_csv", import_csv::run),
    ("model", model::run),
    ("plan_file", plan_file::run),
    ("region", region::run),
    ("snapshot", snapshot::run),
    ("trace_line", trace_line::run),
];

/// What no message may repeat.
const SECRET: &str = "hunter2-hunter2-hunter2";

/// Whether `message` tells the secret, which `text` has behind these openings and nowhere else. Where a mutation has put
/// it elsewhere, say into a plan's name, nothing can be said.
fn tells(message: &str, text: &str, openings: &[&str]) -> bool {
    let rest = openings
        .iter()
        .fold(text.to_owned(), |rest, opening| rest.replace(&format!("{opening}{SECRET}"), ""));
    !rest.contains(&SECRET[..7]) && message.contains(&SECRET[..7])
}
