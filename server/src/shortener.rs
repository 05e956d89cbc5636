//! The shortener's story: create, follow, change and delete links, on top of cache and store.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;

use crate::cache::flight::{Flights, Joined, Ticket};
use crate::cache::negative::Negative;
use crate::cache::table::{Cached, Entry, Name, Newcomer, Table};
use crate::changes::{Change, Changes};
use crate::clicks::{ClickLog, Pending};
use crate::codes::{Codec, Key};
use crate::creator::{CreateError, Created, Creator, NewLink};
use crate::marks::HighMarks;
use crate::metrics::{CreateResult, Level, Redirected, Tally, Totals};
use crate::store::{Link, Patch, Store, StoreError};
use crate::target::{TargetError, Targets, is_safe};

/// Where a code leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    Found(Bytes),
    /// There was a link, and it has expired.
    Gone,
    NotFound,
}

/// The store could not be asked in time.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the database cannot be reached: {0}")]
pub struct Unavailable(pub String);

/// What one thread keeps to itself.
#[derive(Default)]
pub struct Desk {
    pub tally: Tally,
    pub clicks: ClickLog,
}

/// The parts that a [`Shortener`] is put together from.
pub struct Parts {
    pub store: Store,
    pub codec: Codec,
    pub creator: Creator,
    pub marks: HighMarks,
    pub table: Table,
    pub targets: Targets,
    /// What short links begin with, without a slash at the end.
    pub public_base: String,
    pub store_timeout: Duration,
    /// Where there are replicas to tell of changes.
    pub changes: Option<Changes>,
    /// How many threads answer HTTP.
    pub threads: usize,
    /// The runtime that the store's connections live on: all that touches the store runs there.
    pub home: Handle,
}

pub struct Shortener {
    pub store: Store,
    pub codec: Codec,
    pub creator: Creator,
    pub table: Table,
    pub targets: Targets,
    pub public_base: String,
    marks: HighMarks,
    negative: Negative,
    flights: Arc<Flights<Answer>>,
    store_timeout: Duration,
    changes: Option<Changes>,
    home: Handle,
    /// Of the home thread.
    home_desk: Desk,
    desks: Vec<Arc<Desk>>,
    pending: tokio::sync::Mutex<Pending>,
    clicks_flushed: AtomicU64,
    clicks_lost: AtomicU64,
}

type Answer = Result<Followed, Unavailable>;

impl Shortener {
    pub fn new(parts: Parts) -> Arc<Self> {
        Arc::new(Self {
            store: parts.store,
            codec: parts.codec,
            creator: parts.creator,
            table: parts.table,
            targets: parts.targets,
            public_base: parts.public_base,
            marks: parts.marks,
            negative: Negative::new(Instant::now()),
            flights: Flights::new(),
            store_timeout: parts.store_timeout,
            changes: parts.changes,
            home: parts.home,
            home_desk: Desk::default(),
            desks: (0..parts.threads).map(|_| Arc::default()).collect(),
            pending: tokio::sync::Mutex::default(),
            clicks_flushed: AtomicU64::new(0),
            clicks_lost: AtomicU64::new(0),
        })
    }

    /// What the thread with this number keeps to itself.
    pub fn desk(&self, thread: usize) -> Arc<Desk> {
        self.desks[thread].clone()
    }

    /// Follows a code that the in-process cache has: the way nearly all redirects go.
    #[inline]
    pub fn follow_cached(&self, code: &str, desk: &Desk, is_click: bool) -> Option<Followed> {
        let name = Name::of(code);
        let followed = match self.table.get(name, now_short) {
            Cached::Absent => return None,
            Cached::Found(url) => {
                if is_click {
                    desk.clicks.click(name, code);
                }
                Followed::Found(url)
            }
            Cached::Gone => Followed::Gone,
        };
        desk.tally.looked_up(Level::Process);
        desk.tally.redirected(followed.kind());
        Some(followed)
    }

    /// Follows a code that the in-process cache does not have.
    pub async fn follow(self: &Arc<Self>, code: &str, desk: &Desk, is_click: bool) -> Answer {
        let followed = self.find_way(code, desk).await?;
        if is_click && matches!(followed, Followed::Found(_)) {
            desk.clicks.click(Name::of(code), code);
        }
        desk.tally.redirected(followed.kind());
        Ok(followed)
    }

    /// Creates a link and lets the cache have it.
    pub async fn create(&self, new: NewLink, desk: &Desk) -> Result<Created, CreateError> {
        let created = self.creator.create(new).await;
        self.after_create(&created, desk);
        created
    }

