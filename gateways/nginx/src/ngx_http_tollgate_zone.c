
/*
 * The zone: counters of requests, and the region that engines of all workers are attached to.
 *
 * The master formats the region and makes room for what is new, by an engine that ends at once and leaves what is there as it
 * is: as long as the configuration may still be refused, nothing of it takes effect.  The workers put plans, and states of
 * keys, in place, and give back the room of subjects that are no longer listed.  A reload takes the memory over: what was
 * counted stays.
 */


#include "ngx_http_tollgate_module.h"

#include <sys/mman.h>


#define NGX_HTTP_TOLLGATE_ALIGN      64

/* of a region that is a file, the zone holds the counters alone */
#define NGX_HTTP_TOLLGATE_FILE_SHM   (16 * ngx_pagesize)

/* percent of the room for state that lines get, if "lines=" does not say */
#define NGX_HTTP_TOLLGATE_LINES      10


static ngx_int_t ngx_http_tollgate_lay_out(ngx_http_tollgate_zone_t *zone);
static ngx_int_t ngx_http_tollgate_map(ngx_http_tollgate_zone_t *zone,
    ngx_log_t *log);
static ngx_int_t ngx_http_tollgate_make_room(ngx_http_tollgate_zone_t *zone,
    ngx_log_t *log);
static tollgate_status ngx_http_tollgate_attach(ngx_http_tollgate_zone_t *zone,
    uint32_t flags, tollgate_engine **engine, tollgate_error *error);
static ngx_int_t ngx_http_tollgate_names(ngx_http_tollgate_zone_t *zone,
    ngx_log_t *log);


/* bytes for a region in a zone of so many */

size_t
ngx_http_tollgate_room(size_t size)
{
    size_t  pages, taken;

    pages = size / ngx_pagesize;

    /* the slab pool's own: its header and classes, a descriptor per page */

    taken = 2 * ngx_pagesize + pages * sizeof(ngx_slab_page_t)
            + sizeof(ngx_http_tollgate_shared_t) + NGX_HTTP_TOLLGATE_ALIGN;

    taken = ngx_align(taken, ngx_pagesize);

    return pages * ngx_pagesize > taken ? pages * ngx_pagesize - taken : 0;
}


size_t
ngx_http_tollgate_shm_size(ngx_http_tollgate_zone_t *zone)
{
    return zone->file.len ? NGX_HTTP_TOLLGATE_FILE_SHM : zone->size;
}


/* As many cells as fit into "len" bytes beside the lines. */

ngx_int_t
ngx_http_tollgate_fit(ngx_http_tollgate_zone_t *zone, size_t len)
{
    uint64_t         low, high, bytes;
    tollgate_config  config = TOLLGATE_CONFIG_INIT;

    config.max_cells = 1;
    config.max_lines = 1;

    if (tollgate_region_size(&config, &bytes) != TOLLGATE_OK || bytes > len) {
        return NGX_ERROR;
    }

    if (zone->lines == NGX_CONF_UNSET_SIZE) {
        zone->lines = (len - bytes) / 100 * NGX_HTTP_TOLLGATE_LINES / 64;
    }

    /* 0 stands for a default of the library */

    config.max_lines = zone->lines = ngx_max(zone->lines, 1);

    low = 0;
    high = len / 16;

    while (low < high) {

        config.max_cells = (low + high + 1) / 2;

        if (tollgate_region_size(&config, &bytes) == TOLLGATE_OK
            && bytes <= len)
        {
            low = config.max_cells;
            zone->region_len = bytes;

        } else {
            high = config.max_cells - 1;
        }
    }

    zone->cells = low;

    return low ? NGX_OK : NGX_ERROR;
}


ngx_int_t
ngx_http_tollgate_init_zone(ngx_shm_zone_t *shm_zone, void *data)
{
    ngx_http_tollgate_zone_t  *zone, *old;

    zone = shm_zone->data;
    old = data;

    if (old && zone->file.len == 0) {
        zone->shared = old->shared;
        zone->region = old->region;

        return ngx_http_tollgate_make_room(zone, shm_zone->shm.log);
    }

    if (old) {
        zone->shared = old->shared;

    } else if (ngx_http_tollgate_lay_out(zone) != NGX_OK) {
        return NGX_ERROR;
    }

    if (zone->file.len) {

        /* a test leaves alone what others may be using */

        if (ngx_test_config) {
            return NGX_OK;
        }

        if (ngx_http_tollgate_map(zone, shm_zone->shm.log) != NGX_OK) {
            return NGX_ERROR;
        }
    }

    return ngx_http_tollgate_make_room(zone, shm_zone->shm.log);
}


