//! Another cost for a request that was admitted: what settlements and refunds do to the limits that it debited.

use smallvec::SmallVec;

use super::Engine;
use super::alerts::Alert;
use super::beside::{Companion, KEPT};
use super::book::{Debit, Part, What};
use super::capacity::FullCounts;
use super::debit::{Attempt, Effects};
use super::decide::{ATTEMPTS, Held};
use super::judge::{Account, Seat, bucket};
use super::request::Cost;
use super::rows::Row;
use super::state::Raw;
use super::world::World;
use crate::algo::gcra::Bucket;
use crate::algo::quota::{Counter, Quota};
use crate::plan::{Kind, Limit, LineUse, QUOTAS};
use crate::store::Txn;
use crate::sync::spin_loop;

/// What a line is to hold.
#[derive(Default)]
struct Next {
    bucket: Option<Bucket>,
    counters: [Option<Counter>; QUOTAS],
}

/// One attempt's results.
#[derive(Default)]
struct Attempted {
    effects: Effects,
    /// The part that raised each alert.
    raised_by: SmallVec<[usize; 2]>,
    overdraft: u64,
}

impl Attempted {
    /// Notes who raised the alerts that are new.
    fn raised_by(&mut self, part: usize) {
        self.raised_by.resize(self.effects.raised.len(), part);
    }

    /// The alerts in the order of the parts.
    fn raised(&mut self) -> impl Iterator<Item = Alert> {
        let mut raised: SmallVec<[(usize, Alert); 2]> =
            self.raised_by.drain(..).zip(self.effects.raised.drain(..)).collect();
        raised.sort_by_key(|&(part, _)| part);
        raised.into_iter().map(|(_, alert)| alert)
    }
}

impl Engine {
    /// Makes the costs of `parts` those of `actual`, as one. Gives the overdraft; `None` if state was written under plans
    /// that this world has not seen.
    pub(super) fn adjust(&self, world: &World, parts: &[Part], actual: Cost<'_>, now: u64) -> Option<u64> {
        let mut lines: SmallVec<[(u64, u32); 4]> = parts.iter().map(|part| (part.owner, part.line)).collect();
        lines.sort_unstable();
        lines.dedup();
        let uses: SmallVec<[LineUse; 4]> = lines
            .iter()
            .map(|&(owner, line)| {
                let mine = parts.iter().find(|part| (part.owner, part.line) == (owner, line))?;
                self.use_of(world, mine)
            })
            .collect::<Option<_>>()?;
        for _ in 0..ATTEMPTS {
            let mut txn = self.store.transaction();
            let mut attempted = Attempted::default();
            let mut outcome = Ok(());
            for (&(owner, line), used) in lines.iter().zip(&uses) {
                let numbered = parts.iter().enumerate();
                let mine: SmallVec<[(usize, &Part); 4]> =
                    numbered.filter(|(_, part)| (part.owner, part.line) == (owner, line)).collect();
                let hash = self.owners.hash(owner, line);
                let Some(&(_, one)) = mine.first() else { continue };
                let mut seat = Seat::new(used, (&one.plan, false), one.account(), (owner, hash), 0, 0);
                self.look_for(&mut seat)?;
                outcome = self.adjust_line(&mut txn, world, &seat, &mine, actual, now, &mut attempted)?;
                if outcome.is_err() {
                    break;
                }
            }
            match outcome {
                Err(Attempt::Again) => {}
                // There is no room for what would be charged to state that is gone.
                Err(_) => return Some(attempted.overdraft),
                Ok(()) if txn.is_too_large() => return Some(attempted.overdraft),
                Ok(()) => {
                    if txn.commit() {
                        if attempted.effects.counts != FullCounts::default() {
                            self.full_totals.add(&attempted.effects.counts);
                        }
                        self.raise(attempted.raised());
                        return Some(attempted.overdraft);
                    }
                }
            }
            spin_loop();
        }
        Some(0)
    }

    /// The line of a part as its plan has it now; all of its quotas are in view.
    pub(super) fn use_of(&self, world: &World, part: &Part) -> Option<LineUse> {
        let shape = world.directory.shape(part.line)?.clone();
        let quotas = core::array::from_fn(|slot| shape.quotas[slot].is_some());
        let (throttle, unit) = (shape.throttle.is_some(), part.unit.clone());
        Some(LineUse { shape, unit, throttle, quotas, cap: None })
    }

