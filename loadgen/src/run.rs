//! The `run` verb: one scenario, an access log, or a URL.

use anyhow::{Result, bail};
use proofload_reports::knee::Slo;
use proofload_reports::run::{Ledger, Measurement, Run, Series};
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::{Load, RateSpec, ScheduleSpec};

use crate::adhoc::PROBE_SLICES;
use crate::cli::{Place, RunArgs};
use crate::lab::Lab;
use crate::live::Live;
use crate::measure::{measure, measure_all};
use crate::plan::Plan;
use crate::publish::Destination;
use crate::session::Session;
use crate::{adhoc, ask, interrupt, knee, replay};

/// Runs what was named and returns the exit code.
///
/// # Errors
/// When something could not be set up; nothing is written then.
pub fn run(args: &RunArgs) -> Result<u8> {
    match (&args.scenario, &args.access_log, &args.adhoc.url) {
        (Some(name), None, None) => one_scenario(name, args),
        (None, Some(log), None) => replay::replay(log, args),
        (None, None, Some(url)) => one_url(url, args),
        _ => bail!("name one thing to run: SCENARIO.toml, --access-log FILE, or --url URL"),
    }
}

/// Prints what came of it; a report is written where `--out` names its directory.
fn one_url(url: &str, args: &RunArgs) -> Result<u8> {
    let (load, json) = (&args.adhoc, args.output.json);
    if args.output.out.is_none() {
        return adhoc::run(load, json, interrupt::flag(), |_| Ok(()));
    }
    let destination = Destination::prepare(&args.output, "run")?;
    let lab = Lab::open(&Place { target: Some(url.to_owned()), ..args.place.clone() })?;
    let mut session = Session::begin("run", args.profile, &lab);
    adhoc::run(load, json, interrupt::flag(), |measurements| {
        session.run.measurements = measurements;
        destination.keep(&session.end()).map(drop)
    })
}

fn one_scenario(name: &str, args: &RunArgs) -> Result<u8> {
    let points = ask::points(name, args.profile)?;
    let lab = Lab::open(&args.place)?;
    let (scenarios, refused) = lab.sort_out(points);
    for (_, why) in refused {
        if scenarios.is_empty() {
            return Err(why);
        }
        eprintln!("not measured: {why:#}");
    }
    match (args.adhoc.slo, scenarios.as_slice()) {
        (Some(slo), [scenario]) => return knee_of(scenario, slo, &lab, args),
        (Some(_), _) => bail!("scenario '{name}' has several points; the knee is searched of one alone"),
        (None, _) => {}
    }
    let destination = Destination::prepare(&args.output, "run")?;
    let live = Live::start(Plan::of(&scenarios, &lab).total());
    let mut session = Session::begin("run", args.profile, &lab);
    session.run.measurements = measure_all(&scenarios, &[], &lab, &live)?;
    live.finish();
    for measurement in &mut session.run.measurements {
        measurement.invalid.extend(measurement.ledger.as_ref().and_then(Ledger::denial));
    }
    let run = session.end();
    let code = destination.publish(&run, args.output.json)?;
    if nothing_was_right(&run) && !interrupt::requested() {
        eprintln!("no request was answered rightly: the report shows what came instead");
        return Ok(code.max(1));
    }
    Ok(code)
}

/// Whether the target gave no right answer at all: no claim may be there to say so.
fn nothing_was_right(run: &Run) -> bool {
    let mut slices = run.measurements.iter().flat_map(|it| &it.series).flat_map(|series| &series.slices);
    slices.all(|slice| slice.sum(&["client.ok".to_owned()]) == 0)
}

/// Runs the scenario at one rate after the other, each on servers of its own, and reports the curve.
fn knee_of(scenario: &Scenario, slo: Slo, lab: &Lab, args: &RunArgs) -> Result<u8> {
    let connections = match &scenario.load {
        Load::Open { connections, .. } | Load::Closed { connections, .. } => *connections,
        Load::Journeys { .. } => {
            bail!("scenario '{}': users who think have no knee; give open load", scenario.name)
        }
    };
    if scenario.variants.len() > 1 {
        bail!("scenario '{}' compares variants; the knee is searched of one alone", scenario.name);
    }
    let destination = Destination::prepare(&args.output, "knee")?;
    let mut session = Session::begin("run", args.profile, lab);
    let closed = closed(scenario, connections);
    let capacity = throughput(&alone(&closed, lab)?.series);
    if capacity <= 0.0 {
        bail!("scenario '{}' got no right answer to find the capacity by", scenario.name);
    }
    let probe = |rate: f64| {
        let index = session.run.measurements.len();
        let at_rate = at_rate(scenario, connections, rate, index);
        let mut measurement = alone(&at_rate, lab)?;
        measurement.settings.insert("objective".to_owned(), slo.to_string());
        session.run.measurements.push(measurement.clone());
        Ok(measurement)
    };
    let found = knee::find(slo, capacity, probe, |probe| eprintln!("{}", knee::line(probe)))?;
    let report = destination.keep(&session.end()).map(|_| destination.report())?;
    adhoc::show(&found, args.output.json)?;
    eprintln!("report: {}", report.display());
    Ok(if interrupt::requested() { 4 } else { found.exit_code() })
}

fn alone(scenario: &Scenario, lab: &Lab) -> Result<Measurement> {
    let live = Live::start(Plan::of(std::slice::from_ref(scenario), lab).total());
    let measurement = measure(scenario, &[], lab, &live)?;
    live.finish();
    Ok(measurement)
}

/// The scenario as fast as its answers come.
fn closed(scenario: &Scenario, connections: u32) -> Scenario {
    let mut closed = scenario.clone();
    closed.load = Load::Closed { connections, think_time_ms: 0 };
    closed.phases.measurement_s = closed.phases.measurement_s.min(2.0);
    closed.phases.slice_s = closed.phases.measurement_s;
    closed.faults.clear();
    closed
}

/// The scenario at a rate; no probe draws what another drew.
fn at_rate(scenario: &Scenario, connections: u32, rate: f64, index: usize) -> Scenario {
    let mut at_rate = scenario.clone();
    at_rate.name = format!("knee/{}/{index}", scenario.name);
    at_rate.seed += index as u64;
    at_rate.load = Load::Open { schedule: ScheduleSpec::Poisson(RateSpec::PerSecond(rate)), connections };
    at_rate.phases.slice_s = at_rate.phases.measurement_s / f64::from(PROBE_SLICES);
    at_rate
}

fn throughput(series: &[Series]) -> f64 {
    let slices = series.iter().flat_map(|series| &series.slices);
    let (right, seconds) = slices.fold((0, 0.0), |(right, seconds), slice| {
        (right + slice.counters.get("client.ok").copied().unwrap_or(0), seconds + slice.duration_s)
    });
    if seconds > 0.0 { right as f64 / seconds } else { 0.0 }
}
