/* Batches, preparation, single keys, metrics. */
#include "check.h"

static const char PLANS[] =
    "[plans.free]\n"
    "throttle = { rate = \"1/s\", burst = 2 }\n"
    "[plans.gold]\n"
    "quotas = [{ limit = 20, per = \"day\" }]\n"
    "[plans.gold.routes.\"GET /slow/*\"]\n"
    "throttle = { rate = \"1/m\", burst = 1 }\n"
    "[plans.watched]\n"
    "observe = true\n"
    "throttle = { rate = \"1/m\", burst = 1 }\n"
    "[subjects.acme]\n"
    "plans = [\"gold\"]\n"
    "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n";

enum { MANY = 100 };

/* Requests of every kind, right and wrong: whatever they are, a batch is as good as one after the other. */
static void batch_is_one_after_the_other(void)
{
    tollgate_engine *together = engine_of(PLANS), *apart = engine_of(PLANS);
    tollgate_request requests[MANY];
    tollgate_decision out[MANY + 1], one;
    tollgate_name free_plan, slow, watched;
    tollgate_cost cost;
    tollgate_status first = TOLLGATE_OK, status;
    char addresses[MANY][16], ids[MANY][16];
    int i, seen[40] = { 0 };

    EXPECT(TOLLGATE_OK, tollgate_intern(together, "free", 4, &free_plan));
    EXPECT(TOLLGATE_OK, tollgate_intern(apart, "free", 4, &free_plan));
    EXPECT(TOLLGATE_OK, tollgate_intern(together, "GET /slow/b", 11, &slow));
    EXPECT(TOLLGATE_OK, tollgate_intern(apart, "GET /slow/b", 11, &slow));
    EXPECT(TOLLGATE_OK, tollgate_intern(together, "watched", 7, &watched));
    EXPECT(TOLLGATE_OK, tollgate_intern(apart, "watched", 7, &watched));
    cost.unit = str("requests");
    cost.amount = 2;
    for (i = 0; i < MANY; i++) {
        requests[i] = request_of("made-up");
        sprintf(addresses[i], "192.0.2.%d", i % 7);
        sprintf(ids[i], "id-%d", i % 22);
        requests[i].now_ns = i % 3 ? START + (uint64_t)i * (SECOND / 10) : 0;
        switch (i % 11) {
        case 0: case 1: case 2: case 3: case 4:
            requests[i].key = str(addresses[i]);
            requests[i].flags = TOLLGATE_ANONYMOUS;
            requests[i].plan = i % 2 ? free_plan : watched;
            break;
        case 5: requests[i].route_name = slow; break;
        case 6: requests[i].route = str("GET /slow/\xff"); break;
        case 7: requests[i].costs = &cost; requests[i].n_costs = 1; break;
        case 8: requests[i].id = str(ids[i]); break;
        case 9: requests[i].flags = i % 2 ? TOLLGATE_PEEK : 0x4000u; break;
        default: requests[i].key = str("guessed");
        }
    }
    memset(out, 0x5a, sizeof out);
    status = tollgate_check_batch(together, requests, MANY, out);
    for (i = 0; i < MANY; i++) {
        tollgate_status alone = tollgate_check(apart, &requests[i], &one);
        CHECK(!memcmp(&out[i], &one, sizeof one));
        CHECK(one.status == alone);
        seen[one.status + 20] = 1;
        if (first == TOLLGATE_OK)
            first = alone;
    }
    CHECK(status == first && status != TOLLGATE_OK);
    CHECK(seen[20 + TOLLGATE_OK] && seen[20 + TOLLGATE_THROTTLED] && seen[20 + TOLLGATE_QUOTA_EXCEEDED]);
    CHECK(seen[20 + TOLLGATE_KEY_UNKNOWN] && seen[20 + TOLLGATE_ERR_ARGUMENT] && seen[20 + TOLLGATE_ERR_EXISTS]);
    CHECK(out[MANY].status == 0x5a5a5a5a);
    tollgate_destroy(together);
    tollgate_destroy(apart);
}

static void preparation_takes_nothing(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    tollgate_request request = request_of("192.0.2.1");
    tollgate_decision decision;
    int i;

    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "free", 4, &request.plan));
    request.flags = TOLLGATE_ANONYMOUS;
    for (i = 0; i < 10; i++)
        EXPECT(TOLLGATE_OK, tollgate_prepare(engine, &request));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_prepare(engine, &request));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    request.plan = 77;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_prepare(engine, &request));
    request = request_of("made-up");
    request.route = str("GET /slow/\xff");
    EXPECT(TOLLGATE_OK, tollgate_prepare(engine, &request));
    tollgate_destroy(engine);
}

