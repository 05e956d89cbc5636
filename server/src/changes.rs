//! Tells the other replicas, over Redis, which links were changed, so that no cache serves them for longer than a second.

use anyhow::Context;
use futures_core::Stream;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use crate::cache::redis::{CHANNEL, RedisLevel};
use crate::redis_client::RedisClient;

/// The sending side: what this process changed.
#[derive(Clone)]
pub struct Changes {
    redis: Arc<RedisClient>,
    created: mpsc::Sender<Box<str>>,
    owed: Arc<Owed>,
    hears: Arc<AtomicBool>,
    trusts: Arc<AtomicBool>,
    lost: Arc<AtomicBool>,
}

/// Both ends of the channel, to be run on the home thread.
pub struct ChangesTask {
    redis: Arc<RedisClient>,
    created: mpsc::Receiver<Box<str>>,
    owed: Arc<Owed>,
    client: redis::Client,
    trust: Trust,
}

/// What could not be done when links were changed, and is made good for later.
#[derive(Default)]
struct Owed {
    /// To tell that any link may have been changed, for changes that could not be told of one by one.
    any: Debt,
    /// To empty Redis, for changes that it did not take in, so that it may hold links as they were before.
    emptying: Debt,
    /// To tell of changes that are under way.
    telling: Debt,
}

/// Counts what is owed, so that what is added while it is being paid stays owed.
#[derive(Default)]
struct Debt {
    owed: AtomicU64,
    paid: AtomicU64,
}

/// A change under way, which is to be told of; held until it was.
pub struct Telling(Arc<Owed>);

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
/// Said in its place as long as Redis may hold links as they were before a change.
const STALE: &str = "!";
const ANY: &str = "*";
const BEAT: Duration = Duration::from_millis(200);
/// So long without a heartbeat, and messages may have been lost.
const SILENCE: Duration = Duration::from_millis(700);
/// And so long again, since it may be this process that stood still.
const CATCHING_UP: Duration = Duration::from_millis(150);
/// While messages may be lost nothing is cached for longer than this, and the wait for a connection.
const DISTRUST: Duration = Duration::from_millis(250);
const PATIENCE: Duration = Duration::from_millis(250);
/// So long after hearing began or came back, and after it was last said that Redis may hold what was before a change, links
/// that are cached there are left alone: who changed links while Redis was away, or refused, takes them out first.
const QUARANTINE: Duration = Duration::from_secs(1);
/// New codes that wait to be told of. Further ones are not: nobody remembers for a whole second that a code is unknown.
const MOST_WAITING: usize = 4_096;

impl Changes {
    pub fn new(redis_url: &str) -> anyhow::Result<(Changes, ChangesTask)> {
        let client = redis::Client::open(redis_url).context("--redis-url")?;
        let redis = Arc::new(RedisClient::new(redis_url, PATIENCE)?);
        let (sender, created) = mpsc::channel(MOST_WAITING);
        let (owed, trust) = (Arc::<Owed>::default(), Trust::default());
        let changes = Changes {
            redis: redis.clone(),
            created: sender,
            owed: owed.clone(),
            hears: trust.hears.clone(),
            trusts: trust.trusts.clone(),
            lost: trust.lost.clone(),
        };
        Ok((changes, ChangesTask { redis, created, owed, client, trust }))
    }

    /// Tells all replicas, some time soon, of a code that they may remember as unknown.
    pub fn created(&self, code: &str) {
        drop(self.created.try_send(code.into()));
    }

    /// Tells all replicas of a link that they may have cached, and has `level` drop it; `begun` where Redis was told before
    /// the change too. Takes three quarters of a second at most. A Redis that refuses to drop it is not believed until it was
    /// emptied, and what cannot be told is made good by telling that any link may have been changed, as soon as either can be
    /// done.
    pub async fn changed(&self, code: &str, begun: bool, level: Option<&RedisLevel>) {
        let is_dropped = match level {
            Some(level) => level.end_change(code, begun).await,
            None => false,
        };
        if is_dropped {
            return;
        }
        if level.is_some() {
            self.owed.emptying.owe();
        }
        // In this order: what a replica drops it would find again in Redis.
        let told = (level.is_none() || publish(&self.redis, STALE).await) && publish(&self.redis, code).await;
        if !told {
            self.owed.any.owe();
        }
    }

