//! A deployment: the processes of one variant of the bundled server, on a database that only they use.

use std::cell::RefCell;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use anyhow::{Context, Result, bail};
use proofload_scenarios::scenario::{Fault, FaultAction, FaultTarget, ServerSettings};
use proofload_server::codes::{Codec, PUBLIC_DEFAULT_KEY};

use crate::api::Api;
use crate::connect::Target;
use crate::exchange::Links;
use crate::health::{self, Ids, Kind};
use crate::services::{Postgres, Redis, Scratch, Service};
use crate::snapshot::Snapshot;
use crate::witness::{self, Machine, Metrics, Processes, Witness, WriteAheadLog};

/// What deployments of one lab share.
pub struct Site<'a> {
    /// The `proofload` executable whose server is started.
    pub program: &'a Path,
    pub listen: SocketAddr,
    pub cores: &'a [usize],
    pub postgres: Option<&'a RefCell<Postgres>>,
    /// What the database is to hold from the beginning.
    pub snapshot: Option<&'a Snapshot>,
}

/// One variant, up and answering.
pub struct Deployment {
    pub variant: String,
    /// How this variant differs from others, for the report.
    pub settings: Vec<String>,
    pub database: Database,
    /// What decides the form in which links are stored: deployments that agree on it can use each other's.
    pub form: String,
    /// How its servers write ids.
    pub(crate) codec: Codec,
    /// Whether its servers lease every id of a link in its stack's slot.
    pub(crate) leases: bool,
    /// The links that it was started with.
    pub links: Option<Arc<Links>>,
    // In the order in which they end: those who use a service before the service.
    apps: Vec<App>,
    keygen: Option<(Service, SocketAddr)>,
    redis: Option<Redis>,
}

struct App {
    service: Service,
    address: SocketAddr,
}

/// The name of SQLite's file in its directory.
const FILE: &str = "links.db";

/// Where the links are stored.
pub enum Database {
    /// A file in a temporary directory that goes with it.
    Sqlite {
        directory: Scratch,
    },
    Postgres {
        url: String,
    },
}

impl Database {
    fn new(site: &Site, variant: &str) -> Result<Self> {
        /// Several deployments of one variant get databases of their own.
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        if let Some(postgres) = site.postgres {
            let name: String = variant.chars().filter(char::is_ascii_alphanumeric).collect();
            let name = format!("{name}_{}", NUMBER.fetch_add(1, Relaxed));
            let template = site.snapshot.and_then(Snapshot::template);
            return Ok(Database::Postgres { url: postgres.borrow().create_database(&name, template)? });
        }
        let directory = Scratch::new("sqlite")?;
        if let Some(snapshot) = site.snapshot {
            snapshot.copy_into(&directory)?;
        }
        Ok(Database::Sqlite { directory })
    }

    pub fn url(&self) -> String {
        match self {
            Database::Sqlite { directory } => format!("sqlite:{}", directory.path().join(FILE).display()),
            Database::Postgres { url } => url.clone(),
        }
    }
}

impl Deployment {
    /// Starts the variant's processes; `redis` is its own.
    ///
    /// # Errors
    /// When one of them does not come up.
    pub fn start(
        variant: &str,
        settings: &ServerSettings,
        site: &Site,
        redis: Option<Redis>,
    ) -> Result<Self> {
        let database = Database::new(site, variant)?;
        let mut common = vec!["--database-url".to_owned(), database.url()];
        if let Some(redis) = &redis {
            common.extend(["--redis-url".to_owned(), redis.url()]);
        }
        let keygen = match settings.keygen {
            true => Some(start_keygen(site, &common)?),
            false => None,
        };
        let mut flags = common;
        flags.extend(
            keygen.iter().flat_map(|(_, address)| ["--keygen-url".to_owned(), format!("http://{address}")]),
        );
        if !settings.flags.contains_key("threads") && !site.cores.is_empty() {
            flags.extend(["--threads".to_owned(), site.cores.len().to_string()]);
        }
        let differing = settings_flags(settings)?;
        flags.extend(differing.iter().cloned());
        let apps = (0..settings.processes.max(1) as usize)
            .map(|index| start_app(site, &flags, stack(settings, index)))
            .collect::<Result<Vec<_>>>()
            .with_context(|| format!("the server (variant '{variant}') did not start"))?;
        Ok(Self {
            variant: variant.to_owned(),
            settings: described(settings, differing),
            database,
            form: form(settings, site.program),
            codec: codec(settings)?,
            leases: leases(settings),
            links: site.snapshot.map(|snapshot| snapshot.links.clone()),
            apps,
            keygen,
            redis,
        })
    }

