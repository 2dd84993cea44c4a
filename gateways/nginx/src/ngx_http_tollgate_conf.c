
/*
 * The directives that make zones, and those that take one value.
 */


#include "ngx_http_tollgate_module.h"


static ngx_int_t ngx_http_tollgate_zone_size(ngx_conf_t *cf,
    ngx_http_tollgate_zone_t *zone, ngx_str_t *value);
static char *ngx_http_tollgate_same_layout(ngx_conf_t *cf,
    ngx_http_tollgate_zone_t *zone);
static char *ngx_http_tollgate_code(ngx_conf_t *cf, ngx_uint_t *to,
    const char *right, ngx_flag_t key);


/* "name=value"; 0 if it is not of this form */

ngx_uint_t
ngx_http_tollgate_split(ngx_str_t *param, ngx_str_t *name, ngx_str_t *value)
{
    u_char  *p;

    p = ngx_strlchr(param->data, param->data + param->len, '=');
    if (p == NULL) {
        return 0;
    }

    name->data = param->data;
    name->len = p - param->data;
    value->data = p + 1;
    value->len = param->data + param->len - value->data;

    return 1;
}


ngx_uint_t
ngx_http_tollgate_is(ngx_str_t *name, const char *text)
{
    return name->len == ngx_strlen(text)
           && ngx_strncmp(name->data, text, name->len) == 0;
}


char *
ngx_http_tollgate_zone(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tollgate_main_conf_t *tmcf = conf;

    ngx_int_t                   n;
    ngx_str_t                  *value, name, text;
    ngx_uint_t                  i;
    ngx_shm_zone_t             *shm_zone;
    ngx_pool_cleanup_t         *cln;
    ngx_http_tollgate_zone_t   *zone, **zonep;

    value = cf->args->elts;

    /* it lives as long as the cycle, whose cleanup unmaps the file */

    cln = ngx_pool_cleanup_add(cf->cycle->pool,
                               sizeof(ngx_http_tollgate_zone_t));
    if (cln == NULL) {
        return NGX_CONF_ERROR;
    }

    zone = cln->data;
    ngx_memzero(zone, sizeof(ngx_http_tollgate_zone_t));

    zone->main = tmcf;
    zone->lines = NGX_CONF_UNSET_SIZE;
    ngx_queue_init(&zone->open);

    for (i = 1; i < cf->args->nelts; i++) {

        if (!ngx_http_tollgate_split(&value[i], &name, &text)) {
            goto invalid;
        }

        if (ngx_http_tollgate_is(&name, "zone")) {

            if (ngx_http_tollgate_zone_size(cf, zone, &text) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_http_tollgate_is(&name, "file") && text.len) {

            zone->file = text;
            if (ngx_conf_full_name(cf->cycle, &zone->file, 0) != NGX_OK) {
                return NGX_CONF_ERROR;
            }

            continue;
        }

        if (ngx_http_tollgate_is(&name, "lines")) {

            n = ngx_atoi(text.data, text.len);
            if (n == NGX_ERROR) {
                ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                    "invalid number of lines \"%V\" in \"tollgate_zone\": "
                    "write how many lines of 64 bytes to keep for registered "
                    "subjects and quotas, such as lines=10000", &value[i]);
                return NGX_CONF_ERROR;
            }

            zone->lines = n;
            continue;
        }

        goto invalid;
    }

    if (zone->name.len == 0) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tollgate_zone\" must have \"zone=NAME:SIZE\"");
        return NGX_CONF_ERROR;
    }

    if (ngx_http_tollgate_fit(zone, ngx_http_tollgate_room(zone->size))
        != NGX_OK)
    {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "zone \"%V\" of %uz bytes in \"tollgate_zone\" is "
                           "too small: 1m is enough for 30000 keys, "
                           "32m for a million; \"lines=\" takes 64 bytes each",
                           &zone->name, zone->size);
        return NGX_CONF_ERROR;
    }

    shm_zone = ngx_shared_memory_add(cf, &zone->name,
                                     ngx_http_tollgate_shm_size(zone),
                                     &ngx_http_tollgate_module);
    if (shm_zone == NULL) {
        return NGX_CONF_ERROR;
    }

    if (shm_zone->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "\"tollgate_zone\" \"%V\" is there already: each "
                           "zone needs a name of its own", &zone->name);
        return NGX_CONF_ERROR;
    }

    zone->shm_zone = shm_zone;
    shm_zone->init = ngx_http_tollgate_init_zone;
    shm_zone->data = zone;

    cln->handler = ngx_http_tollgate_close_zone;

    zonep = ngx_array_push(&tmcf->zones);
    if (zonep == NULL) {
        return NGX_CONF_ERROR;
    }

    *zonep = zone;

    return ngx_http_tollgate_same_layout(cf, zone);

invalid:

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid parameter \"%V\" in \"tollgate_zone\": "
                       "it takes zone=NAME:SIZE, file=PATH and lines=NUMBER",
                       &value[i]);

    return NGX_CONF_ERROR;
}


