//! The decision: who asks, which limits apply, do all accept, debit all or none.

use std::sync::Arc;

use smallvec::SmallVec;

use super::capacity::{FullCounts, WhenFull};
use super::decision::{Decision, LimitKind, Verdict};
use super::observe::Observer;
use super::owners::OwnerKind;
use super::request::{Identity, PlanId, Request};
use super::state::{self, Raw, head_tag};
use super::world::{KeyRecord, World};
use super::{Engine, Mode};
use crate::algo::gcra::{Bucket, Timeline};
use crate::algo::quota::{Open, Schedule};
use crate::algo::{Standing, Wait};
use crate::key::{Found, MAX_KEY};
use crate::plan::{CompiledPlan, Kind, Limit, LimitSet, LineUse};
use crate::store::{At, Claim, Content, Head, Line, NoRoom, Txn};
use crate::sync::spin_loop;
use crate::time::Nanos;

/// A set of limits that applies, and its owner.
struct Applied<'w> {
    set: &'w LimitSet,
    owner: u64,
    /// Index of its first line in the decision.
    first: usize,
}

/// A line that takes part in the decision.
struct Seat<'w> {
    used: &'w LineUse,
    hash: u64,
    /// Summed over the requests that share the line.
    cost: u64,
    /// The request that brought it in.
    part: usize,
    /// Whether its plan only observes.
    observe: bool,
    held: Held,
    raw: Raw,
}

/// Where a line's state was found.
#[derive(Clone, Copy)]
pub(super) enum Held {
    Nowhere,
    Cell { at: At, word: u128 },
    Line { line: Line, words: [u128; 4] },
}

/// A limit as it stands at the decision's instant.
#[derive(Clone, Copy)]
enum State {
    Throttle(Bucket),
    Quota(Open),
}

struct Judged<'w> {
    limit: &'w Limit,
    seat: usize,
    state: State,
    /// How long until the limit would accept; its maximal delay is taken off.
    wait: Wait,
    /// Nanoseconds that the request would have to be delayed for this limit, if it accepts.
    delay: u64,
}

impl Judged<'_> {
    fn accepts(&self) -> bool {
        self.wait == Wait::NOW
    }
}

type Seats<'w> = SmallVec<[Seat<'w>; 4]>;
type JudgedList<'w> = SmallVec<[Judged<'w>; 8]>;

/// How often something is tried again. Every failure is another's success, so that no thread gets near it; in memory that
/// is damaged, what is tried may never succeed.
pub(super) const ATTEMPTS: u32 = 10_000;

/// State was written under plans that this decision has not seen.
struct Outdated;

/// What became of an attempt to debit.
enum Attempt {
    Done,
    /// Something changed meanwhile.
    Again,
    Full,
}

