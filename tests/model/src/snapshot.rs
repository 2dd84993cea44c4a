//! `snapshot` and `restore`, into the engine that goes on.
//!
//! Choices where the contract is silent:
//! * A snapshot holds what requests have left behind: buckets, quotas (with what grants and initial
//!   debits did), slots, usage logs, alerts' marks and the book of ids. A restore puts all of that
//!   back and forgets what came after: ids that became known since are unknown (and may be used), a
//!   reservation settled since is open.
//! * "key states never go back": a restore changes no key: enabled, expired, revoked and rotated keys
//!   are what they are now. Nor does it change plans, subjects, or the queue of alerts that were not
//!   read yet.
//! * Changes of plans are not undone: it is as if what was restored had lived through the changes
//!   since (refill at each rate in its time, debts over a new burst forgiven, periods changed, marks
//!   gone), and only the requests since had never been.
//! * The instants of snapshot and restore do not matter. A name used again is another snapshot; a
//!   snapshot may be restored any number of times; an unknown name is an error.

use crate::Model;
use serde_json::{Value, json};

impl Model {
    pub(crate) fn snapshot(&mut self, name: &str) -> Value {
        self.snapshots.insert(name.to_owned(), self.spent.clone());
        json!({ "status": "ok" })
    }

    pub(crate) fn restore(&mut self, name: &str) -> Result<Value, String> {
        let found = self.snapshots.get(name).ok_or_else(|| format!("no snapshot {name:?}"))?;
        self.spent = found.clone();
        Ok(json!({ "status": "ok" }))
    }
}
