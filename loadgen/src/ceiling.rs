//! The best hit rate that any cache of the server's size could reach on a scenario's workload.

use proofload_scenarios::Scenario;
use proofload_scenarios::zipf;

/// None where the server's capacity is not in entries, or the workload has no popularity.
pub fn of(scenario: &Scenario) -> Option<f64> {
    let links = scenario.links.as_ref()?;
    Some(zipf::ceiling(links.count, links.zipf, entries(scenario)?))
}

/// The capacity of the only variant that has one in entries.
pub fn entries(scenario: &Scenario) -> Option<u32> {
    let mut capacities = scenario
        .variants
        .values()
        .filter_map(|settings| settings.flags.get("cache-entries")?.as_integer())
        .map(|entries| u32::try_from(entries).unwrap_or(u32::MAX));
    capacities.next().filter(|_| capacities.next().is_none())
}
