//! The durable store of links, slots and idempotency keys, on PostgreSQL or SQLite, every statement counted.

mod backend;
mod claims;
mod lanes;
mod leases;
mod link;
mod links;
mod migrations;
mod postgres;
mod sql;
mod sqlite;
mod statement;
mod statements;
mod warm;

pub use crate::codes::Key;
pub use claims::{Claim, Claimed};
pub(crate) use leases::FURTHEST_HINT;
pub use link::{HighMark, Link, NewRow, Patch};
pub use statements::{Kind, StatementCount, StatementCounts};
pub(crate) use warm::entropy;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backend::Backend;
use statement::{Row, Sink, Statement, Value};
use statements::Statements;
use tokio::time::Instant;

/// How to reach a database and how many connections to hold.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Connections for statements that read. SQLite opens them read-only, and at most four.
    pub readers: usize,
    /// Connections for statements that write, opened as they are needed: coalesced inserts need few, one-row inserts a
    /// pool. SQLite always has one.
    pub writers: usize,
    /// How long a statement may wait for a connection before it fails with [`StoreError::Busy`].
    pub acquire_timeout: Duration,
    /// How long one statement may take before it fails with [`StoreError::Unavailable`].
    pub statement_timeout: Duration,
}

impl Default for StoreOptions {
    fn default() -> StoreOptions {
        StoreOptions {
            readers: 8,
            writers: 16,
            acquire_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database that the store knows, or it cannot be opened.
    #[error("database URL: {0}")]
    Url(String),
    /// No connection came free in time; nothing was sent.
    #[error("all {0} database connections are busy")]
    Busy(usize),
    /// The deadline was over before anything could be sent.
    #[error("no time was left to ask the database")]
    Late,
    /// No connection could be made, or not in time; nothing was sent.
    #[error("database unreachable: {0}")]
    Unreachable(String),
    /// The connection failed or the statement timed out: whether it took effect is unknown.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// A row with this key is there already; the statement had no effect.
    #[error("database has this key: {0}")]
    Taken(String),
    /// The database refused a value in the statement, which had no effect.
    #[error("database refused a value: {0}")]
    BadRow(String),
    /// The database takes no writes: it is a standby by now, or not yet another's successor. The statement had no effect, and the
    /// next connection may lead elsewhere.
    #[error("database takes no writes: {0}")]
    ReadOnly(String),
    /// The statement lost against another one, and had no effect: worth another try.
    #[error("database contended: {0}")]
    Contended(String),
    /// The database refused the statement for any other reason; it had no effect.
    #[error("database refused: {0}")]
    Refused(String),
    /// Its schema is of a version that this binary does not know.
    #[error("its schema is version {version}, and this binary knows up to {newest}")]
    Newer { version: i64, newest: i64 },
    /// All 256 slots are assigned.
    #[error("no slot is left for stack {0:?}: all 256 are assigned, and slots are kept for good")]
    NoSlotLeft(String),
    /// The id lies in a slot that the database, which had lost its lease, has given to another stack.
    #[error("the database lost the lease of this id, and its slot is another stack's now")]
    SlotLost,
    /// The stack's slot has no ids left.
    #[error("the slot of stack {0:?} is used up")]
    SlotUsedUp(String),
}

pub type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    /// Whether the statement reached the database, or may have.
    pub fn was_sent(&self) -> bool {
        !matches!(self, Self::Url(_) | Self::Busy(_) | Self::Late | Self::Unreachable(_))
    }
}

/// One of two databases behind one set of verbs. Cheap to clone; all clones share connections and counts.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    deadline: Option<Instant>,
}

struct Inner {
    backend: Backend,
    statements: Statements,
    statement_timeout: Duration,
    losses: AtomicU64,
}

impl Store {
    /// Connects to `postgres://…` or `sqlite:path` and brings its schema up to date.
    pub async fn connect(url: &str, options: &StoreOptions) -> Result<Store> {
        let backend = Backend::open(url, options)?;
        let statements = Statements::default();
        migrations::migrate(&backend, &statements, options.statement_timeout, unix_now()).await?;
        let losses = AtomicU64::new(0);
        let inner = Inner { backend, statements, statement_timeout: options.statement_timeout, losses };
        Ok(Store { inner: Arc::new(inner), deadline: None })
    }

    /// The same store for one who has no time beyond `deadline`: what is asked of it ends then, if no limit of its own ends
    /// it sooner.
    pub fn by(&self, deadline: Instant) -> Store {
        Store { deadline: Some(deadline), ..self.clone() }
    }

    /// The same store for one who has no more time than one statement may take, from now on.
    pub fn for_one_statement(&self) -> Store {
        self.by(Instant::now() + self.inner.statement_timeout)
    }

