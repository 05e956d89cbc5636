//! Tells the other replicas, over Redis, which links were changed, so that no cache serves them for longer than a second.

use anyhow::Context;
use futures_core::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;

/// The sending side: what this process changed.
#[derive(Clone)]
pub struct Changes {
    announced: mpsc::Sender<Box<str>>,
    /// More was changed than could be announced one by one.
    overflowed: Arc<AtomicBool>,
    hears: Arc<AtomicBool>,
}

/// Both ends of the channel, to be run on the home thread.
pub struct ChangesTask {
    client: redis::Client,
    announced: mpsc::Receiver<Box<str>>,
    overflowed: Arc<AtomicBool>,
    hears: Arc<AtomicBool>,
}

/// What a replica is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// This link was changed.
    One(&'a str),
    /// Any link may have been changed.
    Any,
}

const CHANNEL: &str = "proofload:changed";
/// Said regularly, so that a connection on which nothing comes is known to be dead.
const HEARTBEAT: &str = "";
const ANY: &str = "*";
const BEAT: Duration = Duration::from_millis(200);
/// So long without a heartbeat, and messages may have been lost.
const SILENCE: Duration = Duration::from_millis(700);
/// While messages may be lost nothing is cached for longer than this, and the wait for a connection.
const DISTRUST: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_millis(250);
/// Announcements that wait for Redis; beyond that all of the caches are emptied instead.
const MOST_WAITING: usize = 4_096;

impl Changes {
    pub fn new(redis_url: &str) -> anyhow::Result<(Changes, ChangesTask)> {
        let client = redis::Client::open(redis_url).context("--redis-url")?;
        let (sender, announced) = mpsc::channel(MOST_WAITING);
        let (overflowed, hears) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
        let task = ChangesTask { client, announced, overflowed: overflowed.clone(), hears: hears.clone() };
        Ok((Changes { announced: sender, overflowed, hears }, task))
    }

    /// Tells all replicas that this link was changed.
    pub fn announce(&self, code: &str) {
        if self.announced.try_send(code.into()).is_err() {
            self.overflowed.store(true, Relaxed);
        }
    }

    /// Whether changes made elsewhere are heard of now.
    pub fn hears(&self) -> bool {
        self.hears.load(Relaxed)
    }
}

impl ChangesTask {
    /// Announces and listens until it is dropped; `heard` is called with each change.
    pub async fn run(self, heard: impl Fn(Change<'_>)) {
        let Self { client, announced, overflowed, hears } = self;
        tokio::join!(announce_all(&client, announced, &overflowed), listen(&client, &hears, heard));
    }
}

/// What could not be said is made good by an announcement that any link may have been changed.
async fn announce_all(
    client: &redis::Client,
    mut announced: mpsc::Receiver<Box<str>>,
    overflowed: &AtomicBool,
) {
    let mut beats = tokio::time::interval(BEAT);
    let mut connection = None;
    loop {
        let code = tokio::select! {
            code = announced.recv() => match code {
                Some(code) => code,
                None => return,
            },
            _ = beats.tick() => HEARTBEAT.into(),
        };
        let said = if overflowed.swap(false, Relaxed) { ANY } else { &*code };
        if publish(client, &mut connection, said).await.is_err() {
            connection = None;
            if said != HEARTBEAT {
                overflowed.store(true, Relaxed);
            }
        }
    }
}

async fn publish(
    client: &redis::Client,
    kept: &mut Option<redis::aio::MultiplexedConnection>,
    said: &str,
) -> redis::RedisResult<()> {
    let connection = match kept {
        Some(connection) => connection,
        None => {
            let config = redis::AsyncConnectionConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE));
            kept.insert(client.get_multiplexed_async_connection_with_config(&config).await?)
        }
    };
    redis::cmd("PUBLISH").arg(CHANNEL).arg(said).query_async(connection).await
}

/// Whenever messages may have been lost, everything may have been changed.
async fn listen(client: &redis::Client, hears: &AtomicBool, heard: impl Fn(Change<'_>)) {
    loop {
        if let Ok(Ok(pubsub)) = tokio::time::timeout(PATIENCE, subscribe(client)).await {
            heard(Change::Any);
            hears.store(true, Relaxed);
            listen_while_alive(pubsub, &heard).await;
            hears.store(false, Relaxed);
        }
        heard(Change::Any);
        tokio::time::sleep(DISTRUST).await;
    }
}

async fn subscribe(client: &redis::Client) -> redis::RedisResult<redis::aio::PubSub> {
    let mut pubsub = client.get_async_pubsub().await?;
    pubsub.subscribe(CHANNEL).await?;
    Ok(pubsub)
}

async fn listen_while_alive(pubsub: redis::aio::PubSub, heard: &impl Fn(Change<'_>)) {
    let mut messages = pubsub.into_on_message();
    let mut next = async || std::future::poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await;
    while let Ok(Some(message)) = tokio::time::timeout(SILENCE, next()).await {
        match message.get_payload::<String>().as_deref() {
            Ok(HEARTBEAT) => {}
            Ok(ANY) | Err(_) => heard(Change::Any),
            Ok(code) => heard(Change::One(code)),
        }
    }
}
