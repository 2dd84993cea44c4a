//! Decisions that change many words at once.

use tollgate::{Concurrency, Limits, Plan, Request, Subject, Verdict};

use super::*;

/// Slots whose leases have ended are given up by decisions, of three limits at once: never more of them than one decision can
/// change.
#[test]
fn leases_that_ended_all_at_once_are_in_nobodys_way() {
    let slots = |limit| Concurrency::new(limit).lease("1s");
    let plan = Plan::new()
        .concurrency(slots(200))
        .route("GET /r", Limits::new().concurrency(slots(200)))
        .pool(Limits::new().concurrency(slots(200)));
    let changes = Changes::new().plan("p", plan).subject("s", Subject::new(["p"]).key(key("k", "a key")));
    in_both_homes(
        "ended",
        &changes,
        |builder| builder,
        |engines| {
            let request = Request::new("a key").route("GET /r");
            for round in 0..3 {
                let now = Nanos::new(T0 + round * 2 * SECOND);
                for n in 0..200 {
                    assert_eq!(engines[0].check_at(&request, now).verdict(), Verdict::Ok, "{round}, {n}");
                }
                assert_eq!(engines[0].check_at(&request, now).verdict(), Verdict::ConcurrencyExceeded);
            }
        },
    );
}
