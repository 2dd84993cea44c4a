//! GCRA (ITU-T I.371, virtual scheduling) in token units, exact at every rate.
//!
//! A bucket is one number, its theoretical arrival time multiplied by the rate: the *level* `S`.
//! `R(t)` is what the limit has refilled up to `t`. The debt at `t` is `max(0, S - R(t))`, the
//! bucket is full when that is 0, and a debit of `c` moves `S` to `max(S, R(t)) + c`.
//!
//! Both are whole numbers of units of 1/L token. With `L` a multiple of the rate's denominator
//! (rate = p/q tokens per nanosecond), a nanosecond refills `K = p * L / q` units, so no step of
//! the arithmetic rounds: nothing drifts, and every instant is exact to the nanosecond.
//!
//! **Changes.** A limit whose rate or burst changes gets a new [`Segment`]; `R` is piecewise linear
//! over them. A level is stored with the generation (segment number) it was written under and is
//! brought forward through the changes it missed when it is next used: each change keeps the debt,
//! forgives what exceeds the new burst, and turns it into the new unit. `L` becomes the least
//! common multiple of what it was and the new denominator, so that this does not round either,
//! unless `L` would pass 2^62: then the debt is rounded up to the next unit, once per change.
//!
//! **Ranges.** p, q, L < 2^62 and p/q <= 64 give K < 2^68; an instant lies within
//! [`RANGE`] of its segment's origin (below 2^59 ns), so `R` < 2^127. Burst over rate plus maximal delay
//! is at most [`MAX_FILL`], so a debt adds less than 2^122.

use super::rate::{Rate, gcd};
use super::{Standing, Wait};

const YEAR: u64 = 31_557_600_000_000_000;

/// How far before the engine's base instant the refill of a segment begins.
pub(crate) const LOOK_BACK: u64 = YEAR;

/// How far from its origin a segment is used; the engine moves the origin on before that.
pub(crate) const RANGE: u64 = 5 * YEAR;

/// Longest time to refill a bucket, maximal delay included: 180 days.
pub(crate) const MAX_FILL: u64 = 180 * 86_400_000_000_000;

/// Units per token stay below this.
const UNITS_LIMIT: u128 = 1 << 62;

/// Past this number of segments, those that no debt can have survived are dropped.
const MANY_SEGMENTS: usize = 64;

/// What a limit stores per subject. The default is a full bucket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Bucket {
    /// `S`, in units of the generation's segment.
    pub level: u128,
    /// The segment that `level` was written under.
    pub generation: u32,
}

/// One stretch of unchanged rate and burst.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Segment {
    /// First instant of the segment.
    start: u64,
    /// The instant at which this segment's `R` is 0.
    origin: u64,
    rate: Rate,
    burst: u64,
    /// `L`: units per token; a multiple of the rate's denominator; 1..2^62.
    units: u64,
    /// `K`: units per nanosecond.
    per_nano: u128,
    /// Whether debts are cut to the burst where the segment begins.
    forgives: bool,
}

impl Segment {
    /// `units_before`: `L` of the segment before, 1 if there is none.
    fn new(start: u64, origin: u64, rate: Rate, burst: u64, units_before: u64) -> Segment {
        let (a, b) = (u128::from(units_before), u128::from(rate.nanos()));
        let common = a / gcd(a, b) * b;
        let units = if common < UNITS_LIMIT { common as u64 } else { rate.nanos() };
        Segment {
            start,
            origin,
            rate,
            burst,
            units,
            per_nano: u128::from(rate.tokens()) * u128::from(units / rate.nanos()),
            forgives: true,
        }
    }

    /// `R(t)` of this segment alone, saturating outside of its range.
    #[inline]
    fn refilled(&self, t: u64) -> u128 {
        self.per_nano.saturating_mul(u128::from(t.saturating_sub(self.origin)))
    }

    /// What is refilled from `from` to `to`.
    fn between(&self, from: u64, to: u64) -> u128 {
        self.per_nano.saturating_mul(u128::from(to.saturating_sub(from)))
    }

