//! Bounds on a proportion from independent trials: the best case, since real look-ups come in runs.

use statrs::function::gamma::ln_gamma;

use super::{bisect, normal_quantile};

/// Exact (Clopper–Pearson 1934) one-sided bounds on a proportion.
///
/// `successes` and `trials` may be fractions: effective numbers, after a design effect. No trials tell
/// nothing: 0 to 1.
pub fn clopper_pearson(successes: f64, trials: f64, confidence: f64) -> (f64, f64) {
    if trials <= 0.0 {
        return (0.0, 1.0);
    }
    let (alpha, failures) = (1.0 - confidence, trials - successes);
    let low = match successes > 0.0 {
        true => bisect(0.0, 1.0, |p| incomplete_beta(successes, failures + 1.0, p) >= alpha),
        false => 0.0,
    };
    let high = match failures > 0.0 {
        true => bisect(0.0, 1.0, |p| incomplete_beta(successes + 1.0, failures, p) >= confidence),
        false => 1.0,
    };
    (low, high)
}

/// Wilson's (1927) score bounds, one-sided. Near exact on average where Clopper–Pearson is cautious.
pub fn wilson(successes: f64, trials: f64, confidence: f64) -> (f64, f64) {
    if trials <= 0.0 {
        return (0.0, 1.0);
    }
    let z = normal_quantile(confidence);
    let share = successes / trials;
    let centre = share + z * z / (2.0 * trials);
    let spread = z * (share * (1.0 - share) / trials + z * z / (4.0 * trials * trials)).sqrt();
    let scale = 1.0 + z * z / trials;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

/// How many independent trials show that a proportion observed at `share` lies beyond `bound`: the
/// score test, solved for the number. `None` where it lies on the bound.
pub fn trials_needed(share: f64, bound: f64, confidence: f64) -> Option<u64> {
    let distance = share - bound;
    let z = normal_quantile(confidence);
    let trials = z * z * bound * (1.0 - bound) / (distance * distance);
    trials.is_finite().then(|| trials.ceil() as u64)
}

/// The regularized incomplete beta function I_x(a, b), by Lentz's continued fraction.
///
/// The number of terms grows with the root of the larger parameter; millions of look-ups need more of
/// them than general libraries allow.
pub fn incomplete_beta(a: f64, b: f64, x: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = (ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b) + a * x.ln() + b * (-x).ln_1p()).exp();
    match x < (a + 1.0) / (a + b + 2.0) {
        true => front * beta_fraction(a, b, x) / a,
        false => 1.0 - front * beta_fraction(b, a, 1.0 - x) / b,
    }
}

fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let apart_from_zero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / apart_from_zero(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for step in 1..100_000 {
        let m = f64::from(step);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / apart_from_zero(1.0 + even * d);
        c = apart_from_zero(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / apart_from_zero(1.0 + odd * d);
        c = apart_from_zero(1.0 + odd / c);
        fraction *= d * c;
        if (d * c - 1.0).abs() < 1e-14 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, within: f64) {
        assert!((found - expected).abs() <= within, "{found}, expected {expected}");
    }

    /// Sum of binomial probabilities up to `most`.
    fn binomial_cdf(most: u64, n: u64, p: f64) -> f64 {
        let ln_choose =
            |k: u64| ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0);
        (0..=most).map(|k| (ln_choose(k) + k as f64 * p.ln() + (n - k) as f64 * (1.0 - p).ln()).exp()).sum()
    }

    #[test]
    fn clopper_pearson_inverts_the_binomial() {
        for (k, n) in [(1, 10), (8, 10), (81, 263), (15, 148), (1, 29)] {
            let (low, high) = clopper_pearson(k as f64, n as f64, 0.975);
            close(1.0 - binomial_cdf(k - 1, n, low), 0.025, 1e-9);
            close(binomial_cdf(k, n, high), 0.025, 1e-9);
        }
    }

    /// Newcombe 1998, table I: 95 % two-sided intervals of four published examples.
    #[test]
    fn both_agree_with_newcombe_1998() {
        for (k, n, exact, score) in [
            (81.0, 263.0, (0.2527, 0.3676), (0.2553, 0.3662)),
            (15.0, 148.0, (0.0578, 0.1617), (0.0624, 0.1605)),
            (0.0, 20.0, (0.0, 0.1684), (0.0, 0.1611)),
            (1.0, 29.0, (0.0009, 0.1776), (0.0061, 0.1718)),
        ] {
            let found = clopper_pearson(k, n, 0.975);
            close(found.0, exact.0, 5.1e-5);
            close(found.1, exact.1, 5.1e-5);
            let found = wilson(k, n, 0.975);
            close(found.0, score.0, 5.1e-5);
            close(found.1, score.1, 5.1e-5);
        }
    }

    #[test]
    fn no_failure_in_n_is_the_root_of_alpha() {
        for n in [1.0f64, 59.0, 1e4, 1e8] {
            close(clopper_pearson(n, n, 0.95).0, 0.05f64.powf(1.0 / n), 1e-9);
        }
    }

    #[test]
    fn holds_for_ten_million_look_ups() {
        let (exact, score) = (clopper_pearson(8.8e6, 1e7, 0.95), wilson(8.8e6, 1e7, 0.95));
        close(exact.0, score.0, 1e-7);
        close(exact.1, score.1, 1e-7);
    }

    #[test]
    fn a_hit_rate_of_99_2_needs_6_700_look_ups_to_show_99() {
        assert_eq!(trials_needed(0.992, 0.99, 0.95), Some(6_697));
        assert!(wilson(0.992 * 6_698.0, 6_698.0, 0.95).0 >= 0.99);
        assert!(wilson(0.992 * 6_600.0, 6_600.0, 0.95).0 < 0.99);
        assert_eq!(trials_needed(0.99, 0.99, 0.95), None);
    }
}
