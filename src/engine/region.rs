//! Memory that several processes share.

use core::fmt;
use core::ptr::NonNull;
use std::path::Path;

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
}

impl Region {
    /// A file, made if it is not there and made larger if it is smaller than `bytes`
    /// ([`Capacity::region_bytes`](crate::Capacity::region_bytes)). It outlives processes, and a reboot if its file
    /// system does.
    ///
    /// # Errors
    /// What the system says of the file.
    pub fn file(path: impl AsRef<Path>, bytes: u64) -> Result<Region, RegionError> {
        Memory::file(path.as_ref(), bytes).map(|memory| Region { memory })
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
        memory.map(|memory| Region { memory }).ok_or(RegionError::Damaged { what: "alignment" })
    }
}

impl fmt::Debug for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Region").field("bytes", &(self.memory.words() * 16)).finish()
    }
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
