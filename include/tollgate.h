/*
 * tollgate.h - embeddable rate-limit and quota engine
 *
 * A limiter answers one question: may this API key spend `cost` units on this route now? You describe limits once
 * (usage plans), register keys (only digests are kept), and call tollgate_check() on the hot path.
 *
 *     static const char plans[] =
 *         "[plans.free]\n"
 *         "throttle = { rate = \"10/s\", burst = 5 }\n"
 *         "[subjects.acme]\n"
 *         "plans = [\"free\"]\n"
 *         "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n";
 *     tollgate_changes changes = TOLLGATE_CHANGES_INIT;
 *     tollgate_request request = TOLLGATE_REQUEST_INIT;
 *     tollgate_engine *engine;
 *     tollgate_decision decision;
 *     tollgate_status status;
 *     tollgate_error error;
 *
 *     changes.toml.data = plans;
 *     changes.toml.len = sizeof plans - 1;
 *     if (tollgate_create(NULL, &changes, &engine, &error) != TOLLGATE_OK)
 *         return complain(error.message);
 *     ...
 *     request.key.data = header->data;
 *     request.key.len = header->len;
 *     status = tollgate_check(engine, &request, &decision);
 *     if (status < 0)
 *         return your_fail_open_or_closed_policy();
 *     if (status > 0)
 *         return refuse(tollgate_http_status(status), decision.retry_after_ns);
 *
 * Rules that hold for every function below, unless its comment says otherwise:
 *
 *  Result    0 is success ("allowed"); a positive status is a decision against the caller (send 403, 429 or 503:
 *            tollgate_http_status()); a negative status means that nothing was decided or done, and you choose
 *            whether to fail open or closed.
 *  Outputs   Out-parameters come last, tollgate_error after all others. They are written only on success, but for
 *            tollgate_decision and tollgate_error, which always are, and `len` of tollgate_buf, which is for
 *            TOLLGATE_ERR_BUFFER, too.
 *  NULL      A NULL or misaligned pointer that is required gives TOLLGATE_ERR_ARGUMENT; nothing crashes. Optional
 *            ones are named. Destroying NULL does nothing. A pointer that is not NULL points to what its type says.
 *  Strings   Bytes are passed as pointer and length, need no terminator, and are not kept after the call. Text is
 *            UTF-8, names have 1 to 128 bytes without control characters. Returned `const char *` are static and end
 *            with NUL. The library never hands you memory to free.
 *  Threads   Any thread, any number at once, on one engine: "Any thread". Functions marked [exclusive] are the
 *            exception. No thread is ever started, nothing is kept in globals that you could notice.
 *  Hot path  Functions marked [hot] do not allocate, block or log, and make no system call when the time is given;
 *            but for a thread's first call, and its first after tollgate_apply() or a change of keys.
 *  Memory    Where no memory is left the answer is TOLLGATE_ERR_NOMEM; a call that has begun goes on with 4 MiB that
 *            the library keeps for that. The exceptions are marked [oom]: they read text, may need more, and then the
 *            library underneath ends the process (abort), as Rust programs do.
 *  Time      Nanoseconds since the Unix epoch; `now_ns` 0 means "read the engine's clock". Steps of the wall clock
 *            do not move that. Time that goes backwards never gives anybody more.
 *  Zero      Begin structs with their TOLLGATE_..._INIT, or with zeros and `struct_size`: zero is the default
 *            everywhere, but that a request of cost 0 costs 0.
 *  Growth    [growable] structs begin with `struct_size` and may gain fields at their end in a minor release: programs
 *            compiled before and after it work with libraries of before and after it, but that an older library
 *            answers TOLLGATE_ERR_VERSION where a newer field is not 0. [frozen] structs stay as they are for the life
 *            of a major version; their `reserved` must be 0.
 *  Panics    A bug in the library is contained: the call gives TOLLGATE_ERR_PANIC, the engine stays usable, and what
 *            happened is on stderr.
 *  Fork      A child has a copy of a private engine, which counts for itself: create engines after fork(), or share a
 *            region. Fork while no other thread is inside a call.
 *  Unwinding No callback of yours may leave by longjmp() or a C++ exception.
 *
 * What decisions mean to the nanosecond is in the documentation of the Rust crate; docs/c-api.md is the guide to
 * embedding. This file is generated from ffi/src: edit the comments there.
 */
#ifndef TOLLGATE_H
#define TOLLGATE_H

#include <stddef.h>
#include <stdint.h>

#if defined(TOLLGATE_STATIC)
# define TOLLGATE_API
#elif defined(_WIN32)
# define TOLLGATE_API __declspec(dllimport)
#elif defined(__GNUC__)
# define TOLLGATE_API __attribute__((visibility("default")))
#else
# define TOLLGATE_API
#endif

#if defined(__GNUC__)
# define TOLLGATE_MUST_USE __attribute__((warn_unused_result))
#else
# define TOLLGATE_MUST_USE
#endif

/* Decide, but take nothing, whatever the answer. */
#define TOLLGATE_PEEK 1
/* The cost is only reserved, until tollgate_settle() or tollgate_refund(): needs `id`, and takes `ttl_ns`. */
#define TOLLGATE_RESERVE 2
/* A plan has limits for routes, which pass over requests that name none. */
#define TOLLGATE_NEEDS_ROUTE 1
/* A plan caps requests in flight: without an id their slots are held until the leases end. */
#define TOLLGATE_NEEDS_ID 2

/* `key` is not an API key but an anonymous subject (an address, a token's `sub`: any 1 to 4096 bytes) on the plan
 * `plan`. */
#define TOLLGATE_ANONYMOUS 4
/* An API key that is not registered is taken for an anonymous subject of `plan`. */
#define TOLLGATE_OR_ANONYMOUS 8
/* The limits that applied are in observe mode: the answer is TOLLGATE_OK whatever they say. */
#define TOLLGATE_OBSERVED 1
/* Observed limits would have refused; `retry_after_ns` is what they would have said. */
#define TOLLGATE_WOULD_DENY 2
/* Values of `kind`. */
#define TOLLGATE_THROTTLE 1
/* So many units per window. */
#define TOLLGATE_QUOTA 2
/* So many requests in flight. */
#define TOLLGATE_CONCURRENCY 3
/* No rate-limit fields, only Retry-After. */
#define TOLLGATE_FIELDS_OFF 0
/* `RateLimit-Policy` and `RateLimit`, as in draft-ietf-httpapi-ratelimit-headers since its version 08. */
#define TOLLGATE_FIELDS_DRAFT 1
/* `X-RateLimit-Limit`, `-Remaining` and `-Reset` of the limit with the smallest share left. */
#define TOLLGATE_FIELDS_LEGACY 2
/* Takes all memory of the capacity at once, touched: no check meets a page fault. */
#define TOLLGATE_CONFIG_TOUCHED 1

