//! Anderson and Darling's test of whether gaps between arrivals are exponential, as Poisson's are.

/// How well the gaps fit an exponential distribution of their own mean.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// A²·(1 + 0.6/n), the statistic that Stephens' (1974) table is for.
    pub statistic: f64,
    /// The chance of a fit at least as bad, were the gaps exponential.
    pub p: f64,
}

/// Tests the gaps; none where there are fewer than eight, or one that is not positive.
pub fn anderson_darling(gaps: &[f64]) -> Option<Fit> {
    let n = gaps.len();
    if n < 8 || !gaps.iter().all(|gap| *gap > 0.0 && gap.is_finite()) {
        return None;
    }
    let mean = gaps.iter().sum::<f64>() / n as f64;
    let mut sorted: Vec<f64> = gaps.iter().map(|gap| gap / mean).collect();
    sorted.sort_by(f64::total_cmp);
    // ln F(x) = ln(1 − e^−x), and ln(1 − F(x)) = −x exactly.
    let terms = sorted.iter().zip(sorted.iter().rev()).enumerate();
    let sum: f64 = terms.map(|(i, (near, far))| (2 * i + 1) as f64 * ((-(-near).exp_m1()).ln() - far)).sum();
    let squared = -(n as f64) - sum / n as f64;
    let statistic = squared * (1.0 + 0.6 / n as f64);
    Some(Fit { statistic, p: p_value(statistic) })
}

/// D'Agostino and Stephens (1986), table 4.14.
fn p_value(z: f64) -> f64 {
    let p = match z {
        z if z < 0.260 => 1.0 - (-12.2204 + 67.459 * z - 110.3 * z * z).exp(),
        z if z < 0.510 => 1.0 - (-6.1327 + 20.218 * z - 18.663 * z * z).exp(),
        z if z < 0.950 => (0.9209 - 3.353 * z + 0.300 * z * z).exp(),
        z if z < 10.03 => (0.731 - 3.009 * z + 0.15 * z * z).exp(),
        _ => 0.0,
    };
    p.clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    /// Stephens 1974, table for the exponential with estimated mean.
    #[test]
    fn p_values_are_those_of_stephens() {
        for (statistic, p) in [(0.922, 0.15), (1.078, 0.10), (1.341, 0.05), (1.606, 0.025), (1.957, 0.01)] {
            assert!((p_value(statistic) / p - 1.0).abs() < 0.06, "{statistic}: {}", p_value(statistic));
        }
    }

    #[test]
    fn exponential_gaps_are_rejected_as_often_as_chance_says() {
        let mut random = Pcg64Mcg::seed_from_u64(2);
        let mut exponential = || -(1.0 - random.random::<f64>()).ln().min(-1e-12);
        let rejected = (0..1_000)
            .filter(|_| {
                let gaps: Vec<f64> = (0..200).map(|_| exponential()).collect();
                anderson_darling(&gaps).unwrap().p < 0.05
            })
            .count();
        assert!((30..=70).contains(&rejected), "{rejected} of 1,000");
    }

    #[test]
    fn even_and_clumped_gaps_are_rejected() {
        let even: Vec<f64> = (0..200).map(|i| 1.0 + f64::from(i % 7) / 100.0).collect();
        let clumped: Vec<f64> = (0..200).map(|i| if i % 4 == 0 { 3.9 } else { 0.001 }).collect();
        assert!(anderson_darling(&even).unwrap().p < 1e-6);
        assert!(anderson_darling(&clumped).unwrap().p < 1e-6);
        assert_eq!(anderson_darling(&[1.0; 7]), None);
        assert_eq!(anderson_darling(&[0.0; 20]), None);
    }
}
