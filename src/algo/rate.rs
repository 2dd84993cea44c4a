//! Exact rates: tokens per nanosecond as a fraction in lowest terms.

use core::fmt;

use crate::error::RateError;
use crate::time::{split_digits, unit_nanos};

/// The terms of a rate stay below these, which keeps the levels of [`gcra`](super::gcra) within 112 bits.
const TOKENS_LIMIT: u128 = 1 << 52;
const NANOS_LIMIT: u128 = 1 << 62;

/// The fastest rate, in tokens per nanosecond.
const MAX_PER_NANO: u128 = 64;

/// An exact, non-negative refill rate.
///
/// Written as text: decimal digits with an optional fraction, `/`, an optional integer, and one of
/// `ns us ms s m h d`. There is no sign, no exponent and no binary floating point anywhere.
///
/// ```
/// use tollgate::Rate;
/// let rate: Rate = "3/250ms".parse()?;
/// assert_eq!(rate, "12/s".parse()?);
/// assert_eq!((rate.tokens(), rate.nanos()), (3, 250_000_000));
/// assert!("1e9/s".parse::<Rate>().is_err());
/// # Ok::<(), tollgate::RateError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Tokens, in lowest terms with `nanos`; below 2^52.
    tokens: u64,
    /// Nanoseconds in which so many tokens arrive; 1..2^62.
    nanos: u64,
}

impl Rate {
    /// Nothing is ever refilled, and nothing is ever admitted.
    pub const ZERO: Rate = Rate { tokens: 0, nanos: 1 };

    /// `tokens` per `nanos` nanoseconds, reduced to lowest terms.
    ///
    /// # Errors
    /// `nanos` is 0; 2^52 tokens or 2^62 nanoseconds or more in lowest terms; more than 64 tokens per nanosecond.
    pub fn per_nanos(tokens: u64, nanos: u64) -> Result<Rate, RateError> {
        let text = || format!("{tokens}/{nanos}ns");
        Rate::reduced(tokens.into(), nanos.into(), &text)
    }

    fn reduced(tokens: u128, nanos: u128, text: &dyn Fn() -> String) -> Result<Rate, RateError> {
        if nanos == 0 {
            return Err(RateError::ZeroInterval(text()));
        }
        let common = gcd(tokens, nanos);
        let (tokens, nanos) = (tokens / common, nanos / common);
        if tokens >= TOKENS_LIMIT || nanos >= NANOS_LIMIT {
            return Err(RateError::TooPrecise(text()));
        }
        if tokens > nanos * MAX_PER_NANO {
            return Err(RateError::TooFast(text()));
        }
        // Both are below 2^63.
        Ok(Rate { tokens: tokens as u64, nanos: nanos as u64 })
    }

    /// Tokens that arrive in [`nanos`](Rate::nanos) nanoseconds, in lowest terms.
    pub const fn tokens(self) -> u64 {
        self.tokens
    }

    /// Nanoseconds in which [`tokens`](Rate::tokens) tokens arrive; never 0.
    pub const fn nanos(self) -> u64 {
        self.nanos
    }

    /// True for a rate of 0.
    pub const fn is_zero(self) -> bool {
        self.tokens == 0
    }
}

impl core::str::FromStr for Rate {
    type Err = RateError;

