//! Trace lines: one JSON object each, read into a typed operation without copying.
//!
//! Everything is borrowed from the line unless a string holds an escape. A key is a secret: the
//! messages of [`LineError`] never repeat a value given as `key` or `value`.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, Error as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;
use tollgate::Nanos;

use super::values::{CostOf, FieldName, Instant, KeyText, Text};

/// Why a line has no answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LineError(String);

impl LineError {
    /// Messages may repeat parts of the line, so they are cut at this many bytes.
    const LONGEST: usize = 400;

    pub(crate) fn new(message: impl Into<String>) -> LineError {
        let mut message = message.into();
        if message.len() > LineError::LONGEST {
            message.truncate(message.floor_char_boundary(LineError::LONGEST));
            message.push('…');
        }
        LineError(message)
    }

    fn json(error: &serde_json::Error) -> LineError {
        let text = error.to_string();
        let place = format!(" at line {} column {}", error.line(), error.column());
        match text.strip_suffix(&place) {
            Some(problem) => LineError::new(format!("{} (column {})", cut(problem), error.column())),
            None => LineError::new(text),
        }
    }
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LineError {}

/// Leaves room for the column behind a long message.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(LineError::LONGEST - 40)]
}

/// An API key. It can be read, but not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret<'a>(Cow<'a, str>);

impl<'a> Secret<'a> {
    pub(super) fn new(key: Cow<'a, str>) -> Secret<'a> {
        Secret(key)
    }

    /// The key itself.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    pub(super) fn into_bytes(self) -> Cow<'a, [u8]> {
        match self.0 {
            Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
            Cow::Owned(text) => Cow::Owned(text.into_bytes()),
        }
    }
}

impl fmt::Debug for Secret<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What a request costs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Cost<'a> {
    /// The same on every limit.
    Each(u64),
    /// By unit; no unit is named twice.
    Units(Vec<(Cow<'a, str>, u64)>),
}

/// A request to decide.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked<'a> {
    /// The caller's API key.
    pub key: Option<Secret<'a>>,
    /// `api/stage`.
    pub stage: Option<Cow<'a, str>>,
    /// `METHOD /path`.
    pub route: Option<Cow<'a, str>>,
    /// 1 if the line has none.
    pub cost: Cost<'a>,
    /// A name for later operations on this request.
    pub id: Option<Cow<'a, str>>,
}

/// A change of a key's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyChange {
    /// Lets the key work again.
    Enable,
    /// Stops the key until it is enabled.
    Disable,
    /// Ends the key's life now.
    Expire,
    /// Stops the key for good.
    Revoke,
}

