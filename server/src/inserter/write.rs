//! Writing a batch until each of its rows is stored or refused.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use super::{InsertCounters, Row, RowId};
use crate::codes::{Code, Codec};
use crate::creator::CreateError;
use crate::pool::Pool;
use crate::store::{Key, Link, NewRow, Store, StoreError};

/// How long a batch is tried again while the database is away.
const PERSEVERANCE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Ids a row may find taken before it is given up.
const MOST_CONFLICTS: u32 = 100;

/// What became of a row.
pub type Outcome = Result<Inserted, CreateError>;

#[derive(Debug)]
pub enum Inserted {
    /// Committed, under this id and code.
    Stored(NewRow, Code),
    /// Its claimed id was taken, by this link of another request with the same idempotency key.
    Found(Link, Code),
    /// Its drawn id was taken; nothing was stored.
    Taken(Row),
}

pub(super) struct Writer {
    store: Store,
    codec: Codec,
    pool: Pool,
    pub(super) counters: InsertCounters,
}

/// A row with its id, and its place in the batch it came in.
struct Placed {
    place: usize,
    row: NewRow,
    code: Code,
    id: RowId,
    conflicts: u32,
}

impl Writer {
    pub(super) fn new(store: Store, codec: Codec, pool: Pool) -> Writer {
        Writer { store, codec, pool, counters: InsertCounters::default() }
    }

    /// Writes one row by the one-row statement.
    pub(super) async fn write_one(&self, row: Row) -> Outcome {
        self.write(vec![row], true).await.pop().expect("one outcome a row")
    }

    /// Writes rows by as few statements as it takes; outcomes come in the order of the rows.
    pub(super) async fn write_batch(&self, rows: Vec<Row>) -> Vec<Outcome> {
        self.write(rows, false).await
    }

    async fn write(&self, rows: Vec<Row>, alone: bool) -> Vec<Outcome> {
        let mut outcomes: Vec<Option<Outcome>> = rows.iter().map(|_| None).collect();
        match self.placed(rows).await {
            Err(error) => outcomes.iter_mut().for_each(|outcome| *outcome = Some(Err(error.clone()))),
            Ok(batch) => {
                // A stack and no recursion: a batch that is refused is split, and both halves go back on it.
                let mut stack = vec![batch];
                while let Some(batch) = stack.pop() {
                    let again = self.round(batch, alone, &mut outcomes).await;
                    stack.extend(again.into_iter().filter(|batch| !batch.is_empty()));
                }
            }
        }
        outcomes.into_iter().map(|outcome| outcome.expect("each row was stored or refused")).collect()
    }

    /// Sends a batch once, and settles what it can; what is left comes back, to be sent again.
    async fn round(
        &self,
        mut batch: Vec<Placed>,
        alone: bool,
        outcomes: &mut [Option<Outcome>],
    ) -> Vec<Vec<Placed>> {
        batch.sort_unstable_by_key(|placed| placed.row.id);
        match self.send(&batch, alone).await {
            Ok(mut stored) => {
                // Removed, not looked up: of two rows that drew the same id only one was stored.
                let (stored, taken): (Vec<_>, Vec<_>) =
                    batch.into_iter().partition(|placed| stored.remove(&placed.row.id));
                self.counters.stored.fetch_add(stored.len() as u64, Relaxed);
                for placed in stored {
                    outcomes[placed.place] = Some(Ok(Inserted::Stored(placed.row, placed.code)));
                }
                vec![self.replaced(taken, outcomes).await]
            }
            Err(StoreError::BadRow(_)) if batch.len() > 1 => {
                let half = batch.split_off(batch.len() / 2);
                vec![batch, half]
            }
            Err(error) => {
                if matches!(error, StoreError::BadRow(_)) {
                    self.counters.poisoned.fetch_add(batch.len() as u64, Relaxed);
                }
                for placed in batch {
                    outcomes[placed.place] = Some(Err(refusal(&error)));
                }
                vec![]
            }
        }
    }

