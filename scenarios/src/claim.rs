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
        #[serde(default, skip_serializing_if = "Part::is_all")]
        part: Part,
    },
    /// The ratio of one variant over that of another: how many times fewer (or more).
    Versus { sum: Vec<String>, per: Vec<String>, compare: Compare },
    /// A sum that is judged as it stands: collisions, failed requests, lost links.
    Count {
        sum: Vec<String>,
        #[serde(default)]
        variant: Option<String>,
        #[serde(default, skip_serializing_if = "Part::is_all")]
        part: Part,
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
    /// How many times as long the one side takes as the other, by a quantile (0 to 1) of the times of each: response times of
    /// open runs, service times of closed ones.
    Slowdown { quantile: f64, of: Side, over: Side },
    /// A single number that the run recorded: a computed count, a recovery time, a benchmark.
    Fact { name: String },
}

/// The part of the measurement that a metric is about, such as what follows a fault; all of it where nothing is said.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Only slices that begin at this second of the measurement or later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_s: Option<f64>,
    /// Only slices that end by this second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<f64>,
}

impl Part {
    pub fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a slice from `start_s` to `end_s` belongs to it. Slices end a little early or late.
    pub fn holds(self, start_s: f64, end_s: f64) -> bool {
        const EDGE_S: f64 = 1e-3;
        let (from, until) = (self.from_s.unwrap_or(0.0), self.until_s.unwrap_or(f64::INFINITY));
        start_s >= from - EDGE_S && end_s <= until + EDGE_S
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.from_s, self.until_s) {
            (None, None) => f.write_str("the whole measurement"),
            (Some(from), None) => write!(f, "from second {from} on"),
            (None, Some(until)) => write!(f, "until second {until}"),
            (Some(from), Some(until)) => write!(f, "from second {from} to {until}"),
        }
    }
}

/// `of` over `over`: both are variants of the scenario.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Compare {
    pub of: String,
    pub over: String,
}

/// A variant of the scenario, or a part of the measurement, or a part of a variant.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Side {
    /// The only one where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// As [`Part::from_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_s: Option<f64>,
    /// As [`Part::until_s`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_s: Option<f64>,
}

impl Side {
    pub fn part(&self) -> Part {
        Part { from_s: self.from_s, until_s: self.until_s }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.variant {
            Some(variant) if self.part().is_all() => write!(f, "in `{variant}`"),
            Some(variant) => write!(f, "in `{variant}` {}", self.part()),
            None => self.part().fmt(f),
        }
    }
}

/// The side of a value on which the metric must lie.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

/// Two counts that must tell the same, but for a share of `within` of the larger.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Agreement {
    pub counters: (Counted, Counted),
    pub within: f64,
    /// So many apart are never held against them: they are read one after the other, while the load goes on.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub slack: u64,
    /// The first may also be less: the other counts more than what the first does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub at_most: bool,
}

/// A counter, or several whose counts are added up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Counted {
    One(String),
    Sum(Vec<String>),
}

impl Counted {
    pub fn names(&self) -> &[String] {
        match self {
            Counted::One(name) => std::slice::from_ref(name),
            Counted::Sum(names) => names,
        }
    }
}

impl fmt::Display for Counted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(" + "))
    }
}

impl From<&str> for Counted {
    fn from(name: &str) -> Self {
        Counted::One(name.to_owned())
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
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
