//! What is answered.

use std::sync::Arc;

use crate::time::Nanos;

/// The outcome of a decision.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// Go ahead.
    Ok,
    /// Go ahead after the decision's delay.
    Delayed,
    /// A throttle refuses.
    Throttled,
    /// A quota is used up.
    QuotaExceeded,
    /// Too many requests are in flight.
    ConcurrencyExceeded,
    /// The cost is more than a limit can ever hold.
    CostExceedsLimit,
    /// No key was given.
    KeyMissing,
    /// The key is not registered.
    KeyUnknown,
    /// The key is switched off.
    KeyDisabled,
    /// The key has expired.
    KeyExpired,
    /// The key is switched off for good.
    KeyRevoked,
    /// None of the subject's plans covers the stage.
    NoPlanForStage,
    /// There is no room for a new subject's state.
    StoreFull,
}

impl Verdict {
    /// The verdict's name in every interface: `ok`, `quota_exceeded`, ...
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Delayed => "delayed",
            Verdict::Throttled => "throttled",
            Verdict::QuotaExceeded => "quota_exceeded",
            Verdict::ConcurrencyExceeded => "concurrency_exceeded",
            Verdict::CostExceedsLimit => "cost_exceeds_limit",
            Verdict::KeyMissing => "key_missing",
            Verdict::KeyUnknown => "key_unknown",
            Verdict::KeyDisabled => "key_disabled",
            Verdict::KeyExpired => "key_expired",
            Verdict::KeyRevoked => "key_revoked",
            Verdict::NoPlanForStage => "no_plan_for_stage",
            Verdict::StoreFull => "store_full",
        }
    }

    /// Whether the request may go ahead, at once or after a delay.
    pub const fn is_allowed(self) -> bool {
        matches!(self, Verdict::Ok | Verdict::Delayed)
    }
}

impl core::fmt::Display for Verdict {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How long a request has to wait: until so many units have come, at so many per nanosecond. The division is left to
/// whoever asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    pub missing: u64,
    /// 0: no wait helps.
    pub per_nano: u64,
}

impl Retry {
    pub(super) const NEVER: Retry = Retry { missing: 1, per_nano: 0 };

    /// So many nanoseconds; `None`: no wait helps.
    pub(super) fn after(nanos: Option<u64>) -> Retry {
        nanos.map_or(Retry::NEVER, |missing| Retry { missing, per_nano: 1 })
    }
}

/// A verdict and what the caller may do about it.
#[derive(Clone, Copy, Debug)]
pub struct Decision {
    pub(super) verdict: Verdict,
    pub(super) retry: Retry,
    pub(super) delay: Nanos,
    pub(super) would_deny: Option<bool>,
}

impl Decision {
    /// A decision that no limit took part in.
    #[inline]
    pub(super) fn without_limits(verdict: Verdict) -> Decision {
        let retry = if verdict.is_allowed() { Retry { missing: 0, per_nano: 1 } } else { Retry::NEVER };
        Decision { verdict, retry, delay: Nanos::ZERO, would_deny: None }
    }

    /// Go ahead.
    pub(super) const ALLOWED: Decision = Decision {
        verdict: Verdict::Ok,
        retry: Retry { missing: 0, per_nano: 1 },
        delay: Nanos::ZERO,
        would_deny: None,
    };

    /// A refusal by a throttle alone.
    #[inline]
    pub(super) fn throttled(missing: u64, per_nano: u64) -> Decision {
        let retry = Retry { missing, per_nano };
        Decision { verdict: Verdict::Throttled, retry, delay: Nanos::ZERO, would_deny: None }
    }

    /// The verdict; of several violated limits that of the longest wait.
    pub fn verdict(&self) -> Verdict {
        self.verdict
    }

    /// Whether the request may go ahead, at once or after [`delay`](Decision::delay).
    #[inline]
    pub fn is_allowed(&self) -> bool {
        self.verdict.is_allowed()
    }

