//! What an engine is made with, as the library's builder takes it.

use std::ptr::NonNull;

use tollgate::{Capacity, Engine, EngineBuilder, KeyFormat, ManualClock, Nanos, Pepper, Region, WhenFull};

use crate::guard::{array, growable, named};
use crate::snapshot::read_whole;
use crate::status::Failure;
use crate::types::{
    TOLLGATE_CONFIG_AS_FOUND, TOLLGATE_CONFIG_KEY_FORMAT, TOLLGATE_CONFIG_LEASES,
    TOLLGATE_CONFIG_MANUAL_CLOCK, TOLLGATE_CONFIG_TOUCHED, TOLLGATE_FULL_EVICT_SMALLEST, TOLLGATE_FULL_PASS,
    TOLLGATE_FULL_REFUSE, tollgate_config, tollgate_pepper,
};

const FLAGS: u32 = TOLLGATE_CONFIG_TOUCHED
    | TOLLGATE_CONFIG_KEY_FORMAT
    | TOLLGATE_CONFIG_MANUAL_CLOCK
    | TOLLGATE_CONFIG_LEASES
    | TOLLGATE_CONFIG_AS_FOUND;

/// Room for names if the caller does not say.
const NAMES: u32 = 1_024;
const MOST_NAMES: u32 = 65_536;

/// Room for waiting alerts is taken at once.
const MOST_ALERTS: u64 = 1 << 24;

pub(crate) unsafe fn read(config: *const tollgate_config) -> Result<tollgate_config, Failure> {
    if config.is_null() {
        // SAFETY: integers, pointers and a function that may be NULL.
        return Ok(unsafe { std::mem::zeroed() });
    }
    // SAFETY: the caller's promise.
    let config = named(unsafe { growable(config) }, "config")?;
    if config.flags & !FLAGS != 0 {
        return Err(Failure::argument(
            "config.flags",
            &format!("{:#x} has unknown bits: at most {FLAGS:#x}", config.flags),
        ));
    }
    Ok(config)
}

pub(crate) fn names(config: &tollgate_config) -> Result<usize, Failure> {
    match config.max_names {
        0 => Ok(NAMES as usize),
        room @ 1..=MOST_NAMES => Ok(room as usize),
        room => {
            Err(Failure::argument("config.max_names", &format!("{room} is too many: at most {MOST_NAMES}")))
        }
    }
}

pub(crate) fn clock(config: &tollgate_config) -> Option<ManualClock> {
    let manual = config.flags & TOLLGATE_CONFIG_MANUAL_CLOCK != 0;
    manual.then(|| ManualClock::at(Nanos::new(config.start_ns)))
}

pub(crate) fn capacity(config: &tollgate_config) -> Capacity {
    let mut capacity = Capacity::new();
    if config.max_cells > 0 {
        capacity = capacity.cells(config.max_cells);
    }
    if config.max_lines > 0 {
        capacity = capacity.lines(config.max_lines);
    }
    capacity
}

/// Everything but changes and clock.
pub(crate) unsafe fn builder(config: &tollgate_config) -> Result<EngineBuilder, Failure> {
    let mut builder = Engine::builder().capacity(capacity(config));
    if config.flags & TOLLGATE_CONFIG_TOUCHED != 0 {
        builder = builder.touched();
    }
    if config.flags & TOLLGATE_CONFIG_LEASES != 0 {
        builder = builder.leases();
    }
    if config.flags & TOLLGATE_CONFIG_AS_FOUND != 0 {
        builder = builder.as_found();
    }
    builder = builder.when_full(match config.when_full {
        TOLLGATE_FULL_REFUSE => WhenFull::Refuse,
        TOLLGATE_FULL_PASS => WhenFull::Pass,
        TOLLGATE_FULL_EVICT_SMALLEST => WhenFull::EvictSmallest,
        other => {
            return Err(Failure::argument(
                "config.when_full",
                &format!("{other} is no TOLLGATE_FULL_ value"),
            ));
        }
    });
    if config.max_ids > 0 {
        builder = builder.ids(config.max_ids);
    }
    match config.max_alerts {
        0 => {}
        most @ 1..=MOST_ALERTS => builder = builder.alerts(most as usize),
        most => {
            let problem = format!("{most} is too many: at most {MOST_ALERTS}");
            return Err(Failure::argument("config.max_alerts", &problem));
        }
    }
    // SAFETY: the caller's promise.
    for pepper in named(unsafe { array(config.peppers, config.n_peppers) }, "config.peppers")? {
        // SAFETY: as above.
        builder = builder.pepper(unsafe { self::pepper(pepper) }?);
    }
    if config.flags & TOLLGATE_CONFIG_KEY_FORMAT != 0 {
        // SAFETY: as above.
        let prefix = named(unsafe { config.key_prefix.text() }, "config.key_prefix")?;
        builder = builder.key_format(KeyFormat::new(prefix)?);
    }
    if let Some(start) = NonNull::new(config.region.cast::<u8>()) {
        if start.addr().get() % 64 != 0 || config.region_len > isize::MAX as usize {
            return Err(Failure::argument(
                "config.region",
                "is not aligned to 64 bytes, or longer than memory",
            ));
        }
        // SAFETY: the caller's promise.
        builder = builder.region(unsafe { Region::from_raw(start, config.region_len) }?);
    }
    if config.snapshot.is_some() {
        // SAFETY: the caller's promise.
        builder = builder.snapshot(unsafe { read_whole(config.snapshot, config.snapshot_ctx) }?);
    }
    Ok(builder)
}

pub(crate) unsafe fn pepper(raw: &tollgate_pepper) -> Result<Pepper, Failure> {
    let tollgate_pepper { name, secret, reserved } = raw;
    if *reserved != [0; 2] {
        return Err(Failure::argument("pepper.reserved", "must be 0"));
    }
    // SAFETY: the caller's promise.
    let (name, secret) = unsafe {
        (
            named(name.text(), "pepper.name")?,
            named(crate::text::id(secret.data, secret.len), "pepper.secret")?,
        )
    };
    Ok(Pepper::new(name, secret.to_vec())?)
}
