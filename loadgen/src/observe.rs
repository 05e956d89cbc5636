//! The witnesses of one deployment, read together.

use std::collections::BTreeMap;

use anyhow::Result;
use proofload_reports::run;
use tokio::runtime::Runtime;

use crate::witness::Witness;

/// Cumulative counters of all witnesses at one moment, by `witness.counter`.
pub type Reading = BTreeMap<String, u64>;

/// All witnesses of a deployment and the runtime that they are read on.
pub struct Observer {
    witnesses: Vec<Box<dyn Witness>>,
    runtime: Runtime,
}

impl Observer {
    pub fn new(witnesses: Vec<Box<dyn Witness>>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { witnesses, runtime })
    }

    /// Reads every witness. One that does not answer leaves its counters out, so that a check which rests on it
    /// becomes invalid rather than counting zero.
    pub fn read(&mut self) -> Reading {
        let Self { witnesses, runtime } = self;
        runtime.block_on(async {
            let mut reading = Reading::new();
            for witness in witnesses {
                if let Ok(counters) = witness.read().await {
                    reading.extend(counters);
                }
            }
            reading
        })
    }

    /// What each witness is, for the report.
    pub fn about(&self) -> BTreeMap<String, run::Witness> {
        self.witnesses.iter().map(|witness| (witness.name().to_owned(), witness.about())).collect()
    }
}

/// What was counted between two readings. A counter that is missing from one of them is left out.
pub fn difference(earlier: &Reading, later: &Reading) -> Reading {
    later
        .iter()
        .filter_map(|(name, count)| Some((name.clone(), count.saturating_sub(*earlier.get(name)?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_that_one_reading_lacks_is_not_zero_but_absent() {
        let earlier = Reading::from([("a".to_owned(), 3)]);
        let later = Reading::from([("a".to_owned(), 5), ("b".to_owned(), 9)]);
        assert_eq!(difference(&earlier, &later), Reading::from([("a".to_owned(), 2)]));
    }
}
