//! What subjects have used, by day; and grants.

use std::sync::Arc;

use super::Engine;
use super::beside::Companion;
use super::debit::Draft;
use super::decide::{ATTEMPTS, Held, Outdated};
use super::judge::{Account, Seat};
use super::kinds::Kind as LineKind;
use super::rows::Row;
use super::state::Raw;
use super::world::{Subject, World};
use crate::algo::quota::{Beside, Counter, Quota};
use crate::calendar::Date;
use crate::error::UsageError;
use crate::plan::{CompiledPlan, Kind, Limit, LineUse};
use crate::sync::spin_loop;
use crate::time::Nanos;

/// Most days that can be asked for at once.
const MOST_DAYS: i32 = 3_660;

/// More than that cannot be granted.
const MOST_GRANTED: u64 = 1 << 61;

/// One quota on one day.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UsageRow {
    limit: Arc<str>,
    date: Date,
    used: u64,
    remaining: u64,
    refused: u64,
}

impl UsageRow {
    /// The quota, as reports name it.
    pub fn limit(&self) -> &str {
        &self.limit
    }

    /// The day, in the quota's zone.
    pub fn date(&self) -> Date {
        self.date
    }

    /// Cost admitted on this day, later settlements and refunds included.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// What was left of the quota's window after the day's last debit; on a day without one, as much as there was to be
    /// had.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Requests that the quota refused, or where it only observes would have.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

impl Engine {
    /// What a subject has used of its quotas of a plan, quota by quota, on each day from `from` to `to`. Rows are kept for
    /// 90 days.
    ///
    /// ```
    /// # use tollgate::{Changes, Engine, Key, Plan, Quota, Request, SecretKey, Subject};
    /// # let changes = Changes::new()
    /// #     .plan("free", Plan::new().quota(Quota::new(1_000, "day")))
    /// #     .subject("acme", Subject::new(["free"]).key(Key::new("acme-1", SecretKey::new("made-up")?)));
    /// # let engine = Engine::builder().changes(changes).build()?;
    /// engine.check(&Request::new("made-up"));
    /// let today = engine.today("acme", "free")?;
    /// let rows = engine.usage("acme", "free", today, today)?;
    /// assert_eq!((rows[0].limit(), rows[0].used(), rows[0].remaining()), ("day", 1, 999));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no such subject or plan; `from` is later than `to`; more than 3,660 days.
    pub fn usage(
        &self,
        subject: &str,
        plan: &str,
        from: Date,
        to: Date,
    ) -> Result<Vec<UsageRow>, UsageError> {
        self.usage_at(subject, plan, from, to, self.now())
    }

    /// [`usage`](Engine::usage) as it is at the caller's instant.
    ///
    /// # Errors
    /// As [`usage`](Engine::usage).
    pub fn usage_at(
        &self,
        subject: &str,
        plan: &str,
        from: Date,
        to: Date,
        now: Nanos,
    ) -> Result<Vec<UsageRow>, UsageError> {
        if from > to || to.days() - from.days() >= MOST_DAYS {
            return Err(UsageError::Range { from: from.to_string(), to: to.to_string() });
        }
        self.with_present(now, |world| {
            let (subject, plan) = named(world, subject, plan)?;
            let mut rows = Vec::new();
            let count = plan.subject_quotas().count().saturating_mul((to.days() - from.days() + 1) as usize);
            rows.try_reserve_exact(count).map_err(|_| UsageError::Memory { rows: count })?;
            for (limit, used) in plan.subject_quotas() {
                let Kind::Quota { slot, quota, .. } = &limit.kind else { continue };
                let mut seat = self.seat(subject, plan, used);
                let kept = match self.kept_rows(&mut seat, *slot) {
                    Ok(kept) => kept,
                    Err(outdated) => return Ok(Err(outdated)),
                };
                let mut date = from;
                while date <= to {
                    let row = kept.iter().find(|&&(other, _)| other == date);
                    let row = row.map(|&(_, row)| row).unwrap_or_default();
                    rows.push(UsageRow {
                        limit: limit.name.clone(),
                        date,
                        used: u64::try_from(row.used).unwrap_or(0),
                        remaining: remaining_on(&seat, *slot, quota, &kept, date, now.get()),
                        refused: row.refused,
                    });
                    date = date.next();
                }
            }
            Ok(Ok(rows))
        })
    }

