//! Wilcoxon's signed-rank test, exact, with the Hodges–Lehmann estimate and its bounds.

/// The chance, were the differences symmetric about zero, of a sum of positive ranks at least as large
/// as the one observed: small when the differences lie above zero. Zeros are left out, ties share ranks.
pub fn upper_tail(differences: &[f64]) -> f64 {
    let mut kept: Vec<f64> = differences.iter().copied().filter(|it| *it != 0.0).collect();
    kept.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let ranks = doubled_ranks(&kept);
    let observed: usize = kept.iter().zip(&ranks).filter(|(it, _)| **it > 0.0).map(|(_, rank)| rank).sum();
    let ways = ways_by_sum(&ranks);
    ways[observed..].iter().sum::<f64>() / ways.iter().sum::<f64>()
}

/// The means of all pairs of values, in rising order: the test turned inside out.
#[derive(Debug, Clone, PartialEq)]
pub struct WalshAverages(Vec<f64>);

impl WalshAverages {
    pub fn of(values: &[f64]) -> Self {
        let from = |(i, a): (usize, &f64)| values[i..].iter().map(|b| (a + b) / 2.0).collect::<Vec<_>>();
        let mut means: Vec<f64> = values.iter().enumerate().flat_map(from).collect();
        means.sort_unstable_by(f64::total_cmp);
        Self(means)
    }

    /// The Hodges–Lehmann estimate of the centre.
    pub fn median(&self) -> Option<f64> {
        let middle = self.0.len() / 2;
        match self.0.len() {
            0 => None,
            odd if odd % 2 == 1 => Some(self.0[middle]),
            _ => Some((self.0[middle - 1] + self.0[middle]) / 2.0),
        }
    }

    /// The centres that a test with this critical sum would not reject; all where there is no such sum.
    pub fn bounds(&self, critical_sum: Option<usize>) -> (f64, f64) {
        match critical_sum {
            Some(sum) => (self.0[sum], self.0[self.0.len() - 1 - sum]),
            None => (f64::NEG_INFINITY, f64::INFINITY),
        }
    }
}

/// One-sided bounds on the centre. Infinite where there are too few values to reject any.
pub fn bounds(values: &[f64], confidence: f64) -> (f64, f64) {
    WalshAverages::of(values).bounds(critical_sum(values.len(), 1.0 - confidence))
}

/// The largest rank sum whose lower tail is at most `alpha`; none where even zero is likelier.
pub fn critical_sum(n: usize, alpha: f64) -> Option<usize> {
    let ranks: Vec<usize> = (1..=n).collect();
    let ways = ways_by_sum(&ranks);
    let allowed = alpha * (n as f64).exp2();
    let mut tail = 0.0;
    let below = ways.iter().take_while(|ways| {
        tail += **ways;
        tail <= allowed
    });
    below.count().checked_sub(1)
}

/// Twice the rank of each, so that shared ranks stay whole numbers. `sorted` by absolute value.
fn doubled_ranks(sorted: &[f64]) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(sorted.len());
    for group in sorted.chunk_by(|a, b| a.abs() == b.abs()) {
        let (first, last) = (ranks.len() + 1, ranks.len() + group.len());
        ranks.extend(group.iter().map(|_| first + last));
    }
    ranks
}

/// In how many ways each sum comes about when every rank is taken or left.
fn ways_by_sum(ranks: &[usize]) -> Vec<f64> {
    let mut ways = vec![0.0; ranks.iter().sum::<usize>() + 1];
    ways[0] = 1.0;
    let mut reached = 0;
    for &rank in ranks {
        reached += rank;
        for sum in (rank..=reached).rev() {
            ways[sum] += ways[sum - rank];
        }
    }
    ways
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Critical values of T, one-sided 0.05, 0.025, 0.01, 0.005, as in every printed table.
    #[test]
    fn critical_sums_are_those_of_the_tables() {
        for (n, at) in [
            (5, [Some(0), None, None, None]),
            (6, [Some(2), Some(0), None, None]),
            (8, [Some(5), Some(3), Some(1), Some(0)]),
            (10, [Some(10), Some(8), Some(5), Some(3)]),
            (16, [Some(35), Some(29), Some(23), Some(19)]),
            (20, [Some(60), Some(52), Some(43), Some(37)]),
            (30, [Some(151), Some(137), Some(120), Some(109)]),
        ] {
            assert_eq!([0.05, 0.025, 0.01, 0.005].map(|alpha| critical_sum(n, alpha)), at, "n = {n}");
        }
    }

    #[test]
    fn eight_and_sixteen_blocks_reach_what_two_to_the_n_allows() {
        let rising = |n: i32| (1..=n).map(f64::from).collect::<Vec<_>>();
        assert_eq!(upper_tail(&rising(8)), 1.0 / 256.0);
        assert_eq!(upper_tail(&rising(16)), 1.0 / 65_536.0);
    }

    /// Darwin's maize (Hollander and Wolfe, 1999): W+ = 96 of 120, one-sided p = 0.0206.
    #[test]
    fn darwins_maize() {
        let maize = [49., -67., 8., 16., 6., 23., 28., 41., 14., 29., 56., 24., 75., 60., -48.];
        assert!((upper_tail(&maize) - 0.0206).abs() < 5e-5, "{}", upper_tail(&maize));
    }

    /// Hollander and Wolfe, 1999, example 3.1 (Hamilton depression scores): estimate −0.46,
    /// p = 0.0195 one-sided, 96 % interval (−0.786, −0.010).
    #[test]
    #[expect(clippy::approx_constant, reason = "3.14 is a score")]
    fn hamilton_depression_scores() {
        let before = [1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30];
        let after = [0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29];
        let gains: Vec<f64> = before.iter().zip(after).map(|(x, y)| y - x).collect();
        let losses: Vec<f64> = gains.iter().map(|it| -it).collect();
        assert!((upper_tail(&losses) - 0.0195).abs() < 5e-5);
        assert!((WalshAverages::of(&gains).median().unwrap() + 0.46).abs() < 1e-9);
        let (low, high) = bounds(&gains, 0.98);
        assert!((low + 0.786).abs() < 1e-9 && (high + 0.010).abs() < 1e-9, "{low} {high}");
    }

    #[test]
    fn too_few_values_bound_nothing() {
        assert_eq!(bounds(&[1.0, 2.0, 3.0], 0.95), (f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!(WalshAverages::of(&[]).median(), None);
        assert_eq!(upper_tail(&[]), 1.0);
    }
}
