//! The settings of `proofload serve`, checked once.

mod args;
mod check;
mod limits;

pub use args::ServeArgs;
pub(crate) use check::{at_database, check_database_url, check_keygen_url, check_redis_url};
pub use limits::Limits;
pub(crate) use limits::{LONGEST_HEAD_LIMIT, SHORTEST_HEAD_LIMIT, check_ranges, check_timeouts, parse_bytes};

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::cache::table::Capacity;
use crate::codes::{Codec, Key128};
use crate::creator::{CodeDesign, CreatorOptions};
use crate::http::Proxies;
use crate::keygen::Stack;

/// A whole set of techniques.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Design {
    /// The published design before: a random code, a uniqueness check, a one-row insert, the hottest 5,000 links warmed
    Before,
    /// Codes from leased blocks, coalesced inserts, the hottest 25,000 links and 2,000 random ones warmed
    After,
}

/// Whether a technique is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Switch {
    On,
    Off,
}

/// What the cache holds when the server starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum WarmDesign {
    /// Nothing
    None,
    /// The most clicked links, then some at random
    Hot,
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
    /// How long an entry may stay in the in-process cache; for ever where nothing is said.
    pub cache_max_age: Option<Duration>,
    /// How long a link may stay in Redis; none where Redis holds no links.
    pub redis_time_to_live: Option<Duration>,
    pub threads: usize,
    pub public_url: Option<String>,
    pub redirect_status: u16,
    pub code_key: Key128,
    pub api_key: Option<String>,
    pub rate_limit: Option<u32>,
    pub proxies: Proxies,
    pub limits: Limits,
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
        self.public_url.clone().unwrap_or_else(|| own_base(bound))
    }
}

/// How a server that is bound to this address is reached from this machine.
pub fn own_base(bound: SocketAddr) -> String {
    // Nobody can visit the unspecified address, so links name this machine's own instead.
    let host = match bound.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => "127.0.0.1".to_owned(),
        IpAddr::V6(ip) if ip.is_unspecified() => "[::1]".to_owned(),
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    };
    format!("http://{host}:{}", bound.port())
}
