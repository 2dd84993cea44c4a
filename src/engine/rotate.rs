//! A new key for a subject; and rotation, which gives one and ends the old one.

use std::sync::Arc;

use super::Engine;
use super::apply::read_key;
use super::world::{KeyRecord, Subject, World};
use crate::error::{ApplyError, KeyError};
use crate::key::{Digest, KeyFormat, KeyState, SecretKey};
use crate::plan::{Key, check_name};
use crate::time::Nanos;

impl Engine {
    /// Gives a subject another key, beside those that it has. Without [`enabled`](Key::enabled) it is on. It stays until
    /// changes list the subject's keys without it. Other processes that share a region see its state; it works there once
    /// they list or add it.
    ///
    /// ```
    /// # use tollgate::{Changes, Engine, Key, Plan, Request, SecretKey, Subject};
    /// # let changes = Changes::new().plan("free", Plan::new()).subject("acme", Subject::new(["free"]));
    /// # let engine = Engine::builder().changes(changes).build()?;
    /// engine.add_key("acme", &Key::new("acme-1", SecretKey::new("made-up")?))?;
    /// assert!(engine.check(&Request::new("made-up")).is_allowed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// There is no such subject; the key is wrong in itself; the key or its id is in use, or the key was revoked; the region
    /// has no room. Nothing has changed then.
    pub fn add_key(&self, subject: &str, key: &Key) -> Result<(), ApplyError> {
        let key = read_key("key", key, &self.peppers)?;
        let _writer = self.writer.lock();
        let mut world = World::clone(&self.world.get());
        if world.subjects.get(subject).is_none() {
            return Err(ApplyError::unknown("subject", format!("{subject:?} is not registered")));
        }
        world.free(&key, || "key".into())?;
        let mut state =
            KeyState { enabled: key.enabled.unwrap_or(true), expires: key.expires, revoked: None };
        let shared = self.shared_key(&key.digest).and_then(|shared| shared.revoked);
        if world.keys.revoked_from(&key.digest).or(shared).is_some() {
            return Err(ApplyError::conflict("key", "it was revoked, which is for good: give a new one"));
        }
        if self.shared {
            state = self.share_key(&key.digest, &|_| state).ok_or_else(|| {
                ApplyError::capacity("key", "the region has no room for its state: plan for more lines")
            })?;
        }
        world.add_key(subject, key.id, key.digest, state);
        self.world.set(Arc::new(world));
        Ok(())
    }

    /// Gives a key's subject another key, with the id `new_id`, which is switched on or off and expires as the old one. Both
    /// work for `overlap`, then the old one is revoked; with an overlap of 0 it is at once. Usage and limits are the
    /// subject's, and so the same for both. The answer is the only copy of the new key.
    ///
    /// Its form is that of [`EngineBuilder::key_format`](crate::EngineBuilder::key_format). Other processes that share a
    /// region see the old key's end; the new key works there once they list it.
    ///
    /// ```
    /// # use tollgate::{Changes, Engine, Key, Nanos, Plan, Request, SecretKey, Subject};
    /// # let changes = Changes::new()
    /// #     .plan("free", Plan::new())
    /// #     .subject("acme", Subject::new(["free"]).key(Key::new("acme-1", SecretKey::new("made-up")?)));
    /// # let engine = Engine::builder().changes(changes).build()?;
    /// let day = Nanos::new(86_400_000_000_000);
    /// engine.rotate("acme-1", "acme-2", day)?.reveal(|key| {
    ///     assert!(engine.check(&Request::new(key)).is_allowed());
    /// });
    /// assert!(engine.check(&Request::new("made-up")).is_allowed());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// No registered key has this id, or it is revoked; `new_id` is no name or that of another key; the operating system
    /// has no random bits; there is no room in the region. Nothing has changed then.
    pub fn rotate(&self, key_id: &str, new_id: &str, overlap: Nanos) -> Result<SecretKey, KeyError> {
        self.rotate_at(key_id, new_id, overlap, self.now())
    }

