//! A recorder: what one worker counts and times, without a lock or an allocation a sample.

mod counts;
mod times;

use std::sync::mpsc::Sender;

use hdrhistogram::Histogram;

pub use counts::Counts;
pub use times::{Times, add, histogram};

use crate::exchange::Failure;

/// What became of one arrival, and when. All times are the clock's nanoseconds.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Index into the exchange's kinds.
    pub kind: usize,
    /// When the schedule wanted it; in a closed run, when its connection was free for it.
    pub due: u64,
    /// When a connection was ready for it.
    pub ready: u64,
    pub sent: u64,
    pub written: u64,
    pub first: u64,
    pub done: u64,
    pub outcome: Outcome,
    /// The answer's; zero where none was read to its end.
    pub status: u16,
}

/// How an arrival ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    Created,
    Wrong,
    Failed(Failure),
}

/// What one worker saw between two boundaries.
pub struct WorkerSlice {
    pub worker: usize,
    /// The boundary that ends it: 0 ends the warm-up.
    pub boundary: usize,
    /// When it ended.
    pub at: u64,
    pub counts: Counts,
    /// Response times in an open run, service times in a closed one.
    pub latency: Histogram<u64>,
}

/// When the measurement and its slices begin and end.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    /// When the load begins.
    pub start: u64,
    /// When the measurement begins.
    pub measured: u64,
    pub slice: u64,
    pub slices: usize,
    /// When no more is sent.
    pub end: u64,
}

/// Counts and times of one worker. It ships its slice when a boundary passes.
pub struct Recorder {
    worker: usize,
    open: bool,
    timeline: Timeline,
    counts: Counts,
    latency: Histogram<u64>,
    times: Times,
    next: usize,
    next_at: u64,
    ship: Sender<WorkerSlice>,
    usage: Usage,
    /// Requests that failed since an answer was last read.
    failures_since: u64,
    /// When the last of them did.
    failed_at: u64,
    /// When, since an answer was last read, a connection first could not be made or was torn down: a slow target does
    /// not do that.
    torn_at: Option<u64>,
}

/// What of a thread's running time was reported already.
#[derive(Default)]
struct Usage {
    cpu_us: u64,
    wait_us: u64,
}

impl Recorder {
    pub fn new(
        worker: usize,
        kinds: usize,
        open: bool,
        timeline: Timeline,
        ship: Sender<WorkerSlice>,
    ) -> Self {
        Self {
            worker,
            open,
            timeline,
            counts: Counts::new(kinds),
            latency: histogram(),
            times: Times::new(kinds),
            next: 0,
            next_at: timeline.measured,
            ship,
            usage: Usage::default(),
            failures_since: 0,
            failed_at: 0,
            torn_at: None,
        }
    }

    pub fn sent(&mut self) {
        // Without a warm-up the first request is of the measurement, though no answer has told yet that it began.
        if self.next == 0 && self.timeline.start == self.timeline.measured {
            self.tick(self.timeline.measured);
        }
        self.counts.sent += 1;
    }

    pub fn dropped(&mut self, now: u64) {
        self.tick(now);
        self.counts.dropped += 1;
    }

    /// An arrival found all connections busy.
    pub fn queued(&mut self) {
        self.counts.queued += 1;
    }

    /// A connection that was made before the load began took so long.
    pub fn connected_before(&mut self, took: u64) {
        self.times.connect.saturating_record(took);
    }

    pub fn connected(&mut self, took: u64) {
        self.counts.connects += 1;
        self.times.connect.saturating_record(took);
    }

    /// How late the pacer noticed an arrival.
    pub fn noticed(&mut self, due: u64, now: u64) {
        self.tick(now);
        if due >= self.timeline.measured {
            let lag = (now - due).max(1);
            self.times.lag.saturating_record(lag);
            self.counts.arrivals += 1;
            self.counts.lag_ns += lag;
        }
    }

