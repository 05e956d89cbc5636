//! The knee: a search for the highest rate at which a service keeps its objective.

use std::fmt;
use std::str::FromStr;

use proofload_scenarios::{Bound, Check, Kind, Metric};
use serde::{Deserialize, Serialize};

use crate::figure;
use crate::run::Measurement;
use crate::verdict::{CheckVerdict, Verdict, judge_alone};

/// An objective: a quantile of the response time, and no failed request.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Slo {
    /// 0 to 1.
    pub quantile: f64,
    pub at_most_us: f64,
}

/// Why a text is no objective.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no objective: write one like `p99 <= 5ms`")]
pub struct NoSlo(String);

/// How far the search may go.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// Arrivals per second.
    pub lowest: f64,
    pub highest: f64,
    /// How close the highest rate that holds and the lowest that does not must come: 1.05.
    pub precision: f64,
    /// Probes in all, repeated ones included.
    pub probes: usize,
}

/// One rate, tried once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Probe {
    pub rate: f64,
    /// What it says of the objective: `Invalid` where the generator could not keep up, either.
    pub verdict: Verdict,
    /// The quantile in microseconds, where it is finite.
    pub latency_us: Option<f64>,
    pub reasons: Vec<String>,
}

/// What the search came to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Knee {
    /// The objective holds at `holds_at`, shown by two probes, and fails at `not_at`.
    Found { holds_at: f64, not_at: f64 },
    /// Two probes at `unsettled_at`, the next rate above `holds_at` or the lowest of the search, settled nothing. It fails
    /// at `not_at`, further up; none where no probe failed.
    Unsettled { holds_at: Option<f64>, unsettled_at: f64, not_at: Option<f64> },
    /// It holds at the highest rate of the search: the knee lies beyond.
    Beyond { holds_at: f64 },
    /// Not even at the lowest rate.
    Nowhere { not_at: f64 },
    /// The probes were used up first; what is known so far.
    Unfinished { holds_at: Option<f64>, unsettled_at: Option<f64>, not_at: Option<f64> },
}

/// The search. Ask for the `next` rate, try it, `observe` what happened, until there is none.
///
/// It doubles or halves the rate until one holds and one does not, then halves the ratio between them.
/// Only a rate whose confidence bound meets the objective holds. One probe in twenty may hold by luck, so
/// the rate found must hold twice, and a rate that is not settled is tried once more. One that two probes did not settle
/// turns the search downwards as a failure does, but is never told as one.
#[derive(Debug, Clone)]
pub struct Search {
    limits: Limits,
    start: f64,
    curve: Vec<Probe>,
}

impl Search {
    /// # Panics
    /// If the limits are out of order, or the precision is not above one.
    pub fn new(start: f64, limits: Limits) -> Self {
        assert!(limits.lowest > 0.0 && limits.lowest <= limits.highest, "rates in order and above zero");
        assert!(limits.precision > 1.0, "a precision above one, or the search never ends");
        Self { limits, start: start.clamp(limits.lowest, limits.highest), curve: Vec::new() }
    }

    /// The rate to try next; none when the search is over.
    pub fn next(&self) -> Option<f64> {
        if self.curve.len() >= self.limits.probes || self.is_hopeless() {
            return None;
        }
        match self.curve.last() {
            None => return Some(self.start),
            Some(last) if self.is_open(last.rate) => return Some(last.rate),
            Some(_) => {}
        }
        let Limits { lowest, highest, precision, .. } = self.limits;
        match (self.holds_at(), self.limit()) {
            (None, None) => Some(self.start),
            (Some(holds), None) if holds >= highest => self.unconfirmed(holds),
            (Some(holds), None) => Some((holds * 2.0).min(highest)),
            (None, Some(not)) if not <= lowest => None,
            (None, Some(not)) => Some((not / 2.0).max(lowest)),
            (Some(holds), Some(not)) if not / holds <= precision => self.unconfirmed(holds),
            (Some(holds), Some(not)) => Some((holds * not).sqrt()),
        }
    }

    /// Whether no probe could be trusted so far: what disturbs the generator at all rates does so at lower ones.
    fn is_hopeless(&self) -> bool {
        const TRIED: usize = 6;
        self.curve.len() >= TRIED && self.curve.iter().all(|probe| probe.verdict == Verdict::Invalid)
    }

    pub fn observe(&mut self, probe: Probe) {
        self.curve.push(probe);
    }

