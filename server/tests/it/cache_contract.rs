//! What every cache level must keep to, run against memory and Redis.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::support::Redis;
use proofload_server::cache::flight::{Joined, Ticket};
use proofload_server::cache::memory::{Keep, Memory};
use proofload_server::cache::redis::{Lease, Looked, RedisLevel, RedisLevelOptions};
use proofload_server::cache::table::{Cached, Capacity, Name, Newcomer, Table};
use proofload_server::codes::{Codec, Key, PUBLIC_DEFAULT_KEY};
use proofload_server::store::{Link, unix_now};

#[tokio::test]
async fn memory_keeps_the_contract() {
    for (name, clause) in CONTRACT {
        eprintln!("memory: {name}");
        clause(Level::Memory(Memory::new(Table::new(Capacity::Entries(1_000)), 1_000))).await;
    }
}

#[tokio::test]
async fn redis_keeps_the_contract() {
    let redis = Redis::start().await;
    for (name, clause) in CONTRACT {
        eprintln!("redis: {name}");
        clause(Level::Redis(Box::new(level(&redis, name, true)))).await;
    }
}

type Clause = fn(Level) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

macro_rules! contract {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |level| Box::pin($name(level)))),*]
    };
}

const CONTRACT: &[(&str, Clause)] = contract![
    what_was_read_is_found,
    codes_of_all_kinds_stay_apart,
    a_change_takes_the_link_out,
    a_read_that_a_change_overtook_is_not_kept,
    a_read_begun_during_a_change_is_not_kept_beyond_it,
    of_two_reads_at_once_one_is_kept,
    what_has_expired_leads_nowhere,
    emptied_it_holds_nothing_and_takes_no_earlier_read,
];

/// A cache level, whichever it is.
enum Level {
    Memory(Memory<()>),
    Redis(Box<RedisLevel>),
}

/// A read of the store under way.
enum Read {
    Memory(Ticket<()>),
    Redis(Lease),
    /// What comes of it is not kept.
    ForNothing,
}

impl Level {
    /// Where a code leads as far as the level knows, or else the read that is to find out.
    async fn look(&self, code: &str) -> Result<String, Read> {
        match self {
            Level::Memory(memory) => {
                let now = || unix_now() as u32;
                if let Cached::Found(url) = memory.table().get(Name::of(code), now) {
                    return Ok(String::from_utf8(url.to_vec()).unwrap());
                }
                Err(match memory.join(code) {
                    Joined::First(ticket, _) => Read::Memory(ticket),
                    Joined::Waiter(_) => Read::ForNothing,
                })
            }
            Level::Redis(redis) => match redis.look(code, &key(code)).await {
                Looked::Hit(link) => Ok(link.url),
                Looked::Miss(Some(lease)) => Err(Read::Redis(lease)),
                Looked::Miss(None) | Looked::Changing => Err(Read::ForNothing),
            },
        }
    }

    /// Ends a read with what it found.
    async fn land(&self, read: Read, code: &str, found: &Link) {
        match (self, read) {
            (Level::Memory(memory), Read::Memory(ticket)) => {
                let link = Newcomer { url: &found.url, expires: found.expires, clicks: found.clicks };
                memory.land(ticket, code, (), Keep::Link(link));
            }
            (Level::Redis(redis), Read::Redis(lease)) => drop(redis.fill(lease, found).await),
            (_, _) => {}
        }
    }

    async fn begin_change(&self, code: &str) {
        match self {
            Level::Memory(_) => {}
            Level::Redis(redis) => assert!(redis.begin_change(code).await),
        }
    }

    async fn end_change(&self, code: &str) {
        match self {
            Level::Memory(memory) => memory.forget(code),
            Level::Redis(redis) => assert!(redis.end_change(code, true).await),
        }
    }

    async fn change(&self, code: &str) {
        self.begin_change(code).await;
        self.end_change(code).await;
    }

    async fn empty(&self) {
        match self {
            Level::Memory(memory) => memory.forget_all(),
            Level::Redis(redis) => assert!(redis.empty().await),
        }
    }

