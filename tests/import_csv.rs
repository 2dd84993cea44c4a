//! Lists of API keys: what becomes of every row, in an engine, and that no key is told.

use proptest::prelude::*;
use tollgate::view::DigestView;
use tollgate::{
    Changes, CsvImport, CsvKeys, Engine, Key, Nanos, Pepper, Plan, Quota, Request, SecretKey, Subject,
    Verdict,
};

fn key(n: usize) -> String {
    format!("secret-{n:04}-0123456789")
}

fn known() -> Changes {
    Changes::new()
        .plan("gold", Plan::new().stages(["pets/prod"]).quota(Quota::new(2, "day")))
        .plan("silver", Plan::new().stages(["orders/prod", "shop/prod"]))
        .plan("lead", Plan::new().stages(["shop/prod"]))
        .plan("all", Plan::new())
}

fn secret(text: &str) -> SecretKey {
    SecretKey::new(text).unwrap()
}

fn read(known: &Changes, csv: &str) -> CsvKeys {
    CsvImport::new(known).read(csv.as_bytes()).unwrap()
}

fn counts(keys: &CsvKeys) -> [usize; 4] {
    [keys.imported(), keys.overwritten(), keys.skipped(), keys.warnings().len()]
}

fn warnings(keys: &CsvKeys) -> Vec<String> {
    keys.warnings().iter().map(ToString::to_string).collect()
}

fn engine(known: &Changes, keys: &CsvKeys) -> Engine {
    let engine = Engine::builder().changes(known.clone()).build().unwrap();
    engine.apply(keys.changes()).unwrap();
    engine
}

fn verdict(engine: &Engine, key: &str, stage: &str) -> Verdict {
    engine.check_at(&Request::new(key).stage(stage), Nanos::from_secs(1_700_000_000)).verdict()
}

/// A subject, its plans and the ids of its keys.
fn subjects(changes: &Changes) -> Vec<(String, Vec<String>, Vec<String>)> {
    let view = changes.view();
    let subjects = view.subjects.iter().map(|subject| {
        let ids = subject.keys.iter().flatten().map(|key| key.id.to_owned()).collect();
        (subject.name.to_owned(), subject.plans.to_vec(), ids)
    });
    subjects.collect()
}

#[test]
fn columns_have_any_order_and_case_and_others_are_ignored() {
    let csv = format!(
        "\u{feff}Stage,uSagePlanIds,KEY,description,name,ENABLED\r\n\
         x,gold,{},\"a, b\r\nc\",acme,FALSE\r\n\
         \r\n\
         x,\"'gold, silver'\", {} ,,dora,True\r\n\
         x,'silver,gold',{},\"say \"\"hi\"\"\",sam,\r\n\
         x,\"\"\"all\"\"\",{},,\"ann, co\",\r\n",
        key(1),
        key(2),
        key(3),
        key(4)
    );
    let known = known();
    let keys = read(&known, &csv);
    assert_eq!(counts(&keys), [4, 0, 0, 0], "{:?}", warnings(&keys));
    let lines: Vec<_> = keys.keys().iter().map(|key| key.line).collect();
    assert_eq!(lines, [2, 5, 6, 7]);
    let engine = engine(&known, &keys);
    assert_eq!(verdict(&engine, &key(1), "pets/prod"), Verdict::KeyDisabled);
    for stage in ["pets/prod", "orders/prod"] {
        assert_eq!(verdict(&engine, &key(2), stage), Verdict::Ok);
        assert_eq!(verdict(&engine, &key(3), stage), Verdict::Ok);
    }
    assert_eq!(verdict(&engine, &key(4), "any/thing"), Verdict::Ok);
    assert_eq!(verdict(&engine, &key(5), "pets/prod"), Verdict::KeyUnknown);
    assert_eq!(keys.keys()[3].subject, "ann, co");
}

