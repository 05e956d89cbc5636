//! Slots, and the leases of ids within them.

use super::link::high_mark;
use super::links::int;
use super::statement::{Statement, Value};
use super::{HighMark, Kind, Result, Store, StoreError, sql};
use crate::codes::{CODES_PER_SLOT, SLOTS, Slot};

/// Times two stacks may meet on the same free slot before one gives up.
const ASSIGN_TRIES: usize = 64;
/// How far beyond the mark a hint may start: farther ones would waste the slot, and come from a mistaken Redis.
pub(crate) const FURTHEST_HINT: u64 = 100_000_000;

impl Store {
    /// The slot of a stack and how far it is leased; a stack that is new gets a free slot, for good.
    pub async fn slot_of(&self, stack: &str) -> Result<HighMark> {
        for _ in 0..ASSIGN_TRIES {
            let read = Statement::write(Kind::Lease, sql::SLOT_OF, vec![Value::Text(stack)]);
            if let Some(mark) = self.first(read, high_mark).await? {
                return Ok(mark);
            }
            let assign = Statement::write(Kind::Lease, sql::ASSIGN_SLOT, vec![Value::Text(stack)]);
            if self.execute(assign).await? == 0 && self.slots_assigned().await? >= SLOTS {
                return Err(StoreError::NoSlotLeft(stack.to_owned()));
            }
        }
        Err(StoreError::Contended(format!("no slot for {stack:?} after {ASSIGN_TRIES} tries")))
    }

    /// Commits the lease of `[start, end)`, which a hint proposed, and returns the slot; `None` if any of it may have been
    /// leased before, or if it lies absurdly far ahead.
    pub async fn commit_lease(&self, stack: &str, start: u64, end: u64) -> Result<Option<Slot>> {
        if start >= end || end > CODES_PER_SLOT {
            return Ok(None);
        }
        let values = vec![Value::Text(stack), int(start), int(end), int(start.saturating_sub(FURTHEST_HINT))];
        let commit = Statement::write(Kind::Lease, sql::COMMIT_LEASE, values);
        self.first(commit, |row| row.int(0)).await?.map(slot).transpose()
    }

    /// Leases the next `size` ids without any hint; returns the slot and `[start, end)`. The stack must have a slot.
    pub async fn extend_lease(&self, stack: &str, size: u64) -> Result<(Slot, u64, u64)> {
        let most = CODES_PER_SLOT.saturating_sub(size);
        let values = vec![Value::Text(stack), int(size), int(most)];
        let extend = Statement::write(Kind::Lease, sql::EXTEND_LEASE, values);
        let (number, end) = self
            .first(extend, |row| Ok((row.int(0)?, row.int(1)?.cast_unsigned())))
            .await?
            .ok_or_else(|| StoreError::SlotUsedUp(stack.to_owned()))?;
        Ok((slot(number)?, end - size, end))
    }

    /// Makes sure that a stack is leased up to `end` of its slot, where the database has lost the lease that said so, or even
    /// the stack; false where it cannot be: the stack has another slot since, or another stack has this one.
    pub async fn hold_lease(&self, stack: &str, slot: Slot, end: u64) -> Result<bool> {
        let values = vec![int(slot.0.into()), Value::Text(stack), int(end)];
        match self.execute(Statement::write(Kind::Lease, sql::HOLD_LEASE, values)).await {
            Ok(rows) => Ok(rows == 1),
            Err(StoreError::Taken(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    async fn slots_assigned(&self) -> Result<u64> {
        let count = Statement::read(Kind::Lease, sql::SLOTS_ASSIGNED, vec![]);
        Ok(self.first(count, |row| row.int(0)).await?.unwrap_or(0).cast_unsigned())
    }
}

fn slot(number: i64) -> Result<Slot> {
    u8::try_from(number).map(Slot).map_err(|_| StoreError::Refused(format!("slot {number} is no slot")))
}
