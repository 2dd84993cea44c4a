//! How a decision that was made is carried out: everything that it debits changes as one, or nothing does.

use smallvec::SmallVec;

use super::Engine;
use super::alerts::Alert;
use super::book::{Debit, Entry, Part, What};
use super::capacity::{FullCounts, WhenFull};
use super::decide::Held;
use super::judge::{Account, Judged, Seat, State};
use super::state::{self, Raw, head_tag};
use super::world::World;
use crate::plan::{Kind, QUOTAS};
use crate::store::{Claim, Content, NoRoom, Txn};

/// What became of an attempt to debit.
pub(super) enum Attempt {
    Done,
    /// Something changed meanwhile.
    Again,
    Full,
}

/// What one attempt does besides what it writes; of account only if it is [done](Attempt::Done).
#[derive(Default)]
pub(super) struct Effects {
    pub raised: SmallVec<[Alert; 2]>,
    pub counts: FullCounts,
}

impl Engine {
    /// Writes what `judged` says, for the seats that are debited, and notes it in `entry`.
    pub(super) fn debit(
        &self,
        world: &World,
        seats: &[Seat<'_>],
        judged: &mut [Judged<'_>],
        debits: &[bool],
        now: u64,
        entry: Option<&mut Entry>,
    ) -> Attempt {
        let mut txn = self.store.transaction();
        let mut effects = Effects::default();
        let attempt = self.plan_debit(world, seats, judged, debits, now, entry, &mut txn, &mut effects);
        if let Err(attempt) = attempt {
            if matches!(attempt, Attempt::Full) {
                self.full_totals.add(&effects.counts);
            }
            return attempt;
        }
        if txn.is_too_large() {
            effects.counts.refused += 1;
            self.full_totals.add(&effects.counts);
            return Attempt::Full;
        }
        if !txn.commit() {
            return Attempt::Again;
        }
        if effects.counts != FullCounts::default() {
            self.full_totals.add(&effects.counts);
        }
        self.raise(effects.raised);
        Attempt::Done
    }

    #[expect(clippy::too_many_arguments, reason = "one decision, and what it is to become")]
    fn plan_debit(
        &self,
        world: &World,
        seats: &[Seat<'_>],
        judged: &mut [Judged<'_>],
        debits: &[bool],
        now: u64,
        mut entry: Option<&mut Entry>,
        txn: &mut Txn<'_>,
        effects: &mut Effects,
    ) -> Result<(), Attempt> {
        if let Some(entry) = entry.as_deref_mut() {
            entry.clear();
        }
        for judged in judged.iter_mut() {
            let (seat, debited) = (&seats[judged.seat], debits[judged.seat]);
            let mut debit = None;
            match (&judged.limit.kind, judged.state) {
                (Kind::Throttle { .. }, State::Throttle(bucket)) if debited => {
                    let timeline = seat.timeline();
                    let after = timeline.map_or(bucket, |timeline| timeline.debit(bucket, now, seat.cost));
                    judged.state = State::Throttle(after);
                }
                (Kind::Quota { slot, quota, .. }, State::Quota(open)) if debited => {
                    let mut after = quota.debit(&open, seat.cost);
                    let row = self.tend(txn, world, seat, judged.limit, &open, &mut after, effects, now)?;
                    judged.state = State::Quota(after);
                    if entry.is_some() {
                        let row = row.get(|| self.row_of(seat, *slot, after.counter.stamp));
                        let (stamp, generation) = (after.counter.stamp, after.counter.generation);
                        debit = Some(Debit { stamp, generation, row });
                    }
                }
                (&Kind::Concurrency(cap), _) if debited => {
                    let owner = (seat.owner, seat.used.shape.line);
                    match self.take_slot(txn, world, owner, &seat.slots, &cap, now) {
                        Ok(taken) => {
                            judged.state = State::Slots(true);
                            entry.as_deref_mut().into_iter().for_each(|entry| entry.slots.push(taken));
                        }
                        Err(NoRoom::Taken) => return Err(Attempt::Again),
                        Err(NoRoom::Full) if self.full(&mut effects.counts) => {}
                        Err(NoRoom::Full) => return Err(Attempt::Full),
                    }
                }
                _ => {}
            }
            if let Some(entry) = entry.as_deref_mut() {
                let what = match &judged.limit.kind {
                    Kind::Throttle { .. } => What::Throttle,
                    Kind::Quota { slot, .. } => What::Quota { slot: *slot, debit },
                    Kind::Concurrency(_) => continue,
                };
                entry.parts.push(Part::new(seat, if debited { seat.cost } else { 0 }, what));
            }
        }
        let debited =
            seats.iter().enumerate().filter(|&(index, seat)| debits[index] && seat.used.cap.is_none());
        for (index, seat) in debited {
            self.tend_unused(txn, world, seat, now)?;
            self.put(
                txn,
                world,
                seat,
                &|before| after(before, seat, index, judged),
                now,
                &mut effects.counts,
            )?;
        }
        Ok(())
    }

    /// Plans what `after` makes of a seat's state.
    pub(super) fn put(
        &self,
        txn: &mut Txn<'_>,
        world: &World,
        seat: &Seat<'_>,
        after: &dyn Fn(&Raw) -> Raw,
        now: u64,
        counts: &mut FullCounts,
    ) -> Result<(), Attempt> {
        let tag = head_tag(seat.hash);
        match seat.held {
            Held::Line { line, words } => after(&seat.raw).write(txn, line, words, tag),
            Held::Cell { at, word } => {
                let after_in_cell = after(&seat.raw);
                if after_in_cell.fits_cell(seat.used) {
                    let (segment, level) = (after_in_cell.segment, after_in_cell.level as u64);
                    txn.put(at, word, Content::Level { segment, level });
                } else {
                    let Some(line) = txn.widen(at, word) else {
                        return if self.full(counts) { Ok(()) } else { Err(Attempt::Full) };
                    };
                    seat.raw.settle(txn, line, tag, after);
                }
            }
            Held::Nowhere => {
                let fresh = after(&Raw::default());
                let claim = if fresh.fits_cell(seat.used) {
                    Claim::Level { segment: fresh.segment, level: fresh.level as u64 }
                } else {
                    Claim::Line { pinned: false }
                };
                let age = |txn: &Txn<'_>, content| state::age(world, txn, content, now);
                let evict = self.when_full == WhenFull::EvictSmallest;
                match txn.claim(seat.hash, claim, evict, &age) {
                    Ok((line, evicted)) => {
                        counts.evicted += u64::from(evicted);
                        if let Some(line) = line {
                            Raw::default().settle(txn, line, tag, after);
                        }
                    }
                    Err(NoRoom::Taken) => return Err(Attempt::Again),
                    Err(NoRoom::Full) if self.full(counts) => {}
                    Err(NoRoom::Full) => return Err(Attempt::Full),
                }
            }
        }
        Ok(())
    }

    /// Whether a decision goes on without a cell that cannot be had.
    fn full(&self, counts: &mut FullCounts) -> bool {
        let pass = self.when_full == WhenFull::Pass;
        let count = if pass { &mut counts.passed } else { &mut counts.refused };
        *count += 1;
        pass
    }
}

/// What is to be stored for a seat that is debited.
fn after(before: &Raw, seat: &Seat<'_>, index: usize, judged: &[Judged<'_>]) -> Raw {
    let mut after = before.counted(seat.cost);
    if after.segment == 0 {
        after.segment = seat.used.shape.segment;
    }
    for judged in judged.iter().filter(|judged| judged.seat == index) {
        match (&judged.limit.kind, judged.state) {
            (Kind::Quota { slot, .. }, State::Quota(open)) => after.set_counter(*slot, open.counter),
            (_, State::Throttle(bucket)) => {
                (after.segment, after.level) = (seat.used.shape.segment, bucket.level);
            }
            _ => {}
        }
    }
    for slot in 0..QUOTAS {
        if !seat.used.quotas[slot] {
            after.freeze(slot, before);
        }
    }
    after
}

impl Account<'_> {
    pub(super) fn is_anonymous(&self) -> bool {
        matches!(self, Account::Anonymous)
    }
}
