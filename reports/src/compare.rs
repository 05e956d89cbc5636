//! Two recorded runs side by side: what each metric's ratio is, and what else was changed.

use std::collections::{BTreeMap, BTreeSet};

use proofload_scenarios::{Bound, Check, Kind, Metric};
use serde::{Deserialize, Serialize};

use crate::render::means;
use crate::run::{Measurement, Run, Series};
use crate::statistics::bootstrap::{self, FEWEST_SLICES, RESAMPLES};
use crate::statistics::ratio;
use crate::verdict::{Interval, Verdict, judge_alone};

/// What a reader of a comparison must know.
pub const CAVEAT: &str = "The intervals hold the scatter within each run, not that between runs: the same build, \
                          measured one after the other, was seen to differ by 16 %. To decide between two builds, \
                          measure them interleaved: `proofload gate`.";

/// Both runs, metric by metric.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    pub rows: Vec<Row>,
    /// Settings and environment that differ.
    pub changes: Vec<Change>,
    /// Scenarios and variants that only one of them measured.
    pub unmatched: Vec<String>,
    /// Why one of the runs is not to be trusted as a whole.
    #[serde(default)]
    pub invalid: Vec<String>,
}

/// One metric of one variant in both runs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    pub scenario: String,
    pub variant: String,
    pub metric: Compared,
    pub a: Option<f64>,
    pub b: Option<f64>,
    /// `b` over `a`.
    pub ratio: Option<f64>,
    pub interval: Option<Interval>,
    pub reading: Reading,
    /// Why there is no ratio, or no interval.
    pub reasons: Vec<String>,
}

/// What is compared. Times are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Compared {
    /// Right answers a second.
    Throughput,
    Response {
        quantile: f64,
    },
    Service {
        quantile: f64,
    },
    /// CPU time of the server a right answer, in microseconds.
    ServerCpu,
    /// Redirects answered without the database, of all: 0 to 1.
    HitRate,
    /// Database statements an acknowledged create.
    StatementsPerCreate,
}

/// What the interval of a ratio allows to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reading {
    Higher,
    Lower,
    /// The interval contains one.
    NoDifferenceShown,
    /// There is no interval, or one without an end.
    Unknown,
}

/// A setting that differs; none where one run lacks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub what: String,
    pub a: Option<String>,
    pub b: Option<String>,
}

/// Compares `b` with `a`, scenario by scenario and variant by variant.
pub fn compare(a: &Run, b: &Run) -> Comparison {
    let (mut rows, mut changes, mut unmatched) = (Vec::new(), environment(a, b), Vec::new());
    for (scenario, pair) in matched(&a.measurements, &b.measurements, |it| it.scenario.name.clone()) {
        let (Some(left), Some(right)) = pair else {
            unmatched.push(format!("scenario `{scenario}`"));
            continue;
        };
        changes.extend(settings(&scenario, left, right));
        for (variant, pair) in matched(&left.series, &right.series, |it| it.variant.clone()) {
            match pair {
                (Some(one), Some(other)) => rows.extend(of_variant((left, one), (right, other))),
                _ => unmatched.push(format!("variant `{variant}` of scenario `{scenario}`")),
            }
        }
    }
    let against = |name: &str, run: &Run| -> Vec<String> {
        run.invalid.iter().map(|reason| format!("{name} is invalid: {reason}")).collect()
    };
    let invalid = [against("A", a), against("B", b)].concat();
    for row in rows.iter_mut().filter(|_| !invalid.is_empty()) {
        row.reading = Reading::Unknown;
        row.reasons.extend(invalid.iter().cloned());
    }
    Comparison { rows, changes, unmatched, invalid }
}

type Pair<'a, T> = (Option<&'a T>, Option<&'a T>);

/// Pairs by name, in the order of the first, then what only the second has.
fn matched<'a, T>(a: &'a [T], b: &'a [T], name: impl Fn(&T) -> String) -> Vec<(String, Pair<'a, T>)> {
    let names = a.iter().chain(b).map(&name);
    let mut seen = BTreeSet::new();
    let find = |list: &'a [T], wanted: &str| list.iter().find(|it| name(it) == wanted);
    names.filter(|it| seen.insert(it.clone())).map(|it| (it.clone(), (find(a, &it), find(b, &it)))).collect()
}

