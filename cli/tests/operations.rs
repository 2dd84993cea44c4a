//! Operations on earlier requests and on keys, by `tollgate replay`: hand-made traces with the answers that they get.

mod common;

use common::Folder;

const PLANS: &str = r#"
[plans.gold]
throttle = { rate = "1/s", burst = 100 }
quotas   = [{ name = "daily", limit = 10, per = "day" }]
[plans.slots]
concurrency = { limit = 1, lease = "60s" }
[subjects.acme]
plans = ["gold"]
keys  = [{ id = "acme-1", value = "k-acme" }]
[subjects.sam]
plans = ["slots"]
keys  = [{ id = "sam-1", value = "k-sam" }]
"#;

/// Seconds: 2023-11-14T22:13:20Z.
const T: u64 = 1_700_000_000;
const MIDNIGHT: u64 = 1_700_006_400;

/// Runs lines, each with the second at which it happens, and holds the answers against what is expected.
#[track_caller]
fn replay(name: &str, lines: &[(u64, &str, String)]) {
    let folder = Folder::new(name);
    folder.write("plans.toml", PLANS);
    let trace: String =
        lines.iter().map(|(at, line, _)| format!("{{\"at\":{at}000000000,{line}}}\n")).collect();
    let ran = folder.run_with(&["replay", "--plans", "plans.toml", "-"], &trace);
    let answers: Vec<&str> = ran.out.lines().collect();
    for ((_, line, expected), answer) in lines.iter().zip(&answers) {
        assert_eq!(answer, expected, "{line}");
    }
    let failed = lines.iter().any(|(.., expected)| expected.starts_with("{\"error\""));
    assert_eq!((answers.len(), ran.status, ran.err.as_str()), (lines.len(), i32::from(failed), ""));
}

