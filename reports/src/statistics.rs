//! Statistics: pure functions from counts and times to estimates with confidence bounds.
//!
//! Every bound is one-sided at the confidence asked for: `low` exceeds the truth in at most one of
//! twenty runs at 0.95, and so does `high` fall short of it.

pub mod bootstrap;
pub mod exponential;
pub mod proportion;
pub mod quantile;
pub mod rare;
pub mod ratio;
pub mod signed_rank;
pub mod slices;

/// A point value between its two one-sided confidence bounds.
#[derive(Debug, Clone, PartialEq)]
pub struct Estimate {
    pub value: f64,
    /// Lower bound; may be minus infinity where the data give none.
    pub low: f64,
    /// Upper bound; may be infinity where the data give none.
    pub high: f64,
    /// Effective samples that it rests on.
    pub samples: f64,
    /// How it was made, in words.
    pub method: String,
}

impl Estimate {
    /// Divides value and bounds by a positive constant.
    pub fn divided_by(mut self, constant: f64) -> Self {
        self.value /= constant;
        self.low /= constant;
        self.high /= constant;
        self
    }

    /// Widens the bounds to contain those of another estimate of the same thing.
    pub fn widened_to(mut self, low: f64, high: f64) -> Self {
        self.low = self.low.min(low);
        self.high = self.high.max(high);
        self
    }
}

/// Finds where the monotone `rises(x)` turns from false to true, between `low` and `high`.
pub(crate) fn bisect(mut low: f64, mut high: f64, rises: impl Fn(f64) -> bool) -> f64 {
    for _ in 0..200 {
        let middle = low + (high - low) / 2.0;
        if middle <= low || middle >= high {
            break;
        }
        if rises(middle) { high = middle } else { low = middle }
    }
    low + (high - low) / 2.0
}

/// Quantile of the standard normal distribution.
pub(crate) fn normal_quantile(probability: f64) -> f64 {
    -std::f64::consts::SQRT_2 * statrs::function::erf::erfc_inv(2.0 * probability)
}

/// Distribution function of the standard normal distribution.
pub(crate) fn normal_cdf(z: f64) -> f64 {
    statrs::function::erf::erfc(-z / std::f64::consts::SQRT_2) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_the_tables() {
        for (probability, z) in [(0.5, 0.0), (0.95, 1.644_854), (0.975, 1.959_964), (0.999, 3.090_232)] {
            assert!((normal_quantile(probability) - z).abs() < 1e-6);
            assert!((normal_cdf(z) - probability).abs() < 1e-6);
        }
    }
}
