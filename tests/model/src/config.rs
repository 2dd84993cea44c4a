//! The plan file in its JSON form.

use crate::concurrency::Cap;
use crate::quota::Quota;
use crate::route::Pattern;
use crate::text::{self, Fraction, Nanos};
use crate::window::Period;
use chrono_tz::Tz;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// SHA-256 of an API key.
pub type KeyDigest = [u8; 32];

/// One limit of a plan, a route or a pool.
#[derive(Clone, Debug)]
pub struct LimitSpec {
    /// Unique within plan, route or pool.
    pub name: String,
    /// The unit of cost it counts.
    pub unit: String,
    /// What it limits.
    pub kind: KindSpec,
}

/// What a limit limits.
#[derive(Clone, Debug)]
pub enum KindSpec {
    /// A bucket.
    Throttle {
        /// Tokens per nanosecond.
        rate: Fraction,
        /// B.
        burst: u64,
        /// The `max` of `delay(max)`.
        delay: Option<u64>,
    },
    /// A window.
    Quota(Quota),
    /// A cap on requests in flight.
    Concurrency(Cap),
}

/// A usage plan.
#[derive(Clone, Debug)]
pub struct Plan {
    /// "A plan that names none covers every stage".
    pub stages: Option<Vec<String>>,
    /// Its own limits, throttles first.
    pub limits: Vec<LimitSpec>,
    /// "One bucket per pattern"; the text of the pattern is its identity.
    pub routes: Vec<(String, Pattern, Vec<LimitSpec>)>,
    /// "one state for every subject on the plan".
    pub pool: Vec<LimitSpec>,
    /// "Observe (dry-run) mode".
    pub observe: bool,
}

impl Plan {
    /// Whether the plan covers a request's stage: one that names none "is the only kind that a
    /// request without a stage can match".
    pub fn covers(&self, stage: Option<&str>) -> bool {
        match (&self.stages, stage) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(stages), Some(stage)) => stages.iter().any(|s| s == stage),
        }
    }

    /// Whether some stage is covered by both.
    pub fn overlaps(&self, other: &Plan) -> bool {
        match (&self.stages, &other.stages) {
            (Some(a), Some(b)) => a.iter().any(|stage| b.contains(stage)),
            _ => true,
        }
    }
}

/// A key as listed.
#[derive(Clone, Debug)]
pub struct KeySpec {
    /// Its public name.
    pub id: String,
    /// Its hash.
    pub digest: KeyDigest,
    /// Given or absent.
    pub enabled: Option<bool>,
    /// Given or absent.
    pub expires: Option<Nanos>,
}

/// A subject as listed.
#[derive(Clone, Debug)]
pub struct SubjectSpec {
    /// Names of its plans.
    pub plans: Vec<String>,
    /// None: "a subject without `keys` keeps its keys".
    pub keys: Option<Vec<KeySpec>>,
}

/// What a plan file or an `apply` names; none removes.
#[derive(Clone, Debug, Default)]
pub struct Change {
    /// Plans by name.
    pub plans: BTreeMap<String, Option<Plan>>,
    /// Subjects by name.
    pub subjects: BTreeMap<String, Option<SubjectSpec>>,
}

/// The hash of a key.
pub fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

impl Change {
    /// Reads `plans` and `subjects`.
    pub fn parse(plans: Option<&Value>, subjects: Option<&Value>) -> Result<Self, String> {
        let mut change = Change::default();
        if let Some(plans) = plans {
            for (name, value) in object(plans, "plans")? {
                let plan = present(value).map(|v| plan(v).map_err(|e| format!("plan {name:?}: {e}")));
                change.plans.insert(name.clone(), plan.transpose()?);
            }
        }
        if let Some(subjects) = subjects {
            for (name, value) in object(subjects, "subjects")? {
                let subject =
                    present(value).map(|v| subject(v).map_err(|e| format!("subject {name:?}: {e}")));
                change.subjects.insert(name.clone(), subject.transpose()?);
            }
        }
        Ok(change)
    }
}

fn present(value: &Value) -> Option<&Value> {
    (!value.is_null()).then_some(value)
}

fn object<'a>(value: &'a Value, what: &str) -> Result<&'a Map<String, Value>, String> {
    value.as_object().ok_or_else(|| format!("{what} is not a table"))
}