    /// Waits for what others do to this database for no longer than a statement may take.
    pub(crate) async fn wait_for<T>(&self, others: impl Future<Output = T>) -> Result<T> {
        let limit = Instant::now() + self.inner.statement_timeout;
        let until = self.deadline.map_or(limit, |deadline| deadline.min(limit));
        tokio::time::timeout_at(until, others).await.map_err(|_| StoreError::Late)
    }

    /// What the database is called in `/health`: `postgresql` or `sqlite`.
    pub fn name(&self) -> &'static str {
        match self.inner.backend {
            Backend::Postgres(_) => "postgresql",
            Backend::Sqlite(_) => "sqlite",
        }
    }

    /// Every statement sent so far by this process, by kind. What SQLite does by pragma when a connection opens is not
    /// among them, nor what sqlx asks PostgreSQL of its own accord, which is nothing.
    pub fn statements(&self) -> StatementCounts {
        self.inner.statements.snapshot()
    }

    pub async fn ping(&self) -> Result<()> {
        self.execute(Statement::read(Kind::Ping, sql::PING, vec![])).await.map(drop)
    }

    /// How often a connection was given up, since it was lost or a statement took too long: what answers on the next one may
    /// be another database, failed over to or restored.
    pub fn losses(&self) -> u64 {
        self.inner.losses.load(Relaxed)
    }

    /// What this database calls itself, drawn at random once and kept for good: what is shared outside of it, such as a
    /// cache, is kept apart by it.
    pub async fn identity(&self) -> Result<String> {
        let drawn = format!("{:016x}", entropy());
        let name = Statement::write(Kind::Schema, sql::NAME, vec![Value::Text(&drawn)]);
        let name = self.first(name, |row| Ok(row.text(0)?.to_owned())).await?;
        Ok(name.unwrap_or_default())
    }

    /// How many links there are.
    pub async fn count(&self) -> Result<u64> {
        let count = self.first(Statement::read(Kind::Monitor, sql::COUNT, vec![]), |row| row.int(0)).await?;
        Ok(count.unwrap_or(0).cast_unsigned())
    }

    /// Which slots are assigned, and how far each has been leased.
    pub async fn high_marks(&self) -> Result<Vec<HighMark>> {
        self.all(Statement::read(Kind::Monitor, sql::HIGH_MARKS, vec![]), link::high_mark).await
    }

    /// Runs a statement for its effect; returns how many rows it changed.
    async fn execute(&self, statement: Statement<'_>) -> Result<u64> {
        self.run(&statement, &mut |_| Ok(())).await
    }

    /// Runs a statement for its first row.
    async fn first<T: Send>(
        &self,
        statement: Statement<'_>,
        decode: fn(&dyn Row) -> sqlx::Result<T>,
    ) -> Result<Option<T>> {
        Ok(self.all(statement, decode).await?.into_iter().next())
    }

    /// Runs a statement for all its rows.
    async fn all<T: Send>(
        &self,
        statement: Statement<'_>,
        decode: fn(&dyn Row) -> sqlx::Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        let mut sink = |row: &dyn Row| {
            rows.push(decode(row)?);
            Ok(())
        };
        self.run(&statement, &mut sink).await?;
        Ok(rows)
    }

    /// Runs a statement, once more if its connection had died while it lay idle and repeating does no harm.
    async fn run(&self, statement: &Statement<'_>, sink: Sink<'_>) -> Result<u64> {
        let mut rows_seen = false;
        let mut watching = |row: &dyn Row| {
            rows_seen = true;
            sink(row)
        };
        let outcome = self.run_once(statement, &mut watching).await;
        match outcome {
            Err(StoreError::Unavailable(_)) if statement.kind.is_repeatable() && !rows_seen => {
                // Whatever becomes of the second, the first may have taken effect.
                self.run_once(statement, sink)
                    .await
                    .map_err(|error| StoreError::Unavailable(error.to_string()))
            }
            outcome => outcome,
        }
    }

    async fn run_once(&self, statement: &Statement<'_>, sink: Sink<'_>) -> Result<u64> {
        let Inner { backend, statements, statement_timeout, losses } = &*self.inner;
        if self.deadline.is_some_and(|deadline| deadline <= Instant::now()) {
            return Err(StoreError::Late);
        }
        let mut session = backend.session(statement.lane, self.deadline).await?;
        let begun = Instant::now();
        let outcome = session.run(statement, statements, *statement_timeout, self.deadline, sink).await;
        if let Err(StoreError::Unavailable(_) | StoreError::ReadOnly(_)) = outcome {
            losses.fetch_add(1, Relaxed);
            // One that was cut off because its caller was late says nothing of the others.
            let hasty = self.deadline.is_some_and(|deadline| {
                deadline <= Instant::now() && deadline - begun < *statement_timeout / 2
            });
            if !hasty {
                backend.forget_idle();
            }
        } else {
            session.keep();
        }
        outcome
    }
}

/// Seconds since 1970, the store's clock.
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
