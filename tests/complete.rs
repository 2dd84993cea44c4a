//! Changes that are all there is, and engines that leave a region as they find it.

#[path = "common/scratch.rs"]
mod scratch;

use scratch::Scratch;
use tollgate::{
    ApplyError, Capacity, Changes, Clock, Engine, Key, ManualClock, Nanos, Plan, Quota, Region, Request,
    SecretKey, Subject, Throttle, Verdict,
};

const T0: u64 = 1_700_000_000_000_000_000;

impl Scratch {
    fn attach(&self, changes: Changes) -> Result<Engine, ApplyError> {
        self.attach_at(changes, false, T0)
    }

    fn attach_at(&self, changes: Changes, as_found: bool, now: u64) -> Result<Engine, ApplyError> {
        let capacity = Capacity::new().cells(600).lines(160);
        let region = Region::file(&self.0, capacity.region_bytes())?;
        let clock = Clock::Manual(ManualClock::at(Nanos::new(now)));
        let builder = Engine::attach(region).capacity(capacity).changes(changes).clock(clock);
        if as_found { builder.as_found() } else { builder }.build()
    }
}

fn key(name: &str) -> Key {
    Key::new(name, SecretKey::new(name).unwrap())
}

/// A plan of three a day, and subjects with a key of their name.
fn changes<'a>(limit: u64, subjects: impl IntoIterator<Item = &'a str>) -> Changes {
    let changes = Changes::new().plan("free", Plan::new().quota(Quota::new(limit, "day")));
    subjects
        .into_iter()
        .fold(changes, |changes, name| changes.subject(name, Subject::new(["free"]).key(key(name))))
}

fn verdict(engine: &Engine, key: &str) -> Verdict {
    engine.check(&Request::new(key)).verdict()
}

#[test]
fn what_a_complete_list_does_not_name_goes() {
    let engine = Engine::builder().changes(changes(3, ["a", "b"])).build().unwrap();
    engine.apply(&Changes::new().plan("other", Plan::new())).unwrap();
    assert_eq!(verdict(&engine, "a"), Verdict::Ok);
    // A list that is wrong changes nothing.
    let wrong = Changes::new().subject("b", Subject::new(["free"])).complete();
    assert!(engine.apply(&wrong).unwrap_err().to_string().contains("free"));
    assert_eq!((verdict(&engine, "a"), verdict(&engine, "b")), (Verdict::Ok, Verdict::Ok));
    engine.apply(&changes(3, ["b"]).complete()).unwrap();
    assert!(!engine.has_plan("other"));
    assert_eq!((verdict(&engine, "a"), verdict(&engine, "b")), (Verdict::KeyUnknown, Verdict::Ok));
}

#[test]
fn subjects_and_keys_that_come_and_go_do_not_fill_a_region() {
    let file = Scratch::new("come-and-go");
    for round in 0..30 {
        // Three lines each, limits, what is kept beside the quota, and the key's state; and one for the day. With those of
        // the round before that is as much as there is. By the next round nothing counts any more.
        let names: Vec<_> = (0..20).map(|n| format!("s{round}-{n}")).collect();
        let listed = changes(3, names.iter().map(String::as_str));
        let now = T0 + round * 200 * 86_400 * 1_000_000_000;
        // What was looked at only gives its room back, too.
        let looked_at = format!("looked-at-{round}");
        file.attach_at(changes(3, [&*looked_at]), true, now).unwrap();
        let engine = file.attach_at(listed.complete(), false, now);
        let engine = engine.unwrap_or_else(|error| panic!("round {round}: {error}"));
        for name in &names {
            assert_eq!(verdict(&engine, name), Verdict::Ok);
        }
    }
}

#[test]
fn what_counts_is_not_forgotten_with_a_name() {
    let file = Scratch::new("counts");
    let (one, other) =
        (file.attach(changes(2, ["a", "b"])).unwrap(), file.attach(changes(2, ["a", "b"])).unwrap());
    assert_eq!((verdict(&one, "a"), verdict(&one, "a")), (Verdict::Ok, Verdict::Ok));
    one.revoke("b").unwrap();
    drop(file.attach(changes(2, ["c"]).complete()).unwrap());
    // Who still names it goes on.
    assert_eq!((verdict(&other, "a"), verdict(&other, "b")), (Verdict::QuotaExceeded, Verdict::KeyRevoked));
    // All room is asked for, in vain.
    let many: Vec<_> = (0..90).map(|n| format!("s{n}")).collect();
    file.attach(changes(2, many.iter().map(String::as_str)).complete()).unwrap_err();
    let again = file.attach(changes(2, ["a", "b"]).complete()).unwrap();
    assert_eq!((verdict(&again, "a"), verdict(&again, "b")), (Verdict::QuotaExceeded, Verdict::KeyRevoked));
}

#[test]
fn a_region_is_left_as_it_is_found() {
    let file = Scratch::new("found");
    let limited = |burst| {
        let plan = Plan::new().throttle(Throttle::new("1/d", burst)).quota(Quota::new(burst, "week"));
        Changes::new().plan("p", plan)
    };
    let subject = |changes: Changes, keys: Vec<Key>| {
        changes.subject("s", keys.into_iter().fold(Subject::new(["p"]), Subject::key))
    };
    let live = file.attach(subject(limited(2), vec![key("k")])).unwrap();
    let stricter = subject(limited(9), vec![key("k").enabled(false), key("new").enabled(false)]);
    for _ in 0..2 {
        let found = file.attach_at(stricter.clone().complete(), true, T0).unwrap();
        assert_eq!(verdict(&found, "new"), Verdict::KeyDisabled, "it has no state yet");
        assert_eq!(found.peek(&Request::new("k").cost(3)).verdict(), Verdict::CostExceedsLimit);
    }
    // Neither rates nor states have changed; what is wrong is found.
    assert_eq!([(); 3].map(|()| verdict(&live, "k")), [Verdict::Ok, Verdict::Ok, Verdict::QuotaExceeded]);
    let wrong = limited(9).subject("s", Subject::new(["none"]));
    assert!(file.attach_at(wrong, true, T0).unwrap_err().to_string().contains("none"));
    // A key of which nothing took effect begins as it is listed then.
    let next = file.attach(subject(limited(3), vec![key("k"), key("new")]).complete()).unwrap();
    assert_eq!([(); 2].map(|()| verdict(&next, "new")), [Verdict::Ok, Verdict::QuotaExceeded]);
    // One that comes late does not undo it.
    drop(file.attach_at(subject(limited(1), vec![key("k")]).complete(), true, T0).unwrap());
    assert_eq!(next.peek(&Request::new("new").cost(3)).verdict(), Verdict::QuotaExceeded);
    drop(file.attach(stricter).unwrap());
    assert_eq!((verdict(&live, "k"), verdict(&next, "new")), (Verdict::KeyDisabled, Verdict::KeyDisabled));
}
