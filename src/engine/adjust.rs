//! Another cost for a request that was admitted: what settlements and refunds do to the limits that it debited.

use smallvec::SmallVec;

use super::Engine;
use super::alerts::Alert;
use super::beside::Companion;
use super::book::{Debit, Part, What};
use super::carry::Brought;
use super::debit::{Attempt, Draft};
use super::decide::{ATTEMPTS, Held, Outdated};
use super::judge::{Seat, Seats, bucket};
use super::request::Cost;
use super::rows::Row;
use super::state::Raw;
use super::world::World;
use crate::algo::gcra::Bucket;
use crate::algo::quota::{Counter, Quota};
use crate::plan::{Kind, Limit, LineUse, QUOTAS};
use crate::sync::spin_loop;

/// What a line is to hold.
#[derive(Clone, Default)]
struct Next {
    bucket: Option<Bucket>,
    counters: [Option<Counter>; QUOTAS],
}

impl Next {
    /// Whether nothing changes; what is gone was as fresh, and is so still.
    fn is_as_before(&self, seat: &Seat<'_>) -> bool {
        let fresh = |bucket: Bucket| bucket.level == 0 && matches!(seat.held, Held::Nowhere);
        match self.bucket {
            Some(bucket) => fresh(bucket),
            None => self.counters.iter().all(Option::is_none),
        }
    }
}

impl Engine {
    /// Makes the costs of `parts` those of `actual`, as one. Gives the overdraft.
    pub(super) fn adjust(
        &self,
        world: &World,
        parts: &[Part],
        actual: Cost<'_>,
        now: u64,
    ) -> Result<u64, Outdated> {
        let mut lines: SmallVec<[(&Part, LineUse); 4]> = SmallVec::new();
        for part in parts {
            if !lines.iter().any(|(other, _)| other.line() == part.line()) {
                lines.push((part, part.line_in(world).ok_or(Outdated)?));
            }
        }
        let mut seats: Seats<'_> = lines.iter().map(|(part, used)| self.seat_of(part, used)).collect();
        for _ in 0..ATTEMPTS {
            seats.iter_mut().try_for_each(|seat| self.look_for(seat))?;
            let mut draft = self.draft(world, now);
            let mut nexts: SmallVec<[Next; 4]> = smallvec::smallvec![Next::default(); seats.len()];
            let mut overdraft = 0;
            for part in parts {
                let Some(n) = lines.iter().position(|(other, _)| other.line() == part.line()) else {
                    continue;
                };
                let over =
                    self.adjust_part(&mut draft, &seats[n], part, actual.of(&part.unit), &mut nexts[n])?;
                overdraft = overdraft.max(over);
            }
            let mut changed = seats.iter().zip(&nexts).filter(|(seat, next)| !next.is_as_before(seat));
            let planned = changed
                .try_for_each(|(seat, next)| self.put(&mut draft, seat, &|before| after(before, seat, next)));
            match planned.map_or_else(|attempt| attempt, |()| self.carry_out(&mut draft)) {
                // Full: there is no room for what would be charged to state that is gone.
                Attempt::Done | Attempt::Full => return Ok(overdraft),
                Attempt::Again => spin_loop(),
            }
        }
        Ok(0)
    }

    /// The line of a part.
    pub(super) fn seat_of<'w>(&self, part: &'w Part, used: &'w LineUse) -> Seat<'w> {
        let hash = self.owners.hash(part.owner, part.line);
        Seat::new(used, (&part.plan, false), part.account(), (part.owner, hash), 0, 0)
    }

    /// Plans what another cost does to one limit, and notes what its line is to hold. Gives the overdraft.
    fn adjust_part(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        part: &Part,
        actual: u64,
        next: &mut Next,
    ) -> Result<u64, Outdated> {
        match part.what {
            _ if actual == part.cost => Ok(0),
            What::Throttle => {
                if let Some(timeline) = seat.timeline() {
                    let bucket = bucket(draft.world, seat).ok_or(Outdated)?;
                    let (lent, end) = self.lent_until(seat.hash);
                    next.bucket = Some(match actual.checked_sub(part.cost) {
                        Some(more) => timeline.debit(bucket, draft.now, more, lent),
                        None => timeline.credit(bucket, part.cost - actual, (lent, end)),
                    });
                }
                Ok(0)
            }
            What::Quota { slot, debit } => {
                // The quota, if its plan has it now.
                let plan = draft.world.plan_named(&part.plan);
                let present = plan.and_then(|plan| plan.quota_at(part.line, slot));
                let by = i128::from(actual) - i128::from(part.cost);
                let (counter, overdraft) = match (debit, present) {
                    (Some(debit), _) => self.correct(draft, seat, slot, present, debit, by),
                    (None, Some(limit)) => self.charge(draft, seat, slot, limit, actual),
                    (None, None) => (None, 0),
                };
                next.counters[slot] = counter;
                Ok(overdraft)
            }
        }
    }

