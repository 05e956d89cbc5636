//! The place where scenarios are run: which cores, which backends, and what can be checked there.

use std::cell::RefCell;
use std::env;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;

use anyhow::{Context, Result, bail};
use proofload_scenarios::scenario::{Action, OperationTemplate, Scenario, ServerSettings};
use proofload_scenarios::{Claim, Metric, catalogue};

use crate::cli::{Backends, Place};
use crate::cores::Cores;
use crate::deployment::{Deployment, Site};
use crate::facts;
use crate::services::{Postgres, Redis};

/// Where and on what servers are started.
pub struct Lab {
    pub cores: Cores,
    /// The address the server is asked to listen on; port 0 picks a free one.
    listen: SocketAddr,
    /// One PostgreSQL for all deployments, each in a database of its own; none: SQLite.
    postgres: Option<RefCell<Postgres>>,
    /// A service that already runs, to be measured instead of the bundled server.
    pub target: Option<String>,
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
        let cores = Cores::split();
        let postgres = match place.backends {
            Backends::Embedded => None,
            Backends::Spawn => Some(RefCell::new(Postgres::spawn(&cores.server)?)),
        };
        Ok(Self { cores, listen, postgres, target: place.target.clone() })
    }

    /// What the links are stored in, for the report.
    pub fn backends(&self) -> Vec<String> {
        match &self.postgres {
            _ if self.target.is_some() => Vec::new(),
            None => {
                vec!["SQLite (bundled; write-ahead log, every commit synced), in-process cache".to_owned()]
            }
            Some(postgres) => {
                vec![postgres.borrow().version().to_owned(), "Redis, one a deployment".to_owned()]
            }
        }
    }

    /// Whether all that the claim rests on can be had here.
    pub fn can_check(&self, claim: &Claim) -> bool {
        claim.checks.iter().all(|check| {
            let known = match &check.metric {
                Metric::Fact { name } => facts::is_recorded(name),
                _ => true,
            };
            known
                && catalogue::scenario(&check.scenario)
                    .is_some_and(|scenario| self.has_services_for(scenario))
        })
    }

    /// # Errors
    /// When a scenario needs services that this lab does not have.
    pub fn refuse_unless_able(&self, scenarios: &[Scenario]) -> Result<()> {
        let speaks_http = |scenario: &Scenario| {
            let http = |it: &OperationTemplate| matches!(it.action, Action::Http(_));
            !scenario.operations.is_empty() && scenario.operations.iter().all(http)
        };
        for scenario in scenarios {
            match (&self.target, speaks_http(scenario)) {
                (Some(_), false) => bail!(
                    "scenario '{}' asks for the bundled server's links; for --target give one whose operations are \
                     all HTTP requests, such as example-http-service",
                    scenario.name
                ),
                (None, true) => bail!("scenario '{}' needs --target URL", scenario.name),
                _ => {}
            }
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

    fn has_services_for(&self, scenario: &Scenario) -> bool {
        self.postgres.is_some() || scenario.need_beyond_one_process().is_none()
    }

    /// Starts one deployment a variant; a scenario without variants gets the server's defaults.
    ///
    /// # Errors
    /// When a server does not come up.
    pub fn deploy(&self, scenario: &Scenario) -> Result<Vec<Deployment>> {
        let this = env::current_exe().context("this program's own path is unknown")?;
        if scenario.variants.is_empty() {
            return Ok(vec![self.start("default", &ServerSettings::default(), &this)?]);
        }
        scenario.variants.iter().map(|(name, settings)| self.start(name, settings, &this)).collect()
    }

    /// Starts the servers of `program`, a build of proofload.
    ///
    /// # Errors
    /// When a server does not come up.
    pub fn start(&self, variant: &str, settings: &ServerSettings, program: &Path) -> Result<Deployment> {
        let redis = match self.postgres {
            Some(_) => Some(Redis::spawn(&self.cores.server)?),
            None => None,
        };
        let site = Site {
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
