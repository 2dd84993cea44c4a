/* What the test programs share. */
#ifndef CHECK_H
#define CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tollgate.h"

/* Also in builds with NDEBUG. */
#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);        \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

/* The status of a call, with its name where it is another one. */
#define EXPECT(status, call)                                                               \
    do {                                                                                   \
        tollgate_status got_ = (call);                                                     \
        if (got_ != (status)) {                                                            \
            fprintf(stderr, "%s:%d: %s gave %s\n", __FILE__, __LINE__, #call,              \
                    tollgate_status_name(got_));                                           \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#define SECOND ((uint64_t)1000000000u)
#define DAY (86400u * SECOND)
/* 2026-06-01T00:00:00Z, a Monday. */
#define START (1780272000u * SECOND)

static tollgate_str str(const char *text)
{
    tollgate_str lent = TOLLGATE_STR_INIT;
    lent.data = text;
    lent.len = strlen(text);
    return lent;
}

/* An engine whose clock stands at START. */
static tollgate_engine *engine_of(const char *toml)
{
    tollgate_config config = TOLLGATE_CONFIG_INIT;
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_engine *engine = NULL;
    tollgate_error error;

    config.flags = TOLLGATE_CONFIG_MANUAL_CLOCK;
    config.start_ns = START;
    config.max_cells = 10000;
    config.max_lines = 10000;
    changes.toml = str(toml);
    if (tollgate_create(&config, &changes, &engine, &error) != TOLLGATE_OK) {
        fprintf(stderr, "%s\n", error.message);
        exit(1);
    }
    return engine;
}

static tollgate_request request_of(const char *key)
{
    tollgate_request request = TOLLGATE_REQUEST_INIT;
    request.key = str(key);
    return request;
}

#endif
