//! A claim: a published statement, and the checks that decide whether it holds.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A performance claim and how it is checked. One TOML file holds one claim.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// Stable name, also the JUnit test case: `hit-rate`.
    pub id: String,
    /// The claim in the words of whoever made it.
    pub statement: String,
    /// What a reader must know to read the verdict rightly: the trap, and how it is avoided.
    #[serde(default)]
    pub note: String,
    /// The bounds under test, each against one scenario.
    #[serde(rename = "check")]
    pub checks: Vec<Check>,
}

/// One bound on one metric of one scenario.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// Whether the bound is the published one, or the one that this project stands for.
    pub kind: Kind,
    /// The words of the bound, as a table cell: `≥ 99 % of redirects, 27,000 entries`.
    pub title: String,
    /// Name of the scenario that produces the evidence.
    pub scenario: String,
    pub metric: Metric,
    pub bound: Bound,
    /// Confidence of the one-sided bound that decides, 0.95 where nothing is said.
    #[serde(default = "default_confidence")]
    pub confidence: f64,
    /// Pairs of counters that count the same thing independently; beyond `within` the verdict is invalid.
    #[serde(default)]
    pub agree: Vec<Agreement>,
}

/// `stated` is reported whatever it says; `upheld` decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    Stated,
    Upheld,
}

/// What is computed from a measurement's slices. Counters are named `witness.counter`, and a name
/// that ends in `*` sums all that begin so.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Metric {
    /// Σ of `sum` over Σ of `per`, over the slices; `of_ceiling` divides by the workload's ceiling.
    Ratio {
        sum: Vec<String>,
        per: Vec<String>,
        #[serde(default)]
        of_ceiling: bool,
        /// The variant it is read from; the only one where nothing is said.
        #[serde(default)]
        variant: Option<String>,
    },
    /// The ratio of one variant over that of another: how many times fewer (or more).
    Versus { sum: Vec<String>, per: Vec<String>, compare: Compare },
    /// A sum that is judged as it stands: collisions, failed requests, lost links.
    Count {
        sum: Vec<String>,
        #[serde(default)]
        variant: Option<String>,
    },
    /// Σ of `sum` per second of the measurement: throughput.
    Rate {
        sum: Vec<String>,
        #[serde(default)]
        variant: Option<String>,
    },
    /// A quantile (0 to 1) of the response time in microseconds; open runs only.
    Response {
        quantile: f64,
        #[serde(default)]
        variant: Option<String>,
    },
    /// A quantile (0 to 1) of the service time in microseconds.
    Service {
        quantile: f64,
        #[serde(default)]
        variant: Option<String>,
    },
    /// A single number that the run recorded: a computed count, a recovery time, a benchmark.
    Fact { name: String },
}

/// `of` over `over`: both are variants of the scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    pub of: String,
    pub over: String,
}

/// The side of a value on which the metric must lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Two counters that must tell the same, but for a share of `within`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    pub counters: (String, String),
    pub within: f64,
}

fn default_confidence() -> f64 {
    0.95
}

impl Bound {
    /// Whether `value` lies on the right side; the bound itself does.
    pub fn admits(self, value: f64) -> bool {
        match self {
            Bound::AtLeast(bound) => value >= bound,
            Bound::AtMost(bound) => value <= bound,
        }
    }

    pub fn value(self) -> f64 {
        match self {
            Bound::AtLeast(bound) | Bound::AtMost(bound) => bound,
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtLeast(bound) => write!(f, "≥ {bound}"),
            Bound::AtMost(bound) => write!(f, "≤ {bound}"),
        }
    }
}