    /// [`rotate`](Engine::rotate) at the caller's instant.
    ///
    /// # Errors
    /// As [`rotate`](Engine::rotate).
    pub fn rotate_at(
        &self,
        key_id: &str,
        new_id: &str,
        overlap: Nanos,
        now: Nanos,
    ) -> Result<SecretKey, KeyError> {
        let secret = match &self.key_format {
            Some(format) => format.generate()?,
            None => KeyFormat::new("")?.generate()?,
        };
        self.rotate_to_at(key_id, new_id, &secret, overlap, now)?;
        Ok(secret)
    }

    /// [`rotate`](Engine::rotate) to a key that was made elsewhere.
    ///
    /// # Errors
    /// As [`rotate`](Engine::rotate); also if the new key is one that is registered, or was ever revoked, or has not the
    /// engine's [form](crate::EngineBuilder::key_format).
    pub fn rotate_to_at(
        &self,
        key_id: &str,
        new_id: &str,
        secret: &SecretKey,
        overlap: Nanos,
        now: Nanos,
    ) -> Result<(), KeyError> {
        check_name("new_id", new_id).map_err(|error| KeyError::Name(error.to_string()))?;
        if self.key_format.as_ref().is_some_and(|format| !format.matches(secret.bytes())) {
            return Err(KeyError::Format(new_id.into()));
        }
        let digest = self.peppers.digest(self.peppers.preferred(), secret.bytes());
        let from = match overlap.get() {
            0 => 0,
            overlap => now.get().saturating_add(overlap),
        };
        let _writer = self.writer.lock();
        let mut world = World::clone(&self.world.get());
        let old = world.keys.by_id(key_id).cloned().ok_or_else(|| KeyError::UnknownId(key_id.into()))?;
        let state = self.shared_key(&old.digest).unwrap_or(old.state);
        if state.is_revoked(now.get()) {
            return Err(KeyError::Revoked(key_id.into()));
        }
        let taken = world.keys.by_id(new_id).is_some()
            || world.keys.by_digest(&digest).is_some()
            || world.keys.revoked_from(&digest).is_some();
        if taken {
            return Err(KeyError::Taken(new_id.into()));
        }
        let inherited = KeyState { revoked: None, ..state };
        let inherited = self.rotate_shared(key_id, &old.digest, &digest, inherited, from)?;
        world.add_key(&old.subject.name, new_id.into(), digest, inherited);
        let mut ended = KeyRecord::clone(world.keys.by_digest(&old.digest).unwrap_or(&old));
        ended.state.revoke(Some(from));
        world.keys.put(ended);
        self.world.set(Arc::new(world));
        Ok(())
    }

    /// Lets other processes know of both keys; gives the new one's state.
    fn rotate_shared(
        &self,
        key_id: &str,
        old: &Digest,
        new: &Digest,
        state: KeyState,
        from: u64,
    ) -> Result<KeyState, KeyError> {
        if !self.shared {
            return Ok(state);
        }
        let no_room = || KeyError::NoRoom(key_id.into());
        let new = self.share_key(new, &|_| state).ok_or_else(no_room)?;
        let end = |known: Option<KeyState>| {
            let mut known = known.unwrap_or(state);
            known.revoke(Some(from));
            known
        };
        self.share_key(old, &end).ok_or_else(no_room)?;
        Ok(new)
    }
}

impl World {
    /// Lists another key for a subject, if there is such a one.
    pub(super) fn add_key(&mut self, subject: &str, id: Arc<str>, digest: Digest, state: KeyState) {
        let Some(before) = self.subjects.get(subject) else { return };
        let mut keys = before.keys.clone();
        keys.push(digest);
        let subject = Arc::new(Subject {
            name: before.name.clone(),
            owner: before.owner,
            plans: before.plans.clone(),
            keys,
        });
        self.subjects.insert_mut(subject.name.clone(), subject.clone());
        for digest in &subject.keys {
            if let Some(known) = self.keys.by_digest(digest) {
                let record = KeyRecord { subject: subject.clone(), ..KeyRecord::clone(known) };
                self.keys.put(record);
            }
        }
        self.keys.put(KeyRecord { id, digest, subject, state, rotated: true, number: 0 });
    }
}