impl Engine {
    pub(super) fn decide<O: Observer>(
        &self,
        requests: &[Request<'_>],
        now: Nanos,
        mode: Mode,
        observer: &mut O,
    ) -> Decision {
        // In memory that is damaged, state can be of no world that there will ever be.
        for _ in 0..ATTEMPTS {
            let decided = self.world.with(|world| {
                let ready = world.covers(now.get()) && self.is_up_to_date(world);
                ready.then(|| self.decide_in(world, requests, now.get(), mode, observer))
            });
            match decided {
                Some(Ok(decision)) => return decision,
                // The newer world is in place already, or the events that make it are: they were there before any state
                // was written under it.
                Some(Err(Outdated)) => {
                    observer.restart();
                    spin_loop();
                }
                None => self.refresh(now),
            }
        }
        Decision::without_limits(Verdict::StoreFull)
    }

    fn decide_in<O: Observer>(
        &self,
        world: &World,
        requests: &[Request<'_>],
        now: u64,
        mode: Mode,
        observer: &mut O,
    ) -> Result<Decision, Outdated> {
        let mut sets: SmallVec<[Applied<'_>; 4]> = SmallVec::new();
        let mut seats = Seats::new();
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
            let route = plan.route_limits(request.route, request.stage).map(|set| (owner, set));
            let pool = (!plan.pool.lines.is_empty()).then_some((plan.pool_owner, &plan.pool));
            for (owner, set) in [Some((owner, &plan.own)), route, pool].into_iter().flatten() {
                let costs = set.lines.iter().map(|used| request.cost.of(&used.unit));
                let known = sets.iter().find(|known| known.owner == owner && core::ptr::eq(known.set, set));
                if let Some(known) = known {
                    for (seat, cost) in seats[known.first..].iter_mut().zip(costs) {
                        seat.cost = seat.cost.saturating_add(cost);
                    }
                    continue;
                }
                sets.push(Applied { set, owner, first: seats.len() });
                for (used, cost) in set.lines.iter().zip(costs) {
                    let hash = self.owners.hash(owner, used.shape.line);
                    let (held, raw) = (Held::Nowhere, Raw::default());
                    seats.push(Seat { used, hash, cost, part, observe: plan.observe, held, raw });
                }
            }
        }

        for _ in 0..ATTEMPTS {
            for seat in &mut seats {
                (seat.held, seat.raw) = self.look(seat.hash);
            }
            let mut judged = judge_all(world, &sets, &seats, now)?;
            let (mut decision, debits) = conclude(&seats, &judged, observes);
            let admitted = decision.verdict.is_allowed();
            if mode == Mode::Check && debits.iter().any(|&debits| debits) {
                for judged in judged.iter_mut().filter(|judged| debits[judged.seat]) {
                    judged.state = debited(&seats[judged.seat], judged, now);
                }
                match self.debit(world, &seats, &judged, &debits, now) {
                    Attempt::Done => {}
                    Attempt::Again => {
                        spin_loop();
                        continue;
                    }
                    Attempt::Full => {
                        observer.restart();
                        decision = Decision::without_limits(Verdict::StoreFull);
                        return Ok(decision);
                    }
                }
            } else if !self.is_unchanged(&seats) {
                continue;
            }
            for judged in &judged {
                let seat = &seats[judged.seat];
                observer.limit(
                    judged.limit,
                    !judged.accepts() && (admitted || !seat.observe),
                    || window(seat, judged.limit, now),
                    || standing(seat, judged, now),
                );
            }
            return Ok(decision);
        }
        observer.restart();
        Ok(Decision::without_limits(Verdict::StoreFull))
    }

    /// What is stored for a hash.
    #[inline]
    pub(super) fn look(&self, hash: u64) -> (Held, Raw) {
        // A line that went to another owner between two looks is looked for again; in a damaged memory it may
        // stay so, and its owner is taken for a new one.
        for _ in 0..32 {
            match self.store.find(hash) {
                None => break,
                Some((at, word, Content::Level { segment, level })) => {
                    return (Held::Cell { at, word }, Raw::of_cell(segment, level));
                }
                Some((_, _, Content::Line { line, .. })) => {
                    let Some(line) = self.store.line(line) else { break };
                    let words = self.store.read_line(line);
                    let head = Head::of(words[0]);
                    if head.tag == head_tag(hash) {
                        return (
                            Held::Line { line, words },
                            Raw::of_line(head, words[1], [words[2], words[3]]),
                        );
                    }
                }
            }
        }
        (Held::Nowhere, Raw::default())
    }

    /// Whether what a refusal was judged on stood there at one instant.
    fn is_unchanged(&self, seats: &[Seat<'_>]) -> bool {
        seats.iter().all(|seat| match seat.held {
            Held::Nowhere => true,
            Held::Cell { at, word } => seats.len() == 1 || self.store.read(at) == word,
            Held::Line { line, words } => self.store.read(line.count()) == words[1],
        })
    }

    /// Writes what `judged` says, for the seats that are debited.
    #[inline]
    fn debit(
        &self,
        world: &World,
        seats: &[Seat<'_>],
        judged: &[Judged<'_>],
        debits: &[bool],
        now: u64,
    ) -> Attempt {
        let mut txn = self.store.transaction();
        let mut counts = FullCounts::default();
        for (index, seat) in seats.iter().enumerate().filter(|&(index, _)| debits[index]) {
            let after = |before: &Raw| after(before, seat, index, judged);
            let tag = head_tag(seat.hash);
            match seat.held {
                Held::Line { line, words } => after(&seat.raw).write(&mut txn, line, words, tag),
                Held::Cell { at, word } => {
                    let after_in_cell = after(&seat.raw);
                    if after_in_cell.fits_cell(seat.used) {
                        let (segment, level) = (after_in_cell.segment, after_in_cell.level as u64);
                        txn.put(at, word, Content::Level { segment, level });
                    } else {
                        let Some(line) = txn.widen(at, word) else {
                            match self.full(&mut counts) {
                                true => continue,
                                false => return self.counted(&counts, Attempt::Full),
                            }
                        };
                        seat.raw.settle(&mut txn, line, tag, after);
                    }
                }
                Held::Nowhere => {
                    let fresh = after(&Raw::default());
                    let claim = if fresh.fits_cell(seat.used) {
                        Claim::Level { segment: fresh.segment, level: fresh.level as u64 }
                    } else {
                        Claim::Line { pinned: false }
                    };
                    let age = |txn: &Txn<'_>, content| state::age(world, txn, content, now);
                    let evict = self.when_full == WhenFull::EvictSmallest;
                    match txn.claim(seat.hash, claim, evict, &age) {
                        Ok((line, evicted)) => {
                            counts.evicted += u64::from(evicted);
                            if let Some(line) = line {
                                Raw::default().settle(&mut txn, line, tag, after);
                            }
                        }
                        Err(NoRoom::Taken) => return Attempt::Again,
                        Err(NoRoom::Full) if self.full(&mut counts) => {}
                        Err(NoRoom::Full) => return self.counted(&counts, Attempt::Full),
                    }
                }
            }
        }
        if txn.is_too_large() {
            counts.refused += 1;
            return self.counted(&counts, Attempt::Full);
        }
        let attempt = if txn.commit() { Attempt::Done } else { return Attempt::Again };
        self.counted(&counts, attempt)
    }

    /// Whether a decision goes on without a cell that cannot be had.
    fn full(&self, counts: &mut FullCounts) -> bool {
        let pass = self.when_full == WhenFull::Pass;
        let count = if pass { &mut counts.passed } else { &mut counts.refused };
        *count += 1;
        pass
    }

    #[inline]
    fn counted(&self, counts: &FullCounts, attempt: Attempt) -> Attempt {
        if *counts != FullCounts::default() {
            self.full_totals.add(counts);
        }
        attempt
    }

    /// Who asks: the owner of the state, and the plan.
    #[inline]
    pub(super) fn resolve<'w>(
        &self,
        world: &'w World,
        request: &Request<'_>,
        now: u64,
    ) -> Result<(u64, &'w CompiledPlan, Option<&'w KeyRecord>), Verdict> {
        let key = request.key;
        if key.is_empty() {
            return Err(Verdict::KeyMissing);
        }
        if key.len() > MAX_KEY {
            return Err(Verdict::KeyUnknown);
        }
        let anonymous = |plan: Option<&'w Arc<CompiledPlan>>| {
            let plan = plan.filter(|plan| plan.covers(request.stage)).ok_or(Verdict::NoPlanForStage)?;
            Ok((self.owners.owner(OwnerKind::Anonymous, key), &**plan, None))
        };
        let fallback = match request.identity {
            Identity::AnonymousIn(PlanId(plan)) => return anonymous(world.plan(plan)),
            Identity::Anonymous(plan) => return anonymous(world.plan_named(plan)),
            Identity::RegisteredOrAnonymous(plan) => Some(plan),
            Identity::Registered => None,
        };
        let record = match (world.keys.find(&self.peppers, key), fallback) {
            (Found::Registered(record), _) => record,
            (_, None) => return Err(Verdict::KeyUnknown),
            // What was revoked does not come in by another door.
            (Found::Revoked, _) => return Err(Verdict::KeyRevoked),
            (Found::Unknown, Some(plan)) => return anonymous(world.plan_named(plan)),
        };
        let state = self.shared_key(&record.digest).unwrap_or(record.state);
        if state.revoked {
            return Err(Verdict::KeyRevoked);
        }
        if state.expires.is_some_and(|expires| now >= expires) {
            return Err(Verdict::KeyExpired);
        }
        if !state.enabled {
            return Err(Verdict::KeyDisabled);
        }
        let mut plans = record.subject.plans.iter().filter_map(|&number| world.plan(number));
        let plan = plans.find(|plan| plan.covers(request.stage)).ok_or(Verdict::NoPlanForStage)?;
        Ok((record.subject.owner, plan, Some(record)))
    }
}

#[inline]
fn judge_all<'w>(
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
    let shape = &seat.used.shape;
    let (state, wait, delay) = match &limit.kind {
        Kind::Throttle { max_delay } => {
            let raw = &seat.raw;
            let bucket = match raw.segment {
                0 => Some(Bucket { level: 0, generation: timeline(seat).map_or(0, Timeline::generation) }),
                segment => world.directory.bucket(shape, segment, raw.level),
            };
            let bucket = bucket.ok_or(Outdated)?;
            let wait = timeline(seat).map_or(Wait::NOW, |timeline| timeline.wait(bucket, now, seat.cost));
            let (wait, delay) = match wait {
                Wait::Nanos(nanos) => (Wait::Nanos(nanos.saturating_sub(*max_delay)), nanos),
                never => (never, 0),
            };
            (State::Throttle(bucket), wait, delay)
        }
        Kind::Quota { slot, quota } => {
            let schedule = schedule(seat, *slot).ok_or(Outdated)?;
            let counter = schedule.bring_forward(seat.raw.counter(*slot)).ok_or(Outdated)?;
            let open = quota.open(schedule, counter, now);
            (State::Quota(open), quota.wait(&open, seat.cost), 0)
        }
    };
    Ok(Judged { limit, seat: index, state, wait, delay })
}

#[inline]
fn timeline<'s>(seat: &'s Seat<'_>) -> Option<&'s Timeline> {
    seat.used.shape.throttle.as_deref()
}

#[inline]
fn schedule<'s>(seat: &'s Seat<'_>, slot: usize) -> Option<&'s Schedule> {
    seat.used.shape.quotas[slot].as_ref().map(|quota| &*quota.schedule)
}

/// The decision, and which seats are debited if it is carried out.
fn conclude(seats: &[Seat<'_>], judged: &[Judged<'_>], observes: bool) -> (Decision, SmallVec<[bool; 8]>) {
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
        let violated = judged.iter().filter(|judged| !judged.accepts() && (admitted || !observed(judged)));
        let (verdict, wait) = refusal(violated.map(|judged| (judged.limit.kind.name(), judged.wait)));
        decision.retry_after = wait.map(Nanos::new);
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

fn debited(seat: &Seat<'_>, judged: &Judged<'_>, now: u64) -> State {
    match (&judged.limit.kind, judged.state) {
        (Kind::Throttle { .. }, State::Throttle(bucket)) => {
            State::Throttle(timeline(seat).map_or(bucket, |timeline| timeline.debit(bucket, now, seat.cost)))
        }
        (Kind::Quota { quota, .. }, State::Quota(open)) => State::Quota(quota.debit(&open, seat.cost)),
        (_, state) => state,
    }
}

/// What is to be stored for a seat that is debited.
#[inline]
fn after(before: &Raw, seat: &Seat<'_>, index: usize, judged: &[Judged<'_>]) -> Raw {
    let mut after = before.counted(seat.cost);
    if after.segment == 0 {
        after.segment = seat.used.shape.segment;
    }
    for judged in judged.iter().filter(|judged| judged.seat == index) {
        match (&judged.limit.kind, judged.state) {
            (Kind::Quota { slot, .. }, State::Quota(open)) => after.set_counter(*slot, open.counter()),
            (_, State::Throttle(bucket)) => {
                (after.segment, after.level) = (seat.used.shape.segment, bucket.level);
            }
            _ => {}
        }
    }
    for (slot, used) in seat.used.quotas.iter().enumerate() {
        if !used {
            after.freeze(slot, before);
        }
    }
    after
}

fn standing(seat: &Seat<'_>, judged: &Judged<'_>, now: u64) -> Standing {
    match (&judged.limit.kind, judged.state) {
        (Kind::Throttle { .. }, State::Throttle(bucket)) => {
            timeline(seat).map_or(Standing::NONE, |timeline| timeline.standing(bucket, now))
        }
        (Kind::Quota { quota, .. }, State::Quota(open)) => quota.standing(&open),
        _ => Standing::NONE,
    }
}

fn window(seat: &Seat<'_>, limit: &Limit, now: u64) -> Option<u64> {
    match &limit.kind {
        Kind::Throttle { .. } => timeline(seat)?.fill_time(),
        Kind::Quota { slot, .. } => {
            let window = schedule(seat, *slot)?.windows().at(now);
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
