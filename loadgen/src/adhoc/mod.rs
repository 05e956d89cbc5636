//! Load on one URL, with no file: closed without a rate, Poisson with one.

mod summary;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use proofload_reports::knee::Slo;
use proofload_reports::run::Measurement;
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::{
    HttpOptions, HttpTemplate, Load as Asked, Phases, RateSpec, ScheduleSpec,
};
use proofload_scenarios::schedule::{Rate, Schedule};

use crate::connect::{Manner, Target};
use crate::drive::{Drive, Load, Source, capacity, drive};
use crate::exchange::{Operation, Templates, Values};
use crate::knee;
use crate::live::Live;
use serde::Serialize;
use summary::Summary;

/// What is sent to a URL, and how.
#[derive(Debug, Clone, Args)]
pub struct AdhocArgs {
    /// Load this URL: as fast as its answers come, or at a rate.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Connections that are kept open.
    #[arg(long, short, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// How long to measure: `10s`, `500ms`, `2m`.
    #[arg(long, short, value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub duration: Duration,
    /// Poisson arrivals per second, whether answers come or not. Without it the load is closed.
    #[arg(long, short, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// Search the highest Poisson rate that keeps an objective, such as `p99 <= 5ms`, with no errors. Each rate is
    /// tried for the duration; of a scenario, for as long as it measures.
    #[arg(long, value_name = "OBJECTIVE", conflicts_with_all = ["rate", "access_log"])]
    pub slo: Option<Slo>,
    /// Load before the measurement begins, which is not counted.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub warm_up: Duration,
    /// Longest wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    /// The request's method.
    #[arg(long, short = 'X', value_name = "METHOD", default_value = "GET")]
    pub method: String,
    /// A header, as `name: value`; may be given several times.
    #[arg(long, short = 'H', value_name = "HEADER")]
    pub header: Vec<String>,
    /// The request's body. `{row}` and `{random}` stand for values that differ between requests.
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub body: String,
    /// The one status that is right; any 2xx or 3xx where nothing is said.
    #[arg(long, value_name = "CODE")]
    pub expect_status: Option<u16>,
    /// Cores that the generator is bound to, as `1` or `2,3`; a worker each.
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    pub generator_cores: Vec<usize>,
    /// Speak HTTP/2, with one request at a time on each connection.
    #[arg(long)]
    pub http2: bool,
    /// Certificates to trust instead of the system's, in PEM form.
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Accept any certificate.
    #[arg(long, conflicts_with = "cacert")]
    pub insecure: bool,
    /// Seed of the arrivals and of `{random}`.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub load_seed: u64,
}

/// Slices of a probe of the knee: the confidence in it rests on how much they differ.
pub const PROBE_SLICES: u32 = 50;

/// Loads the URL, prints what came of it and returns the exit code: 0, 4 where the measurement cannot be
/// trusted, or 1 where nothing was answered rightly. `stop` ends the load early. What was measured goes into `kept` where
/// someone wants a report of it.
///
/// # Errors
/// When the URL is none, does not resolve or cannot be reached.
pub fn run(
    args: &AdhocArgs,
    json: bool,
    stop: Arc<AtomicBool>,
    kept: Option<&mut Vec<Measurement>>,
) -> Result<u8> {
    let url = args.url.as_deref().context("no URL was given")?;
    let (target, path) = Target::of_url(url, &manner(args)?)?;
    let template = template(args, path)?;
    let exchange = Arc::new(Templates::new(&target.host, &[template], Values::built_in(args.load_seed))?);
    let mut spec = Drive::new(target, load(args, args.rate)?, args.duration);
    spec.warm_up = args.warm_up;
    spec.timeout = args.timeout;
    spec.cores = args.generator_cores.clone();
    spec.slice = Duration::from_secs(1).min(args.duration);
    spec.stop = stop;
    if let Some(slo) = args.slo {
        return knee_of(args, slo, &spec, &exchange, json, kept);
    }
    let live = Live::start(args.warm_up + args.duration);
    live.phase(url, args.warm_up + args.duration);
    let result = drive(&spec, exchange, requests(), &mut |boundary| live.show(boundary));
    live.finish();
    let recording = result?;
    let summary = Summary::of(&recording, args);
    show(&summary, json)?;
    if let Some(kept) = kept {
        kept.push(knee::measurement(&scenario("url".to_owned(), args, args.rate), recording));
    }
    Ok(summary.exit_code())
}

