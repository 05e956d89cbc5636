//! A quantile of recorded times with bounds from order statistics, which assume no shape.

use super::proportion::incomplete_beta;
use super::{Estimate, bisect, bootstrap};
use crate::distribution::{Distribution, LONGEST_NS, Packed};

/// Quantile `q` in microseconds with one-sided bounds.
///
/// `unseen` requests have no recorded time (dropped, timed out): they count as slower than any that has.
/// `design_effect` is how many neighbours tell what one independent sample would. A bound that lies
/// beyond what was recorded, or in the bin where times saturate, is infinite.
pub fn estimate(
    times: &Distribution,
    unseen: u64,
    q: f64,
    design_effect: f64,
    confidence: f64,
) -> Option<Estimate> {
    let total = times.count() + unseen;
    if times.count() == 0 {
        return None;
    }
    let samples = total as f64 / design_effect.max(1.0);
    let (low, high) = rank_shares(samples, q, confidence);
    let rank =
        |share: f64, rounded: fn(f64) -> f64| rounded(share * total as f64 - 1e-9 * total as f64) as u64;
    let at_low = low.map_or(0.0, |share| time_us(times, rank(share + 2e-9, f64::floor).max(1), Edge::Low));
    let at_high = high.map_or(f64::INFINITY, |share| time_us(times, rank(share, f64::ceil), Edge::High));
    let value = time_us(times, rank(q, f64::ceil).max(1), Edge::High);
    let method = format!("order statistics, design effect {:.1}", design_effect.max(1.0));
    Some(Estimate { value, low: at_low.min(value), high: at_high, samples, method })
}

/// The share of requests that took at most `bound_us`.
pub fn share_within(times: &Distribution, unseen: u64, bound_us: f64) -> f64 {
    let within = times.0.count_between(0, (bound_us * 1_000.0) as u64);
    within as f64 / (times.count() + unseen) as f64
}

/// How many requests tell as much as one independent one would, by how the share beyond the quantile
/// varies from slice to slice.
pub fn design_effect(slices: &[&Packed], q: f64) -> f64 {
    let mut all = Distribution::default();
    slices.iter().for_each(|slice| all.merge(&slice.unpack()));
    let threshold = all.0.value_at_quantile(q);
    let shares: Vec<(f64, f64)> = slices
        .iter()
        .map(|slice| (slice.count() - slice.unpack().0.count_between(0, threshold), slice.count()))
        .map(|(beyond, count)| (beyond as f64, count as f64))
        .collect();
    let found = bootstrap::ratio_of_sums(&shares, 0.95, 2_000);
    design_effect_of(&found, all.count() as f64)
}

/// The variance that resampling found over that of as many independent trials; at least one.
pub fn design_effect_of(found: &bootstrap::Resampled, trials: f64) -> f64 {
    let independent = found.value * (1.0 - found.value) / trials;
    if independent > 0.0 { (found.variance / independent).max(1.0) } else { 1.0 }
}

/// The ranks, as shares of the samples, between which the quantile lies. The upper one is none where
/// even the slowest sample may be below it: q^n > 1 − confidence.
fn rank_shares(samples: f64, q: f64, confidence: f64) -> (Option<f64>, Option<f64>) {
    // The chance that at least `rank` of the samples lie below the quantile.
    let reaches = |rank: f64| incomplete_beta(rank, samples - rank + 1.0, q);
    let alpha = 1.0 - confidence;
    let low = (reaches(1.0) >= confidence)
        .then(|| bisect(1.0, samples, |rank| reaches(rank) < confidence) / samples);
    let high =
        (reaches(samples) <= alpha).then(|| bisect(1.0, samples, |rank| reaches(rank) <= alpha) / samples);
    (low, high)
}

enum Edge {
    Low,
    High,
}

