//! What outlives a plan's definition: numbers of plans and limits, and the history of each limit.
//!
//! A limit's identity is its plan, place, name, kind and unit. Its number and history stay for as
//! long as the engine lives, so that a limit that comes back finds its state.

use std::collections::HashMap;
use std::sync::Arc;

use crate::algo::gcra::Timeline;
use crate::algo::quota::Schedule;
use crate::algo::rate::Rate;
use crate::calendar::Windows;

/// Where in a plan a limit stands.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) enum Place {
    Own,
    Route(Arc<str>),
    Pool,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Identity {
    pub plan: u32,
    pub place: Place,
    pub name: Arc<str>,
    pub unit: Arc<str>,
}

/// See the module's comment. Cheap to clone: one entry per limit ever defined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    plans: HashMap<Arc<str>, u32>,
    throttles: HashMap<Identity, (u32, Arc<Timeline>)>,
    quotas: HashMap<Identity, (u32, Arc<Schedule>)>,
    /// The instant from which new histories count; see [`Timeline::new`].
    origin: u64,
    limits: u32,
}

impl Directory {
    /// The number of a plan, a new one if it has none.
    pub(crate) fn plan_number(&mut self, name: &str) -> u32 {
        if let Some(&number) = self.plans.get(name) {
            return number;
        }
        // Each takes far more memory than would be needed to run out of numbers.
        let number = self.plans.len() as u32;
        self.plans.insert(name.into(), number);
        number
    }

    pub(crate) fn plan_known(&self, name: &str) -> Option<u32> {
        self.plans.get(name).copied()
    }

    /// The name behind a number.
    pub(crate) fn plan_name(&self, number: u32) -> &str {
        let found = self.plans.iter().find(|&(_, &other)| other == number);
        found.map_or("", |(name, _)| name)
    }

    fn next_limit(limits: &mut u32) -> u32 {
        *limits += 1;
        *limits
    }

    pub(super) fn throttle(
        &mut self,
        identity: Identity,
        rate: Rate,
        burst: u64,
        now: u64,
    ) -> (u32, Arc<Timeline>) {
        let entry = self.throttles.entry(identity).or_insert_with(|| {
            let number = Directory::next_limit(&mut self.limits);
            (number, Arc::new(Timeline::new(rate, burst, self.origin)))
        });
        if !entry.1.is_like(rate, burst) {
            entry.1 = Arc::new(entry.1.changed(rate, burst, now));
        }
        entry.clone()
    }

    pub(super) fn quota(&mut self, identity: Identity, windows: Windows, now: u64) -> (u32, Arc<Schedule>) {
        let entry = self.quotas.entry(identity).or_insert_with(|| {
            let number = Directory::next_limit(&mut self.limits);
            (number, Arc::new(Schedule::new(windows.clone())))
        });
        if *entry.1.windows() != windows {
            entry.1 = Arc::new(entry.1.changed(windows, now));
        }
        entry.clone()
    }

    /// Moves every throttle's origin to `now`; with `fresh`, when nothing was ever decided, in place.
    /// Compiled limits take the result over by [`Directory::timelines`].
    pub(crate) fn rebase(&mut self, now: u64, fresh: bool) {
        self.origin = now.saturating_sub(crate::algo::gcra::LOOK_BACK);
        for (_, timeline) in self.throttles.values_mut() {
            let moved = if fresh { timeline.first_seen(self.origin) } else { timeline.rebased(now) };
            *timeline = Arc::new(moved);
        }
    }

    /// The throttles' present histories by limit number.
    pub(crate) fn timelines(&self) -> HashMap<u32, Arc<Timeline>> {
        self.throttles.values().cloned().collect()
    }
}