#[test]
fn a_key_of_20_to_128_printable_characters_is_imported() {
    let (short, long) = ("x".repeat(20), "~".repeat(128));
    let csv = format!(
        "Key,Name\n{short},a\n{long},b\n{},c\n{},d\n{}é,e\n\"{}\nx\",f\n{},g\n,h\n",
        "y".repeat(19),
        "y".repeat(129),
        "y".repeat(25),
        "y".repeat(25),
        key(1).replace('-', " "),
    );
    let keys = read(&known(), &csv);
    assert_eq!(counts(&keys), [3, 0, 5, 5]);
    let lines: Vec<_> = keys.warnings().iter().map(|warning| (warning.line, warning.field)).collect();
    assert_eq!(lines, [(4, "Key"), (5, "Key"), (6, "Key"), (7, "Key"), (10, "Key")]);
    assert!(warnings(&keys)[0].contains("19 characters") && warnings(&keys)[0].contains("20 to 128"));
}

#[test]
fn what_is_wrong_with_a_row_is_said_and_the_others_count() {
    let csv = format!(
        "Name,Key,Enabled,UsagePlanIds\n\
         a,{},yes,gold\n\
         ,{},true,gold\n\
         only a name\n\
         b,{},true,gold,more,more\n\
         c,{},true,\"gold,nosuch\"\n\
         d,{},true,\"silver,lead\"\n\
         e,{},true,\"gold,gold\",,\n\
         key-{},{},true,gold\n\
         f,{},true,secret-9999-0123456789\n",
        key(1),
        key(2),
        key(3),
        key(4),
        key(5),
        key(6),
        key(7),
        key(7),
        key(8),
    );
    let known = known();
    let keys = read(&known, &csv);
    assert_eq!(counts(&keys), [4, 0, 5, 8]);
    let told = warnings(&keys);
    for (told, expected) in told.iter().zip([
        "line 2: Enabled: neither true nor false",
        "line 3: Name: a name has 1 to 128 bytes",
        "line 4: 1 fields under 4 columns",
        "line 5: 6 fields under 4 columns",
        "line 6: UsagePlanIds: there is no plan \"nosuch\"",
        "line 7: UsagePlanIds: plans \"silver\" and \"lead\" cover a stage both",
        "line 9: Name: holds the key",
        "line 10: UsagePlanIds: there is no plan of that name of 22 characters",
    ]) {
        assert!(told.starts_with(expected), "{told} is not {expected}");
    }
    assert!(!told.concat().contains("secret-"));
    let engine = engine(&known, &keys);
    assert_eq!(verdict(&engine, &key(4), "pets/prod"), Verdict::Ok);
    assert_eq!(verdict(&engine, &key(5), "orders/prod"), Verdict::Ok);
    assert_eq!(verdict(&engine, &key(8), "pets/prod"), Verdict::NoPlanForStage);
    assert_eq!(verdict(&engine, &key(1), "pets/prod"), Verdict::KeyUnknown);
}

#[test]
fn a_quote_that_is_never_closed_is_told() {
    let csv = format!("Name,Key\na,{}\nb,\"{}\nc,{}\n", key(1), key(2), key(3));
    let keys = read(&known(), &csv);
    assert_eq!(counts(&keys), [1, 0, 1, 1]);
    assert!(warnings(&keys)[0].starts_with("line 3: a double quote is opened"));
}

#[test]
fn a_list_must_name_its_columns() {
    let known = known();
    for (csv, column) in [
        ("", "no column Name"),
        ("Name;Key\n", "no column Name"),
        ("Name,Value\n", "no column Key"),
        ("name,key,NAME\n", "Name twice"),
        ("secret-9999-0123456789,a\n", "no column Name"),
    ] {
        let error = CsvImport::new(&known).read(csv.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(column) && !error.contains("secret"), "{error}");
    }
    assert_eq!(counts(&read(&known, "Name,Key")), [0, 0, 0, 0]);
}

