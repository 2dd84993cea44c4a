//! How a decision that was made is carried out: everything that it debits changes as one, or nothing does.

use smallvec::SmallVec;

use super::Engine;
use super::alerts::Alert;
use super::book::{Debit, Entry, Part, What};
use super::capacity::{FullCounts, WhenFull};
use super::decide::Held;
use super::judge::{Judged, Seat, State};
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

/// One attempt: what it is to change, and what comes of it once that is [done](Attempt::Done).
pub(super) struct Draft<'d> {
    pub txn: Txn<'d>,
    pub world: &'d World,
    pub now: u64,
    pub raised: SmallVec<[Alert; 2]>,
    pub counts: FullCounts,
}

impl Engine {
    /// An attempt that changes nothing yet.
    pub(super) fn draft<'d>(&'d self, world: &'d World, now: u64) -> Draft<'d> {
        let (raised, counts) = Default::default();
        Draft { txn: self.store.transaction(), world, now, raised, counts }
    }

    /// Does what was drafted, all of it or nothing.
    pub(super) fn carry_out(&self, draft: &mut Draft<'_>) -> Attempt {
        if draft.txn.is_too_large() {
            draft.counts.refused += 1;
            return Attempt::Full;
        }
        if !draft.txn.commit() {
            return Attempt::Again;
        }
        self.full_totals.add(&draft.counts);
        self.raise(draft.raised.drain(..));
        Attempt::Done
    }

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
        let mut draft = self.draft(world, now);
        let attempt = match self.plan_debit(&mut draft, seats, judged, debits, entry) {
            Ok(()) => self.carry_out(&mut draft),
            Err(attempt) => attempt,
        };
        if matches!(attempt, Attempt::Full) {
            self.full_totals.add(&draft.counts);
        }
        attempt
    }

    fn plan_debit(
        &self,
        draft: &mut Draft<'_>,
        seats: &[Seat<'_>],
        judged: &mut [Judged<'_>],
        debits: &[bool],
        mut entry: Option<&mut Entry>,
    ) -> Result<(), Attempt> {
        let now = draft.now;
        // What a plan that observes would refuse is not settled either.
        let refused: SmallVec<[usize; 2]> = match entry {
            None => SmallVec::new(),
            Some(_) => judged
                .iter()
                .filter(|judged| seats[judged.seat].observe && !judged.accepts())
                .map(|judged| seats[judged.seat].part)
                .collect(),
        };
        for judged in judged.iter_mut() {
            let (seat, debited) = (&seats[judged.seat], debits[judged.seat]);
            let mut debit = None;
            match (&judged.limit.kind, judged.state) {
                (Kind::Throttle { .. }, State::Throttle(bucket)) if debited => {
                    let timeline = seat.timeline();
                    let after = timeline.map_or(bucket, |timeline| {
                        timeline.debit(bucket, now, seat.cost, self.lent(seat.hash))
                    });
                    judged.state = State::Throttle(after);
                }
                (Kind::Quota { slot, quota, .. }, State::Quota(open)) if debited => {
                    let mut after = quota.debit(&open, seat.cost);
                    let row = self.tend(draft, seat, judged.limit, &open, &mut after);
                    judged.state = State::Quota(after);
                    if entry.is_some() {
                        let row = row.get(|| self.row_of(seat, *slot, after.counter.stamp));
                        let (stamp, generation) = (after.counter.stamp, after.counter.generation);
                        debit = Some(Debit { stamp, generation, row });
                    }
                }
                (&Kind::Concurrency(cap), _) if debited => {
                    let owner = (seat.owner, seat.used.shape.line);
                    match self.take_slot(draft, owner, &seat.slots, &cap) {
                        Ok(taken) => {
                            judged.state = State::Slots(true);
                            entry.as_deref_mut().into_iter().for_each(|entry| entry.slots.push(taken));
                        }
                        Err(why) => self.go_on_without(draft, why)?,
                    }
                }
                _ => {}
            }
            if refused.contains(&seat.part) {
                continue;
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
            self.tend_unused(draft, seat);
            self.put(draft, seat, &|before| after(before, seat, index, judged))?;
        }
        Ok(())
    }

    /// Plans what `after` makes of a seat's state.
    pub(super) fn put(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        after: &dyn Fn(&Raw) -> Raw,
    ) -> Result<(), Attempt> {
        let Draft { ref mut txn, world, now, .. } = *draft;
        let tag = head_tag(seat.hash);
        match seat.held {
            Held::Line { line, words } => after(&seat.raw).write(txn, line, words, tag),
            Held::Cell { at, word } => {
                let after_in_cell = after(&seat.raw);
                if after_in_cell.fits_cell(seat.used) {
                    let (segment, level) = (after_in_cell.segment, after_in_cell.level as u64);
                    txn.put(at, word, Content::Level { segment, level });
                } else {
                    match txn.widen(at, word) {
                        Some(line) => seat.raw.settle(txn, line, tag, after),
                        None => self.go_on_without(draft, NoRoom::Full)?,
                    }
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
                        if let Some(line) = line {
                            Raw::default().settle(txn, line, tag, after);
                        }
                        draft.counts.evicted += u64::from(evicted);
                    }
                    Err(why) => self.go_on_without(draft, why)?,
                }
            }
        }
        Ok(())
    }

    /// Goes on without a cell that cannot be had, if that is what the host wants.
    fn go_on_without(&self, draft: &mut Draft<'_>, why: NoRoom) -> Result<(), Attempt> {
        match why {
            NoRoom::Taken => Err(Attempt::Again),
            NoRoom::Full if self.when_full == WhenFull::Pass => {
                draft.counts.passed += 1;
                Ok(())
            }
            NoRoom::Full => {
                draft.counts.refused += 1;
                Err(Attempt::Full)
            }
        }
    }
}

/// What is to be stored for a seat that is debited.
fn after(before: &Raw, seat: &Seat<'_>, index: usize, judged: &[Judged<'_>]) -> Raw {
    let mut after = before.counted(seat.cost).begun_in(seat.used.shape.segment);
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
