//! Calls of the C ABI, as a program may make them that keeps the header's promises: pointers that are not NULL point to
//! what they should. Everything else may be wrong, and gets a status.
//!
//! The bytes are calls. Three engines live at a time, some of them in one region. What is held against each call: a
//! status that has a name and is no panic, an error that says the same in words and no key, outputs as the header
//! promises; and in the end, that the metrics count what was decided.

use std::ffi::{CStr, c_void};
use std::mem::zeroed;
use std::ptr::{null, null_mut};

use arbitrary::Result;
use tollgate_fuzz_abi::batch::{tollgate_check_all, tollgate_check_batch, tollgate_prepare};
use tollgate_fuzz_abi::decide::{tollgate_check, tollgate_peek, tollgate_reserve};
use tollgate_fuzz_abi::engine::*;
use tollgate_fuzz_abi::keys::*;
use tollgate_fuzz_abi::metrics::{tollgate_metrics_get, tollgate_metrics_text};
use tollgate_fuzz_abi::names::tollgate_intern;
use tollgate_fuzz_abi::report::tollgate_check_report;
use tollgate_fuzz_abi::reserve::{tollgate_refund, tollgate_release, tollgate_settle};
use tollgate_fuzz_abi::snapshot::{tollgate_restore, tollgate_snapshot, tollgate_snapshot_save};
use tollgate_fuzz_abi::status::*;
use tollgate_fuzz_abi::types::*;
use tollgate_fuzz_abi::usage::{tollgate_alerts, tollgate_grant, tollgate_today, tollgate_usage};

use crate::SECRET;

mod pool;

use pool::Pool;

/// See the module's comment.
pub fn run(bytes: &[u8]) {
    let mut program = Program {
        pool: Pool::new(bytes),
        engines: [null_mut(); 3],
        decided: [0; 3],
        names: [[0; 8]; 3],
        region: vec![Line([0; 64]); 40_000].into_boxed_slice(),
        snapshot: Vec::new(),
        // What the bytes themselves hold may be the name of anything.
        has_secret: bytes.windows(7).any(|window| window == &SECRET.as_bytes()[..7]),
    };
    // The first engine is a good one; the end of the bytes is the end of the program.
    let _ = program.create(0, true);
    while !program.pool.bytes.is_empty() {
        if program.call().is_err() {
            break;
        }
        program.pool.over();
    }
    program.end();
}

#[repr(align(64))]
#[derive(Clone, Copy)]
struct Line(#[allow(dead_code, reason = "the library's")] [u8; 64]);

struct Program<'a> {
    pool: Pool<'a>,
    engines: [*mut tollgate_engine; 3],
    /// Decisions that each has made, but for those over several requests.
    decided: [u64; 3],
    /// What was interned in each.
    names: [[u32; 8]; 3],
    region: Box<[Line]>,
    /// The last that was written.
    snapshot: Vec<u8>,
    has_secret: bool,
}

/// What a callback that reads or writes has in its hands.
struct Stream {
    bytes: Vec<u8>,
    at: usize,
    /// After so many calls it fails.
    calls: usize,
}

unsafe extern "C" fn write(ctx: *mut c_void, data: *const c_void, len: usize) -> i32 {
    // SAFETY: a stream that nobody else uses meanwhile, and `len` bytes.
    let (stream, data) =
        unsafe { (&mut *ctx.cast::<Stream>(), std::slice::from_raw_parts(data.cast::<u8>(), len)) };
    stream.bytes.extend(data);
    stream.calls = stream.calls.saturating_sub(1);
    i32::from(stream.calls == 0)
}

