//! A PostgreSQL that counts every statement: a private one in a temporary directory, or one that already runs.

use std::cell::RefCell;
use std::ffi::CString;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, Executor, PgConnection};

use super::guard::Child;
use super::service::Service;
use super::{Scratch, apart, program};

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

/// PostgreSQL, up and answering: our own, which ends with its owner, and its data with it; or one that someone else runs,
/// in which databases of our own are made and dropped again.
pub struct Postgres {
    /// None where someone else runs it.
    ours: Option<Ours>,
    version: String,
    /// The database that statements for the server itself go to.
    home: String,
    /// What the names of our databases begin with.
    prefix: String,
    /// Our databases on someone else's server, to be dropped.
    made: RefCell<Vec<String>>,
}

/// A server that was started here.
struct Ours {
    // Declared first, so ended first: then the directory can go.
    service: Service,
    cluster: Cluster,
    _directory: Scratch,
}

impl Postgres {
    /// Makes a new cluster and starts it on `cores`, on a free port of the loopback.
    ///
    /// # Errors
    /// If PostgreSQL is not installed ([`program::Missing`]) or does not start.
    pub fn spawn(cores: &[usize]) -> Result<Self> {
        let directory = Scratch::new("postgres")?;
        let cluster = Cluster {
            programs: program::postgres_directory()?,
            data: directory.path().join("data"),
            owner: Owner::choose()?,
        };
        cluster.owner.own(directory.path())?;
        cluster.initialise()?;
        let port = free_port()?;
        let configuration = cluster.data.join("postgresql.conf");
        let settings = format!("{}{SETTINGS}port = {port}\n", fs::read_to_string(&configuration)?);
        fs::write(&configuration, settings)?;
        let mut service = service(cluster.clone(), cores);
        service.start()?;
        let postgres = Self {
            version: version(&cluster.programs),
            ours: Some(Ours { service, cluster, _directory: directory }),
            home: format!("postgres://proofload@127.0.0.1:{port}/postgres"),
            prefix: String::new(),
            made: RefCell::default(),
        };
        postgres.execute("CREATE EXTENSION pg_stat_statements".to_owned()).context(
            "PostgreSQL cannot count its statements: the extension pg_stat_statements is missing \
             (`apt-get install postgresql-contrib`)",
        )?;
        Ok(postgres)
    }

    /// A server that already runs. Nothing of what it holds is touched: what is needed stands in databases of its own.
    ///
    /// # Errors
    /// If it cannot be reached, may not make databases, or does not count its statements: one line with the remedy.
    pub fn given(url: &str) -> Result<Self> {
        let given = url.to_owned();
        let (version, may_create) = apart(async move {
            let mut connection = connect(&given).await?;
            let version: String = sqlx::query_scalar("SHOW server_version").fetch_one(&mut connection).await?;
            let may_create: bool =
                sqlx::query_scalar("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
                    .fetch_one(&mut connection)
                    .await?;
            for setting in ["fsync", "synchronous_commit"] {
                let value: String =
                    sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SHOW {setting}"))).fetch_one(&mut connection).await?;
                if value == "off" {
                    bail!(
                        "{setting} is off: a create that is acknowledged may be lost, and costs too little; set it to on, or give \
                         --backends spawn"
                    );
                }
            }
            sqlx::query("SELECT calls FROM pg_stat_statements LIMIT 1")
                .fetch_optional(&mut connection)
                .await
                .context(
                    "it does not count its statements; set shared_preload_libraries = 'pg_stat_statements', restart it \
                     and run CREATE EXTENSION pg_stat_statements in this database",
                )?;
            Ok((version, may_create))
        })
        .context("--database-url: this PostgreSQL cannot be used")?;
        if !may_create {
            bail!(
                "--database-url: this role may not make databases, and yours are left alone: ALTER ROLE … CREATEDB, or \
                 name another role"
            );
        }
        Ok(Self {
            ours: None,
            version: format!("PostgreSQL {version}, not ours"),
            home: url.to_owned(),
            prefix: format!("proofload_{}_", std::process::id()),
            made: RefCell::default(),
        })
    }

    /// Makes a new database, empty or a copy of `template`, and answers with its URL.
    ///
    /// # Errors
    /// If it exists, the template is in use, or the server is down.
    pub fn create_database(&self, name: &str, template: Option<&str>) -> Result<String> {
        let name = format!("{}{name}", self.prefix);
        self.make(&name, template)?;
        self.url(&name)
    }

    /// Copies a database that nobody uses at the moment, and answers with the copy's name.
    ///
    /// # Errors
    /// If it is in use, or the server is down.
    pub fn copy_database(&self, name: &str) -> Result<String> {
        let copy = format!("{name}_copy");
        self.make(&copy, Some(name))?;
        Ok(copy)
    }

    fn make(&self, name: &str, template: Option<&str>) -> Result<()> {
        [Some(name), template].into_iter().flatten().try_for_each(check_name)?;
        let from = template.map_or_else(String::new, |template| format!(" TEMPLATE \"{template}\""));
        self.execute(format!("CREATE DATABASE \"{name}\"{from}"))?;
        if !self.is_ours() {
            self.made.borrow_mut().push(name.to_owned());
        }
        Ok(())
    }

    /// The service's handle: kill it, start it, restart it.
    ///
    /// # Errors
    /// If someone else runs it: it is not ours to break.
    pub fn service(&mut self) -> Result<&mut Service> {
        let ours = self.ours.as_mut();
        ours.map(|ours| &mut ours.service)
            .context("PostgreSQL at --database-url is not ours to break; use --backends spawn")
    }

    /// Whether it was started here, and may be broken.
    pub fn is_ours(&self) -> bool {
        self.ours.is_some()
    }

    /// Its processes, for whoever counts CPU time; none where someone else runs it.
    pub fn pids(&self) -> Option<impl FnMut() -> Vec<u32> + Send + 'static + use<>> {
        self.ours.as_ref().map(|ours| ours.service.pids())
    }

