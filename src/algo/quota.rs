//! Quotas: a count per window, windows that change lazily and never go back.

use super::{Standing, Wait};
use crate::calendar::Windows;

/// What a limit stores per subject. The default has never been debited.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Counter {
    /// Cost admitted in the window, and the initial debit in the window of the first one. At most `i64::MAX`.
    pub charged: u64,
    /// 1 + the number of the newest window that was debited; 0: none ever was.
    pub window: u64,
    /// The period generation that `window` was written under.
    pub generation: u32,
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

    /// Number of the current period.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// `counter` as it stands under the current windows, or `None` if it was written under later
    /// ones, which this schedule does not know.
    ///
    /// A count whose window was still open at a change moves into the new window of that instant,
    /// and stays until that ends; one whose window had ended is empty.
    #[inline]
    pub(crate) fn bring_forward(&self, counter: Counter) -> Option<Counter> {
        if counter.generation == self.generation || counter.window == 0 {
            return Some(Counter { generation: self.generation, ..counter });
        }
        self.bring_forward_stale(counter)
    }

    #[cold]
    fn bring_forward_stale(&self, counter: Counter) -> Option<Counter> {
        let missed = self.generation.checked_sub(counter.generation)? as usize;
        let first = self.past.len().checked_sub(missed)?;
        let mut charged = counter.charged;
        let mut start = self.past[first].0.start_of(counter.window - 1);
        for k in first..self.past.len() {
            let (windows, until) = &self.past[k];
            let next = self.past.get(k + 1).map_or(&self.current, |(windows, _)| windows);
            let open = windows.at(start).end.is_none_or(|end| end > *until);
            if !open {
                charged = 0;
            }
            let since = if open { start.max(*until) } else { *until };
            start = next.at(since).start;
        }
        Some(Counter { charged, window: 1 + self.current.number(start), generation: self.generation })
    }

    /// The [`window`](Counter::window) of a counter that was debited in the window of `now`.
    #[inline(always)]
    pub(crate) fn window_at(&self, now: u64) -> u64 {
        1 + self.current.number_at(now)
    }

    /// Nanoseconds from `now` until `counter`, brought forward, counts no more; `None`: never.
    pub(crate) fn time_to_end(&self, counter: Counter, now: u64) -> Option<u64> {
        let Some(number) = counter.window.checked_sub(1) else { return Some(0) };
        let window = self.current.at(self.current.start_of(number));
        window.end.map(|end| end.saturating_sub(now))
    }
}

/// A counter as it is to be judged at one instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    counter: Counter,
    /// Whether the first debit has happened.
    debited: bool,
    /// Nanoseconds until the window ends.
    ends_in: Option<u64>,
}

impl Quota {
    /// Opens `counter`, brought forward, in the window that counts at `now`.
    #[inline]
    pub(crate) fn open(&self, schedule: &Schedule, counter: Counter, now: u64) -> Open {
        let windows = &schedule.current;
        let mut window = windows.at(now);
        let number = 1 + windows.number(window.start);
        let debited = counter.window != 0;
        let mut counter = counter;
        if !debited {
            counter =
                Counter { charged: self.initial_debit, window: number, generation: schedule.generation };
        } else if number > counter.window {
            (counter.charged, counter.window) = (0, number);
        } else if number < counter.window {
            window = windows.at(windows.start_of(counter.window - 1));
        }
        Open { counter, debited, ends_in: window.end.map(|end| end.saturating_sub(now)) }
    }

    #[inline]
    pub(crate) fn wait(&self, open: &Open, cost: u64) -> Wait {
        if cost == 0 || u128::from(open.counter.charged) + u128::from(cost) <= self.limit.into() {
            return Wait::NOW;
        }
        if self.limit == 0 {
            return Wait::Never;
        }
        if cost > self.limit {
            return Wait::Exceeds;
        }
        // The next window allows the whole limit, but an initial debit that is still to come
        // lowers every window until then.
        let next = if open.debited { self.limit } else { self.limit.saturating_sub(self.initial_debit) };
        match open.ends_in {
            Some(wait) if cost <= next => Wait::Nanos(wait),
            _ => Wait::Never,
        }
    }

    /// The counter after `cost`, at least 1, was debited.
    #[inline]
    pub(crate) fn debit(&self, open: &Open, cost: u64) -> Open {
        let charged = open.counter.charged.saturating_add(cost).min(i64::MAX as u64);
        Open { counter: Counter { charged, ..open.counter }, debited: true, ..*open }
    }

    pub(crate) fn standing(&self, open: &Open) -> Standing {
        Standing {
            limit: self.limit,
            remaining: self.limit.saturating_sub(open.counter.charged),
            reset: open.ends_in,
        }
    }
}

impl Open {
    /// What is to be stored.
    #[inline]
    pub(crate) fn counter(&self) -> Counter {
        self.counter
    }
}
