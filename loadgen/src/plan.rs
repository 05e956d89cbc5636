//! A plan: what would be measured, in order, and how long that takes.

use std::fmt;
use std::time::Duration;

use proofload_scenarios::scenario::{Load, Probe, RateSpec, Scenario, ScheduleSpec};

use crate::lab::Lab;

/// What starting and ending takes, about, on two cores: the backends once, the servers of a variant, its keygen, further
/// processes.
const BACKENDS_S: f64 = 2.5;
const VARIANT_S: f64 = 0.6;
const VARIANT_WITH_SERVICES_S: f64 = 1.3;
const PROCESS_S: f64 = 0.15;
/// Links are made once and then copied.
const LINKS_MADE_PER_S: f64 = 40_000.0;
const LINKS_COPIED_PER_S: f64 = 150_000.0;
/// A short closed run finds the capacity where a rate is a share of it.
const CALIBRATION_S: f64 = 1.5;
const CONTRACT_S: f64 = 2.0;

/// Scenarios in the order in which they are measured, with the time that each takes.
pub struct Plan<'a> {
    steps: Vec<(&'a Scenario, Duration)>,
    backends: Duration,
}

impl<'a> Plan<'a> {
    pub fn of(scenarios: &'a [Scenario], lab: &Lab) -> Self {
        // A service that already runs needs no preparation.
        Self::with(scenarios, lab.has_services(), lab.target.is_none())
    }

    fn with(scenarios: &'a [Scenario], services: bool, prepares: bool) -> Self {
        let step = |(index, scenario): (usize, &'a Scenario)| {
            let known = scenarios[..index].iter().any(|before| same_links(before, scenario));
            let preparation_s = if prepares { preparation_s(scenario, known, services) } else { 0.0 };
            (scenario, Duration::from_secs_f64(preparation_s) + load_time(scenario))
        };
        let backends = Duration::from_secs_f64(if services { BACKENDS_S } else { 0.0 });
        Self { steps: scenarios.iter().enumerate().map(step).collect(), backends }
    }

    pub fn total(&self) -> Duration {
        self.backends + self.steps.iter().map(|(_, time)| *time).sum::<Duration>()
    }
}

impl fmt::Display for Plan<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (scenario, time) in &self.steps {
            writeln!(f, "{:>6} s  {}", time.as_secs(), scenario.name)?;
        }
        let total = self.total().as_secs();
        writeln!(f, "{total:>6} s  in all, about {} min {:02} s", total / 60, total % 60)
    }
}

/// How long the phases of the scenario take: each variant warms up by itself.
pub fn load_time(scenario: &Scenario) -> Duration {
    let warm_ups = scenario.variants.len().max(1) as f64;
    Duration::from_secs_f64(warm_ups * scenario.phases.warm_up_s + scenario.phases.measurement_s)
}

fn preparation_s(scenario: &Scenario, links_known: bool, services: bool) -> f64 {
    let variants = scenario.variants.len().max(1) as f64;
    let processes: u32 = scenario.variants.values().map(|it| it.processes - 1 + u32::from(it.keygen)).sum();
    let links = scenario.links.as_ref().map_or(0.0, |links| f64::from(links.count));
    let made = if links_known { 0.0 } else { links / LINKS_MADE_PER_S };
    let of_capacity = matches!(
        &scenario.load,
        Load::Open {
            schedule: ScheduleSpec::Constant(RateSpec::OfCapacity(_))
                | ScheduleSpec::Poisson(RateSpec::OfCapacity(_)),
            ..
        }
    );
    variants * if services { VARIANT_WITH_SERVICES_S } else { VARIANT_S }
        + f64::from(processes) * PROCESS_S
        + made
        + variants * links / LINKS_COPIED_PER_S
        + if of_capacity { CALIBRATION_S } else { 0.0 }
        + if scenario.probes.contains(&Probe::Contract) { CONTRACT_S } else { 0.0 }
}

fn same_links(one: &Scenario, other: &Scenario) -> bool {
    one.links.is_some() && one.links == other.links && one.seed == other.seed
}

#[cfg(test)]
mod tests {
    use proofload_scenarios::{Claim, Profile, Sweep, catalogue};

    use super::*;

    #[test]
    fn links_that_were_made_before_take_less() {
        let redirects = catalogue::scenario("redirects-in-bytes").unwrap();
        assert!(preparation_s(redirects, true, false) + 1.0 < preparation_s(redirects, false, false));
    }

    /// What the README says of the profiles, and CI has time for.
    #[test]
    fn the_profiles_keep_their_time() {
        let embedded = || catalogue::claims().iter();
        let spawned = || embedded().chain(catalogue::further_claims());
        let seconds = |claims: Vec<&Claim>, services: bool, profile: Profile| {
            let of_checks = claims.iter().flat_map(|claim| &claim.checks);
            let mut names: Vec<&str> = of_checks.map(|check| check.scenario.as_str()).collect();
            names.sort_unstable();
            names.dedup();
            let mut scenarios: Vec<Scenario> =
                names.iter().map(|name| catalogue::scenario(name).unwrap().clone()).collect();
            if profile == Profile::Full {
                let explains = |sweep: &Sweep| claims.iter().any(|claim| claim.id == sweep.of);
                let sweeps = catalogue::sweeps()
                    .filter(|(sweep, scenario)| explains(sweep) && (services || !scenario.services));
                scenarios.extend(sweeps.flat_map(|(_, scenario)| scenario.points().unwrap()));
            }
            let scenarios: Vec<Scenario> = scenarios.iter().map(|it| it.for_profile(profile)).collect();
            Plan::with(&scenarios, services, true).total().as_secs()
        };
        let (quick, full) = (Profile::Quick, Profile::Full);
        let took = [
            (seconds(embedded().collect(), false, quick), 60),
            (seconds(spawned().collect(), true, quick), 180),
            (seconds(spawned().collect(), true, full), 1_200),
        ];
        assert!(took.iter().all(|(took, most)| took <= most), "{took:?}");
    }

    #[test]
    fn every_variant_warms_up() {
        let creates = catalogue::scenario("creates-before-after").unwrap();
        let phases = &creates.phases;
        let expected = 2.0 * phases.warm_up_s + phases.measurement_s;
        assert_eq!(load_time(creates), Duration::from_secs_f64(expected));
    }
}