    /// `PostgreSQL 15.18`.
    pub fn version(&self) -> &str {
        &self.version
    }

    fn url(&self, database: &str) -> Result<String> {
        let mut url = url::Url::parse(&self.home).context("--database-url is no URL")?;
        url.set_path(database);
        Ok(url.into())
    }

    /// Writes all that is changed out, so that the server is back soon after it was killed: it then goes over what was changed
    /// since the last checkpoint, and has the system write out all files, whether or not they were changed.
    ///
    /// # Errors
    /// If that fails.
    pub fn write_out(&self) -> Result<()> {
        self.execute("CHECKPOINT".to_owned()).context("PostgreSQL wrote no checkpoint")?;
        self.ours.iter().try_for_each(|ours| ours.cluster.initdb(&["--sync-only"]))
    }

    fn execute(&self, statement: String) -> Result<()> {
        let url = self.home.clone();
        apart(async move {
            let mut connection = connect(&url).await?;
            connection.execute(sqlx::AssertSqlSafe(statement)).await?;
            connection.close().await?;
            Ok(())
        })
    }
}

impl Drop for Postgres {
    /// Someone else's server is left as it was found.
    fn drop(&mut self) {
        for name in self.made.take() {
            let _ = self.execute(format!("DROP DATABASE IF EXISTS \"{name}\" WITH (FORCE)"));
        }
    }
}

/// Without sqlx's word about slow statements, which Goose's logger would print.
pub(crate) async fn connect(url: &str) -> sqlx::Result<PgConnection> {
    url.parse::<PgConnectOptions>()?.disable_statement_logging().connect().await
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        bail!("`{name}` is no name for a database: letters, digits and underscores only");
    }
    Ok(())
}

/// A cluster of databases of our own.
#[derive(Clone)]
struct Cluster {
    programs: PathBuf,
    data: PathBuf,
    owner: Owner,
}

impl Cluster {
    fn initialise(&self) -> Result<()> {
        self.initdb(&["-U", "proofload", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"])
    }

    fn initdb(&self, arguments: &[&str]) -> Result<()> {
        let mut command = self.command("initdb");
        command.args(arguments);
        let (mut initdb, ()) = Child::spawn(command, &[], |_| Some(()))?;
        let status = initdb.wait(INITDB_WITHIN)?;
        if !status.success() {
            bail!("initdb ended with {status}:\n{}", initdb.last_lines());
        }
        Ok(())
    }

    /// One of PostgreSQL's programs on this cluster, run as its owner.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-D").arg(&self.data).env("LC_ALL", "C").current_dir("/");
        if let Some((user, group)) = self.owner.0 {
            command.uid(user).gid(group);
        }
        command
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

fn service(cluster: Cluster, cores: &[usize]) -> Service {
    // SIGINT: end the sessions, write a checkpoint, go.
    Service::new(
        "PostgreSQL",
        cores,
        libc::SIGINT,
        move || cluster.command("postgres"),
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
