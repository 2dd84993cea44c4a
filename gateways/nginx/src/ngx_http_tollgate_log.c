
/*
 * Lines in the error log, in the words of limit_req, so that what reads its lines reads these.
 *
 * At most one per key and second, of all workers: two keys of one hash may share a line.  No line holds a key.
 */


#include "ngx_http_tollgate_module.h"


static ngx_uint_t
ngx_http_tollgate_may_log(ngx_http_tollgate_ctx_t *ctx)
{
    uint32_t             hash;
    ngx_uint_t           i;
    ngx_atomic_t        *logged;
    tollgate_request    *request;
    ngx_atomic_uint_t    now, last;

    ngx_crc32_init(hash);

    for (i = 0; i < ctx->n; i++) {
        request = &ctx->requests[i];
        ngx_crc32_update(&hash, (u_char *) request->key.data,
                         request->key.len);
    }

    ngx_crc32_final(hash);

    /* a delay does not hide a refusal */

    hash += (ctx->outcome == NGX_HTTP_TOLLGATE_DELAYED);

    logged = &ctx->zone->shared->logged[hash % NGX_HTTP_TOLLGATE_LOG_SLOTS];

    now = (ngx_atomic_uint_t) ngx_time();
    last = *logged;

    /* a worker whose clock is behind is no other second */

    return (ngx_atomic_int_t) (now - last) > 0
           && ngx_atomic_cmp_set(logged, last, now);
}


void
ngx_http_tollgate_log(ngx_http_tollgate_ctx_t *ctx)
{
    ngx_log_t                          *log;
    ngx_uint_t                          level;
    const char                         *dry_run;
    const ngx_http_tollgate_outcome_t  *outcome;

    log = ctx->request->connection->log;
    level = ctx->conf->log_level;

    /* delays one level below refusals */

    if (ctx->outcome == NGX_HTTP_TOLLGATE_DELAYED && level < NGX_LOG_INFO) {
        level++;
    }

    if (log->log_level < level || !ngx_http_tollgate_may_log(ctx)) {
        return;
    }

    dry_run = ctx->dry_run ? ", dry run" : "";
    outcome = &ngx_http_tollgate_outcomes[ctx->outcome];

    if (outcome->phrase) {

        /* nothing of what was asked for was to be had */

        ngx_log_error(level, log, 0,
                      "limiting requests%s, excess: %uL.000 by zone \"%V\", %s",
                      dry_run, ctx->requests[0].cost, &ctx->zone->name,
                      outcome->phrase);
        return;
    }

    ngx_http_tollgate_report(ctx);

    if (ctx->outcome == NGX_HTTP_TOLLGATE_DELAYED) {
        ngx_log_error(level, log, 0,
                      "delaying request%s, excess: %uL.%03uL, by zone \"%V\"",
                      dry_run, ctx->excess / 1000, ctx->excess % 1000,
                      &ctx->zone->name);
        return;
    }

    ngx_log_error(level, log, 0,
                  "limiting requests%s, excess: %uL.%03uL by zone \"%V\"",
                  dry_run, ctx->excess / 1000, ctx->excess % 1000,
                  &ctx->zone->name);
}