static void keys_are_added(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    tollgate_request request = request_of("second");
    tollgate_decision decision;
    tollgate_error error;
    tollgate_key key;

    memset(&key, 0, sizeof key);
    key.id = str("acme-2");
    key.value = str("second");
    EXPECT(TOLLGATE_KEY_UNKNOWN, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_key_add(engine, "acme", 4, &key, &error));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    request.key = str("made-up");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_ERR_EXISTS, tollgate_key_add(engine, "acme", 4, &key, &error));
    CHECK(!strcmp(error.field, "key.id"));
    key.id = str("acme-3");
    EXPECT(TOLLGATE_ERR_EXISTS, tollgate_key_add(engine, "acme", 4, &key, &error));
    CHECK(!strcmp(error.field, "key") && !strstr(error.message, "second"));
    key.value = str("third");
    key.state = TOLLGATE_KEY_OFF;
    EXPECT(TOLLGATE_ERR_NOT_FOUND, tollgate_key_add(engine, "nobody", 6, &key, &error));
    CHECK(!strcmp(error.field, "subject"));
    EXPECT(TOLLGATE_OK, tollgate_key_add(engine, "acme", 4, &key, NULL));
    request.key = str("third");
    EXPECT(TOLLGATE_KEY_DISABLED, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_key_enable(engine, "acme-3", 6, NULL));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    tollgate_destroy(engine);
}

static void metrics(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    tollgate_request request = request_of("192.0.2.1");
    tollgate_metrics seen = TOLLGATE_METRICS_INIT;
    struct { tollgate_metrics known; uint64_t newer; } grown;
    tollgate_decision decision;
    tollgate_buf buffer = TOLLGATE_BUF_INIT;
    char text[8192];
    size_t needed;
    int i;

    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "free", 4, &request.plan));
    request.flags = TOLLGATE_ANONYMOUS;
    for (i = 0; i < 5; i++)
        CHECK(tollgate_check(engine, &request, &decision) >= 0);
    request.flags = 0;
    request.plan = 0;
    EXPECT(TOLLGATE_KEY_UNKNOWN, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_metrics_get(engine, &seen));
    CHECK(seen.ok == 2 && seen.throttled == 3 && seen.key_unknown == 1 && seen.quota_exceeded == 0);
    CHECK(seen.cells >= 1 && seen.max_cells >= 10000 && seen.lines >= 1 && seen.ids == 0);
    CHECK(seen.struct_size == sizeof seen);

    /* Of an older header, and of a newer one. */
    memset(&seen, 0x5a, sizeof seen);
    seen.struct_size = offsetof(tollgate_metrics, delayed);
    EXPECT(TOLLGATE_OK, tollgate_metrics_get(engine, &seen));
    CHECK(seen.ok == 2 && seen.delayed == 0x5a5a5a5a5a5a5a5au);
    memset(&grown, 0, sizeof grown);
    grown.known.struct_size = sizeof grown;
    EXPECT(TOLLGATE_OK, tollgate_metrics_get(engine, &grown.known));
    CHECK(grown.known.throttled == 3 && grown.newer == 0 && grown.known.struct_size == sizeof grown);

    EXPECT(TOLLGATE_ERR_BUFFER, tollgate_metrics_text(engine, &buffer));
    needed = buffer.len;
    CHECK(needed > 100 && needed < sizeof text);
    buffer.data = text;
    buffer.cap = needed;
    EXPECT(TOLLGATE_ERR_BUFFER, tollgate_metrics_text(engine, &buffer));
    CHECK(text[0] == 0);
    buffer.cap = needed + 1;
    EXPECT(TOLLGATE_OK, tollgate_metrics_text(engine, &buffer));
    CHECK(buffer.len == needed && strlen(text) == needed);
    CHECK(strstr(text, "tollgate_decisions_total{plan=\"free\",verdict=\"throttled\"} 3\n"));
    tollgate_destroy(engine);
}

int main(void)
{
    batch_is_one_after_the_other();
    preparation_takes_nothing();
    keys_are_added();
    metrics();
    return 0;
}
