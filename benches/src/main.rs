//! `cargo run --release -p tollgate-bench`; `--help` says the rest. `tollgate bench` runs this program, too.

use std::process::ExitCode;

use clap::Parser;
use tollgate_bench::options::Options;

fn main() -> ExitCode {
    match tollgate_bench::run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("tollgate-bench: {error:#}");
            ExitCode::from(2)
        }
    }
}
