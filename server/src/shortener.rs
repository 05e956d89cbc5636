//! The shortener's story: create, follow, change and delete links, on top of cache and store.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Handle;
use tokio::task::JoinError;

use crate::cache::redis::RedisLevel;
use crate::cache::table::{Cached, Name, Table};
use crate::changes::{Change, Changes};
use crate::clicks::{ClickLimits, ClickLog, Clicks};
use crate::codes::{Codec, Key};
use crate::creator::{CreateError, Created, Creator, NewLink};
use crate::marks::HighMarks;
use crate::metrics::{CreateResult, Level, Redirected, Tally, Totals};
use crate::places::{Place, Places};
use crate::reader::{Answer, Reader, ReaderParts};
use crate::store::{Link, Store, StoreError};
use crate::target::Targets;

pub use crate::reader::{Followed, Survey, Unavailable};

mod change;

/// Clicks of a report that take about as much memory as a read.
const CLICKS_A_PLACE: usize = 100;

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
    /// The cache level that replicas share.
    pub redis: Option<Arc<RedisLevel>>,
    /// How many threads answer HTTP.
    pub threads: usize,
    /// The most reads and changes that are under way or wait for the store.
    pub reads: usize,
    /// Codes that are remembered as unknown.
    pub unknown: usize,
    pub clicks: ClickLimits,
    /// The runtime that the store's connections live on: all that touches the store runs there.
    pub home: Handle,
}

pub struct Shortener {
    pub store: Store,
    pub codec: Codec,
    pub creator: Creator,
    pub targets: Targets,
    pub public_base: String,
    pub clicks: Clicks,
    /// For reads and changes under way.
    pub places: Places,
    reader: Arc<Reader>,
    store_timeout: Duration,
    changes: Option<Changes>,
    redis: Option<Arc<RedisLevel>>,
    home: Handle,
    desks: Vec<Arc<Desk>>,
}

impl Shortener {
    pub fn new(parts: Parts) -> Arc<Self> {
        let places = Places::new(parts.reads);
        let reads = ReaderParts {
            store: parts.store.clone(),
            codec: parts.codec.clone(),
            marks: parts.marks,
            redis: parts.redis.clone(),
            store_timeout: parts.store_timeout,
            places: places.clone(),
            unknown: parts.unknown,
            home: parts.home.clone(),
        };
        let desks: Vec<Arc<Desk>> = (0..parts.threads).map(|_| Arc::default()).collect();
        Arc::new(Self {
            clicks: Clicks::new(parts.store.clone(), parts.codec.clone(), desks.clone(), parts.clicks),
            store: parts.store,
            codec: parts.codec,
            creator: parts.creator,
            targets: parts.targets,
            public_base: parts.public_base,
            places,
            reader: Reader::new(parts.table, reads),
            store_timeout: parts.store_timeout,
            changes: parts.changes,
            redis: parts.redis,
            home: parts.home,
            desks,
        })
    }

    /// The in-process cache level.
    #[inline]
    pub fn table(&self) -> &Table {
        self.reader.table()
    }

    /// What the thread with this number keeps to itself.
    pub fn desk(&self, thread: usize) -> Arc<Desk> {
        self.desks[thread].clone()
    }

