//! How long it takes to come by a code alone: from a leased block, against drawing one and asking the database.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use proofload_server::codes::{CODES_PER_SLOT, Codec, PUBLIC_DEFAULT_KEY, Slot};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use sqlx::{Connection, PgConnection, SqliteConnection};

use crate::criterion::{Criterion, Each};
use crate::services::postgres::connect;

/// How many times faster the first way is, with bounds, and where the number comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Speedup {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub source: String,
}

/// Of the standard normal, for a one-sided confidence of 97.5 % of each bound of a time. The ratio's bounds take the worst of
/// both, so they are surer than that.
const QUANTILE: f64 = 1.96;
const SLOT: Slot = Slot(3);
/// Codes of a block, as many as the server's first has, and how many blocks are timed.
const BLOCK: u64 = 10_000;
const BLOCKS: u64 = 100;
/// Questions of a batch, and how many batches are timed.
const QUESTIONS: u64 = 50;
const BATCHES: u64 = 40;

/// Times both ways on the database at `url`, which the server has filled and leased ids from; nothing in it is changed. Where
/// that is SQLite, Criterion's estimates are taken that `cargo bench` made on SQLite, if they are no older than this program.
///
/// # Errors
/// When the database cannot be asked.
pub fn speedup(url: &str) -> Result<Speedup> {
    let sqlite = url.starts_with("sqlite:");
    if let Some((made, drawn)) = Criterion::left().codes().filter(|_| sqlite) {
        let source = told(made, drawn, "SQLite", "by Criterion, target/criterion/generate");
        return Ok(ratio(drawn, made, source));
    }
    let database = if sqlite { "SQLite" } else { "PostgreSQL" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (made, drawn) = runtime.block_on(async {
        let mut database = Database::connect(url).await.context("the database cannot be reached")?;
        let made = made(&mut database, BLOCK).await.context("no block can be leased")?;
        let drawn =
            drawn(&mut database).await.context("the database cannot be asked whether codes are free")?;
        Ok::<_, anyhow::Error>((made, drawn))
    })?;
    let source =
        told(made, drawn, database, "medians, timed by this program: one client, one after the other");
    Ok(ratio(drawn, made, source))
}

fn told(made: Each, drawn: Each, database: &str, source: &str) -> String {
    format!(
        "{:.4} µs ({:.4} to {:.4}) for a code of a block of 10,000, the lease's commit included; {:.2} µs ({:.2} to {:.2}) to draw one and ask {database} \
         whether it is free; {source}",
        made.value / 1e3,
        made.low / 1e3,
        made.high / 1e3,
        drawn.value / 1e3,
        drawn.low / 1e3,
        drawn.high / 1e3,
    )
}

fn ratio(drawn: Each, made: Each, source: String) -> Speedup {
    let Each { value, low, high } = drawn.over(made);
    Speedup { value, low, high, source }
}

/// The design after: a block is leased once in so many codes, and the codes are computed from it.
async fn made(database: &mut Database, each_block: u64) -> Result<Each> {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let mut codes = Vec::with_capacity(each_block as usize);
    let mut times = Vec::new();
    for block in 0..=BLOCKS {
        let began = Instant::now();
        ensure!(database.lease().await? > 0, "the database knows no stack");
        let ids: Vec<u64> =
            (block * each_block..(block + 1) * each_block).map(|n| codec.id(n, SLOT)).collect();
        codes.clear();
        codec.encode_all(&ids, &mut codes);
        black_box(&codes);
        // The first block prepares the statement.
        if block > 0 {
            times.push(began.elapsed());
        }
    }
    Ok(each(times, each_block))
}

/// The design before: each code is drawn, and the database asked whether it is free.
async fn drawn(database: &mut Database) -> Result<Each> {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let mut random = Pcg64Mcg::seed_from_u64(1);
    let mut times = Vec::new();
    for batch in 0..=BATCHES {
        let began = Instant::now();
        for _ in 0..QUESTIONS {
            let id = codec.id(random.random_range(0..CODES_PER_SLOT), SLOT);
            black_box(database.is_taken(id as i64).await?);
        }
        if batch > 0 {
            times.push(began.elapsed());
        }
    }
    Ok(each(times, QUESTIONS))
}

enum Database {
    Sqlite(SqliteConnection),
    Postgres(PgConnection),
}

impl Database {
    async fn connect(url: &str) -> sqlx::Result<Self> {
        Ok(match url.starts_with("sqlite:") {
            true => Database::Sqlite(SqliteConnection::connect(url).await?),
            false => Database::Postgres(connect(url).await?),
        })
    }

    /// What a lease costs: one row written and committed, with the values that it had. Returns how many there were.
    async fn lease(&mut self) -> sqlx::Result<u64> {
        const LEASE: &str = "UPDATE slots SET high = high WHERE slot = (SELECT MIN(slot) FROM slots)";
        Ok(match self {
            Database::Sqlite(it) => sqlx::query(LEASE).execute(it).await?.rows_affected(),
            Database::Postgres(it) => sqlx::query(LEASE).execute(it).await?.rows_affected(),
        })
    }

    async fn is_taken(&mut self, id: i64) -> sqlx::Result<bool> {
        const QUESTION: &str = "SELECT 1 FROM links WHERE id = $1";
        Ok(match self {
            Database::Sqlite(it) => sqlx::query(QUESTION).bind(id).fetch_optional(it).await?.is_some(),
            Database::Postgres(it) => sqlx::query(QUESTION).bind(id).fetch_optional(it).await?.is_some(),
        })
    }
}

/// The median of the times, and the two of them between which it lies by order statistics, whatever they are drawn from: one
/// that something else on the machine spoiled says nothing of the others.
fn each(mut times: Vec<Duration>, codes: u64) -> Each {
    times.sort_unstable();
    let count = times.len() as f64;
    // Ranks by the binomial's normal approximation, to the outer side.
    let reach = QUANTILE * count.sqrt() / 2.0;
    let at = |rank: f64| times[(rank as usize).min(times.len() - 1)].as_nanos() as f64 / codes as f64;
    Each {
        value: at(count / 2.0),
        low: at((count / 2.0 - reach - 1.0).floor().max(0.0)),
        high: at((count / 2.0 + reach).ceil()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_that_was_spoiled_says_nothing_of_the_others() {
        let mut times: Vec<Duration> = (1..=40).map(|n| Duration::from_micros(100 + n)).collect();
        times[39] = Duration::from_secs(5);
        let found = each(times, 50);
        assert_eq!((found.low, found.value, found.high), (2_260.0, 2_420.0, 2_560.0));
    }

    /// The broken variant: a block of a single code, for each of which there is a commit.
    #[tokio::test]
    async fn a_block_of_many_codes_is_what_makes_them_cheap() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("links.db").display());
        let mut database = Database::connect(&url).await.unwrap();
        assert!(made(&mut database, BLOCK).await.is_err(), "there is no table of stacks");
        let Database::Sqlite(connection) = &mut database else { unreachable!() };
        for statement in [
            "CREATE TABLE links (id BIGINT PRIMARY KEY)",
            "CREATE TABLE slots (slot BIGINT PRIMARY KEY, stack TEXT, high BIGINT)",
        ] {
            sqlx::query(statement).execute(&mut *connection).await.unwrap();
        }
        assert!(made(&mut database, BLOCK).await.is_err(), "no stack leases");
        let Database::Sqlite(connection) = &mut database else { unreachable!() };
        sqlx::query("INSERT INTO slots VALUES (0, 'rust', 7)").execute(connection).await.unwrap();
        let drawn = drawn(&mut database).await.unwrap();
        let speedup = async |database: &mut Database, each_block| {
            let made = made(database, each_block).await.unwrap();
            assert!(made.low > 0.0 && made.low <= made.value && made.value <= made.high, "{made:?}");
            ratio(drawn, made, String::new())
        };
        let (many, one) = (speedup(&mut database, BLOCK).await, speedup(&mut database, 1).await);
        assert!(many.value > 10.0 && one.high < 10.0, "{many:?} {one:?}");
    }
}
