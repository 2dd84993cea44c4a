//! Plan files: TOML, and the same model as JSON.
//!
//! What a parser says of a wrong value may repeat the value, which may be a key: wherever a key can
//! stand, own visitors answer instead, and no error quotes a line of the file.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::path::Path;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

use super::spec::{Changes, DigestText, Key};
use crate::error::PlanFileError;
use crate::key::SecretKey;

impl Changes {
    /// Reads a plan file in TOML.
    ///
    /// # Errors
    /// Text that is not TOML, unknown fields, values of another type: with the line.
    ///
    /// ```
    /// use tollgate::Changes;
    /// let changes = Changes::from_toml(r#"
    ///     [plans.gold]
    ///     throttle = { rate = "10/s", burst = 5 }
    /// "#)?;
    /// let error = Changes::from_toml("[plans.gold]\nlimit = 5").unwrap_err();
    /// assert!(error.to_string().starts_with("line 2: unknown field `limit`"));
    /// # Ok::<(), tollgate::PlanFileError>(())
    /// ```
    pub fn from_toml(text: &str) -> Result<Changes, PlanFileError> {
        let syntax = |field: &str, error: &toml::de::Error| PlanFileError::Syntax {
            line: error.span().map(|span| {
                let before = text.as_bytes().iter().take(span.start);
                1 + before.filter(|&&byte| byte == b'\n').count()
            }),
            message: in_plain_words(field, error.message()),
        };
        let document = toml::Deserializer::parse(text).map_err(|error| syntax(".", &error))?;
        serde_path_to_error::deserialize(document)
            .map_err(|error| syntax(&error.path().to_string(), error.inner()))
    }

    /// Reads a plan file in JSON; `null` in the place of a plan or subject removes it.
    ///
    /// # Errors
    /// As [`Changes::from_toml`].
    pub fn from_json(text: &str) -> Result<Changes, PlanFileError> {
        json(text, "")
    }

    /// Reads the `plans` and `subjects` of a change, each as JSON text.
    ///
    /// # Errors
    /// As [`Changes::from_toml`].
    pub fn from_json_parts(plans: Option<&str>, subjects: Option<&str>) -> Result<Changes, PlanFileError> {
        /// One of the two tables on its own.
        struct Table<V>(BTreeMap<String, V>);
        impl<'de, V: Deserialize<'de>> Deserialize<'de> for Table<V> {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                unique_map(deserializer).map(Table)
            }
        }
        let mut changes = Changes::new();
        if let Some(text) = plans {
            changes.plans = json::<Table<_>>(text, "plans.")?.0;
        }
        if let Some(text) = subjects {
            changes.subjects = json::<Table<_>>(text, "subjects.")?.0;
        }
        Ok(changes)
    }

    /// Reads a plan file: JSON if its name ends in `.json`, else TOML.
    ///
    /// # Errors
    /// As [`Changes::from_toml`], and a file that cannot be read.
    pub fn from_path(path: &Path) -> Result<Changes, PlanFileError> {
        let io = |error| PlanFileError::Io { path: path.display().to_string(), error };
        let text = zeroize::Zeroizing::new(std::fs::read_to_string(path).map_err(io)?);
        let is_json = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("json"));
        if is_json { Changes::from_json(&text) } else { Changes::from_toml(&text) }
    }
}

/// `above`: the path of what is read, with a dot at its end.
fn json<T: for<'de> Deserialize<'de>>(text: &str, above: &str) -> Result<T, PlanFileError> {
    let syntax = |field: &str, error: &serde_json::Error| {
        let field = if field == "." { above.trim_end_matches('.').into() } else { format!("{above}{field}") };
        let message = error.to_string();
        // The position stands in front, not behind.
        let position = format!(" at line {} column {}", error.line(), error.column());
        PlanFileError::Syntax {
            line: (error.line() > 0).then(|| error.line()),
            message: in_plain_words(&field, message.strip_suffix(&position).unwrap_or(&message)),
        }
    };
    let mut document = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut document)
        .map_err(|error| syntax(&error.path().to_string(), error.inner()))?;
    document.end().map_err(|error| syntax(".", &error))?;
    Ok(value)
}

