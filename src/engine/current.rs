//! The present world, and how decisions get at it.
//!
//! **Fast path.** Each thread keeps the world it used last of the engine it used last: a look at the engine's version
//! says whether it is still the present one. **Slow path.** A change, or another engine: the thread fetches the present
//! world. So a check writes nothing that threads share. A thread that stops checking keeps one old world (which shares
//! nearly everything with the present one) until it ends or checks again.
//!
//! **Ordering.** A change stores the world, then the version (Release). Who reads that version (Acquire) or knows by any
//! other way that the change has returned, finds the new world.

use std::cell::Cell;
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

/// A world that was the present one at `version`.
struct Kept {
    version: u64,
    world: Arc<World>,
}

thread_local! {
    /// Empty while the thread reads it.
    static KEPT: Cell<Option<Kept>> = const { Cell::new(None) };
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
        // Nothing is kept by a thread that is ending, nor for a step that itself comes here.
        let kept = KEPT.try_with(Cell::take).ok().flatten();
        let kept = match kept {
            Some(kept) if kept.version == version => kept,
            other => self.fetch(version, other),
        };
        let result = step(&kept.world);
        let _ = KEPT.try_with(|cell| cell.set(Some(kept)));
        result
    }

    /// At least as new as `version`.
    #[cold]
    #[inline(never)]
    fn fetch(&self, version: u64, _outdated: Option<Kept>) -> Kept {
        Kept { version, world: self.get() }
    }
}
