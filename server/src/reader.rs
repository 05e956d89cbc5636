//! Finds the links that this process's own table does not have: in Redis, then in the store, one read at a time for each.

use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::time::{Instant, timeout_at};

use crate::cache::flight::{self, Joined, Ticket};
use crate::cache::memory::{Keep, Memory};
use crate::cache::redis::{Lease, Looked, RedisLevel};
use crate::cache::table::{Entry, Name, Newcomer, Table};
use crate::codes::{Codec, Key};
use crate::marks::HighMarks;
use crate::metrics::{Level, Tally};
use crate::places::Places;
use crate::store::{Link, Store, StoreError, unix_now};
use crate::target::is_safe;

/// Where a code leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    Found(Bytes),
    /// There was a link, and it has expired.
    Gone,
    NotFound,
}

/// The store could not be asked, or not in time.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unavailable {
    #[error("the database cannot be reached: {0}")]
    Unreachable(String),
    #[error("too many reads and changes are waiting for the database")]
    Busy,
}

pub type Answer = Result<Followed, Unavailable>;

/// A read of many links at once, under way.
pub type Survey = flight::Survey<Answer>;

/// What a read takes.
pub struct ReaderParts {
    pub store: Store,
    pub codec: Codec,
    pub marks: HighMarks,
    /// The level behind memory, where replicas share one.
    pub redis: Option<Arc<RedisLevel>>,
    pub store_timeout: Duration,
    /// For reads under way.
    pub places: Places,
    /// The most codes that are remembered as unknown.
    pub unknown: usize,
    /// The runtime that the store's connections live on: all reads run there.
    pub home: Handle,
}

pub struct Reader {
    parts: ReaderParts,
    memory: Memory<Answer>,
    /// Of the home thread: each look-up is counted here once, whether or not its client is still there.
    tally: Tally,
}

/// What was found, and what may be done with it.
struct Found {
    level: Level,
    link: Option<Link>,
    lease: Option<Lease>,
    may_keep: bool,
}

/// Why nothing was found out, and what that was counted as.
struct Failure {
    level: Level,
    why: Unavailable,
}

impl Reader {
    pub fn new(table: Table, parts: ReaderParts) -> Arc<Reader> {
        let memory = Memory::new(table, parts.unknown);
        Arc::new(Reader { parts, memory, tally: Tally::default() })
    }

    #[inline]
    pub fn table(&self) -> &Table {
        self.memory.table()
    }

    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Follows a code that the table does not have. `tally` is the asking thread's.
    pub async fn follow(self: &Arc<Self>, code: &str, tally: &Tally) -> Answer {
        let Some(key) = self.parts.codec.key(code) else {
            tally.looked_up(Level::Unassigned);
            return Ok(Followed::NotFound);
        };
        if self.memory.is_unknown(code) {
            tally.looked_up(Level::Negative);
            return Ok(Followed::NotFound);
        }
        let answer = match self.memory.join(code) {
            Joined::Waiter(answer) => answer,
            Joined::First(ticket, answer) => {
                self.begin(ticket, key, tally);
                answer
            }
        };
        answer.await.unwrap_or_else(|_| Err(Unavailable::Unreachable("the read was given up".into())))
    }

    /// Whether a link may stand under `key`: false is certain, true is worth a look.
    pub async fn may_exist(&self, key: &Key) -> Result<bool, StoreError> {
        self.parts.marks.may_exist(key).await
    }

    /// Lets the table have a link that was just created, which nobody can have changed yet.
    pub fn keep_created(&self, code: &str, link: &Link) {
        if is_safe(&link.url) {
            self.table().insert(Name::of(code), newcomer(link), Entry::Ahead);
        }
    }

    /// Begins a read of many links at once; to be called before the store is asked.
    pub fn survey(&self) -> Survey {
        self.memory.survey()
    }

    /// Lets the table have a link that nobody asked for yet, unless it was changed since the survey began; says whether
    /// it took it.
    pub fn keep_surveyed(&self, survey: &Survey, link: &Link) -> bool {
        let code = self.parts.codec.text(&link.key);
        is_safe(&link.url) && self.memory.keep_surveyed(survey, &code, newcomer(link))
    }

    /// Drops what this process keeps under a code whose link was changed, or may have been.
    pub fn forget(&self, code: &str) {
        self.memory.forget(code);
    }

    /// Drops all that this process keeps.
    pub fn forget_all(&self) {
        self.memory.forget_all();
    }