    /// Sends the statement until the database answers, for a bounded time, and returns the ids now stored.
    ///
    /// After a connection died half way, whether the statement took effect is unknown. Sending it again is safe, since
    /// it leaves alone what is there; and what it leaves alone is ours if it is the same row.
    async fn send(&self, batch: &[Placed], alone: bool) -> Result<HashSet<u64>, StoreError> {
        let rows: Vec<NewRow> = batch.iter().map(|placed| placed.row.clone()).collect();
        let start = Instant::now();
        let mut pause = Duration::from_millis(20);
        let mut unsure = false;
        loop {
            self.counters.batches.fetch_add(1, Relaxed);
            self.counters.rows.fetch_add(rows.len() as u64, Relaxed);
            match self.insert(&rows, alone).await {
                Ok(stored) if unsure && stored.len() < rows.len() => return self.ours(&rows, stored).await,
                Ok(stored) => return Ok(stored),
                Err(error) if is_passing(&error) && start.elapsed() < PERSEVERANCE => {
                    unsure |= matches!(error, StoreError::Unavailable(_));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                Err(error) if unsure => return Err(StoreError::Unavailable(error.to_string())),
                Err(error) => return Err(error),
            }
        }
    }

    async fn insert(&self, rows: &[NewRow], alone: bool) -> Result<HashSet<u64>, StoreError> {
        match rows {
            [row] if alone => Ok(self.store.insert(row).await?.then_some(row.id).into_iter().collect()),
            rows => Ok(self.store.insert_many(rows).await?.into_iter().collect()),
        }
    }

    /// Adds to `stored` the rows that an earlier, unanswered statement has stored.
    async fn ours(&self, rows: &[NewRow], mut stored: HashSet<u64>) -> Result<HashSet<u64>, StoreError> {
        let missing: Vec<u64> = rows.iter().map(|row| row.id).filter(|id| !stored.contains(id)).collect();
        let found = self.store.find_many(&missing).await;
        // Failing here would leave rows undecided that the database has.
        for link in found.map_err(|error| StoreError::Unavailable(error.to_string()))? {
            let Key::Generated(id) = link.key else { continue };
            if rows.iter().any(|row| row.id == id && row.url == link.url && row.created == link.created) {
                stored.insert(id);
            }
        }
        Ok(stored)
    }

    /// Gives new ids to the rows that found theirs taken.
    async fn replaced(&self, taken: Vec<Placed>, outcomes: &mut [Option<Outcome>]) -> Vec<Placed> {
        let mut again = Vec::new();
        for mut placed in taken {
            placed.conflicts += 1;
            let outcome = match placed.id {
                RowId::Claimed(id) => self.found(id, placed.code).await,
                RowId::Drawn(_) => {
                    self.counters.violations.fetch_add(1, Relaxed);
                    Ok(Inserted::Taken(unplaced(placed.row, placed.id)))
                }
                RowId::Next => {
                    self.counters.violations.fetch_add(1, Relaxed);
                    if placed.conflicts < MOST_CONFLICTS {
                        again.push(placed);
                        continue;
                    }
                    Err(CreateError::Collisions(placed.conflicts))
                }
            };
            outcomes[placed.place] = Some(outcome);
        }
        match self.pool.take(again.len()).await {
            Ok(ready) => {
                for (placed, (id, code)) in again.iter_mut().zip(ready) {
                    (placed.row.id, placed.code) = (id, code);
                }
                again
            }
            Err(error) => {
                for placed in again {
                    outcomes[placed.place] = Some(Err(CreateError::NoIds(error.0.clone())));
                }
                vec![]
            }
        }
    }

    /// What stands under a claimed id that was found taken.
    async fn found(&self, id: u64, code: Code) -> Outcome {
        match self.store.find(&Key::Generated(id)).await {
            Ok(Some(link)) => Ok(Inserted::Found(link, code)),
            Ok(None) => Err(CreateError::Deleted),
            Err(error) => Err(CreateError::Indeterminate(error.to_string())),
        }
    }

    async fn placed(&self, rows: Vec<Row>) -> Result<Vec<Placed>, CreateError> {
        let wanted = rows.iter().filter(|row| row.id == RowId::Next).count();
        let ready = self.pool.take(wanted).await.map_err(|error| CreateError::NoIds(error.0))?;
        let mut ready = ready.into_iter();
        let placed = rows.into_iter().enumerate().map(|(place, row)| {
            let (id, code) = match row.id {
                RowId::Next => ready.next().expect("as many as wanted"),
                RowId::Drawn(id) | RowId::Claimed(id) => (id, self.codec.encode(id)),
            };
            let Row { url, created, expires, clicks, id: from } = row;
            Placed { place, row: NewRow { id, url, created, expires, clicks }, code, id: from, conflicts: 0 }
        });
        Ok(placed.collect())
    }
}

fn unplaced(row: NewRow, id: RowId) -> Row {
    Row { url: row.url, created: row.created, expires: row.expires, clicks: row.clicks, id }
}

/// Whether another try may succeed.
fn is_passing(error: &StoreError) -> bool {
    matches!(error, StoreError::Unavailable(_) | StoreError::Unreachable(_) | StoreError::Contended(_))
}

fn refusal(error: &StoreError) -> CreateError {
    match error {
        StoreError::BadRow(_) => CreateError::Url("the database cannot hold it"),
        StoreError::Unavailable(text) => CreateError::Indeterminate(text.clone()),
        StoreError::Busy(_) => CreateError::Busy,
        error => CreateError::Store(error.to_string()),
    }
}
