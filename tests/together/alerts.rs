//! Each threshold of each window once: none twice, none lost. `TOLLGATE_WINDOWS` sets the number of windows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate::{Cost, Engine, Limits, Mode, Nanos, Plan, Quota, Request, SettleStatus, Subject, Threshold};

use super::*;

const LIMIT: u64 = 10;

/// Quota, threshold (101: breached), start of the window.
type Raised = (String, u32, u64);

fn windows() -> u64 {
    asked("TOLLGATE_WINDOWS", 1_000)
}

fn quota(alerts: &[u32]) -> Quota {
    Quota::new(LIMIT, "1s").alerts(alerts.iter().copied())
}

/// The same quota for a subject, a route and a pool, each with thresholds of its own.
fn changes() -> Changes {
    let plan = Plan::new()
        .quota(Quota::new(LIMIT, "1s").named("own"))
        .route("GET /r", Limits::new().quota(quota(&[1, 50, 99]).named("routed")))
        .pool(Limits::new().quota(quota(&[30, 31, 80, 100]).named("pooled")));
    Changes::new().plan("p", plan).subject("s", Subject::new(["p"]).key(key("k", "a key")))
}

fn thresholds(limit: &str) -> &'static [u32] {
    match limit {
        "own" => &[80, 100],
        "route:GET /r:routed" => &[1, 50, 99],
        "pool:pooled" => &[30, 31, 80, 100],
        other => panic!("{other}"),
    }
}

const NAMES: [&str; 3] = ["own", "route:GET /r:routed", "pool:pooled"];

/// All alerts of all engines, each once.
fn raised(engines: &[Engine]) -> BTreeSet<Raised> {
    let mut all = BTreeSet::new();
    for engine in engines {
        let alerts = engine.alerts();
        assert_eq!(alerts.dropped, 0);
        for alert in alerts.events {
            assert_eq!(alert.plan(), "p");
            assert_eq!(alert.subject(), (!alert.limit().starts_with("pool:")).then_some("s"));
            let threshold = match alert.threshold() {
                Threshold::Percent(percent) => percent,
                _ => 101,
            };
            let raised = (alert.limit().to_owned(), threshold, alert.window_start().get());
            assert!(all.insert(raised.clone()), "{raised:?} came twice");
        }
    }
    all
}

fn request() -> Request<'static> {
    Request::new("a key").route("GET /r")
}

fn room(builder: EngineBuilder) -> EngineBuilder {
    builder.alerts(200_000)
}

#[test]
fn every_window_that_all_threads_enter_together_fires_all() {
    in_both_homes("fires", &changes(), room, |engines| {
        let turn = Barrier::new(THREADS);
        in_threads(engines, |thread, engine| {
            for window in 0..windows() {
                turn.wait();
                let now = Nanos::new(T0 + window * SECOND + thread as u64);
                for n in 0..3 {
                    match (thread + n) % 4 {
                        0 => drop(engine.report_at(&request(), now, Mode::Check)),
                        1 => reserve_and_settle(engine, window, thread, n, now),
                        _ => drop(engine.check_at(&request(), now)),
                    }
                }
            }
        });
        let expected = |window: u64| {
            NAMES.iter().flat_map(move |name| {
                let all = thresholds(name).iter().copied().chain([101]);
                all.map(move |threshold| ((*name).to_owned(), threshold, T0 + window * SECOND))
            })
        };
        let expected: BTreeSet<Raised> = (0..windows()).flat_map(expected).collect();
        let raised = raised(engines);
        let lost: Vec<_> = expected.difference(&raised).collect();
        let more: Vec<_> = raised.difference(&expected).collect();
        assert!(lost.is_empty() && more.is_empty(), "lost: {lost:?}; too many: {more:?}");
    });
}

/// Reserves one unit and settles it at one more, or at nothing, or refunds it.
fn reserve_and_settle(engine: &Engine, window: u64, thread: usize, n: usize, now: Nanos) {
    let id = format!("{window} {thread} {n}");
    if !engine.reserve_at(&request(), &id, Nanos::new(SECOND), now).unwrap().is_allowed() {
        return;
    }
    match thread % 3 {
        0 => assert_eq!(engine.settle_at(&id, Cost::Every(2), now).status(), SettleStatus::Settled),
        1 => drop(engine.settle_at(&id, Cost::Every(0), now)),
        _ => drop(engine.refund_at(&id, now)),
    }
}

/// Threads that go on by themselves: who is late may find the next window begun. What each decision says of its windows is
/// what must have been raised, and nothing else.
#[test]
fn what_decisions_crossed_is_what_is_raised() {
    in_both_homes("crossed", &changes(), room, |engines| {
        let tickets = AtomicU64::new(0);
        // One request of most windows is refused.
        let each = LIMIT + 1;
        let seen = in_threads(engines, |_, engine| {
            let mut most: BTreeMap<(usize, u64), u64> = BTreeMap::new();
            let mut refused = BTreeSet::new();
            loop {
                let ticket = tickets.fetch_add(1, Ordering::Relaxed);
                if ticket >= windows() * each {
                    return (most, refused);
                }
                let now = T0 + ticket / each * SECOND;
                let report = engine.report_at(&request(), Nanos::new(now), Mode::Check);
                for (index, limit) in report.limits().iter().enumerate() {
                    assert_eq!(limit.name(), NAMES[index]);
                    let start = now + limit.reset().unwrap().get() - SECOND;
                    if report.decision().is_allowed() {
                        let used = most.entry((index, start)).or_default();
                        *used = (*used).max(LIMIT - limit.remaining());
                    } else if limit.is_violated() {
                        refused.insert((index, start));
                    }
                }
            }
        });
        let mut expected = BTreeSet::new();
        for (most, refused) in seen {
            for ((index, start), used) in most {
                let over = thresholds(NAMES[index]).iter().filter(|&&t| used * 100 >= u64::from(t) * LIMIT);
                expected.extend(over.map(|&t| (NAMES[index].to_owned(), t, start)));
            }
            expected.extend(refused.into_iter().map(|(index, start)| (NAMES[index].to_owned(), 101, start)));
        }
        let raised = raised(engines);
        let lost: Vec<_> = expected.difference(&raised).collect();
        let more: Vec<_> = raised.difference(&expected).collect();
        assert!(lost.is_empty() && more.is_empty(), "lost: {lost:?}; too many: {more:?}");
    });
}
