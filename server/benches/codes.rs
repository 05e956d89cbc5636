//! How fast codes are made from a leased block, against drawing each and asking the database; and how fast they are read.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use proofload_server::blocks::Blocks;
use proofload_server::codes::{CODES_PER_SLOT, Code, Codec, Key, PUBLIC_DEFAULT_KEY, Slot};
use proofload_server::keygen::{Leases, MOST_IDS};
use proofload_server::store::{Store, StoreOptions};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use tokio::runtime::Runtime;

const BLOCK: u64 = 10_000;

fn generation(criterion: &mut Criterion) {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    // Blocks are leased on a thread of their own, as they are in a server that answers on another.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(1).enable_all().build().expect("a runtime");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = format!("sqlite:{}", directory.path().join("links.db").display());
    let store = runtime.block_on(Store::connect(&url, &StoreOptions::default())).expect("a store");
    let mut group = criterion.benchmark_group("generate");
    group.throughput(Throughput::Elements(BLOCK));
    let blocks = blocks(&store, &codec, &runtime);
    group.bench_function("a leased block", |bencher| {
        let (mut ids, mut codes) = (Vec::with_capacity(BLOCK as usize), Vec::with_capacity(BLOCK as usize));
        bencher.iter(|| {
            ids.clear();
            codes.clear();
            let by = tokio::time::Instant::now() + std::time::Duration::from_secs(10);
            runtime.block_on(blocks.take(BLOCK as usize, &mut ids, by)).expect("ids");
            codec.encode_all(&ids, &mut codes);
            black_box(&codes);
        });
        assert!(blocks.counters().leases() > 0, "each id comes from a lease");
    });
    group.bench_function("encoded alone", |bencher| {
        let (mut ids, mut codes) = (Vec::with_capacity(BLOCK as usize), Vec::with_capacity(BLOCK as usize));
        let mut start = 0;
        bencher.iter(|| {
            ids.clear();
            codes.clear();
            ids.extend((start..start + BLOCK).map(|n| codec.id(n, Slot(3))));
            codec.encode_all(&ids, &mut codes);
            start += BLOCK;
            black_box(&codes);
        });
    });
    group.bench_function("one by one", |bencher| {
        let mut start = 0;
        bencher.iter(|| {
            for n in start..start + BLOCK {
                black_box(codec.encode(codec.id(n, Slot(3))));
            }
            start += BLOCK;
        });
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("draw and ask", |bencher| {
        let mut random = Pcg64Mcg::seed_from_u64(1);
        bencher.iter(|| {
            let key = Key::Generated(codec.id(random.random_range(0..CODES_PER_SLOT), Slot(3)));
            runtime.block_on(store.is_taken(&key)).expect("an answer")
        });
    });
    group.finish();
}

/// Ids from blocks that the database leases, which grow to what is asked of them, each commit synced.
fn blocks(store: &Store, codec: &Codec, runtime: &Runtime) -> Blocks {
    let stack = "bench".parse().expect("a stack");
    let leases = Leases::new(store.clone(), stack, None, None).expect("leases");
    Blocks::start(leases, codec.clone(), BLOCK..=MOST_IDS, runtime.handle())
}

fn reading(criterion: &mut Criterion) {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let codes: Vec<Code> = (0..BLOCK).map(|n| codec.encode(codec.id(n, Slot(3)))).collect();
    let mut group = criterion.benchmark_group("read");
    group.throughput(Throughput::Elements(BLOCK));
    group.bench_function("parse", |bencher| {
        bencher.iter_batched_ref(
            || codes.iter().map(|code| *code.as_bytes()).collect::<Vec<_>>(),
            |texts| texts.iter().map(|text| Code::parse(text).expect("a code").value()).sum::<u64>(),
            BatchSize::LargeInput,
        );
    });
    group.bench_function("decode", |bencher| {
        bencher.iter(|| codes.iter().map(|&code| codec.decode(code)).fold(0, u64::wrapping_add));
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(std::time::Duration::from_secs(3));
    targets = generation, reading
}
criterion_main!(benches);