    /// Creates many links; each succeeds or fails by itself.
    pub async fn create_many(&self, new: Vec<NewLink>, desk: &Desk) -> Vec<Result<Created, CreateError>> {
        let created = self.creator.create_many(new).await;
        created.iter().for_each(|created| self.after_create(created, desk));
        created
    }

    /// Checks a URL, and counts the create as rejected where it will not do.
    pub fn check_target(&self, url: &str, desk: &Desk) -> Result<String, TargetError> {
        self.targets.check(url).inspect_err(|_| desk.tally.created(CreateResult::Rejected))
    }

    pub async fn link(self: &Arc<Self>, code: &str) -> Result<Option<Link>, Unavailable> {
        let Some(key) = self.codec.key(code) else { return Ok(None) };
        self.at_home(move |shortener| async move { shortener.store.find(&key).await }).await
    }

    pub async fn update(self: &Arc<Self>, code: &str, patch: Patch) -> Result<Option<Link>, Unavailable> {
        let Some(key) = self.codec.key(code) else { return Ok(None) };
        let text: Box<str> = code.into();
        self.at_home(move |shortener| async move {
            let updated = shortener.store.update(&key, &patch).await;
            shortener.changed(&text);
            updated
        })
        .await
    }

    pub async fn delete(self: &Arc<Self>, code: &str) -> Result<bool, Unavailable> {
        let Some(key) = self.codec.key(code) else { return Ok(false) };
        let text: Box<str> = code.into();
        self.at_home(move |shortener| async move {
            let deleted = shortener.store.delete(&key).await;
            shortener.changed(&text);
            deleted
        })
        .await
    }

    /// Takes in redirects that were answered elsewhere.
    pub async fn add_clicks(self: &Arc<Self>, clicks: Vec<(Key, u64)>) -> Result<(), Unavailable> {
        self.at_home(move |shortener| async move { shortener.store.add_clicks(&clicks).await }).await
    }

    /// Stores the clicks of all threads. What cannot be stored stays for the next time. A batch whose statement timed
    /// out may have been stored all the same, and is then counted twice: a click is never dropped for it.
    pub async fn flush_clicks(&self) -> Result<(), StoreError> {
        let mut pending = self.pending.lock().await;
        let logs = self.desks.iter().map(|desk| &desk.clicks);
        pending.gather(logs.chain([&self.home_desk.clicks]), &self.codec);
        self.clicks_lost.store(pending.lost(), Relaxed);
        while !pending.is_empty() {
            let batch = pending.batch();
            if let Err(error) = self.store.add_clicks(&batch).await {
                pending.put_back(batch);
                return Err(error);
            }
            self.clicks_flushed.fetch_add(batch.iter().map(|(_, count)| count).sum(), Relaxed);
        }
        Ok(())
    }

    /// Empties every cache level.
    pub fn clear_cache(&self) {
        self.flights.overtake_all(|| {
            self.table.clear();
            self.negative.clear();
        });
    }

    /// Puts a link that warming read into the cache.
    pub fn keep_warm(&self, link: &Link) -> bool {
        let code = self.codec.text(&link.key);
        is_safe(&link.url) && self.table.insert(Name::of(&code), newcomer(link), Entry::Ahead)
    }

    pub fn totals(&self) -> Totals {
        let tallies = self.desks.iter().map(|desk| &desk.tally);
        Totals::of(tallies.chain([&self.home_desk.tally]))
    }

    pub fn clicks_flushed(&self) -> u64 {
        self.clicks_flushed.load(Relaxed)
    }

    pub fn clicks_lost(&self) -> u64 {
        self.clicks_lost.load(Relaxed)
    }

