//! The present world, and how decisions get at it.
//!
//! **Fast path.** Each thread keeps the world it used last of the engine it used last: a look at the engine's version
//! says whether it is still the present one. **Slow path.** A change, or another engine: the thread fetches the present
//! world. So a check writes nothing that threads share. A thread that stops checking keeps one old world (which shares
//! nearly everything with the present one) until it ends or checks again.
//!
//! **Ordering.** A change stores the world, then the version (Release). Who reads that version (Acquire) or knows by any
//! other way that the change has returned, finds the new world.

use std::cell::RefCell;
use std::sync::Arc;

use super::world::World;
use crate::sync::{AtomicU64, Mutex, Ordering};

/// See the module's comment.
pub(super) struct Current {
    world: Mutex<Arc<World>>,
    /// Names this engine's world of now among all of all engines in the process: never the same twice, never 0.
    version: AtomicU64,
}

/// The version that was given out last.
static VERSIONS: Mutex<u64> = Mutex::new(0);

fn next_version() -> u64 {
    let mut versions = VERSIONS.lock();
    *versions += 1;
    *versions
}

struct Kept {
    version: u64,
    world: Option<Arc<World>>,
}

thread_local! {
    static KEPT: RefCell<Kept> = const { RefCell::new(Kept { version: 0, world: None }) };
}

impl Current {
    pub(super) fn new(world: World) -> Current {
        let version = AtomicU64::new(next_version());
        Current { world: Mutex::new(Arc::new(world)), version }
    }

    /// Puts a world in place. Callers take turns.
    pub(super) fn set(&self, world: Arc<World>) {
        *self.world.lock() = world;
        self.version.store(next_version(), Ordering::Release);
    }

    pub(super) fn get(&self) -> Arc<World> {
        self.world.lock().clone()
    }

    /// Hands the present world to `step`.
    #[inline(always)]
    pub(super) fn with<R>(&self, step: impl FnOnce(&World) -> R) -> R {
        let version = self.version.load(Ordering::Acquire);
        let mut step = Some(step);
        let done = KEPT.try_with(|kept| {
            // A step that itself comes here is the only one to find the world borrowed: it may read it too.
            let kept = kept.try_borrow().ok().filter(|kept| kept.version == version)?;
            let world = kept.world.as_ref()?;
            Some(step.take()?(world))
        });
        match (done, step) {
            (Ok(Some(result)), _) => result,
            (_, Some(step)) => step(&self.fetch(version)),
            (_, None) => unreachable!("a step that was taken gave a result"),
        }
    }

    #[cold]
    #[inline(never)]
    fn fetch(&self, version: u64) -> Arc<World> {
        // At least as new as `version`.
        let world = self.get();
        // Fails when the thread is ending: then nothing needs to be kept.
        let _ = KEPT.try_with(|kept| {
            if let Ok(mut kept) = kept.try_borrow_mut() {
                *kept = Kept { version, world: Some(world.clone()) };
            }
        });
        world
    }
}