    /// The shortest time after which the same request would be admitted if nothing else happened: 0 if it
    /// is, `None` if no wait helps. In observe mode that of the decision that was not enforced.
    pub fn retry_after(&self) -> Option<Nanos> {
        match self.retry {
            Retry { per_nano: 0, .. } => None,
            // Nearly all decisions: without a division.
            Retry { missing: 0, .. } => Some(Nanos::ZERO),
            Retry { missing, per_nano } => Some(Nanos::new(missing.div_ceil(per_nano))),
        }
    }

    /// How long to hold the request back; 0 unless the verdict is [`Verdict::Delayed`].
    pub fn delay(&self) -> Nanos {
        self.delay
    }

    /// In observe mode, whether the request would have been refused; `None` when limits are enforced.
    pub fn would_deny(&self) -> Option<bool> {
        self.would_deny
    }
}

impl PartialEq for Decision {
    fn eq(&self, other: &Decision) -> bool {
        let parts = |of: &Decision| (of.verdict, of.retry_after(), of.delay, of.would_deny);
        parts(self) == parts(other)
    }
}

impl Eq for Decision {}

/// What a limit is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LimitKind {
    /// A rate with a burst.
    Throttle,
    /// A count per window.
    Quota,
    /// A cap on requests in flight.
    Concurrency,
}

impl LimitKind {
    /// `throttle`, `quota` or `concurrency`.
    pub const fn as_str(self) -> &'static str {
        match self {
            LimitKind::Throttle => "throttle",
            LimitKind::Quota => "quota",
            LimitKind::Concurrency => "concurrency",
        }
    }
}

/// How one limit stands after a decision.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LimitReport {
    pub(super) name: Arc<str>,
    pub(super) kind: LimitKind,
    pub(super) limit: u64,
    pub(super) remaining: u64,
    pub(super) reset: Option<Nanos>,
    pub(super) window: Option<Nanos>,
    pub(super) violated: bool,
}

impl LimitReport {
    /// `daily`, `route:GET /pets:throttle`, `pool:all-day`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What kind of limit it is.
    pub fn kind(&self) -> LimitKind {
        self.kind
    }

    /// The burst of a throttle, the limit of a quota.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Whole units that are left.
    pub fn remaining(&self) -> u64 {
        self.remaining
    }

    /// Time until a throttle is full again (0: it is) or a quota's window ends; `None`: never.
    pub fn reset(&self) -> Option<Nanos> {
        self.reset
    }

    /// The time in which `limit` units come: until a throttle refills from empty, or the length of the
    /// quota's present window; `None`: no end.
    pub fn window(&self) -> Option<Nanos> {
        self.window
    }

    /// Whether this limit is one that refuses, or in observe mode would.
    pub fn is_violated(&self) -> bool {
        self.violated
    }
}

/// A [`Decision`] with everything it was made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub(super) decision: Decision,
    pub(super) limits: Vec<LimitReport>,
    pub(super) plan: Option<Arc<str>>,
    pub(super) subject: Option<Arc<str>>,
    pub(super) key_id: Option<Arc<str>>,
}

impl Report {
    /// The decision itself.
    pub fn decision(&self) -> Decision {
        self.decision
    }

    /// Every limit that applies: the plan's own, the route's, the pool's. Empty when no limit was
    /// asked, as for an unknown key.
    pub fn limits(&self) -> &[LimitReport] {
        &self.limits
    }

    /// The limits that refuse, or in observe mode would.
    pub fn violated(&self) -> impl Iterator<Item = &LimitReport> {
        self.limits.iter().filter(|limit| limit.violated)
    }

    /// The plan that was applied (of several requests the first's).
    pub fn plan(&self) -> Option<&str> {
        self.plan.as_deref()
    }

    /// The registered subject, if the key was one's (of several requests the first's).
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The public id of the key, if it was registered (of several requests the first's).
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }
}
