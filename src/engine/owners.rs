//! Numbers for whoever owns state: keyed hashes, so that nobody can aim for another's cell.

use ahash::RandomState;
use rapidhash::v3::{RapidSecrets, rapidhash_v3_inline};
use siphasher::sip::SipHasher13;
use siphasher::sip128;

/// Keeps the kinds of owners apart.
#[derive(Clone, Copy)]
pub(super) enum OwnerKind {
    Subject,
    Anonymous,
    Pool,
    Key,
}

/// In a process's own memory the fastest keyed hash (rapidhash, every one of its secrets drawn at random); in memory that
/// other builds may open SipHash-1-3.
pub(super) struct Owners {
    hash: Hash,
    line_key: u64,
    identities: sip128::SipHasher13,
}

enum Hash {
    /// By [`OwnerKind`].
    Own([RapidSecrets; 4]),
    Specified([SipHasher13; 4]),
}

impl Owners {
    /// Under keys that only this engine knows.
    pub(super) fn random() -> Owners {
        let random = || RandomState::new().hash_one(0);
        Owners {
            hash: Hash::Own(core::array::from_fn(|_| {
                let mut secrets = RapidSecrets::seed(random());
                secrets.seed = random();
                secrets.secrets = core::array::from_fn(|_| random());
                secrets
            })),
            line_key: random(),
            identities: sip128::SipHasher13::new_with_keys(random(), random()),
        }
    }

    /// Under a region's seed: the same in every process.
    pub(super) fn seeded(seed: u128) -> Owners {
        let key =
            |n: u64| SipHasher13::new_with_keys(seed as u64, (seed >> 64) as u64).hash(&n.to_le_bytes());
        let hasher = |n: usize| SipHasher13::new_with_keys(key(2 * n as u64), key(2 * n as u64 + 1));
        Owners {
            hash: Hash::Specified(core::array::from_fn(hasher)),
            line_key: key(100),
            identities: sip128::SipHasher13::new_with_keys(key(101), key(102)),
        }
    }

    #[inline(always)]
    pub(super) fn owner(&self, kind: OwnerKind, name: &[u8]) -> u64 {
        match &self.hash {
            Hash::Own(secrets) if name.len() <= SHORT => own(&secrets[kind as usize], name),
            Hash::Own(secrets) => own_long(&secrets[kind as usize], name),
            Hash::Specified(hashers) => specified(&hashers[kind as usize], name),
        }
    }

    /// The hash of an owner's state in a line, 63 bits: folded multiplication, as the owner is hashed already.
    #[inline]
    pub(super) fn hash(&self, owner: u64, line: u32) -> u64 {
        let line = self.line_key ^ u64::from(line).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let product = u128::from(owner ^ line) * u128::from(line | 1);
        (product as u64 ^ (product >> 64) as u64) >> 1
    }

    /// What stands for a limit, or a group of limits, of these names: 127 bits.
    pub(super) fn identity(&self, parts: &[&str]) -> u128 {
        let mut bytes = Vec::new();
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part.as_bytes());
        }
        self.identities.hash(&bytes).as_u128() >> 1
    }
}

/// Names up to this length are hashed in line.
const SHORT: usize = 64;

/// With rapidhash's last step, which is the one that tells names of one to three bytes apart by their length.
#[inline(always)]
fn own(secrets: &RapidSecrets, name: &[u8]) -> u64 {
    rapidhash_v3_inline::<true, true, true>(name, secrets)
}

#[inline(never)]
fn own_long(secrets: &RapidSecrets, name: &[u8]) -> u64 {
    own(secrets, name)
}

#[inline(never)]
fn specified(hasher: &SipHasher13, name: &[u8]) -> u64 {
    hasher.hash(name)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_name_has_a_hash_of_its_own() {
        for owners in [Owners::random(), Owners::seeded(7)] {
            let mut seen = HashSet::new();
            let mut count = 0;
            // Names that differ in their length alone, or in one place.
            for length in 1..=200usize {
                for byte in [0, b'1', b'x', 255] {
                    let mut name = vec![byte; length];
                    for at in 0..=length {
                        seen.insert(owners.hash(owners.owner(OwnerKind::Anonymous, &name), 1));
                        count += 1;
                        if let Some(byte) = name.get_mut(at) {
                            *byte ^= 1;
                        }
                    }
                }
            }
            assert_eq!(seen.len(), count);
        }
    }
}
