//! What recording one sample costs: at most 50 ns.

use std::hint::black_box;
use std::sync::mpsc;

use criterion::{Criterion, criterion_group, criterion_main};
use proofload::record::{Outcome, Recorder, Sample, Timeline};

/// Samples with times like those of a fast server: some tens of microseconds, now and then a millisecond.
fn samples() -> Vec<Sample> {
    let mut random = 7_u64;
    (0..4_096_u64)
        .map(|n| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let jitter = (random >> 50) + if n % 100 == 0 { 1_000_000 } else { 0 };
            let due = 1_000 + n * 50_000;
            let sent = due + 500 + jitter % 1_000;
            let first = sent + 30_000 + jitter;
            let (ready, written, done) = (sent - 200, sent + 5_000, first + 300);
            let (kind, outcome, status) = ((n % 2) as usize, Outcome::Ok, 302);
            Sample { kind, due, ready, sent, written, first, done, outcome, status }
        })
        .collect()
}

fn recorder(criterion: &mut Criterion) {
    let samples = samples();
    let (ship, _shipped) = mpsc::channel();
    let hour = 3_600_000_000_000;
    let timeline = Timeline { start: 1, measured: 1, slice: hour, slices: 1, end: hour };
    let mut next = samples.iter().cycle();
    for (name, open) in [("record an open sample", true), ("record a closed sample", false)] {
        let mut recorder = Recorder::new(0, 2, open, timeline, ship.clone());
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| recorder.record(black_box(next.next().expect("it never ends")), 250));
        });
    }
}

criterion_group!(benches, recorder);
criterion_main!(benches);
