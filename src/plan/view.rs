//! What definitions say, with defaults filled in, for programs that show or compare them.
//!
//! No view holds a key: one that was given by value is shown by its SHA-256.
//!
//! ```
//! use tollgate::{Changes, Plan, Quota};
//! let changes = Changes::new().plan("gold", Plan::new().quota(Quota::new(1_000, "day")));
//! let view = changes.view();
//! let quota = &view.plans[0].own.quotas[0];
//! assert_eq!((view.plans[0].name, quota.name, quota.zone), ("gold", "day", "UTC"));
//! ```

use super::spec::{Changes, Key, Limits, Plan, Quota, Secret, Subject, Throttle};
use crate::key::{Digest, Method};

/// Plans and subjects. Those that are to be removed are left out.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ChangesView<'a> {
    /// By name.
    pub plans: Vec<PlanView<'a>>,
    /// By name.
    pub subjects: Vec<SubjectView<'a>>,
}

/// A usage plan.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PlanView<'a> {
    /// Its name.
    pub name: &'a str,
    /// What it covers; none: every stage.
    pub stages: &'a [String],
    /// Whether it is a dry run.
    pub observe: bool,
    /// The limits of each subject.
    pub own: LimitsView<'a>,
    /// More limits, by route pattern.
    pub routes: Vec<(&'a str, LimitsView<'a>)>,
    /// The limits of all its subjects together.
    pub pool: LimitsView<'a>,
}

/// The limits of one place.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct LimitsView<'a> {
    /// In the order of the definition.
    pub throttles: Vec<ThrottleView<'a>>,
    /// In the order of the definition.
    pub quotas: Vec<QuotaView<'a>>,
    /// The cap on requests in flight.
    pub concurrency: Option<ConcurrencyView<'a>>,
}

/// A throttle.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ThrottleView<'a> {
    /// `throttle` if none was given.
    pub name: &'a str,
    /// As written: see [`Rate`](crate::Rate).
    pub rate: &'a str,
    /// In tokens.
    pub burst: u64,
    /// Longest wait that is accepted, as written.
    pub delay: Option<&'a str>,
    /// What it counts.
    pub unit: &'a str,
}

/// A quota.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct QuotaView<'a> {
    /// Its period if none was given.
    pub name: &'a str,
    /// In units.
    pub limit: u64,
    /// Its period as written.
    pub per: &'a str,
    /// Day on which weeks and months begin.
    pub start: u64,
    /// An IANA time zone.
    pub zone: &'a str,
    /// Taken off a subject's first window.
    pub initial_debit: u64,
    /// In percent.
    pub alerts: &'a [u32],
    /// What it counts.
    pub unit: &'a str,
}

/// A cap on requests in flight.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConcurrencyView<'a> {
    /// In requests.
    pub limit: u64,
    /// How long a slot is held at most, as written.
    pub lease: &'a str,
}

/// Whoever owns keys.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubjectView<'a> {
    /// Its name.
    pub name: &'a str,
    /// Names of its plans.
    pub plans: &'a [String],
    /// Its keys; `None` for a subject that keeps those that it has.
    pub keys: Option<Vec<KeyView<'a>>>,
}

/// An API key.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KeyView<'a> {
    /// Its public id.
    pub id: &'a str,
    /// What it is known by; `None` where there is no digest in the right form.
    pub digest: Option<DigestView<'a>>,
    /// Whether it is to be on or off; `None`: as it is, and on if it is new.
    pub enabled: Option<bool>,
    /// As written.
    pub expires: Option<&'a str>,
}

/// What a key is known by, its digits in lower case.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[non_exhaustive]
pub enum DigestView<'a> {
    /// 64 hexadecimal digits.
    Sha256(String),
    /// An HMAC-SHA-256.
    Hmac {
        /// The pepper's name.
        pepper: &'a str,
        /// 64 hexadecimal digits.
        digits: String,
    },
}

const REQUESTS: &str = "requests";

impl Changes {
    /// What this says.
    pub fn view(&self) -> ChangesView<'_> {
        let plans = self.plans.iter().filter_map(|(name, plan)| Some(plan.as_ref()?.view(name)));
        let subjects = self.subjects.iter().filter_map(|(name, subject)| Some(subject.as_ref()?.view(name)));
        ChangesView { plans: plans.collect(), subjects: subjects.collect() }
    }
}