    /// Charges a quota that the request cost nothing when it was admitted. Gives its counter and the overdraft.
    fn charge(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        slot: usize,
        limit: &Limit,
        cost: u64,
    ) -> (Option<Counter>, u64) {
        let Kind::Quota { quota, .. } = &limit.kind else { return (None, 0) };
        let Some(open) = seat.open(slot, quota, draft.now) else { return (None, 0) };
        let mut after = quota.debit(&open, cost);
        self.tend(draft, seat, limit, &open, &mut after);
        (Some(after.counter), quota.overdraft(&after))
    }

    /// Corrects what a quota was debited by: its row of the usage log, and if the window counts still the counter. Gives that,
    /// if it is to be written, and the overdraft.
    fn correct(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        slot: usize,
        present: Option<&Limit>,
        debit: Debit,
        by: i128,
    ) -> (Option<Counter>, u64) {
        let Some(schedule) = seat.schedule(slot) else { return (None, 0) };
        let Brought { counter, beside, .. } = seat.quotas[slot];
        // Only its windows matter where its plan does not have it.
        let (quota, alerts) = match present.map(|limit| &limit.kind) {
            Some(Kind::Quota { quota, alerts, .. }) => (*quota, &alerts[..]),
            _ => (Quota { limit: 0, initial_debit: 0 }, &[][..]),
        };
        let open = quota.open(schedule, counter, beside, draft.now);
        let known = debit.stamp != 0 && !schedule.has_moved_since(debit.generation);
        let debited =
            schedule.era_of(debit.generation).filter(|_| known).map(|era| era.window(debit.stamp).start);
        let current = open.same_window && debited == Some(open.start);
        let clamped = |n: i128| n.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let charged = if current { clamped(i128::from(counter.charged) + by) } else { counter.charged };
        let mut after = Counter { charged, ..counter };
        let mut write = current;
        let settled = open.at(after);
        if !seat.account.is_anonymous() {
            let Some((line, words)) = self.companion(draft, seat, slot) else {
                return (current.then_some(after), 0);
            };
            let before = Companion::of(&words);
            let mut companion = before;
            if seat.account.is_subject() {
                let stale = seat.raw.counter(slot).generation != schedule.generation();
                if stale || present.is_none() || !seat.raw.is_running(slot) {
                    self.close_row(draft, seat, slot, &mut companion);
                }
                for (date, by) in companion.corrections(debit.row, clamped(by), current) {
                    let corrected = |row: Row| Row { used: row.used.wrapping_add(by), ..row };
                    self.change_row(draft, seat, slot, date, corrected);
                }
                if current && present.is_some() {
                    self.note_left(draft, seat, slot, &companion, (&quota, charged));
                }
            }
            // The end of a row has to be known to the next debit.
            write = current || before.open && !companion.open;
            if write {
                companion.rearm(schedule);
                if current && by > 0 {
                    for percent in companion.fire(settled.used(), alerts) {
                        let alert = present.map(|limit| Alert::new(seat, limit, Some(percent), open.start));
                        draft.raised.extend(alert);
                    }
                }
                companion.go_with(&mut after, beside, seat.account);
            }
            if companion != before {
                companion.write(&mut draft.txn, line, words);
            }
        }
        let overdraft = if current && present.is_some() { quota.overdraft(&settled) } else { 0 };
        (write.then_some(after), overdraft)
    }
}

impl Part {
    /// Whose line it is on.
    fn line(&self) -> (u64, u32) {
        (self.owner, self.line)
    }

    /// That line as `world` has it; all of its quotas are in view.
    pub(super) fn line_in(&self, world: &World) -> Option<LineUse> {
        let shape = world.directory.shape(self.line)?.clone();
        let quotas = core::array::from_fn(|slot| shape.quotas[slot].is_some());
        let (throttle, unit) = (shape.throttle.is_some(), self.unit.clone());
        Some(LineUse { shape, unit, throttle, quotas, cap: None })
    }
}

/// What is to be stored: everything but `next` as it was, with another count.
fn after(before: &Raw, seat: &Seat<'_>, next: &Next) -> Raw {
    let mut after = before.recounted().begun_in(seat.used.shape.segment);
    for (slot, counter) in next.counters.iter().enumerate() {
        if let &Some(counter) = counter {
            after.put_counter(slot, counter, before.is_frozen(slot));
        }
    }
    if let Some(bucket) = next.bucket {
        (after.segment, after.level) = (seat.used.shape.segment, bucket.level);
    }
    after
}
