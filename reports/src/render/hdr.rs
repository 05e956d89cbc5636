//! HdrHistogram's own formats: interval logs (`.hlog`, V2) and percentile tables (`.hgrm`).

use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::distribution::Distribution;
use crate::run::{Measurement, Run, Series};

/// Recorded in nanoseconds, told in milliseconds, as HdrHistogram's tools expect it.
const NS_IN_MS: f64 = 1e6;

/// One interval a slice. Values are nanoseconds. Of several variants each has its tag, which HdrHistogram's log processor
/// must be given; it ends with an error where every line bears one that it was not asked for.
///
/// Times count from the measurement's beginning, which is told as the run's: a run does not keep when
/// each of its measurements began.
pub fn hlog(run: &Run, measurement: &Measurement) -> String {
    let mut log = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut builder = IntervalLogWriterBuilder::new();
    builder
        .add_comment("[Histogram log format version 1.3]")
        .add_comment(&format!("[proofload: {}, values in nanoseconds]", one_line(&measurement.scenario.name)))
        .add_comment(&format!("[HistogramLogProcessor {}]", log_processor_options(measurement)));
    for reason in measurement.invalid.iter().chain(&measurement.invalid_latency) {
        builder.add_comment(&format!("[not to be trusted: {}]", one_line(reason)));
    }
    let mut writer = builder
        .with_start_time(UNIX_EPOCH + Duration::from_millis(run.started_unix_ms))
        .with_max_value_divisor(NS_IN_MS)
        .begin_log_with(&mut log, &mut serializer)
        .expect("memory takes all");
    for series in &measurement.series {
        let tag = tag(series);
        let tag = Some(&*tag).filter(|_| measurement.series.len() > 1).and_then(Tag::new);
        for slice in &series.slices {
            let (start, length) = (seconds(slice.start_s), seconds(slice.duration_s));
            writer.write_histogram(&slice.latency.unpack().0, start, length, tag).expect("memory takes all");
        }
    }
    String::from_utf8(log).expect("a log is text")
}

/// What HdrHistogram's own reader has to be told.
fn log_processor_options(measurement: &Measurement) -> String {
    let ratio = "-outputValueUnitRatio 1000000";
    match measurement.series.as_slice() {
        [] | [_] => ratio.to_owned(),
        many => {
            let tags: Vec<String> = many.iter().map(tag).collect();
            format!("{ratio} -tag {}", tags.join(" or "))
        }
    }
}

fn tag(series: &Series) -> String {
    series.variant.replace([',', ' ', '\r', '\n'], "-")
}

/// Value in milliseconds, quantile, count up to it, and 1/(1 − quantile); five lines to each halving.
pub fn hgrm(times: &Distribution) -> String {
    let mut text =
        format!("{:>12} {:>14} {:>10} {:>14}\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
    let mut up_to = 0;
    for step in times.0.iter_quantiles(5) {
        up_to += step.count_since_last_iteration();
        let (value, quantile) = (step.value_iterated_to() as f64 / NS_IN_MS, step.quantile_iterated_to());
        let _ = write!(text, "{value:>12.6} {quantile:>2.12} {up_to:>10}");
        // The last line has no reciprocal: it would be infinite.
        match quantile < 1.0 {
            true => writeln!(text, " {:>14.2}", 1.0 / (1.0 - quantile)),
            false => writeln!(text),
        }
        .expect("memory takes all");
    }
    let (mean, deviation) = (times.0.mean() / NS_IN_MS, times.0.stdev() / NS_IN_MS);
    let _ = writeln!(text, "#[Mean    = {mean:>12.6}, StdDeviation   = {deviation:>12.6}]");
    let (max, count) = (times.0.max() as f64 / NS_IN_MS, times.count());
    let _ = writeln!(text, "#[Max     = {max:>12.6}, Total count    = {count:>12}]");
    let _ = writeln!(text, "#[Buckets = {:>12}, SubBuckets     = {:>12}]", times.0.buckets(), 2048);
    text
}

/// The merged times of a series that are worth a file: what it is judged by, and the service time.
pub fn told(series: &Series) -> impl Iterator<Item = (&str, &Distribution)> {
    ["response", "service"].into_iter().filter_map(|name| Some((name, series.times.get(name)?)))
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value).unwrap_or_default()
}

fn one_line(text: &str) -> String {
    text.replace(['\r', '\n'], " ")
}