impl Plan {
    fn view<'a>(&'a self, name: &'a str) -> PlanView<'a> {
        PlanView {
            name,
            stages: &self.stages,
            observe: self.observe,
            own: LimitsView {
                throttles: self.throttle.iter().map(Throttle::view).collect(),
                quotas: self.quotas.iter().map(Quota::view).collect(),
                concurrency: self.concurrency.as_ref().map(|cap| cap.view()),
            },
            routes: self.routes.iter().map(|(pattern, limits)| (pattern.as_str(), limits.view())).collect(),
            pool: self.pool.view(),
        }
    }
}

impl Limits {
    fn view(&self) -> LimitsView<'_> {
        LimitsView {
            throttles: self.throttle.iter().map(Throttle::view).collect(),
            quotas: self.quotas.iter().map(Quota::view).collect(),
            concurrency: self.concurrency.as_ref().map(|cap| cap.view()),
        }
    }
}

impl Throttle {
    fn view(&self) -> ThrottleView<'_> {
        ThrottleView {
            name: self.name.as_deref().unwrap_or("throttle"),
            rate: &self.rate,
            burst: self.burst,
            delay: self.mode.as_ref().map(|mode| mode.delay.as_str()),
            unit: self.unit.as_deref().unwrap_or(REQUESTS),
        }
    }
}

impl Quota {
    fn view(&self) -> QuotaView<'_> {
        QuotaView {
            name: self.name.as_deref().unwrap_or(&self.per),
            limit: self.limit,
            per: &self.per,
            start: self.start,
            zone: self.zone.as_deref().unwrap_or("UTC"),
            initial_debit: self.initial_debit,
            alerts: self.alerts.as_deref().unwrap_or(&[80, 100]),
            unit: self.unit.as_deref().unwrap_or(REQUESTS),
        }
    }
}

impl super::spec::Concurrency {
    fn view(&self) -> ConcurrencyView<'_> {
        ConcurrencyView { limit: self.limit, lease: self.lease.as_deref().unwrap_or("60s") }
    }
}

impl Subject {
    fn view<'a>(&'a self, name: &'a str) -> SubjectView<'a> {
        let keys = self.keys.as_ref().map(|keys| keys.iter().map(Key::view).collect());
        SubjectView { name, plans: &self.plans, keys }
    }
}

impl Key {
    fn view(&self) -> KeyView<'_> {
        // Somebody may have put the key in the place of its digest: only what is a digest is shown.
        let digits =
            |text: &str| Digest::parse(Method::Sha256, text).is_ok().then(|| text.to_ascii_lowercase());
        let digest = self.secret().and_then(|secret| match secret {
            Secret::Value(value) => Some(DigestView::Sha256(value.sha256())),
            Secret::Sha256(text) => digits(text).map(DigestView::Sha256),
            Secret::Hmac(text) => {
                let (pepper, text) = text.split_once(':')?;
                Some(DigestView::Hmac { pepper, digits: digits(text)? })
            }
        });
        KeyView { id: &self.id, digest, enabled: self.enabled, expires: self.expires.as_deref() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SecretKey;

    #[test]
    fn no_view_holds_a_key() {
        let value = SecretKey::new("hunter2").unwrap();
        let digest = value.sha256();
        let subject = Subject::new(["gold"])
            .key(Key::new("a", value))
            .key(Key::sha256("b", "hunter2"))
            .key(Key::hmac("c", "hunter2:hunter2"))
            .key(Key::hmac("d", &format!("p:{}", digest.to_uppercase())));
        let changes = Changes::new().subject("acme", subject).remove_subject("gone");
        let view = changes.view();
        assert!(!format!("{view:?}").contains("hunter2"));
        let [subject] = &view.subjects[..] else { panic!("one") };
        let digests: Vec<_> = subject.keys.iter().flatten().map(|key| key.digest.clone()).collect();
        let hmac = DigestView::Hmac { pepper: "p", digits: digest.clone() };
        assert_eq!(digests, [Some(DigestView::Sha256(digest)), None, None, Some(hmac)]);
    }
}
