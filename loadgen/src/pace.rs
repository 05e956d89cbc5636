//! The generator's clock, and waits that keep to it.

use std::cell::Cell;
use std::time::{Duration, Instant};

/// Nanoseconds since an origin that lies before everything that is timed.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Never zero, so that zero can stand for "not yet".
    pub fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64 + 1
    }

    /// Waits for `due`, or until `cancel` is set, without a timer: timers are a millisecond wide, yielding
    /// to the other tasks is a microsecond. Uses its core fully. Returns when it noticed.
    pub async fn reach(&self, due: u64, cancel: &Cell<bool>) -> u64 {
        loop {
            let now = self.now();
            if now >= due || cancel.get() {
                return now;
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits for `due`, or until `cancel` is set, to a few milliseconds. Leaves its core to others.
    pub async fn sleep_until(&self, due: u64, cancel: &Cell<bool>) {
        const LOOK: u64 = 20_000_000;
        while !cancel.get() {
            let left = due.saturating_sub(self.now());
            if left == 0 {
                return;
            }
            tokio::time::sleep(Duration::from_nanos(left.min(LOOK))).await;
        }
    }
}

/// A duration in the clock's nanoseconds.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
