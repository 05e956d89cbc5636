//! The gate against simulated builds: how often it is wrong, and what it catches.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

use super::*;

/// A noisy machine: slots of a block drift, depend on their neighbours, and have heavy tails.
struct Machine {
    random: Pcg64Mcg,
    /// Standard deviation of a slot's noise, before the tails.
    scatter: f64,
    /// What the first slot of each block costs.
    first_slot: f64,
    state: f64,
    slots: u32,
}

impl Machine {
    fn new(seed: u64, scatter: f64) -> Self {
        Self { random: Pcg64Mcg::seed_from_u64(seed), scatter, first_slot: 0.0, state: 0.0, slots: 0 }
    }

    fn normal(&mut self) -> f64 {
        (0..12).map(|_| self.random.random::<f64>()).sum::<f64>() - 6.0
    }

    /// The log time of one slot; one in fifty is disturbed by up to half.
    fn slot(&mut self) -> f64 {
        let noise = self.normal();
        self.state = 0.5 * self.state + 0.866 * noise;
        self.slots += 1;
        let disturbed =
            if self.random.random::<f64>() < 0.02 { self.random.random::<f64>() * 0.5 } else { 0.0 };
        self.scatter * self.state + disturbed + f64::from(self.slots) * 0.000_5
    }

    /// Log ratios of so many blocks, ABBA and BAAB in balanced random order.
    fn blocks(&mut self, count: usize, slower: f64) -> Vec<f64> {
        let seed = self.random.random();
        let base_first = order(count, seed);
        base_first.into_iter().map(|base_first| self.block(base_first) + slower.ln_1p()).collect()
    }

    fn block(&mut self, base_first: bool) -> f64 {
        let slots = [self.slot() + self.first_slot, self.slot(), self.slot(), self.slot()];
        let (outer, inner) = ((slots[0] + slots[3]) / 2.0, (slots[1] + slots[2]) / 2.0);
        if base_first { inner - outer } else { outer - inner }
    }

    /// The whole procedure: a first look, and a second where the first does not settle it.
    fn gate(&mut self, judge: &mut Judge, slower: f64) -> Verdict {
        let mut log_ratios = self.blocks(16, slower);
        let decision = judge.decide(&log_ratios);
        if !decision.extend {
            return decision.verdict;
        }
        log_ratios.extend(self.blocks(16, slower));
        judge.decide(&log_ratios).verdict
    }

    fn share_of(&mut self, verdict: Verdict, runs: u32, slower: f64) -> f64 {
        let mut judge = Judge::new(Rules::default());
        let found = (0..runs).filter(|_| self.gate(&mut judge, slower) == verdict).count();
        found as f64 / f64::from(runs)
    }
}

#[test]
fn of_10_000_equal_builds_at_most_one_in_200_fails() {
    let failed = Machine::new(1, 0.03).share_of(Verdict::Fails, 10_000, 0.0);
    assert!(failed <= 0.005, "{failed}");
}

#[test]
fn catches_what_is_slower() {
    let mut machine = Machine::new(2, 0.015);
    let caught = [0.10, 0.05, 0.03].map(|slower| machine.share_of(Verdict::Fails, 400, slower));
    assert!(caught[0] >= 0.99 && caught[1] >= 0.95 && caught[2] >= 0.80, "{caught:?}");
    let passed = machine.share_of(Verdict::Holds, 400, 0.0);
    assert!(passed >= 0.9, "{passed}");
}

#[test]
fn a_costly_first_slot_is_no_regression() {
    let mut machine = Machine::new(3, 0.015);
    machine.first_slot = 0.2;
    assert!(machine.share_of(Verdict::Fails, 1_000, 0.0) <= 0.005);
}

/// The fault that balance guards against: the same bias in a fixed order is taken for a difference.
#[test]
fn a_fixed_order_would_certify_the_bias() {
    let mut machine = Machine::new(4, 0.015);
    machine.first_slot = 0.2;
    let fixed: Vec<f64> = (0..16).map(|_| machine.block(false)).collect();
    assert_eq!(Judge::new(Rules::default()).decide(&fixed).verdict, Verdict::Fails);
}

#[test]
fn too_few_blocks_settle_nothing() {
    let decision = Judge::new(Rules::default()).decide(&[0.5; 15]);
    assert_eq!((decision.verdict, decision.extend), (Verdict::Inconclusive, true));
    let scattered: Vec<f64> = (0..32).map(|index| f64::from(index * 7 % 32) * 0.02 - 0.31).collect();
    let last = Judge::new(Rules::default()).decide(&scattered);
    assert_eq!((last.verdict, last.extend), (Verdict::Inconclusive, false));
}

#[test]
fn a_sure_difference_within_the_margin_does_not_fail() {
    let decision = Judge::new(Rules::default()).decide(&[0.01; 16]);
    assert!(decision.surely_above > 1.0);
    assert_eq!(decision.verdict, Verdict::Holds);
}
