//! `tollgate bench`: the engine beside its peers. That is a program of its own, which lies beside this one where it was
//! built, so that nobody who wants the commands has to build nine other limiters.

use std::env::consts::EXE_SUFFIX;
use std::process::{Command, ExitCode};

use anyhow::{Context, bail};

use crate::args::BenchArgs;

/// Runs the program with the arguments that it was given, and ends as it does.
///
/// # Errors
/// It is not there, or cannot be started: says how to build it.
pub fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let name = format!("tollgate-bench{EXE_SUFFIX}");
    let here = std::env::current_exe().context("where this program is")?;
    let program = here.with_file_name(&name);
    if !program.is_file() {
        bail!(
            "the bench and the limiters that it compares are a program of their own, {name}, which is not beside this \
             one ({}): build it from Tollgate's sources with `cargo build --release -p tollgate-bench`, or install it \
             with `cargo install --path benches`",
            here.display()
        );
    }
    let status = Command::new(&program)
        .args(&args.arguments)
        .status()
        .with_context(|| format!("start {}", program.display()))?;
    // A program that a signal ended has no code.
    Ok(status.code().map_or(ExitCode::FAILURE, |code| ExitCode::from(u8::try_from(code).unwrap_or(1))))
}
