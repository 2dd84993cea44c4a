/* Allocation number 1, 2, ... fails, one by one, in every function that is not marked [oom]; then all of them fail, or
 * all large ones. The answer is the right one or TOLLGATE_ERR_NOMEM, nothing ends the program and nothing is leaked. glibc only: this
 * program's malloc() stands before the library's. */
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>

#include "check.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* How many allocations are still to succeed, if they are counted at all; how many were made; how many are alive. */
static long left = -1, made, alive;
static int none;
/* Larger ones fail. */
static size_t most = (size_t)-1;

static int fails(size_t n)
{
    made++;
    return none || n > most || (left >= 0 && left-- == 0);
}

static void *counted(void *memory)
{
    alive += memory != NULL;
    return memory;
}

void *malloc(size_t n) { return fails(n) ? NULL : counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t m) { return fails(n * m) ? NULL : counted(__libc_calloc(n, m)); }
void *memalign(size_t a, size_t n) { return fails(n) ? NULL : counted(__libc_memalign(a, n)); }
void *aligned_alloc(size_t a, size_t n) { return memalign(a, n); }

int posix_memalign(void **out, size_t a, size_t n)
{
    void *memory = memalign(a, n);
    if (!memory)
        return ENOMEM;
    *out = memory;
    return 0;
}

void *realloc(void *old, size_t n)
{
    void *memory;
    if (fails(n))
        return NULL;
    memory = __libc_realloc(old, n);
    alive += !old && memory;
    return memory;
}

void free(void *memory)
{
    alive -= memory != NULL;
    __libc_free(memory);
}

static tollgate_engine *engine;
static tollgate_name names[4];
static tollgate_decision decision;

/* Each gives TOLLGATE_OK if all went well. */
static tollgate_status check(void)
{
    tollgate_request request = request_of("made-up");
    return tollgate_check(engine, &request, &decision);
}

static tollgate_status check_named(void)
{
    tollgate_request request = request_of("made-up");
    request.stage_name = names[0];
    request.route_name = names[1];
    return tollgate_check(engine, &request, &decision);
}

static tollgate_status check_costs(void)
{
    tollgate_request request = request_of("made-up");
    tollgate_cost cost;
    cost.unit = str("requests");
    cost.amount = 1;
    request.costs = &cost;
    request.n_costs = 1;
    return tollgate_check(engine, &request, &decision);
}

/* A route that is not UTF-8 is copied. */
static tollgate_status check_bytes(void)
{
    tollgate_request request = request_of("made-up");
    request.route = str("GET /\xff\xfe");
    return tollgate_check(engine, &request, &decision);
}

static tollgate_status check_anonymous(void)
{
    tollgate_request request = request_of("192.0.2.1");
    request.flags = TOLLGATE_ANONYMOUS;
    request.plan = names[2];
    return tollgate_check(engine, &request, &decision);
}

static tollgate_status check_refused(void)
{
    tollgate_request request = request_of("made-up");
    tollgate_status status;
    request.cost = 10000000;
    status = tollgate_check(engine, &request, &decision);
    return status == TOLLGATE_COST_EXCEEDS_LIMIT ? TOLLGATE_OK : status;
}

static tollgate_status check_unknown(void)
{
    tollgate_request request = request_of("guessed");
    tollgate_status status = tollgate_check(engine, &request, &decision);
    return status == TOLLGATE_KEY_UNKNOWN ? TOLLGATE_OK : status;
}

static tollgate_status peek(void)
{
    tollgate_request request = request_of("made-up");
    return tollgate_peek(engine, &request, &decision);
}

static tollgate_status batch(void)
{
    tollgate_request requests[2];
    tollgate_decision decisions[2];
    requests[0] = requests[1] = request_of("made-up");
    return tollgate_check_batch(engine, requests, 2, decisions);
}

static tollgate_status all(void)
{
    tollgate_request requests[2];
    requests[0] = request_of("made-up");
    requests[1] = request_of("next");
    return tollgate_check_all(engine, requests, 2, &decision);
}

static tollgate_status intern(void)
{
    static int n;
    char text[32];
    tollgate_name name;
    sprintf(text, "name-%d", n++);
    return tollgate_intern(engine, text, strlen(text), &name);
}

