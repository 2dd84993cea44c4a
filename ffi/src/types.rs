//! The structs of the ABI.
//!
//! Their sizes and offsets are asserted in `layout.rs`, and once more from C by `tests/c/layout.c`.

use std::ffi::{c_char, c_void};

use crate::guard::Growable;
use crate::status::{Failure, tollgate_status};
use crate::text::write_cut;

/// An engine: opaque. Made by tollgate_create(), ended by tollgate_destroy(). What is not an engine, or one that was
/// destroyed, is refused as far as a mark in its first bytes can tell: best effort, not a promise.
#[derive(Debug)]
pub struct tollgate_engine {
    _private: (),
}

/// Bytes that you lend for the length of a call. {NULL, 0} or {0} is none; text is UTF-8 and needs no terminator.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_str {
    pub data: *const c_void,
    pub len: usize,
}

/// Room for text that you own. `len` receives the length of the text, without its NUL. If `len` < `cap` it was stored
/// with a NUL, else an empty string was, if `cap` is not 0. {NULL, 0, 0}: not wanted.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_buf {
    pub data: *mut c_char,
    pub cap: usize,
    pub len: usize,
}

/// A stage, route or plan that tollgate_intern() has seen: a small number instead of text. 0 is none. It is good for the
/// engine that gave it, as long as that lives.
pub type tollgate_name = u32;

/// Why a call failed. Always written where it is given, also on success (`status` 0 and empty texts then).
/// [frozen, 512 bytes]
#[repr(C)]
pub struct tollgate_error {
    /// What the call returned.
    pub status: tollgate_status,
    /// In the text of a plan file, from 1; 0: none or not known.
    pub line: u32,
    /// Where the fault is, such as "plans.gold.throttle.rate"; may be empty. Cut where it does not fit.
    pub field: [c_char; 120],
    /// What was found and what would be right, in English. No API key is ever in it. Cut where it does not fit.
    pub message: [c_char; 384],
}

/// What of the cost is counted in one unit. [frozen, 24 bytes on LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_cost {
    /// "requests", "tokens", "bytes", ...
    pub unit: tollgate_str,
    pub amount: u64,
}

/// Decide, but take nothing, whatever the answer.
pub const TOLLGATE_PEEK: u32 = 1;
/// The cost is only reserved, until tollgate_settle() or tollgate_refund(): needs `id`, and takes `ttl_ns`.
pub const TOLLGATE_RESERVE: u32 = 2;
/// A plan has limits for routes, which pass over requests that name none.
pub const TOLLGATE_NEEDS_ROUTE: u32 = 1;
/// A plan caps requests in flight: without an id their slots are held until the leases end.
pub const TOLLGATE_NEEDS_ID: u32 = 2;

/// `key` is not an API key but an anonymous subject (an address, a token's `sub`: any 1 to 4096 bytes) on the plan
/// `plan`.
pub const TOLLGATE_ANONYMOUS: u32 = 4;
/// An API key that is not registered is taken for an anonymous subject of `plan`.
pub const TOLLGATE_OR_ANONYMOUS: u32 = 8;

/// What is asked. Begin with TOLLGATE_REQUEST_INIT, which costs 1; an all-zero request costs 0. [frozen, 144 bytes on
/// LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_request {
    /// The API key, or with TOLLGATE_ANONYMOUS the subject. Empty: TOLLGATE_KEY_MISSING; over 4096 bytes:
    /// TOLLGATE_KEY_UNKNOWN.
    pub key: tollgate_str,
    /// "api/stage", or `stage_name` instead of it, or neither: then only plans that cover every stage apply.
    pub stage: tollgate_str,
    /// "METHOD /path", normalised by you, or `route_name` instead of it. A query string is dropped. Bytes that are not
    /// UTF-8 count as U+FFFD.
    pub route: tollgate_str,
    /// Any bytes under which the request can be settled, refunded and released once it is admitted. Not looked at by a
    /// peek.
    pub id: tollgate_str,
    /// Costs by unit, at most 16; a limit whose unit is not named costs 0, so that an array of none costs nothing. NULL:
    /// `cost` counts.
    pub costs: *const tollgate_cost,
    pub n_costs: usize,
    /// Units taken from every limit, whatever its unit. 0 leaves no trace and is refused by no limit. Not looked at
    /// where there are `costs`.
    pub cost: u64,
    /// Of a reservation: how long after `now_ns` a settlement is in time.
    pub ttl_ns: u64,
    /// Instant of the request; 0: by the engine's clock.
    pub now_ns: u64,
    pub stage_name: tollgate_name,
    pub route_name: tollgate_name,
    /// The plan of an anonymous subject, from tollgate_intern().
    pub plan: tollgate_name,
    /// TOLLGATE_PEEK, ... or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved: [u64; 3],
}

