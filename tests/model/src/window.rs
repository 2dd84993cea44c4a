//! Windows of a quota: where the one that holds an instant begins, and where it ends.

use crate::text::Nanos;
use chrono::{DateTime, Datelike, Days, MappedLocalTime, NaiveDate, TimeZone};
use chrono_tz::Tz;

const SECOND: Nanos = 1_000_000_000;

/// A quota's period, with `start` and `zone` where they matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Period {
    /// "`forever` (never resets)".
    Forever,
    /// "`second | minute | hour` or a fixed length such as "15m" (aligned to the Unix epoch, UTC)".
    Fixed(u64),
    /// A local day.
    Day(Tz),
    /// "week 0 = Sunday .. 6 = Saturday".
    Week(Tz, u32),
    /// "month k (0..27) begins on day 1+k".
    Month(Tz, u32),
}

/// A half-open window, `[start, end)`; without an end for `forever`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The first instant in the window.
    pub start: Nanos,
    /// The first instant after the window.
    pub end: Option<Nanos>,
}

impl Window {
    /// Whether an instant is in it.
    pub fn holds(&self, at: Nanos) -> bool {
        self.start <= at && self.end.is_none_or(|end| at < end)
    }
}

impl Period {
    /// Whether its windows are of a day and more, or else "under a day".
    pub fn of_days(&self) -> bool {
        match self {
            Period::Fixed(length) => *length >= 86_400_000_000_000,
            Period::Forever | Period::Day(_) | Period::Week(..) | Period::Month(..) => true,
        }
    }

    /// The window that holds `now`: for a calendar period the last start at or before `now` and
    /// the first one after it, among the starts of all local dates around `now`. Two starts may
    /// fall on one instant (a zone that skips a whole day); the empty window between them never
    /// holds an instant.
    pub fn window(&self, now: Nanos) -> Window {
        match self {
            Period::Forever => Window { start: 0, end: None },
            Period::Fixed(length) => {
                let length = Nanos::from(*length);
                let start = now.div_euclid(length) * length;
                Window { start, end: Some(start + length) }
            }
            Period::Day(zone) => calendar(*zone, now, |_| true),
            Period::Week(zone, start) => {
                calendar(*zone, now, |date| date.weekday().num_days_from_sunday() == *start)
            }
            Period::Month(zone, start) => calendar(*zone, now, |date| date.day() == 1 + *start),
        }
    }
}

fn calendar(zone: Tz, now: Nanos, begins: impl Fn(NaiveDate) -> bool) -> Window {
    let today = local(zone, now.div_euclid(SECOND)).date();
    let first = today.checked_sub_days(Days::new(40)).expect("a date in range");
    let starts: Vec<Nanos> =
        first.iter_days().take(81).filter(|date| begins(*date)).map(|date| day_start(zone, date)).collect();
    Window {
        start: *starts.iter().filter(|s| **s <= now).max().expect("a start before"),
        end: Some(*starts.iter().filter(|s| **s > now).min().expect("a start after")),
    }
}

fn local(zone: Tz, seconds: Nanos) -> chrono::NaiveDateTime {
    let seconds = i64::try_from(seconds).expect("an instant in range");
    let utc = DateTime::from_timestamp(seconds, 0).expect("an instant in range");
    zone.from_utc_datetime(&utc.naive_utc()).naive_local()
}

/// "Day starts at local midnight. Local midnight inside a DST gap: the first instant after the
/// gap; midnight that occurs twice: the earlier."
pub fn day_start(zone: Tz, date: NaiveDate) -> Nanos {
    let midnight = date.and_hms_opt(0, 0, 0).expect("midnight");
    let seconds = match zone.from_local_datetime(&midnight) {
        MappedLocalTime::Single(one) => one.timestamp(),
        MappedLocalTime::Ambiguous(a, b) => a.timestamp().min(b.timestamp()),
        MappedLocalTime::None => {
            // Within 26 hours either way every zone's clock is clearly before, clearly after.
            let around = midnight.and_utc().timestamp();
            let (mut before, mut after) = (around - 26 * 3600, around + 26 * 3600);
            while after - before > 1 {
                let middle = before + (after - before) / 2;
                if local(zone, middle.into()) < midnight {
                    before = middle;
                } else {
                    after = middle;
                }
            }
            after
        }
    };
    Nanos::from(seconds) * SECOND
}

