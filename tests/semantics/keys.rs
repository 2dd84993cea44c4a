//! Keys: states and their order, digests, peppers.

use tollgate::{Changes, Engine, Key, Pepper, Plan, Request, SecretKey, Subject, Verdict};

use super::*;

const PLANS: &str = r#"
[plans.p]
quotas = [{ limit = 9, per = "day" }]
[plans.staged]
stages = ["x/y"]
[subjects.acme]
plans = ["p"]
keys = [{ id = "a", value = "first" }, { id = "b", value = "second" }]
[subjects.dated]
plans = ["p"]
keys = [{ id = "d", value = "dated", expires = "2023-11-14T22:13:21Z" }]
[subjects.off]
plans = ["staged"]
keys = [{ id = "o", value = "off", enabled = false, expires = "2023-11-14T22:13:20Z" }]
"#;

fn verdict(engine: &Engine, key: &str, now: u64) -> Verdict {
    check(engine, &Request::new(key), now).0
}

#[test]
fn key_states_come_first_in_their_order() {
    let engine = engine(PLANS);
    assert_eq!(verdict(&engine, "", T0), Verdict::KeyMissing);
    assert_eq!(verdict(&engine, "guess", T0), Verdict::KeyUnknown);
    assert_eq!(verdict(&engine, &"x".repeat(4_097), T0), Verdict::KeyUnknown);
    // Off, expired and without a plan for the stage: expired first, then disabled, then the stage.
    assert_eq!(verdict(&engine, "off", T0), Verdict::KeyExpired);
    assert_eq!(verdict(&engine, "off", T0 - 1), Verdict::KeyDisabled);
    engine.enable("o").unwrap();
    assert_eq!(verdict(&engine, "off", T0 - 1), Verdict::NoPlanForStage);
    engine.revoke("o").unwrap();
    assert_eq!(verdict(&engine, "off", T0), Verdict::KeyRevoked, "revoked before expired");
}

#[test]
fn a_missing_or_giant_key_is_refused_also_where_anonymous_subjects_are_welcome() {
    let engine = engine(PLANS);
    for request in [Request::anonymous("p", ""), Request::new("").or_anonymous("p")] {
        assert_eq!(check(&engine, &request, T0), (Verdict::KeyMissing, None));
    }
    let giant = "x".repeat(10_000_000);
    for request in
        [Request::anonymous("p", &giant), Request::new(&giant).or_anonymous("p"), Request::new(&giant)]
    {
        assert_eq!(check(&engine, &request, T0), (Verdict::KeyUnknown, None));
    }
    assert_eq!(check(&engine, &Request::anonymous("p", &giant[..4_096]), T0), OK);
}

#[test]
fn an_expiry_is_the_first_instant_that_refuses() {
    let engine = engine(PLANS);
    assert_eq!(verdict(&engine, "dated", T0 + SECOND - 1), Verdict::Ok);
    assert_eq!(verdict(&engine, "dated", T0 + SECOND), Verdict::KeyExpired);
}

#[test]
fn usage_belongs_to_the_subject_and_survives_its_keys_states() {
    let engine = engine(PLANS);
    assert_eq!(verdict(&engine, "first", T0), Verdict::Ok);
    assert_eq!(remaining(&engine, &Request::new("second"), T0), [8]);
    engine.disable("a").unwrap();
    assert_eq!(verdict(&engine, "first", T0), Verdict::KeyDisabled);
    assert_eq!(verdict(&engine, "second", T0), Verdict::Ok);
    engine.enable("a").unwrap();
    assert_eq!(remaining(&engine, &Request::new("first"), T0), [7]);
}

#[test]
fn revoked_is_final_and_expired_stays_expired() {
    let engine = engine(PLANS);
    engine.expire("a").unwrap();
    engine.enable("a").unwrap();
    assert_eq!(verdict(&engine, "first", T0), Verdict::KeyExpired);
    assert_eq!(verdict(&engine, "first", T0 - DAY), Verdict::KeyExpired, "no later decision admits it");
    engine.revoke("b").unwrap();
    engine.enable("b").unwrap();
    assert_eq!(verdict(&engine, "second", T0), Verdict::KeyRevoked);
    // Unlisted it is unknown, listed again it is still revoked.
    apply(&engine, "[subjects.acme]\nplans = [\"p\"]\nkeys = []", T0).unwrap();
    assert_eq!(verdict(&engine, "second", T0), Verdict::KeyUnknown);
    let anyone = Request::new("second").or_anonymous("p");
    assert_eq!(check(&engine, &anyone, T0), (Verdict::KeyRevoked, None), "not by another door");
    apply(&engine, "[subjects.acme]\nplans = [\"p\"]\nkeys = [{ id = \"z\", value = \"second\" }]", T0)
        .unwrap();
    assert_eq!(verdict(&engine, "second", T0), Verdict::KeyRevoked);
}

#[test]
fn listing_a_key_again_keeps_what_is_not_given() {
    let engine = engine(PLANS);
    let list = |fields: &str| {
        let toml =
            format!("[subjects.acme]\nplans = [\"p\"]\nkeys = [{{ id = \"a\", value = \"first\"{fields} }}]");
        apply(&engine, &toml, T0).unwrap();
    };
    engine.disable("a").unwrap();
    list("");
    assert_eq!(verdict(&engine, "first", T0), Verdict::KeyDisabled);
    list(", enabled = true, expires = \"2023-11-14T22:13:20Z\"");
    assert_eq!(verdict(&engine, "first", T0), Verdict::KeyExpired);
    list("");
    assert_eq!(verdict(&engine, "first", T0), Verdict::KeyExpired);
    list(", expires = \"2024-01-01T00:00:00Z\"");
    assert_eq!(verdict(&engine, "first", T0), Verdict::Ok);
    assert_eq!(verdict(&engine, "second", T0), Verdict::KeyUnknown, "unlisted");
    apply(&engine, "[subjects.acme]\nplans = [\"p\"]", T0).unwrap();
    assert_eq!(verdict(&engine, "first", T0), Verdict::Ok, "a subject without `keys` keeps its keys");
}

