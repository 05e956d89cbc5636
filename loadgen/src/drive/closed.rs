//! The closed model: each connection sends its next request when its last was answered.

use std::cell::RefCell;

use super::open::Arrival;
use super::worker::Shared;
use crate::exchange::Operation;
use crate::pace::nanoseconds;

/// Deals one sequence of operations to the lanes that ask.
pub struct ClosedFeed {
    operations: RefCell<Box<dyn Iterator<Item = Operation> + Send>>,
    think: std::time::Duration,
}

impl ClosedFeed {
    pub fn new(operations: Box<dyn Iterator<Item = Operation> + Send>, think: std::time::Duration) -> Self {
        Self { operations: RefCell::new(operations), think }
    }

    /// The next operation, after the time to think; none when the time is over.
    pub async fn next(&self, shared: &Shared, first: bool) -> Option<Arrival> {
        if first {
            shared.clock.sleep_until(shared.timeline.start, &shared.ending).await;
        } else if !self.think.is_zero() {
            let until = shared.clock.now() + nanoseconds(self.think);
            shared.clock.sleep_until(until.min(shared.timeline.end), &shared.ending).await;
        }
        let due = shared.clock.now();
        if due >= shared.timeline.end || shared.ending.get() {
            return None;
        }
        let operation = self.operations.borrow_mut().next()?;
        shared.used.set(shared.used.get() + 1);
        Some(Arrival { due, operation })
    }
}
