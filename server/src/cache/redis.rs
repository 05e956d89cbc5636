//! The cache level that replicas share: links in Redis, behind each process's own table.
//!
//! What may not happen: a slow reader puts back what it read before a change. So who finds nothing gets a lease, which
//! stands under the key; only a reader whose lease still stands there may store what it read. A change puts a tombstone
//! there before the database is touched, and takes it away afterwards, and either takes the lease away.
//!
//! ```text
//! under a key:  v<clicks> <expires> <url>   the link, for at most the time to live and never past its expiry
//!               l<token>                    a lease: someone reads the store; others read it too, and store nothing
//!               t<changes>                  a tombstone: the link is being changed; what is read now is kept nowhere
//! ```
//!
//! Keys bear the database's own name and the run of the Redis server: a Redis that was restarted, restored from a dump
//! or promoted from a replica may hold what was deleted since, and nobody asks it for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use redis::Cmd;

use crate::codes::Key;
use crate::redis_client::{RedisClient, Run};
use crate::store::{Link, entropy, unix_now};

/// How long the level may hold what.
#[derive(Debug, Clone, Copy)]
pub struct RedisLevelOptions {
    /// The longest a redirect waits for Redis.
    pub patience: Duration,
    /// How long a link may stay; none where this process neither looks links up there nor puts any. Those that others have
    /// there are taken out all the same when this one changes them.
    pub time_to_live: Option<Duration>,
    /// The longest a change may take in the database.
    pub longest_change: Duration,
}

pub struct RedisLevel {
    /// For redirects, which do not wait for it for long.
    redis: RedisClient,
    /// For changes, which must not be left out.
    changes: RedisClient,
    /// What the database is called.
    database: Box<str>,
    options: RedisLevelOptions,
    /// Whether this process hears of changes, and has for a while.
    trusted: Arc<AtomicBool>,
    tokens: (u64, AtomicU64),
}

/// What Redis knows of a code.
#[derive(Debug, PartialEq, Eq)]
pub enum Looked {
    Hit(Link),
    /// To be read from the store. With a lease, what was read may then be stored here.
    Miss(Option<Lease>),
    /// To be read from the store, and not to be kept.
    Changing,
}

/// The right to store what is read from now on, unless the link is changed meanwhile.
#[derive(Debug, PartialEq, Eq)]
pub struct Lease {
    key: String,
    token: String,
}

/// The channel that replicas hear of changes by.
pub const CHANNEL: &str = "proofload:changed";

/// A read that takes longer than this stores nothing.
const LEASE: Duration = Duration::from_secs(5);
/// How long a change waits for Redis, all in all.
pub const CHANGE_PATIENCE: Duration = Duration::from_millis(250);
/// Keys looked at in one step of emptying.
const STEP: usize = 1_000;

const FILL: &str = "\
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1";

/// Changes of one link may overlap: the tombstone counts them, and the last to end takes it away.
const BEGIN_CHANGE: &str = "\
local held = redis.call('GET', KEYS[1])
local changes = tonumber(held and string.match(held, '^t(%d+)$') or '0') + 1
redis.call('SET', KEYS[1], 't' .. changes, 'PX', ARGV[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])";

const END_CHANGE: &str = "\
local held = redis.call('GET', KEYS[1])
local changes = tonumber(held and string.match(held, '^t(%d+)$') or '0') - ARGV[1]
if changes > 0 then
  redis.call('SET', KEYS[1], 't' .. changes, 'PX', ARGV[4])
else
  redis.call('DEL', KEYS[1])
end
return redis.call('PUBLISH', ARGV[2], ARGV[3])";

/// Leases go too: who holds one may have read before the change that could not be told.
const EMPTY: &str = "\
local gone = 0
for _, key in ipairs(KEYS) do
  local held = redis.call('GET', key)
  if held and string.sub(held, 1, 1) ~= 't' then gone = gone + redis.call('UNLINK', key) end
end
return gone";

impl RedisLevel {
    /// `trusted` says whether the caller hears of changes; while it does not, nothing is taken from Redis.
    pub fn new(
        url: &str,
        database: &str,
        options: RedisLevelOptions,
        trusted: Arc<AtomicBool>,
    ) -> anyhow::Result<RedisLevel> {
        Ok(RedisLevel {
            redis: RedisClient::new(url, options.patience)?,
            changes: RedisClient::new(url, CHANGE_PATIENCE)?,
            database: database.into(),
            options,
            trusted,
            tokens: (entropy(), AtomicU64::new(0)),
        })
    }

    /// Looks a link up; takes no longer than the patience, and no time at all while Redis is found away.
    pub async fn look(&self, code: &str, key: &Key) -> Looked {
        if self.options.time_to_live.is_none() || !self.trusted.load(Relaxed) {
            return Looked::Miss(None);
        }
        let token = format!("l{:x}-{:x}", self.tokens.0, self.tokens.1.fetch_add(1, Relaxed));
        let mut asked = String::new();
        let command = |run: &Run| {
            asked = self.key(run, code);
            let mut set = redis::cmd("SET");
            set.arg(&asked).arg(&token).arg("NX").arg("GET").arg("PX").arg(millis(LEASE));
            set
        };
        match self.redis.ask_run::<Option<String>>(command).await {
            Some(Ok(None)) => Looked::Miss(Some(Lease { key: asked, token })),
            Some(Ok(Some(held))) => understood(&held, key),
            Some(Err(_)) | None => Looked::Miss(None),
        }
    }

