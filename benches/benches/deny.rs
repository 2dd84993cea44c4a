//! Refusals: nine checks in ten of a thousand keys, and all of one key.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_bench::peers;
use tollgate_bench::runner::Built;
use tollgate_bench::workload::{Distribution, Mix, Workload};

const CHECKS: usize = 100_000;
/// Of each of a hundred keys that are not refused: enough for 10,000 streams.
const ALLOWANCE: u32 = 10_000_000;

fn deny(criterion: &mut Criterion) {
    for (name, keys, mix) in [("nine_in_ten", 1_000, Mix::Denied), ("one_key", 1, Mix::Refused)] {
        let workload = Workload { keys, distribution: Distribution::Uniform, mix };
        let mut group = criterion.benchmark_group(format!("deny/{name}"));
        group.throughput(Throughput::Elements(CHECKS as u64)).sample_size(20);
        let stream = workload.stream(CHECKS, 1);
        let takes_part =
            |entry: &&peers::Entry| entry.set == peers::Set::Throttle && entry.can_hold(&workload);
        for entry in peers::ALL.iter().filter(takes_part) {
            let built = Built::new(entry, &workload, ALLOWANCE);
            group.bench_function(entry.name, |bencher| {
                bencher.iter(|| built.contender.run(&stream, built.advance(CHECKS)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, deny);
criterion_main!(benches);
