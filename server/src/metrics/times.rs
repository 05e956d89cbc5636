//! How long answers took: a histogram on each thread, with few buckets, neither locked nor allocated.

use std::time::Duration;

use super::{Count, add_up};

/// What was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timed {
    /// What a code leads to, be it a redirect or that there is none.
    Redirect,
    /// One link.
    Create,
    /// Many links in one request, which takes as long as the slowest.
    Bulk,
}

impl Timed {
    pub const ALL: [(Timed, &str); 3] =
        [(Timed::Redirect, "redirect"), (Timed::Create, "create"), (Timed::Bulk, "bulk")];
}

/// Upper ends of the buckets, in seconds and as Prometheus is told them.
pub const ENDS: [(f64, &str); 12] = [
    (0.000_01, "0.00001"),
    (0.000_1, "0.0001"),
    (0.000_5, "0.0005"),
    (0.001, "0.001"),
    (0.002_5, "0.0025"),
    (0.005, "0.005"),
    (0.01, "0.01"),
    (0.025, "0.025"),
    (0.05, "0.05"),
    (0.1, "0.1"),
    (1.0, "1"),
    (10.0, "10"),
];

/// One thread's times of one kind of answer.
#[derive(Debug, Default)]
pub struct Times {
    /// Each bucket alone; the last has what is beyond all ends.
    buckets: [Count; ENDS.len() + 1],
    nanoseconds: Count,
}

impl Times {
    /// To be called by the one thread that owns the times; `weight` is how many answers this one stands for.
    pub fn add(&self, took: Duration, weight: u64) {
        let seconds = took.as_secs_f64();
        let bucket = ENDS.iter().position(|&(end, _)| seconds <= end).unwrap_or(ENDS.len());
        self.buckets[bucket].add(weight);
        self.nanoseconds.add(took.as_nanos() as u64 * weight);
    }
}

/// The times of all threads together.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Distribution {
    buckets: [u64; ENDS.len() + 1],
    nanoseconds: u64,
}

impl Distribution {
    pub(super) fn add(&mut self, times: &Times) {
        add_up(&mut self.buckets, &times.buckets);
        self.nanoseconds += times.nanoseconds.get();
    }

    /// How many answers took no longer than each end; the last is how many there were.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.buckets.into_iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        })
    }

    pub fn seconds(&self) -> f64 {
        self.nanoseconds as f64 / 1e9
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_ends_at_or_after_it() {
        let times = [Times::default(), Times::default()];
        times[0].add(Duration::from_micros(10), 1);
        times[0].add(Duration::from_micros(11), 64);
        times[1].add(Duration::from_secs(10), 1);
        times[1].add(Duration::from_secs(11), 1);
        let mut all = Distribution::default();
        times.iter().for_each(|times| all.add(times));
        let cumulative: Vec<u64> = all.cumulative().collect();
        assert_eq!(cumulative, [1, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 66, 67]);
        assert_eq!(all.seconds(), 21.000_714);
    }

    #[test]
    fn the_ends_are_told_as_they_are() {
        assert!(ENDS.iter().all(|&(end, text)| text.parse::<f64>() == Ok(end)));
        assert!(ENDS.is_sorted_by(|a, b| a.0 < b.0));
    }
}
