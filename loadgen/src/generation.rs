//! How long it takes to come by a code alone: from a leased block, against drawing one and asking the database.

use std::fs;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result};
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
/// Codes of a block, and how many blocks are timed.
const BLOCK: u64 = 2_000;
const BLOCKS: u64 = 400;
/// Questions of a batch, and how many batches are timed.
const QUESTIONS: u64 = 50;
const BATCHES: u64 = 40;

const CRITERION: &str = "target/criterion/generate";
const MADE: &str = "a leased block";
const DRAWN: &str = "draw and ask";

/// Takes Criterion's estimates where `cargo bench` left some that are no older than this program, and times both ways here
/// where it did not. The database at `url` is one that the server has filled; it is only read.
///
/// # Errors
/// When the database cannot be asked.
pub fn speedup(url: &str) -> Result<Speedup> {
    let built = std::env::current_exe().and_then(fs::metadata).and_then(|it| it.modified());
    if let Some((made, drawn)) = of_criterion(Path::new(CRITERION), built.unwrap_or(SystemTime::UNIX_EPOCH)) {
        let source = told(made, drawn, "SQLite", "by Criterion, target/criterion/generate");
        return Ok(ratio(drawn, made, source));
    }
    let database = if url.starts_with("sqlite:") { "SQLite" } else { "PostgreSQL" };
    let (made, drawn) = (made(), drawn(url)?);
    let source = told(made, drawn, database, "timed by this program: one client, one after the other");
    Ok(ratio(drawn, made, source))
}

fn told(made: Each, drawn: Each, database: &str, source: &str) -> String {
    format!(
        "{:.4} µs ({:.4} to {:.4}) for a code of a leased block; {:.2} µs ({:.2} to {:.2}) to draw one and ask {database} \
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
fn made() -> Each {
    let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
    let mut codes = Vec::with_capacity(BLOCK as usize);
    let block = |block: u64| {
        let ids: Vec<u64> = (block * BLOCK..(block + 1) * BLOCK).map(|n| codec.id(n, SLOT)).collect();
        codes.clear();
        codec.encode_all(&ids, &mut codes);
        black_box(&codes);
    };
    each((0..BLOCKS).map(timed(block)).collect(), BLOCK)
}

/// The design before: each code is drawn, and the database asked whether it is free.
fn drawn(url: &str) -> Result<Each> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let times = runtime.block_on(async {
        let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
        let mut random = Pcg64Mcg::seed_from_u64(1);
        let mut database = Database::connect(url).await?;
        let mut times = Vec::new();
        for batch in 0..=BATCHES {
            let began = Instant::now();
            for _ in 0..QUESTIONS {
                let id = codec.id(random.random_range(0..CODES_PER_SLOT), SLOT);
                black_box(database.is_taken(id as i64).await?);
            }
            // The first batch prepares the statement.
            if batch > 0 {
                times.push(began.elapsed());
            }
        }
        Ok::<_, sqlx::Error>(times)
    });
    Ok(each(times.context("the database cannot be asked whether codes are free")?, QUESTIONS))
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

    async fn is_taken(&mut self, id: i64) -> sqlx::Result<bool> {
        const QUESTION: &str = "SELECT 1 FROM links WHERE id = $1";
        Ok(match self {
            Database::Sqlite(it) => sqlx::query(QUESTION).bind(id).fetch_optional(it).await?.is_some(),
            Database::Postgres(it) => sqlx::query(QUESTION).bind(id).fetch_optional(it).await?.is_some(),
        })
    }
}

fn timed(mut work: impl FnMut(u64)) -> impl FnMut(u64) -> Duration {
    move |number| {
        let began = Instant::now();
        work(number);
        began.elapsed()
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

    #[test]
    fn a_code_of_a_block_takes_some_time_and_less_than_a_millisecond() {
        let made = made();
        assert!(made.low > 0.0 && made.low <= made.value && made.value <= made.high, "{made:?}");
        assert!(made.value < 1e6);
    }
}
