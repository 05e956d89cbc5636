//! Statements on SQLite: one writer, a few readers, every commit synced to disk.

use serde_json::Value as Json;
use sqlx::query::Query;
use sqlx::sqlite::{
    self, SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteQueryResult,
    SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions, Row as _};

use super::backend::{Results, ThreeLanes, drain};
use super::lanes::{Lanes, Opening};
use super::migrations::Migration;
use super::statement::{Column, Row, Sink, Statement, Value};
use super::{Kind, Result, StoreError, StoreOptions};

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, script: include_str!("migrations/sqlite/0001_links.sql") },
    Migration { version: 2, script: include_str!("migrations/sqlite/0002_identity.sql") },
    Migration { version: 3, script: include_str!("migrations/sqlite/0003_claims_made.sql") },
];

/// More readers than this gain nothing: each is a thread of its own.
const MOST_READERS: usize = 4;

pub(super) fn open(url: &str, options: &StoreOptions) -> Result<ThreeLanes<SqliteConnection>> {
    let path = url.trim_start_matches("sqlite:").trim_start_matches("//");
    if path.is_empty() || path.starts_with(":memory:") {
        return Err(StoreError::Url("sqlite: needs the path of a file, as in sqlite:links.db".into()));
    }
    // The busy time-out is for other processes on the same file: within this one the single writer takes turns.
    let writer = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(options.statement_timeout)
        .row_buffer_size(1_000)
        .disable_statement_logging();
    let reader = writer.clone().create_if_missing(false).pragma("query_only", "ON");
    let readers = options.readers.clamp(1, MOST_READERS);
    // The writer shares our cores: a flush of clicks is tens of milliseconds of work, which no redirect should wait for.
    Ok(ThreeLanes {
        warmers: Lanes::new(reader.clone(), 1, options.acquire_timeout, Opening::AsWeAre),
        readers: Lanes::new(reader, readers, options.acquire_timeout, Opening::AsWeAre),
        writers: Lanes::new(writer, 1, options.acquire_timeout, Opening::Humbly),
    })
}

pub(super) async fn run(
    connection: &mut SqliteConnection,
    statement: &Statement<'_>,
    sink: Sink<'_>,
) -> sqlx::Result<u64> {
    drain(results(connection, bind(statement)), SqliteQueryResult::rows_affected, sink).await
}

#[allow(
    deprecated,
    reason = "one statement a call; this form alone yields rows and the count of changed ones"
)]
fn results<'e>(
    connection: &'e mut SqliteConnection,
    query: Query<'e, sqlite::Sqlite, SqliteArguments>,
) -> Results<'e, SqliteQueryResult, SqliteRow> {
    query.fetch_many(connection)
}

fn bind<'a>(statement: &'a Statement<'_>) -> Query<'a, sqlite::Sqlite, SqliteArguments> {
    let query = sqlx::query(statement.sql.sqlite).persistent(statement.kind != Kind::Schema);
    statement.values.iter().fold(query, |query, value| match value {
        Value::Int(int) => query.bind(*int),
        Value::MaybeInt(int) => query.bind(*int),
        Value::Text(text) => query.bind(*text),
        Value::MaybeText(text) => query.bind(*text),
        Value::Table(columns) => query.bind(json_rows(columns)),
    })
}

/// `[[1,"a"],[2,"b"]]` of two columns, `[1,2]` of one.
fn json_rows(columns: &[Column<'_>]) -> String {
    let cell = |column: &Column<'_>, row: usize| match column {
        Column::Ints(ints) => Json::from(ints[row]),
        Column::MaybeInts(ints) => Json::from(ints[row]),
        Column::Texts(texts) => Json::from(texts[row]),
    };
    let rows = 0..columns.first().map_or(0, Column::len);
    let json: Vec<Json> = match columns {
        [column] => rows.map(|row| cell(column, row)).collect(),
        _ => rows.map(|row| columns.iter().map(|column| cell(column, row)).collect()).collect(),
    };
    Json::Array(json).to_string()
}

impl Row for SqliteRow {
    fn int(&self, column: usize) -> sqlx::Result<i64> {
        self.try_get(column)
    }

    fn maybe_int(&self, column: usize) -> sqlx::Result<Option<i64>> {
        self.try_get(column)
    }

    fn text(&self, column: usize) -> sqlx::Result<&str> {
        self.try_get(column)
    }

    fn maybe_text(&self, column: usize) -> sqlx::Result<Option<&str>> {
        self.try_get(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_become_rows() {
        let texts = Column::Texts(vec!["a", "b\"c"]);
        let table = [Column::Ints(vec![1, 2]), texts, Column::MaybeInts(vec![None, Some(3)])];
        assert_eq!(json_rows(&table), r#"[[1,"a",null],[2,"b\"c",3]]"#);
        assert_eq!(json_rows(&[Column::Ints(vec![5, 6])]), "[5,6]");
    }
}
