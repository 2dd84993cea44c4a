//! Room for the state of registered subjects and pools: made when they are defined, kept until they are gone.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::Engine;
use super::apply::Place;
use super::decide::ATTEMPTS;
use super::kinds::Kind;
use super::slots;
use super::state::{self, Raw, head_tag};
use super::world::{Subject, World};
use crate::error::ApplyError;
use crate::plan::{Changes, LineUse, QUOTAS, shown};
use crate::store::{Claim, Content, NoRoom, Txn};

/// Hashes and what their lines begin with.
type Lines = BTreeMap<u64, Raw>;

/// These changes, of which complete ones name everything that goes.
fn with_all_that_goes<'c>(before: &World, changes: &'c Changes) -> Cow<'c, Changes> {
    if !changes.complete {
        return Cow::Borrowed(changes);
    }
    let mut all = changes.clone();
    for name in before.subjects.keys() {
        all.subjects.entry(name.to_string()).or_insert(None);
    }
    for plan in before.plans.iter().flatten() {
        all.plans.entry(plan.name.to_string()).or_insert(None);
    }
    Cow::Owned(all)
}

impl Engine {
    /// Puts `before` with `changes` in place: the state of what is new first, then the plans that lead to it. The
    /// caller holds `writer`, or is the only one who knows the engine. With `as_found` what processes share stays as it is.
    pub(super) fn put_in_place(
        &self,
        before: &World,
        changes: &Changes,
        now: u64,
        as_found: bool,
    ) -> Result<(), ApplyError> {
        let changes = &*with_all_that_goes(before, changes);
        let most = if self.shared { self.store.event_room() } else { u64::MAX };
        let changed = |place| before.changed(changes, now, &self.peppers, &self.owners, place);
        let mut next = changed(Place::Private { most })?;
        if self.shared {
            // Everything was found to be right: now for all processes.
            next = changed(Place::Shared { store: &self.store, keys: self, keeps: as_found })?;
        }
        let touched = |name: &str| changes.subjects.contains_key(name) || !changes.plans.is_empty();
        let mut made = Vec::new();
        let mut result = self.make_lines(&next, changes, now, &touched, &mut made);
        if result.is_ok() && self.shared {
            result = self.share_keys(&next, changes, now, as_found, &mut made);
        }
        if let Err(error) = result {
            made.iter().for_each(|&hash| self.let_go(hash));
            return Err(error);
        }
        let mut gone = Lines::new();
        for subject in before.subjects.values().filter(|subject| touched(&subject.name)) {
            gone.extend(self.subject_lines(before, subject));
        }
        for name in changes.plans.keys() {
            gone.extend(self.pool_lines(before, name));
        }
        let kept = next.subjects.values().filter(|subject| touched(&subject.name));
        let kept = kept.flat_map(|subject| self.subject_lines(&next, subject));
        let pools = changes.plans.keys().flat_map(|name| self.pool_lines(&next, name));
        for hash in kept.chain(pools).map(|(hash, _)| hash) {
            gone.remove(&hash);
        }
        if self.shared {
            let listed = before.subjects.values().filter(|subject| touched(&subject.name));
            let digests = listed.flat_map(|subject| &subject.keys);
            digests
                .filter(|digest| next.keys.by_digest(digest).is_none())
                .for_each(|digest| self.unlist_key(digest));
        }
        self.carry_debits(&next);
        let next = Arc::new(next);
        self.world.set(next.clone());
        gone.keys().for_each(|&hash| self.let_go(hash));
        if changes.complete && self.shared && !as_found {
            self.let_others_go(&next);
        }
        Ok(())
    }

    /// Leaves to whoever needs it what any process ever kept for those that `world` does not know.
    fn let_others_go(&self, world: &World) {
        let subjects = world.subjects.values().flat_map(|subject| self.subject_lines(world, subject));
        let pools = world.plans.iter().flatten().flat_map(|plan| self.pool_lines(world, &plan.name));
        let keys = world.keys.records().map(|record| self.key_hash(&record.digest));
        let kept: HashSet<_> =
            subjects.chain(pools).map(|(hash, _)| hash).chain(keys).map(head_tag).collect();
        for head in self.store.pinned_heads().filter(|head| !kept.contains(&head.tag)) {
            let key = head.segment == 0 && Kind::of(head) == Some(Kind::Key);
            if !key || self.unlist(head.tag) {
                self.let_go(head.tag);
            }
        }
    }

    fn make_lines(
        &self,
        next: &World,
        changes: &Changes,
        now: u64,
        touched: &dyn Fn(&str) -> bool,
        made: &mut Vec<u64>,
    ) -> Result<(), ApplyError> {
        let full = |field: String| {
            let problem = "there is no room for its state: plan for more capacity (cells and lines)";
            ApplyError::capacity(field, problem)
        };
        for name in changes.plans.keys() {
            for (hash, fresh) in self.pool_lines(next, name) {
                let room = self.keep(next, hash, &fresh, now, made);
                room.ok_or_else(|| full(format!("plans.{}.pool", shown(name))))?;
            }
        }
        for subject in next.subjects.values().filter(|subject| touched(&subject.name)) {
            for (hash, fresh) in self.subject_lines(next, subject) {
                let room = self.keep(next, hash, &fresh, now, made);
                room.ok_or_else(|| full(format!("subjects.{}", shown(&subject.name))))?;
            }
        }
        Ok(())
    }

