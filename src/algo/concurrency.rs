//! Concurrency limits: slots that requests in flight hold, each until its lease ends.

use super::Wait;

/// A concurrency limit as configured.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cap {
    /// Slots.
    pub limit: u64,
    /// Nanoseconds, at least 1, for which a slot is held at most.
    pub lease: u64,
}

impl Cap {
    /// How long until a slot is free; `ends` are the first instants after the leases of slots that are taken.
    pub(crate) fn wait(&self, ends: impl Iterator<Item = u64>, now: u64) -> Wait {
        if self.limit == 0 {
            return Wait::Never;
        }
        let mut held: Vec<u64> = ends.filter(|&end| now < end).collect();
        // As many leases have to end as bring the number of slots that are held below the limit.
        match (held.len() as u64).checked_sub(self.limit) {
            None => Wait::NOW,
            Some(over) => {
                let (_, end, _) = held.select_nth_unstable(over as usize);
                Wait::Nanos(*end - now)
            }
        }
    }

    /// The first instant after a lease that begins at `now`.
    pub(crate) fn end(&self, now: u64) -> u64 {
        now.saturating_add(self.lease)
    }
}

#[cfg(all(test, not(any(loom, shuttle))))]
mod tests {
    use super::*;

    #[test]
    fn enough_leases_have_to_end() {
        let cap = Cap { limit: 2, lease: 10 };
        let wait = |ends: &[u64], now| cap.wait(ends.iter().copied(), now);
        assert_eq!(wait(&[], 0), Wait::NOW);
        assert_eq!(wait(&[10], 0), Wait::NOW);
        assert_eq!(wait(&[14, 10], 9), Wait::Nanos(1));
        assert_eq!(wait(&[14, 10], 10), Wait::NOW);
        assert_eq!(wait(&[13, 12, 11, 10], 5), Wait::Nanos(7));
        assert_eq!(Cap { limit: 0, lease: 10 }.wait([].into_iter(), 0), Wait::Never);
        assert_eq!(cap.end(u64::MAX), u64::MAX);
    }
}
