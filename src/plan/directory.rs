//! What outlives a plan's definition: numbers of plans, lines and segments, and the history of each limit.
//!
//! A limit's identity is its plan, place, name, kind and unit. Its line and history stay for as long as the engine
//! lives, so that a limit that comes back finds its state.
//!
//! Limits of one place and unit share *lines*: a throttle and two quotas each. A line's state is written under a
//! *segment*, a number that stands for the line and the generation of its throttle.

use std::collections::HashMap;
use std::sync::Arc;

use crate::algo::gcra::{Bucket, Timeline};
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

/// What lines are shared by.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Group {
    pub plan: u32,
    pub place: Place,
    pub unit: Arc<str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
enum Kind {
    Throttle,
    Quota,
}

/// Quotas of a line.
pub(crate) const QUOTAS: usize = 2;

/// A limit's place in its line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Part {
    Throttle,
    /// Below [`QUOTAS`].
    Quota(usize),
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
    /// Changes of one quota's period: generations end at 2^17.
    Periods,
}

const SEGMENTS: usize = (1 << 16) - 1;
const PERIODS: u32 = 1 << 17;

/// See the module's comment. One entry per limit ever defined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Directory {
    plans: HashMap<Arc<str>, u32, ahash::RandomState>,
    limits: HashMap<(Group, Kind, Arc<str>), (u32, Part)>,
    groups: HashMap<Group, Vec<u32>>,
    /// By line number less 1.
    shapes: Vec<Arc<Shape>>,
    /// By segment number less 1: the line, and the generation of its throttle if it had one.
    segments: Vec<(u32, Option<u32>)>,
    /// The instant from which new histories count; see [`Timeline::new`].
    origin: u64,
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

    /// The line and part of a limit, new ones if it has none.
    fn part(&mut self, group: &Group, kind: Kind, name: &Arc<str>) -> Result<(u32, Part), TooMany> {
        let key = (group.clone(), kind, name.clone());
        if let Some(&found) = self.limits.get(&key) {
            return Ok(found);
        }
        let lines = self.groups.entry(group.clone()).or_default();
        let free = |&line: &u32| {
            let shape = &self.shapes[line as usize - 1];
            let part = match kind {
                Kind::Throttle => shape.throttle.is_none().then_some(Part::Throttle),
                Kind::Quota => shape.quotas.iter().position(Option::is_none).map(Part::Quota),
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
                self.shapes.push(Arc::new(Shape {
                    line,
                    segment,
                    throttle: None,
                    quotas: [const { None }; QUOTAS],
                }));
                (line, if kind == Kind::Throttle { Part::Throttle } else { Part::Quota(0) })
            }
        };
        self.limits.insert(key, found);
        Ok(found)
    }

    pub(super) fn throttle(
        &mut self,
        group: &Group,
        name: &Arc<str>,
        rate: Rate,
        burst: u64,
        now: u64,
    ) -> Result<(u32, Part), TooMany> {
        let (line, part) = self.part(group, Kind::Throttle, name)?;
        let timeline = match &self.shapes[line as usize - 1].throttle {
            None => Timeline::new(rate, burst, self.origin),
            Some(timeline) if timeline.is_like(rate, burst) => return Ok((line, part)),
            Some(timeline) => timeline.changed(rate, burst, now),
        };
        self.set_timeline(line, timeline)?;
        Ok((line, part))
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

    pub(super) fn quota(
        &mut self,
        group: &Group,
        name: &Arc<str>,
        windows: Windows,
        initial_debit: bool,
        now: u64,
    ) -> Result<(u32, Part), TooMany> {
        let (line, part) = self.part(group, Kind::Quota, name)?;
        let Part::Quota(slot) = part else { return Ok((line, part)) };
        let shape = Arc::make_mut(&mut self.shapes[line as usize - 1]);
        let schedule = match &shape.quotas[slot] {
            None => Arc::new(Schedule::new(windows)),
            Some(known) if *known.schedule.windows() == windows => known.schedule.clone(),
            Some(known) => Arc::new(known.schedule.changed(windows, now)),
        };
        if schedule.generation() >= PERIODS {
            return Err(TooMany::Periods);
        }
        shape.quotas[slot] = Some(QuotaPart { schedule, initial_debit });
        Ok((line, part))
    }

    /// Moves every throttle's origin to `now`; with `fresh`, when nothing was ever decided, in place.
    /// Compiled plans take the result over by [`shape`](Directory::shape).
    pub(crate) fn rebase(&mut self, now: u64, fresh: bool) {
        self.origin = now.saturating_sub(crate::algo::gcra::LOOK_BACK);
        for line in 1..=self.shapes.len() as u32 {
            let Some(timeline) = self.shapes[line as usize - 1].throttle.clone() else { continue };
            let moved = if fresh { timeline.first_seen(self.origin) } else { timeline.rebased(now) };
            // Once in four years: when numbers end the old origin stays, and arithmetic saturates.
            let _ = self.set_timeline(line, moved);
        }
    }
}
