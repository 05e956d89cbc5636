//! The ceiling of a hit rate, as it is to be taken: an expectation, which a sample may pass by chance.

use crate::figure;
use crate::run::Measurement;

/// How far chance alone moves the share of `lookups` independent ones around the ceiling: half of the 95 % interval of a
/// binomial share, by the normal approximation. None where the ceiling was not computed from a popularity: that of a log
/// is the log's own.
pub fn spread(measurement: &Measurement, lookups: f64) -> Option<f64> {
    const NORMAL_95: f64 = 1.96;
    let ceiling = measurement.ceiling.filter(|_| measurement.scenario.links.is_some())?;
    (lookups > 0.0).then(|| NORMAL_95 * (ceiling * (1.0 - ceiling) / lookups).max(0.0).sqrt())
}

/// `an expectation: chance alone moves the hit rate of 240,000 look-ups by 0.13 percentage points around it, at 95 %`.
pub fn told(measurement: &Measurement, lookups: f64) -> Option<String> {
    spread(measurement, lookups).map(|spread| {
        format!(
            "an expectation: chance alone moves the hit rate of {} look-ups by {} percentage points around it, at 95 %",
            figure::grouped(lookups),
            figure::significant(spread * 100.0)
        )
    })
}
