//! Instants and durations in whole nanoseconds, and the clocks that produce them.
//!
//! Nothing else in the crate reads a clock.

#[cfg(all(target_os = "linux", target_arch = "x86_64", not(any(loom, shuttle))))]
mod counter;

use core::fmt;
use core::ops::{Add, Sub};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::DurationError;
use crate::sync::{AtomicU64, Ordering};

/// An instant (nanoseconds since the Unix epoch) or a duration (nanoseconds), by context.
///
/// Range: 0 to 2^64 - 1, which as an instant is the year 2554. Arithmetic saturates.
///
/// ```
/// use tollgate::Nanos;
/// assert_eq!(Nanos::from_secs(2) + Nanos::new(5), Nanos::new(2_000_000_005));
/// assert_eq!(Nanos::new(3) - Nanos::new(5), Nanos::ZERO);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Nanos(u64);

impl Nanos {
    /// The epoch, or no time at all.
    pub const ZERO: Nanos = Nanos(0);
    /// The latest instant that can be expressed.
    pub const MAX: Nanos = Nanos(u64::MAX);

    /// `ns` nanoseconds.
    pub const fn new(ns: u64) -> Nanos {
        Nanos(ns)
    }

    /// `secs` seconds, saturating.
    pub const fn from_secs(secs: u64) -> Nanos {
        Nanos(secs.saturating_mul(1_000_000_000))
    }

    /// The number of nanoseconds.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whole seconds, rounded up: what a `Retry-After` header wants.
    pub const fn as_secs_ceil(self) -> u64 {
        self.0.div_ceil(1_000_000_000)
    }
}

impl Add for Nanos {
    type Output = Nanos;
    fn add(self, other: Nanos) -> Nanos {
        Nanos(self.0.saturating_add(other.0))
    }
}

impl Sub for Nanos {
    type Output = Nanos;
    fn sub(self, other: Nanos) -> Nanos {
        Nanos(self.0.saturating_sub(other.0))
    }
}

impl From<Duration> for Nanos {
    fn from(duration: Duration) -> Nanos {
        Nanos(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

impl From<Nanos> for Duration {
    fn from(nanos: Nanos) -> Duration {
        Duration::from_nanos(nanos.0)
    }
}

impl fmt::Debug for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}ns", self.0)
    }
}

/// Nanoseconds in a unit of time as plans write it, or `None` for an unknown unit.
pub(crate) fn unit_nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return None,
    })
}

/// Splits `"250ms"` into its leading digits and the rest.
pub(crate) fn split_digits(text: &str) -> (&str, &str) {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    text.split_at(digits)
}

/// Reads a duration such as `"300ms"`, `"60s"` or `"15m"`: an integer and one of
/// `ns us ms s m h d`, without sign, fraction or space.
///
/// # Errors
/// Anything else, and what passes 2^64 - 1 nanoseconds (584 years).
///
/// ```
/// use tollgate::{parse_duration, Nanos};
/// assert_eq!(parse_duration("300ms"), Ok(Nanos::new(300_000_000)));
/// assert!(parse_duration("5 minutes").is_err());
/// ```
pub fn parse_duration(text: &str) -> Result<Nanos, DurationError> {
    let (digits, unit) = split_digits(text);
    let unit = unit_nanos(unit).ok_or_else(|| DurationError::Syntax(text.into()))?;
    if digits.is_empty() {
        return Err(DurationError::Syntax(text.into()));
    }
    digits
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(unit))
        .map(Nanos)
        .ok_or_else(|| DurationError::TooLong(text.into()))
}

/// Where an engine reads the time when the caller gives none.
#[derive(Clone, Debug)]
pub enum Clock {
    /// The machine's monotonic clock (it also counts while the machine is suspended), on x86-64 by way of the processor's
    /// time stamp counter where the kernel goes by that itself (within a microsecond), plus an offset to the wall clock that is fixed once: later steps of the wall clock do not move it.
    System(SystemClock),
    /// A clock that stands still until it is told to move.
    Manual(ManualClock),
}

impl Clock {
    /// A system clock whose offset is fixed now.
    pub fn system() -> Clock {
        Clock::System(SystemClock::start())
    }

