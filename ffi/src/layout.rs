//! Sizes and offsets of the structs of the ABI, as Rust sees them on LP64. `tests/c/layout.c` asserts the same from C.

use std::mem::offset_of;

use crate::types::*;

macro_rules! sizes {
    ($($name:ident $size:literal,)*) => { $(const _: () = assert!(size_of::<$name>() == $size);)* };
}

macro_rules! offsets {
    ($($name:ident { $($field:ident $offset:literal,)* })*) => {
        $($(const _: () = assert!(offset_of!($name, $field) == $offset);)*)*
    };
}

#[cfg(target_pointer_width = "64")]
sizes! {
    tollgate_str 16,
    tollgate_buf 24,
    tollgate_error 512,
    tollgate_cost 24,
    tollgate_request 144,
    tollgate_decision 64,
    tollgate_limit_report 192,
    tollgate_settlement 32,
    tollgate_usage_row 64,
    tollgate_alert 80,
    tollgate_pepper 48,
    tollgate_limit 224,
    tollgate_plan 80,
    tollgate_key 112,
    tollgate_subject 72,
}

#[cfg(target_pointer_width = "64")]
offsets! {
    tollgate_error { line 4, field 8, message 128, }
    tollgate_cost { amount 16, }
    tollgate_request { key 0, stage 16, route 32, id 48, costs 64, n_costs 72, cost 80, ttl_ns 88, now_ns 96, stage_name 104, route_name 108, plan 112, flags 116, reserved 120, }
    tollgate_decision { status 0, flags 4, retry_after_ns 8, delay_ns 16, violated 24, reserved 32, }
    tollgate_limit_report { name_len 128, kind 132, violated 136, limit 144, remaining 152, reset_ns 160, window_ns 168, }
    tollgate_settlement { overdraft 8, }
    tollgate_usage_row { day 16, used 24, remaining 32, refused 40, }
    tollgate_alert { percent 48, window_start_ns 56, }
    tollgate_limit { amount 8, rate 64, period 88, alerts 136, lease_ns 152, }
    tollgate_plan { flags 48, }
    tollgate_key { state 80, }
    tollgate_report { struct_size 0, fields 4, decision 8, limits 72, limits_len 88, headers 96, key_id 168, }
    tollgate_metrics { struct_size 0, ok 8, delayed 16, throttled 24, key_missing 56, store_full 104, would_deny 112, cells 120, max_lines 144, full_refused 152, ids 184, alerts_dropped 200, }
    tollgate_config { struct_size 0, max_cells 8, max_names 40, peppers 48, key_prefix 64, region 80, snapshot 96, start_ns 112, }
    tollgate_changes { struct_size 0, path 8, toml 24, json 40, plans 56, n_removed_subjects 112, }
}