fn array<'a>(value: &'a Value, what: &str) -> Result<&'a Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{what} is not a list"))
}

/// The text of a field.
pub fn string<'a>(value: &'a Value, what: &str) -> Result<&'a str, String> {
    value.as_str().ok_or_else(|| format!("{what} is not a string"))
}

/// The text of a field that must be there.
pub fn text_of<'a>(fields: &'a Map<String, Value>, field: &str) -> Result<&'a str, String> {
    string(fields.get(field).ok_or_else(|| format!("no {field}"))?, field)
}

fn boolean(value: &Value, what: &str) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("{what} is neither true nor false"))
}

/// "Unknown fields are errors".
pub fn only(fields: &Map<String, Value>, known: &[&str]) -> Result<(), String> {
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(format!("unknown field {field:?}")),
        None => Ok(()),
    }
}

fn plan(value: &Value) -> Result<Plan, String> {
    let fields = object(value, "a plan")?;
    only(fields, &["stages", "throttle", "quotas", "concurrency", "observe", "routes", "pool"])?;
    // An empty list names none.
    let stages = fields.get("stages").map(|v| strings(v, "stages")).transpose()?.filter(|s| !s.is_empty());
    let mut routes = Vec::new();
    if let Some(value) = fields.get("routes") {
        for (text, value) in object(value, "routes")? {
            let limits = limits(value).map_err(|e| format!("route {text:?}: {e}"))?;
            routes.push((text.clone(), Pattern::parse(text)?, limits));
            // Whatever the order of the file.
            routes.sort_by(|(one, ..), (other, ..)| one.cmp(other));
        }
    }
    let own: Map<String, Value> = ["throttle", "quotas", "concurrency"]
        .iter()
        .filter_map(|field| Some(((*field).to_owned(), fields.get(*field)?.clone())))
        .collect();
    Ok(Plan {
        stages,
        limits: limits(&Value::Object(own))?,
        routes,
        pool: fields.get("pool").map(limits).transpose()?.unwrap_or_default(),
        observe: fields.get("observe").map_or(Ok(false), |v| boolean(v, "observe"))?,
    })
}

fn strings(value: &Value, what: &str) -> Result<Vec<String>, String> {
    array(value, what)?.iter().map(|v| string(v, what).map(str::to_owned)).collect()
}

/// The limits of a plan, a route or a pool: "throttles, quotas as in the file, concurrency".
fn limits(value: &Value) -> Result<Vec<LimitSpec>, String> {
    let fields = object(value, "a set of limits")?;
    only(fields, &["throttle", "quotas", "concurrency"])?;
    let mut all = Vec::new();
    match fields.get("throttle") {
        None => {}
        Some(Value::Array(list)) => {
            for value in list {
                all.push(throttle(value)?);
            }
        }
        Some(value) => all.push(throttle(value)?),
    }
    if let Some(value) = fields.get("quotas") {
        for value in array(value, "quotas")? {
            all.push(quota(value)?);
        }
    }
    if let Some(value) = fields.get("concurrency") {
        all.push(concurrency(value)?);
    }
    let mut names = BTreeSet::new();
    for limit in &all {
        if !names.insert(&limit.name) {
            return Err(format!("two limits are named {:?}", limit.name));
        }
    }
    Ok(all)
}

fn unit(fields: &Map<String, Value>) -> Result<String, String> {
    let unit = fields.get("unit").map_or(Ok("requests"), |v| string(v, "unit"))?;
    Ok(unit.to_owned())
}

fn throttle(value: &Value) -> Result<LimitSpec, String> {
    let fields = object(value, "throttle")?;
    only(fields, &["name", "rate", "burst", "mode", "unit"])?;
    let name = fields.get("name").map_or(Ok("throttle"), |v| string(v, "name"))?;
    let rate = text::rate(string(fields.get("rate").ok_or("no rate")?, "rate")?)?;
    let burst = text::integer(fields.get("burst").ok_or("no burst")?)?;
    if burst == 0 {
        return Err("burst is an integer >= 1".to_owned());
    }
    let delay = match fields.get("mode") {
        None => None,
        Some(mode) => {
            let mode = object(mode, "mode")?;
            only(mode, &["delay"])?;
            Some(text::duration(mode.get("delay").ok_or("no delay")?)?)
        }
    };
    Ok(LimitSpec {
        name: name.to_owned(),
        unit: unit(fields)?,
        kind: KindSpec::Throttle { rate, burst, delay },
    })
}

