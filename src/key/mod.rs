//! API keys: held only as digests, never printed.
//!
//! A key is identified by its SHA-256, or by its HMAC-SHA-256 under a named *pepper* that is kept
//! apart from the plan file, so that a stolen file of digests cannot be searched for weak keys.
//!
//! **Pepper rotation.** Digests cannot be moved from one pepper to another without the keys. An
//! engine therefore takes several peppers: keys given by value are digested under the first, keys
//! given as digests name theirs (`hmac = "NAME:HEX"`). To rotate, put the new pepper first, keep the
//! old one for as long as a listed digest names it, and let keys move over as they are rotated.

mod digest;
mod generate;
mod numbered;
mod pepper;
mod recent;
mod registry;
mod secret;
mod tag;

pub(crate) use digest::{Digest, Method};
pub use generate::KeyFormat;
pub use pepper::Pepper;
pub(crate) use pepper::Peppers;
pub(crate) use registry::{Brief, Found, Holder, KeyState, Record, Registry};
pub use secret::SecretKey;

/// Longest API key, in bytes; a longer one is unknown without being hashed.
pub(crate) const MAX_KEY: usize = 4096;