/* Only keys of the generated form, beginning with `key_prefix`, are looked for; others are unknown at once. */
#define TOLLGATE_CONFIG_KEY_FORMAT 2
/* The engine's clock stands at `start_ns` until tollgate_clock_set() moves it: for tests and simulations. */
#define TOLLGATE_CONFIG_MANUAL_CLOCK 4

/* Threads that meet at a throttle spend tokens of their own, so that a hot key or pool costs many threads no more than
 * one. Never more is admitted; while an eighth of the burst or less is left, some are refused early. For throttles that
 * are the only limit of their subject or pool, with a burst of 192 or more, in private memory; elsewhere it has no effect. */
#define TOLLGATE_CONFIG_LEASES 8

/* What a region holds stays as it is found: limits keep their rates, sizes and windows, keys their states, and nobody gives
 * back room, whatever the changes that the engine is made with say; what is new is made room for. So it shows whether they
 * are right and fit, before another engine puts them in place, and who comes late does not undo what others have changed since. */
#define TOLLGATE_CONFIG_AS_FOUND 16
/* A new anonymous subject is refused when the capacity is used up: TOLLGATE_STORE_FULL. */
#define TOLLGATE_FULL_REFUSE 0
/* Its own limits are left out. */
#define TOLLGATE_FULL_PASS 1
/* It takes the cell that would be full again first, whose owner starts fresh when it comes back. */
#define TOLLGATE_FULL_EVICT_SMALLEST 2
/* Values of `scope`: a state for every subject on the plan. */
#define TOLLGATE_PER_SUBJECT 0
/* One state for all subjects on the plan together. */
#define TOLLGATE_POOL 1
/* The plan refuses nothing: a dry run that decides, counts and reports. */
#define TOLLGATE_PLAN_OBSERVE 1
/* Values of `state`: as it is, and on if it is new. */
#define TOLLGATE_KEY_AS_IT_IS 0
/* Switched on. */
#define TOLLGATE_KEY_ON 1
/* Switched off. */
#define TOLLGATE_KEY_OFF 2

/* These are all plans and subjects there are: what is not named is removed. In a region whoever is not named gives back
 * the room that was kept for it, whichever process named it; what counts of it stays for as long as it counts. */
#define TOLLGATE_CHANGES_COMPLETE 1
/* Changed with every incompatible change of this header. (Before 1.0 the minor version changes with it.) */
#define TOLLGATE_VERSION_MAJOR 0
/* Raised with every addition to this header. */
#define TOLLGATE_VERSION_MINOR 1
/* Raised with every correction of the library. */
#define TOLLGATE_VERSION_PATCH 0
/* Done. Of a decision: go ahead, after `delay_ns` if that is not 0. */
#define TOLLGATE_OK 0
/* A throttle refuses (429). Positive: the request is refused, `retry_after_ns` says for how long. */
#define TOLLGATE_THROTTLED 1
/* A quota is used up (429). */
#define TOLLGATE_QUOTA_EXCEEDED 2
/* Too many requests are in flight (429). */
#define TOLLGATE_CONCURRENCY_EXCEEDED 3
/* The cost is more than a limit can ever hold (429); no wait helps. */
#define TOLLGATE_COST_EXCEEDS_LIMIT 4
/* No key was given (403). */
#define TOLLGATE_KEY_MISSING 5
/* The key is not registered (403). */
#define TOLLGATE_KEY_UNKNOWN 6
/* The key is switched off and may be switched on again (403). */
#define TOLLGATE_KEY_DISABLED 7
/* The key has expired (403). */
#define TOLLGATE_KEY_EXPIRED 8
/* The key is switched off for good (403). */
#define TOLLGATE_KEY_REVOKED 9
/* None of the subject's plans covers the stage (403). */
#define TOLLGATE_NO_PLAN_FOR_STAGE 10
/* There is no room for a new subject's state, or all ids are open reservations (503). */
#define TOLLGATE_STORE_FULL 11
/* Refused for a reason that this library cannot name (429). */
#define TOLLGATE_DENIED 12

/* NULL, misaligned, out of range, too long, not UTF-8, or wrong in itself. Negative: nothing was done, and whether
 * a request goes ahead is for the host to say. */
#define TOLLGATE_ERR_ARGUMENT (-1)
/* There is no memory. */
#define TOLLGATE_ERR_NOMEM (-2)
/* A capacity of tollgate_config is used up. */
#define TOLLGATE_ERR_FULL (-3)
/* That id or key is in use. */
#define TOLLGATE_ERR_EXISTS (-4)
/* No such plan, subject, limit, key, name or id, or it has been forgotten. */
#define TOLLGATE_ERR_NOT_FOUND (-5)

/* Right in itself, but it collides with what there is: a second plan for a stage, another subject's key, the rotation
 * of a revoked key. */
#define TOLLGATE_ERR_CONFLICT (-6)
/* A buffer is too small; the length that is needed was stored. */
#define TOLLGATE_ERR_BUFFER (-7)
/* A snapshot or region is damaged or something else. */
#define TOLLGATE_ERR_CORRUPT (-8)

/* Of another version: a snapshot or region of another format, a struct with fields that this library does not know. */
#define TOLLGATE_ERR_VERSION (-9)
/* The system or a callback of yours refused to read or write. */
#define TOLLGATE_ERR_IO (-10)
/* A snapshot or region is of another engine or of another capacity. */
#define TOLLGATE_ERR_MISMATCH (-11)
/* It was settled, refunded or released before; nothing has changed. */
#define TOLLGATE_ERR_CLOSED (-12)

/* A bug in the library, contained: the engine stays usable. What the call was to do may be done or half done; a debit
 * may have been made. Please report it. */
#define TOLLGATE_ERR_PANIC (-99)

/* An engine: opaque. Made by tollgate_create(), ended by tollgate_destroy(). What is not an engine, or one that was
 * destroyed, is refused as far as a mark in its first bytes can tell: best effort, not a promise. */
typedef struct tollgate_engine tollgate_engine;

/* Result of a call: 0 is success, positive statuses are decisions against the caller, negative ones say that the
 * engine could not do it. An integer, not an enum, so that its size is part of the ABI and a newer library may return
 * a value that this header does not name. */
