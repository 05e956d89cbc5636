//! Leases of ids: the keygen service, its client, and the atomic path that both and the fallback share.

use std::net::SocketAddr;

use crate::store::Store;

/// A stack's name: 1 to 32 of `[a-z0-9_-]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Stack(String);

/// Settings of `proofload keygen`.
#[derive(Debug, Clone, clap::Args)]
pub struct KeygenArgs {
    /// Address to listen on; port 0 takes a free one and prints it
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// postgres://… or sqlite:PATH
    #[arg(long, value_name = "URL")]
    pub database_url: String,
    /// Redis holds the counters as a hint; without it the database alone does
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
}

/// Where blocks come from: keygen over HTTP, or else Redis and the store in process, or else the store alone.
#[derive(Clone)]
pub struct Leases {}

impl Leases {
    /// Blocks for `stack`, from `keygen_url` (`http://host:port`) while it answers.
    pub fn new(
        _store: Store,
        _stack: Stack,
        _keygen_url: Option<&str>,
        _redis_url: Option<&str>,
    ) -> anyhow::Result<Leases> {
        todo!()
    }

    /// The state of keygen as last seen, for `/health`: `None` where none is configured.
    pub fn keygen_up(&self) -> Option<bool> {
        todo!()
    }
}

impl std::str::FromStr for Stack {
    type Err = anyhow::Error;
    fn from_str(text: &str) -> anyhow::Result<Stack> {
        anyhow::ensure!(
            (1..=32).contains(&text.len())
                && text
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_'),
            "a stack is 1 to 32 lower-case letters, digits, '-' or '_'"
        );
        Ok(Stack(text.to_owned()))
    }
}

impl Stack {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Runs the keygen service until `shutdown` resolves, then finishes the answers under way.
pub async fn run_keygen(
    _args: &KeygenArgs,
    _listener: tokio::net::TcpListener,
    _shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    todo!()
}
