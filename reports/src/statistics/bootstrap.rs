//! Circular moving-block bootstrap of a ratio of sums over time slices, or over interleaved blocks.

use rand::RngExt;
use rand::SeedableRng;
use rand_pcg::Pcg64Mcg;
use statrs::distribution::{ContinuousCDF, StudentsT};

use super::normal_cdf;

/// How often the slices are drawn anew.
pub const RESAMPLES: usize = 10_000;

/// Fewer slices than this do not show how they depend on each other.
pub const FEWEST_SLICES: usize = 30;

/// Of fewer independent slices than this even their dependence is badly known.
const FEW_EFFECTIVE: f64 = 6.0;

/// Batches that are long beside what slices have in common with their neighbours.
const BATCHES: usize = 6;

/// Fewer interleaved blocks than this do not show how they scatter.
pub const FEWEST_BLOCKS: usize = 6;

const SEED: u64 = 0x7072_6f6f_666c_6f61;

/// What resampling found.
#[derive(Debug, Clone, PartialEq)]
pub struct Resampled {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    /// Variance of the value, from the resamples.
    pub variance: f64,
    /// Slices that were drawn together, so that neighbours that tell the same stay together.
    pub block_length: usize,
    /// As many independent slices would tell as much.
    pub effective: f64,
}

/// Σ of the first over Σ of the second, with one-sided bounds.
///
/// Slices are drawn in runs of the length that Politis and White (2004, corrected 2009) derive from
/// their autocorrelation, around a circle so that none is drawn less often than another. The percentiles
/// are expanded for the small number of runs, after Hesterberg (2015), and are no narrower than Student's t on as
/// many slices as a first-order autoregression leaves independent, nor than Student's t on six batches in a row
/// (Schmeiser 1982): runs cut through dependence, and the plain percentiles promise too much. Simulated with 30 to 60
/// slices, bounds of 95 % miss in 2 to 6 % of runs of a first-order autoregression with up to 0.9. Slow drift under
/// noise of the slices' own is hardly seen: with a third of the variance at an autocorrelation of 0.9 they miss in up to
/// 13 % with 60 slices and 10 % with 120, at 0.95 in 21 % with 30.
pub fn ratio_of_sums(slices: &[(f64, f64)], confidence: f64, resamples: usize) -> Resampled {
    let value = ratio(total(slices));
    let residuals: Vec<f64> = slices.iter().map(|(x, y)| x - value * y).collect();
    let block_length = block_length(&residuals);
    let sums = RunningSums::new(slices);
    let mut random = Pcg64Mcg::seed_from_u64(SEED);
    let drawn = draw_all(resamples, || sums.draw(block_length, &mut random), ratio);
    let runs = slices.len() as f64 / block_length as f64;
    let found = bounded(value, drawn, runs, confidence, block_length);
    let (effective, variance) = dependence(&residuals);
    let variance = variance / total(slices).1.powi(2);
    let reach = reach(effective, variance, confidence).max(reach_of_batches(slices, value, confidence));
    Resampled {
        low: found.low.min(value - reach),
        high: found.high.max(value + reach),
        variance: found.variance.max(variance),
        effective,
        ..found
    }
}

/// How far the bounds lie from a value of that variance, known from so many independent ones.
fn reach(effective: f64, variance: f64, confidence: f64) -> f64 {
    let caution = if effective < FEW_EFFECTIVE { 1.5 } else { 1.0 };
    student(effective - 1.0, confidence) * variance.sqrt() * caution
}

/// How far the bounds lie from the value by the scatter of the sums of [`BATCHES`] batches in a row.
fn reach_of_batches(slices: &[(f64, f64)], value: f64, confidence: f64) -> f64 {
    let batches = BATCHES.min(slices.len());
    let at = |batch: usize| batch * slices.len() / batches;
    let of_batch = |batch: usize| total(&slices[at(batch)..at(batch + 1)]);
    let squares: f64 = (0..batches).map(of_batch).map(|(x, y)| (x - value * y).powi(2)).sum();
    let (count, all) = (batches as f64, total(slices).1);
    student(count - 1.0, confidence) * (squares * count / (count - 1.0).max(1.0)).sqrt() / all
}

