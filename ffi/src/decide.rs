//! Decisions: what C asks, as the library's request, and its answer in C.

use std::borrow::Cow;
use std::mem::MaybeUninit;

use tollgate::{Cost, Decision, Mode, Nanos, Request, Ticket};

use crate::engine::{Handle, handle};
use crate::guard::{array, guard, input, output};
use crate::names::Name;
use crate::status::{TOLLGATE_ERR_ARGUMENT, TOLLGATE_OK, of_id, of_verdict, tollgate_status};
use crate::text::{id, key};
use crate::types::{
    TOLLGATE_ANONYMOUS, TOLLGATE_OBSERVED, TOLLGATE_OR_ANONYMOUS, TOLLGATE_PEEK, TOLLGATE_RESERVE,
    TOLLGATE_WOULD_DENY, tollgate_cost, tollgate_decision, tollgate_engine, tollgate_name, tollgate_request,
    tollgate_str,
};

const FLAGS: u32 = TOLLGATE_PEEK | TOLLGATE_RESERVE | TOLLGATE_ANONYMOUS | TOLLGATE_OR_ANONYMOUS;

/// Most costs that a request can have.
pub(crate) const MOST_COSTS: usize = 16;

/// Most requests of one decision.
const MOST_TOGETHER: usize = 16;

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
    #[inline]
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
    fn none(status: i32) -> tollgate_decision {
        tollgate_decision { status, flags: 0, retry_after_ns: 0, delay_ns: 0, violated: 0, reserved: [0; 4] }
    }
}

/// A decision for one request, which is written to `out` whatever becomes of it.
macro_rules! decided {
    ($out:expr, $body:block) => {{
        let out: *mut tollgate_decision = $out;
        guard!({
            let out = output(out)?;
            let decided = || -> Result<tollgate_decision, i32> { $body };
            let contained = $crate::guard::contain(|| {
                let decision = decided()?;
                // SAFETY: `output`, and the caller's promise.
                unsafe { out.write(decision) };
                Ok(decision.status)
            });
            if contained < 0 {
                // SAFETY: as above.
                unsafe { out.write(tollgate_decision::none(contained)) };
            }
            Ok(contained)
        })
    }};
}

fn is_peek(raw: &tollgate_request) -> bool {
    raw.flags & TOLLGATE_PEEK != 0
}

/// Decides as a request's flags say.
unsafe fn decide(handle: &Handle, raw: &tollgate_request) -> Result<tollgate_decision, i32> {
    let mut room = [MaybeUninit::uninit(); MOST_COSTS];
    // SAFETY: the caller's promises.
    let (parts, id) = unsafe { (Parts::of(handle, raw, &mut room)?, id(raw.id.data, raw.id.len)?) };
    let (request, now) = (parts.request(), handle.at(raw.now_ns));
    let decision = match mode(raw.flags, id)? {
        Asked::Peek => handle.engine.peek_at(&request, now),
        Asked::Check => handle.engine.check_at(&request, now),
        Asked::CheckAs => handle.engine.check_as_at(&request, id, now).map_err(of_id)?,
        Asked::Reserve => {
            handle.engine.reserve_at(&request, id, Nanos::new(raw.ttl_ns), now).map_err(of_id)?
        }
    };
    Ok(tollgate_decision::of(&decision))
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
#[inline(always)]
unsafe fn plain<'a>(handle: &Handle, raw: &'a tollgate_request) -> Result<Option<Request<'a>>, i32> {
    let lengths = raw.stage.len | raw.route.len | raw.id.len | raw.n_costs | raw.costs as usize;
    let names = raw.stage_name | raw.route_name;
    if lengths as u64 | u64::from(names) | raw.reserved[0] | raw.reserved[1] | raw.reserved[2] != 0 {
        return Ok(None);
    }
    // SAFETY: the caller's promise.
    let key = unsafe { key(&raw.key) }?;
    let request = match (raw.flags, raw.plan) {
        (0, 0) => Some(Request::new(key)),
        (TOLLGATE_ANONYMOUS, plan) => {
            handle.names.get(plan)?.plan.map(|plan| Request::anonymous_in(plan, key))
        }
        _ => None,
    };
    Ok(request.map(|request| request.cost(raw.cost)))
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
    decided!(out, {
        // SAFETY: the caller's promises.
        let (handle, raw) = unsafe { (handle(engine)?, input(request)?) };
        // SAFETY: as above.
        if let Some(request) = unsafe { plain(handle, raw) }? {
            return Ok(tollgate_decision::of(&handle.engine.check_at(&request, handle.at(raw.now_ns))));
        }
        // SAFETY: as above.
        unsafe { decide(handle, raw) }
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
        unsafe { decide(handle, &raw) }
    })
}

