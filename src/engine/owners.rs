//! Numbers for whoever owns state: keyed hashes, so that nobody can aim for another's cell.

use rapidhash::v3::{RapidSecrets, rapidhash_v3_seeded};
use siphasher::sip::SipHasher13;
use siphasher::sip128;

use super::kinds::Kind;
use super::snapshot::HashId;

/// 128 bits that nobody can foresee.
pub(super) fn random() -> u128 {
    use std::hash::BuildHasher;
    let half = || u128::from(std::collections::hash_map::RandomState::new().hash_one(0));
    half() << 64 | half()
}

/// Keeps the kinds of owners apart.
#[derive(Clone, Copy)]
pub(super) enum OwnerKind {
    Subject,
    Anonymous,
    Pool,
    Key,
}

/// In a process's own memory a fast keyed hash, its secrets drawn from a random seed by SipHash-1-3; in memory that other
/// builds may open SipHash-1-3 itself.
pub(super) struct Owners {
    /// What the hashes are made of.
    id: HashId,
    hash: Hash,
    line_key: u64,
    identities: sip128::SipHasher13,
}

enum Hash {
    /// By [`OwnerKind`].
    Own([Own; 4]),
    Specified([SipHasher13; 4]),
}

/// Names of 8 to 32 bytes are hashed by NH with words of 64 bits (Black, Halevi, Krawczyk, Krovetz and Rogaway, "UMAC:
/// Fast and Secure Message Authentication", CRYPTO 1999): the sum of products of word and key pairs, under which two
/// names of a length collide with a probability of 2^-64, before the sum is folded to 64 bits. The length is added under
/// a key of its own. Other names are hashed by rapidhash.
struct Own {
    keys: [u64; 6],
    length: u64,
    other: RapidSecrets,
}

impl Own {
    /// Under the next keys.
    fn of(next: &mut impl FnMut() -> u64) -> Own {
        let mut other = RapidSecrets::seed(next());
        other.seed = next();
        other.secrets = core::array::from_fn(|_| next());
        Own { keys: core::array::from_fn(|_| next()), length: next() | 1, other }
    }

    #[inline(always)]
    fn hash(&self, name: &[u8]) -> u64 {
        self.hash_usual(name).unwrap_or_else(|| self.hash_other(name))
    }

    /// Of 8 to 32 bytes.
    #[inline(always)]
    fn hash_usual(&self, name: &[u8]) -> Option<u64> {
        let sum = match (name.first_chunk::<16>(), name.last_chunk::<16>()) {
            _ if name.len() > 32 => return None,
            // Of 16 bytes both are the same.
            (Some(first), Some(last)) => self.product(0, first).wrapping_add(self.product(2, last)),
            _ => {
                let (first, last) = (name.first_chunk::<8>()?, name.last_chunk::<8>()?);
                let (first, last) = (u64::from_le_bytes(*first), u64::from_le_bytes(*last));
                let words = u128::from(first) << 64 | u128::from(last);
                self.product(4, &words.to_le_bytes())
            }
        };
        Some((sum as u64 ^ (sum >> 64) as u64).wrapping_add((name.len() as u64).wrapping_mul(self.length)))
    }

    /// The product of two words under keys number `n` and `n + 1`.
    #[inline(always)]
    fn product(&self, n: usize, bytes: &[u8; 16]) -> u128 {
        let words = u128::from_le_bytes(*bytes);
        let one = (words as u64).wrapping_add(self.keys[n]);
        let other = ((words >> 64) as u64).wrapping_add(self.keys[n + 1]);
        u128::from(one) * u128::from(other)
    }

    #[inline(never)]
    fn hash_other(&self, name: &[u8]) -> u64 {
        rapidhash_v3_seeded(name, &self.other)
    }
}

impl Owners {
    /// Under a seed that only this engine knows.
    pub(super) fn random() -> Owners {
        Owners::of(HashId { specified: false, seed: random() })
    }

    /// Under a region's seed: the same in every process.
    pub(super) fn seeded(seed: u128) -> Owners {
        Owners::of(HashId { specified: true, seed })
    }

