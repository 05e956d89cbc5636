//! What one client may cost.

use anyhow::ensure;
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::store::StoreOptions;

/// hyper takes no less.
pub(crate) const SHORTEST_HEAD_LIMIT: usize = 8_192;
/// Each connection may take as much.
pub(crate) const LONGEST_HEAD_LIMIT: usize = 1 << 24;
/// In milliseconds.
const LONGEST_TIMEOUT: u64 = 3_600_000;

/// A bound on everything that waits or grows.
#[derive(Debug, Clone, clap::Args)]
pub struct Limits {
    /// The longest request body, in bytes; a bulk request or click report may be this long too
    #[arg(long = "max-body", default_value = "1M", value_parser = parse_bytes, value_name = "BYTES")]
    pub body: usize,
    /// Memory for request bodies that are on their way, of all connections together, in bytes; what does not fit is told 503.
    /// Bodies that come with their heads take none of it
    #[arg(long = "max-body-memory", default_value = "64M", value_parser = parse_bytes, value_name = "BYTES")]
    pub body_memory: usize,
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
    /// The most items in a click report
    #[arg(long = "max-click-items", default_value_t = 10_000, value_name = "N")]
    pub click_items: usize,
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
    /// The most connections to the database that read; SQLite has at most 4
    #[arg(long = "database-readers", default_value_t = 8, value_name = "N")]
    pub database_readers: usize,
    /// The most connections to the database that write, opened as they are needed; SQLite has 1
    #[arg(long = "database-writers", default_value_t = 16, value_name = "N")]
    pub database_writers: usize,
    /// How long keygen, and after it Redis, may take to lease a block before the next in line is asked, in milliseconds
    #[arg(long = "keygen-timeout-ms", default_value_t = 1_000, value_name = "MS")]
    pub keygen_timeout_ms: u64,
    /// How long a redirect may wait for Redis before it asks the database, in milliseconds
    #[arg(long = "redis-timeout-ms", default_value_t = 100, value_name = "MS")]
    pub redis_timeout_ms: u64,
    /// The most reads and changes of links that are under way or wait for the database, click reports among them; more are told
    /// 503
    #[arg(long = "max-reads", default_value_t = 10_000, value_name = "N")]
    pub reads: usize,
    /// The most creates that wait, of any kind, each link of a bulk request among them; more are told 503
    #[arg(long = "max-queue", default_value_t = 20_000, value_name = "ROWS")]
    pub queue: usize,
    /// The most rows in one insert
    #[arg(long = "max-batch", default_value_t = 1_000, value_name = "ROWS")]
    pub batch: usize,
    /// The most coalesced inserts under way at once
    #[arg(long = "max-inserts", default_value_t = 4, value_name = "N")]
    pub inserts: usize,
    /// The most clicked links whose counts wait to be stored; clicks of further links are lost, and counted as such
    #[arg(long = "max-pending-clicks", default_value_t = 1 << 20, value_name = "LINKS")]
    pub pending_clicks: usize,
    /// Links whose counts are stored a second, the most clicked first; more while a quarter of --max-pending-clicks waits
    #[arg(long = "click-rows", default_value_t = 10_000, value_name = "ROWS")]
    pub click_rows: usize,
    /// The most codes that are remembered as unknown; what does not fit is read from the database each time
    #[arg(long = "max-unknown", default_value_t = 131_072, value_name = "CODES")]
    pub unknown: usize,
    /// The most client addresses that --rate-limit tells apart; newcomers beyond these are told 429
    #[arg(long = "max-rate-clients", default_value_t = 100_000, value_name = "N")]
    pub rate_clients: usize,
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

    pub fn redis_timeout(&self) -> Duration {
        Duration::from_millis(self.redis_timeout_ms)
    }

    pub fn keygen_timeout(&self) -> Duration {
        Duration::from_millis(self.keygen_timeout_ms)
    }

