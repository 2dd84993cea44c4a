
/*
 * Plans, subjects and keys: the plan file, plans of one line, peppers.
 *
 * All of it is read and checked by the master.  No message holds a key, nor a line of the file.
 */


#include "ngx_http_tollgate_module.h"


/* milliseconds, so that nanoseconds are a number of 64 bits */
#define NGX_HTTP_TOLLGATE_LONGEST  15768000000000


static char *ngx_http_tollgate_plan_value(ngx_conf_t *cf, ngx_array_t *limits,
    tollgate_limit *throttle, tollgate_limit *cap, tollgate_plan *plan,
    ngx_str_t *value);
static tollgate_limit *ngx_http_tollgate_limit(ngx_array_t *limits,
    uint32_t kind);
static ngx_int_t ngx_http_tollgate_read(ngx_conf_t *cf, ngx_str_t *path,
    ngx_str_t *text);
static const char *ngx_http_tollgate_culprit(
    ngx_http_tollgate_main_conf_t *tmcf, tollgate_error *error);


static ngx_inline tollgate_str
ngx_http_tollgate_str(u_char *data, size_t len)
{
    tollgate_str  s;

    s.data = data;
    s.len = len;

    return s;
}


char *
ngx_http_tollgate_plans(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tollgate_main_conf_t *tmcf = conf;

    ngx_str_t  *value;

    if (tmcf->path.len) {
        return "is duplicate";
    }

    value = cf->args->elts;
    tmcf->path = value[1];

    if (ngx_conf_full_name(cf->cycle, &tmcf->path, 1) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    tmcf->json = tmcf->path.len > 5
                 && ngx_strncmp(tmcf->path.data + tmcf->path.len - 5,
                                ".json", 5)
                    == 0;

    if (ngx_http_tollgate_read(cf, &tmcf->path, &tmcf->text) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    return NGX_CONF_OK;
}


/* tollgate_pepper NAME FILE: the secret is the file without the line's end */

char *
ngx_http_tollgate_pepper(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tollgate_main_conf_t *tmcf = conf;

    ngx_str_t        *value, path, secret;
    tollgate_pepper  *pepper;

    value = cf->args->elts;
    path = value[2];

    if (ngx_conf_full_name(cf->cycle, &path, 1) != NGX_OK
        || ngx_http_tollgate_read(cf, &path, &secret) != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    while (secret.len && (secret.data[secret.len - 1] == LF
                          || secret.data[secret.len - 1] == CR))
    {
        secret.len--;
    }

    if (secret.len < 16) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tollgate_pepper\" file \"%V\" holds %uz bytes: "
                           "a secret has at least 16", &path, secret.len);
        return NGX_CONF_ERROR;
    }

    pepper = ngx_array_push(&tmcf->peppers);
    if (pepper == NULL) {
        return NGX_CONF_ERROR;
    }

    pepper->name = ngx_http_tollgate_str(value[1].data, value[1].len);
    pepper->secret = ngx_http_tollgate_str(secret.data, secret.len);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_tollgate_read(ngx_conf_t *cf, ngx_str_t *path, ngx_str_t *text)
{
    off_t            size;
    ssize_t          n;
    ngx_fd_t         fd;
    ngx_int_t        rc;
    ngx_file_info_t  fi;

    fd = ngx_open_file(path->data, NGX_FILE_RDONLY, NGX_FILE_OPEN, 0);

    if (fd == NGX_INVALID_FILE) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_open_file_n " \"%V\" failed", path);
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                           ngx_fd_info_n " \"%V\" failed", path);
        goto done;
    }

    size = ngx_file_size(&fi);

    text->data = ngx_pnalloc(cf->cycle->pool, size + 1);
    if (text->data == NULL) {
        goto done;
    }

    text->len = 0;

    while ((off_t) text->len < size) {

        n = ngx_read_fd(fd, text->data + text->len, size - text->len);

        if (n == -1) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, ngx_errno,
                               ngx_read_fd_n " \"%V\" failed", path);
            goto done;
        }

        if (n == 0) {
            break;
        }

        text->len += n;
    }

    rc = NGX_OK;

done:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_conf_log_error(NGX_LOG_ALERT, cf, ngx_errno,
                           ngx_close_file_n " \"%V\" failed", path);
    }

    return rc;
}


/* tollgate_plan NAME throttle=2/s burst=5 delay=300ms quota=1000/day ... */

