
/*
 * The status page: how many requests had which outcome, by zone, of all workers since the zone was made.
 */


#include "ngx_http_tollgate_module.h"


#define NGX_HTTP_TOLLGATE_JSON        1
#define NGX_HTTP_TOLLGATE_PROMETHEUS  2


static ngx_int_t ngx_http_tollgate_status_handler(ngx_http_request_t *r);
static u_char *ngx_http_tollgate_json(u_char *p, u_char *last,
    ngx_http_tollgate_main_conf_t *tmcf);
static u_char *ngx_http_tollgate_prometheus(u_char *p, u_char *last,
    ngx_http_tollgate_main_conf_t *tmcf);


static ngx_conf_enum_t  ngx_http_tollgate_pages[] = {
    { ngx_string("json"), NGX_HTTP_TOLLGATE_JSON },
    { ngx_string("prometheus"), NGX_HTTP_TOLLGATE_PROMETHEUS },
    { ngx_null_string, 0 }
};


char *
ngx_http_tollgate_status_page(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char                      *rc;
    ngx_command_t              page;
    ngx_http_core_loc_conf_t  *clcf;

    page = *cmd;
    page.offset = offsetof(ngx_http_tollgate_loc_conf_t, status_page);
    page.post = &ngx_http_tollgate_pages;

    rc = ngx_http_tollgate_enum(cf, &page, conf);
    if (rc != NGX_CONF_OK) {
        return rc;
    }

    clcf = ngx_http_conf_get_module_loc_conf(cf, ngx_http_core_module);
    clcf->handler = ngx_http_tollgate_status_handler;

    return NGX_CONF_OK;
}


static ngx_int_t
ngx_http_tollgate_status_handler(ngx_http_request_t *r)
{
    size_t                           len;
    ngx_int_t                        rc;
    ngx_buf_t                       *b;
    ngx_uint_t                       i, json;
    ngx_chain_t                      out;
    ngx_http_tollgate_zone_t       **zone;
    ngx_http_tollgate_loc_conf_t    *tlcf;
    ngx_http_tollgate_main_conf_t   *tmcf;

    if (!(r->method & (NGX_HTTP_GET|NGX_HTTP_HEAD))) {
        return NGX_HTTP_NOT_ALLOWED;
    }

    rc = ngx_http_discard_request_body(r);
    if (rc != NGX_OK) {
        return rc;
    }

    tlcf = ngx_http_get_module_loc_conf(r, ngx_http_tollgate_module);
    tmcf = ngx_http_get_module_main_conf(r, ngx_http_tollgate_module);

    json = (tlcf->status_page == NGX_HTTP_TOLLGATE_JSON);

    /* bounds what is written below: lines, and names escaped */

    len = 2048;
    zone = tmcf->zones.elts;

    for (i = 0; i < tmcf->zones.nelts; i++) {
        len += 2 * (NGX_HTTP_TOLLGATE_OUTCOMES + 12)
                 * (128 + 6 * zone[i]->name.len)
               + 6 * zone[i]->file.len;
    }

    b = ngx_create_temp_buf(r->pool, len);
    if (b == NULL) {
        return NGX_HTTP_INTERNAL_SERVER_ERROR;
    }

    b->last = json ? ngx_http_tollgate_json(b->pos, b->end, tmcf)
                   : ngx_http_tollgate_prometheus(b->pos, b->end, tmcf);
    b->last_buf = (r == r->main) ? 1 : 0;
    b->last_in_chain = 1;

    if (json) {
        ngx_str_set(&r->headers_out.content_type, "application/json");

    } else {
        ngx_str_set(&r->headers_out.content_type, "text/plain; version=0.0.4");
    }

    r->headers_out.content_type_len = r->headers_out.content_type.len;
    r->headers_out.status = NGX_HTTP_OK;
    r->headers_out.content_length_n = b->last - b->pos;

    rc = ngx_http_send_header(r);

    if (rc == NGX_ERROR || rc > NGX_OK || r->header_only) {
        return rc;
    }

    out.buf = b;
    out.next = NULL;

    return ngx_http_output_filter(r, &out);
}


static uint64_t
ngx_http_tollgate_sum(ngx_http_tollgate_zone_t *zone, ngx_uint_t outcome,
    ngx_uint_t dry_run)
{
    uint64_t                       sum;
    ngx_uint_t                     i;
    ngx_http_tollgate_counters_t  *counters;

    sum = 0;
    counters = zone->shared->counters;

    for (i = 0; i < NGX_HTTP_TOLLGATE_WORKERS; i++) {
        sum += dry_run ? counters[i].dry_run[outcome]
                       : counters[i].enforced[outcome];
    }

    return sum;
}


/* for JSON, and for labels: both escape quotes and backslashes */

static u_char *
ngx_http_tollgate_quote(u_char *p, u_char *last, ngx_str_t *s)
{
    ngx_uint_t  i;

    *p++ = '"';

    for (i = 0; i < s->len && last - p > 6; i++) {

        if (s->data[i] == '"' || s->data[i] == '\\') {
            *p++ = '\\';
            *p++ = s->data[i];

        } else if (s->data[i] < 0x20) {
            p = ngx_sprintf(p, "\\u%04xd", (ngx_int_t) s->data[i]);

        } else {
            *p++ = s->data[i];
        }
    }

    *p++ = '"';

    return p;
}


