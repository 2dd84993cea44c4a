//! Statuses: what every function returns.

use std::borrow::Cow;
use std::ffi::c_char;

use tollgate::{
    ApplyError, IdError, KeyError, PlanFileError, RegionError, SnapshotError, UsageError, Verdict,
};

/// Result of a call: 0 is success, positive statuses are decisions against the caller, negative ones say that the
/// engine could not do it. An integer, not an enum, so that its size is part of the ABI and a newer library may return
/// a value that this header does not name.
pub type tollgate_status = i32;

/// Done. Of a decision: go ahead, after `delay_ns` if that is not 0.
pub const TOLLGATE_OK: i32 = 0;

/// A throttle refuses (429). Positive: the request is refused, `retry_after_ns` says for how long.
pub const TOLLGATE_THROTTLED: i32 = 1;
/// A quota is used up (429).
pub const TOLLGATE_QUOTA_EXCEEDED: i32 = 2;
/// Too many requests are in flight (429).
pub const TOLLGATE_CONCURRENCY_EXCEEDED: i32 = 3;
/// The cost is more than a limit can ever hold (429); no wait helps.
pub const TOLLGATE_COST_EXCEEDS_LIMIT: i32 = 4;
/// No key was given (403).
pub const TOLLGATE_KEY_MISSING: i32 = 5;
/// The key is not registered (403).
pub const TOLLGATE_KEY_UNKNOWN: i32 = 6;
/// The key is switched off and may be switched on again (403).
pub const TOLLGATE_KEY_DISABLED: i32 = 7;
/// The key has expired (403).
pub const TOLLGATE_KEY_EXPIRED: i32 = 8;
/// The key is switched off for good (403).
pub const TOLLGATE_KEY_REVOKED: i32 = 9;
/// None of the subject's plans covers the stage (403).
pub const TOLLGATE_NO_PLAN_FOR_STAGE: i32 = 10;
/// There is no room for a new subject's state, or all ids are open reservations (503).
pub const TOLLGATE_STORE_FULL: i32 = 11;
/// Refused for a reason that this library cannot name (429).
pub const TOLLGATE_DENIED: i32 = 12;

/// NULL, misaligned, out of range, too long, not UTF-8, or wrong in itself. Negative: nothing was done, and whether
/// a request goes ahead is for the host to say.
pub const TOLLGATE_ERR_ARGUMENT: i32 = -1;
/// There is no memory.
pub const TOLLGATE_ERR_NOMEM: i32 = -2;
/// A capacity of tollgate_config is used up.
pub const TOLLGATE_ERR_FULL: i32 = -3;
/// That id or key is in use.
pub const TOLLGATE_ERR_EXISTS: i32 = -4;
/// No such plan, subject, limit, key, name or id, or it has been forgotten.
pub const TOLLGATE_ERR_NOT_FOUND: i32 = -5;
/// Right in itself, but it collides with what there is: a second plan for a stage, another subject's key, the rotation
/// of a revoked key.
pub const TOLLGATE_ERR_CONFLICT: i32 = -6;
/// A buffer is too small; the length that is needed was stored.
pub const TOLLGATE_ERR_BUFFER: i32 = -7;
/// A snapshot or region is damaged or something else.
pub const TOLLGATE_ERR_CORRUPT: i32 = -8;
/// Of another version: a snapshot or region of another format, a struct with fields that this library does not know.
pub const TOLLGATE_ERR_VERSION: i32 = -9;
/// The system or a callback of yours refused to read or write.
pub const TOLLGATE_ERR_IO: i32 = -10;
/// A snapshot or region is of another engine or of another capacity.
pub const TOLLGATE_ERR_MISMATCH: i32 = -11;
/// It was settled, refunded or released before; nothing has changed.
pub const TOLLGATE_ERR_CLOSED: i32 = -12;
/// A bug in the library, contained: the engine stays usable. What the call was to do may be done or half done; a debit
/// may have been made. Please report it.
pub const TOLLGATE_ERR_PANIC: i32 = -99;

/// Why a call failed, in words. No API key is ever in it.
pub(crate) struct Failure {
    pub status: i32,
    /// Where, as a path; empty if it is no field's fault.
    pub field: String,
    pub message: Cow<'static, str>,
    /// In the text of a plan file, from 1; 0 where it is not known.
    pub line: u32,
}

