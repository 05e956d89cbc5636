//! Facts, whole runs and their exit codes.

use proofload_reports::run::Model;
use proofload_reports::verdict::why_invalid;
use proofload_reports::{Run, Verdict, exit_code, judge_all};
use proofload_scenarios::{Bound, Check, Kind, Metric};

use super::made::*;

#[test]
fn a_fact_is_judged_by_its_bounds_where_it_has_some() {
    let fact = Metric::Fact { name: "speedup".to_owned() };
    let with = |facts: &[(&str, f64)]| {
        let mut made = measurement(Vec::new());
        made.facts = facts.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        judged(check(fact.clone(), Bound::AtLeast(10.0)), made)
    };
    assert_holds(&with(&[("speedup", 12.0)]));
    assert_verdict(&with(&[("speedup", 8.0)]), Verdict::Fails, "misses");
    let wide = [("speedup", 12.0), ("speedup.low", 9.0), ("speedup.high", 16.0)];
    assert_verdict(&with(&wide), Verdict::Inconclusive, "does not settle");
    assert_verdict(&with(&[]), Verdict::Invalid, "`speedup` was not recorded");
    assert_verdict(&with(&[("speedup", f64::NAN)]), Verdict::Invalid, "no number");
}

#[test]
fn an_interrupted_run_is_invalid_throughout() {
    let good = check(hit_rate(false), Bound::AtLeast(0.99));
    let mut interrupted = run(vec![good.clone()], measurement(vec![redirects(999)]));
    assert_eq!(exit_code(&interrupted, &judge_all(&interrupted)), 0);
    interrupted.invalid = vec!["interrupted".to_owned()];
    let verdicts = judge_all(&interrupted);
    assert_verdict(&verdicts[0].checks[0], Verdict::Invalid, "interrupted");
    assert_eq!(exit_code(&interrupted, &verdicts), 4);

    let mut died = measurement(vec![redirects(999)]);
    died.invalid = vec!["the target died".to_owned()];
    assert_verdict(&judged(good, died), Verdict::Invalid, "the target died");
}

#[test]
fn the_exit_code_is_that_of_the_worst_upheld_check() {
    let of = |kind, bound: f64| Check { kind, ..check(hit_rate(false), Bound::AtLeast(bound)) };
    let code = |checks: Vec<Check>| {
        let run = run(checks, measurement(vec![redirects(990)]));
        exit_code(&run, &judge_all(&run))
    };
    assert_eq!(code(vec![of(Kind::Upheld, 0.9), of(Kind::Stated, 0.999)]), 0);
    assert_eq!(code(vec![of(Kind::Upheld, 0.999), of(Kind::Stated, 0.9)]), 1);
    assert_eq!(code(vec![of(Kind::Upheld, 0.99), of(Kind::Upheld, 0.9)]), 3);
    assert_eq!(code(vec![of(Kind::Upheld, 0.99), of(Kind::Upheld, 0.999)]), 1);
    let lost = Check { scenario: "lost".to_owned(), ..of(Kind::Upheld, 0.9) };
    assert_eq!(code(vec![lost, of(Kind::Upheld, 0.999)]), 4);
}

/// One line for a terminal; where the code is another, there is nothing to say.
#[test]
fn what_makes_the_exit_code_4_is_said() {
    let upheld = check(hit_rate(false), Bound::AtLeast(0.9));
    let why = |run: &Run| why_invalid(run, &judge_all(run)).unwrap_or_default();
    let mut made = run(vec![upheld.clone()], measurement(vec![redirects(999)]));
    assert_eq!(why(&made), "");
    made.measurements[0].series[0].slices[7].counters.insert("client.wrong".to_owned(), 3);
    assert_eq!(
        why(&made),
        "made, “≥ 99 % of redirects”, measured by `made`, is invalid: 3 of 48,000 answers were wrong, first of variant \
         `only` from 7.0 s"
    );
    made.measurements[0].invalid = vec!["the target died".to_owned()];
    assert_eq!(
        why(&made),
        "the measurement `made` cannot be trusted: the target died (and 1 more: see the report)"
    );
    made.invalid = vec!["interrupted".to_owned()];
    assert_eq!(why(&made), "the run cannot be trusted: interrupted");
    let stated = run(vec![Check { kind: Kind::Stated, ..upheld }], measurement(Vec::new()));
    assert_eq!(why(&stated), "", "it does not decide");
}

#[test]
fn a_run_without_claims_is_judged_by_its_validity() {
    let mut adhoc = run(Vec::new(), measurement(vec![redirects(999)]));
    adhoc.claims.clear();
    assert_eq!(exit_code(&adhoc, &[]), 0);
    adhoc.measurements[0].invalid_latency = vec!["the generator lagged".to_owned()];
    assert_eq!(exit_code(&adhoc, &[]), 4);
    adhoc.measurements[0].model = Model::Closed;
    assert_eq!(exit_code(&adhoc, &[]), 0);
    adhoc.measurements[0].invalid = vec!["the target died".to_owned()];
    assert_eq!(exit_code(&adhoc, &[]), 4);
}
