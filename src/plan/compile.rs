//! From a plan's definition to the flat form that decisions use: everything is checked here.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::tz::TimeZone;

use super::directory::{Directory, Part, QUOTAS, QuotaPart, Shape, TooMany};
use super::event::{Event, Ledger, LimitKind};
use super::names::{check_name, shown};
use super::route::{Pattern, RouteTable};
use super::spec::{Concurrency, Limits, Plan, Quota, Throttle};
use crate::algo::concurrency::Cap;
use crate::algo::gcra::MAX_FILL;
use crate::algo::quota;
use crate::algo::rate::Rate;
use crate::calendar::{Period, Windows, zone};
use crate::error::ApplyError;
use crate::time::parse_duration;

/// Percentages of a quota at which alerts fire unless it says otherwise.
const DEFAULT_ALERTS: [u32; 2] = [80, 100];

/// Nanoseconds for which a slot is held at most unless its limit says otherwise.
const DEFAULT_LEASE: u64 = 60_000_000_000;

/// A limit, ready to be judged.
#[derive(Clone, Debug)]
pub(crate) struct Limit {
    /// Index of its line in [`LimitSet::lines`].
    pub line: usize,
    /// As reports show it: `daily`, `route:GET /pets:throttle`, `pool:all-day`.
    pub name: Arc<str>,
    pub kind: Kind,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Throttle {
        /// Longest wait that is accepted, in nanoseconds.
        max_delay: u64,
    },
    Quota {
        /// Which of the line's quotas.
        slot: usize,
        quota: quota::Quota,
        /// Ascending.
        alerts: Arc<[Alert]>,
    },
    Concurrency(Cap),
}

/// A threshold of a quota.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Alert {
    /// 1 to 100.
    pub percent: u32,
    /// The least count that is at or over it.
    pub level: u64,
}

/// A line of a plan, and which of its parts the plan uses.
#[derive(Clone, Debug)]
pub(crate) struct LineUse {
    pub shape: Arc<Shape>,
    pub unit: Arc<str>,
    pub throttle: bool,
    pub quotas: [bool; QUOTAS],
    /// Of a concurrency limit, which has a line to itself.
    pub cap: Option<Cap>,
}

/// The limits of one place: a plan's own, a route's, the pool's.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitSet {
    /// In the order of the definition, throttles first.
    pub limits: Vec<Limit>,
    pub lines: Vec<LineUse>,
    /// None where the limits take several lines, one of them is for requests in flight, or arithmetic that 64 bits are too narrow for.
    pub quick: Option<super::quick::Quick>,
}

/// A plan, ready for decisions.
#[derive(Clone, Debug)]
pub(crate) struct CompiledPlan {
    pub name: Arc<str>,
    /// Given by the directory.
    pub number: u32,
    /// Sorted; empty: every stage.
    stages: Vec<Box<str>>,
    pub observe: bool,
    pub own: LimitSet,
    routes: RouteTable,
    route_limits: Vec<LimitSet>,
    pub pool: LimitSet,
    /// Who owns the pool's state.
    pub pool_owner: u64,
    /// Whether the same limits are enforced whatever the stage and the route.
    pub is_uniform: bool,
    /// And there is no pool.
    pub is_plain: bool,
}

impl CompiledPlan {
    #[inline]
    pub(crate) fn has_routes(&self) -> bool {
        !self.route_limits.is_empty()
    }

    /// Whether a request under it may take a slot of a concurrency limit.
    pub(crate) fn has_caps(&self) -> bool {
        self.sets().any(|set| set.lines.iter().any(|line| line.cap.is_some()))
    }

    #[inline]
    pub(crate) fn covers(&self, stage: Option<&str>) -> bool {
        self.stages.is_empty()
            || stage.is_some_and(|stage| self.stages.binary_search_by(|other| (**other).cmp(stage)).is_ok())
    }

    /// A stage that both plans cover: `Some("")` stands for every one.
    pub(crate) fn shares_stage<'a>(&'a self, other: &'a CompiledPlan) -> Option<&'a str> {
        match (&self.stages[..], &other.stages[..]) {
            ([], []) => Some(""),
            ([], [stage, ..]) | ([stage, ..], []) => Some(stage),
            (ours, theirs) => {
                ours.iter().find(|stage| theirs.binary_search(stage).is_ok()).map(|stage| &**stage)
            }
        }
    }