/// The time at a rank (from 1), at the edge of its bin that does not flatter.
fn time_us(times: &Distribution, rank: u64, edge: Edge) -> f64 {
    let mut seen = 0;
    for bin in times.0.iter_recorded() {
        seen += bin.count_since_last_iteration();
        if seen < rank {
            continue;
        }
        let time = bin.value_iterated_to();
        let slowest = times.0.highest_equivalent(time);
        return match edge {
            Edge::Low => times.0.lowest_equivalent(time) as f64 / 1_000.0,
            Edge::High if slowest >= LONGEST_NS => f64::INFINITY,
            Edge::High => slowest as f64 / 1_000.0,
        };
    }
    f64::INFINITY
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};
    use rand_pcg::Pcg64Mcg;

    use super::*;

    fn times(of: impl Iterator<Item = u64>) -> Distribution {
        let mut distribution = Distribution::default();
        of.for_each(|time| distribution.record(time));
        distribution
    }

    /// Conover 1999, section 3.2: ranks for the median of 16: 5 and 12 leave 0.0384 each side.
    #[test]
    fn ranks_of_the_median_are_those_of_the_binomial() {
        let found = estimate(&times(1..=16), 0, 0.5, 1.0, 0.9615).unwrap();
        assert_eq!((found.low, found.high), (0.005, 0.012));
    }

    /// The slowest of 299 is an upper bound on p99 at 0.95, of 298 it is not: 0.99^299 < 0.05 (Wilks 1941).
    #[test]
    fn an_upper_bound_on_p99_needs_299_samples() {
        assert_eq!(estimate(&times(1..=298), 0, 0.99, 1.0, 0.95).unwrap().high, f64::INFINITY);
        assert_eq!(estimate(&times(1..=299), 0, 0.99, 1.0, 0.95).unwrap().high, 0.299);
        assert_eq!(estimate(&times(1..=299), 0, 0.99, 1.5, 0.95).unwrap().high, f64::INFINITY);
    }

    #[test]
    fn what_was_not_seen_counts_as_slowest() {
        let seen = times((0..9_900).map(|_| 1_000_000));
        assert_eq!(estimate(&seen, 0, 0.99, 1.0, 0.95).unwrap().value, 1_000.447);
        assert_eq!(estimate(&seen, 101, 0.99, 1.0, 0.95).unwrap().value, f64::INFINITY);
        assert_eq!(estimate(&seen, 50, 0.99, 1.0, 0.95).unwrap().value, 1_000.447);
    }

    #[test]
    fn saturated_times_give_no_upper_bound() {
        let stuck = times((0..1_000).map(|_| LONGEST_NS * 2));
        let found = estimate(&stuck, 0, 0.5, 1.0, 0.95).unwrap();
        assert_eq!((found.value, found.high), (f64::INFINITY, f64::INFINITY));
        assert!(found.low.is_finite());
    }

    /// 1,000 draws of 500 exponential times: each one-sided bound on p90 misses in about 5 %.
    #[test]
    fn bounds_cover_as_often_as_they_say() {
        let truth = 1_000.0 * 10f64.ln();
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let (mut below, mut above) = (0, 0);
        for _ in 0..1_000 {
            let drawn = times((0..500).map(|_| (-random.random::<f64>().ln() * 1e6) as u64 + 1));
            let found = estimate(&drawn, 0, 0.9, 1.0, 0.95).unwrap();
            below += u32::from(found.high < truth);
            above += u32::from(found.low > truth);
        }
        assert!((25..=65).contains(&below) && (25..=65).contains(&above), "{below} {above}");
    }

    #[test]
    fn slow_stretches_reduce_the_effective_samples() {
        let even: Vec<_> = (0..40).map(|_| (1..=100).collect::<Packed>()).collect();
        let slow_at_times: Vec<_> = (0..40)
            .map(|slice| {
                (1..=100).map(|time| if slice < 4 { time * 1_000 } else { time }).collect::<Packed>()
            })
            .collect();
        assert_eq!(design_effect(&even.iter().collect::<Vec<_>>(), 0.9), 1.0);
        assert!(design_effect(&slow_at_times.iter().collect::<Vec<_>>(), 0.9) > 10.0);
    }
}