/// What a parser says, in the words of plan files and with the field in front.
fn in_plain_words(field: &str, message: &str) -> String {
    let mut message = message.to_owned();
    for (theirs, ours) in [
        ("expected u64", "expected an integer from 0 to 18446744073709551615"),
        ("expected u32", "expected an integer from 0 to 100"),
        ("expected a sequence", "expected a list"),
        ("invalid type: sequence", "invalid type: list"),
        ("invalid type: map", "invalid type: table"),
        ("invalid type: unit value", "invalid type: nothing"),
    ] {
        message = message.replace(theirs, ours);
    }
    // An unknown field is named by the message, and the path ends with it.
    match field {
        "" | "." => message,
        field if message.starts_with("unknown field") => {
            let parent = field.rsplit_once('.').map_or("", |(parent, _)| parent);
            if parent.is_empty() { message } else { format!("{message} (in {parent})") }
        }
        field => format!("{field}: {message}"),
    }
}

/// A table whose keys are all different.
pub(super) fn unique_map<'de, D, V>(deserializer: D) -> Result<BTreeMap<String, V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct Unique<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for Unique<V> {
        type Value = BTreeMap<String, V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some(name) = access.next_key::<String>()? {
                if map.contains_key(&name) {
                    return Err(A::Error::custom(format!("{name:?} stands twice in one table")));
                }
                map.insert(name, access.next_value()?);
            }
            Ok(map)
        }
    }
    deserializer.deserialize_map(Unique(PhantomData))
}

/// One table, or a list of them.
pub(super) fn one_or_many<'de, D, V>(deserializer: D) -> Result<Vec<V>, D::Error>
where
    D: Deserializer<'de>,
    V: Deserialize<'de>,
{
    struct OneOrMany<V>(PhantomData<V>);
    impl<'de, V: Deserialize<'de>> Visitor<'de> for OneOrMany<V> {
        type Value = Vec<V>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a table or a list of tables")
        }

        fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
            V::deserialize(MapAccessDeserializer::new(access)).map(|one| vec![one])
        }

        fn visit_seq<A: SeqAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
            Vec::deserialize(SeqAccessDeserializer::new(access))
        }
    }
    deserializer.deserialize_any(OneOrMany(PhantomData))
}

/// A duration: text such as `300ms`, or a number of nanoseconds.
pub(super) fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    struct Duration;
    impl Visitor<'_> for Duration {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a duration such as \"300ms\", or an integer of nanoseconds")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
            Ok(text.into())
        }

        fn visit_u64<E: Error>(self, nanos: u64) -> Result<String, E> {
            Ok(format!("{nanos}ns"))
        }

        fn visit_i64<E: Error>(self, nanos: i64) -> Result<String, E> {
            let nanos = u64::try_from(nanos);
            nanos.map(|nanos| format!("{nanos}ns")).map_err(|_| E::custom("a duration is not negative"))
        }
    }
    deserializer.deserialize_any(Duration)
}

/// The same where there need be none.
pub(super) fn some_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    duration(deserializer).map(Some)
}

/// An instant: text, or a date and time of TOML's own.
pub(super) fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    struct Instant;
    impl<'de> Visitor<'de> for Instant {
        type Value = Option<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an instant such as \"2027-06-01T00:00:00Z\"")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
            Ok(Some(text.into()))
        }

        fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<Self::Value, A::Error> {
            let instant = toml::value::Datetime::deserialize(MapAccessDeserializer::new(access))?;
            Ok(Some(instant.to_string()))
        }
    }
    deserializer.deserialize_any(Instant)
}

/// Answers every scalar with `$message`, without repeating it.
macro_rules! refuse_scalars {
    ($message:literal: $($visit:ident($type:ty)),*) => {
        $(fn $visit<E: Error>(self, _: $type) -> Result<Self::Value, E> {
            Err(E::custom($message))
        })*
    };
}

