/* Sizes and offsets, as C sees them on LP64. The Rust side asserts the same in ffi/src/layout.rs. */
#include "check.h"

#define SIZE(type, size) typedef char size_of_##type[sizeof(type) == (size) ? 1 : -1]
#define AT(type, field, offset) \
    typedef char at_##type##_##field[offsetof(type, field) == (offset) ? 1 : -1]

#if UINTPTR_MAX == 0xffffffffffffffffu
SIZE(tollgate_str, 16);
SIZE(tollgate_buf, 24);
SIZE(tollgate_error, 512);
AT(tollgate_error, line, 4);
AT(tollgate_error, field, 8);
AT(tollgate_error, message, 128);
SIZE(tollgate_cost, 24);
AT(tollgate_cost, amount, 16);
SIZE(tollgate_request, 144);
AT(tollgate_request, key, 0);
AT(tollgate_request, stage, 16);
AT(tollgate_request, route, 32);
AT(tollgate_request, id, 48);
AT(tollgate_request, costs, 64);
AT(tollgate_request, n_costs, 72);
AT(tollgate_request, cost, 80);
AT(tollgate_request, ttl_ns, 88);
AT(tollgate_request, now_ns, 96);
AT(tollgate_request, stage_name, 104);
AT(tollgate_request, route_name, 108);
AT(tollgate_request, plan, 112);
AT(tollgate_request, flags, 116);
AT(tollgate_request, reserved, 120);
SIZE(tollgate_decision, 64);
AT(tollgate_decision, status, 0);
AT(tollgate_decision, flags, 4);
AT(tollgate_decision, retry_after_ns, 8);
AT(tollgate_decision, delay_ns, 16);
AT(tollgate_decision, violated, 24);
AT(tollgate_decision, reserved, 32);
SIZE(tollgate_limit_report, 192);
AT(tollgate_limit_report, name_len, 128);
AT(tollgate_limit_report, kind, 132);
AT(tollgate_limit_report, violated, 136);
AT(tollgate_limit_report, limit, 144);
AT(tollgate_limit_report, remaining, 152);
AT(tollgate_limit_report, reset_ns, 160);
AT(tollgate_limit_report, window_ns, 168);
SIZE(tollgate_settlement, 32);
AT(tollgate_settlement, overdraft, 8);
SIZE(tollgate_usage_row, 64);
AT(tollgate_usage_row, day, 16);
AT(tollgate_usage_row, used, 24);
AT(tollgate_usage_row, remaining, 32);
AT(tollgate_usage_row, refused, 40);
SIZE(tollgate_alert, 80);
AT(tollgate_alert, percent, 48);
AT(tollgate_alert, window_start_ns, 56);
SIZE(tollgate_pepper, 48);
SIZE(tollgate_limit, 224);
AT(tollgate_limit, amount, 8);
AT(tollgate_limit, rate, 64);
AT(tollgate_limit, period, 88);
AT(tollgate_limit, alerts, 136);
AT(tollgate_limit, lease_ns, 152);
SIZE(tollgate_plan, 80);
AT(tollgate_plan, flags, 48);
SIZE(tollgate_key, 112);
AT(tollgate_key, state, 80);
SIZE(tollgate_subject, 72);
/* Growable ones: what there is stays where it is. */
AT(tollgate_report, struct_size, 0);
AT(tollgate_report, fields, 4);
AT(tollgate_report, decision, 8);
AT(tollgate_report, limits, 72);
AT(tollgate_report, limits_len, 88);
AT(tollgate_report, headers, 96);
AT(tollgate_report, key_id, 168);
AT(tollgate_metrics, struct_size, 0);
AT(tollgate_metrics, ok, 8);
AT(tollgate_metrics, delayed, 16);
AT(tollgate_metrics, throttled, 24);
AT(tollgate_metrics, key_missing, 56);
AT(tollgate_metrics, store_full, 104);
AT(tollgate_metrics, would_deny, 112);
AT(tollgate_metrics, cells, 120);
AT(tollgate_metrics, max_lines, 144);
AT(tollgate_metrics, full_refused, 152);
AT(tollgate_metrics, ids, 184);
AT(tollgate_metrics, alerts_dropped, 200);
AT(tollgate_config, struct_size, 0);
AT(tollgate_config, max_cells, 8);
AT(tollgate_config, max_names, 40);
AT(tollgate_config, peppers, 48);
AT(tollgate_config, key_prefix, 64);
AT(tollgate_config, region, 80);
AT(tollgate_config, snapshot, 96);
AT(tollgate_config, start_ns, 112);
AT(tollgate_changes, struct_size, 0);
AT(tollgate_changes, path, 8);
AT(tollgate_changes, toml, 24);
AT(tollgate_changes, json, 40);
AT(tollgate_changes, plans, 56);
AT(tollgate_changes, n_removed_subjects, 112);
#endif

int main(void)
{
    CHECK(tollgate_abi_ok());
    CHECK(tollgate_version_number() == TOLLGATE_VERSION_NUMBER);
    (void)engine_of;
    (void)request_of;
    return 0;
}
