//! A trace's engine, and what its lines do to it.

use std::borrow::Cow;

use tollgate::{ApplyError, Changes, Engine, EngineBuilder, Mode, Nanos, Pepper, Report, Request};
use zeroize::Zeroizing;

use super::ids::IdBook;
use super::json::{self, Status};
use super::line::{Asked, Cost, KeyChange, Line, LineError, Op, Secret};

/// Why a session cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The plans or subjects were refused.
    #[error(transparent)]
    Plans(#[from] ApplyError),
    /// The plan for keys that are not registered does not exist.
    #[error("--plan {0:?}: the plan file has no such plan")]
    NoSuchPlan(String),
}

/// How a line went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// It was answered: a refusal, a conflict and invalid plans are answers.
    Answered,
    /// It got an error object.
    Failed,
}

/// What a line of a JSON trace comes to.
#[cfg_attr(not(test), expect(dead_code, reason = "the answers to operations that `not_yet` refuses"))]
pub(crate) enum Answer<'a> {
    Decided {
        at: Nanos,
        report: Report,
        key: Cow<'a, [u8]>,
        peek: bool,
    },
    /// Of keys' states, plans and subjects.
    Changed(Status),
    /// The word of anything else that has no more to say.
    Status(&'static str),
    Settled {
        status: &'static str,
        /// If this line did settle.
        overdraft: Option<u64>,
    },
    Days(Vec<Day>),
    Events {
        events: Vec<Event>,
        dropped: u64,
    },
    Rotated {
        /// The new key, if the engine made it.
        value: Option<Zeroizing<Vec<u8>>>,
    },
}

/// A day of a quota's usage log.
#[derive(Debug)]
pub(crate) struct Day {
    /// The quota's name as `limits` shows it.
    pub(crate) limit: String,
    /// `2026-01-31`.
    pub(crate) date: String,
    pub(crate) used: u64,
    pub(crate) remaining: u64,
    /// Requests, whatever their cost.
    pub(crate) refused: u64,
}

/// An alert.
#[derive(Debug)]
pub(crate) struct Event {
    /// None: the plan's pool.
    pub(crate) subject: Option<String>,
    pub(crate) plan: String,
    /// The quota's name as `limits` shows it.
    pub(crate) limit: String,
    pub(crate) threshold: Threshold,
    pub(crate) window_start: Nanos,
}

/// What was crossed.
#[cfg_attr(not(test), expect(dead_code, reason = "of `alerts`, which `not_yet` refuses"))]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Threshold {
    /// So many hundredths of the limit are used.
    Percent(u8),
    /// A request was refused.
    Breached,
}

/// A trace on its way through an engine.
///
/// ```
/// use tollgate::Changes;
/// use tollgate_cli::replay::{Session, Step};
///
/// let plans = Changes::from_toml("[plans.free]\nthrottle = { rate = \"1/s\", burst = 1 }").unwrap();
/// let mut session = Session::new(plans, Some("free"), Vec::new()).unwrap();
/// let mut out = Vec::new();
/// let step = session.step(br#"{"at":0,"key":"somebody"}"#, 1, &mut out);
/// assert_eq!(step, Step::Answered);
/// assert!(out.starts_with(br#"{"verdict":"ok","retry_after_ns":0"#));
/// ```
pub struct Session {
    engine: Engine,
    plan: Option<String>,
    ids: IdBook,
}

impl Session {
    /// Puts plans and subjects in place. `plan` is for keys that are not registered.
    ///
    /// # Errors
    /// When the plans are refused, or `plan` is none of them.
    pub fn new(changes: Changes, plan: Option<&str>, peppers: Vec<Pepper>) -> Result<Session, SessionError> {
        let builder = peppers.into_iter().fold(Engine::builder(), |builder, pepper| builder.pepper(pepper));
        Session::of(builder.changes(changes), plan)
    }

    /// A session of an engine that is otherwise made.
    ///
    /// # Errors
    /// As [`Session::new`].
    pub fn of(builder: EngineBuilder, plan: Option<&str>) -> Result<Session, SessionError> {
        let engine = builder.build()?;
        if let Some(name) = plan.filter(|name| !engine.has_plan(name)) {
            return Err(SessionError::NoSuchPlan(name.to_owned()));
        }
        Ok(Session { engine, plan: plan.map(str::to_owned), ids: IdBook::new() })
    }

    /// Runs one line of a JSON trace and appends its answer: one JSON object and a line end.
    pub fn step(&mut self, line: &[u8], line_no: u64, out: &mut Vec<u8>) -> Step {
        match self.answer(line) {
            Ok(answer) => json::answer(out, &answer),
            Err(error) => {
                json::error(out, &error.to_string(), line_no);
                return Step::Failed;
            }
        }
        Step::Answered
    }