impl Failure {
    #[cold]
    pub(crate) fn new(status: i32, field: &str, message: impl Into<Cow<'static, str>>) -> Failure {
        Failure { status, field: field.into(), message: message.into(), line: 0 }
    }

    pub(crate) fn argument(field: &str, problem: &str) -> Failure {
        Failure::new(TOLLGATE_ERR_ARGUMENT, field, format!("{field}: {problem}"))
    }
}

impl From<i32> for Failure {
    fn from(status: i32) -> Failure {
        Failure::new(status, "", text(status).1.to_str().unwrap_or_default())
    }
}

impl From<ApplyError> for Failure {
    fn from(error: ApplyError) -> Failure {
        let message = error.to_string();
        let (status, field) = match error {
            ApplyError::Invalid { field, .. } => (TOLLGATE_ERR_ARGUMENT, field),
            ApplyError::Conflict { field, .. } => (TOLLGATE_ERR_CONFLICT, field),
            ApplyError::Capacity { field, .. } => (TOLLGATE_ERR_FULL, field),
            ApplyError::Memory { field, .. } => (TOLLGATE_ERR_NOMEM, field.into()),
            ApplyError::Unknown { field, .. } => (TOLLGATE_ERR_NOT_FOUND, field),
            ApplyError::Region(error) => (of_region(&error), "region".into()),
            ApplyError::Snapshot(_) => (TOLLGATE_ERR_MISMATCH, "snapshot".into()),
            _ => (TOLLGATE_ERR_ARGUMENT, String::new()),
        };
        Failure { status, field, message: message.into(), line: 0 }
    }
}

fn of_region(error: &RegionError) -> i32 {
    match error {
        RegionError::Foreign | RegionError::Damaged { .. } => TOLLGATE_ERR_CORRUPT,
        RegionError::Version { .. } => TOLLGATE_ERR_VERSION,
        RegionError::Layout { .. } => TOLLGATE_ERR_MISMATCH,
        RegionError::Io { .. } => TOLLGATE_ERR_IO,
        _ => TOLLGATE_ERR_ARGUMENT,
    }
}

impl From<RegionError> for Failure {
    fn from(error: RegionError) -> Failure {
        Failure::new(of_region(&error), "region", error.to_string())
    }
}

impl From<PlanFileError> for Failure {
    fn from(error: PlanFileError) -> Failure {
        let message = error.to_string();
        match error {
            PlanFileError::Apply(error) => error.into(),
            PlanFileError::Io { .. } => Failure::new(TOLLGATE_ERR_IO, "path", message),
            PlanFileError::Syntax { line, .. } => {
                let line = line.and_then(|line| u32::try_from(line).ok()).unwrap_or(0);
                Failure { line, ..Failure::new(TOLLGATE_ERR_ARGUMENT, "", message) }
            }
            _ => Failure::new(TOLLGATE_ERR_ARGUMENT, "", message),
        }
    }
}

impl From<KeyError> for Failure {
    fn from(error: KeyError) -> Failure {
        let (status, field) = match &error {
            KeyError::UnknownId(_) => (TOLLGATE_ERR_NOT_FOUND, "key_id"),
            KeyError::Revoked(_) => (TOLLGATE_ERR_CONFLICT, "key_id"),
            KeyError::Taken(_) => (TOLLGATE_ERR_EXISTS, "new_id"),
            KeyError::Name(_) => (TOLLGATE_ERR_ARGUMENT, "new_id"),
            KeyError::NoRoom(_) => (TOLLGATE_ERR_FULL, "key_id"),
            KeyError::Random(_) => (TOLLGATE_ERR_IO, ""),
            KeyError::Prefix(_) => (TOLLGATE_ERR_ARGUMENT, "prefix"),
            KeyError::Pepper { .. } => (TOLLGATE_ERR_ARGUMENT, "pepper"),
            _ => (TOLLGATE_ERR_ARGUMENT, "key"),
        };
        Failure::new(status, field, error.to_string())
    }
}

