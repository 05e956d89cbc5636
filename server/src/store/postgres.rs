//! Statements on PostgreSQL, and on what speaks its protocol.

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgQueryResult, PgRow};
use sqlx::query::Query;
use sqlx::{Row as _, postgres};

use super::backend::{Results, TwoLanes, drain};
use super::lanes::{Lanes, Opening};
use super::migrations::Migration;
use super::statement::{Column, Row, Sink, Statement, Value};
use super::{Kind, Result, StoreError, StoreOptions};

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, script: include_str!("migrations/postgres/0001_links.sql") },
    Migration { version: 2, script: include_str!("migrations/postgres/0002_identity.sql") },
    Migration { version: 3, script: include_str!("migrations/postgres/0003_claims_made.sql") },
];

pub(super) fn open(url: &str, options: &StoreOptions) -> Result<TwoLanes<PgConnection>> {
    let connect: PgConnectOptions =
        url.parse().map_err(|error: sqlx::Error| StoreError::Url(error.to_string()))?;
    let connect = connect.application_name("proofload");
    // A statement that we gave up ends on the server too, so that it cannot take effect much later.
    let limit = options.statement_timeout.as_millis().to_string();
    let writing = connect.clone().options([("statement_timeout", limit.as_str())]);
    let lanes =
        |connect, size: usize| Lanes::new(connect, size.max(1), options.acquire_timeout, Opening::AsWeAre);
    Ok(TwoLanes { readers: lanes(connect, options.readers), writers: lanes(writing, options.writers) })
}

pub(super) async fn run(
    connection: &mut PgConnection,
    statement: &Statement<'_>,
    sink: Sink<'_>,
) -> sqlx::Result<u64> {
    drain(results(connection, bind(statement)), PgQueryResult::rows_affected, sink).await
}

#[allow(
    deprecated,
    reason = "one statement a call; this form alone yields rows and the count of changed ones"
)]
fn results<'e>(
    connection: &'e mut PgConnection,
    query: Query<'e, postgres::Postgres, PgArguments>,
) -> Results<'e, PgQueryResult, PgRow> {
    query.fetch_many(connection)
}

fn bind<'a>(statement: &'a Statement<'_>) -> Query<'a, postgres::Postgres, PgArguments> {
    let query = sqlx::query(statement.sql.postgres).persistent(statement.kind != Kind::Schema);
    statement.values.iter().fold(query, |query, value| match value {
        Value::Int(int) => query.bind(*int),
        Value::MaybeInt(int) => query.bind(*int),
        Value::Text(text) => query.bind(*text),
        Value::MaybeText(text) => query.bind(*text),
        Value::Table(columns) => columns.iter().fold(query, |query, column| match column {
            Column::Ints(ints) => query.bind(ints.as_slice()),
            Column::MaybeInts(ints) => query.bind(ints.as_slice()),
            Column::Texts(texts) => query.bind(texts.as_slice()),
        }),
    })
}

impl Row for PgRow {
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