    /// Lets all processes know the states of the keys that `changes` lists, or, with `as_found`, makes room for them.
    fn share_keys(
        &self,
        next: &World,
        changes: &Changes,
        now: u64,
        as_found: bool,
        made: &mut Vec<u64>,
    ) -> Result<(), ApplyError> {
        let lists =
            |spec: &Option<crate::plan::Subject>| spec.as_ref().is_some_and(|spec| spec.keys.is_some());
        let listed = changes.subjects.iter().filter(|(_, spec)| lists(spec));
        for subject in listed.filter_map(|(name, _)| next.subjects.get(name.as_str())) {
            for record in subject.keys.iter().filter_map(|digest| next.keys.by_digest(digest)) {
                let room = self.keep_key(next, &record.digest, now, made).and_then(|()| match as_found {
                    true => Some(()),
                    false => self.set_shared_key(&record.digest, &|_| record.state).map(|_| ()),
                });
                room.ok_or_else(|| {
                    let problem = "there is no room for the state of its keys: plan for more capacity";
                    ApplyError::capacity(format!("subjects.{}", shown(&subject.name)), problem)
                })?;
            }
        }
        Ok(())
    }

    fn subject_lines<'a>(
        &'a self,
        world: &'a World,
        subject: &'a Subject,
    ) -> impl Iterator<Item = (u64, Raw)> + 'a {
        let plans = subject.plans.iter().filter_map(|&number| world.plan(number));
        let lines = plans.flat_map(|plan| plan.subject_lines());
        lines.flat_map(|used| self.lines_of(subject.owner, used))
    }

    fn pool_lines<'a>(&'a self, world: &'a World, plan: &str) -> impl Iterator<Item = (u64, Raw)> + 'a {
        let plan = world.plan_named(plan).into_iter();
        plan.flat_map(|plan| plan.pool.lines.iter().flat_map(|used| self.lines_of(plan.pool_owner, used)))
    }

    /// Everything that an owner has for the limits of a line.
    pub(super) fn lines_of<'a>(
        &'a self,
        owner: u64,
        used: &'a LineUse,
    ) -> impl Iterator<Item = (u64, Raw)> + 'a {
        let line = used.shape.line;
        let limits =
            (used.cap.is_none()).then(|| (self.owners.hash(owner, line), Raw::fresh(used.shape.segment)));
        let quotas = (0..QUOTAS).filter(|&slot| used.quotas[slot]);
        let beside = quotas.map(move |slot| Kind::Beside { line, slot });
        // More than there can be lines is not counted further.
        let slots = used.cap.map_or(0, |cap| slots::lines(cap.limit)).min(u32::MAX.into()) as u32;
        let kinds = beside.chain((0..slots).map(move |number| Kind::Slots { line, number }));
        limits
            .into_iter()
            .chain(kinds.map(move |kind| (self.owners.hash_of(owner, line, kind), kind.fresh())))
    }

    /// Makes a line for `hash` that nobody else is given, and notes in `made` what was not kept before.
    pub(super) fn keep(
        &self,
        world: &World,
        hash: u64,
        fresh: &Raw,
        now: u64,
        made: &mut Vec<u64>,
    ) -> Option<()> {
        let age = |txn: &Txn<'_>, content| state::age(world, txn, content, now);
        for _ in 0..ATTEMPTS {
            let mut txn = self.store.transaction();
            match self.store.find(hash) {
                Some((_, _, Content::Line { pinned: true, .. })) => return Some(()),
                Some((at, word, Content::Line { line, .. })) => {
                    txn.put(at, word, Content::Line { line, pinned: true });
                }
                // An anonymous subject's hash is never that of another kind of owner.
                Some((at, word, Content::Level { segment, level })) => {
                    let line = txn.widen(at, word)?;
                    let raw = Raw::of_cell(segment, level);
                    raw.settle(&mut txn, line, head_tag(hash), |raw| raw.counted(1));
                }
                None => {
                    let line = match txn.claim(hash, Claim::Line { pinned: true }, false, &age) {
                        Ok((line, _)) => line?,
                        Err(NoRoom::Taken) => continue,
                        // A decision looks at a few lines for one that is of no use; here all are looked at.
                        Err(NoRoom::Full) if self.store.reclaim_lines(u32::MAX, &age) > 0 => continue,
                        Err(NoRoom::Full) => return None,
                    };
                    fresh.settle(&mut txn, line, head_tag(hash), |raw| raw.counted(1));
                }
            }
            if txn.commit() {
                made.push(hash);
                // What was widened is pinned in the next round.
                if matches!(self.store.find(hash), Some((_, _, Content::Line { pinned: true, .. }))) {
                    return Some(());
                }
            }
        }
        None
    }

    /// Leaves a line to whoever needs one, once it is indistinguishable from fresh.
    fn let_go(&self, hash: u64) {
        for _ in 0..ATTEMPTS {
            let Some((at, word, Content::Line { line, pinned: true })) = self.store.find(hash) else {
                return;
            };
            let mut txn = self.store.transaction();
            txn.put(at, word, Content::Line { line, pinned: false });
            if txn.commit() {
                return;
            }
        }
    }
}
