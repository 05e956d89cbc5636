//! A scenario: what is sent to which variants of a server, when, for how long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// One experiment. It fixes every parameter of its workload; the report prints them all.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    pub name: String,
    #[serde(default)]
    pub about: String,
    /// Every random choice comes from this seed.
    #[serde(default = "default_seed")]
    pub seed: u64,
    pub load: Load,
    pub phases: Phases,
    /// The links that exist before the load begins (the bundled server's workload).
    #[serde(default)]
    pub links: Option<Links>,
    /// How the bundled server is started, by variant. One variant: measured alone. Two or more: all
    /// are up, and the slices alternate between them in blocks of ABBA.
    #[serde(default, rename = "variant")]
    pub variants: BTreeMap<String, ServerSettings>,
    /// What open and closed load sends, by weight.
    #[serde(default, rename = "operation")]
    pub operations: Vec<OperationTemplate>,
    /// What Goose users do.
    #[serde(default, rename = "journey")]
    pub journeys: Vec<Journey>,
}

/// Who decides when a request is sent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Load {
    /// Arrivals do not wait for answers.
    Open {
        schedule: ScheduleSpec,
        #[serde(default = "default_connections")]
        connections: u32,
    },
    /// Each connection sends its next request when the last one was answered.
    Closed {
        connections: u32,
        #[serde(default)]
        think_time_ms: u64,
    },
    /// Goose users walk through the scenario's journeys.
    Journeys { users: u32 },
}

/// When arrivals are due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleSpec {
    Constant(RateSpec),
    Poisson(RateSpec),
    Stages(Vec<Stage>),
}

/// A rate in arrivals per second, or a share of what the target was found to sustain.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum RateSpec {
    PerSecond(f64),
    /// 0 to 1: of the throughput that a short closed run reaches just before.
    OfCapacity(f64),
}

/// A stretch of time in which the Poisson rate moves in a straight line from `from` to `to`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    pub from: f64,
    pub to: f64,
    pub seconds: f64,
}

/// How long each phase lasts. Only the measurement is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phases {
    #[serde(default)]
    pub warm_up_s: f64,
    pub measurement_s: f64,
    /// Length of a slice: the unit of the time series and of the bootstrap.
    #[serde(default = "default_slice")]
    pub slice_s: f64,
}

/// Links that are created through the API before the load begins, and their popularity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Links {
    pub count: u32,
    /// Exponent of the Zipf popularity.
    pub zipf: f64,
    /// Clicks drawn from that popularity and recorded before the restart, so that warming can tell
    /// the hot links from the cold ones.
    #[serde(default)]
    pub clicks: u64,
    /// Start the server anew after the links were made, so that only warming fills its cache.
    #[serde(default)]
    pub restart: bool,
}

/// What `proofload serve` is started with; a field that is absent leaves the server's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ServerSettings {
    /// Flags of `proofload serve`, without the dashes: `design = "after"`, `cache-entries = 27000`.
    pub flags: BTreeMap<String, toml::Value>,
}

/// One kind of request and its share of the mix.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationTemplate {
    #[serde(default = "default_weight")]
    pub weight: u32,
    pub action: Action,
}

/// What a request does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// `POST /api/links` with a fresh URL; expects 201 and a code.
    Create,
    /// `GET /{code}` of a link by the scenario's popularity; expects the exact `Location`.
    Visit,
    /// `GET` of a code that was never handed out; expects 404.
    VisitUnknown,
    /// Any request, for any HTTP service.
    Http(HttpTemplate),
}

/// A request to any HTTP service. `{name}` in path, headers or body is replaced by a value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTemplate {
    #[serde(default = "default_method")]
    pub method: String,
    pub path: String,
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    #[serde(default)]
    pub body: String,
    /// Expected status; any 2xx or 3xx where nothing is said.
    #[serde(default)]
    pub status: Option<u16>,
}

/// A walk of a Goose user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Journey {
    pub name: String,
    #[serde(default = "default_weight")]
    pub weight: u32,
    /// Wait between steps, in milliseconds.
    #[serde(default)]
    pub think_time_ms: u64,
    pub steps: Vec<Step>,
}

/// One step of a journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    Create,
    CreateCustom,
    VisitOwn,
    VisitHot,
    VisitUnknown,
    DeleteOwn,
}

fn default_seed() -> u64 {
    20_150_517
}
fn default_connections() -> u32 {
    64
}
fn default_slice() -> f64 {
    1.0
}
fn default_weight() -> u32 {
    1
}
fn default_method() -> String {
    "GET".to_owned()
}