/// What a line asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Op<'a> {
    /// Decide and debit.
    Check(Asked<'a>),
    /// Decide, debit nothing.
    Peek(Asked<'a>),
    /// Change a key's state.
    Key(KeyChange, Cow<'a, str>),
    /// Put plans and subjects in place: the JSON text of the two fields.
    Apply {
        /// The field `plans`.
        plans: Option<&'a str>,
        /// The field `subjects`.
        subjects: Option<&'a str>,
    },
}

/// A parsed line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line<'a> {
    /// When it happens.
    pub at: Nanos,
    /// What happens.
    pub op: Op<'a>,
}

impl<'a> Line<'a> {
    /// Reads one line, with or without its line end.
    ///
    /// # Errors
    /// What is wrong with the line, without any key.
    pub fn parse(line: &'a [u8]) -> Result<Line<'a>, LineError> {
        match line.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => {}
            Some(_) => return Err(LineError::new("not a JSON object: a line begins with '{'")),
            None => return Err(LineError::new("the line is blank")),
        }
        let mut json = serde_json::Deserializer::from_slice(line);
        let raw = json
            .deserialize_map(RawVisitor)
            .and_then(|raw| json.end().map(|()| raw))
            .map_err(|error| LineError::json(&error))?;
        raw.typed()
    }
}

/// The fields of all operations, in the order of [`Field::NAMES`].
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Field {
    At,
    Op,
    Key,
    Stage,
    Route,
    Cost,
    Id,
    KeyId,
    Plans,
    Subjects,
    /// A field that only operations have that are not supported yet.
    Other(u8),
}

const OTHERS: [&str; 12] = [
    "ttl",
    "actual",
    "subject",
    "plan",
    "from",
    "to",
    "limit",
    "remaining",
    "overlap",
    "new_id",
    "value",
    "name",
];

impl Field {
    const NAMES: [&'static str; 10] =
        ["at", "op", "key", "stage", "route", "cost", "id", "key_id", "plans", "subjects"];

    const fn bit(self) -> u32 {
        match self {
            Field::At => 1,
            Field::Op => 1 << 1,
            Field::Key => 1 << 2,
            Field::Stage => 1 << 3,
            Field::Route => 1 << 4,
            Field::Cost => 1 << 5,
            Field::Id => 1 << 6,
            Field::KeyId => 1 << 7,
            Field::Plans => 1 << 8,
            Field::Subjects => 1 << 9,
            Field::Other(index) => 1 << (10 + index as u32),
        }
    }

    pub(super) fn named(name: &str) -> Option<Field> {
        Some(match name {
            "at" => Field::At,
            "op" => Field::Op,
            "key" => Field::Key,
            "stage" => Field::Stage,
            "route" => Field::Route,
            "cost" => Field::Cost,
            "id" => Field::Id,
            "key_id" => Field::KeyId,
            "plans" => Field::Plans,
            "subjects" => Field::Subjects,
            other => Field::Other(OTHERS.iter().position(|name| *name == other)? as u8),
        })
    }
}

/// The names of the fields in a mask.
fn names(mask: u32) -> impl Iterator<Item = &'static str> {
    let all = Field::NAMES.iter().chain(&OTHERS).copied().enumerate();
    all.filter(move |(index, _)| mask & (1 << index) != 0).map(|(_, name)| name)
}

const ASK: u32 = Field::At.bit()
    | Field::Op.bit()
    | Field::Key.bit()
    | Field::Stage.bit()
    | Field::Route.bit()
    | Field::Cost.bit()
    | Field::Id.bit();
const KEY: u32 = Field::At.bit() | Field::Op.bit() | Field::KeyId.bit();
const APPLY: u32 = Field::At.bit() | Field::Op.bit() | Field::Plans.bit() | Field::Subjects.bit();

const SUPPORTED: &str = "check, peek, enable, disable, expire, revoke, apply";
const NOT_YET: [&str; 10] =
    ["reserve", "settle", "refund", "release", "usage", "grant", "rotate", "alerts", "snapshot", "restore"];

/// A line's fields before it is known which of them its operation takes.
#[derive(Default)]
struct Raw<'a> {
    /// Bits of the fields that the line names, even as null.
    seen: u32,
    at: Option<Nanos>,
    op: Option<Cow<'a, str>>,
    key: Option<Secret<'a>>,
    stage: Option<Cow<'a, str>>,
    route: Option<Cow<'a, str>>,
    cost: Option<Cost<'a>>,
    id: Option<Cow<'a, str>>,
    key_id: Option<Cow<'a, str>>,
    plans: Option<&'a RawValue>,
    subjects: Option<&'a RawValue>,
}

