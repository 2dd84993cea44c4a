//! The short way of most decisions: every limit accepts at once, every state is there, and no window or generation
//! has changed, so that one word per line changes. Whatever else it meets, it leaves to [`decide`](super::decide).
//!
//! How long it takes is mostly a matter of how few instructions it has: with two checks at once in sight, a processor
//! waits for the memory of both together.

use super::Engine;
use super::current::Here;
use super::decision::Verdict;
use super::lease::Lease;
use super::owners::OwnerKind;
use super::request::{Cost, Identity, PlanId, Request};
use super::state::{debited_at_once, head_tag, lone_level};
use super::world::World;
use crate::algo::gcra::Narrowly;
use crate::key::{Brief, MAX_KEY};
use crate::plan::{CompiledPlan, Quick};
use crate::store::{Content, Entry, content_of, level_under, with_level};
use crate::sync::{Inlined, Number};

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

/// What came of the shortest way, in two registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Nearby {
    /// Refused by a throttle that refills as many units: not 0, below 2^52.
    per_nano: u64,
    missing: u64,
}

impl Nearby {
    const ADMITTED: Nearby = Nearby { per_nano: 0, missing: 0 };
    /// Nothing was done.
    const NO: Nearby = Nearby { per_nano: u64::MAX, missing: 0 };

    /// The decision, if there is one.
    #[inline(always)]
    pub(super) fn short(self) -> Option<Short> {
        match self {
            Nearby::ADMITTED => Some(Short::Admitted),
            Nearby::NO => None,
            Nearby { per_nano, missing } => Some(Short::Throttled { missing, per_nano }),
        }
    }
}

impl Short {
    #[inline(always)]
    fn of(admitted: bool) -> Short {
        if admitted { Short::Admitted } else { Short::Closer }
    }
}

/// What came of a key's short way.
#[derive(Clone, Copy)]
pub(super) enum Keyed {
    Admitted,
    /// Nothing was done.
    Closer,
    /// Nor here: the limits depend on stage or route, or the cost on the unit.
    Elsewhere,
    /// The key was not seen of late, or its subject has not just one plan.
    Unknown,
}

/// A line's debit, ready to be made.
struct Debit<'d> {
    quick: &'d Quick,
    hash: u64,
    cost: u64,
    now: u64,
    by: By<'d>,
}

/// What a debit changes.
#[derive(Clone, Copy)]
enum By<'d> {
    Word(Entry),
    Lease(&'d Lease),
}

impl Debit<'_> {
    /// Makes it, if nothing has changed since.
    #[inline(always)]
    fn debit<const LENDS: bool>(&self, engine: &Engine, here: &Here) -> bool {
        match self.by {
            By::Lease(lease) => {
                lease.spend(self.cost);
                true
            }
            By::Word(entry) => {
                let made = engine.store.replace(entry);
                if LENDS && !made {
                    self.met_another(engine, here);
                }
                made
            }
        }
    }

    fn met_another(&self, engine: &Engine, here: &Here) {
        engine.met_another(here.mine(), self.quick, self.hash, self.cost, self.now);
    }
}

impl Engine {
    /// Decides a request, if it is one for the short way.
    #[inline(always)]
    pub(super) fn admit(&self, request: &Request<'_>, now: u64) -> Short {
        match self.leases {
            None => self.admit_request::<false>(request, now),
            Some(_) => self.admit_with_leases(request, now),
        }
    }

    #[inline(never)]
    fn admit_with_leases(&self, request: &Request<'_>, now: u64) -> Short {
        self.admit_request::<true>(request, now)
    }

    /// `LENDS`: whether tokens are lent; where they are not, nothing looks whether they are.
    #[inline(always)]
    fn admit_request<const LENDS: bool>(&self, request: &Request<'_>, now: u64) -> Short {
        match (self.by_number(request.identity), request.cost) {
            (Identity::AnonymousIn(plan), Cost::Every(cost)) => {
                if !LENDS {
                    let nearby = self.admit_nearby(plan, request.key, cost, now);
                    if let Some(short) = nearby.short() {
                        return short;
                    }
                }
                self.admit_farther::<LENDS>(plan, request, cost, now)
            }
            // What other processes say of the key is looked up on the long way.
            (Identity::Registered, cost) if !self.shared => {
                let keyed = match cost {
                    Cost::Every(cost) => self.admit_key::<LENDS>(request.key, cost, now),
                    Cost::Units(_) => Keyed::Elsewhere,
                };
                self.admit_keyed::<LENDS>(keyed, request, now)
            }
            _ => Short::of(self.admit_resolved::<LENDS>(request, now)),
        }
    }