typedef int32_t tollgate_status;

/* Bytes that you lend for the length of a call. {NULL, 0} or {0} is none; text is UTF-8 and needs no terminator. */
typedef struct tollgate_str {
    const void *data;
    size_t len;
} tollgate_str;

/* A secret that digests of API keys are keyed with. [frozen, 48 bytes on LP64] */
typedef struct tollgate_pepper {
    /* What digests under it begin with: no ':' in it. */
    struct tollgate_str name;
    /* At least 16 bytes. */
    struct tollgate_str secret;
    /* 0. */
    uint64_t reserved[2];
} tollgate_pepper;

/* Gives up to `cap` bytes. Return how many, 0 at the end, < 0 to stop with TOLLGATE_ERR_IO. As tollgate_usage_fn. */
typedef ptrdiff_t (*tollgate_read_fn)(void *ctx, void *buf, size_t cap);

/* What an engine is made with. Begin with TOLLGATE_CONFIG_INIT: every 0 is a default. [growable] */
typedef struct tollgate_config {
    /* sizeof(tollgate_config). */
    uint32_t struct_size;
    /* TOLLGATE_CONFIG_... or 0. */
    uint32_t flags;
    /* Room for cells of 16 bytes: one per anonymous subject; default 4,194,304. */
    uint64_t max_cells;
    /* Room for lines of 64 bytes: at least one per registered subject and plan, more for routes, quotas and daily rows;
     * default 4,194,304. Memory is used as far as it is filled. */
    uint64_t max_lines;
    /* Ids of requests that are known at a time; default 65,536. */
    uint64_t max_ids;
    /* Alerts that wait to be read; default 4,096. */
    uint64_t max_alerts;
    /* Room for tollgate_intern(); default 1,024, at most 65,536. */
    uint32_t max_names;
    /* TOLLGATE_FULL_... */
    uint32_t when_full;
    /* The first is that of keys given by value. */
    const struct tollgate_pepper *peppers;
    size_t n_peppers;
    /* With TOLLGATE_CONFIG_KEY_FORMAT: letters, digits and '_'; may be empty. */
    struct tollgate_str key_prefix;
    /* Memory that processes share, zeroed or formatted by another engine, aligned to 64 bytes, of
     * tollgate_region_size() bytes. It stays yours, and mapped until the engine is destroyed. NULL: private memory. */
    void *region;
    size_t region_len;
    /* Reads a snapshot to begin from: plans and subjects are those of `changes`, what was consumed is the snapshot's.
     * NULL: none. */
    tollgate_read_fn snapshot;
    void *snapshot_ctx;
    /* With TOLLGATE_CONFIG_MANUAL_CLOCK. */
    uint64_t start_ns;
} tollgate_config;

/* One limit of a plan. Zero it first. [frozen, 224 bytes on LP64] */
typedef struct tollgate_limit {
    /* TOLLGATE_THROTTLE, TOLLGATE_QUOTA or TOLLGATE_CONCURRENCY. */
    uint32_t kind;
    /* TOLLGATE_PER_SUBJECT or TOLLGATE_POOL. */
    uint32_t scope;
    /* The burst of a throttle (at least 1), the limit of a quota or a cap. */
    uint64_t amount;
    /* Unique within plan, route or pool; default "throttle", or a quota's period. A cap has none. */
    struct tollgate_str name;
    /* What is counted; default "requests". Not for a cap. */
    struct tollgate_str unit;
    /* A pattern "[STAGE ]METHOD PATH": the limit is on top of the plan's own. METHOD may be a star, PATH too; a PATH that
     * ends in a slash and a star is a prefix. Not in a pool. */
    struct tollgate_str route;
    /* Throttle: exact, such as "10/s", "0.1/s", "3/250ms". */
    struct tollgate_str rate;
    /* Throttle: the longest wait that is accepted, for which the answer is TOLLGATE_OK with a delay. 0: none. */
    uint64_t delay_ns;
    /* Quota: "second", "minute", "hour", "day", "week", "month", "forever" or a length such as "15m". */
    struct tollgate_str period;
    /* Quota: an IANA zone that days, weeks and months follow; default UTC. */
    struct tollgate_str zone;
    /* Quota: weeks begin on that day (0: Sunday .. 6), months on day 1 + start (0 .. 27). */
    uint64_t start;
    /* Quota: taken off the window of a subject's first debit. */
    uint64_t initial_debit;
    /* Quota: percentages at which an alert is raised, 1 to 100; NULL: 80 and 100. */
    const uint32_t *alerts;
    size_t n_alerts;
    /* Cap: how long a slot is held at most; 0: 60 seconds. */
    uint64_t lease_ns;
    /* Must be 0. */
    uint64_t reserved[8];
} tollgate_limit;

/* A usage plan. Zero it first. [frozen, 80 bytes on LP64] */
typedef struct tollgate_plan {
    struct tollgate_str name;
    /* What it covers, "api/stage" each; none: every stage. */
    const struct tollgate_str *stages;
    size_t n_stages;
    const struct tollgate_limit *limits;
    size_t n_limits;
    /* TOLLGATE_PLAN_OBSERVE or 0. */
    uint32_t flags;
    /* Must be 0. */
    uint32_t reserved0;
    /* Must be 0. */
    uint64_t reserved[3];
} tollgate_plan;

/* An API key of a subject: its public id, and exactly one of the three forms of its secret. Zero it first.
 * [frozen, 112 bytes on LP64] */
typedef struct tollgate_key {
    /* Its public id: for logs and for tollgate_key_revoke(). */
    struct tollgate_str id;
    /* The key itself, 1 to 4096 bytes: hashed and forgotten. */
    struct tollgate_str value;
    /* Its SHA-256, 64 hexadecimal digits. */
    struct tollgate_str sha256;
    /* Its HMAC-SHA-256 under a pepper: "NAME:" and 64 hexadecimal digits. */
    struct tollgate_str hmac;
    /* When it expires, as "2027-06-01T00:00:00Z"; empty: never. */
    struct tollgate_str expires;
    /* TOLLGATE_KEY_AS_IT_IS, ... */
    uint32_t state;
    /* Must be 0. */
    uint32_t reserved0;
    /* Must be 0. */
    uint64_t reserved[3];
} tollgate_key;

/* Whoever is metered: the plans it is on, at most one per stage, and its keys. Zero it first. [frozen, 72 bytes on
 * LP64] */