    /// Runs what touches the store on the store's own runtime. It goes on when the client hangs up.
    pub async fn at_home<T, F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let limit = self.store_timeout;
        let work = work(self.clone());
        let task = self.home.spawn(async move { tokio::time::timeout(limit, work).await });
        match task.await {
            Ok(Ok(done)) => done.map_err(|error| Unavailable(error.to_string())),
            Ok(Err(_)) => Err(Unavailable(format!("no answer within {} ms", limit.as_millis()))),
            Err(_) => Err(Unavailable("the server is shutting down".into())),
        }
    }

    async fn find_way(self: &Arc<Self>, code: &str, desk: &Desk) -> Answer {
        let Some(key) = self.codec.key(code) else {
            desk.tally.looked_up(Level::Unassigned);
            return Ok(Followed::NotFound);
        };
        if self.negative.contains(code, Instant::now()) {
            desk.tally.looked_up(Level::Negative);
            return Ok(Followed::NotFound);
        }
        let answer = match self.flights.join(code) {
            Joined::Waiter(answer) => answer,
            Joined::First(ticket, answer) => {
                let shortener = self.clone();
                self.home.spawn(async move { shortener.read(ticket, key).await });
                answer
            }
        };
        answer.await.unwrap_or_else(|_| Err(Unavailable("the read was given up".into())))
    }

    /// Reads a link for all who wait for it, on the home thread. Each look-up is counted here, once, whether or not
    /// its client is still there.
    async fn read(&self, ticket: Ticket<Answer>, key: Key) {
        let read = tokio::time::timeout(self.store_timeout, self.read_store(&key)).await;
        let tally = &self.home_desk.tally;
        match read {
            Ok(Ok((level, link))) => {
                tally.looked_up(level);
                let answer = follow_link(link.as_ref());
                let code = self.codec.text(&key);
                let exists = link.is_some();
                let waiters = Flights::land(ticket, Ok(answer), || self.keep(&code, link.as_ref(), level));
                let waited = if exists { Level::Waiter } else { Level::Negative };
                (0..waiters).for_each(|_| tally.looked_up(waited));
            }
            Ok(Err(error)) => self.fail(ticket, error.to_string()),
            Err(_) => self.fail(ticket, format!("no answer within {} ms", self.store_timeout.as_millis())),
        }
    }

    async fn read_store(&self, key: &Key) -> Result<(Level, Option<Link>), StoreError> {
        if !self.marks.may_exist(key).await? {
            return Ok((Level::Unassigned, None));
        }
        Ok((Level::Store, self.store.find(key).await?))
    }

    fn fail(&self, ticket: Ticket<Answer>, why: String) {
        let tally = &self.home_desk.tally;
        tally.looked_up(Level::Store);
        let waiters = Flights::land(ticket, Err(Unavailable(why)), || {});
        (0..waiters).for_each(|_| tally.looked_up(Level::Waiter));
    }

    fn keep(&self, code: &str, link: Option<&Link>, level: Level) {
        match link {
            Some(link) if is_safe(&link.url) => {
                self.table.insert(Name::of(code), newcomer(link), Entry::Miss);
            }
            Some(_) => {}
            None if level == Level::Store => self.negative.insert(code, Instant::now()),
            None => {}
        }
    }

    /// Takes in that a link was changed by another replica.
    pub fn heard(&self, change: Change<'_>) {
        match change {
            Change::One(code) => self.forget(code),
            Change::Any => self.clear_cache(),
        }
    }

    /// Whether changes by other replicas are heard of; none where nobody could tell.
    pub fn hears_changes(&self) -> Option<bool> {
        self.changes.as_ref().map(Changes::hears)
    }

    fn changed(&self, code: &str) {
        self.forget(code);
        if let Some(changes) = &self.changes {
            changes.announce(code);
        }
    }

    /// Drops what is cached under a code whose link was changed, or may have been.
    fn forget(&self, code: &str) {
        self.flights.overtake(code, || {
            self.table.remove(Name::of(code));
            self.negative.remove(code);
        });
    }

    fn after_create(&self, created: &Result<Created, CreateError>, desk: &Desk) {
        desk.tally.created(create_result(created));
        let Ok(created) = created else { return };
        match created.link.key {
            // Nobody knew this code before its client does, so nothing can have changed it yet.
            Key::Generated(_) if !created.replayed => {
                self.table.insert(Name::of(&created.code), newcomer(&created.link), Entry::Ahead);
            }
            _ => self.changed(&created.code),
        }
    }
}

impl Followed {
    fn kind(&self) -> Redirected {
        match self {
            Followed::Found(_) => Redirected::Found,
            Followed::Gone => Redirected::Gone,
            Followed::NotFound => Redirected::NotFound,
        }
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn now_short() -> u32 {
    now().clamp(0, i64::from(u32::MAX - 1)) as u32
}

fn follow_link(link: Option<&Link>) -> Followed {
    match link {
        None => Followed::NotFound,
        Some(link) if link.expires.is_some_and(|at| at <= now()) => Followed::Gone,
        Some(link) if is_safe(&link.url) => Followed::Found(Bytes::copy_from_slice(link.url.as_bytes())),
        // Something else wrote to the store; whatever it is, it is nowhere to send a client.
        Some(_) => Followed::NotFound,
    }
}

fn newcomer(link: &Link) -> Newcomer<'_> {
    Newcomer { url: &link.url, expires: link.expires, clicks: link.clicks }
}

fn create_result(created: &Result<Created, CreateError>) -> CreateResult {
    match created {
        Ok(_) => CreateResult::Created,
        Err(CreateError::Custom(_) | CreateError::Url(_) | CreateError::Busy) => CreateResult::Rejected,
        Err(CreateError::Taken | CreateError::IdempotencyMismatch) => CreateResult::Conflict,
        Err(_) => CreateResult::Failed,
    }
}
