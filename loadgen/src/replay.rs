//! Replays an access log: its targets become links, its order and popularity the redirects.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proofload_reports::run::Measurement;
use proofload_scenarios::access_log::{Replay, Skipped};
use proofload_scenarios::scenario::{
    Action, HttpOptions, Load, OperationTemplate, Phases, RateSpec, Scenario, ScheduleSpec, ServerSettings,
};
use proofload_scenarios::schedule::{Rate, Schedule};
use proofload_scenarios::workload::Operation;

use crate::cli::RunArgs;
use crate::facts::hits_of_lookups;
use crate::generate::Script;
use crate::interrupt;
use crate::lab::Lab;
use crate::live::Live;
use crate::measure::measure_subjects;
use crate::plan::Plan;
use crate::prepare;
use crate::publish::Destination;
use crate::session::Session;
use crate::subject::Subject;

/// Where neither a rate nor a speed is given.
const DEFAULT_RATE: f64 = 1_000.0;
const CONNECTIONS: u32 = 64;
const SEED: u64 = 1;
/// A report needs slices enough to see a course, and few enough to draw.
const SLICES: f64 = 50.0;

/// Replays the log against the bundled server, once for each cache capacity, and returns the exit code.
///
/// # Errors
/// When the file is no access log, or something could not be set up; nothing is written then.
pub fn replay(path: &Path, args: &RunArgs) -> Result<u8> {
    let log = read(path)?;
    let arrivals = arrivals(&log, args)?;
    let destination = Destination::prepare(&args.output, "replay")?;
    let lab = Lab::open(&args.place)?;
    let capacities: Vec<Option<u64>> =
        std::iter::once(None).chain(args.cache_entries.iter().map(|&entries| Some(entries))).collect();
    let scenarios: Vec<Scenario> = capacities.iter().map(|it| scenario(path, &arrivals, *it, args)).collect();
    let live = Live::start(Plan::of(&scenarios, &lab).total());
    let mut session = Session::begin("run", args.profile, &lab);
    for (scenario, capacity) in scenarios.iter().zip(capacities) {
        if interrupt::requested() {
            break;
        }
        let outcome = replay_once(scenario, &log, &arrivals, &lab, &live, &args.link_base);
        let Some(mut measurement) = interrupt::outlived(outcome)? else { break };
        measurement.ceiling = capacity.map(|entries| best_fixed_share(&log, entries));
        account(path, &log, &mut measurement);
        session.run.measurements.push(measurement);
    }
    live.finish();
    let run = session.end();
    let code = destination.publish(&run, args.output.json)?;
    if !args.output.json {
        println!("{}", accounting(path, &log, &run.measurements));
    }
    Ok(code)
}

fn read(path: &Path) -> Result<Replay> {
    let name = path.display();
    let bytes = fs::read(path).with_context(|| format!("--access-log {name} cannot be read"))?;
    Replay::parse(&bytes).with_context(|| format!("--access-log {name}"))
}

/// When each visit is due: by the log's own clock, or at a rate.
fn arrivals(log: &Replay, args: &RunArgs) -> Result<Arc<Vec<Duration>>> {
    let schedule = match args.speed {
        Some(speed) if !speed.is_finite() || speed <= 0.0 => bail!("--speed {speed}: give a factor above 0"),
        Some(speed) => Schedule::trace(log.visits.iter().map(|visit| visit.at), speed),
        None => {
            let rate = Rate::per_second(args.adhoc.rate.unwrap_or(DEFAULT_RATE)).context("--rate")?;
            Schedule::Poisson(rate)
        }
    };
    Ok(Arc::new(schedule.arrivals(SEED).take(log.visits.len()).collect()))
}

