//! The collector: joins the workers' slices and tells the caller when each has ended.

use std::collections::BTreeMap;
use std::io;
use std::sync::mpsc::Receiver;

use hdrhistogram::Histogram;
use proofload_reports::run::Slice;
use proofload_reports::{Distribution, Packed};

use super::recording::Recording;
use super::slices::Slices;
use super::surprises::Surprises;
use super::trust::{self, Symptoms};
use super::worker::WorkerResult;
use super::{Drive, DriveError, Mutation};
use crate::cores;
use crate::exchange::Failure;
use crate::record::{Counts, Timeline, Times, WorkerSlice, add, histogram};
use crate::spool::Spools;

/// A moment between two slices.
pub struct Boundary<'a> {
    /// 0: the measurement begins; k: its k-th slice has ended.
    pub index: usize,
    /// What was counted in the slice that ended, or in the warm-up. Who watches may enter its own counters.
    pub slice: &'a mut Slice,
    /// What was counted since the measurement began.
    pub totals: &'a Totals,
}

/// Totals of the measurement so far.
#[derive(Debug, Clone)]
pub struct Totals {
    pub counts: Counts,
    /// Response times in an open run, service times in a closed one.
    pub latency: Histogram<u64>,
}

/// A slice of which not all workers' parts are here yet.
struct Partial {
    parts: usize,
    at: u64,
    counts: Counts,
    latency: Histogram<u64>,
}

pub struct Collector {
    workers: usize,
    kinds: Vec<String>,
    timeline: Timeline,
    partial: BTreeMap<usize, Partial>,
    totals: Totals,
    before: BTreeMap<String, u64>,
    slices: Slices,
    /// Why no more slices are kept.
    broken: Option<io::Error>,
    previous_at: u64,
    stolen_us: u64,
}

impl Collector {
    /// # Errors
    /// When there is no room for temporary files.
    pub fn new(workers: usize, kinds: &[String], timeline: Timeline) -> io::Result<Self> {
        Ok(Self {
            workers,
            kinds: kinds.to_vec(),
            timeline,
            partial: BTreeMap::new(),
            totals: Totals { counts: Counts::default(), latency: histogram() },
            before: BTreeMap::new(),
            slices: Slices::new()?,
            broken: None,
            previous_at: timeline.start,
            stolen_us: cores::stolen().as_micros() as u64,
        })
    }

