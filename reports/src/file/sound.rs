//! Whether the numbers of a run can be: a file that was changed and sealed again may hold any.

use crate::distribution::{Distribution, LONGEST_NS};
use crate::run::{Measurement, Run, Series, Slice};

/// Longer than any run: thirty years, in seconds.
const LONGEST_S: f64 = 1e9;
/// Maps hold the popularity of every link in memory.
const MOST_LINKS: u32 = 100_000_000;
/// Counters are added up; their sum must not overflow.
const MOST: u64 = 1 << 62;

/// The first number that cannot be, in words.
pub fn fault(run: &Run) -> Option<String> {
    let error = run.generator_error.as_ref();
    let of_selftest = error.map(|it| [it.send_delay_p50_us, it.send_delay_p99_us, it.quantile_error]);
    time("duration_s", run.duration_s)
        .or_else(|| of_selftest?.into_iter().find_map(|it| amount("generator_error", it)))
        .or_else(|| run.measurements.iter().find_map(of_measurement))
        .or_else(|| too_many(run))
}

fn of_measurement(measurement: &Measurement) -> Option<String> {
    let facts = measurement.facts.iter();
    let faults = measurement.faults.iter().flat_map(|it| [("at_s", it.at_s), ("took_s", it.took_s)]);
    let links = measurement.scenario.links.as_ref();
    let found = (measurement.series.iter().find_map(of_series))
        .or_else(|| {
            links.and_then(|it| (!(1..=MOST_LINKS).contains(&it.count)).then(|| too_many_links(it.count)))
        })
        .or_else(|| measurement.ceiling.and_then(|it| share("ceiling", it)))
        .or_else(|| facts.filter(|it| !it.1.is_finite()).find_map(|(name, it)| amount(name, *it)))
        .or_else(|| faults.into_iter().find_map(|(name, it)| time(name, it)));
    found.map(|fault| format!("in the measurement of `{}`, {fault}", measurement.scenario.name))
}

fn of_series(series: &Series) -> Option<String> {
    let times = |it: &Slice| [("start_s", it.start_s), ("duration_s", it.duration_s)];
    let of_slices = series.slices.iter().flat_map(times).find_map(|(name, value)| time(name, value));
    let no_length = |it: &&Slice| it.duration_s == 0.0;
    of_slices
        .or_else(|| series.slices.iter().find(no_length).map(|_| "a slice has no length".to_owned()))
        .or_else(|| series.slices.iter().find_map(|it| latency(&it.latency.unpack())))
        .or_else(|| series.times.iter().find_map(|(name, it)| distribution(name, it)))
}

/// No answer takes no time at all.
fn latency(times: &Distribution) -> Option<String> {
    let none = times.count() > 0 && times.0.max() == 0;
    distribution("latency", times).or_else(|| none.then(|| "a slice's latencies are all 0".to_owned()))
}

fn distribution(name: &str, times: &Distribution) -> Option<String> {
    (times.0.max() > times.0.highest_equivalent(LONGEST_NS))
        .then(|| format!("{name} holds a time of more than an hour, which none can be"))
}

fn too_many(run: &Run) -> Option<String> {
    let series = run.measurements.iter().flat_map(|it| &it.series);
    let counters = series.flat_map(|it| it.slices.iter().flat_map(|slice| slice.counters.values()));
    let sum = counters.fold(0u64, |sum, count| sum.saturating_add(*count));
    (sum > MOST).then(|| "the counters add up to more than can be counted".to_owned())
}

fn too_many_links(count: u32) -> String {
    format!("links.count is {count}, which is none or more than {MOST_LINKS}")
}

fn time(name: &str, seconds: f64) -> Option<String> {
    (!(0.0..=LONGEST_S).contains(&seconds))
        .then(|| format!("{name} is {seconds:?}, which is no time in seconds"))
}

fn amount(name: &str, value: f64) -> Option<String> {
    (!(value.is_finite() && value >= 0.0)).then(|| format!("{name} holds {value:?}, which is no amount"))
}

fn share(name: &str, value: f64) -> Option<String> {
    (!(0.0..=1.0).contains(&value)).then(|| format!("the {name} is {value:?}, which is no share of one"))
}
