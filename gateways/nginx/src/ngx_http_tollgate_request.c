
/*
 * What a request asks of the engine, and the engine's answer.
 *
 * Requests hold pointers into memory of the request's pool: key and route are not copied.
 */


#include "ngx_http_tollgate_module.h"


static ngx_int_t ngx_http_tollgate_fill(ngx_http_request_t *r,
    ngx_http_tollgate_ctx_t *ctx, ngx_http_tollgate_limiter_t *limiter,
    tollgate_request *request);
static ngx_int_t ngx_http_tollgate_key(ngx_http_request_t *r,
    ngx_http_tollgate_limiter_t *limiter, tollgate_str *key);
static ngx_int_t ngx_http_tollgate_text(ngx_http_request_t *r,
    ngx_http_complex_value_t *value, tollgate_str *text);
static ngx_int_t ngx_http_tollgate_route(ngx_http_request_t *r,
    tollgate_str *text);
static tollgate_status ngx_http_tollgate_decide(ngx_http_tollgate_ctx_t *ctx);
static tollgate_status ngx_http_tollgate_pass_unknown(
    ngx_http_tollgate_ctx_t *ctx);
static tollgate_status ngx_http_tollgate_pass_full(
    ngx_http_tollgate_ctx_t *ctx);
static ngx_http_tollgate_outcome_e ngx_http_tollgate_outcome(
    ngx_http_tollgate_ctx_t *ctx);


/* NGX_DECLINED: no limiter of the location is for this request */

