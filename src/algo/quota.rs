//! Quotas: a count per window, windows that change lazily and never go back.
//!
//! A state is dated by its *stamp*: the window, and the day in the quota's zone, of its newest debit. So whoever finds the
//! stamp of the present instant knows that neither a window nor a day has begun since.

use super::{Standing, Wait};
use crate::calendar::{Date, Period, Window, Windows};

/// What a limit stores per subject. The default has never been debited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counter {
    /// The limit less what is left of the window: cost admitted in it, more by an initial debit in the window of the
    /// first one, less by a grant. From -2^61 to `i64::MAX`.
    pub charged: i64,
    /// 1 and more, below 2^46: see [`Era::stamp`]. 0: never debited or granted.
    pub stamp: u64,
    /// The generation of the schedule that `stamp` was written under.
    pub generation: u32,
    /// Whether the next debit has to look at what is kept beside the counter.
    pub special: bool,
}

/// Charges never fall below it.
pub(crate) const LEAST_CHARGE: i64 = -1 << 61;

/// The numbers of a quota; its windows stand in a [`Schedule`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quota {
    /// At most `i64::MAX`.
    pub limit: u64,
    /// At most `limit`.
    pub initial_debit: u64,
}

/// A stretch of time in which a quota's limit, period and zone were the same.
#[derive(Clone, Debug)]
pub(crate) struct Era {
    windows: Windows,
    /// The days of the zone.
    days: Windows,
    limit: u64,
}

const SECOND: u64 = 1_000_000_000;
/// Every day is longer.
const HALF_DAY: u64 = 43_200 * SECOND;

impl Era {
    fn new(windows: Windows, limit: u64) -> Era {
        // Of days both are the same, so that one remembers what the other found.
        let days = if windows.period() == Period::Day { windows.clone() } else { windows.days() };
        Era { windows, days, limit }
    }

    pub(crate) fn windows(&self) -> &Windows {
        &self.windows
    }

    pub(crate) fn days(&self) -> &Windows {
        &self.days
    }

    fn is_like(&self, windows: &Windows, limit: u64) -> bool {
        self.windows == *windows && self.windows.has_zone_of(windows) && self.limit == limit
    }

    /// What stands for the window and the day of `t`: 1 more than
    ///
    /// | windows | bits |
    /// | --- | --- |
    /// | calendar, `forever` | the day's start in seconds (35) |
    /// | fixed, under half a day | the window's number, and in bit 0 whether a day has begun within it (46) |
    /// | fixed, longer | the window's number (19); in bits 0..20 the day's start in half days and one more, or 0 |
    #[inline(always)]
    fn stamp(&self, t: u64) -> u64 {
        let day = self.days.number_at(t);
        1 + match self.windows.period() {
            Period::Fixed(length) => {
                let number = t / length;
                match length < HALF_DAY {
                    true => number << 1 | u64::from(day * SECOND > number * length),
                    false => number << 20 | if day == 0 { 0 } else { 1 + day / (HALF_DAY / SECOND) },
                }
            }
            _ => day,
        }
    }

    /// The window that a stamp stands for; some window for what is none.
    pub(crate) fn window(&self, stamp: u64) -> Window {
        let code = stamp.saturating_sub(1);
        match self.windows.period() {
            Period::Fixed(length) => {
                let number = if length < HALF_DAY { code >> 1 } else { code >> 20 };
                self.windows.at(number.saturating_mul(length))
            }
            _ => self.windows.at(code.saturating_mul(SECOND)),
        }
    }

    /// The day that a stamp stands for.
    pub(crate) fn date(&self, stamp: u64) -> Date {
        self.days.date_at(self.day_start(stamp))
    }

