//! What was offered, achieved and lost by each series of a run, for the tables.

use std::collections::BTreeSet;

use crate::distribution::Distribution;
use crate::figure;
use crate::lag;
use crate::plot::Table;
use crate::render::table;
use crate::run::{Measurement, Model, Run, Series, Slice};
use crate::tally::{Tally, scheduled_s, untimed};
use crate::verdict::Verdict;

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
    /// How late the generator noticed that requests were due, at p99.
    pub lag: String,
    /// `response` or `service`: what the times are.
    pub times: &'static str,
    /// Why the times cannot be trusted.
    pub invalid: String,
}

pub fn loads(run: &Run) -> Vec<Load> {
    let numbered = (1..).zip(&run.measurements);
    numbered.flat_map(|(number, it)| it.series.iter().map(move |series| load(number, it, series))).collect()
}

/// The sums of all counters that counted anything, a column a series.
pub fn counters(measurement: &Measurement) -> Table {
    let mut table = Table::new(["counter"]);
    table.head.extend(measurement.series.iter().map(|series| series.variant.clone()));
    let slices = measurement.series.iter().flat_map(|series| &series.slices);
    let names: BTreeSet<&String> = slices.flat_map(|slice| slice.counters.keys()).collect();
    for name in names {
        let sum = |series: &Series| series.slices.iter().map(|slice| count(slice, name)).sum();
        let sums: Vec<u64> = measurement.series.iter().map(sum).collect();
        if sums.iter().any(|sum| *sum > 0) {
            let cells = sums.into_iter().map(figure::count);
            table.rows.push([name.clone()].into_iter().chain(cells).collect());
        }
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
    let tally = Tally::of(&series.slices);
    let seconds: f64 = series.slices.iter().map(|slice| slice.duration_s).sum();
    let counts = Marked(!measurement.invalid.is_empty());
    let rate = |n: u64| counts.told((seconds > 0.0).then(|| figure::grouped(n as f64 / seconds)));
    let arrivals: u64 = series.slices.iter().map(|slice| count(slice, "client.arrivals")).sum();
    let scheduled_s = scheduled_s(measurement, series);
    let name_of_times = times_of(measurement.model);
    let times = series.times.get(name_of_times).filter(|it| it.count() > 0);
    let lost = untimed(name_of_times, series);
    let latencies = Marked(counts.0 || !measurement.invalid_latency.is_empty());
    let quantile = |q| {
        let among_all =
            |it| Distribution::quantile_of_all_us(it, q, lost).map_or("never".to_owned(), figure::time_us);
        latencies.told(times.map(among_all))
    };
    let reasons = measurement.invalid.iter().chain(&measurement.invalid_latency);
    Load {
        measurement: number,
        name: name(measurement, series),
        offered: match measurement.model {
            // By the schedule, where the run counted its arrivals; what was under way when it began is answered, too.
            Model::Open if arrivals > 0 && scheduled_s > 0.0 => {
                let answered = tally.ok as f64 / seconds.max(f64::MIN_POSITIVE);
                counts.told(Some(figure::grouped((arrivals as f64 / scheduled_s).max(answered))))
            }
            Model::Open => rate(tally.offered()),
            Model::Closed | Model::Journeys => "as answered".to_owned(),
        },
        achieved: rate(tally.ok),
        dropped: figure::count(tally.dropped),
        failed: figure::count(tally.failed()),
        p50: quantile(0.5),
        p99: quantile(0.99),
        max: quantile(1.0),
        lag: (series.times.get(lag::NAME).and_then(|it| it.quantile_us(0.99)))
            .map_or("–".to_owned(), figure::time_us),
        times: name_of_times,
        invalid: reasons.cloned().collect::<Vec<_>>().join("; "),
    }
}

/// Whether figures cannot be trusted: each of them says so, wherever it is copied to.
struct Marked(bool);

impl Marked {
    fn told(&self, figure: Option<String>) -> String {
        match figure {
            Some(figure) if self.0 => format!("{} {figure}", table::mark(Verdict::Invalid)),
            Some(figure) => figure,
            None => "–".to_owned(),
        }
    }
}