fn quota(value: &Value) -> Result<LimitSpec, String> {
    let fields = object(value, "a quota")?;
    let known = ["name", "limit", "per", "start", "zone", "initial_debit", "alerts", "unit"];
    only(fields, &known)?;
    let limit = text::integer(fields.get("limit").ok_or("no limit")?)?;
    let per = string(fields.get("per").ok_or("no period")?, "per")?;
    // "an unnamed quota is called by its period"
    let name = fields.get("name").map_or(Ok(per), |v| string(v, "name"))?;
    let initial_debit = fields.get("initial_debit").map_or(Ok(0), text::integer)?;
    if initial_debit > limit {
        return Err("initial_debit is more than the limit".to_owned());
    }
    // "default 80 and 100"
    let mut alerts = match fields.get("alerts") {
        None => vec![80, 100],
        Some(list) => array(list, "alerts")?.iter().map(text::integer).collect::<Result<_, _>>()?,
    };
    alerts.sort_unstable();
    let different = alerts.windows(2).all(|pair| pair[0] < pair[1]);
    if !different || alerts.iter().any(|percent| !(1..=100).contains(percent)) {
        return Err("alerts are different percentages from 1 to 100".to_owned());
    }
    let zone = zone(fields.get("zone"))?;
    let period = period(per, fields.get("start"), zone)?;
    Ok(LimitSpec {
        name: name.to_owned(),
        unit: unit(fields)?,
        kind: KindSpec::Quota(Quota { limit, initial_debit, period, zone, alerts }),
    })
}

/// "default 60 s"
const LEASE: u64 = 60_000_000_000;

fn concurrency(value: &Value) -> Result<LimitSpec, String> {
    let fields = object(value, "concurrency")?;
    only(fields, &["limit", "lease", "unit"])?;
    let limit = text::integer(fields.get("limit").ok_or("no limit")?)?;
    let lease = fields.get("lease").map_or(Ok(LEASE), text::duration)?;
    if lease == 0 {
        return Err("a lease of no length".to_owned());
    }
    Ok(LimitSpec {
        name: "concurrency".to_owned(),
        unit: unit(fields)?,
        kind: KindSpec::Concurrency(Cap { limit, lease }),
    })
}

fn zone(zone: Option<&Value>) -> Result<Tz, String> {
    let Some(zone) = zone else {
        return Ok(Tz::UTC);
    };
    let name = string(zone, "zone")?;
    name.parse().map_err(|_| format!("unknown zone {name:?}"))
}

fn period(per: &str, start: Option<&Value>, zone: Tz) -> Result<Period, String> {
    let start = start.map_or(Ok(0), text::integer)?;
    let highest = match per {
        "week" => 6,
        "month" => 27,
        _ => 0,
    };
    let start = u32::try_from(start).ok().filter(|start| *start <= highest).ok_or("start is out of range")?;
    Ok(match per {
        "day" => Period::Day(zone),
        "week" => Period::Week(zone, start),
        "month" => Period::Month(zone, start),
        "forever" => Period::Forever,
        "second" => Period::Fixed(1_000_000_000),
        "minute" => Period::Fixed(60_000_000_000),
        "hour" => Period::Fixed(3_600_000_000_000),
        length => match text::duration_text(length)? {
            0 => return Err("a period of no length".to_owned()),
            length => Period::Fixed(length),
        },
    })
}

fn subject(value: &Value) -> Result<SubjectSpec, String> {
    let fields = object(value, "a subject")?;
    only(fields, &["plans", "keys"])?;
    let plans = fields.get("plans").map(|v| strings(v, "plans")).transpose()?;
    let keys = match fields.get("keys") {
        None => None,
        Some(value) => Some(array(value, "keys")?.iter().map(key).collect::<Result<_, _>>()?),
    };
    Ok(SubjectSpec { plans: plans.unwrap_or_default(), keys })
}

