//! The `list` verb: the claims and scenarios in the catalogue.

use anyhow::Result;
use proofload_scenarios::{Claim, Kind, Profile, Scenario, catalogue};

use crate::plan::load_time;

/// Prints the claims with their bounds, then the scenarios.
pub fn list() -> Result<u8> {
    println!("CLAIMS (proofload check CLAIM…)\n");
    print(catalogue::claims());
    println!("FURTHER CLAIMS, which need PostgreSQL and Redis (proofload check --backends spawn)\n");
    print(catalogue::further_claims());
    println!("SCENARIOS (proofload run SCENARIO)\n");
    for scenario in catalogue::scenarios() {
        println!("{}  ({})\n    {}", scenario.name, times(scenario), scenario.about);
    }
    Ok(0)
}

/// How long its load lasts; `proofload check --plan` tells what a whole check takes.
fn times(scenario: &Scenario) -> String {
    let points = scenario.sweep.is_some().then(|| scenario.points().map_or(0, |points| points.len()));
    let seconds = |profile| load_time(&scenario.for_profile(profile)).as_secs();
    match (points, seconds(Profile::Quick), seconds(Profile::Full)) {
        (Some(points), _, full) => format!("{points} points of {full} s, in the full profile"),
        (None, quick, full) if quick == full => format!("{quick} s"),
        (None, quick, full) => format!("quick {quick} s, full {full} s"),
    }
}

fn print(claims: &[Claim]) {
    for claim in claims {
        println!("{}\n    {}", claim.id, claim.statement);
        for check in &claim.checks {
            let kind = match check.kind {
                Kind::Stated => "stated",
                Kind::Upheld => "upheld",
            };
            println!("    {kind}  {}  (scenario {})", check.title, check.scenario);
        }
        println!();
    }
}
