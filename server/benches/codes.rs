//! How fast codes are made from a leased block, and read back.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use proofload_server::codes::{Code, Codec, PUBLIC_DEFAULT_KEY, Slot};

const BLOCK: u64 = 10_000;

fn generation(criterion: &mut Criterion) {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let mut group = criterion.benchmark_group("generate");
    group.throughput(Throughput::Elements(BLOCK));
    group.bench_function("a leased block", |bencher| {
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
    group.finish();
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
