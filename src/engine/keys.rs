//! States of keys in memory that is shared: a line per key, which every check of the key reads.
//!
//! Quota word 0: bit 0 set, bit 1 enabled, bit 2 revoked, bit 3 expires, bit 4 unlisted, bits 8..72 the first instant at which
//! it is revoked; quota word 1: the first instant at which it is expired. Revoked never goes back. A key that was unlisted keeps its state for processes that still
//! list it, and begins anew, but for being revoked, when it is listed again.
//!
//! A line that is not set is room for a state that no process has given yet. A line is pinned while its key is listed, and for
//! ever once that is revoked; of one that is not, nothing is lost.

use super::Engine;
use super::apply::KnownKeys;
use super::decide::{ATTEMPTS, Held};
use super::kinds::Kind;
use super::owners::OwnerKind;
use super::world::World;
use crate::key::{Digest, KeyState};
use crate::store::raised;

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

/// Whether nothing is lost with the line of these flags.
fn is_spare(flags: u128) -> bool {
    flags & SET == 0 || flags & (UNLISTED | REVOKED) == UNLISTED
}

/// In how many nanoseconds a key's line is of no use; `None`: never, as far as one can tell.
pub(super) fn age(&[_, _, flags, _]: &[u128; 4]) -> Option<u64> {
    is_spare(flags).then_some(0)
}

impl Engine {
    pub(super) fn key_hash(&self, digest: &Digest) -> u64 {
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
        self.unlist(self.key_hash(digest));
    }

    /// The same by the hash of its line; whether nothing is lost with that.
    pub(super) fn unlist(&self, hash: u64) -> bool {
        let state = self.write_key(hash, &|flags, expires| {
            (if flags & SET == 0 { 0 } else { flags | UNLISTED }, expires)
        });
        state.is_some_and(|(flags, _)| is_spare(flags))
    }

    /// Makes room for a key's state, noted in `made` if it is new; `None` if there is none.
    pub(super) fn keep_key(
        &self,
        world: &World,
        digest: &Digest,
        now: u64,
        made: &mut Vec<u64>,
    ) -> Option<()> {
        self.keep(world, self.key_hash(digest), &Kind::Key.fresh(), now, made)
    }

    /// Changes the state that all processes share; `None` if there is no room for it.
    pub(super) fn share_key(
        &self,
        digest: &Digest,
        change: &dyn Fn(Option<KeyState>) -> KeyState,
    ) -> Option<KeyState> {
        self.keep_key(&self.world.get(), digest, self.now().get(), &mut Vec::new())?;
        self.set_shared_key(digest, change)
    }

    /// The same for a key that room was made for.
    pub(super) fn set_shared_key(
        &self,
        digest: &Digest,
        change: &dyn Fn(Option<KeyState>) -> KeyState,
    ) -> Option<KeyState> {
        let change = |flags, expires| {
            let known = of_words(flags, expires);
            let mut state = change(known);
            state.revoke(known.and_then(|known| known.revoked));
            words(state)
        };
        self.write_key(self.key_hash(digest), &change).and_then(|(flags, expires)| of_words(flags, expires))
    }

    /// Changes flags and expiry of a key that has a line; gives what they are then.
    fn write_key(&self, hash: u64, change: &dyn Fn(u128, u128) -> (u128, u128)) -> Option<(u128, u128)> {
        for _ in 0..ATTEMPTS {
            let Held::Line { line, words } = self.look(hash).0 else { return None };
            let (flags, expires) = change(words[2], words[3]);
            let mut txn = self.store.transaction();
            // Had the line gone to another, its count would be another.
            txn.write(line.count(), words[1], raised(words[1], 1));
            txn.write(line.quota(0), words[2], flags);
            txn.write(line.quota(1), words[3], expires);
            if txn.commit() {
                return Some((flags, expires));
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
