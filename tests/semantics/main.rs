//! Every rule of the semantics, by name, on the public API.

mod bad_input;
mod changes;
mod concurrency;
mod costs;
mod decision;
mod exact_rates;
mod keys;
mod quota;
mod stages_and_routes;
mod throttle;

use tollgate::{ApplyError, Changes, Engine, Mode, Nanos, Plan, Report, Request, Verdict};

/// 14 November 2023, 22:13:20 UTC, a whole second; engines begin here.
const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400 * SECOND;

fn engine(toml: &str) -> Engine {
    Engine::builder().changes(Changes::from_toml(toml).unwrap()).build().unwrap()
}

/// An engine with one plan, `p`.
fn with_plan(plan: Plan) -> Engine {
    Engine::builder().changes(Changes::new().plan("p", plan)).build().unwrap()
}

/// Why a plan file is refused.
fn refused(toml: &str) -> String {
    match Changes::from_toml(toml) {
        Err(error) => error.to_string(),
        Ok(changes) => Engine::builder().changes(changes).build().unwrap_err().to_string(),
    }
}

fn apply(engine: &Engine, toml: &str, now: u64) -> Result<(), ApplyError> {
    engine.apply_at(&Changes::from_toml(toml).unwrap(), Nanos::new(now))
}

/// A visitor on plan `p`.
fn visitor<'a>() -> Request<'a> {
    Request::anonymous("p", "visitor")
}

fn check(engine: &Engine, request: &Request<'_>, now: u64) -> (Verdict, Option<u64>) {
    let decision = engine.check_at(request, Nanos::new(now));
    (decision.verdict(), decision.retry_after().map(Nanos::get))
}

fn report(engine: &Engine, request: &Request<'_>, now: u64) -> Report {
    engine.report_at(request, Nanos::new(now), Mode::Check)
}

fn peek(engine: &Engine, request: &Request<'_>, now: u64) -> Report {
    engine.report_at(request, Nanos::new(now), Mode::Peek)
}

/// `remaining` of every limit, without a trace.
fn remaining(engine: &Engine, request: &Request<'_>, now: u64) -> Vec<u64> {
    peek(engine, &request.cost(0), now).limits().iter().map(|limit| limit.remaining()).collect()
}

fn violated(report: &Report) -> Vec<&str> {
    report.violated().map(|limit| limit.name()).collect()
}

const OK: (Verdict, Option<u64>) = (Verdict::Ok, Some(0));
