//! A ratio of sums: hits per look-up, statements per create.

use proofload_reports::run::{Series, elapsed};
use proofload_reports::{Verdict, judge};
use proofload_scenarios::{Bound, Check, Metric};

use super::made::*;

#[test]
fn a_hit_rate_holds_fails_or_is_not_settled() {
    let at_least =
        |hits| judged(check(hit_rate(false), Bound::AtLeast(0.99)), measurement(vec![redirects(hits)]));
    assert_holds(&at_least(996));
    assert_verdict(&at_least(980), Verdict::Fails, "misses ≥ 99 %");
    let between = at_least(990);
    assert_verdict(&between, Verdict::Inconclusive, "does not settle ≥ 99 %");
}

#[test]
fn a_throughput_is_judged_by_the_second() {
    let at_least = |bound| {
        let rate = Metric::Rate { sum: vec!["client.ok".to_owned()], variant: None };
        judged(check(rate, Bound::AtLeast(bound)), measurement(vec![redirects(500)]))
    };
    assert_holds(&at_least(900.0));
    assert_verdict(&at_least(1_100.0), Verdict::Fails, "misses ≥ 1,100");
}

#[test]
fn a_witness_that_was_read_late_counted_for_longer() {
    let mut late = redirects(500);
    for slice in &mut late.slices {
        slice.counters.insert(elapsed("server"), 2_000_000);
    }
    let rate = |of: &[&str]| {
        let sum = of.iter().map(|&counter| counter.to_owned()).collect();
        let check = check(Metric::Rate { sum, variant: None }, Bound::AtLeast(1.0));
        judged(check, measurement(vec![late.clone()])).estimate.unwrap()
    };
    assert_eq!(rate(&["client.ok"]), 1_000.0);
    assert_eq!(rate(&["server.lookups_process", "server.lookups_redis", "server.lookups_store"]), 500.0);
}

#[test]
fn not_one_miss_is_no_certainty() {
    let found = judged(check(hit_rate(false), Bound::AtLeast(0.99)), measurement(vec![redirects(1_002)]));
    let interval = found.interval.unwrap();
    assert_eq!(interval.high, 1.0);
    assert!((interval.low - 0.05f64.powf(1.0 / 48_000.0)).abs() < 1e-9, "{interval:?}");
}

#[test]
fn an_inconclusive_verdict_says_how_many_would_suffice() {
    let mut short = redirects(992);
    for slice in &mut short.slices {
        let miss = u64::from(slice.start_s % 5.0 != 0.0);
        slice.counters.insert("server.lookups_process".to_owned(), 99);
        slice.counters.insert("server.lookups_redis".to_owned(), 1 - miss);
        slice.counters.insert("server.lookups_store".to_owned(), miss);
    }
    let found = judged(check(hit_rate(false), Bound::AtLeast(0.99)), measurement(vec![short]));
    assert_verdict(&found, Verdict::Inconclusive, "effective samples do not suffice");
    assert!(found.needed.unwrap() > found.samples, "{found:?}");
}

#[test]
fn a_share_of_the_ceiling_is_judged_against_the_ceiling() {
    let of_ceiling = check(hit_rate(true), Bound::AtLeast(0.99));
    let found = judged(of_ceiling.clone(), under_ceiling(vec![redirects(884)]));
    assert_holds(&found);
    assert!((found.estimate.unwrap() - 0.884 / 0.886).abs() < 1e-3);
    // 1.96 × √(0.886 × 0.114 / 48,000)
    let told =
        "(an expectation: chance alone moves the hit rate of 48,000 look-ups by 0.284 percentage points";
    assert!(found.rests_on.iter().any(|it| it.contains(told)), "{:?}", found.rests_on);
    assert_verdict(
        &judged(of_ceiling.clone(), under_ceiling(vec![redirects(850)])),
        Verdict::Fails,
        "misses",
    );
    let above = judged(of_ceiling.clone(), under_ceiling(vec![redirects(930)]));
    assert_verdict(&above, Verdict::Invalid, "above what any cache could reach");
    let mut without = under_ceiling(vec![redirects(884)]);
    without.ceiling = None;
    assert_verdict(&judged(of_ceiling, without), Verdict::Invalid, "ceiling was not computed");
}

#[test]
fn too_few_slices_settle_nothing() {
    let mut short = redirects(999);
    short.slices.truncate(29);
    let found = judged(check(hit_rate(false), Bound::AtLeast(0.99)), measurement(vec![short]));
    assert_verdict(&found, Verdict::Inconclusive, "29 slices");
}

