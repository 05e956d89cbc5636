//! Probes of a rate: what one measurement says of an objective.

use proofload_reports::Verdict;
use proofload_reports::knee::Slo;

use super::made::*;

#[test]
fn a_probe_holds_fails_or_cannot_be_trusted() {
    let slo: Slo = "p99 <= 2ms".parse().unwrap();
    let fast = measurement(vec![counted_failures(responses(|_, _| 1_000_000), 0)]);
    let probe = slo.probe(500.0, &fast);
    assert_eq!((probe.verdict, probe.latency_us), (Verdict::Holds, Some(1_000.447)));

    let slow = measurement(vec![counted_failures(responses(|_, _| 3_000_000), 0)]);
    assert_eq!(slo.probe(500.0, &slow).verdict, Verdict::Fails);

    let mut lagging = fast;
    lagging.invalid_latency = vec!["the generator lagged".to_owned()];
    assert_eq!(slo.probe(500.0, &lagging).verdict, Verdict::Invalid);

    let mut failing = measurement(vec![counted_failures(responses(|_, _| 1_000_000), 1)]);
    failing.invalid_latency = lagging.invalid_latency;
    assert_eq!(slo.probe(500.0, &failing).verdict, Verdict::Fails);
}

fn counted_failures(
    mut series: proofload_reports::run::Series,
    errors: u64,
) -> proofload_reports::run::Series {
    for slice in &mut series.slices {
        slice.counters.insert("client.timeout".to_owned(), 0);
        slice.counters.insert("client.error".to_owned(), errors);
    }
    series
}
