//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use tollgate::Pepper;

use crate::replay::KeySource;

/// Usage plans for API keys, decided in nanoseconds: try them on recorded traffic.
#[derive(Debug, Parser)]
#[command(name = "tollgate", version, about, subcommand_help_heading = "Commands")]
pub struct Args {
    /// Without a command, the demo.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Decide a slice of a real web server's access log under three usage plans (the default)
    Demo,
    /// Run a trace through the engine on a virtual clock: one JSON object per line, or a summary
    ///
    /// Exit status: 0, 1 if a line could not be read, 2 for bad arguments, plans or files.
    Replay(ReplayArgs),
}

/// The options of `tollgate replay`.
#[derive(Debug, clap::Args)]
pub struct ReplayArgs {
    /// The plan file: JSON if its name ends in .json, else TOML
    #[arg(long, value_name = "FILE")]
    pub plans: PathBuf,
    /// Make keys that are not registered anonymous subjects of this plan
    #[arg(long, value_name = "NAME")]
    pub plan: Option<String>,
    /// The trace's format
    #[arg(long, value_enum, default_value_t = Format::Json)]
    pub format: Format,
    /// Access logs: the key is remote_addr, remote_user or `header-in-quotes:<n>` (after the request line:
    /// 1 is the referer, 2 the user agent) [default: remote_addr]
    #[arg(long, value_name = "SOURCE")]
    pub key: Option<KeySource>,
    /// Access logs: the stage of every request
    #[arg(long, value_name = "NAME")]
    pub stage: Option<String>,
    /// A pepper that the plan file's HMACs name: NAME=file:PATH or NAME=env:VARIABLE
    #[arg(long = "pepper", value_name = "NAME=SOURCE", value_parser = pepper)]
    pub peppers: Vec<Pepper>,
    /// Print a table per subject and limit instead of a line per request
    #[arg(long)]
    pub summary: bool,
    /// Write the table, with plots, to one self-contained page instead of a line per request
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// How many subjects the table shows, those with most requests first
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub top: usize,
    /// The trace; - is standard input
    pub trace: PathBuf,
}

/// What a trace is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// One JSON object per line
    Json,
    /// A web server's access log in the combined format
    Combined,
}

fn pepper(text: &str) -> Result<Pepper, String> {
    let (name, source) = text.split_once('=').ok_or("write NAME=file:PATH or NAME=env:VARIABLE")?;
    match source.split_once(':') {
        Some(("file", path)) => Pepper::from_file(name, path.as_ref()),
        Some(("env", variable)) => Pepper::from_env(name, variable),
        _ => return Err("write NAME=file:PATH or NAME=env:VARIABLE".into()),
    }
    .map_err(|error| error.to_string())
}