    /// Begins a read; the level must not know the code.
    async fn miss(&self, code: &str) -> Read {
        self.look(code).await.expect_err("a miss")
    }

    /// Reads and keeps a link.
    async fn learn(&self, code: &str, url: &str) {
        let read = self.miss(code).await;
        self.land(read, code, &link(code, url)).await;
    }

    async fn knows(&self, code: &str) -> Option<String> {
        self.look(code).await.ok()
    }
}

const OLD: &str = "https://example.com/old";
const NEW: &str = "https://example.com/new?a b";

fn key(code: &str) -> Key {
    Codec::new(&PUBLIC_DEFAULT_KEY).key(code).unwrap_or_else(|| Key::Custom(code.into()))
}

fn link(code: &str, url: &str) -> Link {
    Link { key: key(code), url: url.to_owned(), created: 0, expires: None, clicks: 3 }
}

fn level(redis: &Redis, database: &str, trusted: bool) -> RedisLevel {
    let options = RedisLevelOptions {
        patience: Duration::from_secs(10),
        time_to_live: Some(Duration::from_secs(100)),
        longest_change: Duration::from_secs(20),
    };
    RedisLevel::new(&redis.url(), database, options, Arc::new(AtomicBool::new(trusted))).unwrap()
}

async fn what_was_read_is_found(level: Level) {
    level.learn("abcdEF12", OLD).await;
    assert_eq!(level.knows("abcdEF12").await.as_deref(), Some(OLD));
    assert_eq!(level.knows("abcdEF12").await.as_deref(), Some(OLD), "looking does not take it out");
}

async fn codes_of_all_kinds_stay_apart(level: Level) {
    let codes = ["abcdEF12", "abcdEF13", "my-code", "x", "abcdEF1-", "überlang", "a:b c*"];
    for code in codes {
        level.learn(code, &format!("https://example.com/{code}")).await;
    }
    for code in codes {
        assert_eq!(level.knows(code).await, Some(format!("https://example.com/{code}")));
    }
}

async fn a_change_takes_the_link_out(level: Level) {
    level.learn("my-code", OLD).await;
    level.learn("other-code", OLD).await;
    level.change("my-code").await;
    level.learn("my-code", NEW).await;
    assert_eq!(level.knows("my-code").await.as_deref(), Some(NEW));
    assert_eq!(level.knows("other-code").await.as_deref(), Some(OLD), "and no other");
}

async fn a_read_that_a_change_overtook_is_not_kept(level: Level) {
    let slow = level.miss("my-code").await;
    level.change("my-code").await;
    level.land(slow, "my-code", &link("my-code", OLD)).await;
    let slow = level.miss("my-code").await;
    level.change("my-code").await;
    level.learn("my-code", NEW).await;
    level.land(slow, "my-code", &link("my-code", OLD)).await;
    assert_eq!(level.knows("my-code").await.as_deref(), Some(NEW));
}

async fn a_read_begun_during_a_change_is_not_kept_beyond_it(level: Level) {
    level.begin_change("my-code").await;
    let early = level.miss("my-code").await;
    level.land(early, "my-code", &link("my-code", OLD)).await;
    if let Err(late) = level.look("my-code").await {
        level.end_change("my-code").await;
        level.land(late, "my-code", &link("my-code", OLD)).await;
    } else {
        level.end_change("my-code").await;
    }
    assert_eq!(level.knows("my-code").await, None);
}

async fn of_two_reads_at_once_one_is_kept(level: Level) {
    let first = level.miss("my-code").await;
    assert!(matches!(level.miss("my-code").await, Read::ForNothing));
    level.land(first, "my-code", &link("my-code", NEW)).await;
    assert_eq!(level.knows("my-code").await.as_deref(), Some(NEW));
}

async fn what_has_expired_leads_nowhere(level: Level) {
    let read = level.miss("my-code").await;
    let expired = Link { expires: Some(unix_now() - 1), ..link("my-code", OLD) };
    level.land(read, "my-code", &expired).await;
    assert_eq!(level.knows("my-code").await, None);
}

