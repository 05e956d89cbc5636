//! Counts: what happened how often.

use crate::exchange::Failure;

/// No status has more than three digits.
const STATUSES: usize = 1_000;

/// Plain counts of events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub ok: u64,
    pub created: u64,
    pub wrong: u64,
    pub dropped: u64,
    /// Arrivals of an open run that found all connections busy, and waited for one or were dropped.
    pub queued: u64,
    /// By `Failure::ALL`.
    pub failed: [u64; Failure::ALL.len()],
    pub connects: u64,
    pub bytes: u64,
    /// Right answers by kind of operation.
    pub ok_by_kind: Vec<u64>,
    /// Answers by status.
    pub statuses: Vec<u64>,
    pub generator_cpu_us: u64,
    /// Time a worker was ready to run but another thread had its core.
    pub generator_wait_us: u64,
    /// Sum of `sent − due` of the requests that the slice's latencies hold, in an open run.
    pub send_delay_ns: u64,
    /// Arrivals of an open run, and the sum of how late the pacer noticed them: its own error, whatever the server does.
    pub arrivals: u64,
    pub lag_ns: u64,
}

impl Counts {
    pub(super) fn new(kinds: usize) -> Self {
        Self { ok_by_kind: vec![0; kinds], statuses: vec![0; STATUSES], ..Self::default() }
    }

    pub fn add(&mut self, other: &Counts) {
        self.sent += other.sent;
        self.ok += other.ok;
        self.created += other.created;
        self.wrong += other.wrong;
        self.dropped += other.dropped;
        self.queued += other.queued;
        self.connects += other.connects;
        self.bytes += other.bytes;
        self.generator_cpu_us += other.generator_cpu_us;
        self.generator_wait_us += other.generator_wait_us;
        self.send_delay_ns += other.send_delay_ns;
        self.arrivals += other.arrivals;
        self.lag_ns += other.lag_ns;
        self.ok_by_kind.resize(self.ok_by_kind.len().max(other.ok_by_kind.len()), 0);
        self.statuses.resize(STATUSES, 0);
        add_each(&mut self.failed, &other.failed);
        add_each(&mut self.ok_by_kind, &other.ok_by_kind);
        add_each(&mut self.statuses, &other.statuses);
    }

    /// What the target failed to answer; what the end of the run cut off is not its failure.
    pub fn failures(&self) -> u64 {
        self.failed.iter().sum::<u64>() - self.unfinished()
    }

    pub fn unfinished(&self) -> u64 {
        self.failed[Failure::Unfinished as usize]
    }

    pub fn timeouts(&self) -> u64 {
        self.failed[Failure::Timeout as usize]
    }
}

fn add_each(to: &mut [u64], from: &[u64]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to += from;
    }
}
