//! Access logs in the Apache/nginx combined format.
//!
//! ```text
//! address ident user [17/May/2015:10:05:03 +0000] "GET /path HTTP/1.1" 200 123 "referer" "agent" ...
//! ```
//! What follows the number of bytes is read only where the key comes from there: logs hold lines that were
//! cut. Lines are bytes: a log may hold anything that a client sent. What servers escape (`\"`, `\\`, `\n`,
//! `\x1b`) is undone in the key and in the request. Lines are not in order of time, so each is decided
//! at the latest instant read so far.

use std::fmt;
use std::str::FromStr;

use memchr::{memchr, memchr2};
use tollgate::Nanos;

use super::line::LineError;
use super::time;

/// Which part of a log line is the caller's key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeySource {
    /// The address of the client.
    RemoteAddr,
    /// The authenticated user.
    RemoteUser,
    /// A field in quotes after the request line: 1 is the referer, 2 the user agent, then come those
    /// that a server was told to add.
    QuotedHeader(usize),
}

impl FromStr for KeySource {
    type Err = String;

    fn from_str(text: &str) -> Result<KeySource, String> {
        let number = |n: &str| n.parse().ok().filter(|n| *n > 0).map(KeySource::QuotedHeader);
        match text {
            "remote_addr" => Some(KeySource::RemoteAddr),
            "remote_user" => Some(KeySource::RemoteUser),
            other => other.strip_prefix("header-in-quotes:").and_then(number),
        }
        .ok_or_else(|| "write remote_addr, remote_user, or header-in-quotes:<n> with n from 1".to_owned())
    }
}

impl fmt::Display for KeySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeySource::RemoteAddr => f.write_str("remote_addr"),
            KeySource::RemoteUser => f.write_str("remote_user"),
            KeySource::QuotedHeader(n) => write!(f, "header-in-quotes:{n}"),
        }
    }
}

/// A request read from a log.
#[derive(PartialEq, Eq, Debug)]
pub struct Entry<'a> {
    /// The latest instant read so far.
    pub at: Nanos,
    /// Empty where the log has `-` or nothing.
    pub key: &'a [u8],
    /// `METHOD path`, if the request line is `METHOD path PROTO`. Bytes that are not UTF-8 are replaced.
    pub route: Option<&'a str>,
}

/// Reads access logs.
pub struct Combined {
    source: KeySource,
    latest: Nanos,
    key: Vec<u8>,
    request: Vec<u8>,
    route: String,
}

impl Combined {
    /// Reads keys from there.
    pub fn new(source: KeySource) -> Combined {
        Combined { source, latest: Nanos::ZERO, key: Vec::new(), request: Vec::new(), route: String::new() }
    }

    /// Reads one line, with or without its line end.
    ///
    /// # Errors
    /// What is wrong with the line. Such a line does not move the time.
    pub fn read(&mut self, line: &[u8]) -> Result<Entry<'_>, LineError> {
        let line = line.trim_ascii_end();
        if line.is_empty() {
            return Err(LineError::new("the line is blank"));
        }
        let fields = Fields::split(line, self.source).map_err(LineError::new)?;
        self.key.clear();
        if fields.key != b"-" {
            unescape(fields.key, &mut self.key);
        }
        self.request.clear();
        unescape(fields.request, &mut self.request);
        self.route.clear();
        let has_route = match method_and_path(&self.request) {
            Some(route) => {
                for chunk in route.utf8_chunks() {
                    self.route.push_str(chunk.valid());
                    if !chunk.invalid().is_empty() {
                        self.route.push(char::REPLACEMENT_CHARACTER);
                    }
                }
                true
            }
            None => false,
        };
        self.latest = self.latest.max(fields.at);
        Ok(Entry { at: self.latest, key: &self.key, route: has_route.then_some(self.route.as_str()) })
    }
}

/// The parts of a line that count, still escaped.
struct Fields<'a> {
    key: &'a [u8],
    at: Nanos,
    request: &'a [u8],
}

impl<'a> Fields<'a> {
    fn split(line: &'a [u8], source: KeySource) -> Result<Fields<'a>, String> {
        let (address, rest) = word(line).ok_or("no space after the client's address")?;
        let (_ident, rest) = word(rest).ok_or("no space after the second field")?;
        let (user, at, rest) = user_and_time(rest)?;
        let rest = rest.strip_prefix(b" \"").ok_or("no request line in quotes after the time")?;
        let (request, rest) = quoted(rest).ok_or("the request line's closing quote is missing")?;
        let rest = rest.strip_prefix(b" ").ok_or("no status after the request line")?;
        let (status, rest) = rest.split_at(memchr(b' ', rest).unwrap_or(rest.len()));
        let (bytes, rest) = match rest.split_first() {
            Some((_, rest)) => rest.split_at(memchr(b' ', rest).unwrap_or(rest.len())),
            None => return Err("no number of bytes after the status".into()),
        };
        if status != b"-" && !(status.len() == 3 && status.iter().all(u8::is_ascii_digit)) {
            return Err("the status is not a number of three digits".into());
        }
        if bytes != b"-" && (bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit)) {
            return Err("the number of bytes is not a number".into());
        }
        let key = match source {
            KeySource::RemoteAddr => address,
            KeySource::RemoteUser => user,
            KeySource::QuotedHeader(n) => quoted_field(rest, n)?,
        };
        Ok(Fields { key, at, request })
    }
}

