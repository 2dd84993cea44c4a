//! Decisions: what C asks, as the library's request, and its answer in C.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use tollgate::{Cost, Decision, Mode, Nanos, NotPlain, PlanId, Request};

use crate::engine::{Handle, handle};
use crate::guard::{array, contain, input};
use crate::names::Name;
use crate::status::{TOLLGATE_ERR_ARGUMENT, of_id, of_verdict, tollgate_status};
use crate::text::{id, key};
use crate::types::{
    TOLLGATE_ANONYMOUS, TOLLGATE_OBSERVED, TOLLGATE_OR_ANONYMOUS, TOLLGATE_PEEK, TOLLGATE_RESERVE,
    TOLLGATE_WOULD_DENY, tollgate_cost, tollgate_decision, tollgate_engine, tollgate_name, tollgate_request,
    tollgate_str,
};

const FLAGS: u32 = TOLLGATE_PEEK | TOLLGATE_RESERVE | TOLLGATE_ANONYMOUS | TOLLGATE_OR_ANONYMOUS;

/// Most costs that a request can have.
pub(crate) const MOST_COSTS: usize = 16;

/// Where the costs of a request are read to.
pub(crate) type Room<'a> = [MaybeUninit<(&'a str, u64)>; MOST_COSTS];

/// What of a request needs a place of its own, in the frame of the call.
pub(crate) struct Parts<'a> {
    key: &'a [u8],
    stage: Option<Cow<'a, str>>,
    route: Option<Cow<'a, str>>,
    plan: Option<&'a Name>,
    cost: Cost<'a>,
    flags: u32,
}

/// Text, or a name in its place.
unsafe fn text<'a>(
    handle: &'a Handle,
    text: &tollgate_str,
    name: tollgate_name,
) -> Result<Option<Cow<'a, str>>, i32> {
    match (text.len, name) {
        (0, 0) => Ok(None),
        (0, name) => Ok(Some(Cow::Borrowed(&handle.names.get(name)?.text))),
        // SAFETY: the caller's promise.
        (_, 0) => unsafe { text.lossy() }.map(Some),
        _ => Err(TOLLGATE_ERR_ARGUMENT),
    }
}

impl<'a> Parts<'a> {
    #[inline]
    pub(crate) unsafe fn of(
        handle: &'a Handle,
        raw: &'a tollgate_request,
        room: &'a mut Room<'a>,
    ) -> Result<Parts<'a>, i32> {
        if raw.flags & !FLAGS != 0 || raw.reserved != [0; 3] {
            return Err(TOLLGATE_ERR_ARGUMENT);
        }
        let anonymous = raw.flags & (TOLLGATE_ANONYMOUS | TOLLGATE_OR_ANONYMOUS);
        let plan = match (anonymous, raw.plan) {
            (0, 0) => None,
            (TOLLGATE_ANONYMOUS | TOLLGATE_OR_ANONYMOUS, plan) => Some(handle.names.get(plan)?),
            _ => return Err(TOLLGATE_ERR_ARGUMENT),
        };
        // SAFETY: the caller's promises.
        unsafe {
            Ok(Parts {
                key: key(&raw.key)?,
                stage: text(handle, &raw.stage, raw.stage_name)?,
                route: text(handle, &raw.route, raw.route_name)?,
                plan,
                cost: cost(raw.costs, raw.n_costs, raw.cost, room)?,
                flags: raw.flags,
            })
        }
    }

    pub(crate) fn request(&self) -> Request<'_> {
        let mut request = match self.plan {
            None => Request::new(self.key),
            Some(plan) if self.flags & TOLLGATE_OR_ANONYMOUS != 0 => {
                Request::new(self.key).or_anonymous(&plan.text)
            }
            Some(&Name { plan: Some(plan), .. }) => Request::anonymous_in(plan, self.key),
            Some(plan) => Request::anonymous(&plan.text, self.key),
        };
        if let Some(stage) = &self.stage {
            request = request.stage(stage);
        }
        if let Some(route) = &self.route {
            request = request.route(route);
        }
        match self.cost {
            Cost::Every(cost) => request.cost(cost),
            Cost::Units(costs) => request.costs(costs),
        }
    }
}

