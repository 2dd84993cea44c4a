//! What goes on beside a quota when it is debited or refuses: alerts, and the usage log.
//!
//! **Fast path.** The counter's stamp is that of the present window and day, nothing is special, no level is crossed: the
//! counter alone says everything. **Slow path.** The [`Companion`] and the day's [`Row`] are changed with it.

use smallvec::SmallVec;

use super::Engine;
use super::alerts::Alert;
use super::beside::Companion;
use super::capacity::FullCounts;
use super::debit::{Attempt, Effects};
use super::decide::ATTEMPTS;
use super::judge::{Account, Judged, Seat, State, is_violated};
use super::kinds::{Kind as LineKind, Spot};
use super::rows::Row;
use super::world::World;
use crate::algo::quota::{Beside, Open};
use crate::calendar::Date;
use crate::plan::{Kind, Limit, QUOTAS};
use crate::store::{NoRoom, Txn};
use crate::sync::spin_loop;

/// The row in which a debit stands.
pub(super) enum RowOf {
    /// The one of the counter's stamp.
    Stamp,
    Known(Option<Date>),
}

impl RowOf {
    pub(super) fn get(self, of_stamp: impl FnOnce() -> Option<Date>) -> Option<Date> {
        match self {
            RowOf::Stamp => of_stamp(),
            RowOf::Known(row) => row,
        }
    }
}

impl Engine {
    /// The row of a registered subject's debit that left its quota nothing special.
    pub(super) fn row_of(&self, seat: &Seat<'_>, slot: usize, stamp: u64) -> Option<Date> {
        let Account::Subject(_) = seat.account else { return None };
        let era = seat.schedule(slot)?.era();
        Some(era.days().date_at(era.day_start(stamp)))
    }

    /// Plans what a debit does beside a quota that stood at `open` and is to stand at `after`.
    #[expect(clippy::too_many_arguments, reason = "a quota, before and after")]
    pub(super) fn tend(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        limit: &Limit,
        open: &Open,
        after: &mut Open,
        effects: &mut Effects,
        now: u64,
    ) -> Result<RowOf, Attempt> {
        let Kind::Quota { slot, quota, alerts } = &limit.kind else { return Ok(RowOf::Known(None)) };
        let slot = *slot;
        if seat.account.is_anonymous() {
            after.counter.special = false;
            return Ok(RowOf::Known(None));
        }
        let before = seat.raw.counter(slot);
        let same_era = before.generation == after.counter.generation && seat.raw.is_running(slot);
        let same = same_era && before.stamp == after.counter.stamp;
        let crossed = |level: u64| open.used() < level.into() && i128::from(level) <= after.used();
        if same && !before.special && !alerts.iter().any(|alert| crossed(alert.level)) {
            return Ok(RowOf::Stamp);
        }
        let Some(schedule) = seat.schedule(slot) else { return Ok(RowOf::Known(None)) };
        let Some((line, words)) = self.companion(txn, world, seat, slot, now)? else {
            // No room for what only the log and alerts need.
            effects.counts.unlogged += 1;
            after.counter.special = true;
            return Ok(RowOf::Known(None));
        };
        let mut companion = Companion::of(&words);
        companion.rearm(schedule);
        if !open.same_window {
            companion.fired = 0;
        }
        if let Account::Subject(_) = seat.account {
            let date = schedule.era().days().date_at(schedule.era().day_start(after.counter.stamp));
            if !(companion.open && companion.row == Some(date) && open.same_window && same_era) {
                self.close_row(txn, world, seat, slot, &mut companion, now)?;
                companion.row = match companion.reach(date) {
                    true => {
                        self.open_row(txn, world, seat, slot, date, (open.counter.charged, quota.limit), now)?
                    }
                    false => None,
                };
                effects.counts.unlogged +=
                    u64::from(companion.newest == Some(date) && companion.row.is_none());
                companion.open = companion.row.is_some();
            }
        }
        companion.beside = Beside { adjust: after.adjust, virgin: false };
        (companion.stamp, companion.generation) = (after.counter.stamp, after.counter.generation);
        for percent in companion.fire(after.used(), alerts) {
            effects.raised.push(Alert::new(seat, limit, Some(percent), after.start));
        }
        companion.write(txn, line, words);
        let unlogged = matches!(seat.account, Account::Subject(_)) && !companion.open;
        after.counter.special = after.adjust != 0 || unlogged;
        Ok(RowOf::Known(companion.row))
    }

    /// Plans the end of the open rows of quotas that the plan does not use any more.
    pub(super) fn tend_unused(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        now: u64,
    ) -> Result<(), Attempt> {
        let Account::Subject(_) = seat.account else { return Ok(()) };
        for slot in (0..QUOTAS).filter(|&slot| !seat.used.quotas[slot] && seat.raw.is_running(slot)) {
            if let Some((line, words)) = self.companion(txn, world, seat, slot, now)? {
                let mut companion = Companion::of(&words);
                if companion.open {
                    self.close_row(txn, world, seat, slot, &mut companion, now)?;
                    companion.write(txn, line, words);
                }
            }
        }
        Ok(())
    }

    /// The companion of a quota; none if there is no room for one.
    pub(super) fn companion(
        &self,
        txn: &Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        slot: usize,
        now: u64,
    ) -> Result<Option<Spot>, Attempt> {
        let kind = LineKind::Beside { line: seat.used.shape.line, slot };
        self.room(self.spot(txn, world, seat.owner, seat.used.shape.line, kind, now))
    }