    pub fn drain_grace(&self) -> Duration {
        Duration::from_millis(self.drain_grace_ms)
    }

    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }

    /// How the database is reached.
    pub fn store_options(&self) -> StoreOptions {
        StoreOptions {
            readers: self.database_readers,
            writers: self.database_writers,
            acquire_timeout: self.store_timeout(),
            statement_timeout: self.store_timeout(),
        }
    }

    /// Each error names the flag and what would do.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        let limits = self;
        ensure!(
            limits.body > limits.url,
            "--max-body {}: must be above --max-url {}",
            limits.body,
            limits.url
        );
        ensure!(
            limits.body_memory >= limits.body,
            "--max-body-memory {}: must be at least --max-body {}",
            limits.body_memory,
            limits.body
        );
        check_ranges(&[
            ("--max-head", limits.head, SHORTEST_HEAD_LIMIT..=LONGEST_HEAD_LIMIT),
            ("--max-url", limits.url, 16..=65_536),
            ("--max-body", limits.body, 17..=1 << 30),
            ("--max-body-memory", limits.body_memory, 17..=1 << 40),
            ("--max-headers", limits.headers, 1..=4_096),
            ("--max-connections", limits.connections, 1..=1_000_000),
            ("--max-bulk", limits.bulk, 1..=1_000_000),
            ("--max-unknown", limits.unknown, 0..=1 << 30),
            ("--max-click-items", limits.click_items, 1..=10_000_000),
            ("--database-readers", limits.database_readers, 1..=1_000),
            ("--database-writers", limits.database_writers, 1..=1_000),
            ("--max-reads", limits.reads, 1..=10_000_000),
            ("--max-queue", limits.queue, 1..=10_000_000),
            ("--max-batch", limits.batch, 1..=100_000),
            ("--max-inserts", limits.inserts, 1..=1_000),
            ("--max-pending-clicks", limits.pending_clicks, 1..=1 << 30),
            ("--click-rows", limits.click_rows, 1..=1 << 30),
            ("--max-rate-clients", limits.rate_clients, 1..=1 << 30),
        ])?;
        let grace = limits.drain_grace_ms;
        ensure!(grace <= LONGEST_TIMEOUT, "--drain-grace-ms {grace}: give 0 to {LONGEST_TIMEOUT} (an hour)");
        let timeouts = [
            ("--head-timeout-ms", limits.head_timeout_ms),
            ("--body-timeout-ms", limits.body_timeout_ms),
            ("--idle-timeout-ms", limits.idle_timeout_ms),
            ("--store-timeout-ms", limits.store_timeout_ms),
            ("--keygen-timeout-ms", limits.keygen_timeout_ms),
            ("--redis-timeout-ms", limits.redis_timeout_ms),
            ("--drain-timeout-ms", limits.drain_timeout_ms),
        ];
        check_timeouts(&timeouts)
    }
}

/// Each error names the flag and what would do.
pub(crate) fn check_ranges(numbers: &[(&str, usize, RangeInclusive<usize>)]) -> anyhow::Result<()> {
    for (flag, number, range) in numbers {
        let (least, most) = (range.start(), range.end());
        ensure!(range.contains(number), "{flag} {number}: give {least} to {most}");
    }
    Ok(())
}

/// Each error names the flag and what would do.
pub(crate) fn check_timeouts(timeouts: &[(&str, u64)]) -> anyhow::Result<()> {
    for (flag, timeout) in timeouts {
        let fits = (1..=LONGEST_TIMEOUT).contains(timeout);
        ensure!(fits, "{flag} {timeout}: give 1 to {LONGEST_TIMEOUT} (an hour)");
    }
    Ok(())
}

/// A number of bytes; K, M and G are understood.
pub(crate) fn parse_bytes(text: &str) -> Result<usize, String> {
    let (digits, shift) = match text.as_bytes().last() {
        Some(b'K' | b'k') => (&text[..text.len() - 1], 10),
        Some(b'M' | b'm') => (&text[..text.len() - 1], 20),
        Some(b'G' | b'g') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let bytes = digits.parse::<usize>().ok().and_then(|number| number.checked_mul(1 << shift));
    bytes.ok_or_else(|| "a number of bytes such as 65536, 512K or 256M".to_owned())
}
