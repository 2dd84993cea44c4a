//! What a trace came to: counts per subject and limit, in bounded memory.

use std::collections::HashMap;
use std::time::Duration;

use comfy_table::{CellAlignment, ContentArrangement, LineStyle, Table, TableStyle};
use indicatif::{HumanCount, ProgressBar, ProgressStyle};
use tollgate::{Nanos, Report, Verdict};

use super::json::Status;
use super::marks::Marks;
use super::time;
use super::timeline::Timeline;

/// Whether subjects that are not registered are shown by their key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    Named,
    /// Their keys are secrets: they are numbered in order of their first request.
    Numbered,
}

/// So many subjects have rows of their own; later ones are counted together.
const MOST_SUBJECTS: usize = 65_536;

/// Characters of a name that are shown.
const LONGEST_NAME: usize = 60;

/// Requests by outcome.
#[derive(Clone, Default, Debug)]
pub(crate) struct Counts {
    pub(crate) requests: u64,
    pub(crate) admitted: u64,
    pub(crate) delayed: u64,
    pub(crate) would_deny: u64,
    /// By verdict, in the order of their first occurrence.
    refused: Vec<(Verdict, u64)>,
}

impl Counts {
    fn add(&mut self, report: &Report) {
        let decision = report.decision();
        self.requests += 1;
        self.would_deny += u64::from(decision.would_deny() == Some(true));
        if decision.is_allowed() {
            self.admitted += 1;
            self.delayed += u64::from(decision.verdict() == Verdict::Delayed);
            return;
        }
        *self.refused_by(decision.verdict()) += 1;
    }

    pub(crate) fn merge(&mut self, other: &Counts) {
        self.requests += other.requests;
        self.admitted += other.admitted;
        self.delayed += other.delayed;
        self.would_deny += other.would_deny;
        for &(verdict, count) in &other.refused {
            *self.refused_by(verdict) += count;
        }
    }

    fn refused_by(&mut self, verdict: Verdict) -> &mut u64 {
        let at = self.refused.iter().position(|(other, _)| *other == verdict);
        let at = at.unwrap_or_else(|| {
            self.refused.push((verdict, 0));
            self.refused.len() - 1
        });
        &mut self.refused[at].1
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.iter().map(|(_, count)| count).sum()
    }

    /// `throttled 3, quota_exceeded 1`.
    pub(crate) fn causes(&self) -> String {
        let refused = self.refused.iter().map(|&(verdict, count)| (verdict.as_str(), count));
        let others = [("delayed", self.delayed), ("would_deny", self.would_deny)];
        let others = others.into_iter().filter(|&(_, count)| count > 0);
        let parts: Vec<_> =
            refused.chain(others).map(|(name, count)| format!("{name} {}", HumanCount(count))).collect();
        parts.join(", ")
    }
}

/// One limit of one subject.
#[derive(Debug)]
pub(crate) struct LimitRow {
    pub(crate) name: String,
    /// Admitted requests that it applied to.
    pub(crate) admitted: u64,
    /// Requests that it refused, or in observe mode would have.
    pub(crate) refused: u64,
    /// The most that was in use at once, and the limit then.
    pub(crate) peak: (u64, u64),
}

/// One subject on one plan, or all requests that came to the same key error.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) subject: String,
    pub(crate) plan: String,
    pub(crate) counts: Counts,
    pub(crate) limits: Vec<LimitRow>,
}

impl Row {
    fn new(subject: String, plan: &str) -> Row {
        Row { subject, plan: plan.into(), counts: Counts::default(), limits: Vec::new() }
    }

    fn add(&mut self, report: &Report) {
        self.counts.add(report);
        for limit in report.limits() {
            let at = self.limits.iter().position(|row| row.name == limit.name());
            let at = at.unwrap_or_else(|| {
                let name = limit.name().to_owned();
                self.limits.push(LimitRow { name, admitted: 0, refused: 0, peak: (0, limit.limit()) });
                self.limits.len() - 1
            });
            let row = &mut self.limits[at];
            row.admitted += u64::from(report.decision().is_allowed());
            row.refused += u64::from(limit.is_violated());
            let used = limit.limit().saturating_sub(limit.remaining());
            if used >= row.peak.0 {
                row.peak = (used, limit.limit());
            }
        }
    }
}

/// See the module's comment.
pub(crate) struct Summary {
    who: Who,
    marks: Marks,
    /// Index into `rows` by the mark of subject and plan.
    known: HashMap<u128, usize>,
    rows: Vec<Row>,
    anonymous: u64,
    /// Requests of subjects past [`MOST_SUBJECTS`].
    beyond: Counts,
    pub(crate) total: Counts,
    pub(crate) timeline: Timeline,
    /// First and last instant of a request.
    span: Option<(Nanos, Nanos)>,
    failed: u64,
    changes: u64,
    changes_refused: u64,
}

