//! The decision: who asks, which limits apply, do all accept, debit all or none.

use std::sync::Arc;

use smallvec::SmallVec;

use super::book::Entry;
use super::debit::Attempt;
use super::decision::{Decision, Verdict};
use super::judge::{Account, Applied, Seat, Seats, conclude, is_violated, judge_all, standing, window};
use super::observe::Observer;
use super::owners::OwnerKind;
use super::request::{Identity, PlanId, Request};
use super::state::{Raw, head_tag};
use super::world::{KeyRecord, World};
use super::{Engine, Mode};
use crate::key::{Found, MAX_KEY};
use crate::plan::CompiledPlan;
use crate::store::{At, Content, Head, Line};
use crate::sync::spin_loop;
use crate::time::Nanos;

/// Where a line's state was found.
#[derive(Clone, Copy, Default)]
pub(super) enum Held {
    #[default]
    Nowhere,
    Cell {
        at: At,
        word: u128,
    },
    Line {
        line: Line,
        words: [u128; 4],
    },
}

/// How often something is tried again. Every failure is another's success, so that no thread gets near it; in memory that
/// is damaged, what is tried may never succeed.
pub(super) const ATTEMPTS: u32 = 10_000;

/// State was written under plans that this decision has not seen.
pub(super) struct Outdated;

impl Engine {
    pub(super) fn decide<O: Observer>(
        &self,
        requests: &[Request<'_>],
        now: Nanos,
        mode: Mode,
        observer: &mut O,
        mut entry: Option<&mut Entry>,
    ) -> Decision {
        let decided = self.in_world(now, |world| {
            self.decide_in(world, requests, now.get(), mode, observer, entry.as_deref_mut())
                .inspect_err(|_| observer.restart())
        });
        let Some((decision, plan)) = decided else { return Decision::without_limits(Verdict::StoreFull) };
        if mode == Mode::Check {
            self.world.count(plan, decision.verdict, decision.would_deny == Some(true));
        }
        decision
    }

    /// Does something in the world that is the present one at `now`, and in a newer one if state was written under that. `None`:
    /// in memory that is damaged, state can be of no world that there will ever be.
    pub(super) fn in_world<R>(
        &self,
        now: Nanos,
        mut step: impl FnMut(&World) -> Result<R, Outdated>,
    ) -> Option<R> {
        for _ in 0..ATTEMPTS {
            match self.world.with(|world| self.is_ready(world, now.get()).then(|| step(world))) {
                Some(Ok(done)) => return Some(done),
                // The newer world is in place already, or the events that make it are: they were there before any state
                // was written under it.
                Some(Err(Outdated)) => spin_loop(),
                None => self.refresh(now),
            }
        }
        None
    }

    fn decide_in<O: Observer>(
        &self,
        world: &World,
        requests: &[Request<'_>],
        now: u64,
        mode: Mode,
        observer: &mut O,
        mut entry: Option<&mut Entry>,
    ) -> Result<(Decision, Option<u32>), Outdated> {
        let mut first = None;
        let mut sets: SmallVec<[Applied<'_>; 4]> = SmallVec::new();
        let mut seats = Seats::new();
        let mut observes = false;
        for (part, request) in requests.iter().enumerate() {
            let (owner, plan, record) = match self.resolve(world, request, now) {
                Ok(found) => found,
                Err(verdict) => {
                    observer.restart();
                    return Ok((Decision::without_limits(verdict), first));
                }
            };
            first = first.or(Some(plan.number));
            observer.resolved(plan, record);
            observes |= plan.observe;
            let account = record.map_or(Account::Anonymous, |record| Account::Subject(&record.subject.name));
            let own = Some((account, owner, &plan.own));
            let route = plan.route_limits(request.route, request.stage).map(|set| (account, owner, set));
            let pool = (!plan.pool.lines.is_empty()).then_some((Account::Pool, plan.pool_owner, &plan.pool));
            for (account, owner, set) in [own, route, pool].into_iter().flatten() {
                let costs = set.lines.iter().map(|used| match used.cap {
                    Some(_) => request.cost.is_any().into(),
                    None => request.cost.of(&used.unit),
                });
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
                    let plan = (&plan.name, plan.observe);
                    seats.push(Seat::new(used, plan, account, (owner, hash), cost, part));
                }
            }
        }

        for _ in 0..ATTEMPTS {
            seats.iter_mut().try_for_each(|seat| self.look_for(seat))?;
            let mut judged = judge_all(world, &sets, &seats, now)?;
            let (mut decision, debits) = conclude(&seats, &judged, observes);
            let admitted = decision.verdict.is_allowed();
            // Of a request that only plans which observe judge, and would refuse, nothing is noted.
            let noted = entry.is_some()
                && admitted
                && (decision.would_deny != Some(true) || seats.iter().any(|seat| !seat.observe));
            if let Some(entry) = entry.as_deref_mut() {
                entry.clear();
            }
            if mode == Mode::Check && (debits.iter().any(|&debits| debits) || noted) {
                match self.debit(world, &seats, &mut judged, &debits, now, entry.as_deref_mut()) {
                    Attempt::Done => {}
                    Attempt::Again => {
                        spin_loop();
                        continue;
                    }
                    Attempt::Full => {
                        observer.restart();
                        decision = Decision::without_limits(Verdict::StoreFull);
                        return Ok((decision, first));
                    }
                }
            } else if !self.is_unchanged(&seats) {
                continue;
            }
            let refuses = mode == Mode::Check && decision.retry_after() != Some(Nanos::ZERO);
            if refuses && !self.note_refusals(world, &seats, &judged, admitted, now) {
                spin_loop();
                continue;
            }
            for judged in &judged {
                let seat = &seats[judged.seat];
                observer.limit(
                    judged.limit,
                    is_violated(judged, &seats, admitted),
                    || window(seat, judged.limit, now),
                    || standing(seat, judged, now),
                );
            }
            return Ok((decision, first));
        }
        observer.restart();
        Ok((Decision::without_limits(Verdict::StoreFull), first))
    }

    /// Finds what is stored for a seat.
    #[inline]
    pub(super) fn look_for(&self, seat: &mut Seat<'_>) -> Result<(), Outdated> {
        if seat.used.cap.is_some() {
            seat.slots = self.look_at_slots(seat.owner, seat.used.shape.line);
            return Ok(());
        }
        (seat.held, seat.raw) = self.look(seat.hash);
        self.keep_quotas(seat).ok_or(Outdated)
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
    pub(super) fn is_unchanged(&self, seats: &[Seat<'_>]) -> bool {
        seats.iter().all(|seat| match seat.held {
            Held::Nowhere => seat.slots.guard().is_none_or(|(at, word)| self.store.read(at) == word),
            Held::Cell { at, word } => seats.len() == 1 || self.store.read(at) == word,
            Held::Line { line, words } => self.store.read(line.count()) == words[1],
        })
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
        let formed = self.key_format.as_ref().is_none_or(|format| format.matches(key));
        let found = if formed { world.keys.find(&self.peppers, key) } else { Found::Unknown };
        let record = match (found, fallback) {
            (Found::Registered(record), _) => record,
            (_, None) => return Err(Verdict::KeyUnknown),
            // What was revoked does not come in by another door.
            (Found::Revoked(from), _) if from <= now => return Err(Verdict::KeyRevoked),
            (_, Some(plan)) => return anonymous(world.plan_named(plan)),
        };
        let state = self.shared_key(&record.digest).unwrap_or(record.state);
        if state.is_revoked(now) {
            return Err(Verdict::KeyRevoked);
        }
        if state.is_expired(now) {
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
