/* Whatever is passed, the answer is an error code: NULL, lengths of 0 and beyond memory, handles that are none. Each
 * function is called with each of its pointers NULL in turn. */
#include "check.h"

static const char PLANS[] =
    "[plans.gold]\n"
    "quotas = [{ limit = 10, per = \"day\" }]\n"
    "[subjects.acme]\n"
    "plans = [\"gold\"]\n"
    "keys = [{ id = \"acme-1\", value = \"made-up\" }]\n";

#define HUGE_LENGTH ((size_t)-1)
#define BAD(call) EXPECT(TOLLGATE_ERR_ARGUMENT, call)

static int32_t row(void *ctx, const tollgate_usage_row *r) { (void)ctx; (void)r; return 0; }
static void alert(void *ctx, const tollgate_alert *a) { (void)ctx; (void)a; }
static int32_t put(void *ctx, const void *d, size_t n) { (void)ctx; (void)d; (void)n; return 0; }
static ptrdiff_t get(void *ctx, void *b, size_t n) { (void)ctx; (void)b; (void)n; return 0; }

/* Every function that takes an engine, with one that is none. */
static void wrong_engine(tollgate_engine *wrong)
{
    tollgate_request request = request_of("made-up");
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_report report = TOLLGATE_REPORT_INIT;
    tollgate_metrics metrics = TOLLGATE_METRICS_INIT;
    tollgate_key key;
    tollgate_decision decision, decisions[1];
    tollgate_name name = 77;
    tollgate_buf buffer = TOLLGATE_BUF_INIT;
    tollgate_error error;
    char text[200];
    uint64_t now = 77;
    int32_t day = 77;

    memset(&key, 0, sizeof key);
    key.id = str("acme-2");
    key.value = str("another");
    buffer.data = text;
    buffer.cap = sizeof text;
    BAD(tollgate_check(wrong, &request, &decision));
    CHECK(decision.status == TOLLGATE_ERR_ARGUMENT);
    BAD(tollgate_peek(wrong, &request, &decision));
    BAD(tollgate_prepare(wrong, &request));
    request.id = str("id");
    BAD(tollgate_reserve(wrong, &request, &decision));
    BAD(tollgate_check_batch(wrong, &request, 1, decisions));
    BAD(tollgate_check_all(wrong, &request, 1, &decision));
    BAD(tollgate_check_report(wrong, &request, &report));
    CHECK(report.decision.status == TOLLGATE_ERR_ARGUMENT);
    BAD(tollgate_settle(wrong, "id", 2, NULL, 0, 1, 0, NULL));
    BAD(tollgate_refund(wrong, "id", 2, 0));
    BAD(tollgate_release(wrong, "id", 2));
    BAD(tollgate_intern(wrong, "gold", 4, &name));
    BAD(tollgate_apply(wrong, &changes, 0, &error));
    CHECK(!strcmp(error.field, "engine"));
    BAD(tollgate_maintain(wrong, 0, 1, NULL));
    BAD(tollgate_now(wrong, &now));
    BAD(tollgate_clock_set(wrong, 1));
    BAD(tollgate_metrics_get(wrong, &metrics));
    BAD(tollgate_metrics_text(wrong, &buffer));
    BAD(tollgate_key_add(wrong, "acme", 4, &key, &error));
    CHECK(!strcmp(error.field, "engine"));
    BAD(tollgate_key_enable(wrong, "acme-1", 6, &error));
    BAD(tollgate_key_disable(wrong, "acme-1", 6, &error));
    BAD(tollgate_key_expire(wrong, "acme-1", 6, &error));
    BAD(tollgate_key_revoke(wrong, "acme-1", 6, &error));
    BAD(tollgate_key_rotate(wrong, "acme-1", 6, "acme-2", 6, 0, 0, &buffer, &error));
    BAD(tollgate_key_rotate_to(wrong, "acme-1", 6, "acme-2", 6, "k", 1, 0, 0, &error));
    BAD(tollgate_today(wrong, "acme", 4, "gold", 4, &day, &error));
    BAD(tollgate_usage(wrong, "acme", 4, "gold", 4, 0, 0, 0, row, NULL, &error));
    BAD(tollgate_grant(wrong, "acme", 4, "gold", 4, "day", 3, 1, 0, &error));
    BAD(tollgate_alerts(wrong, alert, NULL, NULL));
    BAD(tollgate_snapshot(wrong, put, NULL, &error));
    BAD(tollgate_snapshot_save(wrong, "/dev/null/x", 11, &error));
    BAD(tollgate_restore(wrong, 0, get, NULL, &error));
    CHECK(name == 77 && now == 77 && day == 77);
    tollgate_destroy(wrong);
}

