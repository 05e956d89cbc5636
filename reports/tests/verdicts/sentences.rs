//! The sentences that a person would say aloud.

use proofload_reports::judge;
use proofload_reports::run::Measurement;
use proofload_scenarios::{Bound, Check, Kind};

use crate::made::*;

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
        "`before` took 38.46 times (38.16 to 38.77) as many database statements per create as `after`: ≥ 20 × holds."
    );
    let mut lost = under_ceiling(vec![redirects(884)]);
    lost.ceiling = None;
    assert_eq!(
        sentence(vec![upheld], lost),
        "Nothing can be said about “≥ 99 % of redirects”: the workload's ceiling was not computed."
    );
    assert_eq!(sentence(Vec::new(), measurement(Vec::new())), "Nothing was checked of made.");
}