/// As tollgate_check() with TOLLGATE_RESERVE: what the request may cost is taken now, and made what it did cost by
/// tollgate_settle(). Unsettled it stays taken. TOLLGATE_STORE_FULL: all ids are open reservations. Any thread. [oom]
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
        unsafe { decide(handle, &raw) }
    })
}

/// Decides `n` requests in order, each by itself, as `n` calls of tollgate_check() would. out[i] receives each decision.
/// TOLLGATE_OK if all were allowed, else the first status that is not; a request that fails does not stop the others.
/// TOLLGATE_ERR_ARGUMENT, with nothing written, where `requests` or `out` is unusable. Any thread. [hot] as
/// tollgate_check().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_check_batch(
    engine: *mut tollgate_engine,
    requests: *const tollgate_request,
    n: usize,
    out: *mut tollgate_decision,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        let requests = unsafe {
            handle(engine)?;
            array(requests, n)?
        };
        if n == 0 {
            return Ok(TOLLGATE_OK);
        }
        let out = output(out)?;
        let mut first = TOLLGATE_OK;
        for (at, request) in requests.iter().enumerate() {
            // SAFETY: the caller's promises; `out` has `n` places.
            let status = unsafe { tollgate_check(engine, request, out.add(at)) };
            if first == TOLLGATE_OK {
                first = status;
            }
        }
        Ok(first)
    })
}

/// One decision over up to 16 requests (a user and the user's team, say): all of them are debited or none is. Limits
/// that two of them share are judged by the sum of their costs. `now_ns`, `id`, `ttl_ns` and TOLLGATE_RESERVE are the first
/// one's, and hold for all of them; TOLLGATE_PEEK has no place here. Otherwise as tollgate_check(). Any thread. [hot]
/// without an `id`.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_check_all(
    engine: *mut tollgate_engine,
    requests: *const tollgate_request,
    n: usize,
    out: *mut tollgate_decision,
) -> tollgate_status {
    decided!(out, {
        // SAFETY: the caller's promises.
        let (handle, requests) = unsafe { (handle(engine)?, array(requests, n)?) };
        let misplaced = |raw: &tollgate_request| raw.flags & TOLLGATE_RESERVE != 0 || raw.id.len > 0;
        let Some((first, others)) = requests.split_first() else { return Err(TOLLGATE_ERR_ARGUMENT) };
        if n > MOST_TOGETHER || others.iter().any(misplaced) || requests.iter().any(is_peek) {
            return Err(TOLLGATE_ERR_ARGUMENT);
        }
        let mut rooms: [Room<'_>; MOST_TOGETHER] = [[MaybeUninit::uninit(); MOST_COSTS]; MOST_TOGETHER];
        let mut parts: [Option<Parts<'_>>; MOST_TOGETHER] = [const { None }; MOST_TOGETHER];
        for ((to, raw), room) in parts.iter_mut().zip(requests).zip(&mut rooms) {
            // SAFETY: the caller's promises.
            *to = Some(unsafe { Parts::of(handle, raw, room) }?);
        }
        let mut all = [Request::new(b""); MOST_TOGETHER];
        for (to, parts) in all.iter_mut().zip(parts.iter().flatten()) {
            *to = parts.request();
        }
        // SAFETY: the caller's promises.
        let (id, now) = (unsafe { id(first.id.data, first.id.len)? }, handle.at(first.now_ns));
        let ticket = match mode(first.flags, id)? {
            Asked::CheckAs => Some(Ticket::check(id)),
            Asked::Reserve => Some(Ticket::reserve(id, Nanos::new(first.ttl_ns))),
            Asked::Check | Asked::Peek => None,
        };
        let decision = match ticket {
            None => handle.engine.check_all_at(&all[..n], now),
            Some(ticket) => handle.engine.check_all_as_at(&all[..n], ticket, now).map_err(of_id)?,
        };
        Ok(tollgate_decision::of(&decision))
    })
}
