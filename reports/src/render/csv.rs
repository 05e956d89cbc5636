//! A measurement's slices as CSV, for spreadsheets and scripts.

use std::collections::BTreeSet;

use crate::render::rates;
use crate::run::{Measurement, Series, Slice};

/// One line a slice: variant, time, latencies in microseconds, then every counter by name.
pub fn csv(measurement: &Measurement) -> String {
    let slices = measurement.series.iter().flat_map(|series| &series.slices);
    let counters: BTreeSet<&str> =
        slices.flat_map(|slice| slice.counters.keys().map(String::as_str)).collect();
    let head = HEAD.into_iter().chain(counters.iter().copied()).map(cell);
    let mut text = line(head);
    for series in &measurement.series {
        for slice in &series.slices {
            text.push_str(&row(series, slice, &counters));
        }
    }
    text
}

const HEAD: [&str; 8] = [
    "variant",
    "start_s",
    "duration_s",
    "block",
    "latency_count",
    "latency_p50_us",
    "latency_p99_us",
    "latency_max_us",
];

fn row(series: &Series, slice: &Slice, counters: &BTreeSet<&str>) -> String {
    let times = slice.latency.unpack();
    let latency = |q| times.quantile_us(q).map_or(String::new(), |us| format!("{us:.3}"));
    let fixed = [
        cell(&series.variant),
        slice.start_s.to_string(),
        slice.duration_s.to_string(),
        slice.block.to_string(),
        times.count().to_string(),
        latency(0.5),
        latency(0.99),
        latency(1.0),
    ];
    line(fixed.into_iter().chain(counters.iter().map(|name| rates::count(slice, name).to_string())))
}

fn line(cells: impl Iterator<Item = String>) -> String {
    let mut line = cells.collect::<Vec<_>>().join(",");
    line.push('\n');
    line
}

/// Quoted where it must be, and kept from being read as a formula.
fn cell(text: &str) -> String {
    let formula = text.starts_with(['=', '+', '-', '@']);
    let text = if formula { format!("'{text}") } else { text.to_owned() };
    match text.contains(['"', ',', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text,
    }
}
