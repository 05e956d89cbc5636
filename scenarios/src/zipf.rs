//! Zipf popularity: its share of the hottest, which is a cache's ceiling, and exact seeded sampling.

use rand::Rng;

use crate::random::{self, Purpose};

/// Ranks 0 to n − 1, rank k with probability ∝ 1 / (k + 1)^exponent.
///
/// Sampling uses Vose's alias method: one random number and one table line a draw, whatever n is.
/// Each probability is exact to 2⁻³² of 1 / n.
#[derive(Debug, Clone)]
pub struct Zipf {
    n: u32,
    exponent: f64,
    total: f64,
    lines: Vec<Line>,
}

/// A column of the alias table: below `threshold` the column itself, from there on `alias`.
#[derive(Debug, Clone, Copy)]
struct Line {
    threshold: u32,
    alias: u32,
}

impl Zipf {
    /// # Panics
    /// If `n` is zero or `exponent` is negative or not finite; both are checked where text enters.
    pub fn new(n: u32, exponent: f64) -> Self {
        assert!(n > 0, "a popularity needs at least one link");
        assert!(exponent.is_finite() && exponent >= 0.0, "a Zipf exponent is 0 or more");
        let weights: Vec<f64> = (1..=n).map(|rank| f64::from(rank).powf(-exponent)).collect();
        let total = weights.iter().rev().sum();
        Self { n, exponent, total, lines: alias_table(weights, total) }
    }

    pub fn links(&self) -> u32 {
        self.n
    }

    /// The share of draws that fall on the `k` hottest.
    pub fn mass(&self, k: u32) -> f64 {
        if k >= self.n {
            return 1.0;
        }
        weight_of_hottest(k, self.exponent) / self.total
    }

    /// The share of draws that fall on the `hottest` and on `random` others, drawn evenly from the rest.
    pub fn mass_of(&self, hottest: u32, random: u32) -> f64 {
        let top = self.mass(hottest);
        let rest = self.n.saturating_sub(hottest);
        if rest == 0 {
            return 1.0;
        }
        top + (1.0 - top) * f64::from(random.min(rest)) / f64::from(rest)
    }

    /// A rank, 0 the hottest.
    #[inline]
    pub fn sample(&self, random: &mut impl Rng) -> u32 {
        let wide = u128::from(random.next_u64()) * u128::from(self.n);
        let column = (wide >> 64) as u32;
        let fraction = (wide as u64 >> 32) as u32;
        let line = self.lines[column as usize];
        if fraction < line.threshold { column } else { line.alias }
    }

    /// A sampled click history: how often each rank came up in `total` draws.
    pub fn counts(&self, total: u64, seed: u64) -> Vec<u64> {
        let mut random = random::stream(seed, Purpose::Clicks);
        let mut counts = vec![0; self.n as usize];
        for _ in 0..total {
            counts[self.sample(&mut random) as usize] += 1;
        }
        counts
    }
}

/// The best hit rate that a cache of `entries` can reach where popularity stays as it is: the share
/// of the hottest. No way of filling a cache of that size does better.
pub fn ceiling(links: u32, exponent: f64, entries: u32) -> f64 {
    if entries >= links {
        return 1.0;
    }
    weight_of_hottest(entries, exponent) / weight_of_hottest(links, exponent)
}

/// Summed from the smallest up, so that rounding does not eat the tail.
fn weight_of_hottest(k: u32, exponent: f64) -> f64 {
    (1..=k).rev().map(|rank| f64::from(rank).powf(-exponent)).sum()
}

/// Vose's construction: columns under the average are topped up from those above it.
fn alias_table(mut weights: Vec<f64>, total: f64) -> Vec<Line> {
    let scale = weights.len() as f64 / total;
    weights.iter_mut().for_each(|weight| *weight *= scale);
    let (mut above, mut below): (Vec<u32>, Vec<u32>) =
        (0..weights.len() as u32).partition(|&rank| weights[rank as usize] >= 1.0);
    let mut lines: Vec<Line> = (0..weights.len() as u32).map(whole).collect();
    while let (Some(&rich), Some(poor)) = (above.last(), below.pop()) {
        let share = weights[poor as usize];
        lines[poor as usize] = Line { threshold: (share * 2f64.powi(32)) as u32, alias: rich };
        weights[rich as usize] -= 1.0 - share;
        if weights[rich as usize] < 1.0 {
            above.pop();
            below.push(rich);
        }
    }
    lines
}

