//! Hand-made claims and runs, to be broken one thing at a time.

use std::collections::BTreeMap;

use proofload_reports::run::{Environment, Measurement, Model, Series, Slice, Standing, Witness};
use proofload_reports::{CheckVerdict, Distribution, Run, Verdict, judge};
use proofload_scenarios::{Bound, Check, Claim, Compare, Kind, Metric};
use serde_json::json;

pub fn check(metric: Metric, bound: Bound) -> Check {
    Check {
        kind: Kind::Upheld,
        title: "≥ 99 % of redirects".to_owned(),
        scenario: "made".to_owned(),
        metric,
        bound,
        confidence: 0.95,
        agree: Vec::new(),
    }
}

pub fn hit_rate(of_ceiling: bool) -> Metric {
    Metric::Ratio {
        sum: vec!["server.lookups_process".to_owned(), "server.lookups_redis".to_owned()],
        per: vec!["server.lookups_*".to_owned()],
        of_ceiling,
        variant: None,
        part: Default::default(),
    }
}

pub fn statements_per_create(variant: &str) -> Metric {
    Metric::Ratio {
        sum: vec!["server.statements_*".to_owned()],
        per: vec!["client.created".to_owned()],
        of_ceiling: false,
        variant: Some(variant.to_owned()),
        part: Default::default(),
    }
}

pub fn reduction() -> Metric {
    Metric::Versus {
        sum: vec!["server.statements_*".to_owned()],
        per: vec!["client.created".to_owned()],
        compare: Compare { of: "before".to_owned(), over: "after".to_owned() },
    }
}

pub fn counted(name: &str) -> Metric {
    Metric::Count { sum: vec![name.to_owned()], variant: None, part: Default::default() }
}

pub fn response(quantile: f64) -> Metric {
    Metric::Response { quantile, variant: None }
}

pub fn slice(index: u32, counters: &[(&str, u64)]) -> Slice {
    Slice {
        start_s: f64::from(index),
        duration_s: 1.0,
        block: 0,
        counters: counters.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect(),
        latency: Default::default(),
    }
}

/// 48 slices of 1,000 redirects, with `hits` ± a little of them answered by the cache.
pub fn redirects(hits: u64) -> Series {
    let slices = (0..48)
        .map(|index| {
            let wobble = u64::from(index * 7 % 5);
            let hits = (hits + wobble).saturating_sub(2).min(1_000);
            slice(
                index,
                &[
                    ("server.lookups_process", hits / 2),
                    ("server.lookups_redis", hits - hits / 2),
                    ("server.lookups_store", 1_000 - hits),
                    ("server.lookups_waiter", 0),
                    ("server.lookups_failed", 0),
                    ("client.sent", 1_000),
                    ("client.ok", 1_000),
                    ("client.wrong", 0),
                    ("client.timeout", 0),
                    ("client.error", 0),
                    ("client.dropped", 0),
                ],
            )
        })
        .collect();
    series("only", slices)
}

/// 12 interleaved blocks of two slices with 500 creates, each with so many statements.
pub fn creates(variant: &str, statements: impl Fn(u32) -> u64) -> Series {
    let slices = (0..24)
        .map(|index| {
            let mut made = slice(
                index,
                &[
                    ("server.statements_insert", statements(index)),
                    ("server.statements_lease", 0),
                    ("client.created", 500),
                    ("client.sent", 500),
                    ("client.wrong", 0),
                    ("postgres.statements", statements(index)),
                ],
            );
            made.block = index / 2;
            made
        })
        .collect();
    series(variant, slices)
}

/// 40 slices of 500 responses by the given time in nanoseconds.
pub fn responses(time: impl Fn(u32, u32) -> u64) -> Series {
    let mut all = Distribution::default();
    let slices = (0..40)
        .map(|index| {
            let mut made = slice(index, &[("client.sent", 500), ("client.dropped", 0), ("client.wrong", 0)]);
            made.latency = (0..500).map(|request| time(index, request)).collect();
            all.merge(&made.latency.unpack());
            made
        })
        .collect();
    let mut made = series("only", slices);
    made.times = BTreeMap::from([("response".to_owned(), all.clone()), ("service".to_owned(), all)]);
    made
}

pub fn series(variant: &str, slices: Vec<Slice>) -> Series {
    Series {
        variant: variant.to_owned(),
        slices,
        times: BTreeMap::new(),
        before_measurement: BTreeMap::new(),
    }
}

pub fn measurement(series: Vec<Series>) -> Measurement {
    let scenario = json!({
        "name": "made",
        "load": {"open": {"schedule": {"poisson": {"per-second": 1000.0}}}},
        "phases": {"measurement_s": 48.0},
        "variant": {"only": {"cache-entries": 27_000}},
    });
    let witness = |standing, source: &str| Witness { standing, source: source.to_owned() };
    Measurement {
        scenario: serde_json::from_value(scenario).unwrap(),
        model: Model::Open,
        settings: BTreeMap::new(),
        ceiling: None,
        series,
        facts: BTreeMap::new(),
        ledger: None,
        witnesses: BTreeMap::from([
            ("client".to_owned(), witness(Standing::Client, "the client")),
            ("server".to_owned(), witness(Standing::SelfReported, "the server's /metrics")),
            ("postgres".to_owned(), witness(Standing::Independent, "pg_stat_statements")),
        ]),
        invalid_latency: Vec::new(),
        invalid: Vec::new(),
        remarks: Vec::new(),
        faults: Vec::new(),
    }
}

pub fn run(checks: Vec<Check>, measurement: Measurement) -> Run {
    Run {
        version: 1,
        verb: "check".to_owned(),
        command: Vec::new(),
        profile: "quick".to_owned(),
        started_unix_ms: 0,
        duration_s: 48.0,
        environment: Environment::default(),
        claims: vec![Claim {
            id: "made".to_owned(),
            statement: "made".to_owned(),
            note: String::new(),
            checks,
        }],
        measurements: vec![measurement],
        invalid: Vec::new(),
        generator_error: None,
        bars: Vec::new(),
        not_checked: Vec::new(),
    }
}

pub fn judged(check: Check, measurement: Measurement) -> CheckVerdict {
    let run = run(vec![check], measurement);
    judge(&run.claims[0], &run).checks.remove(0)
}

#[track_caller]
pub fn assert_verdict(found: &CheckVerdict, expected: Verdict, reason: &str) {
    assert_eq!(found.verdict, expected, "{found:#?}");
    assert!(found.reasons.iter().any(|it| it.contains(reason)), "no “{reason}” in {:#?}", found.reasons);
}

#[track_caller]
pub fn assert_holds(found: &CheckVerdict) {
    assert_eq!(found.verdict, Verdict::Holds, "{found:#?}");
}

/// The same, of a workload whose hit rate no cache of that size could bring above 88.6 %.
pub fn under_ceiling(series: Vec<Series>) -> Measurement {
    let links = json!({ "count": 100_000, "zipf": 0.99 });
    let mut made = measurement(series);
    made.scenario.links = Some(serde_json::from_value(links).unwrap());
    Measurement { ceiling: Some(0.886), ..made }
}
