//! The decision: who asks, which limits apply, do all accept, debit all or none.

use std::sync::Arc;

use smallvec::SmallVec;

use super::decision::{Decision, LimitKind, LimitReport, Report, Verdict};
use super::request::{Identity, Request};
use super::world::{KeyRecord, OwnerKind, World};
use super::{Engine, Mode, state};
use crate::algo::gcra::Bucket;
use crate::algo::quota::Open;
use crate::algo::{Standing, Wait};
use crate::key::{Found, MAX_KEY};
use crate::plan::{CompiledPlan, Kind, Limit};
use crate::store::{CellKey, Words};
use crate::time::Nanos;

/// Who wants to know more than the decision.
pub(super) trait Observer {
    /// The subject and plan of a request.
    fn resolved(&mut self, plan: &CompiledPlan, record: Option<&KeyRecord>);
    /// A limit after the decision. `standing` is computed only when asked for.
    fn limit(
        &mut self,
        limit: &Limit,
        violated: bool,
        window: impl FnOnce() -> Option<u64>,
        standing: impl FnOnce() -> Standing,
    );
    /// The decision has to be made again.
    fn restart(&mut self);
}

/// Nobody.
pub(super) struct Ignore;

impl Observer for Ignore {
    fn resolved(&mut self, _: &CompiledPlan, _: Option<&KeyRecord>) {}
    fn limit(&mut self, _: &Limit, _: bool, _: impl FnOnce() -> Option<u64>, _: impl FnOnce() -> Standing) {}
    fn restart(&mut self) {}
}

/// Collects a [`Report`].
#[derive(Default)]
pub(super) struct Collect {
    limits: Vec<LimitReport>,
    plan: Option<Arc<str>>,
    subject: Option<Arc<str>>,
    key_id: Option<Arc<str>>,
}

impl Collect {
    pub(super) fn into_report(self, decision: Decision) -> Report {
        Report { decision, limits: self.limits, plan: self.plan, subject: self.subject, key_id: self.key_id }
    }
}

impl Observer for Collect {
    fn resolved(&mut self, plan: &CompiledPlan, record: Option<&KeyRecord>) {
        if self.plan.is_none() {
            self.plan = Some(plan.name.clone());
            self.subject = record.map(|record| record.subject.name.clone());
            self.key_id = record.map(|record| record.id.clone());
        }
    }

    fn limit(
        &mut self,
        limit: &Limit,
        violated: bool,
        window: impl FnOnce() -> Option<u64>,
        standing: impl FnOnce() -> Standing,
    ) {
        let Standing { limit: size, remaining, reset } = standing();
        self.limits.push(LimitReport {
            name: limit.name.clone(),
            kind: limit.kind.name(),
            limit: size,
            remaining,
            reset: reset.map(Nanos::new),
            window: window().map(Nanos::new),
            violated,
        });
    }

    fn restart(&mut self) {
        *self = Collect::default();
    }
}

impl Kind {
    fn name(&self) -> LimitKind {
        match self {
            Kind::Throttle { .. } => LimitKind::Throttle,
            Kind::Quota { .. } => LimitKind::Quota,
        }
    }
}

/// One limit that applies to the decision.
struct Applied<'w> {
    limit: &'w Limit,
    /// Summed over the requests that share the cell.
    cost: u64,
    /// The request that brought it in.
    part: usize,
    /// Whether its plan only observes.
    observe: bool,
}

type AppliedList<'w> = SmallVec<[Applied<'w>; 8]>;
type CellKeys = SmallVec<[CellKey; 8]>;

/// A cell as it stands at the decision's instant.
#[derive(Clone, Copy)]
enum State {
    Throttle(Bucket),
    Quota(Open),
}

struct Judged {
    state: State,
    /// How long until the limit would accept; its maximal delay is taken off.
    wait: Wait,
    /// Nanoseconds that the request would have to be delayed for this limit, if it accepts.
    delay: u64,
}

impl Judged {
    fn accepts(&self) -> bool {
        self.wait == Wait::NOW
    }
}

/// A cell was written under plans that this decision has not seen.
struct Outdated;