/// The limits that applied are in observe mode: the answer is TOLLGATE_OK whatever they say.
pub const TOLLGATE_OBSERVED: u32 = 1;
/// Observed limits would have refused; `retry_after_ns` is what they would have said.
pub const TOLLGATE_WOULD_DENY: u32 = 2;

/// What was decided. Always written where it is given. [frozen, 64 bytes]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_decision {
    /// What the call returned.
    pub status: tollgate_status,
    /// TOLLGATE_OBSERVED, TOLLGATE_WOULD_DENY.
    pub flags: u32,
    /// The shortest time after which the same request would be admitted if nothing else happened; 0 if it is,
    /// TOLLGATE_NEVER if no wait helps.
    pub retry_after_ns: u64,
    /// How long to hold an admitted request back; usually 0.
    pub delay_ns: u64,
    /// From tollgate_check_report(): bit i is set if limit i refuses (or where it only observes would), of the first 64.
    /// 0 from functions that do not report.
    pub violated: u64,
    /// 0 for now.
    pub reserved: [u64; 4],
}

/// Values of `kind`.
pub const TOLLGATE_THROTTLE: u32 = 1;
/// So many units per window.
pub const TOLLGATE_QUOTA: u32 = 2;
/// So many requests in flight.
pub const TOLLGATE_CONCURRENCY: u32 = 3;

/// How one limit stands after a decision. [frozen, 192 bytes]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_limit_report {
    /// "daily", "route:GET /pets:throttle", "pool:all-day"; cut where it does not fit.
    pub name: [c_char; 128],
    /// Length of the whole name.
    pub name_len: u32,
    /// TOLLGATE_THROTTLE, TOLLGATE_QUOTA, TOLLGATE_CONCURRENCY; others may come.
    pub kind: u32,
    /// 1 if this limit refuses, or where it only observes would, else 0.
    pub violated: u32,
    /// 0 for now.
    pub reserved0: u32,
    /// The burst of a throttle, the limit of a quota or cap.
    pub limit: u64,
    /// Whole units that are left.
    pub remaining: u64,
    /// Time until a throttle is full again (0: it is) or a quota's window ends; TOLLGATE_NEVER: never.
    pub reset_ns: u64,
    /// The time in which `limit` units come; TOLLGATE_NEVER: no end.
    pub window_ns: u64,
    /// 0 for now.
    pub reserved: [u64; 2],
}

/// No rate-limit fields, only Retry-After.
pub const TOLLGATE_FIELDS_OFF: u32 = 0;
/// `RateLimit-Policy` and `RateLimit`, as in draft-ietf-httpapi-ratelimit-headers since its version 08.
pub const TOLLGATE_FIELDS_DRAFT: u32 = 1;
/// `X-RateLimit-Limit`, `-Remaining` and `-Reset` of the limit with the smallest share left.
pub const TOLLGATE_FIELDS_LEGACY: u32 = 2;

