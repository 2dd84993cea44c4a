//! `tollgate keys generate`: new keys, shown once.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use tollgate::{Changes, Key, KeyFormat, Plan, Subject};
use toml_edit::{Array, InlineTable, Value};
use zeroize::Zeroizing;

use super::{digest, edit};
use crate::args::GenerateArgs;
use crate::plan_file;

/// What is kept of a key.
struct Entry {
    id: String,
    field: &'static str,
    value: String,
}

pub(super) fn run(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    let format = KeyFormat::new(&args.prefix).context("--prefix")?;
    let mut entries = Vec::with_capacity(args.count as usize);
    let mut shown = Zeroizing::new(Vec::new());
    for number in 1..=args.count {
        let key = format.generate()?;
        let (field, value) = digest(&key, args.pepper.as_ref());
        let id = match (&args.id, args.count) {
            (Some(id), 1) => id.clone(),
            (Some(id), _) => format!("{id}-{number}"),
            (None, _) => {
                let digits = &key.sha256()[..12];
                format!("{}-{digits}", args.subject.as_deref().unwrap_or("key"))
            }
        };
        let entry = Entry { id, field, value };
        key.reveal(|key| show(&mut shown, key, &entry, args));
        entries.push(entry);
    }
    check(&entries, args)?;
    let text = entries_text(&entries, args);
    match &args.out {
        Some(path) => plan_file::create(path, &text)?,
        None if args.json => {}
        None => io::stderr().lock().write_all(text.as_bytes()).context("standard error")?,
    }
    let mut out = io::stdout().lock();
    let written = out.write_all(&shown).and_then(|()| out.flush());
    written.context("standard output: the keys are lost, take their entries back")?;
    Ok(ExitCode::SUCCESS)
}

/// Appends the key's line to `shown`, which never leaves a copy of it behind.
fn show(shown: &mut Zeroizing<Vec<u8>>, key: &[u8], entry: &Entry, args: &GenerateArgs) {
    // A key is letters, digits and `_`, which stand for themselves in JSON.
    let (before, after) = if args.json {
        let mut after = format!("\",{}:{}", json!(entry.field), json!(entry.value));
        if let Some(subject) = &args.subject {
            after += &format!(",\"subject\":{}", json!(subject));
        }
        (format!("{{\"id\":{},\"key\":\"", json!(entry.id)), after + "}")
    } else {
        (String::new(), String::new())
    };
    let length = before.len() + key.len() + after.len() + 1;
    if shown.capacity() - shown.len() < length {
        let mut larger = Zeroizing::new(Vec::with_capacity((2 * shown.capacity()).max(shown.len() + length)));
        larger.extend_from_slice(shown);
        *shown = larger;
    }
    for part in [before.as_bytes(), key, after.as_bytes(), b"\n"] {
        shown.extend_from_slice(part);
    }
}

/// Whether an engine takes the names.
fn check(entries: &[Entry], args: &GenerateArgs) -> anyhow::Result<()> {
    let mut changes = Changes::new();
    for (number, name) in args.plans.iter().enumerate() {
        // Whether plans cover a stage both is for the plan file to say.
        changes = changes.plan(name, Plan::new().stages([format!("stage/{number}")]));
    }
    let subject = entries.iter().fold(Subject::new(&args.plans), |subject, entry| {
        subject.key(match entry.field {
            "hmac" => Key::hmac(&entry.id, &entry.value),
            _ => Key::sha256(&entry.id, &entry.value),
        })
    });
    plan_file::check(&changes.subject(args.subject.as_deref().unwrap_or("key"), subject))?;
    Ok(())
}

/// The keys as a plan file has them: a subject, or entries for a list of keys.
fn entries_text(entries: &[Entry], args: &GenerateArgs) -> String {
    let keys = entries.iter().map(|entry| {
        let mut key = InlineTable::new();
        key.insert("id", Value::from(entry.id.as_str()));
        key.insert(entry.field, Value::from(entry.value.as_str()));
        key
    });
    match &args.subject {
        None => keys.map(|key| format!("{key},\n")).collect(),
        Some(subject) => {
            let mut list: Array = keys.collect();
            edit::one_a_line(&mut list);
            let plans: Array = args.plans.iter().collect();
            edit::subject_alone(subject, plans, list)
        }
    }
}
