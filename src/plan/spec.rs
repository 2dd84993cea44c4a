//! Definitions of plans and subjects, as written by hand or read from a plan file.
//!
//! They hold what was written; it is checked when they are put in place, with errors that name the
//! field.

use std::collections::BTreeMap;

use crate::key::SecretKey;

#[cfg(feature = "plan-file")]
use super::file;

/// A throttle: a bucket of `burst` tokens that refills at `rate`.
///
/// ```
/// use tollgate::Throttle;
/// let steady = Throttle::new("10/s", 5);
/// let patient = Throttle::new("0.5/s", 1).delay("300ms").named("writes").unit("writes");
/// # let _ = (steady, patient);
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Throttle {
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) name: Option<String>,
    pub(super) rate: String,
    pub(super) burst: u64,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) mode: Option<Mode>,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) unit: Option<String>,
}

/// What a throttle does with a request that would have to wait.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub(super) struct Mode {
    /// Longest wait that is accepted.
    #[cfg_attr(feature = "plan-file", serde(deserialize_with = "file::duration"))]
    pub(super) delay: String,
}

impl Throttle {
    /// A throttle at a [`Rate`](crate::Rate) written as text, with a burst of at least 1 token.
    pub fn new(rate: &str, burst: u64) -> Throttle {
        Throttle { name: None, rate: rate.into(), burst, mode: None, unit: None }
    }

    /// Accepts requests that have to wait for at most `max`, such as `"300ms"`, and says for how long.
    pub fn delay(mut self, max: &str) -> Throttle {
        self.mode = Some(Mode { delay: max.into() });
        self
    }

    /// Gives it a name; without one it is called `throttle`.
    pub fn named(mut self, name: &str) -> Throttle {
        self.name = Some(name.into());
        self
    }

    /// Counts another unit than `requests`.
    pub fn unit(mut self, unit: &str) -> Throttle {
        self.unit = Some(unit.into());
        self
    }
}

/// A quota: at most `limit` units in each window of a period.
///
/// ```
/// use tollgate::Quota;
/// let daily = Quota::new(1_000, "day");
/// let monthly = Quota::new(20_000, "month").named("monthly").starting(14).zone("Asia/Tokyo");
/// # let _ = (daily, monthly);
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Quota {
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) name: Option<String>,
    pub(super) limit: u64,
    pub(super) per: String,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) start: u64,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) zone: Option<String>,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) initial_debit: u64,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) alerts: Option<Vec<u32>>,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) unit: Option<String>,
}

impl Quota {
    /// At most `limit` per `second`, `minute`, `hour`, `day`, `week`, `month`, a length such as `15m`, or
    /// `forever`.
    pub fn new(limit: u64, per: &str) -> Quota {
        Quota {
            name: None,
            limit,
            per: per.into(),
            start: 0,
            zone: None,
            initial_debit: 0,
            alerts: None,
            unit: None,
        }
    }

    /// Gives it a name; without one it is called by its period.
    pub fn named(mut self, name: &str) -> Quota {
        self.name = Some(name.into());
        self
    }

    /// Begins weeks on that day (0 = Sunday .. 6) or months on day `1 + start` (0..=27).
    pub fn starting(mut self, start: u64) -> Quota {
        self.start = start;
        self
    }

    /// Lets days, weeks and months follow an IANA time zone instead of UTC; other periods are aligned to UTC
    /// all the same.
    pub fn zone(mut self, zone: &str) -> Quota {
        self.zone = Some(zone.into());
        self
    }

    /// Takes so much off the window of a subject's first debit.
    pub fn initial_debit(mut self, debit: u64) -> Quota {
        self.initial_debit = debit;
        self
    }

    /// Fires alerts when a window is used up to these percentages, 1 to 100; at 80 and 100 without this.
    pub fn alerts(mut self, percentages: impl IntoIterator<Item = u32>) -> Quota {
        self.alerts = Some(percentages.into_iter().collect());
        self
    }

