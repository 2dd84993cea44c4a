//! Decisions over many requests.

use std::mem::MaybeUninit;

use tollgate::{Nanos, Request, Ticket};

use crate::decide::{Asked, MOST_COSTS, Parts, Plain, Room, check, decided, mode};
use crate::engine::{Handle, handle};
use crate::guard::{array, guard, input, output};
use crate::status::{TOLLGATE_ERR_ARGUMENT, TOLLGATE_OK, of_id, tollgate_status};
use crate::text::id;
use crate::types::{TOLLGATE_PEEK, TOLLGATE_RESERVE, tollgate_decision, tollgate_engine, tollgate_request};

/// Requests that are translated at a time; and most of one decision.
const TOGETHER: usize = 16;

/// What of so many requests needs a place of its own.
struct Places<'a> {
    rooms: [Room<'a>; TOGETHER],
    parts: [Option<Parts<'a>>; TOGETHER],
}

impl<'a> Places<'a> {
    fn new() -> Places<'a> {
        Places { rooms: [[MaybeUninit::uninit(); MOST_COSTS]; TOGETHER], parts: [const { None }; TOGETHER] }
    }
}

/// Whether a request is of a kind that is decided with others.
fn is_single(raw: &tollgate_request) -> bool {
    raw.flags & (TOLLGATE_PEEK | TOLLGATE_RESERVE) != 0 || raw.id.len > 0
}

/// Translates requests until one is `single`, or wrong, or all places are full.
unsafe fn translate<'a>(
    handle: &'a Handle,
    requests: &'a [tollgate_request],
    places: &'a mut Places<'a>,
    single: impl Fn(usize, &tollgate_request) -> bool,
    to: &mut [Request<'a>; TOGETHER],
) -> (usize, Result<(), i32>) {
    let places = places.parts.iter_mut().zip(&mut places.rooms);
    for (at, ((raw, to), (parts, room))) in requests.iter().zip(to).zip(places).enumerate() {
        if single(at, raw) {
            return (at, Ok(()));
        }
        // SAFETY: the caller's promises.
        let request = match unsafe { Plain::of(handle, raw) } {
            Ok(Some(plain)) => Ok(plain.request()),
            // SAFETY: as above.
            Ok(None) => unsafe { Parts::of(handle, raw, room) }.map(|made| {
                let made: &'a Parts<'a> = parts.insert(made);
                made.request()
            }),
            Err(status) => Err(status),
        };
        match request {
            Ok(request) => *to = request,
            Err(status) => return (at, Err(status)),
        }
    }
    (requests.len().min(TOGETHER), Ok(()))
}

/// Asks for the memory that the check of this request will need, for hosts that know the key some time before they
/// decide: while the rest of the request is read, say. Then tollgate_check() or any other decision about the same key
/// finds it in the processor's cache; without that, a table of millions of subjects costs a memory access or two. It
/// decides nothing, takes nothing and keeps nothing of `request`. Any thread. [hot]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn tollgate_prepare(
    engine: *mut tollgate_engine,
    request: *const tollgate_request,
) -> tollgate_status {
    guard!({
        // SAFETY: the caller's promises.
        let (handle, raw) = unsafe { (handle(engine)?, input(request)?) };
        let mut room = [MaybeUninit::uninit(); MOST_COSTS];
        // SAFETY: as above.
        match unsafe { Plain::of(handle, raw) }? {
            Some(plain) => drop(handle.engine.prepare(&plain.request())),
            // SAFETY: as above.
            None => drop(handle.engine.prepare(&unsafe { Parts::of(handle, raw, &mut room) }?.request())),
        }
        Ok(TOLLGATE_OK)
    })
}