/// A decision with everything it was made of. Begin with TOLLGATE_REPORT_INIT. [growable]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_report {
    /// sizeof(tollgate_report).
    pub struct_size: u32,
    /// In: TOLLGATE_FIELDS_..., what `headers` is to hold besides Retry-After.
    pub fields: u32,
    /// Out.
    pub decision: tollgate_decision,
    /// In: room for limits; may be NULL.
    pub limits: *mut tollgate_limit_report,
    /// In: how many there is room for.
    pub limits_cap: usize,
    /// Out: how many limits apply; the first `limits_cap` of them are stored.
    pub limits_len: usize,
    /// Room for HTTP header lines, "Name: value\r\n" each.
    pub headers: tollgate_buf,
    /// Room for the name of the plan that was applied; empty if none was.
    pub plan: tollgate_buf,
    /// Room for the name of the registered subject; empty if the key is not one's.
    pub subject: tollgate_buf,
    /// Room for the public id of the key; empty if it is not registered.
    pub key_id: tollgate_buf,
}

/// What became of a settlement. [frozen, 32 bytes]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_settlement {
    /// 1 if the reservation's time was over, else 0; it is settled all the same.
    pub late: u32,
    /// 0 for now.
    pub reserved0: u32,
    /// The largest use beyond its allowance of a quota that was adjusted in its current window, else 0.
    pub overdraft: u64,
    /// 0 for now.
    pub reserved: [u64; 2],
}

/// One quota on one day. The text is yours to copy during the callback. [frozen, 64 bytes on LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_usage_row {
    /// The quota, as reports name it.
    pub limit: tollgate_str,
    /// Days since 1970-01-01, in the quota's zone.
    pub day: i32,
    /// 0 for now.
    pub reserved0: u32,
    /// Cost admitted on this day, later settlements and refunds included.
    pub used: u64,
    /// What was left of the quota's window after the day's last debit.
    pub remaining: u64,
    /// Requests that the quota refused, or where it only observes would have.
    pub refused: u64,
    /// 0 for now.
    pub reserved: [u64; 2],
}

/// A quota has come to a threshold, for the first time in its window. Texts are yours to copy during the callback.
/// [frozen, 80 bytes on LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_alert {
    /// Whose quota it is; empty: that of all subjects on the plan together.
    pub subject: tollgate_str,
    pub plan: tollgate_str,
    /// The quota, as reports name it.
    pub limit: tollgate_str,
    /// So many percent of it, 1 to 100, are used up; 0: it has refused a request.
    pub percent: u32,
    /// 0 for now.
    pub reserved0: u32,
    /// The first instant of the window.
    pub window_start_ns: u64,
    /// 0 for now.
    pub reserved: [u64; 2],
}

/// Decisions by their outcome, and how full everything is: of this process, but for what is stored in a region. Begin
/// with TOLLGATE_METRICS_INIT. [growable]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_metrics {
    /// In: sizeof(tollgate_metrics).
    pub struct_size: u32,
    /// 0 for now.
    pub flags: u32,
    /// Admitted at once; of observing plans also what they would have refused.
    pub ok: u64,
    /// Admitted after a delay.
    pub delayed: u64,
    /// Refused: as the statuses of these names.
    pub throttled: u64,
    pub quota_exceeded: u64,
    pub concurrency_exceeded: u64,
    pub cost_exceeds_limit: u64,
    pub key_missing: u64,
    pub key_unknown: u64,
    pub key_disabled: u64,
    pub key_expired: u64,
    pub key_revoked: u64,
    pub no_plan_for_stage: u64,
    pub store_full: u64,
    /// Among `ok`: what observing plans would have refused.
    pub would_deny: u64,
    /// Cells in use, and those that are planned for.
    pub cells: u64,
    pub max_cells: u64,
    /// The most lines that were in use at a time, and those that there can be.
    pub lines: u64,
    pub max_lines: u64,
    /// For want of room: decisions refused, limits left out, cells taken from another owner.
    pub full_refused: u64,
    pub full_passed: u64,
    pub full_evicted: u64,
    /// Debits and refusals that the usage log had no room for.
    pub unlogged: u64,
    /// Ids of requests that are known.
    pub ids: u64,
    /// Alerts that wait to be read, and how many there was no room for in all.
    pub alerts_waiting: u64,
    pub alerts_dropped: u64,
}

