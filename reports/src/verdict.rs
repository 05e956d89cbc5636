//! A verdict: what the evidence of a run says about each bound of a claim.

mod measure;
mod sentence;
mod times;
mod validity;
mod versus;
mod words;

use std::fmt;

use proofload_scenarios::{Bound, Check, Claim, Kind};
use serde::{Deserialize, Serialize};

use crate::figure;
use crate::gate;
use crate::run::{Measurement, Model, Run};
use measure::Measured;

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

/// A confidence interval whose ends are the one-sided bounds that decide, so that what is shown and
/// what was decided cannot contradict each other: one-sided 0.95 each makes an interval of 0.90.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub low: f64,
    /// Infinite where the data give no upper bound; `null` in JSON.
    #[serde(with = "infinite_as_null")]
    pub high: f64,
    /// Confidence of the interval as a whole: 0.90.
    pub confidence: f64,
}

/// One check, judged, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CheckVerdict {
    pub check: Check,
    /// The metric's point value: a share (0 to 1), a ratio, a count, microseconds; none where it is
    /// invalid or infinite.
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
    match run.verb.as_str() {
        gate::VERB => gate::judge(run),
        _ => run.claims.iter().map(|claim| judge(claim, run)).collect(),
    }
}

/// Judges one claim by what the run measured. Pure: the same run gives the same verdict.
pub fn judge(claim: &Claim, run: &Run) -> ClaimVerdict {
    let checks: Vec<_> = claim.checks.iter().map(|check| judge_check(check, run)).collect();
    let sentence = sentence::sentence(claim, &checks, run);
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
/// Only upheld checks decide. A run without claims is judged by whether its numbers can be trusted. An
/// open one was made for its latencies, so they count; a closed one may well be made to saturate.
pub fn exit_code(run: &Run, verdicts: &[ClaimVerdict]) -> u8 {
    if !run.invalid.is_empty() || untrusted(run, verdicts).next().is_some() {
        return 4;
    }
    match verdicts.iter().filter_map(|it| it.upheld).max() {
        Some(Verdict::Invalid) => 4,
        Some(Verdict::Fails) => 1,
        Some(Verdict::Inconclusive) => 3,
        Some(Verdict::Holds) | None => 0,
    }
}

/// What makes the exit code 4, in one line: the run as a whole, a measurement, or a check of a claim that decides.
pub fn why_invalid(run: &Run, verdicts: &[ClaimVerdict]) -> Option<String> {
    if exit_code(run, verdicts) != 4 {
        return None;
    }
    if let Some(reason) = run.invalid.first() {
        return Some(format!("the run cannot be trusted: {reason}"));
    }
    let measured = untrusted(run, verdicts).map(|it| {
        let reason = it.invalid.iter().chain(&it.invalid_latency).next();
        (format!("the measurement `{}` cannot be trusted", it.scenario.name), reason)
    });
    let judged = verdicts.iter().flat_map(|claim| claim.checks.iter().map(move |check| (claim, check)));
    let judged = judged
        .filter(|(_, it)| it.check.kind == Kind::Upheld && it.verdict == Verdict::Invalid)
        .map(|(claim, it)| {
            let (id, title, scenario) = (&claim.claim.id, &it.check.title, &it.check.scenario);
            (format!("{id}, “{title}”, measured by `{scenario}`, is invalid"), it.reasons.first())
        });
    let mut found = measured.chain(judged);
    let (what, reason) = found.next()?;
    let others = match found.count() {
        0 => String::new(),
        n => format!(" (and {n} more: see the report)"),
    };
    Some(format!("{what}: {}{others}", reason.map_or("the evidence is missing", String::as_str)))
}

/// The measurements that make a run invalid, whatever its claims say.
pub(crate) fn untrusted<'a>(
    run: &'a Run,
    verdicts: &[ClaimVerdict],
) -> impl Iterator<Item = &'a Measurement> + use<'a> {
    let adhoc = verdicts.is_empty();
    run.measurements.iter().filter(move |it| {
        !it.invalid.is_empty() || (adhoc && it.model == Model::Open && !it.invalid_latency.is_empty())
    })
}

/// Judges one check by one measurement, whatever its scenario is called.
pub fn judge_alone(check: &Check, measurement: &Measurement) -> CheckVerdict {
    judge_measurement(check, measurement, &[])
}