/* All of the zone is one block of its slab pool: nothing else is ever asked of that. */

static ngx_int_t
ngx_http_tollgate_lay_out(ngx_http_tollgate_zone_t *zone)
{
    size_t            len;
    ngx_slab_pool_t  *shpool;

    shpool = (ngx_slab_pool_t *) zone->shm_zone->shm.addr;

    len = sizeof(ngx_http_tollgate_shared_t);

    if (zone->file.len == 0) {
        len = ngx_align(len, NGX_HTTP_TOLLGATE_ALIGN) + zone->region_len;
    }

    zone->shared = ngx_slab_alloc(shpool, len);
    if (zone->shared == NULL) {
        return NGX_ERROR;
    }

    /* pages that were never in use are zeroed, as shared memory comes */

    ngx_memzero(zone->shared, sizeof(ngx_http_tollgate_shared_t));

    if (zone->file.len == 0) {
        zone->region = (u_char *) zone->shared
                       + ngx_align(sizeof(ngx_http_tollgate_shared_t),
                                   NGX_HTTP_TOLLGATE_ALIGN);
    }

    return NGX_OK;
}


static ngx_int_t
ngx_http_tollgate_map(ngx_http_tollgate_zone_t *zone, ngx_log_t *log)
{
    int              err;
    void            *addr;
    ngx_fd_t         fd;
    ngx_int_t        rc;
    ngx_file_info_t  fi;

    fd = ngx_open_file(zone->file.data, NGX_FILE_RDWR,
                       NGX_FILE_CREATE_OR_OPEN, 0600);

    if (fd == NGX_INVALID_FILE) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      ngx_open_file_n " \"%V\" of tollgate_zone \"%V\" failed",
                      &zone->file, &zone->name);
        return NGX_ERROR;
    }

    rc = NGX_ERROR;

    if (ngx_fd_info(fd, &fi) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      ngx_fd_info_n " \"%V\" failed", &zone->file);
        goto done;
    }

    if (ngx_file_size(&fi) == 0) {

        /* a hole could not be filled on a full disk, once it is mapped */

        err = posix_fallocate(fd, 0, zone->region_len);
        if (err) {
            ngx_log_error(NGX_LOG_EMERG, log, err,
                          "posix_fallocate() of %uz bytes for \"%V\" failed",
                          zone->region_len, &zone->file);
            goto done;
        }

    } else if ((uint64_t) ngx_file_size(&fi) != zone->region_len) {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "\"%V\" of tollgate_zone \"%V\" has %O bytes, while %uz "
                      "bytes and lines=%uL need %uz: give the zone the size "
                      "that the file was made with, or another file",
                      &zone->file, &zone->name, ngx_file_size(&fi),
                      zone->size, zone->lines, zone->region_len);
        goto done;
    }

    addr = mmap(NULL, zone->region_len, PROT_READ|PROT_WRITE, MAP_SHARED, fd,
                0);

    if (addr == MAP_FAILED) {
        ngx_log_error(NGX_LOG_EMERG, log, ngx_errno,
                      "mmap() of %uz bytes of \"%V\" failed",
                      zone->region_len, &zone->file);
        goto done;
    }

    zone->mapping = addr;
    zone->region = addr;
    rc = NGX_OK;

done:

    if (ngx_close_file(fd) == NGX_FILE_ERROR) {
        ngx_log_error(NGX_LOG_ALERT, log, ngx_errno,
                      ngx_close_file_n " \"%V\" failed", &zone->file);
    }

    return rc;
}


static ngx_int_t
ngx_http_tollgate_make_room(ngx_http_tollgate_zone_t *zone, ngx_log_t *log)
{
    tollgate_error    error;
    tollgate_engine  *engine;

    if (ngx_http_tollgate_attach(zone, TOLLGATE_CONFIG_AS_FOUND, &engine,
                                 &error)
        != TOLLGATE_OK)
    {
        ngx_log_error(NGX_LOG_EMERG, log, 0,
                      "tollgate_zone \"%V\"%s%V: %s%s%s", &zone->name,
                      zone->file.len ? " in " : "", &zone->file,
                      error.field, error.field[0] ? ": " : "", error.message);
        return NGX_ERROR;
    }

    tollgate_destroy(engine);

    return NGX_OK;
}


