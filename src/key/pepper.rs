//! Peppers: secrets that digests are keyed with.

use core::fmt;
use std::path::Path;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::SecretKey;
use super::digest::{Digest, Method};
use crate::error::KeyError;

/// A named secret of at least 16 bytes. Wiped when dropped, never printed.
///
/// ```
/// use tollgate::Pepper;
/// let pepper = Pepper::new("2026a", b"an example, not a secret".to_vec())?;
/// assert_eq!(format!("{pepper:?}"), "Pepper(\"2026a\")");
/// # Ok::<(), tollgate::KeyError>(())
/// ```
#[derive(Clone)]
pub struct Pepper {
    name: String,
    secret: Zeroizing<Vec<u8>>,
}

impl Pepper {
    /// A pepper from bytes.
    ///
    /// # Errors
    /// A name that is empty or holds a `:`, fewer than 16 bytes.
    pub fn new(name: &str, secret: Vec<u8>) -> Result<Pepper, KeyError> {
        let secret = Zeroizing::new(secret);
        let problem = |problem: &str| KeyError::Pepper { name: name.into(), problem: problem.into() };
        if name.is_empty() || name.contains(':') {
            return Err(problem("a name is not empty and holds no ':'"));
        }
        if secret.len() < 16 {
            return Err(problem("a pepper has at least 16 bytes"));
        }
        Ok(Pepper { name: name.into(), secret })
    }

    /// A pepper from a file: all of its bytes, less one line end.
    ///
    /// # Errors
    /// As [`Pepper::new`], and a file that cannot be read.
    pub fn from_file(name: &str, path: &Path) -> Result<Pepper, KeyError> {
        let mut secret = std::fs::read(path).map_err(|error| KeyError::Pepper {
            name: name.into(),
            problem: format!("{}: {error}", path.display()),
        })?;
        if secret.ends_with(b"\n") {
            secret.pop();
        }
        if secret.ends_with(b"\r") {
            secret.pop();
        }
        Pepper::new(name, secret)
    }

    /// A pepper from an environment variable.
    ///
    /// # Errors
    /// As [`Pepper::new`], and a variable that is not set.
    pub fn from_env(name: &str, variable: &str) -> Result<Pepper, KeyError> {
        let secret = std::env::var_os(variable).ok_or_else(|| KeyError::Pepper {
            name: name.into(),
            problem: format!("the environment variable {variable} is not set"),
        })?;
        Pepper::new(name, secret.into_encoded_bytes())
    }

    /// What digests under this pepper begin with.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The HMAC-SHA-256 of `key` as `NAME:` and 64 hexadecimal digits, as [`Key::hmac`](crate::Key::hmac) takes it.
    pub fn hmac(&self, key: &SecretKey) -> String {
        let digest = Digest { method: Method::Hmac(0), bytes: self.mac(key.bytes()) };
        format!("{}:{}", self.name, digest.hex())
    }

    fn mac(&self, key: &[u8]) -> [u8; 32] {
        match Hmac::<Sha256>::new_from_slice(&self.secret) {
            Ok(mut mac) => {
                mac.update(key);
                mac.finalize().into_bytes().into()
            }
            Err(_) => unreachable!("HMAC takes a key of any length"),
        }
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper({:?})", self.name)
    }
}

/// The peppers of an engine, the first being the one for new keys.
#[derive(Clone, Debug, Default)]
pub(crate) struct Peppers(Vec<Pepper>);

impl Peppers {
    /// # Errors
    /// A name that is already taken, more than 255 peppers.
    pub(crate) fn add(&mut self, pepper: Pepper) -> Result<(), KeyError> {
        if self.0.iter().any(|other| other.name == pepper.name) || self.0.len() == 255 {
            return Err(KeyError::Pepper {
                name: pepper.name,
                problem: "the name is taken (or there are 255 peppers)".into(),
            });
        }
        self.0.push(pepper);
        Ok(())
    }

    /// The method for keys given by value.
    pub(crate) fn preferred(&self) -> Method {
        if self.0.is_empty() { Method::Sha256 } else { Method::Hmac(0) }
    }

    pub(crate) fn named(&self, name: &str) -> Option<Method> {
        // At most 255.
        self.0.iter().position(|pepper| pepper.name == name).map(|n| Method::Hmac(n as u8))
    }

    /// The name of the pepper that a method uses.
    pub(crate) fn name(&self, method: Method) -> Option<&str> {
        match method {
            Method::Sha256 => None,
            Method::Hmac(n) => self.0.get(usize::from(n)).map(Pepper::name),
        }
    }

    /// The digests of `key` under every pepper.
    #[cfg(feature = "import")]
    pub(crate) fn all(&self, key: &[u8]) -> impl Iterator<Item = Digest> {
        // At most 255.
        (0..self.0.len()).map(move |n| self.digest(Method::Hmac(n as u8), key))
    }

    pub(crate) fn digest(&self, method: Method, key: &[u8]) -> Digest {
        let bytes = match method {
            Method::Sha256 => Sha256::digest(key).into(),
            Method::Hmac(n) => self.0[usize::from(n)].mac(key),
        };
        Digest { method, bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_sha256_and_hmac_sha256() {
        let mut peppers = Peppers::default();
        assert_eq!(peppers.preferred(), Method::Sha256);
        // FIPS 180-2, "abc".
        let sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(peppers.digest(Method::Sha256, b"abc"), Digest::parse(Method::Sha256, sha).unwrap());
        // RFC 4231, case 1.
        peppers.add(Pepper::new("p", vec![0x0b; 20]).unwrap()).unwrap();
        let method = peppers.named("p").unwrap();
        let mac = "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
        assert_eq!(peppers.digest(method, b"Hi There"), Digest::parse(method, mac).unwrap());
        let [pepper] = &peppers.0[..] else { panic!("one was added") };
        assert_eq!(pepper.hmac(&SecretKey::new("Hi There").unwrap()), format!("p:{mac}"));
        assert_eq!(peppers.preferred(), method);
        assert!(peppers.add(Pepper::new("p", vec![1; 16]).unwrap()).is_err());
    }

    #[test]
    fn peppers_come_from_files_and_the_environment() {
        let path = std::env::temp_dir().join(format!("tollgate-pepper-{}", std::process::id()));
        std::fs::write(&path, "sixteen bytes ok\n").unwrap();
        let pepper = Pepper::from_file("f", &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(&pepper.secret[..], b"sixteen bytes ok");
        assert!(Pepper::from_file("f", &path).is_err());
        assert!(Pepper::from_env("e", "TOLLGATE_NO_SUCH_VARIABLE").is_err());
        assert!(Pepper::new("short", vec![0; 15]).is_err());
        assert!(Pepper::new("a:b", vec![0; 16]).is_err());
    }
}
