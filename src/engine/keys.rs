//! States of keys in memory that is shared: a line per key, which every check of the key reads.
//!
//! Quota word 0: bit 0 set, bit 1 enabled, bit 2 revoked, bit 3 expires, bit 4 unlisted, bits 8..72 the first instant at which
//! it is revoked; quota word 1: the first instant at which it is expired. Revoked never goes back. A key that was unlisted keeps its state for processes that still
//! list it, and begins anew, but for being revoked, when it is listed again.

use super::Engine;
use super::apply::KnownKeys;
use super::decide::{ATTEMPTS, Held};
use super::owners::OwnerKind;
use super::state::head_tag;
use crate::key::{Digest, KeyState};
use crate::store::{Claim, Head, NoRoom, raised};

const SET: u128 = 1;
const ENABLED: u128 = 2;
const REVOKED: u128 = 4;
const EXPIRES: u128 = 8;
const UNLISTED: u128 = 16;

fn of_words(flags: u128, expires: u128) -> Option<KeyState> {
    (flags & SET != 0).then(|| KeyState {
        enabled: flags & ENABLED != 0,
        revoked: (flags & REVOKED != 0).then_some((flags >> 8) as u64),
        expires: (flags & EXPIRES != 0).then_some(expires as u64),
    })
}

fn words(state: KeyState) -> (u128, u128) {
    let flag = |set: bool, flag: u128| if set { flag } else { 0 };
    let flags = SET
        | flag(state.enabled, ENABLED)
        | flag(state.revoked.is_some(), REVOKED)
        | u128::from(state.revoked.unwrap_or(0)) << 8
        | flag(state.expires.is_some(), EXPIRES);
    (flags, state.expires.unwrap_or(0).into())
}

impl Engine {
    fn key_hash(&self, digest: &Digest) -> u64 {
        // No line of limits has the number 0.
        self.owners.hash(self.owners.owner(OwnerKind::Key, &digest.bytes), 0)
    }

    /// The state that all processes share; none in a process's own memory, or for a key that none registered.
    #[inline]
    pub(super) fn shared_key(&self, digest: &Digest) -> Option<KeyState> {
        if !self.shared {
            return None;
        }
        self.shared_key_words(digest).and_then(|(flags, expires)| of_words(flags, expires))
    }

    fn shared_key_words(&self, digest: &Digest) -> Option<(u128, u128)> {
        for _ in 0..ATTEMPTS {
            let Held::Line { line, words } = self.look(self.key_hash(digest)).0 else { return None };
            // As long as the count is the same the other words belong together.
            if self.store.read(line.count()) == words[1] {
                return Some((words[2], words[3]));
            }
        }
        None
    }

    /// Lets all processes know that a key was unlisted.
    pub(super) fn unlist_key(&self, digest: &Digest) {
        let same = |known: Option<KeyState>| known.unwrap_or_default();
        if self.shared_key(digest).is_some() {
            // There is room: the line is there.
            let _ = self.write_key(digest, &same, UNLISTED);
        }
    }

    /// Changes the state that all processes share; `None` if there is no room for it.
    pub(super) fn share_key(
        &self,
        digest: &Digest,
        change: &dyn Fn(Option<KeyState>) -> KeyState,
    ) -> Option<KeyState> {
        self.write_key(digest, change, 0)
    }

    fn write_key(
        &self,
        digest: &Digest,
        change: &dyn Fn(Option<KeyState>) -> KeyState,
        more: u128,
    ) -> Option<KeyState> {
        let hash = self.key_hash(digest);
        for _ in 0..ATTEMPTS {
            let mut txn = self.store.transaction();
            let (line, old) = match self.look(hash).0 {
                Held::Line { line, words } => (line, words),
                Held::Cell { .. } => return None,
                Held::Nowhere => match txn.claim(hash, Claim::Line { pinned: true }, false, &|_, _| None) {
                    Ok((line, _)) => {
                        let line = line?;
                        (line, txn.read_line(line))
                    }
                    Err(NoRoom::Taken) => continue,
                    Err(NoRoom::Full) => return None,
                },
            };
            let known = (Head::of(old[0]).tag == head_tag(hash)).then(|| of_words(old[2], old[3])).flatten();
            let mut state = change(known);
            state.revoke(known.and_then(|known| known.revoked));
            let (flags, expires) = words(state);
            txn.write(line.head(), old[0], Head { tag: head_tag(hash), ..Head::default() }.word());
            txn.write(line.count(), old[1], raised(old[1], 1));
            txn.write(line.quota(0), old[2], flags | more);
            txn.write(line.quota(1), old[3], expires);
            if txn.commit() {
                return Some(state);
            }
        }
        None
    }
}

impl KnownKeys for Engine {
    fn state(&self, digest: &Digest) -> Option<KeyState> {
        let (flags, expires) = self.shared_key_words(digest)?;
        let state = of_words(flags, expires)?;
        Some(match flags & UNLISTED {
            0 => state,
            _ => KeyState { revoked: state.revoked, ..KeyState::default() },
        })
    }
}
