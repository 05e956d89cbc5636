//! Running one statement on either database, within its time, counted.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use sqlx::postgres::{PgConnection, PgDatabaseError, PgSeverity};
use sqlx::sqlite::SqliteConnection;
use sqlx::{Connection, Either};
use tokio::time::Instant;

use super::lanes::{Lanes, Loan, LoanError};
use super::migrations::Migration;
use super::statement::{Lane, Row, Sink, Statement};
use super::statements::Statements;
use super::{Kind, Result, StoreError, StoreOptions, postgres, sqlite};

/// Reading the links to warm a cache with may take longer than any other statement.
pub(super) const WARM_TIMEOUT: Duration = Duration::from_secs(60);

/// The rows of a statement, and after them how many it changed.
pub(super) type Results<'e, Q, R> = Pin<Box<dyn Stream<Item = sqlx::Result<Either<Q, R>>> + Send + 'e>>;

/// The databases the store knows: a closed set.
pub(super) enum Backend {
    Postgres(ThreeLanes<PgConnection>),
    Sqlite(ThreeLanes<SqliteConnection>),
}

pub(super) struct ThreeLanes<C: Connection> {
    pub(super) readers: Lanes<C>,
    /// One connection, whose statements may take longer.
    pub(super) warmers: Lanes<C>,
    pub(super) writers: Lanes<C>,
}

/// One connection, for several statements in a row.
pub(super) enum Session<'a> {
    Postgres(Loan<'a, PgConnection>),
    Sqlite(Loan<'a, SqliteConnection>),
}

impl Backend {
    pub(super) fn open(url: &str, options: &StoreOptions) -> Result<Backend> {
        match url.split(':').next().unwrap_or_default() {
            "postgres" | "postgresql" => postgres::open(url, options).map(Backend::Postgres),
            "sqlite" => sqlite::open(url, options).map(Backend::Sqlite),
            _ => Err(StoreError::Url(format!("{url:?} begins neither with postgres:// nor with sqlite:"))),
        }
    }

    pub(super) async fn session(&self, lane: Lane, deadline: Option<Instant>) -> Result<Session<'_>> {
        match self {
            Backend::Postgres(lanes) => lend(lanes.of(lane), deadline).await.map(Session::Postgres),
            Backend::Sqlite(lanes) => lend(lanes.of(lane), deadline).await.map(Session::Sqlite),
        }
    }

    /// Closes all idle connections: after one of them failed, the rest are likely as dead.
    pub(super) fn forget_idle(&self) {
        match self {
            Backend::Postgres(lanes) => lanes.forget_idle(),
            Backend::Sqlite(lanes) => lanes.forget_idle(),
        }
    }

    pub(super) fn migrations(&self) -> &'static [Migration] {
        match self {
            Backend::Postgres(_) => postgres::MIGRATIONS,
            Backend::Sqlite(_) => sqlite::MIGRATIONS,
        }
    }
}

impl<C: Connection + 'static> ThreeLanes<C> {
    fn of(&self, lane: Lane) -> &Lanes<C> {
        match lane {
            Lane::Read => &self.readers,
            Lane::Warm => &self.warmers,
            Lane::Write => &self.writers,
        }
    }

    fn forget_idle(&self) {
        self.readers.forget_idle();
        self.warmers.forget_idle();
        self.writers.forget_idle();
    }
}

