//! The gate: whether one build is slower than another, by interleaved blocks.

mod blocks;

use proofload_scenarios::{Bound, Check, Claim, Kind, Metric};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_pcg::Pcg64Mcg;

use crate::figure;
use crate::run::{Measurement, Model, Run};
use crate::statistics::signed_rank::{self, WalshAverages};
use crate::verdict::{CheckVerdict, ClaimVerdict, Interval, Verdict};
use blocks::Timing;

/// The `verb` of a run that compares two builds; [`crate::judge_all`] judges it by the gate.
pub const VERB: &str = "gate";
/// The variants of such a run.
pub const BASE: &str = "base";
pub const HEAD: &str = "head";

/// When a difference counts, and how sure it must be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// What is tolerated: 0.02 is 2 % slower.
    pub margin: f64,
    /// Blocks of the first look, and of the second and last one.
    pub looks: [usize; 2],
    /// The chance of failing a build that is as fast, over both looks together.
    pub alpha_fail: f64,
    /// The chance of passing a build that is slower by the margin, over both looks together.
    pub alpha_pass: f64,
}

impl Default for Rules {
    fn default() -> Self {
        Self { margin: 0.02, looks: [16, 32], alpha_fail: 0.001, alpha_pass: 0.05 }
    }
}

impl Rules {
    /// The rules that a recorded run was made under: its claim bears the margin.
    fn of(run: &Run) -> Self {
        let check = run.claims.first().and_then(|claim| claim.checks.first());
        match check.map(|check| check.bound) {
            Some(Bound::AtMost(bound)) => Self { margin: bound - 1.0, ..Self::default() },
            _ => Self::default(),
        }
    }
}

/// For each block whether base comes first: balanced, in random order, so that neither build can gain from its place.
pub fn order(blocks: usize, seed: u64) -> Vec<bool> {
    let mut base_first: Vec<bool> = (0..blocks).map(|index| index % 2 == 0).collect();
    base_first.shuffle(&mut Pcg64Mcg::seed_from_u64(seed));
    base_first
}

/// Judges a recorded run of the gate again; nothing where it holds no measurement.
pub fn judge(run: &Run) -> Vec<ClaimVerdict> {
    let mut judge = Judge::new(Rules::of(run));
    let mut verdict = |measurement| judge.gate(measurement, BASE, HEAD).verdict;
    run.measurements.iter().map(&mut verdict).collect()
}

/// What the gate says of the log ratios of head over base, one a block; above zero is slower.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decision {
    pub verdict: Verdict,
    /// Hodges–Lehmann estimate of head over base.
    pub ratio: f64,
    /// Two-sided interval, from the bounds that let a build pass.
    pub low: f64,
    pub high: f64,
    /// The lower bound that must exceed one for a build to fail.
    pub surely_above: f64,
    /// Whether the second look is still to come.
    pub extend: bool,
}

/// The gate's verdict on a run of two builds.
#[derive(Debug, Clone, PartialEq)]
pub struct Gate {
    /// One check a timing; p99 is advisory, as a stated check.
    pub verdict: ClaimVerdict,
    /// Measure as many blocks again, once, and judge all together.
    pub extend: bool,
}

/// A judge with its rules and the exact critical sums that they lead to.
#[derive(Debug, Clone)]
pub struct Judge {
    rules: Rules,
    /// For each number of blocks judged so far: critical sums to fail and to pass.
    critical: std::collections::BTreeMap<usize, (Option<usize>, Option<usize>)>,
}

impl Judge {
    pub fn new(rules: Rules) -> Self {
        Self { rules, critical: std::collections::BTreeMap::new() }
    }

    /// Judges `head` against `base`, both variants of the measurement.
    pub fn gate(&mut self, measurement: &Measurement, base: &str, head: &str) -> Gate {
        let first = match measurement.model {
            Model::Closed => Timing::Throughput,
            Model::Open | Model::Journeys => Timing::P50,
        };
        // Of a service that someone else runs only what the client sees is known.
        let server_cpu = blocks::is_known(Timing::ServerCpu, measurement).then_some(Timing::ServerCpu);
        let timings = [Some(first), server_cpu, Some(Timing::P99)].into_iter().flatten();
        let mut extend = false;
        let checks: Vec<CheckVerdict> = timings
            .map(|timing| {
                let check = self.check(timing, measurement);
                match blocks::log_ratios(timing, measurement, base, head) {
                    Ok(log_ratios) => {
                        let decision = self.decide(&log_ratios);
                        extend |= decision.extend && timing.kind() == Kind::Upheld;
                        told(check, &log_ratios, decision)
                    }
                    Err(reasons) => invalid(check, reasons),
                }
            })
            .collect();
        let worst = |kind| checks.iter().filter(|it| it.check.kind == kind).map(|it| it.verdict).max();
        let (upheld, stated) = (worst(Kind::Upheld), worst(Kind::Stated));
        // A build that failed, or cannot be judged, is not measured further.
        let extend = extend && upheld == Some(Verdict::Inconclusive);
        let claim = self.claim(base, head, &checks);
        let sentence = sentence(&checks, base, head);
        Gate { verdict: ClaimVerdict { claim, stated, upheld, checks, sentence }, extend }
    }

