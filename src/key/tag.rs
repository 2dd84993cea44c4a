//! A 128-bit tag that stands for a key in this process: nobody who does not know the keys it was made under, which the
//! process drew at random, can find a second key of the same tag, or foresee where it is kept.
//!
//! Where the processor has AES instructions it is a message authentication code in the form of Pelican (Daemen and
//! Rijmen, "The Pelican MAC Function", 2005): each block is added to a state that goes through four rounds of AES; at
//! the end come the length and four rounds more. Even and odd blocks have states, and round keys, of their own. Four
//! rounds let no difference pass with a probability above 2^-113 (Keliher and Sui, 2007). All round keys are secret and drawn one by one, as in Minematsu and Tsunoo's proof for such
//! constructions (FSE 2006). Elsewhere it is SipHash-1-3 with 128 bits.

#[cfg(target_arch = "x86_64")]
mod aes;

use siphasher::sip128::SipHasher13;

/// What stands for a key in this process. Never shown.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(pub u128);

/// See the module's comment.
pub(super) enum Tagger {
    #[cfg(target_arch = "x86_64")]
    Aes(aes::Mac),
    Sip(SipHasher13),
}

fn random() -> u64 {
    use std::hash::BuildHasher;
    std::collections::hash_map::RandomState::new().hash_one(0)
}

impl Tagger {
    pub(super) fn new() -> Tagger {
        #[cfg(target_arch = "x86_64")]
        if let Some(mac) = aes::Mac::new(|| u128::from(random()) << 64 | u128::from(random())) {
            return Tagger::Aes(mac);
        }
        Tagger::portable()
    }

    fn portable() -> Tagger {
        Tagger::Sip(SipHasher13::new_with_keys(random(), random()))
    }

    #[inline(always)]
    pub(super) fn tag(&self, key: &[u8]) -> Tag {
        match self {
            #[cfg(target_arch = "x86_64")]
            Tagger::Aes(mac) => Tag(mac.tag(key)),
            Tagger::Sip(hasher) => Tag(hasher.hash(key).as_u128()),
        }
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_key_has_a_tag_of_its_own() {
        for tagger in [Tagger::new(), Tagger::portable()] {
            let mut seen = HashSet::new();
            for length in 0..100 {
                // Zeros as well: keys that differ in nothing but their length.
                let mut key = vec![0u8; length];
                assert!(seen.insert(tagger.tag(&key).0), "{length}");
                for bit in 0..8 * length {
                    key[bit / 8] ^= 1 << (bit % 8);
                    assert!(seen.insert(tagger.tag(&key).0), "{length} {bit}");
                    assert!(tagger.tag(&key.clone()) == tagger.tag(&key));
                    key[bit / 8] ^= 1 << (bit % 8);
                }
            }
            // Half of the bits differ between any two.
            let ones: u32 = seen.iter().map(|tag| tag.count_ones()).sum();
            let share = f64::from(ones) / (128.0 * seen.len() as f64);
            assert!((0.49..0.51).contains(&share), "{share}");
        }
    }

    #[test]
    fn another_process_has_other_tags() {
        assert!(Tagger::new().tag(b"key") != Tagger::new().tag(b"key"));
    }
}