/* how full the region is; zeros where this worker has no engine */

static void
ngx_http_tollgate_use(ngx_http_tollgate_zone_t *zone, tollgate_metrics *use)
{
    ngx_memzero(use, sizeof(tollgate_metrics));
    use->struct_size = sizeof(tollgate_metrics);

    if (tollgate_metrics_get(zone->engine, use) != TOLLGATE_OK) {
        use->max_cells = zone->cells;
        use->max_lines = zone->lines;
    }
}


static u_char *
ngx_http_tollgate_json(u_char *p, u_char *last,
    ngx_http_tollgate_main_conf_t *tmcf)
{
    ngx_uint_t                  i, n, dry_run;
    tollgate_metrics            use;
    ngx_http_tollgate_zone_t  **zone;

    p = ngx_slprintf(p, last, "{\"version\":\"%s\",\"zones\":[",
                     tollgate_version_string());

    zone = tmcf->zones.elts;

    for (i = 0; i < tmcf->zones.nelts; i++) {

        p = ngx_slprintf(p, last, "%s{\"name\":", i ? "," : "");
        p = ngx_http_tollgate_quote(p, last, &zone[i]->name);

        ngx_http_tollgate_use(zone[i], &use);

        p = ngx_slprintf(p, last, ",\"bytes\":%uz,"
                         "\"cells\":{\"used\":%uL,\"planned\":%uL},"
                         "\"lines\":{\"used\":%uL,\"planned\":%uL},"
                         "\"file\":", zone[i]->size, use.cells,
                         use.max_cells, use.lines, use.max_lines);

        if (zone[i]->file.len) {
            p = ngx_http_tollgate_quote(p, last, &zone[i]->file);

        } else {
            p = ngx_slprintf(p, last, "null");
        }

        for (dry_run = 0; dry_run < 2; dry_run++) {

            p = ngx_slprintf(p, last, ",\"%s\":{",
                             dry_run ? "dry_run" : "requests");

            for (n = 0; n < NGX_HTTP_TOLLGATE_OUTCOMES; n++) {
                p = ngx_slprintf(p, last, "%s\"%V\":%uL", n ? "," : "",
                                 &ngx_http_tollgate_outcomes[n].reason,
                                 ngx_http_tollgate_sum(zone[i], n, dry_run));
            }

            p = ngx_slprintf(p, last, "}");
        }

        p = ngx_slprintf(p, last, "}");
    }

    return ngx_slprintf(p, last, "]}\n");
}


static u_char *
ngx_http_tollgate_prometheus(u_char *p, u_char *last,
    ngx_http_tollgate_main_conf_t *tmcf)
{
    ngx_uint_t                  i, n, dry_run;
    tollgate_metrics            use;
    ngx_http_tollgate_zone_t  **zone;

    zone = tmcf->zones.elts;

    for (dry_run = 0; dry_run < 2; dry_run++) {

        p = ngx_slprintf(p, last, "# HELP tollgate_nginx_%s_total %s\n"
                         "# TYPE tollgate_nginx_%s_total counter\n",
                         dry_run ? "dry_run" : "requests",
                         dry_run ? "Requests that a dry run let pass, by what "
                                   "would have become of them."
                                 : "Requests by outcome.",
                         dry_run ? "dry_run" : "requests");

        for (i = 0; i < tmcf->zones.nelts; i++) {
            for (n = 0; n < NGX_HTTP_TOLLGATE_OUTCOMES; n++) {

                p = ngx_slprintf(p, last, "tollgate_nginx_%s_total{zone=",
                                 dry_run ? "dry_run" : "requests");
                p = ngx_http_tollgate_quote(p, last, &zone[i]->name);
                p = ngx_slprintf(p, last, ",outcome=\"%V\"} %uL\n",
                                 &ngx_http_tollgate_outcomes[n].reason,
                                 ngx_http_tollgate_sum(zone[i], n, dry_run));
            }
        }
    }

    p = ngx_slprintf(p, last, "# HELP tollgate_nginx_zone_bytes Size of the "
                     "zone.\n# TYPE tollgate_nginx_zone_bytes gauge\n");

    for (i = 0; i < tmcf->zones.nelts; i++) {
        p = ngx_slprintf(p, last, "tollgate_nginx_zone_bytes{zone=");
        p = ngx_http_tollgate_quote(p, last, &zone[i]->name);
        p = ngx_slprintf(p, last, "} %uz\n", zone[i]->size);
    }

    p = ngx_slprintf(p, last, "# HELP tollgate_nginx_places Places for state, "
                     "and those in use.\n"
                     "# TYPE tollgate_nginx_places gauge\n");

    for (i = 0; i < tmcf->zones.nelts; i++) {

        ngx_http_tollgate_use(zone[i], &use);

        for (n = 0; n < 4; n++) {
            p = ngx_slprintf(p, last, "tollgate_nginx_places{zone=");
            p = ngx_http_tollgate_quote(p, last, &zone[i]->name);
            p = ngx_slprintf(p, last, ",kind=\"%s\",state=\"%s\"} %uL\n",
                             n < 2 ? "cells" : "lines",
                             n % 2 ? "planned" : "used",
                             n == 0 ? use.cells : n == 1 ? use.max_cells
                             : n == 2 ? use.lines : use.max_lines);
        }
    }

    return p;
}
