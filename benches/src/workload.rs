//! Keys, and the streams of them that contenders read: made before anything is timed, the same for all.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::Zipf;
use serde::Serialize;

/// A key of 32 ASCII letters, digits and hyphens.
#[derive(Clone, Copy)]
pub struct Key([u8; 32]);

impl Key {
    /// The key of a number.
    pub fn new(number: u32) -> Key {
        // A letter from a to p for each half byte.
        let mut x = u64::from(number);
        x = (x | x << 16) & 0x0000_ffff_0000_ffff;
        x = (x | x << 8) & 0x00ff_00ff_00ff_00ff;
        x = (x | x << 4) & 0x0f0f_0f0f_0f0f_0f0f;
        let letters = (x + 0x6161_6161_6161_6161).to_le_bytes();
        let mut bytes = *b"key-of-a-client-________-32bytes";
        bytes[16..24].copy_from_slice(&letters);
        Key(bytes)
    }

    /// The key's bytes.
    #[inline(always)]
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as text. Free, so that peers that take text do not pay for a look at every byte that a caller who
    /// has text would not need.
    #[inline(always)]
    pub fn text(&self) -> &str {
        // SAFETY: `new`, the only constructor, makes ASCII.
        unsafe { std::str::from_utf8_unchecked(&self.0) }
    }
}

/// Which keys come how often.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Distribution {
    /// All equally.
    Uniform,
    /// By Zipf's law with exponent 0.99: with a million keys, the first has 7 % of all checks.
    Zipf,
}

/// How many checks are refused.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mix {
    /// None.
    Allowed,
    /// Nine in ten: those of nine keys in ten, whose burst was taken before. The tenth key is asked about as often as
    /// any other tenth key, whatever the distribution: who asks most is who is refused.
    Denied,
    /// Every one: all keys' burst was taken before.
    Refused,
}

/// A population of keys and how they are asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
pub struct Workload {
    /// How many keys there are: numbers from 0.
    pub keys: u32,
    /// Which come how often.
    pub distribution: Distribution,
    /// How many checks are refused.
    pub mix: Mix,
}

/// Of ten keys, how many are drained under [`Mix::Denied`].
const DRAINED_OF_TEN: u32 = 9;
const ZIPF_EXPONENT: f64 = 0.99;
/// Prime and larger than any population: multiplied by it, ranks are a permutation of the keys.
const SCATTER: u64 = 2_654_435_761;

impl Workload {
    /// Whether the key of this number has no allowance left when the first check is timed.
    pub fn is_drained(&self, number: u32) -> bool {
        match self.mix {
            Mix::Allowed => false,
            Mix::Denied => number % 10 < DRAINED_OF_TEN,
            Mix::Refused => true,
        }
    }

    /// What share of a stream is to be refused.
    pub fn denied_share(&self) -> f64 {
        match self.mix {
            Mix::Allowed => 0.0,
            Mix::Denied => f64::from(DRAINED_OF_TEN) / 10.0,
            Mix::Refused => 1.0,
        }
    }

    /// A stream of `count` keys. Under [`Mix::Denied`] each check is first drawn to be of a drained key or not, so
    /// that the share does not depend on which class the most frequent keys are in.
    ///
    /// # Panics
    /// If the population cannot be split as its mix wants: ten keys are the least for [`Mix::Denied`].
    pub fn stream(&self, count: usize, seed: u64) -> Vec<Key> {
        let mut rng = StdRng::seed_from_u64(seed);
        if self.mix != Mix::Denied {
            let draw = Draw::new(self.keys, self.distribution);
            return (0..count).map(|_| Key::new(draw.number(&mut rng))).collect();
        }
        assert!(
            self.keys >= 10 && self.keys.is_multiple_of(10),
            "{} keys cannot be split nine to one",
            self.keys
        );
        let drained = Draw::new(self.keys / 10 * DRAINED_OF_TEN, self.distribution);
        let fresh = Draw::new(self.keys / 10, Distribution::Uniform);
        let number = |rng: &mut StdRng| match rng.random_range(0..10) < DRAINED_OF_TEN {
            true => {
                let n = drained.number(rng);
                n / DRAINED_OF_TEN * 10 + n % DRAINED_OF_TEN
            }
            false => fresh.number(rng) * 10 + DRAINED_OF_TEN,
        };
        (0..count).map(|_| Key::new(number(&mut rng))).collect()
    }
}

/// Draws from numbers below a bound.
struct Draw {
    bound: u32,
    zipf: Option<Zipf<f64>>,
}

impl Draw {
    fn new(bound: u32, distribution: Distribution) -> Draw {
        let zipf = match distribution {
            Distribution::Uniform => None,
            Distribution::Zipf => Zipf::new(f64::from(bound), ZIPF_EXPONENT).ok(),
        };
        Draw { bound, zipf }
    }

    fn number(&self, rng: &mut StdRng) -> u32 {
        match &self.zipf {
            None => rng.random_range(0..self.bound),
            Some(zipf) => {
                // Ranks from 1. Scattered, so that frequent keys are not those that were inserted first, which
                // would have neighbours on the heap.
                let rank = rng.sample(zipf) as u64 - 1;
                (rank * SCATTER % u64::from(self.bound)) as u32
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn counts(workload: &Workload, count: usize) -> Vec<usize> {
        let mut counts: HashMap<[u8; 32], usize> = HashMap::new();
        for key in workload.stream(count, 7) {
            *counts.entry(*key.bytes()).or_default() += 1;
        }
        (0..workload.keys).map(|n| counts.get(Key::new(n).bytes()).copied().unwrap_or(0)).collect()
    }

    #[test]
    fn keys_are_ascii_and_differ() {
        let keys: std::collections::HashSet<_> = (0..100_000).map(|n| *Key::new(n).bytes()).collect();
        assert_eq!(keys.len(), 100_000);
        assert!(keys.iter().flatten().all(u8::is_ascii));
    }

    #[test]
    fn nine_checks_in_ten_are_of_drained_keys() {
        for distribution in [Distribution::Uniform, Distribution::Zipf] {
            let workload = Workload { keys: 1_000, distribution, mix: Mix::Denied };
            let counts = counts(&workload, 100_000);
            assert_eq!(counts.iter().sum::<usize>(), 100_000, "no key from outside the population");
            let drained: usize =
                (0u32..).zip(&counts).filter(|(n, _)| workload.is_drained(*n)).map(|(_, c)| c).sum();
            assert!((89_000..91_000).contains(&drained), "{distribution:?}: {drained}");
        }
    }

    #[test]
    fn zipf_prefers_few_keys_and_uniform_none() {
        let workload = |distribution| Workload { keys: 1_000, distribution, mix: Mix::Allowed };
        let most = |distribution| *counts(&workload(distribution), 100_000).iter().max().unwrap();
        // 1 / (1 + 1/2^.99 + ... + 1/1000^.99) of all are of the first: 13 %.
        assert!((12_000..14_500).contains(&most(Distribution::Zipf)), "{}", most(Distribution::Zipf));
        assert!(most(Distribution::Uniform) < 200, "{}", most(Distribution::Uniform));
    }
}