/// The ratio of two ratios of sums, over interleaved blocks that each hold both sides: the log ratio is
/// resampled, block by block, so that drift common to both sides cancels. What does not cancel makes neighbours alike:
/// the bounds are no narrower than Student's t on as many blocks as a first-order autoregression leaves independent.
///
/// A block is `[(numerator, denominator) of the first side, of the second]`.
pub fn ratio_of_ratios(blocks: &[[(f64, f64); 2]], confidence: f64, resamples: usize) -> Resampled {
    let log_ratio = |sums: [(f64, f64); 2]| ratio(sums[0]).ln() - ratio(sums[1]).ln();
    let add = |a: [(f64, f64); 2], b: &[(f64, f64); 2]| [plus(a[0], b[0]), plus(a[1], b[1])];
    let none = [(0.0, 0.0); 2];
    let value = log_ratio(blocks.iter().fold(none, add));
    let mut random = Pcg64Mcg::seed_from_u64(SEED);
    let draw = || {
        let picks = (0..blocks.len()).map(|_| &blocks[random.random_range(0..blocks.len())]);
        picks.fold(none, add)
    };
    let drawn = draw_all(resamples, draw, log_ratio);
    let found = bounded(value, drawn, blocks.len() as f64, confidence, 1);
    let each: Vec<f64> = blocks.iter().map(|block| log_ratio(*block)).filter(|it| it.is_finite()).collect();
    let (effective, variance) = dependence(&each);
    let reach = reach(effective, variance, confidence) / each.len().max(1) as f64;
    let (low, high) = (found.low.min(value - reach), found.high.max(value + reach));
    Resampled { value: found.value.exp(), low: low.exp(), high: high.exp(), effective, ..found }
}

/// Length of the runs to draw: (2 G² / D)^(1/3) n^(1/3) for the circular bootstrap, with the flat-top
/// window over the lags up to twice the last that stands out of the noise.
pub fn block_length(residuals: &[f64]) -> usize {
    let n = residuals.len();
    let variance = autocovariance(residuals, 0);
    if n < 8 || variance <= 0.0 {
        return 1;
    }
    let noise = 2.0 * ((n as f64).log10() / n as f64).sqrt();
    let quiet_for = ((n as f64).log10().sqrt().ceil() as usize).max(5);
    let longest = n / 3;
    let stands_out = |lag: usize| (autocovariance(residuals, lag) / variance).abs() > noise;
    let last = (0..=longest)
        .find(|&lag| (lag + 1..=(lag + quiet_for).min(n - 1)).all(|next| !stands_out(next)))
        .unwrap_or(longest);
    let window = (2 * last).clamp(1, n - 1);
    let weight = |lag: usize| (2.0 * (1.0 - lag as f64 / window as f64)).clamp(0.0, 1.0);
    let (mut spectrum, mut slope) = (variance, 0.0);
    for lag in 1..=window {
        let term = 2.0 * weight(lag) * autocovariance(residuals, lag);
        spectrum += term;
        slope += lag as f64 * term;
    }
    let spread = 4.0 / 3.0 * spectrum * spectrum;
    let length = (2.0 * slope * slope / spread * n as f64).cbrt();
    if !length.is_finite() {
        return longest;
    }
    (length.ceil() as usize).clamp(1, longest)
}

/// How many independent values would tell as much as a series whose neighbours depend on each other as in a first-order
/// autoregression, and the variance of their sum; negative dependence is not believed.
fn dependence(values: &[f64]) -> (f64, f64) {
    let n = values.len() as f64;
    let variance = autocovariance(values, 0);
    if n < 3.0 || variance <= 0.0 {
        return (n, 0.0);
    }
    let found = autocovariance(values, 1) / variance;
    // Kendall's (1954) correction: short series look less dependent than they are. A quarter of the standard error on
    // top keeps the misses of both bounds within what they promise (simulated).
    let corrected = found + (1.0 + 3.0 * found) / n;
    let cautious = corrected + 0.25 * ((1.0 - corrected * corrected).max(0.0) / n).sqrt();
    let correlation = cautious.clamp(0.0, 1.0 - 2.0 / n);
    let effective = n * (1.0 - correlation) / (1.0 + correlation);
    // Values about their own mean scatter less than about the true one, by the share of one effective value.
    let unbiased = variance * n / (n - 1.0) / (1.0 - 1.0 / effective).max(0.1);
    (effective, n * n * unbiased / effective)
}

fn autocovariance(values: &[f64], lag: usize) -> f64 {
    let n = values.len();
    let mean = values.iter().sum::<f64>() / n as f64;
    values.iter().zip(&values[lag..]).map(|(a, b)| (a - mean) * (b - mean)).sum::<f64>() / n as f64
}

fn total(slices: &[(f64, f64)]) -> (f64, f64) {
    slices.iter().copied().fold((0.0, 0.0), plus)
}