/// A column that is its own alias yields itself, whatever the fraction.
fn whole(rank: u32) -> Line {
    Line { threshold: u32::MAX, alias: rank }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed independently for a static cache of the 25,000 hottest and 2,000 random links.
    const PUBLISHED: [(u32, [f64; 6]); 2] =
        [(100_000, [74.1, 82.0, 88.8, 93.8, 96.9, 99.8]), (1_000_000, [44.8, 59.7, 74.4, 86.1, 93.5, 99.6])];

    #[test]
    fn the_ceiling_of_a_static_cache_is_the_published_one() {
        for (links, row) in PUBLISHED {
            for (exponent, percent) in [0.8, 0.9, 1.0, 1.1, 1.2, 1.5].into_iter().zip(row) {
                let mass = 100.0 * Zipf::new(links, exponent).mass_of(25_000, 2_000);
                assert!((mass - percent).abs() < 0.051, "{links} links at {exponent}: {mass}, not {percent}");
            }
        }
    }

    #[test]
    fn ninety_nine_percent_begins_at_the_published_exponents() {
        for (links, exponent) in [(100_000, 1.34), (1_000_000, 1.41)] {
            assert!(Zipf::new(links, exponent).mass_of(25_000, 2_000) >= 0.99);
            assert!(Zipf::new(links, exponent - 0.01).mass_of(25_000, 2_000) < 0.99);
        }
    }

    #[test]
    fn the_ceiling_is_the_mass_of_the_hottest() {
        let zipf = Zipf::new(5_000, 0.99);
        for entries in [0, 1, 10, 4_999, 5_000, 9_000] {
            assert!((ceiling(5_000, 0.99, entries) - zipf.mass(entries)).abs() < 1e-12);
        }
        assert_eq!(zipf.mass_of(5_000, 10), 1.0);
        assert!((zipf.mass_of(0, 50) - 0.01).abs() < 1e-12);
    }

    /// Summing the table gives back every probability: the sampler is exact, not approximate.
    #[test]
    fn the_table_holds_exactly_the_distribution() {
        for (n, exponent) in [(1, 1.0), (2, 0.0), (7, 0.5), (1_000, 0.99), (1_000, 1.0), (10_000, 2.5)] {
            let zipf = Zipf::new(n, exponent);
            let mut mass = vec![0.0; n as usize];
            for (column, line) in zipf.lines.iter().enumerate() {
                let own = f64::from(line.threshold) / 2f64.powi(32);
                mass[column] += own / f64::from(n);
                mass[line.alias as usize] += (1.0 - own) / f64::from(n);
            }
            for (rank, mass) in mass.iter().enumerate() {
                let exact = ((rank + 1) as f64).powf(-exponent) / zipf.total;
                assert!((mass - exact).abs() < 3e-10, "rank {rank} of {n} at {exponent}: {mass}, {exact}");
            }
        }
    }

    #[test]
    fn counts_follow_the_distribution_and_the_seed() {
        let zipf = Zipf::new(1_000, 0.99);
        let counts = zipf.counts(1_000_000, 7);
        assert_eq!(counts.iter().sum::<u64>(), 1_000_000);
        assert_eq!(counts, zipf.counts(1_000_000, 7));
        assert_ne!(counts, zipf.counts(1_000_000, 8));
        // Chi-square over 999 degrees of freedom stays below 1,143 in 999 of 1,000 samples.
        let chi_square: f64 = (1..=1_000)
            .zip(&counts)
            .map(|(rank, &count)| {
                let expected = 1e6 * f64::from(rank).powf(-0.99) / zipf.total;
                (count as f64 - expected).powi(2) / expected
            })
            .sum();
        assert!(chi_square < 1_143.0, "{chi_square}");
    }
}