#[test]
fn a_counter_that_is_missing_is_not_zero() {
    let at_most = check(statements_per_create("after"), Bound::AtMost(0.05));
    let made = creates("after", |_| 20);
    let doubled = |mut made: Series| {
        made.slices.extend(made.slices.clone());
        made
    };
    assert_holds(&judged(at_most.clone(), measurement(vec![doubled(made.clone())])));

    let mut none = doubled(made.clone());
    none.slices.iter_mut().for_each(|it| it.counters.retain(|name, _| !name.contains("server.statements")));
    assert_verdict(&judged(at_most.clone(), measurement(vec![none])), Verdict::Invalid, "was not counted");

    let mut some = doubled(made.clone());
    some.slices[3].counters.retain(|name, _| !name.contains("server.statements"));
    assert_verdict(
        &judged(at_most.clone(), measurement(vec![some])),
        Verdict::Invalid,
        "missing from 1 of 48 slices of variant `after`, first from 3.0 s",
    );

    let mut nothing = doubled(made);
    nothing.slices.iter_mut().for_each(|it| {
        it.counters.insert("client.created".to_owned(), 0);
    });
    assert_verdict(&judged(at_most, measurement(vec![nothing])), Verdict::Invalid, "nothing to divide by");
}

#[test]
fn a_missing_scenario_or_variant_is_invalid() {
    let mut elsewhere = check(hit_rate(false), Bound::AtLeast(0.5));
    elsewhere.scenario = "other".to_owned();
    assert_verdict(
        &judged(elsewhere, measurement(vec![redirects(999)])),
        Verdict::Invalid,
        "`other` was not measured",
    );
    let after = check(statements_per_create("after"), Bound::AtMost(0.05));
    let found = judged(after, measurement(vec![creates("before", |_| 1_000)]));
    assert_verdict(&found, Verdict::Invalid, "the variant `after` was not measured");
    let unnamed = check(hit_rate(false), Bound::AtLeast(0.5));
    let both = measurement(vec![redirects(999), creates("before", |_| 1_000)]);
    assert_verdict(&judged(unnamed, both), Verdict::Invalid, "names none");
    let twice = check(hit_rate(false), Bound::AtLeast(0.5));
    let mut run = run(vec![twice], measurement(vec![redirects(999)]));
    run.measurements.push(measurement(vec![redirects(1)]));
    assert_verdict(&judge(&run.claims[0], &run).checks[0], Verdict::Invalid, "more than once");
}

#[test]
fn wrong_answers_are_no_hits() {
    let mut wrong = redirects(999);
    wrong.slices[7].counters.insert("client.wrong".to_owned(), 3);
    let found = judged(check(hit_rate(false), Bound::AtLeast(0.99)), measurement(vec![wrong]));
    assert_verdict(
        &found,
        Verdict::Invalid,
        "3 of 48,000 answers were wrong, first of variant `only` from 7.0 s",
    );

    let mut unchecked = redirects(999);
    unchecked.slices[7].counters.remove("client.wrong");
    let found = judged(check(hit_rate(false), Bound::AtLeast(0.99)), measurement(vec![unchecked]));
    assert_verdict(&found, Verdict::Invalid, "`client.wrong` is missing from 1");
}

/// A hit rate that lost its misses to time-outs must not hold by that.
#[test]
fn misses_that_never_came_back_are_not_forgotten() {
    let mut lost = redirects(996);
    for slice in &mut lost.slices {
        slice.counters.insert("client.timeout".to_owned(), 20);
    }
    let found = judged(check(hit_rate(false), Bound::AtLeast(0.99)), measurement(vec![lost]));
    assert_verdict(&found, Verdict::Inconclusive, "whose answer never came");
}

/// The mean of the slices' rates would be 99.5 %; of all look-ups only 91 % hit.
#[test]
fn busy_slices_weigh_more_than_idle_ones() {
    let mut uneven = redirects(995);
    for slice in uneven.slices.iter_mut().step_by(16) {
        slice.counters.insert("server.lookups_process".to_owned(), 90_000);
        slice.counters.insert("server.lookups_store".to_owned(), 10_000);
    }
    let found = judged(check(hit_rate(false), Bound::AtLeast(0.99)), measurement(vec![uneven]));
    assert_ne!(found.verdict, Verdict::Holds);
    assert!(found.estimate.unwrap() < 0.92);
}

#[test]
fn a_hit_rate_above_the_ceiling_is_miscounted_whatever_the_bound() {
    let found = judged(check(hit_rate(false), Bound::AtLeast(0.9)), under_ceiling(vec![redirects(930)]));
    assert_verdict(&found, Verdict::Invalid, "above what any cache could reach");
}

#[test]
fn a_check_that_cannot_be_answered_is_invalid() {
    let unsure = Check { confidence: 1.0, ..check(hit_rate(false), Bound::AtLeast(0.8)) };
    let found = judged(unsure, measurement(vec![redirects(884)]));
    assert_verdict(&found, Verdict::Invalid, "a confidence of 1");

    let mut twice = hit_rate(false);
    if let Metric::Ratio { sum, .. } = &mut twice {
        sum.push("server.lookups_pro*".to_owned());
    }
    let found = judged(check(twice, Bound::AtLeast(0.8)), measurement(vec![redirects(884)]));
    assert_verdict(&found, Verdict::Invalid, "count the same twice");
}
