//! What a decision judges: the limits that apply, their state at one instant, and whether they accept.

use std::sync::Arc;

use smallvec::SmallVec;

use super::carry::Brought;
use super::decide::{Held, Outdated};
use super::decision::{Decision, LimitKind, Retry, Verdict};
use super::slots::Slots;
use super::state::Raw;
use super::world::World;
use crate::algo::concurrency::Cap;
use crate::algo::gcra::{Bucket, Timeline};
use crate::algo::quota::{Open, Quota, Schedule};
use crate::algo::{Standing, Wait};
use crate::plan::{Kind, Limit, LimitSet, LineUse, QUOTAS};
use crate::time::Nanos;

/// A set of limits that applies, and its owner.
pub(super) struct Applied<'w> {
    pub set: &'w LimitSet,
    pub owner: u64,
    /// Index of its first line in the decision.
    pub first: usize,
}

/// Whose state it is.
#[derive(Clone, Copy)]
pub(super) enum Account<'w> {
    /// Nothing is kept beside its quotas.
    Anonymous,
    /// And its name.
    Subject(&'w Arc<str>),
    Pool,
}

impl Account<'_> {
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self, Account::Anonymous)
    }

    /// Whether there is a usage log.
    pub(super) fn is_subject(&self) -> bool {
        matches!(self, Account::Subject(_))
    }

    /// The subject's name.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        match self {
            Account::Subject(name) => Some(Arc::clone(name)),
            Account::Pool | Account::Anonymous => None,
        }
    }
}

/// A line that takes part in the decision.
pub(super) struct Seat<'w> {
    pub used: &'w LineUse,
    pub plan: &'w Arc<str>,
    /// Whether its plan only observes.
    pub observe: bool,
    pub account: Account<'w>,
    pub owner: u64,
    pub hash: u64,
    /// Summed over the requests that share the line. Of a concurrency limit: whether a slot is to be taken.
    pub cost: u64,
    /// The request that brought it in.
    pub part: usize,
    pub held: Held,
    pub raw: Raw,
    /// The quotas as they stand now.
    pub quotas: [Brought; QUOTAS],
    pub slots: Slots,
}

impl<'w> Seat<'w> {
    pub(super) fn new(
        used: &'w LineUse,
        (plan, observe): (&'w Arc<str>, bool),
        account: Account<'w>,
        (owner, hash): (u64, u64),
        cost: u64,
        part: usize,
    ) -> Seat<'w> {
        let (held, raw, quotas, slots) = Default::default();
        Seat { used, plan, observe, account, owner, hash, cost, part, held, raw, quotas, slots }
    }

    pub(super) fn timeline(&self) -> Option<&Timeline> {
        self.used.shape.throttle.as_deref()
    }

    pub(super) fn schedule(&self, slot: usize) -> Option<&Schedule> {
        self.used.shape.quotas[slot].as_ref().map(|quota| &*quota.schedule)
    }

    /// A quota in the window that counts at `now`.
    #[inline]
    pub(super) fn open(&self, slot: usize, quota: &Quota, now: u64) -> Option<Open> {
        let Brought { counter, beside, .. } = self.quotas[slot];
        Some(quota.open(self.schedule(slot)?, counter, beside, now))
    }
}

/// A limit as it stands at the decision's instant.
#[derive(Clone, Copy)]
pub(super) enum State {
    Throttle(Bucket),
    Quota(Open),
    /// And whether the request has taken one.
    Slots(bool),
}

pub(super) struct Judged<'w> {
    pub limit: &'w Limit,
    pub seat: usize,
    pub state: State,
    /// How long until the limit would accept; its maximal delay is taken off.
    pub wait: Wait,
    /// Nanoseconds that the request would have to be delayed for this limit, if it accepts.
    pub delay: u64,
}

impl Judged<'_> {
    pub(super) fn accepts(&self) -> bool {
        self.wait == Wait::NOW
    }
}

pub(super) type Seats<'w> = SmallVec<[Seat<'w>; 4]>;
pub(super) type JudgedList<'w> = SmallVec<[Judged<'w>; 8]>;

#[inline]
pub(super) fn judge_all<'w>(
    world: &World,
    sets: &[Applied<'w>],
    seats: &[Seat<'w>],
    now: u64,
) -> Result<JudgedList<'w>, Outdated> {
    let mut judged = JudgedList::new();
    for applied in sets {
        for limit in &applied.set.limits {
            let seat = applied.first + limit.line;
            judged.push(judge(world, limit, seat, &seats[seat], now)?);
        }
    }
    Ok(judged)
}