    /// The limits of the route pattern that wins; none without a route or a winner.
    pub(crate) fn route_limits(&self, route: Option<&str>, stage: Option<&str>) -> Option<&LimitSet> {
        if self.route_limits.is_empty() {
            return None;
        }
        let winner = route.and_then(|route| self.routes.find(route, stage))?;
        self.route_limits.get(winner)
    }

    /// Every line that a subject of this plan can have.
    pub(crate) fn subject_lines(&self) -> impl Iterator<Item = &LineUse> {
        self.own.lines.iter().chain(self.route_limits.iter().flat_map(|set| &set.lines))
    }

    fn sets(&self) -> impl Iterator<Item = &LimitSet> {
        core::iter::once(&self.own).chain(&self.route_limits).chain([&self.pool])
    }

    /// Words of state that one decision under this plan changes at most: those of the lines, which may have to be made first;
    /// of each quota of a subject what is kept beside it and the rows of two days; two lines of each concurrency limit.
    pub(crate) fn most_words(&self) -> usize {
        let count = |set: &LimitSet, line: usize, quota: usize| {
            let quotas = set.limits.iter().filter(|limit| matches!(limit.kind, Kind::Quota { .. })).count();
            set.lines.len() * line + quotas * quota
        };
        let routes = self.route_limits.iter().map(|set| count(set, 8, 11)).max();
        count(&self.own, 8, 11) + routes.unwrap_or(0) + count(&self.pool, 4, 3)
    }

    /// The quota that stands in a line's slot, if the plan has it.
    pub(crate) fn quota_at(&self, line: u32, slot: usize) -> Option<&Limit> {
        self.sets().find_map(|set| {
            let is_it = |limit: &&Limit| match &limit.kind {
                Kind::Quota { slot: other, .. } => *other == slot && set.lines[limit.line].shape.line == line,
                _ => false,
            };
            set.limits.iter().find(is_it)
        })
    }

    /// The quotas that each subject has for itself, in the order of reports, with their lines.
    pub(crate) fn subject_quotas(&self) -> impl Iterator<Item = (&Limit, &LineUse)> {
        let sets = core::iter::once(&self.own).chain(&self.route_limits);
        sets.flat_map(|set| set.limits.iter().map(|limit| (limit, &set.lines[limit.line])))
            .filter(|(limit, _)| matches!(limit.kind, Kind::Quota { .. }))
    }

    /// Takes over the histories of `directory`.
    pub(crate) fn refresh(&mut self, directory: &Directory) {
        let routes = self.route_limits.iter_mut().flat_map(|set| &mut set.lines);
        for line in self.own.lines.iter_mut().chain(routes).chain(&mut self.pool.lines) {
            if let Some(shape) = directory.shape(line.shape.line) {
                line.shape = shape.clone();
            }
        }
        for set in self.route_limits.iter_mut().chain([&mut self.own, &mut self.pool]) {
            set.quick = set.quick();
        }
    }

    /// Checks `plan` and compiles it, its limits taking effect at `now`.
    ///
    /// # Errors
    /// Names the field. What was recorded in `ledger` before that stays.
    pub(crate) fn new(
        name: &str,
        plan: &Plan,
        pool_owner: u64,
        ledger: &mut dyn Ledger,
        now: u64,
    ) -> Result<CompiledPlan, ApplyError> {
        let field = format!("plans.{}", shown(name));
        check_name(&field, name)?;
        let mut stages: Vec<Box<str>> = Vec::new();
        for (index, stage) in plan.stages.iter().enumerate() {
            let field = format!("{field}.stages[{index}]");
            check_name(&field, stage)?;
            if stage.contains(' ') {
                return Err(ApplyError::invalid(
                    field,
                    format!("{stage:?} holds a space; a stage is written api/stage"),
                ));
            }
            match stages.binary_search_by(|other| (**other).cmp(stage)) {
                Ok(_) => return Err(ApplyError::invalid(field, format!("{stage:?} stands twice"))),
                Err(at) => stages.insert(at, stage.as_str().into()),
            }
        }
        let mut compiled = CompiledPlan {
            name: name.into(),
            number: 0,
            stages,
            observe: plan.observe,
            own: LimitSet::default(),
            routes: RouteTable::default(),
            route_limits: Vec::new(),
            pool: LimitSet::default(),
            pool_owner,
            is_uniform: false,
            is_plain: false,
        };

        let mut compiler = Compiler { plan: name, ledger, now };
        compiled.own =
            compiler.limits(&field, &Place::Own, &plan.throttle, &plan.quotas, plan.concurrency.as_ref())?;
        for (text, limits) in &plan.routes {
            let field = format!("{field}.routes.{text:?}");
            let pattern = Pattern::parse(text).map_err(|problem| ApplyError::invalid(&field, problem))?;
            compiled.routes.add(&pattern, compiled.route_limits.len());
            let limits = compiler.set(&field, &Place::Route(text.as_str().into()), limits)?;
            compiled.route_limits.push(limits);
        }
        compiled.pool = compiler.set(&format!("{field}.pool"), &Place::Pool, &plan.pool)?;
        compiled.is_uniform =
            !compiled.observe && compiled.stages.is_empty() && compiled.route_limits.is_empty();
        compiled.is_plain = compiled.is_uniform && compiled.pool.lines.is_empty();
        Ok(compiled)
    }
}

