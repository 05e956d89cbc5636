//! Faults: what a scenario breaks and mends on purpose while it is measured.

use std::time::Instant;

use anyhow::anyhow;
use proofload_reports::run;
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::Fault;

use crate::lab::Lab;
use crate::subject::Place;

/// The faults of a scenario that are still to come, and what came of the others.
pub struct Faults<'a> {
    coming: Vec<&'a Fault>,
    /// When the measurement began: at its first boundary.
    began: Option<Instant>,
    pub struck: Vec<run::Fault>,
    pub failed: Vec<String>,
}

impl<'a> Faults<'a> {
    pub fn of(scenario: &'a Scenario) -> Self {
        let mut coming: Vec<&Fault> = scenario.faults.iter().collect();
        // The next to come is last; those due at one moment come in the file's order.
        coming.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        coming.reverse();
        Self { coming, began: None, struck: Vec::new(), failed: Vec::new() }
    }

    /// Brings about what is due by `now_s`, at the boundary of a slice.
    pub(crate) fn strike(&mut self, now_s: f64, place: &mut Place, lab: &Lab) {
        let began = *self.began.get_or_insert_with(Instant::now);
        while let Some(fault) = self.coming.pop_if(|fault| fault.at_s <= now_s + 1e-9) {
            let at_s = began.elapsed().as_secs_f64();
            let suffered = match place {
                Place::Bundled(deployment) => deployment.suffer(fault, lab.postgres()),
                Place::Given { .. } => Err(anyhow!("only the bundled server and its services can be broken")),
            };
            let Fault { action: what, target: whom, .. } = *fault;
            match suffered {
                Ok(()) => {
                    let took_s = began.elapsed().as_secs_f64() - at_s;
                    self.struck.push(run::Fault { at_s, took_s, what, whom });
                }
                Err(error) => {
                    let fault = format!("{what:?} {whom:?}").to_lowercase();
                    self.failed
                        .push(format!("a fault did not come about: {fault} at {at_s:.2} s: {error:#}"));
                }
            }
        }
    }
}
