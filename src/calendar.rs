//! Quota windows: where the window that holds an instant begins and ends.
//!
//! Windows are half-open. Fixed lengths are aligned to the Unix epoch; days, weeks and months begin
//! at local midnight in an IANA time zone. A local midnight that a gap swallows is the first
//! instant after the gap, one that occurs twice is the earlier.
//!
//! **Fast path.** The last calendar window found is kept in one word; an instant inside it costs a
//! load and two comparisons. **Slow path.** A few look-ups in the zone's transitions.

use std::sync::Arc;

use jiff::civil;
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan};

use crate::error::{DateError, PeriodError};
use crate::sync::{AtomicU64, Ordering};
use crate::time::parse_duration;

const SECOND: u64 = 1_000_000_000;

/// The shortest window of a quota: 1 ms.
pub(crate) const SHORTEST: u64 = 1_000_000;

/// How often a quota begins anew.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Period {
    /// Local midnight to local midnight.
    Day,
    /// Seven days from local midnight on a day of the week: 0 = Sunday .. 6 = Saturday.
    Week {
        /// Day of the week on which the window begins, 0..=6.
        start: u8,
    },
    /// From local midnight on day `1 + start` of a month to the same day of the next.
    Month {
        /// Days after the first of the month, 0..=27.
        start: u8,
    },
    /// A fixed length in nanoseconds, at least a millisecond, aligned to the Unix epoch.
    Fixed(u64),
    /// One window that never ends.
    Forever,
}

impl Period {
    /// Reads `day`, `week`, `month`, `second`, `minute`, `hour`, `forever` or a length such as `15m`.
    ///
    /// # Errors
    /// Any other text, a length of 0, and a start day out of range or for a period without one.
    pub fn parse(text: &str, start: u64) -> Result<Period, PeriodError> {
        let start_in = |last: u64| match u8::try_from(start) {
            Ok(day) if start <= last => Ok(day),
            _ => Err(PeriodError::Start { period: text.into(), start, last }),
        };
        match text {
            "week" => return Ok(Period::Week { start: start_in(6)? }),
            "month" => return Ok(Period::Month { start: start_in(27)? }),
            _ => start_in(0)?,
        };
        Ok(match text {
            "day" => Period::Day,
            "second" => Period::Fixed(SECOND),
            "minute" => Period::Fixed(60 * SECOND),
            "hour" => Period::Fixed(3_600 * SECOND),
            "forever" => Period::Forever,
            length => match parse_duration(length) {
                Ok(length) if length.get() >= SHORTEST => Period::Fixed(length.get()),
                Ok(_) => return Err(PeriodError::Short(text.into())),
                Err(_) => return Err(PeriodError::Unknown(text.into())),
            },
        })
    }

    /// Whether windows follow a calendar, and so a time zone.
    pub fn is_calendar(self) -> bool {
        matches!(self, Period::Day | Period::Week { .. } | Period::Month { .. })
    }
}

/// One window: `[start, end)` in nanoseconds since the epoch; without an end it never closes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Window {
    pub start: u64,
    pub end: Option<u64>,
}

/// A day of the calendar, written as `2026-01-31`.
///
/// ```
/// use tollgate::Date;
/// let date: Date = "2026-02-28".parse()?;
/// assert_eq!(date.next().to_string(), "2026-03-01");
/// assert!("2026-02-30".parse::<Date>().is_err());
/// # Ok::<(), tollgate::DateError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Date(
    /// Days since 1970-01-01; within the years 0 to 9999.
    i32,
);

impl Date {
    const EPOCH: civil::Date = civil::Date::constant(1970, 1, 1);

    fn of(date: civil::Date) -> Date {
        // Below 2^23.
        Date(date.since(Date::EPOCH).map_or(0, |span| span.get_days()))
    }

    fn civil(self) -> civil::Date {
        Date::EPOCH.saturating_add(i64::from(self.0).days())
    }

    /// Days since 1970-01-01.
    pub fn days(self) -> i32 {
        self.0
    }

    /// The date so many days after 1970-01-01, brought within the years 0 to 9999.
    pub fn from_days(days: i32) -> Date {
        Date(days.clamp(-719_528, 2_932_896))
    }

    /// The day after it.
    pub fn next(self) -> Date {
        Date::from_days(self.0 + 1)
    }
}

impl core::str::FromStr for Date {
    type Err = DateError;

    fn from_str(text: &str) -> Result<Date, DateError> {
        let shape = |(place, byte): (usize, u8)| match place {
            4 | 7 => byte == b'-',
            _ => byte.is_ascii_digit(),
        };
        let date = (text.len() == 10 && text.bytes().enumerate().all(shape)).then(|| text.parse().ok());
        date.flatten().map(Date::of).ok_or_else(|| DateError(text.chars().take(64).collect()))
    }
}