    /// Follows a code that the in-process cache has: the way nearly all redirects go.
    #[inline]
    pub fn follow_cached(&self, code: &str, desk: &Desk, is_click: bool) -> Option<Followed> {
        let name = Name::of(code);
        let followed = match self.table().get(name, now_short) {
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
    pub async fn follow(&self, code: &str, desk: &Desk, is_click: bool) -> Answer {
        let followed = self.reader.follow(code, &desk.tally).await;
        let followed = followed.inspect_err(|_| desk.tally.redirected(Redirected::Failed))?;
        if is_click && matches!(followed, Followed::Found(_)) {
            desk.clicks.click(Name::of(code), code);
        }
        desk.tally.redirected(followed.kind());
        Ok(followed)
    }

    /// Creates a link and lets the cache have it.
    pub async fn create(&self, new: NewLink, desk: &Desk) -> Result<Created, CreateError> {
        let is_keyed = new.idempotency.is_some();
        let created = self.creator.create(new).await;
        self.after_create(&created, is_keyed, desk);
        created
    }

    /// Creates many links; each succeeds or fails by itself.
    pub async fn create_many(&self, new: Vec<NewLink>, desk: &Desk) -> Vec<Result<Created, CreateError>> {
        let created = self.creator.create_many(new).await;
        created.iter().for_each(|created| self.after_create(created, false, desk));
        created
    }

    pub async fn link(self: &Arc<Self>, code: &str) -> Result<Option<Link>, Unavailable> {
        let Some(key) = self.codec.key(code) else { return Ok(None) };
        let find = move |shortener: Arc<Self>| async move {
            match shortener.reader.may_exist(&key).await? {
                true => shortener.store.find(&key).await,
                false => Ok(None),
            }
        };
        self.at_home_in(self.places.take()?, find).await
    }

    /// Takes in redirects that were answered elsewhere.
    pub async fn add_clicks(self: &Arc<Self>, clicks: Vec<(Key, u64)>) -> Result<(), Unavailable> {
        let place = self.places.take_for(clicks.len() / CLICKS_A_PLACE)?;
        let add =
            move |shortener: Arc<Self>| async move { shortener.store.add_clicks(&clicks).await.map(drop) };
        self.at_home_in(place, add).await
    }

    /// Empties this process's cache, and the level that it shares with other replicas; that as soon as it can be, and it is
    /// not believed until then.
    pub async fn empty_cache(&self) {
        if let (Some(redis), Some(changes)) = (&self.redis, &self.changes)
            && !redis.empty().await
        {
            changes.owe_emptying();
        }
        self.reader.forget_all();
    }

    /// Begins a read of many links at once, to warm the cache with; to be called before the store is asked.
    pub fn survey(&self) -> Survey {
        self.reader.survey()
    }

    /// Puts a link that warming read into the cache, unless it was changed since the survey began.
    pub fn keep_warm(&self, survey: &Survey, link: &Link) -> bool {
        self.reader.keep_surveyed(survey, link)
    }

    pub fn totals(&self) -> Totals {
        let tallies = self.desks.iter().map(|desk| &desk.tally);
        Totals::of(tallies.chain([self.reader.tally()]))
    }

    /// Runs what touches the store on the store's own runtime. It goes on when the client hangs up.
    pub async fn at_home<T, F>(self: &Arc<Self>, work: impl FnOnce(Arc<Self>) -> F) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        let (shortener, work) = (self.clone(), work(self.clone()));
        told(self.home.spawn(async move { shortener.in_time(work).await }).await)
    }

    /// As [`Shortener::at_home`], with a place that is free again when it is over.
    async fn at_home_in<T, F>(
        self: &Arc<Self>,
        place: Place,
        work: impl FnOnce(Arc<Self>) -> F,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, StoreError>> + Send + 'static,
    {
        self.at_home(|shortener| {
            let work = work(shortener);
            async move {
                let _place = place;
                work.await
            }
        })
        .await
    }

    async fn in_time<T>(&self, work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let late = |_| {
            Err(StoreError::Unavailable(format!("no answer within {} ms", self.store_timeout.as_millis())))
        };
        tokio::time::timeout(self.store_timeout, work).await.unwrap_or_else(late)
    }

    /// Takes in that a link was changed by another replica.
    pub fn heard(&self, change: Change<'_>) {
        match change {
            Change::One(code) => self.reader.forget(code),
            Change::Any => self.reader.forget_all(),
        }
    }

    /// Whether changes by other replicas are heard of; none where nobody could tell.
    pub fn hears_changes(&self) -> Option<bool> {
        self.changes.as_ref().map(Changes::hears)
    }

    /// Waits until the other replicas were told of all changes made here; false where they were not within `limit`.
    pub async fn settle_changes(&self, limit: Duration) -> bool {
        match &self.changes {
            Some(changes) => changes.settle(self.redis.as_deref(), limit).await,
            None => true,
        }
    }

    /// Whether the cache was emptied because changes may have been missed, and nothing made up for it yet.
    pub fn lost_track(&self) -> bool {
        self.changes.as_ref().is_some_and(Changes::lost_track)
    }

    /// Says that this is made up for, or not, until it happens again; returns what was the case.
    pub fn set_lost_track(&self, lost: bool) -> bool {
        self.changes.as_ref().is_some_and(|changes| changes.set_lost_track(lost))
    }

    fn after_create(&self, created: &Result<Created, CreateError>, is_keyed: bool, desk: &Desk) {
        let created = match created {
            Ok(created) => created,
            Err(error) => return desk.tally.created(create_result(error)),
        };
        match created.link.key {
            // Nobody knew this code before its client does, so nothing can have changed it yet; unless the client has
            // sent the request twice and was told of it by the other answer.
            Key::Generated(_) if !is_keyed => {
                self.reader.keep_created(&created.code, &created.link);
            }
            _ => {
                self.reader.forget(&created.code);
                if let Some(changes) = &self.changes {
                    changes.created(&created.code);
                }
            }
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

/// What a task at home came to, as it is told to the client.
fn told<T>(done: Result<Result<T, StoreError>, JoinError>) -> Result<T, Unavailable> {
    match done {
        Ok(done) => done.map_err(|error| Unavailable::Unreachable(error.to_string())),
        Err(_) => Err(Unavailable::Unreachable("the server is shutting down".into())),
    }
}

/// Seconds since 1970.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn now_short() -> u32 {
    now().clamp(0, i64::from(u32::MAX - 1)) as u32
}

fn create_result(error: &CreateError) -> CreateResult {
    match error {
        CreateError::Custom(_) | CreateError::Url(_) | CreateError::Busy => CreateResult::Rejected,
        CreateError::Taken | CreateError::Deleted | CreateError::IdempotencyMismatch => {
            CreateResult::Conflict
        }
        CreateError::NoIds(_)
        | CreateError::Store(_)
        | CreateError::Indeterminate(_)
        | CreateError::Collisions(_) => CreateResult::Failed,
    }
}
