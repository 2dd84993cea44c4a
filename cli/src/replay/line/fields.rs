//! A line's fields, in whatever order they come, and which of them each operation takes and needs.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;
use tollgate::Nanos;

use super::super::values::{Amount, CostOf, Instant, Length, OrNull, SecretText, Text};
use super::{Asked, Cost, KeyChange, Line, LineError, Op, Secret};

macro_rules! fields {
    ($($field:ident $name:literal)*) => {
        /// The fields of all operations.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        enum Field {
            $($field,)*
        }

        impl Field {
            /// In the order of their bits.
            const ALL: &[Field] = &[$(Field::$field,)*];

            const fn name(self) -> &'static str {
                match self {
                    $(Field::$field => $name,)*
                }
            }

            fn named(name: &str) -> Option<Field> {
                match name {
                    $($name => Some(Field::$field),)*
                    _ => None,
                }
            }
        }
    };
}

fields! {
    At "at"
    Op "op"
    Key "key"
    Stage "stage"
    Route "route"
    Cost "cost"
    Id "id"
    Ttl "ttl"
    Actual "actual"
    Subject "subject"
    Plan "plan"
    From "from"
    To "to"
    Limit "limit"
    Remaining "remaining"
    KeyId "key_id"
    Overlap "overlap"
    NewId "new_id"
    Value "value"
    Name "name"
    Plans "plans"
    Subjects "subjects"
}

/// A bit for each of some fields.
type Mask = u32;

impl Field {
    const fn bit(self) -> Mask {
        1 << self as u32
    }
}

/// Every operation takes `at` and `op`.
const fn with(fields: &[Field]) -> Mask {
    let mut mask = Field::At.bit() | Field::Op.bit();
    let mut index = 0;
    while index < fields.len() {
        mask |= fields[index].bit();
        index += 1;
    }
    mask
}

/// The names of the fields in a mask.
fn names(mask: Mask) -> impl Iterator<Item = &'static str> {
    Field::ALL.iter().filter(move |field| mask & field.bit() != 0).map(|field| field.name())
}

/// An operation as lines name it.
struct Kind {
    name: &'static str,
    takes: Mask,
    /// Takes what it is made of out of the fields. Or the field that is missing.
    build: for<'a> fn(&mut Raw<'a>) -> Result<Op<'a>, Field>,
}

const ASK: Mask = with(&[Field::Key, Field::Stage, Field::Route, Field::Cost, Field::Id]);
const ID: Mask = with(&[Field::Id]);
const KEY: Mask = with(&[Field::KeyId]);
const NAME: Mask = with(&[Field::Name]);