fn show<T: Serialize + Display>(result: &T, json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(result)?);
    } else {
        print!("{result}");
    }
    Ok(())
}

/// Searches the knee and returns the exit code.
fn knee_of(
    args: &AdhocArgs,
    slo: Slo,
    spec: &Drive,
    exchange: &Arc<Templates>,
    json: bool,
    mut kept: Option<&mut Vec<Measurement>>,
) -> Result<u8> {
    const CALIBRATION: Duration = Duration::from_secs(2);
    let calibration = Drive { measurement: CALIBRATION.min(args.duration), ..spec.clone() };
    let capacity = capacity(&calibration, exchange.clone(), requests())?;
    let mut probes = 0;
    let probe = |rate: f64| {
        // Fine slices: they are what the confidence rests on.
        let slice = (args.duration / PROBE_SLICES).max(Duration::from_millis(20));
        let open = Drive { load: load(args, Some(rate))?, slice, ..spec.clone() };
        let recording = drive(&open, exchange.clone(), requests(), &mut |_| ())?;
        probes += 1;
        let scenario = scenario(format!("knee/url/{probes}"), args, Some(rate));
        let mut measurement = knee::measurement(&scenario, recording);
        measurement.settings.insert("objective".to_owned(), slo.to_string());
        if let Some(kept) = &mut kept {
            kept.push(measurement.clone());
        }
        Ok(measurement)
    };
    let found = knee::find(slo, capacity, probe, |probe| eprintln!("{}", knee::line(probe)))?;
    show(&found, json)?;
    Ok(found.exit_code())
}

/// The scenario that the load amounts to.
fn scenario(name: String, args: &AdhocArgs, rate: Option<f64>) -> Scenario {
    let connections = args.connections;
    Scenario {
        name,
        about: args.url.clone().unwrap_or_default(),
        seed: args.load_seed,
        load: match rate {
            Some(rate) => {
                Asked::Open { schedule: ScheduleSpec::Poisson(RateSpec::PerSecond(rate)), connections }
            }
            None => Asked::Closed { connections, think_time_ms: 0 },
        },
        phases: Phases {
            warm_up_s: args.warm_up.as_secs_f64(),
            measurement_s: args.duration.as_secs_f64(),
            slice_s: args.duration.as_secs_f64() / f64::from(PROBE_SLICES),
        },
        full: None,
        services: false,
        links: None,
        variants: BTreeMap::new(),
        operations: Vec::new(),
        journeys: Vec::new(),
        faults: Vec::new(),
        probes: Vec::new(),
        sweep: None,
        http: HttpOptions::default(),
        values: BTreeMap::new(),
    }
}

fn manner(args: &AdhocArgs) -> Result<Manner> {
    let read = |path: &PathBuf| {
        fs::read(path).with_context(|| format!("--cacert {} cannot be read", path.display()))
    };
    let roots = args.cacert.as_ref().map(read).transpose()?;
    Ok(Manner { http2: args.http2, roots, insecure: args.insecure })
}

fn requests() -> Source<Operation> {
    Arc::new(|| Box::new((0..).map(|row| Operation::Http { template: 0, row })))
}

fn load(args: &AdhocArgs, rate: Option<f64>) -> Result<Load> {
    let connections = args.connections as usize;
    let Some(rate) = rate else { return Ok(Load::Closed { connections, think: Duration::ZERO }) };
    let schedule = Schedule::Poisson(Rate::per_second(rate).context("--rate")?);
    let seed = args.load_seed;
    let arrivals: Source<Duration> = Arc::new(move || Box::new(schedule.arrivals(seed)));
    Ok(Load::Open { arrivals, connections })
}

fn template(args: &AdhocArgs, path: String) -> Result<HttpTemplate> {
    let headers = args
        .header
        .iter()
        .map(|header| {
            let (name, value) = header
                .split_once(':')
                .with_context(|| format!("--header '{header}' has no colon; write 'name: value'"))?;
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        })
        .collect::<Result<_>>()?;
    Ok(HttpTemplate {
        method: args.method.clone(),
        path,
        headers,
        body: args.body.clone(),
        status: args.expect_status,
        ..HttpTemplate::default()
    })
}

/// `10s`, `1.5s`, `500ms`, `2m`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        other => return Err(format!("`{other}` is no unit of time; write ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is no time; write `10s`"))?;
    Duration::try_from_secs_f64(number * seconds).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("ten").is_err());
        assert!(duration("5 parsecs").is_err());
        assert!(duration("-1s").is_err());
    }
}
