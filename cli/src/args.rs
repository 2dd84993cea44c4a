//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use tollgate::{Date, Nanos, Pepper, parse_duration};

use crate::replay::KeySource;

/// Usage plans for API keys, decided in nanoseconds: try them on recorded traffic, manage keys and plan files.
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
    /// Run six rate-limiting algorithms over the same trace, made or recorded, and compare them
    ///
    /// Without --trace, requests are made in virtual time: the same ones for the same options and seed.
    ///
    /// Exit status: 0, 1 if a line of the trace could not be read, 2 for bad arguments or files.
    #[command(after_long_help = crate::lab::legend())]
    Lab(LabArgs),
    /// Make, digest and import API keys; a key is never read from the command line, nor shown after it was made
    #[command(subcommand)]
    Keys(KeysCommand),
    /// Check, import, explain and compare plan files
    #[command(subcommand)]
    Plans(PlansCommand),
    /// Measure the engine beside its peers, on this machine: with `cargo build --release -p tollgate-bench`
    #[command(disable_help_flag = true)]
    Bench(BenchArgs),
    /// Show what subjects have used of a plan's quotas, by day, out of a snapshot or out of a region that is in use
    ///
    /// Neither is changed: a region's file is only read, and may be written by others meanwhile. The plan file says who is
    /// on the plan, and what the limits are: where it differs from that of the processes at the region, the usage is shown
    /// as it would be under this one. Days are those of each quota's zone. A subject's usage is the same under each of its
    /// keys, and is shown for each of those that the plan file lists.
    ///
    /// Exit status: 0, or 2 for bad arguments, names that the plan file does not have, and bad files.
    Usage(UsageArgs),
}

/// The options of `tollgate bench`.
#[derive(Debug, clap::Args)]
pub struct BenchArgs {
    /// Those of the program `tollgate-bench`: `tollgate bench --help` says which
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub arguments: Vec<OsString>,
}

/// What to do with keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make new keys: the keys on standard output, once; their plan-file entries on standard error, or in a file
    ///
    /// A key is its prefix, 192 random bits and a checksum, all of it letters, digits and `_`.
    Generate(GenerateArgs),
    /// Print the plan-file form of the digest of every key, one a line, of a file or standard input
    Hash(HashArgs),
    /// Put the keys of an API Gateway CSV file into a plan file
    ///
    /// Columns, in any order and case: Name, Key; Description (ignored: a plan file has no place for it), Enabled,
    /// UsagePlanIds; others are ignored. Each new key becomes the key of a subject of its own, both called by the
    /// row's name, with a number where names repeat. A key that the plan file has keeps its id and subject; the row
    /// may change its plans and whether it is on. The last row of a key counts.
    ///
    /// Exit status: 0, 1 if --fail-on-warnings found some, 2 for bad arguments or files.
    Import(KeysImportArgs),
}

/// The options of `tollgate keys generate`.
#[derive(Debug, clap::Args)]
pub struct GenerateArgs {
    /// What the keys begin with: letters, digits and `_`
    #[arg(long, value_name = "PREFIX", default_value = "tg_live_")]
    pub prefix: String,
    /// How many keys
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub count: u32,
    /// The key's public id; several keys get numbers [default: the subject and a part of the digest]
    #[arg(long, value_name = "NAME")]
    pub id: Option<String>,
    /// Whose keys they are: the entries become that subject's
    #[arg(long, value_name = "NAME")]
    pub subject: Option<String>,
    /// A plan that the subject is on
    #[arg(long = "plan", value_name = "NAME", requires = "subject")]
    pub plans: Vec<String>,
    /// Digest under a pepper: NAME=file:PATH or NAME=env:VARIABLE
    #[arg(long, value_name = "NAME=SOURCE", value_parser = pepper)]
    pub pepper: Option<Pepper>,
    /// Write the plan-file entries to a new TOML file instead of standard error
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Print a JSON object per key (`id`, `key`, its digest, `subject`), and no entries on standard error
    #[arg(long)]
    pub json: bool,
}

/// The options of `tollgate keys hash`.
#[derive(Debug, clap::Args)]
pub struct HashArgs {
    /// Digest under a pepper: NAME=file:PATH or NAME=env:VARIABLE
    #[arg(long, value_name = "NAME=SOURCE", value_parser = pepper)]
    pub pepper: Option<Pepper>,
    /// The keys, one a line; - is standard input
    #[arg(value_name = "FILE", default_value = "-")]
    pub keys: PathBuf,
}

