//! Plans, subjects and keys.

use crate::config::{Change, KeyDigest, Plan, SubjectSpec};
use crate::text::Nanos;
use std::collections::BTreeMap;

/// A key that is listed.
#[derive(Clone, Debug)]
pub struct Key {
    /// Its public name.
    pub id: String,
    /// Its hash.
    pub digest: KeyDigest,
    /// Whether it is enabled.
    pub enabled: bool,
    /// From when on it is expired.
    pub expires: Option<Nanos>,
}

/// A registered subject.
#[derive(Clone, Debug, Default)]
pub struct Subject {
    /// Names of its plans.
    pub plans: Vec<String>,
    /// Its listed keys.
    pub keys: Vec<Key>,
}

/// Everything that `apply` replaces.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    /// Plans by name.
    pub plans: BTreeMap<String, Plan>,
    /// Subjects by name.
    pub subjects: BTreeMap<String, Subject>,
    /// "Revoked is final": of a digest, listed or not, from which instant on.
    revoked: BTreeMap<KeyDigest, Nanos>,
}

/// From when on a key is revoked that is so at every instant.
pub const ALWAYS: Nanos = 0;

impl Registry {
    /// The registry after a change, or why there is none.
    pub fn changed(&self, change: Change) -> Result<Registry, (&'static str, String)> {
        let mut next = self.clone();
        for (name, plan) in change.plans {
            match plan {
                Some(plan) => next.plans.insert(name, plan),
                None => next.plans.remove(&name),
            };
        }
        for (name, spec) in change.subjects {
            match spec {
                Some(spec) => {
                    let subject = listed(self.subjects.get(&name), spec);
                    next.subjects.insert(name, subject)
                }
                None => next.subjects.remove(&name),
            };
        }
        next.valid().map_err(|error| ("invalid", error))?;
        next.free_of_conflict().map_err(|error| ("conflict", error))?;
        Ok(next)
    }

    fn valid(&self) -> Result<(), String> {
        for (name, subject) in &self.subjects {
            for (i, plan) in subject.plans.iter().enumerate() {
                if subject.plans[..i].contains(plan) {
                    return Err(format!("subject {name:?} lists plan {plan:?} twice"));
                }
                if !self.plans.contains_key(plan) {
                    return Err(format!("subject {name:?} is on plan {plan:?}, which is unknown"));
                }
            }
            for (i, key) in subject.keys.iter().enumerate() {
                let twice = |other: &Key| other.id == key.id || other.digest == key.digest;
                if subject.keys[..i].iter().any(twice) {
                    return Err(format!("subject {name:?} lists key {:?} twice", key.id));
                }
            }
        }
        Ok(())
    }

    fn free_of_conflict(&self) -> Result<(), String> {
        for (name, subject) in &self.subjects {
            for (i, a) in subject.plans.iter().enumerate() {
                for b in &subject.plans[..i] {
                    if self.plans[a].overlaps(&self.plans[b]) {
                        return Err(format!("subject {name:?}: {a:?} and {b:?} cover one stage"));
                    }
                }
            }
        }
        let mut ids = BTreeMap::new();
        let mut digests = BTreeMap::new();
        for (name, subject) in &self.subjects {
            for key in &subject.keys {
                let id_owner = *ids.entry(&key.id).or_insert(name);
                let digest_owner = *digests.entry(key.digest).or_insert(name);
                if id_owner != name || digest_owner != name {
                    return Err(format!("key {:?} has two subjects", key.id));
                }
            }
        }
        Ok(())
    }

    /// The subject that has a key, and the key.
    pub fn key(&self, digest: &KeyDigest) -> Option<(&str, &Subject, &Key)> {
        self.subjects.iter().find_map(|(name, subject)| {
            let key = subject.keys.iter().find(|key| key.digest == *digest)?;
            Some((name.as_str(), subject, key))
        })
    }

    /// "in this order: [...] revoked, expired, disabled"
    pub fn key_state(&self, key: &Key, now: Nanos) -> Option<&'static str> {
        if self.was_revoked(&key.digest, now) {
            Some("key_revoked")
        } else if key.expires.is_some_and(|expires| now >= expires) {
            Some("key_expired")
        } else if !key.enabled {
            Some("key_disabled")
        } else {
            None
        }
    }

    /// Whether a key is revoked, listed or not.
    pub fn was_revoked(&self, digest: &KeyDigest, now: Nanos) -> bool {
        self.revoked.get(digest).is_some_and(|from| *from <= now)
    }

    fn revoke(&mut self, digest: KeyDigest, from: Nanos) {
        let known = self.revoked.entry(digest).or_insert(from);
        *known = from.min(*known);
    }

    /// "the new key inherits enabled and expiry; both work until the overlap ends"
    pub fn rotate(
        &mut self,
        at: Nanos,
        old: &str,
        end: Nanos,
        new: &str,
        value: KeyDigest,
    ) -> Result<(), String> {
        let mut all = self.subjects.values().flat_map(|subject| &subject.keys);
        if all.any(|key| key.id == new || key.digest == value) || self.revoked.contains_key(&value) {
            return Err(format!("the key {new:?} is no new one"));
        }
        let mut subjects = self.subjects.values_mut();
        let found = subjects.find_map(|subject| {
            let key = subject.keys.iter().find(|key| key.id == old)?.clone();
            Some((subject, key))
        });
        let (subject, key) = found.ok_or_else(|| format!("unknown key id {old:?}"))?;
        if self.revoked.get(&key.digest).is_some_and(|from| *from <= at) {
            return Err(format!("key {old:?} is revoked"));
        }
        subject.keys.push(Key { id: new.to_owned(), digest: value, ..key });
        self.revoke(key.digest, end);
        Ok(())
    }

    /// `enable`, `disable`, `expire`, `revoke`.
    pub fn key_op(&mut self, op: &str, id: &str) -> Result<(), String> {
        let mut keys = self.subjects.values_mut().flat_map(|subject| &mut subject.keys);
        let key = keys.find(|key| key.id == id).ok_or_else(|| format!("unknown key id {id:?}"))?;
        match op {
            "enable" => key.enabled = true,
            "disable" => key.enabled = false,
            // "no later decision [...] admits the key", also one at an earlier instant
            "expire" => key.expires = Some(0),
            _ => {
                let digest = key.digest;
                self.revoke(digest, ALWAYS);
            }
        }
        Ok(())
    }
}

/// A subject as it is listed now, given what was known of it.
fn listed(old: Option<&Subject>, spec: SubjectSpec) -> Subject {
    let known = old.map_or(&[][..], |subject| &subject.keys[..]);
    let keys = match spec.keys {
        // "a subject without `keys` keeps its keys"
        None => known.to_vec(),
        Some(keys) => keys
            .into_iter()
            .map(|key| {
                let before = known.iter().find(|k| k.digest == key.digest);
                Key {
                    id: key.id,
                    digest: key.digest,
                    enabled: key.enabled.or(before.map(|k| k.enabled)).unwrap_or(true),
                    expires: key.expires.or(before.and_then(|k| k.expires)),
                }
            })
            .collect(),
    };
    Subject { plans: spec.plans, keys }
}
