//! Quantiles of response and service times.

use proofload_reports::Verdict;
use proofload_reports::run::Model;
use proofload_scenarios::claim::{Part, Side};
use proofload_scenarios::{Bound, Metric};

use super::made::*;

#[test]
fn a_quantile_holds_fails_or_is_not_settled() {
    // 2 % take 5 ms, evenly spread.
    let spread = || responses(|_, request| if request % 50 == 0 { 5_000_000 } else { 1_000_000 });
    let at_most = |q, bound| judged(check(response(q), Bound::AtMost(bound)), measurement(vec![spread()]));
    assert_holds(&at_most(0.9, 1_100.0));
    assert_verdict(&at_most(0.99, 4_000.0), Verdict::Fails, "misses");
    assert_verdict(&at_most(0.9999, 4_000.0), Verdict::Fails, "misses");
    let found = at_most(0.9999, 6_000.0);
    assert_verdict(&found, Verdict::Inconclusive, "does not settle");
    assert!(found.needed.unwrap() > 20_000, "{:?}", found.needed);
}

/// Two slices of forty are slow throughout: the median of the slices' p99 is 1 ms, that of all is 80 ms.
#[test]
fn percentiles_of_slices_are_not_averaged() {
    let stalled = responses(|slice, _| if slice < 2 { 80_000_000 } else { 1_000_000 });
    let found = judged(check(response(0.99), Bound::AtMost(10_000.0)), measurement(vec![stalled]));
    assert_ne!(found.verdict, Verdict::Holds);
    assert!(found.estimate.unwrap() > 79_000.0);
}

#[test]
fn dropped_and_lost_requests_count_as_slowest() {
    let mut dropping = responses(|_, _| 1_000_000);
    assert_holds(&judged(check(response(0.99), Bound::AtMost(2_000.0)), measurement(vec![dropping.clone()])));
    dropping.slices.iter_mut().for_each(|slice| {
        slice.counters.insert("client.dropped".to_owned(), 10);
    });
    let found = judged(check(response(0.99), Bound::AtMost(2_000.0)), measurement(vec![dropping]));
    assert_eq!(found.estimate, None);
    assert_verdict(&found, Verdict::Fails, "400 requests have no response time");
}

/// The last slice lasts until the last answer, and what stalled is in it.
#[test]
fn a_part_that_ends_with_the_measurement_holds_its_last_slice() {
    let part = Part { from_s: Some(40.0), until_s: Some(48.0) };
    let metric = Metric::Count { sum: vec!["client.timeout".to_owned()], variant: None, part };
    let mut made = measurement(vec![redirects(990)]);
    let last = made.series[0].slices.last_mut().unwrap();
    last.duration_s = 6.0;
    last.counters.insert("client.timeout".to_owned(), 9);
    assert_verdict(&judged(check(metric, Bound::AtMost(0.0)), made), Verdict::Fails, "");
}

/// How many times as long requests take in the second half.
fn slower_later() -> Metric {
    let of = Side { from_s: Some(40.0), ..Side::default() };
    Metric::Slowdown { quantile: 0.9, of, over: Side { until_s: Some(40.0), ..Side::default() } }
}

#[test]
fn a_slowdown_is_known_no_better_than_its_sides() {
    let slowed = |by: u64| {
        let mut made = responses(|slice, request| u64::from(slice % 7 * 20 + request) * 1_000 + 1_000_000);
        let later =
            responses(|slice, request| (u64::from(slice % 7 * 20 + request) * 1_000 + 1_000_000) * by);
        made.slices.extend(later.slices.into_iter().map(|mut slice| {
            slice.start_s += 40.0;
            slice
        }));
        measurement(vec![made])
    };
    let at_most = |bound, by| judged(check(slower_later(), Bound::AtMost(bound)), slowed(by));
    assert_holds(&at_most(2.2, 2));
    assert_verdict(&at_most(2.2, 3), Verdict::Fails, "misses");
    let found = at_most(2.0, 2);
    assert_verdict(&found, Verdict::Inconclusive, "does not settle");
    let interval = found.interval.unwrap();
    assert!(
        interval.low < 2.0 && interval.low > 1.9 && interval.high > 2.0 && interval.high < 2.1,
        "{interval:?}"
    );
    let mut lagging = slowed(2);
    lagging.invalid_latency = vec!["the generator lagged".to_owned()];
    assert_verdict(&judged(check(slower_later(), Bound::AtMost(2.2)), lagging), Verdict::Invalid, "lagged");
    let few = measurement(vec![responses(|_, _| 1_000_000)]);
    assert_verdict(
        &judged(check(slower_later(), Bound::AtMost(2.2)), few),
        Verdict::Invalid,
        "no slice lies",
    );
}

#[test]
fn a_closed_run_has_no_response_time() {
    let mut closed = measurement(vec![responses(|_, _| 1_000_000)]);
    closed.model = Model::Closed;
    assert_verdict(
        &judged(check(response(0.5), Bound::AtMost(2_000.0)), closed.clone()),
        Verdict::Invalid,
        "closed runs have no response time",
    );
    let service = Metric::Service { quantile: 0.5, variant: None };
    assert_holds(&judged(check(service, Bound::AtMost(2_000.0)), closed));
}

#[test]
fn a_generator_that_lagged_spoils_latencies_and_leaves_counts() {
    let mut lagging = measurement(vec![responses(|_, _| 1_000_000)]);
    lagging.invalid_latency = vec!["the generator lagged".to_owned()];
    let found = judged(check(response(0.5), Bound::AtMost(2_000.0)), lagging.clone());
    assert_verdict(&found, Verdict::Invalid, "the generator lagged");
    assert_holds(&judged(check(counted("client.dropped"), Bound::AtMost(0.0)), lagging));
}

#[test]
fn slices_and_merged_times_must_hold_the_same_requests() {
    let mut lost = responses(|_, _| 1_000_000);
    lost.slices[0].latency = Default::default();
    lost.slices[1].latency = Default::default();
    let found = judged(check(response(0.5), Bound::AtMost(2_000.0)), measurement(vec![lost]));
    assert_verdict(&found, Verdict::Invalid, "the slices hold 19,000 responses, the merged times 20,000");
}
