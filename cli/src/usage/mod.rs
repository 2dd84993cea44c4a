//! `tollgate usage`: what subjects have used, by day, out of a snapshot or out of a region that is in use.

mod export;

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::{Context, bail};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ZonedDateTime};
use tollgate::view::{ChangesView, PlanView, SubjectView};
use tollgate::{
    ApplyError, Capacity, Changes, Clock, Date, Engine, ManualClock, Nanos, Region, Snapshot, SnapshotError,
    UsageRow,
};

use crate::args::{UsageArgs, UsageFormat};
use crate::plan_file;

/// How many days are shown if none are asked for.
const DAYS: i32 = 7;
/// How many subjects an error lists.
const NAMED: usize = 8;

/// What is exported.
struct Usage<'a> {
    plan: &'a str,
    from: Date,
    to: Date,
    at: Nanos,
    subjects: Vec<Used<'a>>,
}

/// What one subject has used.
struct Used<'a> {
    name: &'a str,
    /// Ids of its keys.
    keys: Vec<&'a str>,
    /// Quota by quota, day by day.
    rows: Vec<UsageRow>,
}

/// A quota that each subject has for itself, as reports name it, and its zone.
type Quota<'a> = (String, &'a str);

/// Runs `tollgate usage`.
///
/// # Errors
/// Bad arguments; names that the plan file does not have; files that cannot be read or understood.
pub fn run(args: &UsageArgs) -> anyhow::Result<ExitCode> {
    let changes = plan_file::parse(&args.plans, &plan_file::read_text(&args.plans)?)?;
    let (engine, at) = engine(args, &changes)?;
    let view = changes.view();
    let of_plans = || args.plans.display().to_string();
    let plan = plan(&view, &args.plan).with_context(of_plans)?;
    let quota = quota(plan, args).with_context(of_plans)?;
    let subjects = subjects(&view, plan, &args.subjects).with_context(of_plans)?;
    let (from, to) = days(args, at, quota.1)?;
    let mut usage = Usage { plan: plan.name, from, to, at, subjects };
    for used in &mut usage.subjects {
        used.rows = engine.usage_at(used.name, plan.name, from, to, at)?;
        used.rows.retain(|row| args.limit.is_none() || row.limit() == quota.0);
    }
    export::write(&usage, args.format)?;
    Ok(ExitCode::SUCCESS)
}

/// An engine of this process's own that begins from what the file holds, and the instant that is asked for.
fn engine(args: &UsageArgs, changes: &Changes) -> anyhow::Result<(Engine, Nanos)> {
    let asked = args.at.map(|at| match u64::try_from(at.as_nanosecond()) {
        Ok(nanos) => Ok(Nanos::new(nanos)),
        Err(_) => bail!("--at {at}: before 1970 or after 2554"),
    });
    let asked = asked.transpose()?;
    let builder =
        args.peppers.iter().cloned().fold(Engine::builder(), |builder, pepper| builder.pepper(pepper));
    let (builder, at, file) = match (&args.snapshot, &args.region) {
        (Some(file), _) => {
            let snapshot = Snapshot::load(file).map_err(|error| match error {
                // Names the file already.
                SnapshotError::Io { .. } => anyhow::Error::new(error),
                _ => anyhow::Error::new(error).context(file.display().to_string()),
            })?;
            let at = asked.unwrap_or(snapshot.taken_at());
            // Whatever the plan file has that the snapshot has not takes effect at the instant that is asked for.
            (builder.capacity(Capacity::new().plus(snapshot.capacity())).snapshot(snapshot), Some(at), file)
        }
        (None, Some(file)) => (builder.region(Region::copy_of(file)?), asked, file),
        (None, None) => bail!("give --snapshot or --region"),
    };
    let builder = match at {
        Some(at) => builder.clock(Clock::Manual(ManualClock::at(at))),
        None => builder,
    };
    let engine = builder.changes(changes.clone()).build().map_err(|error| {
        let file = match error {
            ApplyError::Region(_) | ApplyError::Snapshot(_) => file,
            _ => &args.plans,
        };
        anyhow::Error::new(error).context(file.display().to_string())
    })?;
    let at = at.unwrap_or_else(|| engine.now());
    Ok((engine, at))
}

