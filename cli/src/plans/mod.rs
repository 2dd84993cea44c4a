//! `tollgate plans`: what plan files say, in words.

mod diff;
mod explain;
mod usage_plans;
mod words;

use std::path::Path;
use std::process::ExitCode;

use crate::args::PlansCommand;
use crate::plan_file;

pub(crate) use usage_plans::names_by_id;

/// Runs `tollgate plans`.
///
/// # Errors
/// Bad arguments; files that cannot be read, understood or written.
pub fn run(command: &PlansCommand) -> anyhow::Result<ExitCode> {
    match command {
        PlansCommand::Check { file } => check(file),
        PlansCommand::Import(args) => usage_plans::run(args),
        PlansCommand::Explain { file, plan, at } => explain::run(file, plan.as_deref(), *at),
        PlansCommand::Diff { old, new } => diff::run(old, new),
    }
}

fn check(file: &Path) -> anyhow::Result<ExitCode> {
    let changes = plan_file::load(file)?;
    let view = changes.view();
    let keys = view.subjects.iter().flat_map(|subject| subject.keys.iter().flatten()).count();
    let [plans, subjects, keys] = [
        words::count(view.plans.len() as u64, "plan"),
        words::count(view.subjects.len() as u64, "subject"),
        words::count(keys as u64, "key"),
    ];
    println!("ok: {plans}, {subjects}, {keys}");
    Ok(ExitCode::SUCCESS)
}
