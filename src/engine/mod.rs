//! Where plans, keys and cells meet.
//!
//! A decision loads the present [`World`](world::World) (plans, subjects and keys, immutable), finds
//! who asks and which limits apply, and judges and debits them in one transaction of the store.
//! Changes build a new world beside the old one and swap it in; a decision sees one of the two.

mod adjust;
mod admit;
mod alerts;
mod apply;
mod batch;
mod beside;
mod book;
mod capacity;
mod carry;
mod copy;
mod current;
mod debit;
mod decide;
mod decision;
mod judge;
mod keys;
mod kinds;
mod lease;
mod ledger;
mod metrics;
mod observe;
mod owners;
mod plain;
mod region;
mod register;
mod request;
mod reserve;
mod restore;
mod rotate;
mod rows;
mod slots;
mod snapshot;
mod state;
mod tend;
mod usage;
mod world;

use std::sync::Arc;

pub use alerts::{Alert, Alerts, Threshold};
pub use batch::Prepared;
pub use capacity::{Capacity, FullCounts, WhenFull};
pub use decision::{Decision, LimitKind, LimitReport, Report, Verdict};
pub use metrics::{Metrics, PlanMetrics};
#[doc(hidden)]
pub use plain::NotPlain;
pub use region::Region;
pub use request::{Cost, Needs, PlanId, Request};
pub use reserve::{RefundStatus, ReleaseStatus, SettleStatus, Settlement, Ticket};
pub use snapshot::Snapshot;
pub use usage::UsageRow;

use crate::error::{ApplyError, KeyError};
use crate::key::{KeyFormat, KeyState, Pepper, Peppers};
use crate::plan::{Changes, CompiledPlan, Directory, Event, Ledger};
use crate::store::{Store, Txn};
use crate::sync::Mutex;
use crate::time::{Clock, Nanos};
use admit::Short;
use alerts::Queue;
use book::Book;
use capacity::FullTotals;
use current::Current;
use lease::Leases;
use observe::{Collect, Ignore};
use owners::Owners;
use request::Identity;
use world::World;

/// Whether a decision is to be carried out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// Decide and debit.
    Check,
    /// Decide, and leave no trace.
    Peek,
}

/// The limiter. Shared by reference or [`Arc`]; every method may be called from any thread.
///
/// ```
/// use tollgate::{Changes, Engine, Key, Plan, Quota, Request, SecretKey, Subject, Throttle};
///
/// let engine = Engine::builder()
///     .changes(
///         Changes::new()
///             .plan("free", Plan::new().throttle(Throttle::new("10/s", 5)).quota(Quota::new(1_000, "day")))
///             .subject("acme", Subject::new(["free"]).key(Key::new("acme-1", SecretKey::new("made-up")?))),
///     )
///     .build()?;
///
/// let decision = engine.check(&Request::new(b"made-up"));
/// assert!(decision.is_allowed());
/// assert!(!engine.check(&Request::new(b"guessed")).is_allowed());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Engine {
    /// What decisions read. Replaced whole, by holders of `writer` only.
    world: Current,
    /// Serialises changes.
    writer: Mutex<()>,
    store: Store,
    peppers: Peppers,
    clock: Clock,
    owners: Owners,
    /// Whether the store is memory that other processes map.
    shared: bool,
    when_full: WhenFull,
    full_totals: FullTotals,
    book: Book,
    alerts: Queue,
    /// What is lent of hot throttles, if the host wants it.
    leases: Option<Arc<Leases>>,
    key_format: Option<KeyFormat>,
    /// Held while a snapshot's file is written: of two at once an older one could stay.
    saving: Mutex<()>,
}

/// What an engine begins with.
#[derive(Debug)]
pub struct EngineBuilder {
    changes: Changes,
    peppers: Vec<Pepper>,
    clock: Option<Clock>,
    capacity: Capacity,
    when_full: WhenFull,
    touched: bool,
    leases: bool,
    region: Option<Region>,
    ids: u64,
    alerts: usize,
    key_format: Option<KeyFormat>,
    snapshot: Option<Snapshot>,
    as_found: bool,
}

impl EngineBuilder {
    /// Plans and subjects to begin with.
    pub fn changes(mut self, changes: Changes) -> EngineBuilder {
        self.changes = changes;
        self
    }

