//! Operations on what was admitted.

use super::assemble::Assembler;
use super::{CostSeed, Scope, cost, one_of};
use crate::text::Nanos;
use proptest::option;
use proptest::prelude::*;
use serde_json::json;

/// An operation besides decisions and changes.
#[derive(Clone, Debug)]
pub(super) enum Metering {
    /// `settle`, `refund`, `release`.
    ById {
        op: &'static str,
        which: Which,
        /// At the end of the reservation, and so many nanoseconds.
        at_end: Option<i64>,
        times: usize,
        actual: CostSeed,
    },
}

/// An id, counted from the latest.
#[derive(Clone, Copy, Debug)]
pub(super) enum Which {
    Admitted(usize),
    Refused(usize),
    Nobody,
}

/// The operations in scope, and their weight beside 40 decisions.
pub(super) fn metering(scope: Scope) -> (u32, BoxedStrategy<Metering>) {
    let mut all: Vec<(u32, BoxedStrategy<Metering>)> = Vec::new();
    if scope.ids() {
        let settles = if scope.reservations { 1 } else { 0 };
        let op = one_of(vec![
            (12 * settles, Just("settle").boxed()),
            (5 * settles, Just("refund").boxed()),
            (6, Just("release").boxed()),
        ]);
        all.push((if scope.reservations { 25 } else { 10 }, by_id(op).boxed()));
    }
    let weight = all.iter().map(|(weight, _)| weight).sum();
    if all.is_empty() {
        // Never drawn: it has no weight.
        all.push((1, by_id(Just("release").boxed()).boxed()));
    }
    (weight, one_of(all))
}

fn by_id(op: BoxedStrategy<&'static str>) -> impl Strategy<Value = Metering> {
    let which = prop_oneof![
        12 => (0..3_usize).prop_map(Which::Admitted),
        6 => (0..40_usize).prop_map(Which::Admitted),
        1 => (0..5_usize).prop_map(Which::Refused),
        1 => Just(Which::Nobody),
    ];
    let times = prop_oneof![6 => Just(1_usize), 1 => Just(2)];
    (op, which, option::weighted(0.2, -1..=1_i64), times, cost())
        .prop_map(|(op, which, at_end, times, actual)| Metering::ById { op, which, at_end, times, actual })
}

/// The member that is so far from the last.
pub(super) fn back<T>(all: &[T], n: usize) -> Option<&T> {
    all.len().checked_sub(1 + n % all.len().max(1)).map(|i| &all[i])
}

impl Assembler {
    pub(super) fn meter(&mut self, seed: &Metering, text: bool) {
        match seed {
            Metering::ById { op, which, at_end, times, actual } => {
                let (id, late) = match *which {
                    Which::Admitted(n) => back(&self.admitted, n).cloned(),
                    Which::Refused(n) => back(&self.refused, n).map(|id| (id.clone(), None)),
                    Which::Nobody => None,
                }
                .unwrap_or_else(|| ("nobody".to_owned(), None));
                if let (Some(late), Some(offset)) = (late, at_end) {
                    self.go(late + Nanos::from(*offset));
                }
                for _ in 0..*times {
                    let mut line = json!({ "op": op, "id": id });
                    if *op == "settle" {
                        line["actual"] = self.cost(actual);
                    }
                    self.push(line, text);
                }
            }
        }
    }
}
