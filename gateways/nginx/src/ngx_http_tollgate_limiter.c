
/*
 * The directive that makes a limiter.
 */


#include "ngx_http_tollgate_module.h"


static ngx_int_t ngx_http_tollgate_one_cost(ngx_conf_t *cf,
    ngx_array_t *limiters, ngx_http_tollgate_limiter_t *limiter);
static char *ngx_http_tollgate_limiter_value(ngx_conf_t *cf,
    ngx_http_tollgate_limiter_t *limiter, ngx_str_t *name, ngx_str_t *value);
static char *ngx_http_tollgate_complex(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **to);


char *
ngx_http_tollgate_limiter(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tollgate_loc_conf_t *tlcf = conf;

    char                              *rc;
    ngx_str_t                         *value, name, text;
    ngx_uint_t                         i;
    ngx_http_tollgate_limiter_t       *limiter, **limiterp;
    ngx_http_tollgate_main_conf_t     *tmcf;

    value = cf->args->elts;

    limiter = ngx_pcalloc(cf->pool, sizeof(ngx_http_tollgate_limiter_t));
    if (limiter == NULL) {
        return NGX_CONF_ERROR;
    }

    limiter->prefix = 128;

    for (i = 1; i < cf->args->nelts; i++) {

        if (!ngx_http_tollgate_split(&value[i], &name, &text)) {
            name = value[i];
            ngx_str_null(&text);
        }

        rc = ngx_http_tollgate_limiter_value(cf, limiter, &name, &text);

        if (rc == NGX_CONF_OK) {
            continue;
        }

        if (rc != NGX_CONF_ERROR) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "invalid parameter \"%V\" in \"tollgate\": %s",
                               &value[i], rc);
        }

        return NGX_CONF_ERROR;
    }

    if (limiter->shm_zone == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tollgate\" must have \"zone=NAME\"");
        return NGX_CONF_ERROR;
    }

    if (limiter->key.value.data == NULL) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tollgate\" must have \"key=\", such as "
                           "key=$http_x_api_key");
        return NGX_CONF_ERROR;
    }

    if (limiter->plan.len
        && (limiter->unknown_plan.len || limiter->unknown_pass))
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"plan=%V\" in \"tollgate\" takes every key as it "
                           "is: no key is unknown, leave \"unknown_key=\" "
                           "out", &limiter->plan);
        return NGX_CONF_ERROR;
    }

    if (tlcf->limiters == NULL) {
        tlcf->limiters = ngx_array_create(cf->pool, 2,
                                      sizeof(ngx_http_tollgate_limiter_t *));
        if (tlcf->limiters == NULL) {
            return NGX_CONF_ERROR;
        }
    }

    limiterp = tlcf->limiters->elts;

    if (tlcf->limiters->nelts
        && limiterp[0]->shm_zone != limiter->shm_zone)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tollgate\" with zone \"%V\" stands beside one "
                           "with zone \"%V\": what is decided together must "
                           "be in one zone", &limiter->shm_zone->shm.name,
                           &limiterp[0]->shm_zone->shm.name);
        return NGX_CONF_ERROR;
    }

    if (ngx_http_tollgate_one_cost(cf, tlcf->limiters, limiter) != NGX_OK) {
        return NGX_CONF_ERROR;
    }

    if (tlcf->limiters->nelts == NGX_HTTP_TOLLGATE_MAX_LIMITERS) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "too many \"tollgate\" here: at most %d",
                           NGX_HTTP_TOLLGATE_MAX_LIMITERS);
        return NGX_CONF_ERROR;
    }

    limiterp = ngx_array_push(tlcf->limiters);
    if (limiterp == NULL) {
        return NGX_CONF_ERROR;
    }

    *limiterp = limiter;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tollgate_module);

    limiterp = ngx_array_push(&tmcf->limiters);
    if (limiterp == NULL) {
        return NGX_CONF_ERROR;
    }

    *limiterp = limiter;

    return NGX_CONF_OK;
}


/* What is settled is settled for all limiters of a location at once: then each must cost the same. */

static ngx_int_t
ngx_http_tollgate_one_cost(ngx_conf_t *cf, ngx_array_t *limiters,
    ngx_http_tollgate_limiter_t *limiter)
{
    ngx_uint_t                     i, settle, differ;
    ngx_str_t                      none = ngx_null_string;
    ngx_str_t                     *cost, *other;
    ngx_http_tollgate_limiter_t  **limiterp;

    limiterp = limiters->elts;
    settle = limiter->settle;
    differ = 0;

    cost = limiter->cost ? &limiter->cost->value : &none;

    for (i = 0; i < limiters->nelts; i++) {
        other = limiterp[i]->cost ? &limiterp[i]->cost->value : &none;

        settle |= limiterp[i]->settle;
        differ |= other->len != cost->len
                  || (cost->len
                      && ngx_strncmp(other->data, cost->data, cost->len) != 0);
    }

    if (settle && differ) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"cost=%V\" in \"tollgate\" differs from that of "
                           "another one here, while \"settle=bytes\" settles "
                           "all of them at once: give each the same \"cost=\"",
                           cost);
        return NGX_ERROR;
    }

    return NGX_OK;
}


