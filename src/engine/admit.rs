//! The short way of most decisions: every limit accepts at once, every state is there, and no window or generation
//! has changed, so that one word per line changes. Whatever else it meets, it leaves to [`decide`](super::decide).
//!
//! How long it takes is mostly a matter of how few instructions it has: with two checks at once in sight, a processor
//! waits for the memory of both together.

use super::Engine;
use super::current::Here;
use super::decision::Verdict;
use super::owners::OwnerKind;
use super::request::{Cost, Identity, PlanId, Request};
use super::state::{debited_at_once, head_tag};
use super::world::World;
use crate::algo::gcra::Narrowly;
use crate::key::MAX_KEY;
use crate::plan::{CompiledPlan, Quick};
use crate::store::{Content, Entry, level_under, with_level};
use crate::sync::Number;

/// What came of the short way.
#[derive(Clone, Copy)]
pub(super) enum Short {
    /// Admitted at once, and debited.
    Admitted,
    /// Refused by the only limit, a throttle.
    Throttled { missing: u64, per_nano: u64 },
    /// Nothing was done.
    Closer,
}

impl Short {
    #[inline(always)]
    fn of(admitted: bool) -> Short {
        if admitted { Short::Admitted } else { Short::Closer }
    }
}

impl Engine {
    /// Decides a request, if it is one for the short way.
    #[inline(always)]
    pub(super) fn admit(&self, request: &Request<'_>, now: u64) -> Short {
        match (request.identity, request.cost) {
            (Identity::AnonymousIn(plan), Cost::Every(cost)) => {
                match self.admit_cell(plan, request.key, cost, now) {
                    Some(short) => short,
                    None => Short::of(self.admit_resolved(request, now)),
                }
            }
            // What other processes say of the key is looked up on the long way.
            (Identity::Registered, _) if !self.shared => Short::of(self.admit_key(request, now)),
            _ => Short::of(self.admit_resolved(request, now)),
        }
    }

    /// The request of an anonymous subject whose state is a cell; `None` if it may be elsewhere.
    #[inline(never)]
    fn admit_cell(&self, plan: PlanId, key: &[u8], cost: u64, now: u64) -> Option<Short> {
        let short = self.world.with_seen(|world, here| {
            let quick = self.plain(world, plan)?;
            let hash = self.owners.hash(self.owners.owner(OwnerKind::Anonymous, key), quick.line);
            let known = (1..=MAX_KEY).contains(&key.len());
            if !known {
                Some(Short::Closer)
            } else {
                self.admit_hashed(world, here, plan, quick, hash, cost, now)
            }
        });
        // Else another world has to be fetched.
        short.unwrap_or(Some(Short::Closer))
    }