fn plan<'v, 'a>(view: &'v ChangesView<'a>, name: &str) -> anyhow::Result<&'v PlanView<'a>> {
    let found = view.plans.iter().find(|plan| plan.name == name);
    found.with_context(|| {
        let names: Vec<_> = view.plans.iter().map(|plan| plan.name).collect();
        format!("there is no plan {name:?}, only {}", names.join(", "))
    })
}

/// The quota that is asked for, otherwise the plan's first.
fn quota<'a>(plan: &PlanView<'a>, args: &UsageArgs) -> anyhow::Result<Quota<'a>> {
    let own = plan.own.quotas.iter().map(|quota| (quota.name.to_owned(), quota.zone));
    let of_routes = plan.routes.iter().flat_map(|(pattern, limits)| {
        limits.quotas.iter().map(move |quota| (format!("route:{pattern}:{}", quota.name), quota.zone))
    });
    let quotas: Vec<Quota<'_>> = own.chain(of_routes).collect();
    let names = || quotas.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>().join(", ");
    let several = quotas.len() > 1;
    let found = match args.limit.as_deref() {
        _ if quotas.is_empty() => bail!("plan {:?} has no quota that each subject has for itself", plan.name),
        Some(limit) => quotas.iter().position(|(name, _)| name == limit).with_context(|| {
            format!(
                "--limit {limit:?}: plan {:?} has no such quota for each subject, only {}",
                plan.name,
                names()
            )
        })?,
        None if several && args.format == UsageFormat::Json => bail!(
            "--format json shows one quota, and plan {:?} has several: choose one with --limit, of {}",
            plan.name,
            names()
        ),
        None => 0,
    };
    Ok(quotas.into_iter().nth(found).unwrap_or_default())
}

/// Those that are asked for, otherwise all that are on the plan.
fn subjects<'a>(
    view: &ChangesView<'a>,
    plan: &PlanView<'_>,
    asked: &[String],
) -> anyhow::Result<Vec<Used<'a>>> {
    let known: HashSet<&str> = view.subjects.iter().map(|subject| subject.name).collect();
    if let Some(unknown) = asked.iter().find(|name| !known.contains(name.as_str())) {
        let on_plan: Vec<_> = on_plan(view, plan).map(|subject| subject.name).collect();
        let more = if on_plan.len() > NAMED { ", ..." } else { "" };
        let names = on_plan[..on_plan.len().min(NAMED)].join(", ");
        let names = if names.is_empty() { "nobody" } else { &names };
        bail!("there is no subject {unknown:?}; on plan {:?} are {names}{more}", plan.name);
    }
    let asked: HashSet<&str> = asked.iter().map(String::as_str).collect();
    let wanted: Vec<_> = match asked.is_empty() {
        true => on_plan(view, plan).collect(),
        false => view.subjects.iter().filter(|subject| asked.contains(subject.name)).collect(),
    };
    let used = wanted.into_iter().map(|subject| Used {
        name: subject.name,
        keys: subject.keys.iter().flatten().map(|key| key.id).collect(),
        rows: Vec::new(),
    });
    Ok(used.collect())
}

fn on_plan<'v, 'a>(
    view: &'v ChangesView<'a>,
    plan: &'v PlanView<'_>,
) -> impl Iterator<Item = &'v SubjectView<'a>> {
    view.subjects.iter().filter(|subject| subject.plans.iter().any(|name| name == plan.name))
}

/// The first and the last day. What is not given follows from the day that `at` is in the quota's zone.
fn days(args: &UsageArgs, at: Nanos, zone: &str) -> anyhow::Result<(Date, Date)> {
    let to = match args.to {
        Some(to) => to,
        None => {
            let local =
                ZonedDateTime::new(Timestamp::from_nanosecond(at.get().into())?, TimeZone::get(zone)?);
            local.date().to_string().parse()?
        }
    };
    let from = args.from.unwrap_or_else(|| Date::from_days(to.days() - (DAYS - 1)));
    if from > to {
        bail!("--from {from} is later than --to {to}");
    }
    Ok((from, to))
}