static tollgate_status maintain(void) { return tollgate_maintain(engine, 0, 64, NULL); }

static tollgate_status prepare(void)
{
    tollgate_request request = request_of("made-up");
    return tollgate_prepare(engine, &request);
}

static tollgate_status others(void)
{
    uint64_t size, now;
    EXPECT(TOLLGATE_OK, tollgate_region_size(NULL, &size));
    EXPECT(TOLLGATE_OK, tollgate_now(engine, &now));
    EXPECT(TOLLGATE_OK, tollgate_clock_set(engine, now + SECOND / 100));
    CHECK(tollgate_status_name(0) && tollgate_status_message(0) && tollgate_http_status(0) == 200);
    CHECK(tollgate_version_number() && tollgate_version_string());
    return TOLLGATE_OK;
}

/* Of these the answer to a call of the row before is the same. */
static char id[32];

static tollgate_request with_id(void)
{
    static int n;
    tollgate_request request = request_of("made-up");
    sprintf(id, "id-%d", n++);
    request.id = str(id);
    request.ttl_ns = SECOND;
    return request;
}

static tollgate_status check_as(void)
{
    tollgate_request request = with_id();
    return tollgate_check(engine, &request, &decision);
}

static tollgate_status check_and_release(void)
{
    tollgate_status status = check_as();
    return status != TOLLGATE_OK ? status : tollgate_release(engine, id, strlen(id));
}

static tollgate_status check_and_refund(void)
{
    tollgate_status status = check_as();
    return status != TOLLGATE_OK ? status : tollgate_refund(engine, id, strlen(id), 0);
}

static tollgate_status reserve(void)
{
    tollgate_request request = with_id();
    return tollgate_reserve(engine, &request, &decision);
}

static tollgate_status reserve_and_settle(void)
{
    tollgate_settlement settlement;
    tollgate_status status = reserve();
    return status != TOLLGATE_OK ? status
                                 : tollgate_settle(engine, id, strlen(id), NULL, 0, 3, 0, &settlement);
}

static tollgate_status report(void)
{
    static tollgate_limit_report limits[4];
    static char headers[512], plan[32];
    tollgate_request request = request_of("made-up");
    tollgate_report report = TOLLGATE_REPORT_INIT;
    tollgate_status status;
    report.fields = TOLLGATE_FIELDS_DRAFT;
    report.limits = limits;
    report.limits_cap = 4;
    report.headers.data = headers;
    report.headers.cap = sizeof headers;
    report.plan.data = plan;
    report.plan.cap = sizeof plan;
    status = tollgate_check_report(engine, &request, &report);
    CHECK(status != TOLLGATE_OK || (report.headers.len > 0 && !strcmp(plan, "gold")));
    return status;
}

static char text[8192];
static tollgate_buf buffer(void)
{
    tollgate_buf lent = TOLLGATE_BUF_INIT;
    lent.data = text;
    lent.cap = sizeof text;
    return lent;
}

static tollgate_status key_generate(void)
{
    tollgate_buf out = buffer();
    return tollgate_key_generate("tg_", 3, &out, NULL);
}

static tollgate_status key_hash(void)
{
    tollgate_buf out = buffer();
    tollgate_pepper pepper;
    memset(&pepper, 0, sizeof pepper);
    pepper.name = str("2026a");
    pepper.secret = str("an example, not a secret");
    return tollgate_key_hash(&pepper, "abc", 3, &out, NULL);
}

/* The key that is added, switched and ended, and the one that is rotated. */
static char key_id[32], rotated[32];

static tollgate_status key_add(void)
{
    static int n;
    char name[32], value[32];
    tollgate_key key;
    tollgate_status status;
    memset(&key, 0, sizeof key);
    sprintf(name, "key-%d", n);
    sprintf(value, "value-%d", n++);
    key.id = str(name);
    key.value = str(value);
    status = tollgate_key_add(engine, "acme", 4, &key, NULL);
    if (status == TOLLGATE_OK)
        strcpy(key_id, name);
    return status;
}

