//! The `check` verb: run what the claims need, judge, report.

use anyhow::Result;

use crate::ask;
use crate::cli::CheckArgs;
use crate::lab::Lab;
use crate::live::Live;
use crate::measure::measure_all;
use crate::plan::Plan;
use crate::publish::Destination;
use crate::session::Session;

/// Checks the claims and returns the exit code.
///
/// # Errors
/// When something could not be set up; nothing is written then.
pub fn check(args: &CheckArgs) -> Result<u8> {
    let lab = Lab::open(&args.place)?;
    let asked = ask::claims(&args.claims, args.profile, &lab)?;
    tell_left_out(&asked.left_out, lab.has_services());
    let plan = Plan::of(&asked.scenarios, &lab);
    if args.plan {
        print!("{plan}");
        return Ok(0);
    }
    let destination = Destination::prepare(&args.output, "check")?;
    let live = Live::start(plan.total());
    let mut session = Session::begin("check", args.profile, &lab);
    session.run.measurements = measure_all(&asked.scenarios, &asked.claims, &lab, &live)?;
    session.run.claims = asked.claims;
    live.finish();
    destination.publish(&session.end(), args.output.json)
}

/// Without services most claims are left out for the same reason, which is told once.
fn tell_left_out(left_out: &[(String, String)], services: bool) {
    let named: Vec<&str> = left_out.iter().map(|(claim, _)| claim.as_str()).collect();
    match services {
        false if named.len() > 1 => eprintln!(
            "not checked: {}: they need PostgreSQL and Redis, which --backends spawn starts",
            named.join(", ")
        ),
        _ => left_out.iter().for_each(|(claim, obstacle)| eprintln!("not checked: {claim}: {obstacle}")),
    }
}