    /// Every probe in the order in which it was made: the curve of latency against rate.
    pub fn curve(&self) -> &[Probe] {
        &self.curve
    }

    pub fn knee(&self) -> Knee {
        let (holds_at, unsettled_at, not_at) = (self.holds_at(), self.unsettled_at(), self.not_at());
        let unfinished = Knee::Unfinished { holds_at, unsettled_at, not_at };
        if self.next().is_some() || holds_at.is_some_and(|rate| self.unconfirmed(rate).is_some()) {
            return unfinished;
        }
        let Limits { lowest, highest, precision, .. } = self.limits;
        let narrow = match (holds_at, self.limit()) {
            (Some(holds), Some(limit)) => limit / holds <= precision,
            (Some(holds_at), None) if holds_at >= highest => return Knee::Beyond { holds_at },
            (None, Some(limit)) => limit <= lowest,
            _ => false,
        };
        match (holds_at, unsettled_at, not_at) {
            _ if !narrow => unfinished,
            (_, Some(unsettled_at), _) => Knee::Unsettled { holds_at, unsettled_at, not_at },
            (Some(holds_at), None, Some(not_at)) => Knee::Found { holds_at, not_at },
            (None, None, Some(not_at)) => Knee::Nowhere { not_at },
            (_, None, None) => unfinished,
        }
    }

    /// The highest rate that holds below every rate that does not: a probe that held by luck above one
    /// that failed does not count.
    fn holds_at(&self) -> Option<f64> {
        let limit = self.limit().unwrap_or(f64::INFINITY);
        let below = self.curve.iter().map(|probe| probe.rate).filter(|rate| *rate < limit);
        below.filter(|rate| self.standing(*rate) == Some(Verdict::Holds)).max_by(f64::total_cmp)
    }

    /// The lowest rate at which it was not shown to hold: it fails there, or is not settled.
    fn limit(&self) -> Option<f64> {
        self.lowest(&[Verdict::Fails, Verdict::Inconclusive])
    }

    fn not_at(&self) -> Option<f64> {
        self.lowest(&[Verdict::Fails])
    }

    /// The lowest rate that two probes did not settle, where none failed at it or below.
    fn unsettled_at(&self) -> Option<f64> {
        self.limit().filter(|limit| Some(*limit) != self.not_at())
    }

    fn lowest(&self, standings: &[Verdict]) -> Option<f64> {
        let rates = self.curve.iter().map(|probe| probe.rate);
        let standing = |rate: &f64| self.standing(*rate).is_some_and(|it| standings.contains(&it));
        rates.filter(standing).min_by(f64::total_cmp)
    }

    /// What all the probes at a rate say: one that fails outweighs those that hold, and two that settle nothing leave it
    /// inconclusive. None where it is to be tried once more.
    fn standing(&self, rate: f64) -> Option<Verdict> {
        let verdicts: Vec<Verdict> = self.at(rate).map(|probe| probe.verdict).collect();
        let unsettled = verdicts.iter().filter(|it| matches!(it, Verdict::Inconclusive | Verdict::Invalid));
        match unsettled.count() {
            _ if verdicts.contains(&Verdict::Fails) => Some(Verdict::Fails),
            0 | 1 => verdicts.contains(&Verdict::Holds).then_some(Verdict::Holds),
            _ => Some(Verdict::Inconclusive),
        }
    }

    fn is_open(&self, rate: f64) -> bool {
        self.standing(rate).is_none()
    }

    /// The rate itself while it has held but once.
    fn unconfirmed(&self, rate: f64) -> Option<f64> {
        let held = self.at(rate).filter(|probe| probe.verdict == Verdict::Holds).count();
        (held < 2).then_some(rate)
    }

    fn at(&self, rate: f64) -> impl Iterator<Item = &Probe> {
        self.curve.iter().filter(move |probe| probe.rate == rate)
    }
}

impl Slo {
    /// Judges a measurement that was made at one rate.
    pub fn probe(&self, rate: f64, measurement: &Measurement) -> Probe {
        let latency = judge_alone(&self.latency_check(measurement), measurement);
        let failed = judge_alone(&self.failure_check(measurement), measurement);
        // A failed request breaks the objective, however little its latency can be trusted.
        let (verdict, reasons) = match failed.verdict {
            Verdict::Holds => (latency.verdict, latency.reasons),
            Verdict::Fails => (Verdict::Fails, [failed.reasons, latency.reasons].concat()),
            Verdict::Inconclusive | Verdict::Invalid => (Verdict::Invalid, failed.reasons),
        };
        Probe { rate, verdict, latency_us: latency.estimate, reasons }
    }

