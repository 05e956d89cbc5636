//! Exact bounds where few events were counted, which no resampling can give.

use statrs::function::gamma::{gamma_lr, gamma_ur};

use super::bisect;
use super::proportion::clopper_pearson;

/// Below this many events an estimate is widened to the exact bounds of a Poisson count.
pub const FEW: u64 = 100;

/// Exact one-sided bounds (Garwood 1936) on the mean of a Poisson count. None counted: 0 to about 3.0.
pub fn poisson(events: u64, confidence: f64) -> (f64, f64) {
    let (alpha, count) = (1.0 - confidence, events as f64);
    let beyond = count + 12.0 * (count + 1.0).sqrt() + 40.0;
    let low = match events {
        0 => 0.0,
        _ => bisect(0.0, beyond, |mean| mean > 0.0 && gamma_lr(count, mean) >= alpha),
    };
    let high = bisect(0.0, beyond, |mean| mean > 0.0 && gamma_ur(count + 1.0, mean) <= alpha);
    (low, high)
}

/// Exact one-sided bounds on the ratio of two Poisson rates, `of` over `over`, each a count of events
/// and its exposure.
///
/// Given their sum, the first count is binomial (Przyborowski and Wilenski 1940); so the bounds hold
/// even where the second count is zero, and the ratio itself has no upper bound.
pub fn ratio_of_rates(of: (u64, f64), over: (u64, f64), confidence: f64) -> (f64, f64) {
    let trials = (of.0 + over.0) as f64;
    let (low, high) = clopper_pearson(of.0 as f64, trials, confidence);
    let ratio = |share: f64| match share < 1.0 {
        true => share / (1.0 - share) * over.1 / of.1,
        false => f64::INFINITY,
    };
    (ratio(low), ratio(high))
}

/// The largest rate that `trials` without one event still admit: the rule of three at 0.95.
pub fn none_in(trials: f64, confidence: f64) -> f64 {
    -(1.0 - confidence).ln() / trials
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Garwood 1936 (Biometrika 28), two-sided 95 %.
    #[test]
    fn poisson_bounds_are_those_of_garwood() {
        for (events, low, high) in [
            (0, 0.0, 3.689),
            (1, 0.0253, 5.572),
            (5, 1.623, 11.668),
            (10, 4.795, 18.390),
            (50, 37.111, 65.919),
        ] {
            let found = poisson(events, 0.975);
            assert!((found.0 - low).abs() < 6e-4 && (found.1 - high).abs() < 6e-4, "{events}: {found:?}");
        }
    }

    #[test]
    fn none_in_n_is_three_over_n() {
        assert!((none_in(1_000.0, 0.95) - 0.002_995_7).abs() < 1e-7);
        assert!((poisson(0, 0.95).1 - none_in(1.0, 0.95)).abs() < 1e-9);
    }

    #[test]
    fn a_ratio_over_nothing_has_a_lower_bound_only() {
        let (low, high) = ratio_of_rates((200, 100.0), (0, 100.0), 0.95);
        // All 200 on one side: share ≥ 0.05^(1/200), so the ratio is at least that over its rest.
        let share = 0.05f64.powf(1.0 / 200.0);
        assert!((low - share / (1.0 - share)).abs() < 1e-6);
        assert_eq!(high, f64::INFINITY);
    }

    #[test]
    fn a_ratio_scales_with_the_exposures() {
        let (low, high) = ratio_of_rates((40, 10.0), (40, 20.0), 0.95);
        assert!(low < 2.0 && high > 2.0);
        assert!((low * high - 4.0).abs() < 1e-9, "symmetric about 2 on the log scale: {low} {high}");
    }
}
