//! The processor's time stamp counter, kept in step with the system's clock: what the clock says, for a third of the price.
//!
//! **Fast path.** The counter, and the last look at the system's clock that any thread of the process had: at most
//! [`STEP`] ago. **Slow path.** Another look, which one thread has for all.
//!
//! An instant is as exact as a straight line between two looks is, well below a microsecond; where the counter's pace
//! changes (another machine takes the guest over) it is off by what the pace differs by over one step. A line that ran
//! ahead is followed more slowly, so that time does not go back. Whether there is such a counter - one that goes on at the same
//! pace whatever the processor does, and that the kernel itself keeps time by - is looked up once.
//!
//! **Orderings.** The numbers are written between two changes of `version` (a sequence lock). Who reads an even version
//! (Acquire) and finds it again behind an Acquire fence has read the numbers of one look.

#![allow(unsafe_code)]

use core::arch::x86_64::{__cpuid, _rdtsc};

use crate::sync::{AtomicU8, AtomicU64, Mutex, Ordering, fence};

/// Nanoseconds that a look at the system's clock lasts for.
const STEP: u64 = 1_000_000;

/// The counter's pace is taken over at least so many nanoseconds, and at most as many times 1,000.
const BASE: u64 = 5_000_000;

/// Nanoseconds that two looks around the counter may be apart.
const QUICK: u64 = 2_000;

/// See the module's comment.
struct Line {
    /// Odd while it is being written.
    version: AtomicU64,
    /// The counter at the last look.
    counter: AtomicU64,
    /// The system's clock then, or the instant that had been told by then.
    nanos: AtomicU64,
    /// Nanoseconds per 2^32 counts from there on.
    pace: AtomicU64,
    /// Counts that it is good for; 0: there is none yet.
    span: AtomicU64,
}

/// Where the pace is taken from: counter and clock. Held by whoever writes the line.
struct Origin {
    counter: u64,
    nanos: u64,
}

static LINE: Line = Line {
    version: AtomicU64::new(0),
    counter: AtomicU64::new(0),
    nanos: AtomicU64::new(0),
    pace: AtomicU64::new(0),
    span: AtomicU64::new(0),
};

static ORIGIN: Mutex<Option<Origin>> = Mutex::new(None);

/// Whether there is a counter: 0 not looked yet, 1 yes, 2 no. Relaxed: complete in itself.
static KNOWN: AtomicU8 = AtomicU8::new(0);

#[inline(always)]
fn count() -> u64 {
    // SAFETY: every x86-64 processor has it, unless the system forbids it to programs, which Linux does on request only.
    unsafe { _rdtsc() }
}

/// Finds out whether there is a counter to go by.
#[cold]
pub(super) fn look() -> bool {
    // Function 0x8000_0007 is there on all processors with this property, of which bit 8 of EDX tells.
    let invariant = __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx >> 8 & 1 == 1;
    let source = std::fs::read_to_string("/sys/devices/system/clocksource/clocksource0/current_clocksource");
    let trusted = ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page"];
    let has = invariant && source.is_ok_and(|source| trusted.contains(&source.trim()));
    KNOWN.store(if has { 1 } else { 2 }, Ordering::Relaxed);
    has
}

/// What `system` says, nearly always without asking it.
#[inline]
pub(super) fn now(system: fn() -> u64) -> u64 {
    match KNOWN.load(Ordering::Relaxed) {
        1 => LINE.at(count()).unwrap_or_else(|| LINE.look(system)),
        _ => system(),
    }
}

impl Line {
    /// The instant of a count; `None` if the last look is too long ago, or another is under way.
    #[inline(always)]
    fn at(&self, count: u64) -> Option<u64> {
        let version = self.version.load(Ordering::Acquire);
        let counter = self.counter.load(Ordering::Relaxed);
        let nanos = self.nanos.load(Ordering::Relaxed);
        let pace = self.pace.load(Ordering::Relaxed);
        let span = self.span.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        let same = version & 1 == 0 && self.version.load(Ordering::Relaxed) == version;
        // A count before the look, of a thread that was slow, wraps to one far after it.
        let elapsed = count.wrapping_sub(counter);
        // A span is worth a step: below 2^64 with any pace.
        (same && elapsed < span).then(|| nanos + ((elapsed * pace) >> 32))
    }

