/* What each function does, on a clock that stands still. */
#include "check.h"

static const char PLANS[] =
    "[plans.gold]\n"
    "throttle = { rate = \"1/s\", burst = 2 }\n"
    "quotas = [{ limit = 10, per = \"day\" }]\n"
    "[plans.gold.routes.\"GET /slow/*\"]\n"
    "throttle = { rate = \"1/m\", burst = 1 }\n"
    "[plans.free]\n"
    "quotas = [{ limit = 3, per = \"day\" }]\n"
    "[plans.patient]\n"
    "throttle = { rate = \"1/s\", burst = 1, mode = { delay = \"2s\" } }\n"
    "[plans.watched]\n"
    "observe = true\n"
    "quotas = [{ limit = 1, per = \"day\" }]\n"
    "[plans.tokens]\n"
    "stages = [\"llm/prod\"]\n"
    "quotas = [{ limit = 1000, per = \"month\", unit = \"tokens\" }]\n"
    "[subjects.acme]\n"
    "plans = [\"gold\"]\n"
    "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n"
    "[subjects.wait]\n"
    "plans = [\"patient\"]\n"
    "keys = [{ id = \"wait-1\", value = \"wait\" }]\n"
    "[subjects.watched]\n"
    "plans = [\"watched\"]\n"
    "keys = [{ id = \"watched-1\", value = \"watch\" }]\n"
    "[subjects.llm]\n"
    "plans = [\"tokens\"]\n"
    "keys = [{ id = \"llm-1\", value = \"llm\" }]\n";

static void checks(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    tollgate_request request = request_of("made-up");
    tollgate_decision decision;
    tollgate_request both[2];
    tollgate_decision answers[4];
    tollgate_request four[4];
    uint64_t now = 0;
    int i;

    EXPECT(TOLLGATE_OK, tollgate_now(engine, &now));
    CHECK(now == START);
    EXPECT(TOLLGATE_OK, tollgate_peek(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    CHECK(decision.retry_after_ns == 0 && decision.delay_ns == 0 && decision.flags == 0);
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    CHECK(decision.status == TOLLGATE_THROTTLED && decision.retry_after_ns == SECOND);
    request.now_ns = START + SECOND;
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    request.now_ns = 0;
    EXPECT(TOLLGATE_OK, tollgate_clock_set(engine, START + 100 * SECOND));
    request.cost = 3;
    EXPECT(TOLLGATE_COST_EXCEEDS_LIMIT, tollgate_check(engine, &request, &decision));
    CHECK(decision.retry_after_ns == TOLLGATE_NEVER);
    request.cost = 0;
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    request.cost = 1;
    request.flags = TOLLGATE_PEEK;
    for (i = 0; i < 5; i++)
        EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    request.flags = 0;

    /* Routes: as text, as a name, with bytes that are not UTF-8. */
    request.route = str("GET /slow/a?b=c");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    request.route = str("GET /slow/\xff");
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    request.route = str("");
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "GET /slow/b", 11, &request.route_name));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    request.route_name = 0;
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));

    /* Keys that are none. */
    request = request_of("guessed");
    EXPECT(TOLLGATE_KEY_UNKNOWN, tollgate_check(engine, &request, &decision));
    CHECK(tollgate_http_status(decision.status) == 403);
    request.key.len = 0;
    EXPECT(TOLLGATE_KEY_MISSING, tollgate_check(engine, &request, &decision));

    /* A delay is a success. */
    request = request_of("wait");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    CHECK(decision.delay_ns == SECOND);

    /* A dry run. */
    request = request_of("watch");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    CHECK(decision.flags == TOLLGATE_OBSERVED);
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    CHECK(decision.flags == (TOLLGATE_OBSERVED | TOLLGATE_WOULD_DENY));

    /* Anonymous subjects: by a plan's name, and for keys that are unknown. */
    request = request_of("192.0.2.1");
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "free", 4, &request.plan));
    request.flags = TOLLGATE_ANONYMOUS;
    for (i = 0; i < 3; i++)
        EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_QUOTA_EXCEEDED, tollgate_check(engine, &request, &decision));
    request.flags = TOLLGATE_OR_ANONYMOUS;
    EXPECT(TOLLGATE_QUOTA_EXCEEDED, tollgate_check(engine, &request, &decision));
    request.key = str("192.0.2.2");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));

    /* Stages and costs by unit. */
    request = request_of("llm");
    EXPECT(TOLLGATE_NO_PLAN_FOR_STAGE, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_intern(engine, "llm/prod", 8, &request.stage_name));
    {
        tollgate_cost costs[2];
        costs[0].unit = str("requests");
        costs[0].amount = 1;
        costs[1].unit = str("tokens");
        costs[1].amount = 700;
        request.costs = costs;
        request.n_costs = 2;
        EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
        EXPECT(TOLLGATE_QUOTA_EXCEEDED, tollgate_check(engine, &request, &decision));
    }

    /* Several at once: all or none; and several in a row. */
    EXPECT(TOLLGATE_OK, tollgate_clock_set(engine, START + DAY));
    both[0] = request_of("made-up");
    both[1] = request_of("wait");
    both[1].cost = 100;
    EXPECT(TOLLGATE_COST_EXCEEDS_LIMIT, tollgate_check_all(engine, both, 2, &decision));
    both[1].cost = 1;
    EXPECT(TOLLGATE_OK, tollgate_check_all(engine, both, 2, &decision));
    EXPECT(TOLLGATE_OK, tollgate_clock_set(engine, START + 2 * DAY));
    for (i = 0; i < 4; i++)
        four[i] = request_of(i == 1 ? "guessed" : "made-up");
    EXPECT(TOLLGATE_KEY_UNKNOWN, tollgate_check_batch(engine, four, 4, answers));
    CHECK(answers[0].status == TOLLGATE_OK && answers[1].status == TOLLGATE_KEY_UNKNOWN);
    CHECK(answers[2].status == TOLLGATE_OK && answers[3].status == TOLLGATE_THROTTLED);
    EXPECT(TOLLGATE_OK, tollgate_check_batch(engine, four, 0, NULL));
    tollgate_destroy(engine);
}

