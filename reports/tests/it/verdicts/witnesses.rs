//! What witnesses and the ledger have against a claim.

use proofload_reports::run::{Fault, Ledger};
use proofload_reports::{Verdict, figure};
use proofload_scenarios::claim::Agreement;
use proofload_scenarios::scenario::{FaultAction, FaultTarget};
use proofload_scenarios::{Bound, Metric};

use super::made::*;

/// Labels appear with what they count. From then on none of it may be lost.
#[test]
fn a_targets_counters_may_appear_late_and_not_vanish() {
    const OLD: &str = "target.errors{kind=\"a\"}";
    const NEW: &str = "target.errors{kind=\"b\"}";
    let errors = |from: usize, until: usize, read: bool| {
        let mut made = measurement(vec![redirects(990)]);
        let witness = made.witnesses["server"].clone();
        made.witnesses.insert("target".to_owned(), witness);
        for (index, slice) in made.series[0].slices.iter_mut().enumerate() {
            let names = [(OLD, true), (NEW, (from..until).contains(&index)), ("elapsed.target_us", read)];
            for (name, _) in names.iter().filter(|(_, there)| *there) {
                slice.counters.insert((*name).to_owned(), u64::from(*name == NEW && index == from) * 40);
            }
        }
        let judged = |sum| judged(check(counted(sum), Bound::AtMost(0.0)), made.clone());
        (judged("target.errors*"), judged(NEW))
    };
    let (all, new) = errors(3, 48, true);
    assert_verdict(&all, Verdict::Fails, "");
    assert_verdict(&new, Verdict::Fails, "");
    let (all, new) = errors(3, 20, true);
    assert_verdict(&all, Verdict::Invalid, "missing from 28 of 48 slices");
    assert_verdict(&new, Verdict::Invalid, "missing from 28 of 48 slices");
    assert_verdict(&errors(3, 48, false).1, Verdict::Invalid, "missing from 3 of 48 slices");
    assert_verdict(&errors(48, 48, true).1, Verdict::Invalid, "was not counted");
}

/// Two replicas behind one address, one of which has counted more than the other.
#[test]
fn counters_that_fall_are_no_evidence_unless_the_server_was_killed_on_purpose() {
    let mut made = measurement(vec![redirects(990)]);
    let hit_rate = || check(hit_rate(false), Bound::AtLeast(0.9));
    assert_holds(&judged(hit_rate(), made.clone()));
    for slice in &mut made.series[0].slices {
        slice.counters.insert("server.begun_anew".to_owned(), u64::from(slice.start_s > 1.0));
    }
    assert_verdict(&judged(hit_rate(), made.clone()), Verdict::Invalid, "the counters of the server fell");
    made.faults = vec![Fault { at_s: 1.0, took_s: 0.1, what: FaultAction::Restart, whom: FaultTarget::App }];
    assert_holds(&judged(hit_rate(), made));
}

#[test]
fn a_target_that_nobody_could_read_agrees_with_nothing() {
    let mut asked = check(hit_rate(false), Bound::AtLeast(0.9));
    asked.agree = vec![Agreement {
        counters: ("target.requests".into(), "client.sent".into()),
        within: 0.01,
        slack: 0,
        at_most: false,
    }];
    let found = judged(asked, measurement(vec![redirects(990)]));
    assert_verdict(&found, Verdict::Invalid, "nobody could read the counters of the target");
}

