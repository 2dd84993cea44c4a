//! What an engine has done, as numbers and as text.

use tollgate::Verdict;

use crate::engine::handle;
use crate::guard::{growable, guard, output, write_growable};
use crate::status::{TOLLGATE_ERR_BUFFER, TOLLGATE_OK, tollgate_status};
use crate::text::Filling;
use crate::types::{tollgate_buf, tollgate_engine, tollgate_metrics};

/// What the engine has done since it was made, and how full it is. Peeks are not counted. Counts its cells one by one,
/// which takes a while for millions, and holds up no check. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_metrics_get(
    engine: *mut tollgate_engine,
    out: *mut tollgate_metrics,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        let (handle, before) = unsafe { (handle(engine)?, growable(out)?) };
        let metrics = handle.engine.metrics();
        let count =
            |verdict| metrics.plans().iter().map(|plan| plan.count(verdict)).fold(0, u64::wrapping_add);
        let would_deny = metrics.plans().iter().map(|plan| plan.would_deny()).fold(0, u64::wrapping_add);
        let full = metrics.full_counts();
        let counted = tollgate_metrics {
            struct_size: before.struct_size,
            flags: 0,
            ok: count(Verdict::Ok),
            delayed: count(Verdict::Delayed),
            throttled: count(Verdict::Throttled),
            quota_exceeded: count(Verdict::QuotaExceeded),
            concurrency_exceeded: count(Verdict::ConcurrencyExceeded),
            cost_exceeds_limit: count(Verdict::CostExceedsLimit),
            key_missing: count(Verdict::KeyMissing),
            key_unknown: count(Verdict::KeyUnknown),
            key_disabled: count(Verdict::KeyDisabled),
            key_expired: count(Verdict::KeyExpired),
            key_revoked: count(Verdict::KeyRevoked),
            no_plan_for_stage: count(Verdict::NoPlanForStage),
            store_full: count(Verdict::StoreFull),
            would_deny,
            cells: metrics.cells().0,
            max_cells: metrics.cells().1,
            lines: metrics.lines().0,
            max_lines: metrics.lines().1,
            full_refused: full.refused,
            full_passed: full.passed,
            full_evicted: full.evicted,
            unlogged: full.unlogged,
            ids: metrics.ids(),
            alerts_waiting: metrics.alerts().0,
            alerts_dropped: metrics.alerts().1,
        };
        // SAFETY: the caller's promise, and `growable`.
        unsafe { write_growable(out, &counted, before.struct_size) };
        Ok(TOLLGATE_OK)
    })
}

/// The same by plan, in the text format of Prometheus, version 0.0.4: what an endpoint answers with
/// "Content-Type: text/plain; version=0.0.4". TOLLGATE_ERR_BUFFER, with the length in `out->len`, where it does not fit:
/// plan for some 2 KiB and 1 KiB for each plan. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_metrics_text(
    engine: *mut tollgate_engine,
    out: *mut tollgate_buf,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        let (handle, out) = unsafe { (handle(engine)?, &mut *output(out)?) };
        out.checked()?;
        // SAFETY: `checked`, and the caller's promise.
        let mut filling = unsafe { Filling::begin(out) };
        // What does not fit is counted, so that nothing fails.
        let _ = handle.engine.metrics().write_prometheus(&mut filling);
        if filling.end() { Ok(TOLLGATE_OK) } else { Err(TOLLGATE_ERR_BUFFER) }
    })
}
