//! Checks that settings are sound and fit together.

use anyhow::{Context, bail, ensure};
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use std::time::Duration;

use super::{Config, Design, ServeArgs, Switch, WarmDesign, Warmth, check_ranges};
use crate::cache::table::Capacity;
use crate::codes::{Key128, PUBLIC_DEFAULT_KEY};
use crate::creator::{CodeDesign, CreatorOptions, InsertDesign};
use crate::http::Proxies;
use crate::keygen::MOST_IDS;
use crate::store::StoreError;

/// No server that answers anyone needs more, and a typing error should not start a million threads.
const MOST_THREADS: usize = 1024;
const DEFAULT_CACHE_BYTES: usize = 256 << 20;
const MOST_CACHE_BYTES: usize = 1 << 40;
/// A thousand times what the cache is meant for.
const MOST_LINKS: usize = 1_000_000_000;
/// They are drawn by one statement, which carries as many numbers.
const MOST_RANDOM: usize = 1_000_000;
/// A lease has no more.
const MOST_POOLED: usize = MOST_IDS as usize;
const A_DAY: u64 = 86_400;

impl ServeArgs {
    /// Checks the settings; each error names the flag and what would do.
    pub fn check(self) -> anyhow::Result<Config> {
        let creator = self.creator()?;
        let warmth = self.warmth()?;
        let capacity = self.capacity()?;
        let cache_max_age = self.cache_max_age()?;
        let redis_time_to_live = self.redis_time_to_live()?;
        let threads = self.threads()?;
        self.limits.check()?;
        ensure!(
            [301, 302, 307, 308].contains(&self.redirect_status),
            "--redirect-status {}: must be 301, 302, 307 or 308",
            self.redirect_status
        );
        let public_url = self.public_url.as_deref().map(check_public_url).transpose()?;
        check_database_url(&self.database_url)?;
        self.redis_url.as_deref().map(check_redis_url).transpose()?;
        self.keygen_url.as_deref().map(check_keygen_url).transpose()?;
        let api_key = self.api_key.or_else(|| std::env::var("PROOFLOAD_API_KEY").ok());
        let code_key = self.code_key.map_or_else(code_key_from_environment, Ok)?;
        ensure!(api_key.as_deref() != Some(""), "--api-key is empty: give a key, or leave the flag out");
        ensure!(
            self.rate_limit != Some(0),
            "--rate-limit 0 would refuse all writes: give at least 1, or leave it out"
        );
        Ok(Config {
            listen: self.listen,
            database_url: self.database_url,
            redis_url: self.redis_url,
            keygen_url: self.keygen_url,
            stack: self.stack,
            creator,
            warmth,
            capacity,
            cache_max_age,
            redis_time_to_live,
            threads,
            public_url,
            redirect_status: self.redirect_status,
            code_key,
            api_key,
            rate_limit: self.rate_limit,
            proxies: Proxies::new(self.trusted_proxies),
            limits: self.limits,
        })
    }

    fn creator(&self) -> anyhow::Result<CreatorOptions> {
        let (codes, insert, pool) = match self.design {
            Design::Before => (CodeDesign::Checked, InsertDesign::Single, 0),
            Design::After => (CodeDesign::Blocks, InsertDesign::Coalesced, 2_000),
        };
        let pool = self.pool.unwrap_or(pool);
        check_ranges(&[("--pool", pool, 0..=MOST_POOLED)])?;
        ensure!(self.spacing_ms <= 1_000, "--spacing-ms {}: at most 1000", self.spacing_ms);
        let (least, most) = (self.block_ids, self.max_block_ids);
        ensure!((1..=MOST_IDS).contains(&most), "--max-block-ids {most}: 1 to {MOST_IDS}");
        ensure!((1..=most).contains(&least), "--block-ids {least}: 1 to --max-block-ids, {most}");
        Ok(CreatorOptions {
            codes: self.codes.unwrap_or(codes),
            insert: self.insert.unwrap_or(insert),
            pool,
            spacing: Duration::from_millis(self.spacing_ms),
            queue_rows: self.limits.queue,
            block_ids: least..=most,
            patience: self.limits.store_timeout(),
            batch_rows: self.limits.batch,
            writers: self.limits.inserts,
            ..CreatorOptions::default()
        })
    }

