//! A recording: all that a drive counted and timed.

use std::collections::BTreeMap;

use proofload_reports::Distribution;

use super::slices::Slices;
use crate::spool::Spools;

/// What a drive counted and timed.
#[derive(Debug)]
pub struct Recording {
    /// The slices of the measurement. The last one lasts until the last answer.
    pub slices: Slices,
    /// How long arrivals came, in seconds: without the wait for the last answers.
    pub scheduled_s: f64,
    /// The measurement's merged times by name, as `reports::run::Series` names them.
    pub times: BTreeMap<String, Distribution>,
    /// What was counted in the warm-up.
    pub before_measurement: BTreeMap<String, u64>,
    /// The numbers of creates that were acknowledged, in the warm-up too, and their codes. They asked for
    /// `url_of(seed, number)`.
    pub created: Spools,
    /// Those of the created that were deleted again, or may have been.
    pub deleted: Spools,
    /// The numbers of creates that may or may not be stored: no answer came, or a wrong one.
    pub indeterminate: Spools,
    /// The first wrong answers and failures in words, those of the warm-up too, with how many were alike.
    pub samples: Vec<String>,
    /// Why the latencies cannot be trusted.
    pub invalid_latency: Vec<String>,
    /// Why the drive ended before its time.
    pub ended_early: Option<String>,
    /// Index of the first operation of the workload that was not used, so that a next drive can go on there.
    pub next_operation: u64,
}

impl Recording {
    /// Sum of a counter over the measurement.
    pub fn total(&self, counter: &str) -> u64 {
        self.slices.total(counter)
    }

    /// How long the measurement lasted, with the wait for the last answers.
    pub fn duration_s(&self) -> f64 {
        self.slices.duration_s()
    }

    /// Right answers per second.
    pub fn throughput(&self) -> f64 {
        let duration = self.duration_s();
        if duration > 0.0 { self.total("client.ok") as f64 / duration } else { 0.0 }
    }
}
