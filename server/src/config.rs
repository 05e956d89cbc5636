//! The settings of `proofload serve`, checked once.

use anyhow::{Context, bail, ensure};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::cache::table::Capacity;
use crate::codes::{Codec, Key128, PUBLIC_DEFAULT_KEY};
use crate::creator::{CodeDesign, CreatorOptions, InsertDesign};
use crate::keygen::Stack;

/// A whole set of techniques.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Design {
    /// The published design before: a random code, a uniqueness check, a one-row insert, the hottest 5,000 links warmed
    Before,
    /// Codes from leased blocks, coalesced inserts, the hottest 25,000 links and 2,000 random ones warmed
    After,
}

/// What the cache holds when the server starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WarmDesign {
    /// Nothing
    None,
    /// The most clicked links, then some at random
    Hot,
}

/// Settings as they stand on the command line.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// postgres://… or sqlite:PATH
    #[arg(long, default_value = "sqlite:proofload.db", value_name = "URL")]
    pub database_url: String,
    /// Redis, over which replicas tell each other of changed links, and where leases begin; needed with more than one
    /// replica
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Keygen service to lease ids from, http://HOST:PORT; without it they are leased in process
    #[arg(long, value_name = "URL")]
    pub keygen_url: Option<String>,
    /// Name of this deployment; stacks that share a database have codes apart
    #[arg(long, default_value = "rust", value_name = "NAME")]
    pub stack: Stack,

    /// Sets --codes, --insert, --warm, --warm-hot, --warm-random and --pool, each of which may still be given
    #[arg(long, default_value = "after", value_name = "WHICH")]
    pub design: Design,
    /// How codes are made
    #[arg(long, value_name = "HOW")]
    pub codes: Option<CodeDesign>,
    /// How rows are inserted
    #[arg(long, value_name = "HOW")]
    pub insert: Option<InsertDesign>,
    /// What the cache holds at the start
    #[arg(long, value_name = "WHAT")]
    pub warm: Option<WarmDesign>,
    /// How many of the most clicked links to warm with [25000; before: 5000]; warming ends when the cache is full
    #[arg(long, value_name = "LINKS")]
    pub warm_hot: Option<usize>,
    /// How many random links to warm with, after the hot ones [2000; before: 0]
    #[arg(long, value_name = "LINKS")]
    pub warm_random: Option<usize>,
    /// Codes made ahead of use [2000; before: 0]
    #[arg(long, value_name = "CODES")]
    pub pool: Option<usize>,

    /// Bound the in-process cache by its number of links
    #[arg(long, value_name = "LINKS", conflicts_with = "cache_bytes")]
    pub cache_entries: Option<usize>,
    /// Bound the in-process cache by its memory; K, M and G are understood [256M]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub cache_bytes: Option<usize>,

    /// The least time between the starts of two coalesced inserts, in milliseconds
    #[arg(long, default_value_t = 5, value_name = "MS")]
    pub spacing_ms: u64,
    /// Threads that answer HTTP [default: available cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// What short links begin with, such as https://sho.rt [default: http://ADDR]; never taken from a request
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Status of a redirect: 301, 302, 307 or 308
    #[arg(long, default_value_t = 302, value_name = "STATUS")]
    pub redirect_status: u16,
    /// Key that codes are permuted under, 32 hexadecimal digits; the same for all that share a database, for good
    /// [environment: PROOFLOAD_CODE_KEY]
    #[arg(long, value_name = "HEX")]
    pub code_key: Option<Key128>,
    /// Key that writes must carry, as `Authorization: Bearer KEY` [environment: PROOFLOAD_API_KEY; default: none asked for]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Writes per second and client address; twice as many may come in a burst [default: unlimited]
    #[arg(long, value_name = "N")]
    pub rate_limit: Option<u32>,

    #[command(flatten)]
    pub limits: Limits,
}

/// What one client may cost.
#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// The longest request body, in bytes; a bulk request or click report may be this long too
    #[arg(long = "max-body", default_value = "1M", value_parser = parse_bytes, value_name = "BYTES")]
    pub body: usize,
    /// The longest URL to shorten, in bytes
    #[arg(long = "max-url", default_value_t = 2_048, value_name = "BYTES")]
    pub url: usize,
    /// The longest request head, in bytes; at least 8192
    #[arg(long = "max-head", default_value_t = 16_384, value_name = "BYTES")]
    pub head: usize,
    /// The most header lines in a request
    #[arg(long = "max-headers", default_value_t = 100, value_name = "N")]
    pub headers: usize,
    /// The most links in a bulk request
    #[arg(long = "max-bulk", default_value_t = 1_000, value_name = "LINKS")]
    pub bulk: usize,
    /// The most connections at once; more are told 503 and closed
    #[arg(long = "max-connections", default_value_t = 16_384, value_name = "N")]
    pub connections: usize,
    /// How long a request's head may take to arrive, in milliseconds
    #[arg(long = "head-timeout-ms", default_value_t = 10_000, value_name = "MS")]
    pub head_timeout_ms: u64,
    /// How long a request's body may take to arrive, in milliseconds
    #[arg(long = "body-timeout-ms", default_value_t = 10_000, value_name = "MS")]
    pub body_timeout_ms: u64,
    /// How long a connection may stay open with nothing asked, in milliseconds
    #[arg(long = "idle-timeout-ms", default_value_t = 75_000, value_name = "MS")]
    pub idle_timeout_ms: u64,
    /// How long a request may wait for the database, in milliseconds
    #[arg(long = "store-timeout-ms", default_value_t = 10_000, value_name = "MS")]
    pub store_timeout_ms: u64,
    /// The most creates that wait to be inserted; more are told 503
    #[arg(long = "max-queue", default_value_t = 20_000, value_name = "ROWS")]
    pub queue: usize,
    /// How long open connections may still send a request after SIGTERM, in milliseconds
    #[arg(long = "drain-grace-ms", default_value_t = 500, value_name = "MS")]
    pub drain_grace_ms: u64,
    /// How long answers under way may take after SIGTERM, in milliseconds
    #[arg(long = "drain-timeout-ms", default_value_t = 10_000, value_name = "MS")]
    pub drain_timeout_ms: u64,
}

