//! Turns a scenario's load into drives on one target.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result};
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::{
    Action, HttpOptions, HttpVersion, Load as Asked, RateSpec, ScheduleSpec,
};
use proofload_scenarios::schedule::{Rate as PerSecond, Schedule};
use proofload_scenarios::workload::{self, Operation, Workload};

use crate::connect::Manner;
use crate::drive::{self, Boundary, Drive, Journeys, Load, Recording, Source, Target};
use crate::exchange::{Exchange, Links, Shortener, Templates, Visited};
use crate::interrupt;
use crate::lab::Lab;
use crate::measure::Phases;

/// How long the closed run lasts that finds the capacity.
const CALIBRATION: Duration = Duration::from_millis(1_500);

/// Creates are numbered from another such power of two in each drive, and prepared links below all of them.
const SEQUENCES_PER_DRIVE_LOG2: u64 = 40;

/// The rate that a share of the capacity came to.
#[derive(Debug, Clone, Copy)]
pub struct Settled {
    pub capacity: PerSecond,
    pub rate: PerSecond,
}

/// A recorded run of operations and the moments that they are due, instead of what the scenario would draw.
#[derive(Debug, Clone)]
pub struct Script {
    pub arrivals: Arc<Vec<Duration>>,
    pub operations: Arc<Vec<Operation>>,
}

/// Drives one target by one scenario. Each drive draws operations that none before it drew.
pub struct Generator<'a> {
    scenario: &'a Scenario,
    cores: &'a [usize],
    target: Target,
    links: Arc<Links>,
    script: Option<Script>,
    visited: Option<Arc<Visited>>,
    /// Set when the values of a file have ended, and the load with them.
    ended: Arc<OnceLock<String>>,
    drives: u64,
}

impl<'a> Generator<'a> {
    pub fn new(scenario: &'a Scenario, lab: &'a Lab, target: Target, links: Arc<Links>) -> Self {
        Self {
            scenario,
            cores: &lab.cores.generator,
            target,
            links,
            script: None,
            visited: None,
            ended: Arc::default(),
            drives: 0,
        }
    }

    /// Follows `script` where there is one.
    pub fn following(mut self, script: Option<Script>) -> Self {
        self.script = script;
        self
    }

    /// Marks each link that an operation visits.
    pub fn marking(mut self, visited: Option<Arc<Visited>>) -> Self {
        self.visited = visited;
        self
    }

    /// What the target sustains, and the scenario's share of it; none where the scenario does not ask for a share.
    ///
    /// # Errors
    /// When the target cannot be reached, or answers nothing rightly.
    pub fn settle(&mut self) -> Result<Option<Settled>> {
        let Asked::Open { schedule, connections } = &self.scenario.load else { return Ok(None) };
        let (ScheduleSpec::Constant(spec) | ScheduleSpec::Poisson(spec)) = schedule else { return Ok(None) };
        let RateSpec::OfCapacity(_) = spec else { return Ok(None) };
        let closed = Load::Closed { connections: *connections as usize, think: Duration::ZERO };
        let drive = self.plan(closed, Phases::only(CALIBRATION));
        let (exchange, workload) = self.next_workload()?;
        let capacity = PerSecond::per_second(drive::capacity(&drive, exchange, workload)?)?;
        Ok(Some(Settled { capacity, rate: PerSecond::resolve(*spec, Some(capacity))? }))
    }