    /// The first instant of that day.
    fn day_start(&self, stamp: u64) -> u64 {
        let code = stamp.saturating_sub(1);
        match self.windows.period() {
            Period::Fixed(length) if length < HALF_DAY => {
                let day = self.days.at((code >> 1).saturating_mul(length));
                if code & 1 == 0 { day.start } else { day.end.unwrap_or(day.start) }
            }
            Period::Fixed(_) => {
                let half_days = code & 0xf_ffff;
                self.days.at(half_days.saturating_mul(HALF_DAY).saturating_sub(1)).start
            }
            _ => code.saturating_mul(SECOND),
        }
    }
}

/// How one era went over into the next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    /// For changes of the period, the instant, or that of the last such change if it was later.
    pub at: u64,
    /// Whether windows changed.
    pub period: bool,
    /// Whether alerts are to fire again.
    pub rearms: bool,
}

/// The windows of one quota over all the changes of its period, zone and limit.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    current: Era,
    generation: u32,
    /// Those before, oldest first, each with what ended it.
    past: Vec<(Era, Change)>,
}

impl Schedule {
    pub(crate) fn new(windows: Windows, limit: u64) -> Schedule {
        Schedule { current: Era::new(windows, limit), generation: 0, past: Vec::new() }
    }

    pub(crate) fn windows(&self) -> &Windows {
        &self.current.windows
    }

    pub(crate) fn era(&self) -> &Era {
        &self.current
    }

    pub(crate) fn is_like(&self, windows: &Windows, limit: u64) -> bool {
        self.current.is_like(windows, limit)
    }

    /// The schedule with another limit from now on, or other windows from `at` on (from the last such change on, if that
    /// was later).
    pub(crate) fn changed(&self, windows: Windows, limit: u64, at: u64) -> Schedule {
        let mut past = self.past.clone();
        let last = past.last().map_or(0, |(_, change)| change.at);
        let period = self.current.windows != windows;
        let at = if period { at.max(last) } else { last };
        let change = Change { at, period, rearms: period || self.current.limit != limit };
        past.push((self.current.clone(), change));
        Schedule { current: Era::new(windows, limit), generation: self.generation + 1, past }
    }

    /// Number of the current era.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// The era of that number, if there was one.
    pub(crate) fn era_of(&self, generation: u32) -> Option<&Era> {
        match generation == self.generation {
            true => Some(&self.current),
            false => self.past.get(generation as usize).map(|(era, _)| era),
        }
    }

    /// The changes since a generation, each with the eras before and after it; `None` if it is a later one, which this
    /// schedule does not know.
    pub(crate) fn since(&self, generation: u32) -> Option<impl Iterator<Item = (&Era, Change, &Era)>> {
        let first = (generation <= self.generation).then_some(generation as usize)?;
        Some((first..self.past.len()).map(|k| {
            let (before, change) = &self.past[k];
            (before, *change, self.past.get(k + 1).map_or(&self.current, |(era, _)| era))
        }))
    }

    /// Whether alerts are to fire again that fired under a generation.
    pub(crate) fn rearms_since(&self, generation: u32) -> bool {
        self.since(generation).is_some_and(|mut changes| changes.any(|(_, change, _)| change.rearms))
    }

    /// Whether there are other windows than under a generation.
    pub(crate) fn has_moved_since(&self, generation: u32) -> bool {
        self.since(generation).is_some_and(|mut changes| changes.any(|(_, change, _)| change.period))
    }

    /// `counter` as it stands in the current era without a usage log, or `None` if it was written in a later one.
    ///
    /// A count whose window was still open at a change of the period moves into the new window of that instant, and stays
    /// until that ends; one whose window had ended is empty.
    #[inline]
    pub(crate) fn bring_forward(&self, counter: Counter) -> Option<Counter> {
        if counter.generation == self.generation || counter.stamp == 0 {
            return Some(Counter { generation: self.generation, ..counter });
        }
        self.bring_forward_stale(counter)
    }