unsafe extern "C" fn read(ctx: *mut c_void, buf: *mut c_void, cap: usize) -> isize {
    // SAFETY: as above; there is room for `cap` bytes.
    let (stream, buf) =
        unsafe { (&mut *ctx.cast::<Stream>(), std::slice::from_raw_parts_mut(buf.cast::<u8>(), cap)) };
    stream.calls = stream.calls.saturating_sub(1);
    if stream.calls == 0 {
        return -1;
    }
    let piece = (stream.bytes.len() - stream.at).min(cap).min(1_000);
    buf[..piece].copy_from_slice(&stream.bytes[stream.at..][..piece]);
    stream.at += piece;
    piece as isize
}

/// The context is the engine: a callback may call it.
unsafe extern "C" fn row(ctx: *mut c_void, row: *const tollgate_usage_row) -> i32 {
    let mut now = 0;
    // SAFETY: the engine whose usage is read, and a row.
    let (status, row) = unsafe { (tollgate_now(ctx.cast(), &raw mut now), &*row) };
    assert!(status == TOLLGATE_OK && row.limit.len > 0 && row.reserved == [0; 2]);
    i32::from(row.day == 19_700)
}

unsafe extern "C" fn alert(ctx: *mut c_void, alert: *const tollgate_alert) {
    // SAFETY: a number, and an alert.
    let (count, alert) = unsafe { (&mut *ctx.cast::<u64>(), &*alert) };
    assert!(alert.percent <= 100 && alert.plan.len > 0 && alert.limit.len > 0);
    *count += 1;
}

/// A call whose last argument is an error.
macro_rules! told {
    ($program:expr, $function:ident($($argument:expr),* $(,)?)) => {{
        let err = $program.error()?;
        // SAFETY: what the pool lends is as the header asks for.
        let status = unsafe { $function($($argument,)* err) };
        $program.check_error(err, status);
        status
    }};
}

