//! The witnesses of one deployment, read together.

use std::collections::BTreeMap;
use std::time::Instant;

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
    began: Instant,
}

impl Observer {
    pub fn new(witnesses: Vec<Box<dyn Witness>>) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { witnesses, runtime, began: Instant::now() })
    }

    /// Reads every witness. One that does not answer leaves its counters out, so that a check which rests on it
    /// becomes invalid rather than counting zero.
    ///
    /// A slow one makes the next late: when each was read is counted, too, so that its rates are divided by what lay between
    /// two of its readings.
    pub fn read(&mut self) -> Reading {
        let Self { witnesses, runtime, began } = self;
        runtime.block_on(async {
            let mut reading = Reading::new();
            for witness in witnesses {
                let Ok(counters) = witness.read().await else { continue };
                // Of who counts nothing, nothing is told.
                if !counters.is_empty() {
                    let elapsed_us = began.elapsed().as_micros() as u64;
                    reading.extend(counters);
                    reading.insert(run::elapsed(witness.name()), elapsed_us);
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

/// What was counted between two readings. A counter that is missing from one of them is left out; but a target shows a counter
/// only once there is something to be counted, and where it was read without, that was from zero.
pub fn difference(earlier: &Reading, later: &Reading) -> Reading {
    let target_was_read = earlier.contains_key(&run::elapsed("target"));
    let before = |name: &str| {
        let zero = (target_was_read && name.starts_with("target.")).then_some(0);
        earlier.get(name).copied().or(zero)
    };
    later
        .iter()
        .filter_map(|(name, count)| Some((name.clone(), count.saturating_sub(before(name)?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::witness;

    /// Counts one thing or none, and takes its time.
    struct Slow(&'static str, Duration, Option<u64>);

    impl Witness for Slow {
        fn name(&self) -> &str {
            self.0
        }

        fn about(&self) -> run::Witness {
            run::Witness { standing: run::Standing::Independent, source: String::new() }
        }

        fn read(&mut self) -> witness::Reading<'_> {
            Box::pin(async {
                tokio::time::sleep(self.1).await;
                Ok(self.2.map(|count| ("counted".to_owned(), count)).into_iter().collect())
            })
        }
    }

    #[test]
    fn each_witness_has_the_time_of_its_own_readings() {
        let wait = Duration::from_millis(30);
        let mut observer = Observer::new(vec![
            Box::new(Slow("prompt", Duration::ZERO, Some(1))),
            Box::new(Slow("slow", wait, Some(1))),
        ])
        .unwrap();
        let first = observer.read();
        let elapsed = |reading: &Reading, name| reading[&run::elapsed(name)];
        assert!(elapsed(&first, "slow") >= elapsed(&first, "prompt") + wait.as_micros() as u64);
        let second = difference(&first, &observer.read());
        assert!(
            elapsed(&second, "prompt") >= wait.as_micros() as u64,
            "the slow one lay between: {second:?}"
        );
    }

    /// A target without metrics is no witness.
    #[test]
    fn who_counts_nothing_leaves_the_reading_empty() {
        let mut observer = Observer::new(vec![Box::new(Slow("target", Duration::ZERO, None))]).unwrap();
        assert!(observer.read().is_empty());
    }

    #[test]
    fn a_counter_that_one_reading_lacks_is_not_zero_but_absent() {
        let earlier = Reading::from([("a".to_owned(), 3)]);
        let later = Reading::from([("a".to_owned(), 5), ("b".to_owned(), 9)]);
        assert_eq!(difference(&earlier, &later), Reading::from([("a".to_owned(), 2)]));
    }

    /// The series of a status begins with the first answer of that status.
    #[test]
    fn what_a_target_shows_for_the_first_time_began_at_zero() {
        let reading = |counts: &[(&str, u64)]| -> Reading {
            counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
        };
        let later = reading(&[("elapsed.target_us", 9), ("target.errors{kind=\"b\"}", 40)]);
        let found = difference(&reading(&[("elapsed.target_us", 4)]), &later);
        assert_eq!(found["target.errors{kind=\"b\"}"], 40);
        assert!(difference(&reading(&[]), &later).is_empty(), "it was not read before");
    }
}