/// The list of a subject's keys.
pub(super) fn keys<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Vec<Key>>, D::Error> {
    struct Keys;
    impl<'de> Visitor<'de> for Keys {
        type Value = Option<Vec<Key>>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list of keys")
        }

        refuse_scalars!("`keys` is a list of tables such as { id = \"acme-1\", sha256 = \"...\" }":
            visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));

        fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut keys = Vec::new();
            while let Some(OneKey(key)) = access.next_element()? {
                keys.push(key);
            }
            Ok(Some(keys))
        }
    }

    struct OneKey(Key);
    impl<'de> Deserialize<'de> for OneKey {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneKey, D::Error> {
            deserializer.deserialize_any(OneKeyVisitor)
        }
    }

    struct OneKeyVisitor;
    impl<'de> Visitor<'de> for OneKeyVisitor {
        type Value = OneKey;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a key's table")
        }

        refuse_scalars!("a key is a table such as { id = \"acme-1\", sha256 = \"...\" }":
            visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));

        fn visit_map<A: MapAccess<'de>>(self, access: A) -> Result<OneKey, A::Error> {
            Key::deserialize(MapAccessDeserializer::new(access)).map(OneKey)
        }
    }

    deserializer.deserialize_any(Keys)
}

struct SecretText;

impl Visitor<'_> for SecretText {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    refuse_scalars!("a key or digest is written as a string":
        visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64));

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.into())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }
}

impl<'de> Deserialize<'de> for SecretKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretKey, D::Error> {
        let text = deserializer.deserialize_any(SecretText)?;
        SecretKey::new(text).map_err(D::Error::custom)
    }
}

impl<'de> Deserialize<'de> for DigestText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<DigestText, D::Error> {
        deserializer.deserialize_any(SecretText).map(DigestText)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_fields_are_errors_that_name_the_line() {
        for (text, line, names) in [
            ("[plans.a]\nburst = 1\n", 2, "burst"),
            ("[plans.a]\n\nthrottle = { rate = \"1/s\", burst = 1, bust = 2 }\n", 3, "bust"),
            ("[plans.a]\nthrottle = [\n{ rate = \"1/s\", burst = 1, x = 2 }]\n", 3, "x"),
            ("[subjects.a]\nplans = []\nkeys = [{ id = \"k\", valeu = \"hunter2hunter2\" }]\n", 3, "valeu"),
            ("x = 1\n", 1, "x"),
            ("[plans.a.routes.\"GET /\"]\nstage = \"x\"\n", 2, "stage"),
        ] {
            let error = Changes::from_toml(text).unwrap_err().to_string();
            assert!(error.contains(names) && !error.contains("hunter2"), "{error}");
            assert!(error.starts_with(&format!("line {line}: ")), "{error}");
        }
        let error = Changes::from_json("{\"plans\": {\"a\": {\n\"burst\": 1}}}").unwrap_err().to_string();
        assert!(error.starts_with("line 2: unknown field `burst`"), "{error}");
    }

    #[test]
    fn duplicate_names_are_errors() {
        assert!(Changes::from_toml("[plans.a]\n[plans.a]\n").is_err());
        let error = Changes::from_json(r#"{"plans": {"a": {}, "a": {}}}"#).unwrap_err();
        assert!(error.to_string().contains("twice"), "{error}");
    }

    #[test]
    fn no_error_repeats_a_key() {
        for text in [
            "[subjects.a]\nkeys = \"hunter2\"",
            "[subjects.a]\nkeys = [\"hunter2\"]",
            "[subjects.a]\nkeys = [{ id = \"k\", value = [\"hunter2\"] }]",
            "[subjects.a]\nkeys = [{ id = \"k\", value = \"hunter2\", value = \"hunter2\" }]",
            "[subjects.a]\nkeys = [{ id = \"k\", value = \"hunter2 }]",
            "[subjects.a]\nkeys = [{ id = \"k\", value = hunter2 }]",
            "[subjects.a]\nkeys = [{ id = \"k\", sha256 = hunter2 }]",
        ] {
            let error = Changes::from_toml(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
        for text in [
            "[subjects.a]\nkeys = [{ id = \"k\", value = 4242 }]",
            "[subjects.a]\nkeys = [4242]",
            "[subjects.a]\nkeys = 4242",
        ] {
            let error = Changes::from_toml(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("4242"), "{error}");
        }
        let changes = Changes::from_toml("[subjects.a]\nkeys = [{ id = \"k\", value = \"hunter2\" }, { id = \"l\", sha256 = \"hunter2\" }]").unwrap();
        assert!(!format!("{changes:?}").contains("hunter2"));
    }
}