    /// To be held from before a change until [`Changes::changed`] is done with it.
    pub fn telling(&self) -> Telling {
        self.owed.telling.owe();
        Telling(self.owed.clone())
    }

    /// Waits until nothing is owed to anybody; false where it still is when `limit` is over.
    pub async fn settle(&self, level: Option<&RedisLevel>, limit: Duration) -> bool {
        let settled = async {
            while !self.owed.is_paid() || self.redis.has_moved() || level.is_some_and(RedisLevel::has_moved) {
                tokio::time::sleep(BEAT / 4).await;
            }
        };
        tokio::time::timeout(limit, settled).await.is_ok()
    }

    /// Says that links may have been changed by others than us, so that nobody believes Redis until it was emptied.
    pub fn owe_emptying(&self) {
        self.owed.emptying.owe();
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
        let level = level.as_deref();
        let announcing = announce(&self.redis, level, self.created, &self.owed);
        let listening = listen(&self.client, &self.trust, heard);
        tokio::join!(announcing, listening, empty(level, &self.owed));
    }
}

impl Owed {
    fn is_paid(&self) -> bool {
        [&self.any, &self.emptying, &self.telling].into_iter().all(Debt::is_paid)
    }
}

impl Debt {
    fn owe(&self) {
        self.owed.fetch_add(1, Relaxed);
    }

    /// All that was ever owed, to be handed to [`Debt::pay`] when it was made good for.
    fn sum(&self) -> u64 {
        self.owed.load(Relaxed)
    }

    fn pay(&self, sum: u64) {
        self.paid.store(sum, Relaxed);
    }

    fn is_paid(&self) -> bool {
        self.paid.load(Relaxed) == self.sum()
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.0.telling.paid.fetch_add(1, Relaxed);
    }
}

async fn announce(
    redis: &RedisClient,
    level: Option<&RedisLevel>,
    mut created: mpsc::Receiver<Box<str>>,
    owed: &Owed,
) {
    let mut beats = interval(BEAT);
    loop {
        tokio::select! {
            code = created.recv() => {
                let Some(code) = code else { return };
                if !publish(redis, &code).await {
                    // By the time that Redis is back they are no news.
                    while created.try_recv().is_ok() {}
                }
            }
            _ = beats.tick() => {
                follow(redis, level, owed).await;
                beat(redis, owed).await;
            }
        }
    }
}

/// Where Redis is another run than it was, replicas that were here before us have not heard what we told on the other, and
/// may have put links here as they were before it. Each that moves tells them, so that the last one does, too.
async fn follow(redis: &RedisClient, level: Option<&RedisLevel>, owed: &Owed) {
    // Both are asked, whatever the first says.
    if !(redis.take_move() | level.is_some_and(RedisLevel::take_move)) {
        return;
    }
    owed.any.owe();
    if level.is_some() {
        owed.emptying.owe();
    }
    // One connection that moved takes the others along: what is emptied, told and looked up is to be so on one Redis.
    redis.leave().await;
    if let Some(level) = level {
        level.leave().await;
    }
}

async fn beat(redis: &RedisClient, owed: &Owed) {
    // In this order: whoever owes that any link was changed owes, if so, the emptying before it.
    let (any, is_told) = (owed.any.sum(), owed.any.is_paid());
    let said = if owed.emptying.is_paid() { HEARTBEAT } else { STALE };
    if publish(redis, said).await && (is_told || publish(redis, ANY).await) {
        owed.any.pay(any);
    }
}

/// Empties Redis whenever it refused a change, beside the heartbeats, since many links take a while.
async fn empty(level: Option<&RedisLevel>, owed: &Owed) {
    let Some(level) = level else { return };
    let mut tries = interval(BEAT);
    tries.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tries.tick().await;
        let sum = owed.emptying.sum();
        if !owed.emptying.is_paid() && level.empty().await {
            owed.emptying.pay(sum);
        }
    }
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
    let mut since = Instant::now();
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
            Ok(STALE) => since = Instant::now(),
            Ok(ANY) | Err(_) => {
                heard(Change::Any);
                trust.lost.store(true, Relaxed);
            }
            Ok(code) => heard(Change::One(code)),
        }
        trust.trusts.store(since.elapsed() >= QUARANTINE, Relaxed);
    }
}
