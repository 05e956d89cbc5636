//! The claims and scenarios that proofload comes with, compiled in.

use std::sync::LazyLock;

use crate::{Claim, Scenario, Sweep};

/// File names and texts of a folder's files.
macro_rules! texts {
    ($folder:literal: $($name:literal)*) => {
        &[$((concat!($name, ".toml"), include_str!(concat!("../", $folder, "/", $name, ".toml")))),*]
    };
}

const SCENARIOS: &[(&str, &str)] = texts!("catalogue":
    "redirects-27000-entries"
    "redirects-in-bytes"
    "creates-before-after"
    "journey-under-goose"
    "creates-under-goose"
    "stacks-apart"
    "stacks-eighteen"
    "stacks-together"
    "caches-emptied"
    "caches-emptied-often"
    "creates-killed"
    "keygen-killed"
    "redis-set-back"
    "replicas"
    "replicas-reading"
    "replicas-restarted"
    "dependencies-away"
    "creates-by-clients"
    "creates-by-rate"
    "creates-pool"
    "creates-without"
    "redirects-without"
    "hit-rate-by-size"
    "hit-rate-of-ten-thousand"
    "hit-rate-of-a-million"
    "hit-rate-under-drift"
    "gate-redirects"
    "example-http-service"
    "example-http-journeys"
    "example-visitors"
);

/// What the embedded default settles, with nothing installed.
const CLAIMS: &[(&str, &str)] = texts!("claims":
    "hit-rate"
    "db-statements"
    "no-uniqueness-queries"
    "code-space"
    "pool"
    "generation-speed"
    "api-stable"
);

/// What needs PostgreSQL and Redis.
const FURTHER_CLAIMS: &[(&str, &str)] = texts!("claims":
    "no-collisions"
    "rewarm"
    "compute-bound"
    "durable-creates"
    "keygen-fallback"
    "counter-regression"
    "scales-out"
    "rolling-restart"
    "health"
);

static PARSED_SCENARIOS: LazyLock<Vec<Scenario>> = LazyLock::new(|| {
    let parse =
        |(file, text): &(&str, &str)| Scenario::parse(text, file).unwrap_or_else(|error| panic!("{error}"));
    SCENARIOS.iter().map(parse).collect()
});

static PARSED_CLAIMS: LazyLock<Vec<Claim>> = LazyLock::new(|| parsed(CLAIMS));
static PARSED_FURTHER_CLAIMS: LazyLock<Vec<Claim>> = LazyLock::new(|| parsed(FURTHER_CLAIMS));

fn parsed(claims: &[(&str, &str)]) -> Vec<Claim> {
    let parse =
        |(file, text): &(&str, &str)| Claim::parse(text, file).unwrap_or_else(|error| panic!("{error}"));
    claims.iter().map(parse).collect()
}

/// All scenarios. That each of them parses is a test of this file.
pub fn scenarios() -> &'static [Scenario] {
    &PARSED_SCENARIOS
}

/// The claims that the embedded default settles: those to check where none is named.
pub fn claims() -> &'static [Claim] {
    &PARSED_CLAIMS
}

/// The claims that need PostgreSQL and Redis.
pub fn further_claims() -> &'static [Claim] {
    &PARSED_FURTHER_CLAIMS
}

/// The scenarios that are measured at many points, which explain a claim in the full profile.
pub fn sweeps() -> impl Iterator<Item = (&'static Sweep, &'static Scenario)> {
    scenarios().iter().filter_map(|scenario| Some((scenario.sweep.as_ref()?, scenario)))
}

pub fn scenario(name: &str) -> Option<&'static Scenario> {
    scenarios().iter().find(|scenario| scenario.name == name)
}

/// The file of that name, as it stands: a claim with the scenarios that it names, or a scenario.
pub fn text(name: &str) -> Vec<&'static str> {
    let file = |files: &'static [(&str, &str)], name: &str| {
        let found = files.iter().find(|(file, _)| file.strip_suffix(".toml") == Some(name));
        found.map(|(_, text)| *text)
    };
    if let Some(scenario) = file(SCENARIOS, name) {
        return vec![scenario];
    }
    let Some(claim) = claim(name) else { return Vec::new() };
    let mut texts: Vec<&str> =
        file(CLAIMS, name).or_else(|| file(FURTHER_CLAIMS, name)).into_iter().collect();
    for check in &claim.checks {
        texts.extend(file(SCENARIOS, &check.scenario).filter(|text| !texts.contains(text)));
    }
    texts
}

