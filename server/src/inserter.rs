//! Rows on their way into the database: queued, coalesced, acknowledged only after commit.

mod pace;
mod write;

pub use pace::Pace;
pub use write::{Inserted, Outcome};

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use crate::codes::Codec;
use crate::creator::CreateError;
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
    /// The most rows that wait.
    pub queue_rows: usize,
}

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
    /// Rows refused because the queue was full.
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
    options: InserterOptions,
    queue: Mutex<VecDeque<Pending>>,
    /// Something changed that may let a statement start.
    changed: Notify,
}

struct Pending {
    row: Row,
    answer: oneshot::Sender<Outcome>,
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
            options,
            queue: Mutex::default(),
            changed: Notify::new(),
        });
        handle.spawn(dispatch(shared.clone()));
        Inserter(shared)
    }

    /// Puts a row in the queue. The answer comes after its commit; dropping the receiver does not stop the row.
    pub fn submit(&self, row: Row) -> Result<oneshot::Receiver<Outcome>, CreateError> {
        let (answer, receiver) = oneshot::channel();
        let waiting = {
            let mut queue = self.0.queue.lock();
            if queue.len() >= self.0.options.queue_rows {
                self.0.writer.counters.busy.fetch_add(1, Relaxed);
                return Err(CreateError::Busy);
            }
            queue.push_back(Pending { row, answer });
            queue.len()
        };
        if self.0.options.pace.matters(waiting) {
            self.0.changed.notify_one();
        }
        Ok(receiver)
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
        self.0.queue.lock().len()
    }

    pub fn counters(&self) -> &InsertCounters {
        &self.0.writer.counters
    }
}

/// Starts statements as the pace allows. Ends with its runtime.
async fn dispatch(shared: Arc<Shared>) {
    let in_flight = Arc::new(AtomicU64::new(0));
    let mut last_start: Option<Instant> = None;
    loop {
        let waiting = shared.queue.lock().len();
        let under_way = in_flight.load(Relaxed) as usize;
        match shared.options.pace.next(waiting, under_way, last_start.map(|start| start.elapsed())) {
            Next::Send => {
                last_start = Some(Instant::now());
                in_flight.fetch_add(1, Relaxed);
                let (shared, in_flight) = (shared.clone(), in_flight.clone());
                let batch = shared.next_batch();
                tokio::spawn(async move {
                    shared.write(batch).await;
                    in_flight.fetch_sub(1, Relaxed);
                    shared.changed.notify_one();
                });
            }
            Next::After(pause) => {
                let _ = tokio::time::timeout(pause, shared.changed.notified()).await;
            }
            Next::Wait => shared.changed.notified().await,
        }
    }
}

impl Shared {
    fn next_batch(&self) -> Vec<Pending> {
        let mut queue = self.queue.lock();
        let rows = queue.len().min(self.options.pace.batch_rows);
        queue.drain(..rows).collect()
    }

    async fn write(&self, batch: Vec<Pending>) {
        let (rows, answers): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|pending| (pending.row, pending.answer)).unzip();
        let outcomes = self.writer.write_batch(rows).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // A caller who hung up has no need of the answer; the row stands.
            let _ = answer.send(outcome);
        }
    }
}
