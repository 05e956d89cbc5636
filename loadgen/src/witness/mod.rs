//! Witnesses: independent counts of what happened, read around a measurement and at its slices.

mod machine;
mod metrics;
mod postgres;
mod processes;
mod redis;
mod wal;

use std::collections::BTreeMap;
use std::pin::Pin;

use anyhow::Result;
use proofload_reports::run;

pub use machine::Machine;
pub use metrics::Metrics;
pub use postgres::Postgres;
pub use processes::Processes;
pub use redis::Redis;
pub use wal::WriteAheadLog;

/// Cumulative counts by name, `witness.counter`. Only their differences mean anything.
pub type Counters = BTreeMap<String, u64>;

/// A reading that is under way. Boxed, so that witnesses of all kinds stand in one list.
pub type Reading<'a> = Pin<Box<dyn Future<Output = Result<Counters>> + Send + 'a>>;

/// Someone who counts.
pub trait Witness: Send {
    /// What its counters' names begin with.
    fn name(&self) -> &str;

    /// Where its counts come from, and who says so.
    fn about(&self) -> run::Witness;

    /// Its counts up to now, which never decrease. Every reading is bounded in time.
    ///
    /// # Errors
    /// If it cannot be reached; the next reading may succeed.
    fn read(&mut self) -> Reading<'_>;
}

/// A count that goes on where its source begins anew: a restarted server counts from zero again.
/// What the source counted between its last reading and its end is lost.
#[derive(Debug, Default)]
struct Continued {
    before: u64,
    last: u64,
}

impl Continued {
    fn advance(&mut self, reading: u64) -> u64 {
        if reading < self.last {
            self.begin_anew();
        }
        self.last = reading;
        self.total()
    }

    /// Its source counts from zero, as something else of it tells.
    fn begin_anew(&mut self) {
        self.before += std::mem::take(&mut self.last);
    }

    fn total(&self) -> u64 {
        self.before + self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_goes_on_after_a_restart() {
        let mut count = Continued::default();
        assert_eq!([5, 9, 2, 4].map(|reading| count.advance(reading)), [5, 9, 11, 13]);
    }
}
