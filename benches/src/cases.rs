//! What is measured. A case more is an entry more in [`ALL`].

use serde::Serialize;

use crate::peers::Set;
use crate::workload::{Distribution, Mix, Workload};

/// What is measured of a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Wall time over all checks, with each number of threads.
    Speed,
    /// The time of every single check.
    Latency,
    /// The time of every single check while as many keys appear as there are, and the memory that they take.
    Growth,
}

/// A measurement that all of its contenders take part in.
pub struct Case {
    /// What `--case` calls it.
    pub name: &'static str,
    /// What is measured.
    pub kind: Kind,
    /// Who takes part; the control does everywhere.
    pub set: Set,
    /// Of which keys.
    pub workload: Workload,
    /// Whether it is among those that run unless `--full` or `--case` says otherwise.
    pub quick: bool,
}

const fn case(name: &'static str, keys: u32, distribution: Distribution, mix: Mix, quick: bool) -> Case {
    let workload = Workload { keys, distribution, mix };
    Case { name, kind: Kind::Speed, set: Set::Throttle, workload, quick }
}

const fn registered(name: &'static str, keys: u32, quick: bool) -> Case {
    Case { set: Set::Registered, ..case(name, keys, Distribution::Uniform, Mix::Allowed, quick) }
}

const fn latency(name: &'static str, keys: u32, quick: bool) -> Case {
    Case { kind: Kind::Latency, ..case(name, keys, Distribution::Uniform, Mix::Allowed, quick) }
}

const fn growth(name: &'static str, keys: u32, quick: bool) -> Case {
    Case { kind: Kind::Growth, ..case(name, keys, Distribution::Uniform, Mix::Allowed, quick) }
}

use Distribution::{Uniform, Zipf};
use Mix::{Allowed, Denied, Refused};

const K: u32 = 1_000;
const M: u32 = 1_000_000;

/// Every case.
pub const ALL: &[Case] = &[
    case("hot", 1, Uniform, Allowed, true),
    case("1k", K, Uniform, Allowed, true),
    case("1k-zipf", K, Zipf, Allowed, false),
    case("1M", M, Uniform, Allowed, true),
    case("1M-zipf", M, Zipf, Allowed, true),
    case("10M", 10 * M, Uniform, Allowed, false),
    case("10M-zipf", 10 * M, Zipf, Allowed, false),
    case("hot-refused", 1, Uniform, Refused, true),
    case("1k-denied", K, Uniform, Denied, true),
    case("1k-zipf-denied", K, Zipf, Denied, false),
    case("1M-denied", M, Uniform, Denied, false),
    case("1M-zipf-denied", M, Zipf, Denied, false),
    case("10M-denied", 10 * M, Uniform, Denied, false),
    registered("registered", K, true),
    registered("registered-100k", 100 * K, false),
    latency("latency-1k", K, false),
    latency("latency-1M", M, true),
    growth("growth-100k", 100 * K, false),
    growth("growth-1M", M, true),
    growth("growth-10M", 10 * M, false),
];