type Side<'a> = (&'a Measurement, &'a Series);

fn of_variant(a: Side, b: Side) -> Vec<Row> {
    let quantiles = [0.5, 0.99, 0.999];
    let metrics = [Compared::Throughput]
        .into_iter()
        .chain(quantiles.map(|quantile| Compared::Response { quantile }))
        .chain(quantiles.map(|quantile| Compared::Service { quantile }))
        .chain([Compared::ServerCpu, Compared::HitRate, Compared::StatementsPerCreate]);
    metrics
        .filter(|metric| metric.is_recorded(a.1) || metric.is_recorded(b.1))
        .map(|it| row(it, a, b))
        .collect()
}

/// A value with its bounds; the bounds may be missing.
pub(crate) struct Valued {
    pub value: Option<f64>,
    pub bounds: Option<(f64, f64)>,
    pub reasons: Vec<String>,
    /// There is no value for these reasons; without them, it is infinite.
    pub invalid: bool,
}

fn row(metric: Compared, a: Side, b: Side) -> Row {
    let (left, right) = (metric.value(a), metric.value(b));
    let ratio = left.value.zip(right.value).filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a);
    let interval = interval(&left, &right);
    let reading = match interval {
        None => Reading::Unknown,
        Some(it) if it.low > 1.0 => Reading::Higher,
        Some(it) if it.high < 1.0 => Reading::Lower,
        Some(it) if is_open(&it) => Reading::Unknown,
        Some(_) => Reading::NoDifferenceShown,
    };
    let open = interval.filter(|it| reading == Reading::Unknown && is_open(it));
    let (scenario, variant) = (a.0.scenario.name.clone(), a.1.variant.clone());
    let (value_a, value_b) = (left.value, right.value);
    let open = open.map(|_| "too few samples for an interval with two ends".to_owned());
    let mut reasons = told(&left.reasons, &right.reasons);
    reasons.extend(open);
    Row { scenario, variant, metric, a: value_a, b: value_b, ratio, interval, reading, reasons }
}

/// What holds of both is told once.
fn told(a: &[String], b: &[String]) -> Vec<String> {
    let of_a = a.iter().map(|reason| match b.contains(reason) {
        true => format!("A and B: {reason}"),
        false => format!("A: {reason}"),
    });
    let of_b = b.iter().filter(|reason| !a.contains(reason)).map(|reason| format!("B: {reason}"));
    of_a.chain(of_b).collect()
}

/// Whether an interval excludes nothing at one of its ends.
fn is_open(interval: &Interval) -> bool {
    !(interval.low > 0.0 && interval.high.is_finite())
}

fn interval(a: &Valued, b: &Valued) -> Option<Interval> {
    let with_bounds = |it: &Valued| Some((it.value?, it.bounds?.0, it.bounds?.1));
    let (_, low, high) = ratio::of_estimates(with_bounds(b)?, with_bounds(a)?)?;
    Some(Interval { low, high, confidence: 2.0 * CONFIDENCE - 1.0 })
}

/// Of each one-sided bound; the intervals are of 95 % as a whole.
const CONFIDENCE: f64 = 0.975;

impl Compared {
    fn is_recorded(self, series: &Series) -> bool {
        let counted = |part: &str| {
            series.slices.iter().any(|slice| slice.counters.keys().any(|key| key.starts_with(part)))
        };
        match self {
            Compared::Throughput => counted("client.ok"),
            Compared::Response { .. } => series.times.contains_key("response"),
            Compared::Service { .. } => series.times.contains_key("service"),
            Compared::ServerCpu => counted("cpu.server_us"),
            Compared::HitRate => counted("server.lookups_process"),
            Compared::StatementsPerCreate => {
                counted("server.statements")
                    && series.slices.iter().any(|it| it.counters.get("client.created") > Some(&0))
            }
        }
    }

