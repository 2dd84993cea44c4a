//! The import rule of ARCHITECTURE.md: which room of the library may name which.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Room and the rooms it may import. `lib` re-exports from all.
const RULE: &[(&str, &[&str])] = &[
    ("error", &[]),
    ("sync", &[]),
    ("time", &["error", "sync"]),
    ("calendar", &["time", "error", "sync"]),
    ("algo", &["time", "calendar", "error"]),
    ("store", &["sync", "error"]),
    ("snapshot", &["error", "sync"]),
    ("key", &["sync", "time", "error"]),
    ("plan", &["algo", "calendar", "time", "error", "sync", "key"]),
    ("engine", &["algo", "calendar", "error", "key", "plan", "snapshot", "store", "sync", "time"]),
    ("http", &["engine", "plan", "time", "error"]),
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a source text names as `crate::ROOM`, outside of comments.
fn imports(text: &str) -> BTreeSet<String> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n");
    let rooms = code.split("crate::").skip(1);
    rooms.map(|rest| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()).collect()
}

#[test]
fn imports_go_one_way() {
    let rule: BTreeMap<_, _> = RULE.iter().copied().collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 15);
    for file in files {
        let relative = file.strip_prefix(&root).unwrap();
        let first = relative.components().next().unwrap().as_os_str().to_str().unwrap();
        let room = first.trim_end_matches(".rs");
        if room == "lib" {
            continue;
        }
        let allowed =
            rule.get(room).unwrap_or_else(|| panic!("{first} is a room that the rule does not know"));
        let text = fs::read_to_string(&file).unwrap();
        for import in imports(&text) {
            assert!(
                import == room || allowed.contains(&import.as_str()),
                "{}: {room} must not import {import}",
                relative.display()
            );
        }
        let lines = text.lines().count();
        assert!(lines <= 600, "{}: {lines} lines, at most 600", relative.display());
    }
}

#[test]
fn the_rule_sees_an_import() {
    let found = imports("use crate::store::Cell; // crate::engine\nfn f() { crate::time::x() }");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["store", "time"]);
}

#[test]
fn only_sync_names_atomics() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    for file in files.iter().filter(|file| !file.ends_with("sync.rs")) {
        let text = fs::read_to_string(file).unwrap();
        assert!(!text.contains("sync::atomic"), "{}: atomics come from crate::sync", file.display());
    }
}
