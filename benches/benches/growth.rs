//! A hundred thousand keys appear in a contender that planned for none: building it, and each key's first check.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tollgate_bench::peers::{self, Limit, Room, START, Setup};
use tollgate_bench::workload::Key;

const KEYS: u32 = 100_000;

fn growth(criterion: &mut Criterion) {
    let keys: Vec<Key> = (0..KEYS).map(Key::new).collect();
    let mut group = criterion.benchmark_group("growth");
    group.throughput(Throughput::Elements(KEYS.into())).sample_size(10);
    for entry in peers::ALL.iter().filter(|entry| entry.set == peers::Set::Throttle) {
        let setup = Setup { keys: KEYS, room: Room::Growing, limit: Limit::AMPLE };
        group.bench_function(entry.name, |bencher| {
            let check = |contender: Box<dyn peers::Contender>| {
                contender.run(&keys, START);
                // Given back, so that its end is not timed.
                contender
            };
            bencher.iter_batched(|| (entry.build)(&setup), check, BatchSize::PerIteration);
        });
    }
    group.finish();
}

criterion_group!(benches, growth);
criterion_main!(benches);
