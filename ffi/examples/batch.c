/* A log of requests decided in batches: an anonymous subject per address, the time from the log. */
#include <stdio.h>
#include <string.h>

#include <tollgate.h>

enum { BATCH = 16, REQUESTS = 1000 };

static const char plans[] = "[plans.visitors]\nthrottle = { rate = \"5/s\", burst = 10 }\n";

int main(void)
{
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_request requests[BATCH];
    tollgate_decision decisions[BATCH];
    char addresses[BATCH][16];
    tollgate_engine *engine;
    tollgate_error error;
    tollgate_name visitors;
    unsigned allowed = 0, refused = 0, n, i;
    const uint64_t start = (uint64_t)1780272000 * 1000000000;

    changes.toml.data = plans;
    changes.toml.len = strlen(plans);
    if (tollgate_create(NULL, &changes, &engine, &error) != TOLLGATE_OK
        || tollgate_intern(engine, "visitors", 8, &visitors) != TOLLGATE_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }

    for (n = 0; n < REQUESTS; n += BATCH) {
        for (i = 0; i < BATCH; i++) {
            const tollgate_request fresh = TOLLGATE_REQUEST_INIT;
            requests[i] = fresh;
            /* Address .0 sends half of everything. */
            sprintf(addresses[i], "192.0.2.%u", (n + i) % 2 ? (n + i) % 100 : 0);
            requests[i].key.data = addresses[i];
            requests[i].key.len = strlen(addresses[i]);
            requests[i].flags = TOLLGATE_ANONYMOUS;
            requests[i].plan = visitors;
            requests[i].now_ns = start + (uint64_t)(n + i) * 10000000; /* 100 a second */
        }
        if (tollgate_check_batch(engine, requests, BATCH, decisions) < 0) {
            fprintf(stderr, "not decided\n");
            return 1;
        }
        for (i = 0; i < BATCH; i++)
            decisions[i].status == TOLLGATE_OK ? allowed++ : refused++;
    }
    printf("allowed %u, refused %u\n", allowed, refused);
    tollgate_destroy(engine);
    return 0;
}