/* NGX_CONF_OK, NGX_CONF_ERROR once it is logged, or what would be right */

static char *
ngx_http_tollgate_limiter_value(ngx_conf_t *cf,
    ngx_http_tollgate_limiter_t *limiter, ngx_str_t *name, ngx_str_t *value)
{
    ngx_int_t                          n;
    ngx_http_compile_complex_value_t   ccv;

    if (ngx_http_tollgate_is(name, "zone")) {

        if (value->len == 0) {
            return "write the name of a \"tollgate_zone\"";
        }

        limiter->shm_zone = ngx_shared_memory_add(cf, value, 0,
                                                  &ngx_http_tollgate_module);

        return limiter->shm_zone ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_http_tollgate_is(name, "key")) {

        if (value->len == 0) {
            return "write what identifies the caller, such as "
                   "key=$http_x_api_key or key=$binary_remote_addr";
        }

        ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

        ccv.cf = cf;
        ccv.value = value;
        ccv.complex_value = &limiter->key;

        return ngx_http_compile_complex_value(&ccv) == NGX_OK
               ? NGX_CONF_OK : NGX_CONF_ERROR;
    }

    if (ngx_http_tollgate_is(name, "plan")) {

        if (value->len == 0) {
            return "write the name of a plan";
        }

        limiter->plan = *value;
        return NGX_CONF_OK;
    }

    if (ngx_http_tollgate_is(name, "stage")) {
        return ngx_http_tollgate_complex(cf, value, &limiter->stage);
    }

    if (ngx_http_tollgate_is(name, "route")) {
        return ngx_http_tollgate_complex(cf, value, &limiter->route);
    }

    if (ngx_http_tollgate_is(name, "cost")) {
        return ngx_http_tollgate_complex(cf, value, &limiter->cost);
    }

    if (ngx_http_tollgate_is(name, "prefix")) {

        n = ngx_atoi(value->data, value->len);

        if (n < 1 || n > 128) {
            return "the prefix of an IPv6 address has 1 to 128 bits";
        }

        limiter->prefix = n;
        return NGX_CONF_OK;
    }

    if (ngx_http_tollgate_is(name, "settle")) {

        if (!ngx_http_tollgate_is(value, "bytes")) {
            return "only settle=bytes can be settled";
        }

        limiter->settle = 1;
        return NGX_CONF_OK;
    }

    if (ngx_http_tollgate_is(name, "unknown_key")) {

        if (ngx_http_tollgate_is(value, "reject")) {
            return NGX_CONF_OK;
        }

        if (ngx_http_tollgate_is(value, "pass")) {
            limiter->unknown_pass = 1;
            return NGX_CONF_OK;
        }

        if (value->len > 5 && ngx_strncmp(value->data, "plan=", 5) == 0) {
            limiter->unknown_plan.data = value->data + 5;
            limiter->unknown_plan.len = value->len - 5;
            return NGX_CONF_OK;
        }

        return "write unknown_key=reject, unknown_key=pass or "
               "unknown_key=plan=NAME";
    }

    if (ngx_http_tollgate_is(name, "zone_full")) {

        if (ngx_http_tollgate_is(value, "reject")) {
            return NGX_CONF_OK;
        }

        if (ngx_http_tollgate_is(value, "pass")) {
            limiter->full_pass = 1;
            return NGX_CONF_OK;
        }

        return "write zone_full=reject or zone_full=pass";
    }

    return "it takes zone=, key=, plan=, stage=, route=, cost=, prefix=, "
           "settle=, unknown_key= and zone_full=";
}


static char *
ngx_http_tollgate_complex(ngx_conf_t *cf, ngx_str_t *value,
    ngx_http_complex_value_t **to)
{
    ngx_http_compile_complex_value_t  ccv;

    if (value->len == 0) {
        return "a value is missing after \"=\"";
    }

    *to = ngx_pcalloc(cf->pool, sizeof(ngx_http_complex_value_t));
    if (*to == NULL) {
        return NGX_CONF_ERROR;
    }

    ngx_memzero(&ccv, sizeof(ngx_http_compile_complex_value_t));

    ccv.cf = cf;
    ccv.value = value;
    ccv.complex_value = *to;

    return ngx_http_compile_complex_value(&ccv) == NGX_OK ? NGX_CONF_OK
                                                          : NGX_CONF_ERROR;
}
