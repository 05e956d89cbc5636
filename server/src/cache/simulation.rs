//! Shows on simulated traffic that the table keeps what is asked for most, which least-recently-used does not.

use hashbrown::HashMap;
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use std::collections::BTreeMap;

use super::table::{Cached, Capacity, Entry, Name, Newcomer, Table};

/// A fiftieth of the workload that the hit-rate claim fixes: 100,000 links, 27,000 entries, Zipf 0.99. What each link
/// has of clicks, and so the noise in their ranks, is the same.
const LINKS: usize = 2_000;
const HOT: usize = 500;
const RANDOM: usize = 40;
const EXPONENT: f64 = 0.99;
const PAST_CLICKS: usize = 200_000;

/// A seeded source of link numbers; link 0 is the most popular, until `shift` moves the ranks.
struct Zipf {
    cumulative: Vec<f64>,
    random: Pcg64Mcg,
    shift: usize,
}

impl Zipf {
    fn new(seed: u64) -> Self {
        Self::over(LINKS, seed)
    }

    fn over(links: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let weights = (1..=links).map(|rank| (rank as f64).powf(-EXPONENT));
        let mut cumulative: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        cumulative.iter_mut().for_each(|part| *part /= sum);
        Self { cumulative, random: Pcg64Mcg::seed_from_u64(seed), shift: 0 }
    }

    fn next(&mut self) -> usize {
        let drawn: f64 = self.random.random();
        let rank = self.cumulative.partition_point(|&part| part < drawn).min(self.cumulative.len() - 1);
        (rank + self.shift) % self.cumulative.len()
    }

    fn ceiling(&self, entries: usize) -> f64 {
        self.cumulative[entries - 1]
    }
}

/// A cache as the simulation sees it: asked for a link whose click count the store knows, it says whether it had it.
trait Policy {
    fn ask(&mut self, link: usize, clicks: u64) -> bool;
    fn warm(&mut self, link: usize, clicks: u64);
}

impl Policy for Table {
    fn ask(&mut self, link: usize, clicks: u64) -> bool {
        let code = code(link);
        let hit = self.get(Name::of(&code), || 0) != Cached::Absent;
        if !hit {
            self.insert(Name::of(&code), newcomer(clicks), Entry::Miss);
        }
        hit
    }

    fn warm(&mut self, link: usize, clicks: u64) {
        self.insert(Name::of(&code(link)), newcomer(clicks), Entry::Ahead);
    }
}

/// The usual policy: whoever comes is let in, whoever was not asked for the longest goes.
#[derive(Default)]
struct LeastRecent {
    used: HashMap<usize, u64>,
    by_use: BTreeMap<u64, usize>,
    clock: u64,
}

impl Policy for LeastRecent {
    fn ask(&mut self, link: usize, _: u64) -> bool {
        self.clock += 1;
        let before = self.used.insert(link, self.clock);
        self.by_use.insert(self.clock, link);
        if let Some(used) = before {
            self.by_use.remove(&used);
        } else if self.used.len() > HOT + RANDOM {
            let (_, oldest) = self.by_use.pop_first().expect("every link was used");
            self.used.remove(&oldest);
        }
        before.is_some()
    }

    fn warm(&mut self, link: usize, clicks: u64) {
        self.ask(link, clicks);
    }
}

/// Warms from sampled click counts: the hottest, then some at random.
fn warm(policy: &mut impl Policy, clicks: &[u64], random: &mut Pcg64Mcg) {
    let mut ranked: Vec<usize> = (0..LINKS).collect();
    ranked.sort_by_key(|&link| std::cmp::Reverse(clicks[link]));
    let (hottest, others) = ranked.split_at(HOT);
    (0..RANDOM).for_each(|_| {
        let link = others[random.random_range(0..others.len())];
        policy.warm(link, clicks[link]);
    });
    hottest.iter().rev().for_each(|&link| policy.warm(link, clicks[link]));
}