/// The field number `wanted`, from 1, of those in quotes. Between them may be others.
fn quoted_field(mut rest: &[u8], wanted: usize) -> Result<&[u8], String> {
    let mut count = 0;
    while let Some((_, field)) = rest.split_first() {
        rest = match field.split_first() {
            Some((b'"', inner)) => {
                let (value, rest) = quoted(inner).ok_or("a closing quote is missing")?;
                if !matches!(rest.first(), None | Some(b' ')) {
                    return Err("a closing quote is not followed by a space".into());
                }
                count += 1;
                if count == wanted {
                    return Ok(value);
                }
                rest
            }
            _ => &field[memchr(b' ', field).unwrap_or(field.len())..],
        };
    }
    Err(format!("no field {wanted} in quotes after the request line: there are {count}"))
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr(b' ', text)?;
    Some((&text[..end], &text[end + 1..]))
}

/// A user's name may hold spaces and brackets: it ends at the first bracket that opens a time.
fn user_and_time(text: &[u8]) -> Result<(&[u8], Nanos, &[u8]), String> {
    let mut from = 0;
    while let Some(length) = memchr(b'[', &text[from..]) {
        let open = from + length;
        let close = open + 27;
        if open > 0
            && text[open - 1] == b' '
            && text.get(close) == Some(&b']')
            && let Some(at) = time::access_log(&text[open + 1..close])
        {
            return Ok((&text[..open - 1], at, &text[close + 1..]));
        }
        from = open + 1;
    }
    Err("no time such as [17/May/2015:10:05:03 +0000] after the user".into())
}

/// Up to the quote that no backslash escapes, and what follows it.
fn quoted(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut at = 0;
    loop {
        at += memchr2(b'"', b'\\', text.get(at..)?)?;
        if text[at] == b'"' {
            return Some((&text[..at], &text[at + 1..]));
        }
        at += 2;
    }
}

/// Appends `text` as it was before the server escaped it. What no server writes stays as it is.
fn unescape(mut text: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'\\', text) {
        out.extend_from_slice(&text[..at]);
        let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
        let (byte, length) = match text[at + 1..] {
            [b'x', high, low, ..] => match (digit(high), digit(low)) {
                (Some(high), Some(low)) => (high << 4 | low, 4),
                _ => (b'\\', 1),
            },
            [byte @ (b'"' | b'\\'), ..] => (byte, 2),
            [b'b', ..] => (8, 2),
            [b't', ..] => (b'\t', 2),
            [b'n', ..] => (b'\n', 2),
            [b'v', ..] => (11, 2),
            [b'f', ..] => (12, 2),
            [b'r', ..] => (b'\r', 2),
            _ => (b'\\', 1),
        };
        out.push(byte);
        text = &text[at + length..];
    }
    out.extend_from_slice(text);
}

