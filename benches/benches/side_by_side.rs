//! The side-by-side runner as `cargo bench -p tollgate-bench --bench side_by_side -- OPTIONS`.

use std::process::ExitCode;

use clap::Parser;
use tollgate_bench::options::Options;

fn main() -> ExitCode {
    // Cargo says `--bench` to every bench.
    let arguments = std::env::args_os().filter(|argument| argument != "--bench");
    match tollgate_bench::run(&Options::parse_from(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side_by_side: {error:#}");
            ExitCode::from(2)
        }
    }
}
