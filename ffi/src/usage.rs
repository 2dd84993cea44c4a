//! What subjects have used, grants and alerts.

use std::ffi::c_void;

use tollgate::{Date, Threshold};

use crate::engine::handle;
use crate::guard::{guard, named, output};
use crate::status::{Failure, TOLLGATE_ERR_IO, TOLLGATE_OK, tollgate_status};
use crate::text::text;
use crate::types::{
    tollgate_alert, tollgate_alert_fn, tollgate_engine, tollgate_error, tollgate_str, tollgate_usage_fn,
    tollgate_usage_row,
};

/// Alerts that are taken at a time, so that they need little memory.
const PIECE: usize = 1_024;

/// The present day, in days since 1970-01-01, in the zone of a subject's first quota of a plan; in UTC if there is none.
/// TOLLGATE_ERR_NOT_FOUND. `err` may be NULL, here and below. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_today(
    engine: *mut tollgate_engine,
    subject: *const c_void,
    subject_len: usize,
    plan: *const c_void,
    plan_len: usize,
    out: *mut i32,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        unsafe {
            let handle = named(handle(engine), "engine")?;
            let (subject, plan) = (named(text(subject, subject_len), "subject")?, named(text(plan, plan_len), "plan")?);
            let out = named(output(out), "out")?;
            out.write(handle.engine.today(subject, plan)?.days());
        }
        Ok(TOLLGATE_OK)
    })
}

/// What a subject has used of its quotas of a plan: `each` is called with a row per quota and day from `from_day` to
/// `to_day` (days since 1970-01-01, as tollgate_today() counts them, at most 3,660). Days are kept for 90 days.
/// TOLLGATE_ERR_NOT_FOUND, TOLLGATE_ERR_ARGUMENT (`from_day` is later than `to_day`), TOLLGATE_ERR_IO (`each` stopped).
/// Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_usage(
    engine: *mut tollgate_engine,
    subject: *const c_void,
    subject_len: usize,
    plan: *const c_void,
    plan_len: usize,
    from_day: i32,
    to_day: i32,
    now_ns: u64,
    each: tollgate_usage_fn,
    ctx: *mut c_void,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        let (handle, subject, plan) = unsafe {
            let handle = named(handle(engine), "engine")?;
            (handle, named(text(subject, subject_len), "subject")?, named(text(plan, plan_len), "plan")?)
        };
        let Some(each) = each else { return Err(Failure::argument("each", "is NULL")) };
        let (from, to) = (Date::from_days(from_day), Date::from_days(to_day));
        for row in handle.engine.usage_at(subject, plan, from, to, handle.at(now_ns))? {
            let row = tollgate_usage_row {
                limit: tollgate_str::lend(row.limit()),
                day: row.date().days(),
                reserved0: 0,
                used: row.used(),
                remaining: row.remaining(),
                refused: row.refused(),
                reserved: [0; 2],
            };
            // SAFETY: the caller's promise.
            if unsafe { each(ctx, &raw const row) } != 0 {
                return Err(Failure::new(TOLLGATE_ERR_IO, "each", "each: your callback stopped"));
            }
        }
        Ok(TOLLGATE_OK)
    })
}

/// Lets a subject use `remaining` more units in the current window of a quota, whatever is left of it now. The next
/// window is as ever. `limit`: the quota's name, as reports give it. `remaining`: at most 2^61.
/// TOLLGATE_ERR_NOT_FOUND. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_grant(
    engine: *mut tollgate_engine,
    subject: *const c_void,
    subject_len: usize,
    plan: *const c_void,
    plan_len: usize,
    limit: *const c_void,
    limit_len: usize,
    remaining: u64,
    now_ns: u64,
    err: *mut tollgate_error,
) -> tollgate_status {
    guard!(err => {
        // SAFETY: the caller's promises.
        unsafe {
            let handle = named(handle(engine), "engine")?;
            let (subject, plan) = (named(text(subject, subject_len), "subject")?, named(text(plan, plan_len), "plan")?);
            let limit = named(text(limit, limit_len), "limit")?;
            handle.engine.grant_at(subject, plan, limit, remaining, handle.at(now_ns))?;
        }
        Ok(TOLLGATE_OK)
    })
}

/// Takes the alerts that were raised since the last call, by this process: each threshold of each quota once per
/// window. `each` is called with every one of them. `dropped` (may be NULL, then they are
/// only counted by the metrics) receives how many there was no room for since the last call. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_alerts(
    engine: *mut tollgate_engine,
    each: tollgate_alert_fn,
    ctx: *mut c_void,
    dropped: *mut u64,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promise.
        let handle = unsafe { handle(engine) }?;
        let each = each.ok_or(crate::status::TOLLGATE_ERR_ARGUMENT)?;
        if !dropped.is_null() {
            output(dropped)?;
        }
        let mut lost = 0;
        loop {
            let alerts = handle.engine.alerts_up_to(PIECE);
            lost += alerts.dropped;
            for alert in &alerts.events {
                let lent = tollgate_alert {
                    subject: tollgate_str::lend(alert.subject().unwrap_or_default()),
                    plan: tollgate_str::lend(alert.plan()),
                    limit: tollgate_str::lend(alert.limit()),
                    percent: match alert.threshold() {
                        Threshold::Percent(percent) => percent,
                        _ => 0,
                    },
                    reserved0: 0,
                    window_start_ns: alert.window_start().get(),
                    reserved: [0; 2],
                };
                // SAFETY: the caller's promise.
                unsafe { each(ctx, &raw const lent) };
            }
            if alerts.events.len() < PIECE {
                break;
            }
        }
        if !dropped.is_null() {
            // SAFETY: not NULL, aligned, and the caller's promise.
            unsafe { dropped.write(lost) };
        }
        Ok(TOLLGATE_OK)
    })
}
