//! A region's content, taken over into an engine of its own while others are at the region.
//!
//! The file is mapped so that nothing is written back ([`Region::copy_of`](super::Region::copy_of)), and nothing is written
//! to the mapping either: a page that was written to would stand still while the others go on. So whoever reads it sees what
//! an attached process sees, and reads through marks as that does. What is read makes a snapshot, and the engine begins from
//! that.
//!
//! Where 16-byte loads take a swap (x86-64 without AVX), reading copies pages. Each is then as it was when it was first
//! looked at, and a debit that was under way may be seen in part.

use std::sync::Arc;

use super::apply::Place;
use super::snapshot::Snapshot;
use super::world::World;
use super::{Clock, Engine, EngineBuilder, Owners, ledger, region};
use crate::error::{ApplyError, RegionError};
use crate::key::Peppers;
use crate::plan::Directory;
use crate::store::{Memory, Store};
use crate::time::Nanos;

/// How often limits may change while a region is read.
const ATTEMPTS: u32 = 100;

impl EngineBuilder {
    /// Makes a snapshot of the copied region, and goes on without the region.
    pub(super) fn begin_with_copy(&mut self, peppers: &Peppers) -> Result<(), ApplyError> {
        let Some(region) = self.region.take() else { return Ok(()) };
        if self.snapshot.is_some() {
            let problem = "a copy of a region begins with what is in it: leave out one of the two";
            return Err(ApplyError::Snapshot(problem.into()));
        }
        let (snapshot, clock) = self.read(region.memory, peppers)?;
        self.capacity = self.capacity.plus(snapshot.capacity());
        self.clock.get_or_insert(clock);
        self.snapshot = Some(snapshot);
        Ok(())
    }

    fn read(&self, memory: Memory, peppers: &Peppers) -> Result<(Snapshot, Clock), ApplyError> {
        let (store, seed) = Store::attach(memory, None, 0)?;
        let clock = Clock::System(region::clock_seen(&store));
        let owners = Owners::seeded(seed);
        let engine = Engine::empty(store, owners, true, clock.clone(), peppers.clone(), (1, 0))?;
        for _ in 0..ATTEMPTS {
            let mut directory = Directory::default();
            ledger::catch_up(&mut directory, &engine.store);
            let events: Vec<_> = directory.list().copied().collect();
            let before = World::default().with_directory(directory);
            let now = if before.covers(1) { engine.now() } else { Nanos::ZERO };
            // The plans only say which lines belong together. What they bring along stands in this world's directory alone.
            let world = before.changed(
                &self.changes,
                now.get(),
                peppers,
                &engine.owners,
                Place::Private { most: u64::MAX },
            )?;
            engine.world.set(Arc::new(world));
            let mut bytes = Vec::new();
            engine.write_snapshot(&mut bytes).map_err(|error| ApplyError::Snapshot(error.to_string()))?;
            // Had others gone on with the list, lines could have the numbers that the plans brought along.
            if engine.store.event_count() == events.len() as u64 {
                let mut read =
                    Snapshot::read(&bytes).map_err(|error| ApplyError::Snapshot(error.to_string()))?;
                read.events = events;
                return Ok((read, clock));
            }
        }
        Err(RegionError::Busy.into())
    }
}
