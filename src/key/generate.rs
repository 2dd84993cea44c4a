//! New API keys, and how garbage is told from them without a look-up.
//!
//! A generated key is `PREFIX`, then 192 random bits as 33 digits of base 62 (62^33 > 2^192), then the
//! CRC-32 of all of that as 6 digits of base 62 (62^6 > 2^32): letters, digits and the underscores of
//! the prefix, so that a double click selects all of it and no header, URL, CSV or shell needs quotes.
//! The order of digits is that of GitHub's tokens, whose checksum is the same: `0-9A-Za-z`.
//!
//! A CRC-32 finds every error within 32 adjacent bits, so that no change of one character and no exchange
//! of two neighbours before the checksum goes unseen; of other garbage one in 2^32 passes. It keeps
//! no secret and proves nothing about who made a key.

use core::fmt;

use zeroize::Zeroizing;

use super::SecretKey;
use crate::error::KeyError;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Words of 32 random bits.
const WORDS: usize = 6;
/// Digits of base 62 that hold them.
const RANDOM_DIGITS: usize = 33;
const CHECKSUM_DIGITS: usize = 6;

/// Longest key that is generated or imported, in bytes.
const LONGEST: usize = 128;

/// The form of an application's generated keys: a prefix, random digits, a checksum.
///
/// ```
/// use tollgate::KeyFormat;
/// let format = KeyFormat::new("tg_live_")?;
/// let key = format.generate()?;
/// key.reveal(|text| {
///     // Hand it to its owner now: nobody can read it from the digest that is kept.
///     assert!(text.starts_with(b"tg_live_") && text.len() == 47);
///     assert!(format.matches(text));
/// });
/// assert!(!format.matches(b"tg_live_garbage"));
/// # Ok::<(), tollgate::KeyError>(())
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyFormat {
    prefix: Box<str>,
}

impl KeyFormat {
    /// Longest prefix, so that a key has at most 128 characters.
    pub const LONGEST_PREFIX: usize = LONGEST - RANDOM_DIGITS - CHECKSUM_DIGITS;

    /// Keys that begin with `prefix`: letters, digits and `_`; it may be empty.
    ///
    /// # Errors
    /// Other characters, more than [`LONGEST_PREFIX`](KeyFormat::LONGEST_PREFIX) of them.
    pub fn new(prefix: &str) -> Result<KeyFormat, KeyError> {
        let fits = prefix.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !fits || prefix.len() > KeyFormat::LONGEST_PREFIX {
            return Err(KeyError::Prefix(prefix.into()));
        }
        Ok(KeyFormat { prefix: prefix.into() })
    }

    /// What every key begins with.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// A new key of 192 bits from the operating system.
    ///
    /// # Errors
    /// The operating system has no random bits to give.
    pub fn generate(&self) -> Result<SecretKey, KeyError> {
        let mut bytes = Zeroizing::new([0; 4 * WORDS]);
        getrandom::fill(&mut *bytes).map_err(|error| KeyError::Random(error.to_string()))?;
        let mut words = Zeroizing::new([0; WORDS]);
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks().0) {
            *word = u32::from_ne_bytes(*bytes);
        }
        SecretKey::new(self.write(words))
    }

    /// Whether `key` has this form: its prefix, its length and a checksum that is right. A host all of whose
    /// keys were generated can refuse what does not match as unknown, without hashing it.
    pub fn matches(&self, key: &[u8]) -> bool {
        let Some((body, checksum)) = key.split_last_chunk::<CHECKSUM_DIGITS>() else { return false };
        let has_form = body.strip_prefix(self.prefix.as_bytes()).is_some_and(|random| {
            random.len() == RANDOM_DIGITS && random.iter().all(u8::is_ascii_alphanumeric)
        });
        let mut right = [0; CHECKSUM_DIGITS];
        has_form && {
            write_digits(&mut [crc32fast::hash(body)], &mut right);
            right == *checksum
        }
    }

    fn write(&self, mut words: Zeroizing<[u32; WORDS]>) -> Vec<u8> {
        // Of its full length at once: a buffer that grew would leave a copy behind.
        let (random, checksum) = (self.prefix.len(), self.prefix.len() + RANDOM_DIGITS);
        let mut text = vec![0; checksum + CHECKSUM_DIGITS];
        text[..random].copy_from_slice(self.prefix.as_bytes());
        write_digits(&mut *words, &mut text[random..checksum]);
        let sum = crc32fast::hash(&text[..checksum]);
        write_digits(&mut [sum], &mut text[checksum..]);
        text
    }
}

