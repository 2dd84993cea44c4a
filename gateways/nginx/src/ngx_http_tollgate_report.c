
/*
 * How the limits stand: for variables, the log, and header fields.
 *
 * A single limiter is decided and reported at once, if a report is wanted.  Otherwise, and for several limiters, what
 * they would say next is looked at; that takes nothing.
 */


#include "ngx_http_tollgate_module.h"


/* what is looked at; more are decided all the same */
#define NGX_HTTP_TOLLGATE_LIMITS  64


static void ngx_http_tollgate_prepare(ngx_http_tollgate_ctx_t *ctx,
    tollgate_report *report);
static void ngx_http_tollgate_take(ngx_http_tollgate_ctx_t *ctx,
    tollgate_report *report, tollgate_request *request);
static void ngx_http_tollgate_take_limit(ngx_http_tollgate_ctx_t *ctx,
    tollgate_limit_report *limit, uint64_t cost);
static void ngx_http_tollgate_take_text(ngx_http_tollgate_ctx_t *ctx,
    tollgate_buf *buf, ngx_str_t *to);
static ngx_int_t ngx_http_tollgate_push(ngx_http_request_t *r, u_char *line,
    u_char *colon, u_char *end);


static ngx_http_output_header_filter_pt  ngx_http_next_header_filter;

/* a process reports on one request at a time */

static tollgate_limit_report  ngx_http_tollgate_limits[NGX_HTTP_TOLLGATE_LIMITS];
static char                   ngx_http_tollgate_fields[8192];
static char                   ngx_http_tollgate_names[3][256];


static void
ngx_http_tollgate_prepare(ngx_http_tollgate_ctx_t *ctx,
    tollgate_report *report)
{
    ngx_memzero(report, sizeof(tollgate_report));

    report->struct_size = sizeof(tollgate_report);
    report->fields = ctx->conf->headers;
    report->limits = ngx_http_tollgate_limits;
    report->limits_cap = NGX_HTTP_TOLLGATE_LIMITS;
    report->headers.data = ngx_http_tollgate_fields;
    report->headers.cap = sizeof(ngx_http_tollgate_fields);
    report->plan.data = ngx_http_tollgate_names[0];
    report->plan.cap = sizeof(ngx_http_tollgate_names[0]);
    report->subject.data = ngx_http_tollgate_names[1];
    report->subject.cap = sizeof(ngx_http_tollgate_names[1]);
    report->key_id.data = ngx_http_tollgate_names[2];
    report->key_id.cap = sizeof(ngx_http_tollgate_names[2]);
}


/* decides about a single request */

tollgate_status
ngx_http_tollgate_check_report(ngx_http_tollgate_ctx_t *ctx)
{
    tollgate_report  report;
    tollgate_status  status;

    ngx_http_tollgate_prepare(ctx, &report);

    status = tollgate_check_report(ctx->zone->engine, ctx->requests, &report);

    ctx->decision = report.decision;
    ctx->reported = 1;

    if (status >= 0) {
        ngx_http_tollgate_take(ctx, &report, ctx->requests);
    }

    return status;
}


/* looks, if that was not done */

void
ngx_http_tollgate_report(ngx_http_tollgate_ctx_t *ctx)
{
    ngx_uint_t        i;
    tollgate_report   report;
    tollgate_request  request;

    if (ctx->reported || ctx->zone->engine == NULL) {
        return;
    }

    ctx->reported = 1;

    for (i = 0; i < ctx->n; i++) {

        ngx_http_tollgate_prepare(ctx, &report);

        request = ctx->requests[i];
        request.flags &= ~TOLLGATE_RESERVE;
        request.flags |= TOLLGATE_PEEK;

        if (tollgate_check_report(ctx->zone->engine, &request, &report) >= 0) {
            ngx_http_tollgate_take(ctx, &report, &request);
        }
    }
}


static void
ngx_http_tollgate_take(ngx_http_tollgate_ctx_t *ctx, tollgate_report *report,
    tollgate_request *request)
{
    u_char      *p;
    size_t       len;
    ngx_uint_t   i, n;

    n = ngx_min(report->limits_len, report->limits_cap);

    ctx->scarcer = 0;

    for (i = 0; i < n; i++) {
        ngx_http_tollgate_take_limit(ctx, &report->limits[i], request->cost);
    }

    ngx_http_tollgate_take_text(ctx, &report->plan, &ctx->plan);
    ngx_http_tollgate_take_text(ctx, &report->subject, &ctx->subject);
    ngx_http_tollgate_take_text(ctx, &report->key_id, &ctx->key_id);

    /* what did not fit is an empty string */

    len = ngx_strlen(report->headers.data);

    if (len == 0 || ctx->conf->headers == NGX_HTTP_TOLLGATE_HEADERS_OFF) {
        return;
    }

    /* the old fields know of one limit: the scarcest of all */

    if (ctx->conf->headers == NGX_HTTP_TOLLGATE_HEADERS_LEGACY) {

        if (!ctx->scarcer) {
            return;
        }

        ctx->fields.len = 0;
    }

    p = ngx_pnalloc(ctx->request->pool, ctx->fields.len + len);
    if (p == NULL) {
        return;
    }

    if (ctx->fields.len) {
        ngx_memcpy(p, ctx->fields.data, ctx->fields.len);
    }

    ngx_memcpy(p + ctx->fields.len, report->headers.data, len);

    ctx->fields.data = p;
    ctx->fields.len += len;
}