    #[inline]
    fn tokens(&self, tokens: u64) -> u128 {
        u128::from(tokens).saturating_mul(self.units.into())
    }
}

/// `amount` of units of 1/`from` in units of 1/`to`, rounded up.
fn convert(amount: u128, from: u64, to: u64) -> u128 {
    let (from, to) = (u128::from(from), u128::from(to));
    let whole = (amount / from).saturating_mul(to);
    whole.saturating_add((amount % from * to).div_ceil(from))
}

/// The refill of one limit over all its changes. At least one segment; starts never fall.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Timeline {
    /// The last one; kept apart since nearly every step needs only this.
    current: Segment,
    generation: u32,
    /// Those before it, oldest first; the last one has generation `generation - 1`.
    past: Vec<Segment>,
}

impl Timeline {
    /// A limit that has always been so. `origin`: see [`Timeline::rebased`].
    pub(crate) fn new(rate: Rate, burst: u64, origin: u64) -> Timeline {
        Timeline { current: Segment::new(0, origin, rate, burst, 1), generation: 0, past: Vec::new() }
    }

    /// The same limit counted from another origin, as long as no bucket was ever written.
    pub(crate) fn first_seen(&self, origin: u64) -> Timeline {
        Timeline::new(self.current.rate, self.current.burst, origin)
    }

    pub(crate) fn is_like(&self, rate: Rate, burst: u64) -> bool {
        self.current.rate == rate && self.current.burst == burst
    }

    /// The refill with another rate or burst from `at` on (from the last change on, if that was later).
    pub(crate) fn changed(&self, rate: Rate, burst: u64, at: u64) -> Timeline {
        let start = at.max(self.current.start);
        let origin = self.current.origin;
        self.followed_by(Segment::new(start, origin, rate, burst, self.current.units))
    }

    /// The same refill counted from `LOOK_BACK` before `at`, so that instants up to `RANGE` later can be expressed.
    pub(crate) fn rebased(&self, at: u64) -> Timeline {
        let start = at.max(self.current.start);
        self.followed_by(Segment {
            start,
            origin: start.saturating_sub(LOOK_BACK),
            forgives: false,
            ..self.current
        })
    }

    fn followed_by(&self, next: Segment) -> Timeline {
        let mut past = self.past.clone();
        past.push(self.current);
        if past.len() > MANY_SEGMENTS {
            // A debt at the start of a segment is at most its burst; if the segment refilled as
            // much, every bucket last written before it is full by its end.
            let end = |k: usize| past.get(k + 1).map_or(next.start, |s| s.start);
            let cleared = (0..past.len()).rev().find(|&k| {
                let s = &past[k];
                s.forgives && s.between(s.start, end(k)) >= s.tokens(s.burst)
            });
            past.drain(..cleared.unwrap_or(0));
        }
        Timeline { current: next, generation: self.generation + 1, past }
    }

    /// `R(now)` in current units. Before the current segment it goes back along the older ones.
    #[inline]
    fn refilled(&self, now: u64) -> u128 {
        if now >= self.current.start { self.current.refilled(now) } else { self.refilled_before(now) }
    }

    #[cold]
    fn refilled_before(&self, now: u64) -> u128 {
        let mut end = self.current.start;
        let mut refilled = self.current.refilled(end);
        for (k, segment) in self.past.iter().enumerate().rev() {
            // The oldest segment that is known reaches back for ever.
            let from = if k == 0 { now } else { now.max(segment.start) };
            if from < end {
                let part = segment.between(from, end);
                refilled = refilled.saturating_sub(convert(part, segment.units, self.current.units));
            }
            if segment.start <= now {
                break;
            }
            end = end.min(segment.start);
        }
        refilled
    }

