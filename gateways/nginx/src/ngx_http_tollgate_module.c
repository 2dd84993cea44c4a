
#include "ngx_http_tollgate_module.h"


static void *ngx_http_tollgate_create_main_conf(ngx_conf_t *cf);
static void *ngx_http_tollgate_create_loc_conf(ngx_conf_t *cf);
static char *ngx_http_tollgate_merge_loc_conf(ngx_conf_t *cf, void *parent,
    void *child);
static ngx_int_t ngx_http_tollgate_init(ngx_conf_t *cf);
static ngx_int_t ngx_http_tollgate_init_module(ngx_cycle_t *cycle);
static ngx_int_t ngx_http_tollgate_init_process(ngx_cycle_t *cycle);
static void ngx_http_tollgate_exit_process(ngx_cycle_t *cycle);


static ngx_conf_enum_t  ngx_http_tollgate_log_levels[] = {
    { ngx_string("info"), NGX_LOG_INFO },
    { ngx_string("notice"), NGX_LOG_NOTICE },
    { ngx_string("warn"), NGX_LOG_WARN },
    { ngx_string("error"), NGX_LOG_ERR },
    { ngx_null_string, 0 }
};


static ngx_conf_enum_t  ngx_http_tollgate_headers[] = {
    { ngx_string("off"), NGX_HTTP_TOLLGATE_HEADERS_OFF },
    { ngx_string("draft"), NGX_HTTP_TOLLGATE_HEADERS_DRAFT },
    { ngx_string("legacy"), NGX_HTTP_TOLLGATE_HEADERS_LEGACY },
    { ngx_null_string, 0 }
};


