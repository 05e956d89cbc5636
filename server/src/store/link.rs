//! A link as it is stored.

use super::statement::Row;
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

/// The row of a link whose code is generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRow {
    pub id: u64,
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

/// `id, url, created, expires, clicks`
pub(super) fn generated(row: &dyn Row) -> sqlx::Result<Link> {
    decode(Key::Generated(row.int(0)?.cast_unsigned()), row)
}

/// `code, url, created, expires, clicks`
pub(super) fn custom(row: &dyn Row) -> sqlx::Result<Link> {
    decode(Key::Custom(row.text(0)?.into()), row)
}

/// `stack, slot, high`
pub(super) fn high_mark(row: &dyn Row) -> sqlx::Result<HighMark> {
    let slot = u8::try_from(row.int(1)?).map_err(|error| sqlx::Error::Decode(error.into()))?;
    Ok(HighMark { stack: row.text(0)?.to_owned(), slot: Slot(slot), high: row.int(2)?.cast_unsigned() })
}

fn decode(key: Key, row: &dyn Row) -> sqlx::Result<Link> {
    Ok(Link {
        key,
        url: row.text(1)?.to_owned(),
        created: row.int(2)?,
        expires: row.maybe_int(3)?,
        clicks: row.int(4)?.cast_unsigned(),
    })
}
