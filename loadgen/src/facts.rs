//! Single numbers that claims ask for: computed from the design, or from the slices of a measurement.

use proofload_reports::run::Measurement;
use proofload_scenarios::Scenario;
use proofload_scenarios::scenario::{FaultAction, Probe};
use proofload_server::codes;

use crate::ceiling;

const CODES_IN_ALL: &str = "codes-in-all";
const CODES_PER_STACK: &str = "codes-per-stack";
const RECOVERY_S: &str = "recovery-s";
/// What a map of hit rates draws its points over.
const CACHE_ENTRIES: &str = "cache_entries";
pub(crate) const HEALTH_PROBES: &str = "health-probes";
pub(crate) const HEALTH_PROBES_FAILED: &str = "health-probes-failed";
pub(crate) const CONTRACT_VIOLATIONS: &str = "contract-violations";
pub(crate) const CODES_SPEEDUP: &str = "codes-speedup";

/// The share of the ceiling at which a cache counts as recovered.
const RECOVERED: f64 = 0.99;

/// Look-ups that the server's caches answered, and all those of links that may exist, out of the server's counters.
pub(crate) fn hits_of_lookups(count: impl Fn(&str) -> u64) -> (u64, u64) {
    let sum =
        |levels: &[&str]| levels.iter().map(|level| count(&format!("server.lookups_{level}"))).sum::<u64>();
    let hits = sum(&["process", "redis"]);
    (hits, hits + sum(&["waiter", "store", "failed"]))
}

/// Whether a measurement of `scenario` will hold a fact of that name.
pub fn is_recorded(name: &str, scenario: &Scenario) -> bool {
    let probes = |probe| scenario.probes.contains(&probe);
    match name {
        CODES_IN_ALL | CODES_PER_STACK => true,
        RECOVERY_S => is_flushed_once(scenario),
        HEALTH_PROBES | HEALTH_PROBES_FAILED => probes(Probe::Health),
        CONTRACT_VIOLATIONS => probes(Probe::Contract),
        CODES_SPEEDUP => probes(Probe::Codes),
        _ => false,
    }
}

/// Enters every fact that follows from what was measured.
pub fn record(measurement: &mut Measurement) {
    measurement.facts.insert(CODES_IN_ALL.to_owned(), codes::CODE_SPACE as f64);
    measurement.facts.insert(CODES_PER_STACK.to_owned(), codes::CODES_PER_SLOT as f64);
    if let Some(entries) = ceiling::entries(&measurement.scenario) {
        measurement.facts.insert(CACHE_ENTRIES.to_owned(), f64::from(entries));
    }
    match recovery_s(measurement) {
        Some(Recovery::After(seconds)) => drop(measurement.facts.insert(RECOVERY_S.to_owned(), seconds)),
        Some(Recovery::NotWithin(seconds)) => {
            // A lower bound alone: it may have taken for ever.
            measurement.facts.insert(RECOVERY_S.to_owned(), seconds);
            measurement.facts.insert(format!("{RECOVERY_S}.low"), seconds);
            let told =
                format!("the hit rate was not seen to be back within the {seconds:.1} s that were watched");
            measurement.remarks.push(told);
        }
        None => {}
    }
}

/// What became of the hit rate after the caches were flushed, in seconds from the flush.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Recovery {
    After(f64),
    /// It was watched for so long and did not come back.
    NotWithin(f64),
}

fn is_flushed_once(scenario: &Scenario) -> bool {
    let mut flushes = scenario.faults.iter().filter(|fault| fault.action == FaultAction::Flush).peekable();
    let visits = scenario.links.is_some();
    visits && flushes.peek().is_some() && flushes.all(|fault| fault.every_s.is_none())
}

