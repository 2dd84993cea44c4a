//! Processes are stepped with `ptrace`.

mod attaching;
mod changes;
mod deaths;
mod decisions;
mod memory;
mod metering;
mod scene;
mod walk;

use std::time::Instant;

use walk::{Pace, Tally};

/// What is run: operations whose name holds `only`, at every `stride`th instruction if it is given.
struct Run {
    only: Option<String>,
    stride: Option<u64>,
    phase: u64,
    points: u64,
    after: u64,
}

impl Run {
    fn operation(&mut self, name: &str, pace: Pace, walk: &dyn Fn(Pace) -> Tally) {
        if self.only.as_ref().is_some_and(|only| !name.contains(only.as_str())) {
            return;
        }
        // Each begins at another instruction.
        self.phase += 1;
        let pace = match (self.stride, pace) {
            (None, Pace::Writes) => Pace::Writes,
            (None, Pace::Instructions { stride, .. }) | (Some(stride), _) => {
                Pace::Instructions { stride, phase: self.phase }
            }
        };
        let start = Instant::now();
        let Tally { steps, changes, points, after, .. } = walk(pace);
        let kind = if matches!(pace, Pace::Writes) { "writes" } else { "instructions" };
        println!(
            "{name}: {steps} {kind}, {changes} of them changes; killed at {points} points, {after} of them after the \
             debit or change; 0 stuck, 0 torn ({:.1} s)",
            start.elapsed().as_secs_f64()
        );
        self.points += points;
        self.after += after;
    }
}

pub fn main() {
    let stride = std::env::var("TOLLGATE_STRIDE").ok().map(|stride| stride.parse().unwrap());
    let only = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let mut run = Run { only, stride, phase: 0, points: 0, after: 0 };
    for case in decisions::CASES.iter().chain(changes::CASES).chain(metering::CASES) {
        run.operation(case.name, case.pace, &|pace| case.walk(pace));
    }
    run.operation("attach: a file", Pace::Instructions { stride: 31, phase: 0 }, &attaching::file);
    run.operation("attach: the first", Pace::Writes, &attaching::format);
    run.operation("attach: one more", Pace::Writes, &attaching::join);
    run.operation("two are killed", Pace::Writes, &deaths::helpers);
    let kills = if stride == Some(1) { 2_000 } else { 320 };
    for (name, children) in [
        ("more are killed than there are records", false),
        ("more children of one process are killed than there are records", true),
    ] {
        let pace = Pace::Instructions { stride: 1, phase: 0 };
        run.operation(name, pace, &|_| deaths::more_than_records(kills, children));
    }
    println!(
        "killed at {} points, {} of them after the debit or change; 0 stuck, 0 torn",
        run.points, run.after
    );
    assert!(run.points > 0, "no operation has this name");
}
