//! What one client of keygen may cost.

use anyhow::ensure;
use std::time::Duration;

use crate::config::{LONGEST_HEAD_LIMIT, SHORTEST_HEAD_LIMIT, check_ranges, check_timeouts, parse_bytes};
use crate::store::StoreOptions;

/// A bound on everything in keygen that waits or grows.
#[derive(Debug, Clone, clap::Args)]
pub struct KeygenLimits {
    /// The longest request body, in bytes; K, M and G are understood
    #[arg(long = "max-body", default_value = "4K", value_parser = parse_bytes, value_name = "BYTES")]
    pub body: usize,
    /// The longest request head, in bytes; at least 8192
    #[arg(long = "max-head", default_value_t = 16_384, value_name = "BYTES")]
    pub head: usize,
    /// The most connections at once; more wait to be accepted
    #[arg(long = "max-connections", default_value_t = 1_024, value_name = "N")]
    pub connections: usize,
    /// How long a request's head may take to arrive, and a connection be silent, in milliseconds
    #[arg(long = "head-timeout-ms", default_value_t = 10_000, value_name = "MS")]
    pub head_timeout_ms: u64,
    /// How long a request's body may take to arrive, in milliseconds
    #[arg(long = "body-timeout-ms", default_value_t = 10_000, value_name = "MS")]
    pub body_timeout_ms: u64,
    /// How long a lease may wait for the database over what Redis proposes, and again where that comes to nothing, in
    /// milliseconds
    #[arg(long = "store-timeout-ms", default_value_t = 10_000, value_name = "MS")]
    pub store_timeout_ms: u64,
    /// The most connections to the database that read; SQLite has at most 4
    #[arg(long = "database-readers", default_value_t = 8, value_name = "N")]
    pub database_readers: usize,
    /// The most connections to the database that write, opened as they are needed; SQLite has 1
    #[arg(long = "database-writers", default_value_t = 16, value_name = "N")]
    pub database_writers: usize,
    /// How long Redis may take before the database decides alone, in milliseconds; well below the --keygen-timeout-ms of the
    /// servers, or else they give up before keygen does
    #[arg(long = "redis-timeout-ms", default_value_t = 250, value_name = "MS")]
    pub redis_timeout_ms: u64,
    /// How long answers under way may take after SIGTERM, in milliseconds
    #[arg(long = "drain-timeout-ms", default_value_t = 10_000, value_name = "MS")]
    pub drain_timeout_ms: u64,
}

impl KeygenLimits {
    pub fn head_timeout(&self) -> Duration {
        Duration::from_millis(self.head_timeout_ms)
    }

    pub fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }

    pub fn redis_timeout(&self) -> Duration {
        Duration::from_millis(self.redis_timeout_ms)
    }

    pub fn drain_timeout(&self) -> Duration {
        Duration::from_millis(self.drain_timeout_ms)
    }

    /// How the database is reached.
    pub fn store_options(&self) -> StoreOptions {
        let patience = Duration::from_millis(self.store_timeout_ms);
        StoreOptions {
            readers: self.database_readers,
            writers: self.database_writers,
            acquire_timeout: patience,
            statement_timeout: patience,
        }
    }

    /// Each error names the flag and what would do.
    pub(super) fn check(&self) -> anyhow::Result<()> {
        // An allocation with the longest name of a stack has to fit.
        ensure!((256..=1 << 20).contains(&self.body), "--max-body {}: give 256 to 1M", self.body);
        check_ranges(&[
            ("--max-head", self.head, SHORTEST_HEAD_LIMIT..=LONGEST_HEAD_LIMIT),
            ("--max-connections", self.connections, 1..=1_000_000),
            ("--database-readers", self.database_readers, 1..=1_000),
            ("--database-writers", self.database_writers, 1..=1_000),
        ])?;
        check_timeouts(&[
            ("--head-timeout-ms", self.head_timeout_ms),
            ("--body-timeout-ms", self.body_timeout_ms),
            ("--store-timeout-ms", self.store_timeout_ms),
            ("--redis-timeout-ms", self.redis_timeout_ms),
            ("--drain-timeout-ms", self.drain_timeout_ms),
        ])
    }
}
