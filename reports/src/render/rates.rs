//! What was offered, achieved and lost by each series of a run, for the tables.

use std::collections::BTreeSet;

use crate::distribution::Distribution;
use crate::figure;
use crate::plot::Table;
use crate::run::{Measurement, Model, Run, Series, Slice};

/// One row of the table of loads: a series of a measurement, in words.
#[derive(Debug, Clone, PartialEq)]
pub struct Load {
    /// The measurement's number in the run, from 1.
    pub measurement: usize,
    /// Scenario, with the variant where there are several.
    pub name: String,
    pub offered: String,
    pub achieved: String,
    pub dropped: String,
    pub failed: String,
    pub p50: String,
    pub p99: String,
    pub max: String,
    /// `response` or `service`: what the times are.
    pub times: &'static str,
    /// Why the times cannot be trusted.
    pub invalid: String,
}

pub fn loads(run: &Run) -> Vec<Load> {
    let numbered = (1..).zip(&run.measurements);
    numbered.flat_map(|(number, it)| it.series.iter().map(move |series| load(number, it, series))).collect()
}

/// The sums of all counters, a column a series.
pub fn counters(measurement: &Measurement) -> Table {
    let mut table = Table::new(["counter"]);
    table.head.extend(measurement.series.iter().map(|series| series.variant.clone()));
    let slices = measurement.series.iter().flat_map(|series| &series.slices);
    let names: BTreeSet<&String> = slices.flat_map(|slice| slice.counters.keys()).collect();
    for name in names {
        let sums = measurement.series.iter().map(|series| {
            figure::grouped(series.slices.iter().map(|slice| count(slice, name)).sum::<u64>() as f64)
        });
        table.rows.push([name.clone()].into_iter().chain(sums).collect());
    }
    table
}

/// The scenario's name, with the variant where there are several.
pub fn name(measurement: &Measurement, series: &Series) -> String {
    match measurement.series.len() {
        1 => measurement.scenario.name.clone(),
        _ => format!("{}, {}", measurement.scenario.name, series.variant),
    }
}

/// What was planned in a slice: sent or dropped.
pub fn planned(slice: &Slice) -> u64 {
    count(slice, "client.sent") + count(slice, "client.dropped")
}

/// Answers that were not the right one, by any kind.
pub fn failed(slice: &Slice) -> u64 {
    ["client.wrong", "client.timeout", "client.error"].iter().map(|name| count(slice, name)).sum()
}

pub fn count(slice: &Slice, name: &str) -> u64 {
    slice.counters.get(name).copied().unwrap_or(0)
}

/// The name of the times that a model is judged by.
pub fn times_of(model: Model) -> &'static str {
    match model {
        Model::Open => "response",
        Model::Closed | Model::Journeys => "service",
    }
}

/// Requests that have no time because they were dropped, failed or never answered.
///
/// They are the slowest of all: percentiles of the answered alone would flatter a server that drops.
pub fn lost(measurement: &Measurement, series: &Series) -> u64 {
    let asked: u64 = match measurement.model {
        Model::Open => series.slices.iter().map(planned).sum(),
        Model::Closed | Model::Journeys => {
            series.slices.iter().map(|slice| count(slice, "client.sent")).sum()
        }
    };
    let timed = series.times.get(times_of(measurement.model)).map_or(0, |times| times.count());
    asked.saturating_sub(timed)
}

/// A quantile in microseconds among all requests, the lost ones counted as slowest; none if it is one of those.
pub fn quantile_of_all(times: &Distribution, lost: u64, q: f64) -> Option<f64> {
    let among_timed = q * (times.count() + lost) as f64 / times.count() as f64;
    times.quantile_us(among_timed).filter(|_| among_timed <= 1.0)
}

fn load(number: usize, measurement: &Measurement, series: &Series) -> Load {
    let total = |of: fn(&Slice) -> u64| series.slices.iter().map(of).sum::<u64>();
    let seconds: f64 = series.slices.iter().map(|slice| slice.duration_s).sum();
    let rate = |n: u64| match seconds > 0.0 {
        true => figure::grouped(n as f64 / seconds),
        false => "–".to_owned(),
    };
    let times = times_of(measurement.model);
    let lost = lost(measurement, series);
    let quantile = |q| match series.times.get(times).filter(|it| it.count() > 0) {
        Some(it) => quantile_of_all(it, lost, q).map_or("never".to_owned(), figure::time_us),
        None => "–".to_owned(),
    };
    Load {
        measurement: number,
        name: name(measurement, series),
        offered: match measurement.model {
            Model::Open => rate(total(planned)),
            Model::Closed | Model::Journeys => "as answered".to_owned(),
        },
        achieved: rate(total(|slice| count(slice, "client.ok"))),
        dropped: figure::grouped(total(|slice| count(slice, "client.dropped")) as f64),
        failed: figure::grouped(total(failed) as f64),
        p50: quantile(0.5),
        p99: quantile(0.99),
        max: series
            .times
            .get(times)
            .and_then(|it| it.quantile_us(1.0))
            .map_or("–".to_owned(), figure::time_us),
        times,
        invalid: measurement
            .invalid
            .iter()
            .chain(&measurement.invalid_latency)
            .cloned()
            .collect::<Vec<_>>()
            .join("; "),
    }
}
