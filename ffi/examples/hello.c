/* One plan, one key, four requests.
 *
 *     cc hello.c $(pkg-config --cflags --libs tollgate) && ./a.out
 */
#include <stdio.h>

#include <tollgate.h>

static const char plans[] =
    "[plans.free]\n"
    "throttle = { rate = \"3/m\", burst = 3 }\n"
    "\n"
    "[subjects.acme]\n"
    "plans = [\"free\"]\n"
    "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n";

int main(void)
{
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_request request = TOLLGATE_REQUEST_INIT;
    tollgate_decision decision;
    tollgate_engine *engine;
    tollgate_error error;
    int i;

    if (!tollgate_abi_ok()) {
        fprintf(stderr, "libtollgate %s does not fit its header\n", tollgate_version_string());
        return 1;
    }
    changes.toml.data = plans;
    changes.toml.len = sizeof plans - 1;
    if (tollgate_create(NULL, &changes, &engine, &error) != TOLLGATE_OK) {
        fprintf(stderr, "plans: %s\n", error.message);
        return 1;
    }

    request.key.data = "made-up";
    request.key.len = 7;
    for (i = 0; i < 4; i++) {
        tollgate_status status = tollgate_check(engine, &request, &decision);
        printf("%s, HTTP %d", tollgate_status_message(status), (int)tollgate_http_status(status));
        if (status > 0 && decision.retry_after_ns != TOLLGATE_NEVER)
            printf(", again in %.3f s", (double)decision.retry_after_ns / 1e9);
        printf("\n");
    }
    tollgate_destroy(engine);
    return 0;
}
