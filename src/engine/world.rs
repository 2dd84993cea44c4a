//! Everything a decision reads that is not consumption: one immutable value, replaced whole.

use std::sync::Arc;

use ahash::RandomState;
use rpds::HashTrieMapSync;

use crate::algo::gcra;
use crate::key::{Record, Registry};
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

#[derive(Clone)]
pub(super) struct World {
    /// The instant that arithmetic counts from; none until something is decided or changed.
    base: Option<u64>,
    /// The last instant that can be expressed; before there is a base, none but 0.
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
            base: None,
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

    pub(super) fn rebased(&self, now: u64) -> World {
        let mut world = self.clone();
        Arc::make_mut(&mut world.directory).rebase(now, self.base.is_none());
        world.base = Some(now);
        world.covers = now.saturating_add(gcra::RANGE - gcra::LOOK_BACK);
        for plan in world.plans.iter_mut().flatten() {
            Arc::make_mut(plan).refresh(&world.directory);
        }
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

/// Numbers for whoever owns state: keyed hashes, secret to this engine, so that nobody can aim for another's
/// cell.
pub(super) struct Owners {
    /// By [`OwnerKind`].
    states: [RandomState; 3],
    line_key: u64,
}

/// Keeps the three kinds of owners apart.
#[derive(Clone, Copy)]
pub(super) enum OwnerKind {
    Subject,
    Anonymous,
    Pool,
}

impl Owners {
    pub(super) fn new() -> Owners {
        let states = core::array::from_fn(|_| RandomState::new());
        Owners { states, line_key: RandomState::new().hash_one(0) }
    }

    #[inline]
    pub(super) fn owner(&self, kind: OwnerKind, name: &[u8]) -> u64 {
        self.states[kind as usize].hash_one(name)
    }

    /// The hash of an owner's state in a line, 63 bits: folded multiplication, as the owner is hashed already.
    #[inline]
    pub(super) fn hash(&self, owner: u64, line: u32) -> u64 {
        let line = self.line_key ^ u64::from(line).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let product = u128::from(owner ^ line) * u128::from(line | 1);
        (product as u64 ^ (product >> 64) as u64) >> 1
    }
}
