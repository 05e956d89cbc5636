//! A run: what was measured, as it is written to `run.json` and judged from it.

use std::collections::BTreeMap;

use proofload_scenarios::scenario::{FaultAction, FaultTarget};
use proofload_scenarios::{Claim, Scenario};
use serde::{Deserialize, Serialize};

use crate::distribution::{Distribution, Packed};
use crate::figure;

/// Version of the format. A reader refuses a newer one.
pub const VERSION: u32 = 1;

/// All that one invocation measured, and what it was asked. Judging needs nothing else.
///
/// Measurements that a plot joins name their scenarios `KIND/GROUP/POINT`:
///
/// * `curve/…`: statements per create (`client.created`; `postgres.statements` or `server.statements_*`)
///   against the rate sent where the load is open, against the connections where it is closed; a line a variant.
/// * `ablation/…`: each point has one technique switched off and bears its name; the first has all on.
/// * `knee/…`: response times against the rate sent, the setting `objective` as a level.
/// * `envelope/…`: the hit rate over `links.zipf`, `links.count` and the fact `cache_entries`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Run {
    /// Format version, first in the file.
    pub version: u32,
    /// `check`, `run`, `selftest`, …
    pub verb: String,
    /// What a shell needs to do it again.
    pub command: Vec<String>,
    /// `quick`, `full`, or empty.
    pub profile: String,
    /// Start in milliseconds since 1970, UTC.
    pub started_unix_ms: u64,
    pub duration_s: f64,
    pub environment: Environment,
    /// The claims under test, as they stood.
    pub claims: Vec<Claim>,
    pub measurements: Vec<Measurement>,
    /// Why the whole run cannot be trusted: interrupted, target died.
    #[serde(default)]
    pub invalid: Vec<String>,
    /// The generator's own error on this machine, where a selftest is known.
    #[serde(default)]
    pub generator_error: Option<GeneratorError>,
    /// Bars of the server that other tools measured, before.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bars: Vec<Bar>,
    /// Claims of the catalogue that could not be checked here.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_checked: Vec<NotChecked>,
}

/// Claims that are left out for the same reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NotChecked {
    /// Their ids.
    pub claims: Vec<String>,
    pub why: String,
}

/// A bar, and what was measured: the median of several rounds, with its interval at 95 %.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    pub what: String,
    pub measured: f64,
    pub low: f64,
    pub high: f64,
    /// `<=`, `>=` or `<`, as measured stands to the bound.
    pub relation: String,
    pub bound: f64,
    /// Both ends of the interval meet it.
    pub met: bool,
    /// The command that measures it.
    pub command: String,
    pub unix_ms: u64,
}

/// The machine and the builds that the numbers belong to.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Environment {
    pub tool_version: String,
    pub host_cores: u32,
    pub cpu_model: String,
    pub kernel: String,
    pub memory_mb: u64,
    /// `server on core 0, generator on core 1`, or why not.
    pub pinning: String,
    /// Versions of the backends: `sqlite 3.50`, `PostgreSQL 15.18`.
    pub backends: Vec<String>,
}

/// What the generator's own lateness was in its last selftest on this machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratorError {
    pub measured_unix_ms: u64,
    pub send_delay_p50_us: f64,
    pub send_delay_p99_us: f64,
    /// Largest relative error of a reported quantile against a known truth.
    pub quantile_error: f64,
}

/// One scenario, run once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Measurement {
    pub scenario: Scenario,
    pub model: Model,
    /// What else decided the numbers and the scenario does not say: rates found, capacities, codes.
    pub settings: BTreeMap<String, String>,
    /// Best hit rate (0 to 1) that any cache of that size could reach on this workload.
    #[serde(default)]
    pub ceiling: Option<f64>,
    pub series: Vec<Series>,
    /// Single numbers that a claim may ask for.
    #[serde(default)]
    pub facts: BTreeMap<String, f64>,
    #[serde(default)]
    pub ledger: Option<Ledger>,
    /// What each witness is: `server` → `self-reported: …`.
    pub witnesses: BTreeMap<String, Witness>,
    /// Why its latencies cannot be trusted; counts that the ledger reconciles still stand.
    #[serde(default)]
    pub invalid_latency: Vec<String>,
    /// Why none of it can be trusted.
    #[serde(default)]
    pub invalid: Vec<String>,
    /// What a reader should know: skipped lines, what a phase did.
    #[serde(default)]
    pub remarks: Vec<String>,
    /// What was broken or mended on purpose while it was measured, in the order of time.
    #[serde(default)]
    pub faults: Vec<Fault>,
}

/// Something that was broken or mended on purpose, and came about.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Seconds since the measurement began.
    pub at_s: f64,
    /// Seconds until it was done: a restart takes its time.
    #[serde(default)]
    pub took_s: f64,
    pub what: FaultAction,
    pub whom: FaultTarget,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Model {
    Open,
    Closed,
    Journeys,
}

