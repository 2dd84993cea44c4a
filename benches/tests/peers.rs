//! Nobody's figure is that of a no-op: every contender limits, and is given work of the mix that the table says.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tollgate_bench::peers::{self, Entry, Limit, Room, START, Set, Setup, Time};
use tollgate_bench::runner::Built;
use tollgate_bench::workload::{Distribution, Key, Mix, Workload};

fn contenders() -> impl Iterator<Item = &'static Entry> {
    peers::ALL.iter().filter(|entry| entry.set != Set::Control)
}

#[test]
fn every_contender_admits_the_burst_and_then_refuses() {
    let limit = Limit { burst: 10, interval: Duration::from_secs(600) };
    for (entry, room) in
        contenders().flat_map(|entry| [Room::Planned, Room::Growing].map(|room| (entry, room)))
    {
        let contender = (entry.build)(&Setup { keys: 10, room, limit });
        let begun = Instant::now();
        for n in 0..5 {
            let admitted = contender.run(&[Key::new(n); 30], START);
            // One refills by one a second, whatever it is told; the others by nothing.
            let most = 10 + begun.elapsed().as_secs();
            assert!((10..=most).contains(&admitted), "{}, key {n}: {admitted}", entry.name);
        }
        assert!(contender.drain(&Key::new(7), START), "{}", entry.name);
        let admitted = contender.run(&[Key::new(7); 20], START);
        assert!(admitted <= begun.elapsed().as_secs(), "{}: {admitted} of a drained key", entry.name);
    }
}

#[test]
fn where_the_time_is_given_it_is_what_refills() {
    let limit = Limit { burst: 10, interval: Duration::from_secs(600) };
    for entry in contenders().filter(|entry| entry.time == Time::Given) {
        let contender = (entry.build)(&Setup { keys: 10, room: Room::Planned, limit });
        let admitted = |seconds: u64| contender.run(&[Key::new(1); 30], START + seconds * 1_000_000_000);
        assert_eq!((admitted(0), admitted(599), admitted(601)), (10, 0, 1), "{}", entry.name);
    }
}

#[test]
fn nine_checks_in_ten_are_refused_where_the_case_says_so() {
    for entry in contenders() {
        for distribution in [Distribution::Uniform, Distribution::Zipf] {
            let keys = 1_000.min(entry.most_denied);
            let workload = Workload { keys, distribution, mix: Mix::Denied };
            let built = Built::new(entry, &workload, 10_000);
            let (_, denied) = built.time(&[workload.stream(100_000, 3), workload.stream(100_000, 4)]);
            assert!((0.885..0.915).contains(&denied), "{}, {distribution:?}: {denied}", entry.name);
        }
    }
}

#[test]
fn all_or_no_checks_are_refused_where_the_case_says_so() {
    for entry in contenders() {
        for (mix, keys) in [(Mix::Allowed, 1_000), (Mix::Refused, 1)] {
            let workload = Workload { keys, distribution: Distribution::Uniform, mix };
            let built = Built::new(entry, &workload, 100);
            let (_, denied) = built.time(&[workload.stream(100_000, 5)]);
            assert!((denied - workload.denied_share()).abs() < 1e-3, "{}, {mix:?}: {denied}", entry.name);
        }
    }
}

#[test]
fn names_are_unique_and_every_ratio_has_one_baseline() {
    let names: HashSet<_> = peers::ALL.iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), peers::ALL.len());
    for entry in contenders() {
        let baselines =
            contenders().filter(|other| other.baseline && (other.set, other.time) == (entry.set, entry.time));
        assert_eq!(baselines.count(), 1, "{}", entry.name);
    }
}
