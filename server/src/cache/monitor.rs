//! Decides from samples of the hit rate when the cache should be warmed again.

/// Compares the hit rate with what was attained before, not with a fixed mark: where the cache is too small for its
/// workload, a fixed mark would warm it again for ever, to no use.
#[derive(Debug)]
pub struct Monitor {
    hits: u64,
    lookups: u64,
    rate: Option<f64>,
    attainable: Option<f64>,
    /// Samples until the last warming's effect is judged.
    judged_in: u32,
    /// Samples to wait before warming again; doubled each time that warming did not help.
    back_off: u32,
    waited: u32,
}

/// Look-ups that make a sample; slower seconds are taken together.
const SAMPLE: u64 = 200;
/// Weight of the newest sample in the smoothed rate.
const WEIGHT: f64 = 0.4;
/// How far below the attainable rate is tolerated, as a share of it.
const TOLERANCE: f64 = 0.05;
/// Samples after a warming before its effect is judged.
const SETTLING: u32 = 5;
const SHORTEST_BACK_OFF: u32 = 2;
const LONGEST_BACK_OFF: u32 = 600;

impl Default for Monitor {
    fn default() -> Self {
        Self {
            hits: 0,
            lookups: 0,
            rate: None,
            attainable: None,
            judged_in: 0,
            back_off: SHORTEST_BACK_OFF,
            waited: LONGEST_BACK_OFF,
        }
    }
}

impl Monitor {
    /// Takes in what came since the last call, about a second ago, and says whether to warm now.
    pub fn observe(&mut self, hits: u64, lookups: u64) -> bool {
        self.hits += hits;
        self.lookups += lookups;
        if self.lookups < SAMPLE {
            return false;
        }
        let sample = self.hits as f64 / self.lookups as f64;
        (self.hits, self.lookups) = (0, 0);
        let rate = self.rate.map_or(sample, |rate| rate + WEIGHT * (sample - rate));
        self.rate = Some(rate);
        self.waited = self.waited.saturating_add(1);
        self.judge(rate);
        let attainable = self.attainable.map_or(rate, |attainable| attainable.max(rate));
        self.attainable = Some(attainable);
        let is_low = rate < attainable * (1.0 - TOLERANCE);
        if !is_low || self.judged_in > 0 || self.waited < self.back_off {
            return false;
        }
        self.waited = 0;
        self.judged_in = SETTLING;
        true
    }

    /// The warming that was asked for did not come about: its effect is not judged, and it is asked for again.
    pub fn undone(&mut self) {
        self.judged_in = 0;
    }

    /// The smoothed hit rate of the last few samples.
    pub fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The best rate that was kept up since warming last failed to bring it back.
    pub fn attainable(&self) -> Option<f64> {
        self.attainable
    }

    /// A warming that did not bring the rate back shows that the workload has changed: what is attained now is what is
    /// attainable, until more is seen.
    fn judge(&mut self, rate: f64) {
        if self.judged_in == 0 {
            return;
        }
        self.judged_in -= 1;
        if self.judged_in > 0 {
            return;
        }
        let Some(attainable) = self.attainable else { return };
        if rate < attainable * (1.0 - TOLERANCE) {
            self.attainable = Some(rate);
            self.back_off = (self.back_off * 2).min(LONGEST_BACK_OFF);
        } else {
            self.back_off = SHORTEST_BACK_OFF;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds seconds of 1,000 look-ups each and counts the warmings asked for.
    fn warmings(monitor: &mut Monitor, hits: u64, seconds: u32) -> usize {
        (0..seconds).filter(|_| monitor.observe(hits, 1_000)).count()
    }

    #[test]
    fn a_low_but_steady_rate_is_no_reason_to_warm() {
        let mut monitor = Monitor::default();
        assert_eq!(warmings(&mut monitor, 600, 1_000), 0);
        assert!((monitor.attainable().unwrap() - 0.6).abs() < 1e-9);
    }

    #[test]
    fn a_flush_is_seen_at_once_and_warmed_once() {
        let mut monitor = Monitor::default();
        warmings(&mut monitor, 880, 60);
        assert!(monitor.observe(0, 1_000));
        assert_eq!(warmings(&mut monitor, 880, 60), 0);
    }

    #[test]
    fn a_warming_that_did_not_come_about_is_asked_for_again() {
        let mut monitor = Monitor::default();
        warmings(&mut monitor, 880, 60);
        for _ in 0..20 {
            let asked = (0..SHORTEST_BACK_OFF).filter(|_| monitor.observe(0, 1_000)).count();
            assert_eq!(asked, 1);
            monitor.undone();
        }
        assert!(
            (monitor.attainable().unwrap() - 0.88).abs() < 1e-9,
            "nothing showed that less can be attained"
        );
    }

    #[test]
    fn warming_that_does_not_help_is_not_repeated_for_ever() {
        let mut monitor = Monitor::default();
        warmings(&mut monitor, 900, 60);
        assert_eq!(warmings(&mut monitor, 500, 3_600), 1);
        assert!((monitor.attainable().unwrap() - 0.5).abs() < 0.05);
    }

    #[test]
    fn a_rate_that_keeps_dropping_is_warmed_with_growing_pauses() {
        let mut monitor = Monitor::default();
        warmings(&mut monitor, 990, 10);
        let asked: usize =
            (0..100).map(|step| warmings(&mut monitor, if step % 2 == 0 { 990 } else { 300 }, 30)).sum();
        assert!((2..60).contains(&asked), "{asked}");
    }

    #[test]
    fn a_handful_of_look_ups_says_nothing() {
        let mut monitor = Monitor::default();
        warmings(&mut monitor, 900, 60);
        assert!((0..100).all(|_| !monitor.observe(0, 1)));
    }
}