    /// What [`admit_nearby`](Engine::admit_nearby) said no to.
    #[inline(always)]
    pub(super) fn admit_farther<const LENDS: bool>(
        &self,
        plan: PlanId,
        request: &Request<'_>,
        cost: u64,
        now: u64,
    ) -> Short {
        match self.admit_cell::<LENDS>(plan, request.key, cost, now) {
            Some(short) => short,
            None => Short::of(self.admit_resolved::<LENDS>(request, now)),
        }
    }

    /// The rest of a registered key's way.
    #[inline(always)]
    pub(super) fn admit_keyed<const LENDS: bool>(
        &self,
        keyed: Keyed,
        request: &Request<'_>,
        now: u64,
    ) -> Short {
        match keyed {
            Keyed::Admitted => Short::Admitted,
            Keyed::Closer => Short::Closer,
            Keyed::Elsewhere => Short::of(self.admit_key_on::<LENDS>(request, now)),
            Keyed::Unknown => Short::of(self.admit_resolved::<LENDS>(request, now)),
        }
    }

    /// The same identity with the number of its plan, if it names one that is known.
    #[inline(always)]
    pub(super) fn by_number<'r>(&self, identity: Identity<'r>) -> Identity<'r> {
        let Identity::Anonymous(name) = identity else { return identity };
        let number = self.world.with_seen(|world, _| world.directory.plan_known(name)).flatten();
        number.map_or(identity, |number| Identity::AnonymousIn(PlanId(number)))
    }

    /// The request of an anonymous subject with a name of usual length, in a process's own memory, whose state is a cell
    /// where it stands nearly always. It calls nothing and hardly saves a register: before the last write can be made, all
    /// before it have to have reached the cache.
    #[inline(never)]
    pub(super) fn admit_nearby(&self, PlanId(number): PlanId, key: &[u8], cost: u64, now: u64) -> Nearby {
        let nearby = self.world.with_seen(|world, here| {
            let (plan, quick) = self.plain_nearby(world, number, cost, now)?;
            let owner = self.owners.owner_of_usual(OwnerKind::Anonymous, key)?;
            self.debit_nearby(here, plan, quick, self.owners.hash(owner, quick.line), cost, now)
        });
        nearby.flatten().unwrap_or(Nearby::NO)
    }

    /// The same by the hash of its state in a line of limits.
    #[inline(never)]
    pub(super) fn admit_nearby_hashed(
        &self,
        PlanId(number): PlanId,
        line: u32,
        hash: u64,
        cost: u64,
        now: u64,
    ) -> Nearby {
        let nearby = self.world.with_seen(|world, here| {
            let (plan, quick) = self.plain_nearby(world, number, cost, now)?;
            // The plan may have changed since.
            (quick.line == line).then(|| self.debit_nearby(here, plan, quick, hash, cost, now)).flatten()
        });
        nearby.flatten().unwrap_or(Nearby::NO)
    }

    /// A plan that has no others than its subjects' limits, if all else is as it nearly always is.
    #[inline(always)]
    fn plain_nearby<'w>(
        &self,
        world: &'w World,
        number: u32,
        cost: u64,
        now: u64,
    ) -> Option<(&'w CompiledPlan, &'w Quick)> {
        let plan = world.plan(number)?;
        if cost == 0 || self.shared || !world.covers(now) || !plan.is_plain {
            return None;
        }
        Some((plan, plan.own.quick.as_ref()?))
    }

    #[inline(always)]
    fn debit_nearby(
        &self,
        here: &Here,
        plan: &CompiledPlan,
        quick: &Quick,
        hash: u64,
        cost: u64,
        now: u64,
    ) -> Option<Nearby> {
        let inlined = Inlined::known()?;
        let cell = self.store.find_nearby(hash, inlined)?;
        let level = level_under(cell.value, quick.cell_segment)?;
        match quick.throttle.as_ref()?.judge(level, now, cost) {
            Narrowly::Admits(level) => {
                let new = with_level(cell.value, level);
                cell.replace_inlined(new, inlined).then(|| {
                    here.tally().admitted(plan.number);
                    Nearby::ADMITTED
                })
            }
            Narrowly::Refuses { missing, per_nano } if quick.refuses && cell.is_whole_inlined(inlined) => {
                here.tally().decided(Some(plan.number), Verdict::Throttled, false);
                Some(Nearby { per_nano, missing })
            }
            Narrowly::Refuses { .. } | Narrowly::Closer => None,
        }
    }

    /// The request of an anonymous subject whose state is a cell; `None` if it may be elsewhere.
    #[inline(never)]
    fn admit_cell<const LENDS: bool>(&self, plan: PlanId, key: &[u8], cost: u64, now: u64) -> Option<Short> {
        let short = self.world.with_seen(|world, here| {
            let quick = self.plain(world, plan)?;
            // What is too long is not even hashed.
            if !(1..=MAX_KEY).contains(&key.len()) {
                return Some(Short::Closer);
            }
            let hash = self.owners.hash(self.owners.owner(OwnerKind::Anonymous, key), quick.line);
            self.admit_hashed::<LENDS>(world, here, plan, quick, hash, cost, now)
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
    pub(super) fn admit_hashed<const LENDS: bool>(
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
        if let Some(lease) = self.leased::<LENDS>(here, quick, hash, now, cost) {
            lease.spend(cost);
            here.tally().admitted(number);
            return Some(Short::Admitted);
        }
        let Some(cell) = self.store.find_glanced(hash) else { return Some(Short::Closer) };
        let Some(level) = level_under(cell.value, quick.cell_segment) else {
            if !LENDS {
                return None;
            }
            return self.admit_line(here, number, quick, (hash, cell.value), cost, now);
        };
        // What is lent of a throttle was lent of a line; which it may have had, and have none any more.
        let lent = if LENDS { self.lent(hash) } else { 0 };
        Some(match quick.throttle.as_ref()?.judge_beside(level, now, cost, lent) {
            Narrowly::Admits(level) => {
                let new = with_level(cell.value, level);
                let admitted = cell.replace(new);
                if admitted {
                    here.tally().admitted(number);
                } else if LENDS {
                    self.met_another(here.mine(), quick, hash, cost, now);
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

    /// The same for state in a line, which a cell with this word has: that of throttles that were lent.
    #[inline(never)]
    fn admit_line(
        &self,
        here: &Here,
        plan: u32,
        quick: &Quick,
        (hash, cell): (u64, u128),
        cost: u64,
        now: u64,
    ) -> Option<Short> {
        let Content::Line { line, .. } = content_of(cell) else { return None };
        let line = self.store.line(line)?;
        let words = self.store.glance_at_line(line);
        if (words[0] >> 64) as u64 != head_tag(hash) {
            return None;
        }
        let (at, old) = (line.count(), words[1]);
        if let Some(new) = debited_at_once(&words, quick, now, cost, || self.lent(hash)) {
            let admitted = self.store.replace(Entry { at, old, new });
            if admitted {
                here.tally().admitted(plan);
            } else {
                self.met_another(here.mine(), quick, hash, cost, now);
            }
            return Some(Short::of(admitted));
        }
        let level = lone_level(&words, quick.segment).filter(|_| quick.refuses)?;
        match quick.throttle.as_ref()?.judge(level, now, cost) {
            Narrowly::Refuses { missing, per_nano } if self.store.read(at) == old => {
                here.tally().decided(Some(plan), Verdict::Throttled, false);
                Some(Short::Throttled { missing, per_nano })
            }
            _ => Some(Short::Closer),
        }
    }

    /// The request of a key that was seen of late, of a subject on one plan with the same limits everywhere.
    #[inline(never)]
    pub(super) fn admit_key<const LENDS: bool>(&self, key: &[u8], cost: u64, now: u64) -> Keyed {
        let keyed = self.world.with_seen(|world, here| {
            let Some(brief) = self.brief(world, key, now) else { return Keyed::Unknown };
            let Some(plan) = world.plan(brief.plan).filter(|plan| plan.is_uniform) else {
                return Keyed::Elsewhere;
            };
            let (hint, cost) = (Some(&brief.hint), Cost::Every(cost));
            if self.debit_all::<LENDS>(here, plan, brief.owner, hint, cost, now) != Some(true) {
                return Keyed::Closer;
            }
            here.tally().admitted(brief.plan);
            Keyed::Admitted
        });
        // Else another world has to be fetched.
        keyed.unwrap_or(Keyed::Closer)
    }

    /// What is known of a key that was seen of late, and of its subject on one plan.
    #[inline(always)]
    fn brief<'w>(&self, world: &'w World, key: &[u8], now: u64) -> Option<&'w Brief> {
        // What is too long is not even hashed.
        let known = (key.len() <= MAX_KEY).then(|| world.keys.seen_of_late(key)).flatten();
        known.filter(|brief| now < brief.until && world.covers(now))
    }

    /// The request of a key that was seen of late, of a subject on one plan.
    #[inline(never)]
    fn admit_key_on<const LENDS: bool>(&self, request: &Request<'_>, now: u64) -> bool {
        let admitted = self.world.with_seen(|world, here| {
            let Some(brief) = self.brief(world, request.key, now) else {
                return Some(self.admit_resolved::<LENDS>(request, now));
            };
            let plan = &**world.plan(brief.plan)?;
            let (owner, hint) = (brief.owner, Some(&brief.hint));
            let covered = plan.covers(request.stage);
            let admitted =
                covered.then(|| self.admit_on::<LENDS>(here, plan, owner, hint, request, now))??;
            if admitted {
                here.tally().admitted(brief.plan);
            }
            Some(admitted)
        });
        admitted.flatten().unwrap_or(false)
    }

    /// Any request.
    #[inline(never)]
    fn admit_resolved<const LENDS: bool>(&self, request: &Request<'_>, now: u64) -> bool {
        let admitted = self.world.with_seen(|world, here| {
            if !self.is_ready(world, now) {
                return None;
            }
            let (owner, plan, _) = self.resolve(world, request, now).ok()?;
            let admitted = self.admit_on::<LENDS>(here, plan, owner, None, request, now)?;
            if admitted {
                here.tally().admitted(plan.number);
            }
            Some(admitted)
        });
        admitted.flatten().unwrap_or(false)
    }

    /// Under a plan that covers the stage.
    #[inline(never)]
    fn admit_on<const LENDS: bool>(
        &self,
        here: &Here,
        plan: &CompiledPlan,
        owner: u64,
        hint: Option<&Number>,
        request: &Request<'_>,
        now: u64,
    ) -> Option<bool> {
        if plan.observe || plan.has_routes() && plan.route_limits(request.route, request.stage).is_some() {
            return None;
        }
        self.debit_all::<LENDS>(here, plan, owner, hint, request.cost, now)
    }

    /// Debits a subject's limits and, if there is one, the pool's.
    #[inline(always)]
    fn debit_all<const LENDS: bool>(
        &self,
        here: &Here,
        plan: &CompiledPlan,
        owner: u64,
        hint: Option<&Number>,
        cost: Cost<'_>,
        now: u64,
    ) -> Option<bool> {
        let quick = plan.own.quick.as_ref()?;
        let own = self.debited::<LENDS>(here, quick, owner, hint, cost.of(&quick.unit), now)?;
        if plan.pool.lines.is_empty() {
            return Some(own.debit::<LENDS>(self, here));
        }
        let quick = plan.pool.quick.as_ref()?;
        let hint = Some(&quick.hint);
        let pool = self.debited::<LENDS>(here, quick, plan.pool_owner, hint, cost.of(&quick.unit), now)?;
        Some(match (own.by, pool.by) {
            (By::Word(one), By::Word(other)) => {
                let admitted = self.store.commit_two(one, other);
                if LENDS && !admitted {
                    // Which of the two is not known; more meet at the pool.
                    let met = if quick.terms.is_some() { &pool } else { &own };
                    met.met_another(self, here);
                }
                admitted
            }
            // A lease is spent last, as nothing can be in its way.
            (By::Lease(_), _) => pool.debit::<LENDS>(self, here) && own.debit::<LENDS>(self, here),
            (_, By::Lease(_)) => own.debit::<LENDS>(self, here) && pool.debit::<LENDS>(self, here),
        })
    }

    /// How all limits of a line are debited.
    #[inline(always)]
    fn debited<'d, const LENDS: bool>(
        &self,
        here: &'d Here,
        quick: &'d Quick,
        owner: u64,
        hint: Option<&Number>,
        cost: u64,
        now: u64,
    ) -> Option<Debit<'d>> {
        if cost == 0 {
            return None;
        }
        let hash = self.owners.hash(owner, quick.line);
        let debit = |by| Some(Debit { quick, hash, cost, now, by });
        if let Some(lease) = self.leased::<LENDS>(here, quick, hash, now, cost) {
            return debit(By::Lease(lease));
        }
        if let Some(line) = hint.and_then(|hint| self.store.line(hint.get())) {
            let words = self.store.glance_at_line(line);
            if (words[0] >> 64) as u64 == head_tag(hash) {
                let lent = || if LENDS { self.lent(hash) } else { 0 };
                let new = debited_at_once(&words, quick, now, cost, lent)?;
                return debit(By::Word(Entry { at: line.count(), old: words[1], new }));
            }
        }
        debit(By::Word(self.debited_elsewhere::<LENDS>(quick, hash, hint, now, cost)?))
    }

    /// The same for limits that have to be looked for.
    #[inline(never)]
    fn debited_elsewhere<const LENDS: bool>(
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
            let lent = if LENDS { self.lent(hash) } else { 0 };
            let level = quick.throttle.as_ref()?.admit(level, now, cost, lent)?;
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
        let lent = || if LENDS { self.lent(hash) } else { 0 };
        let new = debited_at_once(&words, quick, now, cost, lent)?;
        Some(Entry { at: line.count(), old: words[1], new })
    }
}
