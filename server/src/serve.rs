//! Runs the app service: its threads, from the first connection to the last answer.

use anyhow::{Context, bail};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::MissedTickBehavior;

use crate::cache::redis::{RedisLevel, RedisLevelOptions};
use crate::cache::table::Table;
use crate::changes::{Changes, ChangesTask};
use crate::clicks::ClickLimits;
use crate::config::{Config, ServeArgs, at_database};
use crate::creator::Creator;
use crate::descriptors::{hold_connections, raise_file_limit};
use crate::health::Health;
use crate::http::{Crew, Site, Worker};
use crate::keygen::Leases;
use crate::marks::HighMarks;
use crate::shortener::{Parts, Shortener};
use crate::store::Store;
use crate::target::Targets;
use crate::warmer::Warmer;

/// How often click counts are stored.
const CLICK_FLUSH: Duration = Duration::from_secs(1);

/// Connections that the kernel has made and that wait to be taken in, at most.
const BACKLOG: i32 = 4_096;

/// Runs `proofload serve` until SIGTERM or SIGINT. An error is for the user: one line, with what would help.
pub fn serve(args: ServeArgs) -> anyhow::Result<()> {
    let mut config = args.check()?;
    let about_files = hold_connections(&mut config, raise_file_limit())?;
    let listener = bind(config.listen)?;
    let warnings = [about_replicas(&config), about_its_name(&config), about_files];
    run(config, listener, ended_by_signal(), |address| {
        // Once it serves: where it cannot, the reason stands alone.
        for warning in warnings.into_iter().flatten() {
            eprintln!("proofload: {warning}");
        }
        println!("listening on http://{address}");
    })
}

/// Who listens for others, and does not know by what name they see it, makes links that lead them nowhere.
fn about_its_name(config: &Config) -> Option<String> {
    (config.public_url.is_none() && config.listen.ip().is_unspecified()).then(|| {
        "no --public-url: short links begin with this machine's own address, which leads nowhere from elsewhere".to_owned()
    })
}

/// What to know before a second replica is started; none where replicas hear of one another's changes.
fn about_replicas(config: &Config) -> Option<String> {
    if config.redis_url.is_some() {
        return None;
    }
    Some(match config.cache_max_age {
        Some(age) => format!(
            "no --redis-url: a link that another replica changes is served as it was for up to {} s (--cache-max-age)",
            age.as_secs()
        ),
        None => "no --redis-url: a link that another replica changes is served as it was for as long as it is cached; \
                 run one replica, or give --redis-url or --cache-max-age"
            .to_owned(),
    })
}

/// Serves on a bound listener until `shutdown` resolves, then drains. `ready` is called once it answers and is warm.
pub fn run(
    config: Config,
    listener: std::net::TcpListener,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let home = runtime()?;
    let ended = home.block_on(run_at_home(config, listener, shutdown, ready));
    // Not waited for: a name that is still being resolved, which can take longer than all else.
    home.shutdown_background();
    ended
}

async fn run_at_home(
    config: Config,
    listener: std::net::TcpListener,
    shutdown: impl Future<Output = ()>,
    ready: impl FnOnce(SocketAddr),
) -> anyhow::Result<()> {
    let mut shutdown = pin!(shutdown);
    listener.set_nonblocking(true)?;
    let listener = TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let site = tokio::select! {
        site = build(&config, address) => site?,
        () = &mut shutdown => return Ok(()),
    };
    // Never cut off: the clicks that it has in hand would be lost. The last flush waits for it.
    tokio::spawn(flush_clicks(site.shortener.clone()));
    let tasks = [
        tokio::spawn(site.warmer.clone().watch()),
        tokio::spawn(forget_claims(site.shortener.clone())),
        tokio::spawn(drop_the_old(site.shortener.clone(), config.cache_max_age)),
    ];
    let (mut crew, workers) = Crew::muster(site.clone(), config.threads);
    let working = start(workers)?;
    ready(address);
    accept(&listener, &crew, shutdown).await;
    drain(&config, &site, listener, &mut crew, working).await;
    tasks.iter().for_each(|task| task.abort());
    let (flushed, ()) = tokio::join!(finish(&config, &site.shortener), settle(&config, &site.shortener));
    flushed
}

