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
//! **Changes.** A limit whose rate or burst changes gets a new [`Segment`]; `R` is one continuous
//! function, piecewise linear over them, so that a level means the same before and after a change.
//! A level is stored with the generation (segment number) it was written under and is brought
//! forward through the changes it missed when it is next used: each turns it into the new unit and
//! forgives what exceeds the new burst. `L` becomes the least common multiple of what it was and the
//! new denominator, so that this does not round either, unless `L` would pass 2^62 or `K` 2^52: then levels are
//! rounded up and `R` down, by less than a unit per change.
//!
//! **Ranges.** p, K < 2^52, q, L < 2^62 and p/q <= 64. From the instant at which `R` is 0 to the last one
//! used are at most [`RANGE`] (below 2^58 ns), as [`Timeline::rebased`] moves that instant on. Burst over
//! rate plus maximal delay is at most [`MAX_FILL`] (below 2^54 ns). So levels stay below 2^111
//! ([`MAX_LEVEL`]); those of a rate with p <= 64 that never changed below 2^64.

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

/// Units per nanosecond stay below this.
const PER_NANO_LIMIT: u128 = 1 << 52;

/// No level is above this.
pub(crate) const MAX_LEVEL: u128 = (1 << 112) - 1;

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
pub(crate) struct Segment {
    /// First instant of the segment.
    start: u64,
    /// `R(start)`, in this segment's units.
    at_start: u128,
    rate: Rate,
    burst: u64,
    /// `L`: units per token; a multiple of the rate's denominator; 1..2^62.
    units: u64,
    /// `K`: units per nanosecond; below 2^52.
    per_nano: u64,
    /// Units that were taken off `R` and every level where the segment begins.
    shift: u128,
    /// Whether debts are cut to the burst where the segment begins.
    forgives: bool,
}

impl Segment {
    /// `R(t)` along this segment, saturating outside of its range.
    #[inline(always)]
    fn refilled(&self, t: u64) -> u128 {
        let elapsed = t.saturating_sub(self.start);
        // Below 2^112 + 2^52 * 2^64.
        self.at_start + u128::from(self.per_nano) * u128::from(elapsed)
    }

    /// The same before the segment began, as if it had always been.
    fn refilled_before(&self, t: u64) -> u128 {
        let missing = self.start.saturating_sub(t);
        self.at_start.saturating_sub(u128::from(self.per_nano) * u128::from(missing))
    }

    #[inline(always)]
    fn tokens(&self, tokens: u64) -> u128 {
        // Below 2^64 * 2^62.
        u128::from(tokens) * u128::from(self.units)
    }

    /// A level of the segment before, in units of `units`, as it stands where this one begins.
    fn take_over(&self, level: u128, units: u64) -> u128 {
        let level = convert(level, units, self.units, u128::div_ceil).saturating_sub(self.shift);
        match self.forgives {
            true => level.min(self.at_start.saturating_add(self.tokens(self.burst))),
            false => level,
        }
    }
}

/// A [`Segment`] as far as 64 bits reach: all that most rates ever need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Narrow {
    start: u64,
    /// So many nanoseconds after the start `R` and a full debt on it are at most 2^63.
    span: u64,
    at_start: u64,
    /// Not 0.
    per_nano: u64,
    units: u64,
    burst: u64,
    /// The burst in units.
    full: u64,
}

impl Narrow {
    /// What becomes of `cost` at `now` in a bucket of this generation.
    #[inline(always)]
    pub(crate) fn judge(&self, level: u64, now: u64, cost: u64) -> Narrowly {
        self.judge_beside(level, now, cost, 0)
    }