impl core::fmt::Display for Date {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}", self.civil())
    }
}

/// The windows of a period in a zone.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    period: Period,
    zone: TimeZone,
    /// The calendar window found last: start in seconds since the epoch (bits 24..), length in
    /// seconds (bits 0..24); length 0: none yet. Relaxed: the word is complete in itself.
    found: Arc<AtomicU64>,
}

impl Window {
    /// Whether an instant is in it.
    pub(crate) fn holds(&self, at: i128) -> bool {
        i128::from(self.start) <= at && self.end.is_none_or(|end| at < i128::from(end))
    }
}

impl PartialEq for Windows {
    fn eq(&self, other: &Windows) -> bool {
        self.period == other.period && (!self.period.is_calendar() || self.zone == other.zone)
    }
}

/// An IANA time zone by name.
pub(crate) fn zone(name: &str) -> Result<TimeZone, PeriodError> {
    // The look-up also takes "Local" and POSIX strings on some platforms: only names of the database are meant.
    match TimeZone::get(name) {
        Ok(zone) if zone.iana_name().is_some() => Ok(zone),
        _ => Err(PeriodError::Zone(name.into())),
    }
}

impl Windows {
    pub(crate) fn new(period: Period, zone: TimeZone) -> Windows {
        Windows { period, zone, found: Arc::new(AtomicU64::new(0)) }
    }

    /// The days of the same zone.
    pub(crate) fn days(&self) -> Windows {
        Windows::new(Period::Day, self.zone.clone())
    }

    pub(crate) fn has_zone_of(&self, other: &Windows) -> bool {
        self.zone == other.zone
    }

    /// Whether windows last for a day and more.
    pub(crate) fn are_of_days(&self) -> bool {
        !matches!(self.period, Period::Fixed(length) if length < 86_400 * SECOND)
    }

    /// The local date at `t`, which in an hour that occurs twice around midnight is the later one from its first midnight on.
    pub(crate) fn date_at(&self, t: u64) -> Date {
        let start = if self.period == Period::Day { self.at(t) } else { self.days().at(t) }.start;
        let instant = Timestamp::new((start / SECOND) as i64, 0).unwrap_or(Timestamp::MAX);
        Date::of(self.zone.to_datetime(instant).date())
    }

    /// The first instant of a local date, in nanoseconds since the epoch.
    pub(crate) fn start_of_date(&self, date: Date) -> i128 {
        self.midnight(date.civil())
    }

    /// The window that holds `t`.
    #[inline]
    pub(crate) fn at(&self, t: u64) -> Window {
        match self.period {
            Period::Forever => Window { start: 0, end: None },
            Period::Fixed(length) => {
                let start = t - t % length;
                Window { start, end: start.checked_add(length) }
            }
            _ => self.calendar_window(t),
        }
    }

    pub(crate) fn period(&self) -> Period {
        self.period
    }

