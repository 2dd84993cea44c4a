/* What a call will cost is only known afterwards: reserve the most, settle what it was. */
#include <stdio.h>
#include <string.h>

#include <tollgate.h>

static const char plans[] =
    "[plans.llm]\n"
    "quotas = [{ limit = 1000, per = \"day\", unit = \"tokens\" }]\n"
    "[subjects.acme]\n"
    "plans = [\"llm\"]\n"
    "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n";

/* Stands for the model: gives how many tokens the answer had. */
static uint64_t answer(int n) { return 100 + 50 * (uint64_t)n; }

int main(void)
{
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_request request = TOLLGATE_REQUEST_INIT;
    tollgate_settlement settlement;
    tollgate_decision decision;
    tollgate_engine *engine;
    tollgate_error error;
    tollgate_cost most, actual;
    char id[16];
    int n;

    changes.toml.data = plans;
    changes.toml.len = strlen(plans);
    if (tollgate_create(NULL, &changes, &engine, &error) != TOLLGATE_OK) {
        fprintf(stderr, "%s\n", error.message);
        return 1;
    }
    most.unit.data = "tokens";
    most.unit.len = 6;
    most.amount = 400;
    actual = most;

    for (n = 0; n < 8; n++) {
        sprintf(id, "answer-%d", n);
        request.key.data = "made-up";
        request.key.len = 7;
        request.costs = &most;
        request.n_costs = 1;
        request.id.data = id;
        request.id.len = strlen(id);
        request.ttl_ns = (uint64_t)60 * 1000000000;
        if (tollgate_reserve(engine, &request, &decision) != TOLLGATE_OK) {
            printf("%s: %s\n", id, tollgate_status_name(decision.status));
            break;
        }
        actual.amount = answer(n);
        if (tollgate_settle(engine, id, strlen(id), &actual, 1, 0, 0, &settlement) != TOLLGATE_OK)
            return 1;
        printf("%s: reserved 400, used %u\n", id, (unsigned)actual.amount);
    }
    tollgate_destroy(engine);
    return 0;
}
