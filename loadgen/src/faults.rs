//! Faults: what a scenario breaks and mends on purpose while it is measured.

use std::time::Instant;

use anyhow::anyhow;
use proofload_reports::run;
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::{Fault, FaultAction, FaultTarget};

use crate::lab::Lab;
use crate::subject::Place;

/// The faults of a scenario that are still to come, and what came of the others.
pub struct Faults<'a> {
    /// With the second that each is due at; the next to come is last.
    coming: Vec<(f64, &'a Fault)>,
    /// When the load ends, in seconds of the measurement.
    end_s: f64,
    /// When the measurement began: at its first boundary.
    began: Option<Instant>,
    pub struck: Vec<run::Fault>,
    pub failed: Vec<String>,
}

impl<'a> Faults<'a> {
    pub fn of(scenario: &'a Scenario) -> Self {
        let last_s = scenario.phases.last_fault_s();
        let mut coming: Vec<(f64, &Fault)> = scenario
            .faults
            .iter()
            .flat_map(|fault| moments(fault, last_s).map(move |at_s| (at_s, fault)))
            .collect();
        // Those due at one moment come in the file's order.
        coming.sort_by(|a, b| a.0.total_cmp(&b.0));
        coming.reverse();
        let end_s = scenario.phases.measurement_s;
        Self { coming, end_s, began: None, struck: Vec::new(), failed: Vec::new() }
    }

    /// Whether one is to end that service.
    pub fn end(&self, whom: FaultTarget) -> bool {
        let ends = |fault: &Fault| fault.target == whom && fault.action != FaultAction::Start;
        self.coming.iter().any(|(_, fault)| ends(fault))
    }

    /// Brings about what is due by `now_s`, at the boundary of a slice; whether a cache was flushed.
    pub(crate) fn strike(&mut self, now_s: f64, place: &mut Place, lab: &Lab) -> bool {
        let began = *self.began.get_or_insert_with(Instant::now);
        let mut flushed = false;
        while let Some((_, fault)) = self.coming.pop_if(|(at_s, _)| *at_s <= now_s + 1e-9) {
            flushed |= fault.action == FaultAction::Flush;
            let at_s = began.elapsed().as_secs_f64();
            let suffered = match place {
                Place::Bundled(deployment) => deployment.suffer(fault, lab.postgres()),
                Place::Given { .. } => Err(anyhow!("only the bundled server and its services can be broken")),
            };
            let Fault { action: what, target: whom, .. } = *fault;
            let fault = format!("{what:?} {whom:?}").to_lowercase();
            match suffered {
                Ok(()) => {
                    let took_s = began.elapsed().as_secs_f64() - at_s;
                    if at_s + took_s > self.end_s {
                        let taken = format!("{fault} from {at_s:.2} s took {took_s:.2} s");
                        self.failed.push(format!("a fault outlasted the load: {taken}"));
                    }
                    self.struck.push(run::Fault { at_s, took_s, what, whom });
                }
                Err(error) => {
                    self.failed
                        .push(format!("a fault did not come about: {fault} at {at_s:.2} s: {error:#}"));
                }
            }
        }
        flushed
    }
}

/// When the fault strikes, in seconds of the measurement.
fn moments(fault: &Fault, last_s: f64) -> impl Iterator<Item = f64> {
    let times =
        fault.every_s.map_or(1, |every_s| ((last_s - fault.at_s) / every_s + 1e-9).floor() as u32 + 1);
    let (at_s, every_s) = (fault.at_s, fault.every_s.unwrap_or(0.0));
    (0..times).map(move |time| at_s + f64::from(time) * every_s)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_once_or_until_the_measurement_ends() {
        let fault = |every_s| Fault {
            at_s: 1.0,
            every_s,
            target: FaultTarget::Redis,
            action: FaultAction::Flush,
            process: None,
        };
        let struck = |every_s| moments(&fault(every_s), 2.5).collect::<Vec<_>>();
        assert_eq!(struck(None), [1.0]);
        assert_eq!(struck(Some(0.5)), [1.0, 1.5, 2.0, 2.5]);
    }
}