/// The first is what a line without `op` is.
const KINDS: [Kind; 17] = [
    Kind { name: "check", takes: ASK, build: |raw| Ok(Op::Check(raw.asked())) },
    Kind { name: "peek", takes: ASK, build: |raw| Ok(Op::Peek(raw.asked())) },
    Kind {
        name: "reserve",
        takes: ASK | Field::Ttl.bit(),
        build: |raw| {
            let ttl = need(raw.ttl.take(), Field::Ttl)?;
            match raw.id {
                Some(_) => Ok(Op::Reserve(raw.asked(), ttl)),
                None => Err(Field::Id),
            }
        },
    },
    Kind {
        name: "settle",
        takes: ID | Field::Actual.bit(),
        build: |raw| {
            Ok(Op::Settle {
                id: need(raw.id.take(), Field::Id)?,
                actual: need(raw.actual.take(), Field::Actual)?,
            })
        },
    },
    Kind { name: "refund", takes: ID, build: |raw| Ok(Op::Refund { id: need(raw.id.take(), Field::Id)? }) },
    Kind { name: "release", takes: ID, build: |raw| Ok(Op::Release { id: need(raw.id.take(), Field::Id)? }) },
    Kind {
        name: "usage",
        takes: with(&[Field::Subject, Field::Plan, Field::From, Field::To]),
        build: |raw| {
            Ok(Op::Usage {
                subject: need(raw.subject.take(), Field::Subject)?,
                plan: need(raw.plan.take(), Field::Plan)?,
                from: need(raw.from.take(), Field::From)?,
                to: need(raw.to.take(), Field::To)?,
            })
        },
    },
    Kind {
        name: "grant",
        takes: with(&[Field::Subject, Field::Plan, Field::Limit, Field::Remaining]),
        build: |raw| {
            Ok(Op::Grant {
                subject: need(raw.subject.take(), Field::Subject)?,
                plan: need(raw.plan.take(), Field::Plan)?,
                limit: need(raw.limit.take(), Field::Limit)?,
                remaining: need(raw.remaining.take(), Field::Remaining)?,
            })
        },
    },
    Kind { name: "enable", takes: KEY, build: |raw| raw.key_change(KeyChange::Enable) },
    Kind { name: "disable", takes: KEY, build: |raw| raw.key_change(KeyChange::Disable) },
    Kind { name: "expire", takes: KEY, build: |raw| raw.key_change(KeyChange::Expire) },
    Kind { name: "revoke", takes: KEY, build: |raw| raw.key_change(KeyChange::Revoke) },
    Kind {
        name: "rotate",
        takes: with(&[Field::KeyId, Field::Overlap, Field::NewId, Field::Value]),
        build: |raw| {
            Ok(Op::Rotate {
                key_id: need(raw.key_id.take(), Field::KeyId)?,
                overlap: need(raw.overlap.take(), Field::Overlap)?,
                new_id: need(raw.new_id.take(), Field::NewId)?,
                value: raw.value.take(),
            })
        },
    },
    Kind {
        name: "apply",
        takes: with(&[Field::Plans, Field::Subjects]),
        build: |raw| {
            Ok(Op::Apply { plans: raw.plans.map(RawValue::get), subjects: raw.subjects.map(RawValue::get) })
        },
    },
    Kind { name: "alerts", takes: with(&[]), build: |_| Ok(Op::Alerts) },
    Kind {
        name: "snapshot",
        takes: NAME,
        build: |raw| Ok(Op::Snapshot { name: need(raw.name.take(), Field::Name)? }),
    },
    Kind {
        name: "restore",
        takes: NAME,
        build: |raw| Ok(Op::Restore { name: need(raw.name.take(), Field::Name)? }),
    },
];

fn need<T>(value: Option<T>, field: Field) -> Result<T, Field> {
    value.ok_or(field)
}

/// A line's fields before it is known which of them its operation takes. It is large, and stays where
/// it is from the first field to the operation.
#[derive(Default)]
pub(super) struct Raw<'a> {
    /// The fields that the line names, even as null.
    seen: Mask,
    at: Option<Nanos>,
    op: Option<Cow<'a, str>>,
    key: Option<Secret<'a>>,
    stage: Option<Cow<'a, str>>,
    route: Option<Cow<'a, str>>,
    cost: Option<Cost<'a>>,
    id: Option<Cow<'a, str>>,
    ttl: Option<Nanos>,
    actual: Option<Cost<'a>>,
    subject: Option<Cow<'a, str>>,
    plan: Option<Cow<'a, str>>,
    from: Option<Cow<'a, str>>,
    to: Option<Cow<'a, str>>,
    limit: Option<Cow<'a, str>>,
    remaining: Option<u64>,
    key_id: Option<Cow<'a, str>>,
    overlap: Option<Nanos>,
    new_id: Option<Cow<'a, str>>,
    value: Option<Secret<'a>>,
    name: Option<Cow<'a, str>>,
    plans: Option<&'a RawValue>,
    subjects: Option<&'a RawValue>,
}

