//! A check with the time given, of a subject that has its state, makes no system call. Seen by `strace`, which
//! `.ci/syscalls` brings along: the tests are ignored elsewhere.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tollgate::{
    Capacity, Changes, Engine, Key, Limits, Nanos, Plan, Quota, Region, Request, SecretKey, Subject,
    Throttle, Verdict,
};

const T0: u64 = 1_700_000_000_000_000_000;
const CHECKS: u64 = 100_000;
/// More than all checks together use up.
const LARGE: u64 = 1 << 40;

/// Names of files that are not there, whose opening shows in the trace where something begins and ends.
const BEGINS: &str = "/tollgate begins: ";
const ENDS: &str = "/tollgate ends: ";

/// Does something so many times, between two marks.
fn marked(name: &str, times: u64, act: &dyn Fn()) {
    let (begins, ends) = (format!("{BEGINS}{name}"), format!("{ENDS}{name}"));
    let opened = File::open(&begins);
    for _ in 0..times {
        act();
    }
    assert!(opened.is_err() && File::open(&ends).is_err());
}

fn definitions() -> Changes {
    let throttle = || Throttle::new("1000000000/s", LARGE);
    let quota = |limit| Quota::new(limit, "day");
    let route = Limits::new().throttle(throttle()).quota(quota(LARGE));
    let pool = Limits::new().quota(Quota::new(LARGE, "month").zone("Asia/Tokyo"));
    let plain = Plan::new().throttle(throttle()).quota(quota(LARGE)).quota(Quota::new(LARGE, "week"));
    let subject =
        |plan: &str, key: &str| Subject::new([plan]).key(Key::new(key, SecretKey::new(key).unwrap()));
    Changes::new()
        .plan("free", Plan::new().throttle(throttle()))
        .plan("slow", Plan::new().throttle(Throttle::new("1/d", 1)))
        .plan("plain", plain.clone())
        .plan("pooled", plain.clone().pool(pool.clone()))
        .plan("routed", plain.route("GET /*", route).pool(pool.clone()))
        .plan("spent", Plan::new().quota(quota(1)).pool(pool))
        .subject("plain", subject("plain", "plain key"))
        .subject("pooled", subject("pooled", "pooled key"))
        .subject("routed", subject("routed", "routed key"))
        .subject("spent", subject("spent", "spent key"))
}

/// Requests by name, and the verdict that each is to have from its second time on.
fn checks(engine: &Engine, home: &str) {
    let now = Nanos::new(T0);
    let free = engine.plan_id("free").unwrap();
    let requests = [
        ("a throttle", Request::anonymous("free", "x"), Verdict::Ok),
        ("a throttle, by the plan's number", Request::anonymous_in(free, "y"), Verdict::Ok),
        ("a throttle, refused", Request::anonymous("slow", "x"), Verdict::Throttled),
        ("an anonymous line", Request::anonymous("plain", "x"), Verdict::Ok),
        ("a registered line", Request::new("plain key"), Verdict::Ok),
        ("a pool", Request::new("pooled key"), Verdict::Ok),
        ("a route and a pool", Request::new("routed key").route("GET /x"), Verdict::Ok),
        ("a quota, refused", Request::new("spent key"), Verdict::QuotaExceeded),
        ("an unknown key", Request::new("no such key"), Verdict::KeyUnknown),
    ];
    for (name, request, verdict) in requests {
        let check = || engine.check_at(&request, now).verdict();
        check();
        marked(&format!("{home}: {name}"), CHECKS, &|| assert_eq!(check(), verdict, "{name}"));
    }
    let both = [Request::new("pooled key"), Request::anonymous("free", "x")];
    let check = || engine.check_all_at(&both, now).is_allowed();
    check();
    marked(&format!("{home}: two subjects at once"), CHECKS, &|| assert!(check()));
}

/// Not a test of its own: what is traced.
#[test]
#[ignore = "started by another"]
fn traced() {
    checks(&Engine::builder().changes(definitions()).build().unwrap(), "heap");

    let path = std::env::temp_dir().join(format!("tollgate-syscalls-{}", std::process::id()));
    let capacity = Capacity::new().cells(1_000).lines(100);
    let region = Region::file(&path, capacity.region_bytes()).unwrap();
    checks(&Engine::attach(region).capacity(capacity).changes(definitions()).build().unwrap(), "region");
    fs::remove_file(&path).unwrap();

    marked("one call", 1, &|| drop(File::open("/tollgate")));
}

/// What stands between the marks, by name.
fn between_marks(trace: &str) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::new();
    let mut present: Option<(String, Vec<String>)> = None;
    let name = |line: &str, mark: &str| {
        let (_, rest) = line.split_once(mark)?;
        rest.split_once('"').map(|(name, _)| name.to_owned())
    };
    for line in trace.lines() {
        if let Some(name) = name(line, BEGINS) {
            assert!(present.is_none(), "{line}");
            present = Some((name, Vec::new()));
        } else if let Some(ended) = name(line, ENDS) {
            let (name, calls) = present.take().unwrap();
            assert_eq!(name, ended);
            assert!(found.insert(name, calls).is_none());
        } else if let Some((_, calls)) = &mut present {
            calls.push(line.to_owned());
        }
    }
    assert!(present.is_none());
    found
}

fn trace(to: &Path) -> String {
    let exe = std::env::current_exe().unwrap();
    let strace = Command::new("strace")
        .args(["--follow-forks", "--string-limit=200", "--output"])
        .arg(to)
        .arg(exe)
        .args(["--ignored", "--exact", "traced", "--test-threads", "1"])
        .stdout(Stdio::null())
        .status();
    let status = strace.unwrap_or_else(|error| {
        panic!("strace cannot be started ({error}): install it, on Debian with `apt-get install strace`")
    });
    assert!(status.success(), "{status}");
    let trace = fs::read_to_string(to).unwrap();
    fs::remove_file(to).unwrap();
    trace
}

#[test]
#[ignore = "needs strace: .ci/syscalls"]
fn a_check_with_the_time_given_makes_no_system_call() {
    let to: PathBuf = std::env::temp_dir().join(format!("tollgate-strace-{}", std::process::id()));
    let mut found = between_marks(&trace(&to));
    assert_eq!(found.remove("one call").map(|calls| calls.len()), Some(1), "calls are seen");
    assert_eq!(found.len(), 20, "{:?}", found.keys());
    for (name, calls) in found {
        assert!(calls.is_empty(), "{name}: {calls:?}");
        println!("{name}: {CHECKS} checks, 0 system calls");
    }
}
