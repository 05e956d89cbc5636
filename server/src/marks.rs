//! The high-water shortcut: which ids cannot exist, known without asking the database.

use std::time::Duration;

use parking_lot::RwLock;
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::codes::{Codec, Key, SLOTS, split};
use crate::store::{Result, Store};

/// The least time between two readings of the marks.
const SPACING: Duration = Duration::from_millis(50);

/// Knows how far each slot has been leased.
///
/// A probe beyond the mark is answered from here. Other processes move the marks, so a probe beyond what we know
/// joins a reading of the marks that starts after it came; there is at most one such reading every 50 ms, however
/// many probes come. So a "no" is never wrong, and guessing costs the database next to nothing.
pub struct HighMarks {
    store: Store,
    partitioned: bool,
    known: RwLock<Known>,
    reading: Mutex<()>,
}

struct Known {
    highs: [u64; SLOTS as usize],
    /// When the reading that told them started.
    read: Option<Instant>,
}

impl HighMarks {
    /// With unpartitioned codes an id tells no slot, and every id may exist.
    pub fn new(store: Store, codec: &Codec) -> HighMarks {
        let known = Known { highs: [0; SLOTS as usize], read: None };
        HighMarks {
            store,
            partitioned: codec.is_partitioned(),
            known: RwLock::new(known),
            reading: Mutex::new(()),
        }
    }

    /// Whether a link may stand under `key`: false is certain, true is worth a look. Always true for custom codes.
    pub async fn may_exist(&self, key: &Key) -> Result<bool> {
        let Key::Generated(id) = *key else { return Ok(true) };
        if !self.partitioned || self.is_below_mark(id) {
            return Ok(true);
        }
        self.read_after(Instant::now()).await?;
        Ok(self.is_below_mark(id))
    }

    fn is_below_mark(&self, id: u64) -> bool {
        let (n, slot) = split(id);
        n < self.known.read().highs[usize::from(slot.0)]
    }

    /// Returns once the marks are known as of `moment` or later; who comes while they are read waits for the next.
    async fn read_after(&self, moment: Instant) -> Result<()> {
        let _turn = self.reading.lock().await;
        let last = self.known.read().read;
        if let Some(last) = last {
            if last >= moment {
                return Ok(());
            }
            tokio::time::sleep_until(last + SPACING).await;
        }
        let started = Instant::now();
        let marks = self.store.high_marks().await?;
        let mut known = self.known.write();
        for mark in marks {
            known.highs[usize::from(mark.slot.0)] = mark.high;
        }
        known.read = Some(started);
        Ok(())
    }
}