    /// Decides by the log ratios alone. Both alphas are split evenly over the two looks.
    pub fn decide(&mut self, log_ratios: &[f64]) -> Decision {
        let Rules { margin, looks, .. } = self.rules;
        let walsh = WalshAverages::of(log_ratios);
        let (to_fail, to_pass) = self.critical_sums(log_ratios.len());
        let (low, high) = walsh.bounds(to_pass);
        let surely_above = walsh.bounds(to_fail).0.exp();
        let (ratio, low, high) = (walsh.median().unwrap_or(0.0).exp(), low.exp(), high.exp());
        let verdict = match log_ratios.len() < looks[0] {
            true => Verdict::Inconclusive,
            false if surely_above > 1.0 && ratio >= 1.0 + margin => Verdict::Fails,
            false if high < 1.0 + margin => Verdict::Holds,
            false => Verdict::Inconclusive,
        };
        let extend = verdict == Verdict::Inconclusive && log_ratios.len() < looks[1];
        Decision { verdict, ratio, low, high, surely_above, extend }
    }

    fn critical_sums(&mut self, blocks: usize) -> (Option<usize>, Option<usize>) {
        let Rules { alpha_fail, alpha_pass, .. } = self.rules;
        *self.critical.entry(blocks).or_insert_with(|| {
            let sum = |alpha: f64| signed_rank::critical_sum(blocks, alpha / 2.0);
            (sum(alpha_fail), sum(alpha_pass))
        })
    }

    fn check(&self, timing: Timing, measurement: &Measurement) -> Check {
        Check {
            kind: timing.kind(),
            title: format!("{}, head over base", timing.title()),
            scenario: measurement.scenario.name.clone(),
            metric: Metric::Fact { name: timing.fact().to_owned() },
            bound: Bound::AtMost(1.0 + self.rules.margin),
            confidence: 1.0 - self.rules.alpha_pass / 2.0,
            agree: Vec::new(),
        }
    }

    fn claim(&self, base: &str, head: &str, checks: &[CheckVerdict]) -> Claim {
        Claim {
            id: "no-regression".to_owned(),
            statement: format!("`{head}` is at most {} % slower than `{base}`", self.rules.margin * 100.0),
            note:
                "Both builds ran side by side, one loaded at a time, in blocks of ABBA or BAAB; a block is \
                   one sample. It fails only where it is surely slower, and by the margin."
                    .to_owned(),
            checks: checks.iter().map(|it| it.check.clone()).collect(),
        }
    }
}

fn told(check: Check, log_ratios: &[f64], decision: Decision) -> CheckVerdict {
    let confidence = 2.0 * check.confidence - 1.0;
    let mut verdict = CheckVerdict {
        check,
        estimate: Some(decision.ratio),
        interval: Some(Interval { low: decision.low, high: decision.high, confidence }),
        verdict: decision.verdict,
        reasons: Vec::new(),
        samples: log_ratios.len() as u64,
        needed: None,
        rests_on: Vec::new(),
        method: format!(
            "Hodges–Lehmann over {} interleaved blocks, bounds by the exact signed-rank test",
            log_ratios.len()
        ),
    };
    let (measured, bound) = (figure::measured(&verdict), figure::bound(&verdict.check));
    match decision.verdict {
        Verdict::Fails => verdict.reasons.push(format!("{measured} misses {bound}, and is surely above 1")),
        Verdict::Inconclusive => verdict.reasons.push(format!("{measured} does not settle {bound}")),
        Verdict::Holds | Verdict::Invalid => {}
    }
    verdict
}

fn invalid(check: Check, reasons: Vec<String>) -> CheckVerdict {
    CheckVerdict {
        check,
        estimate: None,
        interval: None,
        verdict: Verdict::Invalid,
        reasons,
        samples: 0,
        needed: None,
        rests_on: Vec::new(),
        method: String::new(),
    }
}

fn sentence(checks: &[CheckVerdict], base: &str, head: &str) -> String {
    let upheld = checks.iter().filter(|it| it.check.kind == Kind::Upheld);
    let Some(worst) = upheld.rev().max_by_key(|it| it.verdict) else {
        return format!("Nothing was compared of `{base}` and `{head}`.");
    };
    let (title, measured) = (&worst.check.title, figure::measured(worst));
    let reason = worst.reasons.first().map_or("", String::as_str);
    match worst.verdict {
        Verdict::Holds => format!("`{head}` is not slower than `{base}`: {title} is {measured}."),
        Verdict::Fails => format!("`{head}` is slower than `{base}`: {title} is {measured}."),
        Verdict::Inconclusive => {
            format!("Whether `{head}` is slower than `{base}` is not settled: {title} is {measured}.")
        }
        Verdict::Invalid => format!("`{head}` and `{base}` cannot be compared: {reason}."),
    }
}

#[cfg(test)]
mod tests;