/// Back is the first slice whose hit rate is at 99 % of the ceiling, and from which on the hit rate stays there on the
/// whole. None where nothing was flushed, or nothing was looked up since.
fn recovery_s(measurement: &Measurement) -> Option<Recovery> {
    if !is_flushed_once(&measurement.scenario) {
        return None;
    }
    let flushes = measurement.scenario.faults.iter().filter(|fault| fault.action == FaultAction::Flush);
    let broken = flushes.map(|fault| fault.at_s).reduce(f64::max)?;
    let ceiling = measurement.ceiling.unwrap_or(1.0);
    let slices: Vec<_> =
        measurement.series.first()?.slices.iter().filter(|slice| slice.start_s >= broken).collect();
    let counts: Vec<(u64, u64)> = slices
        .iter()
        .map(|slice| hits_of_lookups(|name| slice.counters.get(name).copied().unwrap_or(0)))
        .collect();
    let recovered = |hit: u64, all: u64| all > 0 && hit as f64 >= RECOVERED * ceiling * all as f64;
    let back = (0..counts.len()).find(|&index| {
        let (hit, all) = counts[index..].iter().fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
        recovered(counts[index].0, counts[index].1) && recovered(hit, all)
    });
    counts.iter().map(|(_, all)| all).find(|all| **all > 0)?;
    let until = |index: usize| slices[index].start_s + slices[index].duration_s - broken;
    Some(match back {
        Some(index) => Recovery::After(until(index)),
        None => Recovery::NotWithin(until(slices.len() - 1)),
    })
}

#[cfg(test)]
mod tests {
    use proofload_reports::run::{Series, Slice};
    use proofload_scenarios::catalogue;

    use super::*;
    use crate::measure::{blank, blank_series};

    /// A measurement of the catalogue's flush after 3 s, in slices of a second with so many hits in a hundred.
    fn flushed(hits: &[u64]) -> Measurement {
        let slice = |(second, hits): (usize, &u64)| {
            let counts = [("server.lookups_process", *hits), ("server.lookups_store", 100 - hits)];
            Slice {
                start_s: second as f64,
                duration_s: 1.0,
                counters: counts.map(|(name, count)| (name.to_owned(), count)).into(),
                ..Slice::default()
            }
        };
        let slices = hits.iter().enumerate().map(slice).collect();
        let series = Series { slices, ..blank_series("after") };
        Measurement { series: vec![series], ..blank(catalogue::scenario("caches-emptied").unwrap()) }
    }

    #[test]
    fn recovery_lasts_until_the_hit_rate_is_back_for_good() {
        let recovery = |hits: &[u64]| recovery_s(&flushed(hits));
        let (after, not_within) = (|it| Some(Recovery::After(it)), |it| Some(Recovery::NotWithin(it)));
        assert_eq!(recovery(&[100, 100, 100, 0, 60, 99, 100, 100]), after(3.0));
        assert_eq!(recovery(&[100, 100, 100, 100, 100]), after(1.0));
        assert_eq!(
            recovery(&[100, 100, 100, 0, 99, 50, 50, 50]),
            not_within(5.0),
            "once by chance is not back"
        );
        assert_eq!(recovery(&[100, 100, 100, 0, 60, 70, 80, 90]), not_within(5.0), "it never came back");
        assert_eq!(recovery(&[100, 100, 100]), None, "nothing was watched");
    }

    #[test]
    fn a_recovery_that_was_not_seen_is_known_from_below_alone() {
        let mut measurement = flushed(&[100, 100, 100, 0, 60, 70, 80, 90]);
        record(&mut measurement);
        assert_eq!(measurement.facts["recovery-s.low"], 5.0);
        assert!(!measurement.facts.contains_key("recovery-s.high"));
    }

    #[test]
    fn only_what_a_scenario_looks_for_is_recorded() {
        let of = |name: &str, fact| is_recorded(fact, catalogue::scenario(name).unwrap());
        assert!(of("dependencies-away", HEALTH_PROBES_FAILED) && !of("replicas", HEALTH_PROBES_FAILED));
        assert!(of("creates-before-after", CONTRACT_VIOLATIONS) && of("creates-before-after", CODES_SPEEDUP));
        assert!(of("caches-emptied", RECOVERY_S) && !of("redirects-in-bytes", RECOVERY_S));
        assert!(!of("redirects-in-bytes", "speed-of-light"));
    }
}
