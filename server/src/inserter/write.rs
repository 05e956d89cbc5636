//! Writing a batch until each of its rows is stored or refused.

use std::collections::HashSet;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::{InsertCounters, Row, RowId};
use crate::codes::{Code, Codec};
use crate::creator::CreateError;
use crate::pool::Pool;
use crate::store::{Key, NewRow, Store, StoreError};

/// Pauses between tries while the database is away; each is twice the one before.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Ids a row may find taken before it is given up.
const MOST_CONFLICTS: u32 = 100;

/// What became of a row.
pub type Outcome = Result<Inserted, CreateError>;

#[derive(Debug)]
pub enum Inserted {
    /// Committed, under this id and code.
    Stored(NewRow, Code),
    /// Its drawn id was taken; nothing was stored.
    Taken(Row),
}

pub(super) struct Writer {
    store: Store,
    codec: Codec,
    pool: Pool,
    pub(super) counters: InsertCounters,
}

/// A row with its id, and its place among those it came with.
struct Placed {
    place: usize,
    row: NewRow,
    code: Code,
    id: RowId,
    deadline: Instant,
    conflicts: u32,
    /// A statement that was not answered may have stored it.
    unsure: bool,
}

/// Which rows of a batch a statement has stored.
enum Stored {
    All,
    /// Those with these ids.
    These(HashSet<u64>),
}