#[test]
fn the_last_row_of_a_value_counts() {
    let csv = format!(
        "Name,Key,Enabled,UsagePlanIds\na,{},true,gold\nb,{},true,gold\nc,{},false,silver\n",
        key(1),
        key(2),
        key(1)
    );
    let keys = read(&known(), &csv);
    assert_eq!(counts(&keys), [2, 1, 0, 0]);
    let expected = [("b", "gold"), ("c", "silver")];
    let found = subjects(keys.changes());
    assert_eq!(found.len(), 2);
    for ((name, plans, ids), (subject, plan)) in found.iter().zip(expected) {
        assert_eq!(
            (name.as_str(), &plans[..], &ids[..]),
            (subject, &[plan.to_owned()][..], &[subject.to_owned()][..])
        );
    }
}

#[test]
fn names_that_repeat_get_numbers() {
    let known = known().subject("acme", Subject::new(["gold"]).key(Key::new("acme-2", secret(&key(0)))));
    let csv = format!(
        "Name,Key\nacme,{}\nx,{}\nx,{}\nx-2,{}\nx,{}\nacme-2,{}\n",
        key(1),
        key(2),
        key(3),
        key(4),
        key(5),
        key(6)
    );
    let keys = read(&known, &csv);
    let names: Vec<_> = keys.keys().iter().map(|key| (key.subject.as_str(), key.id.as_str())).collect();
    let expected = ["acme-3", "x", "x-3", "x-2", "x-4", "acme-2-2"].map(|name| (name, name));
    assert_eq!(names, expected);
    engine(&known, &keys);
    // Cut so that it stays a name.
    let long = "é".repeat(64);
    let keys = read(&known, &format!("Name,Key\n{long},{}\n{long},{}\n", key(1), key(2)));
    assert_eq!(keys.keys()[1].subject, format!("{}-2", "é".repeat(63)));
}

#[test]
fn a_known_key_keeps_its_subject_and_its_usage() {
    let known = known()
        .subject("acme", Subject::new(["gold"]).key(Key::sha256("acme-1", &secret(&key(1)).sha256())))
        .subject(
            "two",
            Subject::new(["gold"])
                .key(Key::new("two-1", secret(&key(2))))
                .key(Key::new("two-2", secret(&key(3))).enabled(true)),
        );
    let engine = Engine::builder().changes(known.clone()).build().unwrap();
    assert_eq!(verdict(&engine, &key(1), "pets/prod"), Verdict::Ok);
    let csv = format!(
        "Name,Key,Enabled,UsagePlanIds\nacme,{},,\"silver,gold\"\ntwo-1,{},false,silver\nother,{},true,gold\n",
        key(1),
        key(2),
        key(3)
    );
    let keys = read(&known, &csv);
    assert_eq!(counts(&keys), [0, 3, 0, 2]);
    let told = warnings(&keys);
    assert!(told[0].starts_with("line 3: UsagePlanIds: \"two\" has other keys"), "{told:?}");
    assert!(told[1].starts_with("line 4: Name: the key is known"), "{told:?}");
    engine.apply(keys.changes()).unwrap();
    assert_eq!(verdict(&engine, &key(1), "pets/prod"), Verdict::Ok);
    assert_eq!(verdict(&engine, &key(1), "pets/prod"), Verdict::QuotaExceeded);
    assert_eq!(verdict(&engine, &key(1), "orders/prod"), Verdict::Ok);
    assert_eq!(verdict(&engine, &key(2), "pets/prod"), Verdict::KeyDisabled);
    assert_eq!(verdict(&engine, &key(3), "pets/prod"), Verdict::Ok);
    assert_eq!(verdict(&engine, &key(3), "orders/prod"), Verdict::NoPlanForStage);
}