/// Connects to what the server needs, and warms the cache.
async fn build(config: &Config, address: SocketAddr) -> anyhow::Result<Arc<Site>> {
    let store = Store::connect(&config.database_url, &config.limits.store_options()).await;
    let store = at_database(&config.database_url, store)?;
    let codec = config.codec();
    let leases = Leases::with_patience(
        store.clone(),
        config.stack.clone(),
        config.keygen_url.as_deref(),
        config.redis_url.as_deref(),
        config.limits.keygen_timeout(),
    )?;
    let home = Handle::current();
    let (changes, redis, changes_task) = match &config.redis_url {
        Some(url) => {
            let (changes, task) = Changes::new(url)?;
            let redis = redis_level(config, url, &store, &changes).await?;
            (Some(changes), Some(redis), Some(task))
        }
        None => (None, None, None),
    };
    let creator = Creator::start(store.clone(), codec.clone(), leases.clone(), config.creator.clone(), &home);
    let public_base = config.public_base(address);
    let shortener = Shortener::new(Parts {
        marks: HighMarks::new(store.clone(), &codec),
        store,
        codec,
        creator,
        table: Table::new(config.capacity),
        targets: Targets::listening(config.limits.url, &public_base, address),
        public_base,
        store_timeout: config.limits.store_timeout(),
        changes,
        redis: redis.clone(),
        threads: config.threads,
        reads: config.limits.reads,
        unknown: config.limits.unknown,
        clicks: ClickLimits { pending: config.limits.pending_clicks, rows: config.limits.click_rows },
        home,
    });
    if let Some(task) = changes_task {
        hear_changes(&shortener, task, redis).await;
    }
    let warmer = Warmer::new(shortener.clone(), config.warmth);
    if !config.warmth.is_none()
        && let Err(error) = warmer.warm().await
    {
        eprintln!("proofload: the cache starts cold, and is warmed later: {error}");
    }
    let health = Health::new(shortener.clone(), leases);
    Ok(Site::new(config, shortener, warmer, health))
}

/// The cache level that replicas share. Where the settings switch it off here, others may use it.
async fn redis_level(
    config: &Config,
    url: &str,
    store: &Store,
    changes: &Changes,
) -> anyhow::Result<Arc<RedisLevel>> {
    let options = RedisLevelOptions {
        patience: config.limits.redis_timeout(),
        time_to_live: config.redis_time_to_live,
        longest_change: config.limits.store_timeout(),
    };
    let database = store.identity().await.context("--database-url")?;
    Ok(Arc::new(RedisLevel::new(url, &database, options, changes.trust())?))
}

/// Listens before warming, since hearing for the first time empties the cache. Without Redis the server starts all the
/// same, and caches nothing for long.
async fn hear_changes(shortener: &Arc<Shortener>, task: ChangesTask, redis: Option<Arc<RedisLevel>>) {
    let hearing = shortener.clone();
    tokio::spawn(task.run(redis, move |change| hearing.heard(change)));
    for _ in 0..100 {
        if shortener.hears_changes() == Some(true) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// One worker shares the home thread, since a second thread on one core would only cost switches; more have a thread
/// each. The receiver ends when all workers have.
fn start(workers: Vec<Worker>) -> anyhow::Result<tokio::sync::mpsc::Receiver<()>> {
    let (working, all_ended) = tokio::sync::mpsc::channel(1);
    let share_home = workers.len() == 1;
    for worker in workers {
        let working = working.clone();
        let work = async move {
            worker.work().await;
            drop(working);
        };
        if share_home {
            tokio::spawn(work);
        } else {
            let runtime = runtime()?;
            std::thread::Builder::new().name("http".into()).spawn(move || runtime.block_on(work))?;
        }
    }
    Ok(all_ended)
}

async fn accept(listener: &TcpListener, crew: &Crew, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            biased;
            () = &mut shutdown => return,
            accepted = listener.accept() => deal(crew, accepted).await,
        }
    }
}

async fn deal(crew: &Crew, accepted: io::Result<(tokio::net::TcpStream, SocketAddr)>) {
    match accepted {
        Ok((stream, address)) => crew.deal(stream, address).await,
        // Out of file descriptors, most likely: those that are open have to end first.
        Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
    }
}

