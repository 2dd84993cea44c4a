
/*
 * The way of a request: decided in the preaccess phase, delayed if it is to be, settled in the log phase, its slots
 * freed with its pool.
 */


#include "ngx_http_tollgate_module.h"


static ngx_int_t ngx_http_tollgate_delay(ngx_http_request_t *r,
    ngx_http_tollgate_ctx_t *ctx);
static void ngx_http_tollgate_delayed(ngx_http_request_t *r);
static ngx_int_t ngx_http_tollgate_refuse(ngx_http_tollgate_ctx_t *ctx);
static void ngx_http_tollgate_hold(ngx_http_tollgate_ctx_t *ctx);
static void ngx_http_tollgate_cleanup(void *data);


ngx_int_t
ngx_http_tollgate_handler(ngx_http_request_t *r)
{
    ngx_int_t                      rc;
    ngx_pool_cleanup_t            *cln;
    ngx_http_tollgate_ctx_t       *ctx;
    ngx_http_tollgate_loc_conf_t  *tlcf;

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_tollgate_module);

    if (tlcf->limiters == NULL || ngx_http_tollgate_get_ctx(r)) {
        return NGX_DECLINED;
    }

    cln = ngx_pool_cleanup_add(r->pool, sizeof(ngx_http_tollgate_ctx_t));
    if (cln == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    ctx = cln->data;
    ngx_memzero(ctx, sizeof(ngx_http_tollgate_ctx_t));

    ctx->request = r->main;
    ctx->subrequest = (r != r->main);
    ctx->conf = tlcf;

    rc = ngx_http_tollgate_ask(r, ctx);

    if (rc == NGX_ERROR) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    if (rc == NGX_DECLINED) {
        return NGX_DECLINED;
    }

    cln->handler = ngx_http_tollgate_cleanup;
    ngx_http_set_ctx(r->main, ctx, ngx_http_tollgate_module);

    /* a wrong key is refused all the same */

    if (tlcf->dry_run && !ngx_http_tollgate_key_refused(ctx->outcome)) {
        ctx->dry_run = 1;
    }

    ngx_http_tollgate_count(ctx);

    /* where a plan that only watches would refuse, others were debited */

    if (ctx->id && ctx->decision.status == TOLLGATE_OK) {
        ngx_http_tollgate_hold(ctx);
    }

    if (tlcf->headers != NGX_HTTP_TOLLGATE_HEADERS_OFF
        || ctx->zone->main->wants_report)
    {
        ngx_http_tollgate_report(ctx);
    }

    if (ctx->outcome == NGX_HTTP_TOLLGATE_PASSED) {
        return NGX_DECLINED;
    }

    ngx_http_tollgate_log(ctx);

    if (ctx->dry_run) {

        /* what a plan that only watches would refuse, others may delay */

        if (!tlcf->dry_run
            && ctx->decision.status == TOLLGATE_OK
            && ctx->decision.delay_ns > 0)
        {
            return ngx_http_tollgate_delay(r, ctx);
        }

        return NGX_DECLINED;
    }

    if (ctx->outcome == NGX_HTTP_TOLLGATE_DELAYED) {
        return ngx_http_tollgate_delay(r, ctx);
    }

    return ngx_http_tollgate_refuse(ctx);
}


static ngx_int_t
ngx_http_tollgate_refuse(ngx_http_tollgate_ctx_t *ctx)
{
    if (ngx_http_tollgate_limit_refused(ctx->outcome)) {
        return ctx->conf->status_code;
    }

    if (ngx_http_tollgate_key_refused(ctx->outcome)) {
        return ctx->conf->key_status;
    }

    return NGX_HTTP_SERVICE_UNAVAILABLE;
}


static ngx_int_t
ngx_http_tollgate_delay(ngx_http_request_t *r, ngx_http_tollgate_ctx_t *ctx)
{
    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    r->read_event_handler = ngx_http_test_reading;
    r->write_event_handler = ngx_http_tollgate_delayed;

    r->connection->write->delayed = 1;

    /* never early */
    ngx_add_timer(r->connection->write,
                  (ngx_msec_t) ((ctx->decision.delay_ns + 999999) / 1000000));

    return NGX_AGAIN;
}


static void
ngx_http_tollgate_delayed(ngx_http_request_t *r)
{
    ngx_event_t  *wev;

    ngx_log_debug0(NGX_LOG_DEBUG_HTTP, r->connection->log, 0,
                   "tollgate delay");

    wev = r->connection->write;

    if (wev->delayed) {

        if (ngx_handle_write_event(wev, 0) != NGX_OK) {
            ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        }

        return;
    }

    if (ngx_handle_read_event(r->connection->read, 0) != NGX_OK) {
        ngx_http_finalize_request(r, NGX_HTTP_INTERNAL_SERVER_ERROR);
        return;
    }

    r->read_event_handler = ngx_http_block_reading;
    r->write_event_handler = ngx_http_core_run_phases;

    ngx_http_core_run_phases(r);
}


ngx_int_t
ngx_http_tollgate_log_handler(ngx_http_request_t *r)
{
    off_t                     sent;
    ngx_http_tollgate_ctx_t  *ctx;

    ctx = ngx_http_tollgate_get_ctx(r);

    if (ctx == NULL || !ctx->holds || !ctx->settle || r != r->main) {
        return NGX_OK;
    }

    sent = r->connection->sent;

    ctx->costs[0].amount = ctx->cost;
    ctx->costs[1].amount = sent > 0 ? (uint64_t) sent : 0;

    (void) tollgate_settle(ctx->zone->engine, &ctx->id, sizeof(ctx->id),
                           ctx->costs, 2, 0, 0, NULL);

    /* that frees slots, too */

    ngx_queue_remove(&ctx->queue);
    ctx->holds = 0;

    return NGX_OK;
}


/*
 * The decision about a request: made at most once, by its first location that limits it.  Internal redirects and
 * finalizations take contexts away, but not what the pool is to clean up.
 */

ngx_http_tollgate_ctx_t *
ngx_http_tollgate_get_ctx(ngx_http_request_t *r)
{
    ngx_pool_cleanup_t       *cln;
    ngx_http_tollgate_ctx_t  *ctx;

    r = r->main;

    ctx = ngx_http_get_module_ctx(r, ngx_http_tollgate_module);

    if (ctx || (!r->internal && !r->filter_finalize)) {
        return ctx;
    }

    for (cln = r->pool->cleanup; cln; cln = cln->next) {
        if (cln->handler == ngx_http_tollgate_cleanup) {
            ctx = cln->data;
            ngx_http_set_ctx(r, ctx, ngx_http_tollgate_module);
            return ctx;
        }
    }

    return NULL;
}


static void
ngx_http_tollgate_hold(ngx_http_tollgate_ctx_t *ctx)
{
    ctx->holds = 1;
    ngx_queue_insert_tail(&ctx->zone->open, &ctx->queue);
}


void
ngx_http_tollgate_release(ngx_http_tollgate_ctx_t *ctx)
{
    (void) tollgate_release(ctx->zone->engine, &ctx->id, sizeof(ctx->id));

    ngx_queue_remove(&ctx->queue);
    ctx->holds = 0;
}


static void
ngx_http_tollgate_cleanup(void *data)
{
    ngx_http_tollgate_ctx_t *ctx = data;

    if (ctx->holds) {
        ngx_http_tollgate_release(ctx);
    }
}
