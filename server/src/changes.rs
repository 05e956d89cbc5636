//! Tells the other replicas, over Redis, which links were changed, so that no cache serves them for longer than a second.

use anyhow::Context;
use futures_core::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

use crate::cache::redis::{CHANNEL, RedisLevel};
use crate::redis_client::RedisClient;

/// The sending side: what this process changed.
#[derive(Clone)]
pub struct Changes {
    redis: Arc<RedisClient>,
    created: mpsc::Sender<Box<str>>,
    untold: Arc<AtomicBool>,
    hears: Arc<AtomicBool>,
    trusts: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
}

/// Both ends of the channel, to be run on the home thread.
pub struct ChangesTask {
    redis: Arc<RedisClient>,
    created: mpsc::Receiver<Box<str>>,
    /// A change could not be told of one by one.
    untold: Arc<AtomicBool>,
    client: redis::Client,
    trust: Trust,
}

/// What a replica is told.
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a> {
    /// This link was changed.
    One(&'a str),
    /// Any link may have been changed.
    Any,
}

/// Said regularly, so that a connection on which nothing comes is known to be dead.
const HEARTBEAT: &str = "";
const ANY: &str = "*";
const BEAT: Duration = Duration::from_millis(200);
/// So long without a heartbeat, and messages may have been lost.
const SILENCE: Duration = Duration::from_millis(700);
/// And so long again, where it was this process that stood still.
const CATCHING_UP: Duration = Duration::from_millis(150);
/// While messages may be lost nothing is cached for longer than this, and the wait for a connection.
const DISTRUST: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_millis(250);
/// So long after hearing began or came back, links that are cached in Redis are left alone: who changed links while
/// Redis was away takes them out first.
const QUARANTINE: Duration = Duration::from_secs(1);
/// New codes that wait to be told of. Further ones are not: nobody remembers for a whole second that a code is unknown.
const MOST_WAITING: usize = 4_096;

impl Changes {
    pub fn new(redis_url: &str) -> anyhow::Result<(Changes, ChangesTask)> {
        let client = redis::Client::open(redis_url).context("--redis-url")?;
        let redis = Arc::new(RedisClient::new(redis_url, PATIENCE)?);
        let (sender, created) = mpsc::channel(MOST_WAITING);
        let (untold, trust) = (Arc::<AtomicBool>::default(), Trust::default());
        let changes = Changes {
            redis: redis.clone(),
            created: sender,
            untold: untold.clone(),
            hears: trust.hears.clone(),
            trusts: trust.trusts.clone(),
            lost: trust.lost.clone(),
        };
        Ok((changes, ChangesTask { redis, created, untold, client, trust }))
    }

    /// Tells all replicas, some time soon, of a code that they may remember as unknown.
    pub fn created(&self, code: &str) {
        drop(self.created.try_send(code.into()));
    }

    /// Tells all replicas of a link that they may have cached, and has `level` drop it; `begun` where Redis was told before
    /// the change too. Takes a quarter of a second at most. What cannot be told is made good by telling that any link may
    /// have been changed, as soon as that can be told.
    pub async fn changed(&self, code: &str, begun: bool, level: Option<&RedisLevel>) {
        let told = match level {
            Some(level) => level.end_change(code, begun).await,
            None => publish(&self.redis, code).await,
        };
        self.untold.fetch_or(!told, Relaxed);
    }

    /// Whether changes made elsewhere are heard of now.
    pub fn hears(&self) -> bool {
        self.hears.load(Relaxed)
    }

    /// Whether changes may have been missed, so that the cache was emptied to be safe, and nothing made up for it yet.
    pub fn lost_track(&self) -> bool {
        self.lost.load(Relaxed)
    }

    /// Says that this is made up for, or not, until it happens again; returns what was the case.
    pub fn set_lost_track(&self, lost: bool) -> bool {
        self.lost.swap(lost, Relaxed)
    }

    /// Says, now and later, whether what Redis has cached may be believed: changes are heard of, and have been for long
    /// enough.
    pub fn trust(&self) -> Arc<AtomicBool> {
        self.trusts.clone()
    }
}

impl ChangesTask {
    /// Announces and listens until it is dropped; `heard` is called with each change. Changes are taken out of `level`.
    pub async fn run(self, level: Option<Arc<RedisLevel>>, heard: impl Fn(Change<'_>)) {
        let listening = listen(&self.client, &self.trust, heard);
        tokio::join!(announce(&self.redis, self.created, &self.untold, level.as_deref()), listening);
    }
}

async fn announce(
    redis: &RedisClient,
    mut created: mpsc::Receiver<Box<str>>,
    untold: &AtomicBool,
    level: Option<&RedisLevel>,
) {
    let mut beats = tokio::time::interval(BEAT);
    loop {
        let code = tokio::select! {
            code = created.recv() => match code {
                Some(code) => code,
                None => return,
            },
            _ = beats.tick() => HEARTBEAT.into(),
        };
        if untold.swap(false, Relaxed) && !tell_any(redis, level).await {
            untold.store(true, Relaxed);
        } else if !publish(redis, &code).await {
            // By the time that Redis is back they are no news.
            while created.try_recv().is_ok() {}
        }
    }
}

async fn tell_any(redis: &RedisClient, level: Option<&RedisLevel>) -> bool {
    let is_empty = match level {
        Some(level) => level.empty().await,
        None => true,
    };
    is_empty && publish(redis, ANY).await
}

async fn publish(redis: &RedisClient, said: &str) -> bool {
    let published = redis.insist_on::<i64>(redis::cmd("PUBLISH").arg(CHANNEL).arg(said)).await;
    published.is_some_and(|receivers| receivers.is_ok())
}

/// What this process believes of Redis.
#[derive(Default)]
struct Trust {
    hears: Arc<AtomicBool>,
    trusts: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
}

/// Whenever messages may have been lost, everything may have been changed.
async fn listen(client: &redis::Client, trust: &Trust, heard: impl Fn(Change<'_>)) {
    loop {
        if let Ok(Ok(pubsub)) = tokio::time::timeout(PATIENCE, subscribe(client)).await {
            heard(Change::Any);
            trust.lost.store(true, Relaxed);
            trust.hears.store(true, Relaxed);
            listen_while_alive(pubsub, trust, &heard).await;
            trust.trusts.store(false, Relaxed);
            trust.hears.store(false, Relaxed);
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

async fn listen_while_alive(pubsub: redis::aio::PubSub, trust: &Trust, heard: &impl Fn(Change<'_>)) {
    let since = Instant::now();
    let mut messages = pubsub.into_on_message();
    let mut next = async || std::future::poll_fn(|context| Pin::new(&mut messages).poll_next(context)).await;
    loop {
        // A thread that was held up for so long has neither said nor read a heartbeat: it gets a moment to do both.
        let message = match tokio::time::timeout(SILENCE, next()).await {
            Err(_) => tokio::time::timeout(CATCHING_UP, next()).await,
            message => message,
        };
        let Ok(Some(message)) = message else { return };
        match message.get_payload::<String>().as_deref() {
            Ok(HEARTBEAT) => {}
            Ok(ANY) | Err(_) => heard(Change::Any),
            Ok(code) => heard(Change::One(code)),
        }
        trust.trusts.store(since.elapsed() >= QUARANTINE, Relaxed);
    }
}