static void reports(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    tollgate_request request = request_of("made-up");
    tollgate_report report = TOLLGATE_REPORT_INIT;
    tollgate_limit_report limits[4];
    char headers[512], plan[32], subject[32], key_id[32], small[8];

    request.cost = 2;
    report.fields = TOLLGATE_FIELDS_DRAFT;
    report.limits = limits;
    report.limits_cap = 4;
    report.headers.data = headers;
    report.headers.cap = sizeof headers;
    report.plan.data = plan;
    report.plan.cap = sizeof plan;
    report.subject.data = subject;
    report.subject.cap = sizeof subject;
    report.key_id.data = key_id;
    report.key_id.cap = sizeof key_id;
    EXPECT(TOLLGATE_OK, tollgate_check_report(engine, &request, &report));
    CHECK(report.limits_len == 2 && report.decision.violated == 0);
    CHECK(!strcmp(limits[0].name, "throttle") && limits[0].kind == TOLLGATE_THROTTLE);
    CHECK(limits[0].limit == 2 && limits[0].remaining == 0 && limits[0].reset_ns == 2 * SECOND);
    CHECK(!strcmp(limits[1].name, "day") && limits[1].remaining == 8 && limits[1].window_ns == DAY);
    CHECK(!strcmp(plan, "gold") && !strcmp(subject, "acme") && !strcmp(key_id, "acme-1"));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check_report(engine, &request, &report));
    CHECK(report.decision.violated == 1 && limits[0].violated == 1 && limits[1].violated == 0);
    CHECK(!strcmp(headers,
                  "Retry-After: 2\r\n"
                  "RateLimit-Policy: \"throttle\";q=2;w=2, \"day\";q=10;w=86400\r\n"
                  "RateLimit: \"throttle\";r=0;t=2, \"day\";r=8;t=86400\r\n"));
    CHECK(report.headers.len == strlen(headers));

    /* What does not fit is measured, and changes nothing of the decision. */
    report.headers.data = small;
    report.headers.cap = sizeof small;
    report.limits_cap = 1;
    limits[1].remaining = 77;
    EXPECT(TOLLGATE_THROTTLED, tollgate_check_report(engine, &request, &report));
    CHECK(report.headers.len == strlen(headers) && small[0] == 0);
    CHECK(report.limits_len == 2 && limits[1].remaining == 77);

    /* A caller whose header knew the beginning of the struct only. */
    memset(&report, 0x5a, sizeof report);
    memset(&report, 0, offsetof(tollgate_report, limits_len));
    report.struct_size = offsetof(tollgate_report, limits_len);
    EXPECT(TOLLGATE_THROTTLED, tollgate_check_report(engine, &request, &report));
    CHECK(report.decision.status == TOLLGATE_THROTTLED);
    CHECK(report.limits_len == (size_t)0x5a5a5a5a5a5a5a5au);
    tollgate_destroy(engine);
}

