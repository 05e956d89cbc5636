//! Lag: how late a generator may notice that a request is due before latencies are no longer the server's.

use std::collections::BTreeMap;

use crate::{Distribution, figure};

/// The times of a series that hold it.
pub const NAME: &str = "generator-lag";

/// The share of a reported quantile that may be the generator's own lag.
pub const OWN_SHARE: f64 = 0.1;

/// The quantiles at which it is judged, and the lag in microseconds that is harmless there whatever the latency is:
/// the wake-up of a task.
pub const JUDGED: [(&str, f64, f64); 2] = [("p50", 0.5, 50.0), ("p99", 0.99, 500.0)];

/// Where it is too seldom to be held against a run, and is told: the tail of any machine that does other work.
const TOLD: [(&str, f64); 2] = [("p99.9", 0.999), ("max", 1.0)];

/// Which quantiles of the response time are in part the generator's own lag, in words.
pub fn caution(times: &BTreeMap<String, Distribution>) -> Option<String> {
    let of = |name: &str, q| times.get(name).and_then(|times| times.quantile_us(q));
    let own = TOLD.iter().filter_map(|(name, q)| {
        let (lag, response) = (of(NAME, *q)?, of("response", *q)?);
        let (_, _, harmless) = JUDGED[1];
        (lag > harmless && lag > response * OWN_SHARE).then(|| {
            format!("{name} {}, of a response {name} of {}", figure::time_us(lag), figure::time_us(response))
        })
    });
    let own: Vec<String> = own.collect();
    (!own.is_empty()).then(|| format!("the generator itself noticed arrivals late: {}", own.join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_that_is_the_generators_own_is_told() {
        let times = |lag_us: u64| {
            let mut all: BTreeMap<String, Distribution> = BTreeMap::new();
            for n in 0..1_000 {
                all.entry("response".to_owned()).or_default().record(if n == 0 {
                    4_000_000
                } else {
                    100_000
                });
                all.entry(NAME.to_owned()).or_default().record(if n == 0 { lag_us * 1_000 } else { 1_000 });
            }
            all
        };
        assert_eq!(caution(&times(300)), None, "harmless");
        let told = caution(&times(3_900)).unwrap();
        assert!(told.contains("max 3.9") && !told.contains("p99.9"), "{told}");
    }
}
