//! Answers, written as JSON straight into a byte buffer.

use tollgate::{Nanos, Report};

use super::session::Answer;

/// What a line got.
#[derive(Debug)]
pub(crate) enum Status {
    Ok,
    Conflict(String),
    Invalid(String),
}

/// Appends an answer, with its line end.
pub(crate) fn answer(out: &mut Vec<u8>, answer: &Answer<'_>) {
    match answer {
        Answer::Decided { report, .. } => self::report(out, report),
        Answer::Changed(status) => self::status(out, status),
    }
}

fn report(out: &mut Vec<u8>, report: &Report) {
    let decision = report.decision();
    out.extend_from_slice(b"{\"verdict\":\"");
    out.extend_from_slice(decision.verdict().as_str().as_bytes());
    out.extend_from_slice(b"\",\"retry_after_ns\":");
    nanos(out, decision.retry_after());
    out.extend_from_slice(b",\"delay_ns\":");
    integer(out, decision.delay().get());
    out.extend_from_slice(b",\"violated\":[");
    let mut separator: &[u8] = b"";
    for limit in report.limits().iter().filter(|limit| limit.is_violated()) {
        out.extend_from_slice(separator);
        string(out, limit.name());
        separator = b",";
    }
    out.extend_from_slice(b"],\"limits\":[");
    separator = b"";
    for limit in report.limits() {
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"name\":");
        string(out, limit.name());
        out.extend_from_slice(b",\"kind\":\"");
        out.extend_from_slice(limit.kind().as_str().as_bytes());
        out.extend_from_slice(b"\",\"limit\":");
        integer(out, limit.limit());
        out.extend_from_slice(b",\"remaining\":");
        integer(out, limit.remaining());
        out.extend_from_slice(b",\"reset_ns\":");
        nanos(out, limit.reset());
        out.push(b'}');
        separator = b",";
    }
    out.push(b']');
    match decision.would_deny() {
        Some(true) => out.extend_from_slice(b",\"would_deny\":true"),
        Some(false) => out.extend_from_slice(b",\"would_deny\":false"),
        None => {}
    }
    out.extend_from_slice(b"}\n");
}

fn status(out: &mut Vec<u8>, status: &Status) {
    let (name, error) = match status {
        Status::Ok => ("ok", None),
        Status::Conflict(error) => ("conflict", Some(error)),
        Status::Invalid(error) => ("invalid", Some(error)),
    };
    out.extend_from_slice(b"{\"status\":\"");
    out.extend_from_slice(name.as_bytes());
    out.push(b'"');
    if let Some(error) = error {
        out.extend_from_slice(b",\"error\":");
        string(out, error);
    }
    out.extend_from_slice(b"}\n");
}

/// Appends an error object, with its line end.
pub(crate) fn error(out: &mut Vec<u8>, message: &str, line: u64) {
    out.extend_from_slice(b"{\"error\":");
    string(out, message);
    out.extend_from_slice(b",\"line\":");
    integer(out, line);
    out.extend_from_slice(b"}\n");
}

fn integer(out: &mut Vec<u8>, n: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(n).as_bytes());
}

fn nanos(out: &mut Vec<u8>, nanos: Option<Nanos>) {
    match nanos {
        Some(nanos) => integer(out, nanos.get()),
        None => out.extend_from_slice(b"null"),
    }
}

fn string(out: &mut Vec<u8>, text: &str) {
    if text.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
        // Writing to memory does not fail, and a string is always representable.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_escaped() {
        let mut out = Vec::new();
        error(&mut out, "a \"b\" \\ \n\u{1} ä", 7);
        assert_eq!(out, "{\"error\":\"a \\\"b\\\" \\\\ \\n\\u0001 ä\",\"line\":7}\n".as_bytes());
    }

    #[test]
    fn changes_are_answered() {
        let mut out = Vec::new();
        status(&mut out, &Status::Ok);
        status(&mut out, &Status::Invalid("plans.a: no".into()));
        status(&mut out, &Status::Conflict("b".into()));
        let expected = "{\"status\":\"ok\"}\n{\"status\":\"invalid\",\"error\":\"plans.a: no\"}\n{\"status\":\"conflict\",\"error\":\"b\"}\n";
        assert_eq!(String::from_utf8_lossy(&out), expected);
    }
}
