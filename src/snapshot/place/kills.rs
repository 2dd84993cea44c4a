//! A process that replaces a snapshot over and over is killed at any moment: `TOLLGATE_KILLS` times, 100 by default.
//!
//! A kill leaves what was written to the system, synced or not: that the syncs come in their places is held by the
//! steps' order in the other tests, not here.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::tests::{Scratch, clears};
use super::*;
use crate::snapshot::container::{self, Writer};

/// Blocks of a generation: up to 0.8 MB in all, or none.
fn blocks(generation: u64) -> impl Iterator<Item = (u8, Vec<u8>)> {
    (0..generation % 9).map(move |n| {
        let length = (generation * 7_919 + n * 104_729) % 90_000;
        (n as u8 + 2, (0..length).map(|at| (at ^ generation ^ n) as u8).collect())
    })
}

fn write(out: &mut dyn Write, generation: u64) -> io::Result<()> {
    let mut writer = Writer::new(out)?;
    writer.block(1, &generation.to_le_bytes())?;
    for (kind, payload) in blocks(generation) {
        writer.block(kind, &payload)?;
    }
    writer.finish().map(drop)
}

/// The generation of a whole snapshot.
fn generation(path: &Path) -> u64 {
    let bytes = load(path).unwrap();
    let found = container::read(&bytes).unwrap();
    let generation = found[0].decode(|values| values.u64()).unwrap();
    let rest = found[1..].iter().map(|block| (block.kind, block.payload.to_vec()));
    assert!(rest.eq(blocks(generation)), "generation {generation} is not what it was");
    generation
}

const CHILD: &str = "snapshot::place::kills::child";

/// Not a test of its own: what the child does. It reports each generation that is completed, in one write.
#[test]
#[ignore = "started by others"]
fn child() {
    let target = PathBuf::from(std::env::var_os("TOLLGATE_SNAPSHOT").unwrap());
    let first: u64 = std::env::var("TOLLGATE_GENERATION").unwrap().parse().unwrap();
    for generation in first.. {
        replace(&target, |out| write(out, generation)).unwrap();
        io::stderr().write_all(format!("{generation}\n").as_bytes()).unwrap();
    }
}

/// Starts a child at a generation, kills it `after` its first report, and returns its last one.
fn killed(target: &Path, first: u64, after: Duration) -> u64 {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", CHILD, "--test-threads", "1", "--nocapture"])
        .env("TOLLGATE_SNAPSHOT", target)
        .env("TOLLGATE_GENERATION", first.to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reports = BufReader::new(child.stderr.take().unwrap());
    let mut text = String::new();
    reports.read_line(&mut text).unwrap();
    // Reads on, so that the child never waits for a full pipe.
    let rest = std::thread::spawn(move || {
        let mut rest = String::new();
        reports.read_to_string(&mut rest).map(|_| rest)
    });
    std::thread::sleep(after);
    child.kill().unwrap();
    let status = child.wait().unwrap();
    text += &rest.join().unwrap().unwrap();
    assert!(status.code().is_none() || cfg!(not(unix)), "the child ended by itself: {text}");
    let reports: Vec<u64> =
        text.lines().map(|line| line.parse().unwrap_or_else(|_| panic!("{text}"))).collect();
    assert!(reports.iter().copied().eq(first..first + reports.len() as u64), "{text}");
    reports[reports.len() - 1]
}

#[test]
fn the_last_completed_snapshot_outlives_every_kill() {
    let kills: u64 = std::env::var("TOLLGATE_KILLS").map_or(100, |kills| kills.parse().unwrap());
    let scratch = Scratch::new("kills");
    let target = scratch.0.join("target");
    let mut next = 1;
    let (mut leftovers, mut unreported) = (0, 0);
    for kill in 0..kills {
        let mut random = [0; 8];
        getrandom::fill(&mut random).unwrap();
        let after = Duration::from_micros(u64::from_ne_bytes(random) % 20_000);
        let reported = killed(&target, next, after);
        let found = generation(&target);
        // The one whose report the kill prevented may be there as well, but none that comes after it.
        assert!(
            found == reported || found == reported + 1,
            "kill {kill} after {after:?}: {found} is there, {reported} was completed"
        );
        unreported += found - reported;
        let beside = scratch.names().len() - 1;
        assert!(beside <= 1, "leftovers of earlier kills: {:?}", scratch.names());
        leftovers += beside;
        next = found + 1;
    }
    clears(&scratch, &target, &["target"]);
    println!(
        "{kills} kills: {leftovers} before a rename, {unreported} between rename and report, {next} files"
    );
    assert!(kills < 20 || leftovers > 0, "no kill came while a file was written");
}
