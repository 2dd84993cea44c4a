//! Throttle(rate, burst): a bucket kept in tokens.
//!
//! The refill R(t) of a limit is one piecewise linear function of time; a state is S, the value
//! of R at which its bucket is full again (the theoretical arrival time, in tokens).

use crate::text::{Fraction, Nanos, whole};
use num_bigint::BigInt;
use num_traits::{Signed, Zero};

/// What a throttle has handed out, ever: the sum of its rates over time.
#[derive(Clone, Debug)]
pub struct Refill {
    /// From which instant which rate holds, in tokens per nanosecond; instants ascend.
    pieces: Vec<(Nanos, Fraction)>,
}

impl Refill {
    /// One rate, for all time.
    pub fn new(rate: Fraction) -> Self {
        Refill { pieces: vec![(0, rate)] }
    }

    /// The rate that holds from the last change on.
    pub fn rate(&self) -> &Fraction {
        &self.pieces.last().expect("a piece").1
    }

    /// "A plan change takes effect at its instant: until then the old rate refilled, afterwards
    /// the new one."
    pub fn change(&mut self, at: Nanos, rate: Fraction) {
        assert!(at >= self.pieces.last().expect("a piece").0);
        self.pieces.push((at, rate));
    }

    /// R(t).
    pub fn at(&self, t: Nanos) -> Fraction {
        let mut sum = Fraction::zero();
        for (i, (from, rate)) in self.pieces.iter().enumerate() {
            let to = self.pieces.get(i + 1).map_or(t, |next| next.0.min(t));
            if to > *from {
                sum += rate * whole(to - from);
            }
        }
        sum
    }

    /// The smallest whole `d >= 0` with R(now + d) >= `target`, if there is one.
    pub fn wait(&self, now: Nanos, target: &Fraction) -> Option<BigInt> {
        if self.at(now) >= *target {
            return Some(BigInt::zero());
        }
        for (i, (from, rate)) in self.pieces.iter().enumerate() {
            if rate.is_zero() {
                continue;
            }
            let reached = ((target - self.at(*from)) / rate).ceil().to_integer() + *from;
            let held = self.pieces.get(i + 1).is_none_or(|next| reached <= BigInt::from(next.0));
            if held {
                return Some(reached - now);
            }
        }
        None
    }
}

/// A throttle as configured, and its refill.
#[derive(Clone, Debug)]
pub struct Throttle {
    /// R.
    pub refill: Refill,
    /// B.
    pub burst: u64,
    /// The instant of the last change of rate or burst.
    pub changed: Nanos,
}

impl Throttle {
    /// A throttle that has never been changed.
    pub fn new(rate: Fraction, burst: u64) -> Self {
        Throttle { refill: Refill::new(rate), burst, changed: 0 }
    }

    /// "Rate 0: nothing is ever admitted, `remaining` 0, no retry."
    pub fn never(&self) -> bool {
        self.refill.rate().is_zero()
    }

    /// Changes rate and burst. The answer is the instant of the change, or none if neither
    /// differs. The caller caps every state of this limit with [`Throttle::forgive`].
    pub fn change(&mut self, at: Nanos, rate: Fraction, burst: u64) -> Option<Nanos> {
        if *self.refill.rate() == rate && self.burst == burst {
            return None;
        }
        self.changed = self.changed.max(at);
        self.refill.change(self.changed, rate);
        self.burst = burst;
        Some(self.changed)
    }

    /// "The debt in tokens is kept; what exceeds the new `B` is forgiven".
    pub fn forgive(&self, full_at: &Fraction, at: Nanos) -> Fraction {
        let refilled = self.refill.at(at);
        let debt = full_at - &refilled;
        if debt.is_positive() { refilled + debt.min(whole(self.burst)) } else { full_at.clone() }
    }

    fn debt(&self, full_at: Option<&Fraction>, now: Nanos) -> Fraction {
        // "full at first sight"
        let Some(full_at) = full_at else {
            return Fraction::zero();
        };
        let debt = full_at - self.refill.at(now);
        if debt.is_negative() { Fraction::zero() } else { debt }
    }