typedef struct tollgate_subject {
    struct tollgate_str name;
    /* Names of its plans. */
    const struct tollgate_str *plans;
    size_t n_plans;
    /* All of its keys: others that it had become unknown. None: it keeps those that it has. */
    const struct tollgate_key *keys;
    size_t n_keys;
    /* Must be 0. */
    uint64_t reserved[3];
} tollgate_subject;

/* Plans and subjects to put in place as one: those named are replaced or removed, the others stay. They come from a
 * plan file (at most one of `path`, `toml` and `json`), from structs, or from both; what is in both is as the struct
 * says. Begin with TOLLGATE_CHANGES_INIT. [growable] */
typedef struct tollgate_changes {
    /* sizeof(tollgate_changes). */
    uint32_t struct_size;
    /* TOLLGATE_CHANGES_... or 0. */
    uint32_t flags;
    /* A plan file: JSON if its name ends in ".json", else TOML. */
    struct tollgate_str path;
    /* The text of a plan file in TOML. */
    struct tollgate_str toml;
    /* The text of a plan file in JSON; null in the place of a plan or subject removes it. */
    struct tollgate_str json;
    const struct tollgate_plan *plans;
    size_t n_plans;
    const struct tollgate_subject *subjects;
    size_t n_subjects;
    /* Names of plans to remove, which no subject may still be on. */
    const struct tollgate_str *removed_plans;
    size_t n_removed_plans;
    /* Names of subjects to remove; their keys become unknown. */
    const struct tollgate_str *removed_subjects;
    size_t n_removed_subjects;
} tollgate_changes;

/* Why a call failed. Always written where it is given, also on success (`status` 0 and empty texts then).
 * [frozen, 512 bytes] */
typedef struct tollgate_error {
    /* What the call returned. */
    tollgate_status status;
    /* In the text of a plan file, from 1; 0: none or not known. */
    uint32_t line;
    /* Where the fault is, such as "plans.gold.throttle.rate"; may be empty. Cut where it does not fit. */
    char field[120];
    /* What was found and what would be right, in English. No API key is ever in it. Cut where it does not fit. */
    char message[384];
} tollgate_error;

/* A stage, route or plan that tollgate_intern() has seen: a small number instead of text. 0 is none. It is good for the
 * engine that gave it, as long as that lives. */
typedef uint32_t tollgate_name;

/* What of the cost is counted in one unit. [frozen, 24 bytes on LP64] */
typedef struct tollgate_cost {
    /* "requests", "tokens", "bytes", ... */
    struct tollgate_str unit;
    uint64_t amount;
} tollgate_cost;

/* What is asked. Begin with TOLLGATE_REQUEST_INIT, which costs 1; an all-zero request costs 0. [frozen, 144 bytes on
 * LP64] */
typedef struct tollgate_request {
    /* The API key, or with TOLLGATE_ANONYMOUS the subject. Empty: TOLLGATE_KEY_MISSING; over 4096 bytes:
     * TOLLGATE_KEY_UNKNOWN. */
    struct tollgate_str key;
    /* "api/stage", or `stage_name` instead of it, or neither: then only plans that cover every stage apply. */
    struct tollgate_str stage;
    /* "METHOD /path", normalised by you, or `route_name` instead of it. A query string is dropped. Bytes that are not
     * UTF-8 count as U+FFFD. */
    struct tollgate_str route;
    /* Any bytes under which the request can be settled, refunded and released once it is admitted. Not looked at by a
     * peek. */
    struct tollgate_str id;
    /* Costs by unit, at most 16; a limit whose unit is not named costs 0, so that an array of none costs nothing. NULL:
     * `cost` counts. */
    const struct tollgate_cost *costs;
    size_t n_costs;
    /* Units taken from every limit, whatever its unit. 0 leaves no trace and is refused by no limit. Not looked at
     * where there are `costs`. */
    uint64_t cost;
    /* Of a reservation: how long after `now_ns` a settlement is in time. */
    uint64_t ttl_ns;
    /* Instant of the request; 0: by the engine's clock. */
    uint64_t now_ns;
    tollgate_name stage_name;
    tollgate_name route_name;
    /* The plan of an anonymous subject, from tollgate_intern(). */
    tollgate_name plan;
    /* TOLLGATE_PEEK, ... or 0. */
    uint32_t flags;
    /* Must be 0. */
    uint64_t reserved[3];
} tollgate_request;

/* What was decided. Always written where it is given. [frozen, 64 bytes] */
typedef struct tollgate_decision {
    /* What the call returned. */
    tollgate_status status;
    /* TOLLGATE_OBSERVED, TOLLGATE_WOULD_DENY. */
    uint32_t flags;
    /* The shortest time after which the same request would be admitted if nothing else happened; 0 if it is,
     * TOLLGATE_NEVER if no wait helps. */
    uint64_t retry_after_ns;
    /* How long to hold an admitted request back; usually 0. */
    uint64_t delay_ns;
    /* From tollgate_check_report(): bit i is set if limit i refuses (or where it only observes would), of the first 64.
     * 0 from functions that do not report. */
    uint64_t violated;
    /* 0 for now. */
    uint64_t reserved[4];
} tollgate_decision;

/* How one limit stands after a decision. [frozen, 192 bytes] */
typedef struct tollgate_limit_report {
    /* "daily", "route:GET /pets:throttle", "pool:all-day"; cut where it does not fit. */
    char name[128];
    /* Length of the whole name. */
    uint32_t name_len;
    /* TOLLGATE_THROTTLE, TOLLGATE_QUOTA, TOLLGATE_CONCURRENCY; others may come. */
    uint32_t kind;
    /* 1 if this limit refuses, or where it only observes would, else 0. */
    uint32_t violated;
    /* 0 for now. */
    uint32_t reserved0;
    /* The burst of a throttle, the limit of a quota or cap. */
    uint64_t limit;
    /* Whole units that are left. */
    uint64_t remaining;
    /* Time until a throttle is full again (0: it is) or a quota's window ends; TOLLGATE_NEVER: never. */
    uint64_t reset_ns;
    /* The time in which `limit` units come; TOLLGATE_NEVER: no end. */
    uint64_t window_ns;
    /* 0 for now. */
    uint64_t reserved[2];
} tollgate_limit_report;

/* Room for text that you own. `len` receives the length of the text, without its NUL. If `len` < `cap` it was stored
 * with a NUL, else an empty string was, if `cap` is not 0. {NULL, 0, 0}: not wanted. */
