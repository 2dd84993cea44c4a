//! Concurrency(limit): slots that requests in flight hold.
//!
//! Choices where the contract is silent:
//! * A request takes one slot of every concurrency limit that applies "if any of its costs is > 0":
//!   an integer cost above 0, or any unit named in an object with more than 0, whether or not some
//!   limit counts that unit.
//! * A lease begins at the request's `now`, delayed or not, and lasts as long as was configured then;
//!   the slot is held until the lease's end, half-open: at the end it is free.
//! * Who takes a slot drops, for good, the slots of the same limit and owner whose leases have ended
//!   at its `now`. Nothing else drops them: refusals and peeks leave no trace. So at a `now` before
//!   the end of a lease that was not dropped the slot is held, as it was then.
//! * A slot that was taken at a later instant than `now` is held.
//! * A limit that changes judges the slots there are; one that is removed keeps its slots, and finds
//!   them when it comes back. Requests admitted meanwhile hold none of it.
//! * A lease of no length is a configuration error. `unit` is accepted, is part of the limit's
//!   identity, and has no say in who takes a slot.

use crate::text::Nanos;

/// A concurrency limit as configured.
#[derive(Clone, Copy, Debug)]
pub struct Cap {
    /// How many slots there are.
    pub limit: u64,
    /// For how many nanoseconds a slot is held at most.
    pub lease: u64,
}

/// A slot that was taken.
#[derive(Clone, Copy, Debug)]
pub struct Slot {
    /// By which request.
    pub request: u64,
    /// The first instant after its lease.
    pub end: Nanos,
}

impl Cap {
    /// How many slots are held.
    fn held(slots: &[Slot], now: Nanos) -> u64 {
        slots.iter().filter(|slot| now < slot.end).count() as u64
    }

    /// "until enough leases end; none at limit 0". 0: there is a free slot.
    pub fn wait(&self, slots: &[Slot], now: Nanos) -> Option<Nanos> {
        if self.limit == 0 {
            return None;
        }
        let ends = slots.iter().map(|slot| slot.end).filter(|end| now < *end);
        let instants = std::iter::once(now).chain(ends);
        instants.filter(|then| Cap::held(slots, *then) < self.limit).min().map(|then| then - now)
    }

    /// "`remaining` = free slots".
    pub fn remaining(&self, slots: &[Slot], now: Nanos) -> u64 {
        self.limit.saturating_sub(Cap::held(slots, now))
    }

    /// Takes a slot.
    pub fn take(&self, slots: &mut Vec<Slot>, now: Nanos, request: u64) {
        slots.retain(|slot| now < slot.end);
        slots.push(Slot { request, end: now + Nanos::from(self.lease) });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_free_at_the_end_of_their_leases() {
        let cap = Cap { limit: 2, lease: 10 };
        let mut slots = Vec::new();
        assert_eq!(cap.wait(&slots, 0), Some(0));
        cap.take(&mut slots, 0, 1);
        cap.take(&mut slots, 4, 2);
        assert_eq!((cap.remaining(&slots, 9), cap.wait(&slots, 9)), (0, Some(1)));
        assert_eq!((cap.remaining(&slots, 10), cap.wait(&slots, 10)), (1, Some(0)));
        assert_eq!(cap.remaining(&slots, 14), 2);
        // The clock steps back: nobody has taken the place of the first.
        assert_eq!(cap.remaining(&slots, 9), 0);
        cap.take(&mut slots, 10, 3);
        assert_eq!(slots.iter().map(|slot| slot.request).collect::<Vec<_>>(), [2, 3]);
    }

    #[test]
    fn a_lower_limit_waits_for_more_leases() {
        let mut slots = Vec::new();
        for start in 0..4 {
            Cap { limit: 4, lease: 10 }.take(&mut slots, start, 0);
        }
        let lower = Cap { limit: 2, lease: 10 };
        assert_eq!((lower.remaining(&slots, 5), lower.wait(&slots, 5)), (0, Some(7)));
        assert_eq!(Cap { limit: 0, lease: 10 }.wait(&slots, 99), None);
    }
}
