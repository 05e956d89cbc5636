//! Load on one URL, with no file: closed without a rate, open with one.

mod args;
mod asked;

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use proofload_reports::knee::Slo;
use proofload_reports::run::{Measurement, Model};
use proofload_scenarios::scenario::HttpTemplate;
use serde::Serialize;

pub use args::{AdhocArgs, duration};

use crate::connect::{Target, presentable};
use crate::drive::{Drive, capacity, drive};
use crate::exchange::{Templates, Values, authorized};
use crate::live::{Live, grouped};
use crate::selftest;
use crate::summary::Summary;
use crate::{interrupt, knee, terminal};

/// Slices of a probe of the knee: the confidence in it rests on how much they differ.
pub const PROBE_SLICES: u32 = 50;

/// Loads the URL, prints what came of it and returns the exit code: 0, 4 where the measurement cannot be
/// trusted, or 1 where nothing was answered rightly. `stop` ends the load early. What was measured is first given to `keep`:
/// who reads what is printed may be gone.
///
/// # Errors
/// When the URL is none, does not resolve or cannot be reached, or what was measured cannot be kept.
pub fn run(
    args: &AdhocArgs,
    json: bool,
    stop: Arc<AtomicBool>,
    keep: impl FnOnce(Vec<Measurement>) -> Result<()>,
) -> Result<u8> {
    let url = args.url.as_deref().context("no URL was given")?;
    let (target, path) = Target::of_url(url, &asked::manner(args)?)?;
    let template = asked::template(args, path)?;
    let values = Values::built_in(args.load_seed);
    let exchange = Arc::new(Templates::new(&target.host, &[authorized(template.clone(), &target)], values)?);
    let mut spec = asked::drive(args, target)?;
    spec.stop = stop;
    if let Some(slo) = args.slo {
        return knee_of(args, slo, &spec, &exchange, &template, json, keep);
    }
    let planned = asked::planned(args, &spec);
    let live = Live::start(planned);
    live.phase(&presentable(url), planned);
    let result = drive(&spec, exchange, asked::requests(args), &mut |boundary| live.show(boundary));
    live.finish();
    let recording = result?;
    let model = if spec.load.is_open() { Model::Open } else { Model::Closed };
    let mut summary = Summary::of_url(&presentable(url), args.connections, model, &recording);
    summary.generator_error = selftest::last_known();
    let scenario = asked::scenario("url".to_owned(), args, asked::spec(args)?, &template, spec.slice);
    let settings = asked::settings(args);
    keep(vec![Measurement { settings, ..knee::measurement(&scenario, recording) }])?;
    show(&summary, json)?;
    Ok(summary.exit_code())
}

/// Prints a result for people, or as one JSON object.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn show<T: Serialize + Display>(result: &T, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(result)?);
    } else {
        print!("{}", terminal::folded(&result.to_string()));
    }
    Ok(())
}

/// Searches the knee and returns the exit code.
fn knee_of(
    args: &AdhocArgs,
    slo: Slo,
    spec: &Drive,
    exchange: &Arc<Templates>,
    template: &HttpTemplate,
    json: bool,
    keep: impl FnOnce(Vec<Measurement>) -> Result<()>,
) -> Result<u8> {
    const CALIBRATION: Duration = Duration::from_secs(2);
    let calibration = Drive { measurement: CALIBRATION.min(spec.measurement), ..spec.clone() };
    let capacity = capacity(&calibration, exchange.clone(), asked::requests(args))?;
    // Fine slices: they are what the confidence rests on.
    let slice = (spec.measurement / PROBE_SLICES).max(Duration::from_millis(20));
    let mut probes = Vec::new();
    let probe = |rate: f64| {
        let schedule = asked::poisson(rate);
        let open = Drive { load: asked::open(&schedule, args, probes.len() as u64)?, slice, ..spec.clone() };
        let planned = spec.warm_up + spec.measurement;
        let live = Live::start(planned);
        live.phase(&format!("{} arrivals a second", grouped(rate)), planned);
        let recording =
            drive(&open, exchange.clone(), asked::requests(args), &mut |boundary| live.show(boundary));
        live.finish();
        let recording = recording?;
        let name = format!("knee/url/{}", probes.len() + 1);
        let scenario = asked::scenario(name, args, Some(schedule), template, slice);
        let mut measurement =
            Measurement { settings: asked::settings(args), ..knee::measurement(&scenario, recording) };
        measurement.settings.insert("objective".to_owned(), slo.to_string());
        probes.push(measurement.clone());
        Ok(measurement)
    };
    let found = knee::find(slo, capacity, probe, |probe| eprintln!("{}", knee::line(probe)))?;
    keep(probes)?;
    show(&found, json)?;
    Ok(if interrupt::requested() { 4 } else { found.exit_code() })
}