    pub(crate) fn value(self, (measurement, series): Side) -> Valued {
        if self == Compared::Throughput {
            return throughput(measurement, series);
        }
        let check = Check {
            kind: Kind::Stated,
            title: String::new(),
            scenario: measurement.scenario.name.clone(),
            metric: self.metric(series.variant.clone()),
            // Nothing is judged here: every value meets this bound.
            bound: Bound::AtLeast(0.0),
            confidence: CONFIDENCE,
            agree: Vec::new(),
        };
        let judged = judge_alone(&check, measurement);
        let bounds = judged.interval.map(|it| (it.low, it.high)).filter(|_| judged.verdict == Verdict::Holds);
        let invalid = judged.verdict == Verdict::Invalid;
        Valued { value: judged.estimate, bounds, reasons: judged.reasons, invalid }
    }

    fn metric(self, variant: String) -> Metric {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let ratio = |sum: &[&str], per: &[&str], variant| Metric::Ratio {
            sum: owned(sum),
            per: owned(per),
            of_ceiling: false,
            variant,
            part: Default::default(),
        };
        let variant = Some(variant);
        let hits = ["server.lookups_process", "server.lookups_redis"];
        let misses = ["server.lookups_store", "server.lookups_waiter", "server.lookups_failed"];
        match self {
            Compared::Response { quantile } => Metric::Response { quantile, variant },
            Compared::Service { quantile } => Metric::Service { quantile, variant },
            Compared::ServerCpu => ratio(&["cpu.server_us"], &["client.ok"], variant),
            Compared::HitRate => ratio(&hits, &[&hits[..], &misses].concat(), variant),
            Compared::StatementsPerCreate => ratio(&["server.statements_*"], &["client.created"], variant),
            Compared::Throughput => unreachable!("it is per second, not per counter"),
        }
    }
}

fn throughput(measurement: &Measurement, series: &Series) -> Valued {
    let ok = |counters: &BTreeMap<String, u64>| counters.get("client.ok").copied().unwrap_or(0) as f64;
    let slices: Vec<(f64, f64)> =
        series.slices.iter().map(|slice| (ok(&slice.counters), slice.duration_s)).collect();
    let mut reasons = measurement.invalid.clone();
    let seconds: f64 = slices.iter().map(|it| it.1).sum();
    if seconds <= 0.0 || !reasons.is_empty() {
        return Valued { value: None, bounds: None, reasons, invalid: true };
    }
    let found = bootstrap::ratio_of_sums(&slices, CONFIDENCE, RESAMPLES);
    let enough = slices.len() >= FEWEST_SLICES;
    if !enough {
        reasons
            .push(format!("{} slices are too few for an interval: {FEWEST_SLICES} are needed", slices.len()));
    }
    let bounds = enough.then_some((found.low, found.high));
    Valued { value: Some(found.value), bounds, reasons, invalid: false }
}

fn environment(a: &Run, b: &Run) -> Vec<Change> {
    let told = |run: &Run| -> Vec<(String, String)> {
        let rows = means::environment(run).into_iter().map(|(name, value)| (name.to_string(), value));
        let mut rows: Vec<_> = rows.filter(|(name, _)| name != "measured" && name != "took").collect();
        rows.push(("command".to_owned(), means::command(run)));
        rows
    };
    differing("", told(a), told(b))
}

fn settings(scenario: &str, a: &Measurement, b: &Measurement) -> Vec<Change> {
    differing(&format!("{scenario}: "), means::settings(a), means::settings(b))
}

fn differing(prefix: &str, a: Vec<(String, String)>, b: Vec<(String, String)>) -> Vec<Change> {
    let pairs = matched(&a, &b, |it| it.0.clone());
    pairs
        .into_iter()
        .map(|(name, (a, b))| Change {
            what: format!("{prefix}{name}"),
            a: a.map(|it| it.1.clone()),
            b: b.map(|it| it.1.clone()),
        })
        .filter(|change| change.a != change.b)
        .collect()
}