#[test]
fn an_unknown_key_costs_no_memory() {
    let engine = engine(PLANS);
    let registered = engine.cells();
    for n in 0..10_000 {
        assert_eq!(verdict(&engine, &format!("guess {n}"), T0), Verdict::KeyUnknown);
    }
    assert_eq!(engine.cells(), registered);
}

#[test]
fn a_registered_key_keeps_its_own_plan_and_state_where_others_are_anonymous() {
    let engine = engine(PLANS);
    let [known, other] = ["first", "guess"].map(|key| Request::new(key).or_anonymous("p"));
    assert_eq!(check(&engine, &known, T0), OK);
    assert_eq!(remaining(&engine, &Request::new("first"), T0), [8]);
    assert_eq!(remaining(&engine, &other, T0), [9]);
    assert_eq!(report(&engine, &known, T0).subject(), Some("acme"));
    assert_eq!(report(&engine, &other, T0).subject(), None);
    engine.disable("a").unwrap();
    assert_eq!(check(&engine, &known, T0).0, Verdict::KeyDisabled);
}

#[test]
fn keys_are_found_by_sha256_and_by_hmac_under_old_and_new_peppers() {
    // RFC 4231, case 1, and SHA-256 of "abc".
    let old = Pepper::new("old", vec![0x0b; 20]).unwrap();
    let new = Pepper::new("new", b"sixteen bytes ok".to_vec()).unwrap();
    let mac = "old:b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7";
    let sha = "BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let subject = Subject::new(["p"])
        .key(Key::hmac("h", mac))
        .key(Key::sha256("s", sha))
        .key(Key::new("v", SecretKey::new("by value").unwrap()));
    let changes = Changes::new().plan("p", Plan::new()).subject("acme", subject);
    let engine = Engine::builder().pepper(new).pepper(old).changes(changes.clone()).build().unwrap();
    for key in ["Hi There", "abc", "by value"] {
        assert_eq!(verdict(&engine, key, T0), Verdict::Ok, "{key}");
    }
    assert_eq!(verdict(&engine, "abcd", T0), Verdict::KeyUnknown);
    let error = Engine::builder().changes(changes).build().unwrap_err().to_string();
    assert!(error.contains("subjects.acme.keys[0].hmac") && !error.contains("b0344"), "{error}");
}

#[test]
fn unknown_key_ids_are_errors() {
    let engine = engine(PLANS);
    for result in [engine.enable("x"), engine.disable("x"), engine.revoke("x"), engine.expire("x")] {
        assert!(result.unwrap_err().to_string().contains("\"x\""));
    }
}

#[test]
fn nothing_prints_a_key() {
    let engine = engine(PLANS);
    let request = Request::new("first");
    let report = report(&engine, &request, T0);
    let changes = Changes::from_toml(PLANS).unwrap();
    let printed = format!("{engine:?} {request:?} {report:?} {changes:?}");
    for key in ["first", "second", "102, 105, 114"] {
        assert!(!printed.contains(key), "{printed}");
    }
}

#[test]
fn an_added_key_shares_its_subject_s_quota_until_it_is_unlisted() {
    let engine = engine(PLANS);
    let key = |id: &str, value: &str| Key::new(id, SecretKey::new(value).unwrap());
    engine.add_key("acme", &key("c", "third")).unwrap();
    for turn in 0..9 {
        assert_eq!(verdict(&engine, ["first", "second", "third"][turn % 3], T0), Verdict::Ok);
    }
    assert_eq!(verdict(&engine, "third", T0), Verdict::QuotaExceeded);

    engine.add_key("acme", &key("e", "fifth").enabled(false).expires("2023-11-14T22:13:21Z")).unwrap();
    assert_eq!(verdict(&engine, "fifth", T0), Verdict::KeyDisabled);
    assert_eq!(verdict(&engine, "fifth", T0 + SECOND), Verdict::KeyExpired);

    engine.revoke("c").unwrap();
    let listed = Subject::new(["p"]).key(key("a", "first"));
    engine.apply(&Changes::new().subject("acme", listed)).unwrap();
    assert_eq!(verdict(&engine, "fifth", T0), Verdict::KeyUnknown);
    let again = engine.add_key("acme", &key("new", "third")).unwrap_err();
    assert!(again.is_conflict() && again.to_string().contains("revoked"), "{again}");
}

#[test]
fn a_key_is_added_whole_or_not_at_all() {
    let engine = engine(PLANS);
    let key = |id: &str, value: &str| Key::new(id, SecretKey::new(value).unwrap());
    for (subject, key, problem) in [
        ("nobody", key("c", "third"), "subject: \"nobody\" is not registered"),
        ("acme", key("d", "third"), "key.id: \"d\" is the id of a key of subject \"dated\""),
        ("acme", key("c", "dated"), "key: the key is that of subject \"dated\", with the id \"d\""),
        ("acme", key("", "third"), "key.id: "),
        ("acme", Key::sha256("c", "00"), "key.sha256: "),
        ("acme", key("c", "third").expires("soon"), "key.expires: \"soon\""),
    ] {
        let error = engine.add_key(subject, &key).unwrap_err();
        assert!(error.to_string().starts_with(problem), "{error}");
    }
    assert_eq!(verdict(&engine, "third", T0), Verdict::KeyUnknown);
    assert_eq!(verdict(&engine, "dated", T0), Verdict::Ok);
}