    /// The zone's name in the database.
    pub(crate) fn zone_name(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// A number for the window that begins at `start`: windows that begin later have higher ones. Below 2^45 for
    /// fixed lengths of [`SHORTEST`] and more, and for all others.
    #[inline]
    pub(crate) fn number(&self, start: u64) -> u64 {
        match self.period {
            Period::Forever => 0,
            Period::Fixed(length) => start / length,
            // Midnights are whole seconds.
            _ => start / SECOND,
        }
    }

    /// The number of the window that holds `t`.
    #[inline(always)]
    pub(crate) fn number_at(&self, t: u64) -> u64 {
        match self.period {
            Period::Forever => 0,
            Period::Fixed(length) => t / length,
            _ => {
                let found = self.found.load(Ordering::Relaxed);
                let (start, length) = (found >> 24, (found & 0xff_ffff) * SECOND);
                if t.wrapping_sub(start * SECOND) < length { start } else { self.number_of_another(t) }
            }
        }
    }

    #[cold]
    #[inline(never)]
    fn number_of_another(&self, t: u64) -> u64 {
        self.number(self.at(t).start)
    }

    fn calendar_window(&self, t: u64) -> Window {
        let found = self.found.load(Ordering::Relaxed);
        let (start, length) = ((found >> 24) * SECOND, (found & 0xff_ffff) * SECOND);
        if t.wrapping_sub(start) < length {
            return Window { start, end: Some(start.saturating_add(length)) };
        }
        let window = self.search(t);
        if let Some(end) = window.end {
            let (start, end) = (window.start / SECOND, end / SECOND);
            if end - start < 1 << 24 {
                self.found.store(start << 24 | (end - start), Ordering::Relaxed);
            }
        }
        window
    }

    #[cold]
    fn search(&self, t: u64) -> Window {
        // Below 2^63 seconds; jiff holds the years -9999 to 9999.
        let instant = Timestamp::new((t / SECOND) as i64, 0).unwrap_or(Timestamp::MAX);
        let today = self.zone.to_datetime(instant).date();
        // A day's first instant is at most a day (a zone that changes sides of the date line) away
        // from where the local date says, so a window from one period earlier begins before `t`.
        let mut first = self.first_day(today);
        first = self.first_day(first.saturating_sub(1.day()));
        let mut start = self.midnight(first);
        loop {
            let next = self.next_first_day(first);
            let end = self.midnight(next);
            // A window that a zone skips whole is empty and passed over.
            if end > i128::from(t) || cfg!(tollgate_bug = "window-edge") && end == i128::from(t) {
                return Window {
                    start: u64::try_from(start.max(0)).unwrap_or(u64::MAX),
                    end: u64::try_from(end).ok(),
                };
            }
            (first, start) = (next, end);
        }
    }

    /// First day of the window that `day` belongs to.
    fn first_day(&self, day: civil::Date) -> civil::Date {
        match self.period {
            Period::Week { start } => {
                let since = (day.weekday().to_sunday_zero_offset() - start as i8).rem_euclid(7);
                day.saturating_sub(i64::from(since).days())
            }
            Period::Month { start } => {
                let first = month_day(day, start);
                if first <= day {
                    first
                } else {
                    month_day(day.first_of_month().saturating_sub(1.day()), start)
                }
            }
            _ => day,
        }
    }

    fn next_first_day(&self, first: civil::Date) -> civil::Date {
        match self.period {
            Period::Week { .. } => first.saturating_add(7.days()),
            // Day 28 at the latest, which every month has.
            Period::Month { .. } => first.saturating_add(1.month()),
            _ => first.saturating_add(1.day()),
        }
    }

    /// First instant of a local day, in nanoseconds since the epoch.
    fn midnight(&self, day: civil::Date) -> i128 {
        let local = day.at(0, 0, 0, 0);
        let ambiguous = self.zone.to_ambiguous_timestamp(local);
        let at = |offset: jiff::tz::Offset| offset.to_timestamp(local);
        let found = match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => at(offset),
            AmbiguousOffset::Fold { before, .. } => at(before),
            AmbiguousOffset::Gap { after, .. } => at(after).map(|before_gap| {
                self.zone.following(before_gap).next().map_or(before_gap, |change| change.timestamp())
            }),
        };
        found.unwrap_or(Timestamp::MAX).as_nanosecond()
    }
}

