//! The atomic path by which every lease is made: Redis proposes, the database commits.

use std::time::Duration;

use super::hint::Hint;
use super::{MOST_IDS, PATIENCE, Stack};
use crate::codes::Slot;
use crate::store::{Store, StoreError};

/// Times Redis may propose ids that the database refuses before the database decides alone.
const HINT_TRIES: usize = 8;

/// Ids `[start, end)` of a slot, given out once and to no one else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    pub slot: Slot,
    pub start: u64,
    pub end: u64,
    pub source: LeaseSource,
}

/// Who granted a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LeaseSource {
    Keygen,
    /// Proposed by Redis, committed in the database.
    Redis,
    Store,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum LeaseError {
    #[error("a lease has 1 to 1,000,000 ids, not {0}")]
    Size(u64),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("keygen leases ids of another database: give it the --database-url of its servers")]
    Elsewhere,
}

/// Leases ids in this process.
///
/// A lease is valid when, and only when, the database has moved the stack's mark from at most `start` to `end`. Redis
/// spares concurrent allocators from proposing the same ids; it may be flushed, restored or wrong at any time.
pub struct Allocator {
    store: Store,
    hint: Option<Hint>,
}

impl Allocator {
    /// `redis_url` is checked, not yet connected to.
    pub fn new(store: Store, redis_url: Option<&str>) -> anyhow::Result<Allocator> {
        Allocator::with_patience(store, redis_url, PATIENCE)
    }

    /// As [`Allocator::new`]; `patience` is how long Redis may take before the database decides alone.
    pub fn with_patience(
        store: Store,
        redis_url: Option<&str>,
        patience: Duration,
    ) -> anyhow::Result<Allocator> {
        let hint = redis_url.map(|url| Hint::new(url, patience)).transpose()?;
        Ok(Allocator { store, hint })
    }

    /// Leases `size` ids for `stack`, which gets a slot if it has none. All statements for what Redis proposes have together
    /// the time that the store has for one, and so has the one that needs no proposal.
    pub async fn allocate(&self, stack: &Stack, size: u64) -> Result<Lease, LeaseError> {
        if !(1..=MOST_IDS).contains(&size) {
            return Err(LeaseError::Size(size));
        }
        let store = self.store.for_one_statement();
        // Asked each time: a database that was restored may have lost it.
        store.slot_of(stack.as_str()).await?;
        match self.by_hint(&store, stack, size).await {
            Ok(Some(lease)) => return Ok(lease),
            // Redis took the time that there was for its proposals.
            Ok(None) | Err(StoreError::Late) => {}
            Err(error) => return Err(error.into()),
        }
        let (slot, start, end) = self.store.extend_lease(stack.as_str(), size).await?;
        Ok(Lease { slot, start, end, source: LeaseSource::Store })
    }

    /// Whether Redis answered when it was last asked; `None` where there is none.
    pub fn redis_was_up(&self) -> Option<bool> {
        self.hint.as_ref().map(Hint::was_up)
    }

    /// Whether Redis answers now; `None` where there is none.
    pub async fn redis_is_up(&self) -> Option<bool> {
        match &self.hint {
            Some(hint) => Some(hint.is_up().await),
            None => None,
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    /// What Redis proposed and the database took; `None` when they do not come together.
    async fn by_hint(&self, store: &Store, stack: &Stack, size: u64) -> Result<Option<Lease>, StoreError> {
        let Some(hint) = &self.hint else { return Ok(None) };
        for _ in 0..HINT_TRIES {
            let Some(end) = hint.advance(stack, size).await else { return Ok(None) };
            let start = end.saturating_sub(size);
            let proposed = end - start == size;
            if proposed && let Some(slot) = store.commit_lease(stack.as_str(), start, end).await? {
                return Ok(Some(Lease { slot, start, end, source: LeaseSource::Redis }));
            }
            let mark = store.slot_of(stack.as_str()).await?.high;
            hint.set_to_mark(stack, mark).await;
        }
        Ok(None)
    }
}
