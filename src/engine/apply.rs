//! Changes to plans, subjects and keys: a new world from an old one, or an error and nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::ledger::{Private, Shared};
use super::owners::{OwnerKind, Owners};
use super::world::{Subject, World};
use crate::error::ApplyError;
use crate::key::{Digest, KeyState, Method, Peppers, Record};
use crate::plan::{
    Changes, CompiledPlan, Directory, Key, Ledger, Secret, Subject as SubjectSpec, check_name, shown,
};
use crate::store::{ENTRIES, Store};

impl World {
    /// This world with `changes`, whose rates take effect at `now`.
    ///
    /// Everything that is wrong in itself is found before anything that collides with another.
    pub(super) fn changed(
        &self,
        changes: &Changes,
        now: u64,
        peppers: &Peppers,
        owners: &Owners,
        place: Place<'_>,
    ) -> Result<World, ApplyError> {
        let mut directory = Directory::clone(&self.directory);
        let mut private;
        let mut shared;
        let (ledger, keys): (&mut dyn Ledger, Option<&dyn KnownKeys>) = match place {
            Place::Private { most } => {
                private = Private { directory: &mut directory, owners, most };
                (&mut private, None)
            }
            Place::Shared { store, keys, keeps } => {
                shared = Shared { directory: &mut directory, owners, store, keeps };
                (&mut shared, Some(keys))
            }
        };
        let compiled = compile(changes, owners, ledger, now)?;
        let compiled: Vec<_> =
            compiled.into_iter().map(|(name, plan)| (directory.plan_number(name), plan)).collect();
        let mut world = self.with_directory(directory);
        for (number, plan) in compiled {
            let number = number as usize;
            if world.plans.len() <= number {
                world.plans.resize(number + 1, None);
            }
            world.plans[number] = plan.map(|mut plan| {
                Arc::make_mut(&mut plan).number = number as u32;
                plan
            });
        }
        let listed = world.change_subjects(&changes.subjects, owners, peppers)?;
        let affected =
            |subject: &Subject| !changes.plans.is_empty() || changes.subjects.contains_key(&*subject.name);
        let subjects = || world.subjects.values().filter(|subject| affected(subject));
        subjects().try_for_each(|subject| world.check_plans_in_place(subject))?;
        subjects().try_for_each(|subject| world.check_one_plan_per_stage(subject))?;
        world.change_keys(listed, self, keys)?;
        Ok(world)
    }

    /// Puts subjects in place, with the keys that they had, and reads the keys that they are to have.
    fn change_subjects(
        &mut self,
        changes: &BTreeMap<String, Option<SubjectSpec>>,
        owners: &Owners,
        peppers: &Peppers,
    ) -> Result<Vec<(Arc<str>, KeyList)>, ApplyError> {
        let mut listed = Vec::with_capacity(changes.len());
        for (name, spec) in changes {
            let Some(spec) = spec else {
                self.subjects.remove_mut(name.as_str());
                listed.push((name.as_str().into(), None));
                continue;
            };
            let field = format!("subjects.{}", shown(name));
            check_name(&field, name)?;
            let mut plans = Vec::with_capacity(spec.plans.len());
            for (index, plan) in spec.plans.iter().enumerate() {
                let field = format!("{field}.plans[{index}]");
                let number = self.directory.plan_known(plan).filter(|&number| self.plan(number).is_some());
                let Some(number) = number else {
                    let problem = format!("there is no plan {plan:?}: define it under `plans`");
                    return Err(ApplyError::invalid(field, problem));
                };
                if plans.contains(&number) {
                    return Err(ApplyError::invalid(field, format!("{plan:?} stands twice")));
                }
                plans.push(number);
            }
            let keys = spec.keys.as_ref().map(|keys| read_keys(&field, keys, peppers)).transpose()?;
            let known = self.subjects.get(name.as_str()).map_or_else(Vec::new, |known| known.keys.clone());
            let name: Arc<str> = name.as_str().into();
            let owner = owners.owner(OwnerKind::Subject, name.as_bytes());
            let subject = Subject { name: name.clone(), owner, plans, keys: known };
            self.subjects.insert_mut(name.clone(), Arc::new(subject));
            listed.push((name, keys));
        }
        Ok(listed)
    }

    fn check_plans_in_place(&self, subject: &Subject) -> Result<(), ApplyError> {
        match subject.plans.iter().find(|&&number| self.plan(number).is_none()) {
            None => Ok(()),
            Some(&number) => {
                let problem = format!(
                    "still names plan {:?}, which would be removed: take the subject off it first",
                    self.directory.plan_name(number)
                );
                Err(ApplyError::invalid(format!("subjects.{}.plans", shown(&subject.name)), problem))
            }
        }
    }