    fn warmth(&self) -> anyhow::Result<Warmth> {
        let (hot, random) = match self.design {
            Design::Before => (5_000, 0),
            Design::After => (25_000, 2_000),
        };
        let (hot, random) = (self.warm_hot.unwrap_or(hot), self.warm_random.unwrap_or(random));
        check_ranges(&[("--warm-hot", hot, 0..=MOST_LINKS), ("--warm-random", random, 0..=MOST_RANDOM)])?;
        Ok(match self.warm.unwrap_or(WarmDesign::Hot) {
            WarmDesign::None => Warmth { hot: 0, random: 0 },
            WarmDesign::Hot => Warmth { hot, random },
        })
    }

    fn capacity(&self) -> anyhow::Result<Capacity> {
        let bytes = self.cache_bytes.unwrap_or(DEFAULT_CACHE_BYTES);
        let entries = self.cache_entries.unwrap_or(1);
        check_ranges(&[
            ("--cache-entries", entries, 1..=MOST_LINKS),
            ("--cache-bytes", bytes, 65_536..=MOST_CACHE_BYTES),
        ])?;
        Ok(self.cache_entries.map_or(Capacity::Bytes(bytes), Capacity::Entries))
    }

    fn cache_max_age(&self) -> anyhow::Result<Option<Duration>> {
        let Some(seconds) = self.cache_max_age else { return Ok(None) };
        ensure!((1..=A_DAY).contains(&seconds), "--cache-max-age {seconds}: give 1 to {A_DAY} (a day)");
        Ok(Some(Duration::from_secs(seconds)))
    }

    fn redis_time_to_live(&self) -> anyhow::Result<Option<Duration>> {
        let seconds = self.redis_ttl;
        ensure!((1..=A_DAY).contains(&seconds), "--redis-ttl {seconds}: give 1 to {A_DAY} (a day)");
        let by_design = match self.design {
            Design::Before => Switch::Off,
            Design::After => Switch::On,
        };
        let is_on = self.redis_values.unwrap_or(by_design) == Switch::On && self.redis_url.is_some();
        Ok(is_on.then(|| Duration::from_secs(seconds)))
    }

    fn threads(&self) -> anyhow::Result<usize> {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = self.threads.unwrap_or_else(cores);
        ensure!((1..=MOST_THREADS).contains(&threads), "--threads {threads}: give 1 to {MOST_THREADS}");
        Ok(threads)
    }
}

/// Secrets may come by the environment, since other users can read a command line.
fn code_key_from_environment() -> anyhow::Result<Key128> {
    match std::env::var("PROOFLOAD_CODE_KEY") {
        Ok(hex) => hex.parse().context("PROOFLOAD_CODE_KEY"),
        Err(_) => Ok(PUBLIC_DEFAULT_KEY),
    }
}

fn check_public_url(text: &str) -> anyhow::Result<String> {
    let trimmed = text.trim_end_matches('/');
    let url = url::Url::parse(trimmed)
        .with_context(|| format!("--public-url {text}: give one like https://sho.rt"))?;
    let plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
    ensure!(
        matches!(url.scheme(), "http" | "https") && url.has_host() && plain,
        "--public-url {text}: give a scheme, a host and at most a path, like https://sho.rt"
    );
    Ok(trimmed.to_owned())
}

pub(crate) fn check_database_url(url: &str) -> anyhow::Result<()> {
    let known = ["postgres://", "postgresql://", "sqlite:"];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        bail!("--database-url: give postgres://USER@HOST/DATABASE or sqlite:PATH");
    }
    ensure!(
        url.starts_with("sqlite:") || !asks_for_tls(url),
        "--database-url: connections to PostgreSQL are in clear, there is no TLS: leave sslmode (or PGSSLMODE) out, and name \
         a tunnel or a sidecar on loopback"
    );
    Ok(())
}

/// As SQLx reads it, which heeds the environment, too. What it cannot read it tells when it connects.
fn asks_for_tls(url: &str) -> bool {
    let mode = url.parse::<PgConnectOptions>().map(|options| options.get_ssl_mode());
    matches!(mode, Ok(PgSslMode::Require | PgSslMode::VerifyCa | PgSslMode::VerifyFull))
}