    /// Runs one line of a JSON trace.
    pub(crate) fn answer<'a>(&mut self, line: &'a [u8]) -> Result<Answer<'a>, LineError> {
        let Line { at, op } = Line::parse(line)?;
        match op {
            Op::Check(asked) => self.check(asked, at),
            Op::Peek(asked) => {
                let report = self.ask(&asked, at, Mode::Peek);
                Ok(Answer::Decided {
                    at,
                    report,
                    key: asked.key.map(Secret::into_bytes).unwrap_or_default(),
                    peek: true,
                })
            }
            Op::Key(change, key_id) => {
                let changed = match change {
                    KeyChange::Enable => self.engine.enable(&key_id),
                    KeyChange::Disable => self.engine.disable(&key_id),
                    KeyChange::Expire => self.engine.expire(&key_id),
                    KeyChange::Revoke => self.engine.revoke(&key_id),
                };
                changed.map_err(|error| LineError::new(error.to_string()))?;
                Ok(Answer::Changed(Status::Ok))
            }
            Op::Apply { plans, subjects } => {
                let status = match Changes::from_json_parts(plans, subjects) {
                    Ok(changes) => match self.engine.apply_at(&changes, at) {
                        Ok(()) => Status::Ok,
                        Err(error) if error.is_conflict() => Status::Conflict(error.to_string()),
                        Err(error) => Status::Invalid(error.to_string()),
                    },
                    Err(error) => Status::Invalid(error.to_string()),
                };
                Ok(Answer::Changed(status))
            }
            Op::Reserve(..) => not_yet("reserve"),
            Op::Settle { .. } => not_yet("settle"),
            Op::Refund { .. } => not_yet("refund"),
            Op::Release { .. } => not_yet("release"),
            Op::Usage { .. } => not_yet("usage"),
            Op::Grant { .. } => not_yet("grant"),
            Op::Alerts => not_yet("alerts"),
            Op::Rotate { .. } => not_yet("rotate"),
            Op::Snapshot { .. } => not_yet("snapshot"),
            Op::Restore { .. } => not_yet("restore"),
        }
    }

    fn check<'a>(&mut self, asked: Asked<'a>, at: Nanos) -> Result<Answer<'a>, LineError> {
        if let Some(id) = asked.id.as_deref().filter(|id| self.ids.contains(id)) {
            return Err(LineError::new(format!("id {id:?} is that of an earlier request that was admitted")));
        }
        let report = self.ask(&asked, at, Mode::Check);
        let decision = report.decision();
        if let Some(id) = asked.id.as_deref()
            && decision.is_allowed()
            && decision.would_deny() != Some(true)
        {
            self.ids.add(id);
        }
        Ok(Answer::Decided {
            at,
            report,
            key: asked.key.map(Secret::into_bytes).unwrap_or_default(),
            peek: false,
        })
    }

    fn ask(&self, asked: &Asked<'_>, at: Nanos, mode: Mode) -> Report {
        let units: Vec<(&str, u64)>;
        let mut request = Request::new(asked.key.as_ref().map_or(&[][..], Secret::as_bytes));
        if let Some(stage) = asked.stage.as_deref() {
            request = request.stage(stage);
        }
        if let Some(route) = asked.route.as_deref() {
            request = request.route(route);
        }
        request = match &asked.cost {
            Cost::Each(1) => request,
            Cost::Each(cost) => request.cost(*cost),
            Cost::Units(costs) => {
                units = costs.iter().map(|(unit, cost)| (&**unit, *cost)).collect();
                request.costs(&units)
            }
        };
        self.decide(request, at, mode)
    }

    /// Decides a request that may be of an unregistered key.
    pub(crate) fn decide(&self, request: Request<'_>, at: Nanos, mode: Mode) -> Report {
        match self.plan.as_deref() {
            Some(plan) => self.engine.report_at(&request.or_anonymous(plan), at, mode),
            None => self.engine.report_at(&request, at, mode),
        }
    }
}

fn not_yet<'a>(op: &str) -> Result<Answer<'a>, LineError> {
    Err(LineError::new(format!("this version does not support the op `{op}` yet")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ops_that_the_engine_lacks_are_refused_by_name() {
        let plans = Changes::from_toml("[plans.p]").unwrap();
        let mut session = Session::new(plans, Some("p"), Vec::new()).unwrap();
        for (op, fields) in [
            ("reserve", r#","id":"r","ttl":"60s""#),
            ("settle", r#","id":"r","actual":1"#),
            ("refund", r#","id":"r""#),
            ("release", r#","id":"r""#),
            ("usage", r#","subject":"s","plan":"p","from":"2026-01-31","to":"2026-01-31""#),
            ("grant", r#","subject":"s","plan":"p","limit":"day","remaining":1"#),
            ("alerts", ""),
            ("rotate", r#","key_id":"a","overlap":0,"new_id":"b""#),
            ("snapshot", r#","name":"n""#),
            ("restore", r#","name":"n""#),
        ] {
            let mut out = Vec::new();
            let step = session.step(format!(r#"{{"at":0,"op":"{op}"{fields}}}"#).as_bytes(), 3, &mut out);
            assert_eq!(step, Step::Failed);
            let expected =
                format!("{{\"error\":\"this version does not support the op `{op}` yet\",\"line\":3}}\n");
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