    #[cold]
    #[inline(never)]
    fn look(&self, system: fn() -> u64) -> u64 {
        let Some(mut origin) = ORIGIN.try_lock() else { return system() };
        // Another thread may have had a look while this one came here.
        if let Some(nanos) = self.at(count()) {
            return nanos;
        }
        let (counter, seen) = together(system);
        let told = self.told(counter);
        let nanos = told.map_or(seen, |told| told.max(seen));
        let first = origin.get_or_insert(Origin { counter, nanos: seen });
        let (counts, passed) = (counter.wrapping_sub(first.counter), seen.saturating_sub(first.nanos));
        let mut pace = 0;
        if passed >= BASE && counts > 0 {
            pace = u64::try_from((u128::from(passed) << 32) / u128::from(counts)).unwrap_or(0);
        }
        // Of another machine, or of a counter that began anew.
        let odd = pace == 0 || pace >> 40 != 0;
        if passed > BASE * 1_000 || passed >= BASE && odd {
            *origin = Some(Origin { counter, nanos: seen });
        }
        let span = if odd { 0 } else { ((STEP << 32) / pace).min(1 << 24) };
        // What was told ahead is made up for within a step.
        let ahead = (nanos - seen).min(STEP / 2);
        let pace = pace - (u128::from(pace) * u128::from(ahead) / u128::from(STEP)) as u64;
        self.write(counter, nanos, pace, span);
        nanos
    }

    /// What a count would have been told as, if the last look was not too long before.
    fn told(&self, count: u64) -> Option<u64> {
        let elapsed = count.wrapping_sub(self.counter.load(Ordering::Relaxed));
        let (pace, span) = (self.pace.load(Ordering::Relaxed), self.span.load(Ordering::Relaxed));
        let line = self.nanos.load(Ordering::Relaxed);
        // Instants were told up to the end of the span, no further.
        let until = elapsed.min(span);
        (span > 0 && elapsed >> 40 == 0).then(|| line + ((u128::from(until) * u128::from(pace)) >> 32) as u64)
    }

    /// By whoever holds [`ORIGIN`].
    fn write(&self, counter: u64, nanos: u64, pace: u64, span: u64) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // Release: who sees one of the numbers below sees the odd version, behind its fence.
        fence(Ordering::Release);
        self.counter.store(counter, Ordering::Relaxed);
        self.nanos.store(nanos, Ordering::Relaxed);
        self.pace.store(pace, Ordering::Relaxed);
        self.span.store(span, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }
}

/// Counter and clock of about one instant.
fn together(system: fn() -> u64) -> (u64, u64) {
    let mut best = (u64::MAX, 0, 0);
    for _ in 0..4 {
        let before = count();
        let nanos = system();
        let between = count().wrapping_sub(before);
        if between < best.0 {
            best = (between, before.wrapping_add(between / 2), nanos);
        }
        // Nobody came between, whatever the pace: a count is a fraction of a nanosecond.
        if between < QUICK {
            break;
        }
    }
    (best.1, best.2)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;

    /// A clock to compare with.
    fn system() -> u64 {
        super::super::system_clock()
    }

    #[test]
    fn it_goes_with_the_system_and_never_back() {
        /// What the line may be off by, with threads that are stopped at any point.
        const SLACK: u64 = 50_000_000;
        look();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let began = Instant::now();
                    let mut last = 0;
                    while began.elapsed() < Duration::from_millis(300) {
                        let before = system();
                        let told = now(system);
                        let after = system();
                        assert!(
                            before.saturating_sub(SLACK) <= told && told <= after + SLACK,
                            "{before} {told} {after}"
                        );
                        // Of another thread's look a fraction of a step may be missing.
                        assert!(told + STEP > last, "{last} {told}");
                        last = told.max(last);
                    }
                });
            }
        });
    }

    #[test]
    fn a_line_is_good_for_its_span() {
        let line = Line {
            version: AtomicU64::new(0),
            counter: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            pace: AtomicU64::new(0),
            span: AtomicU64::new(0),
        };
        assert_eq!(line.at(5), None, "no look yet");
        // One nanosecond per count.
        line.write(1_000, 500, 1 << 32, 100);
        assert_eq!(
            [999, 1_000, 1_099, 1_100].map(|count| line.at(count)),
            [None, Some(500), Some(599), None]
        );
        assert_eq!(line.told(1_000_000), Some(600), "no further than it was good for");
        line.version.store(1, Ordering::Relaxed);
        assert_eq!(line.at(1_000), None, "being written");
    }
}
