//! So many decisions of one kind, for whoever counts instructions: `.ci/instructions` does, and compares them with those of
//! before.
//!
//! `instructions CASE COUNT`, or without arguments the names of the cases.

use std::hint::black_box;

use tollgate::{
    Capacity, Changes, Engine, Key, Limits, Nanos, Plan, Quota, Request, SecretKey, Subject, Throttle,
};

const T0: Nanos = Nanos::new(1_700_000_000_000_000_000);
const KEY: &str = "key-of-a-client-abcdefgh-32bytes";

type Case = (&'static str, fn(&Engine, u32));

const CASES: &[Case] = &[
    ("throttle", |engine, count| {
        let plan = engine.plan_id("throttle").expect("is there");
        repeat(count, || engine.check_at(&Request::anonymous_in(plan, black_box(KEY)), T0).is_allowed());
    }),
    ("throttle, refused", |engine, count| {
        let plan = engine.plan_id("refusing").expect("is there");
        engine.check_at(&Request::anonymous_in(plan, KEY), T0);
        repeat(count, || !engine.check_at(&Request::anonymous_in(plan, black_box(KEY)), T0).is_allowed());
    }),
    ("throttle, in batches of 16", |engine, count| {
        let plan = engine.plan_id("throttle").expect("is there");
        let requests = [Request::anonymous_in(plan, KEY); 16];
        let mut decisions = Vec::with_capacity(16);
        repeat(count / 16, || {
            decisions.clear();
            engine.check_batch_at(black_box(&requests), T0, &mut decisions);
            decisions.iter().all(|decision| decision.is_allowed())
        });
    }),
    ("throttle and two quotas, registered", |engine, count| {
        repeat(count, || engine.check_at(&Request::new(black_box("metered")), T0).is_allowed());
    }),
    ("throttle, two quotas and a pool, registered", |engine, count| {
        repeat(count, || engine.check_at(&Request::new(black_box("pooled")), T0).is_allowed());
    }),
    ("concurrency limit, taken and released", |engine, count| {
        // A book of one id: each is forgotten when the other one comes.
        let mut ids = ["one", "other"];
        repeat(count, || {
            ids.swap(0, 1);
            let decision = engine.check_as_at(&Request::new(black_box("capped")), ids[0], T0);
            engine.release(ids[0]);
            decision.is_ok_and(|decision| decision.is_allowed())
        });
    }),
    ("unknown key", |engine, count| {
        repeat(count, || !engine.check_at(&Request::new(black_box("nobody's")), T0).is_allowed());
    }),
];

fn repeat(count: u32, mut decide: impl FnMut() -> bool) {
    for _ in 0..count {
        assert!(decide());
    }
}

fn engine() -> Engine {
    let throttle = || Throttle::new("1000/s", 100_000_000);
    let metered = || {
        let monthly = Quota::new(1_000_000_000, "month").zone("Asia/Tokyo");
        Plan::new().throttle(throttle()).quota(Quota::new(1_000_000_000, "day")).quota(monthly)
    };
    let subject = |plan: &str| {
        let secret = SecretKey::new(plan).expect("is a key");
        Subject::new([plan]).key(Key::new(plan, secret))
    };
    let changes = Changes::new()
        .plan("throttle", Plan::new().throttle(throttle()))
        .plan("refusing", Plan::new().throttle(Throttle::new("1/d", 1)))
        .plan("metered", metered())
        .plan("pooled", metered().pool(Limits::new().quota(Quota::new(1_000_000_000, "day"))))
        .plan("capped", metered().concurrency(tollgate::Concurrency::new(8)))
        .subject("metered", subject("metered"))
        .subject("pooled", subject("pooled"))
        .subject("capped", subject("capped"));
    let capacity = Capacity::new().cells(1_000).lines(1_000);
    Engine::builder().changes(changes).capacity(capacity).ids(1).build().expect("is right")
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let Some(name) = arguments.next() else {
        CASES.iter().for_each(|(name, _)| println!("{name}"));
        return;
    };
    let count = arguments.next().and_then(|count| count.parse().ok()).expect("how often");
    let (_, run) = CASES.iter().find(|(other, _)| *other == name).expect("a case that there is");
    let engine = engine();
    // Everything is there then.
    run(&engine, 160);
    run(&engine, count);
}
