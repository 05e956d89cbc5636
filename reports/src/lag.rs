//! Lag: how late a generator may notice that a request is due before latencies are no longer the server's.

/// The times of a series that hold it.
pub const NAME: &str = "generator-lag";

/// The share of a reported quantile that may be the generator's own lag.
pub const OWN_SHARE: f64 = 0.1;

/// The quantiles at which it is judged, and the lag in microseconds that is harmless there whatever the latency is:
/// the wake-up of a task.
pub const JUDGED: [(&str, f64, f64); 2] = [("p50", 0.5, 50.0), ("p99", 0.99, 500.0)];