impl From<UsageError> for Failure {
    fn from(error: UsageError) -> Failure {
        let (status, field) = match &error {
            UsageError::UnknownSubject(_) => (TOLLGATE_ERR_NOT_FOUND, "subject"),
            UsageError::UnknownPlan(_) => (TOLLGATE_ERR_NOT_FOUND, "plan"),
            UsageError::NotOnPlan { .. } => (TOLLGATE_ERR_NOT_FOUND, "plan"),
            UsageError::NoQuota { .. } => (TOLLGATE_ERR_NOT_FOUND, "limit"),
            UsageError::Range { .. } => (TOLLGATE_ERR_ARGUMENT, "from_day"),
            UsageError::Memory { .. } => (TOLLGATE_ERR_NOMEM, "to_day"),
            UsageError::TooMuch { .. } => (TOLLGATE_ERR_ARGUMENT, "remaining"),
            UsageError::Damaged => (TOLLGATE_ERR_CORRUPT, ""),
            _ => (TOLLGATE_ERR_ARGUMENT, ""),
        };
        Failure::new(status, field, error.to_string())
    }
}

impl From<SnapshotError> for Failure {
    fn from(error: SnapshotError) -> Failure {
        let status = match &error {
            SnapshotError::Io { .. } | SnapshotError::Thread(_) => TOLLGATE_ERR_IO,
            SnapshotError::NotASnapshot | SnapshotError::Damaged { .. } | SnapshotError::CutOff { .. } => {
                TOLLGATE_ERR_CORRUPT
            }
            SnapshotError::Version { .. } => TOLLGATE_ERR_VERSION,
            SnapshotError::Mismatch { .. } => TOLLGATE_ERR_MISMATCH,
            _ => TOLLGATE_ERR_ARGUMENT,
        };
        Failure::new(status, "snapshot", error.to_string())
    }
}

/// Of an id that a request cannot have.
pub(crate) fn of_id(error: IdError) -> i32 {
    match error {
        IdError::Memory(_) => TOLLGATE_ERR_NOMEM,
        _ => TOLLGATE_ERR_EXISTS,
    }
}

/// A delayed request is one that goes ahead.
#[inline]
pub(crate) fn of_verdict(verdict: Verdict) -> i32 {
    match verdict {
        Verdict::Ok | Verdict::Delayed => TOLLGATE_OK,
        Verdict::Throttled => TOLLGATE_THROTTLED,
        Verdict::QuotaExceeded => TOLLGATE_QUOTA_EXCEEDED,
        Verdict::ConcurrencyExceeded => TOLLGATE_CONCURRENCY_EXCEEDED,
        Verdict::CostExceedsLimit => TOLLGATE_COST_EXCEEDS_LIMIT,
        Verdict::KeyMissing => TOLLGATE_KEY_MISSING,
        Verdict::KeyUnknown => TOLLGATE_KEY_UNKNOWN,
        Verdict::KeyDisabled => TOLLGATE_KEY_DISABLED,
        Verdict::KeyExpired => TOLLGATE_KEY_EXPIRED,
        Verdict::KeyRevoked => TOLLGATE_KEY_REVOKED,
        Verdict::NoPlanForStage => TOLLGATE_NO_PLAN_FOR_STAGE,
        Verdict::StoreFull => TOLLGATE_STORE_FULL,
        other if other.is_allowed() => TOLLGATE_OK,
        _ => TOLLGATE_DENIED,
    }
}

/// The verdict that a status stands for, if it is a decision.
fn verdict(status: i32) -> Option<Verdict> {
    Some(match status {
        TOLLGATE_OK => Verdict::Ok,
        TOLLGATE_THROTTLED | TOLLGATE_DENIED => Verdict::Throttled,
        TOLLGATE_QUOTA_EXCEEDED => Verdict::QuotaExceeded,
        TOLLGATE_CONCURRENCY_EXCEEDED => Verdict::ConcurrencyExceeded,
        TOLLGATE_COST_EXCEEDS_LIMIT => Verdict::CostExceedsLimit,
        TOLLGATE_KEY_MISSING => Verdict::KeyMissing,
        TOLLGATE_KEY_UNKNOWN => Verdict::KeyUnknown,
        TOLLGATE_KEY_DISABLED => Verdict::KeyDisabled,
        TOLLGATE_KEY_EXPIRED => Verdict::KeyExpired,
        TOLLGATE_KEY_REVOKED => Verdict::KeyRevoked,
        TOLLGATE_NO_PLAN_FOR_STAGE => Verdict::NoPlanForStage,
        TOLLGATE_STORE_FULL => Verdict::StoreFull,
        _ => return None,
    })
}

