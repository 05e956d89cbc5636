//! The ratio of two independent estimates, with bounds made from theirs.

/// `of` over `over`, each `(value, low, high)` with one-sided bounds at the same confidence, as
/// `(ratio, low, high)`: the distances on the log scale add up by their squares, each on its own side
/// (Zou and Donner 2008). None unless both values and the inner bounds are positive and finite.
pub fn of_estimates(of: (f64, f64, f64), over: (f64, f64, f64)) -> Option<(f64, f64, f64)> {
    let usable = |it: f64| it > 0.0 && it.is_finite();
    if !usable(of.0) || !usable(over.0) {
        return None;
    }
    let ratio = (of.0 / over.0).ln();
    let down = (of.0 / of.1).ln().hypot((over.2 / over.0).ln());
    let up = (of.2 / of.0).ln().hypot((over.0 / over.1).ln());
    Some((ratio.exp(), (ratio - down).exp(), (ratio + up).exp()))
}

/// Σ of the first over Σ of the second, with the standard error of a ratio estimator over blocks.
pub fn of_sums(blocks: &[(f64, f64)]) -> Option<(f64, f64)> {
    let (first, second) = blocks.iter().fold((0.0, 0.0), |sums, it| (sums.0 + it.0, sums.1 + it.1));
    let (share, n) = (first / second, blocks.len() as f64);
    let squares: f64 = blocks.iter().map(|(a, b)| (a - share * b).powi(2)).sum();
    let error = (n / (n - 1.0) * squares).sqrt() / second;
    (share > 0.0 && share.is_finite()).then_some((share, error))
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    #[test]
    fn a_certain_side_leaves_the_other_sides_interval() {
        let (ratio, low, high) = of_estimates((6.0, 5.0, 8.0), (2.0, 2.0, 2.0)).unwrap();
        assert!((ratio - 3.0).abs() < 1e-12 && (low - 2.5).abs() < 1e-12 && (high - 4.0).abs() < 1e-12);
        let (ratio, low, high) = of_estimates((2.0, 2.0, 2.0), (6.0, 5.0, 8.0)).unwrap();
        assert!(
            (ratio - 1.0 / 3.0).abs() < 1e-12 && (low - 0.25).abs() < 1e-12 && (high - 0.4).abs() < 1e-12
        );
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        assert_eq!(of_estimates((0.0, 0.0, 1.0), (1.0, 0.5, 2.0)), None);
        assert_eq!(of_estimates((1.0, 0.5, 2.0), (f64::INFINITY, 1.0, f64::INFINITY)), None);
        let (_, low, high) = of_estimates((1.0, 0.0, f64::INFINITY), (1.0, 0.5, 2.0)).unwrap();
        assert_eq!((low, high), (0.0, f64::INFINITY));
    }

    /// 4,000 pairs of log-normal estimates with their exact bounds: each bound misses in about 5 %.
    #[test]
    fn covers_as_often_as_it_says() {
        let mut random = Pcg64Mcg::seed_from_u64(13);
        let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        let mut estimate = |truth: f64, scatter: f64| {
            let value = truth * (scatter * normal()).exp();
            (value, value * (-1.645 * scatter).exp(), value * (1.645 * scatter).exp())
        };
        let (mut below, mut above) = (0, 0);
        for _ in 0..4_000 {
            let (_, low, high) = of_estimates(estimate(3.0, 0.1), estimate(2.0, 0.2)).unwrap();
            below += u32::from(high < 1.5);
            above += u32::from(low > 1.5);
        }
        assert!((150..=250).contains(&below) && (150..=250).contains(&above), "{below} {above}");
    }
}
