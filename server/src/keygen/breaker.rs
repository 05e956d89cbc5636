//! Leaving a service that failed alone for a while.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Refuses calls for a pause after each failure, doubling from a quarter of a second to five seconds.
#[derive(Debug, Default)]
pub(super) struct Breaker(Mutex<Option<Failing>>);

#[derive(Debug)]
struct Failing {
    pause: Duration,
    until: Instant,
}

impl Breaker {
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.0.lock().as_ref().is_none_or(|failing| now >= failing.until)
    }

    pub(super) fn worked(&self) {
        *self.0.lock() = None;
    }

    pub(super) fn failed(&self, now: Instant) {
        let mut failing = self.0.lock();
        let pause = failing.as_ref().map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LONGEST_PAUSE));
        *failing = Some(Failing { pause, until: now + pause });
    }

    /// Whether the last call worked; true before the first.
    pub(super) fn is_closed(&self) -> bool {
        self.0.lock().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_end_with_success() {
        let breaker = Breaker::default();
        let start = Instant::now();
        assert!(breaker.allows(start) && breaker.is_closed());
        breaker.failed(start);
        assert!(!breaker.allows(start + FIRST_PAUSE / 2) && !breaker.is_closed());
        assert!(breaker.allows(start + FIRST_PAUSE));
        breaker.failed(start);
        assert!(!breaker.allows(start + FIRST_PAUSE));
        for _ in 0..20 {
            breaker.failed(start);
        }
        assert!(breaker.allows(start + LONGEST_PAUSE));
        breaker.worked();
        assert!(breaker.allows(start) && breaker.is_closed());
    }
}
