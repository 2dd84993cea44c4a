/* Threads that check, change and report at once: what is admitted is exactly the quota; of a throttle that is lent no more
   than the burst, and at most an eighth less. */
#include <pthread.h>

#include "check.h"

enum { THREADS = 8, ROUNDS = 2000, QUOTA = 5000, BURST = 4800 };

static tollgate_engine *engine;

static void *check(void *ctx)
{
    tollgate_request request = request_of("made-up");
    tollgate_decision decision;
    long *admitted = ctx;
    int i;

    request.now_ns = START;
    for (i = 0; i < ROUNDS; i++) {
        tollgate_status status = tollgate_check(engine, &request, &decision);
        CHECK(status == TOLLGATE_OK || status == TOLLGATE_QUOTA_EXCEEDED || status == TOLLGATE_THROTTLED);
        *admitted += status == TOLLGATE_OK;
    }
    return NULL;
}

static void *change(void *ctx)
{
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_report report = TOLLGATE_REPORT_INIT;
    tollgate_request request = request_of("made-up");
    char text[64];
    tollgate_metrics metrics = TOLLGATE_METRICS_INIT;
    tollgate_request many[20];
    tollgate_decision decisions[20];
    tollgate_key key;
    tollgate_name name;
    uint32_t emptied;
    int k;
    int i;

    (void)ctx;
    request.flags = TOLLGATE_PEEK;
    memset(&key, 0, sizeof key);
    for (k = 0; k < 20; k++) {
        many[k] = request_of("made-up");
        many[k].cost = 0;
    }
    for (i = 0; i < 50; i++) {
        sprintf(text, "[plans.other-%d]\nthrottle = { rate = \"1/s\", burst = 1 }\n", i);
        changes.toml = str(text);
        EXPECT(TOLLGATE_OK, tollgate_apply(engine, &changes, START, NULL));
        sprintf(text, "other-%d", i);
        EXPECT(TOLLGATE_OK, tollgate_intern(engine, text, strlen(text), &name));
        CHECK(tollgate_check_report(engine, &request, &report) >= 0);
        EXPECT(TOLLGATE_OK, tollgate_maintain(engine, START, 10, &emptied));
        EXPECT(TOLLGATE_OK, tollgate_prepare(engine, &many[0]));
        EXPECT(TOLLGATE_OK, tollgate_check_batch(engine, many, 20, decisions));
        EXPECT(TOLLGATE_OK, tollgate_metrics_get(engine, &metrics));
        key.id = key.value = str(text);
        EXPECT(TOLLGATE_OK, tollgate_key_add(engine, "acme", 4, &key, NULL));
        EXPECT(TOLLGATE_OK, tollgate_key_revoke(engine, text, strlen(text), NULL));
        request.id = key.id;
        request.flags = TOLLGATE_RESERVE;
        request.cost = 0;
        EXPECT(TOLLGATE_OK, tollgate_reserve(engine, &request, &decisions[0]));
        EXPECT(TOLLGATE_OK, tollgate_settle(engine, text, strlen(text), NULL, 0, 0, START, NULL));
        request.flags = TOLLGATE_PEEK;
    }
    return NULL;
}

static void lend(void)
{
    tollgate_config config = TOLLGATE_CONFIG_INIT;
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    pthread_t threads[THREADS];
    long admitted[THREADS] = { 0 }, sum = 0;
    int i;

    config.flags = TOLLGATE_CONFIG_MANUAL_CLOCK | TOLLGATE_CONFIG_LEASES;
    config.start_ns = START;
    changes.toml = str("[plans.gold]\n"
                       "throttle = { rate = \"1/s\", burst = 4800 }\n"
                       "[subjects.acme]\n"
                       "plans = [\"gold\"]\n"
                       "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n");
    EXPECT(TOLLGATE_OK, tollgate_create(&config, &changes, &engine, NULL));
    for (i = 0; i < THREADS; i++)
        CHECK(!pthread_create(&threads[i], NULL, check, &admitted[i]));
    for (i = 0; i < THREADS; i++) {
        CHECK(!pthread_join(threads[i], NULL));
        sum += admitted[i];
    }
    CHECK(sum <= BURST && sum >= BURST - BURST / 8);
    tollgate_destroy(engine);
}

int main(void)
{
    pthread_t threads[THREADS], changer;
    long admitted[THREADS] = { 0 }, sum = 0;
    int i;

    engine = engine_of("[plans.gold]\n"
                       "quotas = [{ limit = 5000, per = \"day\" }]\n"
                       "[subjects.acme]\n"
                       "plans = [\"gold\"]\n"
                       "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n");
    CHECK(!pthread_create(&changer, NULL, change, NULL));
    for (i = 0; i < THREADS; i++)
        CHECK(!pthread_create(&threads[i], NULL, check, &admitted[i]));
    for (i = 0; i < THREADS; i++) {
        CHECK(!pthread_join(threads[i], NULL));
        sum += admitted[i];
    }
    CHECK(!pthread_join(changer, NULL));
    CHECK(sum == QUOTA);
    tollgate_destroy(engine);

    lend();
    return 0;
}
