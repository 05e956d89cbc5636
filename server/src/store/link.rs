//! A link as it is stored.

use crate::codes::{Key, Slot};

/// A stored link. Times are unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub key: Key,
    pub url: String,
    pub created: i64,
    pub expires: Option<i64>,
    pub clicks: u64,
}

/// What to change in a link; `None` leaves a field as it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patch {
    pub url: Option<String>,
    /// `Some(None)` removes the expiry.
    pub expires: Option<Option<i64>>,
}

/// How far a slot has been leased: no id with a counter of `high` or above can exist in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HighMark {
    pub stack: String,
    pub slot: Slot,
    pub high: u64,
}

/// What an idempotency key was first used for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedKey {
    /// A digest of the request that claimed the key.
    pub fingerprint: u64,
    /// The code set aside for it: a retry makes the very same link.
    pub key: Key,
}