/// Answers what still comes for a moment, each answer ending its connection; then closes idle connections and waits
/// for the answers under way. Nobody waits for ever.
async fn drain(
    config: &Config,
    site: &Site,
    listener: TcpListener,
    crew: &mut Crew,
    mut working: tokio::sync::mpsc::Receiver<()>,
) {
    site.drain();
    let grace = tokio::time::sleep(config.limits.drain_grace());
    tokio::select! {
        () = grace => {}
        () = accept_until_empty(&listener, crew) => {}
    }
    // Whoever connected before now is answered; closing the listener resets those that were not taken in.
    for _ in 0..BACKLOG {
        match tokio::time::timeout(Duration::ZERO, listener.accept()).await {
            Ok(accepted @ Ok(_)) => deal(crew, accepted).await,
            Ok(Err(_)) | Err(_) => break,
        }
    }
    drop(listener);
    crew.close();
    if tokio::time::timeout(config.limits.drain_timeout(), working.recv()).await.is_err() {
        crew.end();
        drop(tokio::time::timeout(Duration::from_secs(1), working.recv()).await);
    }
}

async fn accept_until_empty(listener: &TcpListener, crew: &Crew) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    ticks.tick().await;
    loop {
        tokio::select! {
            biased;
            accepted = listener.accept() => deal(crew, accepted).await,
            _ = ticks.tick() => if crew.open() == 0 { return },
        }
    }
}

/// Stores the last clicks. Creates were committed before they were answered, and all answers are given by now.
async fn finish(config: &Config, shortener: &Shortener) -> anyhow::Result<()> {
    const PAUSE: Duration = Duration::from_millis(50);
    let limit = config.limits.drain_timeout();
    let mut last_error = None;
    let flushing = async {
        // The first may meet but a connection that died while it lay idle.
        while let Err(error) = shortener.clicks.flush().await {
            last_error = Some(error);
            tokio::time::sleep(PAUSE).await;
        }
    };
    match (tokio::time::timeout(limit, flushing).await, last_error) {
        (Ok(()), _) => Ok(()),
        (Err(_), Some(error)) => {
            bail!("the last clicks could not be stored within {} ms: {error}", limit.as_millis())
        }
        (Err(_), None) => bail!("the last clicks could not be stored within {} ms", limit.as_millis()),
    }
}

/// Tells the other replicas what they have not been told, which dies with this process.
async fn settle(config: &Config, shortener: &Shortener) {
    let limit = config.limits.drain_timeout();
    if !shortener.settle_changes(limit).await {
        eprintln!(
            "proofload: other replicas could not be told within {} ms of links that were changed here, and may serve them as \
             they were: empty the caches of all (DELETE /api/cache)",
            limit.as_millis()
        );
    }
}

async fn flush_clicks(shortener: Arc<Shortener>) {
    let mut ticks = tokio::time::interval(CLICK_FLUSH);
    // The budget is of each second, also after a database that hung.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        // What could not be stored stays for the next time; /health shows why.
        drop(shortener.clicks.flush_due().await);
    }
}

/// Empties the table share by share, so that each link leaves it within the age that it may have, and the database is not
/// asked for all of them at once.
async fn drop_the_old(shortener: Arc<Shortener>, max_age: Option<Duration>) {
    let Some(max_age) = max_age else { return };
    let shares = shortener.table().shares();
    let mut ticks = tokio::time::interval(max_age / shares as u32);
    for share in (0..shares).cycle() {
        ticks.tick().await;
        shortener.table().clear_share(share);
    }
}

/// A day is long enough for any client's retries.
async fn forget_claims(shortener: Arc<Shortener>) {
    const KEPT: i64 = 86_400;
    let mut ticks = tokio::time::interval(Duration::from_secs(3_600));
    loop {
        ticks.tick().await;
        drop(shortener.store.forget_claims(crate::shortener::now() - KEPT).await);
    }
}

fn runtime() -> anyhow::Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn bind(address: SocketAddr) -> anyhow::Result<std::net::TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    let bound = socket.bind(&address.into()).and_then(|()| socket.listen(BACKLOG));
    match bound {
        Ok(()) => Ok(socket.into()),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            bail!(
                "--listen {address}: in use by another process: stop it, or choose another port (0 takes a free one)"
            )
        }
        Err(error) => bail!("--listen {address}: {error}"),
    }
}

pub(crate) async fn ended_by_signal() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