static void reservations(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    tollgate_request request = request_of("llm");
    tollgate_decision decision;
    tollgate_settlement settlement;

    request.stage = str("llm/prod");
    request.cost = 900;
    request.id = str("answer-1");
    request.ttl_ns = 60 * SECOND;
    EXPECT(TOLLGATE_OK, tollgate_reserve(engine, &request, &decision));
    EXPECT(TOLLGATE_ERR_EXISTS, tollgate_reserve(engine, &request, &decision));
    CHECK(decision.status == TOLLGATE_ERR_EXISTS);
    request.id = str("answer-2");
    EXPECT(TOLLGATE_QUOTA_EXCEEDED, tollgate_reserve(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_settle(engine, "answer-1", 8, NULL, 0, 100, 0, &settlement));
    CHECK(settlement.late == 0 && settlement.overdraft == 0);
    EXPECT(TOLLGATE_ERR_CLOSED, tollgate_settle(engine, "answer-1", 8, NULL, 0, 100, 0, NULL));
    EXPECT(TOLLGATE_ERR_NOT_FOUND, tollgate_settle(engine, "answer-2", 8, NULL, 0, 100, 0, NULL));
    EXPECT(TOLLGATE_OK, tollgate_reserve(engine, &request, &decision));
    EXPECT(TOLLGATE_OK,
           tollgate_settle(engine, "answer-2", 8, NULL, 0, 1000, START + 60 * SECOND, &settlement));
    CHECK(settlement.late == 1 && settlement.overdraft == 100);

    request = request_of("made-up");
    request.cost = 2;
    request.id = str("call");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_release(engine, "call", 4));
    EXPECT(TOLLGATE_ERR_CLOSED, tollgate_release(engine, "call", 4));
    EXPECT(TOLLGATE_OK, tollgate_refund(engine, "call", 4, 0));
    EXPECT(TOLLGATE_ERR_CLOSED, tollgate_refund(engine, "call", 4, 0));
    EXPECT(TOLLGATE_ERR_NOT_FOUND, tollgate_refund(engine, "other", 5, 0));
    request.id = str("again");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    tollgate_destroy(engine);
}

