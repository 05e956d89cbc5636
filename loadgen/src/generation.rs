//! How long it takes to come by a code alone: from a leased block, against drawing one and asking the database.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use proofload_reports::statistics::bootstrap;
use proofload_server::codes::{CODES_PER_SLOT, Codec, PUBLIC_DEFAULT_KEY, Slot};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::Value;
use sqlx::{Connection, PgConnection, SqliteConnection};

/// How many times faster the first way is, with bounds, and where the number comes from.
#[derive(Debug, Clone, PartialEq)]
pub struct Speedup {
    pub value: f64,
    pub low: f64,
    pub high: f64,
    pub source: String,
}

/// A time for one code, in nanoseconds, with bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Each {
    value: f64,
    low: f64,
    high: f64,
}

/// One-sided confidence of each bound of a time. The ratio's bounds take the worst of both, so they are surer than that.
const CONFIDENCE: f64 = 0.975;
const SLOT: Slot = Slot(3);
/// Codes of a block, as many as the server's first has, and how many blocks are timed.
const BLOCK: u64 = 10_000;
const BLOCKS: u64 = 100;
/// Questions of a batch, and how many batches are timed.
const QUESTIONS: u64 = 50;
const BATCHES: u64 = 40;

const CRITERION: &str = "target/criterion/generate";
const MADE: &str = "a leased block";
const DRAWN: &str = "draw and ask";

/// Times both ways on the database at `url`, which the server has filled and leased ids from; nothing in it is changed. Where
/// that is SQLite, Criterion's estimates are taken that `cargo bench` made on SQLite, if they are no older than this program.
///
/// # Errors
/// When the database cannot be asked.
pub fn speedup(url: &str) -> Result<Speedup> {
    let sqlite = url.starts_with("sqlite:");
    let built = std::env::current_exe().and_then(fs::metadata).and_then(|it| it.modified());
    let criterion = of_criterion(Path::new(CRITERION), built.unwrap_or(SystemTime::UNIX_EPOCH));
    if let Some((made, drawn)) = criterion.filter(|_| sqlite) {
        let source = told(made, drawn, "SQLite", "by Criterion, target/criterion/generate");
        return Ok(ratio(drawn, made, source));
    }
    let database = if sqlite { "SQLite" } else { "PostgreSQL" };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (made, drawn) = runtime.block_on(async {
        let mut database = Database::connect(url).await.context("the database cannot be reached")?;
        let made = made(&mut database).await.context("no block can be leased")?;
        let drawn =
            drawn(&mut database).await.context("the database cannot be asked whether codes are free")?;
        Ok::<_, anyhow::Error>((made, drawn))
    })?;
    let source = told(made, drawn, database, "timed by this program: one client, one after the other");
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
    Speedup {
        value: drawn.value / made.value,
        low: drawn.low / made.high,
        high: drawn.high / made.low,
        source,
    }
}