static tollgate_status
ngx_http_tollgate_attach(ngx_http_tollgate_zone_t *zone,
    uint32_t flags, tollgate_engine **engine, tollgate_error *error)
{
    tollgate_config                 config = TOLLGATE_CONFIG_INIT;
    tollgate_changes                changes;
    ngx_http_tollgate_main_conf_t  *tmcf;

    tmcf = zone->main;

    config.flags = flags;
    config.max_cells = zone->cells;
    config.max_lines = zone->lines;
    config.region = zone->region;
    config.region_len = zone->region_len;
    config.peppers = tmcf->peppers.elts;
    config.n_peppers = tmcf->peppers.nelts;

    /* an id per request in flight, and room for as many more */

    config.max_ids = ngx_max(65536, 2 * ngx_cycle->connection_n);

    /* each limiter has three, at most */

    config.max_names = ngx_min(65536, 3 * tmcf->limiters.nelts + 1);

    ngx_http_tollgate_changes(tmcf, &changes);
    changes.flags = TOLLGATE_CHANGES_COMPLETE;

    return tollgate_create(&config, &changes, engine, error);
}


/* with the cycle's pool: in the master, of the old cycle or of one that is refused; in a worker, at its end */

void
ngx_http_tollgate_close_zone(void *data)
{
    ngx_http_tollgate_zone_t *zone = data;

    tollgate_destroy(zone->engine);
    zone->engine = NULL;

    if (zone->mapping) {
        (void) munmap(zone->mapping, zone->region_len);
        zone->mapping = NULL;
    }
}


/*
 * This process's engine; NULL if there is none, which is tried again once a second.  A worker of a configuration that
 * another has taken the place of undoes nothing of that.
 */

tollgate_engine *
ngx_http_tollgate_engine(ngx_http_tollgate_zone_t *zone, ngx_log_t *log)
{
    uint32_t        flags;
    tollgate_error  error;

    if (zone->engine) {
        return zone->engine;
    }

    if (zone->tried == ngx_time()) {
        return NULL;
    }

    zone->tried = ngx_time();

    flags = (zone->shared->configuration != zone->configuration)
            ? TOLLGATE_CONFIG_AS_FOUND : 0;

    if (ngx_http_tollgate_attach(zone, flags, &zone->engine, &error)
        != TOLLGATE_OK)
    {
        zone->engine = NULL;

        ngx_log_error(NGX_LOG_CRIT, log, 0, "tollgate_zone \"%V\": %s: %s",
                      &zone->name, error.field, error.message);
        return NULL;
    }

    if (ngx_http_tollgate_names(zone, log) != NGX_OK) {
        tollgate_destroy(zone->engine);
        zone->engine = NULL;
    }

    return zone->engine;
}


static ngx_int_t
ngx_http_tollgate_names(ngx_http_tollgate_zone_t *zone, ngx_log_t *log)
{
    ngx_str_t                     *plan;
    ngx_uint_t                     i, n;
    tollgate_name                 *name;
    tollgate_status                rc;
    ngx_http_complex_value_t      *value;
    ngx_http_tollgate_limiter_t   *limiter, **limiterp;

    limiterp = zone->main->limiters.elts;

    for (i = 0; i < zone->main->limiters.nelts; i++) {

        limiter = limiterp[i];

        if (limiter->shm_zone != zone->shm_zone) {
            continue;
        }

        plan = limiter->plan.len ? &limiter->plan : &limiter->unknown_plan;
        rc = TOLLGATE_OK;

        if (plan->len) {
            rc = tollgate_intern(zone->engine, plan->data, plan->len,
                                 &limiter->plan_name);
        }

        for (n = 0; n < 2 && rc == TOLLGATE_OK; n++) {

            value = n ? limiter->route : limiter->stage;
            name = n ? &limiter->route_name : &limiter->stage_name;

            if (value && value->lengths == NULL) {
                rc = tollgate_intern(zone->engine, value->value.data,
                                     value->value.len, name);
            }
        }

        /* who has a key may be on any plan; so may who is unknown */

        if (rc == TOLLGATE_OK) {
            rc = tollgate_needs(zone->engine, limiter->plan.data,
                                limiter->plan.len, &limiter->needs);
        }

        if (rc != TOLLGATE_OK) {
            ngx_log_error(NGX_LOG_CRIT, log, 0,
                          "tollgate_zone \"%V\": a name of its limiters was "
                          "refused: %s", &zone->name,
                          tollgate_status_message(rc));
            return NGX_ERROR;
        }
    }

    return NGX_OK;
}


void
ngx_http_tollgate_count(ngx_http_tollgate_ctx_t *ctx)
{
    ngx_http_tollgate_counters_t  *counters;

    counters = &ctx->zone->shared->counters[ngx_worker
                                            % NGX_HTTP_TOLLGATE_WORKERS];

    (void) ngx_atomic_fetch_add(ctx->dry_run
                                    ? &counters->dry_run[ctx->outcome]
                                    : &counters->enforced[ctx->outcome],
                                1);
}
