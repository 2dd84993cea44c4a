/* Allocation number 1, 2, ... fails, one by one, in every function that is not marked [oom]: the answer is the right one
 * or TOLLGATE_ERR_NOMEM, and nothing is leaked. glibc only: this program's malloc() stands before the library's. */
#define _GNU_SOURCE
#include <errno.h>

#include "check.h"

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
extern void __libc_free(void *);

/* How many allocations are still to succeed, if they are counted at all; how many were made; how many are alive. */
static long left = -1, made, alive;

static int fails(void)
{
    made++;
    return left >= 0 && left-- == 0;
}

static void *counted(void *memory)
{
    alive += memory != NULL;
    return memory;
}

void *malloc(size_t n) { return fails() ? NULL : counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t m) { return fails() ? NULL : counted(__libc_calloc(n, m)); }
void *memalign(size_t a, size_t n) { return fails() ? NULL : counted(__libc_memalign(a, n)); }
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
    if (fails())
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
    request.cost = 1000000;
    return tollgate_check(engine, &request, &decision) == TOLLGATE_COST_EXCEEDS_LIMIT ? TOLLGATE_OK
                                                                                      : TOLLGATE_DENIED;
}

static tollgate_status check_unknown(void)
{
    tollgate_request request = request_of("guessed");
    return tollgate_check(engine, &request, &decision) == TOLLGATE_KEY_UNKNOWN ? TOLLGATE_OK : TOLLGATE_DENIED;
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
    requests[1] = request_of("other");
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
static tollgate_status release(void)
{
    return tollgate_release(engine, "none", 4) == TOLLGATE_ERR_NOT_FOUND ? TOLLGATE_OK : TOLLGATE_DENIED;
}

static tollgate_status others(void)
{
    uint64_t size, now;
    EXPECT(TOLLGATE_OK, tollgate_region_size(NULL, &size));
    EXPECT(TOLLGATE_OK, tollgate_now(engine, &now));
    EXPECT(TOLLGATE_OK, tollgate_clock_set(engine, now + SECOND));
    CHECK(tollgate_status_name(0) && tollgate_status_message(0) && tollgate_http_status(0) == 200);
    CHECK(tollgate_version_number() && tollgate_version_string());
    return TOLLGATE_OK;
}

static const struct { const char *name; tollgate_status (*run)(void); long allocations; } steps[] = {
    { "check", check, 0 },
    { "check by names", check_named, 0 },
    { "check with costs", check_costs, 0 },
    { "check of bytes", check_bytes, 1 },
    { "check of an anonymous subject", check_anonymous, 0 },
    { "refused check", check_refused, 0 },
    { "unknown key", check_unknown, 0 },
    { "peek", peek, 0 },
    { "check_batch", batch, 0 },
    { "check_all", all, 0 },
    { "intern", intern, 1 },
    { "maintain", maintain, 0 },
    { "release", release, 0 },
    { "others", others, 0 },
};

int main(void)
{
    size_t i;
    long n, before, failed = 0;

    engine = engine_of("[plans.gold]\n"
                       "throttle = { rate = \"1000/s\", burst = 10000 }\n"
                       "quotas = [{ limit = 100000, per = \"day\" }]\n"
                       "[plans.free]\n"
                       "throttle = { rate = \"1000/s\", burst = 10000 }\n"
                       "[subjects.acme]\n"
                       "plans = [\"gold\"]\n"
                       "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n"
                       "[subjects.other]\n"
                       "plans = [\"gold\"]\n"
                       "keys = [{ id = \"other-1\", value = \"other\" }]\n");
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "pets/prod", 9, &names[0]));
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "GET /pets", 9, &names[1]));
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "free", 4, &names[2]));
    for (i = 0; i < sizeof steps / sizeof *steps; i++) {
        /* A thread's first call may allocate, and a subject's first debit. */
        EXPECT(TOLLGATE_OK, steps[i].run());
        for (n = 0;; n++) {
            tollgate_status status;
            before = alive;
            made = 0;
            left = n;
            status = steps[i].run();
            left = -1;
            if (made <= n) {
                CHECK(status == TOLLGATE_OK);
                CHECK(n == steps[i].allocations);
                break;
            }
            CHECK(status == TOLLGATE_ERR_NOMEM);
            CHECK(alive == before);
            failed++;
        }
    }
    printf("%ld allocations failed, none aborted, none leaked\n", failed);
    tollgate_destroy(engine);
    return 0;
}