/// Decides `n` requests in order, each by itself, as `n` calls of tollgate_check() would, but faster: what they need
/// from memory is asked for together. out[i] receives each decision. Of requests whose `now_ns` is 0 up to 16 share one
/// reading of the clock.
/// TOLLGATE_OK if all were allowed, else the first status that is not; a request that fails does not stop the others.
/// TOLLGATE_ERR_ARGUMENT, with nothing written, where `engine`, `requests` or `out` is unusable. Any thread. [hot] as
/// tollgate_check().
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_check_batch(
    engine: *mut tollgate_engine,
    requests: *const tollgate_request,
    n: usize,
    out: *mut tollgate_decision,
) -> tollgate_status {
    // SAFETY: the caller's promises.
    let used = unsafe { handle(engine).and_then(|handle| Ok((handle, array(requests, n)?))) };
    let (handle, requests, out) = match used.and_then(|(handle, requests)| {
        let out = if n == 0 { std::ptr::null_mut() } else { output(out)? };
        Ok((handle, requests, out))
    }) {
        Ok(used) => used,
        Err(status) => return status,
    };
    let mut written = 0;
    // SAFETY: the caller's promises.
    let status = guard!({ unsafe { batch(handle, requests, out, &mut written) } });
    if status < 0 && written < n {
        for at in written..n {
            // SAFETY: as above; there are `n` places.
            unsafe { out.add(at).write(tollgate_decision::none(status)) };
        }
    }
    status
}

/// Decides `requests`, in this order. `out` has as many places, of which the first `written` are.
unsafe fn batch(
    handle: &Handle,
    requests: &[tollgate_request],
    out: *mut tollgate_decision,
    written: &mut usize,
) -> Result<i32, i32> {
    let mut first = TOLLGATE_OK;
    let mut note = |status| {
        if first == TOLLGATE_OK {
            first = status;
        }
    };
    while *written < requests.len() {
        let rest = &requests[*written..];
        let mut places = Places::new();
        let mut all = [Request::new(b""); TOGETHER];
        // SAFETY: the caller's promises.
        let (count, _) = unsafe { translate(handle, rest, &mut places, |_, raw| is_single(raw), &mut all) };
        let clock = rest[..count].iter().any(|raw| raw.now_ns == 0).then(|| handle.engine.now());
        let now = |at: usize| match (rest[at].now_ns, clock) {
            (0, Some(now)) => now,
            (now, _) => Nanos::new(now),
        };
        handle.engine.check_batch_with(&all[..count], now, |_, decision| {
            // SAFETY: the caller's promise.
            note(unsafe { tollgate_decision::put(out.add(*written), &decision) });
            *written += 1;
        });
        // What stopped the translation, if anything did.
        if let Some(raw) = rest.get(count).filter(|_| count < TOGETHER) {
            // SAFETY: as above.
            note(unsafe {
                let out = out.add(*written);
                let unmade = |status| {
                    out.write(tollgate_decision::none(status));
                    status
                };
                check(handle, raw, out).unwrap_or_else(unmade)
            });
            *written += 1;
        }
    }
    Ok(first)
}

/// One decision over up to 16 requests (a user and the user's team, say): all of them are debited or none is. Limits
/// that two of them share are judged by the sum of their costs. `now_ns`, `id`, `ttl_ns` and TOLLGATE_RESERVE are the first
/// one's, and hold for all of them; TOLLGATE_PEEK has no place here. Otherwise as tollgate_check(). Any thread. [hot] for
/// two or three requests under few limits, without an `id`; else it allocates.
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
        let Some(first) = requests.first() else { return Err(TOLLGATE_ERR_ARGUMENT) };
        let mut places = Places::new();
        let mut all = [Request::new(b""); TOGETHER];
        let single =
            |at: usize, raw: &tollgate_request| raw.flags & TOLLGATE_PEEK != 0 || at > 0 && is_single(raw);
        // SAFETY: the caller's promises.
        let (count, translated) = unsafe { translate(handle, requests, &mut places, single, &mut all) };
        translated?;
        if count < n {
            return Err(TOLLGATE_ERR_ARGUMENT);
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
        // SAFETY: `output`, and the caller's promise.
        Ok(unsafe { tollgate_decision::put(out, &decision) })
    })
}