static tollgate_status key_switch(void)
{
    tollgate_status status = tollgate_key_disable(engine, key_id, strlen(key_id), NULL);
    return status != TOLLGATE_OK ? status : tollgate_key_enable(engine, key_id, strlen(key_id), NULL);
}

static tollgate_status key_end(void)
{
    tollgate_status status = tollgate_key_expire(engine, key_id, strlen(key_id), NULL);
    return status != TOLLGATE_OK ? status : tollgate_key_revoke(engine, key_id, strlen(key_id), NULL);
}

static tollgate_status key_rotate(void)
{
    static int n;
    char next[32];
    tollgate_buf out = buffer();
    tollgate_status status;
    sprintf(next, "other-new-%d", n++);
    status = tollgate_key_rotate(engine, rotated, strlen(rotated), next, strlen(next), 0, 0, &out, NULL);
    if (status == TOLLGATE_OK)
        strcpy(rotated, next);
    return status;
}

static tollgate_status key_rotate_to(void)
{
    static int n;
    char next[32];
    tollgate_status status;
    sprintf(next, "other-mine-%d", n++);
    status = tollgate_key_rotate_to(engine, rotated, strlen(rotated), next, strlen(next), next, strlen(next), 0, 0,
                                    NULL);
    if (status == TOLLGATE_OK)
        strcpy(rotated, next);
    return status;
}

/* A key that there is not: the error has words, which take memory. */
static tollgate_status key_error(void)
{
    tollgate_error error;
    tollgate_status status = tollgate_key_disable(engine, "nobody's", 8, &error);
    CHECK(error.status == status);
    return status == TOLLGATE_ERR_NOT_FOUND ? TOLLGATE_OK : status;
}

static tollgate_status today(void)
{
    int32_t day;
    return tollgate_today(engine, "acme", 4, "gold", 4, &day, NULL);
}

static int32_t row(void *ctx, const tollgate_usage_row *r)
{
    *(uint64_t *)ctx += r->used;
    return 0;
}

static tollgate_status usage(void)
{
    const int32_t day = (int32_t)(START / DAY);
    uint64_t used = 0;
    tollgate_status status;
    status = tollgate_usage(engine, "acme", 4, "gold", 4, day - 89, day, 0, row, &used, NULL);
    CHECK(status != TOLLGATE_OK || used > 0);
    return status;
}

static tollgate_status grant(void)
{
    return tollgate_grant(engine, "acme", 4, "gold", 4, "day", 3, 1000000, 0, NULL);
}

static void alert(void *ctx, const tollgate_alert *a) { (void)ctx; (void)a; }
static tollgate_status alerts(void) { return tollgate_alerts(engine, alert, NULL, NULL); }

static unsigned char file[1 << 20];
static size_t file_len, file_at;

static int32_t put(void *ctx, const void *data, size_t len)
{
    (void)ctx;
    CHECK(file_len + len <= sizeof file);
    memcpy(file + file_len, data, len);
    file_len += len;
    return 0;
}

static ptrdiff_t get(void *ctx, void *buf, size_t cap)
{
    size_t n = file_len - file_at < cap ? file_len - file_at : cap;
    (void)ctx;
    memcpy(buf, file + file_at, n);
    file_at += n;
    return (ptrdiff_t)n;
}

static tollgate_status snapshot(void)
{
    file_len = 0;
    return tollgate_snapshot(engine, put, NULL, NULL);
}

static tollgate_status snapshot_save(void)
{
    static const char path[] = "/dev/null/no such folder";
    tollgate_status status = tollgate_snapshot_save(engine, path, sizeof path - 1, NULL);
    return status == TOLLGATE_ERR_IO ? TOLLGATE_OK : status;
}

static tollgate_status restore(void)
{
    file_at = 0;
    return tollgate_restore(engine, 0, get, NULL, NULL);
}

static tollgate_status metrics(void)
{
    tollgate_metrics counted = TOLLGATE_METRICS_INIT;
    tollgate_buf out = buffer();
    tollgate_status status = tollgate_metrics_get(engine, &counted);
    return status != TOLLGATE_OK ? status : tollgate_metrics_text(engine, &out);
}

enum { SOME = -1 };