static ngx_command_t  ngx_http_tollgate_commands[] = {

    { ngx_string("tollgate_zone"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_1MORE,
      ngx_http_tollgate_zone,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tollgate_plans"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE1,
      ngx_http_tollgate_plans,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tollgate_plan"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_2MORE,
      ngx_http_tollgate_plan,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tollgate_pepper"),
      NGX_HTTP_MAIN_CONF|NGX_CONF_TAKE2,
      ngx_http_tollgate_pepper,
      NGX_HTTP_MAIN_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tollgate"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_1MORE,
      ngx_http_tollgate_limiter,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tollgate_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_tollgate_status_code,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tollgate_key_status"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_tollgate_key_status,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

    { ngx_string("tollgate_dry_run"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_FLAG,
      ngx_conf_set_flag_slot,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tollgate_loc_conf_t, dry_run),
      NULL },

    { ngx_string("tollgate_log_level"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_tollgate_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tollgate_loc_conf_t, log_level),
      &ngx_http_tollgate_log_levels },

    { ngx_string("tollgate_headers"),
      NGX_HTTP_MAIN_CONF|NGX_HTTP_SRV_CONF|NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_tollgate_enum,
      NGX_HTTP_LOC_CONF_OFFSET,
      offsetof(ngx_http_tollgate_loc_conf_t, headers),
      &ngx_http_tollgate_headers },

    { ngx_string("tollgate_status_page"),
      NGX_HTTP_LOC_CONF|NGX_CONF_TAKE1,
      ngx_http_tollgate_status_page,
      NGX_HTTP_LOC_CONF_OFFSET,
      0,
      NULL },

      ngx_null_command
};


static ngx_http_module_t  ngx_http_tollgate_module_ctx = {
    ngx_http_tollgate_add_variables,       /* preconfiguration */
    ngx_http_tollgate_init,                /* postconfiguration */

    ngx_http_tollgate_create_main_conf,    /* create main configuration */
    NULL,                                  /* init main configuration */

    NULL,                                  /* create server configuration */
    NULL,                                  /* merge server configuration */

    ngx_http_tollgate_create_loc_conf,     /* create location configuration */
    ngx_http_tollgate_merge_loc_conf       /* merge location configuration */
};


ngx_module_t  ngx_http_tollgate_module = {
    NGX_MODULE_V1,
    &ngx_http_tollgate_module_ctx,         /* module context */
    ngx_http_tollgate_commands,            /* module directives */
    NGX_HTTP_MODULE,                       /* module type */
    NULL,                                  /* init master */
    ngx_http_tollgate_init_module,         /* init module */
    ngx_http_tollgate_init_process,        /* init process */
    NULL,                                  /* init thread */
    NULL,                                  /* exit thread */
    ngx_http_tollgate_exit_process,        /* exit process */
    NULL,                                  /* exit master */
    NGX_MODULE_V1_PADDING
};


const ngx_http_tollgate_outcome_t
    ngx_http_tollgate_outcomes[NGX_HTTP_TOLLGATE_OUTCOMES] =
{
    { ngx_string("ok"), ngx_string("PASSED"), ngx_string("PASSED"), NULL },
    { ngx_string("delayed"), ngx_string("DELAYED"),
      ngx_string("DELAYED_DRY_RUN"), NULL },
    { ngx_string("throttled"), ngx_string("REJECTED"),
      ngx_string("REJECTED_DRY_RUN"), NULL },
    { ngx_string("quota_exceeded"), ngx_string("REJECTED"),
      ngx_string("REJECTED_DRY_RUN"), NULL },
    { ngx_string("concurrency_exceeded"), ngx_string("REJECTED"),
      ngx_string("REJECTED_DRY_RUN"), NULL },
    { ngx_string("cost_exceeds_limit"), ngx_string("REJECTED"),
      ngx_string("REJECTED_DRY_RUN"), NULL },
    { ngx_string("denied"), ngx_string("REJECTED"),
      ngx_string("REJECTED_DRY_RUN"), NULL },
    { ngx_string("key_missing"), ngx_string("KEY_MISSING"),
      ngx_string("KEY_MISSING"), "no key" },
    { ngx_string("key_unknown"), ngx_string("UNKNOWN_KEY"),
      ngx_string("UNKNOWN_KEY"), "unknown key" },
    { ngx_string("key_disabled"), ngx_string("KEY_DISABLED"),
      ngx_string("KEY_DISABLED"), "disabled key" },
    { ngx_string("key_expired"), ngx_string("KEY_EXPIRED"),
      ngx_string("KEY_EXPIRED"), "expired key" },
    { ngx_string("key_revoked"), ngx_string("KEY_REVOKED"),
      ngx_string("KEY_REVOKED"), "revoked key" },
    { ngx_string("no_plan_for_stage"), ngx_string("NO_PLAN_FOR_STAGE"),
      ngx_string("NO_PLAN_FOR_STAGE"), "no plan for the stage" },
    { ngx_string("zone_full"), ngx_string("ZONE_FULL"),
      ngx_string("ZONE_FULL"), "no room" },
    { ngx_string("error"), ngx_string("ERROR"), ngx_string("ERROR"),
      "no decision" }
};


static void *
ngx_http_tollgate_create_main_conf(ngx_conf_t *cf)
{
    ngx_http_tollgate_main_conf_t  *tmcf;

    tmcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_tollgate_main_conf_t));
    if (tmcf == NULL) {
        return NULL;
    }

    if (ngx_array_init(&tmcf->zones, cf->pool, 1,
                       sizeof(ngx_http_tollgate_zone_t *))
        != NGX_OK
        || ngx_array_init(&tmcf->limiters, cf->pool, 4,
                          sizeof(ngx_http_tollgate_limiter_t *))
           != NGX_OK
        || ngx_array_init(&tmcf->plans, cf->pool, 4, sizeof(tollgate_plan))
           != NGX_OK
        || ngx_array_init(&tmcf->peppers, cf->pool, 1,
                          sizeof(tollgate_pepper))
           != NGX_OK)
    {
        return NULL;
    }

    return tmcf;
}


static void *
ngx_http_tollgate_create_loc_conf(ngx_conf_t *cf)
{
    ngx_http_tollgate_loc_conf_t  *tlcf;

    /*
     * set by ngx_pcalloc():
     *
     *     tlcf->limiters = NULL;
     */

    tlcf = ngx_pcalloc(cf->pool, sizeof(ngx_http_tollgate_loc_conf_t));
    if (tlcf == NULL) {
        return NULL;
    }

    tlcf->status_code = NGX_CONF_UNSET_UINT;
    tlcf->key_status = NGX_CONF_UNSET_UINT;
    tlcf->log_level = NGX_CONF_UNSET_UINT;
    tlcf->headers = NGX_CONF_UNSET_UINT;
    tlcf->status_page = NGX_CONF_UNSET_UINT;
    tlcf->dry_run = NGX_CONF_UNSET;

    return tlcf;
}