impl<'a> Raw<'a> {
    fn typed(self) -> Result<Line<'a>, LineError> {
        let name = self.op.as_deref().unwrap_or("check");
        let (takes, change) = match name {
            "check" | "peek" => (ASK, None),
            "enable" => (KEY, Some(KeyChange::Enable)),
            "disable" => (KEY, Some(KeyChange::Disable)),
            "expire" => (KEY, Some(KeyChange::Expire)),
            "revoke" => (KEY, Some(KeyChange::Revoke)),
            "apply" => (APPLY, None),
            known if NOT_YET.contains(&known) => {
                let message = format!("this version does not support the op `{known}` yet");
                return Err(LineError::new(message));
            }
            unknown => {
                let known = NOT_YET.join(", ");
                let message = format!(
                    "unknown op `{:.64}`: known are {SUPPORTED}; and, not supported yet, {known}",
                    unknown
                );
                return Err(LineError::new(message));
            }
        };
        if let Some(field) = names(self.seen & !takes).next() {
            let fields = names(takes).collect::<Vec<_>>().join(", ");
            return Err(LineError::new(format!("op `{name}` has no field `{field}`: it takes {fields}")));
        }
        let at = self.at.ok_or_else(|| LineError::new("missing field `at`"))?;
        let op = match change {
            Some(change) => match self.key_id {
                Some(key_id) => Op::Key(change, key_id),
                None => return Err(LineError::new(format!("op `{name}` needs the field `key_id`"))),
            },
            None if takes == APPLY => {
                Op::Apply { plans: self.plans.map(RawValue::get), subjects: self.subjects.map(RawValue::get) }
            }
            None => {
                let peek = name == "peek";
                let asked = Asked {
                    key: self.key,
                    stage: self.stage,
                    route: self.route,
                    cost: self.cost.unwrap_or(Cost::Each(1)),
                    id: self.id,
                };
                if peek { Op::Peek(asked) } else { Op::Check(asked) }
            }
        };
        Ok(Line { at, op })
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw::default();
        while let Some(field) = map.next_key_seed(FieldName)? {
            if raw.seen & field.bit() != 0 {
                let name = names(field.bit()).next().unwrap_or_default();
                return Err(A::Error::custom(format_args!("field `{name}` is given twice")));
            }
            raw.seen |= field.bit();
            match field {
                Field::At => raw.at = Some(map.next_value_seed(Instant)?),
                Field::Op => raw.op = map.next_value_seed(Text("op"))?,
                Field::Key => raw.key = map.next_value_seed(KeyText)?,
                Field::Stage => raw.stage = map.next_value_seed(Text("stage"))?,
                Field::Route => raw.route = map.next_value_seed(Text("route"))?,
                Field::Cost => raw.cost = map.next_value_seed(CostOf)?,
                Field::Id => raw.id = map.next_value_seed(Text("id"))?,
                Field::KeyId => raw.key_id = map.next_value_seed(Text("key_id"))?,
                Field::Plans => raw.plans = map.next_value()?,
                Field::Subjects => raw.subjects = map.next_value()?,
                Field::Other(_) => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Line<'_>, String> {
        Line::parse(line.as_bytes()).map_err(|error| error.to_string())
    }

    fn error(line: &str) -> String {
        parse(line).expect_err(line)
    }

    #[test]
    fn a_check_borrows_from_its_line() {
        let line = r#" {"at":5,"key":"k\u0041","stage":"a/b","route":"GET /x","cost":3,"id":"i"} "#;
        let Line { at, op: Op::Check(asked) } = parse(line).unwrap() else { panic!() };
        assert_eq!(at, Nanos::new(5));
        assert_eq!(asked.key.unwrap().as_bytes(), b"kA");
        assert!(matches!(asked.stage, Some(Cow::Borrowed("a/b"))));
        assert!(matches!(asked.route, Some(Cow::Borrowed("GET /x"))));
        assert_eq!((asked.cost, asked.id.as_deref()), (Cost::Each(3), Some("i")));
    }

    #[test]
    fn absent_and_null_fields_are_the_same() {
        let bare = Asked { key: None, stage: None, route: None, cost: Cost::Each(1), id: None };
        assert_eq!(parse(r#"{"at":0}"#).unwrap().op, Op::Check(bare.clone()));
        let nulls = r#"{"op":"peek","at":0,"key":null,"stage":null,"route":null,"cost":null,"id":null}"#;
        assert_eq!(parse(nulls).unwrap().op, Op::Peek(bare));
    }

    #[test]
    fn costs_are_integers() {
        let cost = |text: &str| match parse(&format!(r#"{{"at":0,"cost":{text}}}"#)) {
            Ok(Line { op: Op::Check(Asked { cost: Cost::Each(cost), .. }), .. }) => {
                Ok(vec![(String::new(), cost)])
            }
            Ok(Line { op: Op::Check(Asked { cost: Cost::Units(units), .. }), .. }) => {
                Ok(units.into_iter().map(|(unit, cost)| (unit.into_owned(), cost)).collect())
            }
            Ok(_) => unreachable!(),
            Err(error) => Err(error),
        };
        assert_eq!(cost("18446744073709551615"), Ok(vec![(String::new(), u64::MAX)]));
        assert_eq!(cost("0"), Ok(vec![(String::new(), 0)]));
        assert_eq!(
            cost(r#"{"requests":1,"tokens":300}"#),
            Ok(vec![("requests".into(), 1), ("tokens".into(), 300)])
        );
        assert_eq!(cost("{}"), Ok(vec![]));
        for (text, shown) in [
            ("-1", "-1"),
            ("1.5", "1.5"),
            ("1.0", "1.0"),
            ("18446744073709551616", "1.8446744073709552e19"),
            (r#"{"tokens":-2}"#, "`tokens`: -2"),
            (r#"{"tokens":2.5}"#, "2.5"),
            (r#"{"tokens":"2"}"#, "\"2\""),
            (r#""7""#, "\"7\""),
            ("true", "true"),
            ("[1]", "sequence"),
            (r#"{"a":1,"a":1}"#, "`a` twice"),
        ] {
            let error = cost(text).expect_err(text);
            assert!(error.contains("`cost`") && error.contains(shown), "{text}: {error}");
        }
    }

    #[test]
    fn no_error_shows_a_key() {
        for value in
            ["4242", "-4242", "4242.5", "[\"4242\"]", "{\"4242\":1}", "true", "\"4242\\q\"", "\"4242"]
        {
            let error = error(&format!(r#"{{"at":0,"key":{value}}}"#));
            assert!(!error.contains("4242"), "{error}");
        }
        assert!(error(r#"{"at":0,"key":7}"#).contains("`key` is not a string"));
        assert!(!error(r#"{"at":0,"op":"rotate","value":"4242"}"#).contains("4242"));
        assert!(!format!("{:?}", parse(r#"{"at":0,"key":"4242"}"#)).contains("4242"));
    }

    #[test]
    fn fields_are_those_of_the_op() {
        assert_eq!(
            error(r#"{"at":0,"op":"enable","cost":1}"#),
            "op `enable` has no field `cost`: it takes at, op, key_id"
        );
        assert!(error(r#"{"at":0,"ttl":1}"#).starts_with("op `check` has no field `ttl`"));
        assert!(error(r#"{"at":0,"op":"apply","key":null}"#).contains("no field `key`"));
        assert!(error(r#"{"at":0,"colour":1}"#).contains("unknown field `colour`"));
        assert!(error(r#"{"at":0,"at":0}"#).contains("`at` is given twice"));
        assert!(error(r#"{"at":0,"op":"revoke"}"#).contains("needs the field `key_id`"));
        assert_eq!(error(r#"{"key":"k"}"#), "missing field `at`");
    }

    #[test]
    fn ops_are_known() {
        for op in NOT_YET {
            let error = error(&format!(r#"{{"at":0,"op":"{op}","id":"1","ttl":"60s"}}"#));
            assert!(error.contains("does not support") && error.contains(op), "{error}");
        }
        let error = error(r#"{"at":0,"op":"chekc"}"#);
        assert!(error.contains("unknown op `chekc`") && error.contains("check, peek"), "{error}");
        let line = r#"{"at":0,"op":"apply","plans":{"a":{"quotas":[]}},"subjects":null}"#;
        let expected = Op::Apply { plans: Some(r#"{"a":{"quotas":[]}}"#), subjects: None };
        assert_eq!(parse(line).unwrap().op, expected);
        for (name, change) in [
            ("enable", KeyChange::Enable),
            ("disable", KeyChange::Disable),
            ("expire", KeyChange::Expire),
            ("revoke", KeyChange::Revoke),
        ] {
            let line = format!(r#"{{"at":0,"op":"{name}","key_id":"a-1"}}"#);
            assert_eq!(parse(&line).unwrap().op, Op::Key(change, "a-1".into()));
        }
    }

    #[test]
    fn broken_lines_are_refused() {
        for line in [
            "",
            " \t\r",
            "[1]",
            "7",
            "{",
            "{\"at\":0",
            "{\"at\":0}x",
            "{\"at\":0}{}",
            "{\"at\":0,}",
            "nonsense",
        ] {
            assert!(parse(line).is_err(), "{line:?}");
        }
        assert!(Line::parse(b"{\"at\":0,\"stage\":\"\xff\"}").is_err());
        for at in ["-1", "1.0", "1e3", "18446744073709551616", "null", "true", "\"1\"", "\"2015-05-17\""] {
            assert!(error(&format!(r#"{{"at":{at}}}"#)).contains("`at`"), "{at}");
        }
        let long = error(&format!(r#"{{"at":"{}"}}"#, "ä".repeat(100_000)));
        assert!(long.len() < 500, "{}", long.len());
    }
}