/// What was opened at a `--database-url`, or what would help.
pub(crate) fn at_database<T>(url: &str, opened: Result<T, StoreError>) -> anyhow::Result<T> {
    let error = match opened {
        Ok(opened) => return Ok(opened),
        Err(error) => error,
    };
    if let StoreError::Newer { .. } = error {
        bail!("--database-url: {error}: use the binary that last used it, or a newer one");
    }
    // A PostgreSQL URL may hold a password, and is not repeated.
    if url.starts_with("sqlite:") {
        bail!("--database-url {url}: {error}: name a file that can be written, in a directory that exists");
    }
    match &error {
        StoreError::Unreachable(why) if why.contains("does not exist") => {
            bail!("--database-url: {error}: create that, or name another")
        }
        StoreError::Unreachable(_) | StoreError::Unavailable(_) => {
            bail!("--database-url: {error}: start PostgreSQL there, or correct host and port")
        }
        StoreError::ReadOnly(_) => bail!("--database-url: {error}: name the primary"),
        _ => bail!(
            "--database-url: {error}: give postgres://USER@HOST/DATABASE, of a user who may create tables"
        ),
    }
}

pub(crate) fn check_redis_url(url: &str) -> anyhow::Result<()> {
    ensure!(
        !url.starts_with("rediss://"),
        "--redis-url: connections to Redis are in clear, there is no TLS: give redis://HOST:PORT of a tunnel or a sidecar on \
         loopback"
    );
    let known = ["redis://", "unix://", "redis+unix://"];
    let is_url = known.iter().any(|scheme| url.len() > scheme.len() && url.starts_with(scheme))
        && redis::Client::open(url).is_ok();
    // It may hold a password, and is not repeated.
    ensure!(is_url, "--redis-url: give redis://HOST:PORT or unix://PATH");
    Ok(())
}

