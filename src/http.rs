//! A decision as HTTP: status, `Retry-After`, and the rate-limit fields.
//!
//! [`headers`] writes the fields of draft-ietf-httpapi-ratelimit-headers (`RateLimit-Policy` and
//! `RateLimit`, structured fields of RFC 9651) or the older `X-RateLimit-*`. The draft still moves: the
//! wire shape is chosen by [`Fields`], and a later one will be another variant.
//!
//! ```
//! use tollgate::{Changes, Engine, Mode, Nanos, Plan, Quota, Request, http};
//!
//! let plan = Plan::new().quota(Quota::new(2, "day"));
//! let engine = Engine::builder().changes(Changes::new().plan("free", plan)).build()?;
//! let visitor = Request::anonymous("free", b"192.0.2.1");
//! let noon = Nanos::from_secs(43_200);
//!
//! engine.check_at(&visitor, noon);
//! engine.check_at(&visitor, noon);
//! let report = engine.report_at(&visitor, noon, Mode::Check);
//! assert_eq!(http::status(report.decision().verdict()), 429);
//! let headers = http::headers(&report, http::Fields::Draft);
//! assert_eq!(headers, [
//!     ("Retry-After", "43200".to_owned()),
//!     ("RateLimit-Policy", r#""day";q=2;w=86400"#.to_owned()),
//!     ("RateLimit", r#""day";r=0;t=43200"#.to_owned()),
//! ]);
//! # Ok::<(), tollgate::ApplyError>(())
//! ```

use std::fmt::Write;

use crate::engine::{Decision, LimitReport, Report, Verdict};

/// Which rate-limit fields to write besides `Retry-After`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Fields {
    /// None.
    Off,
    /// `RateLimit-Policy: "name";q=100;w=60` and `RateLimit: "name";r=50;t=30`, the shape of
    /// draft-ietf-httpapi-ratelimit-headers since its version 08.
    Draft,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset` (seconds from now) of the limit with the smallest
    /// share left.
    Legacy,
}

/// The status that a verdict is answered with by default: 200 stands for "go ahead".
pub const fn status(verdict: Verdict) -> u16 {
    match verdict {
        Verdict::Ok | Verdict::Delayed => 200,
        Verdict::Throttled
        | Verdict::QuotaExceeded
        | Verdict::ConcurrencyExceeded
        | Verdict::CostExceedsLimit => 429,
        Verdict::KeyMissing
        | Verdict::KeyUnknown
        | Verdict::KeyDisabled
        | Verdict::KeyExpired
        | Verdict::KeyRevoked
        | Verdict::NoPlanForStage => 403,
        Verdict::StoreFull => 503,
    }
}

/// `Retry-After` in whole seconds, rounded up and at least 1; `None` where the request is allowed or no
/// wait helps.
pub fn retry_after(decision: &Decision) -> Option<u64> {
    match decision.retry_after() {
        Some(wait) if !decision.is_allowed() => Some(wait.as_secs_ceil().max(1)),
        _ => None,
    }
}

/// The header fields of a decision, by name and value.
pub fn headers(report: &Report, fields: Fields) -> Vec<(&'static str, String)> {
    let mut headers = Vec::with_capacity(4);
    if let Some(seconds) = retry_after(&report.decision()) {
        headers.push(("Retry-After", seconds.to_string()));
    }
    let limits = report.limits();
    if limits.is_empty() {
        return headers;
    }
    match fields {
        Fields::Off => {}
        Fields::Draft => {
            let (mut policy, mut state) = (String::new(), String::new());
            for limit in limits {
                let separator = if policy.is_empty() { "" } else { ", " };
                let name = Name(limit.name());
                // Writing to a string cannot fail.
                let _ = write!(policy, "{separator}{name};q={}", item(limit.limit()));
                if let Some(window) = limit.window() {
                    let _ = write!(policy, ";w={}", item(window.as_secs_ceil()));
                }
                let _ = write!(state, "{separator}{name};r={}", item(limit.remaining()));
                if let Some(reset) = limit.reset() {
                    let _ = write!(state, ";t={}", item(reset.as_secs_ceil()));
                }
            }
            headers.push(("RateLimit-Policy", policy));
            headers.push(("RateLimit", state));
        }
        Fields::Legacy => {
            // Shares are compared as fractions: a/b < c/d iff a*d < c*b.
            let share =
                |limit: &LimitReport| (u128::from(limit.remaining()), u128::from(limit.limit().max(1)));
            let scarcest = limits.iter().min_by(|a, b| {
                let ((a, a_of), (b, b_of)) = (share(a), share(b));
                (a * b_of).cmp(&(b * a_of))
            });
            if let Some(limit) = scarcest {
                headers.push(("X-RateLimit-Limit", limit.limit().to_string()));
                headers.push(("X-RateLimit-Remaining", limit.remaining().to_string()));
                if let Some(reset) = limit.reset() {
                    headers.push(("X-RateLimit-Reset", reset.as_secs_ceil().to_string()));
                }
            }
        }
    }
    headers
}

/// A structured field's integer has at most 15 digits.
fn item(value: u64) -> u64 {
    value.min(999_999_999_999_999)
}

/// A name as a structured field's string: printable ASCII, quoted; anything else becomes `?`.
struct Name<'a>(&'a str);

impl std::fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('"')?;
        for char in self.0.chars() {
            match char {
                '"' | '\\' => write!(f, "\\{char}")?,
                ' '..='~' => f.write_char(char)?,
                _ => f.write_char('?')?,
            }
        }
        f.write_char('"')
    }
}