/// Called with each row. Return 0 to go on, anything else to stop with TOLLGATE_ERR_IO. It must return: no longjmp(), no
/// C++ exception. It may call the engine.
pub type tollgate_usage_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, row: *const tollgate_usage_row) -> i32>;

/// Called with each alert, in the order in which they were raised. As tollgate_usage_fn, but it cannot stop.
pub type tollgate_alert_fn = Option<unsafe extern "C" fn(ctx: *mut c_void, alert: *const tollgate_alert)>;

/// Takes `len` bytes, all of them. Return 0 to go on, anything else to stop with TOLLGATE_ERR_IO. As tollgate_usage_fn.
pub type tollgate_write_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, data: *const c_void, len: usize) -> i32>;

/// Gives up to `cap` bytes. Return how many, 0 at the end, < 0 to stop with TOLLGATE_ERR_IO. As tollgate_usage_fn.
pub type tollgate_read_fn =
    Option<unsafe extern "C" fn(ctx: *mut c_void, buf: *mut c_void, cap: usize) -> isize>;

/// A secret that digests of API keys are keyed with. [frozen, 48 bytes on LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_pepper {
    /// What digests under it begin with: no ':' in it.
    pub name: tollgate_str,
    /// At least 16 bytes.
    pub secret: tollgate_str,
    /// 0.
    pub reserved: [u64; 2],
}

/// Takes all memory of the capacity at once, touched: no check meets a page fault.
pub const TOLLGATE_CONFIG_TOUCHED: u32 = 1;
/// Only keys of the generated form, beginning with `key_prefix`, are looked for; others are unknown at once.
pub const TOLLGATE_CONFIG_KEY_FORMAT: u32 = 2;
/// The engine's clock stands at `start_ns` until tollgate_clock_set() moves it: for tests and simulations.
pub const TOLLGATE_CONFIG_MANUAL_CLOCK: u32 = 4;
/// Threads that meet at a throttle spend tokens of their own, so that a hot key or pool costs many threads no more than
/// one. Never more is admitted; while an eighth of the burst or less is left, some are refused early. For throttles that
/// are the only limit of their subject or pool, with a burst of 192 or more, in private memory; elsewhere it has no effect.
pub const TOLLGATE_CONFIG_LEASES: u32 = 8;
/// What a region holds stays as it is found: limits keep their rates, sizes and windows, keys their states, and nobody gives
/// back room, whatever the changes that the engine is made with say; what is new is made room for. So it shows whether they
/// are right and fit, before another engine puts them in place, and who comes late does not undo what others have changed since.
pub const TOLLGATE_CONFIG_AS_FOUND: u32 = 16;

/// A new anonymous subject is refused when the capacity is used up: TOLLGATE_STORE_FULL.
pub const TOLLGATE_FULL_REFUSE: u32 = 0;
/// Its own limits are left out.
pub const TOLLGATE_FULL_PASS: u32 = 1;
/// It takes the cell that would be full again first, whose owner starts fresh when it comes back.
pub const TOLLGATE_FULL_EVICT_SMALLEST: u32 = 2;