/// Any claim, further ones too.
pub fn claim(id: &str) -> Option<&'static Claim> {
    claims().iter().chain(further_claims()).find(|claim| claim.id == id)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::path::Path;

    use super::*;
    use crate::{Kind, Profile};

    fn all_claims() -> impl Iterator<Item = &'static Claim> {
        claims().iter().chain(further_claims())
    }

    /// Whoever checks everything with nothing installed must get verdicts, not excuses.
    #[test]
    fn the_default_claims_need_no_services() {
        for check in claims().iter().flat_map(|claim| &claim.checks) {
            assert!(!scenario(&check.scenario).unwrap().services, "{}", check.scenario);
        }
    }

    #[test]
    fn every_entry_bears_its_files_name_and_no_name_twice() {
        for (scenario, (file, _)) in scenarios().iter().zip(SCENARIOS) {
            assert_eq!(format!("{}.toml", scenario.name), *file);
            assert!(!scenario.about.is_empty(), "{file} does not say what it is about");
        }
        for (claim, (file, _)) in all_claims().zip(CLAIMS.iter().chain(FURTHER_CLAIMS)) {
            assert_eq!(format!("{}.toml", claim.id), *file);
        }
        let names: HashSet<&str> = scenarios().iter().map(|scenario| scenario.name.as_str()).collect();
        assert_eq!(names.len(), SCENARIOS.len());
    }

    #[test]
    fn no_file_of_the_folders_was_left_out() {
        for (folder, entries) in [("catalogue", SCENARIOS.len()), ("claims", all_claims().count())] {
            let files = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder).read_dir().unwrap();
            assert_eq!(files.count(), entries, "{folder}");
        }
    }

    #[test]
    fn every_check_finds_its_scenario_and_what_it_asks_of_it() {
        for claim in all_claims() {
            for check in &claim.checks {
                let scenario = scenario(&check.scenario).unwrap_or_else(|| panic!("no {}", check.scenario));
                assert_eq!(claim.fits(scenario), Ok(()));
            }
            assert!(
                claim.checks.iter().any(|check| check.kind == Kind::Upheld),
                "{} upholds nothing",
                claim.id
            );
        }
    }

    #[test]
    fn every_scenario_is_asked_for_by_a_claim_or_a_reader() {
        let asked: HashSet<&str> =
            all_claims().flat_map(|claim| &claim.checks).map(|check| check.scenario.as_str()).collect();
        for scenario in scenarios() {
            let ready_made = ["example-", "gate-"].iter().any(|kind| scenario.name.starts_with(kind));
            let explains = scenario.sweep.as_ref().is_some_and(|sweep| claim(&sweep.of).is_some());
            assert!(
                ready_made || explains || asked.contains(scenario.name.as_str()),
                "{} serves no claim",
                scenario.name
            );
        }
    }

    /// At least thirty slices of each variant, or the bootstrap cannot tell how they depend on each other.
    #[test]
    fn every_scenario_has_the_slices_that_a_verdict_needs() {
        // The gate repeats its scenario in blocks, as many as its verdict takes.
        for scenario in scenarios().iter().filter(|scenario| !scenario.name.starts_with("gate-")) {
            for profile in [Profile::Quick, Profile::Full] {
                let phases = scenario.for_profile(profile).phases;
                let slices = (phases.measurement_s / phases.slice_s).round();
                let variants = scenario.variants.len().max(1) as f64;
                let needed = 30.0 * variants;
                assert!(slices >= needed, "{} has {slices} slices in {profile:?}", scenario.name);
            }
        }
    }

    /// A profile changes durations and nothing else.
    #[test]
    fn profiles_ask_the_same_of_the_server() {
        for scenario in scenarios() {
            let quick = scenario.for_profile(Profile::Quick);
            let full = scenario.for_profile(Profile::Full);
            assert_eq!(Scenario { phases: quick.phases.clone(), ..full }, quick);
        }
    }

    #[test]
    fn what_the_catalogue_writes_it_can_read_back() {
        for scenario in scenarios() {
            let json = toml::Value::try_from(scenario).unwrap();
            assert_eq!(&json.try_into::<Scenario>().unwrap(), scenario);
        }
    }
}
