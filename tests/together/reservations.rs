//! Settlements and refunds of the same ids: one of them each, and exact sums.

use std::sync::atomic::{AtomicU64, Ordering};

use tollgate::{
    Cost, Engine, Limits, Mode, Nanos, Plan, Quota, RefundStatus, Request, SettleStatus, Subject, Throttle,
    Verdict,
};

use super::*;

const MUCH: u64 = 1 << 30;

fn changes() -> Changes {
    let quota = |per| Quota::new(MUCH, per);
    let plan = Plan::new()
        .throttle(Throttle::new("1000/s", 1 << 30))
        .quota(quota("day"))
        .quota(quota("month"))
        .route("GET /r", Limits::new().quota(quota("day")))
        .pool(Limits::new().quota(quota("week")));
    let throttled = Plan::new().quota(Quota::new(0, "day"));
    Changes::new()
        .plan("p", plan)
        .plan("nothing", throttled)
        .subject("s", Subject::new(["p"]).key(key("k", "a key")))
        .subject("poor", Subject::new(["nothing"]).key(key("poor", "poor key")))
}

fn request() -> Request<'static> {
    Request::new("a key").route("GET /r")
}

fn used(engine: &Engine) -> Vec<u64> {
    let report = engine.report_at(&request().cost(0), Nanos::new(T0), Mode::Peek);
    report.limits()[1..].iter().map(|limit| limit.limit() - limit.remaining()).collect()
}

#[test]
fn of_all_who_close_an_id_one_wins() {
    const IDS: u64 = 400;
    in_both_homes(
        "closing",
        &changes(),
        |builder| builder,
        |engines| {
            for round in 0..4 {
                let before = used(&engines[0]);
                // The book is each process's own.
                for engine in engines {
                    for id in 0..IDS {
                        let decision = engine.reserve_at(
                            &request().cost(2),
                            &name(round, id),
                            Nanos::new(DAY),
                            Nanos::new(T0),
                        );
                        assert_eq!(decision.unwrap().verdict(), Verdict::Ok);
                    }
                }
                let wins: Vec<AtomicU64> =
                    (0..IDS * engines.len() as u64).map(|_| AtomicU64::new(0)).collect();
                let actual = in_threads(engines, |thread, engine| {
                    let mut actual = 0;
                    for n in 0..IDS {
                        // Some go the same way, some another.
                        let id = if thread % 4 < 2 { n } else { IDS - 1 - n };
                        let cost = (thread as u64 + n) % 5;
                        let won = if (thread as u64 + n).is_multiple_of(3) {
                            engine.refund_at(&name(round, id), Nanos::new(T0)) == RefundStatus::Refunded
                        } else {
                            let settlement =
                                engine.settle_at(&name(round, id), Cost::Every(cost), Nanos::new(T0));
                            let won = settlement.status() == SettleStatus::Settled;
                            assert!(won || settlement.status() == SettleStatus::AlreadySettled);
                            actual += if won { cost } else { 0 };
                            won
                        };
                        let book = thread % engines.len();
                        wins[book * IDS as usize + id as usize].fetch_add(won.into(), Ordering::Relaxed);
                    }
                    actual
                });
                assert!(wins.iter().all(|wins| wins.load(Ordering::Relaxed) == 1));
                let sum: u64 = actual.into_iter().sum();
                let expected: Vec<u64> = before.into_iter().map(|before| before + sum).collect();
                assert_eq!(used(&engines[0]), expected);
            }
            // The throttle has what the quotas have, but for a tiny bit that it refilled.
            let report = engines[0].report_at(&request().cost(0), Nanos::new(T0), Mode::Peek);
            let limit = &report.limits()[0];
            assert_eq!(limit.remaining(), limit.limit().saturating_sub(used(&engines[0])[0]));
        },
    );
}

fn name(round: u64, id: u64) -> String {
    format!("{round} {id}")
}

#[test]
fn a_book_holds_as_many_open_reservations_as_it_is_to() {
    const ROOM: u64 = 100;
    in_both_homes(
        "bound",
        &changes(),
        |builder| builder.ids(ROOM),
        |engines| {
            let before = used(&engines[0])[0];
            let admitted = in_threads(engines, |thread, engine| {
                let mut admitted = 0;
                for n in 0..50 {
                    let id = name(thread as u64, n);
                    let decision =
                        engine.reserve_at(&request(), &id, Nanos::new(DAY), Nanos::new(T0)).unwrap();
                    assert!(matches!(decision.verdict(), Verdict::Ok | Verdict::StoreFull));
                    admitted += u64::from(decision.is_allowed());
                }
                admitted
            });
            let admitted: u64 = admitted.into_iter().sum();
            assert_eq!(admitted, ROOM * engines.len() as u64);
            assert_eq!(used(&engines[0])[0] - before, admitted);
        },
    );
}

/// The poor one is refused whenever it asks. It must not take the last place in the book, not even for a moment, nor another's
/// id.
#[test]
fn nobody_is_refused_for_an_id_of_one_who_is_refused() {
    const ROUNDS: u64 = 8_000;
    in_both_homes(
        "last",
        &changes(),
        |builder| builder.ids(2),
        |engines| {
            for engine in engines {
                engine.reserve_at(&request(), "kept open", Nanos::new(DAY), Nanos::new(T0)).unwrap();
            }
            let done = AtomicU64::new(0);
            in_threads(engines, |thread, engine| {
                let poor = Request::new("poor key");
                if thread >= engines.len() {
                    while done.load(Ordering::Relaxed) < engines.len() as u64 {
                        let decision = engine.reserve_at(&poor, "the id", Nanos::new(DAY), Nanos::new(T0));
                        assert!(decision.is_err() || !decision.unwrap().is_allowed());
                    }
                    return;
                }
                let mut wrong = Vec::new();
                for n in 0..ROUNDS {
                    match engine.reserve_at(&request(), "the id", Nanos::new(DAY), Nanos::new(T0)) {
                        Ok(decision) if decision.is_allowed() => {
                            assert_eq!(
                                engine.settle_at("the id", 1, Nanos::new(T0)).status(),
                                SettleStatus::Settled
                            );
                            // It is forgotten for the next that is admitted.
                            let next =
                                engine.reserve_at(&request(), "other", Nanos::new(DAY), Nanos::new(T0));
                            match next {
                                Ok(decision) if decision.is_allowed() => {
                                    engine.settle_at("other", 1, Nanos::new(T0));
                                }
                                other => wrong.push((n, format!("{other:?}"))),
                            }
                        }
                        other => wrong.push((n, format!("{other:?}"))),
                    }
                }
                done.fetch_add(1, Ordering::Relaxed);
                assert!(wrong.is_empty(), "{} of {ROUNDS}: {:?}", wrong.len(), &wrong[..wrong.len().min(4)]);
            });
        },
    );
}
