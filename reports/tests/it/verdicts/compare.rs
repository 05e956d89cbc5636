//! Two runs side by side.

use proofload_reports::compare::{Compared, Reading, Row, compare};
use proofload_reports::run::Series;
use proofload_reports::{Distribution, Run};

use super::made::*;

fn recorded(mut series: Series) -> Run {
    for slice in &mut series.slices {
        let jitter = (slice.start_s as u64 * 7) % 5;
        slice.counters.insert("client.ok".to_owned(), 500 + jitter);
    }
    run(Vec::new(), measurement(vec![series]))
}

fn merged(series: &Series) -> Distribution {
    let mut all = Distribution::default();
    series.slices.iter().for_each(|slice| all.merge(&slice.latency.unpack()));
    all
}

fn row(a: &Run, b: &Run, metric: Compared) -> Row {
    let rows = compare(a, b).rows;
    rows.iter().find(|row| row.metric == metric).unwrap_or_else(|| panic!("{metric:?} in {rows:#?}")).clone()
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let one = recorded(responses(|_, request| 1_000_000 + u64::from(request) * 1_000));
    let found = compare(&one, &one);
    assert!(found.changes.is_empty() && found.unmatched.is_empty(), "{found:#?}");
    assert!(found.rows.iter().all(|row| row.ratio == Some(1.0) && row.reading == Reading::NoDifferenceShown));
    assert!(found.rows.iter().any(|row| row.metric == Compared::Throughput));
}

#[test]
fn a_slower_run_reads_higher_and_the_other_way_round_lower() {
    let time = |factor: u64| move |_, request: u32| (1_000_000 + u64::from(request) * 1_000) * factor / 10;
    let (fast, slow) = (recorded(responses(time(10))), recorded(responses(time(12))));
    let p50 = Compared::Response { quantile: 0.5 };
    let slower = row(&fast, &slow, p50);
    assert_eq!(slower.reading, Reading::Higher);
    assert!((slower.ratio.unwrap() - 1.2).abs() < 0.01);
    assert_eq!(row(&slow, &fast, p50).reading, Reading::Lower);
}

/// Of 20,000 requests none tells what one of a million takes.
#[test]
fn an_interval_without_an_end_shows_nothing() {
    let few = recorded(responses(|_, request| 1_000_000 + u64::from(request)));
    let mut thin = few.clone();
    for slice in &mut thin.measurements[0].series[0].slices {
        slice.latency = [1_000_000].into_iter().collect();
    }
    let times = merged(&thin.measurements[0].series[0]);
    thin.measurements[0].series[0].times.insert("response".to_owned(), times);
    let found = row(&few, &thin, Compared::Response { quantile: 0.999 });
    let open = found.interval.expect("both have a value");
    assert!(open.high.is_infinite(), "{open:?}");
    assert_eq!(found.reading, Reading::Unknown, "{found:?}");
    assert_eq!(found.reasons, ["too few samples for an interval with two ends"]);
}

#[test]
fn hit_rates_are_compared_by_their_levels() {
    let found = row(&recorded(redirects(900)), &recorded(redirects(990)), Compared::HitRate);
    assert_eq!(found.reading, Reading::Higher);
    assert!((found.ratio.unwrap() - 1.1).abs() < 1e-3, "{found:?}");
}

#[test]
fn what_cannot_be_trusted_has_no_ratio_but_a_reason() {
    let one = recorded(responses(|_, _| 1_000_000));
    let mut lagging = one.clone();
    lagging.measurements[0].invalid_latency = vec!["the generator lagged".to_owned()];
    let found = row(&one, &lagging, Compared::Response { quantile: 0.99 });
    assert_eq!((found.ratio, found.reading), (None, Reading::Unknown));
    assert_eq!(found.reasons, ["B: the generator lagged"]);
    assert_eq!(row(&one, &lagging, Compared::Throughput).ratio, Some(1.0));

    let mut both = one.clone();
    both.measurements[0].invalid_latency = vec!["the generator lagged".to_owned()];
    let found = row(&both, &lagging, Compared::Response { quantile: 0.99 });
    assert_eq!(found.reasons, ["A and B: the generator lagged"], "what holds of both is told once");

    let mut short = one.clone();
    short.measurements[0].series[0].slices.truncate(10);
    let found = row(&one, &short, Compared::Throughput);
    assert!(found.ratio.is_some() && found.interval.is_none() && found.reading == Reading::Unknown);
}

#[test]
fn changes_and_what_only_one_run_measured_are_told() {
    let one = recorded(redirects(900));
    let mut other = one.clone();
    other.environment.kernel = "Linux 7.0".to_owned();
    other.measurements[0].scenario.seed += 1;
    other.measurements[0].series.push(series("second", Vec::new()));
    let found = compare(&one, &other);
    let changed: Vec<&str> = found.changes.iter().map(|it| it.what.as_str()).collect();
    assert_eq!(changed, ["kernel", "made: seed"]);
    assert_eq!((found.changes[0].a.as_deref(), found.changes[0].b.as_deref()), (None, Some("Linux 7.0")));
    assert_eq!(found.unmatched, ["variant `second` of scenario `made`"]);
}
