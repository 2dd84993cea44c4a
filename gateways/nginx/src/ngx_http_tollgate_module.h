
/*
 * ngx_http_tollgate_module: API keys, usage plans, rate limits and quotas for nginx, by the tollgate engine.
 *
 * All workers count in one region of memory: that of the nginx zone, or a file that the master maps.  The master makes
 * nothing else that lives on: an engine is a worker's own, attached to the region after the fork, with the plans that
 * the master read.
 */


#ifndef _NGX_HTTP_TOLLGATE_MODULE_H_INCLUDED_
#define _NGX_HTTP_TOLLGATE_MODULE_H_INCLUDED_


#include <ngx_config.h>
#include <ngx_core.h>
#include <ngx_http.h>

#define TOLLGATE_STATIC
#include <tollgate.h>


/* limiters in one location: as many as tollgate_check_all() takes */
#define NGX_HTTP_TOLLGATE_MAX_LIMITERS  16

/* values of tollgate_headers */
#define NGX_HTTP_TOLLGATE_HEADERS_OFF     TOLLGATE_FIELDS_OFF
#define NGX_HTTP_TOLLGATE_HEADERS_DRAFT   TOLLGATE_FIELDS_DRAFT
#define NGX_HTTP_TOLLGATE_HEADERS_LEGACY  TOLLGATE_FIELDS_LEGACY


/* what became of a request; also the index of its counter */
typedef enum {
    NGX_HTTP_TOLLGATE_PASSED = 0,
    NGX_HTTP_TOLLGATE_DELAYED,
    NGX_HTTP_TOLLGATE_THROTTLED,
    NGX_HTTP_TOLLGATE_QUOTA_EXCEEDED,
    NGX_HTTP_TOLLGATE_CONCURRENCY_EXCEEDED,
    NGX_HTTP_TOLLGATE_COST_EXCEEDS_LIMIT,
    NGX_HTTP_TOLLGATE_DENIED,
    NGX_HTTP_TOLLGATE_KEY_MISSING,
    NGX_HTTP_TOLLGATE_KEY_UNKNOWN,
    NGX_HTTP_TOLLGATE_KEY_DISABLED,
    NGX_HTTP_TOLLGATE_KEY_EXPIRED,
    NGX_HTTP_TOLLGATE_KEY_REVOKED,
    NGX_HTTP_TOLLGATE_NO_PLAN_FOR_STAGE,
    NGX_HTTP_TOLLGATE_ZONE_FULL,
    NGX_HTTP_TOLLGATE_ERROR,
    NGX_HTTP_TOLLGATE_OUTCOMES
} ngx_http_tollgate_outcome_e;


typedef struct {
    ngx_str_t                        reason;      /* $tollgate_reason */
    ngx_str_t                        status;      /* $tollgate_status */
    ngx_str_t                        dry_run;     /* $tollgate_status of a dry run */
    const char                      *phrase;      /* in the log, of what is not a limit's refusal */
} ngx_http_tollgate_outcome_t;


/* Lines of a worker's own: workers do not wait for each other's caches. */
typedef struct {
    ngx_atomic_t                     enforced[16];
    ngx_atomic_t                     dry_run[16];
} ngx_http_tollgate_counters_t;


#define NGX_HTTP_TOLLGATE_WORKERS    16
#define NGX_HTTP_TOLLGATE_LOG_SLOTS  1024

/* Begins the zone's memory; the region follows, unless it is a file. */
typedef struct {
    ngx_http_tollgate_counters_t     counters[NGX_HTTP_TOLLGATE_WORKERS];
    /* number of the configuration that holds; the master alone writes it */
    ngx_atomic_t                     configuration;
    /* the second in which a line was logged last for a key of this hash */
    ngx_atomic_t                     logged[NGX_HTTP_TOLLGATE_LOG_SLOTS];
} ngx_http_tollgate_shared_t;


typedef struct {
    ngx_array_t                      zones;       /* ngx_http_tollgate_zone_t * */
    ngx_array_t                      limiters;    /* ngx_http_tollgate_limiter_t * */
    ngx_array_t                      plans;       /* tollgate_plan: tollgate_plan directives */
    ngx_array_t                      peppers;     /* tollgate_pepper */
    ngx_str_t                        path;        /* tollgate_plans */
    /* the plan file as the master read it: workers attach with the same, whatever the file is by then */
    ngx_str_t                        text;
    unsigned                         json:1;
    /* variables in use need to know who asks, and how the limits stand */
    unsigned                         wants_report:1;
} ngx_http_tollgate_main_conf_t;


