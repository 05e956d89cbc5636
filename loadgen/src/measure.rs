//! Runs one scenario and returns what was counted and timed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use proofload_reports::run::{self, Measurement, Model, Series, Slice};
use proofload_scenarios::scenario::{FaultAction, FaultTarget, Load, Probe};
use proofload_scenarios::{Claim, Scenario};

use crate::drive::Boundary;
use crate::exchange::Visited;
use crate::faults::Faults;
use crate::generate::{Generator, Script, Settled};
use crate::health::Prober;
use crate::interleave::interleaved;
use crate::lab::Lab;
use crate::live::Live;
use crate::observe::{Reading, difference};
use crate::plan::load_time;
use crate::subject::{Place, Subject};
use crate::{aside, ceiling, doubts, expected, facts, interrupt, ledger};

/// What starting, making links, restarting and reading back take, about, as the progress shows it.
const PREPARATION: Duration = Duration::from_secs(2);

/// Measures one scenario after the other. Whoever interrupts gets what was measured until then.
///
/// # Errors
/// As [`measure`], with the scenario's name.
pub fn measure_all(
    scenarios: &[Scenario],
    claims: &[Claim],
    lab: &Lab,
    live: &Live,
) -> Result<Vec<Measurement>> {
    let mut measurements = Vec::new();
    for scenario in scenarios {
        if interrupt::requested() {
            break;
        }
        let outcome = measure(scenario, claims, lab, live)
            .with_context(|| format!("scenario '{}' could not be measured", scenario.name));
        measurements.extend(interrupt::outlived(outcome)?);
    }
    Ok(measurements)
}

/// Runs `scenario` on the lab's servers; `claims` may rest on what it counts.
///
/// # Errors
/// When it could not be set up. What goes wrong while it is measured is part of the measurement.
pub fn measure(scenario: &Scenario, claims: &[Claim], lab: &Lab, live: &Live) -> Result<Measurement> {
    let preparation = if lab.target.is_some() { Duration::ZERO } else { PREPARATION };
    live.phase(&format!("{}: setting up", scenario.name), preparation);
    if let Some(url) = &lab.target {
        let mut subject = Subject::given("target", scenario, url)?;
        expected::refuse_unknown(claims, &scenario.name, &subject.observer.read())?;
        return measure_subjects(scenario, lab, vec![subject], live, None);
    }
    let deployments = lab.deploy(scenario)?;
    let mut subjects: Vec<Subject> =
        deployments.into_iter().map(|it| Subject::prepare(scenario, lab, it)).collect::<Result<_>>()?;
    for subject in &mut subjects {
        expected::refuse_unknown(claims, &scenario.name, &subject.observer.read())?;
    }
    measure_subjects(scenario, lab, subjects, live, None)
}

/// The same on subjects that are up and prepared; one alone may follow a script.
///
/// # Errors
/// As [`measure`].
pub fn measure_subjects(
    scenario: &Scenario,
    lab: &Lab,
    mut subjects: Vec<Subject>,
    live: &Live,
    script: Option<Script>,
) -> Result<Measurement> {
    live.phase(&format!("{}: measuring", scenario.name), load_time(scenario));
    let mut measurement = blank(scenario);
    match subjects.as_mut_slice() {
        [one] => alone(scenario, lab, one, script, live, &mut measurement)?,
        many => interleaved(scenario, lab, many, live, &mut measurement)?,
    }
    measurement.witnesses.insert("client".to_owned(), client());
    for subject in &subjects {
        measurement.witnesses.extend(subject.observer.about());
        let (variant, settings) = subject.described();
        measurement.settings.insert(format!("server ({variant})"), settings);
    }
    doubts::condense(&mut measurement.invalid_latency);
    aside::ask(scenario, &subjects, &mut measurement);
    measurement.ceiling = ceiling::of(scenario);
    measurement.ledger = audit(subjects)?;
    facts::record(&mut measurement);
    Ok(measurement)
}

