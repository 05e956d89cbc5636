//! The catalogue's claims can be settled: their scenarios yield the slices that judging needs.

use proofload_reports::statistics::bootstrap::{FEWEST_BLOCKS, FEWEST_SLICES};
use proofload_scenarios::{Check, Metric, Profile, Scenario, catalogue};

/// Slices of each variant. An ABBA block holds two of either.
fn slices(scenario: &Scenario) -> usize {
    let all = (scenario.phases.measurement_s / scenario.phases.slice_s).floor() as usize;
    all / scenario.variants.len().max(1)
}

fn fewest(check: &Check) -> usize {
    match check.metric {
        Metric::Ratio { .. } | Metric::Rate { .. } | Metric::Response { .. } | Metric::Service { .. } => {
            FEWEST_SLICES
        }
        Metric::Versus { .. } => 2 * FEWEST_BLOCKS,
        Metric::Slowdown { .. } => FEWEST_SLICES,
        Metric::Count { .. } | Metric::Fact { .. } => 1,
    }
}

#[test]
fn every_check_gets_the_slices_it_needs_in_either_profile() {
    for check in catalogue::claims().iter().flat_map(|claim| &claim.checks) {
        let scenario = catalogue::scenario(&check.scenario).expect("the catalogue is closed");
        for profile in [Profile::Quick, Profile::Full] {
            let (found, needed) = (slices(&scenario.for_profile(profile)), fewest(check));
            assert!(found >= needed, "“{}” needs {needed} slices, {profile:?} has {found}", check.title);
        }
    }
}