static const struct { const char *name; tollgate_status (*run)(void); long allocations; } steps[] = {
    { "check", check, 0 },
    { "check by names", check_named, 0 },
    { "check with costs", check_costs, 0 },
    { "check of bytes", check_bytes, 1 },
    { "check of an anonymous subject", check_anonymous, 0 },
    { "refused check", check_refused, 0 },
    { "unknown key", check_unknown, 0 },
    { "peek", peek, 0 },
    { "prepare", prepare, 0 },
    { "check_batch", batch, 0 },
    { "check_all", all, 0 },
    { "intern", intern, 1 },
    { "maintain", maintain, 0 },
    { "others", others, 0 },
    { "check with an id", check_as, SOME },
    { "release", check_and_release, SOME },
    { "refund", check_and_refund, SOME },
    { "reserve", reserve, SOME },
    { "settle", reserve_and_settle, SOME },
    { "check_report", report, SOME },
    { "key_generate", key_generate, SOME },
    { "key_hash", key_hash, SOME },
    { "key_add", key_add, SOME },
    { "key_disable, key_enable", key_switch, SOME },
    { "key_expire, key_revoke", key_end, SOME },
    { "key_rotate", key_rotate, SOME },
    { "key_rotate_to", key_rotate_to, SOME },
    { "an error", key_error, SOME },
    { "check after a change", check, 0 },
    { "today", today, SOME },
    { "usage", usage, SOME },
    { "grant", grant, SOME },
    { "alerts", alerts, SOME },
    { "snapshot", snapshot, SOME },
    { "snapshot_save", snapshot_save, SOME },
    { "restore", restore, SOME },
    { "metrics", metrics, SOME },
};

enum { STEPS = sizeof steps / sizeof *steps };

static void create(void)
{
    engine = engine_of("[plans.gold]\n"
                       "throttle = { rate = \"100000/s\", burst = 1000000 }\n"
                       "quotas = [{ limit = 900000, per = \"day\" }]\n"
                       "[plans.free]\n"
                       "throttle = { rate = \"1000/s\", burst = 10000 }\n"
                       "[subjects.acme]\n"
                       "plans = [\"gold\"]\n"
                       "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n"
                       "[subjects.other]\n"
                       "plans = [\"gold\"]\n"
                       "keys = [{ id = \"other-1\", value = \"other\" }]\n"
                       "[subjects.next]\n"
                       "plans = [\"gold\"]\n"
                       "keys = [{ id = \"next-1\", value = \"next\" }, { id = \"next-2\", value = \"second\" }]\n");
    strcpy(key_id, "next-2");
    strcpy(rotated, "other-1");
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "pets/prod", 9, &names[0]));
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "GET /pets", 9, &names[1]));
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "free", 4, &names[2]));
}

static int changes_keys(size_t i)
{
    return steps[i].run == key_add || steps[i].run == key_rotate || steps[i].run == key_rotate_to;
}

static long one_by_one(void)
{
    long n, failed = 0;
    size_t i;

    for (i = 0; i < STEPS; i++) {
        /* A thread's first call may allocate, and a subject's first debit. */
        EXPECT(TOLLGATE_OK, steps[i].run());
        for (n = 0;; n++) {
            tollgate_status status;
            if (changes_keys(i)) {
                /* Each key that its subject has takes part in the next change. */
                tollgate_destroy(engine);
                create();
                EXPECT(TOLLGATE_OK, check());
            }
            made = 0;
            left = n;
            status = steps[i].run();
            left = -1;
            if (status != TOLLGATE_OK && status != TOLLGATE_ERR_NOMEM) {
                fprintf(stderr, "%s, allocation %ld: %s\n", steps[i].name, n + 1, tollgate_status_name(status));
                exit(1);
            }
            if (made <= n) {
                CHECK(status == TOLLGATE_OK);
                if (steps[i].allocations != SOME && n != steps[i].allocations) {
                    fprintf(stderr, "%s: %ld allocations\n", steps[i].name, n);
                    exit(1);
                }
                break;
            }
            failed++;
        }
    }
    return failed;
}

