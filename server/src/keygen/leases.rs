//! Where an app's blocks come from: keygen while it answers, or else the same atomic path in this process.

use std::sync::Arc;
use std::time::Duration;

use super::client::Client;
use super::{Allocator, Lease, LeaseError, PATIENCE, Stack};
use crate::codes::{CODES_PER_SLOT, Slot};
use crate::store::{Store, StoreError};

/// The chain keygen → Redis and the store → the store alone. Each step down happens within a bounded time, and each
/// lease tries the chain from its top again, with a pause of up to five seconds after a failure.
#[derive(Clone)]
pub struct Leases(Arc<Inner>);

struct Inner {
    stack: Stack,
    keygen: Option<Client>,
    allocator: Allocator,
}

impl Leases {
    /// Leases for `stack`. `keygen_url` is `http://host:port`; neither it nor Redis need be up.
    pub fn new(
        store: Store,
        stack: Stack,
        keygen_url: Option<&str>,
        redis_url: Option<&str>,
    ) -> anyhow::Result<Leases> {
        Leases::with_patience(store, stack, keygen_url, redis_url, PATIENCE)
    }

    /// As [`Leases::new`]; `patience` is how long keygen may take, and then Redis.
    pub fn with_patience(
        store: Store,
        stack: Stack,
        keygen_url: Option<&str>,
        redis_url: Option<&str>,
        patience: Duration,
    ) -> anyhow::Result<Leases> {
        let keygen = keygen_url.map(|url| Client::new(url, patience)).transpose()?;
        let allocator = Allocator::with_patience(store, redis_url, patience)?;
        Ok(Leases(Arc::new(Inner { stack, keygen, allocator })))
    }

    /// A lease that stands in the database of this process, whoever granted it.
    ///
    /// # Errors
    /// [`LeaseError::Elsewhere`] where keygen leases what cannot come from that database: it is left alone then for as long as
    /// one that fails, and the next lease does without it.
    pub async fn lease(&self, size: u64) -> Result<Lease, LeaseError> {
        match self.by_keygen(size).await? {
            Some(lease) => Ok(lease),
            None => self.0.allocator.allocate(&self.0.stack, size).await,
        }
    }

    /// What keygen leases, committed here as well. It may have been started on another database: our mark would not move, and
    /// links beyond that are not found. What it leases below the mark as it was before would meet ids of ours, one by one.
    async fn by_keygen(&self, size: u64) -> Result<Option<Lease>, LeaseError> {
        let Some(keygen) = &self.0.keygen else { return Ok(None) };
        let (store, stack) = (self.0.allocator.store(), self.0.stack.as_str());
        let mark = store.slot_of(stack).await?;
        let Some(lease) = keygen.lease(&self.0.stack, size).await else { return Ok(None) };
        let may_be_ours = lease.slot == mark.slot && lease.start >= mark.high;
        let stands = may_be_ours && store.hold_lease(stack, lease.slot, lease.end).await?;
        keygen.was_of_use(stands);
        match stands {
            true => Ok(Some(lease)),
            false => Err(LeaseError::Elsewhere),
        }
    }

    /// The slot that `checked` codes are drawn from. It is not the one that blocks are leased from, and it is leased as
    /// a whole: drawn codes lie anywhere in it, and must neither meet leased ones nor fool the high marks.
    pub async fn slot_to_draw_from(&self, store: &Store) -> Result<Slot, StoreError> {
        let name = self.drawing();
        let mark = store.slot_of(&name).await?;
        let leased = match mark.high < CODES_PER_SLOT {
            true => store.commit_lease(&name, mark.high, CODES_PER_SLOT).await?,
            false => None,
        };
        Ok(leased.unwrap_or(mark.slot))
    }

    /// As [`Store::hold_lease`], of all of that slot.
    pub async fn hold_slot_to_draw_from(&self, store: &Store, slot: Slot) -> Result<bool, StoreError> {
        store.hold_lease(&self.drawing(), slot, CODES_PER_SLOT).await
    }

    fn drawing(&self) -> String {
        format!("{}+checked", self.0.stack)
    }

    /// Asks keygen whether it is healthy, for `/health`; `None` where none is configured.
    pub async fn keygen_up(&self) -> Option<bool> {
        match &self.0.keygen {
            Some(keygen) => Some(keygen.is_healthy().await),
            None => None,
        }
    }

    /// As [`Store::losses`].
    pub fn losses(&self) -> u64 {
        self.0.allocator.store().losses()
    }

    pub fn stack(&self) -> &Stack {
        &self.0.stack
    }
}
