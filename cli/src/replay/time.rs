//! Instants as text: RFC 3339 in JSON traces, the bracketed form of access logs, and for people.

use jiff::Timestamp;
use tollgate::Nanos;

/// Reads `2015-05-17T10:05:03Z`, with up to nine digits of fraction. Nothing else of RFC 3339: no
/// offset, no lower case, no space.
///
/// # Errors
/// What is wrong with the value.
pub fn rfc3339(text: &str) -> Result<Nanos, String> {
    if !has_shape(text.as_bytes()) {
        return Err(format!("{text:?} is not an RFC 3339 instant such as \"2015-05-17T10:05:03.25Z\""));
    }
    let leap = text.as_bytes()[17..19] == *b"60";
    let instant = if leap { None } else { text.parse::<Timestamp>().ok() };
    let instant = instant.ok_or_else(|| format!("{text:?} is not an instant of the calendar"))?;
    u64::try_from(instant.as_nanosecond()).map(Nanos::new).map_err(|_| {
        format!("{text:?} is out of range: 1970-01-01T00:00:00Z to 2554-07-21T23:34:33.709551615Z")
    })
}

fn has_shape(text: &[u8]) -> bool {
    let fits = |text: &[u8], shape: &[u8]| {
        text.iter()
            .zip(shape)
            .all(|(&byte, &shape)| if shape == b'0' { byte.is_ascii_digit() } else { byte == shape })
    };
    let Some((seconds, rest)) = text.split_at_checked(19) else {
        return false;
    };
    let fraction = match rest {
        b"Z" => true,
        [b'.', digits @ .., b'Z'] => (1..=9).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    fraction && fits(seconds, b"0000-00-00T00:00:00")
}

const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Reads the 26 bytes between the brackets of an access log: `17/May/2015:10:05:03 +0000`. A leap
/// second is the first second of the next minute, as in Unix time.
///
/// `None`: it is not of that form, or before 1970 or after 2554.
pub fn access_log(text: &[u8]) -> Option<Nanos> {
    let text: &[u8; 26] = text.try_into().ok()?;
    let separators = [(2, b'/'), (6, b'/'), (11, b':'), (14, b':'), (17, b':'), (20, b' ')];
    if separators.iter().any(|&(at, byte)| text[at] != byte) {
        return None;
    }
    let number = |digits: &[u8]| -> Option<i64> {
        digits.iter().try_fold(0, |n, d| d.is_ascii_digit().then(|| n * 10 + i64::from(d - b'0')))
    };
    let (day, year) = (number(&text[..2])?, number(&text[7..11])?);
    let month = MONTHS.iter().position(|name| text[3..6] == name[..])? + 1;
    let (hour, minute, second) = (number(&text[12..14])?, number(&text[15..17])?, number(&text[18..20])?);
    let (ahead_hours, ahead_minutes) = (number(&text[22..24])?, number(&text[24..])?);
    let sign = match text[21] {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    if hour > 23 || minute > 59 || second > 60 || ahead_hours > 23 || ahead_minutes > 59 {
        return None;
    }
    let date = jiff::civil::Date::new(year.try_into().ok()?, month as i8, day.try_into().ok()?).ok()?;
    let epoch = jiff::civil::date(1970, 1, 1);
    let days = epoch.until((jiff::Unit::Day, date)).ok()?.get_days();
    let ahead = sign * (ahead_hours * 3_600 + ahead_minutes * 60);
    let seconds = i64::from(days) * 86_400 + hour * 3_600 + minute * 60 + second - ahead;
    Some(Nanos::new(u64::try_from(seconds).ok()?.checked_mul(1_000_000_000)?))
}

/// `2015-05-17 10:05:03` in UTC, for people.
pub(crate) fn shown(at: Nanos) -> String {
    let seconds = (at.get() / 1_000_000_000) as i64;
    match Timestamp::from_second(seconds) {
        Ok(instant) => instant.strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => seconds.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_instants() {
        for (text, nanos) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:00.000000001Z", 1),
            ("1970-01-01T00:00:01.5Z", 1_500_000_000),
            ("2015-05-17T10:05:03Z", 1_431_857_103_000_000_000),
            ("2016-02-29T00:00:00Z", 1_456_704_000_000_000_000),
            ("2554-07-21T23:34:33.709551615Z", u64::MAX),
        ] {
            assert_eq!(rfc3339(text), Ok(Nanos::new(nanos)), "{text}");
        }
        for text in [
            "",
            "1969-12-31T23:59:59.999999999Z",
            "2554-07-21T23:34:33.709551616Z",
            "9999-12-31T23:59:59Z",
            "2015-02-29T00:00:00Z",
            "2015-05-17T24:00:00Z",
            "2016-12-31T23:59:60Z",
            "2015-05-17T10:05:03",
            "2015-05-17T10:05:03+00:00",
            "2015-05-17T10:05:03.Z",
            "2015-05-17T10:05:03.1234567890Z",
            "2015-05-17T10:05:03,5Z",
            "2015-05-17 10:05:03Z",
            "2015-05-17t10:05:03z",
            "2015-05-17T10:05Z",
            " 2015-05-17T10:05:03Z",
            "+002015-05-17T10:05:03Z",
            "2015-05-17T10:05:03Zä",
            "2015-05-17T10:05:0äZ",
        ] {
            let error = rfc3339(text).expect_err(text);
            assert!(error.contains(&format!("{text:?}")), "{error}");
        }
    }

    #[test]
    fn access_log_instants() {
        let read = |text: &str| access_log(text.as_bytes()).map(Nanos::get);
        assert_eq!(read("17/May/2015:10:05:03 +0000"), Some(1_431_857_103_000_000_000));
        assert_eq!(read("17/May/2015:12:35:03 +0230"), Some(1_431_857_103_000_000_000));
        assert_eq!(read("17/May/2015:03:05:03 -0700"), Some(1_431_857_103_000_000_000));
        assert_eq!(read("31/Dec/2016:23:59:60 +0000"), read("01/Jan/2017:00:00:00 +0000"));
        assert_eq!(read("01/Jan/1970:00:00:00 +0000"), Some(0));
        for text in [
            "",
            "01/Jan/1970:00:00:00 +0001",
            "31/Apr/2015:10:05:03 +0000",
            "00/May/2015:10:05:03 +0000",
            "17/may/2015:10:05:03 +0000",
            "17/May/2015:24:05:03 +0000",
            "17/May/2015:10:60:03 +0000",
            "17/May/2015:10:05:61 +0000",
            "17/May/2015:10:05:03 0000",
            "17/May/2015:10:05:03 +00:0",
            "17/May/2015 10:05:03 +0000",
            "-7/May/2015:10:05:03 +0000",
            "17/May/9999:10:05:03 +0000",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn instants_for_people() {
        assert_eq!(shown(Nanos::new(1_431_857_103_999_999_999)), "2015-05-17 10:05:03");
        assert_eq!(shown(Nanos::new(u64::MAX)), "2554-07-21 23:34:33");
    }
}
