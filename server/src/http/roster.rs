//! The connections of one thread, and the sweep that ends those that are slow or silent.

use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::time::MissedTickBehavior;

use super::connection::{Ages, Watch};

pub struct Roster {
    clock: Arc<AtomicU32>,
    watches: Mutex<Vec<Arc<Watch>>>,
    /// Connections that are open, or on their way here.
    pub open: AtomicUsize,
}

impl Roster {
    pub fn new() -> Self {
        Self { clock: Arc::new(AtomicU32::new(1)), watches: Mutex::default(), open: AtomicUsize::new(0) }
    }

    /// The watch of a new connection.
    pub fn enlist(&self) -> Arc<Watch> {
        let watch = Watch::new(self.clock.clone());
        self.watches.lock().push(watch.clone());
        watch
    }

    pub fn each(&self, tell: impl Fn(&Watch)) {
        self.watches.lock().iter().for_each(|watch| tell(watch));
    }

    /// Ends connections whose head takes longer than `head` to come, or that are silent for longer than `idle`, and forgets
    /// those that ended; for ever.
    pub async fn sweep(self: Arc<Self>, head: Duration, idle: Duration) {
        let every = (head.min(idle) / 8).clamp(Duration::from_millis(5), Duration::from_secs(1));
        let sweeps =
            |timeout: Duration| (timeout.as_millis() / every.as_millis()).min(u128::from(u32::MAX)) as u32;
        let ages = Ages { head: sweeps(head), idle: sweeps(idle) };
        let mut ticks = tokio::time::interval(every);
        // After a process stood still, what came meanwhile is read before anyone is told that it was silent.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Zero means "none" in a watch, so the clock leaves it out.
            let now = self.clock.load(Relaxed).checked_add(1).unwrap_or(1);
            self.clock.store(now, Relaxed);
            let mut watches = self.watches.lock();
            // Only the roster holds a watch whose connection has ended.
            watches.retain(|watch| Arc::strong_count(watch) > 1);
            watches.iter().for_each(|watch| watch.sweep(now, ages));
        }
    }
}
