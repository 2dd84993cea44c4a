//! What stands for a key at rest.

use core::fmt;
use core::hash::{Hash, Hasher};

use subtle::ConstantTimeEq;

use crate::error::KeyError;

/// How a digest was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Method {
    /// SHA-256 of the key.
    Sha256,
    /// HMAC-SHA-256 under the pepper of this number in [`Peppers`](super::Peppers).
    Hmac(u8),
}

/// A key's identity. Looked up by a keyed hash only, compared in constant time.
#[derive(Clone, Copy)]
pub(crate) struct Digest {
    pub(crate) method: Method,
    pub(crate) bytes: [u8; 32],
}

impl Digest {
    /// Reads the 64 hexadecimal digits of `text`, which no error repeats: somebody may have put the
    /// key itself there.
    pub(crate) fn parse(method: Method, text: &str) -> Result<Digest, KeyError> {
        let wrong = || KeyError::Digest(text.chars().count());
        let mut bytes = [0; 32];
        if text.len() != 64 {
            return Err(wrong());
        }
        for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let nibble = |c: u8| (c as char).to_digit(16).ok_or_else(wrong);
            // Two digits below 16 each.
            *byte = (nibble(pair[0])? * 16 + nibble(pair[1])?) as u8;
        }
        Ok(Digest { method, bytes })
    }

    /// 64 hexadecimal digits.
    pub(crate) fn hex(&self) -> String {
        let digits = self.bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        digits.map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)])).collect()
    }
}

impl PartialEq for Digest {
    fn eq(&self, other: &Digest) -> bool {
        self.method == other.method && bool::from(self.bytes.ct_eq(&other.bytes))
    }
}

impl Eq for Digest {}

impl Hash for Digest {
    fn hash<H: Hasher>(&self, state: &mut H) {
        core::mem::discriminant(&self.method).hash(state);
        self.bytes.hash(state);
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({:?}, ..)", self.method)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_64_hex_digits() {
        let hex = "00ff".repeat(16);
        assert_eq!(Digest::parse(Method::Sha256, &hex).unwrap().bytes[..2], [0, 255]);
        assert_eq!(Digest::parse(Method::Sha256, &hex.to_uppercase()).unwrap().bytes[1], 255);
        let ascending = (0..32).map(|n| format!("{:02x}", n * 8 + 1)).collect::<String>();
        assert_eq!(Digest::parse(Method::Sha256, &ascending).unwrap().hex(), ascending);
        for bad in ["", "00", &"0".repeat(63), &"0".repeat(65), &"g".repeat(64), &"é".repeat(32)] {
            let error = Digest::parse(Method::Sha256, bad).unwrap_err();
            assert!(bad.is_empty() || !error.to_string().contains(bad));
        }
    }
}