async fn emptied_it_holds_nothing_and_takes_no_earlier_read(level: Level) {
    for n in 0..50 {
        level.learn(&format!("my-code-{n}"), OLD).await;
    }
    let slow = level.miss("slow-code").await;
    level.empty().await;
    level.land(slow, "slow-code", &link("slow-code", OLD)).await;
    assert_eq!(level.knows("slow-code").await, None);
    for n in 0..50 {
        assert_eq!(level.knows(&format!("my-code-{n}")).await, None);
    }
}

/// All keys of the level, in no order.
async fn keys(redis: &Redis) -> Vec<String> {
    redis.ask(&["KEYS", "proofload:link:*"]).await
}

#[tokio::test]
async fn a_link_stays_in_redis_no_longer_than_it_may() {
    let redis = Redis::start().await;
    let level = Level::Redis(Box::new(level(&redis, "a", true)));
    level.learn("my-code", OLD).await;
    let life: i64 = redis.ask(&["PTTL", &keys(&redis).await[0]]).await;
    assert!((1..=100_000).contains(&life), "{life}");
    level.empty().await;
    let read = level.miss("my-code").await;
    level.land(read, "my-code", &Link { expires: Some(unix_now() + 50), ..link("my-code", OLD) }).await;
    let life: i64 = redis.ask(&["PTTL", &keys(&redis).await[0]]).await;
    assert!((1..=50_000).contains(&life), "{life}");
}

#[tokio::test]
async fn the_last_of_several_changes_lets_readers_in_again() {
    let redis = Redis::start().await;
    let level = level(&redis, "a", true);
    let key = key("my-code");
    assert!(level.begin_change("my-code").await && level.begin_change("my-code").await);
    assert!(level.end_change("my-code", true).await);
    assert_eq!(level.look("my-code", &key).await, Looked::Changing, "the other is still under way");
    assert!(level.end_change("my-code", false).await, "a change that Redis was not told of before");
    assert_eq!(level.look("my-code", &key).await, Looked::Changing);
    let life: i64 = redis.ask(&["PTTL", &keys(&redis).await[0]]).await;
    assert!(life > 0, "a server that is killed half way blocks nobody for ever");
    assert!(level.end_change("my-code", true).await);
    assert!(matches!(level.look("my-code", &key).await, Looked::Miss(Some(_))));
}

#[tokio::test]
async fn databases_that_share_a_redis_and_levels_without_trust_see_nothing() {
    let redis = Redis::start().await;
    let (here, elsewhere) =
        (Level::Redis(Box::new(level(&redis, "a", true))), Level::Redis(Box::new(level(&redis, "b", true))));
    here.learn("my-code", OLD).await;
    assert_eq!(elsewhere.knows("my-code").await, None);
    elsewhere.empty().await;
    assert_eq!(here.knows("my-code").await.as_deref(), Some(OLD));
    let distrustful = level(&redis, "a", false);
    assert_eq!(distrustful.look("my-code", &key("my-code")).await, Looked::Miss(None));
}

#[tokio::test]
async fn what_a_restarted_redis_finds_again_is_not_believed() {
    let mut redis = Redis::start().await;
    let level = level(&redis, "a", true);
    let Looked::Miss(Some(lease)) = level.look("my-code", &key("my-code")).await else { panic!("a lease") };
    assert!(level.fill(lease, &link("my-code", OLD)).await);
    let _: String = redis.ask(&["SAVE"]).await;
    redis.kill();
    assert_eq!(level.look("my-code", &key("my-code")).await, Looked::Miss(None), "away is a miss");
    assert!(!level.begin_change("my-code").await && !level.empty().await);
    redis.restart().await;
    assert_eq!(keys(&redis).await.len(), 1, "the dump was loaded");
    loop {
        match level.look("my-code", &key("my-code")).await {
            Looked::Miss(Some(_)) => break,
            Looked::Miss(None) => tokio::task::yield_now().await,
            other => panic!("{other:?}"),
        }
    }
}
