//! `proofload keygen`: its settings, its connections, its end.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::routes::Routes;
use super::{Allocator, KeygenLimits};
use crate::config::{at_database, check_database_url, check_redis_url};
use crate::http::connection::{Busy, Connection, Watch};
use crate::http::roster::Roster;
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

    #[command(flatten)]
    pub limits: KeygenLimits,
}

/// Runs `proofload keygen` until SIGTERM or SIGINT; prints where it listens once it does.
///
/// # Errors
/// For the user: one line, with what would help.
pub fn serve(args: &KeygenArgs) -> anyhow::Result<()> {
    args.limits.check()?;
    check_database_url(&args.database_url)?;
    args.redis_url.as_deref().map(check_redis_url).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let ended = runtime.block_on(async {
        let listener = TcpListener::bind(args.listen).await.with_context(|| {
            format!("--listen {}: the address cannot be used; is the port in use?", args.listen)
        })?;
        let ready = |address| println!("listening on http://{address}");
        run_keygen(args, listener, crate::serve::ended_by_signal(), ready).await
    });
    // Not waited for: a name that is still being resolved, which can take longer than all else.
    runtime.shutdown_background();
    ended
}

/// Runs the keygen service until `shutdown` resolves, then finishes the answers under way. `ready` is called once it has
/// its database and answers.
pub async fn run_keygen(
    args: &KeygenArgs,
    listener: TcpListener,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown);
    let limits = &args.limits;
    let options = limits.store_options();
    let store = tokio::select! {
        store = Store::connect(&args.database_url, &options) => at_database(&args.database_url, store)?,
        () = &mut shutdown => return Ok(()),
    };
    let allocator = Allocator::with_patience(store, args.redis_url.as_deref(), limits.redis_timeout())?;
    let routes = Arc::new(Routes::new(allocator, limits));
    let roster = Arc::new(Roster::new());
    let mut sweeping = JoinSet::new();
    sweeping.spawn(roster.clone().sweep(limits.head_timeout(), limits.head_timeout()));
    let places = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    ready(listener.local_addr()?);
    let serve = |stream, place: Option<OwnedSemaphorePermit>, connections: &mut JoinSet<()>| {
        let connection = connection(limits, stream, routes.clone(), roster.enlist());
        connections.spawn(async move {
            connection.await;
            drop(place);
        });
    };
    loop {
        // To be told to stop must be heard while all places are taken, too.
        let taken_in = async { (places.clone().acquire_owned().await, listener.accept().await) };
        let (place, accepted) = tokio::select! {
            () = &mut shutdown => break,
            taken_in = taken_in => taken_in,
        };
        let place = place?;
        while connections.try_join_next().is_some() {}
        // A connection that fails as it is accepted is its client's loss; running out of files passes.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        serve(stream, Some(place), &mut connections);
    }
    // Whoever connected before now is answered; closing the listener resets those that were not taken in.
    while connections.len() < 2 * limits.connections
        && let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await
    {
        serve(stream, None, &mut connections);
    }
    drop(listener);
    roster.each(Watch::close);
    let _ = tokio::time::timeout(limits.drain_timeout(), async {
        while connections.join_next().await.is_some() {}
    })
    .await;
    Ok(())
}

fn connection(
    limits: &KeygenLimits,
    stream: TcpStream,
    routes: Arc<Routes>,
    watch: Arc<Watch>,
) -> impl Future<Output = ()> + use<> {
    let mut http = http1::Builder::new();
    // The roster's sweep does what hyper's timer would, and minds clients that do not read, too.
    http.header_read_timeout(None).max_buf_size(limits.head);
    let asked = watch.clone();
    let service = service_fn(move |request| {
        let (routes, busy) = (routes.clone(), Busy::new(&asked));
        Box::pin(async move {
            let _busy = busy;
            Ok::<_, Infallible>(routes.answer(request).await)
        })
    });
    Connection::new(&http, stream, service, watch)
}
