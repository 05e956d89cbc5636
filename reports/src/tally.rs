//! A tally: what became of the requests of a series.

use crate::run::{Measurement, Series, Slice};

/// Sums of the client's own counters over slices.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub sent: u64,
    pub ok: u64,
    pub wrong: u64,
    pub timeout: u64,
    pub error: u64,
    /// Never sent: no connection was free within the bound.
    pub dropped: u64,
}

impl Tally {
    pub fn of<'a>(slices: impl IntoIterator<Item = &'a Slice>) -> Tally {
        let mut all = Tally::default();
        for slice in slices {
            let count = |name: &str| slice.counters.get(name).copied().unwrap_or(0);
            all.sent += count("client.sent");
            all.ok += count("client.ok");
            all.wrong += count("client.wrong");
            all.timeout += count("client.timeout");
            all.error += count("client.error");
            all.dropped += count("client.dropped");
        }
        all
    }

    /// Answers that were not the right one, and requests that got none.
    pub fn failed(&self) -> u64 {
        self.wrong + self.timeout + self.error
    }

    fn ended(&self) -> u64 {
        self.ok + self.failed()
    }

    /// What was asked for. More may end within a measurement than was sent within it: what was under way when it
    /// began. So nothing is ever more than all of it.
    pub fn offered(&self) -> u64 {
        self.sent.max(self.ended()) + self.dropped
    }

    /// Sent, and neither answered nor given up when the measurement ended.
    pub fn under_way(&self) -> u64 {
        self.sent.saturating_sub(self.ended())
    }
}

/// How long arrivals came, in seconds: a slice that is the last of its drive lasts until the last answer.
pub fn scheduled_s(measurement: &Measurement, series: &Series) -> f64 {
    let phases = &measurement.scenario.phases;
    match measurement.series.len() {
        // One drive, whose last slice may be longer or shorter than the others.
        1 => series.slices.iter().map(|slice| slice.duration_s).sum::<f64>().min(phases.measurement_s),
        _ => series.slices.iter().map(|slice| slice.duration_s.min(phases.slice_s)).sum(),
    }
}

/// Requests of a series that have no time under that name although they ended, or were never sent.
///
/// They are the slowest of all: percentiles of the rightly answered alone would flatter a server that drops. Response
/// times hold time-outs already, with the time that was waited; service times do not, and know nothing of what was
/// never sent.
pub fn untimed(times: &str, series: &Series) -> u64 {
    let tally = Tally::of(&series.slices);
    match times {
        "response" => tally.wrong + tally.error + tally.dropped,
        _ => tally.failed(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slice(counters: &[(&str, u64)]) -> Slice {
        Slice {
            counters: counters.iter().map(|(name, count)| (format!("client.{name}"), *count)).collect(),
            ..Slice::default()
        }
    }

    #[test]
    fn no_more_is_answered_than_was_offered() {
        let more_ended = Tally::of(&[slice(&[("sent", 90), ("ok", 99), ("error", 1), ("dropped", 5)])]);
        assert_eq!((more_ended.offered(), more_ended.under_way()), (105, 0));
        let some_left = Tally::of(&[slice(&[("sent", 90), ("ok", 80)]), slice(&[("sent", 10), ("ok", 12)])]);
        assert_eq!((some_left.offered(), some_left.under_way()), (100, 8));
    }

    #[test]
    fn what_is_under_way_or_has_a_time_is_not_lost() {
        let counters =
            [("sent", 100), ("ok", 80), ("timeout", 3), ("error", 2), ("wrong", 1), ("dropped", 7)];
        let series = Series {
            variant: String::new(),
            slices: vec![slice(&counters)],
            times: Default::default(),
            before_measurement: Default::default(),
        };
        assert_eq!((untimed("response", &series), untimed("service", &series)), (10, 6));
    }
}