    /// Counts another unit than `requests`.
    pub fn unit(mut self, unit: &str) -> Quota {
        self.unit = Some(unit.into());
        self
    }
}

/// A cap on requests in flight. Every admitted request that costs anything takes a slot, which its release, settlement or
/// refund frees, or the end of its lease.
///
/// ```
/// use tollgate::Concurrency;
/// let exports = Concurrency::new(8).lease("5m");
/// # let _ = exports;
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Concurrency {
    pub(super) limit: u64,
    #[cfg_attr(feature = "plan-file", serde(default, deserialize_with = "file::some_duration"))]
    pub(super) lease: Option<String>,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(super) unit: Option<String>,
}

impl Concurrency {
    /// At most `limit` requests at a time; 0 admits none. State is made for as many as that.
    pub fn new(limit: u64) -> Concurrency {
        Concurrency { limit, lease: None, unit: None }
    }

    /// Frees a slot after so long, such as `"5m"`, at the latest; 60 seconds without this.
    pub fn lease(mut self, lease: &str) -> Concurrency {
        self.lease = Some(lease.into());
        self
    }
}

/// A set of limits: those of a route or of a pool.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
pub struct Limits {
    #[cfg_attr(feature = "plan-file", serde(deserialize_with = "file::one_or_many"))]
    pub(super) throttle: Vec<Throttle>,
    pub(super) quotas: Vec<Quota>,
    pub(super) concurrency: Option<Concurrency>,
}

impl Limits {
    /// No limits.
    pub fn new() -> Limits {
        Limits::default()
    }

    /// Adds a throttle.
    pub fn throttle(mut self, throttle: Throttle) -> Limits {
        self.throttle.push(throttle);
        self
    }

    /// Adds a quota.
    pub fn quota(mut self, quota: Quota) -> Limits {
        self.quotas.push(quota);
        self
    }

    /// Sets the cap on requests in flight.
    pub fn concurrency(mut self, concurrency: Concurrency) -> Limits {
        self.concurrency = Some(concurrency);
        self
    }
}

/// A usage plan: limits, the stages it covers, and more limits for routes and for all its subjects
/// together.
///
/// ```
/// use tollgate::{Limits, Plan, Quota, Throttle};
/// let gold = Plan::new()
///     .stages(["pets/prod", "orders/prod"])
///     .throttle(Throttle::new("10/s", 5))
///     .quota(Quota::new(1_000, "day"))
///     .route("GET /pets", Limits::new().throttle(Throttle::new("1/s", 1)))
///     .pool(Limits::new().throttle(Throttle::new("1000/s", 2_000)));
/// # let _ = gold;
/// ```
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
pub struct Plan {
    pub(super) stages: Vec<String>,
    #[cfg_attr(feature = "plan-file", serde(deserialize_with = "file::one_or_many"))]
    pub(super) throttle: Vec<Throttle>,
    pub(super) quotas: Vec<Quota>,
    pub(super) concurrency: Option<Concurrency>,
    pub(super) observe: bool,
    #[cfg_attr(feature = "plan-file", serde(deserialize_with = "file::unique_map"))]
    pub(super) routes: BTreeMap<String, Limits>,
    pub(super) pool: Limits,
}

impl Plan {
    /// A plan without limits that covers every stage.
    pub fn new() -> Plan {
        Plan::default()
    }

    /// Covers these stages (`api/stage`) only.
    pub fn stages<S: Into<String>>(mut self, stages: impl IntoIterator<Item = S>) -> Plan {
        self.stages.extend(stages.into_iter().map(Into::into));
        self
    }

    /// Adds a throttle per subject.
    pub fn throttle(mut self, throttle: Throttle) -> Plan {
        self.throttle.push(throttle);
        self
    }

    /// Adds a quota per subject.
    pub fn quota(mut self, quota: Quota) -> Plan {
        self.quotas.push(quota);
        self
    }

