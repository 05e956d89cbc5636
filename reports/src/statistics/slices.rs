//! A ratio of sums over slices in a row, which depend on each other.

use super::bootstrap::{self, RESAMPLES, Resampled};
use super::{Estimate, proportion, quantile, rare};
use crate::figure;

/// Σ of the first over Σ of the second, of at least [`bootstrap::FEWEST_SLICES`] slices. Resampling alone would promise
/// certainty where nothing rare was seen: a share is never known better than from as many independent trials as the slices
/// are worth, nor a count of few events better than those allow.
pub fn ratio(slices: &[(f64, f64)], confidence: f64) -> Estimate {
    let (found, estimate) = resampled(slices, confidence);
    let (events, trials) = slices.iter().fold((0.0, 0.0), |(x, y), slice| (x + slice.0, y + slice.1));
    if events <= trials {
        let effect = quantile::design_effect_of(&found, trials);
        return widened_to_exact(estimate, events, trials, effect, confidence);
    }
    if events < rare::FEW as f64 {
        let (low, high) = rare::poisson(events as u64, confidence);
        return estimate.widened_to(low / trials, high / trials);
    }
    estimate
}

/// As [`ratio`], by resampling alone.
pub fn resampled(slices: &[(f64, f64)], confidence: f64) -> (Resampled, Estimate) {
    let found = bootstrap::ratio_of_sums(slices, confidence, RESAMPLES);
    let method = format!(
        "moving-block bootstrap over {} slices, runs of {}, {} resamples",
        slices.len(),
        found.block_length,
        figure::count(RESAMPLES as u64)
    );
    let samples = found.effective;
    let estimate = Estimate { value: found.value, low: found.low, high: found.high, samples, method };
    (found, estimate)
}

fn widened_to_exact(estimate: Estimate, events: f64, trials: f64, effect: f64, confidence: f64) -> Estimate {
    let samples = trials / effect;
    let (low, high) = proportion::clopper_pearson(events / effect, samples, confidence);
    let best = proportion::wilson(events, trials, confidence);
    let method = format!(
        "{}, no narrower than Clopper–Pearson on {} effective of {} (were all independent: {:.3} % to {:.3} %, \
         after Wilson)",
        estimate.method,
        figure::count(samples as u64),
        figure::count(trials as u64),
        best.0 * 100.0,
        best.1 * 100.0
    );
    Estimate { samples, method, ..estimate }.widened_to(low, high)
}
