//! Nothing at all: what the loop, the key stream and the timer cost, and how quiet the machine is.

use std::hint::black_box;

use super::{Entry, Peer, Set, Time};
use crate::workload::Key;

/// What `--peer` calls it.
pub(crate) const NAME: &str = "nothing";

pub(super) const NOTHING: Entry = Entry {
    name: NAME,
    title: "(nothing: the loop alone)",
    version: "-",
    time: Time::Given,
    how: "reads the key and admits it",
    set: Set::Control,
    bytes_per_key: 0,
    build: |_| Box::new(Nothing),
    ..Entry::USUAL
};

pub(super) struct Nothing;

impl Peer for Nothing {
    type Scratch = ();

    #[inline(always)]
    fn check(&self, (): &mut (), key: &Key, now: u64) -> bool {
        black_box((key.bytes()[23], now));
        true
    }

    fn drain(&self, _key: &Key, _now: u64) -> bool {
        true
    }
}
