//! A new engine from a snapshot: everything stands as it did, whichever the plan file and the capacity.

use tollgate::{Cost, Date, RefundStatus, ReleaseStatus, SettleStatus, Ticket};

use super::*;

const PLANS: &str = r#"
[plans.gold]
throttle = { rate = "1/m", burst = 50 }
quotas = [{ limit = 40, per = "day" }, { limit = 400, per = "month", zone = "Asia/Tokyo" }]
concurrency = { limit = 4, lease = "2h" }
routes."GET /r" = { quotas = [{ limit = 30, per = "week" }] }
pool = { quotas = [{ limit = 10000, per = "forever" }], throttle = { rate = "1/h", burst = 4000 } }
[plans.free]
throttle = { rate = "1/7s", burst = 9 }
[plans.small]
quotas = [{ limit = 20, per = "day" }]
[subjects.acme]
plans = ["gold"]
keys = [{ id = "a", value = "a key" }]
[subjects.other]
plans = ["gold"]
keys = [{ id = "o", value = "other key" }]
"#;

fn gold() -> Request<'static> {
    Request::new("a key").route("GET /r")
}

/// Three days of everything; the last instant is `T0 + 2 * DAY`.
fn live(engine: &Engine) {
    for day in 0..3 {
        let now = T0 + day * DAY;
        for n in 0..5 + day {
            assert_eq!(check(engine, &gold().cost(n % 2 + 1), now), Verdict::Ok);
            engine.maintain_at(1, Nanos::new(now));
            if n == 2 {
                break;
            }
        }
        assert_eq!(check(engine, &Request::new("other key").cost(3), now), Verdict::Ok);
        assert_eq!(check(engine, &Request::new("other key").cost(38), now), Verdict::QuotaExceeded);
        for n in 0..40u64 {
            let name = format!("visitor {n}");
            engine.check_at(&Request::anonymous("free", &name).cost(1 + n % 9), Nanos::new(now));
            engine.check_at(&Request::anonymous("small", &name).cost(1 + n % 9), Nanos::new(now));
        }
    }
    let now = Nanos::new(T0 + 2 * DAY);
    engine.grant_at("other", "gold", "day", 7, now).unwrap();
    let reserve = |id: &str, cost| {
        let request = Request::new("other key").cost(cost);
        let report = engine.report_as_at(&request, Ticket::reserve(id, Nanos::new(DAY)), now).unwrap();
        assert!(report.decision().is_allowed(), "{report:?}");
    };
    reserve("open", 2);
    reserve("settled", 3);
    assert_eq!(engine.settle_at("settled", Cost::Every(1), now).status(), SettleStatus::Settled);
    assert!(engine.check_as_at(&Request::new("other key"), "checked", now).unwrap().is_allowed());
}

/// All that can be seen from outside, at two instants.
fn everything(engine: &Engine) -> Vec<String> {
    let mut all = Vec::new();
    for now in [T0 + 2 * DAY, T0 + 2 * DAY + 3_601 * SECOND, T0 + 3 * DAY] {
        for request in [gold(), Request::new("other key"), Request::new("other key").route("GET /r")] {
            all.push(standing(engine, &request, now));
        }
        for n in 0..41u64 {
            let name = format!("visitor {n}");
            all.push(standing(engine, &Request::anonymous("free", &name), now));
            all.push(standing(engine, &Request::anonymous("small", &name), now));
        }
    }
    let date = |text: &str| text.parse::<Date>().unwrap();
    let (from, to) = (date("2023-11-10"), date("2023-11-20"));
    for subject in ["acme", "other"] {
        all.push(format!("{:?}", engine.usage_at(subject, "gold", from, to, Nanos::new(T0 + 3 * DAY))));
    }
    all
}

/// That both are the same; the first difference, if there is one.
fn same(found: &[String], expected: &[String]) {
    assert_eq!(found.len(), expected.len());
    for (n, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert_eq!(found, expected, "number {n}");
    }
}

/// That all goes on as if nothing had happened.
fn goes_on(engine: &Engine) {
    let now = Nanos::new(T0 + 2 * DAY);
    assert_eq!(engine.alerts(), Default::default(), "raised again");
    let other = Request::new("other key");
    let before = left(engine, &other, now.get());
    assert_eq!(engine.settle_at("settled", Cost::Every(9), now).status(), SettleStatus::AlreadySettled);
    assert_eq!(engine.settle_at("open", Cost::Every(1), now).status(), SettleStatus::Settled);
    assert_eq!(engine.settle_at("open", Cost::Every(1), now).status(), SettleStatus::AlreadySettled);
    assert_eq!(engine.release("checked"), ReleaseStatus::Released);
    assert_eq!(engine.release("checked"), ReleaseStatus::AlreadyReleased);
    assert_eq!(engine.refund_at("checked", now), RefundStatus::Refunded);
    assert_eq!(engine.refund_at("checked", now), RefundStatus::AlreadySettled);
    assert_eq!(engine.refund_at("never", now), RefundStatus::UnknownId);
    assert!(engine.check_as_at(&other, "open", now).is_err(), "the id is in use");
    // One of each throttle and quota came back by either, and both of the slots.
    let after = left(engine, &other, now.get());
    let gained: Vec<u64> = before.iter().zip(&after).map(|(before, after)| after - before).collect();
    assert_eq!(gained, [2, 2, 2, 2, 2, 2]);
    // What has fired does so no more in its windows; what comes next does.
    assert_eq!(check(engine, &other.cost(41), now.get()), Verdict::CostExceedsLimit);
    assert_eq!(engine.alerts().events.len(), 0);
}

