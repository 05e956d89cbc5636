//! Which link is how popular: Zipf ranks, dealt to the links at random, that may drift.

use rand::Rng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use crate::random::{self, Purpose};
use crate::zipf::Zipf;

/// A Zipf popularity over links that are numbered in the order of their creation.
///
/// Ranks are dealt to links at random: if the first link made were the hottest, hot rows would lie
/// side by side in the database, a locality that no real shortener has.
#[derive(Debug, Clone)]
pub struct Popularity {
    zipf: Zipf,
    /// The link that holds each rank.
    links: Vec<u32>,
    clicks: Pcg64Mcg,
    drift: Option<Drift>,
    seed: u64,
}

/// A steady exchange of ranks: every link has lost its rank with probability 1/2 after `half_life`
/// visits.
#[derive(Debug, Clone)]
struct Drift {
    random: Pcg64Mcg,
    swaps_per_visit: f64,
    owed: f64,
}

impl Popularity {
    pub fn new(links: u32, exponent: f64, seed: u64) -> Self {
        let mut order: Vec<u32> = (0..links).collect();
        order.shuffle(&mut random::stream(seed, Purpose::Popularity));
        let clicks = random::stream(seed, Purpose::Visits);
        Self { zipf: Zipf::new(links, exponent), links: order, clicks, drift: None, seed }
    }

    /// Draws other visits from the same popularity: warm-up and measurement must agree on what is
    /// hot, and must not be the same run of visits.
    pub fn visits_from(mut self, seed: u64) -> Self {
        self.clicks = random::stream(seed, Purpose::Visits);
        self
    }

    /// Lets ranks wander from now on; `half_life` is counted in visits, so that a seed alone decides.
    pub fn drifting(mut self, half_life: u64) -> Self {
        let random = random::stream(self.seed, Purpose::Drift);
        // A swap moves two of n links, so a link keeps its rank through s swaps with probability
        // (1 − 2/n)^s ≈ exp(−2s/n), which is 1/2 at s = n · ln 2 / 2.
        let swaps_per_half_life = f64::from(self.zipf.links()) * std::f64::consts::LN_2 / 2.0;
        let swaps_per_visit = swaps_per_half_life / half_life.max(1) as f64;
        self.drift = Some(Drift { random, swaps_per_visit, owed: 0.0 });
        self
    }

    /// The link of the next visit.
    #[inline]
    pub fn visit(&mut self) -> u32 {
        if self.drift.is_some() {
            self.wander();
        }
        self.links[self.zipf.sample(&mut self.clicks) as usize]
    }

    /// A sampled click history by link, at the popularity as it stands.
    pub fn clicks(&self, total: u64) -> Vec<u64> {
        let mut clicks = vec![0; self.links.len()];
        for (rank, count) in self.zipf.counts(total, self.seed).into_iter().enumerate() {
            clicks[self.links[rank] as usize] = count;
        }
        clicks
    }

    /// The links from the hottest down, as they stand.
    pub fn hottest_first(&self) -> &[u32] {
        &self.links
    }

    pub fn zipf(&self) -> &Zipf {
        &self.zipf
    }

    fn wander(&mut self) {
        let Some(drift) = &mut self.drift else { return };
        drift.owed += drift.swaps_per_visit;
        while drift.owed >= 1.0 {
            drift.owed -= 1.0;
            let one = random_rank(&mut drift.random, self.links.len());
            let other = random_rank(&mut drift.random, self.links.len());
            self.links.swap(one, other);
        }
    }
}

fn random_rank(random: &mut impl Rng, links: usize) -> usize {
    random::below(random, links as u64) as usize
}

/// What is left of a static cache's share after `half_lives` of drift, if popularity evens out over
/// all links: the axis of drift in the envelope of the hit rate.
pub fn drifted_mass(links: u32, exponent: f64, entries: u32, half_lives: f64) -> f64 {
    let kept = 0.5f64.powf(half_lives);
    let evenly = (f64::from(entries) / f64::from(links)).min(1.0);
    kept * crate::zipf::ceiling(links, exponent, entries) + (1.0 - kept) * evenly
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn visit(popularity: &mut Popularity, times: u32) {
        for _ in 0..times {
            popularity.visit();
        }
    }

    #[test]
    fn a_seed_decides_every_visit() {
        let visits = |seed| {
            let mut popularity = Popularity::new(1_000, 0.99, seed);
            (0..1_000).map(|_| popularity.visit()).collect::<Vec<_>>()
        };
        assert_eq!(visits(3), visits(3));
        assert_ne!(visits(3), visits(4));
    }

    #[test]
    fn clicks_and_visits_agree_on_what_is_hot() {
        let mut popularity = Popularity::new(10_000, 1.2, 11);
        let hot: HashSet<u32> = popularity.hottest_first()[..100].iter().copied().collect();
        let clicked: u64 =
            popularity.clicks(100_000).iter().zip(0..).filter(|(_, l)| hot.contains(l)).map(|(c, _)| c).sum();
        let visited = (0..100_000).filter(|_| hot.contains(&popularity.visit())).count();
        let expected = popularity.zipf().mass(100) * 100_000.0;
        assert!((clicked as f64 - expected).abs() < 1_000.0, "{clicked}, {expected}");
        assert!((visited as f64 - expected).abs() < 1_000.0, "{visited}, {expected}");
    }

    #[test]
    fn after_a_half_life_half_of_the_ranks_have_moved() {
        let mut popularity = Popularity::new(10_000, 0.99, 5).drifting(50_000);
        let before = popularity.hottest_first().to_vec();
        visit(&mut popularity, 50_000);
        let kept = before.iter().zip(popularity.hottest_first()).filter(|(a, b)| a == b).count();
        assert!((4_700..5_300).contains(&kept), "{kept} of 10,000 kept their rank");
    }

    #[test]
    fn drift_wears_a_static_cache_down_as_computed() {
        let mut popularity = Popularity::new(10_000, 0.99, 5).drifting(50_000);
        let cached: HashSet<u32> = popularity.hottest_first()[..1_000].iter().copied().collect();
        visit(&mut popularity, 100_000);
        let now: f64 = popularity
            .hottest_first()
            .iter()
            .zip(1..)
            .filter(|(link, _)| cached.contains(link))
            .map(|(_, rank)| popularity.zipf().mass(rank) - popularity.zipf().mass(rank - 1))
            .sum();
        let computed = drifted_mass(10_000, 0.99, 1_000, 2.0);
        assert!((now - computed).abs() < 0.15, "{now}, {computed}");
    }
}
