//! A recorded comparison of two builds is judged by the gate, however often its report is made.

use proofload_reports::gate::{BASE, HEAD, Judge, Rules, VERB, order};
use proofload_reports::run::{Measurement, Slice};
use proofload_reports::verdict::Verdict;
use proofload_reports::{Run, exit_code, file, judge_all, render};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;

const BLOCKS: usize = 16;
const REQUESTS: u64 = 200;

/// Sixteen blocks of four slices; head takes `slower` times as long for a request, and as much processor time.
fn comparison(slower: f64) -> Run {
    let mut measurement = crate::synthetic::measurement("gate-redirects", 1, 100);
    let mut random = Pcg64::seed_from_u64(7);
    let mut series = [BASE, HEAD].map(crate::synthetic::empty_series);
    for (block, base_first) in order(BLOCKS, 1).into_iter().enumerate() {
        let forth = if base_first { [0, 1] } else { [1, 0] };
        for (place, side) in forth.into_iter().chain(forth.into_iter().rev()).enumerate() {
            let cost = if side == 0 { 1.0 } else { slower } * (0.99 + 0.02 * random.random::<f64>());
            series[side].slices.push(slice(block as u32, (block * 4 + place) as f64, cost));
        }
    }
    measurement.series = series.into();
    let claim = Judge::new(Rules::default()).gate(&measurement, BASE, HEAD).verdict.claim;
    let mut run = crate::synthetic::run_of(vec![measurement]);
    run.verb = VERB.into();
    run.claims = vec![claim];
    run
}

fn slice(block: u32, start_s: f64, cost: f64) -> Slice {
    let mut slice = Slice { start_s, duration_s: 1.0, block, ..Slice::default() };
    slice.latency = (0..REQUESTS).map(|it| (cost * (100_000 + it * 500) as f64) as u64).collect();
    slice.counters = [
        ("client.ok", REQUESTS),
        ("client.wrong", 0),
        ("cpu.server_us", (cost * 9.0 * REQUESTS as f64 * 100.0) as u64),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into();
    slice
}

fn code_of(run: &Run) -> u8 {
    exit_code(run, &judge_all(run))
}

#[test]
fn a_build_that_is_as_fast_passes_and_a_slower_one_fails() {
    assert_eq!(code_of(&comparison(1.0)), 0);
    assert_eq!(code_of(&comparison(0.9)), 0, "faster is no regression");
    assert_eq!(code_of(&comparison(1.1)), 1);
    let verdicts = judge_all(&comparison(1.1));
    assert!(verdicts[0].sentence.contains("`head` is slower than `base`"), "{}", verdicts[0].sentence);
}

#[test]
fn the_margin_of_the_recorded_run_counts() {
    let mut run = comparison(1.1);
    let generous = Judge::new(Rules { margin: 0.25, ..Rules::default() });
    run.claims = vec![{ generous }.gate(&run.measurements[0], BASE, HEAD).verdict.claim];
    assert_eq!(code_of(&run), 0);
}

#[test]
fn a_report_made_again_says_the_same() {
    let run = comparison(1.1);
    let directory = tempfile::tempdir().unwrap();
    render::write(directory.path(), &run, &judge_all(&run)).unwrap();
    let again = file::read(&directory.path().join("run.json")).unwrap();
    assert_eq!(judge_all(&again), judge_all(&run));
    let page = std::fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.contains("head is slower than base"), "the headline says it");
}

#[test]
fn without_processor_times_only_what_the_client_sees_is_compared() {
    let mut run = comparison(1.0);
    let strip = |measurement: &mut Measurement| {
        for slice in measurement.series.iter_mut().flat_map(|it| &mut it.slices) {
            slice.counters.remove("cpu.server_us");
        }
    };
    run.measurements.iter_mut().for_each(strip);
    let verdicts = judge_all(&run);
    assert_eq!(verdicts[0].checks.len(), 2);
    assert_eq!(verdicts[0].upheld, Some(Verdict::Holds));
}

#[test]
fn failed_requests_make_it_invalid() {
    for failure in ["client.wrong", "client.timeout", "client.error"] {
        let mut run = comparison(1.0);
        run.measurements[0].series[1].slices[3].counters.insert(failure.into(), 1);
        assert_eq!(code_of(&run), 4, "{failure}");
    }
}

/// What was never sent is slower than all that was, and not left out.
#[test]
fn dropped_requests_count_as_slowest() {
    let dropping = |dropped: u64| {
        let mut run = comparison(1.0);
        for slice in &mut run.measurements[0].series[1].slices {
            slice.counters.insert("client.dropped".into(), dropped);
        }
        code_of(&run)
    };
    assert_eq!((dropping(0), dropping(REQUESTS / 2)), (0, 1));
    assert_eq!(dropping(REQUESTS * 2), 4, "half of them have no time");
}