    /// The same while `lent` tokens are [lent](Narrow::lend): a debit is made as if they were spent before it.
    #[inline(always)]
    pub(crate) fn judge_beside(&self, level: u64, now: u64, cost: u64, lent: u64) -> Narrowly {
        // An instant before the start wraps to one far after it.
        let elapsed = now.wrapping_sub(self.start);
        if elapsed > self.span || cost > self.burst {
            return Narrowly::Closer;
        }
        let refilled = self.at_start + self.per_nano * elapsed;
        // At most 2^63 more than a level, which an overrun can have put anywhere.
        let cost = cost * self.units;
        let Some(after) = level.max(refilled).checked_add(cost) else {
            return Narrowly::Closer;
        };
        match after.checked_sub(refilled + self.full) {
            None | Some(0) if lent == 0 => Narrowly::Admits(after),
            // With another burst it is below 2^64, but for a bucket that begins now.
            None | Some(0) => {
                let least = refilled.saturating_add(lent.min(self.burst) * self.units);
                Narrowly::Admits(after.max(least.saturating_add(cost)))
            }
            Some(missing) => Narrowly::Refuses { missing, per_nano: self.per_nano },
        }
    }

    /// The level after `cost` was debited at `now`, if it is admitted at once; `lent` as for
    /// [`judge_beside`](Narrow::judge_beside).
    #[inline(always)]
    pub(crate) fn admit(&self, level: u64, now: u64, cost: u64, lent: u64) -> Option<u64> {
        match self.judge_beside(level, now, cost, lent) {
            Narrowly::Admits(level) => Some(level),
            Narrowly::Refuses { .. } | Narrowly::Closer => None,
        }
    }

    /// How many tokens may be lent to those who spend them without asking, and for how many nanoseconds: a 24th of the burst,
    /// and while no more than that is refilled. `None` where that is too little to be of use.
    pub(crate) fn terms(&self) -> Option<Terms> {
        let most = (self.burst / LENT).min(Terms::MOST);
        let life = (self.full / LENT / self.per_nano).min(Terms::LONGEST);
        (most >= Terms::LEAST && life >= Terms::SHORTEST).then_some(Terms { most: most as u32, life })
    }

    /// Debits up to `most` tokens that may be spent until the end of their life, while `others` are lent; `None` if they
    /// would be less than [`Terms::LEAST`].
    ///
    /// They are debited as at the end of their life, and as if the others were spent before, so that no refill counts for a
    /// bucket that is only full because of tokens which have not been spent yet.
    pub(crate) fn lend(&self, level: u64, now: u64, terms: Terms, others: u64, most: u64) -> Option<Lent> {
        let elapsed = now.wrapping_sub(self.start);
        if elapsed > self.span {
            return None;
        }
        let refilled = self.at_start + self.per_nano * elapsed;
        // What is added is at most two 24ths of a burst, but for a moment in which another's are taken for others.
        let others = others.min(u64::from(terms.most)) * self.units;
        let least = refilled + self.per_nano * terms.life + others;
        let before = level.max(least);
        let tokens = most.min((refilled + self.full).checked_sub(before)? / self.units);
        let level = before + tokens * self.units;
        (tokens >= Terms::LEAST).then_some(Lent { tokens, level, was_full: before == least })
    }

    /// Units per token.
    pub(crate) fn units(&self) -> u64 {
        self.units
    }
}

/// Tokens that were debited to be spent later, and the level after that.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Lent {
    pub tokens: u64,
    pub level: u64,
    /// Whether the bucket was full, or will be.
    pub was_full: bool,
}

/// A 24th of a burst is lent at a time. What is refilled meanwhile, and what stays debited for tokens that were spent, are at
/// most as much each: together an eighth.
const LENT: u64 = 24;

/// What may be lent of a throttle.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Terms {
    /// Tokens, to all together.
    pub most: u32,
    /// Nanoseconds.
    pub life: u64,
}

impl Terms {
    /// The least number of tokens that is worth it.
    pub(crate) const LEAST: u64 = 8;
    /// Tokens.
    const MOST: u64 = 1 << 20;
    /// Nanoseconds.
    const LONGEST: u64 = 1_000_000;
    const SHORTEST: u64 = 10_000;
}

/// What 64 bits say of a cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Narrowly {
    /// It is admitted at once, and leaves this level.
    Admits(u64),
    /// It has to wait until so many units have come, at so many per nanosecond.
    Refuses { missing: u64, per_nano: u64 },
    /// [`wait`](Timeline::wait) has to look closer.
    Closer,
}

