//! Which keys are known, whose they are and what state they are in.
//!
//! A persistent map: a change makes a new registry and leaves the old one as it is, so that a
//! decision under way sees one of the two whole.

use std::sync::Arc;

use rpds::HashTrieMapSync;

use super::digest::{Digest, Method};
use super::numbered::Numbered;
use super::pepper::Peppers;
use super::recent::Recent;
use crate::sync::Number;

type State = ahash::RandomState;

/// What a key may do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct KeyState {
    /// First instant at which the key is revoked.
    pub revoked: Option<u64>,
    pub enabled: bool,
    /// First instant at which the key is expired.
    pub expires: Option<u64>,
}

impl KeyState {
    pub(crate) fn is_revoked(&self, now: u64) -> bool {
        self.revoked.is_some_and(|from| from <= now)
    }

    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Revokes it from then on, if it is not so from earlier on.
    pub(crate) fn revoke(&mut self, from: Option<u64>) {
        self.revoked = [self.revoked, from].into_iter().flatten().min();
    }
}

impl Default for KeyState {
    fn default() -> KeyState {
        KeyState { revoked: None, enabled: true, expires: None }
    }
}

/// What is known of one key.
#[derive(Debug)]
pub(crate) struct Record<S> {
    pub id: Arc<str>,
    pub digest: Digest,
    pub subject: Arc<S>,
    pub state: KeyState,
    /// Whether it was added, or a rotation made it: no definition lists it.
    pub rotated: bool,
    /// Given by the registry.
    pub number: u32,
}

impl<S> Clone for Record<S> {
    fn clone(&self) -> Record<S> {
        Record { id: self.id.clone(), subject: self.subject.clone(), ..*self }
    }
}

/// What the short way of a check needs of a key.
#[derive(Clone)]
pub(crate) struct Brief {
    /// Instants before this one are admitted by the key's state.
    pub until: u64,
    pub owner: u64,
    /// The only plan.
    pub plan: u32,
    /// Where the owner's line stands.
    pub hint: Number,
}

/// Whoever owns keys.
pub(crate) trait Holder {
    /// Owner of the state, and the plan, if there is just one.
    fn account(&self) -> Option<(u64, u32)>;
}

struct Entry<S> {
    record: Arc<Record<S>>,
    brief: Brief,
}

impl<S> Clone for Entry<S> {
    fn clone(&self) -> Entry<S> {
        Entry { record: self.record.clone(), brief: self.brief.clone() }
    }
}

impl<S: Holder> Entry<S> {
    fn new(record: Arc<Record<S>>) -> Entry<S> {
        let state = record.state;
        let (account, until) = match record.subject.account() {
            Some(account) if state.enabled => {
                (account, [state.expires, state.revoked].into_iter().flatten().min().unwrap_or(u64::MAX))
            }
            _ => ((0, 0), 0),
        };
        let (owner, plan) = account;
        Entry { record, brief: Brief { until, owner, plan, hint: Number::default() } }
    }
}

/// Keys by digest and by id. `S` is whoever owns them.
pub(crate) struct Registry<S> {
    by_digest: HashTrieMapSync<Digest, Arc<Record<S>>, State>,
    by_id: HashTrieMapSync<Arc<str>, Digest, State>,
    /// By number; none for a key that is gone. A number is never given again.
    by_number: Numbered<Entry<S>>,
    /// The numbers of keys that were seen of late.
    recent: Arc<Recent>,
    /// Digests that were ever revoked, known or not, and from when on.
    revoked: HashTrieMapSync<Digest, u64, State>,
    /// The methods of the digests known or revoked, with how many there are of each.
    methods: Vec<(Method, usize)>,
}

/// What a presented key is.
pub(crate) enum Found<'r, S> {
    Registered(&'r Record<S>),
    /// Registered no longer, and revoked while it was, from this instant on.
    Revoked(u64),
    Unknown,
}

impl<S> Clone for Registry<S> {
    fn clone(&self) -> Registry<S> {
        Registry {
            by_digest: self.by_digest.clone(),
            by_id: self.by_id.clone(),
            by_number: self.by_number.clone(),
            recent: self.recent.clone(),
            revoked: self.revoked.clone(),
            methods: self.methods.clone(),
        }
    }
}

impl<S> Default for Registry<S> {
    fn default() -> Registry<S> {
        let state = State::new();
        Registry {
            by_digest: HashTrieMapSync::new_with_hasher_and_ptr_kind(state.clone()),
            by_id: HashTrieMapSync::new_with_hasher_and_ptr_kind(state.clone()),
            by_number: Numbered::default(),
            recent: Arc::new(Recent::new(0)),
            revoked: HashTrieMapSync::new_with_hasher_and_ptr_kind(state),
            methods: Vec::new(),
        }
    }
}

