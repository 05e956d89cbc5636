//! `proofload keygen`: leases over HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::store::Store;

/// Settings of `proofload keygen`.
#[derive(Debug, Clone, clap::Args)]
pub struct KeygenArgs {
    /// Address to listen on; port 0 takes a free one and prints it
    #[arg(long, default_value = "127.0.0.1:8081", value_name = "ADDR")]
    pub listen: SocketAddr,
    /// postgres://… or sqlite:PATH
    #[arg(long, value_name = "URL")]
    pub database_url: String,
    /// Redis proposes ids as a hint; without it the database decides alone
    #[arg(long, value_name = "URL")]
    pub redis_url: Option<String>,
}

/// Runs the keygen service until `shutdown` resolves, then finishes the answers under way.
pub async fn run_keygen(
    _args: &KeygenArgs,
    _listener: tokio::net::TcpListener,
    _shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let _: Option<Arc<Store>> = None;
    todo!()
}