/// The host and port of a keygen URL.
pub(crate) fn check_keygen_url(text: &str) -> anyhow::Result<String> {
    let url = url::Url::parse(text).ok().filter(|url| {
        let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        url.scheme() == "http" && is_bare && url.username().is_empty() && url.password().is_none()
    });
    let place = url.as_ref().and_then(|url| Some((url.host_str()?, url.port_or_known_default()?)));
    let (host, port) = place.with_context(|| {
        format!("--keygen-url {text}: give http://HOST:PORT, with a port up to 65535 and no path")
    })?;
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        serve: ServeArgs,
    }

    fn config(flags: &[&str]) -> anyhow::Result<Config> {
        Line::parse_from([&["serve"], flags].concat()).serve.check()
    }

    #[test]
    fn designs_set_the_switches_and_each_may_be_given_apart() {
        let before = config(&["--design", "before"]).unwrap();
        assert_eq!(before.warmth, Warmth { hot: 5_000, random: 0 });
        assert_eq!(
            (before.creator.codes, before.creator.insert),
            (CodeDesign::Checked, InsertDesign::Single)
        );
        assert_eq!(before.creator.pool, 0);
        let after = config(&["--warm-hot", "10"]).unwrap();
        assert_eq!(after.warmth, Warmth { hot: 10, random: 2_000 });
        assert_eq!(
            (after.creator.codes, after.creator.insert),
            (CodeDesign::Blocks, InsertDesign::Coalesced)
        );
        assert!(config(&["--warm", "none"]).unwrap().warmth.is_none());
        assert_eq!(config(&["--cache-bytes", "64M"]).unwrap().capacity, Capacity::Bytes(64 << 20));
        assert_eq!(config(&["--cache-entries", "27000"]).unwrap().capacity, Capacity::Entries(27_000));
    }

    #[test]
    fn keygen_urls_name_a_host_and_a_port() {
        for (url, place) in
            [("http://h:81", "h:81"), ("http://h/", "h:80"), ("http://[::1]:8081", "[::1]:8081")]
        {
            assert_eq!(check_keygen_url(url).unwrap(), place);
        }
    }

    #[test]
    fn a_database_that_may_be_spoken_to_in_clear_is() {
        for url in
            ["sqlite:x", "postgres://h/d", "postgres://h/d?sslmode=disable", "postgres://h/d?sslmode=prefer"]
        {
            check_database_url(url).unwrap();
        }
    }

    #[test]
    fn what_is_wrong_with_a_database_is_told_with_the_remedy() {
        let told = |url: &str, error| at_database::<()>(url, Err(error)).unwrap_err().to_string();
        let away = || StoreError::Unreachable("no".into());
        assert!(told("sqlite:x/y.db", away()).starts_with("--database-url sqlite:x/y.db: "));
        let secret = told("postgres://me:secret@h/d", away());
        assert!(
            secret.ends_with("start PostgreSQL there, or correct host and port")
                && !secret.contains("secret")
        );
        let unknown = StoreError::Unreachable("database \"d\" does not exist".into());
        assert!(told("postgres://h/d", unknown).ends_with("create that, or name another"));
    }

    #[test]
    fn redis_holds_links_where_there_is_one_and_the_design_has_it() {
        let ttl = |flags: &[&str]| config(flags).unwrap().redis_time_to_live;
        let redis = ["--redis-url", "redis://localhost"];
        assert_eq!(ttl(&[]), None);
        assert_eq!(ttl(&redis), Some(Duration::from_secs(300)));
        assert_eq!(ttl(&[&redis[..], &["--design", "before"]].concat()), None);
        assert_eq!(ttl(&[&redis[..], &["--redis-values", "off"]].concat()), None);
    }

    #[test]
    fn bad_settings_name_the_flag_and_the_remedy() {
        let cases: &[(&[&str], &str)] = &[
            (&["--redirect-status", "303"], "--redirect-status 303: must be 301, 302, 307 or 308"),
            (
                &["--database-url", "mysql://x"],
                "--database-url: give postgres://USER@HOST/DATABASE or sqlite:PATH",
            ),
            (&["--redis-url", "http://x"], "--redis-url: give redis://HOST:PORT"),
            (&["--redis-url", "redis://h:notaport"], "--redis-url: give redis://HOST:PORT or unix://PATH"),
            (&["--redis-url", "rediss://h:1"], "--redis-url: connections to Redis are in clear"),
            (&["--redis-url", "rediss://h:1/#insecure"], "--redis-url: connections to Redis are in clear"),
            (
                &["--database-url", "postgres://me:secret@h/d?sslmode=require"],
                "--database-url: connections to PostgreSQL are in clear",
            ),
            (
                &["--database-url", "postgresql://h/d?application_name=a&ssl-mode=VERIFY-FULL"],
                "--database-url: connections to PostgreSQL are in clear",
            ),
            (
                &["--database-url", "postgres://h/d?sslmode=verify-ca"],
                "--database-url: connections to PostgreSQL are in clear",
            ),
            (&["--keygen-url", "http://h:99999"], "--keygen-url http://h:99999: give http://HOST:PORT"),
            (&["--keygen-url", "http://h:1/path?x"], "--keygen-url http://h:1/path?x: give http://HOST:PORT"),
            (&["--keygen-url", "https://h:1"], "--keygen-url https://h:1: give http://HOST:PORT"),
            (&["--pool", "1000000000000"], "--pool 1000000000000: give 0 to 1000000"),
            (&["--warm-hot", "100000000000"], "--warm-hot 100000000000: give 0 to 1000000000"),
            (&["--warm-random", "2000000000"], "--warm-random 2000000000: give 0 to 1000000"),
            (&["--max-headers", "10000000000"], "--max-headers 10000000000: give 1 to 4096"),
            (&["--max-head", "1000000000"], "--max-head 1000000000: give 8192 to 16777216"),
            (&["--max-bulk", "0"], "--max-bulk 0: give 1 to 1000000"),
            (&["--max-unknown", "100000000000"], "--max-unknown 100000000000: give 0 to"),
            (&["--max-body-memory", "4K"], "--max-body-memory 4096: must be at least --max-body"),
            (&["--drain-grace-ms", "99999999999999"], "--drain-grace-ms 99999999999999: give 0 to 3600000"),
            (&["--cache-entries", "100000000000"], "--cache-entries 100000000000: give 1 to"),
            (&["--cache-bytes", "1K"], "--cache-bytes 1024: give 65536 to"),
            (&["--public-url", "sho.rt"], "--public-url sho.rt: give one like https://sho.rt"),
            (&["--public-url", "ftp://sho.rt"], "--public-url ftp://sho.rt: give a scheme"),
            (&["--threads", "0"], "--threads 0: give 1 to 1024"),
            (&["--cache-entries", "0"], "--cache-entries 0: give 1 to"),
            (&["--max-head", "100"], "--max-head 100: give 8192 to"),
            (&["--rate-limit", "0"], "--rate-limit 0 would refuse"),
            (&["--idle-timeout-ms", "0"], "--idle-timeout-ms 0: give 1"),
            (&["--cache-max-age", "0"], "--cache-max-age 0: give 1"),
            (&["--redis-ttl", "0"], "--redis-ttl 0: give 1"),
            (&["--max-queue", "0"], "--max-queue 0: give 1 to 10000000"),
            (&["--max-reads", "0"], "--max-reads 0: give 1 to 10000000"),
            (&["--database-writers", "2000"], "--database-writers 2000: give 1 to 1000"),
        ];
        for (flags, said) in cases {
            let error = config(flags).unwrap_err().to_string();
            assert!(error.starts_with(said), "{flags:?}: {error}");
        }
    }
}
