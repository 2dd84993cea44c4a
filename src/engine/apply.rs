//! Changes to plans, subjects and keys: a new world from an old one, or an error and nothing.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::world::{OwnerKind, Owners, Subject, World};
use crate::error::ApplyError;
use crate::key::{Digest, Method, Peppers, Record};
use crate::plan::{Changes, CompiledPlan, Key, Secret, Subject as SubjectSpec, check_name};

impl World {
    /// This world with `changes`, whose rates take effect at `now`.
    pub(super) fn changed(
        &self,
        changes: &Changes,
        now: u64,
        peppers: &Peppers,
        owners: &Owners,
    ) -> Result<World, ApplyError> {
        let mut world = self.clone();
        for (name, plan) in &changes.plans {
            let compiled = match plan {
                Some(plan) => Some(Arc::new(CompiledPlan::new(name, plan, &mut world.directory, now)?)),
                None => None,
            };
            if compiled.is_none() && world.directory.plan_known(name).is_none() {
                continue;
            }
            let number = world.directory.plan_number(name) as usize;
            if world.plans.len() <= number {
                world.plans.resize(number + 1, None);
            }
            world.plans[number] = compiled;
        }
        world.change_subjects(&changes.subjects, owners)?;
        world.change_keys(&changes.subjects, self, peppers)?;
        if !changes.plans.is_empty() {
            for subject in world.subjects.values() {
                world.check_plans(subject)?;
            }
        }
        Ok(world)
    }

    fn change_subjects(
        &mut self,
        changes: &BTreeMap<String, Option<SubjectSpec>>,
        owners: &Owners,
    ) -> Result<(), ApplyError> {
        for (name, spec) in changes {
            let Some(spec) = spec else {
                self.subjects.remove_mut(name.as_str());
                continue;
            };
            let field = format!("subjects.{name}");
            check_name(&field, name)?;
            let mut plans = Vec::with_capacity(spec.plans.len());
            for (index, plan) in spec.plans.iter().enumerate() {
                let field = format!("{field}.plans[{index}]");
                let number = self.directory.plan_known(plan).filter(|&number| self.plan(number).is_some());
                let Some(number) = number else {
                    return Err(ApplyError::invalid(
                        field,
                        format!("there is no plan {plan:?}: define it under `plans`"),
                    ));
                };
                if plans.contains(&number) {
                    return Err(ApplyError::invalid(field, format!("{plan:?} stands twice")));
                }
                plans.push(number);
            }
            // The keys are settled by `change_keys`.
            let keys = self.subjects.get(name.as_str()).map_or_else(Vec::new, |known| known.keys.clone());
            let name: Arc<str> = name.as_str().into();
            let owner = owners.owner(OwnerKind::Subject, name.as_bytes());
            let subject = Arc::new(Subject { name: name.clone(), owner, plans, keys });
            self.check_plans(&subject)?;
            self.subjects.insert_mut(name, subject);
        }
        Ok(())
    }

    /// At most one plan per stage, and every plan in place.
    fn check_plans(&self, subject: &Subject) -> Result<(), ApplyError> {
        let field = || format!("subjects.{}.plans", subject.name);
        let mut plans: Vec<&CompiledPlan> = Vec::with_capacity(subject.plans.len());
        for &number in &subject.plans {
            let Some(plan) = self.plan(number) else {
                let name = self.directory.plan_name(number);
                let problem = format!(
                    "still names plan {name:?}, which would be removed: take the subject off it first"
                );
                return Err(ApplyError::invalid(field(), problem));
            };
            for other in &plans {
                if let Some(stage) = plan.shares_stage(other) {
                    let stage =
                        if stage.is_empty() { "every stage".into() } else { format!("stage {stage:?}") };
                    let problem = format!(
                        "plans {:?} and {:?} both cover {stage}: at most one plan per stage",
                        other.name, plan.name
                    );
                    return Err(ApplyError::conflict(field(), problem));
                }
            }
            plans.push(plan);
        }
        Ok(())
    }

    /// `before` is the world as it was, which knows the states of keys that are listed again.
    fn change_keys(
        &mut self,
        changes: &BTreeMap<String, Option<SubjectSpec>>,
        before: &World,
        peppers: &Peppers,
    ) -> Result<(), ApplyError> {
        // First everything that goes, so that a key can move from one subject to another.
        for (name, spec) in changes {
            let listed_anew = spec.as_ref().is_none_or(|spec| spec.keys.is_some());
            if let (true, Some(known)) = (listed_anew, before.subjects.get(name.as_str())) {
                known.keys.iter().for_each(|digest| self.keys.remove(digest));
            }
        }
        for (name, spec) in changes {
            let (Some(spec), Some(subject)) = (spec, self.subjects.get(name.as_str()).cloned()) else {
                continue;
            };
            match &spec.keys {
                Some(keys) => self.list_keys(&subject, keys, before, peppers)?,
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
        subject: &Arc<Subject>,
        keys: &[Key],
        before: &World,
        peppers: &Peppers,
    ) -> Result<(), ApplyError> {
        let mut digests = Vec::with_capacity(keys.len());
        let mut ids = HashSet::new();
        let mut seen = HashSet::new();
        for (index, key) in keys.iter().enumerate() {
            let field = format!("subjects.{}.keys[{index}]", subject.name);
            check_name(&format!("{field}.id"), &key.id)?;
            let digest = digest(&field, key, peppers)?;
            if !ids.insert(key.id.as_str()) {
                return Err(ApplyError::invalid(format!("{field}.id"), format!("{:?} stands twice", key.id)));
            }
            if !seen.insert(digest) {
                return Err(ApplyError::invalid(field, "the same key stands twice"));
            }
            if let Some(other) = self.keys.by_id(&key.id) {
                let problem = format!("{:?} is the id of a key of subject {:?}", key.id, other.subject.name);
                return Err(ApplyError::conflict(format!("{field}.id"), problem));
            }
            if let Some(other) = self.keys.by_digest(&digest) {
                let problem = format!(
                    "the key is that of subject {:?}, with the id {:?}",
                    other.subject.name, other.id
                );
                return Err(ApplyError::conflict(field, problem));
            }
            digests.push(digest);
        }
        let subject = Arc::new(Subject {
            name: subject.name.clone(),
            owner: subject.owner,
            plans: subject.plans.clone(),
            keys: digests.clone(),
        });
        self.subjects.insert_mut(subject.name.clone(), subject.clone());
        for (index, (key, digest)) in keys.iter().zip(digests).enumerate() {
            let known = before.keys.by_digest(&digest).filter(|known| known.subject.name == subject.name);
            let expires = match &key.expires {
                Some(text) => {
                    Some(instant(&format!("subjects.{}.keys[{index}].expires", subject.name), text)?)
                }
                None => known.and_then(|known| known.expires),
            };
            self.keys.put(Record {
                id: key.id.as_str().into(),
                digest,
                subject: subject.clone(),
                revoked: self.keys.was_revoked(&digest),
                enabled: key.enabled.unwrap_or_else(|| known.is_none_or(|known| known.enabled)),
                expires,
            });
        }
        Ok(())
    }
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
