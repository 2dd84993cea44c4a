//! One thread, every check admitted: each contender with a thousand keys and with a million.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_bench::peers;
use tollgate_bench::runner::Built;
use tollgate_bench::workload::{Distribution, Mix, Workload};

const CHECKS: usize = 100_000;

fn single_thread(criterion: &mut Criterion) {
    for keys in [1_000, 1_000_000] {
        let workload = Workload { keys, distribution: Distribution::Uniform, mix: Mix::Allowed };
        let mut group = criterion.benchmark_group(format!("single_thread/{keys}"));
        group.throughput(Throughput::Elements(CHECKS as u64)).sample_size(20);
        let stream = workload.stream(CHECKS, 1);
        for entry in peers::ALL.iter().filter(|entry| entry.set == peers::Set::Throttle) {
            let built = Built::new(entry, &workload, 1);
            group.bench_function(entry.name, |bencher| {
                bencher.iter(|| built.contender.run(&stream, built.advance(CHECKS)));
            });
        }
        group.finish();
    }
}

criterion_group!(benches, single_thread);
criterion_main!(benches);