    /// Joins slices until the last worker has hung up.
    pub fn follow(&mut self, slices: Receiver<WorkerSlice>, observe: &mut dyn FnMut(&mut Boundary<'_>)) {
        for part in slices {
            let boundary = part.boundary;
            if self.join(part) == self.workers {
                self.close(boundary, observe);
            }
        }
        // A drive that ended early may leave slices that not every worker has begun.
        while let Some(&boundary) = self.partial.keys().next() {
            self.close(boundary, observe);
        }
    }

    fn join(&mut self, part: WorkerSlice) -> usize {
        let partial = self.partial.entry(part.boundary).or_insert_with(|| Partial {
            parts: 0,
            at: 0,
            counts: Counts::default(),
            latency: histogram(),
        });
        partial.parts += 1;
        partial.at = partial.at.max(part.at);
        partial.counts.add(&part.counts);
        add(&mut partial.latency, &part.latency);
        partial.parts
    }

    fn close(&mut self, boundary: usize, observe: &mut dyn FnMut(&mut Boundary<'_>)) {
        let Some(partial) = self.partial.remove(&boundary) else { return };
        let stolen_us = cores::stolen().as_micros() as u64;
        let mut counters = counters(&partial.counts, &self.kinds);
        counters.insert("machine.steal_us".to_owned(), stolen_us.saturating_sub(self.stolen_us));
        self.stolen_us = stolen_us;
        let latency = Distribution(partial.latency);
        let mut slice = Slice {
            start_s: seconds(self.previous_at.saturating_sub(self.timeline.measured)),
            duration_s: seconds(partial.at.saturating_sub(self.previous_at)),
            block: 0,
            counters,
            latency: Packed::of(&latency),
        };
        self.previous_at = partial.at;
        if boundary > 0 {
            self.totals.counts.add(&partial.counts);
            add(&mut self.totals.latency, &latency.0);
        }
        observe(&mut Boundary { index: boundary, slice: &mut slice, totals: &self.totals });
        if boundary == 0 {
            self.before = slice.counters;
        } else if self.broken.is_none() {
            self.broken = self.slices.push(&slice).err();
        }
    }

    /// # Errors
    /// When there was no room for the slices.
    pub fn conclude(self, drive: &Drive, results: Vec<WorkerResult>) -> Result<Recording, DriveError> {
        if let Some(error) = self.broken {
            return Err(DriveError::of_file(error));
        }
        let mut times = Times::new(self.kinds.len());
        let [mut created, mut deleted, mut indeterminate] = [const { Spools::none() }; 3];
        let mut samples = Surprises::default();
        let (mut ended_early, mut next_operation, mut until) = (None, 0, None);
        for result in results {
            times.merge(&result.times);
            created.add(result.created).map_err(DriveError::of_file)?;
            deleted.add(result.deleted).map_err(DriveError::of_file)?;
            indeterminate.add(result.indeterminate).map_err(DriveError::of_file)?;
            samples.merge(result.samples);
            ended_early = ended_early.or(result.ended_early);
            next_operation = next_operation.max(result.next_operation);
            until = until.max(result.scheduled_until);
        }
        let symptoms = Symptoms::of(drive, &self.totals, &times, &self.slices);
        let invalid_latency = trust::reasons(&symptoms);
        let latency = match drive.mutation {
            Mutation::AveragePercentiles => averaged(&self.slices),
            _ => self.totals.latency,
        };
        Ok(Recording {
            scheduled_s: match until {
                Some(until) => seconds(until.saturating_sub(self.timeline.measured)),
                None => self.slices.duration_s().min(drive.measurement.as_secs_f64()),
            },
            slices: self.slices,
            times: named(times, latency, &self.kinds, drive.load.is_open()),
            before_measurement: self.before,
            created,
            deleted,
            indeterminate,
            samples: samples.told(),
            invalid_latency,
            ended_early,
            next_operation,
        })
    }
}

fn counters(counts: &Counts, kinds: &[String]) -> BTreeMap<String, u64> {
    let timeouts = counts.timeouts();
    let mut counters = BTreeMap::from(
        [
            ("client.sent", counts.sent),
            ("client.ok", counts.ok),
            ("client.created", counts.created),
            ("client.wrong", counts.wrong),
            ("client.timeout", timeouts),
            ("client.error", counts.failures() - timeouts),
            ("client.dropped", counts.dropped),
            ("client.connects", counts.connects),
            ("client.bytes", counts.bytes),
            ("cpu.generator_us", counts.generator_cpu_us),
            ("cpu.generator_wait_us", counts.generator_wait_us),
        ]
        .map(|(name, count)| (name.to_owned(), count)),
    );
    if counts.send_delay_ns > 0 {
        counters.insert("client.send_delay_us".to_owned(), counts.send_delay_ns / 1_000);
    }
    if counts.arrivals > 0 {
        counters.insert("client.arrivals".to_owned(), counts.arrivals);
        counters.insert("client.lag_us".to_owned(), counts.lag_ns / 1_000);
        counters.insert("client.queued".to_owned(), counts.queued);
    }
    for failure in Failure::ALL.into_iter().filter(|failure| *failure != Failure::Timeout) {
        let count = counts.failed[failure as usize];
        if count > 0 {
            counters.insert(format!("client.{}", failure.name()), count);
        }
    }
    for (kind, ok) in kinds.iter().zip(&counts.ok_by_kind) {
        counters.insert(format!("client.ok/{kind}"), *ok);
    }
    for (status, count) in counts.statuses.iter().enumerate().filter(|(_, count)| **count > 0) {
        counters.insert(format!("client.status/{status}"), *count);
    }
    counters
}

/// What nobody should do, for [`Mutation::AveragePercentiles`].
fn averaged(slices: &Slices) -> Histogram<u64> {
    const QUANTILES: u64 = 1_000;
    let mut averaged = histogram();
    for n in 1..=QUANTILES {
        let of_slice = |slice: Slice| slice.latency.unpack().0.value_at_quantile(n as f64 / QUANTILES as f64);
        averaged.saturating_record(slices.iter().map(of_slice).sum::<u64>() / slices.len() as u64);
    }
    averaged
}

fn named(
    times: Times,
    latency: Histogram<u64>,
    kinds: &[String],
    open: bool,
) -> BTreeMap<String, Distribution> {
    let mut service = histogram();
    let mut named = BTreeMap::new();
    for (kind, histogram) in kinds.iter().zip(times.service) {
        add(&mut service, &histogram);
        if !histogram.is_empty() {
            named.insert(format!("service/{kind}"), histogram);
        }
    }
    named.insert("service".to_owned(), service);
    named.insert("written".to_owned(), times.written);
    named.insert("first-byte".to_owned(), times.first_byte);
    named.insert("connect".to_owned(), times.connect);
    if open {
        named.insert("response".to_owned(), latency);
        named.insert("ready".to_owned(), times.ready);
        named.insert("send-delay".to_owned(), times.send_delay);
        named.insert(proofload_reports::lag::NAME.to_owned(), times.lag);
    }
    named.into_iter().map(|(name, histogram)| (name, Distribution(histogram))).collect()
}

fn seconds(nanoseconds: u64) -> f64 {
    nanoseconds as f64 / 1e9
}
