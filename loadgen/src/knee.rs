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
        let not_at = match self.knee {
            Knee::Found { not_at, .. } | Knee::Nowhere { not_at } => Some(not_at),
            Knee::Unfinished { not_at, .. } => not_at,
            Knee::Beyond { .. } => None,
        };
        let mut probes = self.curve.iter().filter(|probe| Some(probe.rate) == not_at);
        not_at.is_none() || probes.any(|probe| probe.verdict != Verdict::Invalid)
    }

    /// 0: found, or known to lie outside; 3: not settled; 4: the generator set the limit.
    pub fn exit_code(&self) -> u8 {
        match self.knee {
            _ if !self.trusted() => 4,
            Knee::Unfinished { .. } => 3,
            _ => 0,
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
        match self.knee {
            Knee::Found { holds_at, not_at } => {
                writeln!(f, "knee: holds at {} /s, not at {} /s", grouped(holds_at), grouped(not_at))
            }
            Knee::Beyond { holds_at } => {
                writeln!(f, "knee: beyond {} /s, twice the closed throughput", grouped(holds_at))
            }
            Knee::Nowhere { not_at } => {
                writeln!(f, "knee: the objective is not kept even at {} /s", grouped(not_at))
            }
            Knee::Unfinished { holds_at, not_at } => {
                let rate = |rate: Option<f64>| rate.map_or_else(|| "unknown".to_owned(), grouped);
                let (holds, not) = (rate(holds_at), rate(not_at));
                writeln!(f, "knee: not settled within {PROBES} probes; holds at {holds}, not at {not}")
            }
        }
    }
}
