//! What the options amount to, in the words of a drive and of a scenario.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::{
    Action, HttpOptions, HttpTemplate, HttpVersion, Load as Asked, OperationTemplate, Phases, RateSpec,
    ScheduleSpec,
};
use proofload_scenarios::schedule::{Rate, Schedule};

use super::args::{AdhocArgs, Spacing};
use crate::connect::{Manner, Target, presentable};
use crate::cores;
use crate::drive::{Drive, Load, Source};
use crate::exchange::Operation;

/// How long a load may last that ends by its number of requests.
const LONGEST: Duration = Duration::from_secs(86_400);
const USUAL: Duration = Duration::from_secs(10);

/// How long is measured.
pub fn duration(args: &AdhocArgs) -> Duration {
    match (args.duration, &args.stages, args.requests) {
        (Some(duration), ..) => duration,
        (None, Some(stages), _) => stages.duration(),
        (None, None, Some(_)) => LONGEST,
        (None, None, None) => USUAL,
    }
}

/// How long the load is likely to last. Nobody knows it of a closed one that ends by its number of requests.
pub fn planned(args: &AdhocArgs, drive: &Drive) -> Duration {
    match (args.requests, args.rate) {
        (Some(requests), Some(rate)) if args.stages.is_none() => drive
            .measurement
            .min(Duration::from_secs_f64((requests as f64 / rate).min(LONGEST.as_secs_f64()))),
        (Some(_), None) if args.duration.is_none() && args.stages.is_none() => Duration::ZERO,
        _ => drive.warm_up + drive.measurement,
    }
}

/// The drive, at the rate that the options name or at none.
///
/// # Errors
/// When a rate is none, no stage has one, a core cannot be had, or nothing could come of the load.
pub fn drive(args: &AdhocArgs, target: Target) -> Result<Drive> {
    let connections = args.connections as usize;
    let load = match spec(args)? {
        None => Load::Closed { connections, think: Duration::ZERO },
        Some(spec) => open(&spec, args, 0)?,
    };
    let mut drive = Drive::new(target, load, duration(args));
    drive.warm_up = args.warm_up;
    drive.timeout = args.timeout;
    drive.cores = cores_of(args)?;
    drive.slice = Duration::from_secs(1).min(drive.measurement);
    drive.validate()?;
    Ok(drive)
}

/// One line for each name: those of one name are a list (RFC 9110, 5.3), and cookies one of their own kind (RFC 6265, 5.4).
fn joined(headers: Vec<(String, String)>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    for (name, value) in headers {
        let known = all.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name));
        match known {
            Some((_, before)) => {
                *before += if name.eq_ignore_ascii_case("cookie") { "; " } else { ", " };
                *before += &value;
            }
            None => drop(all.insert(name, value)),
        }
    }
    all
}

/// Arrivals by a schedule. Of several with different numbers none repeats another's.
///
/// # Errors
/// When its rate is none.
pub fn open(spec: &ScheduleSpec, args: &AdhocArgs, number: u64) -> Result<Load> {
    let schedule = Schedule::resolve(spec, None).context("--rate")?;
    let seed = args.load_seed.wrapping_add(number);
    let arrivals: Source<Duration> = Arc::new(move || Box::new(schedule.arrivals(seed)));
    Ok(Load::Open { arrivals, connections: args.connections as usize })
}

pub fn poisson(rate: f64) -> ScheduleSpec {
    ScheduleSpec::Poisson(RateSpec::PerSecond(rate))
}

/// The schedule of arrivals; none where the load is closed.
///
/// # Errors
/// When a rate is none, or no stage has one.
pub fn spec(args: &AdhocArgs) -> Result<Option<ScheduleSpec>> {
    let begin = args.rate.map(|rate| Rate::per_second(rate).context("--rate")).transpose()?.map(Rate::get);
    if let Some(targets) = &args.stages {
        let stages = targets.stages(begin.unwrap_or(0.0));
        if stages.iter().all(|stage| stage.from + stage.to == 0.0) {
            bail!("--stages: no stage has a rate above 0, so nothing would be sent; write `10s:1000`");
        }
        return Ok(Some(ScheduleSpec::Stages(stages)));
    }
    Ok(begin.map(|rate| match args.arrivals {
        Spacing::Poisson => poisson(rate),
        Spacing::Constant => ScheduleSpec::Constant(RateSpec::PerSecond(rate)),
    }))
}

