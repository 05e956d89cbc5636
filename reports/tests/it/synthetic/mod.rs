//! Hand-made runs: what a measurement could have written, from a seed and a few shapes.
#![allow(dead_code, reason = "each program uses a part")]

mod counters;

use std::collections::BTreeMap;

use proofload_reports::run::{
    Bar, Environment, Fault, GeneratorError, Ledger, Measurement, Model, NotChecked, Series, Slice, Standing,
    VERSION, Witness,
};
use proofload_reports::verdict::{CheckVerdict, ClaimVerdict, Interval, Verdict};
use proofload_reports::{Distribution, Run};
use proofload_scenarios::scenario::{FaultAction, FaultTarget};
use proofload_scenarios::{Bound, Check, Claim, Compare, Kind, Metric, Scenario};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64;
use serde_json::json;

/// A run of the quick profile: the hit rate, the statements per create, and users who walk about.
pub fn quick_run() -> Run {
    let mut redirects = measurement("hit-rate-entries", 20, 2_000);
    redirects.ceiling = Some(0.892);
    redirects.faults = vec![
        fault(4.0, FaultAction::Kill, FaultTarget::Redis),
        fault(5.2, FaultAction::Start, FaultTarget::Redis),
        fault(12.5, FaultAction::Flush, FaultTarget::App),
        fault(19.0, FaultAction::Restart, FaultTarget::Keygen),
    ];
    redirects.settings.insert("rate found".into(), "4,000/s".into());
    let mut creates = measurement("create-only", 24, 300);
    creates.series = in_turn([creates_of("before", 24, 300, 2.02), creates_of("after", 24, 300, 0.06)]);
    creates.ledger = Some(Ledger {
        acknowledged: 14_400,
        present: 14_400,
        source: "read back".into(),
        ..Ledger::default()
    });
    let mut journeys = measurement("journeys", 10, 150);
    journeys.model = Model::Journeys;
    journeys.series[0].times.remove("response");
    run_of(vec![redirects, creates, journeys])
}

fn fault(at_s: f64, what: FaultAction, whom: FaultTarget) -> Fault {
    Fault { at_s, took_s: 0.1, what, whom }
}

fn bar(what: &str, (measured, low, high): (f64, f64, f64), (relation, bound): (&str, f64), met: bool) -> Bar {
    let command = "server/benches/side-by-side.sh all".to_owned();
    let (what, relation) = (what.to_owned(), relation.to_owned());
    Bar { what, measured, low, high, relation, bound, met, command, unix_ms: 1_772_300_000_000 }
}

pub fn run_of(measurements: Vec<Measurement>) -> Run {
    Run {
        version: VERSION,
        verb: "check".into(),
        command: ["proofload", "check", "--profile", "quick"].map(String::from).into(),
        profile: "quick".into(),
        started_unix_ms: 1_772_373_959_000,
        duration_s: 61.5,
        environment: Environment {
            tool_version: "0.1.0".into(),
            host_cores: 2,
            cpu_model: "Example CPU @ 2.10GHz".into(),
            kernel: "Linux 6.1".into(),
            memory_mb: 8_192,
            pinning: "server on core 0, generator on core 1".into(),
            backends: vec!["sqlite 3.50".into()],
        },
        claims: verdicts().into_iter().map(|it| it.claim).collect(),
        measurements,
        invalid: Vec::new(),
        generator_error: Some(GeneratorError {
            measured_unix_ms: 1_772_370_000_000,
            send_delay_p50_us: 1.5,
            send_delay_p99_us: 38.0,
            quantile_error: 0.004,
        }),
        bars: vec![
            bar("CPU per redirect, server / nginx", (1.048, 1.017, 1.091), ("<=", 1.1), true),
            bar("creates a second, after / before", (5.54, 5.07, 6.3), (">=", 8.0), false),
        ],
        not_checked: vec![NotChecked {
            claims: ["health", "rewarm"].map(String::from).into(),
            why: "they need PostgreSQL and Redis, which --backends spawn starts".into(),
        }],
    }
}

/// A measurement of redirects at `rate` a second, one slice a second.
pub fn measurement(name: &str, slices: u32, rate: u32) -> Measurement {
    let mut series = Series {
        variant: "server".into(),
        slices: (0..slices)
            .map(|index| {
                let mut slice = redirect_slice(index, rate);
                counters::enrich(&mut slice);
                slice
            })
            .collect(),
        times: BTreeMap::new(),
        before_measurement: BTreeMap::from([("client.created".into(), 100_000)]),
    };
    fill_times(&mut series);
    Measurement {
        scenario: scenario(name, slices, rate),
        model: Model::Open,
        settings: BTreeMap::new(),
        ceiling: None,
        series: vec![series],
        facts: BTreeMap::new(),
        ledger: None,
        witnesses: BTreeMap::from([
            ("client".into(), witness(Standing::Client, "what was sent and answered")),
            ("server".into(), witness(Standing::SelfReported, "the server's /metrics")),
            ("machine".into(), witness(Standing::Independent, "/proc")),
        ]),
        invalid_latency: Vec::new(),
        invalid: Vec::new(),
        remarks: vec!["<b>100,000</b> links made in 9.8 s".into()],
        faults: Vec::new(),
    }
}