fn status(word: &str) -> String {
    format!(r#"{{"status":"{word}"}}"#)
}

fn settled(word: &str, overdraft: u64) -> String {
    format!(r#"{{"status":"{word}","overdraft":{overdraft}}}"#)
}

fn seconds(seconds: u64) -> String {
    if seconds == 0 { "0".into() } else { format!("{seconds}000000000") }
}

/// Plan `gold` after a decision at `at`: what is left of throttle and quota.
fn gold(verdict: &str, wait: u64, violated: &str, at: u64, throttle: u64, daily: u64) -> String {
    let (wait, full, left) = (seconds(wait), seconds(100 - throttle), seconds(MIDNIGHT - at));
    format!(
        r#"{{"verdict":"{verdict}","retry_after_ns":{wait},"delay_ns":0,"violated":[{violated}],"limits":[{{"name":"throttle","kind":"throttle","limit":100,"remaining":{throttle},"reset_ns":{full}}},{{"name":"daily","kind":"quota","limit":10,"remaining":{daily},"reset_ns":{left}}}]}}"#
    )
}

fn admitted(at: u64, throttle: u64, daily: u64) -> String {
    gold("ok", 0, "", at, throttle, daily)
}

fn refused_key(verdict: &str) -> String {
    format!(r#"{{"verdict":"{verdict}","retry_after_ns":null,"delay_ns":0,"violated":[],"limits":[]}}"#)
}

/// Plan `slots` after a decision.
fn slots(verdict: &str, wait: u64, violated: &str, free: u64) -> String {
    let wait = seconds(wait);
    format!(
        r#"{{"verdict":"{verdict}","retry_after_ns":{wait},"delay_ns":0,"violated":[{violated}],"limits":[{{"name":"concurrency","kind":"concurrency","limit":1,"remaining":{free},"reset_ns":null}}]}}"#
    )
}

#[test]
fn reserve_and_settle() {
    replay(
        "op-settle",
        &[
            (T, r#""op":"reserve","key":"k-acme","id":"r","ttl":"60s","cost":4"#, admitted(T, 96, 6)),
            (T, r#""op":"settle","id":"r","actual":2"#, settled("settled", 0)),
            (T, r#""op":"peek","key":"k-acme""#, admitted(T, 98, 8)),
            (T, r#""op":"settle","id":"r","actual":2"#, status("already_settled")),
            (T, r#""op":"refund","id":"r""#, status("already_settled")),
            (T, r#""op":"settle","id":"s","actual":1"#, status("unknown_id")),
            (T, r#""op":"reserve","key":"k-acme","id":"s","ttl":1000000000,"cost":1"#, admitted(T, 97, 7)),
            // At the end of its time: late, and charged even so.
            (T + 1, r#""op":"settle","id":"s","actual":12"#, settled("late", 4)),
            (T + 1, r#""op":"peek","key":"k-acme","cost":0"#, admitted(T + 1, 87, 0)),
        ],
    );
}

#[test]
fn refund() {
    replay(
        "op-refund",
        &[
            (T, r#""key":"k-acme","id":"c","cost":3"#, admitted(T, 97, 7)),
            (T, r#""op":"settle","id":"c","actual":1"#, status("unknown_id")),
            (T, r#""op":"refund","id":"c""#, status("refunded")),
            (T, r#""op":"refund","id":"c""#, status("already_settled")),
            (T, r#""op":"refund","id":"d""#, status("unknown_id")),
            (T, r#""op":"peek","key":"k-acme""#, admitted(T, 100, 10)),
        ],
    );
}

#[test]
fn release() {
    let full = slots("concurrency_exceeded", 60, "\"concurrency\"", 0);
    replay(
        "op-release",
        &[
            (T, r#""key":"k-sam","id":"a""#, slots("ok", 0, "", 0)),
            (T, r#""key":"k-sam","id":"b""#, full),
            (T, r#""op":"release","id":"b""#, status("unknown_id")),
            (T, r#""op":"release","id":"a""#, status("released")),
            (T, r#""op":"release","id":"a""#, status("already_released")),
            (T, r#""key":"k-sam","id":"b""#, slots("ok", 0, "", 0)),
            // When its lease has run out the slot is free by itself.
            (T + 60, r#""op":"peek","key":"k-sam""#, slots("ok", 0, "", 1)),
        ],
    );
}

#[test]
fn usage_and_grant() {
    let days = |rows: &[(&str, u64, u64, u64)]| {
        let rows: Vec<String> = rows
            .iter()
            .map(|(date, used, remaining, refused)| {
                format!(r#"{{"limit":"daily","date":"{date}","used":{used},"remaining":{remaining},"refused":{refused}}}"#)
            })
            .collect();
        format!(r#"{{"days":[{}]}}"#, rows.join(","))
    };
    let usage = r#""op":"usage","subject":"acme","plan":"gold","from":"2023-11-13","to":"2023-11-15""#;
    let grant = r#""op":"grant","subject":"acme","plan":"gold","limit":"daily","remaining":20"#;
    replay(
        "op-usage",
        &[
            (T, r#""key":"k-acme","cost":4"#, admitted(T, 96, 6)),
            (T, r#""key":"k-acme","cost":7"#, gold("quota_exceeded", MIDNIGHT - T, "\"daily\"", T, 96, 6)),
            (T, usage, days(&[("2023-11-13", 0, 10, 0), ("2023-11-14", 4, 6, 1), ("2023-11-15", 0, 10, 0)])),
            (T, grant, status("ok")),
            (T, r#""key":"k-acme","cost":15"#, admitted(T, 81, 5)),
            (MIDNIGHT - 1, r#""op":"peek","key":"k-acme""#, admitted(MIDNIGHT - 1, 100, 5)),
            (
                MIDNIGHT,
                usage,
                days(&[("2023-11-13", 0, 10, 0), ("2023-11-14", 19, 5, 1), ("2023-11-15", 0, 10, 0)]),
            ),
            (
                MIDNIGHT,
                r#""op":"usage","subject":"nobody","plan":"gold","from":"2023-11-13","to":"2023-11-15""#,
                r#"{"error":"subject \"nobody\" is not registered","line":8}"#.into(),
            ),
        ],
    );
}

#[test]
fn alerts() {
    let event = |threshold: &str| {
        format!(
            r#"{{"subject":"acme","plan":"gold","limit":"daily","threshold":{threshold},"window_start":1699920000000000000}}"#
        )
    };
    let events = |list: &[&str]| {
        format!(
            r#"{{"events":[{}],"dropped":0}}"#,
            list.iter().map(|t| event(t)).collect::<Vec<_>>().join(",")
        )
    };
    let refused = || gold("quota_exceeded", MIDNIGHT - T, "\"daily\"", T, 90, 0);
    replay(
        "op-alerts",
        &[
            (T, r#""op":"alerts""#, events(&[])),
            (T, r#""key":"k-acme","cost":7"#, admitted(T, 93, 3)),
            (T, r#""key":"k-acme","cost":1"#, admitted(T, 92, 2)),
            (T, r#""op":"alerts""#, events(&["80"])),
            (T, r#""key":"k-acme","cost":2"#, admitted(T, 90, 0)),
            (T, r#""key":"k-acme""#, refused()),
            (T, r#""key":"k-acme""#, refused()),
            (T, r#""op":"alerts""#, events(&["100", "\"breached\""])),
            (T, r#""op":"alerts""#, events(&[])),
        ],
    );
}

#[test]
fn rotate() {
    replay(
        "op-rotate",
        &[
            (T, r#""key":"k-acme","cost":2"#, admitted(T, 98, 8)),
            (
                T,
                r#""op":"rotate","key_id":"acme-1","overlap":"60s","new_id":"acme-2","value":"k-new""#,
                status("ok"),
            ),
            (T + 59, r#""key":"k-acme""#, admitted(T + 59, 99, 7)),
            (T + 60, r#""key":"k-acme""#, refused_key("key_revoked")),
            (T + 60, r#""key":"k-new""#, admitted(T + 60, 99, 6)),
            (
                T + 60,
                r#""op":"rotate","key_id":"acme-1","overlap":0,"new_id":"acme-3","value":"k-3""#,
                r#"{"error":"key_id \"acme-1\" is that of a revoked key: register a new key for its subject","line":6}"#
                    .into(),
            ),
            (
                T + 60,
                r#""op":"rotate","key_id":"acme-2","overlap":0,"new_id":"acme-3","value":"k-3""#,
                status("ok"),
            ),
            (T + 60, r#""key":"k-new""#, refused_key("key_revoked")),
            (T + 60, r#""op":"peek","key":"k-3""#, admitted(T + 60, 99, 6)),
        ],
    );
}

#[test]
fn a_key_that_rotation_makes_is_shown_once_and_works() {
    let folder = Folder::new("op-rotate-value");
    folder.write("plans.toml", PLANS);
    let trace = r#"{"at":0,"op":"rotate","key_id":"acme-1","overlap":0,"new_id":"acme-2"}"#;
    let ran = folder.run_with(&["replay", "--plans", "plans.toml", "-"], trace);
    let answer: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let fields: Vec<_> = answer.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((ran.status, fields, &answer["status"]), (0, vec!["status", "value"], &"ok".into()));
    let value = answer["value"].as_str().unwrap();
    assert!(value.len() >= 32 && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
}

#[test]
fn snapshot_and_restore() {
    replay(
        "op-snapshot",
        &[
            (T, r#""key":"k-acme","cost":5,"id":"a""#, admitted(T, 95, 5)),
            (T, r#""op":"snapshot","name":"noon""#, status("ok")),
            (T, r#""key":"k-acme","cost":5"#, admitted(T, 90, 0)),
            (T, r#""op":"refund","id":"a""#, status("refunded")),
            (T, r#""op":"restore","name":"noon""#, status("ok")),
            (T, r#""op":"peek","key":"k-acme""#, admitted(T, 95, 5)),
            (T, r#""op":"refund","id":"a""#, status("refunded")),
            (T, r#""op":"peek","key":"k-acme""#, admitted(T, 100, 10)),
            (
                T,
                r#""op":"restore","name":"dusk""#,
                r#"{"error":"no snapshot has the name \"dusk\"","line":9}"#.into(),
            ),
        ],
    );
}
