//! The short way of most decisions: every limit accepts at once, every state is there, and no window or generation
//! has changed, so that one word per line changes. Whatever else it meets, it leaves to [`decide`](super::decide).
//!
//! How long it takes is mostly a matter of how few instructions it has: with two checks at once in sight, a processor
//! waits for the memory of both together.

use super::Engine;
use super::owners::OwnerKind;
use super::request::{Identity, PlanId, Request};
use super::state::{debited_at_once, head_tag};
use super::world::World;
use crate::key::MAX_KEY;
use crate::plan::{CompiledPlan, Quick};
use crate::store::{Content, Entry};
use crate::sync::Hint;

impl Engine {
    /// Whether the request was admitted at once, and debited; if not, nothing was done.
    #[inline(never)]
    pub(super) fn admit(&self, request: &Request<'_>, now: u64) -> bool {
        self.world.with(|world| self.admit_in(world, request, now).unwrap_or(false))
    }

    #[inline(always)]
    fn admit_in(&self, world: &World, request: &Request<'_>, now: u64) -> Option<bool> {
        if !world.covers(now) || !self.is_up_to_date(world) {
            return None;
        }
        let key = request.key;
        let (owner, plan, hint) = match request.identity {
            Identity::AnonymousIn(PlanId(number)) if (1..=MAX_KEY).contains(&key.len()) => {
                let plan = &**world.plan(number)?;
                (self.owners.owner(OwnerKind::Anonymous, key), plan, None)
            }
            // What other processes say of the key is looked up on the long way.
            Identity::Registered if !self.shared => {
                match world.keys.seen_of_late(key) {
                    Some(brief) if now < brief.until => {
                        (brief.owner, &**world.plan(brief.plan)?, Some(&brief.hint))
                    }
                    // Of a subject on several plans, too.
                    _ => return self.admit_resolved(world, request, now),
                }
            }
            _ => return self.admit_resolved(world, request, now),
        };
        if plan.is_plain {
            return self
                .debited(plan.own.quick.as_ref()?, owner, hint, request, now)
                .map(|own| self.store.replace(own));
        }
        if !plan.covers(request.stage) {
            return None;
        }
        self.admit_on(plan, owner, hint, request, now)
    }

    #[inline(never)]
    fn admit_resolved(&self, world: &World, request: &Request<'_>, now: u64) -> Option<bool> {
        let (owner, plan, _) = self.resolve(world, request, now).ok()?;
        self.admit_on(plan, owner, None, request, now)
    }

    /// Under a plan that covers the stage.
    #[inline]
    fn admit_on(
        &self,
        plan: &CompiledPlan,
        owner: u64,
        hint: Option<&Hint>,
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
            self.store.commit(&mut [own, pool])
        })
    }

    /// The one word that changes when all limits of a line are debited.
    #[inline(always)]
    fn debited(
        &self,
        quick: &Quick,
        owner: u64,
        hint: Option<&Hint>,
        request: &Request<'_>,
        now: u64,
    ) -> Option<Entry> {
        let cost = request.cost.of(&quick.unit);
        if cost == 0 {
            return None;
        }
        let hash = self.owners.hash(owner, quick.line);
        if let Some(line) = hint.and_then(|hint| self.store.line(hint.get())) {
            let words = self.store.read_line(line);
            if (words[0] >> 64) as u64 == head_tag(hash) {
                let new = debited_at_once(&words, quick, now, cost)?;
                return Some(Entry { at: line.count(), old: words[1], new });
            }
        }
        match self.store.find(hash)? {
            (at, old, Content::Level { segment, level }) if segment == quick.segment => {
                // Of limits in a cell the throttle is the only one.
                let level = quick.throttle.as_ref()?.admit(level, now, cost)?;
                Some(self.store.with_content(at, old, Content::Level { segment, level }))
            }
            (_, _, Content::Level { .. }) => None,
            (_, _, Content::Line { line: number, pinned }) => {
                let line = self.store.line(number)?;
                let words = self.store.read_line(line);
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
    }
}
