//! The place where scenarios are run: which cores, which backends, and what can be checked there.

use std::cell::RefCell;
use std::collections::HashMap;
use std::env;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, Error, Result, bail};
use proofload_scenarios::scenario::{FaultAction, FaultTarget, Links, Scenario, ServerSettings};
use proofload_scenarios::{Claim, Metric};

use crate::cli::{Backends, Place};
use crate::cores::Cores;
use crate::deployment::{Deployment, Site, form};
use crate::facts;
use crate::services::{self, Postgres, Redis, redis, scratch};
use crate::snapshot::Snapshot;

/// Where and on what servers are started.
pub struct Lab {
    pub cores: Cores,
    /// The address the server is asked to listen on; port 0 picks a free one.
    listen: SocketAddr,
    /// One PostgreSQL for all deployments, each in a database of its own; none: SQLite.
    postgres: Option<RefCell<Postgres>>,
    redis: RedisSource,
    /// The build of proofload whose server is measured.
    server: PathBuf,
    snapshots: RefCell<HashMap<String, Snapshot>>,
    /// A service that already runs, to be measured instead of the bundled server.
    pub target: Option<String>,
}

/// Where each deployment gets its Redis.
enum RedisSource {
    None,
    /// A private one each.
    Spawn,
    /// A database each of the one at this URL.
    Given(String),
}

impl RedisSource {
    fn of(place: &Place) -> Self {
        match (&place.redis_url, place.backends) {
            (Some(url), _) => RedisSource::Given(url.clone()),
            (None, Backends::Spawn) => RedisSource::Spawn,
            (None, Backends::Embedded) => RedisSource::None,
        }
    }
}

