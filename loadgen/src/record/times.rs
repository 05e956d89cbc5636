//! Times: a histogram for each stretch of a request.

use hdrhistogram::Histogram;
use proofload_reports::distribution::LONGEST_NS;

/// A histogram of nanoseconds with the bounds of all others, so that merging is exact.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, LONGEST_NS, 3).expect("the bounds are valid")
}

/// Times of the whole measurement that are not also kept by the slice.
#[derive(Debug, Clone)]
pub struct Times {
    /// `done − sent`, by kind of operation.
    pub service: Vec<Histogram<u64>>,
    /// `ready − due`.
    pub ready: Histogram<u64>,
    /// `sent − due`.
    pub send_delay: Histogram<u64>,
    /// `written − sent`.
    pub written: Histogram<u64>,
    /// `first − sent`.
    pub first_byte: Histogram<u64>,
    /// How late the pacer noticed an arrival: the generator's own fault, whatever the target does.
    pub lag: Histogram<u64>,
    /// How long making a connection took.
    pub connect: Histogram<u64>,
}

impl Times {
    pub fn new(kinds: usize) -> Self {
        Self {
            service: vec![histogram(); kinds],
            ready: histogram(),
            send_delay: histogram(),
            written: histogram(),
            first_byte: histogram(),
            lag: histogram(),
            connect: histogram(),
        }
    }

    /// Adds what another worker recorded: exact, bin by bin.
    pub fn merge(&mut self, other: &Times) {
        for (to, from) in self.service.iter_mut().zip(&other.service) {
            add(to, from);
        }
        add(&mut self.ready, &other.ready);
        add(&mut self.send_delay, &other.send_delay);
        add(&mut self.written, &other.written);
        add(&mut self.first_byte, &other.first_byte);
        add(&mut self.lag, &other.lag);
        add(&mut self.connect, &other.connect);
    }
}

pub fn add(to: &mut Histogram<u64>, from: &Histogram<u64>) {
    to.add(from).expect("all histograms have the same bounds");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two workers, one of them with all the slow answers: what they have in common is what one would have recorded.
    #[test]
    fn merging_is_exact() {
        let (mut fast, mut slow, mut both) = (histogram(), histogram(), histogram());
        for time in 1..=10_000_u64 {
            let (worker, time) = if time <= 9_800 { (&mut fast, time) } else { (&mut slow, time * 100) };
            worker.record(time).unwrap();
            both.record(time).unwrap();
        }
        add(&mut fast, &slow);
        assert_eq!(fast, both);
    }
}
