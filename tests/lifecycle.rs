//! The life of keys, and what is counted of decisions.

use std::thread;

use tollgate::{
    Changes, Engine, Key, KeyError, KeyFormat, Limits, Nanos, Plan, Quota, Request, SecretKey, Subject,
    Throttle, Verdict,
};

const T0: u64 = 1_700_000_000_000_000_000;
const SECOND: u64 = 1_000_000_000;

fn changes(key: SecretKey) -> Changes {
    let plan = Plan::new().quota(Quota::new(5, "day"));
    Changes::new().plan("gold", plan).subject("acme", Subject::new(["gold"]).key(Key::new("acme-1", key)))
}

fn verdict(engine: &Engine, key: &[u8], now: u64) -> Verdict {
    engine.check_at(&Request::new(key), Nanos::new(now)).verdict()
}

#[test]
fn keys_of_another_form_are_unknown_before_they_are_looked_for() {
    let format = KeyFormat::new("tg_live_").unwrap();
    let key = format.generate().unwrap().reveal(<[u8]>::to_vec);
    let secret = SecretKey::new(key.clone()).unwrap();
    let engine = Engine::builder().changes(changes(secret)).key_format(format.clone()).build().unwrap();
    assert_eq!(verdict(&engine, &key, T0), Verdict::Ok);
    let mut typo = key.clone();
    typo[20] ^= 1;
    for garbage in [&b"tg_live_"[..], b"made-up", &typo, &key[..46], &[0xff; 47]] {
        assert_eq!(verdict(&engine, garbage, T0), Verdict::KeyUnknown);
        // It may be the name of a visitor all the same.
        let visitor = Request::new(garbage).or_anonymous("gold");
        assert_eq!(engine.check_at(&visitor, Nanos::new(T0)).verdict(), Verdict::Ok);
    }
    // Rotations make keys of the form, and take no others.
    let rotated = engine.rotate_at("acme-1", "acme-2", Nanos::new(SECOND), Nanos::new(T0)).unwrap();
    rotated.reveal(|key| {
        assert!(format.matches(key));
        assert_eq!(verdict(&engine, key, T0), Verdict::Ok);
    });
    let other = SecretKey::new("made-up").unwrap();
    let refused = engine.rotate_to_at("acme-2", "acme-3", &other, Nanos::ZERO, Nanos::new(T0));
    assert!(matches!(refused, Err(KeyError::Format(_))));
}

#[test]
fn a_rotated_key_works_until_the_overlap_ends() {
    let engine = Engine::builder().changes(changes(SecretKey::new("old").unwrap())).build().unwrap();
    assert_eq!(verdict(&engine, b"old", T0), Verdict::Ok);
    let new = SecretKey::new("new").unwrap();
    engine.rotate_to_at("acme-1", "acme-2", &new, Nanos::new(10), Nanos::new(T0)).unwrap();
    assert_eq!([verdict(&engine, b"old", T0 + 9), verdict(&engine, b"new", T0 + 9)], [Verdict::Ok; 2]);
    assert_eq!(verdict(&engine, b"old", T0 + 10), Verdict::KeyRevoked);
    // One subject, one quota: three of the five were used.
    assert_eq!([verdict(&engine, b"new", T0 + 10), verdict(&engine, b"new", T0 + 10)], [Verdict::Ok; 2]);
    assert_eq!(verdict(&engine, b"new", T0 + 10), Verdict::QuotaExceeded);
    for (id, new_id) in [("nobody", "acme-3"), ("acme-1", "acme-3"), ("acme-2", "acme-1"), ("acme-2", "")] {
        let refused = engine.rotate_at(id, new_id, Nanos::ZERO, Nanos::new(T0 + 10));
        assert!(refused.is_err(), "{id} {new_id}");
    }
    // At once.
    let newest = engine.rotate_at("acme-2", "acme-3", Nanos::ZERO, Nanos::new(T0 + 20)).unwrap();
    assert_eq!(verdict(&engine, b"new", T0 + 19), Verdict::KeyRevoked);
    newest.reveal(|key| assert_eq!(verdict(&engine, key, T0 + 20), Verdict::QuotaExceeded));
    // A change that does not list its keys keeps those of rotations; one that does makes them unknown.
    engine.apply(&Changes::new().subject("acme", Subject::new(["gold"]))).unwrap();
    engine.enable("acme-3").unwrap();
    let listed = Subject::new(["gold"]).key(Key::new("acme-9", SecretKey::new("other").unwrap()));
    engine.apply(&Changes::new().subject("acme", listed)).unwrap();
    assert!(engine.enable("acme-3").is_err());
    assert_eq!(verdict(&engine, b"new", T0 + 30), Verdict::KeyUnknown);
}

