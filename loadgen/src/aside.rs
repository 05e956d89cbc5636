//! What is asked of the servers beside the load, once it is over.

use proofload_reports::run::Measurement;
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::Probe;

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
    for subject in subjects {
        let Place::Bundled(deployment) = &subject.place else { continue };
        match contract::examine(&deployment.base_url()) {
            Ok(found) => {
                answers += found.answers;
                let variant = subject.variant();
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

/// On the database of the last variant, as the others have the same.
fn codes(subjects: &[Subject], into: &mut Measurement) {
    let Some(Subject { place: Place::Bundled(deployment), .. }) = subjects.last() else { return };
    match generation::speedup(&deployment.database.url()) {
        Ok(speedup) => {
            for (bound, value) in [("", speedup.value), (".low", speedup.low), (".high", speedup.high)] {
                into.facts.insert(format!("{}{bound}", facts::CODES_SPEEDUP), value);
            }
            into.settings.insert("codes alone".to_owned(), speedup.source);
        }
        Err(error) => into.remarks.push(format!("making codes alone could not be timed: {error:#}")),
    }
}
