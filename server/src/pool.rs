//! Codes made ready ahead of use.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::blocks::{Blocks, NoIds};
use crate::codes::{Code, Codec};
use crate::store::{Store, StoreError};

/// An id and its code.
pub type Ready = (u64, Code);

/// How long the pool waits for ids before it looks whether it is still wanted.
const PATIENCE: Duration = Duration::from_secs(5);

/// Keeps up to `size` codes ready on top of the blocks. When they run out, codes are made on the spot: the pool saves
/// time where it can, and never stops a create.
#[derive(Clone)]
pub struct Pool(Arc<Shared>);

struct Shared {
    blocks: Blocks,
    codec: Codec,
    size: usize,
    ready: Mutex<VecDeque<Ready>>,
    low: Notify,
    served: AtomicU64,
    dry: AtomicU64,
}

impl Pool {
    /// Starts to fill on `handle`; with a `size` of 0 every code is made on the spot.
    pub fn start(blocks: Blocks, codec: Codec, size: usize, handle: &Handle) -> Pool {
        let shared = Arc::new(Shared {
            blocks,
            codec,
            size,
            ready: Mutex::new(VecDeque::with_capacity(size)),
            low: Notify::new(),
            served: AtomicU64::new(0),
            dry: AtomicU64::new(0),
        });
        if size > 0 {
            handle.spawn(fill(Arc::downgrade(&shared)));
        }
        Pool(shared)
    }

    /// `count` ids with their codes; waits until `deadline` if no ids are at hand.
    pub async fn take(&self, count: usize, deadline: Instant) -> Result<Vec<Ready>, NoIds> {
        let mut taken = self.take_ready(count);
        let missing = count - taken.len();
        if missing > 0 {
            let mut ids = Vec::with_capacity(missing);
            self.0.blocks.take(missing, &mut ids, deadline).await?;
            taken.extend(self.0.encode(ids));
        }
        Ok(taken)
    }

    /// As [`Blocks::hold`]. What is ready of a slot that was lost goes.
    pub async fn hold(&self, store: &Store, ids: impl IntoIterator<Item = u64>) -> Result<(), StoreError> {
        let held = self.0.blocks.hold(store, ids).await;
        if let Err(StoreError::SlotLost) = held {
            self.0.ready.lock().retain(|(id, _)| !self.0.blocks.is_lost(*id));
        }
        held
    }

    /// Codes served ready, and codes that had to be made on the spot although there is a pool.
    pub fn served_and_dry(&self) -> (u64, u64) {
        (self.0.served.load(Relaxed), self.0.dry.load(Relaxed))
    }

    fn take_ready(&self, count: usize) -> Vec<Ready> {
        let shared = &*self.0;
        if shared.size == 0 {
            return Vec::with_capacity(count);
        }
        let (taken, left) = {
            let mut ready = shared.ready.lock();
            let at_hand = count.min(ready.len());
            let mut taken = Vec::with_capacity(count);
            taken.extend(ready.drain(..at_hand));
            (taken, ready.len())
        };
        if left <= shared.size / 2 {
            shared.low.notify_one();
        }
        shared.served.fetch_add(taken.len() as u64, Relaxed);
        shared.dry.fetch_add((count - taken.len()) as u64, Relaxed);
        taken
    }
}

impl Shared {
    fn encode(&self, ids: Vec<u64>) -> impl Iterator<Item = Ready> {
        let mut codes = Vec::with_capacity(ids.len());
        self.codec.encode_all(&ids, &mut codes);
        ids.into_iter().zip(codes)
    }
}

/// Fills the pool whenever it is half empty, until it is gone.
async fn fill(shared: Weak<Shared>) {
    loop {
        let Some(pool) = shared.upgrade() else { return };
        let missing = pool.size - pool.ready.lock().len();
        if missing > pool.size / 2 {
            let mut ids = Vec::with_capacity(missing);
            // An error has been counted and paused for where the leases are made.
            if pool.blocks.take_ahead(missing, &mut ids, Instant::now() + PATIENCE).await.is_ok() {
                pool.ready.lock().extend(pool.encode(ids));
            }
        } else {
            let _ = tokio::time::timeout(Duration::from_secs(1), pool.low.notified()).await;
        }
    }
}
