//! PostgreSQL's own count of what it was asked, which neither the client nor the server under test keeps.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use proofload_reports::run;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection, Row};
use tokio::time::timeout;

use super::{Continued, Counters, Reading, Witness};

/// How long one reading may take.
const WITHIN: Duration = Duration::from_secs(5);

/// Each reading bears this mark, so that it can be told from what is being counted. What begins with `WITH` and changes rows is
/// no select, however it ends.
const READING: &str = "SELECT /* proofload reads its witness */
  coalesce(sum(calls), 0)::bigint AS statements,
  coalesce(sum(rows), 0)::bigint AS rows,
  coalesce(sum(calls) FILTER (WHERE kind = 'select'), 0)::bigint AS selects,
  coalesce(sum(calls) FILTER (WHERE kind = 'insert'), 0)::bigint AS inserts,
  coalesce(sum(calls) FILTER (WHERE kind = 'update'), 0)::bigint AS updates,
  coalesce(sum(calls) FILTER (WHERE kind = 'delete'), 0)::bigint AS deletes,
  (SELECT dealloc FROM pg_stat_statements_info) AS evicted,
  (SELECT xact_commit + xact_rollback FROM pg_stat_database WHERE datname = $1) AS transactions,
  (SELECT xact_rollback FROM pg_stat_database WHERE datname = $1) AS rolled_back,
  (SELECT tup_inserted FROM pg_stat_database WHERE datname = $1) AS rows_inserted
FROM (
  SELECT calls, rows, CASE
    WHEN query ~* '^(insert\\M|with\\M.*\\minsert into\\M)' THEN 'insert'
    WHEN query ~* '^(update\\M|with\\M.*\\mupdate\\M)' THEN 'update'
    WHEN query ~* '^(delete\\M|with\\M.*\\mdelete from\\M)' THEN 'delete'
    WHEN query ~* '^(select|with)\\M' THEN 'select'
  END AS kind
  FROM pg_stat_statements AS s JOIN pg_database AS d ON d.oid = s.dbid
  WHERE d.datname = $1 AND s.query NOT LIKE '%proofload reads its witness%'
) AS statement";

/// The columns of a reading, each a counter `postgres.<column>`.
const COLUMNS: [&str; 10] = [
    "statements",
    "rows",
    "selects",
    "inserts",
    "updates",
    "deletes",
    "evicted",
    "transactions",
    "rolled_back",
    "rows_inserted",
];

/// Counts of one database: `postgres.statements` is every statement that ended well, whoever sent it, but for this
/// witness's own; `postgres.rows` the rows that they returned or changed.
///
/// `postgres.transactions`, `.rolled_back` and `.rows_inserted` hold what failed too, but a session reports them at most once
/// a second, and up to ten seconds late when it is idle: they fit the whole of a run, not its slices.
/// `postgres.evicted` above zero says that statements were forgotten, and the counts are too low.
pub struct Postgres {
    database: String,
    /// From the most to the least wanted.
    options: Vec<PgConnectOptions>,
    connection: Option<PgConnection>,
    counts: [Continued; COLUMNS.len()],
}

impl Postgres {
    /// A witness of the database that `url` names. It reads from the server's `postgres` database where it may, so that its
    /// own transactions are another database's.
    ///
    /// # Errors
    /// If the URL is no URL of a database.
    pub fn of(url: &str) -> Result<Self> {
        let own: PgConnectOptions =
            url.parse().with_context(|| format!("{url} is no URL of a PostgreSQL"))?;
        let own = own.application_name("proofload-witness").disable_statement_logging();
        let database = own.get_database().unwrap_or(own.get_username()).to_owned();
        let options = vec![own.clone().database("postgres"), own];
        Ok(Self { database, options, connection: None, counts: Default::default() })
    }

    async fn read_all(&mut self) -> Result<Counters> {
        let row = match timeout(WITHIN, self.query()).await {
            Ok(Ok(row)) => row,
            failed => {
                // A broken connection is made anew at the next reading.
                self.connection = None;
                failed
                    .context("PostgreSQL did not answer in time")?
                    .context("cannot read PostgreSQL's statistics")?
            }
        };
        let mut counters = Counters::new();
        for (index, (name, count)) in COLUMNS.iter().zip(&mut self.counts).enumerate() {
            let value: Option<i64> = row.try_get(index)?;
            counters.insert(format!("postgres.{name}"), count.advance(value.unwrap_or(0).max(0) as u64));
        }
        Ok(counters)
    }

    async fn query(&mut self) -> Result<sqlx::postgres::PgRow> {
        if self.connection.is_none() {
            self.connection = Some(self.connect().await?);
        }
        let Some(connection) = &mut self.connection else { bail!("no connection") };
        Ok(sqlx::query(READING).bind(&self.database).fetch_one(connection).await?)
    }

    async fn connect(&self) -> Result<PgConnection> {
        let mut reason = None;
        for options in &self.options {
            match try_connect(options).await {
                Ok(connection) => return Ok(connection),
                Err(error) => reason = Some(error),
            }
        }
        Err(reason.expect("there is always one to try")).context(
            "the witness needs the extension: shared_preload_libraries = 'pg_stat_statements', \
             CREATE EXTENSION pg_stat_statements, and the role pg_read_all_stats",
        )
    }
}

async fn try_connect(options: &PgConnectOptions) -> Result<PgConnection> {
    let mut connection = PgConnection::connect_with(options).await?;
    sqlx::query("SELECT /* proofload reads its witness */ 1 FROM pg_stat_statements LIMIT 1")
        .fetch_optional(&mut connection)
        .await?;
    Ok(connection)
}

impl Witness for Postgres {
    fn name(&self) -> &str {
        "postgres"
    }

    fn about(&self) -> run::Witness {
        run::Witness {
            standing: run::Standing::Independent,
            source: "PostgreSQL's pg_stat_statements and pg_stat_database".to_owned(),
        }
    }

    fn read(&mut self) -> Reading<'_> {
        Box::pin(self.read_all())
    }
}