fn plus(a: (f64, f64), b: (f64, f64)) -> (f64, f64) {
    (a.0 + b.0, a.1 + b.1)
}

fn ratio((numerator, denominator): (f64, f64)) -> f64 {
    numerator / denominator
}

/// Sums up to each slice, twice around the circle, so that the sum of any run is one subtraction.
struct RunningSums {
    slices: usize,
    sums: Vec<(f64, f64)>,
}

impl RunningSums {
    fn new(slices: &[(f64, f64)]) -> Self {
        let mut sums = vec![(0.0, 0.0)];
        for slice in slices.iter().chain(slices) {
            sums.push(plus(*sums.last().expect("it starts with one"), *slice));
        }
        Self { slices: slices.len(), sums }
    }

    /// As many slices as there are, in runs of `length` (the last one cut short).
    fn draw(&self, length: usize, random: &mut Pcg64Mcg) -> (f64, f64) {
        let mut drawn = (0.0, 0.0);
        let mut left = self.slices;
        while left > 0 {
            let take = length.min(left);
            let start = random.random_range(0..self.slices);
            let (from, to) = (self.sums[start], self.sums[start + take]);
            drawn = plus(drawn, (to.0 - from.0, to.1 - from.1));
            left -= take;
        }
        drawn
    }
}