    #[expect(clippy::too_many_arguments, reason = "a line, before and after")]
    fn adjust_line(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        parts: &[(usize, &Part)],
        actual: Cost<'_>,
        now: u64,
        attempted: &mut Attempted,
    ) -> Option<Result<(), Attempt>> {
        let mut next = Next::default();
        for &(number, part) in parts {
            let actual = actual.of(&part.unit);
            match part.what {
                What::Throttle if actual != part.cost => {
                    let Some(timeline) = seat.timeline() else { continue };
                    let bucket = bucket(world, seat)?;
                    next.bucket = Some(match actual.checked_sub(part.cost) {
                        Some(more) => timeline.debit(bucket, now, more),
                        None => timeline.credit(bucket, part.cost - actual),
                    });
                }
                What::Quota { slot, debit } if actual != part.cost => {
                    let present = present(world, part, slot);
                    let done = match debit {
                        Some(debit) => {
                            let by = i128::from(actual) - i128::from(part.cost);
                            self.correct(txn, world, seat, slot, present, debit, by, now, attempted)
                        }
                        None => match present {
                            Some(limit) => self.charge(txn, world, seat, slot, limit, actual, now, attempted),
                            None => Ok(None),
                        },
                    };
                    attempted.raised_by(number);
                    match done {
                        Ok(counter) => next.counters[slot] = counter,
                        Err(attempt) => return Some(Err(attempt)),
                    }
                }
                _ => {}
            }
        }
        if next.bucket.is_none() && next.counters.iter().all(Option::is_none) {
            return Some(Ok(()));
        }
        if matches!(seat.held, Held::Nowhere) && next.bucket.is_some_and(|bucket| bucket.level == 0) {
            // What is gone was as fresh, and is so still.
            return Some(Ok(()));
        }
        let after = |before: &Raw| after(before, seat, &next);
        Some(self.put(txn, world, seat, &after, now, &mut attempted.effects.counts))
    }

    /// Charges a quota that the request cost nothing when it was admitted.
    #[expect(clippy::too_many_arguments, reason = "a quota, before and after")]
    fn charge(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        slot: usize,
        limit: &Limit,
        cost: u64,
        now: u64,
        attempted: &mut Attempted,
    ) -> Result<Option<Counter>, Attempt> {
        let (Kind::Quota { quota, .. }, Some(schedule)) = (&limit.kind, seat.schedule(slot)) else {
            return Ok(None);
        };
        let super::carry::Quota { counter, beside, .. } = seat.quotas[slot];
        let open = quota.open(schedule, counter, beside, now);
        let mut after = quota.debit(&open, cost);
        self.tend(txn, world, seat, limit, &open, &mut after, &mut attempted.effects, now)?;
        attempted.overdraft = attempted.overdraft.max(quota.overdraft(&after));
        Ok(Some(after.counter))
    }

    /// Corrects what a quota was debited by: its row of the usage log, and if the window counts still the counter.
    #[expect(clippy::too_many_arguments, reason = "a quota, before and after")]
    fn correct(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        slot: usize,
        present: Option<&Limit>,
        debit: Debit,
        by: i128,
        now: u64,
        attempted: &mut Attempted,
    ) -> Result<Option<Counter>, Attempt> {
        let Some(schedule) = seat.schedule(slot) else { return Ok(None) };
        let super::carry::Quota { counter, beside, .. } = seat.quotas[slot];
        // Only its windows matter where its plan does not have it.
        let (quota, alerts) = match present.map(|limit| &limit.kind) {
            Some(Kind::Quota { quota, alerts, .. }) => (*quota, &alerts[..]),
            _ => (Quota { limit: 0, initial_debit: 0 }, &[][..]),
        };
        let open = quota.open(schedule, counter, beside, now);
        let mut since = schedule.since(debit.generation).into_iter().flatten();
        let known = debit.stamp != 0 && !since.any(|(_, change, _)| change.period);
        let debited =
            schedule.era_of(debit.generation).filter(|_| known).map(|era| era.window(debit.stamp).start);
        let current = open.same_window && debited == Some(open.start);
        let charged = (i128::from(counter.charged) + by).clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let charged = if current { charged } else { counter.charged };
        let mut after = Counter { charged, ..counter };
        let mut write = current;
        let settled = open.at(after);
        if !seat.account.is_anonymous() {
            let Some((line, words)) = self.companion(txn, world, seat, slot, now)? else {
                return Ok(current.then_some(after));
            };
            let before = Companion::of(&words);
            let mut companion = before;
            if let Account::Subject(_) = seat.account {
                let stale = seat.raw.counter(slot).generation != schedule.generation();
                if stale || present.is_none() || !seat.raw.is_running(slot) {
                    self.close_row(txn, world, seat, slot, &mut companion, now)?;
                }
                self.correct_rows(txn, world, seat, slot, &companion, debit, by, current, now)?;
                if current && present.is_some() {
                    self.note_left(txn, world, seat, slot, &companion, (quota, charged), now)?;
                }
            }
            // The end of a row has to be known to the next debit.
            write = current || before.open && !companion.open;
            if write {
                companion.rearm(schedule);
                if current && present.is_some() && by > 0 {
                    for percent in companion.fire(settled.used(), alerts) {
                        let alert = present.map(|limit| Alert::new(seat, limit, Some(percent), open.start));
                        attempted.effects.raised.extend(alert);
                    }
                }
                companion.beside = beside;
                (companion.stamp, companion.generation) = (after.stamp, after.generation);
                let unlogged = matches!(seat.account, Account::Subject(_)) && !companion.open;
                after.special = beside.adjust != 0 || beside.virgin || unlogged;
            }
            if companion != before {
                companion.write(txn, line, words);
            }
        }
        if current && present.is_some() {
            attempted.overdraft = attempted.overdraft.max(quota.overdraft(&settled));
        }
        Ok(write.then_some(after))
    }