/// What an engine is made with. Begin with TOLLGATE_CONFIG_INIT: every 0 is a default. [growable]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_config {
    /// sizeof(tollgate_config).
    pub struct_size: u32,
    /// TOLLGATE_CONFIG_... or 0.
    pub flags: u32,
    /// Room for cells of 16 bytes: one per anonymous subject; default 4,194,304.
    pub max_cells: u64,
    /// Room for lines of 64 bytes: at least one per registered subject and plan, more for routes, quotas and daily rows;
    /// default 4,194,304. Memory is used as far as it is filled.
    pub max_lines: u64,
    /// Ids of requests that are known at a time; default 65,536.
    pub max_ids: u64,
    /// Alerts that wait to be read; default 4,096.
    pub max_alerts: u64,
    /// Room for tollgate_intern(); default 1,024, at most 65,536.
    pub max_names: u32,
    /// TOLLGATE_FULL_...
    pub when_full: u32,
    /// The first is that of keys given by value.
    pub peppers: *const tollgate_pepper,
    pub n_peppers: usize,
    /// With TOLLGATE_CONFIG_KEY_FORMAT: letters, digits and '_'; may be empty.
    pub key_prefix: tollgate_str,
    /// Memory that processes share, zeroed or formatted by another engine, aligned to 64 bytes, of
    /// tollgate_region_size() bytes. It stays yours, and mapped until the engine is destroyed. NULL: private memory.
    pub region: *mut c_void,
    pub region_len: usize,
    /// Reads a snapshot to begin from: plans and subjects are those of `changes`, what was consumed is the snapshot's.
    /// NULL: none.
    pub snapshot: tollgate_read_fn,
    pub snapshot_ctx: *mut c_void,
    /// With TOLLGATE_CONFIG_MANUAL_CLOCK.
    pub start_ns: u64,
}

/// Values of `scope`: a state for every subject on the plan.
pub const TOLLGATE_PER_SUBJECT: u32 = 0;
/// One state for all subjects on the plan together.
pub const TOLLGATE_POOL: u32 = 1;

/// One limit of a plan. Zero it first. [frozen, 224 bytes on LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_limit {
    /// TOLLGATE_THROTTLE, TOLLGATE_QUOTA or TOLLGATE_CONCURRENCY.
    pub kind: u32,
    /// TOLLGATE_PER_SUBJECT or TOLLGATE_POOL.
    pub scope: u32,
    /// The burst of a throttle (at least 1), the limit of a quota or a cap.
    pub amount: u64,
    /// Unique within plan, route or pool; default "throttle", or a quota's period. A cap has none.
    pub name: tollgate_str,
    /// What is counted; default "requests". Not for a cap.
    pub unit: tollgate_str,
    /// A pattern "[STAGE ]METHOD PATH": the limit is on top of the plan's own. METHOD may be a star, PATH too; a PATH that
    /// ends in a slash and a star is a prefix. Not in a pool.
    pub route: tollgate_str,
    /// Throttle: exact, such as "10/s", "0.1/s", "3/250ms".
    pub rate: tollgate_str,
    /// Throttle: the longest wait that is accepted, for which the answer is TOLLGATE_OK with a delay. 0: none.
    pub delay_ns: u64,
    /// Quota: "second", "minute", "hour", "day", "week", "month", "forever" or a length such as "15m".
    pub period: tollgate_str,
    /// Quota: an IANA zone that days, weeks and months follow; default UTC.
    pub zone: tollgate_str,
    /// Quota: weeks begin on that day (0: Sunday .. 6), months on day 1 + start (0 .. 27).
    pub start: u64,
    /// Quota: taken off the window of a subject's first debit.
    pub initial_debit: u64,
    /// Quota: percentages at which an alert is raised, 1 to 100; NULL: 80 and 100.
    pub alerts: *const u32,
    pub n_alerts: usize,
    /// Cap: how long a slot is held at most; 0: 60 seconds.
    pub lease_ns: u64,
    /// Must be 0.
    pub reserved: [u64; 8],
}

/// The plan refuses nothing: a dry run that decides, counts and reports.
pub const TOLLGATE_PLAN_OBSERVE: u32 = 1;

/// A usage plan. Zero it first. [frozen, 80 bytes on LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_plan {
    pub name: tollgate_str,
    /// What it covers, "api/stage" each; none: every stage.
    pub stages: *const tollgate_str,
    pub n_stages: usize,
    pub limits: *const tollgate_limit,
    pub n_limits: usize,
    /// TOLLGATE_PLAN_OBSERVE or 0.
    pub flags: u32,
    /// Must be 0.
    pub reserved0: u32,
    /// Must be 0.
    pub reserved: [u64; 3],
}

