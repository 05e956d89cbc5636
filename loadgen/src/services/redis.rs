//! A private Redis in a temporary directory, which can forget and be set back.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use super::postgres::free_port;
use super::program;
use super::service::Service;

/// How long one command may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long an append-only file may take to be written anew.
const REWRITE_WITHIN: Duration = Duration::from_secs(30);
const DUMP: &str = "dump.rdb";
const KEPT: &str = "kept.rdb";

/// Redis with an append-only file that is synced every second: what it acknowledged within that second it can lose.
/// It ends with its owner, and its data with it.
pub struct Redis {
    // Declared first, so ended first: then the directory can go.
    service: Service,
    port: u16,
    version: String,
    /// Start from the dump alone, without the append-only file.
    from_dump: Arc<AtomicBool>,
    directory: TempDir,
}

impl Redis {
    /// Starts it on `cores`, on a free port of the loopback.
    ///
    /// # Errors
    /// If Redis is not installed ([`program::Missing`]) or does not start.
    pub fn spawn(cores: &[usize]) -> Result<Self> {
        let program = program::redis_server()?;
        let version = version(&program);
        let directory = tempfile::Builder::new()
            .prefix("proofload-redis-")
            .tempdir()
            .context("no temporary directory for Redis; set TMPDIR to one that can be written")?;
        let port = free_port()?;
        let from_dump = Arc::new(AtomicBool::new(false));
        let service = service(program, directory.path(), port, cores, Arc::clone(&from_dump));
        let mut redis = Self { service, port, version, from_dump, directory };
        redis.service.start()?;
        Ok(redis)
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The service's handle: kill it, start it, restart it.
    pub fn service(&mut self) -> &mut Service {
        &mut self.service
    }

    /// Its process, for whoever counts CPU time.
    pub fn pids(&self) -> impl FnMut() -> Vec<u32> + Send + 'static {
        self.service.pids()
    }

    /// `Redis 7.0.15`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Forgets everything.
    pub fn flush(&self) -> Result<()> {
        self.command(&["FLUSHALL", "SYNC"])
    }

    /// Writes down what it holds now, for a later [`restore`](Self::restore).
    pub fn dump(&self) -> Result<()> {
        self.command(&["SAVE"])?;
        fs::copy(self.path(DUMP), self.path(KEPT)).context("Redis wrote no dump")?;
        Ok(())
    }

    /// Goes back to the last dump, as an operator does who restores a backup: Redis is killed, its files are replaced, and
    /// it is started again.
    ///
    /// # Errors
    /// If there was no dump.
    pub fn restore(&mut self) -> Result<()> {
        if !self.path(KEPT).exists() {
            bail!("there is no dump of Redis to restore: the scenario must take one first");
        }
        self.service.kill();
        let _ = fs::remove_dir_all(self.path("appendonlydir"));
        let _ = fs::remove_file(self.path("appendonly.aof"));
        fs::copy(self.path(KEPT), self.path(DUMP))?;
        self.from_dump.store(true, Relaxed);
        let started = self.service.start();
        self.from_dump.store(false, Relaxed);
        started?;
        self.command(&["CONFIG", "SET", "appendonly", "yes"])?;
        self.await_first_append_file()
    }

    /// Until the new append-only file stands, Redis refuses to end.
    fn await_first_append_file(&self) -> Result<()> {
        let deadline = Instant::now() + REWRITE_WITHIN;
        let mut connection = self.connect()?;
        loop {
            let state: String = redis::cmd("INFO").arg("persistence").query(&mut connection)?;
            if state.contains("aof_rewrite_in_progress:0") && state.contains("aof_rewrite_scheduled:0") {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("Redis did not write its append-only file within {REWRITE_WITHIN:?}");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn connect(&self) -> Result<redis::Connection> {
        let connection = redis::Client::open(self.url())?.get_connection_with_timeout(ANSWER_WITHIN)?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(connection)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn command(&self, words: &[&str]) -> Result<()> {
        let mut connection = self.connect()?;
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| {
            command.arg(*word);
        });
        command.exec(&mut connection).with_context(|| format!("Redis refused {}", words.join(" ")))
    }
}

fn service(
    program: PathBuf,
    directory: &Path,
    port: u16,
    cores: &[usize],
    from_dump: Arc<AtomicBool>,
) -> Service {
    let directory = directory.to_owned();
    let recipe = move || {
        let mut command = Command::new(&program);
        let append = if from_dump.load(Relaxed) { "no" } else { "yes" };
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--daemonize", "no"]);
        command.args(["--appendonly", append, "--appendfsync", "everysec", "--save", ""]);
        command.args(["--dbfilename", DUMP]).arg("--dir").arg(&directory);
        command
    };
    Service::new("Redis", cores, libc::SIGTERM, recipe, |line| line.contains("Ready to accept connections"))
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let number = text.split("v=").nth(1).and_then(|rest| rest.split_whitespace().next());
    format!("Redis {}", number.unwrap_or("of unknown version"))
}
