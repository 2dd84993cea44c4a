//! The values of a trace line's fields, read from JSON without copying, with errors that name the field.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use tollgate::Nanos;

use super::line::{Cost, Field, Secret};
use super::time;

pub(super) struct FieldName;

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

/// A string, or null for none. Holds the field's name for errors.
pub(super) struct Text(pub(super) &'static str);

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a string", self.0)
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
}

/// As [`Text`], for keys: every other type of value is refused without being shown.
pub(super) struct KeyText;

impl KeyText {
    fn refused<T, E: serde::de::Error>() -> Result<T, E> {
        Err(E::custom("`key` is not a string"))
    }
}

impl<'de> DeserializeSeed<'de> for KeyText {
    type Value = Option<Secret<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for KeyText {
    type Value = Option<Secret<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`key` to be a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Some(Secret::new(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Some(Secret::new(Cow::Owned(text.to_owned()))))
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<Self::Value, E> {
        KeyText::refused()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        KeyText::refused()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        KeyText::refused()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        KeyText::refused()
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        KeyText::refused()
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        KeyText::refused()
    }
}

pub(super) struct Instant;

impl<'de> DeserializeSeed<'de> for Instant {
    type Value = Nanos;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Nanos, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Instant {
    type Value = Nanos;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "`at` to be an integer of nanoseconds since 1970 below 2^64, or RFC 3339 text ending in Z",
        )
    }

    fn visit_u64<E>(self, nanos: u64) -> Result<Nanos, E> {
        Ok(Nanos::new(nanos))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Nanos, E> {
        time::rfc3339(text).map_err(|error| E::custom(format_args!("`at`: {error}")))
    }
}

/// A count of one unit, or of each unit (the field's name is then empty).
struct Amount<'a>(&'a str);

impl Amount<'_> {
    fn refused<E: serde::de::Error>(&self, value: impl fmt::Display) -> E {
        let unit = if self.0.is_empty() { String::new() } else { format!(" of `{:.64}`", self.0) };
        E::custom(format_args!("`cost`{unit}: {value} is not an integer from 0 to {}", u64::MAX))
    }
}

impl<'de> DeserializeSeed<'de> for Amount<'_> {
    type Value = u64;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u64, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Amount<'_> {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`cost` to hold integers from 0 to {}", u64::MAX)
    }

    fn visit_u64<E>(self, amount: u64) -> Result<u64, E> {
        Ok(amount)
    }

    fn visit_i64<E: serde::de::Error>(self, amount: i64) -> Result<u64, E> {
        Err(self.refused(amount))
    }

    fn visit_f64<E: serde::de::Error>(self, amount: f64) -> Result<u64, E> {
        Err(self.refused(format_args!("{amount:?}")))
    }
}

pub(super) struct CostOf;

impl<'de> DeserializeSeed<'de> for CostOf {
    type Value = Option<Cost<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CostOf {
    type Value = Option<Cost<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`cost` to be an integer, or an object of integers by unit")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, amount: u64) -> Result<Self::Value, E> {
        Ok(Some(Cost::Each(amount)))
    }

    fn visit_i64<E: serde::de::Error>(self, amount: i64) -> Result<Self::Value, E> {
        Err(Amount("").refused(amount))
    }

    fn visit_f64<E: serde::de::Error>(self, amount: f64) -> Result<Self::Value, E> {
        Err(Amount("").refused(format_args!("{amount:?}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut units: Vec<(Cow<'de, str>, u64)> = Vec::new();
        while let Some(unit) = map.next_key_seed(Text("cost"))? {
            let unit = unit.unwrap_or_default();
            if units.iter().any(|(other, _)| *other == unit) {
                return Err(A::Error::custom(format_args!("`cost` names the unit `{unit:.64}` twice")));
            }
            let amount = map.next_value_seed(Amount(&unit))?;
            units.push((unit, amount));
        }
        Ok(Some(Cost::Units(units)))
    }
}