static ngx_int_t
ngx_http_tollgate_zone_size(ngx_conf_t *cf, ngx_http_tollgate_zone_t *zone,
    ngx_str_t *value)
{
    u_char     *p;
    ssize_t     size;
    ngx_str_t   s;

    p = ngx_strlchr(value->data, value->data + value->len, ':');

    if (p == NULL || p == value->data) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid zone \"%V\" in \"tollgate_zone\": write "
                           "NAME:SIZE, such as api:32m", value);
        return NGX_ERROR;
    }

    s.data = p + 1;
    s.len = value->data + value->len - s.data;

    size = ngx_parse_size(&s);

    if (size == NGX_ERROR) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid size \"%V\" of zone \"%V\" in "
                           "\"tollgate_zone\": write bytes, or 512k, or 32m",
                           &s, value);
        return NGX_ERROR;
    }

    zone->name.data = value->data;
    zone->name.len = p - value->data;
    zone->size = size;

    return NGX_OK;
}


/* nginx would put an empty zone in the place of one of another size */

static char *
ngx_http_tollgate_same_layout(ngx_conf_t *cf, ngx_http_tollgate_zone_t *zone)
{
    ngx_uint_t                 i;
    ngx_list_part_t           *part;
    ngx_shm_zone_t            *shm_zone;
    ngx_http_tollgate_zone_t  *old;

    if (cf->cycle->old_cycle == NULL) {
        return NGX_CONF_OK;
    }

    part = &cf->cycle->old_cycle->shared_memory.part;

    for ( /* void */ ; part; part = part->next) {

        shm_zone = part->elts;

        for (i = 0; i < part->nelts; i++) {

            if (shm_zone[i].tag != &ngx_http_tollgate_module
                || shm_zone[i].shm.name.len != zone->name.len
                || ngx_strncmp(shm_zone[i].shm.name.data, zone->name.data,
                               zone->name.len)
                   != 0)
            {
                continue;
            }

            old = shm_zone[i].data;

            if (old->size == zone->size && old->lines == zone->lines
                && old->cells == zone->cells
                && old->file.len == zone->file.len
                && (zone->file.len == 0
                    || ngx_strncmp(old->file.data, zone->file.data,
                                   zone->file.len)
                       == 0))
            {
                return NGX_CONF_OK;
            }

            ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                "\"tollgate_zone\" \"%V\" has %uz bytes, %uL lines and %s%V "
                "now, while previously it had %uz bytes, %uL lines and %s%V: "
                "its counters would be lost; restart nginx, or give the new "
                "zone another name",
                &zone->name,
                zone->size, zone->lines, zone->file.len ? "file " : "no file",
                &zone->file,
                old->size, old->lines, old->file.len ? "file " : "no file",
                &old->file);

            return NGX_CONF_ERROR;
        }
    }

    return NGX_CONF_OK;
}


char *
ngx_http_tollgate_status_code(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tollgate_loc_conf_t *tlcf = conf;

    return ngx_http_tollgate_code(cf, &tlcf->status_code, "400 to 599", 0);
}


char *
ngx_http_tollgate_key_status(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    ngx_http_tollgate_loc_conf_t *tlcf = conf;

    return ngx_http_tollgate_code(cf, &tlcf->key_status, "401 or 403", 1);
}


/* ngx_conf_set_enum_slot(), which also says what would be right */

char *
ngx_http_tollgate_enum(ngx_conf_t *cf, ngx_command_t *cmd, void *conf)
{
    char  *p = conf;

    u_char           *last;
    ngx_str_t        *value;
    ngx_uint_t       *np;
    ngx_conf_enum_t  *e;
    u_char            right[128];

    np = (ngx_uint_t *) (p + cmd->offset);

    if (*np != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;
    last = right;

    for (e = cmd->post; e->name.len; e++) {

        if (e->name.len == value[1].len
            && ngx_strncmp(e->name.data, value[1].data, value[1].len) == 0)
        {
            *np = e->value;
            return NGX_CONF_OK;
        }

        last = ngx_slprintf(last, right + sizeof(right), "%s%V",
                            last == right ? "" : ", ", &e->name);
    }

    ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                       "invalid value \"%V\" in \"%V\": write one of %*s",
                       &value[1], &value[0], (size_t) (last - right), right);

    return NGX_CONF_ERROR;
}


static char *
ngx_http_tollgate_code(ngx_conf_t *cf, ngx_uint_t *to, const char *right,
    ngx_flag_t key)
{
    ngx_int_t   code;
    ngx_str_t  *value;

    if (*to != NGX_CONF_UNSET_UINT) {
        return "is duplicate";
    }

    value = cf->args->elts;
    code = ngx_atoi(value[1].data, value[1].len);

    if (key ? code != 401 && code != 403 : code < 400 || code > 599) {
        ngx_conf_log_error(NGX_LOG_EMERG, cf, 0,
                           "invalid status \"%V\" in \"%V\": write %s",
                           &value[1], &value[0], right);
        return NGX_CONF_ERROR;
    }

    *to = code;

    return NGX_CONF_OK;
}
