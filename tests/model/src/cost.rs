//! What a request costs.

use crate::text;
use serde_json::Value;
use std::collections::BTreeMap;

/// A cost as given.
#[derive(Clone, Debug)]
pub enum Cost {
    /// "costs `n` on every limit, whatever its unit"
    Every(u64),
    /// "costs what it names"
    Named(BTreeMap<String, u64>),
}

impl Cost {
    /// "An integer `n` (absent: 1) [...]. An object".
    pub fn parse(value: Option<&Value>) -> Result<Cost, String> {
        Ok(match value {
            None => Cost::Every(1),
            Some(Value::Object(named)) => {
                let mut costs = BTreeMap::new();
                for (unit, cost) in named {
                    costs.insert(unit.clone(), text::integer(cost)?);
                }
                Cost::Named(costs)
            }
            Some(cost) => Cost::Every(text::integer(cost)?),
        })
    }

    /// What it costs on a limit of that unit.
    pub fn of(&self, unit: &str) -> u64 {
        match self {
            Cost::Every(n) => *n,
            Cost::Named(named) => named.get(unit).copied().unwrap_or(0),
        }
    }

    /// "if any of its costs is > 0"
    pub fn any(&self) -> bool {
        match self {
            Cost::Every(n) => *n > 0,
            Cost::Named(named) => named.values().any(|n| *n > 0),
        }
    }
}
