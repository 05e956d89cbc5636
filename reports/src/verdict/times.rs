//! What times come to: quantiles, and how those of two sides compare.

use proofload_scenarios::Check;

use super::measure::{Measured, needed, too_few_slices};
use crate::distribution::Distribution;
use crate::figure::{self, Unit};
use crate::run::{Model, Series};
use crate::statistics::bootstrap::FEWEST_SLICES;
use crate::statistics::{Estimate, proportion, quantile};
use crate::tally::untimed;

/// How far the slices' times may differ in number from the merged ones.
const SLICES_TOLERANCE: f64 = 0.01;

/// A quantile of the response or service times.
pub(super) fn quantile(check: &Check, kind: &str, q: f64, series: &Series) -> Result<Measured, String> {
    let times = series.times.get(kind).ok_or_else(|| format!("no {kind} times were recorded"))?;
    if kind == "response" {
        same_as_slices(times.count(), series)?;
    }
    let measured = time_of(kind, times, q, series, check.confidence)?;
    let within = quantile::share_within(times, untimed(kind, series), check.bound.value());
    Ok(Measured { needed: proportion::trials_needed(within, q, check.confidence), ..measured })
}

/// A quantile of these times, which depend on each other as the slices of the series show.
fn time_of(
    kind: &str,
    times: &Distribution,
    q: f64,
    series: &Series,
    confidence: f64,
) -> Result<Measured, String> {
    let unseen = untimed(kind, series);
    let slices: Vec<_> = series.slices.iter().map(|slice| &slice.latency).collect();
    let filled = slices.iter().filter(|slice| slice.count() > 0).count();
    let enough = filled >= FEWEST_SLICES;
    let effect = if enough { quantile::design_effect(&slices, q) } else { 1.0 };
    let estimate = quantile::estimate(times, unseen, q, effect, confidence)
        .ok_or_else(|| format!("no {kind} times were recorded"))?;
    let doubts = if enough { Vec::new() } else { vec![too_few_slices(filled)] };
    let notes = (unseen > 0)
        .then(|| format!("{} requests have no {kind} time and count as slowest", figure::count(unseen)));
    Ok(Measured { estimate, needed: None, doubts, notes: notes.into_iter().collect() })
}

/// The quantile of one side's times over that of the other's. The interval is put together from those of the two: MOVER on the
/// logarithms (Zou and Donner 2008), which takes the sides to be independent.
pub(super) fn slowdown(check: &Check, q: f64, sides: &[Series; 2], model: Model) -> Result<Measured, String> {
    let kind = if model == Model::Open { "response" } else { "service" };
    let [of, over] = [
        sliced_time(kind, q, &sides[0], check.confidence)?,
        sliced_time(kind, q, &sides[1], check.confidence)?,
    ];
    let (one, other) = (&of.estimate, &over.estimate);
    if !(one.value.is_finite() && other.value.is_finite() && one.low > 0.0 && other.low > 0.0) {
        return Err(format!("a side has no {kind} time at this quantile: there is no ratio"));
    }
    let value = one.value / other.value;
    let apart = |a: f64, b: f64| (a.ln().powi(2) + b.ln().powi(2)).sqrt().exp();
    let low = value / apart(one.value / one.low, other.high / other.value);
    let high = value * apart(one.high / one.value, other.value / other.low);
    let method = format!("{kind} times: MOVER on the logarithms of two quantiles by {}", one.method);
    let samples = one.samples.min(other.samples);
    let estimate = Estimate { value, low, high, samples, method };
    let needed = needed(&estimate, check.bound.value());
    let told = |value: f64| Unit::Microseconds.write(value, 3);
    let mut notes = vec![format!("{} over {}", told(one.value), told(other.value))];
    notes.extend(of.notes.into_iter().chain(over.notes));
    Ok(Measured { estimate, needed, doubts: [of.doubts, over.doubts].concat(), notes })
}

/// A quantile of the times that the slices hold.
fn sliced_time(kind: &str, q: f64, series: &Series, confidence: f64) -> Result<Measured, String> {
    let mut times = Distribution::default();
    series.slices.iter().for_each(|slice| times.merge(&slice.latency.unpack()));
    time_of(kind, &times, q, series, confidence)
}

/// The merged times and those of the slices are the same requests, recorded twice.
fn same_as_slices(merged: u64, series: &Series) -> Result<(), String> {
    let sliced: u64 = series.slices.iter().map(|slice| slice.latency.count()).sum();
    match sliced.abs_diff(merged) as f64 <= merged as f64 * SLICES_TOLERANCE {
        true => Ok(()),
        false => Err(format!(
            "the slices hold {} responses, the merged times {}: some were lost",
            figure::count(sliced),
            figure::count(merged)
        )),
    }
}