#[inline]
fn judge<'w>(
    world: &World,
    limit: &'w Limit,
    index: usize,
    seat: &Seat<'_>,
    now: u64,
) -> Result<Judged<'w>, Outdated> {
    let (state, wait, delay) = match &limit.kind {
        Kind::Throttle { max_delay } => {
            let bucket = bucket(world, seat).ok_or(Outdated)?;
            let wait = seat.timeline().map_or(Wait::NOW, |timeline| timeline.wait(bucket, now, seat.cost));
            let (wait, delay) = match wait {
                // Beyond what can be told.
                Wait::Nanos(u64::MAX) => (Wait::Nanos(u64::MAX), 0),
                Wait::Nanos(nanos) => (Wait::Nanos(nanos.saturating_sub(*max_delay)), nanos),
                never => (never, 0),
            };
            (State::Throttle(bucket), wait, delay)
        }
        Kind::Quota { slot, quota, .. } => {
            let open = seat.open(*slot, quota, now).ok_or(Outdated)?;
            (State::Quota(open), quota.wait(&open, seat.cost), 0)
        }
        Kind::Concurrency(cap) => {
            let wait = if seat.cost == 0 { Wait::NOW } else { cap.wait(seat.slots.ends(), now) };
            (State::Slots(false), wait, 0)
        }
    };
    Ok(Judged { limit, seat: index, state, wait, delay })
}

/// The throttle of a seat under its present generation; `None` if it was written under a later one.
pub(super) fn bucket(world: &World, seat: &Seat<'_>) -> Option<Bucket> {
    match seat.raw.segment {
        0 => Some(Bucket { level: 0, generation: seat.timeline().map_or(0, Timeline::generation) }),
        segment => world.directory.bucket(&seat.used.shape, segment, seat.raw.level),
    }
}

/// The decision, and which seats are debited if it is carried out.
pub(super) fn conclude(
    seats: &[Seat<'_>],
    judged: &[Judged<'_>],
    observes: bool,
) -> (Decision, SmallVec<[bool; 8]>) {
    let observed = |judged: &Judged<'_>| seats[judged.seat].observe;
    // An observing plan neither refuses nor delays; the enforced limits decide alone.
    let admitted = judged.iter().all(|judged| observed(judged) || judged.accepts());
    let denied = judged.iter().any(|judged| !judged.accepts());
    let debits = seats.iter().map(|seat| {
        let mut own = judged.iter().filter(|judged| seats[judged.seat].part == seat.part);
        admitted && seat.cost > 0 && (!seat.observe || own.all(Judged::accepts))
    });
    let debits = debits.collect();

    let mut decision = Decision::without_limits(Verdict::Ok);
    decision.would_deny = observes.then_some(denied);
    if denied {
        let violated = judged.iter().filter(|judged| is_violated(judged, seats, admitted));
        let (verdict, wait) = refusal(violated.map(|judged| (judged.limit.kind.name(), judged.wait)));
        decision.retry = Retry::after(wait);
        if !admitted {
            decision.verdict = verdict;
        }
    }
    if admitted {
        let delay = judged.iter().filter(|judged| !observed(judged)).map(|judged| judged.delay).max();
        decision.delay = Nanos::new(delay.unwrap_or(0));
        if decision.delay > Nanos::ZERO {
            decision.verdict = Verdict::Delayed;
        }
    }
    (decision, debits)
}

/// Whether a limit is one that refuses, or where the request is admitted one that would.
pub(super) fn is_violated(judged: &Judged<'_>, seats: &[Seat<'_>], admitted: bool) -> bool {
    !judged.accepts() && (admitted || !seats[judged.seat].observe)
}

pub(super) fn standing(seat: &Seat<'_>, judged: &Judged<'_>, now: u64) -> Standing {
    match (&judged.limit.kind, judged.state) {
        (Kind::Throttle { .. }, State::Throttle(bucket)) => {
            seat.timeline().map_or(Standing::NONE, |timeline| timeline.standing(bucket, now))
        }
        (Kind::Quota { quota, .. }, State::Quota(open)) => quota.standing(&open),
        (&Kind::Concurrency(cap), State::Slots(taken)) => {
            let Cap { limit, .. } = cap;
            let remaining = seat.slots.remaining(&cap, now).saturating_sub(taken.into());
            Standing { limit, remaining, reset: None }
        }
        _ => Standing::NONE,
    }
}

pub(super) fn window(seat: &Seat<'_>, limit: &Limit, now: u64) -> Option<u64> {
    match &limit.kind {
        Kind::Throttle { .. } => seat.timeline()?.fill_time(),
        Kind::Quota { slot, .. } => {
            let window = seat.schedule(*slot)?.windows().at(now);
            window.end.map(|end| end - window.start)
        }
        Kind::Concurrency(_) => None,
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
