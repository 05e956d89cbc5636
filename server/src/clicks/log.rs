//! Clicks as they come: one log a thread.

use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::cache::table::Name;

/// One thread's clicks since they were last gathered. Only that thread and the gatherer lock it.
#[derive(Default)]
pub struct ClickLog {
    clicks: Mutex<Taken>,
}

/// One thread's clicks on their way to the pending ones.
#[derive(Default)]
pub(super) struct Taken {
    /// Generated codes as they came: the cheapest thing to do while a client waits.
    pub(super) raw: Vec<u64>,
    /// The same, counted, when the raw ones grew too many.
    pub(super) counted: HashMap<u64, u64>,
    pub(super) custom: HashMap<Box<str>, u64>,
}

/// Raw clicks before they are counted, 8 bytes each.
pub(super) const MOST_RAW: usize = 1 << 18;

impl ClickLog {
    #[inline]
    pub fn click(&self, name: Name<'_>, code: &str) {
        let mut clicks = self.clicks.lock();
        match name.generated() {
            Some(key) => clicks.click(key),
            None => *clicks.custom.entry_ref(code).or_insert(0) += 1,
        }
    }

    /// Takes all clicks out.
    pub(super) fn take(&self) -> Taken {
        let spare = Vec::with_capacity(self.clicks.lock().raw.len().max(1_024));
        let mut clicks = self.clicks.lock();
        let raw = std::mem::replace(&mut clicks.raw, spare);
        let counted = std::mem::take(&mut clicks.counted);
        Taken { raw, counted, custom: std::mem::take(&mut clicks.custom) }
    }
}

impl Taken {
    fn click(&mut self, key: u64) {
        if self.raw.len() >= MOST_RAW {
            self.count_raw();
        }
        self.raw.push(key);
    }

    fn count_raw(&mut self) {
        self.raw.sort_unstable();
        for same in self.raw.chunk_by(|a, b| a == b) {
            *self.counted.entry(same[0]).or_insert(0) += same.len() as u64;
        }
        self.raw.clear();
    }
}
