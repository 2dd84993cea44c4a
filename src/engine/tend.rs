//! What goes on beside a quota when it is debited or refuses: alerts, and the usage log.
//!
//! **Fast path.** The counter's stamp is that of the present window and day, nothing is special, no level is crossed: the
//! counter alone says everything. **Slow path.** The [`Companion`] and the day's [`Row`] are changed with it.

use smallvec::SmallVec;

use super::Engine;
use super::alerts::Alert;
use super::beside::Companion;
use super::capacity::FullCounts;
use super::debit::{Attempt, Draft};
use super::decide::ATTEMPTS;
use super::judge::{Judged, Seat, State, is_violated};
use super::kinds::{Kind as LineKind, Spot};
use super::rows::Row;
use super::world::World;
use crate::algo::quota::{Beside, Open, Quota};
use crate::calendar::Date;
use crate::plan::{Kind, Limit, QUOTAS};
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
        Some(seat.schedule(slot).filter(|_| seat.account.is_subject())?.era().date(stamp))
    }

    /// Plans what a debit does beside a quota that stood at `open` and is to stand at `after`.
    pub(super) fn tend(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        limit: &Limit,
        open: &Open,
        after: &mut Open,
    ) -> RowOf {
        let Kind::Quota { slot, quota, alerts } = &limit.kind else { return RowOf::Known(None) };
        let slot = *slot;
        if seat.account.is_anonymous() {
            after.counter.special = false;
            return RowOf::Known(None);
        }
        let before = seat.raw.counter(slot);
        let same_era = before.generation == after.counter.generation && seat.raw.is_running(slot);
        let same = same_era && before.stamp == after.counter.stamp;
        let crossed = |level: u64| open.used() < level.into() && i128::from(level) <= after.used();
        if same && !before.special && !alerts.iter().any(|alert| crossed(alert.level)) {
            return RowOf::Stamp;
        }
        let Some(schedule) = seat.schedule(slot) else { return RowOf::Known(None) };
        let Some((line, words)) = self.companion(draft, seat, slot) else {
            // No room for what only the log and alerts need.
            draft.counts.unlogged += 1;
            after.counter.special = true;
            return RowOf::Known(None);
        };
        let mut companion = Companion::of(&words);
        companion.rearm(schedule);
        if !open.same_window {
            companion.fired = 0;
        }
        if seat.account.is_subject() {
            let date = schedule.era().date(after.counter.stamp);
            if !(companion.open && companion.row == Some(date) && open.same_window && same_era) {
                self.close_row(draft, seat, slot, &mut companion);
                // It goes on with the counter from here on.
                let opened = |row: Row| row.opened(open.counter.charged, quota.limit);
                companion.open = companion.reach(date) && self.change_row(draft, seat, slot, date, opened);
                companion.row = companion.open.then_some(date);
                let unlogged = companion.newest == Some(date) && !companion.open;
                draft.counts.unlogged += u64::from(unlogged);
            }
        }
        for percent in companion.fire(after.used(), alerts) {
            draft.raised.push(Alert::new(seat, limit, Some(percent), after.start));
        }
        let beside = Beside { adjust: after.adjust, virgin: false };
        companion.go_with(&mut after.counter, beside, seat.account);
        companion.write(&mut draft.txn, line, words);
        RowOf::Known(companion.row)
    }

    /// Plans the end of the open rows of quotas that the plan does not use any more.
    pub(super) fn tend_unused(&self, draft: &mut Draft<'_>, seat: &Seat<'_>) {
        if !seat.account.is_subject() {
            return;
        }
        for slot in (0..QUOTAS).filter(|&slot| !seat.used.quotas[slot] && seat.raw.is_running(slot)) {
            if let Some((line, words)) = self.companion(draft, seat, slot) {
                let mut companion = Companion::of(&words);
                if companion.open {
                    self.close_row(draft, seat, slot, &mut companion);
                    companion.write(&mut draft.txn, line, words);
                }
            }
        }
    }

    /// The companion of a quota; none if there is no room for one.
    pub(super) fn companion(&self, draft: &Draft<'_>, seat: &Seat<'_>, slot: usize) -> Option<Spot> {
        let line = seat.used.shape.line;
        self.spot(draft, seat.owner, line, LineKind::Beside { line, slot })
    }

    /// Plans what `change` makes of a row; `false` if there is no room for it.
    pub(super) fn change_row(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        slot: usize,
        date: Date,
        change: impl FnOnce(Row) -> Row,
    ) -> bool {
        let line = seat.used.shape.line;
        let spot = self.spot(draft, seat.owner, line, LineKind::Row { line, slot, date });
        let Some((line, words)) = spot else { return false };
        let before = Row::of(&words);
        let after = change(before);
        if after != before {
            after.write(&mut draft.txn, line, words);
        }
        true
    }

    /// Lets the row that goes on with a counter stand by itself, as the counter has it now. Then the row of the last debit is
    /// that in the window as it is now.
    pub(super) fn close_row(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        slot: usize,
        companion: &mut Companion,
    ) {
        if let Some(date) = companion.open_row() {
            let charged = seat.raw.counter(slot).charged;
            self.change_row(draft, seat, slot, date, |row| row.closed(charged));
        }
        companion.open = false;
        companion.row = seat.quotas[slot].row.unwrap_or(companion.row);
    }

    /// Notes what is left of a window anew, in the row of its last debit.
    pub(super) fn note_left(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        slot: usize,
        companion: &Companion,
        (quota, charged): (&Quota, i64),
    ) {
        if let Some(date) = companion.row {
            let left = if companion.open { quota.limit } else { quota.remaining(charged) };
            self.change_row(draft, seat, slot, date, |row| Row { left, ..row });
        }
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
                let mut draft = self.draft(world, now);
                let late = some.iter().filter(|refusal| self.note_refusal(&mut draft, refusal)).count();
                if late > 0 && !stands && !self.is_unchanged(seats) {
                    return false;
                }
                if matches!(self.carry_out(&mut draft), Attempt::Done) {
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
        draft: &mut Draft<'_>,
        &Refusal { seat, slot, limit, ref open }: &Refusal<'_>,
    ) -> bool {
        let Some(schedule) = seat.schedule(slot) else { return false };
        let Some((line, words)) = self.companion(draft, seat, slot) else {
            draft.counts.unlogged += 1;
            return false;
        };
        let mut companion = Companion::of(&words);
        let before = companion;
        let late = companion.is_breached_after(schedule, open.start);
        if companion.breach(schedule, open.start) {
            draft.raised.push(Alert::new(seat, limit, None, open.start));
        }
        if seat.account.is_subject() {
            let date = schedule.era().date(open.counter.stamp);
            let one_more = |row: Row| Row { refused: row.refused.saturating_add(1), ..row };
            if companion.reach(date) && !self.change_row(draft, seat, slot, date, one_more) {
                draft.counts.unlogged += 1;
            }
        }
        if companion != before {
            companion.write(&mut draft.txn, line, words);
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