impl Engine {
    pub(super) fn decide<O: Observer>(
        &self,
        requests: &[Request<'_>],
        now: Nanos,
        mode: Mode,
        observer: &mut O,
    ) -> Decision {
        loop {
            let world = self.world.load();
            if !world.covers(now.get()) {
                drop(world);
                self.rebase(now);
                continue;
            }
            match self.decide_in(&world, requests, now.get(), mode, observer) {
                Ok(decision) => return decision,
                // The newer world is in place already: it was swapped in before any cell was written under it.
                Err(Outdated) => observer.restart(),
            }
        }
    }

    fn decide_in<O: Observer>(
        &self,
        world: &World,
        requests: &[Request<'_>],
        now: u64,
        mode: Mode,
        observer: &mut O,
    ) -> Result<Decision, Outdated> {
        let mut applied = AppliedList::new();
        let mut cells = CellKeys::new();
        let mut observes = false;
        for (part, request) in requests.iter().enumerate() {
            let (owner, plan, record) = match self.resolve(world, request, now) {
                Ok(found) => found,
                Err(verdict) => {
                    observer.restart();
                    return Ok(Decision::without_limits(verdict));
                }
            };
            observer.resolved(plan, record);
            observes |= plan.observe;
            let mut add = |owner: u128, limit: &'_ Limit| -> Option<usize> {
                let key = CellKey { owner, limit: limit.id };
                let shared = cells.iter().position(|other| *other == key);
                if shared.is_none() {
                    cells.push(key);
                }
                shared
            };
            let route = plan.route_limits(request.route, request.stage);
            let pool = if plan.pool.is_empty() {
                0
            } else {
                self.owners.owner(OwnerKind::Pool, plan.name.as_bytes())
            };
            let limits = plan.own.iter().chain(route).map(|limit| (owner, limit));
            for (owner, limit) in limits.chain(plan.pool.iter().map(|limit| (pool, limit))) {
                let cost = request.cost.of(&limit.unit);
                match add(owner, limit) {
                    Some(at) => applied[at].cost = applied[at].cost.saturating_add(cost),
                    None => applied.push(Applied { limit, cost, part, observe: plan.observe }),
                }
            }
        }
        self.store.transact(&cells, |words| settle(&applied, words, now, mode, observes, observer))
    }

    /// Who asks: the owner of the state, and the plan.
    fn resolve<'w>(
        &self,
        world: &'w World,
        request: &Request<'_>,
        now: u64,
    ) -> Result<(u128, &'w CompiledPlan, Option<&'w KeyRecord>), Verdict> {
        let key = request.key;
        if key.is_empty() {
            return Err(Verdict::KeyMissing);
        }
        if key.len() > MAX_KEY {
            return Err(Verdict::KeyUnknown);
        }
        let found = match request.identity {
            Identity::Anonymous(_) => Found::Unknown,
            _ => world.keys.find(&self.peppers, key),
        };
        let record = match (found, request.identity) {
            (Found::Registered(record), _) => record,
            (_, Identity::Registered) => return Err(Verdict::KeyUnknown),
            // What was revoked does not come in by another door.
            (Found::Revoked, _) => return Err(Verdict::KeyRevoked),
            (Found::Unknown, Identity::Anonymous(plan) | Identity::RegisteredOrAnonymous(plan)) => {
                let plan = world.plan_named(plan).filter(|plan| plan.covers(request.stage));
                let plan = plan.ok_or(Verdict::NoPlanForStage)?;
                return Ok((self.owners.owner(OwnerKind::Anonymous, key), plan, None));
            }
        };
        if record.revoked {
            return Err(Verdict::KeyRevoked);
        }
        if record.expires.is_some_and(|expires| now >= expires) {
            return Err(Verdict::KeyExpired);
        }
        if !record.enabled {
            return Err(Verdict::KeyDisabled);
        }
        let mut plans = record.subject.plans.iter().filter_map(|&number| world.plan(number));
        let plan = plans.find(|plan| plan.covers(request.stage)).ok_or(Verdict::NoPlanForStage)?;
        Ok((record.subject.owner, plan, Some(record)))
    }
}

