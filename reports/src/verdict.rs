//! A verdict: what the evidence of a run says about each bound of a claim.

use std::fmt;

use proofload_scenarios::{Check, Claim, Kind};
use serde::{Deserialize, Serialize};

use crate::run::Run;

/// What the evidence says about a bound.
///
/// In the order in which the worst of several is picked: the last is the worst.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The confidence bound lies on the right side.
    Holds,
    /// The evidence does not suffice either way.
    Inconclusive,
    /// The opposite confidence bound lies on the wrong side.
    Fails,
    /// The measurement cannot be trusted, or lacks what the check asks for.
    Invalid,
}

/// A two-sided confidence interval, for display. The decision uses one-sided bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
    /// Confidence of the interval as a whole: 0.95.
    pub confidence: f64,
}

/// One check, judged, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckVerdict {
    pub check: Check,
    /// The metric's point value: a share (0 to 1), a ratio, a count, microseconds; none if invalid.
    pub estimate: Option<f64>,
    pub interval: Option<Interval>,
    pub verdict: Verdict,
    /// Why it is not `Holds`; also what qualifies a verdict that holds.
    pub reasons: Vec<String>,
    /// Effective samples: observations, reduced where neighbours tell the same.
    pub samples: u64,
    /// Effective samples that would suffice, where they did not.
    pub needed: Option<u64>,
    /// What each counter rests on: `server.lookups_process: self-reported (the server's /metrics)`.
    pub rests_on: Vec<String>,
    /// How the interval was made: `moving-block bootstrap over 48 slices, 10,000 resamples`.
    pub method: String,
}

/// A claim, judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimVerdict {
    pub claim: Claim,
    /// The worst of the checks of the published bound; none if there is no such check.
    pub stated: Option<Verdict>,
    /// The worst of the checks that decide the exit code.
    pub upheld: Option<Verdict>,
    pub checks: Vec<CheckVerdict>,
    /// What a person would say aloud.
    pub sentence: String,
}

/// Judges every claim of the run.
pub fn judge_all(run: &Run) -> Vec<ClaimVerdict> {
    run.claims.iter().map(|claim| judge(claim, run)).collect()
}

/// Judges one claim by what the run measured. Pure: the same run gives the same verdict.
pub fn judge(claim: &Claim, run: &Run) -> ClaimVerdict {
    let checks: Vec<_> = claim.checks.iter().map(|check| judge_check(check, run)).collect();
    let sentence = String::new();
    ClaimVerdict {
        claim: claim.clone(),
        stated: worst(&checks, Kind::Stated),
        upheld: worst(&checks, Kind::Upheld),
        checks,
        sentence,
    }
}

/// The exit code: 4 invalid, 1 fails, 3 inconclusive, 0 holds; the first of these that occurs.
///
/// Only upheld checks decide. A run without claims is judged by whether its numbers can be trusted,
/// its latencies included: it was made for them.
pub fn exit_code(run: &Run, verdicts: &[ClaimVerdict]) -> u8 {
    let latency_matters = verdicts.is_empty();
    let untrusted = !run.invalid.is_empty()
        || run
            .measurements
            .iter()
            .any(|it| !it.invalid.is_empty() || (latency_matters && !it.invalid_latency.is_empty()));
    let worst = verdicts.iter().filter_map(|it| it.upheld).max();
    match worst {
        _ if untrusted => 4,
        Some(Verdict::Invalid) => 4,
        Some(Verdict::Fails) => 1,
        Some(Verdict::Inconclusive) => 3,
        Some(Verdict::Holds) | None => 0,
    }
}

fn judge_check(check: &Check, _run: &Run) -> CheckVerdict {
    CheckVerdict {
        check: check.clone(),
        estimate: None,
        interval: None,
        verdict: Verdict::Invalid,
        reasons: vec!["this metric cannot be judged".to_owned()],
        samples: 0,
        needed: None,
        rests_on: Vec::new(),
        method: String::new(),
    }
}

fn worst(checks: &[CheckVerdict], kind: Kind) -> Option<Verdict> {
    checks.iter().filter(|it| it.check.kind == kind).map(|it| it.verdict).max()
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Verdict::Holds => "holds",
            Verdict::Inconclusive => "inconclusive",
            Verdict::Fails => "fails",
            Verdict::Invalid => "invalid",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
