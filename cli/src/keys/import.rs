//! `tollgate keys import`: API Gateway's CSV into a plan file.

use std::process::ExitCode;

use anyhow::{Context, bail};
use tollgate::CsvImport;
use zeroize::Zeroizing;

use super::edit;
use crate::args::KeysImportArgs;
use crate::{plan_file, plans};

pub(super) fn run(args: &KeysImportArgs) -> anyhow::Result<ExitCode> {
    let path = &args.plans;
    let of_plans = || path.display().to_string();
    let out = args.out.as_ref().unwrap_or(path);
    if plan_file::is_json(path) != plan_file::is_json(out) {
        bail!(
            "--out {}: TOML stays TOML and JSON stays JSON, and {} is the other",
            out.display(),
            path.display()
        );
    }
    let text = plan_file::read_text(path)?;
    let known = plan_file::parse(path, &text)?;
    plan_file::check(&known).with_context(of_plans)?;

    let mut import = args.peppers.iter().cloned().fold(CsvImport::new(&known), CsvImport::pepper);
    if let Some(path) = &args.usage_plans {
        for (id, name) in plans::names_by_id(path)? {
            import = import.plan_id(&id, &name);
        }
    }
    let list = || args.list.display().to_string();
    let keys = import.read(&plan_file::read_bytes(&args.list)?).with_context(list)?;
    for warning in keys.warnings() {
        eprintln!("tollgate: {}: {warning}", list());
    }
    let counts = format!(
        "{} imported, {} overwritten, {} skipped",
        keys.imported(),
        keys.overwritten(),
        keys.skipped()
    );
    let warned = match keys.warnings().len() {
        0 => String::new(),
        1 => ", 1 warning".into(),
        many => format!(", {many} warnings"),
    };
    if args.fail_on_warnings && !keys.warnings().is_empty() {
        eprintln!("tollgate: {}: nothing was imported: there would have been {counts}{warned}", list());
        return Ok(ExitCode::from(1));
    }
    let merged =
        Zeroizing::new(edit::with_keys(&text, plan_file::is_json(path), keys.keys()).with_context(of_plans)?);
    let after = plan_file::parse(path, &merged).and_then(|after| Ok(plan_file::check(&after)?));
    after.context("with the imported keys")?;
    if *merged != *text || out != path {
        plan_file::replace(out, &merged)?;
    }
    println!("{counts}{warned}: {}", out.display());
    Ok(ExitCode::SUCCESS)
}