/// Judges every limit and debits all or none. `words` are those of `applied`, in its order.
fn settle<O: Observer>(
    applied: &[Applied<'_>],
    words: &mut [Words],
    now: u64,
    mode: Mode,
    observes: bool,
    observer: &mut O,
) -> Result<Decision, Outdated> {
    let mut judged: SmallVec<[Judged; 8]> = SmallVec::with_capacity(applied.len());
    for (applied, words) in applied.iter().zip(words.iter()) {
        judged.push(judge(applied, words, now)?);
    }
    let limits = || applied.iter().zip(&judged);

    // An observing plan neither refuses nor delays; the enforced limits decide alone.
    let admitted = limits().all(|(limit, judged)| limit.observe || judged.accepts());
    let debits = |applied: &Applied<'_>| {
        admitted
            && (!applied.observe
                || limits().all(|(other, judged)| other.part != applied.part || judged.accepts()))
    };
    let denied = limits().any(|(_, judged)| !judged.accepts());
    let violates =
        |applied: &Applied<'_>, judged: &Judged| !judged.accepts() && (admitted || !applied.observe);

    let mut decision = Decision::without_limits(Verdict::Ok);
    decision.would_deny = observes.then_some(denied);
    if denied {
        let violated = limits().filter(|(limit, judged)| violates(limit, judged));
        let (verdict, wait) = refusal(violated.map(|(limit, judged)| (limit.limit.kind.name(), judged.wait)));
        decision.retry_after = wait.map(Nanos::new);
        if !admitted {
            decision.verdict = verdict;
        }
    }
    if admitted {
        let delay = limits().filter(|(limit, _)| !limit.observe).map(|(_, judged)| judged.delay).max();
        decision.delay = Nanos::new(delay.unwrap_or(0));
        if decision.delay > Nanos::ZERO {
            decision.verdict = Verdict::Delayed;
        }
    }

    for ((applied, judged), words) in limits().zip(words) {
        let mut after = judged.state;
        if mode == Mode::Check && applied.cost > 0 && debits(applied) {
            after = debited(applied, judged.state, now);
            *words = match after {
                State::Throttle(bucket) => state::of_bucket(bucket),
                State::Quota(open) => state::of_counter(open.counter()),
            };
        }
        observer.limit(
            applied.limit,
            violates(applied, judged),
            || window(applied.limit, now),
            || standing(applied.limit, after, now),
        );
    }
    Ok(decision)
}

fn judge(applied: &Applied<'_>, words: &Words, now: u64) -> Result<Judged, Outdated> {
    let cost = applied.cost;
    Ok(match &applied.limit.kind {
        Kind::Throttle { timeline, max_delay } => {
            let bucket = timeline.bring_forward(state::bucket(words)).ok_or(Outdated)?;
            let wait = timeline.wait(bucket, now, cost);
            let (wait, delay) = match wait {
                Wait::Nanos(nanos) => (Wait::Nanos(nanos.saturating_sub(*max_delay)), nanos),
                never => (never, 0),
            };
            Judged { state: State::Throttle(bucket), wait, delay }
        }
        Kind::Quota { quota, schedule } => {
            let counter = schedule.bring_forward(state::counter(words)).ok_or(Outdated)?;
            let open = quota.open(schedule, counter, now);
            Judged { state: State::Quota(open), wait: quota.wait(&open, cost), delay: 0 }
        }
    })
}

fn debited(applied: &Applied<'_>, state: State, now: u64) -> State {
    match (&applied.limit.kind, state) {
        (Kind::Throttle { timeline, .. }, State::Throttle(bucket)) => {
            State::Throttle(timeline.debit(bucket, now, applied.cost))
        }
        (Kind::Quota { quota, .. }, State::Quota(open)) => State::Quota(quota.debit(&open, applied.cost)),
        (_, state) => state,
    }
}

fn standing(limit: &Limit, state: State, now: u64) -> Standing {
    match (&limit.kind, state) {
        (Kind::Throttle { timeline, .. }, State::Throttle(bucket)) => timeline.standing(bucket, now),
        (Kind::Quota { quota, .. }, State::Quota(open)) => quota.standing(&open),
        _ => Standing { limit: 0, remaining: 0, reset: None },
    }
}

fn window(limit: &Limit, now: u64) -> Option<u64> {
    match &limit.kind {
        Kind::Throttle { timeline, .. } => timeline.fill_time(),
        Kind::Quota { schedule, .. } => {
            let window = schedule.windows().at(now);
            window.end.map(|end| end - window.start)
        }
    }
}

/// Verdict and wait of a refusal by `violated`.
fn refusal(violated: impl Iterator<Item = (LimitKind, Wait)>) -> (Verdict, Option<u64>) {
    // (longest wait, how the tie goes); no wait that helps is the longest.
    let mut worst = (0, 0);
    let mut verdict = Verdict::Ok;
    let mut exceeds = false;
    let mut retry = Some(0);
    for (kind, wait) in violated {
        let (rank, own) = match kind {
            LimitKind::Quota => (3, Verdict::QuotaExceeded),
            LimitKind::Throttle => (2, Verdict::Throttled),
            LimitKind::Concurrency => (1, Verdict::ConcurrencyExceeded),
        };
        let length = match wait {
            Wait::Nanos(nanos) => u128::from(nanos),
            Wait::Never | Wait::Exceeds => u128::MAX,
        };
        exceeds |= wait == Wait::Exceeds;
        retry = match (retry, wait) {
            (Some(longest), Wait::Nanos(nanos)) => Some(nanos.max(longest)),
            _ => None,
        };
        if (length, rank) > worst {
            worst = (length, rank);
            verdict = own;
        }
    }
    (if exceeds { Verdict::CostExceedsLimit } else { verdict }, retry)
}
