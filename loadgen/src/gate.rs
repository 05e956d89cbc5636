//! The `gate` verb: whether one build is slower than another, measured side by side.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proofload_reports::gate::{BASE, Gate, HEAD, Judge, Rules, VERB, order};
use proofload_reports::run::{Ledger, Measurement, Series};
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::ServerSettings;

use crate::cli::{GateArgs, Profile};
use crate::generate::{Generator, Settled};
use crate::lab::Lab;
use crate::live::Live;
use crate::measure::{Phases, audit, blank, blank_series, client, describe_rate};
use crate::observe::difference;
use crate::publish::Destination;
use crate::session::Session;
use crate::subject::Subject;
use crate::{ask, doubts, interleave, interrupt, ledger};

/// What starting two servers, making their links and reading them back takes a block, about.
const PREPARATION: Duration = Duration::from_secs(3);

/// One block in so many may be disturbed, and is measured again; beyond that the machine is unfit.
const DISTURBED_ONE_IN: usize = 4;

/// Measures both builds in interleaved blocks and returns the exit code.
///
/// # Errors
/// When something could not be set up; nothing is written then.
pub fn gate(args: &GateArgs) -> Result<u8> {
    let builds = [Build::named(BASE, &args.base)?, Build::named(HEAD, &args.head)?];
    let mut place = args.place();
    match &builds {
        [Build { what: What::Running(url), .. }, Build { what: What::Running(_), .. }] => {
            place.target = Some(url.clone());
        }
        [Build { what: What::Program(_), .. }, Build { what: What::Program(_), .. }] => {}
        _ => bail!("--base and --head must both be executables of proofload, or both be URLs"),
    }
    let lab = Lab::open(&place)?;
    let scenario = ask::scenario(&args.scenario)?;
    refuse_unless_fit(&scenario, lab.target.is_some())?;
    lab.refuse_unless_able(std::slice::from_ref(&scenario))?;
    let settings = the_settings(&scenario)?;
    let destination = Destination::prepare(&args.output, VERB)?;
    let rules = Rules { margin: args.margin / 100.0, ..Rules::default() };
    let live = Live::start(planned(&scenario) * rules.looks[1] as u32);
    let mut session = Session::begin(VERB, Profile::Quick, &lab);
    let mut experiment = Experiment {
        scenario: &scenario,
        settings,
        lab: &lab,
        builds: &builds,
        live: &live,
        measurement: blank(&scenario),
        rate: None,
        elapsed_s: 0.0,
        ledgers: Vec::new(),
    };
    let gate = experiment.measure(rules)?;
    let measurement = experiment.finish();
    live.finish();
    session.run.claims = vec![gate.verdict.claim];
    session.run.measurements.push(measurement);
    destination.publish(&session.end(), args.output.json)
}

/// One side of the comparison.
struct Build {
    name: &'static str,
    what: What,
}

enum What {
    /// An executable of proofload, whose server is started anew in each block.
    Program(PathBuf),
    /// A service that already runs, and goes on running.
    Running(String),
}

impl Build {
    fn named(name: &'static str, text: &str) -> Result<Self> {
        if text.contains("://") {
            return Ok(Self { name, what: What::Running(text.to_owned()) });
        }
        let path =
            Path::new(text).canonicalize().ok().filter(|path| path.is_file()).with_context(|| {
                format!("--{name} {text}: give a proofload executable that exists, or a URL")
            })?;
        Ok(Self { name, what: What::Program(path) })
    }

    fn start(&self, scenario: &Scenario, settings: &ServerSettings, lab: &Lab) -> Result<Subject> {
        match &self.what {
            What::Running(url) => Subject::given(self.name, scenario, url),
            What::Program(program) => {
                Subject::prepare(scenario, lab, lab.start(self.name, scenario, settings, program)?)
            }
        }
    }
}

/// What the lab would answer by `--target`, which the gate does not have.
fn refuse_unless_fit(scenario: &Scenario, running: bool) -> Result<()> {
    let name = &scenario.name;
    match (running, scenario.is_for_any_service()) {
        (false, true) => {
            bail!("scenario '{name}' is for services that already run: give --base and --head as URLs")
        }
        (true, false) => bail!(
            "scenario '{name}' asks for the links of proofload's own server; of other services, name a scenario file \
             whose operations, or steps, are all HTTP requests: `proofload list example-http-service` prints one"
        ),
        _ => Ok(()),
    }
}

/// How the builds' servers are started: the settings of the scenario's only variant.
fn the_settings(scenario: &Scenario) -> Result<ServerSettings> {
    let mut variants = scenario.variants.values();
    match (variants.next(), variants.next()) {
        (Some(_), Some(_)) => bail!(
            "scenario '{}' compares designs of its own; for the gate name one with at most one variant",
            scenario.name
        ),
        (only, _) => Ok(only.cloned().unwrap_or_default()),
    }
}

fn planned(scenario: &Scenario) -> Duration {
    let phases = &scenario.phases;
    PREPARATION + Duration::from_secs_f64(2.0 * phases.warm_up_s + 4.0 * phases.slice_s)
}

/// All blocks of one gate.
struct Experiment<'a> {
    scenario: &'a Scenario,
    settings: ServerSettings,
    lab: &'a Lab,
    builds: &'a [Build; 2],
    live: &'a Live,
    measurement: Measurement,
    /// Found in the first block, and kept.
    rate: Option<Settled>,
    elapsed_s: f64,
    ledgers: Vec<Ledger>,
}

/// What one block adds.
struct Block {
    measurement: Measurement,
    ledger: Option<Ledger>,
    elapsed_s: f64,
}

