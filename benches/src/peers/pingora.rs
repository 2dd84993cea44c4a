//! pingora-limits: a count-min sketch per interval. It forgets at the interval's end and counts keys together that collide.

use pingora_limits::rate::Rate;

use super::{Entry, Peer, Time};
use crate::workload::Key;

pub(super) const DEFAULT: Entry = Entry {
    name: "pingora-limits",
    title: "pingora-limits (approximate)",
    version: env!("VERSION_PINGORA_LIMITS"),
    time: Time::Own,
    how: "`Rate` with 4 hashes of 1,024 slots and `observe`, as its documentation has it; collisions count together",
    bytes_per_key: 0,
    approximate: true,
    most_denied: 100,
    why_not: "with a thousand drained keys in 1,024 slots it also refuses most of the others",
    build: |setup| {
        Box::new(Sketch { rate: Rate::new(setup.limit.period()), most: setup.limit.burst as isize })
    },
    ..Entry::USUAL
};

pub(super) const SIZED: Entry = Entry {
    name: "pingora-limits-sized",
    title: "pingora-limits, sized (approximate)",
    how: "the same with two slots per key, so that few keys collide in all of its four rows",
    // Four rows, two sketches, two slots of eight bytes.
    bytes_per_key: 128,
    most_denied: u32::MAX,
    build: |setup| {
        let slots = (setup.keys as usize * 2).max(1_024);
        let rate = Rate::new_with_estimator_config(setup.limit.period(), 4, slots);
        Box::new(Sketch { rate, most: setup.limit.burst as isize })
    },
    ..DEFAULT
};

struct Sketch {
    rate: Rate,
    most: isize,
}

impl Peer for Sketch {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, _now: u64) -> bool {
        self.rate.observe(&key.text(), 1) <= self.most
    }

    fn drain(&self, key: &Key, _now: u64) -> bool {
        self.rate.observe(&key.text(), self.most) <= self.most
    }
}
