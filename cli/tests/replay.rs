//! The program as its users run it: what it prints, and with which status it ends.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const PLANS: &str = r#"
[plans.gold]
stages   = ["pets/prod"]
throttle = { rate = "1/s", burst = 2 }
quotas   = [{ name = "daily", limit = 5, per = "day", zone = "UTC" }]
[plans.gold.routes."GET /pets/*"]
throttle = { rate = "1/m", burst = 1 }
[plans.gold.pool]
quotas   = [{ name = "all-day", limit = 100, per = "day" }]
[plans.dry]
observe  = true
quotas   = [{ limit = 1, per = "forever" }]
[plans.slow]
throttle = { rate = "1/s", burst = 1, mode = { delay = "1s" } }
[subjects.acme]
plans = ["gold"]
keys  = [{ id = "acme-1", value = "k-acme" }]
[subjects.dora]
plans = ["dry"]
keys  = [{ id = "dora-1", value = "k-dora" }]
[subjects.sam]
plans = ["slow"]
keys  = [{ id = "sam-1", value = "k-sam" }]
"#;

const T: u64 = 1_700_000_000_000_000_000;

/// A folder of its own, gone with the value.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("tollgate-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn tollgate() -> Command {
    Command::new(env!("CARGO_BIN_EXE_tollgate"))
}

fn replay(folder: &Folder, trace: impl AsRef<[u8]>, options: &[&str]) -> Output {
    let plans = folder.file("plans.toml", PLANS);
    let trace = folder.file("trace", trace);
    tollgate().arg("replay").arg("--plans").args([&plans, &trace]).args(options).output().unwrap()
}

