//! The best hit rate that any cache of the server's size could reach on a scenario's workload.

use proofload_scenarios::Scenario;
use proofload_scenarios::zipf;

/// None where the server's capacity is not in entries, or the workload has no popularity.
pub fn of(scenario: &Scenario) -> Option<f64> {
    let links = scenario.links.as_ref()?;
    let capacities: Vec<u32> = scenario
        .variants
        .values()
        .filter_map(|settings| settings.flags.get("cache-entries")?.as_integer())
        .map(|entries| u32::try_from(entries).unwrap_or(u32::MAX))
        .collect();
    match capacities.as_slice() {
        [entries] => Some(zipf::ceiling(links.count, links.zipf, *entries)),
        _ => None,
    }
}