/// Day `1 + start` of the month of `day`.
fn month_day(day: civil::Date, start: u8) -> civil::Date {
    day.first_of_month().saturating_add(i64::from(start).days())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ns(text: &str) -> u64 {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    fn check(period: Period, zone_name: &str, at: &str, start: &str, end: &str) {
        let windows = Windows::new(period, zone(zone_name).unwrap());
        let expected = Window { start: ns(start), end: Some(ns(end)) };
        for t in [ns(at), ns(start), ns(end) - 1, ns(at)] {
            assert_eq!(windows.at(t), expected, "{zone_name} {at}");
        }
        assert_eq!(windows.at(ns(end)).start, ns(end), "half-open");
        assert_eq!(windows.at(ns(start) - 1).end, Some(ns(start)), "half-open");
    }

    #[test]
    fn calendar_periods_follow_a_zone_and_a_start_day() {
        check(Period::Day, "UTC", "2026-03-01T12:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z");
        check(
            Period::Day,
            "Asia/Tokyo",
            "2026-03-01T15:00:00Z",
            "2026-03-01T15:00:00Z",
            "2026-03-02T15:00:00Z",
        );
        // 1 March 2026 is a Sunday.
        check(
            Period::Week { start: 0 },
            "UTC",
            "2026-03-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
            "2026-03-08T00:00:00Z",
        );
        check(
            Period::Week { start: 6 },
            "UTC",
            "2026-03-01T00:00:00Z",
            "2026-02-28T00:00:00Z",
            "2026-03-07T00:00:00Z",
        );
        check(
            Period::Month { start: 0 },
            "UTC",
            "2026-02-28T23:59:59Z",
            "2026-02-01T00:00:00Z",
            "2026-03-01T00:00:00Z",
        );
        check(
            Period::Month { start: 27 },
            "UTC",
            "2026-03-01T00:00:00Z",
            "2026-02-28T00:00:00Z",
            "2026-03-28T00:00:00Z",
        );
        check(
            Period::Month { start: 14 },
            "Asia/Tokyo",
            "2026-01-03T00:00:00Z",
            "2025-12-14T15:00:00Z",
            "2026-01-14T15:00:00Z",
        );
    }

    #[test]
    fn days_of_23_and_25_hours_are_whole_windows() {
        check(
            Period::Day,
            "Europe/Berlin",
            "2026-03-29T10:00:00Z",
            "2026-03-28T23:00:00Z",
            "2026-03-29T22:00:00Z",
        );
        check(
            Period::Day,
            "Europe/Berlin",
            "2026-10-25T10:00:00Z",
            "2026-10-24T22:00:00Z",
            "2026-10-25T23:00:00Z",
        );
    }

    #[test]
    fn midnight_in_a_gap_is_the_first_instant_after_it() {
        // Cairo, 28 April 2023: 00:00 -> 01:00.
        check(
            Period::Day,
            "Africa/Cairo",
            "2023-04-28T10:00:00Z",
            "2023-04-27T22:00:00Z",
            "2023-04-28T21:00:00Z",
        );
        // St John's, 2 April 2006, 00:01 -> 01:01: midnight itself exists.
        check(
            Period::Day,
            "America/St_Johns",
            "2006-04-02T10:00:00Z",
            "2006-04-02T03:30:00Z",
            "2006-04-03T02:30:00Z",
        );
        // Toronto, 31 March 1919, 23:30 on the 30th -> 00:30: midnight lies in the middle of the gap.
        let toronto = Windows::new(Period::Day, zone("America/Toronto").unwrap());
        let _ = toronto.at(0);
    }

    #[test]
    fn midnight_that_occurs_twice_is_the_earlier() {
        // Havana, 1 November 2026: 01:00 -> 00:00.
        check(
            Period::Day,
            "America/Havana",
            "2026-11-01T10:00:00Z",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        );
        // St John's, 29 October 2006: 00:01 -> 23:01 on the 28th. The hour that repeats belongs to the 29th.
        check(
            Period::Day,
            "America/St_Johns",
            "2006-10-29T03:00:00Z",
            "2006-10-29T02:30:00Z",
            "2006-10-30T03:30:00Z",
        );
    }

    #[test]
    fn a_day_that_a_zone_skips_has_no_window() {
        // Samoa had no 30 December 2011.
        check(
            Period::Day,
            "Pacific/Apia",
            "2011-12-30T09:00:00Z",
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
        );
        check(
            Period::Day,
            "Pacific/Apia",
            "2011-12-30T10:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-31T10:00:00Z",
        );
    }

    #[test]
    fn fixed_lengths_are_aligned_to_the_epoch() {
        let windows = Windows::new(Period::parse("15m", 0).unwrap(), TimeZone::UTC);
        assert_eq!(
            windows.at(ns("2026-01-01T00:29:59Z")),
            Window { start: ns("2026-01-01T00:15:00Z"), end: Some(ns("2026-01-01T00:30:00Z")) }
        );
        let forever = Windows::new(Period::Forever, TimeZone::UTC);
        assert_eq!(forever.at(u64::MAX), Window { start: 0, end: None });
    }

    #[test]
    fn any_instant_has_a_window() {
        for name in ["UTC", "Pacific/Apia", "Pacific/Kwajalein", "America/Toronto", "Africa/Cairo"] {
            for period in
                [Period::Day, Period::Week { start: 3 }, Period::Month { start: 27 }, Period::Fixed(7)]
            {
                let windows = Windows::new(period, zone(name).unwrap());
                for t in [0, 1, SECOND, u64::MAX / 3, u64::MAX - 1, u64::MAX] {
                    let window = windows.at(t);
                    assert!(
                        window.start <= t && window.end.is_none_or(|end| end > t),
                        "{name} {period:?} {t}"
                    );
                }
            }
        }
    }

    #[test]
    fn start_out_of_range_and_unknown_periods_are_errors() {
        for (period, start) in
            [("week", 7), ("month", 28), ("day", 1), ("hour", 1), ("forever", 1), ("week", u64::MAX)]
        {
            assert!(
                matches!(Period::parse(period, start), Err(PeriodError::Start { .. })),
                "{period} {start}"
            );
        }
        for text in ["0s", "999us"] {
            assert!(matches!(Period::parse(text, 0), Err(PeriodError::Short(_))), "{text:?}");
        }
        for text in ["", "Day", "year", "15", "-1s"] {
            assert!(matches!(Period::parse(text, 0), Err(PeriodError::Unknown(_))), "{text:?}");
        }
        for name in ["", "Mars/Olympus", "Local", "EST5EDT,M3.2.0,M11.1.0", "../etc/passwd"] {
            assert!(matches!(zone(name), Err(PeriodError::Zone(_))), "{name:?}");
        }
    }
}
