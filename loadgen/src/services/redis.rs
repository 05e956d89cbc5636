//! A Redis: a private one in a temporary directory, which can forget and be set back, or one that already runs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::postgres::free_port;
use super::program;
use super::scratch::Scratch;
use super::service::Service;

/// How long one command may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long an append-only file may take to be written anew.
const REWRITE_WITHIN: Duration = Duration::from_secs(30);
const DUMP: &str = "dump.rdb";
const KEPT: &str = "kept.rdb";
/// Says in someone else's Redis that a database is taken.
const MARK: &str = "proofload:taken";
/// On which the reference server's replicas tell each other of changes.
const CHANNEL: &str = "proofload:changed";
const NOT_OURS: &str = "Redis at --redis-url is not ours to break; use --backends spawn";

/// Redis: our own, with an append-only file that is synced every second (what it acknowledged within that second it can
/// lose), which ends with its owner, and its data with it; or a numbered database of one that someone else runs.
pub struct Redis {
    // Declared first, so ended first: then the directory can go.
    own: Option<Own>,
    url: String,
    version: String,
}

struct Own {
    service: Service,
    /// Start from the dump alone, without the append-only file.
    from_dump: Arc<AtomicBool>,
    directory: Scratch,
}

/// Numbered databases of someone else's Redis are tried from the last down: the first is everyone's.
const LAST_DATABASE: u32 = 15;

impl Redis {
    /// Starts it on `cores`, on a free port of the loopback.
    ///
    /// # Errors
    /// If Redis is not installed ([`program::Missing`]) or does not start.
    pub fn spawn(cores: &[usize]) -> Result<Self> {
        let program = program::redis_server()?;
        let version = version(&program);
        let directory = Scratch::new("redis")?;
        let port = free_port()?;
        let from_dump = Arc::new(AtomicBool::new(false));
        let mut service = service(program, directory.path(), port, cores, Arc::clone(&from_dump));
        service.start()?;
        let own = Some(Own { service, from_dump, directory });
        Ok(Self { own, url: format!("redis://127.0.0.1:{port}/"), version })
    }

    /// Whether a server that already runs can be used without harm: nobody's caches may listen on it, since its channels
    /// are common to all of its databases.
    ///
    /// # Errors
    /// If it cannot be reached, or someone listens: one line with the remedy.
    pub fn refuse_if_heard(url: &str) -> Result<()> {
        let redis = Self { own: None, url: url.to_owned(), version: String::new() };
        let mut connection = redis.connect().context("--redis-url: this Redis cannot be used")?;
        redis.leave();
        let listeners: (String, u64) =
            redis::cmd("PUBSUB").arg("NUMSUB").arg(CHANNEL).query(&mut connection)?;
        if listeners.1 > 0 {
            bail!(
                "--redis-url: {} servers listen on this Redis already, and would be told to empty their caches; name \
                 another Redis, or use --backends spawn",
                listeners.1
            );
        }
        Ok(())
    }

    /// An empty database of a server that already runs; it is emptied again in the end. Others' databases are not touched.
    ///
    /// # Errors
    /// If it cannot be reached, or none of its databases is empty: one line with the remedy.
    pub fn given(url: &str) -> Result<Self> {
        let base = url::Url::parse(url).context("--redis-url is no URL")?;
        for number in (1..=LAST_DATABASE).rev() {
            let mut database = base.clone();
            database.set_path(&number.to_string());
            let redis = Self { own: None, url: database.into(), version: "Redis, not ours".to_owned() };
            let mut connection = redis.connect().context("--redis-url: this Redis cannot be used")?;
            // Whoever sets the mark first has the database.
            let empty: u64 = redis::cmd("DBSIZE").query(&mut connection)?;
            let ours = empty == 0
                && redis::cmd("SET")
                    .arg(MARK)
                    .arg(std::process::id())
                    .arg("NX")
                    .query::<Option<String>>(&mut connection)?
                    .is_some();
            if ours {
                return Ok(redis);
            }
            redis.leave();
        }
        bail!(
            "--redis-url: none of its databases 1 to {LAST_DATABASE} is empty, and those that hold something are left alone; \
             name another Redis, or use --backends spawn"
        )
    }

    /// Ends without emptying a database that is someone else's.
    fn leave(mut self) {
        self.url.clear();
    }

    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The service's handle: kill it, start it, restart it.
    ///
    /// # Errors
    /// If someone else runs it: it is not ours to break.
    pub fn service(&mut self) -> Result<&mut Service> {
        Ok(&mut self.own.as_mut().context(NOT_OURS)?.service)
    }

    /// Its process, for whoever counts CPU time; none where someone else runs it.
    pub fn pids(&self) -> Option<impl FnMut() -> Vec<u32> + Send + 'static + use<>> {
        self.own.as_ref().map(|own| own.service.pids())
    }

    /// `Redis 7.0.15`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Forgets everything.
    pub fn flush(&self) -> Result<()> {
        self.command(&["FLUSHDB", "SYNC"])
    }

    /// Writes down what it holds now, for a later [`restore`](Self::restore).
    pub fn dump(&self) -> Result<()> {
        let own = self.own.as_ref().context(NOT_OURS)?;
        self.command(&["SAVE"])?;
        fs::copy(own.path(DUMP), own.path(KEPT)).context("Redis wrote no dump")?;
        Ok(())
    }

    /// Goes back to the last dump, as an operator does who restores a backup: Redis is killed, its files are replaced, and
    /// it is started again.
    ///
    /// # Errors
    /// If there was no dump.
    pub fn restore(&mut self) -> Result<()> {
        let own = self.own.as_mut().context(NOT_OURS)?;
        if !own.path(KEPT).exists() {
            bail!("there is no dump of Redis to restore: the scenario must take one first");
        }
        own.service.kill();
        let _ = fs::remove_dir_all(own.path("appendonlydir"));
        let _ = fs::remove_file(own.path("appendonly.aof"));
        fs::copy(own.path(KEPT), own.path(DUMP))?;
        own.from_dump.store(true, Relaxed);
        let started = own.service.start();
        own.from_dump.store(false, Relaxed);
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
        let connection =
            redis::Client::open(self.url.as_str())?.get_connection_with_timeout(ANSWER_WITHIN)?;
        connection.set_read_timeout(Some(ANSWER_WITHIN))?;
        Ok(connection)
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

impl Own {
    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Redis {
    /// Someone else's Redis is left as it was found.
    fn drop(&mut self) {
        if self.own.is_none() && !self.url.is_empty() {
            let _ = self.flush();
        }
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

/// What a private Redis would be.
pub fn installed_version() -> String {
    program::redis_server().map_or_else(|_| "Redis".to_owned(), |program| version(&program))
}

fn version(program: &Path) -> String {
    let output = Command::new(program).arg("--version").output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let number = text.split("v=").nth(1).and_then(|rest| rest.split_whitespace().next());
    format!("Redis {}", number.unwrap_or("of unknown version"))
}