    #[cold]
    fn bring_forward_stale(&self, counter: Counter) -> Option<Counter> {
        let mut start = self.era_of(counter.generation)?.window(counter.stamp).start;
        let mut charged = counter.charged;
        for (before, change, after) in self.since(counter.generation)?.filter(|(_, change, _)| change.period)
        {
            let open = is_open(before, start, change.at);
            if !open {
                charged = 0;
            }
            start = after.windows.at(moved(start, open, change.at)).start;
        }
        let stamp = self.current.stamp(start);
        Some(Counter { charged, stamp, generation: self.generation, special: counter.special })
    }

    /// The [`stamp`](Counter::stamp) of a counter that was debited at `t`.
    #[inline(always)]
    pub(crate) fn stamp_at(&self, t: u64) -> u64 {
        self.current.stamp(t)
    }

    /// Nanoseconds from `now` until `counter`, brought forward, counts no more; `None`: never.
    pub(crate) fn time_to_end(&self, counter: Counter, now: u64) -> Option<u64> {
        if counter.stamp == 0 {
            return Some(0);
        }
        self.current.window(counter.stamp).end.map(|end| end.saturating_sub(now))
    }
}

/// Whether a window that began at `start` was open when its era ended.
pub(crate) fn is_open(era: &Era, start: u64, at: u64) -> bool {
    era.windows.at(start).end.is_none_or(|end| end > at)
}

/// An instant in the window of the new era that a count goes on in.
pub(crate) fn moved(start: u64, open: bool, at: u64) -> u64 {
    if open { start.max(at) } else { at }
}

/// What is kept beside a counter that is [special](Counter::special).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Beside {
    /// What the window's allowance is more (or less) than the limit.
    pub adjust: i64,
    /// Granted, but never debited: an initial debit is still to come.
    pub virgin: bool,
}

/// A counter as it is to be judged at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub counter: Counter,
    /// As in [`Beside`]; only for alerts, and of a window with a grant.
    pub adjust: i64,
    /// Whether the first debit has happened.
    debited: bool,
    /// Whether the counter's own window counts still.
    pub same_window: bool,
    /// Start of the window that counts.
    pub start: u64,
    /// Nanoseconds until it ends.
    ends_in: Option<u64>,
}

impl Quota {
    /// Opens `counter`, brought forward, in the window that counts at `now`.
    #[inline]
    pub(crate) fn open(&self, schedule: &Schedule, counter: Counter, beside: Beside, now: u64) -> Open {
        let era = &schedule.current;
        let mut window = era.windows.at(now);
        let debited = counter.stamp != 0 && !beside.virgin;
        let own = (counter.stamp != 0).then(|| era.window(counter.stamp));
        let (mut counter, mut adjust, mut same_window) = (counter, beside.adjust, false);
        match own {
            Some(own) if own.start >= window.start => (window, same_window) = (own, true),
            _ => {
                // At most `i64::MAX`, as the limit is.
                counter.charged = if debited { 0 } else { self.initial_debit as i64 };
                adjust = -counter.charged;
            }
        }
        counter.stamp = era.stamp(now.max(window.start));
        counter.generation = schedule.generation;
        let ends_in = window.end.map(|end| end.saturating_sub(now));
        Open { counter, adjust, debited, same_window, start: window.start, ends_in }
    }

    #[inline]
    pub(crate) fn wait(&self, open: &Open, cost: u64) -> Wait {
        if cost == 0 || i128::from(open.counter.charged) + i128::from(cost) <= self.limit.into() {
            return Wait::NOW;
        }
        if self.limit == 0 {
            return Wait::Never;
        }
        if i128::from(cost) > self.allowance(open).max(self.limit.into()) {
            return Wait::Exceeds;
        }
        // The next window allows the whole limit, but an initial debit that is still to come lowers every window until
        // then.
        let next = if open.debited { self.limit } else { self.limit.saturating_sub(self.initial_debit) };
        match open.ends_in {
            Some(wait) if cost <= next => Wait::Nanos(wait),
            _ => Wait::Never,
        }
    }

    fn allowance(&self, open: &Open) -> i128 {
        (i128::from(self.limit) + i128::from(open.adjust)).max(0)
    }

