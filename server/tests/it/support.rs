//! Private databases for tests, started from local binaries and removed afterwards.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use proofload_server::store::{Store, StoreOptions};
use sqlx::{ConnectOptions, Connection, Executor, postgres::PgConnectOptions};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(60);

/// Says what to do where a test's database is not installed: it fails, it is not skipped.
const REMEDY: &str = "run `make test`, which installs what the tests need";

/// Ends all connections of servers and their kind.
pub const END_OURS: &str =
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'proofload'";

/// A PostgreSQL cluster of our own on a free loopback port.
pub struct Postgres {
    directory: TempDir,
    binaries: PathBuf,
    port: u16,
    server: Child,
}

impl Postgres {
    pub async fn start() -> Postgres {
        let binaries = postgres_binaries();
        let directory = tempfile::tempdir().expect("a temporary directory");
        give_away(directory.path());
        let data = directory.path().join("data");
        let made = unprivileged(&binaries.join("initdb"))
            .args(["--no-sync", "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .expect("initdb runs");
        assert!(made.success(), "initdb failed");
        let port = free_port();
        let server = serve(&binaries, &data, port);
        let postgres = Postgres { directory, binaries, port, server };
        postgres.wait_until_up().await;
        postgres
    }

    /// The URL of a new, empty database.
    pub async fn database(&self, name: &str) -> String {
        let mut connection = self.options("postgres").connect().await.expect("a connection");
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        connection.execute(create).await.expect("a new database");
        connection.close().await.expect("a good-bye");
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    pub fn options(&self, database: &str) -> PgConnectOptions {
        PgConnectOptions::new().host("127.0.0.1").port(self.port).username("postgres").database(database)
    }

    /// How many statements wait for a lock.
    pub async fn waiting(&self) -> i64 {
        let mut beside = self.options("postgres").connect().await.unwrap();
        sqlx::query_scalar("SELECT count(*) FROM pg_locks WHERE NOT granted")
            .fetch_one(&mut beside)
            .await
            .unwrap()
    }

    /// Ends the server as a crash would: nothing is finished, nothing flushed.
    pub fn kill(&mut self) {
        // The postmaster alone would leave its children to finish.
        self.freeze();
        self.signal_children(libc::SIGKILL);
        self.server.kill().expect("the server can be killed");
        self.server.wait().expect("the server ends");
    }

    /// Holds it still: it takes connections, and answers nothing.
    pub fn freeze(&self) {
        unsafe { libc::kill(self.server.id() as i32, libc::SIGSTOP) };
        self.signal_children(libc::SIGSTOP);
    }

    pub fn thaw(&self) {
        self.signal_children(libc::SIGCONT);
        unsafe { libc::kill(self.server.id() as i32, libc::SIGCONT) };
    }

    /// Each child leads a process group of its own, so that they are found by their parent.
    fn signal_children(&self, signal: i32) {
        let parent = self.server.id().to_string();
        for process in std::fs::read_dir("/proc").expect("/proc").flatten() {
            let Ok(pid) = process.file_name().to_string_lossy().parse() else { continue };
            let stat = std::fs::read_to_string(process.path().join("stat")).unwrap_or_default();
            // The name before it may hold anything.
            let after_name = stat.rsplit(") ").next().unwrap_or_default();
            if after_name.split(' ').nth(1) == Some(&parent) {
                unsafe { libc::kill(pid, signal) };
            }
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it again on the same data and port.
    pub async fn restart(&mut self) {
        let data = self.directory.path().join("data");
        let _ = std::fs::remove_file(data.join("postmaster.pid"));
        self.server = serve(&self.binaries, &data, self.port);
        self.wait_until_up().await;
    }

    async fn wait_until_up(&self) {
        let start = Instant::now();
        while self.options("postgres").connect().await.is_err() {
            assert!(start.elapsed() < PATIENCE, "PostgreSQL does not come up");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.thaw();
        unsafe { libc::kill(self.server.id() as i32, libc::SIGQUIT) };
        let _ = self.server.wait();
    }
}

/// A Redis of our own on a free loopback port, which keeps nothing on disk but what it is told to save.
pub struct Redis {
    directory: TempDir,
    port: u16,
    server: Child,
}

impl Redis {
    pub async fn start() -> Redis {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let server = serve_redis(directory.path(), port);
        let redis = Redis { directory, port, server };
        redis.wait_until_up().await;
        redis
    }

    pub fn url(&self) -> String {
        format!("redis://{}/", self.address())
    }

    pub fn address(&self) -> SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Sends one command and returns its answer.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).expect("a Redis URL");
        let mut connection = client.get_multiplexed_async_connection().await.expect("a Redis connection");
        let mut query = redis::cmd(command[0]);
        for argument in &command[1..] {
            query.arg(*argument);
        }
        query.query_async(&mut connection).await.expect("an answer")
    }

    pub fn kill(&mut self) {
        self.server.kill().expect("the server can be killed");
        self.server.wait().expect("the server ends");
    }

    /// Stops it in mid-air, connections open: it neither answers nor refuses.
    pub fn freeze(&self) {
        unsafe { libc::kill(self.server.id() as i32, libc::SIGSTOP) };
    }

    pub fn thaw(&self) {
        unsafe { libc::kill(self.server.id() as i32, libc::SIGCONT) };
    }

    pub async fn restart(&mut self) {
        self.server = serve_redis(self.directory.path(), self.port);
        self.wait_until_up().await;
    }

    async fn wait_until_up(&self) {
        let start = Instant::now();
        let client = redis::Client::open(self.url()).expect("a Redis URL");
        while client.get_multiplexed_async_connection().await.is_err() {
            assert!(start.elapsed() < PATIENCE, "Redis does not come up");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A store on a new SQLite file, and the directory that goes with it.
pub async fn sqlite() -> (Store, TempDir) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let url = format!("sqlite:{}", directory.path().join("links.db").display());
    (connect(&url).await, directory)
}

pub async fn connect(url: &str) -> Store {
    Store::connect(url, &StoreOptions::default()).await.expect("a store")
}

/// Our end of each connection takes a file descriptor too.
pub fn raise_file_limit() {
    unsafe {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        assert_eq!(libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit), 0);
        limit.rlim_cur = limit.rlim_max;
        assert_eq!(libc::setrlimit(libc::RLIMIT_NOFILE, &limit), 0);
    }
}

pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").port()
}

fn serve(binaries: &Path, data: &Path, port: u16) -> Child {
    let settings = [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "shared_preload_libraries=pg_stat_statements",
        "logging_collector=off",
        "log_min_messages=fatal",
    ];
    let mut command = unprivileged(&binaries.join("postgres"));
    command.arg("-D").arg(data).args(["-p", &port.to_string()]);
    for setting in settings {
        command.args(["-c", setting]);
    }
    command.stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
    command.spawn().expect("postgres starts")
}

fn serve_redis(directory: &Path, port: u16) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--dir"])
        .arg(directory)
        .stdout(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("redis-server: {error}; {REMEDY}"))
}

/// The newest PostgreSQL that is installed.
fn postgres_binaries() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|binaries| binaries.join("postgres").exists());
    found.sort();
    found.pop().unwrap_or_else(|| panic!("PostgreSQL is not installed; {REMEDY}"))
}

/// PostgreSQL refuses to run as root, so as root its programs run as an ordinary user.
fn unprivileged(program: &Path) -> Command {
    let mut command = Command::new(program);
    if let Some((user, group)) = ordinary_user() {
        command.uid(user).gid(group).current_dir("/");
    }
    command
}

fn give_away(directory: &Path) {
    if let Some((user, group)) = ordinary_user() {
        std::os::unix::fs::chown(directory, Some(user), Some(group)).expect("root may give a directory away");
    }
}

/// `None` where we are not root.
fn ordinary_user() -> Option<(u32, u32)> {
    if unsafe { libc::geteuid() } != 0 {
        return None;
    }
    let users = std::fs::read_to_string("/etc/passwd").expect("a list of users");
    let ids = |name: &str| {
        let fields: Vec<&str> =
            users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|user| user[0] == name)?;
        Some((fields[2].parse().ok()?, fields[3].parse().ok()?))
    };
    ids("postgres").or_else(|| ids("nobody"))
}
