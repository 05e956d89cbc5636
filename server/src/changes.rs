//! Tells the other replicas, over Redis, which links were changed, so that no cache serves them for longer than a second.

use anyhow::Context;
use futures_core::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

use crate::cache::redis::{CHANNEL, RedisLevel};

/// The sending side: what this process changed.
#[derive(Clone)]
pub struct Changes {
    announced: mpsc::Sender<Said>,
    /// More was changed than could be announced one by one.
    overflowed: Arc<AtomicBool>,
    hears: Arc<AtomicBool>,
    trusts: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
}

/// What this process has to tell.
#[derive(Debug)]
pub enum Said {
    /// A code that other replicas may remember as unknown.
    Created(Box<str>),
    /// A link that other replicas may have cached; `begun` where Redis was told before the change too.
    Changed { code: Box<str>, begun: bool },
}

impl Said {
    pub fn code(&self) -> &str {
        match self {
            Said::Created(code) | Said::Changed { code, .. } => code,
        }
    }
}

/// Both ends of the channel, to be run on the home thread.
pub struct ChangesTask {
    client: redis::Client,
    announced: mpsc::Receiver<Said>,
    overflowed: Arc<AtomicBool>,
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
/// Announcements that wait for Redis; beyond that all of the caches are emptied instead.
const MOST_WAITING: usize = 4_096;

impl Changes {
    pub fn new(redis_url: &str) -> anyhow::Result<(Changes, ChangesTask)> {
        let client = redis::Client::open(redis_url).context("--redis-url")?;
        let (sender, announced) = mpsc::channel(MOST_WAITING);
        let trust = Trust::default();
        let changes = Changes {
            announced: sender,
            overflowed: Arc::default(),
            hears: trust.hears.clone(),
            trusts: trust.trusts.clone(),
            lost: trust.lost.clone(),
        };
        let overflowed = changes.overflowed.clone();
        Ok((changes, ChangesTask { client, announced, overflowed, trust }))
    }

    /// Tells all replicas.
    pub fn announce(&self, said: Said) {
        if self.announced.try_send(said).is_err() {
            self.overflowed.store(true, Relaxed);
        }
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
        let Self { client, announced, overflowed, trust } = self;
        let teller = Teller { client: client.clone(), connection: None, level };
        tokio::join!(announce_all(teller, announced, &overflowed), listen(&client, &trust, heard));
    }
}

/// What could not be said is made good by an announcement that any link may have been changed.
async fn announce_all(mut teller: Teller, mut announced: mpsc::Receiver<Said>, overflowed: &AtomicBool) {
    let mut beats = tokio::time::interval(BEAT);
    loop {
        let said = tokio::select! {
            said = announced.recv() => match said {
                Some(said) => Some(said),
                None => return,
            },
            _ = beats.tick() => None,
        };
        let told = if overflowed.swap(false, Relaxed) {
            let told = teller.tell_any().await;
            overflowed.fetch_or(!told, Relaxed);
            told
        } else {
            true
        };
        let told = match &said {
            None => told && teller.publish(HEARTBEAT).await,
            Some(said) => told && teller.tell(said).await,
        };
        if !told && said.is_some() {
            overflowed.store(true, Relaxed);
        }
    }
}

/// The sending connection, and the level that changed links are taken out of.
struct Teller {
    client: redis::Client,
    connection: Option<redis::aio::MultiplexedConnection>,
    level: Option<Arc<RedisLevel>>,
}

impl Teller {
    async fn tell(&mut self, said: &Said) -> bool {
        match (&self.level, said) {
            (Some(level), Said::Changed { code, begun }) => level.end_change(code, *begun).await,
            (None, Said::Changed { code, .. }) | (_, Said::Created(code)) => self.publish(code).await,
        }
    }

    async fn tell_any(&mut self) -> bool {
        if let Some(level) = &self.level
            && !level.empty().await
        {
            return false;
        }
        self.publish(ANY).await
    }

    async fn publish(&mut self, said: &str) -> bool {
        let published = publish(&self.client, &mut self.connection, said).await.is_ok();
        if !published {
            self.connection = None;
        }
        published
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
