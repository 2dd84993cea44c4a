//! Imported keys into the text of a plan file: what they do not touch stays as it was written.

use anyhow::{Context, anyhow};
use serde_json::{Map, json};
use tollgate::ImportedKey;
use toml_edit::{Array, DocumentMut, InlineTable, Item, RawString, Table, TableLike, Value};

use super::field;

/// The text of a plan file with `keys` in it.
///
/// # Errors
/// A text that is not a plan file.
pub(super) fn with_keys(text: &str, is_json: bool, keys: &[ImportedKey]) -> anyhow::Result<String> {
    if is_json { json_with_keys(text, keys) } else { toml_with_keys(text, keys) }
}

fn toml_with_keys(text: &str, keys: &[ImportedKey]) -> anyhow::Result<String> {
    // The error would show a line, and there may be a key in it.
    let mut document: DocumentMut = text.parse().map_err(|_| anyhow!("not TOML"))?;
    let subjects = document.entry("subjects").or_insert_with(|| Item::Table(header_less()));
    let is_inline = subjects.is_inline_table();
    let subjects = subjects.as_table_like_mut().context("subjects: not a table")?;
    for key in keys {
        if key.is_new {
            let subject = new_subject(key)?;
            if is_inline {
                append(subjects, &key.subject, subject.into_inline_table().into());
            } else {
                subjects.insert(&key.subject, Item::Table(subject));
            }
            continue;
        }
        let subject = subjects.get_mut(&key.subject).and_then(Item::as_table_like_mut);
        let subject = subject.with_context(|| format!("subjects.{:?}: not a table", key.subject))?;
        if let Some(plans) = &key.plans {
            put(subject, "plans", plans.iter().collect::<Array>().into());
        }
        if let Some(enabled) = key.enabled {
            enable(subject, &key.id, enabled);
        }
    }
    // The editor ends lines with `\n`.
    let edited = document.to_string();
    Ok(if text.contains("\r\n") { edited.replace('\n', "\r\n") } else { edited })
}

/// A table of tables, which needs no line of its own.
fn header_less() -> Table {
    let mut table = Table::new();
    table.set_implicit(true);
    table
}

fn new_subject(key: &ImportedKey) -> anyhow::Result<Table> {
    let (field, digest) = field(&key.digest()).context("a digest of an unknown kind")?;
    let mut entry = InlineTable::new();
    entry.insert("id", Value::from(key.id.as_str()));
    entry.insert(field, Value::from(digest));
    if let Some(enabled) = key.enabled {
        entry.insert("enabled", Value::from(enabled));
    }
    Ok(subject_table(key.plans.iter().flatten().collect(), [entry].into_iter().collect()))
}

fn subject_table(plans: Array, keys: Array) -> Table {
    let mut table = Table::new();
    table.insert("plans", Item::Value(plans.into()));
    table.insert("keys", Item::Value(keys.into()));
    table
}

/// A plan file of one subject.
pub(super) fn subject_alone(name: &str, plans: Array, keys: Array) -> String {
    let mut subjects = header_less();
    subjects.insert(name, Item::Table(subject_table(plans, keys)));
    let mut document = DocumentMut::new();
    document.insert("subjects", Item::Table(subjects));
    document.to_string()
}

/// Puts every value of `list` on a line of its own.
pub(super) fn one_a_line(list: &mut Array) {
    list.iter_mut().for_each(|value| value.decor_mut().set_prefix("\n  "));
    list.set_trailing("\n");
    list.set_trailing_comma(true);
}

/// Sets a field; the white space and comments around a value that it had stay.
fn put(table: &mut dyn TableLike, field: &str, mut value: Value) {
    match table.get_mut(field).and_then(Item::as_value_mut) {
        Some(known) => {
            *value.decor_mut() = known.decor().clone();
            *known = value;
        }
        None => append(table, field, value),
    }
}

/// Adds a field. The white space before the end of an inline table stays there.
fn append(table: &mut dyn TableLike, field: &str, mut value: Value) {
    let last = table.iter_mut().last().and_then(|(_, item)| item.as_value_mut().map(Value::decor_mut));
    let blank = |end: &&str| end.trim().is_empty();
    if let Some(last) = last
        && let Some(end) = last.suffix().and_then(RawString::as_str).filter(blank).map(str::to_owned)
    {
        last.set_suffix("");
        value.decor_mut().set_suffix(end);
    }
    table.insert(field, Item::Value(value));
}

fn enable(subject: &mut dyn TableLike, id: &str, enabled: bool) {
    let set = |key: &mut dyn TableLike| {
        let was = key.get("enabled").and_then(Item::as_bool).unwrap_or(true);
        if key.get("id").and_then(Item::as_str) == Some(id) && was != enabled {
            put(key, "enabled", enabled.into());
        }
    };
    match subject.get_mut("keys") {
        Some(Item::ArrayOfTables(keys)) => keys.iter_mut().for_each(|key| set(key)),
        Some(Item::Value(Value::Array(keys))) => {
            keys.iter_mut().filter_map(Value::as_inline_table_mut).for_each(|key| set(key));
        }
        _ => {}
    }
}

fn json_with_keys(text: &str, keys: &[ImportedKey]) -> anyhow::Result<String> {
    let mut document: Map<_, _> = serde_json::from_str(text).map_err(|_| anyhow!("not a JSON object"))?;
    let subjects = document.entry("subjects").or_insert_with(|| json!({}));
    let subjects = subjects.as_object_mut().context("subjects: not an object")?;
    for key in keys {
        if key.is_new {
            let (field, digest) = field(&key.digest()).context("a digest of an unknown kind")?;
            let mut entry = json!({ "id": key.id, field: digest });
            if let Some(enabled) = key.enabled {
                entry["enabled"] = enabled.into();
            }
            let plans = key.plans.as_deref().unwrap_or_default();
            subjects.insert(key.subject.clone(), json!({ "plans": plans, "keys": [entry] }));
            continue;
        }
        let subject = subjects.get_mut(&key.subject).and_then(|subject| subject.as_object_mut());
        let subject = subject.with_context(|| format!("subjects.{:?}: not an object", key.subject))?;
        if let Some(plans) = &key.plans {
            subject.insert("plans".into(), json!(plans));
        }
        let entries = subject.get_mut("keys").and_then(|keys| keys.as_array_mut());
        let entry = entries.into_iter().flatten().find(|entry| entry["id"] == *key.id);
        if let (Some(enabled), Some(entry)) = (key.enabled, entry)
            && entry["enabled"].as_bool().unwrap_or(true) != enabled
        {
            entry["enabled"] = enabled.into();
        }
    }
    Ok(serde_json::to_string_pretty(&document)? + "\n")
}
