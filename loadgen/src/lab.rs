//! The place where a scenario is run: each variant of the bundled server with a database of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use proofload_scenarios::scenario::{Scenario, ServerSettings};
use tempfile::TempDir;

use crate::cli::Place;
use crate::cores::Cores;
use crate::services::guard::Child;
use crate::witness::{Machine, Metrics, Processes, Witness};

/// How long a server may take to finish what is under way when it is asked to end.
const DRAIN: Duration = Duration::from_secs(20);

/// Where and on what servers are started.
pub struct Lab {
    pub cores: Cores,
    /// The address the server is asked to listen on; port 0 picks a free one.
    listen: SocketAddr,
}

/// One variant of the server, up and answering, with a database that only it uses.
pub struct Deployment {
    pub variant: String,
    pub address: SocketAddr,
    /// The flags by which the variants differ, for the report.
    pub settings: Vec<String>,
    flags: Vec<String>,
    app: Child,
    pub database: Database,
    program: PathBuf,
    cores: Vec<usize>,
}

/// A SQLite file in a temporary directory that goes with it.
pub struct Database {
    directory: TempDir,
}

impl Database {
    fn new() -> Result<Self> {
        let directory = tempfile::Builder::new()
            .prefix("proofload-")
            .tempdir()
            .context("no temporary directory for the database; set TMPDIR to one that can be written")?;
        Ok(Self { directory })
    }

    pub fn url(&self) -> String {
        format!("sqlite:{}", self.directory.path().join("links.db").display())
    }
}

impl Lab {
    /// # Errors
    /// When the place cannot be used: one line with the remedy.
    pub fn open(place: &Place) -> Result<Self> {
        let listen = place.listen.unwrap_or_else(|| SocketAddr::from(([127, 0, 0, 1], 0)));
        if !listen.ip().is_loopback() {
            bail!(
                "--listen {listen}: the bundled server is only started on a loopback address; use 127.0.0.1:0"
            );
        }
        Ok(Self { cores: Cores::split(), listen })
    }

    /// What the links are stored in, for the report.
    pub fn backends(&self) -> Vec<String> {
        vec!["SQLite (bundled; write-ahead log, every commit synced), in-process cache".to_owned()]
    }

    /// Those who count what a deployment does.
    pub fn witnesses(&self, deployment: &Deployment) -> Result<Vec<Box<dyn Witness>>> {
        let pid = deployment.app.pid();
        Ok(vec![
            Box::new(Metrics::of_server(&[deployment.base_url()])),
            Box::new(Processes::new().watch("server", move || vec![pid]).watch_generator()),
            Box::new(Machine),
        ])
    }

    /// Starts one server a variant; a scenario without variants gets the server's defaults.
    pub fn deploy(&self, scenario: &Scenario) -> Result<Vec<Deployment>> {
        if let Some(need) = scenario.need_beyond_one_process() {
            bail!(
                "scenario '{}' {need}, which the embedded default has not; a verdict without it would be wrong",
                scenario.name
            );
        }
        if scenario.variants.is_empty() {
            return Ok(vec![self.start("default", &ServerSettings::default())?]);
        }
        scenario.variants.iter().map(|(name, settings)| self.start(name, settings)).collect()
    }

    fn start(&self, variant: &str, settings: &ServerSettings) -> Result<Deployment> {
        let database = Database::new()?;
        let settings = settings_flags(settings)?;
        let mut flags = vec!["--listen".to_owned(), self.listen.to_string()];
        flags.extend(["--database-url".to_owned(), database.url()]);
        if !self.cores.server.is_empty() {
            flags.extend(["--threads".to_owned(), self.cores.server.len().to_string()]);
        }
        flags.extend(settings.iter().cloned());
        let program = std::env::current_exe().context("this program's own path is unknown")?;
        let (app, address) = spawn(&program, &flags, &self.cores.server)
            .with_context(|| format!("the server (variant '{variant}') did not start"))?;
        let cores = self.cores.server.clone();
        Ok(Deployment {
            variant: variant.to_owned(),
            address,
            settings,
            flags,
            app,
            database,
            program,
            cores,
        })
    }
}

impl Deployment {
    /// Ends the server in good order and starts it anew on the same database: only warming fills its cache.
    pub fn restart(&mut self) -> Result<()> {
        self.stop()?;
        let (app, address) =
            spawn(&self.program, &self.flags, &self.cores).context("the server did not come back")?;
        self.app = app;
        self.address = address;
        Ok(())
    }

    /// Ends the server in good order, so that all that it acknowledged is in its database.
    pub fn stop(&mut self) -> Result<()> {
        self.app.terminate(libc::SIGTERM, DRAIN).context("the server did not end when it was asked to")?;
        Ok(())
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }
}

fn spawn(program: &Path, flags: &[String], cores: &[usize]) -> Result<(Child, SocketAddr)> {
    let mut command = Command::new(program);
    command.arg("serve").args(flags);
    Child::spawn(command, cores, |line| {
        line.strip_prefix("listening on http://").and_then(|address| address.trim().parse().ok())
    })
}

/// `cache-entries = 27000` becomes `--cache-entries 27000`.
fn settings_flags(settings: &ServerSettings) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    for (name, value) in &settings.flags {
        let text = match value {
            toml::Value::String(text) => text.clone(),
            toml::Value::Integer(number) => number.to_string(),
            toml::Value::Float(number) => number.to_string(),
            toml::Value::Boolean(choice) => choice.to_string(),
            other => {
                bail!("variant flag '{name}' must be text, a number or a choice, not {}", other.type_str())
            }
        };
        flags.extend([format!("--{name}"), text]);
    }
    Ok(flags)
}