macro_rules! texts {
    ($value:expr; $($name:ident $message:literal,)*) => {
        match $value {
            $($name => (
                const { c_text(concat!(stringify!($name), "\0")) },
                const { c_text(concat!($message, "\0")) },
            ),)*
            _ => (c"TOLLGATE_UNKNOWN_STATUS", c"a status that this library does not know"),
        }
    };
}

const fn c_text(text: &'static str) -> &'static std::ffi::CStr {
    match std::ffi::CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => panic!("a text with a NUL inside"),
    }
}

/// Name and sentence.
fn text(status: i32) -> (&'static std::ffi::CStr, &'static std::ffi::CStr) {
    texts! { status;
        TOLLGATE_OK "done, or allowed",
        TOLLGATE_THROTTLED "a throttle refuses",
        TOLLGATE_QUOTA_EXCEEDED "a quota is used up",
        TOLLGATE_CONCURRENCY_EXCEEDED "too many requests are in flight",
        TOLLGATE_COST_EXCEEDS_LIMIT "the cost is more than a limit can ever hold",
        TOLLGATE_KEY_MISSING "no API key was given",
        TOLLGATE_KEY_UNKNOWN "the API key is not registered",
        TOLLGATE_KEY_DISABLED "the API key is switched off",
        TOLLGATE_KEY_EXPIRED "the API key has expired",
        TOLLGATE_KEY_REVOKED "the API key is switched off for good",
        TOLLGATE_NO_PLAN_FOR_STAGE "no plan of the subject covers the stage",
        TOLLGATE_STORE_FULL "there is no room for a new subject's state or another reservation",
        TOLLGATE_DENIED "the request is refused",
        TOLLGATE_ERR_ARGUMENT "an argument is NULL, misaligned, out of range, too long, not UTF-8 or wrong in itself",
        TOLLGATE_ERR_NOMEM "there is no memory",
        TOLLGATE_ERR_FULL "a configured capacity is used up",
        TOLLGATE_ERR_EXISTS "that id or key is in use",
        TOLLGATE_ERR_NOT_FOUND "there is no such plan, subject, limit, key, name or id",
        TOLLGATE_ERR_CONFLICT "it collides with what there is",
        TOLLGATE_ERR_BUFFER "a buffer is too small",
        TOLLGATE_ERR_CORRUPT "the snapshot or region is damaged, or is something else",
        TOLLGATE_ERR_VERSION "it is of another version of the library",
        TOLLGATE_ERR_IO "the system or a callback refused to read or write",
        TOLLGATE_ERR_MISMATCH "the snapshot or region is of another engine or capacity",
        TOLLGATE_ERR_CLOSED "it was settled, refunded or released before",
        TOLLGATE_ERR_PANIC "a bug in the library: please report it",
    }
}

/// "TOLLGATE_ERR_FULL", for logs. Never NULL, static, also for a status that the library does not know.
/// Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tollgate_status_name(status: tollgate_status) -> *const c_char {
    text(status).0.as_ptr()
}

/// The status as a phrase in English. Never NULL, static. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tollgate_status_message(status: tollgate_status) -> *const c_char {
    text(status).1.as_ptr()
}

/// The HTTP status that a decision is answered with by default: 200 (go ahead), 403, 429 or 503; 500 for an error,
/// where the host chooses whether to fail open or closed. Any thread.
#[unsafe(no_mangle)]
pub extern "C" fn tollgate_http_status(status: tollgate_status) -> i32 {
    verdict(status).map_or(500, |verdict| i32::from(tollgate::http::status(verdict)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_its_status_and_back() {
        for status in TOLLGATE_THROTTLED..TOLLGATE_DENIED {
            assert_eq!(of_verdict(verdict(status).unwrap()), status);
        }
        assert_eq!((of_verdict(Verdict::Delayed), of_verdict(Verdict::Ok)), (0, 0));
    }

    #[test]
    fn every_status_has_a_name_of_its_own() {
        let names: std::collections::HashSet<_> = (-128..128)
            .map(|status| text(status).0)
            .filter(|name| *name != c"TOLLGATE_UNKNOWN_STATUS")
            .collect();
        assert_eq!(names.len(), 26);
    }
}
