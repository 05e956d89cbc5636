//! Creating links: one door over the switches of how codes are made and how rows are inserted.
//!
//! ```text
//! create ──▶ check ──▶ plain? ──yes──▶ queue ──▶ pace: idle, 5 ms over, or 24 rows waiting
//!                        │no                       │
//!                        ▼                         ▼
//!            on a task of its own:      ids and codes from the pool ◀── blocks ◀── leases: keygen,
//!            custom   SELECT, INSERT               │                    (two at    or Redis + store,
//!            checked  draw, SELECT, INSERT         ▼                    a time)    or store alone
//!            keyed    claim, as above, note it  INSERT all
//!                        │                         │ committed  │ some are taken    │ connection lost
//!                        ▼                         ▼            ▼                   ▼
//!                     answer                    answer      INSERT the free,      again; what is there is ours
//!                                                           next ids for the rest
//! ```

mod drawing;
mod make;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::blocks::{BlockCounters, Blocks};
use crate::codes::{Codec, CustomCodeError};
use crate::inserter::{Inserter, InserterOptions, Outcome, Pace, RowId};
use crate::keygen::{Leases, MOST_IDS};
use crate::pool::Pool;
use crate::store::{Link, Store};
use drawing::Drawing;
use make::{Maker, Parts, check, created, row};

/// How codes are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum CodeDesign {
    /// Draw at random, ask the database whether it is free: the published design before.
    Checked,
    /// Take the next of a leased block: unique without asking.
    Blocks,
    /// The broken design, for demonstration: leased counters straight to base62, so that stacks collide.
    Unpartitioned,
}

/// How rows are inserted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum InsertDesign {
    /// One statement a row.
    Single,
    /// One statement for all rows that wait.
    Coalesced,
}

/// The switches and limits of creating.
#[derive(Debug, Clone)]
pub struct CreatorOptions {
    pub codes: CodeDesign,
    pub insert: InsertDesign,
    /// Codes kept ready ahead of use; 0 turns the pool off.
    pub pool: usize,
    /// The least time between the starts of two insert statements, unless [`CreatorOptions::eager_rows`] wait.
    pub spacing: Duration,
    /// So many waiting rows start a statement at once.
    pub eager_rows: usize,
    /// The most rows in one statement.
    pub batch_rows: usize,
    /// The most creates that wait, of whatever kind; more are refused with [`CreateError::Busy`].
    pub queue_rows: usize,
    /// The most insert statements under way at once.
    pub writers: usize,
    /// The least and the most ids of a block; the first has the least.
    pub block_ids: RangeInclusive<u64>,
    /// How long a create may take, from when it is asked for.
    pub patience: Duration,
}

/// Whoever gives a create up at its deadline says why; its client waits so much longer for that.
pub(crate) const LAST_WORD: Duration = Duration::from_millis(50);

impl Default for CreatorOptions {
    fn default() -> CreatorOptions {
        CreatorOptions {
            codes: CodeDesign::Blocks,
            insert: InsertDesign::Coalesced,
            pool: 2_000,
            spacing: Duration::from_millis(5),
            eager_rows: 24,
            batch_rows: 1_000,
            queue_rows: 20_000,
            writers: 4,
            block_ids: 10_000..=MOST_IDS,
            patience: Duration::from_secs(10),
        }
    }
}

impl CreatorOptions {
    fn pace(&self) -> Pace {
        Pace {
            spacing: self.spacing,
            eager_rows: self.eager_rows.max(1),
            batch_rows: self.batch_rows.max(1),
            writers: self.writers.max(1),
        }
    }
}

/// A link to be created. `url` has been checked by the caller for scheme and form; length and NUL are checked again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewLink {
    pub url: String,
    /// A custom code, where one is wanted.
    pub custom: Option<String>,
    /// Unix seconds.
    pub expires: Option<i64>,
    pub clicks: u64,
    pub idempotency: Option<Idempotency>,
}

/// The client's `Idempotency-Key` and a digest of its request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// Any stable digest of the request body: the same key with another digest is refused.
    pub fingerprint: u64,
}