/* Slots and reservations of requests that are decided as one. */
static void together(void)
{
    static const char plans[] =
        "[plans.two]\n"
        "concurrency = { limit = 2 }\n"
        "quotas = [{ limit = 100, per = \"day\", unit = \"bytes\" }]\n"
        "[plans.one]\n"
        "concurrency = { limit = 1 }\n"
        "[plans.one.routes.\"GET /slow\"]\n"
        "[plans.plain]\n"
        "throttle = { rate = \"1/s\", burst = 2 }\n"
        "[subjects.a]\n"
        "plans = [\"two\"]\n"
        "keys = [{ id = \"a\", value = \"made-up\" }]\n"
        "[subjects.b]\n"
        "plans = [\"one\"]\n"
        "keys = [{ id = \"b\", value = \"wait\" }]\n";
    tollgate_engine *engine = engine_of(plans);
    tollgate_request both[2];
    tollgate_decision decision;
    tollgate_settlement settlement;
    tollgate_cost bytes;
    uint32_t needs = 77;

    EXPECT(TOLLGATE_OK, tollgate_needs(engine, NULL, 0, &needs));
    CHECK(needs == (TOLLGATE_NEEDS_ROUTE | TOLLGATE_NEEDS_ID));
    EXPECT(TOLLGATE_OK, tollgate_needs(engine, "two", 3, &needs));
    CHECK(needs == TOLLGATE_NEEDS_ID);
    EXPECT(TOLLGATE_OK, tollgate_needs(engine, "plain", 5, &needs));
    CHECK(needs == 0);

    both[0] = request_of("made-up");
    both[1] = request_of("wait");
    both[0].id = str("first");
    EXPECT(TOLLGATE_OK, tollgate_check_all(engine, both, 2, &decision));
    EXPECT(TOLLGATE_ERR_EXISTS, tollgate_check_all(engine, both, 2, &decision));
    both[0].id = str("second");
    EXPECT(TOLLGATE_CONCURRENCY_EXCEEDED, tollgate_check_all(engine, both, 2, &decision));
    EXPECT(TOLLGATE_ERR_NOT_FOUND, tollgate_release(engine, "second", 6));
    EXPECT(TOLLGATE_OK, tollgate_release(engine, "first", 5));
    bytes.unit = str("bytes");
    bytes.amount = 1;
    both[0].costs = &bytes;
    both[0].n_costs = 1;
    both[0].flags = TOLLGATE_RESERVE;
    both[0].ttl_ns = SECOND;
    EXPECT(TOLLGATE_OK, tollgate_check_all(engine, both, 2, &decision));
    bytes.amount = 150;
    EXPECT(TOLLGATE_OK, tollgate_settle(engine, "second", 6, &bytes, 1, 0, 0, &settlement));
    CHECK(settlement.overdraft == 51);
    both[1].flags = TOLLGATE_RESERVE;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_check_all(engine, both, 2, &decision));
    tollgate_destroy(engine);
}

static void keys(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    tollgate_request request = request_of("made-up");
    tollgate_decision decision;
    tollgate_error error;
    char text[160];
    tollgate_buf buffer = TOLLGATE_BUF_INIT;
    tollgate_pepper pepper;

    EXPECT(TOLLGATE_OK, tollgate_key_disable(engine, "acme-1", 6, &error));
    EXPECT(TOLLGATE_KEY_DISABLED, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_key_enable(engine, "acme-1", 6, NULL));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_ERR_NOT_FOUND, tollgate_key_disable(engine, "acme-9", 6, &error));
    CHECK(!strcmp(error.field, "key_id") && strstr(error.message, "acme-9"));

    buffer.data = text;
    buffer.cap = 20;
    EXPECT(TOLLGATE_ERR_BUFFER, tollgate_key_rotate(engine, "acme-1", 6, "acme-2", 6, 0, 0, &buffer, NULL));
    buffer.cap = sizeof text;
    EXPECT(TOLLGATE_OK, tollgate_key_rotate(engine, "acme-1", 6, "acme-2", 6, 0, 0, &buffer, &error));
    CHECK(buffer.len == 39 && strlen(text) == 39);
    EXPECT(TOLLGATE_KEY_REVOKED, tollgate_check(engine, &request, &decision));
    request.key = str(text);
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_ERR_CONFLICT, tollgate_key_rotate(engine, "acme-1", 6, "acme-3", 6, 0, 0, &buffer, NULL));
    EXPECT(TOLLGATE_ERR_EXISTS, tollgate_key_rotate_to(engine, "acme-2", 6, "acme-3", 6, "made-up", 7, 0, 0, &error));
    EXPECT(TOLLGATE_OK, tollgate_key_rotate_to(engine, "acme-2", 6, "acme-3", 6, "my own", 6, SECOND, 0, &error));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    request.key = str("my own");
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    request.key = str(text);
    EXPECT(TOLLGATE_OK, tollgate_key_expire(engine, "acme-2", 6, NULL));
    EXPECT(TOLLGATE_KEY_EXPIRED, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_key_revoke(engine, "acme-2", 6, NULL));
    EXPECT(TOLLGATE_KEY_REVOKED, tollgate_check(engine, &request, &decision));

    EXPECT(TOLLGATE_OK, tollgate_key_hash(NULL, "abc", 3, &buffer, &error));
    CHECK(!strcmp(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    memset(&pepper, 0, sizeof pepper);
    pepper.name = str("2026a");
    pepper.secret = str("an example, not a secret");
    EXPECT(TOLLGATE_OK, tollgate_key_hash(&pepper, "abc", 3, &buffer, NULL));
    pepper.reserved[1] = 1;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_key_hash(&pepper, "abc", 3, &buffer, NULL));
    pepper.reserved[1] = 0;
    CHECK(!strncmp(text, "2026a:", 6) && strlen(text) == 70);
    EXPECT(TOLLGATE_OK, tollgate_key_generate("tg_live_", 8, &buffer, &error));
    CHECK(buffer.len == 47 && !strncmp(text, "tg_live_", 8));
    buffer.cap = 47;
    EXPECT(TOLLGATE_ERR_BUFFER, tollgate_key_generate("tg_live_", 8, &buffer, &error));
    CHECK(buffer.len == 47 && text[0] == 0);
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_key_generate("a b", 3, &buffer, &error));
    tollgate_destroy(engine);
}