    /// Begins a read where there is room for it. It goes on when the client hangs up.
    fn begin(self: &Arc<Self>, ticket: Ticket<Answer>, key: Key, tally: &Tally) {
        match self.parts.places.take() {
            Ok(place) => {
                let reader = self.clone();
                self.parts.home.spawn(async move {
                    reader.read(ticket, key).await;
                    drop(place);
                });
            }
            Err(why) => self.fail(ticket, &key, Failure { level: Level::Failed, why }, tally),
        }
    }

    /// Reads a link for all who wait for it.
    async fn read(&self, ticket: Ticket<Answer>, key: Key) {
        let code = self.parts.codec.text(&key);
        match self.find(&code, &key, Instant::now() + self.parts.store_timeout).await {
            Ok(found) => self.land(ticket, &code, found).await,
            Err(failure) => self.fail(ticket, &key, failure, &self.tally),
        }
    }

    async fn find(&self, code: &str, key: &Key, deadline: Instant) -> Result<Found, Failure> {
        let looked = match timeout_at(deadline, self.look(code, key)).await {
            Ok(looked) => looked?,
            Err(_) => return Err(StoreError::Late.into()),
        };
        let (lease, may_keep) = match looked {
            None => return Ok(Found { level: Level::Unassigned, link: None, lease: None, may_keep: false }),
            Some(Looked::Hit(link)) => {
                return Ok(Found { level: Level::Redis, link: Some(link), lease: None, may_keep: true });
            }
            Some(Looked::Miss(lease)) => (lease, true),
            Some(Looked::Changing) => (None, false),
        };
        let link = self.parts.store.by(deadline).find(key).await.map_err(|error| Failure {
            level: if error.was_sent() { Level::Store } else { Level::Failed },
            why: Unavailable::Unreachable(error.to_string()),
        })?;
        Ok(Found { level: Level::Store, link, lease, may_keep })
    }

    /// What is known before the store is asked for the link; none where no link can have this code.
    async fn look(&self, code: &str, key: &Key) -> Result<Option<Looked>, StoreError> {
        if !self.may_exist(key).await? {
            return Ok(None);
        }
        Ok(Some(match &self.parts.redis {
            Some(redis) => redis.look(code, key).await,
            None => Looked::Miss(None),
        }))
    }

    /// Answers all who wait, then shares what was read: no client waits for that.
    async fn land(&self, ticket: Ticket<Answer>, code: &str, found: Found) {
        self.tally.looked_up(found.level);
        let link = found.link.as_ref();
        let keep = if found.may_keep { keep(link) } else { Keep::Nothing };
        let waiters = self.memory.land(ticket, code, Ok(follow_link(link)), keep);
        let waited = if link.is_some() { Level::Waiter } else { Level::Negative };
        (0..waiters).for_each(|_| self.tally.looked_up(waited));
        if let (Some(redis), Some(lease), Some(link)) = (&self.parts.redis, found.lease, link)
            && is_safe(&link.url)
        {
            redis.fill(lease, link).await;
        }
    }

    /// Tells all who wait that nothing was found out. `tally` is this thread's.
    fn fail(&self, ticket: Ticket<Answer>, key: &Key, failure: Failure, tally: &Tally) {
        tally.looked_up(failure.level);
        let code = self.parts.codec.text(key);
        let waiters = self.memory.land(ticket, &code, Err(failure.why), Keep::Nothing);
        let waited = if failure.level == Level::Store { Level::Waiter } else { Level::Failed };
        (0..waiters).for_each(|_| tally.looked_up(waited));
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure { level: Level::Failed, why: Unavailable::Unreachable(error.to_string()) }
    }
}

fn keep(link: Option<&Link>) -> Keep<'_> {
    match link {
        Some(link) if is_safe(&link.url) => Keep::Link(newcomer(link)),
        Some(_) => Keep::Nothing,
        None => Keep::Unknown,
    }
}

fn follow_link(link: Option<&Link>) -> Followed {
    match link {
        None => Followed::NotFound,
        Some(link) if link.expires.is_some_and(|at| at <= unix_now()) => Followed::Gone,
        Some(link) if is_safe(&link.url) => Followed::Found(Bytes::copy_from_slice(link.url.as_bytes())),
        // Something else wrote to the store; whatever it is, it is nowhere to send a client.
        Some(_) => Followed::NotFound,
    }
}

fn newcomer(link: &Link) -> Newcomer<'_> {
    Newcomer { url: &link.url, expires: link.expires, clicks: link.clicks }
}
