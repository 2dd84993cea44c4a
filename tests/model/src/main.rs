//! `tollgate-model PLANS.json TRACE`: prints the model's answer to each line of a trace, so that
//! it can be compared with that of `tollgate replay`. `--plan NAME` as there.

use std::io::{Read, Write};
use std::process::ExitCode;
use tollgate_model::Model;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("tollgate-model: {error}");
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<ExitCode, String> {
    let mut files = Vec::new();
    let mut default_plan = None;
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        if arg == "--plan" {
            default_plan = Some(args.next().ok_or("--plan needs a name")?);
        } else {
            files.push(arg);
        }
    }
    let [plans, trace] = &files[..] else {
        return Err("usage: tollgate-model [--plan NAME] PLANS.json TRACE".to_owned());
    };
    let read = |path: &str| std::fs::read_to_string(path).map_err(|e| format!("{path}: {e}"));
    let mut model = Model::from_plan_json(&read(plans)?)?.with_usage_log();
    if let Some(plan) = default_plan {
        if !model.has_plan(&plan) {
            return Err(format!("no plan {plan:?}"));
        }
        model = model.with_default_plan(&plan);
    }
    let trace = if trace == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(|e| e.to_string())?;
        text
    } else {
        read(trace)?
    };
    let mut code = ExitCode::SUCCESS;
    let mut out = std::io::stdout().lock();
    for line in trace.lines() {
        let answer = match serde_json::from_str(line) {
            Ok(value) => model.step(&value),
            Err(error) => model.unreadable(&error.to_string()),
        };
        if answer.get("line").is_some() {
            code = ExitCode::from(1);
        }
        writeln!(out, "{answer}").map_err(|e| e.to_string())?;
    }
    Ok(code)
}
