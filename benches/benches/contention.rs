//! Every core at once, every check admitted: one key, and a thousand. Wall time by checks of all threads.

use std::num::NonZeroUsize;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tollgate_bench::peers;
use tollgate_bench::runner::Built;
use tollgate_bench::workload::{Distribution, Key, Mix, Workload};

const CHECKS: usize = 100_000;

fn contention(criterion: &mut Criterion) {
    let threads = std::thread::available_parallelism().map_or(2, NonZeroUsize::get);
    for keys in [1, 1_000] {
        let workload = Workload { keys, distribution: Distribution::Uniform, mix: Mix::Allowed };
        let mut group = criterion.benchmark_group(format!("contention/{threads}x{keys}"));
        group.throughput(Throughput::Elements(1)).sample_size(10);
        let streams: Vec<Vec<Key>> =
            (0..threads as u64).map(|thread| workload.stream(CHECKS, thread)).collect();
        for entry in peers::ALL.iter().filter(|entry| entry.set == peers::Set::Throttle) {
            let built = Built::new(entry, &workload, 1);
            group.bench_function(entry.name, |bencher| {
                // An iteration is one check; they come by whole streams.
                bencher.iter_custom(|iterations| {
                    let runs = iterations.div_ceil((CHECKS * threads) as u64);
                    let ns: f64 = (0..runs).map(|_| built.time(&streams).0).sum();
                    Duration::from_nanos((ns / runs as f64 * iterations as f64) as u64)
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, contention);
criterion_main!(benches);
