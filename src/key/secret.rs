//! A key on its way into the registry.

use core::fmt;

use zeroize::Zeroizing;

use super::MAX_KEY;
use super::digest::Method;
use super::pepper::Peppers;
use crate::error::KeyError;

/// The bytes of an API key: wiped when dropped, never printed.
///
/// ```
/// use tollgate::SecretKey;
/// let key = SecretKey::new("made-up")?;
/// assert_eq!(format!("{key:?}"), "SecretKey(..)");
/// # Ok::<(), tollgate::KeyError>(())
/// ```
#[derive(Clone)]
pub struct SecretKey(Zeroizing<Vec<u8>>);

impl SecretKey {
    /// A key of 1 to 4096 bytes.
    ///
    /// # Errors
    /// Any other length.
    pub fn new(key: impl Into<Vec<u8>>) -> Result<SecretKey, KeyError> {
        let key = Zeroizing::new(key.into());
        match key.len() {
            1..=MAX_KEY => Ok(SecretKey(key)),
            length => Err(KeyError::Length(length)),
        }
    }

    /// The key's SHA-256 as 64 hexadecimal digits, as [`Key::sha256`](crate::Key::sha256) takes it.
    ///
    /// ```
    /// # let made_up = tollgate::SecretKey::new("abc")?;
    /// assert!(made_up.sha256().starts_with("ba7816bf"));
    /// # Ok::<(), tollgate::KeyError>(())
    /// ```
    pub fn sha256(&self) -> String {
        Peppers::default().digest(Method::Sha256, &self.0).hex()
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(..)")
    }
}