    /// Ends every server in good order and starts it anew on the same database: only warming fills its cache.
    ///
    /// # Errors
    /// When one does not come back.
    pub fn restart(&mut self) -> Result<()> {
        self.apps.iter_mut().try_for_each(|app| app.service.restart()).context("the server did not come back")
    }

    /// Ends every server in good order and calls `work` while nothing uses the database; then starts them anew.
    ///
    /// # Errors
    /// When the work fails, or a server does not come back.
    pub fn pause<T>(&mut self, work: impl FnOnce(&Database) -> Result<T>) -> Result<T> {
        self.stop();
        if let Some((keygen, _)) = &mut self.keygen {
            drop(keygen.stop());
        }
        let done = work(&self.database)?;
        if let Some((keygen, _)) = &mut self.keygen {
            keygen.start()?;
        }
        self.apps
            .iter_mut()
            .try_for_each(|app| app.service.start())
            .context("the server did not come back")?;
        Ok(done)
    }

    /// Ends every server in good order, so that all that it acknowledged is in its database.
    pub fn stop(&mut self) {
        self.apps.iter_mut().for_each(|app| drop(app.service.stop()));
    }

    /// Where requests go; connections are dealt over the processes.
    pub fn target(&self) -> Target {
        Target::over(self.apps.iter().map(|app| app.address).collect())
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.apps[0].address)
    }

    /// Those who count what it does.
    ///
    /// # Errors
    /// When a witness cannot be set up.
    pub fn witnesses(&self, postgres: Option<&RefCell<Postgres>>) -> Result<Vec<Box<dyn Witness>>> {
        let bases: Vec<String> = self.apps.iter().map(|app| format!("http://{}", app.address)).collect();
        let mut pids: Vec<_> = self.apps.iter().map(|app| app.service.pids()).collect();
        let mut processes = Processes::new()
            .watch("server", move || pids.iter_mut().flat_map(|pids| pids()).collect())
            .watch_generator();
        let mut witnesses: Vec<Box<dyn Witness>> =
            vec![Box::new(Metrics::of_server(&bases)?), Box::new(Machine)];
        if let Some((keygen, address)) = &self.keygen {
            witnesses.push(Box::new(Metrics::of_keygen(&format!("http://{address}"))?));
            processes = processes.watch("keygen", keygen.pids());
        }
        if let Some(pids) = postgres.and_then(|postgres| postgres.borrow().pids()) {
            processes = processes.watch("postgres", pids);
        }
        if let Some(redis) = &self.redis {
            if let Some(pids) = redis.pids() {
                processes = processes.watch("redis", pids);
            }
            witnesses.push(Box::new(witness::Redis::of(&redis.url())?));
        }
        match &self.database {
            Database::Sqlite { directory } => {
                witnesses.push(Box::new(WriteAheadLog::follow(&directory.path().join(FILE))));
            }
            Database::Postgres { url } => witnesses.push(Box::new(witness::Postgres::of(url)?)),
        }
        witnesses.push(Box::new(processes));
        Ok(witnesses)
    }

    /// Whom a prober asks, and whom they speak of.
    pub fn for_probes(
        &self,
        postgres: Option<&RefCell<Postgres>>,
    ) -> (Vec<health::Service>, Vec<health::Dependency>) {
        let service =
            |kind, address: SocketAddr, ids| health::Service { kind, base: format!("http://{address}"), ids };
        let apps =
            self.apps.iter().map(|app| service(Kind::App, app.address, Box::new(app.service.pids()) as Ids));
        let keygen = self
            .keygen
            .iter()
            .map(|(keygen, address)| service(Kind::Keygen, *address, Box::new(keygen.pids()) as Ids));
        let services = apps.chain(keygen).collect();
        let mut dependencies = Vec::new();
        if let Some((keygen, _)) = &self.keygen {
            dependencies.push(health::Dependency { name: "keygen", ids: Box::new(keygen.pids()) });
        }
        if let Some(pids) = self.redis.as_ref().and_then(Redis::pids) {
            dependencies.push(health::Dependency { name: "redis", ids: Box::new(pids) });
        }
        if let Some(pids) = postgres.and_then(|postgres| postgres.borrow().pids()) {
            dependencies.push(health::Dependency { name: "postgresql", ids: Box::new(pids) });
        }
        (services, dependencies)
    }

    /// Breaks or mends what `fault` names.
    ///
    /// # Errors
    /// When there is no such thing, or it does not come back.
    pub fn suffer(&mut self, fault: &Fault, postgres: Option<&RefCell<Postgres>>) -> Result<()> {
        match fault.target {
            FaultTarget::App => {
                if fault.action == FaultAction::Flush {
                    return self
                        .apps
                        .iter()
                        .try_for_each(|app| Api::new(format!("http://{}", app.address))?.empty_cache());
                }
                let chosen = |index: usize| fault.process.is_none_or(|process| process as usize == index);
                let mut apps = self.apps.iter_mut().enumerate().filter(|(index, _)| chosen(*index));
                apps.try_for_each(|(_, app)| act(&mut app.service, fault.action))
            }
            FaultTarget::Keygen => {
                let keygen =
                    self.keygen.as_mut().context("a fault names keygen, but the variant has none")?;
                act(&mut keygen.0, fault.action)
            }
            FaultTarget::Postgres => {
                let postgres = postgres.context("a fault names PostgreSQL, but there is none")?;
                act(postgres.borrow_mut().service()?, fault.action)
            }
            FaultTarget::Redis => {
                let redis = self.redis.as_mut().context("a fault names Redis, but there is none")?;
                match fault.action {
                    FaultAction::Flush => redis.flush(),
                    FaultAction::Dump => redis.dump(),
                    FaultAction::Restore => redis.restore(),
                    other => act(redis.service()?, other),
                }
            }
        }
    }
}

