//! Memory that several processes share.

use core::fmt;
use core::ptr::NonNull;
use std::path::Path;

use super::{Engine, EngineBuilder};
use crate::error::RegionError;
use crate::store::{CLOCK, Entry, Memory, Store};
use crate::time::{SystemClock, boot_id};

/// Memory that several processes map, each wherever it likes, and that engines are attached to: the first formats it
/// for its capacity, the others join. What lives in it: the state of every limit, the states of keys, the histories of
/// limits, and the clock's offset. Plans, subjects and keys themselves are each process's own.
///
/// A process that is killed at any instant leaves nothing that another has to wait for.
///
/// ```
/// use tollgate::{Capacity, Changes, Engine, Plan, Quota, Region, Request};
/// # let path = std::env::temp_dir().join(format!("tollgate-region-doc-{}", std::process::id()));
/// let capacity = Capacity::new().cells(10_000).lines(1_000);
/// let changes = Changes::new().plan("free", Plan::new().quota(Quota::new(1, "day")));
/// let engine = |changes: &Changes| {
///     let region = Region::file(&path, capacity.region_bytes())?;
///     Engine::attach(region).capacity(capacity).changes(changes.clone()).build()
/// };
/// let (one, other) = (engine(&changes)?, engine(&changes)?);
/// let visitor = Request::anonymous("free", "192.0.2.1");
/// assert!(one.check(&visitor).is_allowed());
/// assert!(!other.check(&visitor).is_allowed());
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Region {
    pub(super) memory: Memory,
    /// Whether it is only to be read.
    pub(super) copied: bool,
}

impl Region {
    /// A file, made if it is not there and made larger if it is smaller than `bytes`
    /// ([`Capacity::region_bytes`](crate::Capacity::region_bytes)). It outlives processes, and a reboot if its file
    /// system does.
    ///
    /// # Errors
    /// What the system says of the file.
    pub fn file(path: impl AsRef<Path>, bytes: u64) -> Result<Region, RegionError> {
        Memory::file(path.as_ref(), bytes).map(|memory| Region { memory, copied: false })
    }

    /// What is in a region's file, for an engine of its own: a report, or a backup, beside the processes that are attached
    /// to it. Nothing is ever written to the file, and it need not be writable.
    ///
    /// [`build`](crate::EngineBuilder::build) reads it, as it stands then, into the engine's own memory, which goes on
    /// by itself: the engine's plans may be others than those of the attached processes, and what it debits or changes is seen
    /// by nobody else. Its capacity is what it holds in addition to what was copied; its clock is the region's; ids of
    /// requests are not in a region. What is kept of a registered subject's or a pool's limits of a place and unit is that
    /// of one instant; so is each limit of anybody else.
    ///
    /// ```
    /// use tollgate::{Capacity, Changes, Engine, Plan, Quota, Region, Request};
    /// # let path = std::env::temp_dir().join(format!("tollgate-region-copy-doc-{}", std::process::id()));
    /// let capacity = Capacity::new().cells(10_000).lines(1_000);
    /// let changes = Changes::new().plan("free", Plan::new().quota(Quota::new(2, "day")));
    /// let region = Region::file(&path, capacity.region_bytes())?;
    /// let live = Engine::attach(region).capacity(capacity).changes(changes.clone()).build()?;
    /// let visitor = Request::anonymous("free", "192.0.2.1");
    /// assert!(live.check(&visitor).is_allowed());
    ///
    /// let copy = Engine::attach(Region::copy_of(&path)?).changes(changes).build()?;
    /// assert!(copy.check(&visitor).is_allowed());
    /// assert!(!copy.check(&visitor).is_allowed());
    /// assert!(live.check(&visitor).is_allowed());
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// What the system says of the file. What else it may be shows when the engine is built.
    pub fn copy_of(path: impl AsRef<Path>) -> Result<Region, RegionError> {
        Memory::view(path.as_ref()).map(|memory| Region { memory, copied: true })
    }

    /// Memory that the caller maps; zeros, or a region that was formatted before.
    ///
    /// # Errors
    /// `start` is not aligned to 64 bytes.
    ///
    /// # Safety
    /// `bytes` bytes from `start` on are valid for reads and writes until the engine that is attached to them is
    /// dropped, and changed by nobody but engines of this library.
    #[allow(unsafe_code)]
    pub unsafe fn from_raw(start: NonNull<u8>, bytes: usize) -> Result<Region, RegionError> {
        // SAFETY: the caller's promise.
        let memory = unsafe { Memory::mapped(start, bytes, Box::new(())) };
        memory
            .map(|memory| Region { memory, copied: false })
            .ok_or(RegionError::Damaged { what: "alignment" })
    }
}

impl Engine {
    /// Begins an engine whose state is in memory that other processes share.
    pub fn attach(region: Region) -> EngineBuilder {
        Engine::builder().region(region)
    }
}

impl EngineBuilder {
    /// Leaves what a region holds as it was found: limits that are there keep their rates, sizes and windows, keys their
    /// states, and nobody gives back room, whatever [`changes`](EngineBuilder::changes) say. What is new is made room
    /// for. So it shows whether the changes are right and fit, before they take effect by another engine; and a process
    /// that came late does not undo what others have changed since. Later changes take effect as ever.
    ///
    /// ```
    /// use tollgate::{Capacity, Changes, Engine, Plan, Quota, Region, Request};
    /// # let path = std::env::temp_dir().join(format!("tollgate-as-found-doc-{}", std::process::id()));
    /// let capacity = Capacity::new().cells(1_000).lines(100);
    /// let limited = |limit| Changes::new().plan("free", Plan::new().quota(Quota::new(limit, "day")));
    /// let attached = |limit| {
    ///     let region = Region::file(&path, capacity.region_bytes())?;
    ///     Ok::<_, tollgate::ApplyError>(Engine::attach(region).capacity(capacity).changes(limited(limit)))
    /// };
    /// let live = attached(1)?.build()?;
    /// attached(9)?.as_found().build()?;
    /// let visitor = Request::anonymous("free", "192.0.2.1");
    /// assert!(live.check(&visitor).is_allowed());
    /// assert!(!live.check(&visitor).is_allowed());
    /// assert!(attached(9)?.build()?.check(&visitor).is_allowed());
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn as_found(mut self) -> EngineBuilder {
        self.as_found = true;
        self
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("bytes", &(self.memory.words() * 16)).finish()
    }
}

/// The same clock, found and not fixed: of a region that nobody was at since the last reboot it is a new one.
pub(super) fn clock_seen(store: &Store) -> SystemClock {
    let found = store.read(CLOCK);
    let same_boot = found != 0 && (found >> 64) as u64 == boot_id() >> 1;
    if same_boot { SystemClock::with_offset(found as u64) } else { SystemClock::start() }
}

/// The clock that all engines of a region share: its offset is fixed by the first, and again after a reboot.
///
/// The word holds the offset in bits 0..64 and 63 bits of the boot's id above.
pub(super) fn clock(store: &Store) -> SystemClock {
    let boot = u128::from(boot_id() >> 1) << 64;
    loop {
        let found = store.read(CLOCK);
        if found != 0 && found >> 64 == boot >> 64 {
            return SystemClock::with_offset(found as u64);
        }
        let clock = SystemClock::start();
        if store.commit(&mut [Entry { at: CLOCK, old: found, new: boot | u128::from(clock.offset()) }]) {
            return clock;
        }
    }
}
