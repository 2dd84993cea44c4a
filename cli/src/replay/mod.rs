//! `tollgate replay`: a trace through the real engine, on a virtual clock.
//!
//! Streaming: a line is read, decided and answered before the next; answers are written out whenever
//! the input has to be waited for, so that a program can drive a replay line by line. Memory is that
//! of the engine and one line.

mod combined;
mod html;
mod json;
pub(crate) mod line;
pub(crate) mod lines;
pub(crate) mod marks;
mod session;
pub(crate) mod summary;
pub(crate) mod time;
pub(crate) mod timeline;
mod values;

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, bail};
use tollgate::{Changes, Mode, Request};

pub use combined::{Combined, Entry, KeySource};
pub use session::{Session, SessionError, Step};
pub(crate) use time::shown;

use crate::args::{Format, ReplayArgs};
use line::LineError;
use lines::{Found, Lines};
use session::Answer;
use summary::{Progress, Summary, Who};

/// How a replay went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Every line got an answer.
    Answered,
    /// Some lines got an error object.
    SomeFailed,
}

/// Answers are handed over at this many bytes.
const MUCH: usize = 64 << 10;

/// Runs a trace.
///
/// # Errors
/// Bad options, a bad plan file, a file that cannot be read or written. A broken line is none of them.
pub fn run(args: &ReplayArgs) -> anyhow::Result<Ending> {
    if args.format == Format::Json && (args.key.is_some() || args.stage.is_some()) {
        bail!("--key and --stage belong to --format combined: a JSON trace has the fields `key` and `stage`");
    }
    let plans = || args.plans.display();
    // The error of a file that cannot be read names it already.
    let changes = Changes::from_path(&args.plans).map_err(|error| match error {
        tollgate::PlanFileError::Io { .. } => anyhow::Error::new(error),
        _ => anyhow::Error::new(error).context(format!("{}", plans())),
    })?;
    let session = Session::new(changes, args.plan.as_deref(), args.peppers.clone());
    let session = session.map_err(|error| match error {
        SessionError::NoSuchPlan(_) => anyhow::Error::new(error),
        _ => anyhow::Error::new(error).context(format!("{}", plans())),
    })?;

    let (input, size) = open(&args.trace)?;
    let source = args.key.unwrap_or(KeySource::RemoteAddr);
    let reader = match args.format {
        Format::Json => Reader::Json,
        Format::Combined => Reader::Combined(Box::new(Combined::new(source)), args.stage.as_deref()),
    };
    let mut replay = Replay { session, reader, line: 0, failed: 0 };
    let lines = Lines::new(input);
    if args.summary || args.html.is_some() {
        replay.summarise(lines, size, source, args)?;
    } else {
        replay.answer(lines, &args.trace)?;
    }
    Ok(if replay.failed == 0 { Ending::Answered } else { Ending::SomeFailed })
}

/// The input of that name, `-` being standard input, and how many bytes it has, if that is known.
pub(crate) fn open(path: &Path) -> anyhow::Result<(Box<dyn Read>, Option<u64>)> {
    if path == Path::new("-") {
        return Ok((Box::new(io::stdin().lock()), None));
    }
    let name = || path.display().to_string();
    let file = File::open(path).with_context(name)?;
    let about = file.metadata().with_context(name)?;
    Ok((Box::new(file), about.is_file().then_some(about.len())))
}

/// Tells of a line that could not be read, unless `before` it were many such.
pub(crate) fn warn(line: u64, before: u64, error: &LineError) {
    /// Further errors are only counted.
    const SHOWN: u64 = 10;
    if before < SHOWN {
        eprintln!("tollgate: line {line}: {}", summary::shown(&error.to_string(), 400));
    }
}

struct Replay<'a> {
    session: Session,
    reader: Reader<'a>,
    /// Lines read so far.
    line: u64,
    failed: u64,
}

enum Reader<'a> {
    Json,
    /// And the stage of every request.
    Combined(Box<Combined>, Option<&'a str>),
}

