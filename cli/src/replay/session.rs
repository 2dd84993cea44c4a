//! A trace's engine, and what its lines do to it.

use std::borrow::Cow;
use std::collections::HashMap;

use tollgate::{
    ApplyError, Changes, Engine, EngineBuilder, Mode, Nanos, Pepper, Report, Request, SecretKey,
    SettleStatus, Snapshot, Threshold, Ticket,
};
use zeroize::Zeroizing;

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
    /// By name.
    snapshots: HashMap<String, Vec<u8>>,
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
        Ok(Session { engine, plan: plan.map(str::to_owned), snapshots: HashMap::new() })
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
            Op::Check(asked) => self.check(asked, None, at),
            Op::Peek(asked) => {
                let report = self.ask(&asked, |request| self.decide(request, at, Mode::Peek));
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
            Op::Reserve(asked, ttl) => self.check(asked, Some(ttl), at),
            Op::Settle { id, actual } => {
                let settlement =
                    with_cost(&actual, |actual| self.engine.settle_at(id.as_bytes(), actual, at));
                let settled = matches!(settlement.status(), SettleStatus::Settled | SettleStatus::Late);
                let overdraft = settled.then_some(settlement.overdraft());
                Ok(Answer::Settled { status: settlement.status().as_str(), overdraft })
            }
            Op::Refund { id } => Ok(Answer::Status(self.engine.refund_at(id.as_bytes(), at).as_str())),
            Op::Release { id } => Ok(Answer::Status(self.engine.release(id.as_bytes()).as_str())),
            Op::Usage { subject, plan, from, to } => {
                let (from, to) = (date("from", &from)?, date("to", &to)?);
                let rows = self.engine.usage_at(&subject, &plan, from, to, at).map_err(failed)?;
                Ok(Answer::Days(rows.iter().map(Day::of).collect()))
            }
            Op::Grant { subject, plan, limit, remaining } => {
                self.engine.grant_at(&subject, &plan, &limit, remaining, at).map_err(failed)?;
                Ok(Answer::Status("ok"))
            }
            Op::Alerts => {
                let alerts = self.engine.alerts();
                let events = alerts.events.iter().map(Event::of).collect();
                Ok(Answer::Events { events, dropped: alerts.dropped })
            }
            Op::Rotate { key_id, overlap, new_id, value } => {
                let value = match value {
                    Some(value) => {
                        let secret = SecretKey::new(value.as_bytes()).map_err(failed)?;
                        let engine = &self.engine;
                        engine.rotate_to_at(&key_id, &new_id, &secret, overlap, at).map_err(failed)?;
                        None
                    }
                    None => {
                        let secret = self.engine.rotate_at(&key_id, &new_id, overlap, at).map_err(failed)?;
                        Some(secret.reveal(|key| Zeroizing::new(key.to_vec())))
                    }
                };
                Ok(Answer::Rotated { value })
            }
            Op::Snapshot { name } => {
                let mut bytes = Vec::new();
                self.engine.write_snapshot(&mut bytes).map_err(failed)?;
                self.snapshots.insert(name.into_owned(), bytes);
                Ok(Answer::Status("ok"))
            }
            Op::Restore { name } => {
                let bytes = self.snapshots.get(&*name);
                let bytes =
                    bytes.ok_or_else(|| LineError::new(format!("no snapshot has the name {name:?}")))?;
                let snapshot = Snapshot::read(bytes).map_err(failed)?;
                self.engine.restore_at(&snapshot, at).map_err(failed)?;
                Ok(Answer::Status("ok"))
            }
        }
    }

    /// A check, or with a time to live a reservation.
    fn check<'a>(
        &mut self,
        asked: Asked<'a>,
        ttl: Option<Nanos>,
        at: Nanos,
    ) -> Result<Answer<'a>, LineError> {
        let report = match asked.id.as_deref() {
            None => self.ask(&asked, |request| self.decide(request, at, Mode::Check)),
            Some(id) => self
                .ask(&asked, |request| {
                    let ticket = match ttl {
                        Some(ttl) => Ticket::reserve(id, ttl),
                        None => Ticket::check(id),
                    };
                    self.engine.report_as_at(&self.whoever(request), ticket, at)
                })
                .map_err(failed)?,
        };
        let key = asked.key.map(Secret::into_bytes).unwrap_or_default();
        Ok(Answer::Decided { at, report, key, peek: false })
    }

    /// Hands over a request as a line asks for it.
    fn ask<R>(&self, asked: &Asked<'_>, decide: impl FnOnce(Request<'_>) -> R) -> R {
        let mut request = Request::new(asked.key.as_ref().map_or(&[][..], Secret::as_bytes));
        if let Some(stage) = asked.stage.as_deref() {
            request = request.stage(stage);
        }
        if let Some(route) = asked.route.as_deref() {
            request = request.route(route);
        }
        with_cost(&asked.cost, |cost| {
            decide(match cost {
                tollgate::Cost::Every(cost) => request.cost(cost),
                tollgate::Cost::Units(costs) => request.costs(costs),
            })
        })
    }

    /// A request that may be of an unregistered key.
    fn whoever<'r>(&'r self, request: Request<'r>) -> Request<'r> {
        match self.plan.as_deref() {
            Some(plan) => request.or_anonymous(plan),
            None => request,
        }
    }

    /// Decides a request that may be of an unregistered key.
    pub(crate) fn decide(&self, request: Request<'_>, at: Nanos, mode: Mode) -> Report {
        self.engine.report_at(&self.whoever(request), at, mode)
    }
}

fn with_cost<R>(cost: &Cost<'_>, step: impl FnOnce(tollgate::Cost<'_>) -> R) -> R {
    match cost {
        Cost::Each(cost) => step(tollgate::Cost::Every(*cost)),
        Cost::Units(costs) => {
            let units: Vec<(&str, u64)> = costs.iter().map(|(unit, cost)| (&**unit, *cost)).collect();
            step(tollgate::Cost::Units(&units))
        }
    }
}

fn failed(error: impl std::fmt::Display) -> LineError {
    LineError::new(error.to_string())
}

fn date(field: &str, text: &str) -> Result<tollgate::Date, LineError> {
    text.parse().map_err(|error| LineError::new(format!("field `{field}`: {error}")))
}

impl Day {
    fn of(row: &tollgate::UsageRow) -> Day {
        Day {
            limit: row.limit().to_owned(),
            date: row.date().to_string(),
            used: row.used(),
            remaining: row.remaining(),
            refused: row.refused(),
        }
    }
}

impl Event {
    fn of(alert: &tollgate::Alert) -> Event {
        Event {
            subject: alert.subject().map(str::to_owned),
            plan: alert.plan().to_owned(),
            limit: alert.limit().to_owned(),
            threshold: alert.threshold(),
            window_start: alert.window_start(),
        }
    }
}