/// The same for `every` unit, or what each costs, which is read into `room`.
#[inline]
pub(crate) unsafe fn cost<'a>(
    start: *const tollgate_cost,
    count: usize,
    every: u64,
    room: &'a mut Room<'a>,
) -> Result<Cost<'a>, i32> {
    if start.is_null() && count == 0 {
        return Ok(Cost::Every(every));
    }
    if count > MOST_COSTS || start.is_null() {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    // SAFETY: the caller's promises.
    let costs = unsafe { array(start, count) }?;
    for (to, cost) in room.iter_mut().zip(costs) {
        // SAFETY: as above.
        to.write((unsafe { cost.unit.text() }?, cost.amount));
    }
    // SAFETY: the first `count` were written.
    Ok(Cost::Units(unsafe { room[..count].assume_init_ref() }))
}

impl tollgate_decision {
    #[inline(always)]
    pub(crate) fn of(decision: &Decision) -> tollgate_decision {
        let flags = match decision.would_deny() {
            None => 0,
            Some(false) => TOLLGATE_OBSERVED,
            Some(true) => TOLLGATE_OBSERVED | TOLLGATE_WOULD_DENY,
        };
        tollgate_decision {
            status: of_verdict(decision.verdict()),
            flags,
            retry_after_ns: decision.retry_after().map_or(u64::MAX, Nanos::get),
            delay_ns: decision.delay().get(),
            violated: 0,
            reserved: [0; 4],
        }
    }

    /// No decision was made.
    #[cold]
    pub(crate) fn none(status: i32) -> tollgate_decision {
        tollgate_decision { status, flags: 0, retry_after_ns: 0, delay_ns: 0, violated: 0, reserved: [0; 4] }
    }

    /// Writes a decision in its place at once: one that is put together elsewhere takes longer to be copied than to be
    /// made.
    ///
    /// # Safety
    /// `out` can be written to.
    #[inline(always)]
    pub(crate) unsafe fn put(out: *mut tollgate_decision, decision: &Decision) -> i32 {
        let made = tollgate_decision::of(decision);
        // SAFETY: the caller's promise.
        unsafe { out.write(made) };
        made.status
    }
}

/// A decision for one request, which is written to `out` whatever becomes of it: by the body, or if that fails, as none.
macro_rules! decided {
    ($out:ident, $body:block) => {
        match $crate::guard::output($out) {
            Ok($out) => {
                let status = $crate::guard::contain(|| -> Result<i32, i32> { $body });
                if status < 0 {
                    // SAFETY: `output`, and the caller's promise.
                    unsafe { $out.write($crate::types::tollgate_decision::none(status)) };
                }
                status
            }
            Err(status) => status,
        }
    };
}
pub(crate) use decided;

/// A request's id. At that of a peek nobody looks.
///
/// # Safety
/// It can be read.
pub(crate) unsafe fn id_of(raw: &tollgate_request) -> Result<&[u8], i32> {
    match raw.flags & TOLLGATE_PEEK {
        0 => {
            // SAFETY: the caller's promise.
            unsafe { id(raw.id.data, raw.id.len) }
        }
        _ => Ok(&[]),
    }
}

/// Decides as a request's flags say.
unsafe fn decide(handle: &Handle, raw: &tollgate_request, out: *mut tollgate_decision) -> Result<i32, i32> {
    let mut room = [MaybeUninit::uninit(); MOST_COSTS];
    // SAFETY: the caller's promises.
    let (parts, id) = unsafe { (Parts::of(handle, raw, &mut room)?, id_of(raw)?) };
    let (request, now) = (parts.request(), handle.at(raw.now_ns));
    let decision = match mode(raw.flags, id)? {
        Asked::Peek => handle.engine.peek_at(&request, now),
        Asked::Check => handle.engine.check_at(&request, now),
        Asked::CheckAs => handle.engine.check_as_at(&request, id, now).map_err(of_id)?,
        Asked::Reserve => {
            handle.engine.reserve_at(&request, id, Nanos::new(raw.ttl_ns), now).map_err(of_id)?
        }
    };
    // SAFETY: the caller's promise.
    Ok(unsafe { tollgate_decision::put(out, &decision) })
}

