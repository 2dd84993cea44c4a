//! `rotate`.
//!
//! Choices where the contract is silent:
//! * The overlap begins at `at`; from its end on, half-open, the old key is `key_revoked` at every
//!   `now` that is not before it, and at an earlier `now` it works. An overlap of 0 revokes as `revoke`
//!   does: at every `now`.
//! * A key may be rotated again while it works: what ends first ends it. An expired or disabled key may
//!   be rotated; its successor is expired or disabled.
//! * The successor is an ordinary key of the same subject: an `apply` that lists the subject's keys
//!   without it makes it unknown, one without `keys` keeps it. The end of an overlap belongs to the
//!   digest, as a revocation does, and stays while the key is not listed.
//! * Errors that change nothing: a key id that is not known, a key that is revoked at `at`, a `new_id` or
//!   `value` that any subject has (its own key too), a value that was ever revoked or rotated, or that
//!   is not 1-4096 bytes.
//! * Without `value` the model makes a value of its own, which no engine makes.

use crate::config::{digest, text_of};
use crate::text::{self, Nanos};
use crate::{Model, registry};
use serde_json::{Map, Value, json};

impl Model {
    pub(crate) fn rotate(&mut self, at: Nanos, fields: &Map<String, Value>) -> Result<Value, String> {
        let (old, new) = (text_of(fields, "key_id")?, text_of(fields, "new_id")?);
        let overlap = text::duration(fields.get("overlap").ok_or("no overlap")?)?;
        let end = if overlap == 0 { registry::ALWAYS } else { at + Nanos::from(overlap) };
        if fields.contains_key("value") {
            let value = text_of(fields, "value")?;
            if value.is_empty() || value.len() > 4096 {
                return Err("a key is 1-4096 bytes".to_owned());
            }
            self.registry.rotate(at, old, end, new, digest(value))?;
            return Ok(json!({ "status": "ok" }));
        }
        let value = format!("model-{}-{}", self.lines, new);
        self.registry.rotate(at, old, end, new, digest(&value))?;
        Ok(json!({ "status": "ok", "value": value }))
    }
}