    /// Adds a pepper; the first is the one for keys given by value.
    pub fn pepper(mut self, pepper: Pepper) -> EngineBuilder {
        self.peppers.push(pepper);
        self
    }

    /// Where the time comes from when the caller gives none; [`Clock::system`] by default.
    pub fn clock(mut self, clock: Clock) -> EngineBuilder {
        self.clock = Some(clock);
        self
    }

    /// How much state the engine can hold; [`Capacity::new`] by default.
    pub fn capacity(mut self, capacity: Capacity) -> EngineBuilder {
        self.capacity = capacity;
        self
    }

    /// Takes all memory of the capacity at once instead of growing to it, touched, in huge pages where the system has
    /// them: no check meets a page fault or lets the table grow, and with many subjects each takes less time. A
    /// region's memory is its owner's affair.
    pub fn touched(mut self) -> EngineBuilder {
        self.touched = true;
        self
    }

    /// Lets threads that meet at a throttle take leases of its tokens, which they spend without a write that others see: a
    /// hot key, or the pool of a plan, costs many threads no more than one.
    ///
    /// Never are more requests admitted than without. Some are refused early: while the throttle has no more than an eighth of
    /// its burst left, what is left may be lent to other threads. A lease is spent within a millisecond; a thread gives back
    /// the rest with its next check, and one that never comes back keeps what it has of the eighth until the bucket is full.
    /// Reports take what is lent for used. Only throttles that are the only limit of their subject or pool in a unit are lent,
    /// with a burst of 192 or more; their state takes a [line](Capacity::lines) then.
    ///
    /// It is for an engine in memory of its own: one in a [region](EngineBuilder::region) does not lend.
    pub fn leases(mut self) -> EngineBuilder {
        self.leases = true;
        self
    }

    /// What happens to a new anonymous subject when that is used up; [`WhenFull::Refuse`] by default.
    pub fn when_full(mut self, when_full: WhenFull) -> EngineBuilder {
        self.when_full = when_full;
        self
    }

    /// Takes keys of this form only: whatever else is presented as a key is unknown, before it is looked for. Rotations make
    /// keys of this form. Without it every key is looked for, and rotations make keys without a prefix.
    pub fn key_format(mut self, format: KeyFormat) -> EngineBuilder {
        self.key_format = Some(format);
        self
    }

    /// Begins from what a snapshot holds: the plans and subjects are those of [`changes`](EngineBuilder::changes), what
    /// was consumed, ids, rotations and states of keys are the snapshot's, of two states of a key the stricter one.
    ///
    /// A region takes one if it is new, and if the snapshot is that of a region of the same capacity.
    pub fn snapshot(mut self, snapshot: Snapshot) -> EngineBuilder {
        self.snapshot = Some(snapshot);
        self
    }

    /// How many ids of requests the engine knows at a time, 65,536 by default. For a new one the oldest is forgotten that
    /// is settled, refunded or only a check's; when all are open reservations, no further one is admitted.
    pub fn ids(mut self, most: u64) -> EngineBuilder {
        self.ids = most;
        self
    }

    /// How many [alerts](Engine::alerts) wait to be read at most, 4,096 by default; what comes after is counted and dropped.
    pub fn alerts(mut self, most: usize) -> EngineBuilder {
        self.alerts = most;
        self
    }

    /// Attaches the engine to memory that other processes share, as planned for its capacity; of a
    /// [copy](Region::copy_of) it takes what is in it.
    pub fn region(mut self, region: Region) -> EngineBuilder {
        self.region = Some(region);
        self
    }