typedef struct tollgate_buf {
    char *data;
    size_t cap;
    size_t len;
} tollgate_buf;

/* A decision with everything it was made of. Begin with TOLLGATE_REPORT_INIT. [growable] */
typedef struct tollgate_report {
    /* sizeof(tollgate_report). */
    uint32_t struct_size;
    /* In: TOLLGATE_FIELDS_..., what `headers` is to hold besides Retry-After. */
    uint32_t fields;
    /* Out. */
    struct tollgate_decision decision;
    /* In: room for limits; may be NULL. */
    struct tollgate_limit_report *limits;
    /* In: how many there is room for. */
    size_t limits_cap;
    /* Out: how many limits apply; the first `limits_cap` of them are stored. */
    size_t limits_len;
    /* Room for HTTP header lines, "Name: value\r\n" each. */
    struct tollgate_buf headers;
    /* Room for the name of the plan that was applied; empty if none was. */
    struct tollgate_buf plan;
    /* Room for the name of the registered subject; empty if the key is not one's. */
    struct tollgate_buf subject;
    /* Room for the public id of the key; empty if it is not registered. */
    struct tollgate_buf key_id;
} tollgate_report;

/* What became of a settlement. [frozen, 32 bytes] */
typedef struct tollgate_settlement {
    /* 1 if the reservation's time was over, else 0; it is settled all the same. */
    uint32_t late;
    /* 0 for now. */
    uint32_t reserved0;
    /* The largest use beyond its allowance of a quota that was adjusted in its current window, else 0. */
    uint64_t overdraft;
    /* 0 for now. */
    uint64_t reserved[2];
} tollgate_settlement;

/* One quota on one day. The text is yours to copy during the callback. [frozen, 64 bytes on LP64] */
typedef struct tollgate_usage_row {
    /* The quota, as reports name it. */
    struct tollgate_str limit;
    /* Days since 1970-01-01, in the quota's zone. */
    int32_t day;
    /* 0 for now. */
    uint32_t reserved0;
    /* Cost admitted on this day, later settlements and refunds included. */
    uint64_t used;
    /* What was left of the quota's window after the day's last debit. */
    uint64_t remaining;
    /* Requests that the quota refused, or where it only observes would have. */
    uint64_t refused;
    /* 0 for now. */
    uint64_t reserved[2];
} tollgate_usage_row;

/* Called with each row. Return 0 to go on, anything else to stop with TOLLGATE_ERR_IO. It must return: no longjmp(), no
 * C++ exception. It may call the engine. */
typedef int32_t (*tollgate_usage_fn)(void *ctx, const struct tollgate_usage_row *row);

/* A quota has come to a threshold, for the first time in its window. Texts are yours to copy during the callback.
 * [frozen, 80 bytes on LP64] */
typedef struct tollgate_alert {
    /* Whose quota it is; empty: that of all subjects on the plan together. */
    struct tollgate_str subject;
    struct tollgate_str plan;
    /* The quota, as reports name it. */
    struct tollgate_str limit;
    /* So many percent of it, 1 to 100, are used up; 0: it has refused a request. */
    uint32_t percent;
    /* 0 for now. */
    uint32_t reserved0;
    /* The first instant of the window. */
    uint64_t window_start_ns;
    /* 0 for now. */
    uint64_t reserved[2];
} tollgate_alert;

/* Called with each alert, in the order in which they were raised. As tollgate_usage_fn, but it cannot stop. */
typedef void (*tollgate_alert_fn)(void *ctx, const struct tollgate_alert *alert);

/* Decisions by their outcome, and how full everything is: of this process, but for what is stored in a region. Begin
 * with TOLLGATE_METRICS_INIT. [growable] */
typedef struct tollgate_metrics {
    /* In: sizeof(tollgate_metrics). */
    uint32_t struct_size;
    /* 0 for now. */
    uint32_t flags;
    /* Admitted at once; of observing plans also what they would have refused. */
    uint64_t ok;
    /* Admitted after a delay. */
    uint64_t delayed;
    /* Refused: as the statuses of these names. */
    uint64_t throttled;
    uint64_t quota_exceeded;
    uint64_t concurrency_exceeded;
    uint64_t cost_exceeds_limit;
    uint64_t key_missing;
    uint64_t key_unknown;
    uint64_t key_disabled;
    uint64_t key_expired;
    uint64_t key_revoked;
    uint64_t no_plan_for_stage;
    uint64_t store_full;
    /* Among `ok`: what observing plans would have refused. */
    uint64_t would_deny;
    /* Cells in use, and those that are planned for. */
    uint64_t cells;
    uint64_t max_cells;
    /* The most lines that were in use at a time, and those that there can be. */
    uint64_t lines;
    uint64_t max_lines;
    /* For want of room: decisions refused, limits left out, cells taken from another owner. */
    uint64_t full_refused;
    uint64_t full_passed;
    uint64_t full_evicted;
    /* Debits and refusals that the usage log had no room for. */
    uint64_t unlogged;
    /* Ids of requests that are known. */
    uint64_t ids;
    /* Alerts that wait to be read, and how many there was no room for in all. */
    uint64_t alerts_waiting;
    uint64_t alerts_dropped;
} tollgate_metrics;

/* Takes `len` bytes, all of them. Return 0 to go on, anything else to stop with TOLLGATE_ERR_IO. As tollgate_usage_fn. */
typedef int32_t (*tollgate_write_fn)(void *ctx, const void *data, size_t len);

