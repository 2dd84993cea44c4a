//! What is kept beside a quota of a registered subject or a pool, in a line of its own: grants, alerts that have fired, and
//! how far the usage log has come.
//!
//! | word | bits |
//! | --- | --- |
//! | count, low half | 0..18 newest row, 18..25 days from the row of the last debit to it, 25..47 stamp's high part, 47..62 generation of the breach |
//! | quota 0 | 0..100 fired percentages, 100 row open, 101 never debited, 102..126 stamp's low part |
//! | quota 1 | 0..64 adjust, 64..110 stamp of the breach, 110..125 generation |
//!
//! It is changed together with its quota, whose counter says by its stamp when there is nothing to change: same window, same
//! day, no level crossed. Only a refusal changes it by itself.

use super::judge::Account;
use super::kinds::{DATES, date_number, date_of};
use crate::algo::quota::{Beside, Counter, Schedule};
use crate::calendar::Date;
use crate::plan::Alert;
use crate::store::{Line, Txn, raised_with};

const PERCENTS: u128 = (1 << 100) - 1;
const OPEN: u128 = 1 << 100;
const VIRGIN: u128 = 1 << 101;
const STAMP_LOW: u64 = (1 << 24) - 1;
const STAMP: u64 = (1 << 46) - 1;
const GENERATION: u64 = (1 << 15) - 1;

/// Days that a row is kept for, the newest row's included.
pub(super) const KEPT: i32 = 90;
/// There is no row of the last debit.
const NO_ROW: u64 = 127;

/// See the module's comment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Companion {
    /// Percentages that have fired in the window of `stamp`: bit `percent - 1`.
    pub fired: u128,
    pub beside: Beside,
    /// As of the quota's counter.
    pub stamp: u64,
    pub generation: u32,
    /// Stamp of the latest window that was breached, and its generation; 0: none.
    pub breached: u64,
    pub breached_in: u32,
    /// The newest row of the log.
    pub newest: Option<Date>,
    /// The row of the last debit in the window.
    pub row: Option<Date>,
    /// Whether that row goes on with the counter.
    pub open: bool,
}

impl Companion {
    pub(super) fn of(words: &[u128; 4]) -> Companion {
        let [_, count, first, second] = words;
        let low = *count as u64;
        let newest = (low & DATES != 0).then(|| date_of(low & DATES));
        let since = low >> 18 & 127;
        let row =
            newest.filter(|_| since != NO_ROW).map(|newest| Date::from_days(newest.days() - since as i32));
        Companion {
            fired: first & PERCENTS,
            beside: Beside { adjust: *second as i64, virgin: first & VIRGIN != 0 },
            stamp: (low >> 25 & (STAMP >> 24)) << 24 | (first >> 102) as u64 & STAMP_LOW,
            generation: ((second >> 110) as u64 & GENERATION) as u32,
            breached: (second >> 64) as u64 & STAMP,
            breached_in: (low >> 47 & GENERATION) as u32,
            newest,
            row,
            open: first & OPEN != 0,
        }
    }

    fn words(&self) -> (u64, u128, u128) {
        let newest = self.newest.map_or(0, date_number);
        let since = match (self.newest, self.row) {
            (Some(newest), Some(row)) if (0..KEPT).contains(&(newest.days() - row.days())) => {
                (newest.days() - row.days()) as u64
            }
            _ => NO_ROW,
        };
        let flag = |set: bool, flag: u128| if set { flag } else { 0 };
        let low = newest | since << 18 | (self.stamp >> 24) << 25 | u64::from(self.breached_in) << 47;
        let first = self.fired & PERCENTS
            | flag(self.open && since != NO_ROW, OPEN)
            | flag(self.beside.virgin, VIRGIN)
            | u128::from(self.stamp & STAMP_LOW) << 102;
        let second = u128::from(self.beside.adjust as u64)
            | u128::from(self.breached & STAMP) << 64
            | u128::from(self.generation) << 110;
        (low, first, second)
    }

    /// Plans this for a line in the place of `before`.
    pub(super) fn write(&self, txn: &mut Txn<'_>, line: Line, before: [u128; 4]) {
        let (low, first, second) = self.words();
        txn.write_line(line, before, [before[0], raised_with(before[1], low), first, second]);
    }

    /// Drops what changes of the quota since have made void.
    pub(super) fn rearm(&mut self, schedule: &Schedule) {
        if schedule.rearms_since(self.generation) {
            self.fired = 0;
        }
        self.rearm_breach(schedule);
    }

    fn rearm_breach(&mut self, schedule: &Schedule) {
        if schedule.rearms_since(self.breached_in) {
            self.breached = 0;
        }
    }

    /// Makes it that of a counter which is to be stored, and lets the counter say whether the next debit has to look at it.
    pub(super) fn go_with(&mut self, counter: &mut Counter, beside: Beside, account: Account<'_>) {
        (self.stamp, self.generation) = (counter.stamp, counter.generation);
        self.beside = beside;
        let unlogged = account.is_subject() && !self.open;
        counter.special = beside.adjust != 0 || beside.virgin || unlogged;
    }