ngx_int_t
ngx_http_tollgate_ask(ngx_http_request_t *r, ngx_http_tollgate_ctx_t *ctx)
{
    ngx_int_t                      rc;
    ngx_uint_t                     i, n;
    tollgate_status                status;
    ngx_http_tollgate_limiter_t  **limiter;

    n = ctx->conf->limiters->nelts;
    limiter = ctx->conf->limiters->elts;

    ctx->requests = ngx_palloc(r->pool, n * sizeof(tollgate_request));
    ctx->limiters = ngx_palloc(r->pool,
                               n * sizeof(ngx_http_tollgate_limiter_t *));
    if (ctx->requests == NULL || ctx->limiters == NULL) {
        return NGX_ERROR;
    }

    /* units that a settlement changes have to be named from the beginning */

    for (i = 0; i < n; i++) {
        ctx->settle |= limiter[i]->settle;
    }

    for (i = 0; i < n; i++) {

        rc = ngx_http_tollgate_fill(r, ctx, limiter[i],
                                    &ctx->requests[ctx->n]);
        if (rc == NGX_ERROR) {
            return NGX_ERROR;
        }

        if (rc == NGX_OK) {
            ctx->limiters[ctx->n++] = limiter[i];
        }
    }

    if (ctx->n == 0) {
        return NGX_DECLINED;
    }

    ctx->zone = ctx->limiters[0]->shm_zone->data;

    if (ngx_http_tollgate_engine(ctx->zone, r->connection->log) == NULL) {
        ctx->decision.status = TOLLGATE_ERR_FULL;
        ctx->outcome = NGX_HTTP_TOLLGATE_ERROR;
        return NGX_OK;
    }

    status = ngx_http_tollgate_decide(ctx);

    if (status == TOLLGATE_KEY_UNKNOWN) {
        status = ngx_http_tollgate_pass_unknown(ctx);
    }

    if (status == TOLLGATE_STORE_FULL) {
        (void) ngx_http_tollgate_pass_full(ctx);
    }

    ctx->outcome = ngx_http_tollgate_outcome(ctx);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tollgate_fill(ngx_http_request_t *r, ngx_http_tollgate_ctx_t *ctx,
    ngx_http_tollgate_limiter_t *limiter, tollgate_request *request)
{
    off_t      n;
    size_t     i;
    ngx_str_t  cost;

    ngx_memzero(request, sizeof(tollgate_request));

    if (ngx_http_tollgate_key(r, limiter, &request->key) != NGX_OK) {
        return NGX_ERROR;
    }

    if (limiter->plan.len) {

        if (request->key.len == 0) {
            return NGX_DECLINED;
        }

        request->flags = TOLLGATE_ANONYMOUS;
        request->plan = limiter->plan_name;

    } else if (limiter->unknown_plan.len) {
        request->flags = TOLLGATE_OR_ANONYMOUS;
        request->plan = limiter->plan_name;
    }

    request->stage_name = limiter->stage_name;

    if (limiter->stage && limiter->stage_name == 0
        && ngx_http_tollgate_text(r, limiter->stage, &request->stage)
           != NGX_OK)
    {
        return NGX_ERROR;
    }

    if (limiter->needs & TOLLGATE_NEEDS_ROUTE) {

        request->route_name = limiter->route_name;

        if (limiter->route == NULL) {

            if (ngx_http_tollgate_route(r, &request->route) != NGX_OK) {
                return NGX_ERROR;
            }

        } else if (limiter->route_name == 0
                   && ngx_http_tollgate_text(r, limiter->route,
                                             &request->route)
                      != NGX_OK)
        {
            return NGX_ERROR;
        }
    }

    request->cost = 1;

    if (limiter->cost) {

        if (ngx_http_complex_value(r, limiter->cost, &cost) != NGX_OK) {
            return NGX_ERROR;
        }

        /* what is no number costs what a request costs; one that is too large, more than there is */

        n = ngx_atoof(cost.data, cost.len);

        if (n != NGX_ERROR) {
            request->cost = n;

        } else {

            for (i = 0; i < cost.len; i++) {
                if (cost.data[i] < '0' || cost.data[i] > '9') {
                    break;
                }
            }

            if (cost.len > 0 && i == cost.len) {
                request->cost = (uint64_t) -1;
            }
        }
    }

    if (ctx->settle) {

        /* one byte: who has none left is refused */

        if (ctx->n == 0) {
            ctx->cost = request->cost;
            ctx->costs[0].unit.data = "requests";
            ctx->costs[0].unit.len = sizeof("requests") - 1;
            ctx->costs[0].amount = ctx->cost;
            ctx->costs[1].unit.data = "bytes";
            ctx->costs[1].unit.len = sizeof("bytes") - 1;
            ctx->costs[1].amount = 1;
        }

        request->costs = ctx->costs;
        request->n_costs = 2;
    }

    return NGX_OK;
}


/* An IPv6 address, binary or as text, is cut to its prefix; what maps an IPv4 address is that. */

static ngx_int_t
ngx_http_tollgate_key(ngx_http_request_t *r,
    ngx_http_tollgate_limiter_t *limiter, tollgate_str *key)
{
    ngx_str_t   value;
#if (NGX_HAVE_INET6)
    u_char     *p, addr[16];
    ngx_uint_t  i, bits;
#endif

    if (ngx_http_complex_value(r, &limiter->key, &value) != NGX_OK) {
        return NGX_ERROR;
    }

    key->data = value.data;
    key->len = value.len;

#if (NGX_HAVE_INET6)

    /* of four bytes it is an IPv4 address, which may read like a short IPv6 one */

    if (limiter->prefix == 128 || value.len == 4) {
        return NGX_OK;
    }

    if (ngx_inet6_addr(value.data, value.len, addr) != NGX_OK) {

        if (value.len != 16) {
            return NGX_OK;
        }

        ngx_memcpy(addr, value.data, 16);
    }

    p = ngx_pnalloc(r->pool, 16);
    if (p == NULL) {
        return NGX_ERROR;
    }

    ngx_memcpy(p, addr, 16);

    if (IN6_IS_ADDR_V4MAPPED((struct in6_addr *) addr)) {
        key->data = p + 12;
        key->len = 4;
        return NGX_OK;
    }

    for (i = 0; i < 16; i++) {
        bits = (limiter->prefix > i * 8) ? limiter->prefix - i * 8 : 0;

        if (bits < 8) {
            p[i] &= (u_char) (0xff00 >> bits);
        }
    }

    key->data = p;
    key->len = 16;

#endif

    return NGX_OK;
}


static ngx_int_t
ngx_http_tollgate_text(ngx_http_request_t *r, ngx_http_complex_value_t *value,
    tollgate_str *text)
{
    ngx_str_t  s;

    if (ngx_http_complex_value(r, value, &s) != NGX_OK) {
        return NGX_ERROR;
    }

    text->data = s.data;
    text->len = s.len;

    return NGX_OK;
}


/* "METHOD /path", the path as nginx normalised it */

static ngx_int_t
ngx_http_tollgate_route(ngx_http_request_t *r, tollgate_str *text)
{
    u_char  *p;

    text->len = r->method_name.len + 1 + r->uri.len;

    p = ngx_pnalloc(r->pool, text->len);
    if (p == NULL) {
        return NGX_ERROR;
    }

    text->data = p;

    p = ngx_cpymem(p, r->method_name.data, r->method_name.len);
    *p++ = ' ';
    ngx_memcpy(p, r->uri.data, r->uri.len);

    return NGX_OK;
}


static tollgate_status
ngx_http_tollgate_decide(ngx_http_tollgate_ctx_t *ctx)
{
    ngx_uint_t         i;
    tollgate_request  *first;

    ctx->reported = 0;

    /* limiters may have changed places since the last attempt */

    for (i = 0; i < ctx->n; i++) {
        ctx->requests[i].id.len = 0;
        ctx->requests[i].flags &= ~TOLLGATE_RESERVE;
    }

    if (ctx->n == 0) {
        ngx_memzero(&ctx->decision, sizeof(tollgate_decision));
        ctx->id = 0;
        return TOLLGATE_OK;
    }

    first = ctx->requests;

    ctx->id = ctx->settle;

    for (i = 0; i < ctx->n && ctx->id == 0; i++) {
        ctx->id = ctx->limiters[i]->needs & TOLLGATE_NEEDS_ID;
    }

    if (ctx->id) {
        ctx->id = ++ctx->zone->last_id;
        first->id.data = &ctx->id;
        first->id.len = sizeof(ctx->id);
    }

    if (ctx->settle) {
        first->flags |= TOLLGATE_RESERVE;
        first->ttl_ns = TOLLGATE_NEVER;
    }

    if (ctx->n > 1) {
        return tollgate_check_all(ctx->zone->engine, first, ctx->n,
                                  &ctx->decision);
    }

    if (ctx->conf->headers != NGX_HTTP_TOLLGATE_HEADERS_OFF
        || ctx->zone->main->wants_report)
    {
        return ngx_http_tollgate_check_report(ctx);
    }

    return tollgate_check(ctx->zone->engine, first, &ctx->decision);
}


/* Limiters that let unknown keys pass go, and the others decide alone. */

static tollgate_status
ngx_http_tollgate_pass_unknown(ngx_http_tollgate_ctx_t *ctx)
{
    ngx_uint_t         i, n;
    tollgate_request   request;
    tollgate_decision  decision;

    n = 0;

    for (i = 0; i < ctx->n; i++) {

        request = ctx->requests[i];
        request.flags &= ~TOLLGATE_RESERVE;

        if (ctx->limiters[i]->unknown_pass
            && tollgate_peek(ctx->zone->engine, &request, &decision)
               == TOLLGATE_KEY_UNKNOWN)
        {
            continue;
        }

        ctx->limiters[n] = ctx->limiters[i];
        ctx->requests[n++] = ctx->requests[i];
    }

    if (n == ctx->n) {
        return TOLLGATE_KEY_UNKNOWN;
    }

    ctx->n = n;

    return ngx_http_tollgate_decide(ctx);
}


/* only an anonymous subject can lack room */

static ngx_uint_t
ngx_http_tollgate_passes_full(ngx_http_tollgate_ctx_t *ctx, ngx_uint_t i)
{
    return ctx->limiters[i]->full_pass
           && (ctx->requests[i].flags
               & (TOLLGATE_ANONYMOUS|TOLLGATE_OR_ANONYMOUS));
}


static void
ngx_http_tollgate_swap(ngx_http_tollgate_ctx_t *ctx, ngx_uint_t i,
    ngx_uint_t k)
{
    tollgate_request              request;
    ngx_http_tollgate_limiter_t  *limiter;

    request = ctx->requests[i];
    ctx->requests[i] = ctx->requests[k];
    ctx->requests[k] = request;

    limiter = ctx->limiters[i];
    ctx->limiters[i] = ctx->limiters[k];
    ctx->limiters[k] = limiter;
}


/*
 * Which of several limiters there is no room for is not said: the others decide without it, or, if there is no room
 * for several, without all that pass then.
 */

static tollgate_status
ngx_http_tollgate_pass_full(ngx_http_tollgate_ctx_t *ctx)
{
    ngx_uint_t       i, last;
    tollgate_status  status;

    last = ctx->n - 1;

    for (i = 0; i <= last; i++) {

        if (!ngx_http_tollgate_passes_full(ctx, i)) {
            continue;
        }

        ngx_http_tollgate_swap(ctx, i, last);
        ctx->n = last;

        status = ngx_http_tollgate_decide(ctx);

        if (status != TOLLGATE_STORE_FULL) {
            return status;
        }

        ctx->n = last + 1;
        ngx_http_tollgate_swap(ctx, i, last);
    }

    for (i = 0; i < ctx->n; /* void */ ) {

        if (ngx_http_tollgate_passes_full(ctx, i)) {
            ngx_http_tollgate_swap(ctx, i, --ctx->n);

        } else {
            i++;
        }
    }

    return ctx->n <= last ? ngx_http_tollgate_decide(ctx)
                          : TOLLGATE_STORE_FULL;
}


static ngx_http_tollgate_outcome_e
ngx_http_tollgate_outcome(ngx_http_tollgate_ctx_t *ctx)
{
    tollgate_decision  *decision;

    decision = &ctx->decision;

    switch (decision->status) {

    case TOLLGATE_OK:

        if (!(decision->flags & TOLLGATE_WOULD_DENY)) {
            return decision->delay_ns ? NGX_HTTP_TOLLGATE_DELAYED
                                      : NGX_HTTP_TOLLGATE_PASSED;
        }

        /* plans that observe do not say why */

        ctx->dry_run = 1;
        ngx_http_tollgate_report(ctx);

        switch (ctx->violated) {

        case TOLLGATE_THROTTLE:
            return NGX_HTTP_TOLLGATE_THROTTLED;

        case TOLLGATE_QUOTA:
            return NGX_HTTP_TOLLGATE_QUOTA_EXCEEDED;

        case TOLLGATE_CONCURRENCY:
            return NGX_HTTP_TOLLGATE_CONCURRENCY_EXCEEDED;

        default:
            return NGX_HTTP_TOLLGATE_DENIED;
        }

    case TOLLGATE_THROTTLED:
        return NGX_HTTP_TOLLGATE_THROTTLED;

    case TOLLGATE_QUOTA_EXCEEDED:
        return NGX_HTTP_TOLLGATE_QUOTA_EXCEEDED;

    case TOLLGATE_CONCURRENCY_EXCEEDED:
        return NGX_HTTP_TOLLGATE_CONCURRENCY_EXCEEDED;

    case TOLLGATE_COST_EXCEEDS_LIMIT:
        return NGX_HTTP_TOLLGATE_COST_EXCEEDS_LIMIT;

    case TOLLGATE_KEY_MISSING:
        return NGX_HTTP_TOLLGATE_KEY_MISSING;

    case TOLLGATE_KEY_UNKNOWN:
        return NGX_HTTP_TOLLGATE_KEY_UNKNOWN;

    case TOLLGATE_KEY_DISABLED:
        return NGX_HTTP_TOLLGATE_KEY_DISABLED;

    case TOLLGATE_KEY_EXPIRED:
        return NGX_HTTP_TOLLGATE_KEY_EXPIRED;

    case TOLLGATE_KEY_REVOKED:
        return NGX_HTTP_TOLLGATE_KEY_REVOKED;

    case TOLLGATE_NO_PLAN_FOR_STAGE:
        return NGX_HTTP_TOLLGATE_NO_PLAN_FOR_STAGE;

    case TOLLGATE_STORE_FULL:
        return NGX_HTTP_TOLLGATE_ZONE_FULL;

    default:
        return decision->status > 0 ? NGX_HTTP_TOLLGATE_DENIED
                                    : NGX_HTTP_TOLLGATE_ERROR;
    }
}
