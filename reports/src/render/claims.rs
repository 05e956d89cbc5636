//! A claim in one row, as it is read in ten seconds: by the check that decides it.

use proofload_scenarios::{Kind, Metric};

use crate::render::{figure, rests, table};
use crate::verdict::{CheckVerdict, ClaimVerdict, Verdict};

/// What a table tells of a claim.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    pub id: String,
    /// What the deciding check is called.
    pub title: String,
    pub verdict: Verdict,
    /// Whether the bound is one that this project upholds, or only a published one.
    pub upheld: bool,
    pub measured: String,
    pub bound: String,
    /// Why it does not hold.
    pub why: String,
    /// How many bounds decide beside this one.
    pub beside: usize,
    /// What became of the published bounds, where others decide.
    pub stated: Option<Verdict>,
    pub rests_on: String,
}

pub fn rows(verdicts: &[ClaimVerdict]) -> Vec<Row> {
    verdicts.iter().filter_map(row).collect()
}

fn row(claim: &ClaimVerdict) -> Option<Row> {
    let kind = if claim.upheld.is_some() { Kind::Upheld } else { Kind::Stated };
    let check = deciding(claim, kind)?;
    Some(Row {
        id: claim.claim.id.clone(),
        title: check.check.title.clone(),
        verdict: check.verdict,
        upheld: kind == Kind::Upheld,
        measured: figure::measured(check),
        bound: figure::bound(&check.check),
        why: why(check),
        beside: claim.checks.iter().filter(|it| it.check.kind == kind).count() - 1,
        stated: claim.stated.filter(|_| kind == Kind::Upheld),
        rests_on: rests::in_short(check),
    })
}

/// The first reason why a check does not hold; that a value misses its bound stands beside it already.
pub fn why(check: &CheckVerdict) -> String {
    let said = format!("{} misses {}", figure::measured(check), figure::bound(&check.check));
    let first = check.reasons.iter().find(|reason| **reason != said);
    first.filter(|_| check.verdict != Verdict::Holds).cloned().unwrap_or_default()
}

/// How the value was found, as far as there is something to say: an invalid check has none, and what is counted or computed
/// is no sample.
pub fn method(check: &CheckVerdict) -> String {
    let single = matches!(check.check.metric, Metric::Count { .. } | Metric::Fact { .. });
    if single || check.method.is_empty() {
        return check.method.clone();
    }
    let samples = figure::grouped(check.samples as f64);
    let plural = if check.samples == 1 { "" } else { "s" };
    format!("{}; {samples} effective sample{plural}; confidence {}", check.method, check.check.confidence)
}

/// The first of those with the worst verdict: it is the claim's.
fn deciding(claim: &ClaimVerdict, kind: Kind) -> Option<&CheckVerdict> {
    let checks = || claim.checks.iter().filter(|it| it.check.kind == kind);
    let worst = checks().map(|it| it.verdict).max()?;
    checks().find(|it| it.verdict == worst)
}

impl Row {
    /// `✓ holds`, `✗ fails`, or `–` where others do not decide.
    pub fn stated(&self) -> String {
        self.stated.map_or("–".to_owned(), told)
    }

    /// `✓ holds`.
    pub fn told(&self) -> String {
        told(self.verdict)
    }

    /// `all 3 hold`, where several bounds decide.
    pub fn beside(&self) -> String {
        match (self.beside, self.verdict) {
            (0, _) => String::new(),
            (1, Verdict::Holds) => "so does the other bound".to_owned(),
            (n, Verdict::Holds) => format!("so do {n} other bounds"),
            (n, _) => format!("the worst of {} bounds", n + 1),
        }
    }
}

fn told(verdict: Verdict) -> String {
    format!("{} {verdict}", table::mark(verdict))
}