/* The same plans as structs; and every mistake is named. */
static void definitions(void)
{
    tollgate_engine *engine = NULL;
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_config config = TOLLGATE_CONFIG_INIT;
    tollgate_plan plan;
    tollgate_limit limits[5];
    tollgate_subject subject;
    tollgate_key key;
    tollgate_str plans, stage;
    tollgate_request request = request_of("struct");
    tollgate_decision decision;
    tollgate_error error;
    uint32_t percents[2] = { 50, 100 };
    uint64_t bytes = 0;

    memset(&plan, 0, sizeof plan);
    memset(limits, 0, sizeof limits);
    memset(&subject, 0, sizeof subject);
    memset(&key, 0, sizeof key);
    plan.name = plans = str("gold");
    stage = str("pets/prod");
    plan.stages = &stage;
    plan.n_stages = 1;
    plan.limits = limits;
    plan.n_limits = 5;
    limits[0].kind = TOLLGATE_THROTTLE;
    limits[0].amount = 5;
    limits[0].rate = str("5/s");
    limits[1].kind = TOLLGATE_QUOTA;
    limits[1].name = str("weekly");
    limits[1].amount = 100;
    limits[1].period = str("week");
    limits[1].start = 1;
    limits[1].zone = str("Europe/Berlin");
    limits[1].alerts = percents;
    limits[1].n_alerts = 2;
    limits[2].kind = TOLLGATE_CONCURRENCY;
    limits[2].amount = 3;
    limits[2].lease_ns = 10 * SECOND;
    limits[3].kind = TOLLGATE_THROTTLE;
    limits[3].route = str("POST /pets");
    limits[3].amount = 1;
    limits[3].rate = str("1/m");
    limits[4].kind = TOLLGATE_QUOTA;
    limits[4].scope = TOLLGATE_POOL;
    limits[4].amount = 4;
    limits[4].period = str("forever");
    key.id = str("key-1");
    key.value = str("struct");
    key.expires = str("2027-01-01T00:00:00Z");
    subject.name = str("acme");
    subject.plans = &plans;
    subject.n_plans = 1;
    subject.keys = &key;
    subject.n_keys = 1;
    changes.plans = &plan;
    changes.n_plans = 1;
    changes.subjects = &subject;
    changes.n_subjects = 1;
    config.flags = TOLLGATE_CONFIG_MANUAL_CLOCK | TOLLGATE_CONFIG_TOUCHED;
    config.start_ns = START;
    config.max_cells = 1000;
    config.max_lines = 1000;
    EXPECT(TOLLGATE_OK, tollgate_create(&config, &changes, &engine, &error));
    CHECK(error.status == TOLLGATE_OK && error.message[0] == 0);

    request.stage = stage;
    request.route = str("POST /pets");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    request.route = str("GET /pets");
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_CONCURRENCY_EXCEEDED, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_clock_set(engine, START + 20 * SECOND));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_QUOTA_EXCEEDED, tollgate_check(engine, &request, &decision));
    CHECK(decision.retry_after_ns == TOLLGATE_NEVER);

    limits[0].rate = str("fast");
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    CHECK(!strcmp(error.field, "plans.gold.throttle.rate") && strstr(error.message, "\"fast\""));
    limits[0].rate = str("5/s");
    limits[0].kind = 9;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    CHECK(!strcmp(error.field, "changes.plans[0].limits[0]"));
    /* What only another kind has. */
    limits[0].kind = TOLLGATE_THROTTLE;
    limits[0].lease_ns = SECOND;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    CHECK(!strcmp(error.field, "changes.plans[0].limits[0]") && strstr(error.message, "lease_ns"));
    limits[0].lease_ns = 0;
    limits[1].delay_ns = 1;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    CHECK(!strcmp(error.field, "changes.plans[0].limits[1]") && strstr(error.message, "delay_ns"));
    limits[1].delay_ns = 0;
    limits[2].period = str("day");
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    CHECK(!strcmp(error.field, "changes.plans[0].limits[2]") && strstr(error.message, "period"));
    limits[2].period = str("");
    limits[0].reserved[7] = 1;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    limits[0].reserved[7] = 0;
    key.sha256 = str("00");
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    CHECK(!strcmp(error.field, "changes.subjects[0].keys[0]") && !strstr(error.message, "struct\""));
    key.sha256 = str("");
    EXPECT(TOLLGATE_OK, tollgate_apply(engine, &changes, 0, &error));
    subject.name = str("other");
    EXPECT(TOLLGATE_ERR_CONFLICT, tollgate_apply(engine, &changes, 0, &error));
    CHECK(!strstr(error.message, "struct\""));
    subject.name = str("acme");

    memset(&changes, 0, sizeof changes);
    changes.struct_size = sizeof changes;
    changes.removed_plans = &plans;
    changes.n_removed_plans = 1;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    plan.name = str("acme");
    changes.removed_subjects = &plan.name;
    changes.n_removed_subjects = 1;
    EXPECT(TOLLGATE_OK, tollgate_apply(engine, &changes, 0, &error));
    EXPECT(TOLLGATE_KEY_UNKNOWN, tollgate_check(engine, &request, &decision));

    memset(&changes, 0, sizeof changes);
    changes.struct_size = sizeof changes;
    changes.toml = str("[plans.a]\nthrottle = 7\n");
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    CHECK(error.line == 2);
    changes.json = str("{}");
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_apply(engine, &changes, 0, &error));
    changes.toml = str("");
    EXPECT(TOLLGATE_OK, tollgate_apply(engine, &changes, 0, &error));
    changes.json = str("");
    changes.path = str("/no such file");
    EXPECT(TOLLGATE_ERR_IO, tollgate_apply(engine, &changes, 0, &error));
    EXPECT(TOLLGATE_OK, tollgate_maintain(engine, 0, 100, NULL));
    EXPECT(TOLLGATE_OK, tollgate_region_size(&config, &bytes));
    CHECK(bytes > 1000 * 64 && bytes < 100 * 1000 * 1000);
    tollgate_destroy(engine);
}