fn answers(output: &Output) -> Vec<Value> {
    let text = std::str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn status(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn a_check_is_answered_with_every_field() {
    let folder = Folder::new("fields");
    let line = format!(r#"{{"at":{T},"key":"k-acme","stage":"pets/prod","route":"GET /pets/7?x=1"}}"#);
    let output = replay(&folder, format!("{line}\n{line}\n"), &[]);
    assert_eq!((status(&output), stderr(&output)), (0, ""));
    let limit = |name: &str, kind: &str, limit: u64, remaining: u64, reset_ns: u64| json!({"name": name, "kind": kind, "limit": limit, "remaining": remaining, "reset_ns": reset_ns});
    // 22:13:20 UTC.
    let midnight = 6_400_000_000_000u64;
    let limits = json!([
        limit("throttle", "throttle", 2, 1, 1_000_000_000),
        limit("daily", "quota", 5, 4, midnight),
        limit("route:GET /pets/*:throttle", "throttle", 1, 0, 60_000_000_000),
        limit("pool:all-day", "quota", 100, 99, midnight),
    ]);
    let ok = json!({"verdict": "ok", "retry_after_ns": 0, "delay_ns": 0, "violated": [], "limits": limits});
    let refused = json!({
        "verdict": "throttled", "retry_after_ns": 60_000_000_000u64, "delay_ns": 0,
        "violated": ["route:GET /pets/*:throttle"], "limits": limits,
    });
    assert_eq!(answers(&output), [ok, refused]);
}

#[test]
fn observe_delay_and_key_errors() {
    let folder = Folder::new("modes");
    let trace = [
        r#"{"at":"2023-11-14T22:13:20Z","key":"k-dora"}"#,
        r#"{"at":"2023-11-14T22:13:20.000000001Z","key":"k-dora"}"#,
        r#"{"at":1700000000000000000,"key":"k-sam","op":"check"}"#,
        r#"{"at":1700000000000000000,"key":"k-sam"}"#,
        r#"{"at":1700000000000000000}"#,
        r#"{"at":1700000000000000000,"key":"nobody"}"#,
        r#"{"at":1700000000000000000,"key":"k-acme"}"#,
    ];
    let output = replay(&folder, trace.join("\n"), &[]);
    assert_eq!(status(&output), 0);
    let answers = answers(&output);
    let short = |n: usize| {
        let answer = &answers[n];
        (
            answer["verdict"].as_str().unwrap(),
            &answer["retry_after_ns"],
            &answer["delay_ns"],
            answer.get("would_deny"),
        )
    };
    let (zero, null) = (&json!(0), &json!(null));
    assert_eq!(short(0), ("ok", zero, zero, Some(&json!(false))));
    assert_eq!(short(1), ("ok", null, zero, Some(&json!(true))));
    assert_eq!(answers[1]["violated"], json!(["forever"]));
    assert_eq!(short(2), ("ok", zero, zero, None));
    assert_eq!(short(3), ("delayed", zero, &json!(1_000_000_000), None));
    for (n, verdict) in [(4, "key_missing"), (5, "key_unknown"), (6, "no_plan_for_stage")] {
        assert_eq!(short(n), (verdict, null, zero, None));
        assert_eq!((&answers[n]["violated"], &answers[n]["limits"]), (&json!([]), &json!([])));
    }
}

#[test]
fn plans_and_keys_change_under_way() {
    let folder = Folder::new("changes");
    let trace = [
        r#"{"at":1,"op":"disable","key_id":"dora-1"}"#,
        r#"{"at":1,"key":"k-dora"}"#,
        r#"{"at":1,"op":"enable","key_id":"dora-1"}"#,
        r#"{"at":1,"op":"expire","key_id":"dora-1"}"#,
        r#"{"at":1,"key":"k-dora"}"#,
        r#"{"at":1,"op":"revoke","key_id":"dora-1"}"#,
        r#"{"at":1,"key":"k-dora"}"#,
        r#"{"at":1,"op":"apply","plans":{"new":{"quotas":[{"limit":1,"per":"15m"}]}},"subjects":{"acme":{"plans":["new"]}}}"#,
        r#"{"at":1,"key":"k-acme"}"#,
        r#"{"at":1,"op":"apply","subjects":{"acme":{"plans":["new","slow"]}}}"#,
        r#"{"at":1,"op":"apply","plans":{"new":{"quota":[]}}}"#,
        r#"{"at":1,"op":"apply","subjects":{"acme":{"plans":["new"],"keys":[{"id":"x","value":"k-sam"}]}}}"#,
        r#"{"at":1,"op":"apply","plans":{"new":null}}"#,
        r#"{"at":1,"op":"peek","key":"k-acme"}"#,
    ];
    let output = replay(&folder, trace.join("\n") + "\n", &[]);
    assert_eq!((status(&output), stderr(&output)), (0, ""));
    let said: Vec<String> = answers(&output)
        .iter()
        .map(|answer| answer.get("verdict").unwrap_or(&answer["status"]).as_str().unwrap().to_owned())
        .collect();
    let expected = [
        "ok",
        "key_disabled",
        "ok",
        "ok",
        "key_expired",
        "ok",
        "key_revoked",
        "ok",
        "ok",
        "conflict",
        "invalid",
        "conflict",
        "invalid",
        "quota_exceeded",
    ];
    assert_eq!(said, expected);
    let errors: Vec<String> = answers(&output)
        .iter()
        .filter_map(|a| a.get("error"))
        .map(|e| e.as_str().unwrap().to_owned())
        .collect();
    for (error, names) in errors.iter().zip([
        "subjects.acme.plans: plans \"new\" and \"slow\" both cover every stage",
        "unknown field `quota`",
        "subjects.acme.keys[0]",
        "still names plan \"new\"",
    ]) {
        assert!(error.contains(names), "{error}");
    }
}

#[test]
fn a_broken_line_gets_an_error_and_the_rest_goes_on() {
    let folder = Folder::new("broken");
    let good = r#"{"at":5,"key":"k-dora"}"#;
    let long = format!(r#"{{"at":5,"key":"{}"}}"#, "x".repeat(10_000_000));
    let bad: [&[u8]; 14] = [
        b"",
        b"   ",
        b"nonsense",
        b"{\"at\":5",
        b"[]",
        b"\xff\xfe{}",
        br#"{"key":"k-dora"}"#,
        br#"{"at":-5,"key":"k-dora"}"#,
        br#"{"at":18446744073709551616}"#,
        br#"{"at":5,"cost":-1}"#,
        br#"{"at":5,"colour":1}"#,
        br#"{"at":5,"op":"fly"}"#,
        br#"{"at":5,"op":"enable","key_id":"nobody"}"#,
        br#"{"at":5,"op":"reserve","id":"1"}"#,
    ];
    let mut trace = Vec::new();
    for line in bad {
        trace.extend([line, b"\r\n", good.as_bytes(), b"\n"].concat());
    }
    trace.extend(long.as_bytes());
    let output = replay(&folder, trace, &[]);
    assert_eq!((status(&output), stderr(&output)), (1, ""));
    let answers = answers(&output);
    assert_eq!(answers.len(), 2 * bad.len() + 1);
    for (n, pair) in answers.chunks_exact(2).enumerate() {
        assert_eq!(pair[0]["line"], json!(2 * n + 1), "{}", pair[0]);
        assert!(pair[0]["error"].as_str().unwrap().len() > 5 && pair[0].as_object().unwrap().len() == 2);
        assert_eq!(pair[1]["verdict"], "ok");
    }
    assert_eq!(answers.last().unwrap()["verdict"], "key_unknown", "10 MB are a key that nobody has");
}

#[test]
fn an_id_is_for_one_admitted_request() {
    let folder = Folder::new("ids");
    let line = r#"{"at":5,"key":"k-acme","stage":"pets/prod","cost":2,"id":"a"}"#;
    let refused = r#"{"at":5,"key":"k-acme","stage":"pets/prod","cost":2,"id":"b"}"#;
    let output = replay(&folder, [line, refused, refused, line].join("\n"), &[]);
    let answers = answers(&output);
    assert_eq!(answers[0]["verdict"], "ok");
    assert_eq!((&answers[1]["verdict"], &answers[2]["verdict"]), (&json!("throttled"), &json!("throttled")));
    assert!(answers[3]["error"].as_str().unwrap().contains("\"a\""));
    assert_eq!(status(&output), 1);
}

#[test]
fn bad_arguments_plans_and_files_end_with_2() {
    let folder = Folder::new("bad");
    let trace = folder.file("trace", "");
    let plans = folder.file("good.toml", PLANS);
    let run = |plans: &Path, trace: &Path, options: &[&str]| {
        let output =
            tollgate().arg("replay").arg("--plans").args([plans, trace]).args(options).output().unwrap();
        assert_eq!((status(&output), output.stdout.len()), (2, 0), "{options:?} {}", stderr(&output));
        stderr(&output).to_owned()
    };
    let bad = |name: &str, text: &str| run(&folder.file(name, text), &trace, &[]);
    let error = bad("a.toml", "[plans.p]\n\nburst = 1");
    assert!(error.contains("a.toml: line 3: unknown field `burst`"), "{error}");
    let error = bad("b.json", "{\"plans\":\n{\"p\": {\"throttle\": {\"rate\": \"1e9/s\", \"burst\": 1}}}}");
    assert!(error.contains("b.json: plans.p.throttle.rate: \"1e9/s\" is not a rate"), "{error}");
    let error = bad("c.toml", "[plans.p]\nconcurrency = { limit = 1, lease = \"0s\" }");
    assert!(error.contains("plans.p.concurrency.lease: 0 frees a slot as soon as it is taken"), "{error}");
    assert!(bad("d.toml", "\u{0}").contains("d.toml"));
    assert!(run(&folder.0.join("none.toml"), &trace, &[]).contains("none.toml"));
    assert!(run(&plans, &folder.0.join("none"), &[]).contains("none"));
    assert!(run(&plans, &folder.0, &[]).contains(folder.0.to_str().unwrap()), "a folder");
    assert!(run(&plans, &trace, &["--plan", "none"]).contains("\"none\""));
    assert!(run(&plans, &trace, &["--format", "xml"]).contains("xml"));
    assert!(run(&plans, &trace, &["--stage", "a/b"]).contains("--format combined"));
    assert!(run(&plans, &trace, &["--format", "combined", "--key", "cookie"]).contains("remote_addr"));
    assert!(run(&plans, &trace, &["--html", "/nowhere/at/all.html"]).contains("/nowhere/at/all.html"));
    assert!(run(&plans, &trace, &["--pepper", "p=env:TOLLGATE_NO_SUCH"]).contains("TOLLGATE_NO_SUCH"));
    assert_eq!(status(&tollgate().arg("replya").output().unwrap()), 2);
}

#[test]
fn access_logs_are_decided_at_the_latest_instant() {
    let folder = Folder::new("combined");
    let line = |key: &str, time: &str, request: &str| {
        format!(
            "{key} - - [17/May/2015:{time} +0000] \"{request} HTTP/1.1\" 200 5 \"-\" \"{key}\" \"secret {key}\"\n"
        )
    };
    let log = [
        line("k-sam", "10:05:03", "GET /"),
        line("192.0.2.1", "10:05:02", "GET /pets/1"),
        line("192.0.2.1", "10:05:03", "GET /pets/2"),
        line("192.0.2.1", "10:05:01", "GET /other"),
        line("-", "10:05:03", "GET /"),
        "garbage\n".into(),
    ]
    .concat();
    let options = ["--format", "combined", "--plan", "gold", "--stage", "pets/prod"];
    let output = replay(&folder, &log, &options);
    assert_eq!(status(&output), 1);
    let verdicts: Vec<Value> = answers(&output).iter().map(|a| a["verdict"].clone()).collect();
    // A registered key keeps its own plan.
    assert_eq!(
        verdicts,
        [json!("ok"), json!("ok"), json!("throttled"), json!("ok"), json!("key_missing"), json!(null)]
    );
    assert_eq!(answers(&output)[0]["limits"].as_array().unwrap().len(), 1);
    assert_eq!(answers(&output)[5]["line"], 6);

    // A table and a page; keys from a header are secrets.
    let page = folder.0.join("page.html");
    let options = [&options[..], &["--summary", "--html", page.to_str().unwrap()]].concat();
    let output = replay(&folder, &log, &options);
    assert_eq!(status(&output), 1);
    assert!(stderr(&output).contains("line 6"), "{}", stderr(&output));
    let page_text = std::fs::read_to_string(&page).unwrap();
    for text in [std::str::from_utf8(&output.stdout).unwrap(), &page_text] {
        for part in ["192.0.2.1", "route:GET /pets/*:throttle", "sam", "key_missing", "throttled 1"] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
    assert!(page_text.contains("<svg"));
    let output = replay(&folder, &log, &[&options[..], &["--key", "header-in-quotes:3"]].concat());
    let text = std::str::from_utf8(&output.stdout).unwrap();
    assert!(text.contains("anonymous 1") && !text.contains("secret"), "{text}");
    assert!(!std::fs::read_to_string(&page).unwrap().contains("secret"));
}

#[test]
fn a_trace_can_be_driven_line_by_line() {
    let folder = Folder::new("interactive");
    let plans = folder.file("plans.toml", PLANS);
    let mut child = tollgate()
        .args(["replay", "-", "--plans"])
        .arg(&plans)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    for n in 0..3 {
        writeln!(input, r#"{{"at":{n},"key":"k-dora"}}"#).unwrap();
        let mut answer = String::new();
        output.read_line(&mut answer).unwrap();
        assert!(answer.starts_with(r#"{"verdict":"ok""#), "{answer}");
    }
    drop(input);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = Folder::new("pipe");
    let plans = folder.file("plans.toml", PLANS);
    let trace = folder.file("trace", "{\"at\":5,\"key\":\"k-dora\"}\n".repeat(50_000));
    let mut child = tollgate()
        .args(["replay", "--plans"])
        .args([&plans, &trace])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((status(&output), stderr(&output)), (0, ""));
}

#[test]
fn peppered_keys_are_found() {
    let folder = Folder::new("pepper");
    // RFC 4231, case 1.
    let pepper = folder.file("pepper", [0x0b; 20]);
    let plans = folder.file(
        "plans.toml",
        "[plans.p]\n[subjects.s]\nplans = [\"p\"]\nkeys = [{ id = \"k\", hmac = \"old:b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7\" }]",
    );
    let trace = folder.file("trace", r#"{"at":5,"key":"Hi There"}"#);
    let pepper = format!("old=file:{}", pepper.display());
    let output =
        tollgate().args(["replay", "--pepper", &pepper, "--plans"]).args([&plans, &trace]).output().unwrap();
    assert_eq!((status(&output), stderr(&output)), (0, ""));
    assert_eq!(answers(&output)[0]["verdict"], "ok");
}

#[test]
fn without_arguments_it_is_the_demo() {
    let output = tollgate().output().unwrap();
    assert_eq!((status(&output), stderr(&output)), (0, ""));
    let text = std::str::from_utf8(&output.stdout).unwrap();
    for part in
        ["2,000 requests", "free", "standard", "premium", "throttled", "quota_exceeded", "ns per decision"]
    {
        assert!(text.contains(part), "{part}: {text}");
    }
}