    /// The present instant.
    #[inline]
    pub fn now(&self) -> Nanos {
        match self {
            Clock::System(clock) => clock.now(),
            Clock::Manual(clock) => clock.now(),
        }
    }
}

/// See [`Clock::System`].
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    /// Wall clock minus monotonic clock when the clock was started, in nanoseconds.
    offset: u64,
}

impl SystemClock {
    /// Fixes the offset now.
    pub fn start() -> SystemClock {
        look_for_counter();
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(Nanos::ZERO, Nanos::from);
        SystemClock { offset: wall.0.wrapping_sub(monotonic()) }
    }

    pub(crate) fn with_offset(offset: u64) -> SystemClock {
        look_for_counter();
        SystemClock { offset }
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The present instant.
    #[inline]
    pub fn now(&self) -> Nanos {
        Nanos(monotonic().wrapping_add(self.offset))
    }
}

/// A number for this boot of the machine; 0 where it cannot be told.
pub(crate) fn boot_id() -> u64 {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits = id.bytes().filter_map(|byte| char::from(byte).to_digit(16));
    digits.fold(0, |hash, digit| (hash ^ u64::from(digit)).wrapping_mul(0x0100_0000_01b3))
}

/// What [`system_clock`] says, by way of the processor's counter where it has one for that.
#[inline]
fn monotonic() -> u64 {
    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(any(loom, shuttle))))]
    return counter::now(system_clock);
    #[cfg(not(all(target_os = "linux", target_arch = "x86_64", not(any(loom, shuttle)))))]
    system_clock()
}

/// Once per clock, so that no check has to.
fn look_for_counter() {
    #[cfg(all(target_os = "linux", target_arch = "x86_64", not(any(loom, shuttle))))]
    counter::look();
}

/// Nanoseconds of a clock that never steps and counts suspended time.
#[cfg(target_os = "linux")]
#[inline]
fn system_clock() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    // Both fields are non-negative for this clock.
    (now.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(now.tv_nsec as u64)
}

/// Nanoseconds since the first call in this process.
#[cfg(not(target_os = "linux"))]
fn system_clock() -> u64 {
    use std::sync::OnceLock;
    use std::time::Instant;
    static START: OnceLock<Instant> = OnceLock::new();
    Nanos::from(START.get_or_init(Instant::now).elapsed()).0
}

/// A clock for tests and simulations: clones share one instant.
///
/// ```
/// use tollgate::{ManualClock, Nanos};
/// let clock = ManualClock::at(Nanos::from_secs(10));
/// clock.advance(Nanos::from_secs(5));
/// assert_eq!(clock.now(), Nanos::from_secs(15));
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock {
    /// The present instant in nanoseconds. Relaxed throughout: it publishes nothing but itself.
    now: Arc<AtomicU64>,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: Nanos) -> ManualClock {
        ManualClock { now: Arc::new(AtomicU64::new(now.0)) }
    }

    /// The instant the clock stands at.
    pub fn now(&self) -> Nanos {
        Nanos(self.now.load(Ordering::Relaxed))
    }

    /// Moves the clock to `now`, which may be earlier.
    pub fn set(&self, now: Nanos) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Nanos) {
        self.now.fetch_add(by.0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_integers_with_a_unit() {
        assert_eq!(parse_duration("0s"), Ok(Nanos::ZERO));
        assert_eq!(parse_duration("7d"), Ok(Nanos::from_secs(7 * 86_400)));
        for bad in ["", "5", "s", "-1s", "+1s", "1.5s", "1e3s", "1 s", "1S", "1w"] {
            let error = parse_duration(bad).unwrap_err();
            assert!(matches!(error, DurationError::Syntax(_)), "{bad:?}");
        }
        for long in ["18446744073709551616ns", "213504d"] {
            let error = parse_duration(long).unwrap_err();
            assert!(matches!(error, DurationError::TooLong(_)), "{long:?}");
        }
    }

    #[test]
    fn the_system_clock_goes_on() {
        let clock = SystemClock::start();
        let (a, b) = (clock.now(), clock.now());
        assert!(b >= a);
        assert!(a > Nanos::from_secs(1_600_000_000));
    }
}