/* Structs of an older header, and of a newer one. */
static void sizes(void)
{
    struct { tollgate_config config; uint64_t newer; } grown;
    tollgate_config config;
    tollgate_engine *engine = NULL;

    memset(&config, 0x5a, sizeof config);
    config.struct_size = 16;
    config.flags = 0;
    config.max_cells = 1000;
    EXPECT(TOLLGATE_OK, tollgate_create(&config, NULL, &engine, NULL));
    tollgate_destroy(engine);
    memset(&grown, 0, sizeof grown);
    grown.config.struct_size = sizeof grown;
    EXPECT(TOLLGATE_OK, tollgate_create(&grown.config, NULL, &engine, NULL));
    tollgate_destroy(engine);
    grown.newer = 1;
    EXPECT(TOLLGATE_ERR_VERSION, tollgate_create(&grown.config, NULL, &engine, NULL));
    grown.config.struct_size = 0;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_create(&grown.config, NULL, &engine, NULL));
    grown.config.struct_size = 0xffffffffu;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_create(&grown.config, NULL, &engine, NULL));
}

static int32_t sum(void *ctx, const tollgate_usage_row *row)
{
    uint64_t *sums = ctx;
    CHECK(row->limit.len == 3 && !memcmp(row->limit.data, "day", 3));
    sums[0] += row->used;
    sums[1] += row->refused;
    sums[2] = row->remaining;
    return row->used == 99;
}

