//! What continuous benchmark trackers read: Bencher's metric format, github-action-benchmark's lists.

use std::collections::BTreeMap;

use proofload_scenarios::Bound;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::figure::Unit;
use crate::render::{rates, table};
use crate::run::{Measurement, Run, Series};
use crate::tally::{Tally, untimed};
use crate::verdict::{CheckVerdict, ClaimVerdict, Verdict};

/// Bencher refuses a measure with a longer name, in bytes.
const LONGEST_NAME: usize = 64;

/// Benchmark → measure → metric, as Bencher's `json` adapter reads it.
pub fn bencher(run: &Run, verdicts: &[ClaimVerdict]) -> String {
    let mut benchmarks: BTreeMap<String, BTreeMap<String, Metric>> = BTreeMap::new();
    for it in figures(run, verdicts) {
        let metric = Metric { value: it.value, lower_value: it.low, upper_value: it.high };
        benchmarks.entry(it.benchmark).or_default().insert(shortened(&it.measure), metric);
    }
    json(&benchmarks)
}

/// A name that is too long, cut, with what tells it from others that begin so.
fn shortened(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    let digest = Sha256::digest(name);
    let tail: String = digest[..3].iter().map(|byte| format!("{byte:02x}")).collect();
    let end = name.floor_char_boundary(LONGEST_NAME - tail.len() - 4);
    format!("{}… {tail}", name[..end].trim_end())
}

/// For the action's `customSmallerIsBetter`.
pub fn smaller_is_better(run: &Run, verdicts: &[ClaimVerdict]) -> String {
    entries(figures(run, verdicts).filter(|it| it.smaller_is_better))
}

/// For the action's `customBiggerIsBetter`.
pub fn bigger_is_better(run: &Run, verdicts: &[ClaimVerdict]) -> String {
    entries(figures(run, verdicts).filter(|it| !it.smaller_is_better))
}

#[derive(Serialize)]
struct Metric {
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lower_value: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upper_value: Option<f64>,
}

#[derive(Serialize)]
struct Entry {
    name: String,
    unit: &'static str,
    value: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    range: Option<String>,
}

/// A number worth tracking.
struct Figure {
    benchmark: String,
    measure: String,
    unit: &'static str,
    value: f64,
    low: Option<f64>,
    high: Option<f64>,
    smaller_is_better: bool,
}

/// Every check that could be trusted, then throughput and latency of every series that can.
///
/// An invalid number in a tracker's history would be a false alarm today and a false baseline tomorrow.
fn figures<'a>(run: &'a Run, verdicts: &'a [ClaimVerdict]) -> impl Iterator<Item = Figure> + 'a {
    let checks = verdicts.iter().flat_map(|claim| claim.checks.iter().map(move |check| (claim, check)));
    let of_checks = checks.filter_map(|(claim, check)| of_check(claim, check));
    let trusted = run.measurements.iter().filter(|it| run.invalid.is_empty() && it.invalid.is_empty());
    of_checks.chain(trusted.flat_map(|it| it.series.iter().flat_map(move |series| of_series(it, series))))
}

fn of_check(claim: &ClaimVerdict, check: &CheckVerdict) -> Option<Figure> {
    let value = check.estimate.filter(|_| check.verdict != Verdict::Invalid)?;
    Some(Figure {
        benchmark: claim.claim.id.clone(),
        measure: format!("{}: {}", table::kind(check), check.check.title),
        unit: match Unit::of(&check.check) {
            Unit::Percent => "share",
            Unit::Times => "times",
            Unit::Microseconds => "us",
            Unit::Seconds => "s",
            Unit::Plain => "count",
        },
        value,
        low: check.interval.map(|it| it.low).filter(|it| it.is_finite()),
        high: check.interval.map(|it| it.high).filter(|it| it.is_finite()),
        smaller_is_better: matches!(check.check.bound, Bound::AtMost(_)),
    })
}

fn of_series(measurement: &Measurement, series: &Series) -> Vec<Figure> {
    let figure = |measure: String, unit, value, smaller_is_better| Figure {
        benchmark: rates::name(measurement, series),
        measure,
        unit,
        value,
        low: None,
        high: None,
        smaller_is_better,
    };
    let mut figures = Vec::new();
    let seconds: f64 = series.slices.iter().map(|slice| slice.duration_s).sum();
    let ok = Tally::of(&series.slices).ok;
    if seconds > 0.0 {
        figures.push(figure("throughput".to_owned(), "per second", ok as f64 / seconds, false));
    }
    let name = rates::times_of(measurement.model);
    let times = series.times.get(name).filter(|_| measurement.invalid_latency.is_empty());
    for (q, percentile) in [(0.5, "p50"), (0.99, "p99")] {
        let us = times.and_then(|times| times.quantile_of_all_us(q, untimed(name, series)));
        figures.extend(us.map(|us| figure(format!("{name} {percentile}"), "us", us, true)));
    }
    figures
}

fn entries(figures: impl Iterator<Item = Figure>) -> String {
    let entries: Vec<Entry> = figures
        .map(|it| Entry {
            name: format!("{}: {}", it.benchmark, it.measure),
            unit: it.unit,
            value: it.value,
            range: it.low.zip(it.high).map(|(low, high)| format!("{low} to {high}")),
        })
        .collect();
    json(&entries)
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).expect("numbers and text only") + "\n"
}