static void
ngx_http_tollgate_take_limit(ngx_http_tollgate_ctx_t *ctx,
    tollgate_limit_report *limit, uint64_t cost)
{
    double    debt, excess;
    uint64_t  ask;

    /* the scarcest stands for all */

    if (!ctx->limited
        || (double) limit->remaining * ngx_max(ctx->limit, 1)
           < (double) ctx->remaining * ngx_max(limit->limit, 1))
    {
        ctx->limited = 1;
        ctx->scarcer = 1;
        ctx->limit = limit->limit;
        ctx->remaining = limit->remaining;
        ctx->reset_ns = limit->reset_ns;
    }

    if (limit->violated && ctx->violated == 0) {
        ctx->violated = limit->kind;
    }

    /* as nginx counts: a request beyond the rate that comes alone is 0 */

    ask = limit->violated ? cost : 0;

    if (limit->kind == TOLLGATE_THROTTLE && limit->window_ns
        && limit->window_ns != TOLLGATE_NEVER
        && limit->reset_ns != TOLLGATE_NEVER)
    {
        debt = (double) limit->reset_ns / limit->window_ns * limit->limit;
        excess = debt + ask - 1;

    } else {
        excess = (double) ask - limit->remaining;
    }

    if (excess > 0 && excess < 1e15
        && (uint64_t) (excess * 1000 + .5) > ctx->excess
        && (limit->violated || ctx->outcome == NGX_HTTP_TOLLGATE_DELAYED
            || limit->kind == TOLLGATE_THROTTLE))
    {
        ctx->excess = (uint64_t) (excess * 1000 + .5);
    }
}


/* the first limiter that knows is believed */

static void
ngx_http_tollgate_take_text(ngx_http_tollgate_ctx_t *ctx, tollgate_buf *buf,
    ngx_str_t *to)
{
    size_t  len;

    if (to->len) {
        return;
    }

    len = ngx_strlen(buf->data);

    to->data = ngx_pnalloc(ctx->request->pool, len);

    if (to->data) {
        ngx_memcpy(to->data, buf->data, len);
        to->len = len;
    }
}


/* Whole seconds, rounded up, at least 1; NGX_DECLINED where no wait helps, or nothing was refused. */

ngx_int_t
ngx_http_tollgate_retry_after(ngx_http_tollgate_ctx_t *ctx, uint64_t *seconds)
{
    if (!ngx_http_tollgate_limit_refused(ctx->outcome)
        || ctx->decision.retry_after_ns == 0
        || ctx->decision.retry_after_ns == TOLLGATE_NEVER)
    {
        return NGX_DECLINED;
    }

    *seconds = (ctx->decision.retry_after_ns - 1) / 1000000000 + 1;

    return NGX_OK;
}


ngx_int_t
ngx_http_tollgate_header_filter(ngx_http_request_t *r)
{
    u_char                   *p, *end, *colon, *eol;
    uint64_t                  seconds;
    ngx_http_tollgate_ctx_t  *ctx;
    u_char                    retry[sizeof("Retry-After: ") + NGX_INT64_LEN];

    ctx = (r == r->main) ? ngx_http_tollgate_get_ctx(r) : NULL;

    if (ctx == NULL) {
        return ngx_http_next_header_filter(r);
    }

    /* a subrequest that was refused need not be what the client asked for */

    if (!ctx->dry_run
        && (!ctx->subrequest
            || r->headers_out.status >= NGX_HTTP_SPECIAL_RESPONSE)
        && ngx_http_tollgate_retry_after(ctx, &seconds) == NGX_OK)
    {
        p = ngx_sprintf(retry, "Retry-After: %uL", seconds);

        if (ngx_http_tollgate_push(r, retry,
                                   retry + sizeof("Retry-After") - 1, p)
            != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    p = ctx->fields.data;
    end = p + ctx->fields.len;

    while (p < end) {

        /* the library wrote "Name: value" CRLF each */

        eol = ngx_strlchr(p, end, CR);
        colon = ngx_strlchr(p, end, ':');

        if (eol == NULL || colon == NULL) {
            break;
        }

        /* that of the decision about all limiters is there already */

        if (ngx_strncmp(p, "Retry-After:", 12) != 0
            && ngx_http_tollgate_push(r, p, colon, eol) != NGX_OK)
        {
            return NGX_ERROR;
        }

        p = eol + 2;
    }

    return ngx_http_next_header_filter(r);
}


static ngx_int_t
ngx_http_tollgate_push(ngx_http_request_t *r, u_char *line, u_char *colon,
    u_char *end)
{
    u_char           *p;
    ngx_table_elt_t  *h;

    h = ngx_list_push(&r->headers_out.headers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    h->hash = 0;

    p = ngx_pnalloc(r->pool, end - line);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, line, end - line);

    h->hash = 1;
    h->key.data = p;
    h->key.len = colon - line;
    h->value.data = p + h->key.len + 2;
    h->value.len = end - colon - 2;
#if (nginx_version >= 1023000)
    h->next = NULL;
#endif

    return NGX_OK;
}


void
ngx_http_tollgate_init_filter(void)
{
    ngx_http_next_header_filter = ngx_http_top_header_filter;
    ngx_http_top_header_filter = ngx_http_tollgate_header_filter;
}