impl Reader<'_> {
    fn answer<'l>(&'l mut self, session: &mut Session, found: &Found<'l>) -> Result<Answer<'l>, LineError> {
        let line = found.line()?;
        match self {
            Reader::Json => session.answer(line),
            Reader::Combined(log, stage) => {
                let Entry { at, key, route } = log.read(line)?;
                let mut request = Request::new(key);
                if let Some(stage) = *stage {
                    request = request.stage(stage);
                }
                if let Some(route) = route {
                    request = request.route(route);
                }
                let report = session.decide(request, at, Mode::Check);
                Ok(Answer::Decided { at, report, key: key.into(), peek: false })
            }
        }
    }
}

impl Replay<'_> {
    /// A JSON object per line.
    fn answer(&mut self, mut lines: Lines<impl Read>, trace: &Path) -> anyhow::Result<()> {
        let mut output = io::stdout().lock();
        let mut out = Vec::with_capacity(2 * MUCH);
        let mut hand_over = |out: &mut Vec<u8>| {
            let written = output.write_all(out).and_then(|()| output.flush());
            out.clear();
            match written {
                Ok(()) => Ok(true),
                // Whoever read the answers has seen enough.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(false),
                Err(error) => Err(error).context("standard output"),
            }
        };
        let mut more = true;
        while more {
            while let Some(found) = lines.at_hand() {
                self.answer_line(&found, &mut out);
                if out.len() >= MUCH && !hand_over(&mut out)? {
                    return Ok(());
                }
            }
            if !hand_over(&mut out)? {
                return Ok(());
            }
            more = lines.fill().with_context(|| trace.display().to_string())? > 0;
        }
        if let Some(found) = lines.rest() {
            self.answer_line(&found, &mut out);
        }
        hand_over(&mut out)?;
        Ok(())
    }

    fn answer_line(&mut self, found: &Found<'_>, out: &mut Vec<u8>) {
        self.line += 1;
        match self.reader.answer(&mut self.session, found) {
            Ok(answer) => json::answer(out, &answer),
            Err(error) => {
                json::error(out, &error.to_string(), self.line);
                self.failed += 1;
            }
        }
    }

    /// A table, a page, or both.
    fn summarise(
        &mut self,
        mut lines: Lines<impl Read>,
        size: Option<u64>,
        source: KeySource,
        args: &ReplayArgs,
    ) -> anyhow::Result<()> {
        let who = match (args.format, source) {
            (Format::Combined, KeySource::RemoteAddr | KeySource::RemoteUser) => Who::Named,
            // Who is not registered is known by a secret.
            _ => Who::Numbered,
        };
        // Opened first, so that a long trace is not run in vain.
        let page = |path: &Path| File::create(path).with_context(|| path.display().to_string());
        let page = args.html.as_deref().map(page).transpose()?;
        let mut summary = Summary::new(who);
        let progress = Progress::new(size);
        loop {
            while let Some(found) = lines.at_hand() {
                self.summarise_line(&found, &mut summary);
            }
            let count = lines.fill().with_context(|| args.trace.display().to_string())?;
            progress.add(count as u64, self.line);
            if count == 0 {
                break;
            }
        }
        if let Some(found) = lines.rest() {
            self.summarise_line(&found, &mut summary);
        }
        progress.finish();
        if let Some(mut page) = page {
            let title = args.trace.display().to_string();
            page.write_all(html::page(&summary, &title, args.top)?.as_bytes()).context("--html")?;
        }
        if args.summary {
            let text = format!("{}\n", summary.table(args.top));
            match io::stdout().lock().write_all(text.as_bytes()) {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                    return Err(error).context("standard output");
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn summarise_line(&mut self, found: &Found<'_>, summary: &mut Summary) {
        self.line += 1;
        match self.reader.answer(&mut self.session, found) {
            Ok(Answer::Decided { at, report, key, peek: false }) => summary.add(at, &report, &key),
            Ok(Answer::Decided { peek: true, .. }) => {}
            Ok(Answer::Changed(status)) => summary.changed(&status),
            Ok(
                Answer::Status(_)
                | Answer::Settled { .. }
                | Answer::Days(_)
                | Answer::Events { .. }
                | Answer::Rotated { .. },
            ) => {}
            Err(error) => {
                summary.failed();
                warn(self.line, self.failed, &error);
                self.failed += 1;
            }
        }
    }
}