    /// Sets the cap on requests in flight per subject.
    pub fn concurrency(mut self, concurrency: Concurrency) -> Plan {
        self.concurrency = Some(concurrency);
        self
    }

    /// Adds limits for a route pattern `[STAGE ]METHOD PATH`, on top of the plan's own.
    pub fn route(mut self, pattern: &str, limits: Limits) -> Plan {
        self.routes.insert(pattern.into(), limits);
        self
    }

    /// Sets the limits that all subjects of the plan share.
    pub fn pool(mut self, limits: Limits) -> Plan {
        self.pool = limits;
        self
    }

    /// Decides and debits as ever, but refuses nothing: a dry run.
    pub fn observe(mut self, observe: bool) -> Plan {
        self.observe = observe;
        self
    }
}

/// An API key of a subject: its public id, and its secret or the digest of it.
///
/// ```
/// use tollgate::{Key, SecretKey};
/// let key = Key::new("acme-1", SecretKey::new("made-up")?);
/// # let _ = key;
/// # Ok::<(), tollgate::KeyError>(())
/// ```
#[derive(Clone, Debug)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields))]
pub struct Key {
    pub(crate) id: String,
    #[cfg_attr(feature = "plan-file", serde(default))]
    value: Option<SecretKey>,
    #[cfg_attr(feature = "plan-file", serde(default))]
    sha256: Option<DigestText>,
    #[cfg_attr(feature = "plan-file", serde(default))]
    hmac: Option<DigestText>,
    #[cfg_attr(feature = "plan-file", serde(default))]
    pub(crate) enabled: Option<bool>,
    #[cfg_attr(feature = "plan-file", serde(default, deserialize_with = "file::instant"))]
    pub(crate) expires: Option<String>,
}

/// A digest as written. Somebody may have put the key itself there, so it is never printed.
#[derive(Clone)]
pub(super) struct DigestText(pub(super) String);

impl core::fmt::Debug for DigestText {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("DigestText(..)")
    }
}

