//! A private PostgreSQL in a temporary directory, which counts every statement.

use std::ffi::CString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::guard::Child;
use super::service::Service;
use super::{apart, program};

const INITDB_WITHIN: Duration = Duration::from_secs(60);

/// Counting must not miss a statement, commits must be as durable as in earnest, and nothing may be left outside of the
/// directory when the server is killed.
const SETTINGS: &str = "
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
dynamic_shared_memory_type = mmap
shared_preload_libraries = 'pg_stat_statements'
pg_stat_statements.max = 10000
pg_stat_statements.track = top
pg_stat_statements.track_utility = on
fsync = on
synchronous_commit = on
full_page_writes = on
shared_buffers = '128MB'
max_connections = 200
max_wal_size = '2GB'
lc_messages = 'C'
";

/// PostgreSQL, up and answering. It ends with its owner, and its data with it.
pub struct Postgres {
    // Declared first, so ended first: then the directory can go.
    service: Service,
    version: String,
    port: u16,
    _directory: TempDir,
}

impl Postgres {
    /// Makes a new cluster and starts it on `cores`, on a free port of the loopback.
    ///
    /// # Errors
    /// If PostgreSQL is not installed ([`program::Missing`]) or does not start.
    pub fn spawn(cores: &[usize]) -> Result<Self> {
        let programs = program::postgres_directory()?;
        let owner = Owner::choose()?;
        let directory = tempfile::Builder::new()
            .prefix("proofload-postgres-")
            .tempdir()
            .context("no temporary directory for PostgreSQL; set TMPDIR to one that can be written")?;
        let data = directory.path().join("data");
        owner.own(directory.path())?;
        initialise(&programs, &data, &owner)?;
        let port = free_port()?;
        let configuration = data.join("postgresql.conf");
        let settings = format!("{}{SETTINGS}port = {port}\n", fs::read_to_string(&configuration)?);
        fs::write(&configuration, settings)?;
        let service = service(&programs, &data, owner, cores);
        let version = version(&programs);
        let mut postgres = Self { service, version, port, _directory: directory };
        postgres.service.start()?;
        postgres.execute("CREATE EXTENSION pg_stat_statements".to_owned()).context(
            "PostgreSQL cannot count its statements: the extension pg_stat_statements is missing \
             (`apt-get install postgresql-contrib`)",
        )?;
        Ok(postgres)
    }

    /// Makes a new, empty database and answers with its URL.
    ///
    /// # Errors
    /// If it exists, or the server is down.
    pub fn create_database(&self, name: &str) -> Result<String> {
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            bail!("`{name}` is no name for a database: letters, digits and underscores only");
        }
        self.execute(format!("CREATE DATABASE \"{name}\""))?;
        Ok(self.url(name))
    }

    /// The service's handle: kill it, start it, restart it.
    pub fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// Its processes, for whoever counts CPU time.
    pub fn pids(&self) -> impl FnMut() -> Vec<u32> + Send + 'static {
        self.service.pids()
    }

    /// `PostgreSQL 15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn url(&self, database: &str) -> String {
        format!("postgres://proofload@127.0.0.1:{}/{database}", self.port)
    }

    fn execute(&self, statement: String) -> Result<()> {
        let url = self.url("postgres");
        apart(async move {
            let mut connection = PgConnection::connect(&url).await?;
            connection.execute(sqlx::AssertSqlSafe(statement)).await?;
            connection.close().await?;
            Ok(())
        })
    }
}

/// Who runs the server: PostgreSQL refuses to be root.
#[derive(Clone, Copy)]
struct Owner(Option<(u32, u32)>);

impl Owner {
    fn choose() -> Result<Self> {
        // SAFETY: the call takes nothing and cannot fail.
        if unsafe { libc::geteuid() } != 0 {
            return Ok(Self(None));
        }
        match ["postgres", "nobody"].iter().find_map(|name| user(name)) {
            Some(ids) => Ok(Self(Some(ids))),
            None => bail!(
                "PostgreSQL refuses to run as root, and there is neither a user `postgres` nor `nobody` to run it as: \
                 run this command as another user"
            ),
        }
    }

    fn own(self, path: &Path) -> Result<()> {
        fs::set_permissions(path, fs::Permissions::from_mode(0o700))?;
        if let Some((user, group)) = self.0 {
            chown(path, Some(user), Some(group))
                .context("the directory of PostgreSQL could not be given away")?;
        }
        Ok(())
    }

    fn command(self, program: &Path, data: &Path) -> Command {
        let mut command = Command::new(program);
        command.arg("-D").arg(data).env("LC_ALL", "C").current_dir("/");
        if let Some((user, group)) = self.0 {
            command.uid(user).gid(group);
        }
        command
    }
}

fn user(name: &str) -> Option<(u32, u32)> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends with a zero, and what is pointed to is read before any other call could change it: this is
    // the only use of the user database in this process.
    unsafe {
        let entry = libc::getpwnam(name.as_ptr());
        (!entry.is_null()).then(|| ((*entry).pw_uid, (*entry).pw_gid))
    }
}

fn initialise(programs: &Path, data: &Path, owner: &Owner) -> Result<()> {
    let mut command = owner.command(&programs.join("initdb"), data);
    command.args(["-U", "proofload", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
    let (mut initdb, ()) = Child::spawn(command, &[], |_| Some(()))?;
    let status = initdb.wait(INITDB_WITHIN)?;
    if !status.success() {
        bail!("initdb ended with {status}:\n{}", initdb.last_lines());
    }
    Ok(())
}

fn service(programs: &Path, data: &Path, owner: Owner, cores: &[usize]) -> Service {
    let (program, data): (PathBuf, PathBuf) = (programs.join("postgres"), data.to_owned());
    // SIGINT: end the sessions, write a checkpoint, go.
    Service::new(
        "PostgreSQL",
        cores,
        libc::SIGINT,
        move || owner.command(&program, &data),
        |line| line.contains("database system is ready to accept connections"),
    )
}

fn version(programs: &Path) -> String {
    let output = Command::new(programs.join("postgres")).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let number = text.split_whitespace().nth(2).unwrap_or("of unknown version");
    format!("PostgreSQL {number}")
}

/// A port that nobody listens on. Another may take it before it is used: then the service says so and does not start.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0").context("no free port on the loopback")?.local_addr()?.port())
}