/// One variant for the whole of the measurement, its witnesses read at every slice.
fn alone(
    scenario: &Scenario,
    lab: &Lab,
    subject: &mut Subject,
    script: Option<Script>,
    live: &Live,
    into: &mut Measurement,
) -> Result<()> {
    let flushes = scenario.faults.iter().any(|fault| fault.action == FaultAction::Flush);
    let visited = flushes.then(|| Arc::new(Visited::none_of(subject.links.len())));
    let mut generator = Generator::new(scenario, lab, subject.target(), subject.links.clone())
        .following(script)
        .marking(visited.clone());
    let rate = generator.settle()?;
    describe_rate(rate, into);
    let phases = load_phases(scenario);
    let mut faults = Faults::of(scenario);
    if let Some(postgres) = lab.postgres().filter(|_| faults.end(FaultTarget::Postgres)) {
        // It may take longer to come back then, which is seen.
        into.remarks.extend(postgres.borrow().write_out().err().map(|error| format!("{error:#}")));
    }
    let mut prober = prober(scenario, lab, &subject.place)?;
    let (observer, place) = (&mut subject.observer, &mut subject.place);
    // Without a warm-up the load may be ahead of the reading at the measurement's start: read before it begins.
    let mut idle = phases.warm_up.is_zero().then(|| observer.read());
    let (mut first, mut earlier) = (Reading::new(), None);
    let mut at_boundary = |boundary: &mut Boundary<'_>| {
        // What a fault does belongs to the slice that it begins.
        let mut reading = idle.take().unwrap_or_else(|| observer.read());
        reading.extend(visited.iter().map(|visited| (FIRST_VISITS.to_owned(), visited.firsts())));
        let flushed = faults.strike(boundary.index as f64 * scenario.phases.slice_s, place, lab);
        visited.iter().filter(|_| flushed).for_each(|visited| visited.forget());
        if let Some(prober) = &mut prober {
            prober.probe();
        }
        boundary.slice.counters.insert(ELAPSED.to_owned(), elapsed_us(boundary.slice));
        match &earlier {
            Some(earlier) => boundary.slice.counters.extend(difference(earlier, &reading)),
            None => first = reading.clone(),
        }
        earlier = Some(reading);
        live.show(boundary);
    };
    let mut recording = generator.drive(phases, rate, &mut at_boundary)?;
    into.invalid.extend(faults.failed);
    into.faults.extend(faults.struck);
    if let Some(prober) = prober {
        prober.conclude(into);
    }
    let mut series = blank_series(subject.variant());
    series.before_measurement = first;
    series.times = std::mem::take(&mut recording.times);
    doubts::enter(&recording, None, into);
    subject.note(scenario, &recording);
    series.slices = recording.slices.iter().collect();
    into.series.push(series);
    Ok(())
}

fn prober(scenario: &Scenario, lab: &Lab, place: &Place) -> Result<Option<Prober>> {
    match place {
        Place::Bundled(deployment) if scenario.probes.contains(&Probe::Health) => {
            Prober::of(deployment, lab.postgres()).map(Some)
        }
        _ => Ok(None),
    }
}

/// How long a drive warms up and measures.
#[derive(Debug, Clone, Copy)]
pub struct Phases {
    pub warm_up: Duration,
    pub measured: Duration,
    pub slice: Duration,
}

impl Phases {
    /// A measurement in one slice, with nothing before it.
    pub fn only(measured: Duration) -> Self {
        Self { warm_up: Duration::ZERO, measured, slice: measured }
    }
}

fn load_phases(scenario: &Scenario) -> Phases {
    Phases {
        warm_up: Duration::from_secs_f64(scenario.phases.warm_up_s),
        measured: Duration::from_secs_f64(scenario.phases.measurement_s),
        slice: Duration::from_secs_f64(scenario.phases.slice_s),
    }
}

/// Ends every server in good order and looks up in the stores what was acknowledged.
pub(crate) fn audit(subjects: Vec<Subject>) -> Result<Option<run::Ledger>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ledgers = Vec::new();
    for subject in subjects {
        let mut books = subject.books();
        let Place::Bundled(mut deployment) = subject.place else { continue };
        deployment.stop();
        let found = |link: &_| books.find(link);
        let database = deployment.database.url();
        runtime.block_on(ledger::read_store(&database, &deployment.codec, found))?;
        let mut closed = books
            .close("every row, read straight from the database after the server had ended")
            .context("there is no room to compare what is stored; name another place in TMPDIR")?;
        if deployment.leases {
            runtime.block_on(ledger::hold_against_leases(&database, &mut closed))?;
        }
        ledgers.push(closed);
    }
    Ok(ledger::sum(ledgers))
}

/// The generator's own count, beside what the others say.
pub(crate) fn client() -> run::Witness {
    run::Witness {
        standing: run::Standing::Client,
        source: "what this program sent, and the answers that it checked".to_owned(),
    }
}

pub(crate) fn describe_rate(rate: Option<Settled>, into: &mut Measurement) {
    if let Some(Settled { capacity, rate }) = rate {
        let capacity = format!("{:.0} per second, found by a short closed run before", capacity.get());
        into.settings.insert("capacity".to_owned(), capacity);
        into.settings.insert("arrival rate".to_owned(), format!("{:.0} per second", rate.get()));
    }
}

/// Links that were visited for the first time since the caches were flushed, each once: what a cold cache must read.
const FIRST_VISITS: &str = "client.first_visits";

/// How long a slice lasted: what rates per second are divided by.
pub(crate) const ELAPSED: &str = "client.elapsed_us";

pub(crate) fn elapsed_us(slice: &Slice) -> u64 {
    (slice.duration_s * 1e6).round() as u64
}

pub fn blank(scenario: &Scenario) -> Measurement {
    Measurement {
        scenario: scenario.clone(),
        model: match scenario.load {
            Load::Open { .. } => Model::Open,
            Load::Closed { .. } => Model::Closed,
            Load::Journeys { .. } => Model::Journeys,
        },
        settings: BTreeMap::new(),
        ceiling: None,
        series: Vec::new(),
        facts: BTreeMap::new(),
        ledger: None,
        witnesses: BTreeMap::new(),
        invalid_latency: Vec::new(),
        invalid: Vec::new(),
        remarks: Vec::new(),
        faults: Vec::new(),
    }
}

pub(crate) fn blank_series(variant: &str) -> Series {
    Series {
        variant: variant.to_owned(),
        slices: Vec::new(),
        times: BTreeMap::new(),
        before_measurement: BTreeMap::new(),
    }
}