static void nulls(tollgate_engine *engine)
{
    tollgate_request request = request_of("made-up");
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_report report = TOLLGATE_REPORT_INIT;
    tollgate_decision decision;
    tollgate_metrics metrics = TOLLGATE_METRICS_INIT;
    tollgate_key key;
    tollgate_buf buffer = TOLLGATE_BUF_INIT, lies = TOLLGATE_BUF_INIT;
    tollgate_error error;
    tollgate_name name;
    char text[200];
    int32_t day;
    uint32_t needs;

    buffer.data = text;
    buffer.cap = sizeof text;
    lies.cap = 10;
    BAD(tollgate_create(NULL, NULL, NULL, NULL));
    BAD(tollgate_create(NULL, NULL, NULL, &error));
    CHECK(!strcmp(error.field, "out"));
    BAD(tollgate_check(engine, NULL, &decision));
    BAD(tollgate_check(engine, &request, NULL));
    BAD(tollgate_peek(engine, NULL, &decision));
    BAD(tollgate_peek(engine, &request, NULL));
    BAD(tollgate_prepare(engine, NULL));
    BAD(tollgate_metrics_get(engine, NULL));
    metrics.struct_size = 0;
    BAD(tollgate_metrics_get(engine, &metrics));
    metrics.struct_size = 0xffffffffu;
    BAD(tollgate_metrics_get(engine, &metrics));
    BAD(tollgate_metrics_get(engine, (tollgate_metrics *)((char *)&metrics + 1)));
    BAD(tollgate_metrics_text(engine, NULL));
    BAD(tollgate_metrics_text(engine, &lies));
    BAD(tollgate_key_add(engine, "acme", 4, NULL, &error));
    CHECK(!strcmp(error.field, "key"));
    memset(&key, 0, sizeof key);
    BAD(tollgate_key_add(engine, "acme", 4, &key, &error)); /* none of the three forms */
    key.value = str("another");
    BAD(tollgate_key_add(engine, "acme", 4, &key, &error)); /* no id */
    CHECK(!strcmp(error.field, "key.id"));
    key.id = str("acme-2");
    BAD(tollgate_key_add(engine, NULL, 4, &key, &error));
    key.reserved[0] = 1;
    BAD(tollgate_key_add(engine, "acme", 4, &key, &error));
    key.reserved[0] = 0;
    key.value.len = HUGE_LENGTH;
    BAD(tollgate_key_add(engine, "acme", 4, &key, &error));
    key.value.len = 7;
    key.expires = str("tomorrow");
    BAD(tollgate_key_add(engine, "acme", 4, &key, &error));
    CHECK(!strcmp(error.field, "key.expires"));
    BAD(tollgate_reserve(engine, NULL, &decision));
    BAD(tollgate_reserve(engine, &request, NULL));
    BAD(tollgate_reserve(engine, &request, &decision)); /* without an id */
    BAD(tollgate_check_batch(engine, NULL, 1, &decision));
    BAD(tollgate_check_batch(engine, &request, 1, NULL));
    BAD(tollgate_check_all(engine, NULL, 1, &decision));
    BAD(tollgate_check_all(engine, &request, 0, &decision));
    BAD(tollgate_check_all(engine, &request, 1, NULL));
    BAD(tollgate_check_report(engine, NULL, &report));
    BAD(tollgate_check_report(engine, &request, NULL));
    report.limits_cap = 1;
    BAD(tollgate_check_report(engine, &request, &report));
    report.limits_cap = 0;
    report.headers = lies;
    BAD(tollgate_check_report(engine, &request, &report));
    report.headers.cap = 0;
    report.fields = 9;
    BAD(tollgate_check_report(engine, &request, &report));
    BAD(tollgate_settle(engine, NULL, 2, NULL, 0, 1, 0, NULL));
    BAD(tollgate_settle(engine, "id", 0, NULL, 0, 1, 0, NULL));
    BAD(tollgate_settle(engine, "id", 2, NULL, 1, 1, 0, NULL));
    BAD(tollgate_refund(engine, NULL, 2, 0));
    BAD(tollgate_refund(engine, "id", 0, 0));
    BAD(tollgate_release(engine, NULL, 2));
    BAD(tollgate_intern(engine, NULL, 4, &name));
    BAD(tollgate_intern(engine, "x", 0, &name));
    BAD(tollgate_intern(engine, "x", 1, NULL));
    BAD(tollgate_intern(engine, "\xff", 1, &name));
    BAD(tollgate_apply(engine, NULL, 0, &error));
    BAD(tollgate_now(engine, NULL));
    BAD(tollgate_needs(engine, NULL, 0, NULL));
    BAD(tollgate_needs(engine, NULL, 1, &needs));
    EXPECT(TOLLGATE_ERR_NOT_FOUND, tollgate_needs(engine, "none", 4, &needs));
    BAD(tollgate_region_size(NULL, NULL));
    BAD(tollgate_key_enable(engine, NULL, 6, &error));
    BAD(tollgate_key_disable(engine, NULL, 6, &error));
    BAD(tollgate_key_expire(engine, NULL, 6, &error));
    BAD(tollgate_key_revoke(engine, NULL, 6, &error));
    BAD(tollgate_key_rotate(engine, NULL, 6, "b", 1, 0, 0, &buffer, &error));
    BAD(tollgate_key_rotate(engine, "acme-1", 6, NULL, 1, 0, 0, &buffer, &error));
    BAD(tollgate_key_rotate(engine, "acme-1", 6, "", 0, 0, 0, &buffer, &error));
    BAD(tollgate_key_rotate(engine, "acme-1", 6, "b", 1, 0, 0, NULL, &error));
    BAD(tollgate_key_rotate_to(engine, NULL, 6, "b", 1, "k", 1, 0, 0, &error));
    BAD(tollgate_key_rotate_to(engine, "acme-1", 6, NULL, 1, "k", 1, 0, 0, &error));
    BAD(tollgate_key_rotate_to(engine, "acme-1", 6, "b", 1, NULL, 1, 0, 0, &error));
    BAD(tollgate_key_rotate_to(engine, "acme-1", 6, "b", 1, "", 0, 0, 0, &error));
    BAD(tollgate_key_rotate_to(engine, "acme-1", 6, "b", 1, "k", HUGE_LENGTH, 0, 0, &error));
    BAD(tollgate_key_generate(NULL, 1, &buffer, &error));
    BAD(tollgate_key_generate("", 0, NULL, &error));
    BAD(tollgate_key_generate("", 0, &lies, &error));
    BAD(tollgate_key_hash(NULL, NULL, 1, &buffer, &error));
    BAD(tollgate_key_hash(NULL, "x", 0, &buffer, &error));
    BAD(tollgate_key_hash(NULL, "x", 1, NULL, &error));
    BAD(tollgate_today(engine, NULL, 4, "gold", 4, &day, &error));
    BAD(tollgate_today(engine, "acme", 4, NULL, 4, &day, &error));
    BAD(tollgate_today(engine, "acme", 4, "gold", 4, NULL, &error));
    BAD(tollgate_usage(engine, "acme", 4, "gold", 4, 0, 0, 0, NULL, NULL, &error));
    BAD(tollgate_usage(engine, NULL, 4, "gold", 4, 0, 0, 0, row, NULL, &error));
    BAD(tollgate_grant(engine, "acme", 4, "gold", 4, NULL, 3, 1, 0, &error));
    BAD(tollgate_alerts(engine, NULL, NULL, NULL));
    BAD(tollgate_snapshot(engine, NULL, NULL, &error));
    BAD(tollgate_snapshot_save(engine, NULL, 3, &error));
    BAD(tollgate_restore(engine, 0, NULL, NULL, &error));
    tollgate_destroy(NULL);

    changes.n_plans = 1;
    BAD(tollgate_apply(engine, &changes, 0, &error));
    CHECK(!strcmp(error.field, "changes.plans"));
    changes.n_plans = 0;
    changes.flags = 2;
    BAD(tollgate_apply(engine, &changes, 0, &error));
}

