//! Limits in words.

use indicatif::HumanCount;
use tollgate::view::{ConcurrencyView, QuotaView, ThrottleView};
use tollgate::{Rate, parse_duration};

/// `1 plan`, `2 plans`.
pub(super) fn count(n: u64, noun: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {noun}{s}")
}

/// `1 request`, `2 requests` of a unit that is written in the plural.
pub(super) fn units(n: u64, unit: &str) -> String {
    let unit = if n == 1 { unit.strip_suffix('s').unwrap_or(unit) } else { unit };
    format!("{} {unit}", HumanCount(n))
}

/// Nanoseconds as `1 d 2 h`, `250 ms`, `1 µs 500 ns`: exactly.
pub(super) fn duration(nanos: u64) -> String {
    const UNITS: [(u64, &str); 7] = [
        (86_400_000_000_000, "d"),
        (3_600_000_000_000, "h"),
        (60_000_000_000, "min"),
        (1_000_000_000, "s"),
        (1_000_000, "ms"),
        (1_000, "µs"),
        (1, "ns"),
    ];
    let mut rest = nanos;
    let mut parts = Vec::new();
    for (size, unit) in UNITS {
        if rest >= size {
            parts.push(format!("{} {unit}", rest / size));
            rest %= size;
        }
    }
    if parts.is_empty() { "0 s".into() } else { parts.join(" ") }
}

/// A duration as plan files write it.
fn written(text: &str) -> String {
    parse_duration(text).map_or_else(|_| text.into(), |length| duration(length.get()))
}

pub(super) fn throttle(throttle: &ThrottleView<'_>) -> String {
    let ThrottleView { rate: text, burst, delay, unit, .. } = throttle;
    let numbers = format!("rate {text}, burst {burst}");
    let Ok(rate) = text.parse::<Rate>() else { return numbers };
    if rate.is_zero() {
        return format!("nothing is ever admitted ({numbers})");
    }
    let then = match rate.tokens() {
        1 => format!("one every {}", duration(rate.nanos())),
        tokens => format!("{} every {}", HumanCount(tokens), duration(rate.nanos())),
    };
    // The burst is below 2^64, the interval below 2^62; what an engine takes is at most 180 days.
    let fill = (u128::from(*burst) * u128::from(rate.nanos())).div_ceil(u128::from(rate.tokens()));
    let whole = u64::try_from(fill).map_or_else(|_| "ages".into(), duration);
    let mut words = format!(
        "at most {} at once, then {then}; whole again {whole} after it was used up ({numbers})",
        units(*burst, unit)
    );
    if let Some(delay) = delay {
        words += &format!(
            "; a request that would have to wait for at most {} is let through with that delay",
            written(delay)
        );
    }
    words
}

pub(super) fn quota(quota: &QuotaView<'_>) -> String {
    let QuotaView { limit, per, start, zone, initial_debit, alerts, unit, .. } = quota;
    let window = match *per {
        "day" => format!("per day, from midnight in {zone}"),
        "week" => {
            const DAYS: [&str; 7] =
                ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
            let day = usize::try_from(*start).ok().and_then(|start| DAYS.get(start)).unwrap_or(&"?");
            format!("per week, from midnight on {day} in {zone}")
        }
        "month" => format!("per month, from midnight on day {} in {zone}", start + 1),
        "second" | "minute" | "hour" => format!("per {per} of UTC"),
        "forever" => "in all, never reset".into(),
        length => format!("per {}, counted from the beginning of 1970 UTC", written(length)),
    };
    let mut words = match limit {
        0 => "everything is refused".into(),
        _ => format!("at most {} {window}", units(*limit, unit)),
    };
    if *initial_debit > 0 {
        let first = limit.saturating_sub(*initial_debit);
        words += &format!("; {} in the window of the first one", HumanCount(first));
    }
    if !alerts.is_empty() {
        let mut sorted = alerts.to_vec();
        sorted.sort_unstable();
        let sorted: Vec<_> = sorted.iter().map(|percent| format!("{percent} %")).collect();
        words += &format!("; alerts at {}", sorted.join(", "));
    }
    words
}

pub(super) fn concurrency(cap: &ConcurrencyView<'_>) -> String {
    match cap.limit {
        0 => "everything is refused".into(),
        n => format!(
            "at most {} in flight; a slot that is not released is free again after {}",
            units(n, "requests"),
            written(cap.lease)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tollgate::{Changes, Limits, Plan, Quota, Throttle};

    #[test]
    fn durations_are_exact() {
        for (nanos, words) in [
            (0, "0 s"),
            (1, "1 ns"),
            (100_000_000, "100 ms"),
            (1_500, "1 µs 500 ns"),
            (90_000_000_000, "1 min 30 s"),
            (u64::MAX, "213503 d 23 h 34 min 33 s 709 ms 551 µs 615 ns"),
        ] {
            assert_eq!(duration(nanos), words);
        }
    }

    #[test]
    fn limits_in_words() {
        let limits = Limits::new()
            .throttle(Throttle::new("10/s", 5))
            .throttle(Throttle::new("3/250ms", 1).named("b").unit("tokens").delay("300ms"))
            .throttle(Throttle::new("0/s", 1).named("c"))
            .quota(Quota::new(1_000, "day").zone("Asia/Tokyo"))
            .quota(Quota::new(1, "week").starting(1))
            .quota(Quota::new(20_000, "month").starting(14).initial_debit(5_000).named("m"))
            .quota(Quota::new(7, "15m").unit("tokens"))
            .quota(Quota::new(0, "hour"))
            .quota(Quota::new(5, "forever"));
        let changes = Changes::new().plan("p", Plan::new().pool(limits));
        let view = changes.view();
        let pool = &view.plans[0].pool;
        let throttles: Vec<_> = pool.throttles.iter().map(throttle).collect();
        assert_eq!(
            throttles,
            [
                "at most 5 requests at once, then one every 100 ms; whole again 500 ms after it was used up (rate 10/s, burst 5)",
                "at most 1 token at once, then 3 every 250 ms; whole again 83 ms 333 µs 334 ns after it was used up (rate 3/250ms, burst 1); a request that would have to wait for at most 300 ms is let through with that delay",
                "nothing is ever admitted (rate 0/s, burst 1)",
            ]
        );
        let quotas: Vec<_> =
            pool.quotas.iter().map(|view| quota(view).replace("; alerts at 80 %, 100 %", "")).collect();
        assert_eq!(
            quotas,
            [
                "at most 1,000 requests per day, from midnight in Asia/Tokyo",
                "at most 1 request per week, from midnight on Monday in UTC",
                "at most 20,000 requests per month, from midnight on day 15 in UTC; 15,000 in the window of the first one",
                "at most 7 tokens per 15 min, counted from the beginning of 1970 UTC",
                "everything is refused",
                "at most 5 requests in all, never reset",
            ]
        );
        let changes = Changes::from_toml(
            "[plans.p]\nconcurrency = { limit = 8 }\n[plans.p.pool]\nconcurrency = { limit = 1, lease = \"90s\" }",
        );
        let changes = changes.unwrap();
        let plan = &changes.view().plans[0];
        let caps: Vec<_> = [&plan.own, &plan.pool]
            .into_iter()
            .filter_map(|limits| limits.concurrency.as_ref())
            .map(concurrency)
            .collect();
        assert_eq!(
            caps,
            [
                "at most 8 requests in flight; a slot that is not released is free again after 1 min",
                "at most 1 request in flight; a slot that is not released is free again after 1 min 30 s",
            ]
        );
    }
}