pub fn scenario(name: &str, seconds: u32, rate: u32) -> Scenario {
    serde_json::from_value(json!({
        "name": name,
        "about": "Redirects, keys by Zipf 0.99 over 100,000 links.",
        "load": { "open": { "schedule": { "poisson": { "per-second": rate } } } },
        "phases": { "warm_up_s": 2.0, "measurement_s": seconds },
        "links": { "count": 100_000, "zipf": 0.99, "clicks": 1_000_000, "restart": true },
        "variant": { "server": {} },
    }))
    .expect("it is a scenario")
}

/// Measurements that only make sense together: a knee, a curve, an ablation, an envelope.
pub fn grouped_run() -> Run {
    let mut run = quick_run();
    for (index, rate) in [500, 1_000, 2_000, 1_400].into_iter().enumerate() {
        let mut point = measurement(&format!("knee/redirects/{index}"), 5, rate);
        point.settings.insert("objective".into(), "p99 <= 5 ms".into());
        run.measurements.push(point);
    }
    for rate in [200, 1_000, 2_000, 5_000, 10_000] {
        let mut point = measurement(&format!("curve/statements/{rate}"), 5, rate);
        let share = 1.2 / (1.0 + f64::from(rate) / 100.0);
        point.series = vec![creates_of("before", 5, rate, 2.02), creates_of("after", 5, rate, share)];
        run.measurements.push(point);
    }
    for (name, statements) in [
        ("all on", 0.05),
        ("no coalescing", 1.01),
        ("no blocks", 1.1),
        ("no pool", 0.05),
        ("no warming", 0.06),
    ] {
        let mut point = measurement(&format!("ablation/techniques/{name}"), 12, 300);
        point.series = vec![creates_of("server", 12, 300, statements)];
        run.measurements.push(point);
    }
    for (zipf, entries) in
        [(0.8, 27_000), (0.99, 5_000), (0.99, 27_000), (0.99, 90_000), (1.2, 27_000), (1.4, 27_000)]
    {
        let mut point = measurement(&format!("envelope/hits/{zipf}-{entries}"), 5, 900);
        let links = point.scenario.links.as_mut().expect("it has links");
        links.zipf = zipf;
        let best = proofload_scenarios::zipf::ceiling(links.count, zipf, entries);
        point.ceiling = Some(best);
        point.facts.insert("cache_entries".into(), f64::from(entries));
        for slice in &mut point.series[0].slices {
            set_hit_rate(slice, best * 0.997);
        }
        run.measurements.push(point);
    }
    run
}

/// What a check of all claims on all backends measures: fifteen claims, their scenarios, a curve, an ablation and
/// an envelope.
pub fn full_check() -> (Run, Vec<ClaimVerdict>) {
    let mut run = run_of(Vec::new());
    run.profile = "full".into();
    for number in 0..16 {
        let mut it = measurement(&format!("scenario-{number}"), 60, 1_000);
        if number % 3 == 0 {
            it.series = in_turn([creates_of("before", 60, 300, 2.02), creates_of("after", 60, 900, 0.05)]);
        }
        run.measurements.push(it);
    }
    let grouped = grouped_run().measurements.into_iter().skip(3).collect::<Vec<_>>();
    for round in 0..3 {
        run.measurements.extend(grouped.iter().cloned().map(|mut point| {
            let rest = point.scenario.name.rsplit_once('/').expect("it is a point");
            point.scenario.name = format!("{}/{}, {round}", rest.0, rest.1);
            point
        }));
    }
    let verdicts: Vec<ClaimVerdict> = (0..15)
        .map(|number| {
            let mut verdict = verdicts().swap_remove(number % 2);
            verdict.claim.id = format!("{}-{number}", verdict.claim.id);
            verdict
        })
        .collect();
    run.claims = verdicts.iter().map(|it| it.claim.clone()).collect();
    (run, verdicts)
}

