//! The short way of most decisions: every limit accepts at once, every state is there, and no window or generation
//! has changed, so that one word per line changes. Whatever else it meets, it leaves to [`decide`](super::decide).

use super::Engine;
use super::decide::head_tag;
use super::owners::OwnerKind;
use super::request::{Identity, PlanId, Request};
use super::state::Raw;
use super::world::World;
use crate::key::MAX_KEY;
use crate::plan::{Alone, CompiledPlan, Kind, LimitSet};
use crate::store::{Content, Entry, Head};

impl Engine {
    /// Whether the request was admitted at once, and debited; if not, nothing was done.
    #[inline(always)]
    pub(super) fn admit(&self, request: &Request<'_>, now: u64) -> bool {
        self.world.with(|world| self.admit_in(world, request, now).unwrap_or(false))
    }

    #[inline(always)]
    fn admit_in(&self, world: &World, request: &Request<'_>, now: u64) -> Option<bool> {
        if !world.covers(now) || !self.is_up_to_date(world) {
            return None;
        }
        let (owner, plan) = match request.identity {
            Identity::AnonymousIn(PlanId(number)) => {
                let plan = &**world.plan(number)?;
                if let Some(alone) = &plan.alone
                    && (1..=MAX_KEY).contains(&request.key.len())
                {
                    let owner = self.owners.owner(OwnerKind::Anonymous, request.key);
                    return self.admit_alone(alone, owner, request, now);
                }
                if !plan.covers(request.stage) || request.key.is_empty() || request.key.len() > MAX_KEY {
                    return None;
                }
                (self.owners.owner(OwnerKind::Anonymous, request.key), plan)
            }
            _ => self.resolved(world, request, now)?,
        };
        if plan.observe || plan.has_routes() && plan.route_limits(request.route, request.stage).is_some() {
            return None;
        }
        let own = self.admitted(&plan.own, owner, request, now)?;
        Some(if plan.pool.lines.is_empty() {
            self.store.replace(own)
        } else {
            let pool = self.owners.owner(OwnerKind::Pool, plan.name.as_bytes());
            self.store.commit(&mut [own, self.admitted(&plan.pool, pool, request, now)?])
        })
    }

    /// The shortest way: an anonymous subject's cell, whose plan is one throttle.
    #[inline(always)]
    fn admit_alone(&self, alone: &Alone, owner: u64, request: &Request<'_>, now: u64) -> Option<bool> {
        let cost = request.cost.of(&alone.unit);
        let (at, word, content) = self.store.find(self.owners.hash(owner, alone.line))?;
        let Content::Level { segment, level } = content else { return None };
        if segment != alone.segment || cost == 0 {
            return None;
        }
        // A level that no longer fits into a cell goes into a line.
        let level = u64::try_from(alone.throttle.admit(level.into(), now, cost)?).ok()?;
        Some(self.store.replace(self.store.with_content(at, word, Content::Level { segment, level })))
    }

    #[inline(never)]
    fn resolved<'w>(
        &self,
        world: &'w World,
        request: &Request<'_>,
        now: u64,
    ) -> Option<(u64, &'w CompiledPlan)> {
        self.resolve(world, request, now).ok().map(|(owner, plan, _)| (owner, plan))
    }

    /// The one word that changes when all limits of a set, which stand in one line, are debited.
    #[inline(always)]
    fn admitted(&self, set: &LimitSet, owner: u64, request: &Request<'_>, now: u64) -> Option<Entry> {
        let [used] = &set.lines[..] else { return None };
        let cost = request.cost.of(&used.unit);
        if cost == 0 {
            return None;
        }
        let shape = &*used.shape;
        let hash = self.owners.hash(owner, shape.line);
        let (at, word, content) = self.store.find(hash)?;
        match content {
            Content::Level { segment, level } => {
                let [limit] = &set.limits[..] else { return None };
                let timeline = shape.throttle.as_deref().filter(|_| segment == shape.segment)?;
                let Kind::Throttle { .. } = limit.kind else { return None };
                // A level that no longer fits into a cell goes into a line.
                let level = u64::try_from(timeline.admit(level.into(), now, cost)?).ok()?;
                Some(self.store.with_content(at, word, Content::Level { segment, level }))
            }
            Content::Line { line, .. } => {
                let line = self.store.line(line)?;
                let [head, count, a, b] = self.store.read_line(line);
                let head = Head::of(head);
                if head.tag != head_tag(hash) {
                    return None;
                }
                let raw = Raw::of_line(head, count, [a, b]);
                let mut level = raw.level;
                for limit in &set.limits {
                    match &limit.kind {
                        Kind::Throttle { .. } if raw.segment == shape.segment => {
                            level = shape.throttle.as_ref()?.admit(level, now, cost)?;
                        }
                        Kind::Throttle { .. } => return None,
                        Kind::Quota { slot, quota } => {
                            let counter = raw.counter(*slot);
                            let fits = u128::from(counter.charged) + u128::from(cost) <= quota.limit.into();
                            let schedule = &shape.quotas[*slot].as_ref()?.schedule;
                            if !fits || !raw.is_running(*slot) || !schedule.is_current(counter, now) {
                                return None;
                            }
                        }
                    }
                }
                let unused = |slot: usize| !used.quotas[slot] && raw.is_running(slot);
                if level >> 64 != raw.level >> 64 || unused(0) || unused(1) {
                    return None;
                }
                Some(Entry {
                    at: line.count(),
                    old: count,
                    new: raw.counted(cost).with_level(level).count_word(),
                })
            }
        }
    }
}
