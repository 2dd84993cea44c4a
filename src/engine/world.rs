//! Everything a decision reads that is not consumption: one immutable value, replaced whole.

use std::sync::Arc;

use ahash::RandomState;
use rpds::HashTrieMapSync;

use crate::key::{Holder, Record, Registry};
use crate::plan::{CompiledPlan, Directory};

pub(super) type KeyRecord = Record<Subject>;

/// A registered subject.
#[derive(Debug)]
pub(super) struct Subject {
    pub name: Arc<str>,
    pub owner: u64,
    /// Plan numbers.
    pub plans: Vec<u32>,
    /// Digests of its keys.
    pub keys: Vec<crate::key::Digest>,
}

impl Holder for Subject {
    fn account(&self) -> Option<(u64, u32)> {
        match self.plans[..] {
            [plan] => Some((self.owner, plan)),
            _ => None,
        }
    }
}

#[derive(Clone)]
pub(super) struct World {
    /// The last instant that can be expressed; before anything was decided, none but 0.
    covers: u64,
    pub(super) directory: Arc<Directory>,
    /// By plan number; none for a plan that was removed.
    pub(super) plans: Vec<Option<Arc<CompiledPlan>>>,
    pub(super) subjects: HashTrieMapSync<Arc<str>, Arc<Subject>, RandomState>,
    pub(super) keys: Registry<Subject>,
}

impl Default for World {
    fn default() -> World {
        World {
            covers: 0,
            directory: Arc::default(),
            plans: Vec::new(),
            subjects: HashTrieMapSync::new_with_hasher_and_ptr_kind(RandomState::new()),
            keys: Registry::default(),
        }
    }
}

impl World {
    /// Whether instants up to `now` can be expressed.
    #[inline]
    pub(super) fn covers(&self, now: u64) -> bool {
        now <= self.covers
    }

    /// This world with another directory, whose histories its plans take over.
    pub(super) fn with_directory(&self, directory: Directory) -> World {
        let mut world = self.clone();
        world.covers = directory.covers();
        for plan in world.plans.iter_mut().flatten() {
            Arc::make_mut(plan).refresh(&directory);
        }
        world.directory = Arc::new(directory);
        world
    }

    #[inline]
    pub(super) fn plan(&self, number: u32) -> Option<&Arc<CompiledPlan>> {
        self.plans.get(number as usize).and_then(Option::as_ref)
    }

    pub(super) fn plan_named(&self, name: &str) -> Option<&Arc<CompiledPlan>> {
        self.directory.plan_known(name).and_then(|number| self.plan(number))
    }
}
