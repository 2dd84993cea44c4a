//! Numbers for whoever owns state: keyed hashes, so that nobody can aim for another's cell.

use ahash::RandomState;
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

/// In a process's own memory the fastest keyed hash; in memory that other builds may open SipHash-1-3, whose output is
/// specified.
pub(super) struct Owners {
    hash: Hash,
    line_key: u64,
    identities: sip128::SipHasher13,
}

enum Hash {
    /// By [`OwnerKind`].
    Own([RandomState; 4]),
    Specified([SipHasher13; 4]),
}

impl Owners {
    /// Under keys that only this engine knows.
    pub(super) fn random() -> Owners {
        let random = || RandomState::new().hash_one(0);
        Owners {
            hash: Hash::Own(core::array::from_fn(|_| RandomState::new())),
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

    #[inline]
    pub(super) fn owner(&self, kind: OwnerKind, name: &[u8]) -> u64 {
        match &self.hash {
            Hash::Own(states) => states[kind as usize].hash_one(name),
            Hash::Specified(hashers) => hashers[kind as usize].hash(name),
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
