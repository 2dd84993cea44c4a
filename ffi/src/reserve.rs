//! What becomes of requests with an id.

use std::ffi::c_void;
use std::mem::MaybeUninit;

use tollgate::{RefundStatus, ReleaseStatus, SettleStatus};

use crate::decide::{MOST_COSTS, cost};
use crate::engine::handle;
use crate::guard::{guard, output};
use crate::status::{
    TOLLGATE_ERR_ARGUMENT, TOLLGATE_ERR_CLOSED, TOLLGATE_ERR_NOT_FOUND, TOLLGATE_OK, tollgate_status,
};
use crate::text::id as bytes;
use crate::types::{tollgate_cost, tollgate_engine, tollgate_settlement};

/// An id is not empty.
unsafe fn some_id<'a>(id: *const c_void, len: usize) -> Result<&'a [u8], i32> {
    // SAFETY: the caller's promise.
    let id = unsafe { bytes(id, len) }?;
    if id.is_empty() { Err(TOLLGATE_ERR_ARGUMENT) } else { Ok(id) }
}

/// Makes the cost of a reservation the actual one: the surplus is returned, an overrun is taken even past the limit.
/// `costs` and `n_costs` by unit as in tollgate_request, or NULL, 0 and `actual` for every unit. `out` may be NULL.
/// TOLLGATE_ERR_NOT_FOUND: no reservation of this id was admitted, or it is forgotten; TOLLGATE_ERR_CLOSED: it was
/// settled or refunded before. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_settle(
    engine: *mut tollgate_engine,
    id: *const c_void,
    len: usize,
    costs: *const tollgate_cost,
    n_costs: usize,
    actual: u64,
    now_ns: u64,
    out: *mut tollgate_settlement,
) -> tollgate_status {
    guard!({
        if !out.is_null() {
            output(out)?;
        }
        let mut room = [MaybeUninit::uninit(); MOST_COSTS];
        // SAFETY: the caller's promises.
        let (handle, id, cost) =
            unsafe { (handle(engine)?, some_id(id, len)?, cost(costs, n_costs, actual, &mut room)?) };
        let settlement = handle.engine.settle_at(id, cost, handle.at(now_ns));
        let late = match settlement.status() {
            SettleStatus::Settled => false,
            SettleStatus::Late => true,
            SettleStatus::AlreadySettled => return Err(TOLLGATE_ERR_CLOSED),
            _ => return Err(TOLLGATE_ERR_NOT_FOUND),
        };
        if !out.is_null() {
            let overdraft = settlement.overdraft();
            let settled =
                tollgate_settlement { late: late.into(), reserved0: 0, overdraft, reserved: [0; 2] };
            // SAFETY: not NULL, aligned, and the caller's promise.
            unsafe { out.write(settled) };
        }
        Ok(TOLLGATE_OK)
    })
}

/// Returns everything that a check with an `id` or an open reservation has cost, once.
/// TOLLGATE_ERR_NOT_FOUND, TOLLGATE_ERR_CLOSED as tollgate_settle(). Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_refund(
    engine: *mut tollgate_engine,
    id: *const c_void,
    len: usize,
    now_ns: u64,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        let (handle, id) = unsafe { (handle(engine)?, some_id(id, len)?) };
        match handle.engine.refund_at(id, handle.at(now_ns)) {
            RefundStatus::Refunded => Ok(TOLLGATE_OK),
            RefundStatus::AlreadySettled => Err(TOLLGATE_ERR_CLOSED),
            _ => Err(TOLLGATE_ERR_NOT_FOUND),
        }
    })
}

/// Frees the slots of concurrency caps that a request with an `id` holds; its cost stays taken.
/// TOLLGATE_ERR_NOT_FOUND as tollgate_settle(); TOLLGATE_ERR_CLOSED: it holds none any more. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_release(
    engine: *mut tollgate_engine,
    id: *const c_void,
    len: usize,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        let (handle, id) = unsafe { (handle(engine)?, some_id(id, len)?) };
        match handle.engine.release(id) {
            ReleaseStatus::Released => Ok(TOLLGATE_OK),
            ReleaseStatus::AlreadyReleased => Err(TOLLGATE_ERR_CLOSED),
            _ => Err(TOLLGATE_ERR_NOT_FOUND),
        }
    })
}