typedef struct {
    ngx_str_t                        name;
    size_t                           size;        /* as configured */
    uint64_t                         cells;
    uint64_t                         lines;
    ngx_str_t                        file;        /* empty: the region is in the zone */

    ngx_shm_zone_t                  *shm_zone;
    ngx_http_tollgate_main_conf_t   *main;
    ngx_http_tollgate_shared_t      *shared;
    u_char                          *region;
    size_t                           region_len;
    u_char                          *mapping;     /* of the file, by this cycle */
    ngx_atomic_uint_t                configuration;

    /* of this process */
    tollgate_engine                 *engine;
    time_t                           tried;       /* when an engine was asked for in vain */
    uint64_t                         last_id;
    ngx_queue_t                      open;        /* requests that hold slots: ngx_http_tollgate_ctx_t */
} ngx_http_tollgate_zone_t;


typedef struct {
    ngx_shm_zone_t                  *shm_zone;
    ngx_http_complex_value_t         key;
    ngx_str_t                        plan;
    ngx_http_complex_value_t        *stage;
    ngx_http_complex_value_t        *route;
    ngx_http_complex_value_t        *cost;
    ngx_uint_t                       prefix;      /* bits of an IPv6 address; 128: all */
    ngx_str_t                        unknown_plan;
    unsigned                         unknown_pass:1;
    unsigned                         full_pass:1;
    unsigned                         settle:1;

    /* of this process: numbers of its engine */
    tollgate_name                    plan_name;   /* of plan or unknown_plan */
    tollgate_name                    stage_name;  /* where it has no variables */
    tollgate_name                    route_name;
    uint32_t                         needs;       /* TOLLGATE_NEEDS_... */
} ngx_http_tollgate_limiter_t;


typedef struct {
    ngx_array_t                     *limiters;    /* ngx_http_tollgate_limiter_t * */
    ngx_uint_t                       status_code;
    ngx_uint_t                       key_status;
    ngx_uint_t                       log_level;
    ngx_uint_t                       headers;
    ngx_flag_t                       dry_run;
    ngx_uint_t                       status_page;
} ngx_http_tollgate_loc_conf_t;


/* Of a main request, once it was decided; found through its pool's cleanups where the context was taken away. */
typedef struct {
    ngx_http_request_t              *request;     /* the main one */
    ngx_http_tollgate_zone_t        *zone;
    ngx_http_tollgate_loc_conf_t    *conf;        /* of the location that decided */
    ngx_http_tollgate_limiter_t    **limiters;    /* those that took part */
    tollgate_request                *requests;    /* what they asked */
    ngx_uint_t                       n;

    tollgate_decision                decision;
    ngx_http_tollgate_outcome_e      outcome;
    unsigned                         dry_run:1;
    unsigned                         settle:1;
    unsigned                         holds:1;     /* it is in the zone's queue */
    unsigned                         reported:1;
    unsigned                         subrequest:1;  /* decided there */

    uint64_t                         id;          /* 0: none */
    uint64_t                         cost;        /* in requests, of one that is settled */
    tollgate_cost                    costs[2];
    ngx_queue_t                      queue;

    /* once it is reported */
    ngx_str_t                        plan;
    ngx_str_t                        subject;
    ngx_str_t                        key_id;
    ngx_str_t                        fields;      /* header lines */
    unsigned                         limited:1;   /* the next three are a limit's */
    unsigned                         scarcer:1;   /* of the report at hand */
    uint64_t                         limit;
    uint64_t                         remaining;
    uint64_t                         reset_ns;
    /* the largest of a limit that refuses or waits, in thousandths of a request */
    uint64_t                         excess;
    uint32_t                         violated;    /* kind of the first limit that refuses, or would */
} ngx_http_tollgate_ctx_t;


#define ngx_http_tollgate_refused(outcome)                                    \
    ((outcome) >= NGX_HTTP_TOLLGATE_THROTTLED)