static char *
ngx_http_tollgate_merge_loc_conf(ngx_conf_t *cf, void *parent, void *child)
{
    ngx_http_tollgate_loc_conf_t *prev = parent;
    ngx_http_tollgate_loc_conf_t *conf = child;

    if (conf->limiters == NULL) {
        conf->limiters = prev->limiters;
    }

    ngx_conf_merge_uint_value(conf->status_code, prev->status_code,
                              NGX_HTTP_TOO_MANY_REQUESTS);
    ngx_conf_merge_uint_value(conf->key_status, prev->key_status,
                              NGX_HTTP_FORBIDDEN);
    ngx_conf_merge_uint_value(conf->log_level, prev->log_level, NGX_LOG_ERR);
    ngx_conf_merge_uint_value(conf->headers, prev->headers,
                              NGX_HTTP_TOLLGATE_HEADERS_OFF);
    ngx_conf_merge_value(conf->dry_run, prev->dry_run, 0);

    /* "if" and "limit_except" take the handler over */
    ngx_conf_merge_uint_value(conf->status_page, prev->status_page,
                              NGX_CONF_UNSET_UINT);

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_tollgate_init(ngx_conf_t *cf)
{
    ngx_uint_t                       i;
    ngx_http_handler_pt             *h, *handlers;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_tollgate_main_conf_t   *tmcf;
    ngx_http_tollgate_limiter_t    **limiter;

    tmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_tollgate_module);
    cmcf = ngx_http_conf_get_module_main_conf(cf, ngx_http_core_module);

    limiter = tmcf->limiters.elts;

    for (i = 0; i < tmcf->limiters.nelts; i++) {
        if (limiter[i]->shm_zone->data == NULL) {
            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                               "unknown zone \"%V\" in \"tollgate\": there is "
                               "no \"tollgate_zone\" of this name",
                               &limiter[i]->shm_zone->shm.name);
            return NGX_ERROR;
        }
    }

    if (ngx_http_tollgate_check_plans(cf, tmcf) != NGX_OK) {
        return NGX_ERROR;
    }

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    /*
     * The last that is added runs first: behind realip, which may change the
     * address, this one has to be the first of all.
     */

    handlers = cmcf->phases[NGX_HTTP_PREACCESS_PHASE].handlers.elts;

    for ( /* void */ ; h > handlers; h--) {
        h[0] = h[-1];
    }

    *h = ngx_http_tollgate_handler;

    h = ngx_array_push(&cmcf->phases[NGX_HTTP_LOG_PHASE].handlers);
    if (h == NULL) {
        return NGX_ERROR;
    }

    *h = ngx_http_tollgate_log_handler;

    ngx_http_tollgate_init_filter();

    return NGX_OK;
}


/* The configuration holds. */

static ngx_int_t
ngx_http_tollgate_init_module(ngx_cycle_t *cycle)
{
    ngx_uint_t                       i;
    ngx_http_core_main_conf_t       *cmcf;
    ngx_http_tollgate_zone_t       **zone;
    ngx_http_tollgate_main_conf_t   *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_tollgate_module);
    if (tmcf == NULL) {
        return NGX_OK;
    }

    zone = tmcf->zones.elts;

    for (i = 0; i < tmcf->zones.nelts; i++) {
        zone[i]->configuration = ++zone[i]->shared->configuration;
    }

    cmcf = ngx_http_cycle_get_module_main_conf(cycle, ngx_http_core_module);

    tmcf->wants_report = ngx_http_tollgate_variables_in_use(cmcf);

    return NGX_OK;
}


static ngx_int_t
ngx_http_tollgate_init_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                       i;
    ngx_http_tollgate_zone_t       **zone;
    ngx_http_tollgate_main_conf_t   *tmcf;

    if (ngx_process != NGX_PROCESS_WORKER
        && ngx_process != NGX_PROCESS_SINGLE)
    {
        return NGX_OK;
    }

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_tollgate_module);
    if (tmcf == NULL) {
        return NGX_OK;
    }

    zone = tmcf->zones.elts;

    for (i = 0; i < tmcf->zones.nelts; i++) {

        /* without an engine requests are refused, and it is tried again */

        (void) ngx_http_tollgate_engine(zone[i], cycle->log);
    }

    return NGX_OK;
}


/* nginx does not clean up requests that a fast shutdown cuts off */

static void
ngx_http_tollgate_exit_process(ngx_cycle_t *cycle)
{
    ngx_uint_t                       i;
    ngx_queue_t                     *q;
    ngx_http_tollgate_ctx_t         *ctx;
    ngx_http_tollgate_zone_t       **zone;
    ngx_http_tollgate_main_conf_t   *tmcf;

    tmcf = ngx_http_cycle_get_module_main_conf(cycle,
                                               ngx_http_tollgate_module);
    if (tmcf == NULL) {
        return;
    }

    zone = tmcf->zones.elts;

    for (i = 0; i < tmcf->zones.nelts; i++) {

        while (!ngx_queue_empty(&zone[i]->open)) {
            q = ngx_queue_head(&zone[i]->open);
            ctx = ngx_queue_data(q, ngx_http_tollgate_ctx_t, queue);
            ngx_http_tollgate_release(ctx);
        }
    }
}