/// The cores that are asked for, if this process may use them.
fn cores_of(args: &AdhocArgs) -> Result<Vec<usize>> {
    let (asked, allowed) = (&args.generator_cores, cores::allowed());
    for (index, core) in asked.iter().enumerate() {
        if !allowed.contains(core) {
            let allowed: Vec<String> = allowed.iter().map(usize::to_string).collect();
            bail!("--generator-cores {core}: there is no such core here; give some of {}", allowed.join(","));
        }
        if asked[..index].contains(core) {
            bail!("--generator-cores names core {core} twice; each has one worker");
        }
    }
    if asked.len() > args.connections as usize {
        bail!("--generator-cores names {} cores for --connections {}", asked.len(), args.connections);
    }
    Ok(asked.clone())
}

/// The requests one after the other, as many as are asked for.
pub fn requests(args: &AdhocArgs) -> Source<Operation> {
    let end = args.requests.unwrap_or(u64::MAX);
    Arc::new(move || Box::new((0..end).map(|row| Operation::Http { template: 0, row })))
}

/// # Errors
/// When the file of certificates cannot be read.
pub fn manner(args: &AdhocArgs) -> Result<Manner> {
    let read = |path: &PathBuf| {
        fs::read(path).with_context(|| format!("--cacert {} cannot be read", path.display()))
    };
    let roots = args.cacert.as_ref().map(read).transpose()?;
    Ok(Manner { http2: args.http2, roots, insecure: args.insecure })
}

/// # Errors
/// When a header has no colon, or the file with the body is no text.
pub fn template(args: &AdhocArgs, path: String) -> Result<HttpTemplate> {
    let header = |header: &String| {
        let (name, value) = header
            .split_once(':')
            .with_context(|| format!("--header '{header}' has no colon; write 'name: value'"))?;
        Ok((name.trim().to_owned(), value.trim().to_owned()))
    };
    let read = |path: &PathBuf| {
        fs::read_to_string(path)
            .with_context(|| format!("--body-file {} cannot be read as text", path.display()))
    };
    // An empty body is one, too.
    let body = match (&args.body, &args.body_file) {
        (Some(text), _) => Some(text.clone()),
        (None, Some(path)) => Some(read(path)?),
        (None, None) => None,
    };
    let usual = if body.is_none() { "GET" } else { "POST" };
    Ok(HttpTemplate {
        method: args.method.clone().unwrap_or_else(|| usual.to_owned()),
        path,
        headers: joined(args.header.iter().map(header).collect::<Result<Vec<_>>>()?),
        body: body.unwrap_or_default(),
        status: args.expect_status,
        ..HttpTemplate::default()
    })
}

/// The scenario that the load amounts to, for its report.
pub fn scenario(
    name: String,
    args: &AdhocArgs,
    schedule: Option<ScheduleSpec>,
    template: &HttpTemplate,
    slice: Duration,
) -> Scenario {
    let connections = args.connections;
    Scenario {
        name,
        about: args.url.as_deref().map(presentable).unwrap_or_default().into_owned(),
        seed: args.load_seed,
        load: match schedule {
            Some(schedule) => Asked::Open { schedule, connections },
            None => Asked::Closed { connections, think_time_ms: 0 },
        },
        phases: Phases {
            warm_up_s: args.warm_up.as_secs_f64(),
            measurement_s: duration(args).as_secs_f64(),
            slice_s: slice.as_secs_f64(),
        },
        full: None,
        services: false,
        links: None,
        variants: BTreeMap::new(),
        operations: vec![OperationTemplate { weight: 1, action: Action::Http(template.clone()) }],
        journeys: Vec::new(),
        faults: Vec::new(),
        probes: Vec::new(),
        sweep: None,
        http: HttpOptions {
            version: if args.http2 { HttpVersion::Http2 } else { HttpVersion::Http1 },
            ca_file: args.cacert.as_ref().map(|path| path.display().to_string()),
            any_certificate: args.insecure,
            timeout_s: Some(args.timeout.as_secs_f64()),
        },
        values: BTreeMap::new(),
    }
}

/// What else decided the numbers, and a scenario does not say.
pub fn settings(args: &AdhocArgs) -> BTreeMap<String, String> {
    let cores = args.generator_cores.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let mut settings = BTreeMap::from([(
        "generator cores".to_owned(),
        if cores.is_empty() { "one, not bound".to_owned() } else { cores },
    )]);
    if let Some(requests) = args.requests {
        settings.insert("requests at most".to_owned(), requests.to_string());
    }
    settings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_of_one_name_are_one_list() {
        let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let asked = vec![
            header("Cookie", "a=1"),
            header("accept", "x"),
            header("cookie", "b=2"),
            header("Accept", "y"),
        ];
        let found: Vec<_> = joined(asked).into_iter().collect();
        assert_eq!(found, [header("Cookie", "a=1; b=2"), header("accept", "x, y")]);
    }
}
