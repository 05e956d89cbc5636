//! The `list` verb: the claims and scenarios in the catalogue.

use anyhow::Result;
use proofload_scenarios::{Claim, Kind, catalogue};

/// Prints the claims with their bounds, then the scenarios.
pub fn list() -> Result<u8> {
    println!("CLAIMS (proofload check CLAIM…)\n");
    print(catalogue::claims());
    println!("FURTHER CLAIMS, which need PostgreSQL and Redis or a number that is recorded elsewhere\n");
    print(catalogue::further_claims());
    println!("SCENARIOS (proofload run SCENARIO)\n");
    for scenario in catalogue::scenarios() {
        println!("{}\n    {}", scenario.name, scenario.about);
    }
    Ok(0)
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
