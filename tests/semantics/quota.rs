//! Quota(limit, period, start, zone).

use tollgate::{Nanos, Plan, Quota, Verdict};

use super::*;

/// Nanoseconds from `T0` (22:13:20) to midnight, UTC.
const TO_MIDNIGHT: u64 = 6_400 * SECOND;

#[test]
fn a_window_admits_the_limit_and_the_next_begins_anew() {
    let engine = with_plan(Plan::new().quota(Quota::new(3, "day")));
    assert_eq!(check(&engine, &visitor().cost(2), T0), OK);
    assert_eq!(check(&engine, &visitor().cost(2), T0), (Verdict::QuotaExceeded, Some(TO_MIDNIGHT)));
    assert_eq!(check(&engine, &visitor(), T0 + TO_MIDNIGHT - 1), OK);
    assert_eq!(check(&engine, &visitor(), T0 + TO_MIDNIGHT - 1), (Verdict::QuotaExceeded, Some(1)));
    assert_eq!(check(&engine, &visitor().cost(3), T0 + TO_MIDNIGHT), OK, "half-open");
}

#[test]
fn a_quota_counts_in_the_newest_window_that_it_has_debited() {
    let engine = with_plan(Plan::new().quota(Quota::new(3, "day")));
    let tomorrow = T0 + TO_MIDNIGHT;
    assert_eq!(check(&engine, &visitor().cost(2), tomorrow), OK);
    // Yesterday's window does not come back, and the wait goes to the end of the newest.
    assert_eq!(check(&engine, &visitor().cost(2), T0), (Verdict::QuotaExceeded, Some(TO_MIDNIGHT + DAY)));
    assert_eq!(check(&engine, &visitor(), T0), OK);
    assert_eq!(remaining(&engine, &visitor(), tomorrow), [0]);
}

#[test]
fn calendar_periods_follow_a_zone_and_a_start() {
    // Tokyo is nine hours ahead: T0 is 07:13:20 on Wednesday 15 November.
    for (quota, ends_in) in [
        (Quota::new(1, "day").zone("Asia/Tokyo"), TO_MIDNIGHT + 15 * 3_600 * SECOND),
        (Quota::new(1, "week"), TO_MIDNIGHT + 4 * DAY),
        (Quota::new(1, "week").starting(2), TO_MIDNIGHT + 6 * DAY),
        (Quota::new(1, "month"), TO_MIDNIGHT + 16 * DAY),
        (Quota::new(1, "month").starting(14), TO_MIDNIGHT),
        (Quota::new(1, "month").starting(13), TO_MIDNIGHT + 29 * DAY),
        (Quota::new(1, "hour"), 2_800 * SECOND),
        (Quota::new(1, "minute"), 40 * SECOND),
        (Quota::new(1, "second"), SECOND),
        (Quota::new(1, "15m"), 100 * SECOND),
    ] {
        let text = format!("{quota:?}");
        let engine = with_plan(Plan::new().quota(quota));
        assert_eq!(check(&engine, &visitor(), T0), OK);
        assert_eq!(check(&engine, &visitor(), T0), (Verdict::QuotaExceeded, Some(ends_in)), "{text}");
        assert_eq!(check(&engine, &visitor(), T0 + ends_in - 1).0, Verdict::QuotaExceeded, "{text}");
        assert_eq!(check(&engine, &visitor(), T0 + ends_in), OK, "{text}");
    }
}

#[test]
fn forever_never_resets() {
    let engine = with_plan(Plan::new().quota(Quota::new(1, "forever")));
    assert_eq!(check(&engine, &visitor(), T0), OK);
    assert_eq!(check(&engine, &visitor(), T0 + 1_000 * DAY), (Verdict::QuotaExceeded, None));
    assert_eq!(peek(&engine, &visitor(), T0).limits()[0].reset(), None);
}

#[test]
fn a_day_of_23_or_25_hours_has_the_same_limit() {
    // Berlin, 26 March and 29 October 2023.
    for (noon, hours) in [(1_679_824_800, 12), (1_698_573_600, 13)] {
        let noon = noon * SECOND;
        let engine = with_plan(Plan::new().quota(Quota::new(2, "day").zone("Europe/Berlin")));
        assert_eq!(check(&engine, &visitor().cost(2), noon), OK);
        let window = peek(&engine, &visitor(), noon).limits()[0].window().unwrap();
        assert_eq!(window, Nanos::from_secs((hours + 11) * 3_600 + if hours == 13 { 3_600 } else { 0 }));
    }
}

#[test]
fn initial_debit_lowers_the_window_of_the_first_debit_only() {
    let engine = with_plan(Plan::new().quota(Quota::new(10, "day").initial_debit(4)));
    assert_eq!(remaining(&engine, &visitor(), T0), [6]);
    assert_eq!(remaining(&engine, &visitor(), T0 + 30 * DAY), [6], "every window until then");
    // More than a window can hold until the first debit: no wait helps.
    assert_eq!(check(&engine, &visitor().cost(7), T0), (Verdict::QuotaExceeded, None));
    assert_eq!(check(&engine, &visitor().cost(11), T0), (Verdict::CostExceedsLimit, None));
    assert_eq!(check(&engine, &visitor(), T0), OK);
    assert_eq!(check(&engine, &visitor().cost(7), T0), (Verdict::QuotaExceeded, Some(TO_MIDNIGHT)));
    assert_eq!(remaining(&engine, &visitor(), T0), [5]);
    assert_eq!(remaining(&engine, &visitor(), T0 + TO_MIDNIGHT), [10]);
}

#[test]
fn limit_0_refuses_everything_without_a_retry() {
    let engine = with_plan(Plan::new().quota(Quota::new(0, "day")));
    assert_eq!(check(&engine, &visitor(), T0), (Verdict::QuotaExceeded, None));
    assert_eq!(check(&engine, &visitor().cost(u64::MAX), T0), (Verdict::QuotaExceeded, None));
    assert_eq!(check(&engine, &visitor().cost(0), T0), OK);
}

#[test]
fn the_largest_quota_and_cost_do_not_overflow() {
    let most = i64::MAX as u64;
    let engine = with_plan(Plan::new().quota(Quota::new(most, "forever")));
    assert_eq!(check(&engine, &visitor().cost(most), T0), OK);
    assert_eq!(check(&engine, &visitor().cost(most), T0), (Verdict::QuotaExceeded, None));
    assert_eq!(check(&engine, &visitor().cost(u64::MAX), T0), (Verdict::CostExceedsLimit, None));
}