    /// The response time alone, with its interval: for the curve.
    pub fn latency(&self, measurement: &Measurement) -> CheckVerdict {
        judge_alone(&self.latency_check(measurement), measurement)
    }

    fn latency_check(&self, measurement: &Measurement) -> Check {
        let metric = Metric::Response { quantile: self.quantile, variant: None };
        self.check(metric, Bound::AtMost(self.at_most_us), measurement)
    }

    fn failure_check(&self, measurement: &Measurement) -> Check {
        let sum = ["client.wrong", "client.timeout", "client.error", "client.dropped"].map(str::to_owned);
        let metric = Metric::Count { sum: sum.to_vec(), variant: None, part: Default::default() };
        self.check(metric, Bound::AtMost(0.0), measurement)
    }

    fn check(&self, metric: Metric, bound: Bound, measurement: &Measurement) -> Check {
        Check {
            kind: Kind::Upheld,
            title: self.to_string(),
            scenario: measurement.scenario.name.clone(),
            metric,
            bound,
            confidence: 0.95,
            agree: Vec::new(),
        }
    }
}

impl fmt::Display for Slo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = format!("{:.6}", self.quantile * 100.0);
        let percent = percent.trim_end_matches('0').trim_end_matches('.');
        write!(f, "p{percent} <= {}", figure::time_us(self.at_most_us))
    }
}

impl FromStr for Slo {
    type Err = NoSlo;

    fn from_str(text: &str) -> Result<Self, NoSlo> {
        parsed(text).ok_or_else(|| NoSlo(text.to_owned()))
    }
}