    /// Sends load for the given phases. `at_boundary` is called when the measurement starts and at every slice's end.
    ///
    /// # Errors
    /// When the target cannot be reached at all.
    pub fn drive(
        &mut self,
        phases: Phases,
        settled: Option<Settled>,
        at_boundary: &mut dyn FnMut(&mut Boundary<'_>),
    ) -> Result<Recording> {
        let load = match &self.scenario.load {
            Asked::Open { schedule, connections } => {
                Load::Open { arrivals: self.arrivals(schedule, settled)?, connections: *connections as usize }
            }
            Asked::Closed { connections, think_time_ms } => Load::Closed {
                connections: *connections as usize,
                think: Duration::from_millis(*think_time_ms),
            },
            Asked::Journeys { users } => {
                let users = Load::Closed { connections: *users as usize, think: Duration::ZERO };
                let drive = self.plan(users, phases);
                return Ok(drive::drive_journeys(&drive, &self.journeys()?, at_boundary)?);
            }
        };
        let drive = self.plan(load, phases);
        let (exchange, workload) = self.next_workload()?;
        let mut recording = drive::drive(&drive, exchange, workload, at_boundary)?;
        if let Some(said) = self.ended.get() {
            recording.samples.insert(0, said.clone());
        }
        Ok(recording)
    }

    fn arrivals(&self, schedule: &ScheduleSpec, settled: Option<Settled>) -> Result<Source<Duration>> {
        if let Some(Script { arrivals, .. }) = &self.script {
            let arrivals = arrivals.clone();
            return Ok(Arc::new(move || Box::new(Recorded::of(arrivals.clone()))));
        }
        let schedule = Schedule::resolve(schedule, settled.map(|settled| settled.capacity))?;
        let seed = self.scenario.seed ^ self.drives;
        Ok(Arc::new(move || Box::new(schedule.arrivals(seed))))
    }

    fn journeys(&mut self) -> Result<Journeys> {
        self.drives += 1;
        let seed = self.scenario.seed;
        let first_sequence = self.drives << SEQUENCES_PER_DRIVE_LOG2;
        Ok(Journeys {
            journeys: self.scenario.journeys.clone(),
            templates: Arc::new(Templates::of_scenario(&self.target, self.scenario, Path::new("."))?),
            links: self.links.clone(),
            popularity: self.scenario.links.as_ref().map(|links| workload::popularity(links, seed)),
            seed,
            first_sequence,
        })
    }

    fn plan(&self, load: Load, phases: Phases) -> Drive {
        Drive {
            warm_up: phases.warm_up,
            slice: phases.slice,
            cores: self.cores.to_vec(),
            timeout: Duration::from_secs_f64(self.scenario.http.timeout_s.unwrap_or(HttpOptions::TIMEOUT_S)),
            stop: interrupt::flag(),
            ..Drive::new(self.target.clone(), load, phases.measured)
        }
    }

    /// The exchange and the operations of the next drive; its creates ask for URLs of their own.
    fn next_workload(&mut self) -> Result<(Arc<dyn Exchange>, Source<Operation>)> {
        let phase = self.drives;
        self.drives += 1;
        if self.scenario.operations.iter().any(|it| matches!(it.action, Action::Http(_))) {
            return self.templates(phase);
        }
        let shortener = Shortener::new(&self.target.host, self.links.clone(), self.scenario.seed);
        let exchange = Arc::new(shortener.marking(self.visited.clone()));
        if let Some(Script { operations, .. }) = &self.script {
            let operations = operations.clone();
            return Ok((exchange, Arc::new(move || Box::new(Recorded::of(operations.clone())))));
        }
        let scenario = self.scenario.clone();
        let workload: Source<Operation> = Arc::new(move || {
            let links = scenario.links.as_ref();
            let workload = Workload::new(&scenario.operations, links, scenario.seed, phase);
            Box::new(workload.creating_from((phase + 1) << SEQUENCES_PER_DRIVE_LOG2))
        });
        Ok((exchange, workload))
    }

    /// The scenario's own HTTP requests. Ends where a file of their values does.
    fn templates(&self, phase: u64) -> Result<(Arc<dyn Exchange>, Source<Operation>)> {
        let templates = Templates::of_scenario(&self.target, self.scenario, Path::new("."))?;
        let templates = Arc::new(templates);
        let (scenario, ended, values) = (self.scenario.clone(), self.ended.clone(), templates.clone());
        let workload: Source<Operation> = Arc::new(move || {
            let operations = Workload::new(&scenario.operations, None, scenario.seed, phase);
            let (end, ended, values) = (values.end().unwrap_or(u64::MAX), ended.clone(), values.clone());
            Box::new(operations.take_while(move |operation| {
                let goes_on = !matches!(operation, Operation::Http { row, .. } if *row >= end);
                if !goes_on {
                    ended.get_or_init(|| values.ended());
                }
                goes_on
            }))
        });
        Ok((templates, workload))
    }
}

/// How a scenario wants its target to be spoken to.
///
/// # Errors
/// When the file of certificates cannot be read.
pub fn manner(scenario: &Scenario) -> Result<Manner> {
    let options = &scenario.http;
    let read = |file: &String| {
        fs::read(file)
            .with_context(|| format!("scenario '{}', http.ca_file: {file} cannot be read", scenario.name))
    };
    Ok(Manner {
        http2: options.version == HttpVersion::Http2,
        roots: options.ca_file.as_ref().map(read).transpose()?,
        insecure: options.any_certificate,
    })
}

/// The items of a shared list, one after the other.
struct Recorded<T> {
    items: Arc<Vec<T>>,
    next: usize,
}

impl<T> Recorded<T> {
    fn of(items: Arc<Vec<T>>) -> Self {
        Self { items, next: 0 }
    }
}

impl<T: Copy> Iterator for Recorded<T> {
    type Item = T;

    fn next(&mut self) -> Option<T> {
        let item = self.items.get(self.next).copied();
        self.next += 1;
        item
    }
}