    /// Counts what became of an arrival, and times it if it was due in the measurement.
    /// `received` bytes came in meanwhile.
    pub fn record(&mut self, sample: &Sample, received: u64) {
        self.tick(sample.done);
        self.counts.bytes += received;
        self.count(sample);
        if sample.due < self.timeline.measured {
            return;
        }
        match sample.outcome {
            Outcome::Ok | Outcome::Created => self.time(sample),
            // Leaving time-outs out would flatter: they count with the time that was waited.
            Outcome::Failed(Failure::Timeout) => {
                let from = if self.open || sample.sent == 0 { sample.due } else { sample.sent };
                self.latency.saturating_record(sample.done.saturating_sub(from));
                // One that was never sent waited for a connection, not for the generator.
                if self.open && sample.sent > 0 {
                    self.counts.send_delay_ns += sample.sent.saturating_sub(sample.due);
                }
            }
            Outcome::Wrong | Outcome::Failed(_) => {}
        }
    }

    fn count(&mut self, sample: &Sample) {
        if sample.status > 0 {
            self.counts.statuses[usize::from(sample.status)] += 1;
        }
        match sample.outcome {
            Outcome::Ok | Outcome::Created => {
                self.counts.ok += 1;
                self.counts.ok_by_kind[sample.kind] += 1;
                self.counts.created += u64::from(sample.outcome == Outcome::Created);
            }
            Outcome::Wrong => self.counts.wrong += 1,
            Outcome::Failed(failure) => self.counts.failed[failure as usize] += 1,
        }
        match sample.outcome {
            Outcome::Failed(Failure::Unfinished) => {}
            Outcome::Failed(failure) => {
                self.failures_since += 1;
                self.failed_at = sample.done;
                if failure != Failure::Timeout {
                    self.torn_at.get_or_insert(sample.done);
                }
            }
            Outcome::Ok | Outcome::Created | Outcome::Wrong => {
                self.failures_since = 0;
                self.torn_at = None;
            }
        }
    }

    fn time(&mut self, sample: &Sample) {
        let Sample { due, ready, sent, written, first, done, .. } = *sample;
        let service = done.saturating_sub(sent);
        let latency = if self.open { done.saturating_sub(due) } else { service };
        self.latency.saturating_record(latency);
        self.times.service[sample.kind].saturating_record(service);
        self.times.written.saturating_record(written.saturating_sub(sent));
        self.times.first_byte.saturating_record(first.saturating_sub(sent));
        if self.open {
            self.times.ready.saturating_record(ready.saturating_sub(due));
            self.times.send_delay.saturating_record(sent.saturating_sub(due));
            self.counts.send_delay_ns += sent.saturating_sub(due);
        }
    }

    /// Why the target counts as dead: connections are torn down or refused, and since the first of them nothing was
    /// answered for `patience`, although it was tried all the while. What is merely slow does not die so, nor what is seldom
    /// asked.
    pub fn death(&self, patience: u64) -> Option<String> {
        const TRIES: u64 = 3;
        let silent = self.failed_at.saturating_sub(self.torn_at?);
        (silent > patience && self.failures_since >= TRIES).then(|| {
            let (silent_s, failures) = (silent as f64 / 1e9, self.failures_since);
            format!("the target died: no answer for {silent_s:.1} s, {failures} requests failed meanwhile")
        })
    }

    /// Ships the slice if its end has passed. The last one ends only in `finish`: it holds
    /// what was still under way when the schedule ended.
    pub fn tick(&mut self, now: u64) {
        while now >= self.next_at {
            self.ship_slice(self.next_at);
        }
    }

    fn ship_slice(&mut self, at: u64) {
        let usage = Usage {
            cpu_us: crate::cores::thread_cpu().as_micros() as u64,
            wait_us: crate::cores::thread_wait().as_micros() as u64,
        };
        let mut counts = std::mem::replace(&mut self.counts, Counts::new(self.times.service.len()));
        counts.generator_cpu_us = usage.cpu_us - self.usage.cpu_us;
        counts.generator_wait_us = usage.wait_us.saturating_sub(self.usage.wait_us);
        self.usage = usage;
        let latency = std::mem::replace(&mut self.latency, histogram());
        let slice = WorkerSlice { worker: self.worker, boundary: self.next, at, counts, latency };
        // The collector is gone only when the drive failed, and then nobody asks for the slice.
        let _ = self.ship.send(slice);
        self.next += 1;
        self.next_at = match self.next < self.timeline.slices {
            true => self.timeline.measured + self.next as u64 * self.timeline.slice,
            false => u64::MAX,
        };
    }