/// The hit rate of each of `slices` stretches of `requests`.
fn hit_rates(
    policy: &mut impl Policy,
    zipf: &mut Zipf,
    clicks: &mut [u64],
    slices: usize,
    requests: usize,
) -> Vec<f64> {
    let mut slice = || {
        let hits = (0..requests).filter(|_| {
            let link = zipf.next();
            clicks[link] += 1;
            policy.ask(link, clicks[link])
        });
        hits.count() as f64 / requests as f64
    };
    (0..slices).map(|_| slice()).collect()
}

fn warmed(policy: &mut impl Policy) -> (Zipf, Vec<u64>) {
    let mut zipf = Zipf::new(7);
    let mut clicks = vec![0; LINKS];
    (0..PAST_CLICKS).for_each(|_| clicks[zipf.next()] += 1);
    warm(policy, &clicks, &mut Pcg64Mcg::seed_from_u64(8));
    (zipf, clicks)
}

fn table() -> Table {
    Table::new(Capacity::Entries(HOT + RANDOM))
}

#[test]
fn keeps_the_hit_rate_within_a_hundredth_of_the_ceiling() {
    let mut table = table();
    let (mut zipf, mut clicks) = warmed(&mut table);
    let ceiling = zipf.ceiling(HOT + RANDOM);
    let rates = hit_rates(&mut table, &mut zipf, &mut clicks, 4, 100_000);
    assert!(rates.iter().all(|rate| rate / ceiling >= 0.99), "{rates:?} of {ceiling}");
}

#[test]
fn least_recently_used_would_not() {
    let mut recent = LeastRecent::default();
    let (mut zipf, mut clicks) = warmed(&mut recent);
    let ceiling = zipf.ceiling(HOT + RANDOM);
    let rates = hit_rates(&mut recent, &mut zipf, &mut clicks, 3, 50_000);
    assert!(rates[1..].iter().all(|rate| rate / ceiling < 0.96), "{rates:?} of {ceiling}");
}

#[test]
fn follows_popularity_when_it_moves() {
    let mut table = table();
    let (mut zipf, mut clicks) = warmed(&mut table);
    let ceiling = zipf.ceiling(HOT + RANDOM);
    hit_rates(&mut table, &mut zipf, &mut clicks, 1, 100_000);
    zipf.shift = LINKS / 2;
    let rates = hit_rates(&mut table, &mut zipf, &mut clicks, 10, 100_000);
    assert!(rates[3] / ceiling >= 0.97 && rates[9] / ceiling >= 0.985, "{rates:?} of {ceiling}");
}

#[test]
fn a_cold_start_without_any_history_learns() {
    let mut table = table();
    let mut zipf = Zipf::new(7);
    let ceiling = zipf.ceiling(HOT + RANDOM);
    let rates = hit_rates(&mut table, &mut zipf, &mut vec![0; LINKS], 6, 100_000);
    assert!(rates[5] / ceiling >= 0.94 && rates[5] > rates[0], "{rates:?} of {ceiling}");
}

/// As large as the claim's workload, without a row in the store that was ever clicked: who is hot is known only from what was
/// asked for since, in many shards that all begin empty.
#[test]
fn a_large_table_that_is_filled_by_use_learns_as_well() {
    const LINKS: usize = 100_000;
    const ENTRIES: usize = 27_000;
    let mut table = Table::new(Capacity::Entries(ENTRIES));
    let mut zipf = Zipf::over(LINKS, 7);
    let ceiling = zipf.ceiling(ENTRIES);
    let rates = hit_rates(&mut table, &mut zipf, &mut vec![0; LINKS], 6, 1_000_000);
    assert!(rates[5] / ceiling >= 0.99, "{rates:?} of {ceiling}");
}

fn code(link: usize) -> String {
    format!("{link:08}")
}

fn newcomer(clicks: u64) -> Newcomer<'static> {
    Newcomer { url: "https://example.com/", expires: None, clicks }
}
