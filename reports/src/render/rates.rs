//! What was offered, achieved and lost by each series of a run, for the tables.

use std::collections::BTreeSet;

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

fn load(number: usize, measurement: &Measurement, series: &Series) -> Load {
    let total = |of: fn(&Slice) -> u64| series.slices.iter().map(of).sum::<u64>();
    let seconds: f64 = series.slices.iter().map(|slice| slice.duration_s).sum();
    let rate = |n: u64| match seconds > 0.0 {
        true => figure::grouped(n as f64 / seconds),
        false => "–".to_owned(),
    };
    let times = times_of(measurement.model);
    let quantile =
        |q| series.times.get(times).and_then(|it| it.quantile_us(q)).map_or("–".to_owned(), figure::time_us);
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
        max: quantile(1.0),
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
