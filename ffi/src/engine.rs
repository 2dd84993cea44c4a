//! The handle: an engine, and what the shell keeps beside it.

use std::alloc::{Layout, alloc, dealloc};
use std::ffi::c_void;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate::{Clock, Engine, ManualClock, Nanos};

use crate::config;
use crate::definition;
use crate::guard::{contain_always, growable, guard, is_usable, named, output};
use crate::names::Names;
use crate::status::{
    Failure, TOLLGATE_ERR_ARGUMENT, TOLLGATE_ERR_CONFLICT, TOLLGATE_ERR_NOMEM, TOLLGATE_ERR_NOT_FOUND,
    TOLLGATE_OK, tollgate_status,
};
use crate::text::text;
use crate::types::{
    TOLLGATE_NEEDS_ID, TOLLGATE_NEEDS_ROUTE, tollgate_changes, tollgate_config, tollgate_engine,
    tollgate_error,
};

/// "tollgate", read as a number.
const LIVE: u64 = u64::from_le_bytes(*b"tollgate");
const DEAD: u64 = u64::from_le_bytes(*b"destroyd");

#[repr(C)]
pub(crate) struct Handle {
    /// [`LIVE`]; [`DEAD`] from the beginning of `tollgate_destroy` on. Relaxed: it is a look for mistakes, which
    /// publishes nothing; who destroys an engine that others use has broken the rules already.
    mark: AtomicU64,
    pub engine: Engine,
    pub names: Names,
    /// If it is the engine's.
    pub clock: Option<ManualClock>,
}

impl Handle {
    /// The caller's instant, or the engine's if it gives none.
    #[inline(always)]
    pub(crate) fn at(&self, now_ns: u64) -> Nanos {
        if now_ns == 0 { self.engine.now() } else { Nanos::new(now_ns) }
    }
}

/// The engine behind a pointer that the caller took for one.
#[inline(always)]
pub(crate) unsafe fn handle<'a>(engine: *mut tollgate_engine) -> Result<&'a Handle, i32> {
    let handle = engine.cast::<Handle>();
    if !is_usable(handle) {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    // SAFETY: not NULL, aligned; by the caller's promise an engine, or at least 8 bytes that can be read.
    let mark = unsafe { &(*handle).mark };
    if mark.load(Ordering::Relaxed) != LIVE {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    // SAFETY: it has the mark of an engine that was made and not destroyed.
    Ok(unsafe { &*handle })
}

/// Makes an engine. `changes` (may be NULL: none) holds its plans and subjects, `config` (may be NULL: all defaults) the
/// rest. `*out` is yours until tollgate_destroy(). `err` may be NULL.
/// TOLLGATE_ERR_ARGUMENT names the field; TOLLGATE_ERR_CONFLICT, _FULL (more subjects than capacity), _NOMEM, _IO (a
/// file or callback), and for a region or snapshot _CORRUPT, _VERSION, _MISMATCH. Any thread. [oom]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_create(
    config: *const tollgate_config,
    changes: *const tollgate_changes,
    out: *mut *mut tollgate_engine,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        let out = named(output(out), "out")?;
        // SAFETY: the caller's promises.
        let handle = unsafe {
            let config = config::read(config)?;
            let changes = match changes.is_null() {
                true => tollgate::Changes::new(),
                false => definition::read(&named(growable(changes), "changes")?)?,
            };
            let names = Names::with_room(config::names(&config)?)?;
            let clock = config::clock(&config);
            let mut builder = config::builder(&config)?.changes(changes);
            if let Some(clock) = &clock {
                builder = builder.clock(Clock::Manual(clock.clone()));
            }
            Handle { mark: AtomicU64::new(LIVE), engine: builder.build()?, names, clock }
        };
        // SAFETY: a layout that is not empty.
        let place = unsafe { alloc(Layout::new::<Handle>()) }.cast::<Handle>();
        if place.is_null() {
            return Err(TOLLGATE_ERR_NOMEM.into());
        }
        // SAFETY: memory of the handle's layout; `output`, and the caller's promise.
        unsafe {
            place.write(handle);
            out.write(place.cast());
        }
        Ok(TOLLGATE_OK)
    })
}

