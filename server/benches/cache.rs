//! What a look-up in the process's own cache takes: of links by a skewed popularity, of links that it does not hold, and
//! with each miss put in, where it holds a quarter of them.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proofload_server::cache::table::{Cached, Capacity, Entry, Name, Newcomer, Table};
use proofload_server::codes::{Codec, PUBLIC_DEFAULT_KEY};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

const LINKS: usize = 1_000_000;
/// Look-ups between two looks at the clock, so many that the caches of the processor do not hold what they touch.
const LOOKUPS: usize = 100_000;
const URL: &str = "https://example.com/some/page/123456?with=query";

fn codes(from: usize, count: usize) -> Vec<String> {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    (from..from + count).map(|id| codec.encode(id as u64).to_string()).collect()
}

/// Visits of which half go to one link in eight: cubes of an even draw.
fn visits(codes: &[String]) -> Vec<&str> {
    let mut random = Pcg64Mcg::seed_from_u64(7);
    let place = |draw: f64| (draw.powi(3) * codes.len() as f64) as usize;
    (0..LOOKUPS).map(|_| codes[place(random.random())].as_str()).collect()
}

fn link() -> Newcomer<'static> {
    Newcomer { url: URL, expires: None, clicks: 0 }
}

fn lookups(criterion: &mut Criterion) {
    let known = codes(0, LINKS);
    let unknown = codes(LINKS, LOOKUPS);
    let visits = visits(&known);
    let full = Table::new(Capacity::Entries(LINKS));
    full.expect(LINKS);
    for code in &known {
        full.insert(Name::of(code), link(), Entry::Ahead);
    }
    let small = Table::new(Capacity::Entries(LINKS / 4));
    let mut group = criterion.benchmark_group("cache");
    group.throughput(Throughput::Elements(LOOKUPS as u64));
    group.bench_function("hits", |bencher| {
        bencher.iter(|| visits.iter().for_each(|code| drop(black_box(full.get(Name::of(code), || 0)))));
    });
    group.bench_function("misses", |bencher| {
        bencher.iter(|| unknown.iter().for_each(|code| drop(black_box(full.get(Name::of(code), || 0)))));
    });
    group.bench_function("look-ups of a cache of a quarter", |bencher| {
        bencher.iter(|| {
            for code in &visits {
                if let Cached::Absent = black_box(small.get(Name::of(code), || 0)) {
                    small.insert(Name::of(code), link(), Entry::Miss);
                }
            }
        });
    });
    group.finish();
}

criterion_group!(benches, lookups);
criterion_main!(benches);