/// The one form in which a key's secret was given.
pub(crate) enum Secret<'a> {
    /// The key itself.
    Value(&'a SecretKey),
    /// Hexadecimal SHA-256.
    Sha256(&'a str),
    /// `PEPPER:HEX`.
    Hmac(&'a str),
}

impl Key {
    fn with_id(id: &str) -> Key {
        Key { id: id.into(), value: None, sha256: None, hmac: None, enabled: None, expires: None }
    }

    /// A key by value; only its digest is kept.
    pub fn new(id: &str, secret: SecretKey) -> Key {
        Key { value: Some(secret), ..Key::with_id(id) }
    }

    /// A key by its SHA-256, as 64 hexadecimal digits.
    pub fn sha256(id: &str, digest: &str) -> Key {
        Key { sha256: Some(DigestText(digest.into())), ..Key::with_id(id) }
    }

    /// A key by its HMAC-SHA-256 under a [`Pepper`](crate::Pepper), as `NAME:HEX`.
    pub fn hmac(id: &str, digest: &str) -> Key {
        Key { hmac: Some(DigestText(digest.into())), ..Key::with_id(id) }
    }

    /// Registers it switched on or off. Without this a new key is on, and a known one stays as it is.
    pub fn enabled(mut self, enabled: bool) -> Key {
        self.enabled = Some(enabled);
        self
    }

    /// Lets it expire at an instant such as `2027-06-01T00:00:00Z`.
    pub fn expires(mut self, at: &str) -> Key {
        self.expires = Some(at.into());
        self
    }

    pub(crate) fn secret(&self) -> Option<Secret<'_>> {
        match (&self.value, &self.sha256, &self.hmac) {
            (Some(value), None, None) => Some(Secret::Value(value)),
            (None, Some(text), None) => Some(Secret::Sha256(&text.0)),
            (None, None, Some(text)) => Some(Secret::Hmac(&text.0)),
            _ => None,
        }
    }
}

/// A subject: the plans it is on, at most one per stage, and its keys.
///
/// ```
/// use tollgate::{Key, SecretKey, Subject};
/// let acme = Subject::new(["gold"]).key(Key::new("acme-1", SecretKey::new("made-up")?));
/// # let _ = acme;
/// # Ok::<(), tollgate::KeyError>(())
/// ```
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
pub struct Subject {
    pub(crate) plans: Vec<String>,
    #[cfg_attr(feature = "plan-file", serde(deserialize_with = "file::keys"))]
    pub(crate) keys: Option<Vec<Key>>,
}

impl Subject {
    /// A subject on these plans. Where the subject is known already it keeps its keys.
    pub fn new<S: Into<String>>(plans: impl IntoIterator<Item = S>) -> Subject {
        Subject { plans: plans.into_iter().map(Into::into).collect(), keys: None }
    }

    /// Adds a key. Once a key is listed, keys that are not become unknown.
    pub fn key(mut self, key: Key) -> Subject {
        self.keys.get_or_insert_default().push(key);
        self
    }
}

/// Plans and subjects to put in place as one: those named are replaced or removed, the others stay (or go, if this is
/// [`complete`](Changes::complete)).
///
/// ```
/// use tollgate::{Changes, Plan, Subject};
/// let changes = Changes::new()
///     .plan("free", Plan::new())
///     .subject("acme", Subject::new(["free"]))
///     .remove_plan("trial");
/// # let _ = changes;
/// ```
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "plan-file", derive(serde::Deserialize), serde(deny_unknown_fields, default))]
pub struct Changes {
    #[cfg_attr(feature = "plan-file", serde(deserialize_with = "file::unique_map"))]
    pub(crate) plans: BTreeMap<String, Option<Plan>>,
    #[cfg_attr(feature = "plan-file", serde(deserialize_with = "file::unique_map"))]
    pub(crate) subjects: BTreeMap<String, Option<Subject>>,
    /// Whether plans and subjects that are not named go.
    #[cfg_attr(feature = "plan-file", serde(skip))]
    pub(crate) complete: bool,
}

impl Changes {
    /// Nothing to change.
    pub fn new() -> Changes {
        Changes::default()
    }

    /// Puts a plan in place. Consumption under a plan of this name is carried over.
    pub fn plan(mut self, name: &str, plan: Plan) -> Changes {
        self.plans.insert(name.into(), Some(plan));
        self
    }

    /// Removes a plan, which no subject may still be on.
    pub fn remove_plan(mut self, name: &str) -> Changes {
        self.plans.insert(name.into(), None);
        self
    }

    /// Puts a subject in place.
    pub fn subject(mut self, name: &str, subject: Subject) -> Changes {
        self.subjects.insert(name.into(), Some(subject));
        self
    }

    /// Removes a subject; its keys become unknown.
    pub fn remove_subject(mut self, name: &str) -> Changes {
        self.subjects.insert(name.into(), None);
        self
    }

    /// Makes this all there is: plans and subjects that are not named are removed.
    ///
    /// In a [`Region`](crate::Region) whoever is not named gives back the room that was kept for it, whichever process
    /// named it. What it has consumed stays until the room is needed and nothing of it counts any more; a key's state,
    /// unless it was revoked, until the room is needed: a process that still names the key then goes by what it knows itself.
    ///
    /// ```
    /// use tollgate::{Changes, Engine, Plan};
    /// let engine = Engine::builder().changes(Changes::new().plan("old", Plan::new())).build()?;
    /// engine.apply(&Changes::new().plan("new", Plan::new()).complete())?;
    /// assert!(engine.has_plan("new") && !engine.has_plan("old"));
    /// # Ok::<(), tollgate::ApplyError>(())
    /// ```
    pub fn complete(mut self) -> Changes {
        self.complete = true;
        self
    }
}