fn key(value: &Value) -> Result<KeySpec, String> {
    let fields = object(value, "a key")?;
    only(fields, &["id", "sha256", "value", "enabled", "expires"])?;
    let id = string(fields.get("id").ok_or("a key without id")?, "id")?;
    let digest = match (fields.get("sha256"), fields.get("value")) {
        (Some(hex), None) => from_hex(string(hex, "sha256")?)?,
        (None, Some(value)) => {
            let value = string(value, "value")?;
            if value.is_empty() || value.len() > 4096 {
                return Err("a key is 1-4096 bytes".to_owned());
            }
            digest(value)
        }
        _ => return Err(format!("key {id:?} needs one of sha256 and value")),
    };
    Ok(KeySpec {
        id: id.to_owned(),
        digest,
        enabled: fields.get("enabled").map(|v| boolean(v, "enabled")).transpose()?,
        expires: fields.get("expires").map(text::instant).transpose()?,
    })
}

fn from_hex(hex: &str) -> Result<KeyDigest, String> {
    let mut digest = [0; 32];
    if hex.len() != 64 || !hex.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err("sha256 is not 64 hex digits".to_owned());
    }
    for (i, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&hex[2 * i..2 * i + 2], 16).map_err(|e| e.to_string())?;
    }
    Ok(digest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_whole_plan() {
        let plan = plan(&json!({
            "stages": ["pets/prod"],
            "throttle": [{"rate": "1/s", "burst": 2}, {"name": "b", "rate": "1/m", "burst": 3, "mode": {"delay": "2s"}}],
            "quotas": [{"limit": 5, "per": "15m", "alerts": [80]}],
            "routes": {"GET /pets": {}},
            "pool": {"quotas": [{"name": "all", "limit": 7, "per": "week", "start": 6, "zone": "Asia/Tokyo"}]},
        }))
        .unwrap();
        let names: Vec<_> = plan.limits.iter().map(|l| l.name.as_str()).collect();
        assert_eq!(names, ["throttle", "b", "15m"]);
        assert!(plan.covers(Some("pets/prod")) && !plan.covers(None) && !plan.covers(Some("x/y")));
        assert!(matches!(plan.pool[0].kind, KindSpec::Quota(Quota { period: Period::Week(_, 6), .. })));
    }

    #[test]
    fn bad_plans() {
        for bad in [
            json!({"x": 1}),
            json!({"throttle": {"rate": "1/s", "burst": 0}}),
            json!({"throttle": {"rate": "1/s", "burst": 1.0}}),
            json!({"throttle": [{"rate": "1/s", "burst": 1}, {"rate": "2/s", "burst": 1}]}),
            json!({"quotas": [{"limit": 1, "per": "week", "start": 7}]}),
            json!({"quotas": [{"limit": 1, "per": "month", "start": 28}]}),
            json!({"quotas": [{"limit": 1, "per": "day", "zone": "Moon/Base"}]}),
            json!({"quotas": [{"limit": 1, "per": "day", "initial_debit": 2}]}),
            json!({"quotas": [{"limit": 1, "per": "0s"}]}),
            json!({"concurrency": {"lease": "1s"}}),
            json!({"concurrency": {"limit": 1, "lease": "0s"}}),
            json!({"concurrency": [{"limit": 1}]}),
            json!({"concurrency": {"limit": 1}, "quotas": [{"limit": 1, "per": "day", "name": "concurrency"}]}),
            json!({"quotas": [{"limit": 1, "per": "day", "alerts": [0]}]}),
            json!({"quotas": [{"limit": 1, "per": "day", "alerts": [101]}]}),
            json!({"quotas": [{"limit": 1, "per": "day", "alerts": [50, 50]}]}),
            json!({"routes": {"GET": {}}}),
        ] {
            assert!(plan(&bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn keys() {
        let by_value = key(&json!({"id": "k", "value": "abc"})).unwrap();
        let hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let by_hash = key(&json!({"id": "k", "sha256": hex})).unwrap();
        assert_eq!(by_value.digest, by_hash.digest);
        assert!(key(&json!({"id": "k"})).is_err());
        assert!(key(&json!({"id": "k", "sha256": "12"})).is_err());
    }
}