    /// What is used beyond the window's allowance, if anything.
    pub(crate) fn overdraft(&self, open: &Open) -> u64 {
        u64::try_from(open.used() - self.allowance(open)).unwrap_or(0)
    }

    /// The counter after `cost`, at least 1, was debited.
    #[inline]
    pub(crate) fn debit(&self, open: &Open, cost: u64) -> Open {
        let charged = open.counter.charged.saturating_add_unsigned(cost);
        Open { counter: Counter { charged, ..open.counter }, debited: true, ..*open }
    }

    /// The counter after a grant of `n`.
    pub(crate) fn grant(&self, open: &Open, n: u64) -> Open {
        let charged = (i128::from(self.limit) - i128::from(n)).max(LEAST_CHARGE.into()) as i64;
        let adjust = (open.used() - i128::from(charged)) as i64;
        Open { counter: Counter { charged, ..open.counter }, adjust, same_window: true, ..*open }
    }

    pub(crate) fn remaining(&self, charged: i64) -> u64 {
        remaining(self.limit, charged)
    }

    pub(crate) fn standing(&self, open: &Open) -> Standing {
        let remaining = self.remaining(open.counter.charged);
        Standing { limit: self.limit, remaining, reset: open.ends_in }
    }
}

/// What is left of a limit.
pub(crate) fn remaining(limit: u64, charged: i64) -> u64 {
    u64::try_from(i128::from(limit) - i128::from(charged)).unwrap_or(0)
}

impl Open {
    /// The same window with another counter.
    pub(crate) fn at(&self, counter: Counter) -> Open {
        Open { counter, ..*self }
    }

    pub(crate) fn is_virgin(&self) -> bool {
        !self.debited
    }

    /// Cost admitted in the window.
    pub(crate) fn used(&self) -> i128 {
        i128::from(self.counter.charged) + i128::from(self.adjust)
    }
}

/// The least count of a window that is at or over a percentage of the limit.
pub(crate) fn level(limit: u64, percent: u32) -> u64 {
    // At most `limit`, as a percentage is at most 100.
    (u128::from(limit) * u128::from(percent)).div_ceil(100) as u64
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;
    use crate::calendar::zone;

    #[test]
    fn a_stamp_tells_window_and_day() {
        let zones = ["UTC", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Apia", "America/Havana"];
        let periods = ["1ms", "15m", "hour", "7h", "13h", "day", "36h", "100d", "week", "month", "forever"];
        for (zone_name, period) in zones.iter().flat_map(|zone| periods.map(|period| (*zone, period))) {
            let windows = Windows::new(Period::parse(period, 0).unwrap(), zone(zone_name).unwrap());
            let era = Era::new(windows, 1);
            let days = era.windows.days();
            let mut last = 0;
            // Around the end of 2011, when Samoa left out a day, and beyond the last year that 64 bits reach.
            for from in [1_325_000_000 * SECOND, 1_300_000_000 * SECOND, 0, u64::MAX - 10_000 * HALF_DAY] {
                for step in 0..4_000 {
                    let t = from + step * (HALF_DAY / 5 + 17);
                    let stamp = era.stamp(t);
                    assert!(0 < stamp && stamp < 1 << 46, "{zone_name} {period} {t}");
                    assert_eq!(era.window(stamp), era.windows.at(t), "{zone_name} {period} {t}");
                    assert_eq!(era.day_start(stamp), days.at(t).start, "{zone_name} {period} {t}");
                    last = last.max(stamp);
                }
            }
            assert!(last > 1);
        }
    }

    #[test]
    fn levels_are_the_least_counts_over_a_percentage() {
        assert_eq!([1, 50, 80, 100].map(|percent| level(10, percent)), [1, 5, 8, 10]);
        assert_eq!([1, 34, 99].map(|percent| level(3, percent)), [1, 2, 3]);
        assert_eq!(level(0, 80), 0);
        assert_eq!(level(i64::MAX as u64, 100), i64::MAX as u64);
    }
}
