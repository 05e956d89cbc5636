//! The ratio of one variant over another.

use proofload_reports::{CheckVerdict, Verdict};
use proofload_scenarios::Bound;

use super::made::*;

#[test]
fn a_reduction_holds_fails_or_is_not_settled() {
    let reduced = |after: fn(u32) -> u64| {
        let both = vec![creates("before", |_| 1_000), creates("after", after)];
        judged(check(reduction(), Bound::AtLeast(20.0)), measurement(both))
    };
    let found = reduced(|index| 25 + u64::from(index % 3));
    assert_holds(&found);
    assert!((found.estimate.unwrap() - 1_000.0 / 26.0).abs() < 0.1);
    assert_verdict(&reduced(|index| 480 + u64::from(index % 3)), Verdict::Fails, "misses ≥ 20 ×");
    assert_verdict(
        &reduced(|index| if index % 4 < 2 { 30 } else { 68 }),
        Verdict::Inconclusive,
        "does not settle",
    );
}

#[test]
fn a_reduction_to_nothing_has_a_lower_bound() {
    let both = vec![creates("before", |_| 1_000), creates("after", |_| 0)];
    let found = judged(check(reduction(), Bound::AtLeast(20.0)), measurement(both));
    assert_holds(&found);
    assert_eq!(found.estimate, None);
    let interval = found.interval.unwrap();
    assert!(interval.low > 7_000.0 && interval.high == f64::INFINITY, "{interval:?}");
    let text = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::from_str::<CheckVerdict>(&text).unwrap(), found);

    let few = vec![creates("before", |index| u64::from(index < 10)), creates("after", |_| 0)];
    let found = judged(check(reduction(), Bound::AtLeast(20.0)), measurement(few));
    assert_verdict(&found, Verdict::Inconclusive, "does not settle");

    let neither = vec![creates("before", |_| 0), creates("after", |_| 0)];
    let found = judged(check(reduction(), Bound::AtLeast(20.0)), measurement(neither));
    assert_verdict(&found, Verdict::Invalid, "there is no ratio");
}

#[test]
fn variants_that_were_not_interleaved_settle_nothing() {
    let mut both = vec![creates("before", |_| 1_000), creates("after", |_| 25)];
    both.iter_mut().flat_map(|series| &mut series.slices).for_each(|slice| slice.block = 0);
    let found = judged(check(reduction(), Bound::AtLeast(20.0)), measurement(both));
    assert_verdict(&found, Verdict::Inconclusive, "1 interleaved blocks");
}

#[test]
fn an_idle_variant_is_invalid() {
    let mut idle = creates("after", |_| 25);
    idle.slices.iter_mut().for_each(|slice| {
        slice.counters.insert("client.created".to_owned(), 0);
    });
    let found = judged(
        check(reduction(), Bound::AtLeast(20.0)),
        measurement(vec![creates("before", |_| 1_000), idle]),
    );
    assert_verdict(&found, Verdict::Invalid, "counted nothing for variant `after`");
}
