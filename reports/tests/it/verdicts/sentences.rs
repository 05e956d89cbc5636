//! The sentences that a person would say aloud.

use proofload_reports::judge;
use proofload_reports::run::Measurement;
use proofload_scenarios::{Bound, Check, Kind};

use super::made::*;

fn sentence(checks: Vec<Check>, measurement: Measurement) -> String {
    let run = run(checks, measurement);
    judge(&run.claims[0], &run).sentence
}

#[test]
fn sentences_say_what_a_person_would() {
    let upheld = check(hit_rate(true), Bound::AtLeast(0.99));
    let stated = Check { kind: Kind::Stated, ..check(hit_rate(false), Bound::AtLeast(0.99)) };
    assert_eq!(
        sentence(vec![stated, upheld.clone()], under_ceiling(vec![redirects(884)])),
        "The cache answered 88.40 % (88.16 to 88.64) of redirects: 99.77 % (99.50 to 100.04) of what any cache of \
         27,000 entries could: ≥ 99 % holds; the stated 99 % cannot be reached there."
    );
    let both = || vec![creates("before", |_| 1_000), creates("after", |index| 25 + u64::from(index % 3))];
    assert_eq!(
        sentence(vec![check(reduction(), Bound::AtLeast(20.0))], measurement(both())),
        "`before` took 38.46 times (38.12 to 38.80) as many database statements per create as `after`: ≥ 20 × holds."
    );
    let mut lost = under_ceiling(vec![redirects(884)]);
    lost.ceiling = None;
    assert_eq!(
        sentence(vec![upheld], lost),
        "Nothing can be said about “≥ 99 % of redirects”: the workload's ceiling was not computed."
    );
    assert_eq!(sentence(Vec::new(), measurement(Vec::new())), "Nothing was checked of made.");
}

/// The ceiling is an expectation: a bound that lies a hair above it may be met by chance.
#[test]
fn what_chance_could_reach_is_not_called_out_of_reach() {
    let upheld = check(hit_rate(true), Bound::AtLeast(0.99));
    let said = |bound: f64| {
        let stated = Check { kind: Kind::Stated, ..check(hit_rate(false), Bound::AtLeast(bound)) };
        sentence(vec![stated, upheld.clone()], under_ceiling(vec![redirects(880)]))
    };
    assert!(
        said(0.888).ends_with("the stated ≥ 88.8 % fails at 88.00 % (87.75 to 88.24)."),
        "{}",
        said(0.888)
    );
    assert!(said(0.889).ends_with("the stated 88.9 % cannot be reached there."), "{}", said(0.889));
}