fn judge_check(check: &Check, run: &Run) -> CheckVerdict {
    match validity::measurement(check, run) {
        Ok(measurement) => judge_measurement(check, measurement, &run.invalid),
        Err(reason) => invalid(check, None, [run.invalid.clone(), vec![reason]].concat()),
    }
}

/// `untrusted` is what speaks against the run as a whole.
fn judge_measurement(check: &Check, measurement: &Measurement, untrusted: &[String]) -> CheckVerdict {
    let series = match validity::series(check, measurement) {
        Ok(series) => series,
        Err(reason) => {
            let reasons = [untrusted, &measurement.invalid, &[reason]].concat();
            return invalid(check, Some(measurement), reasons);
        }
    };
    let objections = validity::objections(check, untrusted, measurement, &series);
    if !objections.is_empty() {
        return invalid(check, Some(measurement), objections);
    }
    match measure::measure(check, measurement, &series) {
        Ok(measured) => decided(check, measurement, measured),
        Err(reason) => invalid(check, Some(measurement), vec![reason]),
    }
}

fn invalid(check: &Check, measurement: Option<&Measurement>, mut reasons: Vec<String>) -> CheckVerdict {
    let mut seen = std::collections::BTreeSet::new();
    reasons.retain(|reason| seen.insert(reason.clone()));
    CheckVerdict {
        check: check.clone(),
        estimate: None,
        interval: None,
        verdict: Verdict::Invalid,
        reasons,
        samples: 0,
        needed: None,
        rests_on: measurement.map(|it| validity::rests_on(check, it)).unwrap_or_default(),
        method: String::new(),
    }
}

/// A bound is met only when the confidence bound meets it, and failed only when the opposite one does.
fn decided(check: &Check, measurement: &Measurement, measured: Measured) -> CheckVerdict {
    let Measured { estimate, needed, doubts, notes } = measured;
    let verdict = match doubts.is_empty() {
        true => decide(check.bound, estimate.low, estimate.high),
        false => Verdict::Inconclusive,
    };
    let confidence = 2.0 * check.confidence - 1.0;
    let mut verdict = CheckVerdict {
        check: check.clone(),
        estimate: Some(estimate.value).filter(|it| it.is_finite()),
        interval: Some(Interval { low: estimate.low, high: estimate.high, confidence }),
        verdict,
        reasons: Vec::new(),
        samples: estimate.samples as u64,
        needed: needed.filter(|_| verdict == Verdict::Inconclusive && doubts.is_empty()),
        rests_on: validity::rests_on(check, measurement),
        method: estimate.method,
    };
    verdict.reasons = [doubts.clone(), why(&verdict, doubts.is_empty()), notes].concat();
    verdict
}

fn decide(bound: Bound, low: f64, high: f64) -> Verdict {
    match bound {
        _ if low.is_nan() || high.is_nan() => Verdict::Inconclusive,
        Bound::AtLeast(bound) if low >= bound => Verdict::Holds,
        Bound::AtLeast(bound) if high < bound => Verdict::Fails,
        Bound::AtMost(bound) if high <= bound => Verdict::Holds,
        Bound::AtMost(bound) if low > bound => Verdict::Fails,
        Bound::AtLeast(_) | Bound::AtMost(_) => Verdict::Inconclusive,
    }
}

/// Why a verdict is not `Holds`, in words; `conclusive` where only the bounds stand in the way.
fn why(verdict: &CheckVerdict, conclusive: bool) -> Vec<String> {
    let bound = figure::bound(&verdict.check);
    let measured = figure::measured(verdict);
    match verdict.verdict {
        Verdict::Fails => vec![format!("{measured} misses {bound}")],
        Verdict::Inconclusive if conclusive => {
            let samples = figure::count(verdict.samples);
            let needed = verdict.needed.map(figure::count);
            let enough = needed.map_or_else(String::new, |needed| format!(", about {needed} should"));
            vec![format!(
                "{measured} does not settle {bound}: {samples} effective samples do not suffice{enough}"
            )]
        }
        Verdict::Holds | Verdict::Inconclusive | Verdict::Invalid => Vec::new(),
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

mod infinite_as_null {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}