fn parsed(text: &str) -> Option<Slo> {
    let (quantile, limit) = text.split_once("<=")?;
    let percent: f64 = quantile.trim().strip_prefix('p')?.parse().ok()?;
    let limit = limit.trim();
    let (number, unit) = limit.split_at(limit.find(|it: char| it.is_alphabetic())?);
    let scale = match unit {
        "us" | "µs" => 1.0,
        "ms" => 1e3,
        "s" => 1e6,
        _ => return None,
    };
    let at_most_us = number.trim().parse::<f64>().ok()? * scale;
    let within = percent > 0.0 && percent < 100.0 && at_most_us > 0.0 && at_most_us.is_finite();
    // 99.9 / 100 is not 0.999: rounding undoes it.
    within.then_some(Slo { quantile: (percent * 1e10).round() / 1e12, at_most_us })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { lowest: 10.0, highest: 100_000.0, precision: 1.05, probes: 40 };

    fn probe(rate: f64, verdict: Verdict) -> Probe {
        Probe { rate, verdict, latency_us: None, reasons: Vec::new() }
    }

    fn search(start: f64, limits: Limits, mut verdict: impl FnMut(f64, usize) -> Verdict) -> Search {
        let mut search = Search::new(start, limits);
        while let Some(rate) = search.next() {
            let tried = search.curve().len();
            search.observe(probe(rate, verdict(rate, tried)));
        }
        search
    }

    fn up_to(knee: f64) -> impl FnMut(f64, usize) -> Verdict {
        move |rate, _| if rate <= knee { Verdict::Holds } else { Verdict::Fails }
    }

    #[test]
    fn finds_the_knee_from_below_and_from_above() {
        for (start, knee) in [(100.0, 7_777.0), (50_000.0, 7_777.0), (7_777.0, 7_777.0), (10.0, 11.0)] {
            let found = search(start, LIMITS, up_to(knee));
            let Knee::Found { holds_at, not_at } = found.knee() else { panic!("{:?}", found.knee()) };
            assert!(holds_at <= knee && knee < not_at && not_at / holds_at <= 1.05, "{holds_at} {not_at}");
            assert!(found.curve().len() < 25, "{} probes", found.curve().len());
        }
    }

    #[test]
    fn says_when_the_knee_lies_outside() {
        assert_eq!(search(100.0, LIMITS, up_to(1e9)).knee(), Knee::Beyond { holds_at: 100_000.0 });
        assert_eq!(search(100.0, LIMITS, up_to(1.0)).knee(), Knee::Nowhere { not_at: 10.0 });
    }

    #[test]
    fn what_is_not_settled_is_tried_again_and_then_told_apart_from_what_fails() {
        let verdict = |rate: f64, _| match rate {
            rate if rate <= 1_000.0 => Verdict::Holds,
            rate if rate <= 2_000.0 => Verdict::Inconclusive,
            _ => Verdict::Invalid,
        };
        let found = search(100.0, LIMITS, verdict);
        let Knee::Unsettled { holds_at: Some(holds_at), unsettled_at, not_at: None } = found.knee() else {
            panic!("{:?}", found.knee())
        };
        assert!(holds_at <= 1_000.0 && holds_at > 900.0);
        assert!(unsettled_at > 1_000.0 && unsettled_at / holds_at <= 1.05, "{unsettled_at}");
    }

    #[test]
    fn a_failure_above_what_is_not_settled_is_told_beside_it() {
        let found = search(100.0, LIMITS, |rate, _| match rate {
            rate if rate <= 1_000.0 => Verdict::Holds,
            rate if rate <= 1_500.0 => Verdict::Inconclusive,
            _ => Verdict::Fails,
        });
        let Knee::Unsettled { holds_at: Some(_), unsettled_at, not_at: Some(not_at) } = found.knee() else {
            panic!("{:?}", found.knee())
        };
        assert!(unsettled_at <= 1_500.0 && not_at > 1_500.0, "{unsettled_at} {not_at}");
        let nothing = search(100.0, LIMITS, |_, _| Verdict::Inconclusive).knee();
        assert_eq!(nothing, Knee::Unsettled { holds_at: None, unsettled_at: 10.0, not_at: None });
    }

    /// The first probe above the knee holds by luck; confirming it does not.
    #[test]
    fn luck_is_not_confirmed() {
        let mut lucky = true;
        let found = search(1_000.0, Limits { probes: 60, ..LIMITS }, |rate, _| match rate {
            rate if rate <= 1_000.0 => Verdict::Holds,
            rate if rate < 1_500.0 && std::mem::take(&mut lucky) => Verdict::Holds,
            _ => Verdict::Fails,
        });
        let Knee::Found { holds_at, .. } = found.knee() else { panic!("{:?}", found.knee()) };
        assert!(holds_at <= 1_000.0, "{holds_at}: {:?}", found.curve());
    }

    #[test]
    fn gives_up_where_no_probe_can_be_trusted() {
        let found = search(5_000.0, LIMITS, |_, _| Verdict::Invalid);
        assert_eq!(found.curve().len(), 6);
        assert!(matches!(found.knee(), Knee::Unfinished { holds_at: None, .. }), "{:?}", found.knee());
    }

    #[test]
    fn ends_when_the_probes_are_used_up() {
        let found = search(100.0, Limits { probes: 3, ..LIMITS }, up_to(7_777.0));
        assert_eq!(found.curve().len(), 3);
        assert_eq!(
            found.knee(),
            Knee::Unfinished { holds_at: Some(400.0), unsettled_at: None, not_at: None }
        );
    }

    /// A service that answers at random still ends the search.
    #[test]
    fn ends_whatever_it_observes() {
        for seed in 0..200usize {
            let verdicts = [Verdict::Holds, Verdict::Fails, Verdict::Inconclusive, Verdict::Invalid];
            let found = search(500.0, LIMITS, |rate, tried| {
                verdicts[(rate.to_bits() as usize >> 7).wrapping_mul(31).wrapping_add(tried * 7 + seed) % 4]
            });
            assert!(found.curve().len() <= LIMITS.probes);
        }
    }

    #[test]
    fn reads_objectives() {
        assert_eq!("p99 <= 5ms".parse(), Ok(Slo { quantile: 0.99, at_most_us: 5_000.0 }));
        assert_eq!("p99.9<=250 us".parse(), Ok(Slo { quantile: 0.999, at_most_us: 250.0 }));
        assert_eq!("p50 <= 1.5s".parse::<Slo>().unwrap().to_string(), "p50 <= 1.5 s");
        for wrong in
            ["", "p99", "p99 <= 5", "p100 <= 5ms", "p0 <= 5ms", "99 <= 5ms", "p99 <= -5ms", "p99 < 5ms"]
        {
            assert!(wrong.parse::<Slo>().is_err(), "{wrong}");
        }
    }
}