impl<S> Registry<S> {
    /// Looks up a presented key. One digest is computed per method in use, unless the key was seen of late.
    #[inline]
    pub(crate) fn find(&self, peppers: &Peppers, key: &[u8]) -> Found<'_, S> {
        let tag = self.recent.tag(key);
        if let Some(number) = self.recent.get(tag)
            && let Some(entry) = self.by_number.get(number as usize)
        {
            return Found::Registered(&entry.record);
        }
        let found = self.verify(peppers, key);
        if let Found::Registered(record) = found {
            self.recent.put(tag, record.number);
        }
        found
    }

    /// A key that is registered and was verified not long ago.
    #[inline(always)]
    pub(crate) fn seen_of_late(&self, key: &[u8]) -> Option<&Brief> {
        let number = self.recent.get(self.recent.tag(key))?;
        self.by_number.get(number as usize).map(|entry| &entry.brief)
    }

    /// Asks for what [`seen_of_late`](Registry::seen_of_late) will look at first.
    #[inline(always)]
    pub(crate) fn prefetch(&self, key: &[u8]) {
        self.recent.prefetch(self.recent.tag(key));
    }

    #[inline(never)]
    fn verify(&self, peppers: &Peppers, key: &[u8]) -> Found<'_, S> {
        let mut found = Found::Unknown;
        for &(method, _) in &self.methods {
            let digest = peppers.digest(method, key);
            if let Some(record) = self.by_digest.get(&digest) {
                return Found::Registered(record);
            }
            if let Some(&from) = self.revoked.get(&digest) {
                found = Found::Revoked(from);
            }
        }
        found
    }

    pub(crate) fn by_digest(&self, digest: &Digest) -> Option<&Arc<Record<S>>> {
        self.by_digest.get(digest)
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<&Arc<Record<S>>> {
        self.by_id.get(id).and_then(|digest| self.by_digest.get(digest))
    }

    /// From when on a digest is revoked, registered or not.
    pub(crate) fn revoked_from(&self, digest: &Digest) -> Option<u64> {
        self.revoked.get(digest).copied()
    }

    /// All digests that were ever revoked, and from when on.
    pub(crate) fn revoked(&self) -> impl Iterator<Item = (&Digest, u64)> {
        self.revoked.iter().map(|(digest, &from)| (digest, from))
    }

    /// All keys that are registered.
    pub(crate) fn records(&self) -> impl Iterator<Item = &Arc<Record<S>>> {
        self.by_digest.values()
    }

    /// Remembers that a key that is not registered was revoked.
    pub(crate) fn note_revoked(&mut self, digest: Digest, from: u64) {
        let known = self.by_digest.contains_key(&digest) || self.revoked_from(&digest).is_some();
        if !known {
            self.count_method(digest.method);
        }
        let from = self.revoked_from(&digest).map_or(from, |known| known.min(from));
        self.revoked.insert_mut(digest, from);
    }

    fn count_method(&mut self, method: Method) {
        match self.methods.iter_mut().find(|(other, _)| *other == method) {
            Some((_, count)) => *count += 1,
            None => self.methods.push((method, 1)),
        }
    }

    /// Puts `record` in the place of the one with its digest; id and digest belong to no other.
    pub(crate) fn put(&mut self, mut record: Record<S>)
    where
        S: Holder,
    {
        let digest = record.digest;
        if !self.by_digest.contains_key(&digest) && self.revoked_from(&digest).is_none() {
            self.count_method(digest.method);
        }
        if let Some(from) = record.state.revoked {
            self.revoked.insert_mut(digest, from);
        }
        let known = self.by_digest.get(&digest).map(|known| known.number);
        // Each takes far more memory than would be needed to run out of numbers.
        record.number = known.unwrap_or_else(|| self.by_number.next() as u32);
        let record = Arc::new(record);
        self.by_number.set(record.number as usize, Some(Entry::new(record.clone())));
        self.by_id.insert_mut(record.id.clone(), digest);
        self.by_digest.insert_mut(digest, record);
        if self.by_digest.size() > self.recent.room() {
            self.recent = Arc::new(Recent::new(self.by_digest.size() * 2));
        }
    }

    /// Forgets a key; that it was revoked is remembered.
    pub(crate) fn remove(&mut self, digest: &Digest) {
        let Some(record) = self.by_digest.get(digest).cloned() else {
            return;
        };
        self.by_digest.remove_mut(digest);
        self.by_number.set(record.number as usize, None);
        self.by_id.remove_mut(&record.id);
        if self.revoked_from(digest).is_some() {
            return;
        }
        if let Some((_, count)) = self.methods.iter_mut().find(|(method, _)| *method == digest.method) {
            *count -= 1;
        }
        self.methods.retain(|&(_, count)| count > 0);
    }
}
