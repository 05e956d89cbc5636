//! The `list` verb: the claims and scenarios in the catalogue.

use anyhow::{Result, bail};
use proofload_scenarios::{Check, Claim, Kind, Profile, Scenario, catalogue};

use crate::plan::load_time;
use crate::terminal;

/// Prints the claims with their bounds, then the scenarios; of those that are named, the files with every parameter.
///
/// # Errors
/// When a name is in the catalogue neither as a claim nor as a scenario.
pub fn list(names: &[String]) -> Result<u8> {
    if !names.is_empty() {
        return files(names);
    }
    say("CLAIMS (proofload check CLAIM…; proofload list CLAIM… prints every parameter)\n");
    print(catalogue::claims());
    say("FURTHER CLAIMS, which need PostgreSQL and Redis (proofload check --backends spawn)\n");
    print(catalogue::further_claims());
    println!("SCENARIOS (proofload run SCENARIO)\n");
    for scenario in catalogue::scenarios() {
        say(&format!("{}  ({})\n    {}", scenario.name, times(scenario), scenario.about));
    }
    Ok(0)
}

fn say(text: &str) {
    println!("{}", terminal::folded(text));
}

fn files(names: &[String]) -> Result<u8> {
    let mut texts: Vec<&str> = Vec::new();
    for name in names {
        let found = catalogue::text(name);
        if found.is_empty() {
            bail!("there is no claim or scenario '{name}' in the catalogue; `proofload list` shows them");
        }
        let missing: Vec<&str> = found.into_iter().filter(|text| !texts.contains(text)).collect();
        texts.extend(missing);
    }
    print!("{}", texts.join("\n"));
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
        say(&format!("{}\n    {}", claim.id, claim.statement));
        for check in &claim.checks {
            let kind = match check.kind {
                Kind::Stated => "stated",
                Kind::Upheld => "upheld",
            };
            say(&format!("    {kind}  {}  ({}, scenario {})", check.title, bound(check), check.scenario));
        }
        println!();
    }
}

/// What decides: `≥ 20 at 95 % confidence`, or the bound alone of what is counted and not estimated.
fn bound(check: &Check) -> String {
    use proofload_scenarios::Metric;
    match check.metric {
        Metric::Count { .. } | Metric::Fact { .. } => format!("bound {}", check.bound),
        _ => format!("bound {} at {} % confidence", check.bound, check.confidence * 100.0),
    }
}
