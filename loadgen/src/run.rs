//! The `run` verb: one scenario, an access log, or a URL.

use anyhow::{Result, bail};

use crate::cli::RunArgs;
use crate::lab::Lab;
use crate::measure::measure;
use crate::plan::Plan;
use crate::progress::Progress;
use crate::publish::Destination;
use crate::session::Session;
use crate::{adhoc, ask, interrupt, replay};

/// Runs what was named and returns the exit code.
///
/// # Errors
/// When something could not be set up; nothing is written then.
pub fn run(args: &RunArgs) -> Result<u8> {
    match (&args.scenario, &args.access_log, &args.adhoc.url) {
        (Some(name), None, None) => one_scenario(name, args),
        (None, Some(log), None) => replay::replay(log, args),
        (None, None, Some(_)) => adhoc::run(&args.adhoc, args.output.json, interrupt::flag()),
        _ => bail!("name what to run: SCENARIO.toml, --access-log FILE, or --url URL"),
    }
}

fn one_scenario(name: &str, args: &RunArgs) -> Result<u8> {
    let scenarios = ask::points(name, args.profile)?;
    let lab = Lab::open(&args.place)?;
    lab.refuse_unless_able(&scenarios)?;
    let destination = Destination::prepare(&args.output, "run")?;
    let plan = Plan::of(&scenarios, &lab);
    let progress = Progress::start(plan.total());
    let mut session = Session::begin("run", args.profile, &lab);
    for scenario in &scenarios {
        if interrupt::requested() && !session.run.measurements.is_empty() {
            break;
        }
        session.run.measurements.push(measure(scenario, &lab, &progress)?);
    }
    progress.finish();
    destination.publish(&session.end(), args.output.json)
}