#[test]
fn an_import_that_is_repeated_changes_nothing() {
    let known = known();
    let csv = format!("Name,Key,UsagePlanIds\nx,{},gold\nx,{},silver\n", key(1), key(2));
    let first = read(&known, &csv);
    let mut both = known.clone();
    for key in first.keys() {
        let DigestView::Sha256(digits) = key.digest() else { panic!("no pepper was given") };
        let subject = Subject::new(key.plans.clone().unwrap()).key(Key::sha256(&key.id, &digits));
        both = both.subject(&key.subject, subject);
    }
    let second = read(&both, &csv);
    assert_eq!(counts(&second), [0, 2, 0, 0], "{:?}", warnings(&second));
    assert_eq!(subjects(second.changes()), subjects(first.changes()));
    assert!(second.keys().iter().all(|key| !key.is_new && key.plans.is_none()));
}

#[test]
fn keys_are_digested_under_the_first_pepper_and_recognised_under_all() {
    let [new, old] = ["new", "old"].map(|name| Pepper::new(name, vec![name.len() as u8; 16]).unwrap());
    let hmac = old.hmac(&secret(&key(1)));
    let known = known().subject("acme", Subject::new(["gold"]).key(Key::hmac("acme", &hmac)));
    let csv = format!("Name,Key,Enabled\nacme,{},false\ndora,{},true\n", key(1), key(2));
    let error = CsvImport::new(&known).pepper(new.clone()).read(csv.as_bytes()).unwrap_err();
    assert!(error.to_string().contains("\"old\""), "{error}");
    let keys = CsvImport::new(&known).pepper(new.clone()).pepper(old.clone()).read(csv.as_bytes()).unwrap();
    assert_eq!(counts(&keys), [1, 1, 0, 0]);
    let digests: Vec<_> = keys.keys().iter().map(|key| format!("{:?}", key.digest())).collect();
    assert!(
        digests[0].starts_with("Hmac { pepper: \"old\"") && digests[1].starts_with("Hmac { pepper: \"new\"")
    );
    let engine = Engine::builder().changes(known).pepper(new).pepper(old).build().unwrap();
    engine.apply(keys.changes()).unwrap();
    assert_eq!(verdict(&engine, &key(1), "pets/prod"), Verdict::KeyDisabled);
    assert_eq!(verdict(&engine, &key(2), "pets/prod"), Verdict::NoPlanForStage);
}

#[test]
fn ids_of_plans_may_be_others_than_their_names() {
    let known = known();
    let csv = format!("Name,Key,UsagePlanIds\na,{},\"c7y23b,silver\"\n", key(1));
    let keys = CsvImport::new(&known).plan_id("c7y23b", "gold").read(csv.as_bytes()).unwrap();
    assert_eq!(counts(&keys), [1, 0, 0, 0]);
    assert_eq!(keys.keys()[0].plans.as_deref(), Some(&["gold".to_owned(), "silver".to_owned()][..]));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused_and_no_key_is_told(
        pieces in prop::collection::vec(prop::sample::select(vec![
            &b"Name"[..], b"Key", b"Enabled", b"UsagePlanIds", b",", b",", b",", b"\n", b"\n", b"\r\n", b"\r",
            b"\"", b"'", b" ", b"gold", b"nosuch", b"true", b"false", b"acme", b"\xff", b"\xef\xbb\xbf",
            b"hunter2-hunter2-hunter2", b"hunter2-hunter2-hunter2-2", b"Name,Key,UsagePlanIds,Enabled\n",
        ]), 0..40),
        has_header in any::<bool>(),
    ) {
        let mut csv = if has_header { b"Name,Key,Enabled,UsagePlanIds\n".to_vec() } else { Vec::new() };
        csv.extend(pieces.concat());
        let known = known();
        match CsvImport::new(&known).read(&csv) {
            Ok(keys) => {
                prop_assert!(keys.skipped() <= keys.warnings().len());
                prop_assert!(keys.keys().len() <= keys.imported() + keys.overwritten());
                let told = warnings(&keys).concat();
                prop_assert!(!told.contains("hunter2-hunter2-hunter2"), "{told}");
                engine(&known, &keys);
            }
            Err(error) => prop_assert!(!error.to_string().contains("hunter"), "{error}"),
        }
    }
}