impl Summary {
    pub(crate) fn new(who: Who) -> Summary {
        Summary {
            who,
            marks: Marks::new(),
            known: HashMap::new(),
            rows: Vec::new(),
            anonymous: 0,
            beyond: Counts::default(),
            total: Counts::default(),
            timeline: Timeline::new(),
            span: None,
            failed: 0,
            changes: 0,
            changes_refused: 0,
        }
    }

    /// Counts a request.
    pub(crate) fn add(&mut self, at: Nanos, report: &Report, key: &[u8]) {
        self.total.add(report);
        let bin = self.timeline.at(at);
        match report.decision().is_allowed() {
            true => bin.admitted += 1,
            false => bin.refused += 1,
        }
        let (first, last) = self.span.unwrap_or((at, at));
        self.span = Some((first.min(at), last.max(at)));

        let verdict = report.decision().verdict();
        let mark = match (report.plan(), report.subject()) {
            (None, _) => self.marks.of(verdict),
            (Some(plan), Some(subject)) => self.marks.of((1, plan, subject)),
            (Some(plan), None) => self.marks.of((2, plan, key)),
        };
        let row = match self.known.get(&mark) {
            Some(&row) => row,
            None if self.rows.len() == MOST_SUBJECTS => return self.beyond.add(report),
            None => {
                let subject = match (report.plan(), report.subject(), self.who) {
                    (None, ..) => format!("({verdict})"),
                    (_, Some(subject), _) => subject.to_owned(),
                    (_, None, Who::Named) => shown(&String::from_utf8_lossy(key), LONGEST_NAME),
                    (_, None, Who::Numbered) => {
                        self.anonymous += 1;
                        format!("anonymous {}", self.anonymous)
                    }
                };
                self.rows.push(Row::new(subject, report.plan().unwrap_or_default()));
                self.known.insert(mark, self.rows.len() - 1);
                self.rows.len() - 1
            }
        };
        self.rows[row].add(report);
    }

    pub(crate) fn changed(&mut self, status: &Status) {
        match status {
            Status::Ok => self.changes += 1,
            Status::Conflict(_) | Status::Invalid(_) => self.changes_refused += 1,
        }
    }

    pub(crate) fn failed(&mut self) {
        self.failed += 1;
    }

    /// The rows with most requests, most first, and what the others come to.
    pub(crate) fn top(&self, count: usize) -> (Vec<&Row>, Option<(usize, Counts)>) {
        let mut rows: Vec<&Row> = self.rows.iter().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.counts.requests));
        let others = rows.split_off(count.min(rows.len()));
        let mut rest = self.beyond.clone();
        others.iter().for_each(|row| rest.merge(&row.counts));
        (rows, (rest.requests > 0).then_some((others.len(), rest)))
    }

    /// What the rows past the top are called; `rows` of them are known one by one.
    pub(crate) fn others_name(&self, rows: usize) -> String {
        let more = if self.beyond.requests > 0 { " and more" } else { "" };
        format!("({} others{more})", HumanCount(rows as u64))
    }

    /// Totals in sentences.
    pub(crate) fn headline(&self) -> String {
        let total = &self.total;
        let mut text = format!(
            "{} requests: {} admitted, {} refused",
            HumanCount(total.requests),
            HumanCount(total.admitted),
            HumanCount(total.refused())
        );
        let causes = total.causes();
        if !causes.is_empty() {
            text += &format!(" ({causes})");
        }
        if let Some((first, last)) = self.span {
            text += &format!("; {} to {} UTC", time::shown(first), time::shown(last));
        }
        if self.changes + self.changes_refused > 0 {
            text += &format!("; {} changes, {} more refused", self.changes, self.changes_refused);
        }
        if self.failed > 0 {
            text += &format!("; {} lines could not be read", HumanCount(self.failed));
        }
        text
    }

    /// The table for a terminal or file.
    pub(crate) fn table(&self, top: usize) -> String {
        let mut table = plain_table();
        table.set_header(["subject", "plan", "limit", "admitted", "refused", "peak", "causes"]);
        let number = |n: u64| HumanCount(n).to_string();
        let (rows, others) = self.top(top);
        for row in rows {
            let counts = &row.counts;
            table.add_row([
                row.subject.clone(),
                row.plan.clone(),
                "all".into(),
                number(counts.admitted),
                number(counts.refused()),
                String::new(),
                counts.causes(),
            ]);
            for limit in &row.limits {
                table.add_row([
                    String::new(),
                    String::new(),
                    limit.name.clone(),
                    number(limit.admitted),
                    number(limit.refused),
                    format!("{} of {}", number(limit.peak.0), number(limit.peak.1)),
                    String::new(),
                ]);
            }
        }
        if let Some((count, rest)) = others {
            table.add_row([
                self.others_name(count),
                String::new(),
                "all".into(),
                number(rest.admitted),
                number(rest.refused()),
                String::new(),
                rest.causes(),
            ]);
        }
        align_right(&mut table, 3..6);
        format!("{}\n{table}", self.headline())
    }
}

