//! The events that a [`Directory`] is made of, and their form in memory that processes share.

use super::directory::{Directory, TooMany};
use crate::algo::rate::Rate;
use crate::calendar::{Period, Windows, zone};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LimitKind {
    Throttle,
    Quota,
    Concurrency,
}

/// One change of a directory.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Event {
    /// A limit appears, in the group of limits that share lines with it.
    Limit { group: u128, limit: u128, kind: LimitKind },
    /// A line's throttle begins, or has another rate or burst from `at` on.
    Throttle { line: u32, rate: Rate, burst: u64, at: u64 },
    /// The same for a quota, its limit, windows and zone.
    Quota { line: u32, slot: usize, limit: u64, windows: Windows, initial_debit: bool, at: u64 },
    /// Arithmetic counts from another instant.
    Base { at: u64 },
}

/// Words of an event. Bit 127 of each is 0.
pub(crate) const EVENT_WORDS: usize = 6;

const LIMIT: u8 = 1;
const THROTTLE: u8 = 2;
const QUOTA: u8 = 3;
const BASE: u8 = 4;

/// Zone names end here; the longest of the IANA database has 32 bytes.
const ZONE: usize = 32;

impl Event {
    /// | kind | word 0, bytes 0, 1, 2, 4..8 | further words |
    /// | --- | --- | --- |
    /// | limit | 1, kind | group; limit |
    /// | throttle | 2, -, -, line | nanoseconds, tokens; at; burst |
    /// | quota | 3, slot + 4 * initial debit, period + 8 * start, line | length; at; zone (2); limit |
    /// | base | 4 | at |
    ///
    /// `None` for a zone whose name is too long.
    pub(crate) fn words(&self) -> Option<[u128; EVENT_WORDS]> {
        let head = |kind: u8, a: u8, b: u8, line: u32| {
            u128::from(u64::from(line) << 32 | u64::from(b) << 16 | u64::from(a) << 8 | u64::from(kind))
        };
        Some(match self {
            &Event::Limit { group, limit, kind } => {
                let kind = match kind {
                    LimitKind::Throttle => 0,
                    LimitKind::Quota => 1,
                    LimitKind::Concurrency => 2,
                };
                [head(LIMIT, kind, 0, 0), group, limit, 0, 0, 0]
            }
            &Event::Throttle { line, rate, burst, at } => {
                let rate = u128::from(rate.nanos()) << 64 | u128::from(rate.tokens());
                [head(THROTTLE, 0, 0, line), rate, at.into(), burst.into(), 0, 0]
            }
            Event::Quota { line, slot, limit, windows, initial_debit, at } => {
                let (period, start, length) = match windows.period() {
                    Period::Day => (0, 0, 0),
                    Period::Week { start } => (1, start, 0),
                    Period::Month { start } => (2, start, 0),
                    Period::Fixed(length) => (3, 0, length),
                    Period::Forever => (4, 0, 0),
                };
                let name = windows.zone_name().as_bytes();
                let mut zone = [0; ZONE];
                zone.get_mut(..name.len())?.copy_from_slice(name);
                let half =
                    |n: usize| zone[n..n + 16].iter().rev().fold(0, |word, &b| word << 8 | u128::from(b));
                let a = *slot as u8 | u8::from(*initial_debit) << 2;
                // A start is below 28: with the period in the low three bits it takes all of a byte.
                [
                    head(QUOTA, a, period | start << 3, *line),
                    length.into(),
                    (*at).into(),
                    half(0),
                    half(16),
                    (*limit).into(),
                ]
            }
            &Event::Base { at } => [head(BASE, 0, 0, 0), at.into(), 0, 0, 0, 0],
        })
    }

    /// `None` for words that are no event, or one that this process cannot follow.
    pub(crate) fn of(words: [u128; EVENT_WORDS]) -> Option<Event> {
        let [head, first, second, third, fourth, fifth] = words;
        let (kind, a, b, line) = (head as u8, (head >> 8) as u8, (head >> 16) as u8, (head >> 32) as u32);
        Some(match kind {
            LIMIT => {
                let kind = match a {
                    0 => LimitKind::Throttle,
                    1 => LimitKind::Quota,
                    _ => LimitKind::Concurrency,
                };
                Event::Limit { group: first, limit: second, kind }
            }
            THROTTLE => {
                let rate = Rate::per_nanos(first as u64, (first >> 64) as u64).ok()?;
                let burst = (third as u64).max(1);
                Event::Throttle { line, rate, burst, at: second as u64 }
            }
            QUOTA => {
                let start = b >> 3;
                let period = match b & 7 {
                    0 => Period::Day,
                    1 => Period::Week { start: start.min(6) },
                    2 => Period::Month { start: start.min(27) },
                    3 => Period::Fixed((first as u64).max(crate::calendar::SHORTEST)),
                    _ => Period::Forever,
                };
                let mut name = [0; ZONE];
                name[..16].copy_from_slice(&third.to_le_bytes());
                name[16..].copy_from_slice(&fourth.to_le_bytes());
                let end = name.iter().position(|&byte| byte == 0).unwrap_or(ZONE);
                let zone = zone(core::str::from_utf8(&name[..end]).ok()?).ok()?;
                let (slot, initial_debit) = (usize::from(a & 3), a >> 2 & 1 == 1);
                Event::Quota {
                    line,
                    slot,
                    limit: (fifth as u64).min(i64::MAX as u64),
                    windows: Windows::new(period, zone),
                    initial_debit,
                    at: second as u64,
                }
            }
            BASE => Event::Base { at: first as u64 },
            _ => return None,
        })
    }
}

/// A directory that goes on.
pub(crate) trait Ledger {
    fn directory(&self) -> &Directory;

    /// Goes on by `event`, or, where others have gone on meanwhile, by what they did: then it is to be seen again
    /// whether the event is still needed.
    ///
    /// # Errors
    /// There is no room for it; nothing has changed then.
    fn record(&mut self, event: &Event) -> Result<(), TooMany>;

    /// Whether limits that are there stay as they are.
    fn keeps(&self) -> bool;

    /// The keyed hash of what a limit or a group of limits is; 127 bits.
    fn identity(&self, parts: &[&str]) -> u128;
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn events_survive_their_words() {
        let windows = |period, name| Windows::new(period, zone(name).unwrap());
        let longest = "America/Argentina/ComodRivadavia";
        for event in [
            Event::Limit { group: (1 << 127) - 1, limit: 7, kind: LimitKind::Throttle },
            Event::Limit { group: 1, limit: (1 << 127) - 2, kind: LimitKind::Quota },
            Event::Throttle {
                line: u32::MAX,
                rate: Rate::per_nanos((1 << 52) - 1, (1 << 61) + 1).unwrap(),
                burst: u64::MAX,
                at: u64::MAX,
            },
            Event::Quota {
                line: 1,
                slot: 1,
                limit: i64::MAX as u64,
                windows: windows(Period::Month { start: 27 }, longest),
                initial_debit: true,
                at: u64::MAX,
            },
            Event::Quota {
                line: 9,
                slot: 0,
                limit: 3,
                windows: windows(Period::Fixed(u64::MAX), "UTC"),
                initial_debit: false,
                at: 5,
            },
            Event::Limit { group: 3, limit: 5, kind: LimitKind::Concurrency },
            Event::Base { at: u64::MAX },
        ] {
            let words = event.words().unwrap();
            assert!(words.iter().all(|word| word >> 127 == 0));
            assert_eq!(Event::of(words), Some(event));
        }
        assert_eq!(Event::of([0; EVENT_WORDS]), None);
    }
}
