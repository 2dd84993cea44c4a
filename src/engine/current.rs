//! The present world, and how decisions get at it.
//!
//! **Fast path.** Each thread keeps the world it used last of the engine it used last: a look at the engine's version
//! says whether it is still the present one. **Slow path.** A change, or another engine: the thread fetches the present
//! world. So a check writes nothing at all here. A thread that stops checking keeps one old world (which shares
//! nearly everything with the present one) until it ends or checks again.
//!
//! **Ordering.** A change stores the world, then the version (Release). Who reads that version (Acquire) or knows by any
//! other way that the change has returned, finds the new world.

#![allow(unsafe_code)]

use std::cell::{Cell, RefCell};
use std::ptr;
use std::sync::Arc;

use super::decision::Verdict;
use super::lease::{Leases, Mine};
use super::metrics::{Tallies, Tally};
use super::world::World;
use crate::sync::{AtomicU64, Mutex, OWN_BYTES, Ordering, own};

/// See the module's comment.
pub(super) struct Current {
    world: Mutex<Arc<World>>,
    /// Names this engine's world of now among all of all engines in the process: never the same twice, never 0.
    version: AtomicU64,
    tallies: Tallies,
    /// For threads that are ending.
    last: Mutex<Arc<Tally>>,
    /// What is lent, if anything is.
    leases: Option<Arc<Leases>>,
}

/// The version that was given out last.
static VERSIONS: Mutex<u64> = Mutex::new(0);

fn next_version() -> u64 {
    let mut versions = VERSIONS.lock();
    *versions += 1;
    *versions
}

/// Owns what [`seen`] points to, and knows whose leases are [`MINE`].
#[derive(Default)]
struct Keeper {
    #[expect(dead_code, reason = "held, not read")]
    kept: Option<(Arc<World>, Arc<Tally>)>,
    leases: Option<Arc<Leases>>,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        seen().set(UNSEEN);
        if let Some(leases) = &self.leases {
            MINE.with(|mine| mine.give_up(leases));
        }
    }
}

/// What a thread used last of the engine it used last; zeros are [`UNSEEN`], as a thread finds it.
#[derive(Clone, Copy)]
#[repr(C)]
struct Seen {
    version: u64,
    world: *const World,
    /// Where the thread counts what it decides in that world.
    tally: *const Tally,
}

const UNSEEN: Seen = Seen { version: 0, world: ptr::null(), tally: ptr::null() };
const _: () = assert!(size_of::<Seen>() <= OWN_BYTES && align_of::<Seen>() <= align_of::<u64>());

/// This thread's. It has nothing to drop, so that reading it is a load.
#[inline(always)]
fn seen() -> &'static Cell<Seen> {
    // SAFETY: as large and aligned at most, and zeros at first; nobody else uses them. They are there for as long as the
    // thread, which the callers, all here, do not take the reference from.
    unsafe { &*own().cast() }
}

/// Whoever has one is in a step of [`Current::with_seen`], and stays in its thread.
pub(super) struct Here(*const Tally);

impl Here {
    /// This thread's leases.
    #[inline(always)]
    pub(super) fn mine(&self) -> &Mine {
        // SAFETY: it has nothing to drop, so that it is there for as long as its thread, which a `Here` does not leave.
        unsafe { &*MINE.with(ptr::from_ref) }
    }

    /// Where this thread counts.
    #[inline(always)]
    pub(super) fn tally(&self) -> &Tally {
        // SAFETY: `KEPT` holds an `Arc` of it, and is not changed before the step has ended.
        unsafe { &*self.0 }
    }
}

thread_local! {
    /// What the thread may spend by itself of that engine's throttles.
    static MINE: Mine = const { Mine::new() };
    /// Changed together with [`seen`] and [`MINE`], and never while a step of [`Current::with`] is going on.
    static KEPT: RefCell<Keeper> = const { RefCell::new(Keeper { kept: None, leases: None }) };
}

impl Current {
    pub(super) fn new(world: World, leases: Option<Arc<Leases>>) -> Current {
        let version = AtomicU64::new(next_version());
        let tallies = Tallies::default();
        let last = Mutex::new(tallies.get(world.plans.len()));
        Current { world: Mutex::new(Arc::new(world)), version, tallies, last, leases }
    }

    /// Puts a world in place. Callers take turns.
    pub(super) fn set(&self, world: Arc<World>) {
        *self.world.lock() = world;
        self.version.store(next_version(), Ordering::Release);
    }

    pub(super) fn get(&self) -> Arc<World> {
        self.world.lock().clone()
    }

    /// Hands the present world to `step`, which never comes back here.
    #[inline]
    pub(super) fn with<R>(&self, mut step: impl FnMut(&World) -> R) -> R {
        match self.with_seen(|world, _| step(world)) {
            Some(result) => result,
            None => step(&self.fetch(self.version.load(Ordering::Acquire))),
        }
    }

    /// The same, if it is the world that this thread used last; `step` may come to this again, but not to `with`.
    #[inline(always)]
    pub(super) fn with_seen<R>(&self, step: impl FnOnce(&World, &Here) -> R) -> Option<R> {
        let version = self.version.load(Ordering::Acquire);
        let seen = seen().get();
        // SAFETY: `KEPT` holds an `Arc` of this world and is not changed before the step has ended, as only `fetch`
        // changes it, which the step does not come to.
        (seen.version == version).then(|| step(unsafe { &*seen.world }, &Here(seen.tally)))
    }

    /// Counts a decision under a plan.
    pub(super) fn count(&self, plan: Option<u32>, verdict: Verdict, would_deny: bool) {
        if self.with_seen(|_, here| here.tally().decided(plan, verdict, would_deny)).is_some() {
            return;
        }
        // Another world since, or another engine, or the thread is ending.
        let plans = self.get().plans.len();
        let mut last = self.last.lock();
        if !last.has_room(plans) {
            *last = self.tallies.get(plans);
        }
        last.decided(plan, verdict, would_deny);
    }

    /// What was counted.
    pub(super) fn sums(&self) -> super::metrics::Sums {
        self.tallies.sums()
    }

    /// The present world, at least as new as `version`; kept for the next time, unless the thread is ending.
    #[cold]
    #[inline(never)]
    fn fetch(&self, version: u64) -> Arc<World> {
        let world = self.get();
        let _ = KEPT.try_with(|kept| {
            let mut before = kept.take();
            let same = |leases: &Arc<Leases>| {
                self.leases.as_ref().is_some_and(|present| Arc::ptr_eq(present, leases))
            };
            let leases = before.leases.take_if(|leases| same(leases)).or_else(|| self.leases.clone());
            // A world that nobody else has any more is dropped here; the tally is free for whoever asks first. Leases of
            // another engine are given up.
            drop(before);
            MINE.with(Mine::suspend);
            let tally = self.tallies.get(world.plans.len());
            let seen = Seen { version, world: Arc::as_ptr(&world), tally: Arc::as_ptr(&tally) };
            *kept.borrow_mut() = Keeper { kept: Some((world.clone(), tally)), leases };
            self::seen().set(seen);
        });
        world
    }
}