/// Sets the counters of look-ups so that the process's cache answers almost all hits.
fn set_hit_rate(slice: &mut Slice, rate: f64) {
    let sent = slice.counters["client.sent"];
    let hits = (sent as f64 * rate) as u64;
    let redis = hits / 40;
    for (level, count) in [("process", hits - redis), ("redis", redis), ("waiter", 0), ("store", sent - hits)]
    {
        slice.counters.insert(format!("server.lookups_{level}"), count);
    }
}

/// Log-normal service times with a tail, and the response times that a queue adds to them.
pub fn redirect_slice(index: u32, rate: u32) -> Slice {
    let mut random = Pcg64::seed_from_u64(u64::from(index) + 1);
    let sent = u64::from(rate) + random.random_range(0..u64::from(rate / 20 + 1));
    let mut slice = Slice { start_s: f64::from(index), duration_s: 1.0, ..Slice::default() };
    slice.latency = (0..sent - sent / 900).map(|_| latency_ns(&mut random, index)).collect();
    let dropped = if index % 11 == 7 { sent / 40 } else { 0 };
    slice.counters = [
        ("client.sent", sent),
        ("client.ok", sent - sent / 900),
        ("client.wrong", 0),
        ("client.error", sent / 900),
        ("client.dropped", dropped),
        ("client.send_delay_us", sent * if index % 7 == 3 { 9 } else { 2 }),
        ("client.arrivals", sent + dropped),
        ("client.lag_us", (sent + dropped) * if index % 7 == 3 { 6 } else { 1 }),
        ("cpu.server_us", 310_000 + random.random_range(0..90_000)),
        ("cpu.generator_us", 420_000 + random.random_range(0..60_000)),
        ("machine.steal_us", if index % 7 == 3 { 12_000 } else { 900 }),
    ]
    .map(|(name, count)| (name.to_owned(), count))
    .into();
    let rate = 0.889 - random.random::<f64>() * 0.006;
    set_hit_rate(&mut slice, rate);
    slice
}

pub fn empty_series(variant: &str) -> Series {
    Series {
        variant: variant.into(),
        slices: Vec::new(),
        times: BTreeMap::new(),
        before_measurement: BTreeMap::new(),
    }
}

fn creates_of(variant: &str, slices: u32, rate: u32, statements: f64) -> Series {
    let mut series = Series {
        variant: variant.into(),
        slices: (0..slices).map(|index| create_slice(index, rate, statements)).collect(),
        times: BTreeMap::new(),
        before_measurement: BTreeMap::new(),
    };
    fill_times(&mut series);
    series
}

/// Two variants, a slice each in turn: ABBA, and so on.
fn in_turn(mut both: [Series; 2]) -> Vec<Series> {
    for (side, series) in both.iter_mut().enumerate() {
        for (index, slice) in series.slices.iter_mut().enumerate() {
            let turn = [[0, 3], [1, 2]][side][index % 2];
            slice.start_s = (index / 2 * 4 + turn) as f64;
        }
    }
    both.into()
}

fn create_slice(index: u32, rate: u32, statements: f64) -> Slice {
    let mut slice = redirect_slice(index, rate);
    slice.block = index / 4;
    // A few more in some slices, so that intervals have a width.
    let statements = statements * (1.0 + f64::from(index % 4) * 0.01);
    let created = slice.counters["client.sent"];
    slice.counters.retain(|name, _| !name.starts_with("server."));
    slice.counters.insert("client.created".into(), created);
    for name in ["server.statements", "postgres.statements"] {
        slice.counters.insert(name.into(), (created as f64 * statements) as u64);
    }
    counters::enrich(&mut slice);
    slice
}

fn latency_ns(random: &mut Pcg64, index: u32) -> u64 {
    let normal: f64 = (0..12).map(|_| random.random::<f64>()).sum::<f64>() - 6.0;
    let stall = if random.random::<f64>() < 0.004 { 12.0 } else { 1.0 };
    (120_000.0 * (0.35 * normal).exp() * stall * (1.0 + f64::from(index % 5) * 0.05)) as u64
}

/// The merged times, with the phases of a request as shares of the service time.
fn fill_times(series: &mut Series) {
    let mut response = Distribution::default();
    series.slices.iter().for_each(|slice| response.merge(&slice.latency.unpack()));
    let scaled = |share: f64| {
        let mut out = Distribution::default();
        for bin in response.0.iter_recorded() {
            let value = (bin.value_iterated_to() as f64 * share) as u64;
            out.0.record_n(value.max(1), bin.count_at_value()).expect("a part of a time is in bounds");
        }
        out
    };
    let shares = [
        ("service", 0.83),
        ("service/create", 0.9),
        ("service/redirect", 0.8),
        ("connect", 0.2),
        ("ready", 0.01),
        ("send-delay", 0.02),
        ("generator-lag", 0.01),
        ("written", 0.1),
        ("first-byte", 0.8),
    ];
    for (name, share) in shares {
        series.times.insert(name.into(), scaled(share));
    }
    series.times.insert("response".into(), response);
}