    /// Stores what was read under a lease; says whether it was stored.
    pub async fn fill(&self, lease: Lease, link: &Link) -> bool {
        let left = link.expires.map_or(i64::MAX, |at| at - unix_now());
        let Some(time_to_live) = self.options.time_to_live.filter(|_| left > 0) else { return false };
        let life = time_to_live.min(Duration::from_secs(left.cast_unsigned()));
        let expires = link.expires.map_or("-".to_owned(), |at| at.to_string());
        let value = format!("v{} {expires} {}", link.clicks, link.url);
        let mut fill = redis::cmd("EVAL");
        fill.arg(FILL).arg(1).arg(lease.key).arg(lease.token).arg(value).arg(millis(life));
        self.redis.ask::<bool>(&fill).await.is_some_and(|stored| stored.unwrap_or(false))
    }

    /// Marks a link as being changed, and tells all replicas. To be called before the database is touched; false where
    /// Redis did not take it.
    pub async fn begin_change(&self, code: &str) -> bool {
        let command = |run: &Run| {
            let mut begin = self.script(BEGIN_CHANGE, run, code);
            begin.arg(millis(self.longest_change())).arg(CHANNEL).arg(code);
            begin
        };
        matches!(self.changes.insist::<i64>(command).await, Some(Ok(_)))
    }

    /// Takes the link out, unless others are still changing it, and tells all replicas. To be called after the database
    /// has committed; `begun` is what [`RedisLevel::begin_change`] said. False where Redis did not take it.
    pub async fn end_change(&self, code: &str, begun: bool) -> bool {
        let command = |run: &Run| {
            let mut end = self.script(END_CHANGE, run, code);
            end.arg(u8::from(begun)).arg(CHANNEL).arg(code).arg(millis(self.longest_change()));
            end
        };
        matches!(self.changes.insist::<i64>(command).await, Some(Ok(_)))
    }

    /// Takes out every link of this database, in small steps; false where Redis went away meanwhile.
    pub async fn empty(&self) -> bool {
        let mut cursor = 0;
        loop {
            let scan = |run: &Run| {
                let mut scan = redis::cmd("SCAN");
                scan.arg(cursor).arg("MATCH").arg(self.key(run, "*")).arg("COUNT").arg(STEP);
                scan
            };
            let found = self.changes.insist::<(u64, Vec<String>)>(scan).await;
            let Some(Ok((next, keys))) = found else { return false };
            if !keys.is_empty() && !self.empty_step(&keys).await {
                return false;
            }
            if next == 0 {
                return true;
            }
            cursor = next;
        }
    }

    /// Whether changes may have been told on another Redis than that which they are told on now, since this was asked.
    pub fn take_move(&self) -> bool {
        self.changes.take_move()
    }

    pub fn has_moved(&self) -> bool {
        self.changes.has_moved()
    }

    /// Gives its connections up, so that they lead where new ones do.
    pub async fn leave(&self) {
        self.changes.leave().await;
        self.redis.leave().await;
    }

    async fn empty_step(&self, keys: &[String]) -> bool {
        let empty = |_: &Run| {
            let mut empty = redis::cmd("EVAL");
            empty.arg(EMPTY).arg(keys.len()).arg(keys);
            empty
        };
        matches!(self.changes.insist::<i64>(empty).await, Some(Ok(_)))
    }

    fn script(&self, text: &str, run: &Run, code: &str) -> Cmd {
        let mut script = redis::cmd("EVAL");
        script.arg(text).arg(1).arg(self.key(run, code));
        script
    }

    fn key(&self, run: &Run, code: &str) -> String {
        format!("proofload:link:{}:{}:{code}", self.database, run.as_str())
    }

    /// A tombstone outlives the statement, and the client's wait for it.
    fn longest_change(&self) -> Duration {
        self.options.longest_change * 2 + CHANGE_PATIENCE
    }
}

fn understood(held: &str, key: &Key) -> Looked {
    match held.as_bytes().first() {
        Some(b'v') => link(&held[1..], key).map_or(Looked::Miss(None), Looked::Hit),
        Some(b't') => Looked::Changing,
        _ => Looked::Miss(None),
    }
}

/// `<clicks> <expires> <url>`; when it was created is not told, since no redirect needs it.
fn link(value: &str, key: &Key) -> Option<Link> {
    let (clicks, rest) = value.split_once(' ')?;
    let (expires, url) = rest.split_once(' ')?;
    let expires = match expires {
        "-" => None,
        at => Some(at.parse().ok()?),
    };
    Some(Link { key: key.clone(), url: url.to_owned(), created: 0, expires, clicks: clicks.parse().ok()? })
}

fn millis(duration: Duration) -> u64 {
    duration.as_millis().max(1) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_understood_and_nonsense_is_a_miss() {
        let key = Key::Generated(7);
        let url = "https://example.com/a b?c".to_owned();
        let known = Link { key: key.clone(), url, created: 0, expires: Some(99), clicks: 3 };
        assert_eq!(understood("v3 99 https://example.com/a b?c", &key), Looked::Hit(known));
        assert_eq!(understood("t2", &key), Looked::Changing);
        for held in
            ["", "l7f-0", "v", "v3", "v3 99", "vx - https://example.com", "v3 soon https://example.com"]
        {
            assert_eq!(understood(held, &key), Looked::Miss(None), "{held:?}");
        }
    }
}