/// `METHOD path` of `METHOD path PROTO`.
fn method_and_path(request: &[u8]) -> Option<&[u8]> {
    let (method, rest) = word(request)?;
    let (path, protocol) = word(rest)?;
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let fits = !method.is_empty()
        && method.iter().all(is_token)
        && !path.is_empty()
        && protocol.starts_with(b"HTTP/")
        && memchr(b' ', protocol).is_none();
    fits.then(|| &request[..method.len() + 1 + path.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "[17/May/2015:10:05:03 +0000]";
    const AT: Nanos = Nanos::new(1_431_857_103_000_000_000);

    fn read(source: KeySource, line: &[u8]) -> Result<(Vec<u8>, Option<String>), String> {
        let mut combined = Combined::new(source);
        match combined.read(line) {
            Ok(Entry { at, key, route }) => {
                assert_eq!(at, AT);
                Ok((key.to_vec(), route.map(str::to_owned)))
            }
            Err(error) => Err(error.to_string()),
        }
    }

    fn key(source: KeySource, line: &str) -> Vec<u8> {
        read(source, line.as_bytes()).unwrap().0
    }

    #[test]
    fn keys_come_from_three_places() {
        let line = format!(
            "1.2.3.4 - jo [x] {TIME} \"GET /a?b=c HTTP/1.1\" 200 5 \"-\" \"curl/8\" \"k\\x22ey\\\\\" 0.003 \"\"\r"
        );
        assert_eq!(key(KeySource::RemoteAddr, &line), b"1.2.3.4");
        assert_eq!(key(KeySource::RemoteUser, &line), b"jo [x]");
        assert_eq!(key(KeySource::QuotedHeader(1), &line), b"");
        assert_eq!(key(KeySource::QuotedHeader(2), &line), b"curl/8");
        assert_eq!(key(KeySource::QuotedHeader(3), &line), b"k\"ey\\");
        assert_eq!(key(KeySource::QuotedHeader(4), &line), b"");
        let error = read(KeySource::QuotedHeader(5), line.as_bytes()).unwrap_err();
        assert!(error.contains("there are 4"), "{error}");
        assert!(!error.contains("ey"), "{error}");
        let common = format!("::1 - - {TIME} \"GET / HTTP/1.0\" 304 -");
        assert_eq!(key(KeySource::RemoteAddr, &common), b"::1");
        assert_eq!(key(KeySource::RemoteUser, &common), b"");
    }

    #[test]
    fn routes_are_method_and_path() {
        let route = |request: &[u8]| {
            let line = [b"a - - [17/May/2015:10:05:03 +0000] \"", request, b"\" 400 0 \"-\" \"-\""].concat();
            read(KeySource::RemoteAddr, &line).unwrap().1
        };
        let some = |route: &str| Some(route.to_owned());
        assert_eq!(route(b"GET /a?b=c HTTP/1.1"), some("GET /a?b=c"));
        assert_eq!(route(b"OPTIONS * HTTP/2.0"), some("OPTIONS *"));
        assert_eq!(route(br"GET /\xc3\xa4\\\x22 HTTP/1.1"), some("GET /ä\\\""));
        assert_eq!(route(b"GET /\xff\\xfe HTTP/1.1"), some("GET /\u{fffd}\u{fffd}"));
        for request in [
            &b""[..],
            b"-",
            b"GET /",
            b"GET /a b HTTP/1.1",
            b"GET  HTTP/1.1",
            br"\x16\x03\x01",
            b"GET / http",
            b" / HTTP/1.1",
        ] {
            assert_eq!(route(request), None, "{}", String::from_utf8_lossy(request));
        }
    }

    #[test]
    fn escapes_are_undone() {
        for (text, plain) in [
            (&br#"a\"b"#[..], &b"a\"b"[..]),
            (br"\\n", b"\\n"),
            (br"\n\t\r\b\v\f", b"\n\t\r\x08\x0b\x0c"),
            (br"\x41\x0a\xFF", b"A\n\xff"),
            (br"\x4", br"\x4"),
            (br"\xg0\q", br"\xg0\q"),
            (br"end\", br"end\"),
        ] {
            let mut out = Vec::new();
            unescape(text, &mut out);
            assert_eq!(out, plain);
        }
    }

    #[test]
    fn malformed_lines_are_refused() {
        for line in [
            "",
            " ",
            "x",
            "a - -",
            "a - - [17/May/2015:10:05:03] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"",
            "a - - [17/May/2015:10:05:03 +0000]",
            "a - - [17/May/2015:10:05:03 +0000] GET / 200 5",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\\\" 200 5",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\"",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" ok 5",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 five",
        ] {
            assert!(read(KeySource::RemoteAddr, line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn a_cut_line_is_refused_only_where_its_end_counts() {
        for line in [
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\\",
            "a - - [17/May/2015:10:05:03 +0000] \"GET / HTTP/1.1\" 200 5 \"-\"x \"-\"",
        ] {
            assert!(read(KeySource::RemoteAddr, line.as_bytes()).is_ok(), "{line}");
            assert!(read(KeySource::QuotedHeader(2), line.as_bytes()).is_err(), "{line}");
        }
    }

    #[test]
    fn time_does_not_go_back() {
        let mut log = Combined::new(KeySource::RemoteAddr);
        let line =
            |time: &str| format!("a - - [17/May/2015:{time} +0000] \"GET / HTTP/1.1\" 200 5 \"-\" \"-\"");
        let later = Nanos::new(AT.get() + 60_000_000_000);
        assert_eq!(log.read(line("10:05:03").as_bytes()).unwrap().at, AT);
        assert_eq!(log.read(line("10:06:03").as_bytes()).unwrap().at, later);
        assert_eq!(log.read(line("10:04:03").as_bytes()).unwrap().at, later);
        assert!(log.read(b"a - - [17/May/2016:10:04:03 +0000]").is_err());
        assert_eq!(log.read(line("10:05:03").as_bytes()).unwrap().at, later);
    }

    #[test]
    fn sources_are_parsed() {
        for text in ["remote_addr", "remote_user", "header-in-quotes:3"] {
            assert_eq!(text.parse::<KeySource>().unwrap().to_string(), text);
        }
        for text in ["", "remote", "header-in-quotes:", "header-in-quotes:0", "header-in-quotes:x"] {
            assert!(text.parse::<KeySource>().is_err(), "{text}");
        }
    }
}
