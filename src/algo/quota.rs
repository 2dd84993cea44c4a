//! Quotas: a count per window, windows that change lazily and never go back.

use super::{Standing, Wait};
use crate::calendar::Windows;

/// What a limit stores per subject. The default has never been debited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counter {
    /// Cost admitted in the window.
    pub used: u64,
    /// Start of the newest window that was debited.
    pub window: u64,
    /// Allowance of that window less the limit: an initial debit lowers it, a grant raises it.
    /// Held as a difference so that a changed limit shifts the allowance by as much.
    pub adjust: i64,
    /// The period generation that `window` was written under.
    pub generation: u32,
    /// Whether the first debit under this limit has happened.
    pub debited: bool,
}

/// The numbers of a quota; its windows stand in a [`Schedule`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quota {
    /// At most `i64::MAX`.
    pub limit: u64,
    /// At most `limit`.
    pub initial_debit: u64,
}

/// The windows of one quota over all the changes of its period.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    current: Windows,
    generation: u32,
    /// Those before, oldest first, each with the instant at which the next took over.
    past: Vec<(Windows, u64)>,
}

impl Schedule {
    pub(crate) fn new(windows: Windows) -> Schedule {
        Schedule { current: windows, generation: 0, past: Vec::new() }
    }

    pub(crate) fn windows(&self) -> &Windows {
        &self.current
    }

    /// The schedule with other windows from `at` on (from the last change on, if that was later).
    pub(crate) fn changed(&self, windows: Windows, at: u64) -> Schedule {
        let mut past = self.past.clone();
        let last = past.last().map_or(0, |&(_, until)| until);
        past.push((self.current.clone(), at.max(last)));
        Schedule { current: windows, generation: self.generation + 1, past }
    }

    /// `counter` as it stands under the current windows, or `None` if it was written under later
    /// ones, which this schedule does not know.
    ///
    /// A count whose window was still open at a change moves into the new window of that instant,
    /// and stays until that ends; one whose window had ended is empty.
    pub(crate) fn bring_forward(&self, mut counter: Counter) -> Option<Counter> {
        let missed = self.generation.checked_sub(counter.generation)? as usize;
        let first = self.past.len() - missed;
        for k in first..self.past.len() {
            let (windows, until) = &self.past[k];
            let next = self.past.get(k + 1).map_or(&self.current, |(windows, _)| windows);
            let open = windows.at(counter.window).end.is_none_or(|end| end > *until);
            if !open || !counter.debited {
                (counter.used, counter.adjust) = (0, 0);
            }
            let since = if open { counter.window.max(*until) } else { *until };
            counter.window = next.at(since).start;
        }
        counter.generation = self.generation;
        Some(counter)
    }
}

/// A counter as it is to be judged at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    counter: Counter,
    allowance: u64,
    /// Nanoseconds until the window ends.
    ends_in: Option<u64>,
}

impl Quota {
    /// Opens `counter`, brought forward, in the window that counts at `now`.
    pub(crate) fn open(&self, schedule: &Schedule, counter: Counter, now: u64) -> Open {
        let current = schedule.current.at(now);
        let mut counter = counter;
        let mut window = current;
        if !counter.debited {
            counter = Counter {
                window: current.start,
                // At most i64::MAX, like the limit.
                adjust: -(self.initial_debit as i64),
                generation: schedule.generation,
                ..Counter::default()
            };
        } else if current.start > counter.window {
            (counter.used, counter.adjust, counter.window) = (0, 0, current.start);
        } else if current.start < counter.window {
            window = schedule.current.at(counter.window);
        }
        Open {
            counter,
            allowance: self.limit.saturating_add_signed(counter.adjust),
            ends_in: window.end.map(|end| end.saturating_sub(now)),
        }
    }

    pub(crate) fn wait(&self, open: &Open, cost: u64) -> Wait {
        if cost == 0 || u128::from(open.counter.used) + u128::from(cost) <= open.allowance.into() {
            return Wait::NOW;
        }
        if self.limit == 0 {
            return Wait::Never;
        }
        if cost > self.limit.max(open.allowance) {
            return Wait::Exceeds;
        }
        // The next window allows the whole limit, but an initial debit that is still to come
        // lowers every window until then.
        let next = if open.counter.debited { self.limit } else { open.allowance };
        match open.ends_in {
            Some(wait) if cost <= next => Wait::Nanos(wait),
            _ => Wait::Never,
        }
    }

    /// The counter after `cost`, at least 1, was debited.
    pub(crate) fn debit(&self, open: &Open, cost: u64) -> Open {
        let mut open = *open;
        open.counter.used = open.counter.used.saturating_add(cost);
        open.counter.debited = true;
        open
    }

    pub(crate) fn standing(&self, open: &Open) -> Standing {
        Standing {
            limit: self.limit,
            remaining: open.allowance.saturating_sub(open.counter.used),
            reset: open.ends_in,
        }
    }
}

impl Open {
    /// What is to be stored.
    pub(crate) fn counter(&self) -> Counter {
        self.counter
    }
}
