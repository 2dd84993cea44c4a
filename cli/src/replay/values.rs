//! The values of a trace line's fields, read from JSON without copying, with errors that name the field.

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use tollgate::{Nanos, parse_duration};

use super::line::{Cost, Secret};
use super::time;

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

/// As [`Text`], for secrets: every other type of value is refused without being shown.
pub(super) struct SecretText(pub(super) &'static str);

impl SecretText {
    fn refused<T, E: serde::de::Error>(self) -> Result<T, E> {
        Err(E::custom(format_args!("`{}` is not a string", self.0)))
    }
}

impl<'de> DeserializeSeed<'de> for SecretText {
    type Value = Option<Secret<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for SecretText {
    type Value = Option<Secret<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be a string", self.0)
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
        self.refused()
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<Self::Value, E> {
        self.refused()
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        self.refused()
    }

    fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Self::Value, A::Error> {
        self.refused()
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

/// A value that may be null, for none.
pub(super) struct OrNull<S>(pub(super) S);

impl<'de, S: DeserializeSeed<'de>> DeserializeSeed<'de> for OrNull<S> {
    type Value = Option<S::Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de, S: DeserializeSeed<'de>> Visitor<'de> for OrNull<S> {
    type Value = Option<S::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or null")
    }

    fn visit_none<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        self.0.deserialize(deserializer).map(Some)
    }
}

/// A duration. Holds the field's name.
pub(super) struct Length(pub(super) &'static str);

impl Length {
    fn refused<E: serde::de::Error>(&self, value: impl fmt::Display) -> E {
        let (field, most) = (self.0, u64::MAX);
        E::custom(format_args!(
            "`{field}`: {value} is neither an integer of nanoseconds from 0 to {most} nor text such as \"60s\""
        ))
    }
}

impl<'de> DeserializeSeed<'de> for Length {
    type Value = Nanos;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Nanos, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Visitor<'_> for Length {
    type Value = Nanos;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be an integer of nanoseconds, or text such as \"60s\"", self.0)
    }

    fn visit_u64<E>(self, nanos: u64) -> Result<Nanos, E> {
        Ok(Nanos::new(nanos))
    }

    fn visit_i64<E: serde::de::Error>(self, nanos: i64) -> Result<Nanos, E> {
        Err(self.refused(nanos))
    }

    fn visit_f64<E: serde::de::Error>(self, nanos: f64) -> Result<Nanos, E> {
        Err(self.refused(format_args!("{nanos:?}")))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Nanos, E> {
        parse_duration(text).map_err(|error| E::custom(format_args!("`{}`: {error}", self.0)))
    }
}

/// A count, or of a cost by unit the part of one.
pub(super) struct Amount<'a> {
    field: &'static str,
    unit: Option<&'a str>,
}

impl Amount<'_> {
    /// The whole value of a field.
    pub(super) fn of(field: &'static str) -> Amount<'static> {
        Amount { field, unit: None }
    }

    fn refused<E: serde::de::Error>(&self, value: impl fmt::Display) -> E {
        let unit = self.unit.map(|unit| format!(" of `{unit:.64}`")).unwrap_or_default();
        let (field, most) = (self.field, u64::MAX);
        E::custom(format_args!("`{field}`{unit}: {value} is not an integer from 0 to {most}"))
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
        let holds = if self.unit.is_some() { "hold integers" } else { "be an integer" };
        write!(f, "`{}` to {holds} from 0 to {}", self.field, u64::MAX)
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

/// A cost, or null for none. Holds the field's name.
pub(super) struct CostOf(pub(super) &'static str);

impl<'de> DeserializeSeed<'de> for CostOf {
    type Value = Option<Cost<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CostOf {
    type Value = Option<Cost<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` to be an integer, or an object of integers by unit", self.0)
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, amount: u64) -> Result<Self::Value, E> {
        Ok(Some(Cost::Each(amount)))
    }

    fn visit_i64<E: serde::de::Error>(self, amount: i64) -> Result<Self::Value, E> {
        Err(Amount::of(self.0).refused(amount))
    }

    fn visit_f64<E: serde::de::Error>(self, amount: f64) -> Result<Self::Value, E> {
        Err(Amount::of(self.0).refused(format_args!("{amount:?}")))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut units: Vec<(Cow<'de, str>, u64)> = Vec::new();
        while let Some(unit) = map.next_key_seed(Text(self.0))? {
            let unit = unit.unwrap_or_default();
            if units.iter().any(|(other, _)| *other == unit) {
                let field = self.0;
                return Err(A::Error::custom(format_args!("`{field}` names the unit `{unit:.64}` twice")));
            }
            let amount = map.next_value_seed(Amount { field: self.0, unit: Some(&unit) })?;
            units.push((unit, amount));
        }
        Ok(Some(Cost::Units(units)))
    }
}