    fn room(&self, spot: Result<Spot, NoRoom>) -> Result<Option<Spot>, Attempt> {
        match spot {
            Ok(spot) => Ok(Some(spot)),
            Err(NoRoom::Full) => Ok(None),
            Err(NoRoom::Taken) => Err(Attempt::Again),
        }
    }

    /// The line of a row, and what says that it is one; none if there is no room for it.
    pub(super) fn row_spot(
        &self,
        txn: &Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        slot: usize,
        date: Date,
        now: u64,
    ) -> Result<Option<Spot>, Attempt> {
        let line = seat.used.shape.line;
        self.room(self.spot(txn, world, seat.owner, line, LineKind::Row { line, slot, date }, now))
    }

    /// Lets the row that goes on with a counter stand by itself, as the counter has it now. Then the row of the last debit is
    /// that in the window as it is now.
    pub(super) fn close_row(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        slot: usize,
        companion: &mut Companion,
        now: u64,
    ) -> Result<(), Attempt> {
        if let Some(date) = companion.row.filter(|_| companion.open)
            && let Some((line, words)) = self.row_spot(txn, world, seat, slot, date, now)?
        {
            Row::of(&words).closed(seat.raw.counter(slot).charged).write(txn, line, words);
        }
        companion.open = false;
        companion.row = seat.quotas[slot].row.unwrap_or(companion.row);
        Ok(())
    }

    /// Lets a row go on with a counter that stands at `charged`; none if there is no room for it.
    #[expect(clippy::too_many_arguments, reason = "a row, before and after")]
    fn open_row(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        slot: usize,
        date: Date,
        (charged, limit): (i64, u64),
        now: u64,
    ) -> Result<Option<Date>, Attempt> {
        let Some((line, words)) = self.row_spot(txn, world, seat, slot, date, now)? else { return Ok(None) };
        Row::of(&words).opened(charged, limit).write(txn, line, words);
        Ok(Some(date))
    }

    /// Counts a refusal by every quota that is violated, for the log and for alerts. `false`, and nothing was counted: what it
    /// was judged on has changed since, and a later window was refused in already, so that it is to be judged again.
    pub(super) fn note_refusals(
        &self,
        world: &World,
        seats: &[Seat<'_>],
        judged: &[Judged<'_>],
        admitted: bool,
        now: u64,
    ) -> bool {
        let violated = judged.iter().filter(|judged| is_violated(judged, seats, admitted));
        let refusals: SmallVec<[Refusal<'_>; 4]> = violated
            .filter_map(|judged| match (&judged.limit.kind, judged.state) {
                (Kind::Quota { slot, .. }, State::Quota(open)) => {
                    let (seat, limit) = (&seats[judged.seat], judged.limit);
                    (!seat.account.is_anonymous()).then_some(Refusal { seat, slot: *slot, limit, open })
                }
                _ => None,
            })
            .collect();
        let mut stands = admitted;
        for some in refusals.chunks(AT_ONCE) {
            let mut counted = false;
            for _ in 0..ATTEMPTS {
                let mut txn = self.store.transaction();
                let mut raised: SmallVec<[Alert; 2]> = SmallVec::new();
                let mut counts = FullCounts::default();
                let late = some
                    .iter()
                    .filter(|refusal| {
                        self.note_refusal(&mut txn, world, refusal, now, &mut raised, &mut counts)
                    })
                    .count();
                if late > 0 && !stands && !self.is_unchanged(seats) {
                    return false;
                }
                if txn.commit() {
                    if counts != FullCounts::default() {
                        self.full_totals.add(&counts);
                    }
                    self.raise(raised);
                    counted = true;
                    break;
                }
                spin_loop();
            }
            if !counted {
                let unlogged = some.len() as u64;
                self.full_totals.add(&FullCounts { unlogged, ..Default::default() });
            }
            // What is counted is not judged again.
            stands = true;
        }
        true
    }

    /// Plans that a refusal is counted. Whether a later window was refused in before.
    fn note_refusal(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        &Refusal { seat, slot, limit, ref open }: &Refusal<'_>,
        now: u64,
        raised: &mut SmallVec<[Alert; 2]>,
        counts: &mut FullCounts,
    ) -> bool {
        let Some(schedule) = seat.schedule(slot) else { return false };
        let Ok(Some((line, words))) = self.companion(txn, world, seat, slot, now) else {
            counts.unlogged += 1;
            return false;
        };
        let mut companion = Companion::of(&words);
        let before = companion;
        let late = companion.is_breached_after(schedule, open.start);
        if companion.breach(schedule, open.start) {
            raised.push(Alert::new(seat, limit, None, open.start));
        }
        if let Account::Subject(_) = seat.account {
            let date = schedule.era().days().date_at(schedule.era().day_start(open.counter.stamp));
            if companion.reach(date) {
                match self.row_spot(txn, world, seat, slot, date, now) {
                    Ok(Some((line, words))) => {
                        let row = Row::of(&words);
                        Row { refused: row.refused.saturating_add(1), ..row }.write(txn, line, words);
                    }
                    _ => counts.unlogged += 1,
                }
            }
        }
        if companion != before {
            companion.write(txn, line, words);
        }
        late
    }
}

/// A quota that refuses a request.
struct Refusal<'w> {
    seat: &'w Seat<'w>,
    slot: usize,
    limit: &'w Limit,
    open: Open,
}

/// So many refusals are counted as one: each changes seven words at most.
const AT_ONCE: usize = 16;
