//! The generator's own errors on this machine, measured against servers of known behaviour.

mod memory;
pub mod server;
pub mod trials;
pub mod truth;

use std::time::{Duration, SystemTime};

use anyhow::Result;
use clap::Args;
use proofload_reports::render::wrapped;
use proofload_reports::run::GeneratorError;
use serde::Serialize;

pub use memory::last_known;
use trials::{Bench, Finding};

use crate::terminal;

#[derive(Debug, Clone, Args)]
pub struct SelftestArgs {
    /// A second or two a trial, about twelve in all, instead of long enough for narrow bounds.
    #[arg(long)]
    pub quick: bool,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

/// What the selftest found, as it is printed for programs.
#[derive(Serialize)]
struct Outcome<'a> {
    passed: bool,
    /// Null where something else had the generator's core, or the test server's.
    generator_error: Option<&'a GeneratorError>,
    findings: &'a [Finding],
}

/// Runs all trials, prints what they found and keeps the error bound for later runs. The exit code:
/// 1 if a trial failed, 4 if something else had the generator's core or the test server's, so that nothing can be said.
///
/// # Errors
/// When no local server can be started.
pub fn run(args: &SelftestArgs) -> Result<u8> {
    let findings = trials(args.quick, |name| eprintln!("{name} …"))?;
    let error = bound(&findings);
    let passed = findings.iter().all(|finding| finding.passed);
    if args.json {
        let generator_error = Some(&error).filter(|_| settled(&findings));
        let outcome = Outcome { passed, generator_error, findings: &findings };
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        print(&findings, &error);
    }
    if !settled(&findings) {
        return Ok(4);
    }
    match memory::keep(&error) {
        Ok(file) => eprintln!("kept in {} for later runs", file.display()),
        Err(error) => eprintln!("{error:#}"),
    }
    Ok(u8::from(!passed))
}

fn trials(quick: bool, announce: impl Fn(&str)) -> Result<Vec<Finding>> {
    let bench = Bench::on_this_machine();
    let seconds = Duration::from_secs;
    let (short, every, lasting, periods) = match quick {
        true => (seconds(1), seconds(3), Duration::from_millis(300), 1),
        false => (seconds(10), seconds(30), seconds(1), 1),
    };
    let trials: [(&str, Trial); 6] = [
        ("arrival fidelity", &|| trials::arrivals(&bench, short)),
        ("send delay", &|| trials::send_delay(&bench, short)),
        ("stall truth", &|| trials::stall(&bench, every, lasting, periods)),
        ("queue truth", &|| trials::queue(&bench, short * 2)),
        ("Little's law", &|| trials::little(&bench, short)),
        ("starved generator", &|| trials::starved(&bench, seconds(1))),
    ];
    let mut findings = Vec::new();
    for (name, trial) in trials {
        announce(name);
        let mut found = trial()?;
        // What something else spoiled says nothing, good or bad, and is measured anew; a failure is not.
        for again in 2..=ATTEMPTS {
            if settled(&found) {
                break;
            }
            announce(&format!("{name}, spoiled by something else: attempt {again} of {ATTEMPTS}"));
            found = trial()?;
        }
        findings.extend(found);
    }
    Ok(findings)
}

type Trial<'a> = &'a dyn Fn() -> Result<Vec<Finding>>;

/// How often a trial is made before it counts as unsettled.
const ATTEMPTS: u32 = 3;

/// The worst that the trials saw.
fn bound(findings: &[Finding]) -> GeneratorError {
    let of = |trial: &'static str| findings.iter().filter(move |finding| finding.trial == trial);
    let delay =
        |what: &str| of("send delay").find(|finding| finding.what == what).map_or(0.0, |f| f.reported);
    let quantile_error =
        of("stall").chain(of("queue")).filter_map(|finding| finding.error).fold(0.0, f64::max);
    let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    GeneratorError {
        measured_unix_ms: since_1970.as_millis() as u64,
        send_delay_p50_us: delay("p50"),
        send_delay_p99_us: delay("p99"),
        quantile_error,
    }
}

/// Whether what failed is the generator's fault, not that of something else that had a core.
fn settled(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.doubt.is_none())
}

/// Columns of the trial's name, the figures and the gaps.
const FIGURES: usize = 11 + 12 + 12 + 9 + 4;

fn print(findings: &[Finding], error: &GeneratorError) {
    // What was tried has the columns that the figures leave.
    let named = terminal::width().saturating_sub(FIGURES).clamp(20, 46);
    println!("{:<11} {:<named$} {:>12} {:>12} {:>9}", "trial", "", "truth/limit", "reported", "error");
    for Finding { trial, what, unit, truth, reported, error, passed, doubt, .. } in findings {
        let error = error.map_or_else(String::new, |error| format!("{:.2} %", error * 100.0));
        let value = |number: f64| format!("{number:.1} {unit}");
        let mut names = wrapped(what, named).into_iter();
        let name = names.next().unwrap_or_default();
        println!("{trial:<11} {name:<named$} {:>12} {:>12} {error:>9}", value(*truth), value(*reported));
        names.for_each(|name| println!("{:<11} {name}", ""));
        match (passed, doubt) {
            (true, _) => {}
            (false, None) => println!("{:<11} FAILED", ""),
            (false, Some(reason)) => {
                println!("{}", terminal::folded(&format!("{:<11} INVALID: {reason}", "")))
            }
        }
    }
    let end = match settled(findings) {
        true => format!(
            "This machine's error bound: quantiles within {:.2} %, send delay p50 {:.1} µs, p99 {:.1} µs.",
            error.quantile_error * 100.0,
            error.send_delay_p50_us,
            error.send_delay_p99_us
        ),
        false => {
            "Unsettled, and not kept: this machine was busy with something else. Try again when it is idle."
                .to_owned()
        }
    };
    println!("\n{}", terminal::folded(&end));
}