/// A table with a line under its header, as wide as its content.
pub(crate) fn plain_table() -> Table {
    const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::new('─', '─', '─', '─'));
    let mut table = Table::new();
    table.load_style(STYLE);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table
}

/// For columns of numbers.
pub(crate) fn align_right(table: &mut Table, columns: std::ops::Range<usize>) {
    for column in columns {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
}

/// Text of a trace as it may go to a terminal: at most so many characters, no control characters.
pub(crate) fn shown(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    let mut characters = text.chars();
    for character in characters.by_ref().take(longest) {
        match character.is_control() {
            true => shown.extend(character.escape_default()),
            false => shown.push(character),
        }
    }
    if characters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// A bar on a terminal, nothing elsewhere.
pub(crate) struct Progress {
    bar: ProgressBar,
    /// What is counted beside it.
    things: &'static str,
}

impl Progress {
    /// Through an input of so many bytes.
    pub(crate) fn new(size: Option<u64>) -> Progress {
        match size {
            Some(size) => {
                let template = "{bar:40} {percent}%  {msg}  {binary_bytes_per_sec}  {eta} left";
                Progress::with(ProgressBar::new(size), template, "lines")
            }
            None => {
                let template = "{spinner} {msg}  {binary_bytes}  {binary_bytes_per_sec}";
                Progress::with(ProgressBar::new_spinner(), template, "lines")
            }
        }
    }

    /// Through so much virtual time, in nanoseconds.
    pub(crate) fn through(duration: u64) -> Progress {
        let template = "{bar:40} {percent}%  {msg}  {eta} left";
        Progress::with(ProgressBar::new(duration), template, "requests")
    }

    fn with(bar: ProgressBar, template: &str, things: &'static str) -> Progress {
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.enable_steady_tick(Duration::from_millis(200));
        Progress { bar, things }
    }

    /// On by so many bytes or nanoseconds; `count` things in all.
    pub(crate) fn add(&self, by: u64, count: u64) {
        if !self.bar.is_hidden() {
            self.bar.inc(by);
            self.bar.set_message(format!("{} {}", HumanCount(count), self.things));
        }
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::Session;
    use tollgate::{Changes, Mode, Request};

    fn summary(who: Who, keys: &[&str], top: usize) -> (Summary, String) {
        let plans =
            "[plans.p]\nthrottle = { rate = \"1/d\", burst = 2 }\nquotas = [{ limit = 9, per = \"day\" }]";
        let session = Session::new(Changes::from_toml(plans).unwrap(), Some("p"), Vec::new()).unwrap();
        let mut summary = Summary::new(who);
        for (n, key) in keys.iter().enumerate() {
            let at = Nanos::new(1_700_000_000_000_000_000 + n as u64);
            let report = session.decide(Request::new(key.as_bytes()), at, Mode::Check);
            summary.add(at, &report, key.as_bytes());
        }
        let table = summary.table(top);
        (summary, table)
    }

    #[test]
    fn requests_are_counted_by_subject_and_limit() {
        let (summary, table) = summary(Who::Named, &["a", "b", "a", "a", "a", ""], 9);
        assert!(
            table.starts_with("6 requests: 3 admitted, 3 refused (throttled 2, key_missing 1); 2023"),
            "{table}"
        );
        let (rows, others) = summary.top(9);
        assert!(others.is_none());
        assert_eq!(rows[0].subject, "a");
        assert_eq!((rows[0].counts.admitted, rows[0].counts.refused()), (2, 2));
        let limits: Vec<_> =
            rows[0].limits.iter().map(|l| (&*l.name, l.admitted, l.refused, l.peak)).collect();
        assert_eq!(limits, [("throttle", 2, 2, (2, 2)), ("day", 2, 0, (2, 9))]);
        assert!(rows.iter().any(|row| row.subject == "(key_missing)" && row.limits.is_empty()));
    }

    #[test]
    fn those_past_the_top_are_summed() {
        let (_, table) = summary(Who::Named, &["a", "a", "b", "c", "c", "c"], 1);
        assert!(table.contains("(2 others)"), "{table}");
        assert!(!table.contains("\n b "), "{table}");
    }

    #[test]
    fn secrets_and_control_characters_are_not_shown() {
        let (_, table) = summary(Who::Numbered, &["hunter2", "hunter2", "swordfish"], 9);
        assert!(table.contains("anonymous 1") && table.contains("anonymous 2"), "{table}");
        assert!(!table.contains("hunter2") && !table.contains("swordfish"), "{table}");
        let long = "x".repeat(4_000);
        let (_, table) = summary(Who::Named, &["\x1b[31mred", &long], 9);
        assert!(table.contains("\\u{1b}[31mred") && !table.contains('\x1b'), "{table}");
        assert!(table.contains('…') && !table.contains(&long[..LONGEST_NAME + 1]), "{table}");
    }
}