static void count(void *ctx, const tollgate_alert *alert)
{
    uint32_t *seen = ctx;
    CHECK(alert->subject.len == 4 && !memcmp(alert->subject.data, "acme", 4));
    CHECK(alert->plan.len == 4 && alert->limit.len == 3 && alert->window_start_ns == START);
    seen[alert->percent]++;
}

static void usage(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    tollgate_request request = request_of("made-up");
    tollgate_decision decision;
    tollgate_error error;
    uint64_t sums[3] = { 0, 0, 0 }, dropped = 7;
    uint32_t seen[101] = { 0 };
    int32_t today = 0;
    int i;

    for (i = 0; i < 10; i++) {
        request.now_ns = START + (uint64_t)(i + 1) * SECOND;
        EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    }
    EXPECT(TOLLGATE_QUOTA_EXCEEDED, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_today(engine, "acme", 4, "gold", 4, &today, NULL));
    CHECK((uint64_t)today * DAY == START);
    EXPECT(TOLLGATE_OK, tollgate_usage(engine, "acme", 4, "gold", 4, today, today, 0, sum, sums, &error));
    CHECK(sums[0] == 10 && sums[1] == 1 && sums[2] == 0);
    EXPECT(TOLLGATE_ERR_NOT_FOUND,
           tollgate_usage(engine, "nobody", 6, "gold", 4, today, today, 0, sum, sums, &error));
    CHECK(!strcmp(error.field, "subject"));
    EXPECT(TOLLGATE_ERR_ARGUMENT,
           tollgate_usage(engine, "acme", 4, "gold", 4, today, today - 1, 0, sum, sums, &error));
    EXPECT(TOLLGATE_OK, tollgate_alerts(engine, count, seen, &dropped));
    CHECK(dropped == 0 && seen[80] == 1 && seen[100] == 1 && seen[0] == 1);
    EXPECT(TOLLGATE_OK, tollgate_grant(engine, "acme", 4, "gold", 4, "day", 3, 1, 0, &error));
    request.now_ns += 10 * SECOND;
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_QUOTA_EXCEEDED, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_ERR_NOT_FOUND, tollgate_grant(engine, "acme", 4, "gold", 4, "week", 4, 1, 0, &error));
    tollgate_destroy(engine);
}

struct file { unsigned char bytes[1 << 20]; size_t len, at, stop; };

static int32_t put(void *ctx, const void *data, size_t len)
{
    struct file *file = ctx;
    if (file->len + len > file->stop)
        return -1;
    memcpy(file->bytes + file->len, data, len);
    file->len += len;
    return 0;
}

static ptrdiff_t get(void *ctx, void *buf, size_t cap)
{
    struct file *file = ctx;
    size_t n = file->len - file->at;
    if (n > cap)
        n = cap;
    if (n > 1000)
        n = 1000;
    memcpy(buf, file->bytes + file->at, n);
    file->at += n;
    return (ptrdiff_t)n;
}

/* Stops at once, and must not be called again. */
static int32_t once(void *ctx, const void *data, size_t len)
{
    (void)data;
    (void)len;
    return (*(int *)ctx)++ == 0 ? -1 : 0;
}

static ptrdiff_t lie(void *ctx, void *buf, size_t cap)
{
    (void)buf;
    return ctx ? (ptrdiff_t)cap + 1 : -1;
}

