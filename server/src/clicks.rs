//! Click counts: exact, kept by each thread, then added to the store in batches.

mod log;
mod pending;

pub use log::ClickLog;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use tokio::sync::Mutex;
use tokio::task::yield_now;

use crate::cache::table::code_of;
use crate::codes::{Code, Codec, Key};
use crate::shortener::Desk;
use crate::store::{Store, StoreError};
use pending::{Clicked, Pending};

/// Brings the clicks of all threads to the store.
pub struct Clicks {
    store: Store,
    codec: Codec,
    desks: Vec<Arc<Desk>>,
    pending: Mutex<Pending>,
    rows: usize,
    flushed: AtomicU64,
    orphaned: AtomicU64,
    lost: AtomicU64,
    /// Links that had clicks left when they were last flushed.
    waiting: AtomicUsize,
}

/// The limits of counting.
#[derive(Debug, Clone, Copy)]
pub struct ClickLimits {
    /// Links whose counts wait to be stored.
    pub pending: usize,
    /// Those whose counts are stored at a time, as long as not too many wait.
    pub rows: usize,
}

impl Clicks {
    pub fn new(store: Store, codec: Codec, desks: Vec<Arc<Desk>>, limits: ClickLimits) -> Self {
        Self {
            store,
            codec,
            desks,
            pending: Mutex::new(Pending::new(limits.pending)),
            rows: limits.rows,
            flushed: AtomicU64::new(0),
            orphaned: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            waiting: AtomicUsize::new(0),
        }
    }

    /// Stores all clicks. What cannot be stored stays for the next time. A batch whose statement timed out may have been
    /// stored all the same, and is then counted twice: a click is never dropped for it. To be let finish: what is under
    /// way when it is cut off is lost.
    pub async fn flush(&self) -> Result<(), StoreError> {
        self.flush_rows(usize::MAX).await
    }

    /// Stores the clicks of as many links as are stored at a time, the most clicked first; otherwise as
    /// [`Clicks::flush`].
    pub async fn flush_due(&self) -> Result<(), StoreError> {
        self.flush_rows(self.rows).await
    }

    /// Clicks added to the store.
    pub fn flushed(&self) -> u64 {
        self.flushed.load(Relaxed)
    }

    /// Clicks of links that were deleted before their clicks were stored.
    pub fn orphaned(&self) -> u64 {
        self.orphaned.load(Relaxed)
    }

    /// Links whose clicks wait to be stored.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Clicks for which there was no room.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    async fn flush_rows(&self, rows: usize) -> Result<(), StoreError> {
        let mut pending = self.pending.lock().await;
        for desk in &self.desks {
            let mut taken = desk.clicks.take();
            while pending.gather(&mut taken) {
                yield_now().await;
            }
        }
        self.lost.store(pending.lost(), Relaxed);
        let stored = self.store_planned(&mut pending, rows).await;
        self.waiting.store(pending.links(), Relaxed);
        stored
    }

    async fn store_planned(&self, pending: &mut Pending, rows: usize) -> Result<(), StoreError> {
        let (mut plan, mut batch) = (pending.plan(rows), Vec::new());
        let at_once = self.store.clicks_at_once();
        loop {
            let more = pending.take(&mut plan, &mut batch);
            while batch.len() >= at_once || (!more && !batch.is_empty()) {
                let rest = batch.split_off(batch.len().min(at_once));
                if let Err(error) = self.store_batch(pending, batch).await {
                    pending.put_back(rest);
                    return Err(error);
                }
                batch = rest;
            }
            if !more {
                return Ok(());
            }
            yield_now().await;
        }
    }

    /// Each kind is a statement of its own: what one of them stored is not put back when the other fails.
    async fn store_batch(&self, pending: &mut Pending, batch: Vec<(Clicked, u64)>) -> Result<(), StoreError> {
        let (generated, custom) =
            batch.into_iter().partition(|(link, _)| matches!(link, Clicked::Generated(_)));
        if let Err(error) = self.store_kind(pending, generated).await {
            pending.put_back(custom);
            return Err(error);
        }
        self.store_kind(pending, custom).await
    }

    async fn store_kind(&self, pending: &mut Pending, clicks: Vec<(Clicked, u64)>) -> Result<(), StoreError> {
        let counts = self.by_key(&clicks);
        match self.store.add_clicks(&counts).await {
            Ok(added) => {
                let all: u64 = counts.iter().map(|(_, count)| count).sum();
                self.flushed.fetch_add(added, Relaxed);
                self.orphaned.fetch_add(all - added, Relaxed);
                Ok(())
            }
            Err(error) => {
                pending.put_back(clicks);
                Err(error)
            }
        }
    }

    fn by_key(&self, clicks: &[(Clicked, u64)]) -> Vec<(Key, u64)> {
        let generated = |(link, _): &(Clicked, u64)| match link {
            Clicked::Generated(key) => Code::parse(&code_of(*key)),
            Clicked::Custom(_) => None,
        };
        let mut ids =
            self.codec.decode_all(&clicks.iter().filter_map(generated).collect::<Vec<_>>()).into_iter();
        let key = |link: &Clicked| match link {
            Clicked::Generated(_) => Key::Generated(ids.next().expect("each such key is that of a code")),
            Clicked::Custom(code) => Key::Custom(code.clone()),
        };
        clicks.iter().map(|(link, _)| link).map(key).zip(clicks.iter().map(|(_, count)| *count)).collect()
    }
}