impl Experiment<'_> {
    /// As many blocks as the rules' first look asks for, and once more where that does not settle it.
    fn measure(&mut self, rules: Rules) -> Result<Gate> {
        let mut judge = Judge::new(rules);
        self.measurement.series = both();
        let [first, last] = rules.looks;
        let mut orders = order(first, self.scenario.seed);
        orders.extend(order(last - first, self.scenario.seed + 1));
        let mut redone = 0;
        for (index, &base_first) in orders.iter().enumerate() {
            let doubts = !self.measurement.invalid.is_empty() || !self.measurement.invalid_latency.is_empty();
            if interrupt::requested() || doubts {
                break;
            }
            if index == first && !judge.gate(&self.measurement, BASE, HEAD).extend {
                break;
            }
            self.live.phase(&format!("block {} of {first} or {last}", index + 1), planned(self.scenario));
            let mut block = interrupt::outlived(self.block(index as u32, base_first))?;
            while block.as_ref().is_some_and(|it| !it.measurement.invalid_latency.is_empty())
                && redone < last / DISTURBED_ONE_IN
                && !interrupt::requested()
            {
                redone += 1;
                block = interrupt::outlived(self.block(index as u32, base_first))?;
            }
            block.into_iter().for_each(|block| self.enter(block));
        }
        if redone > 0 {
            let remark = format!("{redone} blocks were measured again: the generator was disturbed in them");
            self.measurement.remarks.push(remark);
        }
        Ok(judge.gate(&self.measurement, BASE, HEAD))
    }

    /// Fresh processes and databases, the same operations for both, ABBA or BAAB.
    fn block(&mut self, index: u32, base_first: bool) -> Result<Block> {
        let scenario = &Scenario { seed: self.scenario.seed + u64::from(index), ..self.scenario.clone() };
        let mut subjects = self
            .builds
            .iter()
            .map(|build| {
                let subject = build.start(scenario, &self.settings, self.lab);
                subject.with_context(|| format!("--{}", build.name))
            })
            .collect::<Result<Vec<_>>>()?;
        let mut generators: Vec<Generator> = subjects
            .iter()
            .map(|it| Generator::new(scenario, self.lab, it.target(), it.links.clone()))
            .collect();
        self.settle(&mut generators)?;
        interleave::warm_up(scenario, &mut generators, &mut subjects, self.rate)?;
        let mut block = Block {
            measurement: Measurement { series: both(), ..blank(scenario) },
            ledger: None,
            elapsed_s: 0.0,
        };
        let forth: [usize; 2] = if base_first { [0, 1] } else { [1, 0] };
        for side in forth.into_iter().chain(forth.into_iter().rev()) {
            let slice = Phases::only(Duration::from_secs_f64(scenario.phases.slice_s));
            let subject = &mut subjects[side];
            let before = subject.observer.read();
            let recording =
                generators[side].drive(slice, self.rate, &mut |boundary| self.live.show(boundary))?;
            let witnessed = difference(&before, &subject.observer.read());
            let start_s = self.elapsed_s + block.elapsed_s;
            doubts::enter(&recording, Some((self.builds[side].name, start_s)), &mut block.measurement);
            subject.note(scenario, &recording);
            let series = &mut block.measurement.series[side];
            block.elapsed_s += interleave::append(series, recording, &witnessed, index, start_s);
        }
        for subject in &subjects {
            block.measurement.witnesses.extend(subject.observer.about());
            let (variant, settings) = subject.described();
            block.measurement.settings.insert(format!("server ({variant})"), settings);
        }
        block.ledger = audit(subjects)?;
        Ok(block)
    }

    /// Both get the same rate: the scenario's share of what the slower one sustains.
    fn settle(&mut self, generators: &mut [Generator]) -> Result<()> {
        if self.rate.is_some() {
            return Ok(());
        }
        let settled: Vec<Option<Settled>> =
            generators.iter_mut().map(Generator::settle).collect::<Result<_>>()?;
        self.rate = settled.into_iter().flatten().min_by(|a, b| a.rate.get().total_cmp(&b.rate.get()));
        describe_rate(self.rate, &mut self.measurement);
        Ok(())
    }

    fn enter(&mut self, block: Block) {
        let Block { measurement, ledger, elapsed_s } = block;
        self.elapsed_s += elapsed_s;
        let into = &mut self.measurement;
        into.invalid.extend(ledger.as_ref().and_then(Ledger::denial));
        self.ledgers.extend(ledger);
        into.invalid.extend(measurement.invalid);
        into.invalid_latency.extend(measurement.invalid_latency);
        into.remarks.extend(measurement.remarks);
        into.remarks.truncate(REMARKS);
        into.witnesses.extend(measurement.witnesses);
        into.settings.extend(measurement.settings);
        for (all, one) in into.series.iter_mut().zip(measurement.series) {
            all.slices.extend(one.slices);
            for (name, times) in one.times {
                all.times.entry(name).or_default().merge(&times);
            }
        }
    }

    fn finish(mut self) -> Measurement {
        for build in self.builds {
            let described = match &build.what {
                What::Program(path) => path.display().to_string(),
                What::Running(url) => url.clone(),
            };
            self.measurement.settings.insert(build.name.to_owned(), described);
        }
        self.measurement.witnesses.insert("client".to_owned(), client());
        self.measurement.ledger = ledger::sum(self.ledgers);
        self.measurement
    }
}

fn both() -> Vec<Series> {
    [BASE, HEAD].map(blank_series).into()
}

/// What went wrong is told by its first examples.
const REMARKS: usize = 10;
