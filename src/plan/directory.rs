//! What outlives a plan's definition: numbers of plans, lines and segments, and the history of each limit.
//!
//! A limit's identity is its plan, place, name, kind and unit, known by a keyed hash. Its line and history stay for as
//! long as the state does, so that a limit that comes back finds it.
//!
//! Limits of one place and unit share *lines*: a throttle and two quotas each. A line's state is written under a
//! *segment*, a number that stands for the line and the generation of its throttle.
//!
//! A directory is what its [`Event`]s make of an empty one, and nothing else: processes that share state share the list of
//! events, and so agree on every number and history.

use std::collections::HashMap;
use std::sync::Arc;

use super::event::{EVENT_WORDS, Event, LimitKind};
use crate::algo::gcra::{Bucket, LOOK_BACK, RANGE, Timeline};
use crate::algo::quota::Schedule;

/// Quotas of a line.
pub(crate) const QUOTAS: usize = 2;

/// A limit's place in its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Throttle,
    /// Below [`QUOTAS`].
    Quota(usize),
    /// All of a line.
    Slots,
}

/// The histories of one line's limits.
#[derive(Clone, Debug)]
pub(crate) struct Shape {
    /// From 1.
    pub line: u32,
    /// The segment that the line is written under now, from 1.
    pub segment: u32,
    pub throttle: Option<Arc<Timeline>>,
    pub quotas: [Option<QuotaPart>; QUOTAS],
}

#[derive(Clone, Debug)]
pub(crate) struct QuotaPart {
    pub schedule: Arc<Schedule>,
    /// Whether a first debit would find an initial debit.
    pub initial_debit: bool,
}

/// Why a limit cannot be defined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TooMany {
    /// Lines and changes of rate together: numbers end at 2^16.
    Segments,
    /// Changes of one quota's limit, period and zone: generations end at 2^15.
    Periods,
    /// Events of a region: as many as it was formatted for.
    Events,
}

const SEGMENTS: usize = (1 << 16) - 1;
const PERIODS: u32 = 1 << 15;