#ifdef __cplusplus
extern "C" {
#endif /* __cplusplus */

/* Version of the loaded library, as TOLLGATE_VERSION_NUMBER is that of the header. See tollgate_abi_ok().
 * Any thread. */
TOLLGATE_API
uint32_t tollgate_version_number(void);

/* "1.2.3". Static. Any thread. */
TOLLGATE_API const char *tollgate_version_string(void);

/* "TOLLGATE_ERR_FULL", for logs. Never NULL, static, also for a status that the library does not know.
 * Any thread. */
TOLLGATE_API
const char *tollgate_status_name(tollgate_status status);

/* The status as a phrase in English. Never NULL, static. Any thread. */
TOLLGATE_API const char *tollgate_status_message(tollgate_status status);

/* The HTTP status that a decision is answered with by default: 200 (go ahead), 403, 429 or 503; 500 for an error,
 * where the host chooses whether to fail open or closed. Any thread. */
TOLLGATE_API
int32_t tollgate_http_status(tollgate_status status);

/* Makes an engine. `changes` (may be NULL: none) holds its plans and subjects, `config` (may be NULL: all defaults) the
 * rest. `*out` is yours until tollgate_destroy(). `err` may be NULL.
 * TOLLGATE_ERR_ARGUMENT names the field; TOLLGATE_ERR_CONFLICT, _FULL (more subjects than capacity), _NOMEM, _IO (a
 * file or callback), and for a region or snapshot _CORRUPT, _VERSION, _MISMATCH. Any thread. [oom] */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_create(const struct tollgate_config *config,
                                const struct tollgate_changes *changes,
                                struct tollgate_engine **out,
                                struct tollgate_error *err);

/* Ends an engine and frees its memory; a region stays as it is. NULL does nothing. [exclusive]: no other call on this
 * engine may be going on, or come later. */
TOLLGATE_API
void tollgate_destroy(struct tollgate_engine *engine);

/* Puts plans and subjects in place, all of them or, on an error, none. Checks go on meanwhile and see the old set or
 * the new one. What was consumed is carried over. `now_ns`: when new rates begin; 0: now. `err` may be NULL.
 * TOLLGATE_ERR_ARGUMENT names the field; TOLLGATE_ERR_CONFLICT, _FULL, _IO (the plan file). Any thread. [oom] */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_apply(struct tollgate_engine *engine,
                               const struct tollgate_changes *changes,
                               uint64_t now_ns,
                               struct tollgate_error *err);

/* What requests under the plan of this name have to bring along; without a name (NULL, 0), under any of the plans in place:
 * TOLLGATE_NEEDS_... or 0. For hosts to which a route or an id is work. TOLLGATE_ERR_NOT_FOUND: no plan of this name is
 * in place. Any thread. */
TOLLGATE_API
tollgate_status tollgate_needs(struct tollgate_engine *engine,
                               const void *plan,
                               size_t len,
                               uint32_t *out);

/* Housekeeping for a host that has idle time, in up to `steps` steps of under a microsecond each: the table grows
 * ahead of need, and state that is indistinguishable from fresh is forgotten. Nothing depends on it. `emptied` may be
 * NULL; it receives how many cells were emptied. Any thread. */
TOLLGATE_API
tollgate_status tollgate_maintain(struct tollgate_engine *engine,
                                  uint64_t now_ns,
                                  uint32_t steps,
                                  uint32_t *emptied);

/* The engine's present instant, in nanoseconds since the Unix epoch. Steps of the wall clock do not move it.
 * Any thread. [hot] */
TOLLGATE_API
tollgate_status tollgate_now(struct tollgate_engine *engine,
                             uint64_t *out);

/* Moves a clock that was made with TOLLGATE_CONFIG_MANUAL_CLOCK, which it may do backwards; TOLLGATE_ERR_CONFLICT for
 * another clock. Any thread. */
TOLLGATE_API
tollgate_status tollgate_clock_set(struct tollgate_engine *engine,
                                   uint64_t now_ns);

/* Bytes of shared memory that an engine with this `config` (may be NULL: all defaults) needs as its region.
 * Any thread. */
TOLLGATE_API
tollgate_status tollgate_region_size(const struct tollgate_config *config,
                                     uint64_t *out);

/* Gives a stage ("pets/prod"), route ("GET /pets") or plan a number for tollgate_request: the same one for the same
 * text, whatever it is used for. For names that you know at the start: there is room for `max_names`, and they stay. A
 * plan's is best asked for once the plan is in place. `text`: UTF-8, not empty.
 * TOLLGATE_ERR_FULL, TOLLGATE_ERR_NOMEM. Any thread. */
TOLLGATE_API
tollgate_status tollgate_intern(struct tollgate_engine *engine,
                                const void *text,
                                size_t len,
                                tollgate_name *out);

/* May this request be made now? Takes its cost from every limit that applies, or from none. `out` is always written.
 * TOLLGATE_OK or why not; TOLLGATE_ERR_EXISTS for an `id` that is known; TOLLGATE_ERR_ARGUMENT. Any thread. [hot] for a
 * request without an `id` whose subject has its state. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_check(struct tollgate_engine *engine,
                               const struct tollgate_request *request,
                               struct tollgate_decision *out);

/* As tollgate_check(), but takes nothing. Any thread. [hot] */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_peek(struct tollgate_engine *engine,
                              const struct tollgate_request *request,
                              struct tollgate_decision *out);

/* As tollgate_check() with TOLLGATE_RESERVE: what the request may cost is taken now, and made what it did cost by
 * tollgate_settle(). Unsettled it stays taken. TOLLGATE_STORE_FULL: all ids are open reservations. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_reserve(struct tollgate_engine *engine,
                                 const struct tollgate_request *request,
                                 struct tollgate_decision *out);

/* Asks for the memory that the check of this request will need, for hosts that know the key some time before they
 * decide: while the rest of the request is read, say. Then tollgate_check() or any other decision about the same key
 * finds it in the processor's cache; without that, a table of millions of subjects costs a memory access or two. It
 * decides nothing, takes nothing and keeps nothing of `request`. Any thread. [hot] */
TOLLGATE_API
tollgate_status tollgate_prepare(struct tollgate_engine *engine,
                                 const struct tollgate_request *request);

/* Decides `n` requests in order, each by itself, as `n` calls of tollgate_check() would, but faster: what they need
 * from memory is asked for together. out[i] receives each decision. Of requests whose `now_ns` is 0 up to 16 share one
 * reading of the clock.
 * TOLLGATE_OK if all were allowed, else the first status that is not; a request that fails does not stop the others.
 * TOLLGATE_ERR_ARGUMENT, with nothing written, where `engine`, `requests` or `out` is unusable. Any thread. [hot] as
 * tollgate_check(). */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_check_batch(struct tollgate_engine *engine,
                                     const struct tollgate_request *requests,
                                     size_t n,
                                     struct tollgate_decision *out);

/* One decision over up to 16 requests (a user and the user's team, say): all of them are debited or none is. Limits
 * that two of them share are judged by the sum of their costs. `now_ns`, `id`, `ttl_ns` and TOLLGATE_RESERVE are the first
 * one's, and hold for all of them; TOLLGATE_PEEK has no place here. Otherwise as tollgate_check(). Any thread. [hot] for
 * two or three requests under few limits, without an `id`; else it allocates. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_check_all(struct tollgate_engine *engine,
                                   const struct tollgate_request *requests,
                                   size_t n,
                                   struct tollgate_decision *out);

/* As tollgate_check(), and says how every limit that applies stands after it: as structs, and as the HTTP header lines
 * for the answer. What does not fit your buffers changes nothing of the decision, which was made. `report` is written
 * whenever the status is not negative; its `decision` always, unless it is `report` itself that is refused (NULL, or a
 * wrong `struct_size`).
 * `request` may have TOLLGATE_PEEK or TOLLGATE_RESERVE. Any thread. It allocates, and takes a microsecond where a check
 * takes a fraction of one. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_check_report(struct tollgate_engine *engine,
                                      const struct tollgate_request *request,
                                      struct tollgate_report *report);

/* Makes the cost of a reservation the actual one: the surplus is returned, an overrun is taken even past the limit.
 * `costs` and `n_costs` by unit as in tollgate_request, or NULL, 0 and `actual` for every unit. `out` may be NULL.
 * TOLLGATE_ERR_NOT_FOUND: no reservation of this id was admitted, or it is forgotten; TOLLGATE_ERR_CLOSED: it was
 * settled or refunded before. Any thread. */
TOLLGATE_API
tollgate_status tollgate_settle(struct tollgate_engine *engine,
                                const void *id,
                                size_t len,
                                const struct tollgate_cost *costs,
                                size_t n_costs,
                                uint64_t actual,
                                uint64_t now_ns,
                                struct tollgate_settlement *out);

/* Returns everything that a check with an `id` or an open reservation has cost, once.
 * TOLLGATE_ERR_NOT_FOUND, TOLLGATE_ERR_CLOSED as tollgate_settle(). Any thread. */
TOLLGATE_API
tollgate_status tollgate_refund(struct tollgate_engine *engine,
                                const void *id,
                                size_t len,
                                uint64_t now_ns);

/* Frees the slots of concurrency caps that a request with an `id` holds; its cost stays taken.
 * TOLLGATE_ERR_NOT_FOUND as tollgate_settle(); TOLLGATE_ERR_CLOSED: it holds none any more. Any thread. */
TOLLGATE_API
tollgate_status tollgate_release(struct tollgate_engine *engine,
                                 const void *id,
                                 size_t len);

/* A new API key: `prefix` (letters, digits and '_', at most 89; may be empty), 192 bits from the operating system, a
 * checksum. It is the only copy: hand it out, wipe the buffer, keep its digest. It has 39 characters more than
 * `prefix`; TOLLGATE_ERR_BUFFER, with the length in `out->len`, where they do not fit: nothing is made then.
 * Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_generate(const void *prefix,
                                      size_t len,
                                      struct tollgate_buf *out,
                                      struct tollgate_error *err);

/* The digest of an API key (1 to 4096 bytes), as tollgate_key and plan files take it: without `pepper` (NULL) its
 * SHA-256 in 64 digits, else its HMAC-SHA-256 as "NAME:" and 64 digits. Safe to store, as far as keys are generated;
 * keys that people thought up need a pepper. TOLLGATE_ERR_BUFFER as tollgate_key_generate(). Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_hash(const struct tollgate_pepper *pepper,
                                  const void *key,
                                  size_t len,
                                  struct tollgate_buf *out,
                                  struct tollgate_error *err);

/* Gives a subject another key, beside those that it has: `key` as in tollgate_subject, its `state` on unless it is
 * TOLLGATE_KEY_OFF. It stays until tollgate_apply() lists the subject's keys without it.
 * TOLLGATE_ERR_NOT_FOUND (`subject`), TOLLGATE_ERR_EXISTS (the key or its id is in use, or the key was revoked),
 * TOLLGATE_ERR_ARGUMENT names the field; TOLLGATE_ERR_FULL (a region). `err` may be NULL, here and below. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_add(struct tollgate_engine *engine,
                                 const void *subject,
                                 size_t subject_len,
                                 const struct tollgate_key *key,
                                 struct tollgate_error *err);

/* Switches the key with this public id on. Usage and buckets are as they were; an expired or revoked key stays what it
 * is. TOLLGATE_ERR_NOT_FOUND. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_enable(struct tollgate_engine *engine,
                                    const void *key_id,
                                    size_t len,
                                    struct tollgate_error *err);

/* Switches a key off: once this has returned no decision of any thread, or attached process, admits it.
 * TOLLGATE_ERR_NOT_FOUND. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_disable(struct tollgate_engine *engine,
                                     const void *key_id,
                                     size_t len,
                                     struct tollgate_error *err);

/* Ends a key's life now: TOLLGATE_KEY_EXPIRED. TOLLGATE_ERR_NOT_FOUND. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_expire(struct tollgate_engine *engine,
                                    const void *key_id,
                                    size_t len,
                                    struct tollgate_error *err);

/* Switches a key off for good. TOLLGATE_ERR_NOT_FOUND. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_revoke(struct tollgate_engine *engine,
                                    const void *key_id,
                                    size_t len,
                                    struct tollgate_error *err);

/* Gives a key's subject another key, with the public id `new_id`; usage and limits are the subject's, and so the same
 * for both. Both work for `overlap_ns`, then the old one is revoked; 0: at once. `out` receives the new key, its only
 * copy; give room for 129 characters: with less the answer is TOLLGATE_ERR_BUFFER and nothing has changed.
 * TOLLGATE_ERR_NOT_FOUND, TOLLGATE_ERR_CONFLICT (it is revoked), TOLLGATE_ERR_EXISTS (`new_id`). Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_rotate(struct tollgate_engine *engine,
                                    const void *key_id,
                                    size_t len,
                                    const void *new_id,
                                    size_t new_len,
                                    uint64_t overlap_ns,
                                    uint64_t now_ns,
                                    struct tollgate_buf *out,
                                    struct tollgate_error *err);

/* tollgate_key_rotate() to a key that you made: 1 to 4096 bytes, of the engine's form if it has one. Also
 * TOLLGATE_ERR_EXISTS, where the new key is registered or was ever revoked. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_key_rotate_to(struct tollgate_engine *engine,
                                       const void *key_id,
                                       size_t len,
                                       const void *new_id,
                                       size_t new_len,
                                       const void *key,
                                       size_t key_len,
                                       uint64_t overlap_ns,
                                       uint64_t now_ns,
                                       struct tollgate_error *err);

/* The present day, in days since 1970-01-01, in the zone of a subject's first quota of a plan; in UTC if there is none.
 * TOLLGATE_ERR_NOT_FOUND. `err` may be NULL, here and below. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_today(struct tollgate_engine *engine,
                               const void *subject,
                               size_t subject_len,
                               const void *plan,
                               size_t plan_len,
                               int32_t *out,
                               struct tollgate_error *err);

/* What a subject has used of its quotas of a plan: `each` is called with a row per quota and day from `from_day` to
 * `to_day` (days since 1970-01-01, as tollgate_today() counts them, at most 3,660). Days are kept for 90 days.
 * TOLLGATE_ERR_NOT_FOUND, TOLLGATE_ERR_ARGUMENT (`from_day` is later than `to_day`), TOLLGATE_ERR_IO (`each` stopped).
 * Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_usage(struct tollgate_engine *engine,
                               const void *subject,
                               size_t subject_len,
                               const void *plan,
                               size_t plan_len,
                               int32_t from_day,
                               int32_t to_day,
                               uint64_t now_ns,
                               tollgate_usage_fn each,
                               void *ctx,
                               struct tollgate_error *err);

/* Lets a subject use `remaining` more units in the current window of a quota, whatever is left of it now. The next
 * window is as ever. `limit`: the quota's name, as reports give it. `remaining`: at most 2^61.
 * TOLLGATE_ERR_NOT_FOUND. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_grant(struct tollgate_engine *engine,
                               const void *subject,
                               size_t subject_len,
                               const void *plan,
                               size_t plan_len,
                               const void *limit,
                               size_t limit_len,
                               uint64_t remaining,
                               uint64_t now_ns,
                               struct tollgate_error *err);

/* Takes the alerts that were raised since the last call, by this process: each threshold of each quota once per
 * window. `each` is called with every one of them. `dropped` (may be NULL, then they are
 * only counted by the metrics) receives how many there was no room for since the last call. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_alerts(struct tollgate_engine *engine,
                                tollgate_alert_fn each,
                                void *ctx,
                                uint64_t *dropped);

/* What the engine has done since it was made, and how full it is. Peeks are not counted. Counts its cells one by one,
 * which takes a while for millions, and holds up no check. Any thread. */
TOLLGATE_API
tollgate_status tollgate_metrics_get(struct tollgate_engine *engine,
                                     struct tollgate_metrics *out);

/* The same by plan, in the text format of Prometheus, version 0.0.4: what an endpoint answers with
 * "Content-Type: text/plain; version=0.0.4". TOLLGATE_ERR_BUFFER, with the length in `out->len`, where it does not fit:
 * plan for some 2 KiB and 1 KiB for each plan. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_metrics_text(struct tollgate_engine *engine,
                                      struct tollgate_buf *out);

/* Gives a snapshot of what requests have left behind (the state of every limit, the usage log, ids, states of keys) to
 * `write`, piece by piece, while checks go on: a portable format under checksums. Plans, subjects and keys themselves
 * are not in it. `err` may be NULL, here and below. TOLLGATE_ERR_IO. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_snapshot(struct tollgate_engine *engine,
                                  tollgate_write_fn write,
                                  void *ctx,
                                  struct tollgate_error *err);

/* Saves a snapshot in a file: written beside it, synced and renamed, so that whatever happens it is the whole old or
 * the whole new one. `path`: UTF-8. TOLLGATE_ERR_IO. Any thread; it waits for the disk, checks do not. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_snapshot_save(struct tollgate_engine *engine,
                                       const void *path,
                                       size_t len,
                                       struct tollgate_error *err);

/* Puts back what requests had left behind when `read`'s snapshot of this engine was taken; what came after it is
 * forgotten. To begin a new engine from a snapshot give it to tollgate_create() instead. For an engine that decides
 * nothing meanwhile. TOLLGATE_ERR_CORRUPT, _VERSION, _MISMATCH (it is another engine's), _IO, _NOMEM: nothing has changed
 * then. Any thread. */
TOLLGATE_API TOLLGATE_MUST_USE
tollgate_status tollgate_restore(struct tollgate_engine *engine,
                                 uint64_t now_ns,
                                 tollgate_read_fn read,
                                 void *ctx,
                                 struct tollgate_error *err);

#ifdef __cplusplus
}  // extern "C"
#endif  /* __cplusplus */

