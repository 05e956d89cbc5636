//! Processes that a run starts and ends: the reference server, its backends.

pub mod guard;
pub mod postgres;
pub mod program;
pub mod redis;
pub mod scratch;
pub mod service;

pub use guard::Child;
pub use postgres::Postgres;
pub use redis::Redis;
pub use scratch::Scratch;
pub use service::Service;

use anyhow::{Result, anyhow};
use sqlx::{Connection, SqliteConnection};

/// Of the SQLite that is compiled in.
pub fn sqlite_version() -> String {
    let asked = apart(async {
        let mut nowhere = SqliteConnection::connect("sqlite::memory:").await?;
        Ok(sqlx::query_scalar("SELECT sqlite_version()").fetch_one(&mut nowhere).await?)
    });
    asked.unwrap_or_else(|_| "of unknown version".to_owned())
}

/// Runs a future to its end on a thread and a runtime of its own, so that a caller may be on a runtime or not.
fn apart<T: Send + 'static>(work: impl Future<Output = Result<T>> + Send + 'static) -> Result<T> {
    let thread = std::thread::spawn(move || {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work)
    });
    thread.join().map_err(|_| anyhow!("a thread that talks to a service has panicked"))?
}