/// The options of `tollgate keys import`.
#[derive(Debug, clap::Args)]
pub struct KeysImportArgs {
    /// The plan file with the plans that the keys are to be on
    #[arg(long, value_name = "FILE")]
    pub plans: PathBuf,
    /// Write the plan file with the keys there [default: in place of --plans]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Import nothing at all if there is a warning
    #[arg(long)]
    pub fail_on_warnings: bool,
    /// Output of `aws apigateway get-usage-plans`: ids in UsagePlanIds stand for the names of its plans
    #[arg(long, value_name = "FILE")]
    pub usage_plans: Option<PathBuf>,
    /// A pepper: NAME=file:PATH or NAME=env:VARIABLE. New keys are digested under the first; keys that the plan file
    /// has are recognised under all
    #[arg(long = "pepper", value_name = "NAME=SOURCE", value_parser = pepper)]
    pub peppers: Vec<Pepper>,
    /// The CSV file; - is standard input
    #[arg(value_name = "CSV")]
    pub list: PathBuf,
}

/// What to do with plan files.
#[derive(Debug, Subcommand)]
pub enum PlansCommand {
    /// Say whether an engine takes a plan file, or what is wrong with it and where
    ///
    /// Exit status: 0, or 2 if something is wrong.
    Check {
        /// The plan file: JSON if its name ends in .json, else TOML
        file: PathBuf,
    },
    /// Make a plan file of the usage plans that `aws apigateway get-usage-plans` prints
    ///
    /// A plan is called by its name, or by its id where another has the name already. Its stages are `apiId/stage`, a
    /// throttle of a method is that of the route `apiId/stage METHOD /path`, on top of the plan's own. A quota's
    /// offset is taken for the day on which the period begins (week: 0 = Sunday .. 6; month: 0 = the first .. 27), by
    /// UTC: API Gateway's own documents also call it requests that are taken off the first period, see --offset.
    ///
    /// Exit status: 0, 1 if --fail-on-warnings found some, 2 for bad arguments or files.
    Import(PlansImportArgs),
    /// Say in words what a plan's limits mean, and when its quotas are reset
    Explain {
        /// The plan file
        file: PathBuf,
        /// The plan [default: all of them]
        plan: Option<String>,
        /// Say when quotas are reset after this instant, as in 2027-06-01T00:00:00Z [default: now]
        #[arg(long, value_name = "INSTANT")]
        at: Option<jiff::Timestamp>,
    },
    /// Say what differs between two plan files, and what becomes of what was consumed
    ///
    /// Exit status: 0 if nothing differs, 1 if something does, 2 for bad arguments or files.
    Diff {
        /// The plan file that was
        old: PathBuf,
        /// The plan file that is to be
        new: PathBuf,
    },
}

/// The options of `tollgate plans import`.
#[derive(Debug, clap::Args)]
pub struct PlansImportArgs {
    /// Write to this new file, JSON if its name ends in .json, instead of TOML on standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Import nothing at all if there is a warning
    #[arg(long)]
    pub fail_on_warnings: bool,
    /// What a quota's offset is
    #[arg(long, value_enum, default_value_t = Offset::StartDay)]
    pub offset: Offset,
    /// The usage plans as JSON; - is standard input
    #[arg(value_name = "JSON")]
    pub usage_plans: PathBuf,
}

/// What the offset of a quota of API Gateway is taken for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Offset {
    /// The day on which the period begins
    StartDay,
    /// Requests that are taken off a subject's first period
    InitialDebit,
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

