//! Quotas that were written under other windows than they have now: what is kept of them, and what of the debits that are to
//! be settled.
//!
//! A change of a period touches no state: that is brought forward when it is next used. Only what the book knows of debits is
//! carried over at once, as it is judged by the state of that moment.

use super::Engine;
use super::beside::Companion;
use super::book::{Debit, Part, What};
use super::judge::Seat;
use super::kinds::Kind;
use super::world::World;
use crate::algo::quota::{Beside, Counter, Era, is_open, moved};
use crate::calendar::Date;
use crate::plan::QUOTAS;

/// A quota brought forward: under its present windows.
#[derive(Clone, Copy, Default)]
pub(super) struct Brought {
    pub counter: Counter,
    pub beside: Beside,
    /// The row of the last debit in the window, if a change of the period has moved that.
    pub row: Option<Option<Date>>,
}

/// A debit on its way through changes: the start of its window, as long as the quota may count in it.
struct Carried<'d> {
    debit: &'d mut Debit,
    start: Option<u64>,
}

impl Engine {
    /// The quotas of a seat as they stand now; `None` if one was written under plans that this world has not seen.
    #[inline]
    pub(super) fn keep_quotas(&self, seat: &mut Seat<'_>) -> Option<()> {
        for slot in 0..QUOTAS {
            if !seat.used.quotas[slot] {
                continue;
            }
            let schedule = seat.schedule(slot)?;
            let counter = seat.raw.counter(slot);
            let plain = counter.generation == schedule.generation() && !counter.special;
            seat.quotas[slot] = match counter.stamp == 0 || plain || seat.account.is_anonymous() {
                true => Brought { counter: schedule.bring_forward(counter)?, ..Brought::default() },
                false => self.bring_forward(seat, slot, counter, None)?,
            };
        }
        Some(())
    }

    /// A quota that something is kept beside of, as it stands under its present windows, and what becomes of one of its
    /// debits.
    #[cold]
    fn bring_forward(
        &self,
        seat: &Seat<'_>,
        slot: usize,
        counter: Counter,
        mut carried: Option<&mut Carried<'_>>,
    ) -> Option<Brought> {
        let schedule = seat.schedule(slot)?;
        let line = seat.used.shape.line;
        let words = self.look_at(seat.owner, line, Kind::Beside { line, slot }).map(|(_, words)| words);
        let companion = words.map(|words| Companion::of(&words)).unwrap_or_default();
        let own = (companion.stamp, companion.generation) == (counter.stamp, counter.generation);
        let mut beside = if own { companion.beside } else { Beside::default() };
        let mut charged = counter.charged;
        let mut start = schedule.era_of(counter.generation)?.window(counter.stamp).start;
        let mut rows = None;
        let mut row = None;
        let changes = (counter.generation..).zip(schedule.since(counter.generation)?);
        for (generation, (before, change, after)) in changes.filter(|(_, (_, change, _))| change.period) {
            let open = is_open(before, start, change.at);
            if !open && beside.virgin {
                // A grant that is over.
                let counter = Counter { generation: schedule.generation(), ..Counter::default() };
                return Some(Brought { counter, row: Some(None), ..Brought::default() });
            }
            let used = if open { i128::from(charged) + i128::from(beside.adjust) } else { 0 };
            beside.adjust = if open { beside.adjust } else { 0 };
            let carried = carried.as_deref_mut().filter(|carried| carried.debit.generation <= generation);
            let logged = seat.account.is_subject() && after.windows().are_of_days();
            let used = if logged {
                let rows =
                    rows.get_or_insert_with(|| self.rows_of(seat.owner, line, slot, &companion, &seat.raw));
                let newest = rows.iter().filter(|(_, row)| row.debited).map(|&(date, _)| date).max();
                let newest = newest.map_or(0, |date| after.days().start_of_date(date));
                let at = start.max(change.at).max(u64::try_from(newest).unwrap_or(0));
                start = after.windows().at(at).start;
                let holds = |date: Date| after.windows().at(start).holds(after.days().start_of_date(date));
                let dated = rows.iter().filter(|&&(date, _)| holds(date));
                row = Some(dated.clone().filter(|(_, row)| row.debited).map(|&(date, _)| date).max());
                if let Some(carried) = carried {
                    carried.start = carried.debit.row.is_some_and(holds).then_some(start);
                }
                dated.map(|(_, row)| i128::from(row.used)).sum()
            } else {
                let old = start;
                start = after.windows().at(moved(start, open, change.at)).start;
                row = if open { row } else { Some(None) };
                if let Some(carried) = carried {
                    carried.start = carried.start.filter(|&debited| open && debited == old).map(|_| start);
                }
                used
            };
            charged = (used - i128::from(beside.adjust)).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        }
        let generation = schedule.generation();
        let stamp = if generation == counter.generation { counter.stamp } else { schedule.stamp_at(start) };
        let counter = Counter { charged, stamp, generation, special: counter.special };
        Some(Brought { counter, beside, row })
    }

    /// Carries what the book knows of debits over to the windows of `next`.
    pub(super) fn carry_debits(&self, next: &World) {
        for shard in self.book.shards() {
            for (_, entry) in shard.lock().entries() {
                self.carry_debits_of(next, &mut entry.parts);
            }
        }
    }

    pub(super) fn carry_debits_of(&self, next: &World, parts: &mut [Part]) {
        for part in parts {
            let What::Quota { slot, debit: Some(mut debit) } = part.what else { continue };
            let Some(used) = part.line_in(next) else { continue };
            let Some(quota) = used.shape.quotas[slot].as_ref() else { continue };
            let schedule = &quota.schedule;
            if debit.stamp == 0 || !schedule.has_moved_since(debit.generation) {
                continue;
            }
            let mut seat = self.seat_of(part, &used);
            (seat.held, seat.raw) = self.look(seat.hash);
            let counter = seat.raw.counter(slot);
            let start = schedule.era_of(debit.generation).map(|era: &Era| era.window(debit.stamp).start);
            let mut carried = Carried { debit: &mut debit, start };
            let known =
                counter.stamp != 0 && self.bring_forward(&seat, slot, counter, Some(&mut carried)).is_some();
            let start = carried.start.filter(|_| known);
            debit.stamp = start.map_or(0, |start| schedule.stamp_at(start));
            debit.generation = schedule.generation();
            part.what = What::Quota { slot, debit: Some(debit) };
        }
    }
}