static void snapshots(void)
{
    tollgate_engine *engine = engine_of(PLANS), *later = NULL;
    tollgate_request request = request_of("made-up");
    tollgate_decision decision;
    tollgate_error error;
    tollgate_config config = TOLLGATE_CONFIG_INIT;
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    struct file *file = calloc(1, sizeof *file);
    int calls;

    CHECK(file);
    file->stop = sizeof file->bytes;
    request.cost = 2;
    EXPECT(TOLLGATE_OK, tollgate_snapshot(engine, put, file, &error));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_OK, tollgate_restore(engine, 0, get, file, &error));
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    file->len = file->at = 0;
    EXPECT(TOLLGATE_OK, tollgate_snapshot(engine, put, file, &error));
    file->len /= 2;
    EXPECT(TOLLGATE_ERR_CORRUPT, tollgate_restore(engine, 0, get, file, &error));
    file->len = file->stop = 0;
    EXPECT(TOLLGATE_ERR_IO, tollgate_snapshot(engine, put, file, &error));
    calls = 0;
    EXPECT(TOLLGATE_ERR_IO, tollgate_snapshot(engine, once, &calls, &error));
    CHECK(calls == 1);
    EXPECT(TOLLGATE_ERR_IO, tollgate_restore(engine, 0, lie, NULL, &error));
    EXPECT(TOLLGATE_ERR_IO, tollgate_restore(engine, 0, lie, file, &error));
    file->at = 0;
    EXPECT(TOLLGATE_ERR_CORRUPT, tollgate_restore(engine, 0, get, file, &error));

    /* A new engine that goes on. */
    file->stop = sizeof file->bytes;
    EXPECT(TOLLGATE_OK, tollgate_snapshot(engine, put, file, &error));
    config.flags = TOLLGATE_CONFIG_MANUAL_CLOCK;
    config.start_ns = START;
    config.max_cells = config.max_lines = 10000;
    config.snapshot = get;
    config.snapshot_ctx = file;
    changes.toml = str(PLANS);
    EXPECT(TOLLGATE_OK, tollgate_create(&config, &changes, &later, &error));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(later, &request, &decision));
    CHECK(decision.retry_after_ns == 2 * SECOND);
    tollgate_destroy(later);
    EXPECT(TOLLGATE_ERR_IO, tollgate_snapshot_save(engine, "/no such folder/x", 17, &error));
    tollgate_destroy(engine);
    free(file);
}

/* Two engines in one region count together. */
static void regions(void)
{
    tollgate_config config = TOLLGATE_CONFIG_INIT;
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_engine *one = NULL, *other = NULL;
    tollgate_request request = request_of("made-up");
    tollgate_decision decision;
    tollgate_error error;
    uint64_t bytes = 0;
    char *memory, *region;

    config.max_cells = config.max_lines = 1000;
    EXPECT(TOLLGATE_OK, tollgate_region_size(&config, &bytes));
    memory = calloc(1, (size_t)bytes + 64);
    CHECK(memory);
    region = memory + (64 - (uintptr_t)memory % 64) % 64;
    config.region = region;
    config.region_len = (size_t)bytes;
    changes.toml = str(PLANS);
    EXPECT(TOLLGATE_OK, tollgate_create(&config, &changes, &one, &error));
    EXPECT(TOLLGATE_OK, tollgate_create(&config, &changes, &other, &error));
    request.cost = 2;
    request.now_ns = START;
    EXPECT(TOLLGATE_OK, tollgate_check(one, &request, &decision));
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(other, &request, &decision));
    tollgate_destroy(one);
    EXPECT(TOLLGATE_THROTTLED, tollgate_check(other, &request, &decision));
    tollgate_destroy(other);
    config.max_cells = 2000;
    EXPECT(TOLLGATE_ERR_MISMATCH, tollgate_create(&config, &changes, &one, &error));
    memset(region, 'x', 64);
    EXPECT(TOLLGATE_ERR_CORRUPT, tollgate_create(&config, &changes, &one, &error));
    config.region = region + 8;
    EXPECT(TOLLGATE_ERR_ARGUMENT, tollgate_create(&config, &changes, &one, &error));
    free(memory);
}

int main(void)
{
    checks();
    reports();
    reservations();
    together();
    keys();
    definitions();
    sizes();
    usage();
    snapshots();
    regions();
    CHECK(!strcmp(tollgate_status_name(TOLLGATE_ERR_FULL), "TOLLGATE_ERR_FULL"));
    CHECK(!strcmp(tollgate_status_name(12345), "TOLLGATE_UNKNOWN_STATUS"));
    CHECK(tollgate_status_message(-12345)[0] != 0);
    return 0;
}
