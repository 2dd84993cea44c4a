//! Lines of a trace, or of an access log: each gets an answer or an error.
//!
//! The first byte says which of the two it is, and where a log's keys are.

use tollgate::{Capacity, Changes, Engine, Nanos};
use tollgate_cli::replay::{Combined, KeySource, Session, Step};

use crate::{scene, tells};

/// To begin with.
pub const SEEDS: [&[u8]; 7] = [
    br#"T{"at":1700000000000000000,"op":"check","key":"hunter2-hunter2-hunter2","stage":"pets/prod","route":"GET /pets/7?x=1","cost":{"requests":1,"tokens":3},"id":"i"}
{"at":"2023-11-14T22:13:20.000000001Z","op":"peek","key":"hunter2-hunter2-hunter2","cost":18446744073709551615}
{"at":1700000000000000000,"op":"release","id":"i"}
{"at":1700000000000000000,"op":"refund","id":"i"}"#,
    br#"T{"at":1700000000000000000,"op":"apply","plans":{"gold":{"quotas":[{"limit":1,"per":"day","start":0}]},"x":null},"subjects":{"acme":{"plans":["gold"],"keys":[{"id":"x","value":"hunter2-hunter2-hunter2"}]}}}
{"at":1700000000000000000,"key":"hunter2-hunter2-hunter2"}
{"at":1700086400000000000,"key":"hunter2-hunter2-hunter2"}"#,
    br#"T{"at":1700000000000000000,"op":"reserve","key":"hunter2-hunter2-hunter2","id":"r","cost":{"tokens":2},"ttl":"60s"}
{"at":1700000000000000000,"op":"settle","id":"r","actual":7}
{"at":1700000000000000000,"op":"usage","subject":"acme","plan":"gold","from":"2023-11-01","to":"2023-11-30"}
{"at":1700000000000000000,"op":"grant","subject":"acme","plan":"gold","limit":"daily","remaining":7}
{"at":1700000000000000000,"op":"alerts"}"#,
    br#"T{"at":1700000000000000000,"op":"rotate","value":"hunter2-hunter2-hunter2-2","key_id":"acme-1","new_id":"acme-9","overlap":3600000000000}
{"at":1700000000000000000,"op":"snapshot","name":"n"}
{"at":1700000000000000000,"op":"disable","key_id":"acme-1"}
{"at":1700000000000000000,"op":"enable","key_id":"acme-1"}
{"at":1700000000000000000,"op":"expire","key_id":"acme-1"}
{"at":1700000000000000000,"op":"revoke","key_id":"acme-9"}
{"at":1700000000000000000,"op":"restore","name":"n"}"#,
    b"\x00192.0.2.1 - jo [17/May/2015:10:05:03 +0000] \"GET /pets/1?a=\\x22b\\\" HTTP/1.1\" 200 5 \"-\" \"curl/8\" \"k\"\n::1 - - [17/May/2015:10:05:04 -0130] \"-\" 400 0\n",
    b"\x01192.0.2.1 - jo [29/Feb/2016:23:59:60 +0000] \"GET / HTTP/1.1\" 200 - \"-\" \"curl/8\"\n",
    b"\x04192.0.2.1 - jo [17/May/2015:10:05:03 +0000] \"POST /pets HTTP/1.1\" 200 5 \"-\" \"curl/8\" \"k\\\\\"\n",
];

/// See the module's comment.
pub fn run(bytes: &[u8]) {
    let Some((&kind, lines)) = bytes.split_first() else { return };
    match kind {
        0 => log(lines, KeySource::RemoteAddr),
        1 => log(lines, KeySource::RemoteUser),
        2..8 => log(lines, KeySource::QuotedHeader(usize::from(kind) - 1)),
        _ => trace(lines),
    }
}

fn trace(lines: &[u8]) {
    let changes = Changes::from_toml(scene::PLANS).expect("a plan file");
    let capacity = Capacity::new().cells(3_000).lines(3_000);
    let builder = Engine::builder().capacity(capacity).changes(changes);
    let mut session = Session::of(builder, Some("free")).expect("an engine");
    // Of earlier lines, too: what they put in place may be named later.
    let all = String::from_utf8_lossy(lines);
    for (line, number) in lines.split(|&byte| byte == b'\n').zip(1..) {
        let mut out = Vec::new();
        let step = session.step(line, number, &mut out);
        let answer: serde_json::Value = serde_json::from_slice(&out).expect("one JSON object");
        assert!(answer.is_object() && out.iter().filter(|&&byte| byte == b'\n').count() == 1);
        assert_eq!(answer.get("line").is_some(), step == Step::Failed);
        assert_eq!(answer.get("line").is_some(), answer.get("line") == Some(&number.into()));
        assert!(!tells(&answer.to_string(), &all, &["\"key\":\"", "\"value\":\""]), "{answer}");
    }
}

fn log(lines: &[u8], source: KeySource) {
    let mut log = Combined::new(source);
    let mut latest = Nanos::ZERO;
    for line in lines.split(|&byte| byte == b'\n') {
        match log.read(line) {
            Ok(entry) => {
                assert!(entry.at >= latest, "the time goes back");
                latest = entry.at;
                assert!(entry.route.is_none_or(|route| route.contains(' ')), "{:?}", entry.route);
                let (key, route) = (entry.key.to_vec(), entry.route.map(str::to_owned));
                // A line end changes nothing, nor does a second reading.
                let again = [line, b"\r\n"].concat();
                let again = log.read(&again).expect("the same line");
                assert_eq!((again.at, again.key, again.route), (latest, &key[..], route.as_deref()));
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}