#[test]
fn every_decision_is_counted_once() {
    const THREADS: u64 = 4;
    const EACH: u64 = 500;
    let limited = Plan::new()
        .throttle(Throttle::new("1/d", 100))
        .pool(Limits::new().quota(Quota::new(1_000_000, "day")));
    let observed = Plan::new().quota(Quota::new(10, "day")).observe(true);
    let changes = changes(SecretKey::new("a key").unwrap()).plan("free", limited).plan("watched", observed);
    let engine = Engine::builder().changes(changes).build().unwrap();
    let other = Engine::builder().build().unwrap();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for n in 0..EACH {
                    let now = Nanos::new(T0);
                    engine.check_at(&Request::anonymous("free", "x"), now);
                    engine.check_at(&Request::anonymous("watched", "y"), now);
                    engine.check_at(&Request::new("a key"), now);
                    engine.check_at(&Request::new("nobody's"), now);
                    engine.peek_at(&Request::anonymous("free", "x"), now);
                    if n % 100 == 0 {
                        // Another engine, and another world.
                        other.check_at(&Request::new("nobody's"), now);
                        engine.apply_at(&Changes::new().plan(&format!("new {n}"), Plan::new()), now).unwrap();
                    }
                }
            });
        }
    });
    let metrics = engine.metrics();
    let count = |plan: Option<&str>, verdict| {
        let plan = metrics.plans().iter().find(|other| other.plan() == plan).unwrap();
        (plan.count(verdict), plan.would_deny())
    };
    let all = THREADS * EACH;
    assert_eq!(count(Some("free"), Verdict::Ok), (100, 0));
    assert_eq!(count(Some("free"), Verdict::Throttled), (all - 100, 0));
    assert_eq!(count(Some("watched"), Verdict::Ok), (all, all - 10));
    assert_eq!(count(Some("gold"), Verdict::Ok), (5, 0));
    assert_eq!(count(Some("gold"), Verdict::QuotaExceeded), (all - 5, 0));
    assert_eq!(count(None, Verdict::KeyUnknown), (all, 0));
    let text = metrics.prometheus();
    assert!(text.contains(&format!(
        "tollgate_decisions_total{{plan=\"free\",verdict=\"throttled\"}} {}\n",
        all - 100
    )));
    assert!(text.contains(&format!("tollgate_would_deny_total{{plan=\"watched\"}} {}\n", all - 10)));
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(name.starts_with("tollgate_") && value.parse::<u64>().is_ok(), "{line}");
    }
    assert_eq!(other.metrics().plans()[0].count(Verdict::KeyUnknown), THREADS * EACH / 100);
}

#[test]
fn labels_are_escaped() {
    let name = "a \"plan\" \\ of ours";
    let engine = Engine::builder().changes(Changes::new().plan(name, Plan::new())).build().unwrap();
    engine.check(&Request::anonymous(name, "x"));
    let text = engine.metrics().prometheus();
    assert!(text.contains("{plan=\"a \\\"plan\\\" \\\\ of ours\",verdict=\"ok\"} 1\n"), "{text}");
}

#[test]
fn a_plan_has_no_more_quotas_than_one_decision_can_change() {
    let units = ["requests", "bytes", "tokens", "seats"];
    let plan = |quotas: usize| {
        let periods = ["minute", "hour", "day", "month", "week"];
        (0..quotas).fold(Plan::new(), |plan, n| {
            let name = format!("q{n}");
            plan.quota(Quota::new(1_000_000, periods[n % 5]).named(&name).unit(units[n / 5 % 4]))
        })
    };
    let build = |quotas: usize| {
        let key = Key::new("k", SecretKey::new("a key").unwrap());
        let changes = Changes::new().plan("p", plan(quotas)).subject("s", Subject::new(["p"]).key(key));
        Engine::builder().changes(changes).build()
    };
    let most = (1..40).take_while(|&quotas| build(quotas).is_ok()).last().unwrap();
    assert!((15..24).contains(&most), "{most}");
    let error = build(most + 1).unwrap_err().to_string();
    assert!(error.starts_with("plans.p: has too many limits for one decision"), "{error}");
    // As many as that go on over all changes of windows and days.
    let engine = build(most).unwrap();
    for day in 0..70 {
        for hour in [0, 5, 5] {
            let now = T0 + (day * 24 + hour) * 3_600 * SECOND;
            assert_eq!(verdict(&engine, b"a key", now), Verdict::Ok, "day {day}");
        }
    }
    assert_eq!(engine.full_counts(), tollgate::FullCounts::default());
}