    /// Nanoseconds from `now` until `R` reaches `level`; `None`: it never does.
    fn time_to(&self, level: u128, now: u64) -> Option<u64> {
        if self.refilled(now) >= level {
            return Some(0);
        }
        let current = &self.current;
        if now < current.start && current.refilled(current.start) >= level {
            // Within the past R is piecewise linear: bisect.
            let (mut low, mut high) = (now, current.start);
            while low + 1 < high {
                let middle = low + (high - low) / 2;
                if self.refilled(middle) >= level { high = middle } else { low = middle }
            }
            return Some(high - now);
        }
        if current.per_nano == 0 {
            return None;
        }
        let from_origin = u64::try_from(level.div_ceil(current.per_nano)).unwrap_or(u64::MAX);
        Some(current.origin.saturating_add(from_origin).saturating_sub(now))
    }

    /// `bucket` as it stands under the current segment, or `None` if it was written under a later
    /// one, which this timeline does not know.
    #[inline]
    pub(crate) fn bring_forward(&self, bucket: Bucket) -> Option<Bucket> {
        if bucket.generation == self.generation {
            return Some(bucket);
        }
        self.bring_forward_stale(bucket)
    }

    #[cold]
    fn bring_forward_stale(&self, bucket: Bucket) -> Option<Bucket> {
        let missed = self.generation.checked_sub(bucket.generation)? as usize;
        let generation = self.generation;
        let full = Bucket { level: 0, generation };
        // Dropped segments left no debt.
        let Some(first) = self.past.len().checked_sub(missed) else {
            return Some(full);
        };
        let mut before = &self.past[first];
        let mut debt = bucket.level;
        let mut refilled = before.refilled(self.segment(first + 1).start);
        for k in first + 1..=self.past.len() {
            let segment = self.segment(k);
            debt = convert(debt.saturating_sub(refilled), before.units, segment.units);
            if segment.forgives {
                debt = debt.min(segment.tokens(segment.burst));
            }
            if k < self.past.len() {
                refilled = segment.between(segment.start, self.segment(k + 1).start);
            }
            before = segment;
        }
        if debt == 0 {
            return Some(full);
        }
        let level = self.current.refilled(self.current.start).saturating_add(debt);
        Some(Bucket { level, generation })
    }

    fn segment(&self, k: usize) -> &Segment {
        self.past.get(k).unwrap_or(&self.current)
    }

    /// How long `cost` has to wait at `now`. `bucket` is brought forward.
    #[inline]
    pub(crate) fn wait(&self, bucket: Bucket, now: u64, cost: u64) -> Wait {
        let current = &self.current;
        if current.rate.is_zero() {
            return if cost == 0 { Wait::NOW } else { Wait::Never };
        }
        if cost > current.burst {
            return Wait::Exceeds;
        }
        // Admitted as soon as debt + cost <= burst.
        let headroom = current.tokens(current.burst - cost);
        let needed = bucket.level.saturating_sub(headroom);
        if needed <= self.refilled(now) {
            return Wait::NOW;
        }
        self.time_to(needed, now).map_or(Wait::Never, Wait::Nanos)
    }

    /// The bucket after `cost` was debited at `now`, whatever its wait.
    #[inline]
    pub(crate) fn debit(&self, bucket: Bucket, now: u64, cost: u64) -> Bucket {
        let level = bucket.level.max(self.refilled(now));
        Bucket { level: level.saturating_add(self.current.tokens(cost)), generation: self.generation }
    }

    /// Nanoseconds to refill an empty bucket; `None` at rate 0.
    pub(crate) fn fill_time(&self) -> Option<u64> {
        let current = &self.current;
        let full = current.tokens(current.burst);
        // At most MAX_FILL.
        (current.per_nano > 0).then(|| full.div_ceil(current.per_nano) as u64)
    }

    /// How `bucket`, brought forward, stands at `now`.
    pub(crate) fn standing(&self, bucket: Bucket, now: u64) -> Standing {
        let current = &self.current;
        if current.rate.is_zero() {
            return Standing { limit: current.burst, remaining: 0, reset: None };
        }
        let debt = bucket.level.saturating_sub(self.refilled(now));
        let available = current.tokens(current.burst).saturating_sub(debt);
        Standing {
            limit: current.burst,
            // At most the burst, a u64.
            remaining: (available / u128::from(current.units)) as u64,
            reset: self.time_to(bucket.level, now),
        }
    }
}
