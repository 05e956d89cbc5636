//! Schema migrations: numbered scripts compiled into the binary, each applied once.

use std::time::Duration;

use super::backend::{Backend, Session};
use super::statement::{Lane, Sql, Statement, Value};
use super::statements::Statements;
use super::{Kind, Result, StoreError};

/// Processes that start together take turns: the first statement waits for whoever migrates already. The lock's
/// number is any that no one else uses.
const BEGIN: [Sql; 2] = [
    Sql::pair("BEGIN", "BEGIN IMMEDIATE"),
    Sql::pair("SELECT pg_advisory_xact_lock(7146913805215)", "SELECT 1"),
];
const CREATE_VERSIONS: Sql = Sql::same(
    "CREATE TABLE IF NOT EXISTS schema_versions (version BIGINT PRIMARY KEY, applied BIGINT NOT NULL)",
);
const VERSION: Sql = Sql::same("SELECT COALESCE(MAX(version), 0) FROM schema_versions");
const RECORD: Sql = Sql::same("INSERT INTO schema_versions (version, applied) VALUES ($1, $2)");
const COMMIT: Sql = Sql::same("COMMIT");

pub(super) struct Migration {
    pub(super) version: i64,
    pub(super) script: &'static str,
}

impl Migration {
    /// The script's statements; our scripts hold no semicolon but the one that ends each.
    fn statements(&self) -> impl Iterator<Item = Sql> {
        self.script.split(';').map(str::trim).filter(|text| !text.is_empty()).map(Sql::same)
    }
}

/// Brings the schema up to date in one transaction; a database that is ahead of this binary is refused.
pub(super) async fn migrate(
    backend: &Backend,
    counts: &Statements,
    timeout: Duration,
    now: i64,
) -> Result<()> {
    let mut session = backend.session(Lane::Write, None).await?;
    for sql in BEGIN {
        step(&mut session, sql, vec![], counts, timeout).await?;
    }
    step(&mut session, CREATE_VERSIONS, vec![], counts, timeout).await?;
    let version = step(&mut session, VERSION, vec![], counts, timeout).await?;
    for migration in pending(backend.migrations(), version)? {
        for sql in migration.statements() {
            step(&mut session, sql, vec![], counts, timeout).await?;
        }
        let record = vec![Value::Int(migration.version), Value::Int(now)];
        step(&mut session, RECORD, record, counts, timeout).await?;
    }
    step(&mut session, COMMIT, vec![], counts, timeout).await?;
    session.keep();
    Ok(())
}

/// Runs one statement and returns the integer it answers with, if any. An error drops the session, which rolls back.
async fn step(
    session: &mut Session<'_>,
    sql: Sql,
    values: Vec<Value<'_>>,
    counts: &Statements,
    timeout: Duration,
) -> Result<i64> {
    let mut answer = 0;
    let statement = Statement::write(Kind::Schema, sql, values);
    let sink: super::statement::Sink<'_> = &mut |row| {
        answer = row.int(0).unwrap_or(0);
        Ok(())
    };
    session.run(&statement, counts, timeout, None, sink).await?;
    Ok(answer)
}

fn pending(all: &'static [Migration], version: i64) -> Result<impl Iterator<Item = &'static Migration>> {
    let newest = all.last().map_or(0, |migration| migration.version);
    if version > newest {
        return Err(StoreError::Newer { version, newest });
    }
    Ok(all.iter().filter(move |migration| migration.version > version))
}