    /// Makes the engine.
    ///
    /// # Errors
    /// The first thing wrong in the definitions, with its field, value and what would be right; a capacity that
    /// there is no memory for, or that the subjects do not fit into.
    pub fn build(mut self) -> Result<Engine, ApplyError> {
        let mut peppers = Peppers::default();
        for pepper in std::mem::take(&mut self.peppers) {
            peppers.add(pepper).map_err(|error| ApplyError::invalid("pepper", error))?;
        }
        if self.region.as_ref().is_some_and(|region| region.copied) {
            self.begin_with_copy(&peppers)?;
        }
        let shared = self.region.is_some();
        let begun = self.snapshot.as_ref().map(|snapshot| snapshot.hash);
        let (store, owners, clock) = match self.region {
            None => {
                let mut size = self.capacity.size();
                size.base = self.snapshot.as_ref().map(|snapshot| snapshot.base);
                let store = if self.touched { Store::touched_heap(size) } else { Store::heap(size) };
                let bytes = self.capacity.bytes();
                let store = store.ok_or(ApplyError::Memory { field: "capacity", bytes })?;
                (store, begun.map_or_else(Owners::random, Owners::of), Clock::system())
            }
            Some(region) => {
                let seed = begun.map_or_else(owners::random, |hash| hash.seed);
                let (store, seed) = Store::attach(region.memory, Some(self.capacity.region_size()), seed)?;
                let clock = Clock::System(region::clock(&store));
                (store, Owners::seeded(seed), clock)
            }
        };
        let clock = self.clock.unwrap_or(clock);
        let mut engine = Engine::empty(store, owners, shared, clock, peppers, (self.ids, self.alerts))?;
        if self.leases && !shared {
            let leases = Arc::new(Leases::new());
            engine.world = Current::new(World::default(), Some(leases.clone()));
            engine.leases = Some(leases);
        }
        (engine.when_full, engine.key_format) = (self.when_full, self.key_format);
        let mut directory = Directory::default();
        if let Some(snapshot) = &self.snapshot {
            engine
                .begin_with(snapshot, &mut directory)
                .map_err(|error| ApplyError::Snapshot(error.to_string()))?;
        }
        if shared {
            ledger::catch_up(&mut directory, &engine.store);
        }
        let before = World::default().with_directory(directory);
        // What has begun goes on at the present instant, what begins has always been so.
        let now = if before.covers(1) { engine.now() } else { Nanos::ZERO };
        engine.put_in_place(&before, &self.changes, now.get(), self.as_found)?;
        if let Some(snapshot) = &self.snapshot {
            engine.begin_from(snapshot, now).map_err(|error| ApplyError::Snapshot(error.to_string()))?;
        }
        Ok(engine)
    }
}

impl Engine {
    /// Without plans and subjects, with room for so many ids and alerts.
    fn empty(
        store: Store,
        owners: Owners,
        shared: bool,
        clock: Clock,
        peppers: Peppers,
        (ids, alerts): (u64, usize),
    ) -> Result<Engine, ApplyError> {
        Ok(Engine {
            world: Current::new(World::default(), None),
            leases: None,
            writer: Mutex::new(()),
            store,
            peppers,
            clock,
            owners,
            shared,
            when_full: WhenFull::default(),
            full_totals: FullTotals::default(),
            book: Book::new(ids),
            alerts: Queue::new(alerts)?,
            key_format: None,
            saving: Mutex::new(()),
        })
    }