char *
ngx_http_tollgate_plan(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tollgate_main_conf_t *tmcf = conf;

    char            *rc;
    ngx_str_t       *value;
    ngx_uint_t       i;
    ngx_array_t      limits;
    tollgate_plan   *plan;
    tollgate_limit  *limit, throttle, cap;

    value = cf->args->elts;

    plan = tmcf->plans.elts;

    for (i = 0; i < tmcf->plans.nelts; i++) {
        if (plan[i].name.len == value[1].len
            && ngx_strncmp(plan[i].name.data, value[1].data, value[1].len)
               == 0)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"tollgate_plan\" \"%V\" is there already",
                               &value[1]);
            return NGX_CONF_ERROR;
        }
    }

    plan = ngx_array_push(&tmcf->plans);
    if (plan == NULL
        || ngx_array_init(&limits, cf->pool, 4, sizeof(tollgate_limit))
           != NGX_OK)
    {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(plan, sizeof(tollgate_plan));
    ngx_memzero(&throttle, sizeof(tollgate_limit));
    ngx_memzero(&cap, sizeof(tollgate_limit));

    plan->name = ngx_http_tollgate_str(value[1].data, value[1].len);

    for (i = 2; i < cf->args->nelts; i++) {

        rc = ngx_http_tollgate_plan_value(cf, &limits, &throttle, &cap, plan,
                                          &value[i]);
        if (rc == NGX_CONF_OK) {
            continue;
        }

        if (rc != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"tollgate_plan\" "
                               "\"%V\": %s", &value[i], &value[1], rc);
        }

        return NGX_CONF_ERROR;
    }

    if ((throttle.amount || throttle.delay_ns) && throttle.rate.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"burst=\" and \"delay=\" in \"tollgate_plan\" "
                           "\"%V\" need \"throttle=\", such as throttle=10/s",
                           &value[1]);
        return NGX_CONF_ERROR;
    }

    if (cap.lease_ns && cap.kind == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"lease=\" in \"tollgate_plan\" \"%V\" needs "
                           "\"concurrency=\"", &value[1]);
        return NGX_CONF_ERROR;
    }

    if (throttle.rate.len) {

        limit = ngx_http_tollgate_limit(&limits, TOLLGATE_THROTTLE);
        if (limit == NULL) {
            return NGX_CONF_ERROR;
        }

        limit->rate = throttle.rate;
        limit->amount = throttle.amount ? throttle.amount : 1;
        limit->delay_ns = throttle.delay_ns;
    }

    if (cap.kind) {

        limit = ngx_http_tollgate_limit(&limits, TOLLGATE_CONCURRENCY);
        if (limit == NULL) {
            return NGX_CONF_ERROR;
        }

        limit->amount = cap.amount;
        limit->lease_ns = cap.lease_ns;
    }

    plan->limits = limits.elts;
    plan->n_limits = limits.nelts;

    return NGX_CONF_OK;
}


/* NGX_CONF_OK, NGX_CONF_ERROR once it is logged, or what would be right */

static char *
ngx_http_tollgate_plan_value(ngx_conf_t *cf, ngx_array_t *limits,
    tollgate_limit *throttle, tollgate_limit *cap, tollgate_plan *plan,
    ngx_str_t *value)
{
    u_char          *p;
    ngx_int_t        n;
    ngx_str_t        s;
    tollgate_limit  *limit;

    if (ngx_strcmp(value->data, "dry_run") == 0) {
        plan->flags |= TOLLGATE_PLAN_OBSERVE;
        return NGX_CONF_OK;
    }

    p = ngx_strlchr(value->data, value->data + value->len, '=');

    if (p == NULL) {
        return "it takes throttle=RATE, burst=NUMBER, delay=TIME, "
               "quota=NUMBER/PERIOD, concurrency=NUMBER, lease=TIME and "
               "dry_run";
    }

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    if (ngx_strncmp(value->data, "throttle=", 9) == 0) {

        if (throttle->rate.len || s.len == 0) {
            return "write one rate, such as throttle=10/s";
        }

        throttle->rate = ngx_http_tollgate_str(s.data, s.len);
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "burst=", 6) == 0) {

        n = ngx_atoi(s.data, s.len);
        if (n < 1) {
            return "a burst is a number of at least 1";
        }

        throttle->amount = n;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "delay=", 6) == 0) {

        n = ngx_parse_time(&s, 0);
        if (n < 1) {
            return "write the longest delay, such as delay=300ms";
        }

        if (n > NGX_HTTP_TOLLGATE_LONGEST) {
            return "a delay is 500 years at most";
        }

        throttle->delay_ns = (uint64_t) n * 1000000;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "quota=", 6) == 0) {

        p = ngx_strlchr(s.data, s.data + s.len, '/');
        n = p ? ngx_atoi(s.data, p - s.data) : NGX_ERROR;

        if (n == NGX_ERROR) {
            return "write so many requests per period, such as "
                   "quota=1000/day, /hour, /month, /15m or /forever";
        }

        limit = ngx_http_tollgate_limit(limits, TOLLGATE_QUOTA);
        if (limit == NULL) {
            return NGX_CONF_ERROR;
        }

        limit->amount = n;
        limit->period = ngx_http_tollgate_str(p + 1,
                                              s.data + s.len - (p + 1));
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "concurrency=", 12) == 0) {

        n = ngx_atoi(s.data, s.len);
        if (n == NGX_ERROR) {
            return "write how many requests may be in flight";
        }

        cap->kind = TOLLGATE_CONCURRENCY;
        cap->amount = n;
        return NGX_CONF_OK;
    }

    if (ngx_strncmp(value->data, "lease=", 6) == 0) {

        n = ngx_parse_time(&s, 0);
        if (n < 1) {
            return "write how long a slot is held at most, such as lease=60s";
        }

        if (n > NGX_HTTP_TOLLGATE_LONGEST) {
            return "a lease is 500 years at most";
        }

        cap->lease_ns = (uint64_t) n * 1000000;
        return NGX_CONF_OK;
    }

    return "it takes throttle=RATE, burst=NUMBER, delay=TIME, "
           "quota=NUMBER/PERIOD, concurrency=NUMBER, lease=TIME and dry_run";
}


