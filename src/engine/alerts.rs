//! Alerts: raised by the decision that crossed a threshold, kept in a bounded queue until the host reads them.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Engine;
use super::judge::Seat;
use crate::error::ApplyError;
use crate::plan::Limit;
use crate::sync::{AtomicU64, Mutex, Ordering};
use crate::time::Nanos;

/// Alerts that wait to be read, unless a host asks for more or less.
pub(super) const DEFAULT_ROOM: usize = 4_096;

/// What an alert says of its quota.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum Threshold {
    /// So many percent of its limit, 1 to 100, are used up.
    Percent(u32),
    /// It refused a request, or would have where it only observes.
    Breached,
}

/// A quota has come to a threshold, for the first time in its window.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Alert {
    subject: Option<Arc<str>>,
    plan: Arc<str>,
    limit: Arc<str>,
    threshold: Threshold,
    window_start: Nanos,
}

impl Alert {
    /// Without a percentage it is a breach.
    pub(super) fn new(seat: &Seat<'_>, limit: &Limit, percent: Option<u32>, start: u64) -> Alert {
        Alert {
            subject: seat.account.name(),
            plan: seat.plan.clone(),
            limit: limit.name.clone(),
            threshold: percent.map_or(Threshold::Breached, Threshold::Percent),
            window_start: Nanos::new(start),
        }
    }

    /// Whose quota it is; `None`: that of all subjects on the plan together.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// The plan.
    pub fn plan(&self) -> &str {
        &self.plan
    }

    /// The quota, as reports name it.
    pub fn limit(&self) -> &str {
        &self.limit
    }

    /// What it has come to.
    pub fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// The first instant of the window that it happened in.
    pub fn window_start(&self) -> Nanos {
        self.window_start
    }
}

/// The alerts since they were last read.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Alerts {
    /// In the order in which they were raised.
    pub events: Vec<Alert>,
    /// Alerts that there was no room for.
    pub dropped: u64,
}

/// See the module's comment.
pub(super) struct Queue {
    room: usize,
    /// Those that wait, and how many were dropped since they were last read.
    waiting: Mutex<(VecDeque<Alert>, u64)>,
    /// Dropped in all. Relaxed: a count by itself.
    dropped: AtomicU64,
}

impl Queue {
    /// With room at once: a decision that raises an alert allocates nothing.
    pub(super) fn new(room: usize) -> Result<Queue, ApplyError> {
        let mut events = VecDeque::new();
        let bytes = room.saturating_mul(size_of::<Alert>()) as u64;
        events.try_reserve_exact(room).map_err(|_| ApplyError::Memory { field: "alerts", bytes })?;
        Ok(Queue { room, waiting: Mutex::new((events, 0)), dropped: AtomicU64::new(0) })
    }

    #[cold]
    fn push(&self, alert: Alert) {
        let mut waiting = self.waiting.lock();
        let (events, dropped) = &mut *waiting;
        if events.len() < self.room {
            events.push_back(alert);
        } else {
            *dropped = dropped.saturating_add(1);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many wait, and how many were dropped in all.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.waiting.lock().0.len() as u64, self.dropped.load(Ordering::Relaxed))
    }

    fn take(&self, most: usize) -> Alerts {
        let mut waiting = self.waiting.lock();
        let (events, dropped) = &mut *waiting;
        let most = most.min(events.len());
        Alerts { events: events.drain(..most).collect(), dropped: std::mem::take(dropped) }
    }
}

impl Engine {
    pub(super) fn raise(&self, alerts: impl IntoIterator<Item = Alert>) {
        alerts.into_iter().for_each(|alert| self.alerts.push(alert));
    }

    /// Takes the alerts that were raised since the last call: each threshold of each quota once per window, by this
    /// process. Those that come when [so many](crate::EngineBuilder::alerts) wait are counted and dropped.
    pub fn alerts(&self) -> Alerts {
        self.alerts_up_to(usize::MAX)
    }

    /// [`alerts`](Engine::alerts), of those that wait the `most` oldest.
    pub fn alerts_up_to(&self, most: usize) -> Alerts {
        self.alerts.take(most)
    }
}
