//! Stamps: when the bytes of a request passed.

use std::cell::Cell;

use crate::pace::Clock;

/// When the bytes of the request under way passed, in the clock's nanoseconds. Zero: not yet.
#[derive(Debug)]
pub struct Stamps {
    pub clock: Clock,
    /// The first byte was handed to the kernel.
    pub sent: Cell<u64>,
    /// The last byte had been handed to the kernel.
    pub written: Cell<u64>,
    /// The first byte of the answer was read.
    pub first: Cell<u64>,
    /// The latest byte of the answer was read.
    pub last: Cell<u64>,
    /// The answer's status.
    pub status: Cell<u16>,
    /// Bytes read since the connection was made.
    pub received: Cell<u64>,
}

impl Stamps {
    pub fn new(clock: Clock) -> Self {
        let zero = || Cell::new(0);
        let status = Cell::new(0);
        Self { clock, sent: zero(), written: zero(), first: zero(), last: zero(), status, received: zero() }
    }

    pub fn reset(&self) {
        for stamp in [&self.sent, &self.written, &self.first, &self.last] {
            stamp.set(0);
        }
        self.status.set(0);
    }

    /// So many bytes of the answer were read just now.
    pub fn arrived(&self, bytes: usize) {
        let now = self.clock.now();
        if self.first.get() == 0 {
            self.first.set(now);
        }
        self.last.set(now);
        self.received.set(self.received.get() + bytes as u64);
    }
}