fn act(service: &mut Service, action: FaultAction) -> Result<()> {
    match action {
        FaultAction::Kill => service.kill(),
        FaultAction::Start => service.start()?,
        FaultAction::Restart => service.restart()?,
        FaultAction::Flush | FaultAction::Dump | FaultAction::Restore => {
            bail!(
                "only Redis can be dumped and restored, and only it and the app flushed, not {}",
                service.name()
            )
        }
    }
    Ok(())
}

fn start_keygen(site: &Site, common: &[String]) -> Result<(Service, SocketAddr)> {
    let address = free_address(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    Ok((start_service("keygen", site, address, common.to_vec())?, address))
}

fn start_app(site: &Site, flags: &[String], stack: Option<&str>) -> Result<App> {
    let address = free_address(site.listen)?;
    let mut flags = flags.to_vec();
    flags.extend(stack.into_iter().flat_map(|stack| ["--stack".to_owned(), stack.to_owned()]));
    Ok(App { service: start_service("serve", site, address, flags)?, address })
}

/// Starts a verb of this program on an address that it keeps over restarts.
fn start_service(
    verb: &'static str,
    site: &Site,
    address: SocketAddr,
    flags: Vec<String>,
) -> Result<Service> {
    let program = site.program.to_owned();
    let recipe = move || {
        let mut command = Command::new(&program);
        command.arg(verb).args(["--listen".to_owned(), address.to_string()]).args(&flags);
        command
    };
    let ready = |line: &str| line.starts_with("listening on ");
    let mut service = Service::new(verb, site.cores, libc::SIGTERM, recipe, ready);
    service.start()?;
    Ok(service)
}

/// A port of its own, which a restart can take again; one that was asked for is left as it is.
fn free_address(wanted: SocketAddr) -> Result<SocketAddr> {
    match wanted.port() {
        0 => Ok(TcpListener::bind(wanted).context("no free port")?.local_addr()?),
        _ => Ok(wanted),
    }
}

fn stack(settings: &ServerSettings, index: usize) -> Option<&str> {
    match settings.stacks.len() {
        0 => None,
        stacks => Some(&settings.stacks[index % stacks]),
    }
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

/// What decides the form in which links are stored: codes and slots follow from these, while caches and pools leave no
/// trace in the database.
pub fn form(settings: &ServerSettings, program: &Path) -> String {
    let flags = ["design", "codes", "stack", "code-key"].map(|flag| settings.flags.get(flag));
    format!("{flags:?} {:?} {}", settings.stacks, program.display())
}

/// How the variant's servers write ids: needed to read back what they stored.
fn codec(settings: &ServerSettings) -> Result<Codec> {
    if text_of(settings, "codes") == Some("unpartitioned") {
        return Ok(Codec::unpartitioned());
    }
    let key = text_of(settings, "code-key")
        .map_or(Ok(PUBLIC_DEFAULT_KEY), str::parse)
        .context("variant flag 'code-key'")?;
    Ok(Codec::new(&key))
}

/// Whether ids come from leased blocks of the stack's own slot: neither drawn at random nor counted without a slot.
fn leases(settings: &ServerSettings) -> bool {
    match text_of(settings, "codes") {
        Some(codes) => codes == "blocks",
        None => text_of(settings, "design") != Some("before"),
    }
}

fn text_of<'a>(settings: &'a ServerSettings, flag: &str) -> Option<&'a str> {
    settings.flags.get(flag).and_then(toml::Value::as_str)
}

fn described(settings: &ServerSettings, mut words: Vec<String>) -> Vec<String> {
    if settings.processes > 1 {
        words.push(format!("({} processes)", settings.processes));
    }
    if !settings.stacks.is_empty() {
        words.push(format!("(stacks {})", settings.stacks.join(", ")));
    }
    if settings.keygen {
        words.push("(keygen of its own)".to_owned());
    }
    words
}
