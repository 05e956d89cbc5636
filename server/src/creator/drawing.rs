//! The slot that `checked` codes are drawn from.

use tokio::sync::Mutex;

use crate::codes::{Slot, split};
use crate::keygen::Leases;
use crate::store::{Store, StoreError};

pub(super) struct Drawing {
    leases: Leases,
    /// The slot, and how often the store had lost a connection when the database was last told of it.
    held: Mutex<Option<(Slot, u64)>>,
}

impl Drawing {
    pub(super) fn new(leases: Leases) -> Drawing {
        Drawing { leases, held: Mutex::default() }
    }

    /// The slot, of which the database knows. After a connection was lost that may be another database, failed over to or
    /// restored: it is told once more, and where the slot is another stack's there, another one is taken.
    pub(super) async fn slot(&self, store: &Store) -> Result<Slot, StoreError> {
        let mut held = store.wait_for(self.held.lock()).await?;
        // Counted before it is told: whatever is lost meanwhile has it told again.
        let losses = store.losses();
        let slot = match *held {
            Some((slot, at)) if at == losses => return Ok(slot),
            Some((slot, _)) if self.leases.hold_slot_to_draw_from(store, slot).await? => slot,
            _ => self.leases.slot_to_draw_from(store).await?,
        };
        *held = Some((slot, losses));
        Ok(slot)
    }

    /// Makes sure that the database knows of the slot that an id was drawn from.
    ///
    /// # Errors
    /// [`StoreError::SlotLost`] where it is another stack's by now.
    pub(super) async fn hold(&self, store: &Store, id: u64) -> Result<(), StoreError> {
        match self.slot(store).await? == split(id).1 {
            true => Ok(()),
            false => Err(StoreError::SlotLost),
        }
    }
}
