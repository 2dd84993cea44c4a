//! The usage log: a line per registered subject, quota and day with traffic.
//!
//! | word | bits |
//! | --- | --- |
//! | head | what every line that is no limit has; the date; of the high part bit 44: debited, 45: open |
//! | count, low half | requests refused |
//! | quota 0 | 0..64 used; open: the counter's charge less what is used |
//! | quota 1 | 0..64 what was left after the day's last debit; open: the quota's limit |
//!
//! A row is *open* while debits of its day are counted by the quota's counter alone; its
//! [`Companion`](super::beside::Companion) says whether it is.

use super::Engine;
use super::beside::{Companion, KEPT};
use super::kinds::Kind;
use super::state::Raw;
use crate::algo::quota::remaining;
use crate::calendar::Date;
use crate::store::{Head, Line, Txn, raised_with};

const DEBITED: u64 = 1 << 44;
const OPEN: u64 = 1 << 45;
const DAY: u64 = 86_400_000_000_000;

/// A row as it stands in its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Row {
    pub refused: u64,
    /// Whether there was a debit.
    pub debited: bool,
    pub open: bool,
    /// Used; of an open row the counter's charge less that, modulo 2^64.
    pub used: i64,
    /// What was left; of an open row the limit.
    pub left: u64,
}

impl Row {
    pub(super) fn of(words: &[u128; 4]) -> Row {
        let [head, count, used, left] = *words;
        Row {
            refused: count as u64,
            debited: Head::of(head).high & DEBITED != 0,
            open: Head::of(head).high & OPEN != 0,
            used: used as i64,
            left: left as u64,
        }
    }

    /// An open row whose counter stands at `charged`, closed.
    pub(super) fn closed(self, charged: i64) -> Row {
        Row {
            used: charged.wrapping_sub(self.used),
            left: remaining(self.left, charged),
            open: false,
            ..self
        }
    }

    /// A closed row, opened: what the counter gains from `charged` on is its.
    pub(super) fn opened(self, charged: i64, limit: u64) -> Row {
        Row { used: charged.wrapping_sub(self.used), left: limit, debited: true, open: true, ..self }
    }

    /// Plans it for its line in the place of `before`.
    pub(super) fn write(self, txn: &mut Txn<'_>, line: Line, before: [u128; 4]) {
        let head = Head::of(before[0]);
        let flag = |set: bool, flag: u64| if set { flag } else { 0 };
        let high = head.high & !(DEBITED | OPEN) | flag(self.debited, DEBITED) | flag(self.open, OPEN);
        let count = raised_with(before[1], self.refused);
        let (used, left) = (u128::from(self.used as u64), u128::from(self.left));
        txn.write_line(line, before, [Head { high, ..head }.word(), count, used, left]);
    }
}

impl Engine {
    /// The rows of a quota's log that are kept, as they would stand were the open one closed now; `raw` is the quota's line.
    pub(super) fn rows_of(
        &self,
        owner: u64,
        line: u32,
        slot: usize,
        companion: &Companion,
        raw: &Raw,
    ) -> Vec<(Date, Row)> {
        let Some(newest) = companion.newest else { return Vec::new() };
        let dates = (0..KEPT).rev().map(|days| Date::from_days(newest.days() - days));
        let rows = dates.filter_map(|date| {
            let (_, words) = self.look_at(owner, line, Kind::Row { line, slot, date })?;
            let row = Row::of(&words);
            let open = companion.open && companion.row == Some(date);
            Some((date, if open { row.closed(raw.counter(slot).charged) } else { row }))
        });
        rows.collect()
    }
}

/// In how many nanoseconds after `now` a row of this date need not be kept, wherever its zone is.
pub(super) fn age(date: Date, now: u64) -> u64 {
    let days = u64::try_from(date.days()).unwrap_or(0) + KEPT as u64 + 2;
    days.saturating_mul(DAY).saturating_sub(now)
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn a_row_goes_on_with_its_counter() {
        let row = Row { refused: 2, debited: false, open: false, used: 5, left: 0 };
        // The counter stands at 3, of which nothing is the row's; then 4 are debited.
        let open = row.opened(3, 10);
        assert_eq!(open.closed(7), Row { refused: 2, debited: true, open: false, used: 9, left: 3 });
        let granted = row.opened(-4, 10);
        assert_eq!(granted.closed(-1), Row { refused: 2, debited: true, open: false, used: 8, left: 11 });
    }
}
