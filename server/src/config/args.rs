//! Settings as they stand on the command line.

use std::net::SocketAddr;

use super::limits::parse_bytes;
use super::{Design, Limits, Switch, WarmDesign};
use crate::codes::Key128;
use crate::creator::{CodeDesign, InsertDesign};
use crate::http::Network;
use crate::keygen::{MOST_IDS, Stack};

/// What `proofload serve` takes.
#[derive(Debug, Clone, clap::Args)]
pub struct ServeArgs {
    /// Address to listen on; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// postgres://… or sqlite:PATH
    #[arg(long, default_value = "sqlite:proofload.db", value_name = "URL")]
    pub database_url: String,
    /// Redis, which replicas share: they tell each other of changed links there, cache links behind their own memory, and
    /// begin leases; needed with more than one replica, or else bound their caches with --cache-max-age
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
    /// Keygen service to lease ids from, http://HOST:PORT; without it they are leased in process
    #[arg(long, value_name = "URL")]
    pub keygen_url: Option<String>,
    /// Name of this deployment; stacks that share a database have codes apart
    #[arg(long, default_value = "rust", value_name = "NAME")]
    pub stack: Stack,

    /// Sets --codes, --insert, --warm, --warm-hot, --warm-random, --pool and --redis-values, each of which may still be
    /// given
    #[arg(long, default_value = "after", value_name = "WHICH")]
    pub design: Design,
    /// How codes are made [default: blocks; before: checked]
    #[arg(long, value_name = "HOW")]
    pub codes: Option<CodeDesign>,
    /// How rows are inserted [default: coalesced; before: single]
    #[arg(long, value_name = "HOW")]
    pub insert: Option<InsertDesign>,
    /// What the cache holds at the start [default: hot]
    #[arg(long, value_name = "WHAT")]
    pub warm: Option<WarmDesign>,
    /// How many of the most clicked links to warm with; warming ends when the cache is full
    /// [default: 25000; before: 5000]
    #[arg(long, value_name = "LINKS")]
    pub warm_hot: Option<usize>,
    /// How many random links to warm with, after the hot ones [default: 2000; before: 0]
    #[arg(long, value_name = "LINKS")]
    pub warm_random: Option<usize>,
    /// Codes made ahead of use [default: 2000; before: 0]
    #[arg(long, value_name = "CODES")]
    pub pool: Option<usize>,

    /// Bound the in-process cache by its number of links
    #[arg(long, value_name = "LINKS", conflicts_with = "cache_bytes")]
    pub cache_entries: Option<usize>,
    /// Bound the in-process cache by its memory; K, M and G are understood [default: 256M]
    #[arg(long, value_name = "BYTES", value_parser = parse_bytes)]
    pub cache_bytes: Option<usize>,

    /// Drop each link from the in-process cache after so many seconds, for replicas without Redis, which do not hear of one
    /// another's changes [default: never]
    #[arg(long, value_name = "SECONDS")]
    pub cache_max_age: Option<u64>,
    /// Whether Redis holds links too, behind the in-process cache [default: on; before: off]
    #[arg(long, value_name = "WHETHER")]
    pub redis_values: Option<Switch>,
    /// How long a link may stay in Redis, in seconds
    #[arg(long, default_value_t = 300, value_name = "SECONDS")]
    pub redis_ttl: u64,

    /// The least time between the starts of two coalesced inserts while fewer than 24 creates wait, in milliseconds
    #[arg(long, default_value_t = 5, value_name = "MS")]
    pub spacing_ms: u64,
    /// The fewest ids of a leased block, and those of the first; a block that lasts less than ten seconds is followed by one
    /// twice its size
    #[arg(long, default_value_t = 10_000, value_name = "IDS")]
    pub block_ids: u64,
    /// The most ids of a leased block
    #[arg(long, default_value_t = MOST_IDS, value_name = "IDS")]
    pub max_block_ids: u64,
    /// Threads that answer HTTP [default: available cores]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
    /// What short links begin with, such as https://sho.rt; never taken from a request [default: http://ADDR]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Status of a redirect: 301, 302, 307 or 308
    #[arg(long, default_value_t = 302, value_name = "STATUS")]
    pub redirect_status: u16,
    /// Key that codes are permuted under, 32 hexadecimal digits; the same for all that share a database, for good
    /// [environment: PROOFLOAD_CODE_KEY; default: a public one]
    #[arg(long, value_name = "HEX")]
    pub code_key: Option<Key128>,
    /// Key that writes must carry, as `Authorization: Bearer KEY` [environment: PROOFLOAD_API_KEY; default: none]
    #[arg(long, value_name = "KEY")]
    pub api_key: Option<String>,
    /// Writes per second and client address; twice as many may come in a burst [default: unlimited]
    #[arg(long, value_name = "N")]
    pub rate_limit: Option<u32>,
    /// Proxies in front, an address or a network, which may be given several times: what they say in `X-Forwarded-For` of
    /// their clients' addresses is believed [default: none]
    #[arg(long = "trusted-proxy", value_name = "CIDR", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,

    #[command(flatten)]
    pub limits: Limits,
}