/// The planted server: it tells a tenth of the statements that the database saw.
#[test]
fn a_server_that_under_reports_is_caught() {
    let mut witnessed = check(reduction(), Bound::AtLeast(20.0));
    witnessed.agree = vec![Agreement {
        counters: ("server.statements_*".into(), "postgres.statements".into()),
        within: 0.01,
        slack: 0,
        at_most: false,
    }];
    let honest = vec![creates("before", |_| 1_000), creates("after", |_| 25)];
    let found = judged(witnessed.clone(), measurement(honest.clone()));
    assert_holds(&found);
    assert!(found.rests_on.contains(
        &"server.statements_* was checked against postgres.statements: independent witness (pg_stat_statements), 1 % allowed"
            .to_owned()
    ));

    let mut planted = vec![creates("before", |_| 1_000), creates("after", |_| 250)];
    planted[1].slices.iter_mut().for_each(|slice| {
        slice.counters.insert("server.statements_insert".to_owned(), 25);
    });
    let found = judged(witnessed.clone(), measurement(planted));
    assert_verdict(
        &found,
        Verdict::Invalid,
        "server.statements_* says 600, postgres.statements says 6,000; 90.0 %",
    );

    let mut blind = honest;
    blind[1].slices[0].counters.remove("postgres.statements");
    assert_verdict(
        &judged(witnessed.clone(), measurement(blind.clone())),
        Verdict::Invalid,
        "is missing from 1",
    );

    let mut alone = measurement(blind);
    alone.witnesses.remove("postgres");
    let found = judged(witnessed, alone);
    assert_holds(&found);
    assert!(found.rests_on.iter().any(|it| it.contains("was not checked against postgres.statements")));
}

/// Redis counts hits of keys that are no links, too: the server may tell fewer, and never more.
#[test]
fn a_count_that_is_held_to_at_most_another_may_be_less_and_not_more() {
    let with = |told: u64, redis: u64| {
        let mut held = check(reduction(), Bound::AtLeast(20.0));
        held.agree = vec![Agreement {
            counters: ("server.lookups_redis".into(), "redis.hits".into()),
            within: 0.01,
            slack: 0,
            at_most: true,
        }];
        let mut made = measurement(vec![creates("before", |_| 1_000), creates("after", |_| 25)]);
        made.witnesses.insert("redis".to_owned(), made.witnesses["postgres"].clone());
        for slice in made.series.iter_mut().flat_map(|series| &mut series.slices) {
            slice.counters.insert("server.lookups_redis".to_owned(), told);
            slice.counters.insert("redis.hits".to_owned(), redis);
        }
        judged(held, made)
    };
    let fewer = with(100, 300);
    assert_holds(&fewer);
    assert!(fewer.rests_on.iter().any(|it| it.ends_with("1 % more allowed")), "{:?}", fewer.rests_on);
    assert_holds(&with(300, 300));
    assert_verdict(&with(300, 100), Verdict::Invalid, "66.7 % apart, 1 % more allowed");
}

#[test]
fn creates_that_the_store_does_not_confirm_are_invalid() {
    let ledger =
        Ledger { acknowledged: 12_000, present: 12_000, source: "read back".to_owned(), ..Ledger::default() };
    let with = |ledger: Ledger| {
        let mut made = measurement(vec![creates("before", |_| 1_000), creates("after", |_| 25)]);
        made.ledger = Some(ledger);
        judged(check(reduction(), Bound::AtLeast(20.0)), made)
    };
    assert_holds(&with(ledger.clone()));
    assert_verdict(&with(Ledger { missing: 3, ..ledger.clone() }), Verdict::Invalid, "3 missing");
    assert_verdict(
        &with(Ledger { wrong: 2, ..ledger.clone() }),
        Verdict::Invalid,
        "2 stored with another URL",
    );
    assert_verdict(&with(Ledger { duplicates: 1, ..ledger }), Verdict::Invalid, "1 acknowledged twice");
}

