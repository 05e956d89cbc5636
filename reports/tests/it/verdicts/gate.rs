//! The gate on hand-made runs of two builds.

use proofload_reports::Verdict;
use proofload_reports::gate::{Gate, Judge, Rules};
use proofload_reports::run::{Measurement, Model, Series};

use super::made::*;

/// Sixteen blocks in balanced order; head is slower by a factor, and every block is a little different.
fn builds(slower: f64, base_first: impl Fn(u32) -> bool) -> Measurement {
    let mut sides = [Vec::new(), Vec::new()];
    for block in 0..16 {
        let order = if base_first(block) { [0, 1, 1, 0] } else { [1, 0, 0, 1] };
        for (slot, side) in order.into_iter().enumerate() {
            let wobble = 1.0 + f64::from((block * 5 + slot as u32 * 3) % 7) * 0.001;
            let factor = if side == 1 { slower * wobble } else { wobble };
            let cpu = (50_000.0 * factor) as u64;
            let mut slice = slice(
                block * 4 + slot as u32,
                &[("client.ok", 1_000), ("client.wrong", 0), ("cpu.server_us", cpu)],
            );
            slice.block = block;
            slice.latency = (0..1_000).map(|it| ((100_000 + it * 100) as f64 * factor) as u64).collect();
            sides[side].push(slice);
        }
    }
    let [base, head] = sides;
    measurement(vec![series("base", base), series("head", head)])
}

fn gate(measurement: &Measurement) -> Gate {
    Judge::new(Rules::default()).gate(measurement, "base", "head")
}

fn balanced(block: u32) -> bool {
    block.is_multiple_of(2)
}

#[test]
fn equal_builds_pass_and_slower_ones_fail() {
    let equal = gate(&builds(1.0, balanced));
    assert_eq!(equal.verdict.upheld, Some(Verdict::Holds), "{equal:#?}");
    assert!(!equal.extend);
    let slower = gate(&builds(1.1, balanced));
    assert_eq!(slower.verdict.upheld, Some(Verdict::Fails));
    assert!(
        slower.verdict.sentence.starts_with("`head` is slower than `base`: latency p50"),
        "{}",
        slower.verdict.sentence
    );
    let faster = gate(&builds(0.8, balanced));
    assert_eq!(faster.verdict.upheld, Some(Verdict::Holds));
}

#[test]
fn an_unsettled_gate_asks_for_more_blocks_once() {
    let mut builds = builds(1.0, balanced);
    for slice in &mut builds.series[1].slices {
        let cpu = if slice.block % 3 == 0 { 56_000 } else { 48_500 };
        slice.counters.insert("cpu.server_us".to_owned(), cpu);
    }
    let found = gate(&builds);
    assert_eq!((found.verdict.upheld, found.extend), (Some(Verdict::Inconclusive), true), "{found:#?}");
}

#[test]
fn a_saturated_run_is_judged_by_its_throughput() {
    let mut closed = builds(1.0, balanced);
    closed.model = Model::Closed;
    closed.series[1].slices.iter_mut().for_each(|slice| {
        slice.counters.insert("client.ok".to_owned(), 900);
    });
    let found = gate(&closed);
    assert_eq!(found.verdict.checks[0].verdict, Verdict::Fails, "{found:#?}");
    assert!((found.verdict.checks[0].estimate.unwrap() - 1_000.0 / 900.0).abs() < 1e-9);
}

#[test]
fn what_cannot_be_trusted_is_invalid() {
    #[track_caller]
    fn assert_invalid(measurement: &Measurement, reason: &str) {
        let found = gate(measurement);
        assert_eq!(found.verdict.upheld, Some(Verdict::Invalid));
        assert!(!found.extend);
        assert!(found.verdict.checks[0].reasons[0].contains(reason), "{:?}", found.verdict.checks[0].reasons);
    }
    let good = || builds(1.0, balanced);
    assert_invalid(&builds(1.0, |_| true), "base came first in 16 of 16 blocks");
    assert_invalid(&Measurement { invalid_latency: vec!["stolen".to_owned()], ..good() }, "stolen");
    assert_invalid(&Measurement { series: good().series[..1].to_vec(), ..good() }, "`head` was not measured");
    assert_invalid(
        &broken(good(), |head| drop(head.slices.pop())),
        "block 15 has 2 slices of base and 1 of head",
    );
    let wrong = |head: &mut Series| {
        head.slices[0].counters.insert("client.wrong".to_owned(), 2);
    };
    assert_invalid(&broken(good(), wrong), "2 requests to `head` failed: 2 answered wrongly, 0 timed out");
    let idle = |head: &mut Series| head.slices.iter_mut().for_each(|it| it.latency = Default::default());
    assert_invalid(&broken(good(), idle), "block 0 has no latency p50");
}

fn broken(mut builds: Measurement, breakage: impl Fn(&mut Series)) -> Measurement {
    breakage(&mut builds.series[1]);
    builds
}