impl Limits {
    pub fn head_timeout(&self) -> Duration {
        Duration::from_millis(self.head_timeout_ms)
    }

    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }

    pub fn store_timeout(&self) -> Duration {
        Duration::from_millis(self.store_timeout_ms)
    }

    pub fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }

    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }
}

/// How many links to warm the cache with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Warmth {
    pub hot: usize,
    pub random: usize,
}

impl Warmth {
    pub fn is_none(self) -> bool {
        self.hot == 0 && self.random == 0
    }
}

/// Settings that were checked and fit together.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: SocketAddr,
    pub database_url: String,
    pub redis_url: Option<String>,
    pub keygen_url: Option<String>,
    pub stack: Stack,
    pub creator: CreatorOptions,
    pub warmth: Warmth,
    pub capacity: Capacity,
    pub threads: usize,
    pub public_url: Option<String>,
    pub redirect_status: u16,
    pub code_key: Key128,
    pub api_key: Option<String>,
    pub rate_limit: Option<u32>,
    pub limits: Limits,
}

/// No server that answers anyone needs more, and a typing error should not start a million threads.
const MOST_THREADS: usize = 1024;
const DEFAULT_CACHE_BYTES: usize = 256 << 20;
const SHORTEST_HEAD_LIMIT: usize = 8_192;

impl ServeArgs {
    /// Checks the settings; each error names the flag and what would do.
    pub fn check(self) -> anyhow::Result<Config> {
        let creator = self.creator()?;
        let warmth = self.warmth();
        let capacity = self.capacity()?;
        let threads = self.threads()?;
        self.check_limits()?;
        ensure!(
            [301, 302, 307, 308].contains(&self.redirect_status),
            "--redirect-status {}: must be 301, 302, 307 or 308",
            self.redirect_status
        );
        let public_url = self.public_url.as_deref().map(check_public_url).transpose()?;
        check_database_url(&self.database_url)?;
        check_scheme(
            "--redis-url",
            self.redis_url.as_deref(),
            &["redis://", "rediss://", "unix://", "redis+unix://"],
        )?;
        check_scheme("--keygen-url", self.keygen_url.as_deref(), &["http://"])?;
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
            threads,
            public_url,
            redirect_status: self.redirect_status,
            code_key,
            api_key,
            rate_limit: self.rate_limit,
            limits: self.limits,
        })
    }

    fn creator(&self) -> anyhow::Result<CreatorOptions> {
        let (codes, insert, pool) = match self.design {
            Design::Before => (CodeDesign::Checked, InsertDesign::Single, 0),
            Design::After => (CodeDesign::Blocks, InsertDesign::Coalesced, 2_000),
        };
        ensure!(self.spacing_ms <= 1_000, "--spacing-ms {}: at most 1000", self.spacing_ms);
        ensure!((1..=10_000_000).contains(&self.limits.queue), "--max-queue: 1 to 10000000");
        Ok(CreatorOptions {
            codes: self.codes.unwrap_or(codes),
            insert: self.insert.unwrap_or(insert),
            pool: self.pool.unwrap_or(pool),
            spacing: Duration::from_millis(self.spacing_ms),
            queue_rows: self.limits.queue,
            ..CreatorOptions::default()
        })
    }

    fn warmth(&self) -> Warmth {
        let (hot, random) = match self.design {
            Design::Before => (5_000, 0),
            Design::After => (25_000, 2_000),
        };
        match self.warm.unwrap_or(WarmDesign::Hot) {
            WarmDesign::None => Warmth { hot: 0, random: 0 },
            WarmDesign::Hot => {
                Warmth { hot: self.warm_hot.unwrap_or(hot), random: self.warm_random.unwrap_or(random) }
            }
        }
    }

    fn capacity(&self) -> anyhow::Result<Capacity> {
        let capacity = match self.cache_entries {
            Some(entries) => Capacity::Entries(entries),
            None => Capacity::Bytes(self.cache_bytes.unwrap_or(DEFAULT_CACHE_BYTES)),
        };
        ensure!(capacity != Capacity::Entries(0), "--cache-entries 0: give at least 1");
        ensure!(self.cache_bytes.is_none_or(|bytes| bytes >= 65_536), "--cache-bytes: give at least 64K");
        Ok(capacity)
    }

    fn threads(&self) -> anyhow::Result<usize> {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        let threads = self.threads.unwrap_or_else(cores);
        ensure!((1..=MOST_THREADS).contains(&threads), "--threads {threads}: give 1 to {MOST_THREADS}");
        Ok(threads)
    }

    fn check_limits(&self) -> anyhow::Result<()> {
        let limits = &self.limits;
        ensure!(
            limits.head >= SHORTEST_HEAD_LIMIT,
            "--max-head {}: at least {SHORTEST_HEAD_LIMIT}",
            limits.head
        );
        ensure!(limits.url >= 16 && limits.url <= 65_536, "--max-url {}: 16 to 65536", limits.url);
        ensure!(
            limits.body > limits.url,
            "--max-body {}: must be above --max-url {}",
            limits.body,
            limits.url
        );
        ensure!(limits.headers > 0, "--max-headers 0 would refuse all requests: give at least 1");
        ensure!(limits.connections > 0, "--max-connections 0 would refuse all clients: give at least 1");
        ensure!(limits.bulk > 0, "--max-bulk 0 would refuse all bulk requests: give at least 1");
        let timeouts = [
            ("--head-timeout-ms", limits.head_timeout_ms),
            ("--body-timeout-ms", limits.body_timeout_ms),
            ("--idle-timeout-ms", limits.idle_timeout_ms),
            ("--store-timeout-ms", limits.store_timeout_ms),
            ("--drain-timeout-ms", limits.drain_timeout_ms),
        ];
        for (flag, timeout) in timeouts {
            ensure!((1..=3_600_000).contains(&timeout), "{flag} {timeout}: give 1 to 3600000 (an hour)");
        }
        Ok(())
    }
}

