//! What is asked of the servers beside the load, once it is over.

use std::thread::{self, ScopedJoinHandle};

use anyhow::{Result, anyhow};
use proofload_reports::run::Measurement;
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::Probe;

use crate::criterion::Criterion;
use crate::subject::{Place, Subject};
use crate::{contract, facts, generation, interrupt};

/// What is told of violations and failures in words; all of them are counted.
const TOLD: usize = 10;

/// Asks what the scenario's probes are about, and enters what was found.
pub(crate) fn ask(scenario: &Scenario, subjects: &[Subject], into: &mut Measurement) {
    for probe in &scenario.probes {
        if interrupt::requested() {
            return;
        }
        match probe {
            Probe::Health => {}
            Probe::Contract => contract(subjects, into),
            Probe::Codes => codes(subjects, into),
        }
    }
}

/// Every variant keeps the same contract: that of its API is what a new design must not break.
fn contract(subjects: &[Subject], into: &mut Measurement) {
    let (mut answers, mut violations) = (0, Vec::new());
    let bases: Vec<(&str, String)> = subjects
        .iter()
        .filter_map(|subject| match &subject.place {
            Place::Bundled(deployment) => Some((subject.variant(), deployment.base_url())),
            Place::Given { .. } => None,
        })
        .collect();
    // At once: each waits until a link that lives for a second is gone.
    let found: Vec<(&str, Result<contract::Findings>)> = thread::scope(|scope| {
        let examined: Vec<_> =
            bases.iter().map(|(variant, base)| (*variant, scope.spawn(|| contract::examine(base)))).collect();
        let joined =
            |it: ScopedJoinHandle<_>| it.join().unwrap_or_else(|_| Err(anyhow!("the session broke down")));
        examined.into_iter().map(|(variant, thread)| (variant, joined(thread))).collect()
    });
    for (variant, found) in found {
        match found {
            Ok(found) => {
                answers += found.answers;
                violations
                    .extend(found.violations.into_iter().map(|it| format!("contract, {variant}: {it}")));
            }
            // Without the number the check is invalid, and says so.
            Err(error) => return into.remarks.push(format!("the contract could not be tried: {error:#}")),
        }
    }
    into.facts.insert(facts::CONTRACT_VIOLATIONS.to_owned(), violations.len() as f64);
    into.facts.insert("contract-answers".to_owned(), answers as f64);
    into.remarks.extend(violations.into_iter().take(TOLD));
}

/// On the database of the first variant that leases ids: what it is asked costs the same on those of the others.
fn codes(subjects: &[Subject], into: &mut Measurement) {
    into.settings.extend(Criterion::left().told());
    let mut obstacle = "nobody leases ids here".to_owned();
    for subject in subjects {
        let Place::Bundled(deployment) = &subject.place else { continue };
        match generation::speedup(&deployment.database.url()) {
            Ok(speedup) => {
                for (bound, value) in [("", speedup.value), (".low", speedup.low), (".high", speedup.high)] {
                    into.facts.insert(format!("{}{bound}", facts::CODES_SPEEDUP), value);
                }
                into.settings.insert("codes alone".to_owned(), speedup.source);
                return;
            }
            Err(error) => obstacle = format!("{error:#}"),
        }
    }
    into.remarks.push(format!("making codes alone could not be timed: {obstacle}"));
}