    /// The present day in the zone of a subject's first quota of a plan; in UTC if there is none.
    ///
    /// # Errors
    /// There is no such subject or plan.
    pub fn today(&self, subject: &str, plan: &str) -> Result<Date, UsageError> {
        let now = self.now();
        self.with_present(now, |world| {
            let (_, plan) = named(world, subject, plan)?;
            let schedule = plan.subject_quotas().find_map(|(limit, used)| match &limit.kind {
                Kind::Quota { slot, .. } => used.shape.quotas[*slot].as_ref(),
                _ => None,
            });
            let days = schedule.map(|quota| quota.schedule.era().days().date_at(now.get()));
            Ok(Ok(days.unwrap_or_else(|| Date::from_days((now.get() / 86_400_000_000_000) as i32))))
        })
    }

    /// Lets a subject use so much more in the current window of a quota: `remaining`, whatever is left now. The next window
    /// is as ever.
    ///
    /// # Errors
    /// There is no such subject or plan, the subject is not on the plan, the plan has no such quota (a pool's is none);
    /// `remaining` is more than 2^61.
    pub fn grant(&self, subject: &str, plan: &str, limit: &str, remaining: u64) -> Result<(), UsageError> {
        self.grant_at(subject, plan, limit, remaining, self.now())
    }

    /// [`grant`](Engine::grant) at the caller's instant.
    ///
    /// # Errors
    /// As [`grant`](Engine::grant).
    pub fn grant_at(
        &self,
        subject: &str,
        plan: &str,
        limit: &str,
        remaining: u64,
        now: Nanos,
    ) -> Result<(), UsageError> {
        if remaining > MOST_GRANTED {
            return Err(UsageError::TooMuch { remaining, most: MOST_GRANTED });
        }
        self.with_present(now, |world| {
            let (subject, plan) = named(world, subject, plan)?;
            let on = subject.plans.iter().filter_map(|&number| world.plan(number));
            if !on.into_iter().any(|other| other.name == plan.name) {
                let (subject, plan) = (subject.name.to_string(), plan.name.to_string());
                return Err(UsageError::NotOnPlan { subject, plan });
            }
            let found = plan.subject_quotas().find(|(other, _)| *other.name == *limit);
            let (limit, used) = found
                .ok_or_else(|| UsageError::NoQuota { plan: plan.name.to_string(), limit: limit.into() })?;
            Ok(self.grant_in(world, self.seat(subject, plan, used), limit, remaining, now.get()))
        })
    }

    fn grant_in(
        &self,
        world: &World,
        mut seat: Seat<'_>,
        limit: &Limit,
        remaining: u64,
        now: u64,
    ) -> Result<(), Outdated> {
        let Kind::Quota { slot, quota, .. } = &limit.kind else { return Ok(()) };
        for _ in 0..ATTEMPTS {
            self.look_for(&mut seat)?;
            let mut draft = self.draft(world, now);
            let Some(counter) = self.plan_grant(&mut draft, &seat, *slot, quota, remaining) else {
                return Ok(());
            };
            let after = |before: &Raw| {
                let mut after = before.recounted().begun_in(seat.used.shape.segment);
                after.set_counter(*slot, counter);
                after
            };
            if self.put(&mut draft, &seat, &after).is_ok() && draft.txn.commit() {
                return Ok(());
            }
            spin_loop();
        }
        Ok(())
    }

    /// Plans a grant, and gives the counter that goes with it; `None` if there is no room for it.
    fn plan_grant(
        &self,
        draft: &mut Draft<'_>,
        seat: &Seat<'_>,
        slot: usize,
        quota: &Quota,
        remaining: u64,
    ) -> Option<Counter> {
        let open = seat.open(slot, quota, draft.now)?;
        let mut granted = quota.grant(&open, remaining);
        let (line, words) = self.companion(draft, seat, slot)?;
        let mut companion = Companion::of(&words);
        companion.rearm(seat.schedule(slot)?);
        // What the row holds is not to change with the charge.
        self.close_row(draft, seat, slot, &mut companion);
        if open.same_window {
            self.note_left(draft, seat, slot, &companion, (quota, granted.counter.charged));
        } else {
            companion.fired = 0;
            companion.row = None;
        }
        let beside = Beside { adjust: granted.adjust, virgin: open.is_virgin() };
        companion.go_with(&mut granted.counter, beside, seat.account);
        companion.write(&mut draft.txn, line, words);
        Some(granted.counter)
    }