    /// The wait for `cost`: 0 if it is admitted now, none if it never is. "A request of cost `c`
    /// is admitted iff `available(now) >= c`".
    pub fn wait(&self, full_at: Option<&Fraction>, now: Nanos, cost: u64) -> Option<BigInt> {
        if self.never() || cost > self.burst {
            return None;
        }
        let Some(full_at) = full_at else {
            return Some(BigInt::zero());
        };
        // available(t) = B - (S - R(t)) >= c
        let target = full_at + whole(cost) - whole(self.burst);
        self.refill.wait(now, &target)
    }

    /// S after a debit of `cost` at `now`.
    pub fn debit(&self, full_at: Option<&Fraction>, now: Nanos, cost: u64) -> Fraction {
        let refilled = self.refill.at(now);
        let from = match full_at {
            Some(full_at) => refilled.max(full_at.clone()),
            None => refilled,
        };
        from + whole(cost)
    }

    /// "`remaining` = whole tokens rounded down, at least 0".
    pub fn remaining(&self, full_at: Option<&Fraction>, now: Nanos) -> BigInt {
        let available = whole(self.burst) - self.debt(full_at, now);
        if self.never() || available.is_negative() {
            return BigInt::zero();
        }
        available.floor().to_integer()
    }

    /// "`reset_ns` until full again, 0 when full; rate 0: remaining 0, reset null".
    pub fn reset(&self, full_at: Option<&Fraction>, now: Nanos) -> Option<BigInt> {
        if self.never() {
            return None;
        }
        match full_at {
            Some(full_at) => self.refill.wait(now, full_at),
            None => Some(BigInt::zero()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::rate;

    const S: Nanos = 1_000_000_000;

    #[test]
    fn refill_is_piecewise_linear() {
        let mut refill = Refill::new(rate("10/s").unwrap());
        refill.change(100 * S, rate("0/s").unwrap());
        refill.change(110 * S, rate("2/s").unwrap());
        assert_eq!(refill.at(50 * S), whole(500));
        assert_eq!(refill.at(105 * S), whole(1000));
        assert_eq!(refill.at(120 * S), whole(1020));
        assert_eq!(refill.wait(99 * S, &whole(1000)), Some((S).into()));
        assert_eq!(refill.wait(99 * S, &whole(1001)), Some((11 * S + S / 2).into()));
        assert_eq!(refill.wait(101 * S, &whole(1000)), Some(0.into()));
    }

    #[test]
    fn waits_are_rounded_up() {
        let throttle = Throttle::new(rate("3/s").unwrap(), 1);
        let full_at = throttle.debit(None, 0, 1);
        assert_eq!(throttle.wait(Some(&full_at), 0, 1), Some(333_333_334.into()));
        assert_eq!(throttle.wait(Some(&full_at), 333_333_333, 1), Some(1.into()));
        assert_eq!(throttle.wait(Some(&full_at), 333_333_334, 1), Some(0.into()));
        assert_eq!(throttle.wait(Some(&full_at), 0, 2), None);
    }

    #[test]
    fn a_change_keeps_the_debt_and_forgives_above_the_burst() {
        let mut throttle = Throttle::new(rate("1/s").unwrap(), 10);
        let full_at = throttle.debit(None, 0, 10);
        // Ten tokens owed; 4 s later 6 are. The new bucket holds 5.
        let at = throttle.change(4 * S, rate("10/s").unwrap(), 5).unwrap();
        let full_at = throttle.forgive(&full_at, at);
        assert_eq!(throttle.remaining(Some(&full_at), 4 * S), 0.into());
        assert_eq!(throttle.reset(Some(&full_at), 4 * S), Some((S / 2).into()));
        // An earlier instant: the old rate holds before the change.
        assert_eq!(throttle.reset(Some(&full_at), 3 * S), Some((S + S / 2).into()));
        assert_eq!(throttle.change(9 * S, rate("600/m").unwrap(), 5), None);
    }
}