/* No allocation succeeds any more: until what is kept for that is used up, and beyond. */
static long all_at_once(void)
{
    long calls = 0;
    size_t i;

    none = 1;
    do {
        for (i = 0; i < STEPS; i++) {
            tollgate_status status;
            /* Names are for the engine's life, and few; keys make changes of keys slow. */
            if (steps[i].run == intern || (calls > 3 * STEPS && changes_keys(i)))
                continue;
            status = steps[i].run();
            if (status != TOLLGATE_OK && status != TOLLGATE_ERR_NOMEM) {
                fprintf(stderr, "%s: %s\n", steps[i].name, tollgate_status_name(status));
                exit(1);
            }
            calls++;
        }
    } while (check() == TOLLGATE_OK && calls < 10000000);
    EXPECT(TOLLGATE_ERR_NOMEM, check());
    for (i = 0; i < STEPS; i++)
        CHECK(steps[i].run == others || steps[i].run() == TOLLGATE_ERR_NOMEM);
    none = 0;
    EXPECT(TOLLGATE_OK, check());
    EXPECT(TOLLGATE_OK, key_add());
    none = 1;
    tollgate_destroy(engine);
    none = 0;
    return calls;
}

/* What grows without end, or is large at once, while only small allocations succeed. */
static void large(void)
{
    static const char plan[] = "[plans.gold]\nquotas = [{ limit = 900000000, per = \"day\" }]\n"
                               "[subjects.acme]\nplans = [\"gold\"]\n"
                               "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n";
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_config config = TOLLGATE_CONFIG_INIT;
    tollgate_request request = request_of("made-up");
    tollgate_error error;
    uint64_t ids = 0;
    tollgate_status status;

    changes.toml = str(plan);
    most = 1 << 16;
    EXPECT(TOLLGATE_ERR_NOMEM, tollgate_create(NULL, &changes, &engine, &error));
    CHECK(!strcmp(error.field, "capacity") && strstr(error.message, "plan for less"));
    config.max_alerts = 1 << 20;
    config.max_cells = config.max_lines = 100;
    EXPECT(TOLLGATE_ERR_NOMEM, tollgate_create(&config, &changes, &engine, &error));
    CHECK(!strcmp(error.field, "alerts"));

    most = (size_t)-1;
    config.max_alerts = 0;
    config.max_ids = (uint64_t)1 << 32;
    EXPECT(TOLLGATE_OK, tollgate_create(&config, &changes, &engine, &error));
    most = 1 << 16;
    do {
        char name[32];
        sprintf(name, "large-%lu", (unsigned long)ids++);
        request.id = str(name);
        request.ttl_ns = SECOND;
        status = tollgate_reserve(engine, &request, &decision);
    } while (status == TOLLGATE_OK && ids < 10000000);
    EXPECT(TOLLGATE_ERR_NOMEM, status);
    CHECK(ids > 10000 && decision.status == TOLLGATE_ERR_NOMEM);
    most = (size_t)-1;
    EXPECT(TOLLGATE_OK, tollgate_reserve(engine, &request, &decision));
    most = 1 << 16;
    tollgate_destroy(engine);
    most = (size_t)-1;
}

static void *run(void *ctx)
{
    long *numbers = ctx;
    create();
    numbers[0] = one_by_one();
    tollgate_destroy(engine);
    create();
    EXPECT(TOLLGATE_OK, check());
    numbers[1] = all_at_once();
    /* What was kept is all there again. */
    create();
    EXPECT(TOLLGATE_OK, check());
    none = 1;
    EXPECT(TOLLGATE_OK, key_add());
    none = 0;
    tollgate_destroy(engine);
    large();
    return NULL;
}

int main(void)
{
    pthread_t thread;
    long numbers[2], before;
    int i;

    /* The first time whatever stays for the life of the program is made. */
    for (i = 0; i < 2; i++) {
        before = alive;
        CHECK(!pthread_create(&thread, NULL, run, numbers));
        CHECK(!pthread_join(thread, NULL));
    }
    if (alive != before) {
        fprintf(stderr, "%ld allocations leaked\n", alive - before);
        return 1;
    }
    printf("%ld allocations failed one by one, and all in %ld calls: none ended the program, none leaked\n",
           numbers[0], numbers[1]);
    return 0;
}