    /// The same hashes from the same seed, whichever process.
    pub(super) fn of(id: HashId) -> Owners {
        let seed = id.seed;
        let key =
            |n: u64| SipHasher13::new_with_keys(seed as u64, (seed >> 64) as u64).hash(&n.to_le_bytes());
        let hash = if id.specified {
            let hasher = |n: usize| SipHasher13::new_with_keys(key(2 * n as u64), key(2 * n as u64 + 1));
            Hash::Specified(core::array::from_fn(hasher))
        } else {
            let mut number = 1_000;
            let mut next = || {
                number += 1;
                key(number)
            };
            Hash::Own(core::array::from_fn(|_| Own::of(&mut next)))
        };
        let identities = sip128::SipHasher13::new_with_keys(key(101), key(102));
        Owners { id, hash, line_key: key(100), identities }
    }

    /// From which these hashes can be made again.
    pub(super) fn id_of_hash(&self) -> HashId {
        self.id
    }

    #[inline(always)]
    pub(super) fn owner(&self, kind: OwnerKind, name: &[u8]) -> u64 {
        match &self.hash {
            Hash::Own(hashers) => hashers[kind as usize].hash(name),
            Hash::Specified(hashers) => specified(&hashers[kind as usize], name),
        }
    }

    /// The same for a name of 8 to 32 bytes in a process's own memory: without a call.
    #[inline(always)]
    pub(super) fn owner_of_usual(&self, kind: OwnerKind, name: &[u8]) -> Option<u64> {
        match &self.hash {
            Hash::Own(hashers) => hashers[kind as usize].hash_usual(name),
            Hash::Specified(_) => None,
        }
    }

    /// The hash of an owner's state in a line, 63 bits: folded multiplication, as the owner is hashed already.
    #[inline]
    pub(super) fn hash(&self, owner: u64, line: u32) -> u64 {
        let line = self.line_key ^ u64::from(line).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let product = u128::from(owner ^ line) * u128::from(line | 1);
        (product as u64 ^ (product >> 64) as u64) >> 1
    }

    /// The hash of an owner's line of a kind that belongs to a line of limits.
    #[inline]
    pub(super) fn hash_of(&self, owner: u64, line: u32, kind: Kind) -> u64 {
        self.hash(owner ^ kind.salt().wrapping_mul(0xd6e8_feb8_6659_fd93), line)
    }

    /// What stands for the id of a request.
    pub(super) fn id(&self, id: &[u8]) -> u128 {
        self.identities.hash(id).as_u128()
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

#[inline(never)]
fn specified(hasher: &SipHasher13, name: &[u8]) -> u64 {
    hasher.hash(name)
}

#[cfg(all(test, not(any(loom, shuttle))))]
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

    type Pattern<'a> = (&'a str, &'a dyn Fn(u32) -> Vec<u8>);

    /// Names as hosts have them: numbered, in decimal, in letters, in the bits of an address.
    #[test]
    fn names_of_a_pattern_spread_like_random_ones() {
        const BUCKETS: usize = 4096;
        const NAMES: u32 = 1 << 16;
        let in_letters = |n: u32| {
            let mut key = *b"key-of-a-client-________-32bytes";
            for (place, byte) in key[16..24].iter_mut().enumerate() {
                *byte = b'a' + (n >> (4 * place) & 15) as u8;
            }
            key.to_vec()
        };
        let patterns: [Pattern<'_>; 6] = [
            ("letters", &in_letters),
            ("decimal", &|n| format!("client-{n:09}").into_bytes()),
            ("long", &|n| format!("a-client-with-a-name-{n:x}-and-more-behind-it").into_bytes()),
            ("address", &|n| n.to_be_bytes().to_vec()),
            ("wide address", &|n| [&[0x20, 1, 0xd, 0xb8][..], &[0; 8], &n.to_be_bytes()].concat()),
            ("prefix", &|n| [&[0x20, 1, 0xd, 0xb8][..], &n.to_be_bytes(), &[0; 8]].concat()),
        ];
        for _ in 0..20 {
            let owners = Owners::random();
            for (name, pattern) in patterns {
                for shift in [0, 20, 31, 51] {
                    let mut counts = vec![0u32; BUCKETS];
                    for n in 0..NAMES {
                        let hash = owners.hash(owners.owner(OwnerKind::Anonymous, &pattern(n)), 1);
                        counts[(hash >> shift) as usize % BUCKETS] += 1;
                    }
                    let expected = f64::from(NAMES) / BUCKETS as f64;
                    let chi2: f64 =
                        counts.iter().map(|&n| (f64::from(n) - expected).powi(2) / expected).sum();
                    // 4095 degrees of freedom: within 8 standard deviations of 90.
                    assert!(chi2 < 4095.0 + 8.0 * 90.5, "{name} {shift}: {chi2}");
                }
            }
        }
    }
}