impl Lab {
    /// # Errors
    /// When the place cannot be used, or a backend is not installed: one line with the remedy.
    pub fn open(place: &Place) -> Result<Self> {
        let listen = place.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        if !listen.ip().is_loopback() {
            bail!(
                "--listen {listen}: the bundled server is only started on a loopback address; use 127.0.0.1:0"
            );
        }
        TcpListener::bind(listen)
            .with_context(|| format!("--listen {listen} cannot be used (port 0 takes a free one)"))?;
        scratch::clear_remains();
        let cores = Cores::split();
        let postgres = match (&place.database_url, place.backends) {
            (Some(url), _)
                if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) =>
            {
                bail!("--database-url {url}: give postgres://…; SQLite is the embedded default")
            }
            (Some(url), _) => Some(Postgres::given(url)?),
            (None, Backends::Spawn) => Some(Postgres::spawn(&cores.server)?),
            (None, Backends::Embedded) => None,
        };
        if let Some(url) = &place.redis_url {
            Redis::refuse_if_heard(url)?;
        }
        let (postgres, redis) = (postgres.map(RefCell::new), RedisSource::of(place));
        let server = match &place.server {
            Some(program) => program.canonicalize().with_context(|| {
                format!("--server {}: give a proofload executable that exists", program.display())
            })?,
            None => env::current_exe().context("this program's own path is unknown")?,
        };
        Ok(Self {
            server,
            cores,
            listen,
            postgres,
            redis,
            snapshots: RefCell::default(),
            target: place.target.clone(),
        })
    }

    /// What the links are stored in, for the report.
    pub fn backends(&self) -> Vec<String> {
        if self.target.is_some() {
            return Vec::new();
        }
        let database = match &self.postgres {
            None => {
                let version = services::sqlite_version();
                format!("SQLite {version} (bundled; write-ahead log, every commit synced), in-process cache")
            }
            Some(postgres) => postgres.borrow().version().to_owned(),
        };
        let redis = match &self.redis {
            RedisSource::None => None,
            RedisSource::Spawn => Some(format!("{}, one a deployment", redis::installed_version())),
            RedisSource::Given(_) => Some("Redis, not ours, a database a deployment".to_owned()),
        };
        [database].into_iter().chain(redis).collect()
    }

    /// Whether there are PostgreSQL and Redis.
    pub fn has_services(&self) -> bool {
        self.postgres.is_some() && !matches!(self.redis, RedisSource::None)
    }

    /// Keeps a database with links for those who want the same.
    pub(crate) fn keep(&self, links: &Links, seed: u64, form: &str, snapshot: Snapshot) {
        self.snapshots.borrow_mut().insert(same_links(links, seed, form), snapshot);
    }

    /// Why the claim cannot be checked here, and what would help; none where it can. `scenarios` are those that it names.
    pub fn obstacle(&self, claim: &Claim, scenarios: &[Scenario]) -> Option<String> {
        claim.checks.iter().find_map(|check| {
            let scenario = scenarios.iter().find(|scenario| scenario.name == check.scenario)?;
            if let Metric::Fact { name } = &check.metric
                && !facts::is_recorded(name, scenario)
            {
                return Some(format!("no run of scenario '{}' records the fact `{name}`", scenario.name));
            }
            if let Err(error) = self.refuse_unless_able(std::slice::from_ref(scenario)) {
                return Some(error.to_string());
            }
            check.metric.counters().find(|name| !self.counts(name)).map(|name| {
                format!("nobody counts `{name}` here; --backends spawn starts services that are watched")
            })
        })
    }

    /// Whether there is a witness for a counter of that name.
    fn counts(&self, name: &str) -> bool {
        let witness = |prefix: &str| name.starts_with(prefix);
        if witness("cpu.postgres") {
            return self.postgres.as_ref().is_some_and(|postgres| postgres.borrow().is_ours());
        }
        if witness("cpu.redis") {
            return matches!(self.redis, RedisSource::Spawn);
        }
        let postgres = self.postgres.is_some() || !witness("postgres.");
        let redis = !matches!(self.redis, RedisSource::None) || !witness("redis.");
        let sqlite = self.postgres.is_none() || !witness("sqlite.");
        postgres && redis && sqlite
    }

    /// A fault that would break what someone else runs.
    fn harm(&self, scenario: &Scenario) -> Option<&'static str> {
        let postgres = self.postgres.as_ref().is_some_and(|postgres| !postgres.borrow().is_ours());
        let redis = matches!(self.redis, RedisSource::Given(_));
        scenario.faults.iter().find_map(|fault| match (fault.target, fault.action) {
            (FaultTarget::Postgres, _) if postgres => Some("PostgreSQL"),
            (FaultTarget::Redis, FaultAction::Flush) => None,
            (FaultTarget::Redis, _) if redis => Some("Redis"),
            _ => None,
        })
    }

    /// # Errors
    /// When a scenario needs services that this lab does not have.
    pub fn refuse_unless_able(&self, scenarios: &[Scenario]) -> Result<()> {
        for scenario in scenarios {
            match (&self.target, scenario.is_for_any_service()) {
                (Some(_), false) => bail!(
                    "scenario '{}' asks for the bundled server's links; for --target give one whose operations, or \
                     steps, are all HTTP requests, such as example-http-service or example-http-journeys",
                    scenario.name
                ),
                (None, true) => bail!("scenario '{}' needs --target URL", scenario.name),
                _ => {}
            }
        }
        if let Some((scenario, whom)) = scenarios.iter().find_map(|it| Some((it, self.harm(it)?))) {
            bail!(
                "scenario '{}' breaks {whom} on purpose, and this one is not ours; use --backends spawn",
                scenario.name
            );
        }
        match scenarios.iter().find(|scenario| !self.has_services_for(scenario)) {
            Some(scenario) => bail!(
                "scenario '{}' {}, which the embedded default has not; add --backends spawn (`make test` installs \
                 what that needs)",
                scenario.name,
                scenario.need_beyond_one_process().unwrap_or("needs services"),
            ),
            None => Ok(()),
        }
    }

    /// Those scenarios that can be measured here, and the names of the others with the reason.
    pub fn sort_out(&self, scenarios: Vec<Scenario>) -> (Vec<Scenario>, Vec<(String, Error)>) {
        let (mut able, mut refused) = (Vec::new(), Vec::new());
        for scenario in scenarios {
            match self.refuse_unless_able(std::slice::from_ref(&scenario)) {
                Ok(()) => able.push(scenario),
                Err(why) => refused.push((scenario.name, why)),
            }
        }
        (able, refused)
    }

    fn has_services_for(&self, scenario: &Scenario) -> bool {
        self.has_services() || scenario.need_beyond_one_process().is_none()
    }

    /// Starts one deployment a variant; a scenario without variants gets the server's defaults.
    ///
    /// # Errors
    /// When a server does not come up.
    pub fn deploy(&self, scenario: &Scenario) -> Result<Vec<Deployment>> {
        if scenario.variants.is_empty() {
            return Ok(vec![self.start("default", scenario, &ServerSettings::default(), &self.server)?]);
        }
        let start = |(name, settings): (&String, _)| self.start(name, scenario, settings, &self.server);
        scenario.variants.iter().map(start).collect()
    }

    /// Starts the servers of `program`, a build of proofload; on a copy, where links like the scenario's were made before.
    ///
    /// # Errors
    /// When a server does not come up.
    pub fn start(
        &self,
        variant: &str,
        scenario: &Scenario,
        settings: &ServerSettings,
        program: &Path,
    ) -> Result<Deployment> {
        let redis = match &self.redis {
            RedisSource::None => None,
            RedisSource::Spawn => Some(Redis::spawn(&self.cores.server)?),
            RedisSource::Given(url) => Some(Redis::given(url)?),
        };
        let snapshots = self.snapshots.borrow();
        let same = |links: &Links| snapshots.get(&same_links(links, scenario.seed, &form(settings, program)));
        let site = Site {
            snapshot: scenario.links.as_ref().filter(|links| links.restart).and_then(same),
            program,
            listen: self.listen,
            cores: &self.cores.server,
            postgres: self.postgres.as_ref(),
        };
        Deployment::start(variant, settings, &site, redis)
    }

    /// The shared PostgreSQL, for a fault.
    pub fn postgres(&self) -> Option<&RefCell<Postgres>> {
        self.postgres.as_ref()
    }
}

/// What links have in common that can stand in for each other; how they are visited is no part of it.
fn same_links(links: &Links, seed: u64, form: &str) -> String {
    format!("{} {} {} {seed} {form}", links.count, links.zipf, links.clicks)
}