    /// Marks what fires at a count of `used`, in ascending order.
    pub(super) fn fire<'a>(
        &mut self,
        used: i128,
        alerts: &'a [Alert],
    ) -> impl Iterator<Item = u32> + use<'a> {
        let before = self.fired;
        let bit = |alert: &Alert| 1u128 << (alert.percent - 1);
        let over = move |alert: &&Alert| used >= i128::from(alert.level);
        self.fired |= alerts.iter().filter(over).fold(0, |bits, alert| bits | bit(alert));
        let new = move |alert: &&Alert| before & bit(alert) == 0;
        alerts.iter().filter(over).filter(new).map(|alert| alert.percent)
    }

    /// Marks a refusal in the window that begins at `start`; whether it is the first there.
    pub(super) fn breach(&mut self, schedule: &Schedule, start: u64) -> bool {
        self.rearm_breach(schedule);
        let last = schedule.era_of(self.breached_in).map_or(0, |era| era.window(self.breached).start);
        let first = self.breached == 0 || last < start;
        if first {
            (self.breached, self.breached_in) = (schedule.stamp_at(start), schedule.generation());
        }
        first
    }

    /// Whether the latest refusal was in a window after the one that begins at `start`.
    pub(super) fn is_breached_after(&mut self, schedule: &Schedule, start: u64) -> bool {
        self.rearm_breach(schedule);
        let era = schedule.era_of(self.breached_in).filter(|_| self.breached != 0);
        era.is_some_and(|era| era.window(self.breached).start > start)
    }

    /// The row that goes on with the counter.
    pub(super) fn open_row(&self) -> Option<Date> {
        self.row.filter(|_| self.open)
    }

    /// Which rows' words for what is used change by how much when a debit that stands in `row` was `by` larger; `counted`:
    /// on the counter, too.
    pub(super) fn corrections(
        &self,
        row: Option<Date>,
        by: i64,
        counted: bool,
    ) -> impl Iterator<Item = (Date, i64)> + use<> {
        let newest = self.newest.map_or(i32::MIN, |newest| newest.days());
        let row = row.filter(|row| newest.saturating_sub(row.days()) < KEPT);
        let open = self.open_row();
        // What an open row holds is taken off the charge.
        let changes = match row == open {
            // The counter says it all.
            true if counted => [None, None],
            true => [row.map(|date| (date, by.wrapping_neg())), None],
            // What goes on with the counter stays as it is.
            false => [row.map(|date| (date, by)), open.filter(|_| counted).map(|date| (date, by))],
        };
        changes.into_iter().flatten()
    }

    /// Whether a row of this date is kept, which then becomes the newest if it is.
    pub(super) fn reach(&mut self, date: Date) -> bool {
        match self.newest {
            Some(newest) if date <= newest => newest.days() - date.days() < KEPT,
            _ => {
                // The row of the last debit may be too old now.
                self.row = self.row.filter(|row| date.days() - row.days() < KEPT);
                self.open &= self.row.is_some();
                self.newest = Some(date);
                true
            }
        }
    }

    /// In how many nanoseconds after `now` it says nothing any more.
    pub(super) fn age(&self, schedule: &Schedule, now: u64) -> Option<u64> {
        let end = |stamp: u64, generation: u32| match stamp {
            0 => Some(0),
            _ => schedule.era_of(generation)?.window(stamp).end.map(|end| end.saturating_sub(now)),
        };
        let log = self.newest.map_or(0, |newest| super::rows::age(newest, now));
        Some(end(self.stamp, self.generation)?.max(end(self.breached, self.breached_in)?).max(log))
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn words_hold_all_of_it() {
        let date = |text: &str| Some(text.parse::<Date>().unwrap());
        let one = Companion {
            fired: PERCENTS,
            beside: Beside { adjust: i64::MIN, virgin: true },
            stamp: STAMP,
            generation: GENERATION as u32,
            breached: STAMP - 1,
            breached_in: 1,
            newest: date("2554-07-21"),
            row: date("2554-04-23"),
            open: true,
        };
        let other = Companion { row: None, open: false, fired: 5, stamp: 1 << 30 | 3, ..one };
        let nothing = Companion::default();
        for companion in [one, other, nothing, Companion { newest: date("1969-12-31"), ..nothing }] {
            let (low, first, second) = companion.words();
            assert_eq!((first >> 127, second >> 127), (0, 0));
            assert_eq!(Companion::of(&[0, low.into(), first, second]), companion);
        }
    }

    #[test]
    fn alerts_fire_once() {
        let alerts = [50, 80, 100].map(|percent| Alert { percent, level: u64::from(percent) });
        let mut companion = Companion::default();
        assert_eq!(companion.fire(49, &alerts).count(), 0);
        assert_eq!(companion.fire(80, &alerts).collect::<Vec<_>>(), [50, 80]);
        assert_eq!(companion.fire(99, &alerts).count(), 0);
        assert_eq!(companion.fire(100, &alerts).collect::<Vec<_>>(), [100]);
        assert_eq!(companion.fire(200, &alerts).count(), 0);
    }

    #[test]
    fn a_correction_keeps_what_other_rows_hold() {
        let date = |day: i32| Some(Date::from_days(day));
        let of = |companion: Companion, row: Option<Date>, counted: bool| -> Vec<(i32, i64)> {
            companion.corrections(row, 3, counted).map(|(date, by)| (date.days(), by)).collect()
        };
        let closed = Companion { newest: date(200), row: date(200), ..Companion::default() };
        let open = Companion { open: true, ..closed };
        for counted in [true, false] {
            assert_eq!(of(closed, date(199), counted), [(199, 3)]);
            assert_eq!(of(closed, date(200 - KEPT), counted), []);
            assert_eq!(of(closed, None, counted), []);
        }
        assert_eq!(of(open, date(200), true), []);
        assert_eq!(of(open, date(200), false), [(200, -3)]);
        assert_eq!(of(open, date(199), true), [(199, 3), (200, 3)]);
        assert_eq!(of(open, date(199), false), [(199, 3)]);
        assert_eq!(of(open, None, true), [(200, 3)]);
    }
}
