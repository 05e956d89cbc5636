//! A recording: all that a drive counted and timed.

use std::collections::BTreeMap;

use proofload_reports::Distribution;

use super::slices::Slices;

/// What a drive counted and timed.
#[derive(Debug)]
pub struct Recording {
    /// The slices of the measurement. The last one lasts until the last answer.
    pub slices: Slices,
    /// The measurement's merged times by name, as `reports::run::Series` names them.
    pub times: BTreeMap<String, Distribution>,
    /// What was counted in the warm-up.
    pub before_measurement: BTreeMap<String, u64>,
    /// Creates that were acknowledged, in the warm-up too.
    pub created: Created,
    /// Numbers of creates that may or may not be stored: no answer came, or a wrong one.
    pub indeterminate: Vec<u64>,
    /// The first wrong answers and failures in words.
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

/// Acknowledged creates, compactly: twenty bytes each.
#[derive(Debug, Clone, Default)]
pub struct Created {
    codes: String,
    ends: Vec<u32>,
    sequences: Vec<u64>,
}

impl Created {
    pub(super) fn push(&mut self, code: &str, sequence: u64) {
        self.codes.push_str(code);
        self.ends.push(u32::try_from(self.codes.len()).expect("all codes of a drive fit into 4 GB"));
        self.sequences.push(sequence);
    }

    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The code that was acknowledged, and the number of the create: it asked for `url_of(seed, number)`.
    pub fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        let mut start = 0;
        self.ends.iter().zip(&self.sequences).map(move |(&end, &sequence)| {
            let code = &self.codes[start..end as usize];
            start = end as usize;
            (code, sequence)
        })
    }

    pub(super) fn append(&mut self, other: &Created) {
        for (code, sequence) in other.iter() {
            self.push(code, sequence);
        }
    }
}