    /// Ships the last slice and hands over the times.
    pub fn finish(mut self, now: u64) -> Times {
        self.tick(now);
        self.ship_slice(now);
        self.times
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A request due at `due` that ended so at `done`.
    fn ended(due: u64, done: u64, outcome: Outcome) -> Sample {
        Sample { kind: 0, due, ready: due, sent: due, written: due, first: done, done, outcome, status: 0 }
    }

    #[test]
    fn a_target_is_dead_that_stays_silent_after_it_tore_a_connection_down() {
        let timeline = Timeline { start: 0, measured: 0, slice: 1_000_000, slices: 1, end: 1_000_000 };
        let mut recorder = Recorder::new(0, 1, true, timeline, mpsc::channel().0);
        recorder.record(&ended(0, 1, Outcome::Ok), 0);
        recorder.record(&ended(0, 500, Outcome::Failed(Failure::Timeout)), 0);
        assert_eq!(recorder.death(100), None, "silence alone is slowness");
        recorder.record(&ended(0, 10_000, Outcome::Failed(Failure::Reset)), 0);
        recorder.record(&ended(0, 10_100, Outcome::Failed(Failure::Reset)), 0);
        assert_eq!(recorder.death(100), None, "it was silent long before, but only now a connection broke");
        recorder.record(&ended(0, 10_101, Outcome::Failed(Failure::Reset)), 0);
        assert!(recorder.death(100).is_some_and(|reason| reason.contains("4 requests failed")));
        recorder.record(&ended(0, 10_102, Outcome::Ok), 0);
        assert_eq!(recorder.death(100), None);
    }

    /// One reset, and nobody asks for a long while: that is the load's silence, not the target's.
    #[test]
    fn a_target_that_is_seldom_asked_is_not_dead_for_it() {
        let timeline = Timeline { start: 0, measured: 0, slice: 1_000_000, slices: 1, end: 1_000_000 };
        let mut recorder = Recorder::new(0, 1, true, timeline, mpsc::channel().0);
        for done in [1_000, 2_000] {
            recorder.record(&ended(0, done, Outcome::Failed(Failure::Reset)), 0);
            recorder.tick(900_000);
            assert_eq!(recorder.death(100), None);
        }
    }

    /// A stall of the generator stands in the slice in which it ended.
    #[test]
    fn lag_is_counted_slice_by_slice() {
        let timeline = Timeline { start: 0, measured: 100, slice: 1_000, slices: 2, end: 2_100 };
        let (ship, shipped) = mpsc::channel();
        let mut recorder = Recorder::new(0, 1, true, timeline, ship);
        for (due, now) in [(50, 60), (200, 205), (300, 311), (900, 1_500)] {
            recorder.noticed(due, now);
        }
        recorder.finish(2_100);
        let counted: Vec<(u64, u64)> =
            shipped.iter().map(|slice| (slice.counts.arrivals, slice.counts.lag_ns)).collect();
        assert_eq!(counted, [(0, 0), (2, 16), (1, 600)], "the warm-up counts none");
    }

    #[test]
    fn what_the_end_of_the_run_cut_off_is_no_failure_of_the_target() {
        let timeline = Timeline { start: 0, measured: 0, slice: 1_000_000, slices: 1, end: 1_000_000 };
        let (ship, shipped) = mpsc::channel();
        let mut recorder = Recorder::new(0, 1, true, timeline, ship);
        recorder.record(&ended(0, 10, Outcome::Failed(Failure::Unfinished)), 0);
        assert_eq!(recorder.death(0), None);
        recorder.finish(20);
        let counts = shipped.iter().fold(Counts::default(), |mut sum, slice| {
            sum.add(&slice.counts);
            sum
        });
        assert_eq!((counts.failures(), counts.unfinished()), (0, 1));
    }
}
