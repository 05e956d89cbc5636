//! The durable store of links, slots and idempotency keys, on PostgreSQL or SQLite, every statement counted.

mod link;
mod statements;

pub use crate::codes::Key;
pub use link::{ClaimedKey, HighMark, Link, Patch};
pub use statements::{Kind, StatementCount, StatementCounts};

use std::sync::Arc;
use std::time::Duration;

use statements::Statements;

/// How to reach a database and how many connections to hold.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// Connections for statements that read. SQLite opens them read-only.
    pub readers: usize,
    /// Connections for statements that write. SQLite always has one.
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
            writers: 4,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(10),
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The URL names no database that the store knows, or it cannot be opened.
    #[error("database URL: {0}")]
    Url(String),
    /// No connection came free in time.
    #[error("all {0} database connections are busy")]
    Busy(usize),
    /// The connection failed or the statement timed out: whether it took effect is unknown.
    #[error("database unavailable: {0}")]
    Unavailable(String),
    /// The database answered, and refused the statement: it had no effect.
    #[error("database refused: {0}")]
    Refused(String),
    /// All 256 slots are assigned.
    #[error("no slot is left for stack {0:?}: all 256 are assigned, and slots are kept for good")]
    NoSlotLeft(String),
}

pub type Result<T> = std::result::Result<T, StoreError>;

/// One of two databases behind one set of verbs. Cheap to clone; all clones share connections and counts.
#[derive(Clone)]
pub struct Store {
    statements: Arc<Statements>,
}

impl Store {
    /// Connects to `postgres://…` or `sqlite:path` and brings its schema up to date.
    pub async fn connect(_url: &str, _options: &StoreOptions) -> Result<Store> {
        todo!()
    }

    /// What the store is called in `/health`: `postgresql` or `sqlite`.
    pub fn name(&self) -> &'static str {
        todo!()
    }

    /// Every statement sent so far by this process, by kind.
    pub fn statements(&self) -> StatementCounts {
        self.statements.snapshot()
    }

    pub async fn ping(&self) -> Result<()> {
        todo!()
    }

    pub async fn find(&self, _key: &Key) -> Result<Option<Link>> {
        todo!()
    }

    /// Changes what `patch` names and returns the link as it is afterwards; `None` where there is none.
    pub async fn update(&self, _key: &Key, _patch: &Patch) -> Result<Option<Link>> {
        todo!()
    }

    /// Whether there was a link to delete.
    pub async fn delete(&self, _key: &Key) -> Result<bool> {
        todo!()
    }

    /// Adds to click counts: one statement for generated and one for custom codes, where there are any.
    pub async fn add_clicks(&self, _clicks: &[(Key, u64)]) -> Result<()> {
        todo!()
    }

    /// Hands the `limit` most clicked links to `sink`, most clicked first, as they stream in; returns how many.
    /// Links without clicks come last. Expired links are left out.
    pub async fn hottest(&self, _limit: usize, _sink: impl FnMut(Link) + Send) -> Result<usize> {
        todo!()
    }

    /// Up to `limit` links drawn at random (generated codes only, without repetition).
    pub async fn random(&self, _limit: usize) -> Result<Vec<Link>> {
        todo!()
    }

    /// Which slots are assigned, and how far each has been leased.
    pub async fn high_marks(&self) -> Result<Vec<HighMark>> {
        todo!()
    }

    /// How many links there are.
    pub async fn count(&self) -> Result<u64> {
        todo!()
    }

    /// Forgets idempotency keys claimed before `before` (unix seconds); returns how many.
    pub async fn forget_claims(&self, _before: i64) -> Result<u64> {
        todo!()
    }
}
