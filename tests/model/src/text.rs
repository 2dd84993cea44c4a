//! Texts of the plan file and the trace: durations, rates, instants.

use chrono::NaiveDate;
use num_bigint::BigInt;
use num_rational::BigRational;
use serde_json::Value;

/// An exact fraction.
pub type Fraction = BigRational;

/// Nanoseconds since the Unix epoch. Signed, because a calendar window may begin before 1970.
pub type Nanos = i128;

const UNITS: [(&str, u64); 7] = [
    ("ns", 1),
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// A whole number as a fraction.
pub fn whole(n: impl Into<BigInt>) -> Fraction {
    Fraction::from_integer(n.into())
}

fn unit_ns(unit: &str) -> Result<u64, String> {
    UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .map(|(_, ns)| *ns)
        .ok_or_else(|| format!("unknown unit of time {unit:?}"))
}

fn digits(text: &str) -> Result<BigInt, String> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return Err(format!("{text:?} is not a decimal number"));
    }
    text.parse().map_err(|e| format!("{text:?}: {e}"))
}

/// "decimal digits with an optional fraction, `/`, an optional integer, and `ns us ms s m h d`";
/// "No sign, no exponent". The answer is in tokens per nanosecond.
pub fn rate(text: &str) -> Result<Fraction, String> {
    let (tokens, per) = text.split_once('/').ok_or_else(|| format!("rate {text:?} has no '/'"))?;
    let (int, frac) = match tokens.split_once('.') {
        Some((int, frac)) => (int, Some(frac)),
        None => (tokens, None),
    };
    let mut value = whole(digits(int)?);
    if let Some(frac) = frac {
        let scale = num_traits::pow(BigInt::from(10), frac.len());
        value += Fraction::new(digits(frac)?, scale);
    }
    let split = per.bytes().take_while(u8::is_ascii_digit).count();
    let count = if split == 0 { BigInt::from(1) } else { digits(&per[..split])? };
    let ns = count * BigInt::from(unit_ns(&per[split..])?);
    if ns == BigInt::from(0) {
        return Err(format!("rate {text:?} is per no time at all"));
    }
    Ok(value / whole(ns))
}

/// A duration in text: a whole number and a unit.
pub fn duration_text(text: &str) -> Result<u64, String> {
    let split = text.bytes().take_while(u8::is_ascii_digit).count();
    let ns = digits(&text[..split])? * BigInt::from(unit_ns(&text[split..])?);
    u64::try_from(ns).map_err(|_| format!("duration {text:?} is out of range"))
}

/// "Durations are integer ns or text such as `"60s"`."
pub fn duration(value: &Value) -> Result<u64, String> {
    match value {
        Value::String(text) => duration_text(text),
        other => integer(other),
    }
}

/// A whole number from 0 to 2^64 - 1.
pub fn integer(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{value} is not a whole number in range"))
}

/// "integer ns since the Unix epoch, or an RFC 3339 string ending in `Z` with up to nine
/// fractional digits".
pub fn instant(value: &Value) -> Result<Nanos, String> {
    match value {
        Value::String(text) => {
            rfc3339(text).ok_or_else(|| format!("{text:?} is not an instant in UTC, or out of range"))
        }
        other => integer(other).map(Nanos::from),
    }
}

fn rfc3339(text: &str) -> Option<Nanos> {
    if !text.is_ascii() || text.len() < 20 || !text.ends_with('Z') {
        return None;
    }
    let bytes = text.as_bytes();
    let shape = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if shape.iter().any(|(at, byte)| bytes[*at] != *byte) {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<u32> {
        let part = &text[from..to];
        part.bytes().all(|b| b.is_ascii_digit()).then(|| part.parse().ok())?
    };
    let year = i32::try_from(number(0, 4)?).ok()?;
    let date = NaiveDate::from_ymd_opt(year, number(5, 7)?, number(8, 10)?)?;
    let time = date.and_hms_opt(number(11, 13)?, number(14, 16)?, number(17, 19)?)?;
    let fraction = &text[19..text.len() - 1];
    let nanos = match fraction.strip_prefix('.') {
        None if fraction.is_empty() => 0,
        None => return None,
        Some(part) => {
            if part.is_empty() || part.len() > 9 || !part.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            format!("{part:0<9}").parse::<Nanos>().ok()?
        }
    };
    let ns = Nanos::from(time.and_utc().timestamp()) * 1_000_000_000 + nanos;
    (0..=Nanos::from(u64::MAX)).contains(&ns).then_some(ns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn per_ns(p: u64, q: u64) -> Fraction {
        Fraction::new(p.into(), q.into())
    }

    #[test]
    fn rates() {
        assert_eq!(rate("10/s"), Ok(per_ns(1, 100_000_000)));
        assert_eq!(rate("0.1/s"), Ok(per_ns(1, 10_000_000_000)));
        assert_eq!(rate("5/m"), Ok(per_ns(1, 12_000_000_000)));
        assert_eq!(rate("3/250ms"), Ok(per_ns(3, 250_000_000)));
        assert_eq!(rate("64/ns"), Ok(per_ns(64, 1)));
        assert_eq!(rate("0/s"), Ok(per_ns(0, 1)));
        for bad in ["", "10", "-1/s", "1e3/s", "1/0s", "1/w", ".5/s", "5./s", "1/ s", "+1/s"] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(duration(&json!("250ms")), Ok(250_000_000));
        assert_eq!(duration(&json!(7)), Ok(7));
        assert!(duration(&json!("s")).is_err());
        assert!(duration(&json!(-1)).is_err());
        assert!(duration(&json!(1.5)).is_err());
    }

    #[test]
    fn instants() {
        assert_eq!(instant(&json!("1970-01-02T00:00:00.5Z")), Ok(86_400_500_000_000));
        assert_eq!(instant(&json!("1970-01-01T00:00:00.000000001Z")), Ok(1));
        assert_eq!(instant(&json!(17)), Ok(17));
        for bad in ["1970-01-01T00:00:00", "1969-12-31T23:59:59Z", "1970-01-01T00:00:00.Z"] {
            assert!(instant(&json!(bad)).is_err(), "{bad}");
        }
    }
}
