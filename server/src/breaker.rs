//! Leaving a service that failed alone for a while.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Refuses calls for a pause after a failure, doubling from a quarter of a second to five seconds. Calls that were under
/// way when the pause began fail together, and count as one failure.
#[derive(Debug, Default)]
pub struct Breaker(Mutex<Option<Failing>>);

#[derive(Debug)]
struct Failing {
    pause: Duration,
    until: Instant,
}

impl Breaker {
    pub fn allows(&self, now: Instant) -> bool {
        self.0.lock().as_ref().is_none_or(|failing| now >= failing.until)
    }

    pub fn worked(&self) {
        *self.0.lock() = None;
    }

    pub fn failed(&self, now: Instant) {
        let mut failing = self.0.lock();
        if failing.as_ref().is_some_and(|failing| now < failing.until) {
            return;
        }
        let pause = failing.as_ref().map_or(FIRST_PAUSE, |before| (before.pause * 2).min(LONGEST_PAUSE));
        *failing = Some(Failing { pause, until: now + pause });
    }

    /// Whether the last call worked; true before the first.
    pub fn is_closed(&self) -> bool {
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
        breaker.failed(start + FIRST_PAUSE / 2);
        assert!(breaker.allows(start + FIRST_PAUSE), "one outage, counted once");
        breaker.failed(start + FIRST_PAUSE);
        assert!(!breaker.allows(start + FIRST_PAUSE * 2));
        let late = start + LONGEST_PAUSE * 100;
        for n in 0..20 {
            breaker.failed(start + LONGEST_PAUSE * n);
        }
        breaker.failed(late);
        assert!(!breaker.allows(late + LONGEST_PAUSE / 2) && breaker.allows(late + LONGEST_PAUSE));
        breaker.worked();
        assert!(breaker.allows(start) && breaker.is_closed());
    }
}
