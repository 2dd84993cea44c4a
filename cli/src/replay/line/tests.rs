//! Lines of every operation, good and bad.

use super::*;
use tollgate_model::Model;

fn parse(line: &str) -> Result<Line<'_>, String> {
    Line::parse(line.as_bytes()).map_err(|error| error.to_string())
}

fn error(line: &str) -> String {
    parse(line).expect_err(line)
}

#[test]
fn a_check_borrows_from_its_line() {
    let line = r#" {"at":5,"key":"k\u0041","stage":"a/b","route":"GET /x","cost":3,"id":"i"} "#;
    let Line { at, op: Op::Check(asked) } = parse(line).unwrap() else { panic!() };
    assert_eq!(at, Nanos::new(5));
    assert_eq!(asked.key.unwrap().as_bytes(), b"kA");
    assert!(matches!(asked.stage, Some(Cow::Borrowed("a/b"))));
    assert!(matches!(asked.route, Some(Cow::Borrowed("GET /x"))));
    assert_eq!((asked.cost, asked.id.as_deref()), (Cost::Each(3), Some("i")));
}

#[test]
fn absent_and_null_fields_are_the_same() {
    let bare = Asked { key: None, stage: None, route: None, cost: Cost::Each(1), id: None };
    assert_eq!(parse(r#"{"at":0}"#).unwrap().op, Op::Check(bare.clone()));
    let nulls = r#"{"op":"peek","at":0,"key":null,"stage":null,"route":null,"cost":null,"id":null}"#;
    assert_eq!(parse(nulls).unwrap().op, Op::Peek(bare));
}

#[test]
fn costs_are_integers() {
    let cost = |text: &str| match parse(&format!(r#"{{"at":0,"cost":{text}}}"#)) {
        Ok(Line { op: Op::Check(Asked { cost: Cost::Each(cost), .. }), .. }) => {
            Ok(vec![(String::new(), cost)])
        }
        Ok(Line { op: Op::Check(Asked { cost: Cost::Units(units), .. }), .. }) => {
            Ok(units.into_iter().map(|(unit, cost)| (unit.into_owned(), cost)).collect())
        }
        Ok(_) => unreachable!(),
        Err(error) => Err(error),
    };
    assert_eq!(cost("18446744073709551615"), Ok(vec![(String::new(), u64::MAX)]));
    assert_eq!(cost("0"), Ok(vec![(String::new(), 0)]));
    assert_eq!(
        cost(r#"{"requests":1,"tokens":300}"#),
        Ok(vec![("requests".into(), 1), ("tokens".into(), 300)])
    );
    assert_eq!(cost("{}"), Ok(vec![]));
    for (text, shown) in [
        ("-1", "-1"),
        ("1.5", "1.5"),
        ("1.0", "1.0"),
        ("18446744073709551616", "1.8446744073709552e19"),
        (r#"{"tokens":-2}"#, "`tokens`: -2"),
        (r#"{"tokens":2.5}"#, "2.5"),
        (r#"{"tokens":"2"}"#, "\"2\""),
        (r#""7""#, "\"7\""),
        ("true", "true"),
        ("[1]", "sequence"),
        (r#"{"a":1,"a":1}"#, "`a` twice"),
    ] {
        let error = cost(text).expect_err(text);
        assert!(error.contains("`cost`") && error.contains(shown), "{text}: {error}");
    }
}

#[test]
fn no_error_shows_a_key() {
    for (field, head) in
        [("key", r#"{"at":0"#), ("value", r#"{"op":"rotate","at":0,"key_id":"a","new_id":"b","overlap":0"#)]
    {
        for value in
            ["4242", "-4242", "4242.5", "[\"4242\"]", "{\"4242\":1}", "true", "\"4242\\q\"", "\"4242"]
        {
            let error = error(&format!(r#"{head},"{field}":{value}}}"#));
            assert!(!error.contains("4242"), "{error}");
        }
        assert!(error(&format!(r#"{head},"{field}":7}}"#)).contains(&format!("`{field}` is not a string")));
        let line = format!(r#"{head},"{field}":"4242"}}"#);
        let shown = format!("{:?}", parse(&line).unwrap());
        assert!(shown.contains("Secret(..)") && !shown.contains("4242"), "{shown}");
        assert!(!error(&format!(r#"{head},"{field}":"4242","{field}":"4242"}}"#)).contains("4242"));
    }
    for line in [
        r#"{"at":0,"op":"rotate","value":"4242"}"#,
        r#"{"at":0,"op":"check","value":"4242"}"#,
        r#"{"at":0,"op":"settle","id":"r","key":"4242","actual":1}"#,
        r#"{"at":0,"op":"reserve","key":"4242","id":"r"}"#,
        r#"{"at":0,"op":"reserve","key":"4242","ttl":-1}"#,
    ] {
        assert!(!error(line).contains("4242"), "{line}");
    }
}

#[test]
fn fields_are_those_of_the_op() {
    assert_eq!(
        error(r#"{"at":0,"op":"enable","cost":1}"#),
        "op `enable` has no field `cost`: it takes at, op, key_id"
    );
    assert!(error(r#"{"at":0,"ttl":1}"#).starts_with("op `check` has no field `ttl`"));
    assert!(error(r#"{"at":0,"op":"apply","key":null}"#).contains("no field `key`"));
    assert!(error(r#"{"at":0,"colour":1}"#).contains("unknown field `colour`"));
    assert!(error(r#"{"at":0,"at":0}"#).contains("`at` is given twice"));
    assert!(error(r#"{"at":0,"op":"revoke"}"#).contains("needs the field `key_id`"));
    assert_eq!(error(r#"{"key":"k"}"#), "missing field `at`");
}

#[test]
fn ops_are_known() {
    let error = error(r#"{"at":0,"op":"chekc"}"#);
    assert!(
        error.contains("unknown op `chekc`") && error.contains("known are check, peek, reserve"),
        "{error}"
    );
    assert!(error.len() < LineError::LONGEST, "all names are shown: {error}");
    let line = r#"{"at":0,"op":"apply","plans":{"a":{"quotas":[]}},"subjects":null}"#;
    let expected = Op::Apply { plans: Some(r#"{"a":{"quotas":[]}}"#), subjects: None };
    assert_eq!(parse(line).unwrap().op, expected);
    for (name, change) in [
        ("enable", KeyChange::Enable),
        ("disable", KeyChange::Disable),
        ("expire", KeyChange::Expire),
        ("revoke", KeyChange::Revoke),
    ] {
        let line = format!(r#"{{"at":0,"op":"{name}","key_id":"a-1"}}"#);
        assert_eq!(parse(&line).unwrap().op, Op::Key(change, "a-1".into()));
    }
}

#[test]
fn a_reservation_has_an_id_and_a_time_to_live() {
    let line = r#"{"at":1,"op":"reserve","id":"r","ttl":"60s","key":"k","stage":"a/b","route":"GET /x","cost":{"tokens":7}}"#;
    let asked = Asked {
        key: Some(Secret::new("k".into())),
        stage: Some("a/b".into()),
        route: Some("GET /x".into()),
        cost: Cost::Units(vec![("tokens".into(), 7)]),
        id: Some("r".into()),
    };
    let expected = Line { at: Nanos::new(1), op: Op::Reserve(asked, Nanos::from_secs(60)) };
    assert_eq!(parse(line), Ok(expected));
    let bare = Asked { key: None, stage: None, route: None, cost: Cost::Each(1), id: Some("".into()) };
    let nulls = r#"{"op":"reserve","at":0,"key":null,"stage":null,"route":null,"cost":null,"id":"","ttl":0}"#;
    assert_eq!(parse(nulls).unwrap().op, Op::Reserve(bare, Nanos::ZERO));
}

#[test]
fn reservations_are_settled_refunded_and_released() {
    let op = |line| parse(line).unwrap().op;
    let id = Cow::Borrowed("r");
    let settle = |actual| Op::Settle { id: "r".into(), actual };
    assert_eq!(op(r#"{"at":0,"op":"settle","id":"r","actual":0}"#), settle(Cost::Each(0)));
    assert_eq!(
        op(r#"{"at":0,"op":"settle","id":"r","actual":{"requests":1,"tokens":2}}"#),
        settle(Cost::Units(vec![("requests".into(), 1), ("tokens".into(), 2)]))
    );
    assert_eq!(op(r#"{"at":0,"op":"refund","id":"r"}"#), Op::Refund { id: id.clone() });
    assert_eq!(op(r#"{"at":0,"op":"release","id":"r"}"#), Op::Release { id });
}

#[test]
fn usage_grants_and_alerts_are_read() {
    let op = |line| parse(line).unwrap().op;
    assert_eq!(
        op(r#"{"at":0,"op":"usage","subject":"s","plan":"p","from":"2026-01-31","to":"soon"}"#),
        Op::Usage { subject: "s".into(), plan: "p".into(), from: "2026-01-31".into(), to: "soon".into() }
    );
    assert_eq!(
        op(
            r#"{"at":0,"op":"grant","subject":"s","plan":"p","limit":"route:* *:day","remaining":18446744073709551615}"#
        ),
        Op::Grant {
            subject: "s".into(),
            plan: "p".into(),
            limit: "route:* *:day".into(),
            remaining: u64::MAX
        }
    );
    assert_eq!(op(r#"{"at":0,"op":"alerts"}"#), Op::Alerts);
}

#[test]
fn rotations_and_snapshots_are_read() {
    let op = |line| parse(line).unwrap().op;
    let rotate = |overlap, value: Option<&'static str>| Op::Rotate {
        key_id: "a".into(),
        overlap,
        new_id: "b".into(),
        value: value.map(|value| Secret::new(value.into())),
    };
    assert_eq!(
        op(r#"{"at":0,"op":"rotate","key_id":"a","overlap":"1d","new_id":"b"}"#),
        rotate(Nanos::from_secs(86_400), None)
    );
    assert_eq!(
        op(r#"{"at":0,"op":"rotate","key_id":"a","overlap":7,"new_id":"b","value":"\u0041"}"#),
        rotate(Nanos::new(7), Some("A"))
    );
    assert!(
        error(r#"{"at":0,"op":"rotate","key_id":"a","overlap":7,"new_id":"b","value":null}"#)
            .contains("`value` is null")
    );
    assert_eq!(op(r#"{"at":0,"op":"snapshot","name":"n"}"#), Op::Snapshot { name: "n".into() });
    assert_eq!(op(r#"{"at":0,"op":"restore","name":"n"}"#), Op::Restore { name: "n".into() });
}

/// Every field that an operation needs, with a value that is good.
const NEEDED: [(&str, &[(&str, &str)]); 12] = [
    ("reserve", &[("id", "\"r\""), ("ttl", "\"60s\"")]),
    ("settle", &[("id", "\"r\""), ("actual", "1")]),
    ("refund", &[("id", "\"r\"")]),
    ("release", &[("id", "\"r\"")]),
    (
        "usage",
        &[("subject", "\"s\""), ("plan", "\"p\""), ("from", "\"2026-01-31\""), ("to", "\"2026-02-01\"")],
    ),
    ("grant", &[("subject", "\"s\""), ("plan", "\"p\""), ("limit", "\"day\""), ("remaining", "1")]),
    ("rotate", &[("key_id", "\"a\""), ("overlap", "0"), ("new_id", "\"b\"")]),
    ("alerts", &[]),
    ("snapshot", &[("name", "\"n\"")]),
    ("restore", &[("name", "\"n\"")]),
    ("enable", &[("key_id", "\"a\"")]),
    ("revoke", &[("key_id", "\"a\"")]),
];

/// A line of an operation, with other values for some fields and without those that have none.
fn line_with(op: &str, fields: &[(&str, &str)], field: &str, value: Option<&str>) -> String {
    let mut line = format!(r#"{{"at":0,"op":"{op}""#);
    for &(name, good) in fields {
        match (name == field, value) {
            (false, _) => line += &format!(r#","{name}":{good}"#),
            (true, Some(value)) => line += &format!(r#","{name}":{value}"#),
            (true, None) => {}
        }
    }
    line + "}"
}

#[test]
fn what_an_op_needs_is_asked_for() {
    for (op, fields) in NEEDED {
        assert!(parse(&line_with(op, fields, "", None)).is_ok(), "{op}");
        for &(field, _) in fields {
            for value in [None, Some("null")] {
                let error = error(&line_with(op, fields, field, value));
                assert_eq!(error, format!("op `{op}` needs the field `{field}`"));
            }
            for value in ["true", "[]", "1.5", "-1"] {
                let error = error(&line_with(op, fields, field, Some(value)));
                assert!(error.contains(&format!("`{field}`")), "{op} {value}: {error}");
                assert!(value == "[]" || error.contains(value), "{op} {value}: {error}");
            }
        }
        let more = [fields, &[("colour", "1")]].concat();
        assert!(error(&line_with(op, &more, "", None)).contains("unknown field `colour`"), "{op}");
        let more = [fields, &[("plans", "{}")]].concat();
        let error = error(&line_with(op, &more, "", None));
        assert!(error.starts_with(&format!("op `{op}` has no field `plans`: it takes at, op")), "{error}");
    }
    assert_eq!(
        error(r#"{"at":0,"op":"rotate","id":"a"}"#),
        "op `rotate` has no field `id`: it takes at, op, key_id, overlap, new_id, value"
    );
    assert_eq!(
        error(r#"{"at":0,"op":"peek","ttl":1}"#),
        "op `peek` has no field `ttl`: it takes at, op, key, stage, route, cost, id"
    );
    assert_eq!(error(r#"{"op":"alerts"}"#), "missing field `at`");
}

/// Where the names of [`NEEDED`] are known, the model says whether a line is one. Texts that only the
/// engine understands (names, dates, new keys) are not judged here.
#[test]
fn lines_are_refused_where_the_model_refuses_them() {
    let plans = r#"{"plans":{"p":{"quotas":[{"limit":9,"per":"day"}]}},
        "subjects":{"s":{"plans":["p"],"keys":[{"id":"a","value":"k"}]}}}"#;
    let read = |line: &str| {
        let mut model = Model::from_plan_json(plans).unwrap();
        model.step(&serde_json::json!({"at":0,"op":"snapshot","name":"n"}));
        let answer = model.step(&serde_json::from_str(line).unwrap());
        answer.get("error").is_none()
    };
    let optional: [(&str, &[&str]); 2] =
        [("reserve", &["key", "stage", "route", "cost"]), ("rotate", &["value"])];
    let mut accepted = 0;
    for (op, needed) in NEEDED {
        let optional = optional.iter().find(|(name, _)| *name == op).map_or(&[][..], |(_, fields)| fields);
        let fields = needed.iter().map(|(name, _)| name).chain(optional).chain(&["ttl", "name", "key"]);
        for &field in fields {
            let mut line = needed.to_vec();
            if !needed.iter().any(|(name, _)| *name == field) {
                line.push((field, "null"));
            }
            let text = !["ttl", "overlap", "actual", "cost", "remaining"].contains(&field);
            for value in [
                None,
                Some("null"),
                Some("true"),
                Some("[]"),
                Some("[1]"),
                Some("{}"),
                Some(r#"{"a":0,"b":18446744073709551615}"#),
                Some(r#"{"a":-1}"#),
                Some(r#"{"a":"1"}"#),
                Some(r#"{"a":null}"#),
                Some("0"),
                Some("-0"),
                Some("-1"),
                Some("1.0"),
                Some("1e3"),
                Some("18446744073709551615"),
                Some("18446744073709551616"),
                Some("\"\""),
                Some("\"7\""),
                Some("\"60s\""),
                Some("\"60 s\""),
                Some("\"+60s\""),
                Some("\"1.5s\""),
                Some("\"000000000000000000000000000001d\""),
                Some("\"18446744073709551615ns\""),
                Some("\"18446744073709551616ns\""),
                Some("\"213504d\""),
            ] {
                // A request's null is no value, here.
                let as_absent = value == Some("null") && op == "reserve" && optional.contains(&field);
                let engines = text && value.is_some_and(|value| value.starts_with('"'));
                let line = line_with(op, &line, field, value);
                let parsed = parse(&line).is_ok();
                accepted += u32::from(parsed);
                if !parsed || !as_absent && !engines {
                    assert_eq!(parsed, read(&line), "{line}: {:?}", parse(&line));
                }
            }
        }
    }
    assert!(accepted > 100, "{accepted}");
}

#[test]
fn durations_and_counts_are_integers_in_range() {
    for (op, field) in [("reserve", "ttl"), ("rotate", "overlap")] {
        let (_, fields) = NEEDED.into_iter().find(|(name, _)| *name == op).unwrap();
        for good in ["18446744073709551615", "\"0ns\"", "\"213503d\"", "\"007ms\""] {
            assert!(parse(&line_with(op, fields, field, Some(good))).is_ok(), "{field} {good}");
        }
        for bad in [
            "18446744073709551616",
            "1e3",
            "-0",
            "\"\"",
            "\"60\"",
            "\"60 s\"",
            "\"-1s\"",
            "\"213504d\"",
            "\"1w\"",
            "{}",
        ] {
            let error = error(&line_with(op, fields, field, Some(bad)));
            assert!(error.contains(&format!("`{field}`")), "{bad}: {error}");
        }
    }
    let (op, fields) = NEEDED[5];
    assert!(
        error(&line_with(op, fields, "remaining", Some("18446744073709551616"))).starts_with(
            "`remaining`: 1.8446744073709552e19 is not an integer from 0 to 18446744073709551615"
        )
    );
    assert!(
        error(&line_with(op, fields, "remaining", Some("\"7\"")))
            .contains("string \"7\", expected `remaining`")
    );
    let (op, fields) = NEEDED[1];
    for (bad, shown) in [
        ("-1", "`actual`: -1 is not an integer"),
        ("\"7\"", "string \"7\", expected `actual`"),
        (r#"{"tokens":-2}"#, "`actual` of `tokens`: -2 is not"),
        (r#"{"a":1,"a":1}"#, "`actual` names the unit `a` twice"),
    ] {
        let error = error(&line_with(op, fields, "actual", Some(bad)));
        assert!(error.contains(shown), "{bad}: {error}");
    }
}

#[test]
fn broken_lines_are_refused() {
    for line in
        ["", " \t\r", "[1]", "7", "{", "{\"at\":0", "{\"at\":0}x", "{\"at\":0}{}", "{\"at\":0,}", "nonsense"]
    {
        assert!(parse(line).is_err(), "{line:?}");
    }
    assert!(Line::parse(b"{\"at\":0,\"stage\":\"\xff\"}").is_err());
    for at in ["-1", "1.0", "1e3", "18446744073709551616", "null", "true", "\"1\"", "\"2015-05-17\""] {
        assert!(error(&format!(r#"{{"at":{at}}}"#)).contains("`at`"), "{at}");
    }
    let long = error(&format!(r#"{{"at":"{}"}}"#, "ä".repeat(100_000)));
    assert!(long.len() < 500, "{}", long.len());
}