/// Ends an engine and frees its memory; a region stays as it is. NULL does nothing. [exclusive]: no other call on this
/// engine may be going on, or come later.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_destroy(engine: *mut tollgate_engine) {
    contain_always(|| {
        // SAFETY: the caller's promise.
        unsafe {
            handle(engine)?.mark.store(DEAD, Ordering::Relaxed);
            let place = engine.cast::<Handle>();
            place.drop_in_place();
            dealloc(place.cast(), Layout::new::<Handle>());
        }
        Ok(TOLLGATE_OK)
    });
}

/// Puts plans and subjects in place, all of them or, on an error, none. Checks go on meanwhile and see the old set or
/// the new one. What was consumed is carried over. `now_ns`: when new rates begin; 0: now. `err` may be NULL.
/// TOLLGATE_ERR_ARGUMENT names the field; TOLLGATE_ERR_CONFLICT, _FULL, _IO (the plan file). Any thread. [oom]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_apply(
    engine: *mut tollgate_engine,
    changes: *const tollgate_changes,
    now_ns: u64,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        let (handle, changes) = unsafe {
            let handle = named(handle(engine), "engine")?;
            (handle, definition::read(&named(growable(changes), "changes")?)?)
        };
        handle.engine.apply_at(&changes, handle.at(now_ns))?;
        Ok(TOLLGATE_OK)
    })
}

/// What requests under the plan of this name have to bring along; without a name (NULL, 0), under any of the plans in place:
/// TOLLGATE_NEEDS_... or 0. For hosts to which a route or an id is work. TOLLGATE_ERR_NOT_FOUND: no plan of this name is
/// in place. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_needs(
    engine: *mut tollgate_engine,
    plan: *const c_void,
    len: usize,
    out: *mut u32,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        let (handle, plan) = unsafe { (handle(engine)?, text(plan, len)?) };
        let out = output(out)?;
        let plan = (!plan.is_empty()).then_some(plan);
        let needs = handle.engine.needs(plan).ok_or(TOLLGATE_ERR_NOT_FOUND)?;
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        let needs = flag(needs.route, TOLLGATE_NEEDS_ROUTE) | flag(needs.id, TOLLGATE_NEEDS_ID);
        // SAFETY: `output`, and the caller's promise.
        unsafe { out.write(needs) };
        Ok(TOLLGATE_OK)
    })
}

/// Housekeeping for a host that has idle time, in up to `steps` steps of under a microsecond each: the table grows
/// ahead of need, and state that is indistinguishable from fresh is forgotten. Nothing depends on it. `emptied` may be
/// NULL; it receives how many cells were emptied. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_maintain(
    engine: *mut tollgate_engine,
    now_ns: u64,
    steps: u32,
    emptied: *mut u32,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promise.
        let handle = unsafe { handle(engine) }?;
        if !emptied.is_aligned() {
            return Err(TOLLGATE_ERR_ARGUMENT);
        }
        let count = handle.engine.maintain_at(steps, handle.at(now_ns));
        if !emptied.is_null() {
            // SAFETY: not NULL, aligned, and the caller's promise.
            unsafe { emptied.write(count) };
        }
        Ok(TOLLGATE_OK)
    })
}

/// The engine's present instant, in nanoseconds since the Unix epoch. Steps of the wall clock do not move it.
/// Any thread. [hot]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_now(engine: *mut tollgate_engine, out: *mut u64) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        unsafe { output(out)?.write(handle(engine)?.engine.now().get()) };
        Ok(TOLLGATE_OK)
    })
}

/// Moves a clock that was made with TOLLGATE_CONFIG_MANUAL_CLOCK, which it may do backwards; TOLLGATE_ERR_CONFLICT for
/// another clock. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_clock_set(engine: *mut tollgate_engine, now_ns: u64) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promise.
        let clock = unsafe { handle(engine) }?.clock.as_ref().ok_or(TOLLGATE_ERR_CONFLICT)?;
        clock.set(Nanos::new(now_ns));
        Ok(TOLLGATE_OK)
    })
}

/// Bytes of shared memory that an engine with this `config` (may be NULL: all defaults) needs as its region.
/// Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_region_size(
    config: *const tollgate_config,
    out: *mut u64,
) -> tollgate_status {
    guard!({
        let out = output(out)?;
        // SAFETY: the caller's promises.
        let config = unsafe { config::read(config) }.map_err(|Failure { status, .. }| status)?;
        // SAFETY: `output`, and the caller's promise.
        unsafe { out.write(config::capacity(&config).region_bytes()) };
        Ok(TOLLGATE_OK)
    })
}
