//! The knee of a target: the highest rate at which it keeps an objective, found by trying rates.

use std::fmt;

use anyhow::Result;
use proofload_reports::knee::{Knee, Limits, Probe, Search, Slo};
use proofload_reports::run::{Measurement, Series};
use proofload_reports::verdict::Verdict;
use proofload_scenarios::Scenario;
use serde::Serialize;

use crate::drive::Recording;
use crate::interrupt;
use crate::live::{grouped, microseconds};
pub use crate::measure::blank;

/// Most probes that a search makes.
const PROBES: usize = 24;
/// How close the rates on both sides of the knee must come.
const PRECISION: f64 = 1.05;

/// A search that has ended.
#[derive(Debug, Serialize)]
pub struct Found {
    pub slo: String,
    /// Throughput of a closed run: where the search began, at half of it.
    pub capacity: f64,
    pub knee: Knee,
    /// The curve of latency against rate, in the order in which it was probed.
    pub curve: Vec<Probe>,
}

/// Searches between a hundredth and twice the `capacity`. `drive` loads the target with Poisson arrivals at a rate.
///
/// # Errors
/// When the target cannot be reached.
pub fn find(
    slo: Slo,
    capacity: f64,
    mut drive: impl FnMut(f64) -> Result<Measurement>,
    mut told: impl FnMut(&Probe),
) -> Result<Found> {
    let limits = Limits {
        lowest: (capacity / 100.0).max(1.0),
        highest: (capacity * 2.0).max(2.0),
        precision: PRECISION,
        probes: PROBES,
    };
    let mut search = Search::new(capacity / 2.0, limits);
    while let Some(rate) = search.next() {
        let Some(measurement) = interrupt::outlived(drive(rate))? else { break };
        let probe = slo.probe(rate, &measurement);
        told(&probe);
        search.observe(probe);
        // The target died, or the user has had enough.
        if !measurement.invalid.is_empty() || interrupt::requested() {
            break;
        }
    }
    Ok(Found { slo: slo.to_string(), capacity, knee: search.knee(), curve: search.curve().to_vec() })
}

impl Found {
    /// Whether the target set the limit. Where every probe at it is invalid, the generator did.
    pub fn trusted(&self) -> bool {
        let unsettled_at = match self.knee {
            Knee::Unsettled { unsettled_at, .. } => Some(unsettled_at),
            Knee::Unfinished { unsettled_at, .. } => unsettled_at,
            Knee::Found { .. } | Knee::Nowhere { .. } | Knee::Beyond { .. } => None,
        };
        let mut probes = self.curve.iter().filter(|probe| Some(probe.rate) == unsettled_at);
        unsettled_at.is_none() || probes.any(|probe| probe.verdict != Verdict::Invalid)
    }

    /// 0: found, between a rate that holds and one that fails, or known to lie outside; 3: not settled; 4: the generator
    /// set the limit.
    pub fn exit_code(&self) -> u8 {
        match self.knee {
            _ if !self.trusted() => 4,
            Knee::Unsettled { holds_at: Some(_), not_at: Some(_), .. } => 0,
            Knee::Unsettled { .. } | Knee::Unfinished { .. } => 3,
            Knee::Found { .. } | Knee::Beyond { .. } | Knee::Nowhere { .. } => 0,
        }
    }
}

/// What one drive found, as the statistics take it.
pub fn measurement(scenario: &Scenario, recording: Recording) -> Measurement {
    let series = Series {
        variant: "target".to_owned(),
        slices: recording.slices.iter().collect(),
        times: recording.times,
        before_measurement: recording.before_measurement,
    };
    Measurement {
        series: vec![series],
        invalid_latency: recording.invalid_latency,
        invalid: recording.ended_early.into_iter().collect(),
        ..blank(scenario)
    }
}