impl Program<'_> {
    fn engine(&mut self) -> Result<usize> {
        Ok(match self.pool.u8()? {
            0..170 => 0,
            170..220 => 1,
            _ => 2,
        })
    }

    fn error(&mut self) -> Result<*mut tollgate_error> {
        // SAFETY: integers.
        let mut error: tollgate_error = unsafe { zeroed() };
        (error.status, error.message) = (77, [7; 384]);
        self.pool.pointer(error)
    }

    fn is_status(&self, status: i32) -> i32 {
        // SAFETY: a static text.
        let name = unsafe { CStr::from_ptr(tollgate_status_name(status)) };
        assert!(name != c"TOLLGATE_UNKNOWN_STATUS" && status != TOLLGATE_ERR_PANIC, "{status} is {name:?}");
        assert!(matches!(tollgate_http_status(status), 200 | 403 | 429 | 500 | 503));
        status
    }

    fn check_error(&self, err: *const tollgate_error, status: i32) {
        self.is_status(status);
        assert!(status <= 0, "{status} is no decision's");
        if err.is_null() || !err.is_aligned() {
            return;
        }
        // SAFETY: lent above.
        let error = unsafe { &*err };
        assert_eq!(error.status, status, "what is returned is also written");
        let text = |field: &[std::ffi::c_char]| {
            let end = field.iter().position(|&byte| byte == 0).expect("it ends with a NUL");
            let bytes: Vec<u8> = field[..end].iter().map(|&byte| byte as u8).collect();
            String::from_utf8(bytes).expect("UTF-8")
        };
        let (field, message) = (text(&error.field), text(&error.message));
        assert_eq!(message.is_empty(), status == TOLLGATE_OK, "{message}");
        assert!(self.has_secret || !(message + &field).contains(&SECRET[..7]));
    }

    /// Of one request: counts it.
    fn decided(&mut self, at: usize, out: *const tollgate_decision, status: i32, peek: bool) {
        self.is_status(status);
        self.decided[at] += u64::from(status >= 0 && !peek);
        if !out.is_null() && out.is_aligned() {
            // SAFETY: lent for the call.
            let decision = unsafe { &*out };
            assert!(decision.status == status && decision.reserved == [0; 4]);
            assert!(
                status != TOLLGATE_OK
                    || decision.retry_after_ns == 0
                    || decision.flags & TOLLGATE_WOULD_DENY != 0
            );
            assert!(status == TOLLGATE_OK || decision.delay_ns == 0);
        }
    }

    fn create(&mut self, at: usize, good: bool) -> Result<()> {
        let (mut config, changes) = (self.pool.config()?, self.pool.changes()?);
        let mut stream = Stream { bytes: std::mem::take(&mut self.snapshot), at: 0, calls: 1_000 };
        if good {
            config = tollgate_config { flags: TOLLGATE_CONFIG_MANUAL_CLOCK, when_full: 0, ..config };
            (config.max_ids, config.struct_size) = (20, size_of::<tollgate_config>() as u32);
        }
        let home = self.pool.u8()?;
        if home % 4 == 1 && !good {
            config.region = self.region.as_mut_ptr().cast();
            config.region_len = if home < 250 { size_of_val(&*self.region) } else { usize::from(home) };
            config.region = config.region.wrapping_byte_add(usize::from(home == 249));
        }
        if home % 4 == 2 && !good {
            config.snapshot = Some(read);
            config.snapshot_ctx = (&raw mut stream).cast();
            stream.calls = if home > 240 { 1 } else { 1_000 };
        }
        let (config, changes) = (self.pool.pointer(config)?, self.pool.pointer(changes)?);
        let mut engine = null_mut();
        let status = told!(self, tollgate_create(config, changes, &raw mut engine));
        self.snapshot = stream.bytes;
        assert_eq!(engine.is_null(), status != TOLLGATE_OK);
        if status == TOLLGATE_OK {
            // SAFETY: nobody uses it any more, if there is one.
            unsafe { tollgate_destroy(self.engines[at]) };
            (self.engines[at], self.decided[at], self.names[at]) = (engine, 0, [0; 8]);
        }
        Ok(())
    }

    fn call(&mut self) -> Result<()> {
        let what = self.pool.u8()?;
        let at = self.engine()?;
        let engine = self.engines[at];
        match what {
            0..80 => self.decide(what, at)?,
            80..90 => self.many(what, at)?,
            90..100 => self.create(at, false)?,
            100..110 => {
                let changes = self.pool.changes()?;
                let (changes, now) = (self.pool.pointer(changes)?, self.pool.instant()?);
                told!(self, tollgate_apply(engine, changes, now));
            }
            110..170 => self.use_id(what, engine)?,
            170..200 => self.keys(what, engine)?,
            200..220 => self.read_usage(what, engine)?,
            220..235 => self.snapshots(what, engine)?,
            _ => self.others(what, at)?,
        }
        Ok(())
    }

    fn decide(&mut self, what: u8, at: usize) -> Result<()> {
        let (engine, names) = (self.engines[at], self.names[at]);
        let raw = self.pool.request(&names)?;
        let request = self.pool.pointer(raw)?;
        // SAFETY: integers.
        let decision: tollgate_decision = unsafe { zeroed() };
        let out = self.pool.pointer(decision)?;
        let peek = raw.flags & TOLLGATE_PEEK != 0;
        // SAFETY: what the pool lends is as the header asks for.
        unsafe {
            match what % 8 {
                0..4 => {
                    let status = tollgate_check(engine, request, out);
                    self.decided(at, out, status, peek);
                }
                4 => {
                    let status = tollgate_peek(engine, request, out);
                    self.decided(at, out, status, true);
                }
                5 => {
                    let status = tollgate_reserve(engine, request, out);
                    self.decided(at, out, status, peek);
                }
                6 => self.report(at, request, peek)?,
                _ => drop(self.is_status(tollgate_prepare(engine, request))),
            }
        }
        Ok(())
    }

    fn report(&mut self, at: usize, request: *const tollgate_request, peek: bool) -> Result<()> {
        // SAFETY: integers, and pointers that may be NULL.
        let (limit, mut report): (tollgate_limit_report, tollgate_report) = unsafe { (zeroed(), zeroed()) };
        report.struct_size = self.pool.struct_size::<tollgate_report>()?;
        report.fields = u32::from(self.pool.u8()? % 4);
        report.limits_cap = usize::from(self.pool.u8()? % 12);
        report.limits = self.pool.lend(vec![limit; report.limits_cap]);
        report.headers = self.pool.buffer()?;
        report.plan = self.pool.buffer()?;
        report.subject = self.pool.buffer()?;
        report.key_id = self.pool.buffer()?;
        let size = report.struct_size as usize;
        let out = self.pool.pointer(report)?;
        // SAFETY: what the pool lends is as the header asks for.
        let status = unsafe { tollgate_check_report(self.engines[at], request, out) };
        let is_written = !out.is_null() && out.is_aligned() && size == size_of::<tollgate_report>();
        // SAFETY: as above.
        let decision = if is_written { unsafe { &raw const (*out).decision } } else { null() };
        self.decided(at, decision, status, peek);
        if is_written && status >= 0 {
            // SAFETY: as above; as many limits as are stored were lent.
            let (report, limits) = unsafe {
                let report = &*out;
                let stored = report.limits_len.min(report.limits_cap);
                (report, std::slice::from_raw_parts(report.limits, stored))
            };
            assert_eq!(
                report.limits_cap > 0 && report.limits_len == 0,
                limits.is_empty() && report.limits_cap > 0
            );
            for (n, limit) in limits.iter().enumerate() {
                assert!((1..=3).contains(&limit.kind) && limit.name_len > 0 && limit.violated <= 1);
                assert_eq!(u64::from(limit.violated), report.decision.violated >> n & 1);
            }
            for buffer in [report.headers, report.plan, report.subject, report.key_id] {
                // SAFETY: there are `cap` bytes.
                assert!(buffer.len >= buffer.cap || unsafe { buffer.data.add(buffer.len).read() } == 0);
            }
        }
        Ok(())
    }

    fn many(&mut self, what: u8, at: usize) -> Result<()> {
        let count = usize::from(self.pool.u8()? % 20);
        let names = self.names[at];
        let requests = (0..count).map(|_| self.pool.request(&names)).collect::<Result<Vec<_>>>()?;
        let peeks: Vec<bool> = requests.iter().map(|request| request.flags & TOLLGATE_PEEK != 0).collect();
        let requests = self.pool.lend(requests);
        // SAFETY: integers.
        let none: tollgate_decision = unsafe { zeroed() };
        let out = self.pool.lend(vec![none; count.max(1)]);
        let engine = self.engines[at];
        if what.is_multiple_of(2) {
            // SAFETY: what the pool lends is as the header asks for.
            let status = unsafe { tollgate_check_all(engine, requests, count, out) };
            // SAFETY: as above.
            let written = unsafe { (*out).status };
            assert_eq!(written, self.is_status(status));
            return Ok(());
        }
        // SAFETY: as above.
        let (status, decisions) = unsafe {
            (tollgate_check_batch(engine, requests, count, out), std::slice::from_raw_parts(out, count))
        };
        self.is_status(status);
        if !engine.is_null() {
            let first =
                decisions.iter().map(|decision| decision.status).find(|&status| status != TOLLGATE_OK);
            assert_eq!(status, first.unwrap_or(TOLLGATE_OK));
            for (decision, &peek) in decisions.iter().zip(&peeks) {
                self.decided(at, decision, decision.status, peek);
            }
        }
        Ok(())
    }

    fn use_id(&mut self, what: u8, engine: *mut tollgate_engine) -> Result<()> {
        let (id, now) = (self.pool.id()?, self.pool.instant()?);
        // SAFETY: what the pool lends is as the header asks for.
        let status = unsafe {
            match what % 4 {
                0 => tollgate_refund(engine, id.data, id.len, now),
                1 => tollgate_release(engine, id.data, id.len),
                _ => {
                    let (costs, count) = self.pool.costs()?;
                    let out = self.pool.pointer(zeroed::<tollgate_settlement>())?;
                    let actual = self.pool.number()?;
                    tollgate_settle(engine, id.data, id.len, costs, count, actual, now, out)
                }
            }
        };
        assert!(self.is_status(status) <= 0);
        Ok(())
    }

    fn keys(&mut self, what: u8, engine: *mut tollgate_engine) -> Result<()> {
        let id = self.pool.key_id()?;
        let buffer = self.pool.buffer()?;
        match what % 8 {
            0 => drop(told!(self, tollgate_key_enable(engine, id.data, id.len))),
            1 => drop(told!(self, tollgate_key_disable(engine, id.data, id.len))),
            2 => drop(told!(self, tollgate_key_expire(engine, id.data, id.len))),
            3 => drop(told!(self, tollgate_key_revoke(engine, id.data, id.len))),
            4 => {
                let (new, out) = (self.pool.key_id()?, self.pool.pointer(buffer)?);
                let (overlap, now) = (self.pool.number()?, self.pool.instant()?);
                told!(
                    self,
                    tollgate_key_rotate(engine, id.data, id.len, new.data, new.len, overlap, now, out)
                );
            }
            5 => {
                let (subject, key) = (self.pool.subject()?, self.pool.subject_key()?);
                let key = self.pool.pointer(key)?;
                told!(self, tollgate_key_add(engine, subject.data, subject.len, key));
            }
            6 => {
                let (prefix, out) = (self.pool.text()?, self.pool.pointer(buffer)?);
                told!(self, tollgate_key_generate(prefix.data, prefix.len, out));
            }
            _ => {
                let (pepper, key) = (self.pool.pepper()?, self.pool.key()?);
                let pepper = if self.pool.once_in(2)? { null() } else { self.pool.pointer(pepper)? };
                let out = self.pool.pointer(buffer)?;
                told!(self, tollgate_key_hash(pepper, key.data, key.len, out));
            }
        }
        Ok(())
    }

    fn read_usage(&mut self, what: u8, engine: *mut tollgate_engine) -> Result<()> {
        let (subject, plan) = (self.pool.subject()?, self.pool.plan_name()?);
        match what % 4 {
            0 => {
                let out = self.pool.pointer(0i32)?;
                told!(self, tollgate_today(engine, subject.data, subject.len, plan.data, plan.len, out));
            }
            1 => {
                let day = |number: u64| if number < 16 { 19_670 + number as i32 } else { number as i32 };
                let (from, to) = (day(self.pool.number()?), day(self.pool.number()?));
                let each: tollgate_usage_fn = if self.pool.once_in(16)? { None } else { Some(row) };
                let now = self.pool.instant()?;
                let (s, p) = (subject, plan);
                told!(
                    self,
                    tollgate_usage(engine, s.data, s.len, p.data, p.len, from, to, now, each, engine.cast())
                );
            }
            2 => {
                let limit = self.pool.one_of(&[b"daily", b"monthly"])?;
                let (left, now) = (self.pool.number()?, self.pool.instant()?);
                let (s, p, l) = (subject, plan, limit);
                told!(self, tollgate_grant(engine, s.data, s.len, p.data, p.len, l.data, l.len, left, now));
            }
            _ => {
                let (mut count, dropped) = (0u64, self.pool.pointer(0u64)?);
                let each: tollgate_alert_fn = if self.pool.once_in(16)? { None } else { Some(alert) };
                // SAFETY: what the pool lends is as the header asks for.
                let status = unsafe { tollgate_alerts(engine, each, (&raw mut count).cast(), dropped) };
                self.is_status(status);
            }
        }
        Ok(())
    }

    fn snapshots(&mut self, what: u8, engine: *mut tollgate_engine) -> Result<()> {
        let calls = if self.pool.once_in(8)? { 2 } else { 1_000 };
        match what % 4 {
            0 => {
                let path = self.pool.one_of(&[b"/nonexistent/snapshot"])?;
                // Only where there is no such folder.
                let path = if path.len == 21 { path } else { tollgate_str { data: null(), len: 0 } };
                told!(self, tollgate_snapshot_save(engine, path.data, path.len));
            }
            1 => {
                let mut stream = Stream { bytes: self.snapshot.clone(), at: 0, calls };
                if self.pool.once_in(4)? && !stream.bytes.is_empty() {
                    let at = usize::from(self.pool.bytes.arbitrary::<u16>()?) % stream.bytes.len();
                    stream.bytes[at] ^= self.pool.u8()?;
                }
                let now = self.pool.instant()?;
                told!(self, tollgate_restore(engine, now, Some(read), (&raw mut stream).cast()));
            }
            _ => {
                let mut stream = Stream { bytes: Vec::new(), at: 0, calls };
                let status = told!(self, tollgate_snapshot(engine, Some(write), (&raw mut stream).cast()));
                if status == TOLLGATE_OK {
                    self.snapshot = stream.bytes;
                }
            }
        }
        Ok(())
    }

    fn others(&mut self, what: u8, at: usize) -> Result<()> {
        let engine = self.engines[at];
        let text = self.pool.text()?;
        // SAFETY: what the pool lends is as the header asks for.
        let status = unsafe {
            match what % 8 {
                0 => {
                    let (text, out) = (self.pool.plan_name()?, self.pool.lend(vec![0u32]));
                    let status = tollgate_intern(engine, text.data, text.len, out);
                    let slot = usize::from(self.pool.u8()? % 8);
                    self.names[at][slot] = *out;
                    status
                }
                1 => tollgate_needs(engine, text.data, text.len, self.pool.pointer(0)?),
                2 => tollgate_maintain(engine, self.pool.instant()?, 50, self.pool.pointer(0)?),
                3 => tollgate_now(engine, self.pool.pointer(0)?),
                4 => tollgate_clock_set(engine, self.pool.instant()?),
                5 => {
                    let config = self.pool.config()?;
                    tollgate_region_size(self.pool.pointer(config)?, self.pool.pointer(0)?)
                }
                6 => {
                    let buffer = self.pool.buffer()?;
                    tollgate_metrics_text(engine, self.pool.pointer(buffer)?)
                }
                _ => {
                    let mut metrics: tollgate_metrics = zeroed();
                    metrics.struct_size = self.pool.struct_size::<tollgate_metrics>()?;
                    tollgate_metrics_get(engine, self.pool.pointer(metrics)?)
                }
            }
        };
        assert!(self.is_status(status) <= 0);
        Ok(())
    }

    fn end(&mut self) {
        for (at, &engine) in self.engines.iter().enumerate().filter(|(_, engine)| !engine.is_null()) {
            // SAFETY: an engine that nobody else uses, and integers.
            unsafe {
                let mut metrics: tollgate_metrics = zeroed();
                metrics.struct_size = size_of::<tollgate_metrics>() as u32;
                assert_eq!(tollgate_metrics_get(engine, &raw mut metrics), TOLLGATE_OK);
                let m = metrics;
                let refused = [m.throttled, m.quota_exceeded, m.concurrency_exceeded, m.cost_exceeds_limit];
                let keys = [m.key_missing, m.key_unknown, m.key_disabled, m.key_expired, m.key_revoked];
                let counted = m.ok + m.delayed + m.no_plan_for_stage + m.store_full;
                let counted = counted + refused.iter().chain(&keys).sum::<u64>();
                assert!(
                    counted >= self.decided[at],
                    "{counted} of {} decisions are counted",
                    self.decided[at]
                );
                tollgate_destroy(engine);
            }
        }
    }
}
