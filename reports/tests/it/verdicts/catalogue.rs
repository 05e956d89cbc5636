//! Every check of the catalogue can turn: one run that meets its bound, and one in which just what it judges is broken.

use proofload_reports::Verdict;
use proofload_reports::run::{Ledger, Measurement, Model, Series, Slice};
use proofload_scenarios::{Bound, Check, Metric, catalogue};

use super::made::*;

/// What a slice is divided by.
const TRIALS: f64 = 1_000_000.0;
/// Below what any cache could reach, so that a share of it is not the hit rate itself.
const CEILING: f64 = 0.886;

#[test]
fn every_check_of_the_catalogue_holds_where_it_should_and_fails_where_it_must() {
    for claim in catalogue::claims().iter().chain(catalogue::further_claims()) {
        for check in &claim.checks {
            // Whether witnesses agree is tried elsewhere.
            let check = Check { agree: Vec::new(), ..check.clone() };
            let (good, broken) = values(&check);
            let found = judged(check.clone(), coming_to(&check, good));
            assert_eq!(found.verdict, Verdict::Holds, "{}, {}: {found:#?}", claim.id, check.title);
            let found = judged(check.clone(), coming_to(&check, broken));
            assert_eq!(found.verdict, Verdict::Fails, "{}, {}: {found:#?}", claim.id, check.title);
        }
    }
}

/// One value on the right side of the bound, and one on the wrong side.
fn values(check: &Check) -> (f64, f64) {
    let share = matches!(check.metric, Metric::Ratio { .. });
    match check.bound {
        Bound::AtLeast(bound) if share && bound <= 1.0 => ((1.0 + bound) / 2.0, bound * 0.9),
        Bound::AtLeast(bound) => (bound * 1.5, bound * 0.5),
        Bound::AtMost(0.0) => (0.0, 1.0),
        Bound::AtMost(bound) => (bound * 0.5, bound * 1.5),
    }
}

/// A measurement whose metric comes to `value`, and in which nothing else is wrong.
fn coming_to(check: &Check, value: f64) -> Measurement {
    let mut made = measurement(Vec::new());
    made.scenario.name = check.scenario.clone();
    match &check.metric {
        Metric::Ratio { sum, per, of_ceiling, variant, .. } => {
            made.ceiling = of_ceiling.then_some(CEILING);
            let share = if *of_ceiling { value * CEILING } else { value };
            made.series = vec![slices(variant.as_deref().unwrap_or("only"), sum, per, share)];
        }
        Metric::Versus { sum, per, compare } => {
            made.series = vec![slices(&compare.of, sum, per, value), slices(&compare.over, sum, per, 1.0)];
        }
        Metric::Count { sum, variant, .. } => {
            let mut series = slices(variant.as_deref().unwrap_or("only"), sum, &[], 0.0);
            // Codes are counted by creates.
            for slice in &mut series.slices {
                slice.counters.entry("client.created".to_owned()).or_insert(TRIALS as u64);
            }
            match sum[0].strip_prefix("ledger.") {
                None => {
                    let part = check.metric.part();
                    let within =
                        |slice: &&mut Slice| part.holds(slice.start_s, slice.start_s + slice.duration_s);
                    let slice = series.slices.iter_mut().find(within).expect("a slice lies there");
                    slice.counters.insert(sum[0].replace('*', "x"), value as u64);
                }
                Some(name) => {
                    assert!(["missing", "unleased"].contains(&name), "the ledger below has no `{name}`")
                }
            }
            let found = |name| if sum[0] == name { value as u64 } else { 0 };
            made.ledger = Some(Ledger {
                acknowledged: 10_000,
                missing: found("ledger.missing"),
                unleased: Some(found("ledger.unleased")),
                ..Ledger::default()
            });
            made.series = vec![series];
        }
        Metric::Slowdown { of, over, .. } => {
            let slow = |index: u32| of.part().holds(f64::from(index) / 10.0, f64::from(index + 1) / 10.0);
            let of_all = of.part().is_all();
            let time = |index: u32| if of_all || slow(index) { value } else { 1.0 };
            made.series = vec![timed(of.variant.as_deref().unwrap_or("only"), time)];
            if of.variant != over.variant {
                made.series.push(timed(over.variant.as_deref().unwrap_or("only"), |_| 1.0));
            }
            made.model = Model::Closed;
        }
        Metric::Fact { name } => drop(made.facts.insert(name.clone(), value)),
        Metric::Rate { .. } | Metric::Response { .. } | Metric::Service { .. } => {
            panic!("no claim of the catalogue asks for this; say here how it is met and missed")
        }
    }
    made
}

/// A hundred slices of a tenth of a second, and how many milliseconds their requests took.
fn timed(variant: &str, milliseconds: impl Fn(u32) -> f64) -> Series {
    let slices = (0..100).map(|index| {
        let mut made = slice(index, &[("client.sent", 200), ("client.wrong", 0)]);
        (made.start_s, made.duration_s) = (f64::from(index) / 10.0, 0.1);
        let spread = |request: u32| 0.9 + f64::from(request) / 1_000.0;
        made.latency = (0..200).map(|request| (milliseconds(index) * spread(request) * 1e6) as u64).collect();
        made
    });
    series(variant, slices.collect())
}

/// Slices in which `sum` comes to `share` of `per`, some of whose counters may be the same.
fn slices(variant: &str, sum: &[String], per: &[String], share: f64) -> Series {
    let plain = |name: &String| name.replace('*', "x");
    let common = sum.iter().any(|name| per.contains(name));
    let made = (0..48).map(|index| {
        let mut made = slice(index, &[("client.sent", TRIALS as u64), ("client.wrong", 0)]);
        made.block = index / 2;
        for name in sum.iter().chain(per).filter(|name| !name.starts_with("ledger.")) {
            made.counters.entry(plain(name)).or_insert(0);
        }
        let rest = if common { 1.0 - share } else { 1.0 };
        let mut put = |name: Option<&String>, share: f64| {
            if let Some(name) = name {
                made.counters.insert(plain(name), (share * TRIALS).round() as u64);
            }
        };
        put(per.iter().rfind(|name| !sum.contains(name)), rest);
        put(sum.iter().find(|name| !name.starts_with("ledger.")).filter(|_| !per.is_empty()), share);
        made
    });
    series(variant, made.collect())
}