impl<'a> Raw<'a> {
    pub(super) fn typed(&mut self) -> Result<Line<'a>, LineError> {
        let kind = match self.op.take() {
            None => &KINDS[0],
            Some(op) => KINDS.iter().find(|kind| kind.name == op).ok_or_else(|| {
                let known = KINDS.map(|kind| kind.name).join(", ");
                LineError::new(format!("unknown op `{op:.64}`: known are {known}"))
            })?,
        };
        let name = kind.name;
        if let Some(field) = names(self.seen & !kind.takes).next() {
            let fields = names(kind.takes).collect::<Vec<_>>().join(", ");
            return Err(LineError::new(format!("op `{name}` has no field `{field}`: it takes {fields}")));
        }
        let at = self.at.ok_or_else(|| LineError::new("missing field `at`"))?;
        let op = (kind.build)(self)
            .map_err(|field| LineError::new(format!("op `{name}` needs the field `{}`", field.name())))?;
        Ok(Line { at, op })
    }

    fn asked(&mut self) -> Asked<'a> {
        Asked {
            key: self.key.take(),
            stage: self.stage.take(),
            route: self.route.take(),
            cost: self.cost.take().unwrap_or(Cost::Each(1)),
            id: self.id.take(),
        }
    }

    fn key_change(&mut self, change: KeyChange) -> Result<Op<'a>, Field> {
        Ok(Op::Key(change, need(self.key_id.take(), Field::KeyId)?))
    }
}

impl<'de> Visitor<'de> for &mut Raw<'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let raw = self;
        while let Some(field) = map.next_key_seed(FieldName)? {
            let name = field.name();
            if raw.seen & field.bit() != 0 {
                return Err(A::Error::custom(format_args!("field `{name}` is given twice")));
            }
            raw.seen |= field.bit();
            match field {
                Field::At => raw.at = Some(map.next_value_seed(Instant)?),
                Field::Op => raw.op = map.next_value_seed(Text(name))?,
                Field::Key => raw.key = map.next_value_seed(SecretText(name))?,
                Field::Stage => raw.stage = map.next_value_seed(Text(name))?,
                Field::Route => raw.route = map.next_value_seed(Text(name))?,
                Field::Cost => raw.cost = map.next_value_seed(CostOf(name))?,
                Field::Id => raw.id = map.next_value_seed(Text(name))?,
                Field::Ttl => raw.ttl = map.next_value_seed(OrNull(Length(name)))?,
                Field::Actual => raw.actual = map.next_value_seed(CostOf(name))?,
                Field::Subject => raw.subject = map.next_value_seed(Text(name))?,
                Field::Plan => raw.plan = map.next_value_seed(Text(name))?,
                Field::From => raw.from = map.next_value_seed(Text(name))?,
                Field::To => raw.to = map.next_value_seed(Text(name))?,
                Field::Limit => raw.limit = map.next_value_seed(Text(name))?,
                Field::Remaining => raw.remaining = map.next_value_seed(OrNull(Amount::of(name)))?,
                Field::KeyId => raw.key_id = map.next_value_seed(Text(name))?,
                Field::Overlap => raw.overlap = map.next_value_seed(OrNull(Length(name)))?,
                Field::NewId => raw.new_id = map.next_value_seed(Text(name))?,
                Field::Value => {
                    // A line that means to give the key must not get one made instead.
                    let problem =
                        "`value` is null: give text, or leave it out for a key that the engine makes";
                    let value = map.next_value_seed(SecretText(name))?;
                    raw.value = Some(value.ok_or_else(|| A::Error::custom(problem))?);
                }
                Field::Name => raw.name = map.next_value_seed(Text(name))?,
                Field::Plans => raw.plans = map.next_value()?,
                Field::Subjects => raw.subjects = map.next_value()?,
            }
        }
        Ok(())
    }
}

struct FieldName;

impl<'de> DeserializeSeed<'de> for FieldName {
    type Value = Field;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Field, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for FieldName {
    type Value = Field;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Field, E> {
        Field::named(name).ok_or_else(|| E::custom(format_args!("unknown field `{name:.64}`")))
    }
}