impl Config {
    /// The codec that all codes are made and read with.
    pub fn codec(&self) -> Codec {
        match self.creator.codes {
            CodeDesign::Unpartitioned => Codec::unpartitioned(),
            CodeDesign::Checked | CodeDesign::Blocks => Codec::new(&self.code_key),
        }
    }

    /// What short links begin with, without a slash at the end.
    pub fn public_base(&self, bound: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| {
            // Nobody can visit the unspecified address, so links name this machine's own instead.
            let host = match bound.ip() {
                IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
                IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
                IpAddr::V4(ip) => ip.to_string(),
                IpAddr::V6(ip) => format!("[{ip}]"),
            };
            format!("http://{host}:{}", bound.port())
        })
    }
}

/// Secrets may come by the environment, since other users can read a command line.
fn code_key_from_environment() -> anyhow::Result<Key128> {
    match std::env::var("PROOFLOAD_CODE_KEY") {
        Ok(hex) => hex.parse().context("PROOFLOAD_CODE_KEY"),
        Err(_) => Ok(PUBLIC_DEFAULT_KEY),
    }
}

fn parse_bytes(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "a number of bytes such as 65536, 512K or 256M".to_owned())
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

fn check_database_url(url: &str) -> anyhow::Result<()> {
    let known = ["postgres://", "postgresql://", "sqlite:"];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        bail!("--database-url: give postgres://USER@HOST/DATABASE or sqlite:PATH");
    }
    Ok(())
}

fn check_scheme(flag: &str, url: Option<&str>, known: &[&str]) -> anyhow::Result<()> {
    let fits =
        url.is_none_or(|url| known.iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len()));
    ensure!(fits, "{flag} {}: must begin with {}", url.unwrap_or_default(), known.join(" or "));
    Ok(())
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
    fn bad_settings_name_the_flag_and_the_remedy() {
        let cases: &[(&[&str], &str)] = &[
            (&["--redirect-status", "303"], "--redirect-status 303: must be 301, 302, 307 or 308"),
            (
                &["--database-url", "mysql://x"],
                "--database-url: give postgres://USER@HOST/DATABASE or sqlite:PATH",
            ),
            (&["--redis-url", "http://x"], "--redis-url http://x: must begin with redis://"),
            (&["--public-url", "sho.rt"], "--public-url sho.rt: give one like https://sho.rt"),
            (&["--public-url", "ftp://sho.rt"], "--public-url ftp://sho.rt: give a scheme"),
            (&["--threads", "0"], "--threads 0: give 1 to 1024"),
            (&["--cache-entries", "0"], "--cache-entries 0: give at least 1"),
            (&["--max-head", "100"], "--max-head 100: at least 8192"),
            (&["--rate-limit", "0"], "--rate-limit 0 would refuse"),
            (&["--idle-timeout-ms", "0"], "--idle-timeout-ms 0: give 1"),
        ];
        for (flags, said) in cases {
            let error = config(flags).unwrap_err().to_string();
            assert!(error.starts_with(said), "{flags:?}: {error}");
        }
    }
}