    /// Begins an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder {
            changes: Changes::new(),
            peppers: Vec::new(),
            clock: None,
            capacity: Capacity::new(),
            when_full: WhenFull::default(),
            touched: false,
            leases: false,
            region: None,
            ids: book::DEFAULT_ROOM,
            alerts: alerts::DEFAULT_ROOM,
            key_format: None,
            snapshot: None,
            as_found: false,
        }
    }

    /// An engine from a plan file.
    ///
    /// # Errors
    /// A file that cannot be read or is not a valid plan file.
    #[cfg(feature = "plan-file")]
    pub fn from_plan_file(path: impl AsRef<std::path::Path>) -> Result<Engine, crate::error::PlanFileError> {
        let changes = Changes::from_path(path.as_ref())?;
        Ok(Engine::builder().changes(changes).build()?)
    }

    /// The engine's present instant.
    pub fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// Decides whether `request` may be made now, and debits it if so.
    pub fn check(&self, request: &Request<'_>) -> Decision {
        match (self.by_number(request.identity), request.cost) {
            // Its state is on its way while the clock is read.
            (Identity::AnonymousIn(plan), Cost::Every(cost)) => self.check_asked(plan, request, cost),
            _ => self.check_at(request, self.now()),
        }
    }

    /// [`check`](Engine::check) at the caller's instant, which may be earlier than others were.
    #[inline(always)]
    pub fn check_at(&self, request: &Request<'_>, now: Nanos) -> Decision {
        self.decided_shortly(self.admit(request, now.get()), request, now)
    }

    /// Decides, and debits nothing.
    pub fn peek(&self, request: &Request<'_>) -> Decision {
        self.peek_at(request, self.now())
    }

    /// [`peek`](Engine::peek) at the caller's instant.
    pub fn peek_at(&self, request: &Request<'_>, now: Nanos) -> Decision {
        self.decide(std::slice::from_ref(request), now, Mode::Peek, &mut Ignore, None)
    }

    /// One decision over several subjects: all of `requests` are debited or none is.
    ///
    /// The first request whose key is refused decides the verdict. Limits that two requests share are
    /// judged by the sum of their costs. No requests at all are allowed.
    ///
    /// Where some of the plans observe, the others decide alone; an observing plan is debited if the
    /// request is admitted and all of its own limits accept.
    pub fn check_all(&self, requests: &[Request<'_>]) -> Decision {
        self.check_all_at(requests, self.now())
    }

    /// [`check_all`](Engine::check_all) at the caller's instant.
    pub fn check_all_at(&self, requests: &[Request<'_>], now: Nanos) -> Decision {
        self.decide(requests, now, Mode::Check, &mut Ignore, None)
    }

    /// Decides, and reports how every limit that applies stands after it.
    pub fn report(&self, request: &Request<'_>, mode: Mode) -> Report {
        self.report_at(request, self.now(), mode)
    }

    /// [`report`](Engine::report) at the caller's instant.
    pub fn report_at(&self, request: &Request<'_>, now: Nanos, mode: Mode) -> Report {
        self.report_all_at(std::slice::from_ref(request), now, mode)
    }

    /// [`check_all_at`](Engine::check_all_at) with a report: limits in the order of the requests.
    pub fn report_all_at(&self, requests: &[Request<'_>], now: Nanos, mode: Mode) -> Report {
        let mut collect = Collect::default();
        let decision = self.decide(requests, now, mode, &mut collect, None);
        collect.into_report(decision)
    }

    /// Puts plans and subjects in place, all of them or, on an error, none.
    ///
    /// # Errors
    /// Names the field, the value and what would be right; a conflict if the definition is right in
    /// itself.
    pub fn apply(&self, changes: &Changes) -> Result<(), ApplyError> {
        self.apply_at(changes, self.now())
    }

    /// [`apply`](Engine::apply) with rates taking effect at the caller's instant.
    ///
    /// # Errors
    /// As [`apply`](Engine::apply).
    pub fn apply_at(&self, changes: &Changes, now: Nanos) -> Result<(), ApplyError> {
        let _writer = self.writer.lock();
        let world = self.world_at(now);
        self.put_in_place(&world, changes, now.get(), false)
    }

    /// Switches a key on. An expired or revoked key stays as it is.
    ///
    /// # Errors
    /// No registered key has this id.
    pub fn enable(&self, key_id: &str) -> Result<(), KeyError> {
        self.change_key(key_id, |state| state.enabled = true)
    }

    /// Switches a key off: no later decision of any thread admits it.
    ///
    /// # Errors
    /// No registered key has this id.
    pub fn disable(&self, key_id: &str) -> Result<(), KeyError> {
        self.change_key(key_id, |state| state.enabled = false)
    }

    /// Ends a key's life: it is expired at every instant. Enabling it does not bring it back; a change
    /// that lists it with a later `expires` does. (To let a key expire in the future, list it with
    /// [`expires`](crate::Key::expires).)
    ///
    /// # Errors
    /// No registered key has this id.
    pub fn expire(&self, key_id: &str) -> Result<(), KeyError> {
        self.change_key(key_id, |state| state.expires = Some(0))
    }

    /// Switches a key off for good.
    ///
    /// # Errors
    /// No registered key has this id.
    pub fn revoke(&self, key_id: &str) -> Result<(), KeyError> {
        self.change_key(key_id, |state| state.revoke(Some(0)))
    }

    /// Whether a plan of this name is in place.
    pub fn has_plan(&self, name: &str) -> bool {
        self.world.with(|world| world.plan_named(name).is_some())
    }

    /// What requests under a plan have to bring along, or under any of the plans in place where none is named; `None` if
    /// no plan of this name is in place. For hosts to which a route or an id is work.
    pub fn needs(&self, plan: Option<&str>) -> Option<Needs> {
        self.world.with(|world| {
            let needs = |plan: &CompiledPlan| Needs { route: plan.has_routes(), id: plan.has_caps() };
            match plan {
                Some(name) => world.plan_named(name).map(|plan| needs(plan)),
                None => Some(world.plans.iter().flatten().map(|plan| needs(plan)).fold(
                    Needs::default(),
                    |all, one| Needs { route: all.route | one.route, id: all.id | one.id },
                )),
            }
        })
    }

    /// The plan of this name, for [`Request::anonymous_in`]; `None` if there never was one.
    pub fn plan_id(&self, name: &str) -> Option<PlanId> {
        self.world.with(|world| world.directory.plan_known(name).map(PlanId))
    }

    /// Number of cells in use: those of registered subjects and pools, and of anonymous subjects that were ever
    /// admitted and have not been replaced. Counts them one by one.
    pub fn cells(&self) -> usize {
        self.store.cells()
    }

    /// Work for a host that has idle time: lets the table grow ahead of need, and empties cells and lines whose state is
    /// indistinguishable from fresh at `now`, looking at about fifteen cells and one line per step. Gives the number of
    /// cells emptied. No host needs to call it: decisions do what they need themselves.
    pub fn maintain_at(&self, steps: u32, now: Nanos) -> u32 {
        self.store.grow(steps as usize);
        self.world.with(|world| {
            let age = |txn: &Txn<'_>, content| state::age(world, txn, content, now.get());
            self.store.reclaim_groups(steps, &age) + self.store.reclaim_lines(steps, &age)
        })
    }

    /// [`maintain_at`](Engine::maintain_at) by the engine's clock.
    pub fn maintain(&self, steps: u32) -> u32 {
        self.maintain_at(steps, self.now())
    }

    /// What happened so far because there was no room.
    pub fn full_counts(&self) -> FullCounts {
        self.full_totals.get()
    }

    fn change_key(&self, key_id: &str, change: impl Fn(&mut KeyState)) -> Result<(), KeyError> {
        let _writer = self.writer.lock();
        let mut world = World::clone(&self.world.get());
        let mut record = match world.keys.by_id(key_id) {
            Some(record) => world::KeyRecord::clone(record),
            None => return Err(KeyError::UnknownId(key_id.into())),
        };
        let changed = |known: KeyState| {
            let mut state = known;
            change(&mut state);
            state
        };
        record.state = if self.shared {
            let known = record.state;
            let change = |shared: Option<KeyState>| changed(shared.unwrap_or(known));
            self.share_key(&record.digest, &change).ok_or_else(|| KeyError::NoRoom(key_id.into()))?
        } else {
            changed(record.state)
        };
        world.keys.put(record);
        self.world.set(Arc::new(world));
        Ok(())
    }

    /// The present world, its arithmetic within range at `now`, up to date with the region. The caller holds `writer`.
    fn world_at(&self, now: Nanos) -> Arc<World> {
        let world = self.world.get();
        let mut directory = Directory::clone(&world.directory);
        let mut changed = self.shared && ledger::catch_up(&mut directory, &self.store);
        while now.get() > directory.covers() || directory.covers() == 0 {
            changed = true;
            let event = Event::Base { at: now.get() };
            let recorded = if self.shared {
                let (directory, owners, store) = (&mut directory, &self.owners, &self.store);
                ledger::Shared { directory, owners, store, keeps: false }.record(&event)
            } else {
                directory.apply(Some(&event))
            };
            if recorded.is_err() {
                // No room among the events that are kept for this, which takes decades: by itself.
                let _ = directory.apply(Some(&event));
            }
        }
        if !changed {
            return world;
        }
        let moved = Arc::new(world.with_directory(directory));
        self.world.set(moved.clone());
        moved
    }

    /// Brings the world up to date with the region and within range at `now`.
    #[cold]
    fn refresh(&self, now: Nanos) {
        let _writer = self.writer.lock();
        self.world_at(now);
    }

    /// Whether `world` can express `now`, and knows of everything that other processes recorded.
    #[inline(always)]
    fn is_ready(&self, world: &World, now: u64) -> bool {
        world.covers(now) && (!self.shared || self.store.event_count() == world.directory.events())
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("full_counts", &self.full_counts()).finish_non_exhaustive()
    }
}