    /// The limits of a plan that has no others than those of its subjects.
    #[inline(always)]
    pub(super) fn plain<'w>(&self, world: &'w World, PlanId(number): PlanId) -> Option<&'w Quick> {
        world.plan(number).filter(|plan| plan.is_plain)?.own.quick.as_ref()
    }

    /// The same by the hash of its state.
    #[inline(always)]
    #[expect(clippy::too_many_arguments, reason = "everything that was looked up before")]
    pub(super) fn admit_hashed(
        &self,
        world: &World,
        here: &Here,
        PlanId(number): PlanId,
        quick: &Quick,
        hash: u64,
        cost: u64,
        now: u64,
    ) -> Option<Short> {
        if cost == 0 || !self.is_ready(world, now) {
            return Some(Short::Closer);
        }
        let Some(cell) = self.store.find_glanced(hash) else { return Some(Short::Closer) };
        let level = level_under(cell.value, quick.cell_segment)?;
        Some(match quick.throttle.as_ref()?.judge(level, now, cost) {
            Narrowly::Admits(level) => {
                let new = with_level(cell.value, level);
                let admitted = cell.replace(new);
                if admitted {
                    here.tally().admitted(number);
                }
                Short::of(admitted)
            }
            Narrowly::Refuses { missing, per_nano } if quick.refuses && cell.is_whole() => {
                here.tally().decided(Some(number), Verdict::Throttled, false);
                Short::Throttled { missing, per_nano }
            }
            Narrowly::Refuses { .. } | Narrowly::Closer => Short::Closer,
        })
    }

    /// The request of a key that was seen of late, of a subject on one plan.
    #[inline(never)]
    fn admit_key(&self, request: &Request<'_>, now: u64) -> bool {
        let admitted = self.world.with_seen(|world, here| {
            // What is too long is not even hashed.
            let known =
                (request.key.len() <= MAX_KEY).then(|| world.keys.seen_of_late(request.key)).flatten();
            let brief = known.filter(|brief| now < brief.until);
            let Some(brief) = brief.filter(|_| world.covers(now)) else {
                return Some(self.admit_resolved(request, now));
            };
            let plan = &**world.plan(brief.plan)?;
            let admitted = if plan.is_plain {
                let quick = plan.own.quick.as_ref()?;
                let own = self.debited(quick, brief.owner, Some(&brief.hint), request, now)?;
                self.store.replace(own)
            } else {
                let covered = plan.covers(request.stage);
                covered.then(|| self.admit_on(plan, brief.owner, Some(&brief.hint), request, now))??
            };
            if admitted {
                here.tally().admitted(brief.plan);
            }
            Some(admitted)
        });
        admitted.flatten().unwrap_or(false)
    }

    /// Any request.
    #[inline(never)]
    fn admit_resolved(&self, request: &Request<'_>, now: u64) -> bool {
        let admitted = self.world.with_seen(|world, here| {
            if !self.is_ready(world, now) {
                return None;
            }
            let (owner, plan, _) = self.resolve(world, request, now).ok()?;
            let admitted = self.admit_on(plan, owner, None, request, now)?;
            if admitted {
                here.tally().admitted(plan.number);
            }
            Some(admitted)
        });
        admitted.flatten().unwrap_or(false)
    }

    /// Under a plan that covers the stage.
    #[inline(never)]
    fn admit_on(
        &self,
        plan: &CompiledPlan,
        owner: u64,
        hint: Option<&Number>,
        request: &Request<'_>,
        now: u64,
    ) -> Option<bool> {
        if plan.observe || plan.has_routes() && plan.route_limits(request.route, request.stage).is_some() {
            return None;
        }
        let own = self.debited(plan.own.quick.as_ref()?, owner, hint, request, now)?;
        Some(if plan.pool.lines.is_empty() {
            self.store.replace(own)
        } else {
            let quick = plan.pool.quick.as_ref()?;
            let pool = self.debited(quick, plan.pool_owner, Some(&quick.hint), request, now)?;
            self.store.commit_two(own, pool)
        })
    }

    /// The one word that changes when all limits of a line are debited.
    #[inline(always)]
    fn debited(
        &self,
        quick: &Quick,
        owner: u64,
        hint: Option<&Number>,
        request: &Request<'_>,
        now: u64,
    ) -> Option<Entry> {
        let cost = request.cost.of(&quick.unit);
        if cost == 0 {
            return None;
        }
        let hash = self.owners.hash(owner, quick.line);
        if let Some(line) = hint.and_then(|hint| self.store.line(hint.get())) {
            let words = self.store.glance_at_line(line);
            if (words[0] >> 64) as u64 == head_tag(hash) {
                let new = debited_at_once(&words, quick, now, cost)?;
                return Some(Entry { at: line.count(), old: words[1], new });
            }
        }
        self.debited_elsewhere(quick, hash, hint, now, cost)
    }

    /// The same for limits that have to be looked for.
    #[inline(never)]
    fn debited_elsewhere(
        &self,
        quick: &Quick,
        hash: u64,
        hint: Option<&Number>,
        now: u64,
        cost: u64,
    ) -> Option<Entry> {
        let (at, old, content) = self.store.find(hash)?;
        let Content::Line { line: number, pinned } = content else {
            let level = level_under(old, quick.cell_segment)?;
            let level = quick.throttle.as_ref()?.admit(level, now, cost)?;
            return Some(Entry { at, old, new: with_level(old, level) });
        };
        let line = self.store.line(number)?;
        let words = self.store.glance_at_line(line);
        if (words[0] >> 64) as u64 != head_tag(hash) {
            return None;
        }
        if let Some(hint) = hint.filter(|_| pinned) {
            hint.set(number);
        }
        let new = debited_at_once(&words, quick, now, cost)?;
        Some(Entry { at: line.count(), old: words[1], new })
    }
}