/// The value of each resample, in rising order. A resample without a value (0/0) is left out.
fn draw_all<T>(resamples: usize, mut draw: impl FnMut() -> T, value: impl Fn(T) -> f64) -> Vec<f64> {
    let mut values: Vec<f64> = (0..resamples).map(|_| value(draw())).filter(|it| !it.is_nan()).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn bounded(value: f64, drawn: Vec<f64>, runs: f64, confidence: f64, block_length: usize) -> Resampled {
    let (Some(&first), Some(&last)) = (drawn.first(), drawn.last()) else {
        let (low, high) = (f64::NEG_INFINITY, f64::INFINITY);
        return Resampled { value, low, high, variance: f64::INFINITY, block_length, effective: runs };
    };
    let tail = expanded_tail(runs, confidence);
    let at = |share: f64| drawn[((drawn.len() - 1) as f64 * share).round() as usize];
    let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
    let scatter = drawn.iter().map(|it| (it - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
    let variance = if first == last { 0.0 } else { scatter * runs / (runs - 1.0).max(1.0) };
    Resampled { value, low: at(tail), high: at(1.0 - tail), variance, block_length, effective: runs }
}

/// The share of resamples beyond a bound: that of Student's t on `runs − 1` degrees of freedom, and
/// wider by the bias of a variance over so few.
fn expanded_tail(runs: f64, confidence: f64) -> f64 {
    let freedom = (runs - 1.0).max(1.0);
    normal_cdf(-student(freedom, confidence) * (runs / freedom).sqrt())
}

fn student(freedom: f64, confidence: f64) -> f64 {
    StudentsT::new(0.0, 1.0, freedom.max(1.0)).expect("freedom is positive").inverse_cdf(confidence)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Slices of 1,000 look-ups whose hit rate wanders about 0.9 with the given autocorrelation, which that share of its
    /// variance has; the rest is each slice's own.
    fn drifting(random: &mut Pcg64Mcg, slices: usize, correlation: f64, share: f64) -> Vec<(f64, f64)> {
        let mut normal = || (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
        let mut state = normal();
        (0..slices)
            .map(|_| {
                state = correlation * state + (1.0 - correlation * correlation).sqrt() * normal();
                let moved = share.sqrt() * state + (1.0 - share).sqrt() * normal();
                (900.0 + 20.0 * moved, 1_000.0)
            })
            .collect()
    }

    fn wandering(random: &mut Pcg64Mcg, slices: usize, correlation: f64) -> Vec<(f64, f64)> {
        drifting(random, slices, correlation, 1.0)
    }

    /// How many of 1,000 seeded runs each bound misses the truth in.
    fn misses(slices: usize, correlation: f64, share: f64) -> (u32, u32) {
        let mut random = Pcg64Mcg::seed_from_u64(7);
        let (mut low, mut high) = (0, 0);
        for _ in 0..1_000 {
            let found = ratio_of_sums(&drifting(&mut random, slices, correlation, share), 0.95, 200);
            low += u32::from(found.low > 0.9);
            high += u32::from(found.high < 0.9);
        }
        (low, high)
    }

    /// Three standard errors of 5 % in 1,000 are 2 %.
    #[test]
    fn bounds_miss_no_more_often_than_they_say() {
        for (slices, correlation) in [(30, 0.0), (30, 0.3), (30, 0.5), (48, 0.7), (60, 0.5), (60, 0.9)] {
            let (low, high) = misses(slices, correlation, 1.0);
            assert!(low <= 70 && high <= 70, "{slices} {correlation}: {low} and {high} of 1,000");
        }
        // What `ratio_of_sums` says of drift under noise.
        for (slices, correlation, most) in [(60, 0.9, 130), (120, 0.9, 105), (30, 0.95, 215)] {
            let (low, high) = misses(slices, correlation, 0.36);
            assert!(low <= most && high <= most, "{slices} {correlation}: {low} and {high} of 1,000");
        }
        let (low, high) = misses(30, 0.0, 1.0);
        assert!(low + high >= 40, "{low} {high} of 1,000: far wider than need be");
    }

    #[test]
    fn runs_are_longer_where_neighbours_tell_the_same() {
        let mut random = Pcg64Mcg::seed_from_u64(3);
        let length = |correlation, random: &mut Pcg64Mcg| {
            let lengths = (0..50).map(|_| {
                let slices = wandering(random, 100, correlation);
                block_length(&slices.iter().map(|it| it.0).collect::<Vec<_>>())
            });
            lengths.sum::<usize>() as f64 / 50.0
        };
        let (independent, dependent) = (length(0.0, &mut random), length(0.8, &mut random));
        assert!(independent < 3.0 && dependent > 6.0, "{independent} {dependent}");
        assert_eq!(block_length(&[0.0; 40]), 1);
    }

    #[test]
    fn the_same_data_give_the_same_bounds() {
        let slices = wandering(&mut Pcg64Mcg::seed_from_u64(5), 40, 0.3);
        assert_eq!(ratio_of_sums(&slices, 0.95, 500), ratio_of_sums(&slices, 0.95, 500));
    }

    #[test]
    fn drift_common_to_both_sides_cancels() {
        let blocks: Vec<_> =
            (1..=12).map(|i| [(40.0 * f64::from(i * i), 100.0), (2.0 * f64::from(i * i), 100.0)]).collect();
        let found = ratio_of_ratios(&blocks, 0.95, 1_000);
        assert!((found.value - 20.0).abs() < 1e-9 && found.high - found.low < 1e-6, "{found:?}");
    }

    /// 500 seeded runs of eight blocks whose log ratios scatter by 5 %.
    #[test]
    fn covers_few_blocks_as_often_as_it_says() {
        let mut random = Pcg64Mcg::seed_from_u64(11);
        let (mut low, mut high) = (0, 0);
        for _ in 0..500 {
            let mut noise = || ((0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0) * 0.05;
            let blocks: Vec<_> = (0..8)
                .map(|_| [(2_000.0 * noise().exp(), 1_000.0), (100.0 * noise().exp(), 1_000.0)])
                .collect();
            let found = ratio_of_ratios(&blocks, 0.95, 1_000);
            low += u32::from(found.low > 20.0);
            high += u32::from(found.high < 20.0);
        }
        assert!(low <= 40 && high <= 40, "{low} {high} of 500, at most 8 % each");
        assert!(low + high >= 20, "{low} {high} of 500: far wider than need be");
    }

    /// 500 seeded runs of fifteen blocks whose log ratios have that much in common with their neighbours'.
    #[test]
    fn blocks_that_are_like_their_neighbours_tell_less() {
        let mut random = Pcg64Mcg::seed_from_u64(13);
        for correlation in [0.0, 0.3, 0.5, 0.8] {
            let (mut low, mut high) = (0, 0);
            for _ in 0..500 {
                let wandering = wandering(&mut random, 15, correlation);
                let block = |(x, _): &(f64, f64)| {
                    [(2_000.0 * ((x - 900.0) / 400.0).exp(), 1_000.0), (100.0, 1_000.0)]
                };
                let blocks: Vec<_> = wandering.iter().map(block).collect();
                let found = ratio_of_ratios(&blocks, 0.95, 200);
                low += u32::from(found.low > 20.0);
                high += u32::from(found.high < 20.0);
            }
            assert!(low <= 40 && high <= 40, "{correlation}: {low} {high} of 500, at most 8 % each");
        }
    }

    #[test]
    fn a_resample_over_nothing_is_infinite_not_lost() {
        let blocks: Vec<_> = (0..8).map(|i| [(40.0, 10.0), (if i == 0 { 1.0 } else { 0.0 }, 10.0)]).collect();
        let found = ratio_of_ratios(&blocks, 0.95, 1_000);
        assert_eq!(found.high, f64::INFINITY);
        assert!(found.low > 50.0);
    }
}