/// `amount` of units of 1/`from` in units of 1/`to`; `divide` rounds.
fn convert(amount: u128, from: u64, to: u64, divide: fn(u128, u128) -> u128) -> u128 {
    let (from, to) = (u128::from(from), u128::from(to));
    let whole = (amount / from).saturating_mul(to);
    whole.saturating_add(divide(amount % from * to, from))
}

fn floor(a: u128, b: u128) -> u128 {
    a / b
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
    /// A limit that has always been so. `R` is 0 at `origin`.
    pub(crate) fn new(rate: Rate, burst: u64, origin: u64) -> Timeline {
        let units = rate.nanos();
        let current = Segment {
            start: origin,
            at_start: 0,
            rate,
            burst,
            units,
            per_nano: rate.tokens(),
            shift: 0,
            forgives: false,
        };
        Timeline { current, generation: 0, past: Vec::new() }
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
        let before = &self.current;
        let start = at.max(before.start);
        let (a, b) = (u128::from(before.units), u128::from(rate.nanos()));
        let common = a / gcd(a, b) * b;
        let per_nano = common / b * u128::from(rate.tokens());
        let exact = common < UNITS_LIMIT && per_nano < PER_NANO_LIMIT;
        let units = if exact { common as u64 } else { rate.nanos() };
        self.followed_by(Segment {
            start,
            at_start: convert(before.refilled(start), before.units, units, floor),
            rate,
            burst,
            units,
            // Below 2^52: checked above, or the rate's own.
            per_nano: rate.tokens() * (units / rate.nanos()),
            shift: 0,
            forgives: true,
        })
    }

    /// The same refill counted from `LOOK_BACK` before `at`, so that instants up to `RANGE` later can be expressed.
    pub(crate) fn rebased(&self, at: u64) -> Timeline {
        let start = at.max(self.current.start);
        let shift = self.refilled(start.saturating_sub(LOOK_BACK));
        let at_start = self.current.refilled(start).saturating_sub(shift);
        self.followed_by(Segment { start, at_start, shift, forgives: false, ..self.current })
    }

    fn followed_by(&self, next: Segment) -> Timeline {
        let mut past = self.past.clone();
        past.push(self.current);
        if past.len() > MANY_SEGMENTS {
            // A debt at the start of a segment that forgives is at most its burst; if the segment
            // refilled as much, every bucket last written before it is full by its end.
            let end = |k: usize| past.get(k + 1).map_or(next.start, |s| s.start);
            let cleared = (0..past.len()).rev().find(|&k| {
                let s = &past[k];
                s.forgives && s.refilled(end(k)) - s.at_start >= s.tokens(s.burst)
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
        // The oldest segment that is known reaches back for ever.
        let k = self.past.iter().rposition(|segment| segment.start <= now).unwrap_or(0);
        let first = self.segment(k);
        let mut refilled = if now >= first.start { first.refilled(now) } else { first.refilled_before(now) };
        for k in k + 1..=self.past.len() {
            let (before, segment) = (self.segment(k - 1), self.segment(k));
            refilled = convert(refilled, before.units, segment.units, floor).saturating_sub(segment.shift);
        }
        refilled
    }

    /// Nanoseconds from `now` until `R` reaches `level`; `None`: it never does.
    fn time_to(&self, level: u128, now: u64) -> Option<u64> {
        if self.refilled(now) >= level {
            return Some(0);
        }
        let current = &self.current;
        if now < current.start && current.at_start >= level {
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
        let missing = level.saturating_sub(current.at_start);
        // Below 2^112 + 2^64.
        let then = missing.div_ceil(current.per_nano.into()) + u128::from(current.start);
        Some(u64::try_from(then.saturating_sub(now.into())).unwrap_or(u64::MAX))
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
        let (first, mut level) = match self.past.len().checked_sub(missed) {
            Some(first) => (first, bucket.level),
            // Written before what is known: full where the oldest segment ends, at the latest.
            None => (0, self.segment(0).refilled(self.segment(1).start)),
        };
        for k in first + 1..=self.past.len() {
            level = self.segment(k).take_over(level, self.segment(k - 1).units);
        }
        Some(Bucket { level, generation: self.generation })
    }

    /// Segment number `k` of those that are known, the current one being the last.
    fn segment(&self, k: usize) -> &Segment {
        self.past.get(k).unwrap_or(&self.current)
    }

    /// How long `cost` has to wait at `now`. `bucket` is brought forward.
    #[inline]
    pub(crate) fn wait(&self, bucket: Bucket, now: u64, cost: u64) -> Wait {
        match self.needed(bucket, cost) {
            Ok(needed) if needed <= self.refilled(now) => Wait::NOW,
            Ok(needed) => self.time_to(needed, now).map_or(Wait::Never, Wait::Nanos),
            Err(wait) => wait,
        }
    }

    /// Whether that is no time at all, for who does not ask how long it is otherwise.
    #[cfg(feature = "lab")]
    #[inline]
    pub(crate) fn admits(&self, bucket: Bucket, now: u64, cost: u64) -> bool {
        self.needed(bucket, cost).is_ok_and(|needed| needed <= self.refilled(now))
    }

    /// What `R` has to reach for `cost` to be admitted.
    #[inline]
    fn needed(&self, bucket: Bucket, cost: u64) -> Result<u128, Wait> {
        let current = &self.current;
        if cost == 0 {
            return Ok(0);
        }
        if current.rate.is_zero() {
            return Err(Wait::Never);
        }
        if cost > current.burst {
            return Err(Wait::Exceeds);
        }
        // Admitted as soon as debt + cost <= burst.
        let headroom = current.tokens(current.burst - cost);
        Ok(bucket.level.saturating_sub(headroom))
    }

    /// The bucket after `cost` was debited at `now`, whatever its wait, while `lent` tokens are [lent](Narrow::lend).
    #[inline]
    pub(crate) fn debit(&self, bucket: Bucket, now: u64, cost: u64, lent: u64) -> Bucket {
        let least = self.refilled(now) + self.current.tokens(lent);
        let level = bucket.level.max(least).saturating_add(self.current.tokens(cost));
        Bucket { level: level.min(MAX_LEVEL), generation: self.generation }
    }

    /// The bucket after `tokens` were given back to it, while `lent` others are [lent](Narrow::lend) until `end`. What is full
    /// already gets no fuller: a level below the refill is that of a full bucket. One of which tokens are lent does not become
    /// full before they have to be spent, since others would debit it as if they had been.
    pub(crate) fn credit(&self, bucket: Bucket, tokens: u64, (lent, end): (u64, u64)) -> Bucket {
        let mut level = bucket.level.saturating_sub(self.current.tokens(tokens));
        if lent > 0 {
            let least = self.refilled(end) + self.current.tokens(lent);
            level = level.max(least.min(bucket.level));
        }
        Bucket { level, generation: self.generation }
    }

    /// The current segment in 64 bits; `None` for rate 0, and where they do not reach for even a day.
    pub(crate) fn narrow(&self) -> Option<Narrow> {
        const MOST: u128 = 1 << 63;
        const DAY: u64 = 86_400_000_000_000;
        let Segment { start, at_start, burst, units, per_nano, .. } = self.current;
        let full = self.current.tokens(burst);
        let room = MOST.checked_sub(at_start.checked_add(full)?)?;
        let span = u64::try_from(room.checked_div(per_nano.into())?).unwrap_or(u64::MAX);
        // Below 2^63, as their sum is.
        let (at_start, full) = (at_start as u64, full as u64);
        (span >= DAY).then_some(Narrow { start, span, at_start, per_nano, units, burst, full })
    }

    /// Number of the current segment.
    #[inline]
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Nanoseconds from `now` until `bucket`, brought forward, is full; `None`: never.
    pub(crate) fn time_to_full(&self, bucket: Bucket, now: u64) -> Option<u64> {
        self.time_to(bucket.level, now)
    }

    /// Nanoseconds to refill an empty bucket; `None` at rate 0.
    pub(crate) fn fill_time(&self) -> Option<u64> {
        let current = &self.current;
        let full = current.tokens(current.burst);
        // At most MAX_FILL.
        (current.per_nano > 0).then(|| full.div_ceil(current.per_nano.into()) as u64)
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
            reset: self.time_to_full(bucket, now),
        }
    }
}