impl Session<'_> {
    /// Runs a statement, hands its rows to `sink`, and returns how many rows it changed or returned. Counts it, bounds
    /// its time and sorts its errors.
    pub(super) async fn run(
        &mut self,
        statement: &Statement<'_>,
        counts: &Statements,
        timeout: Duration,
        deadline: Option<Instant>,
        sink: Sink<'_>,
    ) -> Result<u64> {
        let timeout = if statement.kind == Kind::Warm { timeout.max(WARM_TIMEOUT) } else { timeout };
        let limit = Instant::now() + timeout;
        let until = deadline.map_or(limit, |deadline| deadline.min(limit));
        let sent = counts.sent(statement.kind);
        let run = async {
            match self {
                Session::Postgres(loan) => postgres::run(&mut loan.connection, statement, sink).await,
                Session::Sqlite(loan) => sqlite::run(&mut loan.connection, statement, sink).await,
            }
        };
        let affected = match tokio::time::timeout_at(until, run).await {
            Ok(outcome) => outcome.map_err(sorted)?,
            Err(_) => return Err(StoreError::Unavailable("no answer in time".into())),
        };
        sent.worked();
        Ok(affected)
    }

    /// Gives the connection back. Dropping the session closes it instead.
    pub(super) fn keep(self) {
        match self {
            Session::Postgres(loan) => loan.keep(),
            Session::Sqlite(loan) => loan.keep(),
        }
    }
}

/// Takes a result stream to its end, where alone the statement is committed.
pub(super) async fn drain<Q, R: Row>(
    mut results: Results<'_, Q, R>,
    affected: fn(&Q) -> u64,
    sink: Sink<'_>,
) -> sqlx::Result<u64> {
    let mut rows = 0;
    while let Some(item) = poll_fn(|context| results.as_mut().poll_next(context)).await {
        match item? {
            Either::Left(result) => rows += affected(&result),
            Either::Right(row) => sink(&row)?,
        }
    }
    Ok(rows)
}

async fn lend<C, O>(lanes: &Lanes<C>, deadline: Option<Instant>) -> Result<Loan<'_, C>>
where
    C: Connection<Options = O> + 'static,
    O: sqlx::ConnectOptions<Connection = C>,
{
    lanes.lend(deadline).await.map_err(|error| match error {
        LoanError::Busy => StoreError::Busy(lanes.size()),
        LoanError::Connect(why) => StoreError::Unreachable(why),
    })
}

/// A statement that the database refused had no effect; after any other failure its effect is unknown.
fn sorted(error: sqlx::Error) -> StoreError {
    let text = error.to_string();
    let sqlx::Error::Database(answer) = &error else {
        return match error {
            sqlx::Error::Encode(_) => StoreError::BadRow(text),
            _ => StoreError::Unavailable(text),
        };
    };
    match answer.try_downcast_ref::<PgDatabaseError>() {
        Some(answer) => sorted_postgres(answer, text),
        None => sorted_sqlite(&answer.code().unwrap_or_default(), text),
    }
}

/// A refusal is an answer of the database itself, on a session that goes on. What ends the session (FATAL; class 57P is a server
/// that shuts down) or is about the connection (class 08, also from a pooler in between) says nothing of the statement, nor does
/// 40003. 23505 is a unique violation, 25006 a standby; classes 22 and 23 are about the values.
fn sorted_postgres(answer: &PgDatabaseError, text: String) -> StoreError {
    let is_fatal = matches!(answer.severity(), PgSeverity::Fatal | PgSeverity::Panic);
    match answer.code() {
        code if is_fatal || code.starts_with("57P") || code.starts_with("08") => {
            StoreError::Unavailable(text)
        }
        "40003" => StoreError::Unavailable(text),
        "25006" => StoreError::ReadOnly(text),
        "23505" => StoreError::Taken(text),
        code if code.starts_with("22") || code.starts_with("23") => StoreError::BadRow(text),
        "40P01" | "40001" => StoreError::Contended(text),
        _ => StoreError::Refused(text),
    }
}

/// 1555 and 2067 are primary key and unique violations. The lowest byte is the primary result code: 18 too big, 19 a constraint, 20 a mismatch, 5 and 6 locked.
fn sorted_sqlite(code: &str, text: String) -> StoreError {
    let code = code.parse::<u32>().unwrap_or_default();
    match code & 0xff {
        _ if code == 1_555 || code == 2_067 => StoreError::Taken(text),
        18..=20 => StoreError::BadRow(text),
        5 | 6 => StoreError::Contended(text),
        _ => StoreError::Refused(text),
    }
}
