//! `tollgate plans explain`: every limit in words, and when quotas are reset.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use tollgate::view::{ChangesView, LimitsView, PlanView, QuotaView};
use tollgate::{Capacity, Changes, Engine, Mode, Nanos, Plan, Quota, Request};

use super::words;
use crate::plan_file;

/// How many resets are told.
const RESETS: usize = 3;
/// How many subjects are named.
const NAMED: usize = 8;

pub(super) fn run(file: &Path, plan: Option<&str>, at: Option<Timestamp>) -> anyhow::Result<ExitCode> {
    let changes = plan_file::load(file)?;
    let view = changes.view();
    let at = at.unwrap_or_else(Timestamp::now);
    let nanos =
        u64::try_from(at.as_nanosecond()).with_context(|| format!("--at {at}: before 1970 or after 2554"))?;
    let shown: Vec<_> = view.plans.iter().filter(|view| plan.is_none_or(|plan| plan == view.name)).collect();
    if let (Some(plan), true) = (plan, shown.is_empty()) {
        let names: Vec<_> = view.plans.iter().map(|view| view.name).collect();
        bail!("{}: there is no plan {plan:?}, only {}", file.display(), names.join(", "));
    }
    let parts: Vec<_> = shown.into_iter().map(|plan| explain(plan, &view, Nanos::new(nanos))).collect();
    match io::stdout().lock().write_all(parts.join("\n").as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("standard output"),
        _ => Ok(ExitCode::SUCCESS),
    }
}

fn explain(plan: &PlanView<'_>, all: &ChangesView<'_>, at: Nanos) -> String {
    let stages = match plan.stages {
        [] => "every stage".into(),
        [stage] => format!("stage {stage}"),
        stages => format!("stages {}", stages.join(", ")),
    };
    let mode = if plan.observe {
        "dry run: refuses nothing, but counts and says what it would refuse"
    } else {
        "enforced"
    };
    let mut text = format!("{}: {stages}; {mode}\n", plan.name);
    let mut section = |title: &str, limits: &LimitsView<'_>| {
        let lines = lines(limits, at);
        if !lines.is_empty() {
            text += &format!("  {title}:\n{lines}");
        }
    };
    section("each subject", &plan.own);
    for (pattern, limits) in &plan.routes {
        section(&format!("each subject, besides, on {pattern}"), limits);
    }
    section("all subjects together, besides", &plan.pool);
    for (pattern, limits) in &plan.routes {
        if limits.throttles.is_empty() && limits.quotas.is_empty() && limits.concurrency.is_none() {
            text += &format!("  on {pattern}: nothing besides\n");
        }
    }
    let places = [&plan.own, &plan.pool].into_iter().chain(plan.routes.iter().map(|(_, limits)| limits));
    let unlimited = |limits: &LimitsView<'_>| {
        limits.throttles.is_empty() && limits.quotas.is_empty() && limits.concurrency.is_none()
    };
    if places.into_iter().all(unlimited) {
        text += "  no limits\n";
    }
    let subjects: Vec<_> = all
        .subjects
        .iter()
        .filter(|subject| subject.plans.iter().any(|name| name == plan.name))
        .map(|subject| subject.name)
        .collect();
    if !subjects.is_empty() {
        let more = if subjects.len() > NAMED { ", ..." } else { "" };
        let named = subjects[..subjects.len().min(NAMED)].join(", ");
        text += &format!("  {}: {named}{more}\n", words::count(subjects.len() as u64, "subject"));
    }
    text
}

fn lines(limits: &LimitsView<'_>, at: Nanos) -> String {
    let mut text = String::new();
    for throttle in &limits.throttles {
        text += &format!("    {}: {}\n", throttle.name, words::throttle(throttle));
    }
    for quota in &limits.quotas {
        text += &format!("    {}: {}\n", quota.name, words::quota(quota));
        let resets = resets(quota, at);
        if !resets.is_empty() {
            let shown: Vec<_> = resets.into_iter().map(|at| instant(at, quota)).collect();
            text += &format!("      next resets: {}\n", shown.join(", "));
        }
    }
    if let Some(cap) = &limits.concurrency {
        text += &format!("    concurrency: {}\n", words::concurrency(cap));
    }
    text
}

/// When the quota's windows end, as the engine has it.
fn resets(quota: &QuotaView<'_>, at: Nanos) -> Vec<Nanos> {
    let alone = Quota::new(quota.limit, quota.per).starting(quota.start).zone(quota.zone);
    let changes = Changes::new().plan("alone", Plan::new().quota(alone));
    let engine = Engine::builder().changes(changes).capacity(Capacity::new().cells(16).lines(16)).build();
    let Ok(engine) = engine else { return Vec::new() };
    let next = |at: &Nanos| {
        let report = engine.report_at(&Request::anonymous("alone", "somebody"), *at, Mode::Peek);
        Some(*at + report.limits().first()?.reset()?)
    };
    std::iter::successors(next(&at), next).take(RESETS).collect()
}

/// In the quota's zone, where it follows one, and in UTC.
fn instant(at: Nanos, quota: &QuotaView<'_>) -> String {
    let Ok(utc) = Timestamp::from_nanosecond(at.get().into()) else { return format!("{at:?}") };
    let follows_zone = matches!(quota.per, "day" | "week" | "month") && quota.zone != "UTC";
    match TimeZone::get(quota.zone) {
        Ok(zone) if follows_zone => {
            let local = jiff::ZonedDateTime::new(utc, zone);
            format!("{} ({utc})", local.strftime("%a %Y-%m-%d %H:%M:%S %Z"))
        }
        _ => utc.to_string(),
    }
}
