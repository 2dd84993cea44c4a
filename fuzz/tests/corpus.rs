//! Every input that was found worth keeping, and every one that was a finding once.

use std::fs;
use std::path::Path;

use tollgate_fuzz::{TARGETS, Target, snapshot};

fn replay(folder: &str, (name, run): Target) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).join(name);
    let Ok(files) = fs::read_dir(&folder) else { return 0 };
    let files = files.map(|file| file.unwrap().path());
    let mut count = 0;
    for file in files {
        let bytes = fs::read(&file).unwrap();
        // Shown if it panics.
        println!("{}", file.display());
        run(&bytes);
        count += 1;
    }
    count
}

#[test]
fn corpora() {
    for target in TARGETS {
        assert!(replay("corpus", target) >= 10, "{} has no corpus", target.0);
    }
}

#[test]
fn regressions() {
    for target in TARGETS {
        replay("regressions", target);
    }
}

#[test]
fn nothing_and_a_snapshot_of_this_version() {
    for (_, run) in TARGETS {
        run(b"");
    }
    snapshot::run(&snapshot::example());
}
