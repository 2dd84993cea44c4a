
/*
 * Variables: what was decided about the main request.  Not found where nothing was, or where there is nothing to say.
 */


#include "ngx_http_tollgate_module.h"


typedef enum {
    NGX_HTTP_TOLLGATE_VAR_STATUS = 0,
    NGX_HTTP_TOLLGATE_VAR_REASON,
    NGX_HTTP_TOLLGATE_VAR_RETRY_AFTER,

    /* from here on a report is needed */
    NGX_HTTP_TOLLGATE_VAR_PLAN,
    NGX_HTTP_TOLLGATE_VAR_SUBJECT,
    NGX_HTTP_TOLLGATE_VAR_KEY_ID,
    NGX_HTTP_TOLLGATE_VAR_LIMIT,
    NGX_HTTP_TOLLGATE_VAR_REMAINING,
    NGX_HTTP_TOLLGATE_VAR_RESET
} ngx_http_tollgate_variable_e;


static ngx_int_t ngx_http_tollgate_variable(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uintptr_t data);
static ngx_int_t ngx_http_tollgate_number(ngx_http_request_t *r,
    ngx_http_variable_value_t *v, uint64_t number);


static ngx_http_variable_t  ngx_http_tollgate_vars[] = {

    { ngx_string("tollgate_status"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_STATUS, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tollgate_reason"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_REASON, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tollgate_retry_after"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_RETRY_AFTER, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tollgate_plan"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_PLAN, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tollgate_subject"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_SUBJECT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tollgate_key_id"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_KEY_ID, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tollgate_limit"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_LIMIT, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tollgate_remaining"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_REMAINING, NGX_HTTP_VAR_NOCACHEABLE, 0 },

    { ngx_string("tollgate_reset"), NULL, ngx_http_tollgate_variable,
      NGX_HTTP_TOLLGATE_VAR_RESET, NGX_HTTP_VAR_NOCACHEABLE, 0 },

      ngx_http_null_variable
};


ngx_int_t
ngx_http_tollgate_add_variables(ngx_conf_t *cf)
{
    ngx_http_variable_t  *var, *v;

    for (v = ngx_http_tollgate_vars; v->name.len; v++) {
        var = ngx_http_add_variable(cf, &v->name, v->flags);
        if (var == NULL) {
            return NGX_ERROR;
        }

        var->get_handler = v->get_handler;
        var->data = v->data;
    }

    return NGX_OK;
}


/* whether the configuration has one that a report is needed for */

ngx_uint_t
ngx_http_tollgate_variables_in_use(ngx_http_core_main_conf_t *cmcf)
{
    ngx_uint_t            i;
    ngx_http_variable_t  *v;

    v = cmcf->variables.elts;

    for (i = 0; i < cmcf->variables.nelts; i++) {
        if (v[i].get_handler == ngx_http_tollgate_variable
            && v[i].data >= NGX_HTTP_TOLLGATE_VAR_PLAN)
        {
            return 1;
        }
    }

    return 0;
}


static ngx_int_t
ngx_http_tollgate_variable(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uintptr_t data)
{
    uint64_t                            seconds;
    const ngx_str_t                    *s;
    ngx_http_tollgate_ctx_t            *ctx;
    const ngx_http_tollgate_outcome_t  *outcome;

    v->not_found = 1;

    ctx = ngx_http_tollgate_get_ctx(r);

    if (ctx == NULL) {
        return NGX_OK;
    }

    /* the name was made at run time, as by SSI */

    if (data >= NGX_HTTP_TOLLGATE_VAR_PLAN) {
        ngx_http_tollgate_report(ctx);
    }

    outcome = &ngx_http_tollgate_outcomes[ctx->outcome];

    switch (data) {

    case NGX_HTTP_TOLLGATE_VAR_STATUS:
        s = ctx->dry_run ? &outcome->dry_run : &outcome->status;
        break;

    case NGX_HTTP_TOLLGATE_VAR_REASON:
        s = &outcome->reason;
        break;

    case NGX_HTTP_TOLLGATE_VAR_PLAN:
        s = &ctx->plan;
        break;

    case NGX_HTTP_TOLLGATE_VAR_SUBJECT:
        s = &ctx->subject;
        break;

    case NGX_HTTP_TOLLGATE_VAR_KEY_ID:
        s = &ctx->key_id;
        break;

    case NGX_HTTP_TOLLGATE_VAR_RETRY_AFTER:

        if (ngx_http_tollgate_retry_after(ctx, &seconds) != NGX_OK) {
            return NGX_OK;
        }

        return ngx_http_tollgate_number(r, v, seconds);

    case NGX_HTTP_TOLLGATE_VAR_LIMIT:

        if (!ctx->limited) {
            return NGX_OK;
        }

        return ngx_http_tollgate_number(r, v, ctx->limit);

    case NGX_HTTP_TOLLGATE_VAR_REMAINING:

        if (!ctx->limited) {
            return NGX_OK;
        }

        return ngx_http_tollgate_number(r, v, ctx->remaining);

    default: /* NGX_HTTP_TOLLGATE_VAR_RESET */

        if (!ctx->limited || ctx->reset_ns == TOLLGATE_NEVER) {
            return NGX_OK;
        }

        seconds = ctx->reset_ns / 1000000000
                  + (ctx->reset_ns % 1000000000 != 0);

        return ngx_http_tollgate_number(r, v, seconds);
    }

    if (s->len == 0) {
        return NGX_OK;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = s->len;
    v->data = s->data;

    return NGX_OK;
}


static ngx_int_t
ngx_http_tollgate_number(ngx_http_request_t *r, ngx_http_variable_value_t *v,
    uint64_t number)
{
    u_char  *p;

    p = ngx_pnalloc(r->pool, NGX_INT64_LEN);
    if (p == NULL) {
        return NGX_ERROR;
    }

    v->valid = 1;
    v->no_cacheable = 0;
    v->not_found = 0;
    v->len = ngx_sprintf(p, "%uL", number) - p;
    v->data = p;

    return NGX_OK;
}