    /// Corrects the row of a debit, and keeps the one that goes on with the counter as it is.
    #[expect(clippy::too_many_arguments, reason = "a row, before and after")]
    fn correct_rows(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        slot: usize,
        companion: &Companion,
        debit: Debit,
        by: i128,
        current: bool,
        now: u64,
    ) -> Result<(), Attempt> {
        let by = by.clamp(i64::MIN.into(), i64::MAX.into()) as i64;
        let newest = companion.newest.map_or(i32::MIN, |newest| newest.days());
        let row = debit.row.filter(|row| newest.saturating_sub(row.days()) < KEPT);
        let goes_on = companion.row.filter(|_| companion.open);
        if let Some(date) = row
            && !(current && goes_on == Some(date))
            && let Some((line, words)) = self.row_spot(txn, world, seat, slot, date, now)?
        {
            let row = Row::of(&words);
            // What an open row holds is taken off the charge.
            let used =
                if goes_on == Some(date) { row.used.wrapping_sub(by) } else { row.used.wrapping_add(by) };
            Row { used, ..row }.write(txn, line, words);
        }
        if let Some(date) = goes_on.filter(|&date| current && row != Some(date))
            && let Some((line, words)) = self.row_spot(txn, world, seat, slot, date, now)?
        {
            let row = Row::of(&words);
            Row { used: row.used.wrapping_add(by), ..row }.write(txn, line, words);
        }
        Ok(())
    }

    /// Notes what is left of a window anew, in the row of its last debit.
    #[expect(clippy::too_many_arguments, reason = "a row, before and after")]
    pub(super) fn note_left(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        slot: usize,
        companion: &Companion,
        (quota, charged): (Quota, i64),
        now: u64,
    ) -> Result<(), Attempt> {
        let Some(date) = companion.row else { return Ok(()) };
        if let Some((line, words)) = self.row_spot(txn, world, seat, slot, date, now)? {
            let left = if companion.open { quota.limit } else { quota.remaining(charged) };
            let row = Row::of(&words);
            if row.left != left {
                Row { left, ..row }.write(txn, line, words);
            }
        }
        Ok(())
    }
}

/// The quota of a part, if its plan has it now.
fn present<'w>(world: &'w World, part: &Part, slot: usize) -> Option<&'w Limit> {
    world.plan_named(&part.plan)?.quota_at(part.line, slot)
}

/// What is to be stored: everything but `next` as it was, with another count.
fn after(before: &Raw, seat: &Seat<'_>, next: &Next) -> Raw {
    let mut after = before.counted(1);
    if after.segment == 0 {
        after.segment = seat.used.shape.segment;
    }
    for slot in 0..QUOTAS {
        match next.counters[slot] {
            Some(counter) => after.put_counter(slot, counter, before.is_frozen(slot)),
            None if before.is_running(slot) => after.set_counter(slot, before.counter(slot)),
            None => {}
        }
    }
    if let Some(bucket) = next.bucket {
        (after.segment, after.level) = (seat.used.shape.segment, bucket.level);
    }
    after
}