pub(crate) enum Asked {
    Peek,
    Check,
    CheckAs,
    Reserve,
}

impl Asked {
    pub(crate) fn mode(&self) -> Mode {
        if matches!(self, Asked::Peek) { Mode::Peek } else { Mode::Check }
    }
}

pub(crate) fn mode(flags: u32, id: &[u8]) -> Result<Asked, i32> {
    match (flags & (TOLLGATE_PEEK | TOLLGATE_RESERVE), id.is_empty()) {
        (TOLLGATE_PEEK, _) => Ok(Asked::Peek),
        (0, true) => Ok(Asked::Check),
        (0, false) => Ok(Asked::CheckAs),
        (TOLLGATE_RESERVE, false) => Ok(Asked::Reserve),
        _ => Err(TOLLGATE_ERR_ARGUMENT),
    }
}

/// The request that nearly all are: a key and a cost, and nothing else but an anonymous subject's plan.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    plan: Option<PlanId>,
    key: &'a [u8],
    cost: u64,
}

impl<'a> Plain<'a> {
    /// `None`: it is another one.
    ///
    /// # Safety
    /// What the request points to can be read.
    #[inline(always)]
    pub(crate) unsafe fn of(handle: &Handle, raw: &'a tollgate_request) -> Result<Option<Plain<'a>>, i32> {
        let lengths = raw.stage.len | raw.route.len | raw.id.len | raw.n_costs | raw.costs as usize;
        let names = raw.stage_name | raw.route_name;
        if lengths as u64 | u64::from(names) | raw.reserved[0] | raw.reserved[1] | raw.reserved[2] != 0 {
            return Ok(None);
        }
        // SAFETY: the caller's promise.
        let (key, cost) = (unsafe { key(&raw.key) }?, raw.cost);
        Ok(match (raw.flags, raw.plan) {
            (0, 0) => Some(Plain { plan: None, key, cost }),
            (TOLLGATE_ANONYMOUS, name) => {
                handle.names.get(name)?.plan.map(|plan| Plain { plan: Some(plan), key, cost })
            }
            _ => None,
        })
    }

    #[inline(always)]
    pub(crate) fn request(self) -> Request<'a> {
        let request = match self.plan {
            Some(plan) => Request::anonymous_in(plan, self.key),
            None => Request::new(self.key),
        };
        request.cost(self.cost)
    }
}

/// Checks, and writes the decision if there is one.
pub(crate) unsafe fn check(
    handle: &Handle,
    raw: &tollgate_request,
    out: *mut tollgate_decision,
) -> Result<i32, i32> {
    // SAFETY: the caller's promises.
    let Some(plain) = unsafe { Plain::of(handle, raw) }? else {
        // SAFETY: as above.
        return unsafe { decide(handle, raw, out) };
    };
    let decision = match raw.now_ns {
        0 => handle.engine.check(&plain.request()),
        now => handle.engine.check_at(&plain.request(), Nanos::new(now)),
    };
    // SAFETY: as above.
    Ok(unsafe { tollgate_decision::put(out, &decision) })
}

/// The check of plain requests, which is what nearly all are; `None`: it is another one, or something is unusable. It has few
/// branches, and few values to keep during the call: where that does not decide, the request is read again.
#[inline(always)]
unsafe fn check_shortly(
    engine: *mut tollgate_engine,
    request: *const tollgate_request,
    out: *mut tollgate_decision,
) -> Option<i32> {
    let any_null = engine.is_null() || request.is_null() || out.is_null();
    let addresses = engine.addr() | request.addr() | out.addr();
    if any_null || !addresses.is_multiple_of(align_of::<tollgate_request>()) {
        return None;
    }
    // SAFETY: the caller's promises.
    let (handle, raw) = unsafe { (handle(engine).ok()?, &*request) };
    // SAFETY: as above.
    let plain = unsafe { Plain::of(handle, raw) }.ok()??;
    if raw.now_ns == 0 {
        // SAFETY: as above.
        return Some(unsafe { check_by_clock(handle, plain, out) });
    }
    let Plain { plan, key, cost } = plain;
    match handle.engine.check_plain_at(plan, key, cost, Nanos::new(raw.now_ns)) {
        // SAFETY: as above.
        Ok(decision) => Some(unsafe { tollgate_decision::put(out, &decision) }),
        // SAFETY: as above.
        Err(rest) => unsafe { check_closer(handle, raw, rest, out) },
    }
}