/// What is run, in the words of a scenario, for the report.
fn scenario(path: &Path, arrivals: &[Duration], entries: Option<u64>, args: &RunArgs) -> Scenario {
    let length = arrivals.last().map_or(1.0, Duration::as_secs_f64) + 0.001;
    let (name, mut flags) = match entries {
        None => ("access-log".to_owned(), BTreeMap::new()),
        Some(entries) => (
            format!("access-log, cache of {entries} entries"),
            BTreeMap::from([("cache-entries".to_owned(), toml::Value::Integer(entries as i64))]),
        ),
    };
    // Nothing is known of the past: every hit has to be earned in the replay.
    flags.insert("warm".to_owned(), toml::Value::String("none".to_owned()));
    let server = ServerSettings { processes: 1, stacks: Vec::new(), keygen: false, flags };
    let schedule = match args.speed {
        Some(speed) => ScheduleSpec::Trace { file: path.display().to_string(), speed },
        None => ScheduleSpec::Poisson(RateSpec::PerSecond(args.adhoc.rate.unwrap_or(DEFAULT_RATE))),
    };
    Scenario {
        name,
        about: format!("the visits of {}, in the file's order, from a cold cache", path.display()),
        seed: SEED,
        load: Load::Open { schedule, connections: CONNECTIONS },
        phases: Phases { warm_up_s: 0.0, measurement_s: length, slice_s: length / SLICES },
        links: None,
        variants: BTreeMap::from([("replay".to_owned(), server)]),
        operations: vec![OperationTemplate { weight: 1, action: Action::Visit }],
        full: None,
        services: false,
        journeys: Vec::new(),
        faults: Vec::new(),
        probes: Vec::new(),
        sweep: None,
        http: HttpOptions::default(),
        values: BTreeMap::new(),
    }
}

fn replay_once(
    scenario: &Scenario,
    log: &Replay,
    arrivals: &Arc<Vec<Duration>>,
    lab: &Lab,
    live: &Live,
    link_base: &str,
) -> Result<Measurement> {
    let mut deployment = lab.deploy(scenario)?.remove(0);
    let base = link_base.trim_end_matches('/');
    let urls: Vec<String> = log.links.iter().map(|target| format!("{base}{target}")).collect();
    let links = prepare::create(&urls, &[], true, &mut deployment)
        .context("--link-base and the log's targets must make URLs that the server takes")?;
    let subject = Subject::new(lab, deployment, links)?;
    let visits = log.visits.iter().map(|visit| Operation::Visit { link: visit.link }).collect();
    let script = Script { arrivals: arrivals.clone(), operations: Arc::new(visits) };
    measure_subjects(scenario, lab, vec![subject], live, Some(script))
}

/// The share of visits that go to the `entries` most visited targets: what the best fixed set of links would answer.
fn best_fixed_share(log: &Replay, entries: u64) -> f64 {
    let mut counts = vec![0u64; log.links.len()];
    for visit in &log.visits {
        counts[visit.link as usize] += 1;
    }
    counts.sort_unstable_by(|a, b| b.cmp(a));
    let hottest: u64 = counts.iter().take(entries as usize).sum();
    hottest as f64 / log.visits.len().max(1) as f64
}

/// Enters into the measurement what became of every line.
fn account(path: &Path, log: &Replay, measurement: &mut Measurement) {
    let lines = (log.visits.len() + log.skipped.len()) as f64;
    measurement.facts.insert("lines".to_owned(), lines);
    measurement.facts.insert("lines-replayed".to_owned(), log.visits.len() as f64);
    measurement.facts.insert("lines-skipped".to_owned(), log.skipped.len() as f64);
    measurement.settings.insert("access log".to_owned(), path.display().to_string());
    measurement
        .remarks
        .extend(log.skipped.iter().map(|skipped| format!("line {}: {}", skipped.line, skipped.reason)));
}

/// The last lines printed: every line of the file, replayed or skipped and why.
fn accounting(path: &Path, log: &Replay, measurements: &[Measurement]) -> String {
    let mut text = String::new();
    let lines = log.visits.len() + log.skipped.len();
    for measurement in measurements {
        let sum = |name: &str| -> u64 {
            let names = [name.to_owned()];
            measurement.series.iter().flat_map(|it| &it.slices).map(|slice| slice.sum(&names)).sum()
        };
        let (hits, lookups) = hits_of_lookups(sum);
        let _ = writeln!(
            text,
            "{}: {} visits answered rightly of {} sent; hit rate {:.2} % ({hits} of {lookups} look-ups)",
            measurement.scenario.name,
            sum("client.ok"),
            sum("client.sent"),
            100.0 * hits as f64 / lookups.max(1) as f64,
        );
    }
    for (reason, lines) in by_reason(&log.skipped) {
        let _ = writeln!(text, "skipped: {reason}: line {}", lines.join(", "));
    }
    let (visits, skipped) = (log.visits.len(), log.skipped.len());
    let _ = write!(text, "{}: {lines} lines = {visits} visits + {skipped} skipped", path.display());
    text
}

fn by_reason(skipped: &[Skipped]) -> BTreeMap<String, Vec<String>> {
    let mut reasons: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in skipped {
        reasons.entry(line.reason.to_string()).or_default().push(line.line.to_string());
    }
    reasons
}
