//! Statements on PostgreSQL, and on what speaks its protocol.

use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgQueryResult, PgRow};
use sqlx::query::Query;
use sqlx::{Row as _, postgres};

use super::backend::{Results, ThreeLanes, WARM_TIMEOUT, drain};
use super::lanes::{Lanes, Opening};
use super::migrations::Migration;
use super::statement::{Column, Row, Sink, Statement, Value};
use super::{Kind, Result, StoreError, StoreOptions};

pub(super) const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, script: include_str!("migrations/postgres/0001_links.sql") },
    Migration { version: 2, script: include_str!("migrations/postgres/0002_identity.sql") },
    Migration { version: 3, script: include_str!("migrations/postgres/0003_claims_made.sql") },
];

pub(super) fn open(url: &str, options: &StoreOptions) -> Result<ThreeLanes<PgConnection>> {
    let connect: PgConnectOptions =
        url.parse().map_err(|error: sqlx::Error| StoreError::Url(error.to_string()))?;
    let connect = durable(connect.application_name("proofload").disable_statement_logging());
    // A statement that we gave up ends on the server too: it can neither take effect much later, nor keep a connection
    // there that nobody here counts any more. Where we gave up sooner than that, the server finds us gone.
    let lanes = |size: usize, timeout: Duration| {
        let limited = connect.clone().options([("statement_timeout", timeout.as_millis().to_string())]);
        let watching = limited.clone().options([("client_connection_check_interval", "1000")]);
        let lanes = Lanes::new(watching, size.max(1), options.acquire_timeout, Opening::AsWeAre);
        lanes.or_else(limited, is_unknown_setting)
    };
    let timeout = options.statement_timeout;
    Ok(ThreeLanes {
        readers: lanes(options.readers, timeout),
        warmers: lanes(1, timeout.max(WARM_TIMEOUT)),
        writers: lanes(options.writers, timeout),
    })
}

/// What is committed is on disk: a database, or a role, may be set to tell of a commit before that. Who wants more than this,
/// or less, says so in the URL.
fn durable(options: PgConnectOptions) -> PgConnectOptions {
    const SETTING: &str = "synchronous_commit";
    let is_said = options.get_options().is_some_and(|said| said.contains(SETTING));
    if is_said { options } else { options.options([(SETTING, "on")]) }
}

/// PostgreSQL before 14 does not know `client_connection_check_interval` (42704), and on some systems cannot have it (22023).
fn is_unknown_setting(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| ["42704", "22023"].contains(&code.as_ref()))
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