/// The latest date whose day has begun.
pub fn day_of(zone: Tz, at: Nanos) -> NaiveDate {
    let near = local(zone, at.div_euclid(SECOND)).date();
    let first = near.checked_sub_days(Days::new(3)).expect("a date in range");
    let begun = first.iter_days().take(7).filter(|date| day_start(zone, *date) <= at);
    begun.max().expect("a day that has begun")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::instant;
    use chrono_tz::{Africa, America, Asia, Pacific, UTC};
    use serde_json::json;

    fn at(text: &str) -> Nanos {
        instant(&json!(text)).unwrap()
    }

    fn check(period: Period, now: &str, start: &str, end: &str) {
        let want = Window { start: at(start), end: Some(at(end)) };
        assert_eq!(period.window(at(now)), want, "{period:?} at {now}");
    }

    #[test]
    fn fixed_and_utc() {
        check(
            Period::Fixed(900_000_000_000),
            "2026-01-01T00:20:00Z",
            "2026-01-01T00:15:00Z",
            "2026-01-01T00:30:00Z",
        );
        check(Period::Day(UTC), "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
        // 1 January 2026 is a Thursday.
        check(Period::Week(UTC, 0), "2026-01-01T00:00:00Z", "2025-12-28T00:00:00Z", "2026-01-04T00:00:00Z");
        check(Period::Week(UTC, 4), "2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "2026-01-08T00:00:00Z");
        check(
            Period::Month(UTC, 14),
            "2026-03-14T23:59:59.999999999Z",
            "2026-02-15T00:00:00Z",
            "2026-03-15T00:00:00Z",
        );
        assert_eq!(Period::Forever.window(5), Window { start: 0, end: None });
        assert_eq!(Period::Day(UTC).window(0).start, 0);
        assert_eq!(Period::Week(UTC, 0).window(0).start, -4 * 86_400 * SECOND);
    }

    #[test]
    fn midnight_in_a_gap() {
        // Havana, 8 March 2026: 00:00 CST becomes 01:00 CDT, at 05:00 UTC; a day of 23 hours.
        check(
            Period::Day(America::Havana),
            "2026-03-08T05:00:00Z",
            "2026-03-08T05:00:00Z",
            "2026-03-09T04:00:00Z",
        );
        check(
            Period::Day(America::Havana),
            "2026-03-08T04:59:59Z",
            "2026-03-07T05:00:00Z",
            "2026-03-08T05:00:00Z",
        );
        // Cairo, 24 April 2026: 00:00 EET becomes 01:00 EEST, at 22:00 UTC the day before.
        check(
            Period::Day(Africa::Cairo),
            "2026-04-24T00:00:00Z",
            "2026-04-23T22:00:00Z",
            "2026-04-24T21:00:00Z",
        );
    }

    #[test]
    fn midnight_twice() {
        // Havana, 1 November 2026: 01:00 CDT becomes 00:00 CST, at 05:00 UTC; a day of 25 hours.
        check(
            Period::Day(America::Havana),
            "2026-11-01T05:30:00Z",
            "2026-11-01T04:00:00Z",
            "2026-11-02T05:00:00Z",
        );
        // Cairo, 29 October 2026: 24:00 EEST becomes 23:00 EET; midnight occurs once.
        check(
            Period::Day(Africa::Cairo),
            "2026-10-29T21:30:00Z",
            "2026-10-28T21:00:00Z",
            "2026-10-29T22:00:00Z",
        );
        // St John's, 7 November 2010: 00:01 NDT becomes 23:01 NST of the day before.
        check(
            Period::Day(America::St_Johns),
            "2010-11-07T02:45:00Z",
            "2010-11-07T02:30:00Z",
            "2010-11-08T03:30:00Z",
        );
    }

    #[test]
    fn a_day_that_never_was() {
        // Apia skipped 30 December 2011: the 29th ended at 10:00 UTC on the 30th.
        check(
            Period::Day(Pacific::Apia),
            "2011-12-30T09:59:59Z",
            "2011-12-29T10:00:00Z",
            "2011-12-30T10:00:00Z",
        );
        check(
            Period::Day(Pacific::Apia),
            "2011-12-30T10:00:00Z",
            "2011-12-30T10:00:00Z",
            "2011-12-31T10:00:00Z",
        );
        // A week that begins on that Friday begins with the Saturday.
        check(
            Period::Week(Pacific::Apia, 5),
            "2011-12-30T10:00:00Z",
            "2011-12-30T10:00:00Z",
            "2012-01-05T10:00:00Z",
        );
    }

    #[test]
    fn month_in_tokyo() {
        check(
            Period::Month(Asia::Tokyo, 14),
            "2026-01-14T15:00:00Z",
            "2026-01-14T15:00:00Z",
            "2026-02-14T15:00:00Z",
        );
    }

    #[test]
    fn days_that_hold_an_instant() {
        let date = |text: &str| text.parse::<NaiveDate>().unwrap();
        for (zone, at_, day) in [
            (UTC, "2026-01-01T00:00:00Z", "2026-01-01"),
            (Asia::Tokyo, "2026-01-01T14:59:59Z", "2026-01-01"),
            (Asia::Tokyo, "2026-01-01T15:00:00Z", "2026-01-02"),
            // Between the two midnights of 7 November, where clocks show 23:01 and later again.
            (America::St_Johns, "2010-11-07T02:29:59Z", "2010-11-06"),
            (America::St_Johns, "2010-11-07T02:45:00Z", "2010-11-07"),
            (Pacific::Apia, "2011-12-30T09:59:59Z", "2011-12-29"),
            (Pacific::Apia, "2011-12-30T10:00:00Z", "2011-12-31"),
        ] {
            assert_eq!(day_of(zone, at(at_)), date(day), "{zone} {at_}");
        }
    }

    /// Windows tile time: each holds its instants, and the next begins where it ends.
    #[test]
    fn windows_tile() {
        let zones = [Pacific::Apia, America::St_Johns, America::Havana, Africa::Cairo, Asia::Tokyo];
        for zone in zones {
            for period in [Period::Day(zone), Period::Week(zone, 5), Period::Month(zone, 27)] {
                let mut now = at("2009-12-15T00:00:00Z");
                while now < at("2039-01-01T00:00:00Z") {
                    let window = period.window(now);
                    let end = window.end.unwrap();
                    assert!(window.start <= now && now < end);
                    assert_eq!(period.window(end - 1), window);
                    assert_eq!(period.window(end).start, end);
                    now = end;
                }
            }
        }
    }
}
