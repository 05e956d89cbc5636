//! A scenario: what is sent to which variants of a server, when, for how long.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::sweep::Sweep;

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
    /// How long each phase lasts in the quick profile.
    pub phases: Phases,
    /// How long each phase lasts in the full profile, where that differs. Only durations may differ:
    /// a claim must not be tried on another workload than the one it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<Phases>,
    /// Whether it needs PostgreSQL and Redis, and so cannot be run on the embedded default.
    #[serde(default, skip_serializing_if = "is_false")]
    pub services: bool,
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
    /// What is broken on purpose while the load runs, in any order.
    #[serde(default, rename = "fault", skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<Fault>,
    /// What is asked of the server beside the load.
    #[serde(default, rename = "probe", skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<Probe>,
    /// Makes many scenarios of this one, whose measurements a plot joins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sweep: Option<Sweep>,
    /// How a target of one's own is spoken to.
    #[serde(default, skip_serializing_if = "HttpOptions::is_default")]
    pub http: HttpOptions,
    /// What stands for `{name}` in HTTP templates.
    #[serde(default, rename = "value", skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, ValueSource>,
}

/// How much time a run may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Quick,
    Full,
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
    /// The times of a file, from the beginning of the warm-up on.
    Trace {
        file: String,
        /// How many times as fast as they were recorded.
        #[serde(default = "default_speed")]
        speed: f64,
    },
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

impl Phases {
    /// When a fault may strike at last, so that a slice is left to show what it does.
    pub fn last_fault_s(&self) -> f64 {
        self.measurement_s - self.slice_s
    }
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
    /// Popularity drifts: after so many visits half of the links have another rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half_life_visits: Option<u64>,
}

/// What `proofload serve` is started with; a field that is absent leaves the server's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServerSettings {
    /// Processes of `proofload serve` on the same database; requests are dealt over them evenly.
    #[serde(default = "default_processes", skip_serializing_if = "is_one")]
    pub processes: u32,
    /// The stacks that the processes belong to, dealt in turn; the server's own default where empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stacks: Vec<String>,
    /// Whether ids come from a `proofload keygen` process of its own, which a fault can then act on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub keygen: bool,
    /// Flags of `proofload serve`, without the dashes: `design = "after"`, `cache-entries = 27000`.
    #[serde(flatten)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Headers that an answer must carry, with exactly this value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub answer_headers: BTreeMap<String, String>,
    /// What an answer's body must contain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_contains: Option<String>,
}

/// How a target of one's own is spoken to; the scheme of its URL says whether by TLS.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpOptions {
    #[serde(default)]
    pub version: HttpVersion,
    /// PEM file of the authority that signed the target's certificate; the usual ones where none is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// Takes any certificate, for a test system that signs its own.
    #[serde(default, skip_serializing_if = "is_false")]
    pub any_certificate: bool,
    /// Longest wait for a connection and for an answer, in seconds; `TIMEOUT_S` where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_s: Option<f64>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    #[default]
    #[serde(rename = "1.1")]
    Http1,
    #[serde(rename = "2")]
    Http2,
}

/// Where the value of a `{name}` comes from. Generated values follow from the scenario's seed, the
/// name and the number of the request, so that a run can be repeated to the byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ValueSource {
    /// A column of a CSV file whose first line names the columns. All values of one request come
    /// from the same line of the file.
    Csv {
        file: String,
        column: String,
        #[serde(default)]
        at_end: AtEnd,
    },
    /// An integer from `from` to `to`, both included, each as likely.
    Integer { from: i64, to: i64 },
    /// A rank from 0 to `count` − 1, rank 0 the most likely.
    Zipf { count: u32, exponent: f64 },
    /// Thirty-two hexadecimal digits in the shape of a version 4 UUID.
    Uuid,
    /// `from`, `from` + 1, …: the number of the request.
    Sequence { from: u64 },
}

/// What happens when all lines of a CSV file were used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AtEnd {
    /// Begin again with the first line.
    #[default]
    Cycle,
    /// End the run, and say so.
    Stop,
}

