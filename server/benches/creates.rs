//! What each design of a durable create costs, on SQLite with every commit synced.
//!
//! 64 clients create at once, each waiting for its answer: the time of a create is a share of the time of a round, and
//! not the latency that a client sees.

use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use proofload_server::codes::{Codec, PUBLIC_DEFAULT_KEY};
use proofload_server::creator::{CodeDesign, Creator, CreatorOptions, InsertDesign, NewLink};
use proofload_server::keygen::Leases;
use proofload_server::store::{Store, StoreOptions};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const CLIENTS: u64 = 64;

fn designs(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut group = criterion.benchmark_group("create");
    group.throughput(Throughput::Elements(1));
    for (name, codes, insert) in [
        ("checked, single", CodeDesign::Checked, InsertDesign::Single),
        ("checked, coalesced", CodeDesign::Checked, InsertDesign::Coalesced),
        ("blocks, single", CodeDesign::Blocks, InsertDesign::Single),
        ("blocks, coalesced", CodeDesign::Blocks, InsertDesign::Coalesced),
    ] {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let url = format!("sqlite:{}", directory.path().join("links.db").display());
        let options = CreatorOptions { codes, insert, ..CreatorOptions::default() };
        let creator = runtime.block_on(creator(&url, options));
        group.bench_function(name, |bencher| {
            bencher.iter_custom(|creates| round(&runtime, &creator, creates));
        });
    }
    group.finish();
}

async fn creator(url: &str, options: CreatorOptions) -> Creator {
    let store = Store::connect(url, &StoreOptions::default()).await.expect("a store");
    let stack = "bench".parse().expect("a stack");
    let leases = Leases::new(store.clone(), stack, None, None).expect("leases");
    let handle = tokio::runtime::Handle::current();
    Creator::start(store, Codec::new(&PUBLIC_DEFAULT_KEY), leases, options, &handle)
}

/// The time that at least `creates` creates take, scaled to exactly that many.
fn round(runtime: &Runtime, creator: &Creator, creates: u64) -> Duration {
    let each = creates.div_ceil(CLIENTS);
    let took = runtime.block_on(async {
        let mut clients = JoinSet::new();
        let start = Instant::now();
        for _ in 0..CLIENTS {
            let creator = creator.clone();
            clients.spawn(async move {
                for _ in 0..each {
                    let new = NewLink { url: "https://example.com/a/b?c=d".into(), ..NewLink::default() };
                    creator.create(new).await.expect("a link");
                }
            });
        }
        clients.join_all().await;
        start.elapsed()
    });
    took.mul_f64(creates as f64 / (each * CLIENTS) as f64)
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(Duration::from_secs(5));
    targets = designs
}
criterion_main!(benches);