/// The design after: a block is leased once in thousands of codes, and the codes are computed from it.
async fn made(database: &mut Database) -> Result<Each> {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let mut codes = Vec::with_capacity(BLOCK as usize);
    let mut times = Vec::new();
    for block in 0..=BLOCKS {
        let began = Instant::now();
        ensure!(database.lease().await? > 0, "the database knows no stack");
        let ids: Vec<u64> = (block * BLOCK..(block + 1) * BLOCK).map(|n| codec.id(n, SLOT)).collect();
        codes.clear();
        codec.encode_all(&ids, &mut codes);
        black_box(&codes);
        // The first block prepares the statement.
        if block > 0 {
            times.push(began.elapsed());
        }
    }
    Ok(each(times, BLOCK))
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
            false => Database::Postgres(PgConnection::connect(url).await?),
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

fn each(times: Vec<Duration>, codes: u64) -> Each {
    let batches: Vec<(f64, f64)> = times.iter().map(|time| (time.as_nanos() as f64, codes as f64)).collect();
    let found = bootstrap::ratio_of_sums(&batches, CONFIDENCE, bootstrap::RESAMPLES);
    Each { value: found.value, low: found.low, high: found.high }
}

/// What `cargo bench` left in `directory`; estimates from before `built` speak of another program.
fn of_criterion(directory: &Path, built: SystemTime) -> Option<(Each, Each)> {
    Some((estimate(&directory.join(MADE), built)?, estimate(&directory.join(DRAWN), built)?))
}

/// Criterion's mean time for one element, with its two-sided interval of 95 %.
fn estimate(directory: &Path, built: SystemTime) -> Option<Each> {
    let (path, about) = (directory.join("new/estimates.json"), directory.join("new/benchmark.json"));
    if fs::metadata(&path).ok()?.modified().ok()? < built {
        return None;
    }
    let read = |path: &Path| serde_json::from_slice::<Value>(&fs::read(path).ok()?).ok();
    let (estimates, about) = (read(&path)?, read(&about)?);
    let elements = about["throughput"]["Elements"].as_f64().unwrap_or(1.0);
    let (mean, interval) = (&estimates["mean"], &estimates["mean"]["confidence_interval"]);
    let value = |of: &Value| Some(of.as_f64()? / elements);
    Some(Each {
        value: value(&mean["point_estimate"])?,
        low: value(&interval["lower_bound"])?,
        high: value(&interval["upper_bound"])?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leave(directory: &Path, name: &str, mean: f64, elements: u64) {
        let place = directory.join(name).join("new");
        fs::create_dir_all(&place).unwrap();
        let interval = format!(r#"{{"lower_bound":{},"upper_bound":{}}}"#, mean * 0.9, mean * 1.1);
        let text = format!(r#"{{"mean":{{"point_estimate":{mean},"confidence_interval":{interval}}}}}"#);
        fs::write(place.join("estimates.json"), text).unwrap();
        fs::write(place.join("benchmark.json"), format!(r#"{{"throughput":{{"Elements":{elements}}}}}"#))
            .unwrap();
    }

    #[test]
    fn criterions_estimates_are_read_for_one_code_each() {
        let directory = tempfile::tempdir().unwrap();
        let long_ago = SystemTime::UNIX_EPOCH;
        leave(directory.path(), MADE, 100_000.0, 10_000);
        assert_eq!(of_criterion(directory.path(), long_ago), None, "one side alone is no comparison");
        leave(directory.path(), DRAWN, 5_000.0, 1);
        let (made, drawn) = of_criterion(directory.path(), long_ago).unwrap();
        let speedup = ratio(drawn, made, String::new());
        assert_eq!((made.value, drawn.value, speedup.value), (10.0, 5_000.0, 500.0));
        assert!(speedup.low < 500.0 * 0.85 && speedup.high > 500.0 * 1.2, "{speedup:?}");
    }

    #[test]
    fn estimates_of_an_older_build_are_not_taken() {
        let directory = tempfile::tempdir().unwrap();
        leave(directory.path(), MADE, 1.0, 1);
        leave(directory.path(), DRAWN, 1.0, 1);
        let later = SystemTime::now() + Duration::from_secs(60);
        assert_eq!(of_criterion(directory.path(), later), None);
    }

    /// The broken variant: a block of a single code, for each of which there is a commit.
    #[tokio::test]
    async fn a_block_of_many_codes_is_what_makes_them_cheap() {
        let directory = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}?mode=rwc", directory.path().join("links.db").display());
        let mut database = Database::connect(&url).await.unwrap();
        assert!(made(&mut database).await.is_err(), "there is no table of stacks");
        let Database::Sqlite(connection) = &mut database else { unreachable!() };
        for statement in [
            "CREATE TABLE links (id BIGINT PRIMARY KEY)",
            "CREATE TABLE slots (slot BIGINT PRIMARY KEY, stack TEXT, high BIGINT)",
        ] {
            sqlx::query(statement).execute(&mut *connection).await.unwrap();
        }
        assert!(made(&mut database).await.is_err(), "no stack leases");
        let Database::Sqlite(connection) = &mut database else { unreachable!() };
        sqlx::query("INSERT INTO slots VALUES (0, 'rust', 7)").execute(connection).await.unwrap();
        let (made, drawn) = (made(&mut database).await.unwrap(), drawn(&mut database).await.unwrap());
        assert!(made.low > 0.0 && made.low <= made.value && made.value <= made.high, "{made:?}");
        let one_each = Each { value: made.value * BLOCK as f64, low: made.low, high: made.high };
        assert!(ratio(drawn, one_each, String::new()).value < 10.0, "{drawn:?} {one_each:?}");
    }
}
