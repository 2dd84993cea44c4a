//! Answers, written as JSON straight into a byte buffer.

use tollgate::{Nanos, Report, Threshold};

use super::session::{Answer, Day, Event};

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
        Answer::Status(name) => settled(out, name, None),
        Answer::Settled { status, overdraft } => settled(out, status, *overdraft),
        Answer::Days(days) => self::days(out, days),
        Answer::Events { events, dropped } => self::events(out, events, *dropped),
        Answer::Rotated { value } => rotated(out, value.as_ref().map(|value| &value[..])),
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

/// `status` is a word without anything to escape.
fn settled(out: &mut Vec<u8>, status: &'static str, overdraft: Option<u64>) {
    out.extend_from_slice(b"{\"status\":\"");
    out.extend_from_slice(status.as_bytes());
    out.push(b'"');
    if let Some(overdraft) = overdraft {
        out.extend_from_slice(b",\"overdraft\":");
        integer(out, overdraft);
    }
    out.extend_from_slice(b"}\n");
}

fn days(out: &mut Vec<u8>, days: &[Day]) {
    out.extend_from_slice(b"{\"days\":[");
    let mut separator: &[u8] = b"";
    for day in days {
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"limit\":");
        string(out, &day.limit);
        out.extend_from_slice(b",\"date\":");
        string(out, &day.date);
        out.extend_from_slice(b",\"used\":");
        integer(out, day.used);
        out.extend_from_slice(b",\"remaining\":");
        integer(out, day.remaining);
        out.extend_from_slice(b",\"refused\":");
        integer(out, day.refused);
        out.push(b'}');
        separator = b",";
    }
    out.extend_from_slice(b"]}\n");
}

fn events(out: &mut Vec<u8>, events: &[Event], dropped: u64) {
    out.extend_from_slice(b"{\"events\":[");
    let mut separator: &[u8] = b"";
    for event in events {
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"subject\":");
        match &event.subject {
            Some(subject) => string(out, subject),
            None => out.extend_from_slice(b"null"),
        }
        out.extend_from_slice(b",\"plan\":");
        string(out, &event.plan);
        out.extend_from_slice(b",\"limit\":");
        string(out, &event.limit);
        out.extend_from_slice(b",\"threshold\":");
        match event.threshold {
            Threshold::Percent(percent) => integer(out, percent.into()),
            _ => out.extend_from_slice(b"\"breached\""),
        }
        out.extend_from_slice(b",\"window_start\":");
        integer(out, event.window_start.get());
        out.push(b'}');
        separator = b",";
    }
    out.extend_from_slice(b"],\"dropped\":");
    integer(out, dropped);
    out.extend_from_slice(b"}\n");
}

/// The one answer that shows a key: the engine made it, and nobody could know it otherwise.
fn rotated(out: &mut Vec<u8>, value: Option<&[u8]>) {
    out.extend_from_slice(b"{\"status\":\"ok\"");
    if let Some(value) = value {
        out.extend_from_slice(b",\"value\":");
        string(out, &String::from_utf8_lossy(value));
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

    fn written(of: &Answer<'_>) -> String {
        let mut out = Vec::new();
        answer(&mut out, of);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn statuses_are_answered() {
        let settled = |status, overdraft| written(&Answer::Settled { status, overdraft });
        assert_eq!(settled("settled", Some(5)), "{\"status\":\"settled\",\"overdraft\":5}\n");
        assert_eq!(
            settled("late", Some(u64::MAX)),
            "{\"status\":\"late\",\"overdraft\":18446744073709551615}\n"
        );
        assert_eq!(settled("already_settled", None), "{\"status\":\"already_settled\"}\n");
        assert_eq!(written(&Answer::Status("refunded")), "{\"status\":\"refunded\"}\n");
        assert_eq!(written(&Answer::Status("ok")), "{\"status\":\"ok\"}\n");
    }

    #[test]
    fn usage_is_answered() {
        assert_eq!(written(&Answer::Days(Vec::new())), "{\"days\":[]}\n");
        let day = |limit: &str, date: &str, used| Day {
            limit: limit.into(),
            date: date.into(),
            used,
            remaining: 3,
            refused: 1,
        };
        let days = vec![day("daily", "2026-01-31", 7), day("route:GET /\"a\\:\n", "2026-02-01", u64::MAX)];
        assert_eq!(
            written(&Answer::Days(days)),
            concat!(
                r#"{"days":[{"limit":"daily","date":"2026-01-31","used":7,"remaining":3,"refused":1},"#,
                r#"{"limit":"route:GET /\"a\\:\n","date":"2026-02-01","used":18446744073709551615,"remaining":3,"refused":1}]}"#,
                "\n"
            )
        );
    }

    #[test]
    fn alerts_are_answered() {
        let none = Answer::Events { events: Vec::new(), dropped: 2 };
        assert_eq!(written(&none), "{\"events\":[],\"dropped\":2}\n");
        let events = vec![
            Event {
                subject: None,
                plan: "gold".into(),
                limit: "pool:all-day".into(),
                threshold: Threshold::Percent(80),
                window_start: Nanos::ZERO,
            },
            Event {
                subject: Some("a\"\u{1}".into()),
                plan: "\\p".into(),
                limit: "\tdaily ä".into(),
                threshold: Threshold::Breached,
                window_start: Nanos::new(u64::MAX),
            },
        ];
        assert_eq!(
            written(&Answer::Events { events, dropped: 0 }),
            concat!(
                r#"{"events":[{"subject":null,"plan":"gold","limit":"pool:all-day","threshold":80,"window_start":0},"#,
                r#"{"subject":"a\"\u0001","plan":"\\p","limit":"\tdaily ä","threshold":"breached","window_start":18446744073709551615}],"dropped":0}"#,
                "\n"
            )
        );
    }

    #[test]
    fn a_key_is_shown_if_the_engine_made_it() {
        let rotated = |value: Option<&str>| {
            written(&Answer::Rotated { value: value.map(|value| value.as_bytes().to_vec().into()) })
        };
        assert_eq!(rotated(None), "{\"status\":\"ok\"}\n");
        assert_eq!(rotated(Some("tg_\"x")), "{\"status\":\"ok\",\"value\":\"tg_\\\"x\"}\n");
    }
}