/// A plain request at the instant of the engine's clock, which is read while the request's state is on its way.
#[inline(never)]
unsafe fn check_by_clock(handle: &Handle, plain: Plain<'_>, out: *mut tollgate_decision) -> i32 {
    let decision = handle.engine.check(&plain.request());
    // SAFETY: the caller's promise.
    unsafe { tollgate_decision::put(out, &decision) }
}

/// A plain request that the short way did not decide.
#[inline(never)]
unsafe fn check_closer(
    handle: &Handle,
    raw: &tollgate_request,
    rest: NotPlain,
    out: *mut tollgate_decision,
) -> Option<i32> {
    // SAFETY: the caller's promises.
    let request = unsafe { Plain::of(handle, raw) }.ok()??.request();
    let decision = handle.engine.check_closer_at(rest, &request, Nanos::new(raw.now_ns));
    // SAFETY: as above.
    Some(unsafe { tollgate_decision::put(out, &decision) })
}

/// May this request be made now? Takes its cost from every limit that applies, or from none. `out` is always written.
/// TOLLGATE_OK or why not; TOLLGATE_ERR_EXISTS for an `id` that is known; TOLLGATE_ERR_ARGUMENT. Any thread. [hot] for a
/// request without an `id` whose subject has its state.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_check(
    engine: *mut tollgate_engine,
    request: *const tollgate_request,
    out: *mut tollgate_decision,
) -> tollgate_status {
    // SAFETY: the caller's promises.
    match contain(|| unsafe { check_shortly(engine, request, out) }.ok_or(UNDECIDED)) {
        status @ 0.. => status,
        // SAFETY: as above.
        UNDECIDED => unsafe { check_otherwise(engine, request, out) },
        failed => decided!(out, { Err(failed) }),
    }
}

/// No status.
const UNDECIDED: i32 = i32::MIN;

/// Everything that is not decided shortly.
#[inline(never)]
unsafe fn check_otherwise(
    engine: *mut tollgate_engine,
    request: *const tollgate_request,
    out: *mut tollgate_decision,
) -> i32 {
    decided!(out, {
        // SAFETY: the caller's promises.
        let (handle, raw) = unsafe { (handle(engine)?, input(request)?) };
        // SAFETY: as above.
        unsafe { check(handle, raw, out) }
    })
}

/// As tollgate_check(), but takes nothing. Any thread. [hot]
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_peek(
    engine: *mut tollgate_engine,
    request: *const tollgate_request,
    out: *mut tollgate_decision,
) -> tollgate_status {
    decided!(out, {
        // SAFETY: the caller's promises.
        let (handle, raw) = unsafe { (handle(engine)?, input(request)?) };
        let raw = tollgate_request { flags: raw.flags & !TOLLGATE_RESERVE | TOLLGATE_PEEK, ..*raw };
        // SAFETY: as above.
        unsafe { decide(handle, &raw, out) }
    })
}

/// As tollgate_check() with TOLLGATE_RESERVE: what the request may cost is taken now, and made what it did cost by
/// tollgate_settle(). Unsettled it stays taken. TOLLGATE_STORE_FULL: all ids are open reservations. Any thread.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_reserve(
    engine: *mut tollgate_engine,
    request: *const tollgate_request,
    out: *mut tollgate_decision,
) -> tollgate_status {
    decided!(out, {
        // SAFETY: the caller's promises.
        let (handle, raw) = unsafe { (handle(engine)?, input(request)?) };
        let raw = tollgate_request { flags: raw.flags | TOLLGATE_RESERVE, ..*raw };
        // SAFETY: as above.
        unsafe { decide(handle, &raw, out) }
    })
}
