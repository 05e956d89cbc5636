//! The `check` verb: run what the claims need, judge, report.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use proofload_reports::run::{Bar, NotChecked};

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
    let not_checked = not_checked(asked.left_out, lab.has_services());
    not_checked.iter().for_each(|it| eprintln!("not checked: {}: {}", it.claims.join(", "), it.why));
    let plan = Plan::of(&asked.scenarios, &lab);
    if args.plan {
        print!("{plan}");
        return Ok(0);
    }
    let bars = args.bars.as_deref().map(bars).transpose()?.unwrap_or_default();
    let destination = Destination::prepare(&args.output, "check")?;
    let live = Live::start(plan.total());
    let mut session = Session::begin("check", args.profile, &lab);
    session.run.measurements = measure_all(&asked.scenarios, &asked.claims, &lab, &live)?;
    session.run.claims = asked.claims;
    session.run.bars = bars;
    session.run.not_checked = not_checked;
    live.finish();
    destination.publish(&session.end(), args.output.json)
}

/// What other tools measured, a bar a line; of one that was measured again, the last.
fn bars(path: &Path) -> Result<Vec<Bar>> {
    let text =
        fs::read_to_string(path).with_context(|| format!("--bars {} cannot be read", path.display()))?;
    let mut bars: Vec<Bar> = Vec::new();
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let bar: Bar = serde_json::from_str(line).map_err(|error| {
            let line = index + 1;
            anyhow!(
                "--bars {}, line {line}: {error}; measure with BARS={0} server/benches/side-by-side.sh",
                path.display()
            )
        })?;
        bars.retain(|known| known.what != bar.what);
        bars.push(bar);
    }
    Ok(bars)
}

/// Without services most claims are left out for the same reason, which is told once.
fn not_checked(left_out: Vec<(String, String)>, services: bool) -> Vec<NotChecked> {
    if !services && left_out.len() > 1 {
        let claims = left_out.into_iter().map(|(claim, _)| claim).collect();
        let why = "they need PostgreSQL and Redis, which --backends spawn starts".to_owned();
        return vec![NotChecked { claims, why }];
    }
    left_out.into_iter().map(|(claim, why)| NotChecked { claims: vec![claim], why }).collect()
}
