//! The usage log against what the threads counted, to the unit.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use tollgate::{Cost, Date, Engine, Mode, Nanos, Plan, Quota, RefundStatus, Request, SettleStatus, Subject};

use super::*;

/// Within one month.
const DAYS: u64 = 14;
const STEPS_A_DAY: u64 = 600;
/// More than any quota holds.
const TOO_MUCH: u64 = 1 << 40;

/// Quota, days since the first: used and refused.
type Counts = BTreeMap<(usize, u64), (i64, u64)>;

/// One quota whose windows are days, so that a late debit counts in a newer one, and one whose windows hold many.
fn changes() -> Changes {
    let plan = Plan::new()
        .quota(Quota::new(700, "day").named("day"))
        .quota(Quota::new(1 << 30, "month").named("month"));
    Changes::new().plan("p", plan).subject("s", Subject::new(["p"]).key(key("k", "a key")))
}

fn day_of(instant: u64) -> u64 {
    instant / DAY - T0 / DAY
}

/// Makes one request, and counts what it came to.
fn ask(engine: &Engine, counts: &mut Counts, (cost, now): (u64, u64)) -> Option<[u64; 2]> {
    let report = engine.report_at(&Request::new("a key").cost(cost), Nanos::new(now), Mode::Check);
    note(&report, counts, (cost, now))
}

/// The days that an admitted request was counted on.
fn note(report: &tollgate::Report, counts: &mut Counts, (cost, now): (u64, u64)) -> Option<[u64; 2]> {
    let [by_day, by_month] = report.limits() else { panic!("{report:?}") };
    // A debit of a later day than `now` is one of the window that had begun.
    let window_end = now + by_day.reset().unwrap().get();
    let days = [day_of(window_end - 1), day_of(now)];
    for (index, limit) in [by_day, by_month].into_iter().enumerate() {
        let (used, refused) = counts.entry((index, days[index])).or_default();
        if report.decision().is_allowed() {
            *used += cost as i64;
        } else {
            *refused += u64::from(limit.is_violated());
        }
    }
    report.decision().is_allowed().then_some(days)
}

fn work(engine: &Engine, thread: usize, clock: &AtomicU64) -> Counts {
    let mut counts = Counts::new();
    let mut random = Random::new(thread as u64);
    loop {
        let step = clock.fetch_add(1, Ordering::Relaxed);
        if step >= DAYS * STEPS_A_DAY {
            return counts;
        }
        let now = T0 + step * (DAY / STEPS_A_DAY);
        match random.below(8) {
            0 => drop(ask(engine, &mut counts, (TOO_MUCH, now))),
            1..=3 => {
                let id = format!("{thread} {step}");
                let cost = 1 + random.below(3);
                let ticket = tollgate::Ticket::reserve(&id, Nanos::new(DAY));
                let request = Request::new("a key").cost(cost);
                let report = engine.report_as_at(&request, ticket, Nanos::new(now)).unwrap();
                let Some(days) = note(&report, &mut counts, (cost, now)) else { continue };
                // Perhaps on a later day.
                let later = Nanos::new(now + random.below(2 * DAY));
                let by = match random.below(3) {
                    0 => {
                        assert_eq!(engine.refund_at(&id, later), RefundStatus::Refunded);
                        -(cost as i64)
                    }
                    _ => {
                        let actual = random.below(6);
                        let status = engine.settle_at(&id, Cost::Every(actual), later).status();
                        assert!(matches!(status, SettleStatus::Settled | SettleStatus::Late));
                        actual as i64 - cost as i64
                    }
                };
                for (index, day) in days.into_iter().enumerate() {
                    counts.entry((index, day)).or_default().0 += by;
                }
            }
            _ => drop(ask(engine, &mut counts, (1 + random.below(3), now))),
        }
    }
}

#[test]
fn the_log_is_what_the_threads_counted() {
    in_both_homes(
        "log",
        &changes(),
        |builder| builder,
        |engines| {
            let clock = AtomicU64::new(0);
            let mut counted = Counts::new();
            for counts in in_threads(engines, |thread, engine| work(engine, thread, &clock)) {
                for (place, (used, refused)) in counts {
                    let sum = counted.entry(place).or_default();
                    *sum = (sum.0 + used, sum.1 + refused);
                }
            }
            let date = |day: u64| Date::from_days((T0 / DAY + day) as i32);
            let end = Nanos::new(T0 + (DAYS + 2) * DAY);
            let rows = engines[0].usage_at("s", "p", date(0), date(DAYS + 2), end).unwrap();
            let refusals: u64 = rows.iter().map(|row| row.refused()).sum();
            assert!(refusals > 100, "{refusals}");
            let mut wrong = Vec::new();
            for row in rows {
                let index = usize::from(row.limit() == "month");
                let day = (row.date().days() as u64) - T0 / DAY;
                let counted = counted.remove(&(index, day)).unwrap_or_default();
                if counted != (row.used() as i64, row.refused()) {
                    wrong.push((row, counted));
                }
            }
            assert!(wrong.is_empty(), "{wrong:?}");
            assert!(counted.values().all(|&counts| counts == (0, 0)), "{counted:?}");
            for engine in engines {
                assert_eq!(engine.full_counts(), Default::default());
            }
        },
    );
}