#[test]
fn everything_stands_as_it_did() {
    let changes = toml(PLANS);
    let old = heap(&changes).build().unwrap();
    live(&old);
    assert!(!old.alerts().events.is_empty());
    let (expected, written) = (everything(&old), bytes(&old));
    let sizes = [(2_000, 2_000), (150, 150), (100_000, 50_000), (1 << 22, 1 << 22)];
    for (cells, lines) in sizes {
        for touched in [false, true] {
            if touched && cells == 1 << 22 {
                continue;
            }
            let capacity = Capacity::new().cells(cells).lines(lines);
            let builder = heap(&changes).capacity(capacity).snapshot(Snapshot::read(&written).unwrap());
            let builder = if touched { builder.touched() } else { builder };
            let new = builder.build().unwrap();
            same(&everything(&new), &expected);
            // And once more from the new one.
            let again = heap(&changes).snapshot(snapshot(&new)).build().unwrap();
            same(&everything(&again), &expected);
            goes_on(&new);
            goes_on(&again);
        }
    }
    goes_on(&old);
    // Back in the old one as well.
    old.restore_at(&Snapshot::read(&written).unwrap(), Nanos::new(T0 + 2 * DAY)).unwrap();
    same(&everything(&old), &expected);
    goes_on(&old);
}

#[test]
fn regions_and_heaps() {
    let changes = toml(PLANS);
    let files = [Scratch::new("from"), Scratch::new("to"), Scratch::new("used"), Scratch::new("fourth")];
    let old = region(&files[0], &changes).build().unwrap();
    live(&old);
    let (expected, written) = (everything(&old), bytes(&old));
    let read = || Snapshot::read(&written).unwrap();
    let beside = region(&files[0], &changes).build().unwrap();
    same(&everything(&beside), &expected);
    let new = region(&files[1], &changes).snapshot(read()).build().unwrap();
    same(&everything(&new), &expected);
    let joined = region(&files[1], &changes).build().unwrap();
    same(&everything(&joined), &expected);
    goes_on(&new);
    // Into a process's own memory.
    let new = heap(&changes).snapshot(read()).build().unwrap();
    same(&everything(&new), &expected);
    goes_on(&new);
    // Not where something is, nor from a process's own memory.
    drop(region(&files[2], &changes).build().unwrap());
    let problem = refused(region(&files[2], &changes).snapshot(read()).build());
    assert!(problem.contains("region"), "{problem}");
    let own = heap(&changes).build().unwrap();
    let problem = refused(region(&files[3], &changes).snapshot(snapshot(&own)).build());
    assert!(problem.contains("region"), "{problem}");
    assert!(own.restore(&read()).is_err());
    // The one that was refused has not spoiled the file.
    let next = region(&files[3], &changes).build().unwrap();
    assert_eq!(check(&next, &gold(), T0), Verdict::Ok);
}

#[test]
fn other_rates_and_limits_than_before() {
    let old = heap(&toml(PLANS)).build().unwrap();
    live(&old);
    let now = T0 + 2 * DAY;
    let text = PLANS
        .replace("limit = 40, per", "limit = 60, per")
        .replace("limit = 400, per", "limit = 300, per")
        .replace("1/m", "2/m")
        .replace("1/7s", "1/11s");
    let new = heap(&toml(&text)).clock(clock(now)).snapshot(snapshot(&old)).build().unwrap();
    // It is as if the old one had been changed at that instant.
    old.apply_at(&toml(&text), Nanos::new(now)).unwrap();
    same(&everything(&new), &everything(&old));
}

#[test]
fn plans_and_subjects_that_are_gone() {
    let old = heap(&toml(PLANS)).build().unwrap();
    live(&old);
    let now = T0 + 2 * DAY;
    let free = "[plans.free]\nthrottle = { rate = \"1/7s\", burst = 9 }\n";
    let new = heap(&toml(free)).clock(clock(now)).snapshot(snapshot(&old)).build().unwrap();
    let visitor = |n: u64| format!("visitor {n}");
    for n in 0..40 {
        let name = visitor(n);
        let request = Request::anonymous("free", &name);
        assert_eq!(standing(&new, &request, now), standing(&old, &request, now));
    }
    assert_eq!(check(&new, &Request::anonymous("small", "visitor 1"), now), Verdict::NoPlanForStage);
    assert_eq!(check(&new, &gold(), now), Verdict::KeyUnknown);
    // What is known of their requests harms nobody.
    assert_eq!(new.release("checked"), ReleaseStatus::Released);
    assert_eq!(old.release("checked"), ReleaseStatus::Released);
    // They come back, as one that never lost them has them.
    new.apply_at(&toml(PLANS), Nanos::new(now)).unwrap();
    for engine in [&old, &new] {
        let settlement = engine.settle_at("open", Cost::Every(1), Nanos::new(now));
        assert_eq!(settlement.status(), SettleStatus::Settled);
    }
    same(&everything(&new), &everything(&old));
}
