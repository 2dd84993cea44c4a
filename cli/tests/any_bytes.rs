//! Whatever a plan file or a trace holds: an error or an answer, no panic, and no key in a message.

use proptest::collection::vec;
use proptest::prelude::*;
use tollgate::{Changes, Engine};
use tollgate_cli::replay::{Combined, KeySource, Session, Step};

const PLANS: &str = r#"
[plans.gold]
stages   = ["pets/prod"]
throttle = [{ rate = "0.1/250ms", burst = 2, mode = { delay = "300ms" } }, { name = "t", rate = "3/m", burst = 9, unit = "tokens" }]
quotas   = [{ name = "daily", limit = 5, per = "month", start = 14, zone = "Asia/Tokyo", initial_debit = 1, alerts = [80] }]
observe  = false
[plans.gold.routes."pets/prod GET /pets/*"]
quotas   = [{ limit = 1, per = "15m" }]
[plans.gold.pool]
quotas   = [{ limit = 100, per = "forever" }]
[subjects.acme]
plans = ["gold"]
keys  = [{ id = "acme-1", value = "hunter2", enabled = true, expires = "2027-06-01T00:00:00Z" }]
"#;

const LINES: [&str; 10] = [
    r#"{"at":1700000000000000000,"op":"check","key":"hunter2","stage":"pets/prod","route":"GET /pets/7?x=1","cost":{"requests":1,"tokens":300},"id":"i"}"#,
    r#"{"at":"2023-11-14T22:13:20.000000001Z","op":"peek","key":"hunter2","cost":18446744073709551615}"#,
    r#"{"at":1700000000000000000,"op":"revoke","key_id":"acme-1"}"#,
    r#"{"at":1700000000000000000,"op":"apply","plans":{"gold":{"quotas":[{"limit":1,"per":"day","start":0}]}},"subjects":{"acme":{"plans":["gold"],"keys":[{"id":"x","value":"hunter2"}]}}}"#,
    r#"{"at":1700000000000000000,"op":"settle","id":"i","actual":7}"#,
    r#"{"at":1700000000000000000,"op":"reserve","key":"hunter2","id":"r","stage":"pets/prod","cost":{"tokens":2},"ttl":"60s"}"#,
    r#"{"at":1700000000000000000,"op":"rotate","value":"hunter3","key_id":"acme-1","new_id":"acme-2","overlap":3600000000000}"#,
    r#"{"at":1700000000000000000,"op":"usage","subject":"acme","plan":"gold","from":"2023-11-01","to":"2023-11-30"}"#,
    r#"{"at":1700000000000000000,"op":"grant","subject":"acme","plan":"gold","limit":"daily","remaining":7}"#,
    r#"{"at":1700000000000000000,"op":"restore","name":"n"}"#,
];

const LOG: &str =
    r#"192.0.2.1 - jo [17/May/2015:10:05:03 +0000] "GET /pets/1?a=\x22b\" HTTP/1.1" 200 5 "-" "curl/8" "k""#;

/// Whether a message repeats the key, other than as the name of a field that a mutation made of it.
fn tells(message: &str) -> bool {
    message.split('`').step_by(2).any(|outside| outside.contains("hunter"))
}

/// Replaces, inserts or removes bytes here and there.
fn mutated(text: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let pieces = prop_oneof![
        4 => vec(any::<u8>(), 0..3),
        2 => prop::sample::select(&["9", "0", "-1", "1e9", "null", "\"", "{", "]", "\n", ".", "=", "18446744073709551615", "é", "\\u0000"][..])
            .prop_map(|text| text.as_bytes().to_vec()),
    ];
    let edits = vec((any::<prop::sample::Index>(), 0usize..6, pieces), 0..4);
    edits.prop_map(move |edits| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, removed, put) in edits {
            let at = at.index(bytes.len() + 1);
            let end = (at + removed).min(bytes.len());
            bytes.splice(at..end, put);
        }
        bytes
    })
}

fn session() -> Session {
    Session::new(Changes::from_toml(PLANS).unwrap(), Some("gold"), Vec::new()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn plan_files(bytes in mutated(PLANS)) {
        let text = String::from_utf8_lossy(&bytes);
        let error = match Changes::from_toml(&text) {
            Err(error) => error.to_string(),
            Ok(changes) => match Engine::builder().changes(changes).build() {
                Err(error) => error.to_string(),
                Ok(_) => return Ok(()),
            },
        };
        prop_assert!(!error.is_empty() && !tells(&error), "{}", error);
    }

    #[test]
    fn trace_lines(lines in vec(prop::sample::select(&LINES[..]).prop_flat_map(mutated), 1..6)) {
        let mut session = session();
        for line in lines {
            let mut out = Vec::new();
            let step = session.step(&line, 7, &mut out);
            let answer: serde_json::Value = serde_json::from_slice(&out).expect("one JSON object");
            prop_assert_eq!(out.iter().filter(|&&byte| byte == b'\n').count(), 1);
            prop_assert_eq!(answer.get("line").is_some(), step == Step::Failed);
            prop_assert!(!tells(&answer.to_string()), "{}", answer);
        }
    }

    #[test]
    fn log_lines(bytes in mutated(LOG), header in 0usize..5) {
        let source = if header == 0 { KeySource::RemoteUser } else { KeySource::QuotedHeader(header) };
        if let Err(error) = Combined::new(source).read(&bytes) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}