static void lengths(tollgate_engine *engine)
{
    tollgate_request request = request_of("made-up");
    tollgate_request many[17];
    tollgate_changes changes = TOLLGATE_CHANGES_INIT;
    tollgate_config config = TOLLGATE_CONFIG_INIT;
    tollgate_engine *created = NULL;
    tollgate_decision decision;
    tollgate_buf buffer = TOLLGATE_BUF_INIT;
    tollgate_error error;
    tollgate_cost cost;
    tollgate_name name;
    char text[8];
    int i;

    for (i = 0; i < 17; i++)
        many[i] = request;
    request.key.len = HUGE_LENGTH;
    EXPECT(TOLLGATE_OK, tollgate_prepare(engine, &request));
    EXPECT(TOLLGATE_KEY_UNKNOWN, tollgate_check(engine, &request, &decision));
    EXPECT(TOLLGATE_KEY_UNKNOWN, tollgate_check_batch(engine, &request, 1, &decision));
    request.key.data = NULL;
    BAD(tollgate_check(engine, &request, &decision));
    request.key.len = 0;
    EXPECT(TOLLGATE_KEY_MISSING, tollgate_check(engine, &request, &decision));
    request = request_of("made-up");
    request.stage = str("x");
    request.stage.len = HUGE_LENGTH;
    BAD(tollgate_check(engine, &request, &decision));
    request.stage.len = 0;
    request.route = str("x");
    request.route.len = HUGE_LENGTH;
    BAD(tollgate_check(engine, &request, &decision));
    request.route.len = 0;
    request.id = str("x");
    request.id.len = HUGE_LENGTH;
    BAD(tollgate_check(engine, &request, &decision));
    request.id.len = 0;
    cost.unit = str("requests");
    cost.amount = 1;
    request.costs = &cost;
    request.n_costs = HUGE_LENGTH;
    BAD(tollgate_check(engine, &request, &decision));
    request.n_costs = 17;
    BAD(tollgate_check(engine, &request, &decision));
    request.n_costs = 1;
    cost.unit.len = HUGE_LENGTH;
    BAD(tollgate_check(engine, &request, &decision));
    request.costs = NULL;
    BAD(tollgate_check(engine, &request, &decision));
    request.n_costs = 0;
    request.flags = 0x80000000u;
    BAD(tollgate_check(engine, &request, &decision));
    request.flags = TOLLGATE_PEEK | TOLLGATE_RESERVE;
    BAD(tollgate_check(engine, &request, &decision));
    request.flags = TOLLGATE_ANONYMOUS;
    BAD(tollgate_check(engine, &request, &decision));
    request.plan = 4000000000u;
    BAD(tollgate_check(engine, &request, &decision));
    request.plan = 0;
    request.flags = 0;
    request.stage_name = 1000;
    BAD(tollgate_check(engine, &request, &decision));
    request.stage_name = 0;
    request.reserved[2] = 1;
    BAD(tollgate_check(engine, &request, &decision));
    request.reserved[2] = 0;
    request.cost = (uint64_t)-1;
    EXPECT(TOLLGATE_COST_EXCEEDS_LIMIT, tollgate_check(engine, &request, &decision));
    request.cost = 1;
    request.now_ns = (uint64_t)-1;
    EXPECT(TOLLGATE_OK, tollgate_peek(engine, &request, &decision));
    /* A peek does not look at the id. */
    request.id.len = HUGE_LENGTH;
    EXPECT(TOLLGATE_OK, tollgate_peek(engine, &request, &decision));
    request.flags = TOLLGATE_PEEK;
    EXPECT(TOLLGATE_OK, tollgate_check(engine, &request, &decision));
    request.flags = 0;
    BAD(tollgate_check(engine, &request, &decision));
    request.id.len = 0;
    BAD(tollgate_check_all(engine, many, 17, &decision));
    BAD(tollgate_check_batch(engine, many, HUGE_LENGTH, &decision));
    EXPECT(TOLLGATE_OK, tollgate_check_all(engine, many, 9, &decision));
    EXPECT(TOLLGATE_QUOTA_EXCEEDED, tollgate_check_all(engine, many, 9, &decision));

    BAD(tollgate_intern(engine, "x", HUGE_LENGTH, &name));
    BAD(tollgate_settle(engine, "x", HUGE_LENGTH, NULL, 0, 0, 0, NULL));
    BAD(tollgate_key_hash(NULL, "x", HUGE_LENGTH, &buffer, &error));
    BAD(tollgate_key_disable(engine, "x", HUGE_LENGTH, &error));
    buffer.data = text;
    buffer.cap = HUGE_LENGTH;
    BAD(tollgate_key_generate("", 0, &buffer, &error));
    changes.toml = str("x");
    changes.toml.len = HUGE_LENGTH;
    BAD(tollgate_apply(engine, &changes, 0, &error));
    changes.toml.len = 0;
    changes.plans = (const tollgate_plan *)text;
    changes.n_plans = HUGE_LENGTH;
    BAD(tollgate_apply(engine, &changes, 0, &error));
    config.n_peppers = HUGE_LENGTH;
    BAD(tollgate_create(&config, NULL, &created, &error));
    config.n_peppers = 0;
    config.max_names = 65537;
    BAD(tollgate_create(&config, NULL, &created, &error));
    CHECK(!strcmp(error.field, "config.max_names"));
    config.max_names = 1;
    config.max_alerts = (uint64_t)-1;
    BAD(tollgate_create(&config, NULL, &created, &error));
    config.max_alerts = 0;
    config.when_full = 3;
    BAD(tollgate_create(&config, NULL, &created, &error));
    config.when_full = 0;
    config.flags = 0x100;
    BAD(tollgate_create(&config, NULL, &created, &error));
    config.flags = 0;
    config.max_cells = 1000;
    EXPECT(TOLLGATE_OK, tollgate_create(&config, NULL, &created, &error));
    EXPECT(TOLLGATE_ERR_CONFLICT, tollgate_clock_set(created, 1));
    EXPECT(TOLLGATE_OK, tollgate_intern(created, "a", 1, &name));
    EXPECT(TOLLGATE_ERR_FULL, tollgate_intern(created, "b", 1, &name));
    EXPECT(TOLLGATE_OK, tollgate_intern(created, "a", 1, &name));
    CHECK(name == 1);
    tollgate_destroy(created);
}

int main(void)
{
    tollgate_engine *engine = engine_of(PLANS);
    uint64_t zeros[64] = { 0 };
    uint64_t junk[64];

    memset(junk, 0xa5, sizeof junk);
    wrong_engine(NULL);
    wrong_engine((tollgate_engine *)zeros);
    wrong_engine((tollgate_engine *)junk);
    wrong_engine((tollgate_engine *)((char *)engine + 1));
    nulls(engine);
    EXPECT(TOLLGATE_OK, tollgate_clock_set(engine, START));
    lengths(engine);
    tollgate_destroy(engine);
    return 0;
}