/// See the module's comment. One entry per limit ever defined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    /// Private to the process: nothing that is shared names a plan's number.
    plans: HashMap<Arc<str>, u32, ahash::RandomState>,
    limits: HashMap<u128, (u32, Part)>,
    groups: HashMap<u128, Vec<u32>>,
    /// By line number less 1.
    shapes: Vec<Arc<Shape>>,
    /// By line number less 1: whether the throttle and the quotas belong to a limit.
    given: Vec<(bool, [bool; QUOTAS])>,
    /// By segment number less 1: the line, and the generation of its throttle if it had one.
    segments: Vec<(u32, Option<u32>)>,
    /// The instant that arithmetic counts from; none until something is decided or changed.
    base: Option<u64>,
    /// The events so far, in their form in memory that is shared.
    events: rpds::VectorSync<[u128; EVENT_WORDS]>,
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

    /// Number of events that made this directory.
    pub(crate) fn events(&self) -> u64 {
        self.events.len() as u64
    }

    /// Those events.
    pub(crate) fn list(&self) -> impl Iterator<Item = &[u128; EVENT_WORDS]> {
        self.events.iter()
    }

    /// The last instant that arithmetic reaches; 0 before there is a base.
    pub(crate) fn covers(&self) -> u64 {
        self.base.map_or(0, |base| base.saturating_add(RANGE - LOOK_BACK))
    }

    pub(super) fn part(&self, limit: u128) -> Option<(u32, Part)> {
        self.limits.get(&limit).copied()
    }

    pub(crate) fn shape(&self, line: u32) -> Option<&Arc<Shape>> {
        self.shapes.get((line as usize).checked_sub(1)?)
    }

    /// The bucket of a line that was written under `segment`; `None` if this directory does not know the
    /// segment yet.
    #[inline]
    pub(crate) fn bucket(&self, shape: &Shape, segment: u32, level: u128) -> Option<Bucket> {
        let Some(timeline) = &shape.throttle else { return Some(Bucket::default()) };
        if segment == shape.segment {
            return Some(Bucket { level, generation: timeline.generation() });
        }
        let (line, generation) = *self.segments.get((segment as usize).checked_sub(1)?)?;
        match generation {
            Some(generation) if line == shape.line => timeline.bring_forward(Bucket { level, generation }),
            // Before the line had a throttle.
            _ => Some(Bucket { level: 0, generation: timeline.generation() }),
        }
    }

    /// The line that `segment` belongs to.
    pub(crate) fn shape_of(&self, segment: u32) -> Option<&Arc<Shape>> {
        let &(line, _) = self.segments.get((segment as usize).checked_sub(1)?)?;
        self.shape(line)
    }

    /// Goes on by one event. One that makes no sense, or that there is no room for, counts and changes nothing.
    pub(crate) fn apply(&mut self, event: Option<&Event>) -> Result<(), TooMany> {
        // What has no such form is none that a region holds, nor any that a heap's limits are made of.
        self.events.push_back_mut(event.and_then(Event::words).unwrap_or_default());
        match event {
            None => Ok(()),
            Some(&Event::Limit { group, limit, kind }) => self.place(group, limit, kind),
            Some(&Event::Throttle { line, rate, burst, at }) => {
                let origin = self.origin();
                let Some(shape) = self.shape(line) else { return Ok(()) };
                let timeline = match &shape.throttle {
                    None => Timeline::new(rate, burst, origin),
                    Some(timeline) if timeline.is_like(rate, burst) => return Ok(()),
                    Some(timeline) => timeline.changed(rate, burst, at),
                };
                self.set_timeline(line, timeline)
            }
            Some(Event::Quota { line, slot, limit, windows, initial_debit, at }) => {
                let Some(shape) = self.shapes.get_mut((*line as usize).wrapping_sub(1)) else {
                    return Ok(());
                };
                let Some(known) = Arc::make_mut(shape).quotas.get_mut(*slot) else { return Ok(()) };
                let schedule = match known {
                    None => Arc::new(Schedule::new(windows.clone(), *limit)),
                    Some(known) if known.schedule.is_like(windows, *limit) => known.schedule.clone(),
                    Some(known) => Arc::new(known.schedule.changed(windows.clone(), *limit, *at)),
                };
                if schedule.generation() >= PERIODS {
                    return Err(TooMany::Periods);
                }
                *known = Some(QuotaPart { schedule, initial_debit: *initial_debit });
                Ok(())
            }
            Some(&Event::Base { at }) => {
                self.rebase(at);
                Ok(())
            }
        }
    }

    /// The instant from which new histories count; see [`Timeline::new`].
    fn origin(&self) -> u64 {
        self.base.map_or(0, |base| base.saturating_sub(LOOK_BACK))
    }

    /// Gives a limit a line and part.
    fn place(&mut self, group: u128, limit: u128, kind: LimitKind) -> Result<(), TooMany> {
        if self.limits.contains_key(&limit) {
            return Ok(());
        }
        let lines = self.groups.entry(group).or_default();
        let free = |&line: &u32| {
            let given = &self.given[line as usize - 1];
            let part = match kind {
                LimitKind::Throttle => (!given.0).then_some(Part::Throttle),
                LimitKind::Quota => given.1.iter().position(|given| !given).map(Part::Quota),
                LimitKind::Concurrency => None,
            };
            part.map(|part| (line, part))
        };
        let found = match lines.iter().find_map(free) {
            Some(found) => found,
            None => {
                if self.segments.len() >= SEGMENTS {
                    return Err(TooMany::Segments);
                }
                let line = self.shapes.len() as u32 + 1;
                lines.push(line);
                self.segments.push((line, None));
                let segment = self.segments.len() as u32;
                let quotas = [const { None }; QUOTAS];
                self.shapes.push(Arc::new(Shape { line, segment, throttle: None, quotas }));
                self.given.push((false, [false; QUOTAS]));
                let part = match kind {
                    LimitKind::Throttle => Part::Throttle,
                    LimitKind::Quota => Part::Quota(0),
                    LimitKind::Concurrency => Part::Slots,
                };
                (line, part)
            }
        };
        let given = &mut self.given[found.0 as usize - 1];
        match found.1 {
            Part::Throttle => given.0 = true,
            Part::Quota(slot) => given.1[slot] = true,
            Part::Slots => *given = (true, [true; QUOTAS]),
        }
        self.limits.insert(limit, found);
        Ok(())
    }

    /// Puts a line under a new segment with another timeline.
    fn set_timeline(&mut self, line: u32, timeline: Timeline) -> Result<(), TooMany> {
        let shape = Arc::make_mut(&mut self.shapes[line as usize - 1]);
        let known = (line, Some(timeline.generation()));
        if self.segments[shape.segment as usize - 1] != known {
            if self.segments.len() >= SEGMENTS {
                return Err(TooMany::Segments);
            }
            self.segments.push(known);
            shape.segment = self.segments.len() as u32;
        }
        shape.throttle = Some(Arc::new(timeline));
        Ok(())
    }

    /// Moves every throttle's origin on; where there was none yet, in place, as no bucket was ever written.
    fn rebase(&mut self, now: u64) {
        let fresh = self.base.is_none();
        self.base = Some(now);
        for line in 1..=self.shapes.len() as u32 {
            let Some(timeline) = self.shapes[line as usize - 1].throttle.clone() else { continue };
            let moved = if fresh { timeline.first_seen(self.origin()) } else { timeline.rebased(now) };
            // Once in four years: when numbers end the old origin stays, and arithmetic saturates.
            let _ = self.set_timeline(line, moved);
        }
    }
}