    fn check_one_plan_per_stage(&self, subject: &Subject) -> Result<(), ApplyError> {
        let plans: Vec<_> = subject.plans.iter().filter_map(|&number| self.plan(number)).collect();
        for (index, plan) in plans.iter().enumerate() {
            for other in &plans[..index] {
                if let Some(stage) = plan.shares_stage(other) {
                    let stage =
                        if stage.is_empty() { "every stage".into() } else { format!("stage {stage:?}") };
                    let problem = format!(
                        "plans {:?} and {:?} both cover {stage}: at most one plan per stage",
                        other.name, plan.name
                    );
                    let field = format!("subjects.{}.plans", shown(&subject.name));
                    return Err(ApplyError::conflict(field, problem));
                }
            }
        }
        Ok(())
    }

    /// `before` is the world as it was, which knows the states of keys that are listed again.
    fn change_keys(
        &mut self,
        listed: Vec<(Arc<str>, KeyList)>,
        before: &World,
        known: Option<&dyn KnownKeys>,
    ) -> Result<(), ApplyError> {
        // First everything that goes, so that a key can move from one subject to another.
        for (name, keys) in &listed {
            let goes = keys.is_some() || !self.subjects.contains_key(name);
            if let (true, Some(known)) = (goes, before.subjects.get(name)) {
                known.keys.iter().for_each(|digest| self.keys.remove(digest));
            }
        }
        for (name, keys) in listed {
            let Some(subject) = self.subjects.get(&name).cloned() else {
                continue;
            };
            match keys {
                Some(keys) => self.list_keys(&subject, keys, before, known)?,
                None => {
                    for digest in &subject.keys {
                        if let Some(known) = self.keys.by_digest(digest) {
                            let record = Record { subject: subject.clone(), ..Record::clone(known) };
                            self.keys.put(record);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn list_keys(
        &mut self,
        subject: &Subject,
        keys: Vec<ListedKey>,
        before: &World,
        shared: Option<&dyn KnownKeys>,
    ) -> Result<(), ApplyError> {
        let digests = keys.iter().map(|key| key.digest).collect();
        let subject = Arc::new(Subject {
            name: subject.name.clone(),
            owner: subject.owner,
            plans: subject.plans.clone(),
            keys: digests,
        });
        self.subjects.insert_mut(subject.name.clone(), subject.clone());
        for (index, key) in keys.into_iter().enumerate() {
            self.free(&key, || format!("subjects.{}.keys[{index}]", shown(&subject.name)))?;
            let known = before.keys.by_digest(&key.digest).filter(|known| known.subject.name == subject.name);
            // Of a key that was another subject's nothing is kept but that it was revoked.
            let moved =
                before.keys.by_digest(&key.digest).is_some_and(|known| known.subject.name != subject.name);
            let shared = shared.and_then(|shared| shared.state(&key.digest)).map(|state| match moved {
                true => KeyState { revoked: state.revoked, ..KeyState::default() },
                false => state,
            });
            let known = shared.or(known.map(|known| known.state)).unwrap_or_default();
            let mut state = KeyState {
                revoked: known.revoked,
                enabled: key.enabled.unwrap_or(known.enabled),
                expires: key.expires.or(known.expires),
            };
            state.revoke(self.keys.revoked_from(&key.digest));
            let subject = subject.clone();
            self.keys.put(Record {
                id: key.id,
                digest: key.digest,
                subject,
                state,
                rotated: false,
                number: 0,
            });
        }
        Ok(())
    }

    /// Whether neither the key nor its id is anybody's.
    pub(super) fn free(&self, key: &ListedKey, field: impl Fn() -> String) -> Result<(), ApplyError> {
        if let Some(other) = self.keys.by_id(&key.id) {
            let problem = format!("{:?} is the id of a key of subject {:?}", key.id, other.subject.name);
            return Err(ApplyError::conflict(format!("{}.id", field()), problem));
        }
        if let Some(other) = self.keys.by_digest(&key.digest) {
            let problem =
                format!("the key is that of subject {:?}, with the id {:?}", other.subject.name, other.id);
            return Err(ApplyError::conflict(field(), problem));
        }
        Ok(())
    }
}

type Compiled<'c> = Vec<(&'c str, Option<Arc<CompiledPlan>>)>;

/// The plans of `changes`, ready for decisions; a plan that goes is none.
fn compile<'c>(
    changes: &'c Changes,
    owners: &Owners,
    ledger: &mut dyn Ledger,
    now: u64,
) -> Result<Compiled<'c>, ApplyError> {
    let mut compiled = Vec::with_capacity(changes.plans.len());
    for (name, plan) in &changes.plans {
        match plan {
            Some(plan) => {
                let pool_owner = owners.owner(OwnerKind::Pool, name.as_bytes());
                let plan = CompiledPlan::new(name, plan, pool_owner, ledger, now)?;
                let words = plan.most_words();
                if words > ENTRIES {
                    let problem = format!(
                        "has too many limits for one decision, which would have to change {words} words of state at once, \
                         {ENTRIES} at most: a quota takes up to 15 of them, a line of a throttle 8 (its own, those of the \
                         largest route and of the pool count together)"
                    );
                    return Err(ApplyError::invalid(format!("plans.{}", shown(name)), problem));
                }
                compiled.push((name.as_str(), Some(Arc::new(plan))));
            }
            None if ledger.directory().plan_known(name).is_some() => compiled.push((name.as_str(), None)),
            None => {}
        }
    }
    Ok(compiled)
}

/// Where changes take place.
pub(super) enum Place<'a> {
    /// In the world alone, with room for so many events.
    Private { most: u64 },
    /// In memory that processes share; `keeps`: what is there stays as it is.
    Shared { store: &'a Store, keys: &'a dyn KnownKeys, keeps: bool },
}

/// States of keys that other processes may have changed.
pub(super) trait KnownKeys {
    fn state(&self, digest: &Digest) -> Option<KeyState>;
}

/// The keys that a subject is to have; none for a subject that keeps its keys or goes.
type KeyList = Option<Vec<ListedKey>>;

/// A key as a subject lists it, read.
pub(super) struct ListedKey {
    pub id: Arc<str>,
    pub digest: Digest,
    pub enabled: Option<bool>,
    pub expires: Option<u64>,
}

fn read_keys(field: &str, keys: &[Key], peppers: &Peppers) -> Result<Vec<ListedKey>, ApplyError> {
    let mut ids = HashSet::new();
    let mut digests = HashSet::new();
    let mut listed = Vec::with_capacity(keys.len());
    for (index, key) in keys.iter().enumerate() {
        let field = format!("{field}.keys[{index}]");
        let read = read_key(&field, key, peppers)?;
        if !ids.insert(key.id.as_str()) {
            return Err(ApplyError::invalid(format!("{field}.id"), format!("{:?} stands twice", key.id)));
        }
        if !digests.insert(read.digest) {
            return Err(ApplyError::invalid(field, "the same key stands twice"));
        }
        listed.push(read);
    }
    Ok(listed)
}

pub(super) fn read_key(field: &str, key: &Key, peppers: &Peppers) -> Result<ListedKey, ApplyError> {
    check_name(&format!("{field}.id"), &key.id)?;
    let digest = digest(field, key, peppers)?;
    let expires = match &key.expires {
        Some(text) => Some(instant(&format!("{field}.expires"), text)?),
        None => None,
    };
    Ok(ListedKey { id: key.id.as_str().into(), digest, enabled: key.enabled, expires })
}

fn digest(field: &str, key: &Key, peppers: &Peppers) -> Result<Digest, ApplyError> {
    let invalid = |part: &str, problem: &dyn ToString| {
        ApplyError::invalid(format!("{field}.{part}"), problem.to_string())
    };
    match key.secret() {
        Some(Secret::Value(value)) => Ok(peppers.digest(peppers.preferred(), value.bytes())),
        Some(Secret::Sha256(hex)) => {
            Digest::parse(Method::Sha256, hex).map_err(|error| invalid("sha256", &error))
        }
        Some(Secret::Hmac(text)) => {
            let (name, hex) = text.split_once(':').ok_or_else(|| invalid("hmac", &"write PEPPER:DIGEST"))?;
            let method = peppers.named(name).ok_or_else(|| {
                invalid("hmac", &"the part before ':' names no pepper that the engine was given")
            })?;
            Digest::parse(method, hex).map_err(|error| invalid("hmac", &error))
        }
        None => Err(ApplyError::invalid(field, "give exactly one of `sha256`, `hmac` and `value`")),
    }
}

fn instant(field: &str, text: &str) -> Result<u64, ApplyError> {
    let parsed = text.parse::<jiff::Timestamp>().ok();
    parsed.and_then(|instant| u64::try_from(instant.as_nanosecond()).ok()).ok_or_else(|| {
        let problem =
            format!("{text:?} is not an instant from 1970 to 2554, written as in \"2027-06-01T00:00:00Z\"");
        ApplyError::invalid(field, problem)
    })
}