/* Version of this header, as tollgate_version_number() is that of the library. */
#define TOLLGATE_VERSION_NUMBER \
    (TOLLGATE_VERSION_MAJOR * 1000000 + TOLLGATE_VERSION_MINOR * 1000 + TOLLGATE_VERSION_PATCH)

/* Whether the loaded library can serve code that was compiled with this header. */
#define tollgate_abi_ok() \
    (tollgate_version_number() / 1000000u == TOLLGATE_VERSION_MAJOR && \
     (TOLLGATE_VERSION_MAJOR > 0 || tollgate_version_number() / 1000u == TOLLGATE_VERSION_NUMBER / 1000u))

/* A time that does not come. */
#define TOLLGATE_NEVER (~(uint64_t)0)

/* What structs begin with. */
#define TOLLGATE_STR_INIT { 0, 0 }
#define TOLLGATE_BUF_INIT { 0, 0, 0 }
#define TOLLGATE_DECISION_INIT { 0, 0, 0, 0, 0, { 0, 0, 0, 0 } }
#define TOLLGATE_REQUEST_INIT \
    { TOLLGATE_STR_INIT, TOLLGATE_STR_INIT, TOLLGATE_STR_INIT, TOLLGATE_STR_INIT, \
      0, 0, 1, 0, 0, 0, 0, 0, 0, { 0, 0, 0 } }
#define TOLLGATE_REPORT_INIT \
    { (uint32_t)sizeof(tollgate_report), 0, TOLLGATE_DECISION_INIT, 0, 0, 0, \
      TOLLGATE_BUF_INIT, TOLLGATE_BUF_INIT, TOLLGATE_BUF_INIT, TOLLGATE_BUF_INIT }
#define TOLLGATE_METRICS_INIT \
    { (uint32_t)sizeof(tollgate_metrics), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, \
      0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0 }
#define TOLLGATE_CONFIG_INIT \
    { (uint32_t)sizeof(tollgate_config), 0, 0, 0, 0, 0, 0, 0, 0, 0, TOLLGATE_STR_INIT, 0, 0, 0, 0, 0 }
#define TOLLGATE_CHANGES_INIT \
    { (uint32_t)sizeof(tollgate_changes), 0, TOLLGATE_STR_INIT, TOLLGATE_STR_INIT, TOLLGATE_STR_INIT, \
      0, 0, 0, 0, 0, 0, 0, 0 }

#endif /* TOLLGATE_H */