/// A created link and its code as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    pub code: String,
    pub link: Link,
    /// The link had been created before, under the same `Idempotency-Key`.
    pub replayed: bool,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum CreateError {
    /// 422: not a custom code.
    #[error("{0}")]
    Custom(#[from] CustomCodeError),
    /// 409: the custom code is taken.
    #[error("this code is taken")]
    Taken,
    /// 422: the URL cannot be stored.
    #[error("the URL cannot be stored: {0}")]
    Url(&'static str),
    /// 409: the link that was made under the same `Idempotency-Key` is gone, and is not made again.
    #[error("the link that was created with this Idempotency-Key has been deleted")]
    Deleted,
    /// 422: the `Idempotency-Key` was used for another request.
    #[error("this Idempotency-Key was used for another request")]
    IdempotencyMismatch,
    /// 503 with `Retry-After`: nothing was stored.
    #[error("too many creates are waiting")]
    Busy,
    /// 503: no ids could be leased; nothing was stored.
    #[error("no ids can be leased: {0}")]
    NoIds(String),
    /// 503: the database could not be asked, or refused.
    #[error("nothing was stored: {0}")]
    Store(String),
    /// 503: the database failed while it took the row; whether the link exists is unknown.
    #[error("the database failed, and the link may or may not have been stored: {0}")]
    Indeterminate(String),
    /// 500: no free code after many tries.
    #[error("no free code after {0} tries")]
    Collisions(u32),
}

/// What was done so far. All counts are exact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreatorCounters {
    /// Links committed, whether or not the client stayed for the answer.
    pub created: u64,
    /// Creates answered with a link made before, under the same `Idempotency-Key`.
    pub replayed: u64,
    /// Generated codes that were found taken, by the uniqueness check or by the insert.
    pub conflicts: u64,
    /// Generated codes that the primary key refused: with partitioned blocks this stays 0.
    pub violations: u64,
    /// Insert statements, and their rows.
    pub batches: u64,
    pub rows: u64,
    /// Creates refused because too many waited.
    pub busy: u64,
    /// Rows that the database refused for what is in them.
    pub poisoned: u64,
    /// Rows waiting now.
    pub queued: u64,
    /// Codes taken from the pool, and codes made on the spot because it was empty.
    pub pool_served: u64,
    pub pool_dry: u64,
    pub blocks: BlockCounters,
}

/// Creates links. Lives on the runtime of the `handle` it is given; may be called from any.
#[derive(Clone)]
pub struct Creator(Arc<Maker>);

impl Creator {
    /// Starts the tasks that lease blocks and insert rows, on `handle`.
    ///
    /// With [`CodeDesign::Unpartitioned`] the codec must be [`Codec::unpartitioned`].
    pub fn start(
        store: Store,
        codec: Codec,
        leases: Leases,
        options: CreatorOptions,
        handle: &Handle,
    ) -> Creator {
        let blocks = match options.codes {
            CodeDesign::Checked => Blocks::none(codec.clone()),
            CodeDesign::Blocks | CodeDesign::Unpartitioned => {
                Blocks::start(leases.clone(), codec.clone(), options.block_ids.clone(), handle)
            }
        };
        let pool_size = if options.codes == CodeDesign::Checked { 0 } else { options.pool };
        let pool = Pool::start(blocks.clone(), codec.clone(), pool_size, handle);
        let limits = InserterOptions { pace: options.pace(), queue_rows: options.queue_rows };
        let inserter = Inserter::start(store.clone(), codec.clone(), pool.clone(), limits, handle);
        let handle = handle.clone();
        let drawing = Drawing::new(leases);
        let parts = Parts { store, codec, drawing, options, handle, blocks, pool, inserter };
        Creator(Arc::new(Maker::new(parts)))
    }

    /// Creates one link; returns after it is committed. Dropping the future does not stop a create under way.
    pub async fn create(&self, new: NewLink) -> Result<Created, CreateError> {
        self.begin(new)?.finish().await
    }

    /// Creates many links, answers in the order asked; each succeeds or fails by itself.
    pub async fn create_many(&self, new: Vec<NewLink>) -> Vec<Result<Created, CreateError>> {
        let begun: Vec<_> = new.into_iter().map(|new| self.begin(new)).collect();
        let mut created = Vec::with_capacity(begun.len());
        for begun in begun {
            created.push(match begun {
                Ok(begun) => begun.finish().await,
                Err(error) => Err(error),
            });
        }
        created
    }

    pub fn counters(&self) -> CreatorCounters {
        let maker = &*self.0;
        let inserts = maker.inserter.counters();
        let violations = inserts.violations.load(Relaxed);
        let (pool_served, pool_dry) = maker.pool.served_and_dry();
        CreatorCounters {
            created: inserts.stored.load(Relaxed),
            replayed: maker.counts.replayed.load(Relaxed),
            conflicts: violations + maker.counts.conflicts.load(Relaxed),
            violations,
            batches: inserts.batches.load(Relaxed),
            rows: inserts.rows.load(Relaxed),
            busy: inserts.busy.load(Relaxed),
            poisoned: inserts.poisoned.load(Relaxed),
            queued: maker.inserter.queued() as u64,
            pool_served,
            pool_dry,
            blocks: maker.blocks.counters(),
        }
    }

    /// Sets a create going, on the queue or on a task: from here on it no longer depends on its caller.
    fn begin(&self, new: NewLink) -> Result<Begun, CreateError> {
        check(&new)?;
        let maker = &self.0;
        let place = maker.inserter.place()?;
        let deadline = Instant::now() + maker.options.patience;
        if maker.takes_from_queue(&new) {
            return Ok(Begun::Queued(maker.inserter.submit(row(new, RowId::Next, deadline), Some(place))));
        }
        let (answer, receiver) = oneshot::channel();
        let this = maker.clone();
        maker.handle.spawn(async move {
            let outcome = in_time(deadline, this.create(new, deadline)).await;
            drop(place);
            answer.send(outcome)
        });
        Ok(Begun::Task(receiver))
    }
}

/// A create that is on its way.
enum Begun {
    /// The inserter answers in time.
    Queued(oneshot::Receiver<Outcome>),
    Task(oneshot::Receiver<Result<Created, CreateError>>),
}

impl Begun {
    async fn finish(self) -> Result<Created, CreateError> {
        match self {
            Begun::Task(answer) => answer.await.unwrap_or_else(|_| Err(stopping())),
            Begun::Queued(answer) => created(answer.await.unwrap_or_else(|_| Err(stopping()))?),
        }
    }
}

async fn in_time<T>(
    deadline: Instant,
    work: impl Future<Output = Result<T, CreateError>>,
) -> Result<T, CreateError> {
    timeout_at(deadline + LAST_WORD, work).await.unwrap_or_else(|_| Err(late()))
}

pub(crate) fn late() -> CreateError {
    CreateError::Indeterminate("no answer in time".into())
}

fn stopping() -> CreateError {
    CreateError::Indeterminate("the server is stopping".into())
}