/// The options of `tollgate usage`.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("state").required(true)))]
pub struct UsageArgs {
    /// The plan file: JSON if its name ends in .json, else TOML
    #[arg(long, value_name = "FILE")]
    pub plans: PathBuf,
    /// A snapshot's file
    #[arg(long, value_name = "FILE", group = "state")]
    pub snapshot: Option<PathBuf>,
    /// A region's file; processes may be attached to it
    #[arg(long, value_name = "FILE", group = "state")]
    pub region: Option<PathBuf>,
    /// The first day, as in 2027-06-01 [default: six days before the last]
    #[arg(long, value_name = "DATE")]
    pub from: Option<Date>,
    /// The last day [default: that of --at]
    #[arg(long, value_name = "DATE")]
    pub to: Option<Date>,
    /// Show this quota alone, by the name that reports have for it: `daily`, `route:GET /pets:daily`
    #[arg(long, value_name = "NAME")]
    pub limit: Option<String>,
    /// A table, CSV, or JSON as API Gateway answers GetUsage
    #[arg(long, value_enum, default_value_t = UsageFormat::Table)]
    pub format: UsageFormat,
    /// Show the usage as it is at this instant, as in 2027-06-01T00:00:00Z [default: when the snapshot was taken; of a
    /// region: now]
    #[arg(long, value_name = "INSTANT")]
    pub at: Option<jiff::Timestamp>,
    /// A pepper that the plan file's HMACs name: NAME=file:PATH or NAME=env:VARIABLE
    #[arg(long = "pepper", value_name = "NAME=SOURCE", value_parser = pepper)]
    pub peppers: Vec<Pepper>,
    /// The plan
    pub plan: String,
    /// Subjects of the plan file [default: all that are on the plan]
    #[arg(value_name = "SUBJECT")]
    pub subjects: Vec<String>,
}

/// How usage is shown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum UsageFormat {
    /// For people
    Table,
    /// A row per subject, quota and day
    Csv,
    /// `[used, remaining]` per day of one quota, by key id; a subject without keys is left out
    Json,
}

/// What a trace is made of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Format {
    /// One JSON object per line
    Json,
    /// A web server's access log in the combined format
    Combined,
}

/// The options of `tollgate lab`.
#[derive(Debug, clap::Args)]
pub struct LabArgs {
    /// How many a key may have per window
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u64,
    /// The window: an integer and one of ms, s, m, h, d
    #[arg(long, value_name = "DURATION", default_value = "1s", value_parser = parse_duration)]
    pub per: Nanos,
    /// How many at once, for GCRA and the buckets [default: the limit]
    #[arg(long, value_name = "N")]
    pub burst: Option<u64>,
    /// Which to compare, in this order [default: all]
    #[arg(long, value_name = "NAME,...", value_enum, value_delimiter = ',')]
    pub algorithms: Vec<AlgorithmName>,
    /// What requests to make
    #[arg(long, value_enum, default_value_t = WorkloadName::Poisson, conflicts_with = "trace")]
    pub workload: WorkloadName,
    /// How many keys make requests
    #[arg(long, value_name = "N", default_value_t = 100, conflicts_with = "trace")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub keys: u32,
    /// For how long, in virtual time
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = parse_duration)]
    #[arg(conflicts_with = "trace")]
    pub duration: Nanos,
    /// How many requests a key makes, as a multiple of the limit, on average
    #[arg(long, value_name = "X", default_value_t = 2.0, value_parser = load, conflicts_with = "trace")]
    #[arg(allow_negative_numbers = true)]
    pub load: f64,
    /// Of the random numbers
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "trace")]
    pub seed: u64,
    /// Take the requests from a recorded trace; - is standard input
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// The trace's format
    #[arg(long, value_enum, default_value_t = Format::Json, requires = "trace")]
    pub format: Format,
    /// Access logs: the key, as in `tollgate replay` [default: remote_addr]
    #[arg(long, value_name = "SOURCE", requires = "trace")]
    pub key: Option<KeySource>,
    /// Print a JSON object instead of a table
    #[arg(long)]
    pub json: bool,
    /// Write the table, with plots, to one self-contained page too
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
}

/// An algorithm of the lab.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum AlgorithmName {
    /// The generic cell rate algorithm, by the engine's own steps
    Gcra,
    /// Tokens that are refilled all the time
    TokenBucket,
    /// A counter that is decremented periodically
    LeakyBucket,
    /// A counter per window
    FixedWindow,
    /// The counters of two windows, weighed
    SlidingCounter,
    /// Every instant of the last window: exact
    SlidingLog,
}

/// Requests that the lab can make.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum WorkloadName {
    /// Every key at a steady pace, each with a random phase
    Steady,
    /// Random instants
    Poisson,
    /// As many at a time as the limit allows, within a twentieth of the mean time from one such burst to the next
    Bursts,
    /// Random instants; after a third of the time twenty times as many, fading by half every 7 % of the time
    FlashCrowd,
}

fn load(text: &str) -> Result<f64, String> {
    let fits = |load: &f64| *load > 0.0 && *load <= 1_000.0;
    text.parse().ok().filter(fits).ok_or_else(|| "write a number above 0 and at most 1000, as in 2.0".into())
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