/// Where a counter comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    pub standing: Standing,
    /// `the server's /metrics`, `pg_stat_statements`.
    pub source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// The client's own count of what it sent and got.
    Client,
    /// The system under test says so itself.
    SelfReported,
    /// Neither the client nor the system under test counts it.
    Independent,
}

/// What one variant of the server did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub variant: String,
    /// The slices of the measurement, in time order.
    pub slices: Vec<Slice>,
    /// The measurement's merged times by name: `response`, `service`, `send-delay`, `generator-lag`, `written`,
    /// `first-byte`, and `service/<operation>`. A closed run has no `response`.
    pub times: BTreeMap<String, Distribution>,
    /// Counters before the measurement began: creating, restarting, warming up.
    #[serde(default)]
    pub before_measurement: BTreeMap<String, u64>,
}

/// A stretch of the measurement: differences of counters, and the times within it.
///
/// Counters are named `witness.counter`: `client.sent`, `client.ok`, `client.wrong`, `client.timeout`,
/// `client.error`, `client.dropped`, `client.created`; in an open run `client.send_delay_us`, the sum over what
/// `latency` holds, and `client.lag_us`, that over `client.arrivals`; `server.*` from the server's metrics;
/// `postgres.*`, `redis.*`; `cpu.server_us`, `cpu.generator_us`, `machine.steal_us`. `elapsed.WITNESS_us` is what lay
/// between two readings of a witness, who may be asked late.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Slice {
    /// Seconds since the measurement began.
    pub start_s: f64,
    pub duration_s: f64,
    /// Which ABBA block it belongs to, where variants are interleaved.
    #[serde(default)]
    pub block: u32,
    pub counters: BTreeMap<String, u64>,
    /// Response times in an open run, service times in a closed one.
    #[serde(default)]
    pub latency: Packed,
}

/// What the store held of the creates that the client saw acknowledged.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ledger {
    pub acknowledged: u64,
    /// Creates whose answer never came: they may or may not be stored.
    pub indeterminate: u64,
    pub present: u64,
    pub missing: u64,
    /// Present, but with another URL.
    pub wrong: u64,
    /// Codes acknowledged more than once.
    pub duplicates: u64,
    /// Stored links that nobody asked for.
    #[serde(default)]
    pub strangers: u64,
    /// Stored links whose id no stack had leased; none where ids are not leased, or were not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unleased: Option<u64>,
    /// How many links each stack has, by the slots of their ids; empty where they were not looked at.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub stacks: BTreeMap<String, u64>,
    /// How it was read back.
    pub source: String,
}

impl Ledger {
    /// How the store denies what was acknowledged, if it does.
    pub fn denial(&self) -> Option<String> {
        let faults: Vec<String> = [
            (self.missing, "missing"),
            (self.wrong, "stored with another URL"),
            (self.duplicates, "acknowledged twice"),
        ]
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, fault)| format!("{} {fault}", figure::count(count)))
        .collect();
        let (all, faults) = (figure::count(self.acknowledged), faults.join(", "));
        let denial = || format!("the store does not confirm the creates: of {all} acknowledged {faults}");
        (!faults.is_empty()).then(denial)
    }
}

/// The counter of how often a witness's own counters began anew: what they counted right before that is lost.
pub fn begun_anew(witness: &str) -> String {
    format!("{witness}.begun_anew")
}

/// The counter of the time between two readings of a witness.
pub fn elapsed(witness: &str) -> String {
    format!("elapsed.{witness}_us")
}

impl Slice {
    /// The seconds in which a counter counted what the slice holds of it: between the readings of its witness where they
    /// are known, and the slice's own otherwise. The generator notes itself, at the slice's ends, how long it waited.
    pub fn counted_s(&self, counter: &str) -> f64 {
        let witness = counter.split('.').next().unwrap_or(counter);
        let read =
            self.counters.get(&elapsed(witness)).filter(|us| **us > 0 && !counter.ends_with("_wait_us"));
        read.map_or(self.duration_s, |us| *us as f64 / 1e6)
    }

    /// The sum of the named counters; a name that ends in `*` stands for all that begin so.
    pub fn sum(&self, names: &[String]) -> u64 {
        names.iter().map(|name| self.counter(name)).sum()
    }

    fn counter(&self, name: &str) -> u64 {
        match name.strip_suffix('*') {
            None => self.counters.get(name).copied().unwrap_or(0),
            Some(prefix) => self
                .counters
                .range(prefix.to_owned()..)
                .take_while(|(key, _)| key.starts_with(prefix))
                .map(|(_, count)| count)
                .sum(),
        }
    }
}

impl Measurement {
    /// The series of `variant`, or the only one where none is named.
    pub fn series(&self, variant: Option<&str>) -> Option<&Series> {
        match variant {
            Some(name) => self.series.iter().find(|series| series.variant == name),
            None => self.series.first(),
        }
    }
}