#[test]
fn one_duplicate_fails_a_count_and_none_says_how_little_it_proves() {
    let none = check(counted("ledger.duplicates"), Bound::AtMost(0.0));
    let with = |ledger: Option<Ledger>| {
        let mut made = measurement(vec![creates("after", |_| 25)]);
        made.ledger = ledger;
        judged(none.clone(), made)
    };
    let ledger = Ledger { acknowledged: 30_000, present: 30_000, ..Ledger::default() };
    let found = with(Some(ledger.clone()));
    assert_holds(&found);
    assert!(found.reasons[0].contains("at most one in 10,014"), "{:?}", found.reasons);
    assert_eq!(figure::measured(&found), "0 (at most 1 in 10,014)", "and so it stands in every table");
    let one = with(Some(Ledger { duplicates: 1, ..ledger.clone() }));
    assert_eq!(figure::measured(&one), "1", "what was counted is what decides");
    assert!(
        found.reasons[1].contains("random codes would have collided 2.1e-6 times"),
        "{:?}",
        found.reasons
    );
    assert_verdict(&with(Some(Ledger { duplicates: 1, ..ledger.clone() })), Verdict::Fails, "misses ≤ 0");
    // As the catalogue asks it: retries and violations beside the duplicates, by creates and not by all requests.
    let sum = ["server.unique_violations", "server.create_retries", "ledger.duplicates"].map(str::to_owned);
    let metric = Metric::Count { sum: sum.into(), variant: None, part: Default::default() };
    let mut made = creates("after", |_| 25);
    for slice in &mut made.slices {
        slice.counters.extend([
            ("server.unique_violations".to_owned(), 0),
            ("server.create_retries".to_owned(), 0),
            ("client.sent".to_owned(), 5_000),
        ]);
    }
    let mut made = measurement(vec![made]);
    made.ledger = Some(ledger);
    let found = judged(check(metric, Bound::AtMost(0.0)), made);
    assert!(found.reasons.iter().any(|it| it.contains("12,000 random codes")), "{:?}", found.reasons);
    assert_verdict(&with(Some(Ledger::default())), Verdict::Invalid, "proves nothing");
    assert_verdict(&with(None), Verdict::Invalid, "there is no ledger");
}

#[test]
fn nothing_sent_proves_nothing() {
    let mut idle = redirects(999);
    idle.slices.iter_mut().for_each(|slice| {
        slice.counters.insert("client.sent".to_owned(), 0);
    });
    let found = judged(check(counted("client.error"), Bound::AtMost(0.0)), measurement(vec![idle]));
    assert_verdict(&found, Verdict::Invalid, "no requests");
}

#[test]
fn that_none_of_a_few_went_wrong_settles_nothing() {
    let with = |acknowledged| {
        let mut made = measurement(vec![creates("after", |_| 25)]);
        made.ledger = Some(Ledger { acknowledged, present: acknowledged, ..Ledger::default() });
        judged(check(counted("ledger.duplicates"), Bound::AtMost(0.0)), made)
    };
    let few = with(59);
    assert_verdict(&few, Verdict::Inconclusive, "59 acknowledged creates prove nothing");
    assert_holds(&with(60));
}

#[test]
fn what_the_client_seldom_counts_is_none_where_it_did_not_happen() {
    let of = |name: &str| judged(check(counted(name), Bound::AtMost(0.0)), measurement(vec![redirects(990)]));
    assert_holds(&of("client.reset"));
    assert_verdict(&of("client.rest"), Verdict::Invalid, "was not counted");
}

#[test]
fn statements_that_postgresql_forgot_are_no_evidence() {
    let with = |evicted| {
        let mut made = creates("after", |_| 25);
        for slice in &mut made.slices {
            let counts = [("postgres.rolled_back".to_owned(), 0), ("postgres.evicted".to_owned(), evicted)];
            slice.counters.extend(counts);
        }
        judged(check(counted("postgres.rolled_back"), Bound::AtMost(0.0)), measurement(vec![made]))
    };
    assert_holds(&with(0));
    assert_verdict(&with(1), Verdict::Invalid, "PostgreSQL forgot statements");
}

/// Creates whose answer never came count among the statements and not among the creates.
#[test]
fn a_ratio_of_variants_is_widened_for_what_was_not_answered() {
    let with = |lost| {
        let mut before = creates("before", |_| 1_000);
        for slice in &mut before.slices {
            slice.counters.insert("client.timeout".to_owned(), lost);
        }
        let both = measurement(vec![before, creates("after", |index| 25 + u64::from(index % 3))]);
        judged(check(reduction(), Bound::AtLeast(20.0)), both)
    };
    let (all, some) = (with(0), with(50));
    let low = |found: &proofload_reports::verdict::CheckVerdict| found.interval.as_ref().unwrap().low;
    assert!(low(&some) < low(&all) * 0.95, "{some:?}");
    assert!(some.reasons.iter().any(|reason| reason.contains("widened by")), "{some:?}");
}