/// Rows that are sent together, and how long to wait if that cannot be done now.
struct Batch {
    rows: Vec<Placed>,
    pause: Duration,
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
        // A stack and no recursion: a batch that is refused is split, and both halves go back on it.
        let mut stack = vec![Batch::of(self.placed(rows, &mut outcomes).await)];
        while let Some(batch) = stack.pop() {
            if !batch.rows.is_empty() {
                stack.extend(self.round(batch, alone, &mut outcomes).await);
            }
        }
        outcomes.into_iter().map(|outcome| outcome.expect("each row was stored or refused")).collect()
    }

    /// Sends a batch once, and settles what it can; what is left comes back, to be sent again.
    async fn round(&self, mut batch: Batch, alone: bool, outcomes: &mut [Option<Outcome>]) -> Vec<Batch> {
        batch.rows.sort_unstable_by_key(|placed| placed.row.id);
        match self.send(&batch.rows, alone).await {
            Ok(stored) => {
                let (stored, taken) = match stored {
                    Stored::All => (batch.rows, vec![]),
                    // Removed, not looked up: of two rows that drew the same id only one was stored.
                    Stored::These(mut ids) => {
                        batch.rows.into_iter().partition(|placed| ids.remove(&placed.row.id))
                    }
                };
                self.counters.stored.fetch_add(stored.len() as u64, Relaxed);
                for placed in stored {
                    outcomes[placed.place] = Some(Ok(Inserted::Stored(placed.row, placed.code)));
                }
                vec![Batch::of(self.replaced(taken, outcomes).await)]
            }
            Err(StoreError::BadRow(_)) if batch.rows.len() > 1 => {
                let half = batch.rows.split_off(batch.rows.len() / 2);
                vec![batch, Batch::of(half)]
            }
            Err(error @ StoreError::SlotLost) => {
                // Those that may be stored would be stored twice.
                let (unsure, anew) = batch.rows.into_iter().partition(|placed| placed.unsure);
                self.refuse(unsure, &error, outcomes);
                vec![Batch::of(self.renumbered(anew, outcomes).await)]
            }
            Err(error) if is_passing(&error) => vec![self.later(batch, &error, outcomes).await],
            Err(error) => {
                self.refuse(batch.rows, &error, outcomes);
                vec![]
            }
        }
    }

    /// Sends the rows once, and returns which of them are stored now.
    ///
    /// That ids are taken is the exception, and costs a second statement. After a connection died half way, whether the
    /// statement took effect is unknown. Sending it again is safe, since it leaves alone what is there; and what it leaves
    /// alone is ours if it is the same row.
    async fn send(&self, batch: &[Placed], alone: bool) -> Result<Stored, StoreError> {
        let rows: Vec<&NewRow> = batch.iter().map(|placed| &placed.row).collect();
        let store = self.store.by(last_deadline(batch.iter().map(|placed| placed.deadline)));
        let ids = || batch.iter().map(|placed| placed.row.id);
        self.pool.hold(&store, ids()).await.map_err(|error| match error {
            // No row was sent.
            StoreError::Unavailable(text) => StoreError::Unreachable(text),
            error => error,
        })?;
        let stored = self.insert(&rows, alone, &store).await?;
        // By whichever connection they went.
        let held = self.pool.hold(&store, ids()).await;
        held.map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let Stored::These(mut stored) = stored else { return Ok(Stored::All) };
        let doubtful: Vec<&NewRow> =
            batch.iter().filter(|placed| placed.unsure).map(|placed| &placed.row).collect();
        if doubtful.iter().any(|row| !stored.contains(&row.id)) {
            stored.extend(ours(&store, &doubtful).await?);
        }
        Ok(Stored::These(stored))
    }

    async fn insert(&self, rows: &[&NewRow], alone: bool, store: &Store) -> Result<Stored, StoreError> {
        Ok(match rows {
            [row] if alone => match self.counted(1, store.insert(row)).await? {
                true => Stored::All,
                false => Stored::These(HashSet::new()),
            },
            rows => match self.counted(rows.len(), store.insert_all(rows)).await {
                Ok(()) => Stored::All,
                Err(StoreError::Taken(_)) => {
                    let stored = self.counted(rows.len(), store.insert_free(rows)).await?;
                    Stored::These(stored.into_iter().collect())
                }
                Err(error) => return Err(error),
            },
        })
    }

    /// Counts a statement, if it was sent, and the rows that it carried.
    async fn counted<T>(
        &self,
        rows: usize,
        statement: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let done = statement.await;
        if done.as_ref().err().is_none_or(StoreError::was_sent) {
            self.counters.batches.fetch_add(1, Relaxed);
            self.counters.rows.fetch_add(rows as u64, Relaxed);
        }
        done
    }

    /// Waits until a batch is to be sent again. Rows that have no time left then are given up now.
    async fn later(&self, mut batch: Batch, error: &StoreError, outcomes: &mut [Option<Outcome>]) -> Batch {
        let may_be_stored = matches!(error, StoreError::Unavailable(_));
        batch.rows.iter_mut().for_each(|placed| placed.unsure |= may_be_stored);
        let next = Instant::now() + batch.pause;
        let (rows, late) = batch.rows.into_iter().partition(|placed| placed.deadline > next);
        self.refuse(late, error, outcomes);
        let batch = Batch { rows, pause: (batch.pause * 2).min(LONGEST_PAUSE) };
        if !batch.rows.is_empty() {
            tokio::time::sleep_until(next).await;
        }
        batch
    }

    fn refuse(&self, rows: Vec<Placed>, error: &StoreError, outcomes: &mut [Option<Outcome>]) {
        let is_bad = matches!(error, StoreError::BadRow(_));
        self.counters.poisoned.fetch_add(if is_bad { rows.len() as u64 } else { 0 }, Relaxed);
        for placed in rows {
            outcomes[placed.place] = Some(Err(match error {
                // Whenever it was sent, it was refused for what is in it.
                StoreError::BadRow(_) => CreateError::Url("the database cannot hold it"),
                error if placed.unsure => CreateError::Indeterminate(error.to_string()),
                error => CreateError::Store(error.to_string()),
            }));
        }
    }

    /// Gives new ids to the rows that found theirs taken.
    async fn replaced(&self, taken: Vec<Placed>, outcomes: &mut [Option<Outcome>]) -> Vec<Placed> {
        let mut again = Vec::new();
        self.counters.violations.fetch_add(taken.len() as u64, Relaxed);
        for mut placed in taken {
            placed.conflicts += 1;
            let place = placed.place;
            outcomes[place] = Some(match placed.id {
                RowId::Drawn(_) => Ok(Inserted::Taken(unplaced(placed))),
                RowId::Next if placed.conflicts < MOST_CONFLICTS => {
                    again.push(placed);
                    continue;
                }
                RowId::Next => Err(CreateError::Collisions(placed.conflicts)),
            });
        }
        self.renumbered(again, outcomes).await
    }

    async fn renumbered(&self, mut again: Vec<Placed>, outcomes: &mut [Option<Outcome>]) -> Vec<Placed> {
        let deadline = last_deadline(again.iter().map(|placed| placed.deadline));
        match self.pool.take(again.len(), deadline).await {
            Ok(ready) => {
                for (placed, (id, code)) in again.iter_mut().zip(ready) {
                    (placed.row.id, placed.code, placed.unsure) = (id, code, false);
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

    /// Gives each row its id; rows that waited for too long, and all if no ids can be had, are refused.
    async fn placed(&self, rows: Vec<Row>, outcomes: &mut [Option<Outcome>]) -> Vec<Placed> {
        let now = Instant::now();
        let (rows, late): (Vec<_>, Vec<_>) =
            rows.into_iter().enumerate().partition(|(_, row)| row.deadline > now);
        for (place, _) in late {
            outcomes[place] = Some(Err(CreateError::Store("its turn came too late".into())));
        }
        let wanted = rows.iter().filter(|(_, row)| row.id == RowId::Next).count();
        let deadline = last_deadline(rows.iter().map(|(_, row)| row.deadline));
        let mut ready = match self.pool.take(wanted, deadline).await {
            Ok(ready) => ready.into_iter(),
            Err(error) => {
                for (place, _) in rows {
                    outcomes[place] = Some(Err(CreateError::NoIds(error.0.clone())));
                }
                return vec![];
            }
        };
        let placed = rows.into_iter().map(|(place, row)| {
            let Row { url, created, expires, clicks, id: from, deadline } = row;
            let (id, code) = match from {
                RowId::Next => ready.next().expect("as many as wanted"),
                RowId::Drawn(id) => (id, self.codec.encode(id)),
            };
            let row = NewRow { id, url, created, expires, clicks };
            Placed { place, row, code, id: from, deadline, conflicts: 0, unsure: false }
        });
        placed.collect()
    }
}

impl Batch {
    fn of(rows: Vec<Placed>) -> Batch {
        Batch { rows, pause: FIRST_PAUSE }
    }
}

/// Which of these rows an earlier, unanswered statement has stored.
async fn ours(store: &Store, rows: &[&NewRow]) -> Result<Vec<u64>, StoreError> {
    let ids: Vec<u64> = rows.iter().map(|row| row.id).collect();
    // Failing here in any other way would leave rows undecided that the database has.
    let found = store.find_many(&ids).await.map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let stored = found.into_iter().filter_map(|link| {
        let Key::Generated(id) = link.key else { return None };
        let is_same = |row: &&NewRow| row.id == id && row.url == link.url && row.created == link.created;
        rows.iter().any(is_same).then_some(id)
    });
    Ok(stored.collect())
}

/// When the last of some rows has to be answered.
fn last_deadline(deadlines: impl Iterator<Item = Instant>) -> Instant {
    deadlines.max().unwrap_or_else(Instant::now)
}

fn unplaced(placed: Placed) -> Row {
    let Placed { row, id, deadline, .. } = placed;
    Row { url: row.url, created: row.created, expires: row.expires, clicks: row.clicks, id, deadline }
}

/// Whether another try may succeed.
fn is_passing(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unavailable(_)
            | StoreError::Unreachable(_)
            | StoreError::ReadOnly(_)
            | StoreError::Contended(_)
    )
}