/// A probe in one line, while the search goes on.
pub fn line(probe: &Probe) -> String {
    let latency = probe.latency_us.map_or_else(|| "unknown".to_owned(), microseconds);
    let verdict = format!("{:?}", probe.verdict).to_lowercase();
    format!("{:>12} /s  {latency:>11}  {verdict}", grouped(probe.rate))
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "objective {}, no errors; closed throughput {} /s\n", self.slo, grouped(self.capacity))?;
        let mut curve: Vec<&Probe> = self.curve.iter().collect();
        curve.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        writeln!(f, "  {:>12}  {:>11}  verdict", "rate /s", "latency")?;
        for probe in curve {
            let latency = probe.latency_us.map_or_else(|| "–".to_owned(), microseconds);
            let verdict = format!("{:?}", probe.verdict).to_lowercase();
            let reason = probe.reasons.first().map_or_else(String::new, |reason| format!(": {reason}"));
            writeln!(f, "  {:>12}  {latency:>11}  {verdict}{reason}", grouped(probe.rate))?;
        }
        writeln!(f)?;
        if !self.trusted() {
            return writeln!(
                f,
                "INVALID: the generator gave out before the target did, or was disturbed; the knee may lie higher"
            );
        }
        writeln!(f, "knee: {}", told(&self.knee))
    }
}

/// The knee in one line.
fn told(knee: &Knee) -> String {
    let at = |rate: f64| format!("{} /s", grouped(rate));
    match *knee {
        Knee::Found { holds_at, not_at } => format!("holds at {}, not at {}", at(holds_at), at(not_at)),
        Knee::Unsettled { holds_at, unsettled_at, not_at } => {
            let holds =
                holds_at.map_or_else(|| "shown nowhere".to_owned(), |rate| format!("holds at {}", at(rate)));
            let fails = not_at.map_or_else(String::new, |rate| format!(", fails at {}", at(rate)));
            format!("{holds}; not settled from {} on{fails}: measure longer", at(unsettled_at))
        }
        Knee::Beyond { holds_at } => format!("beyond {}, twice the closed throughput", at(holds_at)),
        Knee::Nowhere { not_at } => format!("the objective is not kept even at {}", at(not_at)),
        Knee::Unfinished { holds_at, unsettled_at, not_at } => {
            let rate = |rate: Option<f64>| rate.map_or_else(|| "unknown".to_owned(), at);
            let unsettled =
                unsettled_at.map_or_else(String::new, |rate| format!(", not settled at {}", at(rate)));
            let (holds, not) = (rate(holds_at), rate(not_at));
            format!("not settled within {PROBES} probes; holds at {holds}{unsettled}, not at {not}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a search finds where the objective holds up to 1,000 /s, and a rate above says what `above` says of it.
    fn found(above: impl Fn(f64) -> Verdict) -> Found {
        let limits = Limits { lowest: 10.0, highest: 10_000.0, precision: PRECISION, probes: 40 };
        let mut search = Search::new(500.0, limits);
        while let Some(rate) = search.next() {
            let verdict = if rate <= 1_000.0 { Verdict::Holds } else { above(rate) };
            search.observe(Probe { rate, verdict, latency_us: None, reasons: Vec::new() });
        }
        Found {
            slo: "p99 <= 5 ms".to_owned(),
            capacity: 5_000.0,
            knee: search.knee(),
            curve: search.curve().to_vec(),
        }
    }

    #[test]
    fn a_rate_that_is_not_settled_is_not_told_as_one_that_fails() {
        let unsettled = found(|_| Verdict::Inconclusive);
        let said = unsettled.to_string();
        assert!(said.contains("not settled from") && said.contains("measure longer"), "{said}");
        assert!(!said.contains("not at") && !said.contains("fails"), "no probe failed: {said}");
        assert_eq!(unsettled.exit_code(), 3);
        let json = serde_json::to_value(&unsettled).unwrap();
        assert!(json["knee"]["unsettled"]["unsettled_at"].is_f64(), "{json}");
        assert!(json["knee"]["unsettled"]["not_at"].is_null(), "{json}");
    }

    #[test]
    fn exit_codes_tell_what_set_the_limit() {
        let fails = found(|_| Verdict::Fails);
        assert!(fails.to_string().contains("not at"), "{fails}");
        assert_eq!(fails.exit_code(), 0);
        let between = found(|rate| if rate < 1_500.0 { Verdict::Inconclusive } else { Verdict::Fails });
        let said = between.to_string();
        assert!(said.contains("fails at") && said.contains("not settled from"), "{said}");
        assert_eq!(between.exit_code(), 0);
        assert_eq!(found(|_| Verdict::Invalid).exit_code(), 4);
    }
}
