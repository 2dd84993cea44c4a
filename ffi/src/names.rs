//! Names as small numbers, so that a request need not have its stage, route and plan checked and looked for.
//!
//! **Fast path**: a slot is read without a lock. **Slow path**: a new name is put into the next slot under a lock. Slots
//! are made when the engine is, and written once. **Ordering**: that of `OnceLock`.

use std::sync::{Mutex, OnceLock, PoisonError};

use tollgate::{Engine, PlanId};

use crate::engine::handle;
use crate::guard::{guard, output};
use crate::status::{
    TOLLGATE_ERR_ARGUMENT, TOLLGATE_ERR_FULL, TOLLGATE_ERR_NOMEM, TOLLGATE_OK, tollgate_status,
};
use crate::text::{copied, text};
use crate::types::{tollgate_engine, tollgate_name};
use std::ffi::c_void;

/// See the module's comment. The number of a name is its slot's, from 1.
pub(crate) struct Names {
    slots: Box<[OnceLock<Name>]>,
    /// Indexes of the slots in use, by their texts.
    sorted: Mutex<Vec<u32>>,
}

pub(crate) struct Name {
    pub text: String,
    /// If it was a plan's when it was first seen.
    pub plan: Option<PlanId>,
}

impl Names {
    pub(crate) fn with_room(room: usize) -> Result<Names, i32> {
        let mut slots = Vec::new();
        slots.try_reserve_exact(room).map_err(|_| TOLLGATE_ERR_NOMEM)?;
        slots.resize_with(room, OnceLock::new);
        let mut sorted = Vec::new();
        sorted.try_reserve_exact(room).map_err(|_| TOLLGATE_ERR_NOMEM)?;
        Ok(Names { slots: slots.into_boxed_slice(), sorted: Mutex::new(sorted) })
    }

    #[inline]
    pub(crate) fn get(&self, name: tollgate_name) -> Result<&Name, i32> {
        let slot = self.slots.get((name as usize).wrapping_sub(1));
        slot.and_then(OnceLock::get).ok_or(TOLLGATE_ERR_ARGUMENT)
    }

    fn number(&self, engine: &Engine, text: &str) -> Result<tollgate_name, i32> {
        let mut sorted = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |&slot: &u32| self.slots[slot as usize].get().map_or("", |name| name.text.as_str());
        let at = match sorted.binary_search_by(|slot| of(slot).cmp(text)) {
            Ok(at) => return Ok(sorted[at] + 1),
            Err(at) => at,
        };
        let slot = sorted.len();
        if slot == self.slots.len() {
            return Err(TOLLGATE_ERR_FULL);
        }
        let name = Name { text: copied(text)?, plan: engine.plan_id(text) };
        // The slot is empty: slots are filled in order, under this lock.
        let _ = self.slots[slot].set(name);
        // There is room for all of them, and their number fits: there are at most 65,536.
        sorted.insert(at, slot as u32);
        Ok(slot as u32 + 1)
    }
}

/// Gives a stage ("pets/prod"), route ("GET /pets") or plan a number for tollgate_request: the same one for the same
/// text, whatever it is used for. For names that you know at the start: there is room for `max_names`, and they stay. A
/// plan's is best asked for once the plan is in place. `text`: UTF-8, not empty.
/// TOLLGATE_ERR_FULL, TOLLGATE_ERR_NOMEM. Any thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_intern(
    engine: *mut tollgate_engine,
    text: *const c_void,
    len: usize,
    out: *mut tollgate_name,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        let (handle, text) = unsafe { (handle(engine)?, self::text(text, len)?) };
        let out = output(out)?;
        if text.is_empty() {
            return Err(TOLLGATE_ERR_ARGUMENT);
        }
        let number = handle.names.number(&handle.engine, text)?;
        // SAFETY: `output`, and the caller's promise.
        unsafe { out.write(number) };
        Ok(TOLLGATE_OK)
    })
}
