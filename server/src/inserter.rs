//! Rows on their way into the database: queued, coalesced, acknowledged only after commit.

mod pace;
mod write;

pub use pace::Pace;
pub use write::{Inserted, Outcome};

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::codes::Codec;
use crate::creator::{CreateError, LAST_WORD, late};
use crate::pool::Pool;
use crate::store::{Store, StoreError};
use pace::Next;

/// A row without an id, or with one that was drawn for it.
#[derive(Debug, Clone)]
pub struct Row {
    pub url: String,
    pub created: i64,
    pub expires: Option<i64>,
    pub clicks: u64,
    pub id: RowId,
    /// When its client is told that it took too long; it is not sent after that.
    pub deadline: Instant,
}

/// Where a row's id comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowId {
    /// The next one ready; another one if it should be taken.
    Next,
    /// Drawn and checked by the caller, who draws again if it is taken.
    Drawn(u64),
}

/// The limits of coalescing.
#[derive(Debug, Clone, Copy)]
pub struct InserterOptions {
    pub pace: Pace,
    /// The most creates that wait, in the queue or on their own.
    pub queue_rows: usize,
}

/// A create's place among those that may wait; it is free again when this is dropped.
pub type Place = OwnedSemaphorePermit;

/// Counts of what the inserter did.
#[derive(Debug, Default)]
pub struct InsertCounters {
    /// Insert statements, and the rows they carried.
    pub batches: AtomicU64,
    pub rows: AtomicU64,
    /// Rows committed.
    pub stored: AtomicU64,
    /// Rows whose generated id the primary key refused.
    pub violations: AtomicU64,
    /// Rows that were refused for what is in them.
    pub poisoned: AtomicU64,
    /// Creates refused because too many waited.
    pub busy: AtomicU64,
}

/// Coalesces rows into few statements.
///
/// An idle inserter sends at once. The next statement starts no sooner than `spacing` after the last, or as soon as
/// `eager_rows` wait. One statement is under way at a time, until so many rows wait that they fill a whole batch; then
/// up to `writers`.
#[derive(Clone)]
pub struct Inserter(Arc<Shared>);

struct Shared {
    writer: write::Writer,
    pace: Pace,
    places: Arc<Semaphore>,
    state: Mutex<State>,
    /// Something changed that may let a statement start.
    changed: Notify,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Pending>,
    /// Statements under way, and when the last of them started.
    under_way: usize,
    last_start: Option<Instant>,
}

struct Pending {
    row: Row,
    answer: oneshot::Sender<Outcome>,
    _place: Option<Place>,
}

impl Inserter {
    /// Starts to dispatch on `handle`.
    pub fn start(
        store: Store,
        codec: Codec,
        pool: Pool,
        options: InserterOptions,
        handle: &Handle,
    ) -> Inserter {
        let shared = Arc::new(Shared {
            writer: write::Writer::new(store, codec, pool),
            pace: options.pace,
            places: Arc::new(Semaphore::new(options.queue_rows)),
            state: Mutex::default(),
            changed: Notify::new(),
        });
        handle.spawn(dispatch(shared.clone()));
        Inserter(shared)
    }

    /// Takes a place for a create that is to wait, if one is free.
    pub fn place(&self) -> Result<Place, CreateError> {
        self.0.places.clone().try_acquire_owned().map_err(|_| {
            self.counters().busy.fetch_add(1, Relaxed);
            CreateError::Busy
        })
    }

    /// Puts a row in the queue, with its place unless its create holds that. The answer comes after its commit; dropping
    /// the receiver does not stop the row.
    pub fn submit(&self, row: Row, place: Option<Place>) -> oneshot::Receiver<Outcome> {
        let (answer, receiver) = oneshot::channel();
        let waiting = {
            let queue = &mut self.0.state.lock().queue;
            queue.push_back(Pending { row, answer, _place: place });
            queue.len()
        };
        if self.0.pace.matters(waiting) {
            self.0.changed.notify_one();
        }
        receiver
    }

    /// Inserts one row by a statement of its own, at once.
    pub async fn insert_alone(&self, row: Row) -> Outcome {
        self.0.writer.write_one(row).await
    }

    /// Counts a row that was inserted by a statement elsewhere.
    pub fn count_one(&self, inserted: &Result<bool, StoreError>) {
        let counters = self.counters();
        if inserted.as_ref().err().is_none_or(StoreError::was_sent) {
            counters.batches.fetch_add(1, Relaxed);
            counters.rows.fetch_add(1, Relaxed);
        }
        counters.stored.fetch_add(u64::from(matches!(inserted, Ok(true))), Relaxed);
    }

    /// Rows waiting now.
    pub fn queued(&self) -> usize {
        self.0.state.lock().queue.len()
    }

    pub fn counters(&self) -> &InsertCounters {
        &self.0.writer.counters
    }
}

/// Starts statements as the pace allows. Ends with its runtime.
async fn dispatch(shared: Arc<Shared>) {
    loop {
        match shared.start_due() {
            Some(pause) => drop(tokio::time::timeout(pause, shared.changed.notified()).await),
            None => shared.changed.notified().await,
        }
    }
}

impl Shared {
    /// Starts all statements that are due. Returns after how long the next one will be, if nothing changes before; none
    /// where something has to.
    fn start_due(self: &Arc<Self>) -> Option<Duration> {
        let mut state = self.state.lock();
        loop {
            let since_last = state.last_start.map(|start| start.elapsed());
            match self.pace.next(state.queue.len(), state.under_way, since_last) {
                Next::Send => {
                    state.under_way += 1;
                    state.last_start = Some(Instant::now());
                    let rows = state.queue.len().min(self.pace.batch_rows);
                    tokio::spawn(self.clone().write(state.queue.drain(..rows).collect()));
                }
                Next::After(pause) => return Some(pause),
                Next::Wait => return None,
            }
        }
    }

    /// Writes a batch and answers its rows. One that takes too long is told so in time, although others of its batch, which
    /// may have come much later, are still waited for.
    async fn write(self: Arc<Self>, batch: Vec<Pending>) {
        let (rows, mut waiting): (Vec<_>, VecDeque<_>) = batch
            .into_iter()
            .map(|Pending { row, answer, .. }| {
                let deadline = row.deadline;
                (row, (deadline, answer))
            })
            .unzip();
        let mut writing = pin!(self.writer.write_batch(rows));
        let outcomes = loop {
            let Some((deadline, _)) = waiting.front() else { break writing.await };
            match timeout_at(*deadline + LAST_WORD, &mut writing).await {
                Ok(outcomes) => break outcomes,
                Err(_) => waiting.pop_front().map(|(_, answer)| answer.send(Err(late()))),
            };
        };
        self.state.lock().under_way -= 1;
        // Before these are answered: the database is not to stand idle meanwhile.
        if self.start_due().is_some() {
            self.changed.notify_one();
        }
        let told = outcomes.len() - waiting.len();
        for ((_, answer), outcome) in waiting.into_iter().zip(outcomes.into_iter().skip(told)) {
            // A caller who hung up has no need of the answer; the row stands.
            let _ = answer.send(outcome);
        }
    }
}