/// Something broken on purpose, at a moment of the measurement.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Seconds since the measurement began.
    pub at_s: f64,
    /// Again every so many seconds until the measurement ends; once where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_s: Option<f64>,
    pub target: FaultTarget,
    pub action: FaultAction,
    /// Which of several processes, from 0; all of them, one after the other, where nothing is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultTarget {
    App,
    Keygen,
    Redis,
    Postgres,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultAction {
    /// SIGKILL, and nothing starts it again.
    Kill,
    /// Start again what was killed, on the same address.
    Start,
    /// SIGTERM, wait until it has ended in good order, start again on the same address.
    Restart,
    /// Redis or the app: forget everything that is cached.
    Flush,
    /// Redis only: write down what it holds now, for a later `restore`.
    Dump,
    /// Redis only: go back to what the last `dump` wrote down.
    Restore,
}

/// A question that is asked beside the load, since no load asks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Probe {
    /// Once a slice: do `/health` and `/metrics` of every service answer, and tell the truth?
    Health,
    /// Afterwards: does the server do what its published OpenAPI document says?
    Contract,
    /// Afterwards: how long does it take to make a code alone, and how long to draw one and ask whether it is free?
    Codes,
}

impl Scenario {
    /// The scenario as that profile runs it.
    pub fn for_profile(&self, profile: Profile) -> Self {
        let mut scenario = self.clone();
        let full = scenario.full.take();
        if let (Profile::Full, Some(phases)) = (profile, full) {
            scenario.phases = phases;
        }
        scenario
    }

    /// Whether all that it sends are requests of its own, for any HTTP service.
    pub fn is_for_any_service(&self) -> bool {
        let steps = self.journeys.iter().flat_map(|journey| &journey.steps);
        let (operations, http) = (&self.operations, |step: &Step| matches!(step, Step::Http(_)));
        match self.load {
            Load::Journeys { .. } => steps.clone().next().is_some() && steps.clone().all(http),
            Load::Open { .. } | Load::Closed { .. } => {
                !operations.is_empty() && operations.iter().all(|it| matches!(it.action, Action::Http(_)))
            }
        }
    }

    /// What the scenario needs besides one server process a variant and no faults, in words that
    /// follow its name; `None` where that suffices. Whoever runs it without would judge another
    /// experiment than the one that is named.
    pub fn need_beyond_one_process(&self) -> Option<&'static str> {
        let any = |of: fn(&ServerSettings) -> bool| self.variants.values().any(of);
        if self.services {
            return Some("needs PostgreSQL and Redis");
        }
        if !self.faults.is_empty() {
            return Some("needs faults");
        }
        if any(|settings| settings.keygen) {
            return Some("needs a keygen process");
        }
        any(|settings| settings.processes != 1 || !settings.stacks.is_empty())
            .then_some("needs several processes")
    }
}

/// `GET /`, any good status.
impl Default for HttpTemplate {
    fn default() -> Self {
        Self {
            method: default_method(),
            path: "/".to_owned(),
            headers: BTreeMap::new(),
            body: String::new(),
            status: None,
            answer_headers: BTreeMap::new(),
            answer_contains: None,
        }
    }
}

impl HttpOptions {
    /// The usual longest wait for an answer.
    pub const TIMEOUT_S: f64 = 5.0;

    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self { processes: 1, stacks: Vec::new(), keygen: false, flags: BTreeMap::new() }
    }
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Step {
    Create,
    CreateCustom,
    VisitOwn,
    VisitHot,
    VisitUnknown,
    DeleteOwn,
    /// Any request, for any HTTP service. `{row}` is the number of the walk: all steps of one walk through the journey
    /// have the same values.
    Http(HttpTemplate),
}

fn default_seed() -> u64 {
    20_150_517
}
fn default_connections() -> u32 {
    64
}
fn default_speed() -> f64 {
    1.0
}

fn default_slice() -> f64 {
    1.0
}
fn default_weight() -> u32 {
    1
}
fn default_processes() -> u32 {
    1
}
fn is_false(value: &bool) -> bool {
    !value
}
fn is_one(value: &u32) -> bool {
    *value == 1
}
fn default_method() -> String {
    "GET".to_owned()
}
