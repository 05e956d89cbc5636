//! The high-water shortcut: which ids cannot exist, known without asking the database.

use crate::codes::{Codec, Key};
use crate::store::{Result, Store};

/// Knows how far each slot has been leased.
///
/// A probe beyond the mark is answered from here. Other processes move the marks, so a probe beyond what we know
/// first joins a reading of the marks that starts after it came; there is at most one such reading every 50 ms,
/// however many probes come.
pub struct HighMarks {
    _store: Store,
}

impl HighMarks {
    /// `dense` is whether ids are handed out in order, as the `blocks` design does. Otherwise every id may exist.
    pub fn new(store: Store, _codec: &Codec, _dense: bool) -> HighMarks {
        HighMarks { _store: store }
    }

    /// Whether a link may stand under `key`: false is certain, true is worth a look. Always true for custom codes.
    pub async fn may_exist(&self, _key: &Key) -> Result<bool> {
        todo!()
    }
}