impl fmt::Display for KeyFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}<{RANDOM_DIGITS} random digits><{CHECKSUM_DIGITS} digits of checksum>", self.prefix)
    }
}

impl SecretKey {
    /// A new key: see [`KeyFormat`].
    ///
    /// # Errors
    /// As [`KeyFormat::new`] and [`KeyFormat::generate`].
    pub fn generate(prefix: &str) -> Result<SecretKey, KeyError> {
        KeyFormat::new(prefix)?.generate()
    }

    /// Shows the key's bytes to `show`, and wipes them.
    pub fn reveal<T>(self, show: impl FnOnce(&[u8]) -> T) -> T {
        show(self.bytes())
    }
}

/// Writes the number in `words`, the most significant first, in base 62. Dividing takes it from `words`: they are
/// 0 afterwards if `text` has room for all of it.
fn write_digits(words: &mut [u32], text: &mut [u8]) {
    for digit in text.iter_mut().rev() {
        let mut rest = 0u64;
        for word in words.iter_mut() {
            let value = rest << 32 | u64::from(*word);
            // Below 2^32, as `rest` is below the divisor.
            *word = (value / 62) as u32;
            rest = value % 62;
        }
        *digit = ALPHABET[rest as usize];
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn text(key: SecretKey) -> Vec<u8> {
        key.reveal(<[u8]>::to_vec)
    }

    fn format(prefix: &str) -> KeyFormat {
        KeyFormat::new(prefix).unwrap()
    }

    fn digits<const N: usize>(words: &mut [u32]) -> [u8; N] {
        let mut text = [0; N];
        write_digits(words, &mut text);
        text
    }

    fn of(prefix: &str, words: [u32; WORDS]) -> Vec<u8> {
        format(prefix).write(Zeroizing::new(words))
    }

    fn prefixes() -> impl Strategy<Value = String> {
        "[A-Za-z0-9_]{0,89}"
    }

    proptest! {
        #[test]
        fn a_generated_key_matches_its_format_and_is_as_long_as_it_may_be(
            prefix in prefixes(),
            words in any::<[u32; WORDS]>(),
        ) {
            let key = of(&prefix, words);
            prop_assert!(format(&prefix).matches(&key));
            prop_assert_eq!(key.len(), prefix.len() + 39);
            prop_assert!((20..=128).contains(&key.len()));
            prop_assert!(key.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'_'));
        }

        #[test]
        fn every_change_of_one_character_is_refused(words in any::<[u32; WORDS]>()) {
            let format = format("tg_live_");
            let mut key = format.write(Zeroizing::new(words));
            for at in 0..key.len() {
                let was = key[at];
                for byte in (0..=255).filter(|byte| *byte != was) {
                    key[at] = byte;
                    prop_assert!(!format.matches(&key), "{at} {byte}");
                }
                key[at] = was;
            }
        }

        #[test]
        fn every_exchange_of_neighbours_is_refused(words in any::<[u32; WORDS]>()) {
            let format = format("tg_live_");
            let mut key = format.write(Zeroizing::new(words));
            for at in 1..key.len() {
                if key[at - 1] != key[at] {
                    key.swap(at - 1, at);
                    prop_assert!(!format.matches(&key), "{at}");
                    key.swap(at - 1, at);
                }
            }
        }

        #[test]
        fn what_is_cut_longer_or_of_another_prefix_is_refused(words in any::<[u32; WORDS]>()) {
            let live = of("tg_live_", words);
            let test = of("tg_test_", words);
            prop_assert!(!format("tg_test_").matches(&live));
            prop_assert!(!format("").matches(&live));
            prop_assert!(!format("tg_").matches(&live));
            prop_assert!(!format("tg_live_2").matches(&live));
            // The checksum is one of the prefix, too.
            let moved = [b"tg_test_".as_slice(), &live[8..]].concat();
            prop_assert!(!format("tg_test_").matches(&moved) && format("tg_test_").matches(&test));
            for cut in 0..live.len() {
                prop_assert!(!format("tg_live_").matches(&live[..cut]));
            }
            prop_assert!(!format("tg_live_").matches(&[live.as_slice(), b"0"].concat()));
        }

        #[test]
        fn garbage_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!format("").matches(&bytes));
        }

        #[test]
        fn digits_are_the_number_in_base_62(number in any::<u128>()) {
            let mut words = [96, 64, 32, 0].map(|shift| (number >> shift) as u32);
            let text = digits::<22>(&mut words);
            prop_assert_eq!(words, [0; 4]);
            let back = text.iter().fold(0u128, |sum, digit| {
                sum * 62 + ALPHABET.iter().position(|other| other == digit).unwrap() as u128
            });
            prop_assert_eq!(back, number);
        }
    }

    #[test]
    fn all_192_bits_are_kept() {
        assert_eq!(of("", [0; WORDS])[..33], *b"0".repeat(33));
        let most = of("", [u32::MAX; WORDS]);
        let mut all = HashSet::from([of("", [0; WORDS]), most]);
        for bit in 0..192 {
            let mut words = [0; WORDS];
            words[bit / 32] = 1 << (bit % 32);
            assert!(all.insert(of("", words)), "{bit}");
        }
        // 62^33 is more than 2^192: dividing leaves nothing.
        let mut words = [u32::MAX; WORDS];
        digits::<RANDOM_DIGITS>(&mut words);
        assert_eq!(words, [0; WORDS]);
    }

    #[test]
    fn the_checksum_is_the_crc_32_of_all_before_it() {
        // The check value of CRC-32/ISO-HDLC, 0xCBF43926 of "123456789", in base 62.
        assert_eq!(crc32fast::hash(b"123456789"), 0xCBF4_3926);
        assert_eq!(digits::<CHECKSUM_DIGITS>(&mut [0xCBF4_3926]), *b"3jZRME");
    }

    #[test]
    fn keys_are_different() {
        let format = format("tg_live_");
        let keys: HashSet<_> = (0..10_000).map(|_| text(format.generate().unwrap())).collect();
        assert_eq!(keys.len(), 10_000);
        // Every digit of the random part but the first, which is 0 to 2, takes all 62 values.
        for at in 9..41 {
            assert_eq!(keys.iter().map(|key| key[at]).collect::<HashSet<_>>().len(), 62, "{at}");
        }
    }

    #[test]
    fn a_prefix_is_letters_digits_and_underscores() {
        for good in ["", "tg_live_", "A9", &"x".repeat(89)] {
            assert_eq!(KeyFormat::new(good).unwrap().prefix(), good);
        }
        for bad in ["tg-", "a b", "a,b", "é", "=x", "\0", &"x".repeat(90)] {
            let error = KeyFormat::new(bad).unwrap_err();
            assert!(error.to_string().contains("at most 89"), "{error}");
        }
    }

    #[test]
    fn nothing_prints_the_secret() {
        let format = format("tg_live_");
        let key = format.generate().unwrap();
        let shown = format!("{key:?} {key:#?} {format:?} {format}");
        let secret = String::from_utf8(text(key)).unwrap();
        for part in [&secret[8..], &secret[8..16], &secret[41..]] {
            assert!(!shown.contains(part), "{shown}");
        }
    }
}
