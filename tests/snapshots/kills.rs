//! Processes that are killed while they save: the file is one of those that they saved, whole. `TOLLGATE_KILLS` sets how many.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tollgate::{Changes, Key, Plan, Quota, SecretKey, Subject};

use super::*;

const LIMIT: u64 = 1 << 40;

fn changes() -> Changes {
    let plan = Plan::new().quota(Quota::new(LIMIT, "month")).quota(Quota::new(LIMIT, "forever"));
    let key = Key::new("k", SecretKey::new("a key").unwrap());
    Changes::new().plan("p", plan).subject("s", Subject::new(["p"]).key(key))
}

/// Goes on from the file, if there is one; what is used.
fn begun(file: &std::path::Path) -> (Engine, u64) {
    let builder = heap(&changes());
    let engine = match Snapshot::load(file) {
        Ok(snapshot) => builder.snapshot(snapshot).build().unwrap(),
        Err(_) if !file.exists() => builder.build().unwrap(),
        Err(error) => panic!("{error}"),
    };
    let left = left(&engine, &Request::new("a key"), T0);
    assert_eq!(left[0], left[1], "torn");
    (engine, LIMIT - left[0])
}

/// Not a test of its own: what a child does until it is killed. It says how much was used by the saves that are done.
#[test]
#[ignore = "started by others"]
fn child() {
    let file = std::path::PathBuf::from(std::env::var_os("TOLLGATE_FILE").unwrap());
    let (engine, mut used) = begun(&file);
    loop {
        for n in 0..10u64 {
            assert_eq!(check(&engine, &Request::new("a key"), T0), Verdict::Ok);
            let id = (used + n).to_le_bytes();
            engine.check_as_at(&Request::new("a key").cost(0), &id, Nanos::new(T0)).unwrap();
        }
        engine.save(&file).unwrap();
        used += 10;
        println!("\nused {used}");
    }
}

fn start(file: &Scratch) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "kills::child", "--test-threads", "1", "--nocapture"])
        .env("TOLLGATE_FILE", &file.0)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_file_is_whole_whenever_its_writer_was_killed() {
    let file = Scratch::new("kills");
    for kill in 0..asked("TOLLGATE_KILLS", 20) {
        let mut child = start(&file);
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said =
            lines.map_while(Result::ok).filter_map(|line| line.strip_prefix("used ")?.parse().ok());
        let mut saved: u64 = said.next().unwrap();
        thread::sleep(Duration::from_micros(kill * 7_919 % 20_000));
        child.kill().unwrap();
        child.wait().unwrap();
        saved = said.last().unwrap_or(saved);
        let (_, used) = begun(&file.0);
        assert!(used == saved || used == saved + 10, "{used} used, {saved} saved");
    }
}