    /// The rows of a subject's quota, which `seat` is left as of.
    fn kept_rows(&self, seat: &mut Seat<'_>, slot: usize) -> Result<Vec<(Date, Row)>, Outdated> {
        let (owner, line) = (seat.owner, seat.used.shape.line);
        for _ in 0..ATTEMPTS {
            self.look_for(seat)?;
            let beside = self.look_at(owner, line, LineKind::Beside { line, slot });
            let companion = beside.map(|(_, words)| Companion::of(&words)).unwrap_or_default();
            let rows = self.rows_of(owner, line, slot, &companion, &seat.raw);
            let same = |line: crate::store::Line, words: [u128; 4]| self.store.read(line.count()) == words[1];
            // Rows change with one of the two.
            let unchanged = match seat.held {
                Held::Line { line, words } => same(line, words),
                _ => true,
            };
            if unchanged && beside.is_none_or(|(line, words)| same(line, words)) {
                return Ok(rows);
            }
            spin_loop();
        }
        Err(Outdated)
    }

    fn seat<'w>(&self, subject: &'w Subject, plan: &'w CompiledPlan, used: &'w LineUse) -> Seat<'w> {
        let hash = self.owners.hash(subject.owner, used.shape.line);
        let account = Account::Subject(&subject.name);
        Seat::new(used, (&plan.name, plan.observe), account, (subject.owner, hash), 0, 0)
    }

    /// [`in_world`](Engine::in_world) for what can also fail by its own.
    fn with_present<R>(
        &self,
        now: Nanos,
        mut step: impl FnMut(&World) -> Result<Result<R, Outdated>, UsageError>,
    ) -> Result<R, UsageError> {
        let done = self.in_world(now, |world| match step(world) {
            Ok(done) => done.map(Ok),
            Err(error) => Ok(Err(error)),
        });
        done.unwrap_or(Err(UsageError::Damaged))
    }
}

fn named<'w>(
    world: &'w World,
    subject: &str,
    plan: &str,
) -> Result<(&'w Arc<Subject>, &'w Arc<CompiledPlan>), UsageError> {
    let found = world.subjects.get(subject);
    let subject = found.ok_or_else(|| UsageError::UnknownSubject(subject.into()))?;
    let plan = world.plan_named(plan).ok_or_else(|| UsageError::UnknownPlan(plan.into()))?;
    Ok((subject, plan))
}

/// What was left of a quota after the last debit of a day.
fn remaining_on(
    seat: &Seat<'_>,
    slot: usize,
    quota: &Quota,
    kept: &[(Date, Row)],
    date: Date,
    now: u64,
) -> u64 {
    let (Some(schedule), Some(open)) = (seat.schedule(slot), seat.open(slot, quota, now)) else { return 0 };
    let (days, windows) = (schedule.era().days(), schedule.windows());
    // The limit, less an initial debit that is still to come.
    let fresh = quota.limit - if open.is_virgin() { quota.initial_debit } else { 0 };
    let debited = || kept.iter().filter(|(_, row)| row.debited);
    let begins = |date: Date| days.start_of_date(date);
    if debited().all(|&(other, _)| other <= date) {
        let today = schedule.era().date(open.counter.stamp);
        let window = windows.at(open.start);
        if date == today || date > today && window.holds(begins(date)) {
            return quota.remaining(open.counter.charged);
        }
    }
    let Some((last, row)) = debited().filter(|&&(other, _)| other <= date).max_by_key(|&&(other, _)| other)
    else {
        return fresh;
    };
    let window = |date: Date| windows.at(u64::try_from(begins(date)).unwrap_or(0));
    if *last == date || window(*last).holds(begins(date)) { row.left } else { fresh }
}
