//! Decisions with everything they were made of, for hosts that answer with rate-limit fields.

use std::io::Write;
use std::mem::MaybeUninit;

use tollgate::http::{self, Fields};
use tollgate::{LimitKind, LimitReport, Nanos, Report, Ticket};

use crate::decide::{Asked, MOST_COSTS, Parts, id_of, mode};
use crate::engine::handle;
use crate::guard::{growable, guard, input, write_growable};
use crate::status::{TOLLGATE_ERR_ARGUMENT, TOLLGATE_ERR_NOMEM, of_id, tollgate_status};
use crate::text::write_cut;
use crate::types::{
    TOLLGATE_CONCURRENCY, TOLLGATE_FIELDS_DRAFT, TOLLGATE_FIELDS_LEGACY, TOLLGATE_FIELDS_OFF, TOLLGATE_QUOTA,
    TOLLGATE_THROTTLE, tollgate_decision, tollgate_engine, tollgate_limit_report, tollgate_report,
    tollgate_request,
};

fn kind(kind: LimitKind) -> u32 {
    match kind {
        LimitKind::Throttle => TOLLGATE_THROTTLE,
        LimitKind::Quota => TOLLGATE_QUOTA,
        LimitKind::Concurrency => TOLLGATE_CONCURRENCY,
        _ => 0,
    }
}

impl tollgate_limit_report {
    fn of(limit: &LimitReport) -> tollgate_limit_report {
        let mut name = [0; 128];
        write_cut(&mut name, limit.name());
        tollgate_limit_report {
            name,
            name_len: u32::try_from(limit.name().len()).unwrap_or(u32::MAX),
            kind: kind(limit.kind()),
            violated: limit.is_violated().into(),
            reserved0: 0,
            limit: limit.limit(),
            remaining: limit.remaining(),
            reset_ns: limit.reset().map_or(u64::MAX, Nanos::get),
            window_ns: limit.window().map_or(u64::MAX, Nanos::get),
            reserved: [0; 2],
        }
    }
}

/// Header lines.
fn lines(report: &Report, fields: Fields) -> Result<Vec<u8>, i32> {
    let headers = http::headers(report, fields);
    let mut lines = Vec::new();
    let length = headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
    lines.try_reserve_exact(length).map_err(|_| TOLLGATE_ERR_NOMEM)?;
    for (name, value) in headers {
        // There is room for it.
        let _ = write!(lines, "{name}: {value}\r\n");
    }
    Ok(lines)
}

/// As tollgate_check(), and says how every limit that applies stands after it: as structs, and as the HTTP header lines
/// for the answer. What does not fit your buffers changes nothing of the decision, which was made. `report` is written
/// whenever the status is not negative; its `decision` always, unless it is `report` itself that is refused (NULL, or a
/// wrong `struct_size`).
/// `request` may have TOLLGATE_PEEK or TOLLGATE_RESERVE. Any thread. It allocates, and takes a microsecond where a check
/// takes a fraction of one.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn tollgate_check_report(
    engine: *mut tollgate_engine,
    request: *const tollgate_request,
    report: *mut tollgate_report,
) -> tollgate_status {
    // SAFETY: the caller's promise.
    let asked = match unsafe { growable(report) } {
        Ok(asked) => asked,
        Err(status) => return status,
    };
    let mut out = asked;
    // SAFETY: the caller's promises.
    let status = guard!({ unsafe { decide(engine, request, &mut out) } });
    if status < 0 {
        out = tollgate_report { decision: tollgate_decision::none(status), ..asked };
    }
    // SAFETY: the caller's promise, and `growable`.
    unsafe { write_growable(report, &out, asked.struct_size) };
    status
}

unsafe fn decide(
    engine: *mut tollgate_engine,
    request: *const tollgate_request,
    out: &mut tollgate_report,
) -> Result<i32, i32> {
    // SAFETY: the caller's promises.
    let (handle, raw) = unsafe { (handle(engine)?, input(request)?) };
    let fields = match out.fields {
        TOLLGATE_FIELDS_OFF => Fields::Off,
        TOLLGATE_FIELDS_DRAFT => Fields::Draft,
        TOLLGATE_FIELDS_LEGACY => Fields::Legacy,
        _ => return Err(TOLLGATE_ERR_ARGUMENT),
    };
    if out.limits.is_null() && out.limits_cap > 0 || !out.limits.is_aligned() {
        return Err(TOLLGATE_ERR_ARGUMENT);
    }
    for buffer in [&out.headers, &out.plan, &out.subject, &out.key_id] {
        buffer.checked()?;
    }
    let mut room = [MaybeUninit::uninit(); MOST_COSTS];
    // SAFETY: the caller's promises.
    let (parts, id) = unsafe { (Parts::of(handle, raw, &mut room)?, id_of(raw)?) };
    let (request, now) = (parts.request(), handle.at(raw.now_ns));
    let made = match mode(raw.flags, id)? {
        asked @ (Asked::Peek | Asked::Check) => handle.engine.report_at(&request, now, asked.mode()),
        Asked::CheckAs => handle.engine.report_as_at(&request, Ticket::check(id), now).map_err(of_id)?,
        Asked::Reserve => {
            let ticket = Ticket::reserve(id, Nanos::new(raw.ttl_ns));
            handle.engine.report_as_at(&request, ticket, now).map_err(of_id)?
        }
    };
    out.decision = tollgate_decision::of(&made.decision());
    out.limits_len = made.limits().len();
    for (at, limit) in made.limits().iter().enumerate() {
        if limit.is_violated() && at < 64 {
            out.decision.violated |= 1 << at;
        }
        if at < out.limits_cap {
            // SAFETY: checked above, and by the caller's promise there are `limits_cap` places.
            unsafe { out.limits.add(at).write(tollgate_limit_report::of(limit)) };
        }
    }
    // The decision was made: no memory for its headers is no error.
    let lines = lines(&made, fields).unwrap_or_default();
    // SAFETY: checked above, and the caller's promises.
    unsafe {
        out.headers.write(&lines);
        out.plan.write(made.plan().unwrap_or_default().as_bytes());
        out.subject.write(made.subject().unwrap_or_default().as_bytes());
        out.key_id.write(made.key_id().unwrap_or_default().as_bytes());
    }
    Ok(out.decision.status)
}