    fn from_str(text: &str) -> Result<Rate, RateError> {
        let syntax = || RateError::Syntax(text.into());
        let precise = || RateError::TooPrecise(text.into());
        let (amount, interval) = text.split_once('/').ok_or_else(syntax)?;
        let (whole, rest) = split_digits(amount);
        let fraction = match rest.strip_prefix('.') {
            Some(fraction) => fraction,
            None if rest.is_empty() => "",
            None => return Err(syntax()),
        };
        let dangling = rest == ".";
        if whole.is_empty() || dangling || !fraction.bytes().all(|b| b.is_ascii_digit()) {
            return Err(syntax());
        }
        let (count, unit) = split_digits(interval);
        let unit = unit_nanos(unit).ok_or_else(syntax)?;
        let count = match count {
            "" => 1,
            digits => digits.parse::<u128>().map_err(|_| precise())?,
        };

        let fraction = fraction.trim_end_matches('0');
        let scale = u32::try_from(fraction.len())
            .ok()
            .and_then(|digits| 10u128.checked_pow(digits))
            .ok_or_else(precise)?;
        let mut tokens: u128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            tokens = tokens
                .checked_mul(10)
                .and_then(|tokens| tokens.checked_add(u128::from(digit - b'0')))
                .ok_or_else(precise)?;
        }
        let nanos =
            scale.checked_mul(count).and_then(|nanos| nanos.checked_mul(unit.into())).ok_or_else(precise)?;
        Rate::reduced(tokens, nanos, &|| text.into())
    }
}

impl fmt::Display for Rate {
    /// A whole number per second, minute, hour or day where there is one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tokens, nanos) = (u128::from(self.tokens), u128::from(self.nanos));
        let units = ["s", "m", "h", "d"].into_iter();
        let mut amounts = units.filter_map(|unit| Some((tokens * u128::from(unit_nanos(unit)?), unit)));
        match amounts.find(|(amount, _)| amount.is_multiple_of(nanos)) {
            Some((amount, unit)) => write!(f, "{}/{unit}", amount / nanos),
            None => write!(f, "{tokens}/{nanos}ns"),
        }
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

pub(super) fn gcd(a: u128, b: u128) -> u128 {
    let (mut a, mut b) = (a, b);
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use super::*;

    fn terms(text: &str) -> (u64, u64) {
        let rate: Rate = text.parse().unwrap();
        (rate.tokens(), rate.nanos())
    }

    #[test]
    fn rate_is_an_exact_rational_written_as_text() {
        assert_eq!(terms("10/s"), (1, 100_000_000));
        assert_eq!(terms("0.1/s"), (1, 10_000_000_000));
        assert_eq!(terms("5/m"), (1, 12_000_000_000));
        assert_eq!(terms("3/250ms"), (3, 250_000_000));
        assert_eq!(terms("3000000/s"), (3, 1_000));
        assert_eq!(terms("64/ns"), (64, 1));
        assert_eq!(terms("0/s"), (0, 1));
        assert_eq!(terms("1.50/2h"), (1, 4_800_000_000_000));
        assert_eq!(terms("0.000000000000000000000000000000000000000000/s"), (0, 1));
    }

    #[test]
    fn what_is_not_a_rate_says_why() {
        for text in [
            "", "/", "10", "10/", "/s", "-1/s", "+1/s", "1e9/s", ".5/s", "5./s", "1/-2s", "1/1.5s", "1/ s",
            " 1/s", "1/S", "1/w", "1//s", "٣/s", "1/s/s",
        ] {
            assert!(matches!(text.parse::<Rate>(), Err(RateError::Syntax(_))), "{text:?}");
        }
        assert!(matches!("0/0s".parse::<Rate>(), Err(RateError::ZeroInterval(_))));
        assert!(matches!("65/ns".parse::<Rate>(), Err(RateError::TooFast(_))));
        let digits = "9".repeat(60);
        for text in [
            format!("{digits}/s"),
            format!("0.{digits}/s"),
            format!("1/{digits}s"),
            format!("0.{}1/s", "0".repeat(30)),
        ] {
            assert!(matches!(text.parse::<Rate>(), Err(RateError::TooPrecise(_))), "{text:?}");
        }
    }

    #[test]
    fn display_reads_back() {
        for text in ["10/s", "5/m", "1/h", "1/d", "3/250ms", "0/s", "7/13ns", "1000/m"] {
            let rate: Rate = text.parse().unwrap();
            assert_eq!(rate.to_string().parse::<Rate>().unwrap(), rate, "{text}");
        }
        assert_eq!("5/m".parse::<Rate>().unwrap().to_string(), "5/m");
        assert_eq!("3/250ms".parse::<Rate>().unwrap().to_string(), "12/s");
    }
}
