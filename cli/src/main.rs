//! The command `tollgate`.

use std::process::ExitCode;

use clap::Parser;
use tollgate_cli::args::{Args, Command};
use tollgate_cli::{bench, demo, keys, lab, plans, replay, usage};

fn main() -> ExitCode {
    let done = match Args::parse().command.unwrap_or(Command::Demo) {
        Command::Demo => demo::run().map(|()| ExitCode::SUCCESS),
        Command::Replay(options) => replay::run(&options).map(|ending| match ending {
            replay::Ending::Answered => ExitCode::SUCCESS,
            replay::Ending::SomeFailed => ExitCode::from(1),
        }),
        Command::Lab(options) => lab::run(&options),
        Command::Keys(command) => keys::run(&command),
        Command::Plans(command) => plans::run(&command),
        Command::Bench(options) => bench::run(&options),
        Command::Usage(options) => usage::run(&options),
    };
    done.unwrap_or_else(|error| {
        eprintln!("tollgate: {error:#}");
        ExitCode::from(2)
    })
}