/// Where in a plan a limit stands.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Place {
    Own,
    Route(Arc<str>),
    Pool,
}

struct Compiler<'a> {
    plan: &'a str,
    ledger: &'a mut dyn Ledger,
    now: u64,
}

impl Compiler<'_> {
    fn set(&mut self, field: &str, place: &Place, limits: &Limits) -> Result<LimitSet, ApplyError> {
        self.limits(field, place, &limits.throttle, &limits.quotas, limits.concurrency.as_ref())
    }

    fn limits(
        &mut self,
        field: &str,
        place: &Place,
        throttles: &[Throttle],
        quotas: &[Quota],
        concurrency: Option<&Concurrency>,
    ) -> Result<LimitSet, ApplyError> {
        let mut defined = Vec::with_capacity(throttles.len() + quotas.len());
        for (index, throttle) in throttles.iter().enumerate() {
            let field = match throttles.len() {
                1 => format!("{field}.throttle"),
                _ => format!("{field}.throttle[{index}]"),
            };
            defined.push((self.throttle(&field, place, throttle)?, field));
        }
        for (index, quota) in quotas.iter().enumerate() {
            let field = format!("{field}.quotas[{index}]");
            defined.push((self.quota(&field, place, quota)?, field));
        }
        if let Some(concurrency) = concurrency {
            let field = format!("{field}.concurrency");
            defined.push((self.concurrency(&field, place, concurrency)?, field));
        }
        let mut names = HashSet::new();
        for (limit, field) in &defined {
            if !names.insert(&limit.name) {
                let problem = format!("{:?} names two limits; give one another `name`", limit.name);
                return Err(ApplyError::invalid(format!("{field}.name"), problem));
            }
        }
        let mut set = LimitSet::default();
        for (Defined { name, unit, line, part, kind }, _) in defined {
            // The shape is taken when all of its limits are defined.
            let Some(shape) = self.ledger.directory().shape(line) else { continue };
            let known = set.lines.iter().position(|other| other.shape.line == line);
            let index = known.unwrap_or(set.lines.len());
            if known.is_none() {
                let (shape, quotas) = (shape.clone(), [false; QUOTAS]);
                set.lines.push(LineUse { shape, unit, throttle: false, quotas, cap: None });
            }
            match part {
                Part::Throttle => set.lines[index].throttle = true,
                Part::Quota(slot) => set.lines[index].quotas[slot] = true,
                Part::Slots => {
                    set.lines[index].cap = match kind {
                        Kind::Concurrency(cap) => Some(cap),
                        _ => None,
                    }
                }
            }
            set.limits.push(Limit { line: index, name, kind });
        }
        set.quick = set.quick();
        Ok(set)
    }

    /// What the limit is, what it shares lines with, and as what reports show it.
    fn identity(
        &self,
        field: &str,
        place: &Place,
        kind: LimitKind,
        name: &str,
        unit: Option<&str>,
    ) -> Result<Identity, ApplyError> {
        check_name(&format!("{field}.name"), name)?;
        let unit = unit.unwrap_or("requests");
        check_name(&format!("{field}.unit"), unit)?;
        let (room, pattern) = match place {
            Place::Own => ("own", ""),
            Place::Route(pattern) => ("route", &**pattern),
            Place::Pool => ("pool", ""),
        };
        let shown = match place {
            Place::Own => name.into(),
            Place::Route(pattern) => format!("route:{pattern}:{name}").into(),
            Place::Pool => format!("pool:{name}").into(),
        };
        let kind_name = match kind {
            LimitKind::Throttle => "throttle",
            LimitKind::Quota => "quota",
            LimitKind::Concurrency => "concurrency",
        };
        Ok(Identity {
            group: self.ledger.identity(&[self.plan, room, pattern, unit]),
            limit: self.ledger.identity(&[self.plan, room, pattern, unit, kind_name, name]),
            kind,
            unit: unit.into(),
            shown,
        })
    }

    /// The line and part of a limit, new ones if it has none.
    fn part(&mut self, identity: &Identity) -> Result<(u32, Part), TooMany> {
        let &Identity { group, limit, kind, .. } = identity;
        loop {
            match self.ledger.directory().part(limit) {
                Some(found) => return Ok(found),
                None => self.ledger.record(&Event::Limit { group, limit, kind })?,
            }
        }
    }

    /// Sees to it that a line's throttle is of this rate and burst.
    fn set_throttle(&mut self, line: u32, rate: Rate, burst: u64) -> Result<(), TooMany> {
        loop {
            let shape = self.ledger.directory().shape(line);
            let throttle = shape.and_then(|shape| shape.throttle.as_ref());
            if throttle.is_some_and(|timeline| self.ledger.keeps() || timeline.is_like(rate, burst)) {
                return Ok(());
            }
            self.ledger.record(&Event::Throttle { line, rate, burst, at: self.now })?;
        }
    }

    /// Sees to it that a line's quota has these windows.
    fn set_quota(
        &mut self,
        line: u32,
        slot: usize,
        limit: u64,
        windows: &Windows,
        initial_debit: bool,
    ) -> Result<(), TooMany> {
        loop {
            let shape = self.ledger.directory().shape(line);
            let quota = shape.and_then(|shape| shape.quotas.get(slot)?.as_ref());
            let same = |quota: &QuotaPart| {
                self.ledger.keeps()
                    || quota.schedule.is_like(windows, limit) && quota.initial_debit == initial_debit
            };
            if quota.is_some_and(same) {
                return Ok(());
            }
            let windows = windows.clone();
            self.ledger.record(&Event::Quota { line, slot, limit, windows, initial_debit, at: self.now })?;
        }
    }

    fn throttle(&mut self, field: &str, place: &Place, throttle: &Throttle) -> Result<Defined, ApplyError> {
        let own_name = throttle.name.as_deref().unwrap_or("throttle");
        let identity =
            self.identity(field, place, LimitKind::Throttle, own_name, throttle.unit.as_deref())?;
        let rate: Rate =
            throttle.rate.parse().map_err(|error| ApplyError::invalid(format!("{field}.rate"), error))?;
        let burst = throttle.burst;
        if burst == 0 {
            return Err(ApplyError::invalid(
                format!("{field}.burst"),
                "0 admits nothing: at least 1 (a rate of \"0/s\" admits nothing)",
            ));
        }
        let max_delay = match &throttle.mode {
            None => 0,
            Some(mode) => parse_duration(&mode.delay)
                .map_err(|error| ApplyError::invalid(format!("{field}.mode.delay"), error))?
                .get(),
        };
        if !rate.is_zero() {
            // Below 2^64 * 2^62.
            let fill = (u128::from(burst) * u128::from(rate.nanos())).div_ceil(rate.tokens().into());
            if fill + u128::from(max_delay) > MAX_FILL.into() {
                let room = u128::from(MAX_FILL.saturating_sub(max_delay));
                let most = room * u128::from(rate.tokens()) / u128::from(rate.nanos());
                let problem = format!(
                    "{burst} takes more than 180 days to refill at {rate}, maximal delay included: at most {most} here"
                );
                return Err(ApplyError::invalid(format!("{field}.burst"), problem));
            }
        }
        let defined = self.part(&identity);
        let defined = defined.and_then(|found| self.set_throttle(found.0, rate, burst).map(|()| found));
        let (line, part) = defined.map_err(|error| too_many(field, error))?;
        Ok(identity.defined(line, part, Kind::Throttle { max_delay }))
    }

    fn quota(&mut self, field: &str, place: &Place, quota: &Quota) -> Result<Defined, ApplyError> {
        let own_name = quota.name.as_deref().unwrap_or(&quota.per);
        let identity = self.identity(field, place, LimitKind::Quota, own_name, quota.unit.as_deref())?;
        let period = Period::parse(&quota.per, quota.start).map_err(|error| {
            let part = if matches!(error, crate::error::PeriodError::Start { .. }) { "start" } else { "per" };
            ApplyError::invalid(format!("{field}.{part}"), error)
        })?;
        let zone = match &quota.zone {
            None => TimeZone::UTC,
            Some(name) => zone(name).map_err(|error| ApplyError::invalid(format!("{field}.zone"), error))?,
        };
        if i64::try_from(quota.limit).is_err() {
            return Err(ApplyError::invalid(
                format!("{field}.limit"),
                format!("{} is too large: at most {}", quota.limit, i64::MAX),
            ));
        }
        if quota.initial_debit > quota.limit {
            let problem = format!("{} is more than the limit: at most {}", quota.initial_debit, quota.limit);
            return Err(ApplyError::invalid(format!("{field}.initial_debit"), problem));
        }
        for (index, &alert) in quota.alerts.iter().flatten().enumerate() {
            let repeated = quota.alerts.iter().flatten().take(index).any(|&other| other == alert);
            if !(1..=100).contains(&alert) || repeated {
                let problem = format!("{alert} is not a threshold: different percentages from 1 to 100");
                return Err(ApplyError::invalid(format!("{field}.alerts[{index}]"), problem));
            }
        }
        let windows = Windows::new(period, zone);
        let (line, part) = self.part(&identity).map_err(|error| too_many(field, error))?;
        let slot = match part {
            Part::Quota(slot) => slot,
            Part::Throttle | Part::Slots => 0,
        };
        let set = self.set_quota(line, slot, quota.limit, &windows, quota.initial_debit > 0);
        set.map_err(|error| too_many(field, error))?;
        let mut percents = quota.alerts.clone().unwrap_or_else(|| DEFAULT_ALERTS.to_vec());
        percents.sort_unstable();
        let alert = |percent: u32| Alert { percent, level: quota::level(quota.limit, percent) };
        let alerts = percents.into_iter().map(alert).collect();
        let quota = quota::Quota { limit: quota.limit, initial_debit: quota.initial_debit };
        Ok(identity.defined(line, part, Kind::Quota { slot, quota, alerts }))
    }

    fn concurrency(
        &mut self,
        field: &str,
        place: &Place,
        concurrency: &Concurrency,
    ) -> Result<Defined, ApplyError> {
        let identity =
            self.identity(field, place, LimitKind::Concurrency, "concurrency", concurrency.unit.as_deref())?;
        let lease = match &concurrency.lease {
            None => DEFAULT_LEASE,
            Some(lease) => parse_duration(lease)
                .map_err(|error| ApplyError::invalid(format!("{field}.lease"), error))?
                .get(),
        };
        if lease == 0 {
            let problem = "0 frees a slot as soon as it is taken: at least \"1ns\", such as \"60s\"";
            return Err(ApplyError::invalid(format!("{field}.lease"), problem));
        }
        let (line, part) = self.part(&identity).map_err(|error| too_many(field, error))?;
        Ok(identity.defined(line, part, Kind::Concurrency(Cap { limit: concurrency.limit, lease })))
    }
}

/// What a limit is.
struct Identity {
    group: u128,
    limit: u128,
    kind: LimitKind,
    unit: Arc<str>,
    shown: Arc<str>,
}

impl Identity {
    fn defined(self, line: u32, part: Part, kind: Kind) -> Defined {
        Defined { name: self.shown, unit: self.unit, line, part, kind }
    }
}

/// A limit that has found its line.
struct Defined {
    name: Arc<str>,
    unit: Arc<str>,
    line: u32,
    part: Part,
    kind: Kind,
}

fn too_many(field: &str, error: TooMany) -> ApplyError {
    match error {
        TooMany::Segments => ApplyError::capacity(
            field,
            "limits and changes of rate have used up the 65,535 that an engine can tell apart: start a new engine",
        ),
        TooMany::Events => ApplyError::capacity(
            field,
            "the region has no room for another change of limits: format a new one for more",
        ),
        TooMany::Periods => ApplyError::capacity(
            field,
            "limit, period and zone changed more than 32,767 times: start a new engine",
        ),
    }
}