static tollgate_limit *
ngx_http_tollgate_limit(ngx_array_t *limits, uint32_t kind)
{
    tollgate_limit  *limit;

    limit = ngx_array_push(limits);

    if (limit) {
        ngx_memzero(limit, sizeof(tollgate_limit));
        limit->kind = kind;
    }

    return limit;
}


/* what every engine begins with */

void
ngx_http_tollgate_changes(ngx_http_tollgate_main_conf_t *tmcf,
    tollgate_changes *changes)
{
    tollgate_str  *text;

    ngx_memzero(changes, sizeof(tollgate_changes));

    changes->struct_size = sizeof(tollgate_changes);
    changes->plans = tmcf->plans.elts;
    changes->n_plans = tmcf->plans.nelts;

    text = tmcf->json ? &changes->json : &changes->toml;
    *text = ngx_http_tollgate_str(tmcf->text.data, tmcf->text.len);
}


/* The directive that is wrong; NULL: the plan file. */

static const char *
ngx_http_tollgate_culprit(ngx_http_tollgate_main_conf_t *tmcf,
    tollgate_error *error)
{
    size_t          len;
    ngx_uint_t      i;
    tollgate_plan  *plan;

    if (error->line) {
        return NULL;
    }

    if (ngx_strncmp(error->field, "pepper", 6) == 0) {
        return "tollgate_pepper";
    }

    if (tmcf->path.len == 0) {
        return "tollgate_plan";
    }

    if (ngx_strncmp(error->field, "plans.", 6) != 0) {
        return NULL;
    }

    /* names of directives stand above those of the file */

    plan = tmcf->plans.elts;

    for (i = 0; i < tmcf->plans.nelts; i++) {
        len = plan[i].name.len;

        if (ngx_strncmp(error->field + 6, plan[i].name.data, len) == 0
            && (error->field[6 + len] == '.' || error->field[6 + len] == '\0'))
        {
            return "tollgate_plan";
        }
    }

    return NULL;
}


/*
 * In memory of the master's own, for the moment: what is wrong in plans, and limiters of plans that are not there, refuse
 * the configuration before anything of it is shared.
 */

ngx_int_t
ngx_http_tollgate_check_plans(ngx_conf_t *cf,
    ngx_http_tollgate_main_conf_t *tmcf)
{
    uint32_t                       needs;
    ngx_int_t                      rc;
    ngx_str_t                     *plan;
    const char                    *culprit;
    ngx_uint_t                     i;
    tollgate_error                 error;
    tollgate_config                config = TOLLGATE_CONFIG_INIT;
    tollgate_engine               *engine;
    tollgate_changes               changes;
    ngx_http_tollgate_zone_t     **zone;
    ngx_http_tollgate_limiter_t  **limiter;

    config.peppers = tmcf->peppers.elts;
    config.n_peppers = tmcf->peppers.nelts;
    config.max_cells = 1;
    config.max_lines = 1;

    zone = tmcf->zones.elts;

    for (i = 0; i < tmcf->zones.nelts; i++) {
        config.max_cells = ngx_max(config.max_cells, zone[i]->cells);
        config.max_lines = ngx_max(config.max_lines, zone[i]->lines);
    }

    ngx_http_tollgate_changes(tmcf, &changes);

    if (tollgate_create(&config, &changes, &engine, &error) != TOLLGATE_OK) {

        culprit = ngx_http_tollgate_culprit(tmcf, &error);

        if (culprit) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0, "\"%s\": %s: %s",
                               culprit, error.field, error.message);

        } else if (error.line) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"tollgate_plans\" \"%V\", line %uD: %s: %s",
                               &tmcf->path, error.line, error.field,
                               error.message);

        } else {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"tollgate_plans\" \"%V\": %s: %s",
                               &tmcf->path, error.field, error.message);
        }

        return NGX_ERROR;
    }

    rc = NGX_OK;
    limiter = tmcf->limiters.elts;

    for (i = 0; i < tmcf->limiters.nelts; i++) {

        plan = limiter[i]->plan.len ? &limiter[i]->plan
                                    : &limiter[i]->unknown_plan;

        if (plan->len
            && tollgate_needs(engine, plan->data, plan->len, &needs)
               != TOLLGATE_OK)
        {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "\"plan=%V\" in \"tollgate\" of zone \"%V\" "
                               "names a plan that is neither in "
                               "\"tollgate_plans\" nor a \"tollgate_plan\"",
                               plan, &limiter[i]->shm_zone->shm.name);
            rc = NGX_ERROR;
            break;
        }
    }

    tollgate_destroy(engine);

    return rc;
}