fn witness(standing: Standing, source: &str) -> Witness {
    Witness { standing, source: source.into() }
}

/// Four verdicts, one of each kind, on two claims.
pub fn verdicts() -> Vec<ClaimVerdict> {
    let hits = Metric::Ratio {
        sum: vec!["server.lookups_process".into(), "server.lookups_redis".into()],
        per: vec!["server.lookups_*".into()],
        of_ceiling: false,
        variant: None,
        part: Default::default(),
    };
    let of_ceiling = match hits.clone() {
        Metric::Ratio { sum, per, variant, part, .. } => {
            Metric::Ratio { sum, per, of_ceiling: true, variant, part }
        }
        other => other,
    };
    let fewer = Metric::Versus {
        sum: vec!["server.statements".into()],
        per: vec!["client.created".into()],
        compare: Compare { of: "before".into(), over: "after".into() },
    };
    vec![
        claim(
            "hit-rate",
            "Cache hit rate from about 80 % to 99 % and more.",
            "88.9 % of redirects are answered without the database, 99.6 % of what any cache of that size could.",
            vec![
                check(
                    Kind::Stated,
                    "≥ 99 % of redirects, 27,000 entries",
                    "hit-rate-entries",
                    hits,
                    Bound::AtLeast(0.99),
                )
                .judged(
                    Verdict::Fails,
                    0.8893,
                    (0.8871, 0.8914),
                    "no cache of this size could: the ceiling is 89.2 %",
                ),
                check(
                    Kind::Upheld,
                    "≥ 99 % of the ceiling, 27,000 entries",
                    "hit-rate-entries",
                    of_ceiling,
                    Bound::AtLeast(0.99),
                )
                .judged(Verdict::Holds, 0.9963, (0.9941, 0.9982), ""),
            ],
        ),
        claim(
            "db-statements",
            "20 to 40 times fewer database queries per created URL.",
            "34 times fewer statements at 300 creates a second; too few slices to be sure of more than 18.",
            vec![
                check(
                    Kind::Stated,
                    "≥ 20 × fewer statements per create",
                    "create-only",
                    fewer.clone(),
                    Bound::AtLeast(20.0),
                )
                .judged(
                    Verdict::Inconclusive,
                    33.7,
                    (18.2, 41.0),
                    "needs about 40 blocks, has 6",
                ),
                check(
                    Kind::Upheld,
                    "≥ 20 × fewer | <counted> twice",
                    "create-only",
                    fewer,
                    Bound::AtLeast(20.0),
                )
                .judged(
                    Verdict::Invalid,
                    33.7,
                    (18.2, 41.0),
                    "server.statements and postgres.calls differ by 12 %",
                ),
            ],
        ),
    ]
}

pub fn claim(id: &str, statement: &str, sentence: &str, checks: Vec<CheckVerdict>) -> ClaimVerdict {
    let worst = |kind| checks.iter().filter(|it| it.check.kind == kind).map(|it| it.verdict).max();
    ClaimVerdict {
        claim: Claim {
            id: id.into(),
            statement: statement.into(),
            note: String::new(),
            checks: checks.iter().map(|it| it.check.clone()).collect(),
        },
        stated: worst(Kind::Stated),
        upheld: worst(Kind::Upheld),
        sentence: sentence.into(),
        checks,
    }
}

pub fn check(kind: Kind, title: &str, scenario: &str, metric: Metric, bound: Bound) -> Check {
    Check {
        kind,
        title: title.into(),
        scenario: scenario.into(),
        metric,
        bound,
        confidence: 0.95,
        agree: Vec::new(),
    }
}

pub trait Judged {
    fn judged(self, verdict: Verdict, estimate: f64, interval: (f64, f64), reason: &str) -> CheckVerdict;
}

impl Judged for Check {
    fn judged(self, verdict: Verdict, estimate: f64, (low, high): (f64, f64), reason: &str) -> CheckVerdict {
        CheckVerdict {
            check: self,
            estimate: Some(estimate),
            interval: Some(Interval { low, high, confidence: 0.95 }),
            verdict,
            reasons: Some(reason.to_owned()).filter(|it| !it.is_empty()).into_iter().collect(),
            samples: 38_400,
            needed: None,
            rests_on: vec!["server: self-reported (the server's /metrics)".into()],
            method: "moving-block bootstrap over 48 slices, 10,000 resamples".into(),
        }
    }
}