#define ngx_http_tollgate_limit_refused(outcome)                              \
    ((outcome) >= NGX_HTTP_TOLLGATE_THROTTLED                                 \
     && (outcome) <= NGX_HTTP_TOLLGATE_DENIED)

#define ngx_http_tollgate_key_refused(outcome)                                \
    ((outcome) >= NGX_HTTP_TOLLGATE_KEY_MISSING                               \
     && (outcome) <= NGX_HTTP_TOLLGATE_NO_PLAN_FOR_STAGE)


/* ngx_http_tollgate_module.c */
extern ngx_module_t  ngx_http_tollgate_module;
extern const ngx_http_tollgate_outcome_t
    ngx_http_tollgate_outcomes[NGX_HTTP_TOLLGATE_OUTCOMES];

/* ngx_http_tollgate_conf.c */
char *ngx_http_tollgate_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tollgate_status_code(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_tollgate_key_status(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
char *ngx_http_tollgate_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
ngx_uint_t ngx_http_tollgate_split(ngx_str_t *param, ngx_str_t *name,
    ngx_str_t *value);
ngx_uint_t ngx_http_tollgate_is(ngx_str_t *name, const char *text);

/* ngx_http_tollgate_limiter.c */
char *ngx_http_tollgate_limiter(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);

/* ngx_http_tollgate_plan.c */
char *ngx_http_tollgate_plans(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tollgate_plan(ngx_conf_t *cf, ngx_command_t *cmd, void *conf);
char *ngx_http_tollgate_pepper(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);
void ngx_http_tollgate_changes(ngx_http_tollgate_main_conf_t *tmcf,
    tollgate_changes *changes);
ngx_int_t ngx_http_tollgate_check_plans(ngx_conf_t *cf,
    ngx_http_tollgate_main_conf_t *tmcf);

/* ngx_http_tollgate_zone.c */
ngx_int_t ngx_http_tollgate_fit(ngx_http_tollgate_zone_t *zone, size_t len);
size_t ngx_http_tollgate_room(size_t size);
size_t ngx_http_tollgate_shm_size(ngx_http_tollgate_zone_t *zone);
ngx_int_t ngx_http_tollgate_init_zone(ngx_shm_zone_t *shm_zone, void *data);
void ngx_http_tollgate_close_zone(void *data);
tollgate_engine *ngx_http_tollgate_engine(ngx_http_tollgate_zone_t *zone,
    ngx_log_t *log);
void ngx_http_tollgate_count(ngx_http_tollgate_ctx_t *ctx);

/* ngx_http_tollgate_request.c */
ngx_int_t ngx_http_tollgate_ask(ngx_http_request_t *r,
    ngx_http_tollgate_ctx_t *ctx);

/* ngx_http_tollgate_handler.c */
ngx_int_t ngx_http_tollgate_handler(ngx_http_request_t *r);
ngx_int_t ngx_http_tollgate_log_handler(ngx_http_request_t *r);
ngx_http_tollgate_ctx_t *ngx_http_tollgate_get_ctx(ngx_http_request_t *r);
void ngx_http_tollgate_release(ngx_http_tollgate_ctx_t *ctx);

/* ngx_http_tollgate_report.c */
tollgate_status ngx_http_tollgate_check_report(ngx_http_tollgate_ctx_t *ctx);
void ngx_http_tollgate_report(ngx_http_tollgate_ctx_t *ctx);
ngx_int_t ngx_http_tollgate_header_filter(ngx_http_request_t *r);
void ngx_http_tollgate_init_filter(void);
ngx_int_t ngx_http_tollgate_retry_after(ngx_http_tollgate_ctx_t *ctx,
    uint64_t *seconds);

/* ngx_http_tollgate_log.c */
void ngx_http_tollgate_log(ngx_http_tollgate_ctx_t *ctx);

/* ngx_http_tollgate_variables.c */
ngx_int_t ngx_http_tollgate_add_variables(ngx_conf_t *cf);
ngx_uint_t ngx_http_tollgate_variables_in_use(ngx_http_core_main_conf_t *cmcf);

/* ngx_http_tollgate_status_page.c */
char *ngx_http_tollgate_status_page(ngx_conf_t *cf, ngx_command_t *cmd,
    void *conf);


#endif /* _NGX_HTTP_TOLLGATE_MODULE_H_INCLUDED_ */