/// Values of `state`: as it is, and on if it is new.
pub const TOLLGATE_KEY_AS_IT_IS: u32 = 0;
/// Switched on.
pub const TOLLGATE_KEY_ON: u32 = 1;
/// Switched off.
pub const TOLLGATE_KEY_OFF: u32 = 2;

/// An API key of a subject: its public id, and exactly one of the three forms of its secret. Zero it first.
/// [frozen, 112 bytes on LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_key {
    /// Its public id: for logs and for tollgate_key_revoke().
    pub id: tollgate_str,
    /// The key itself, 1 to 4096 bytes: hashed and forgotten.
    pub value: tollgate_str,
    /// Its SHA-256, 64 hexadecimal digits.
    pub sha256: tollgate_str,
    /// Its HMAC-SHA-256 under a pepper: "NAME:" and 64 hexadecimal digits.
    pub hmac: tollgate_str,
    /// When it expires, as "2027-06-01T00:00:00Z"; empty: never.
    pub expires: tollgate_str,
    /// TOLLGATE_KEY_AS_IT_IS, ...
    pub state: u32,
    /// Must be 0.
    pub reserved0: u32,
    /// Must be 0.
    pub reserved: [u64; 3],
}

/// Whoever is metered: the plans it is on, at most one per stage, and its keys. Zero it first. [frozen, 72 bytes on
/// LP64]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_subject {
    pub name: tollgate_str,
    /// Names of its plans.
    pub plans: *const tollgate_str,
    pub n_plans: usize,
    /// All of its keys: others that it had become unknown. None: it keeps those that it has.
    pub keys: *const tollgate_key,
    pub n_keys: usize,
    /// Must be 0.
    pub reserved: [u64; 3],
}

/// These are all plans and subjects there are: what is not named is removed. In a region whoever is not named gives back
/// the room that was kept for it, whichever process named it; what counts of it stays for as long as it counts.
pub const TOLLGATE_CHANGES_COMPLETE: u32 = 1;

/// Plans and subjects to put in place as one: those named are replaced or removed, the others stay. They come from a
/// plan file (at most one of `path`, `toml` and `json`), from structs, or from both; what is in both is as the struct
/// says. Begin with TOLLGATE_CHANGES_INIT. [growable]
#[repr(C)]
#[derive(Clone, Copy)]
pub struct tollgate_changes {
    /// sizeof(tollgate_changes).
    pub struct_size: u32,
    /// TOLLGATE_CHANGES_... or 0.
    pub flags: u32,
    /// A plan file: JSON if its name ends in ".json", else TOML.
    pub path: tollgate_str,
    /// The text of a plan file in TOML.
    pub toml: tollgate_str,
    /// The text of a plan file in JSON; null in the place of a plan or subject removes it.
    pub json: tollgate_str,
    pub plans: *const tollgate_plan,
    pub n_plans: usize,
    pub subjects: *const tollgate_subject,
    pub n_subjects: usize,
    /// Names of plans to remove, which no subject may still be on.
    pub removed_plans: *const tollgate_str,
    pub n_removed_plans: usize,
    /// Names of subjects to remove; their keys become unknown.
    pub removed_subjects: *const tollgate_str,
    pub n_removed_subjects: usize,
}

// SAFETY: integers, pointers and functions that may be NULL only; `struct_size` is the first field of each.
unsafe impl Growable for tollgate_report {
    const LEAST: usize = std::mem::offset_of!(tollgate_report, limits);
}
// SAFETY: as above.
unsafe impl Growable for tollgate_config {}
// SAFETY: as above.
unsafe impl Growable for tollgate_changes {}
// SAFETY: as above.
unsafe impl Growable for tollgate_metrics {}

impl tollgate_error {
    pub(crate) fn of(status: i32, failure: Option<&Failure>) -> tollgate_error {
        let mut error = tollgate_error { status, line: 0, field: [0; 120], message: [0; 384] };
        if let Some(failure) = failure {
            error.line = failure.line;
            write_cut(&mut error.field, &failure.field);
            write_cut(&mut error.message, &failure.message);
        }
        error
    }
}
