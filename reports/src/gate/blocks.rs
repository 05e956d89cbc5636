//! Interleaved blocks: the log ratio of head over base in each, or why there is none.

use std::collections::BTreeMap;

use proofload_scenarios::Kind;

use crate::distribution::Distribution;
use crate::run::{Measurement, Series, Slice};
use crate::tally::Tally;

const SERVER_CPU: &str = "cpu.server_us";

/// What is timed. Ratios above one are worse for head in each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timing {
    P50,
    P99,
    /// CPU time of the server a request.
    ServerCpu,
    /// Time a request at saturation: throughput, turned over.
    Throughput,
}

impl Timing {
    pub fn kind(self) -> Kind {
        if self == Timing::P99 { Kind::Stated } else { Kind::Upheld }
    }

    pub fn title(self) -> &'static str {
        match self {
            Timing::P50 => "latency p50",
            Timing::P99 => "latency p99 (advisory)",
            Timing::ServerCpu => "server CPU a request",
            Timing::Throughput => "time a request at saturation",
        }
    }

    pub fn fact(self) -> &'static str {
        match self {
            Timing::P50 => "latency_p50_ratio",
            Timing::P99 => "latency_p99_ratio",
            Timing::ServerCpu => "server_cpu_ratio",
            Timing::Throughput => "time_per_request_ratio",
        }
    }
}

/// What was measured of one side in one block.
#[derive(Default)]
struct Side {
    ok: f64,
    seconds: f64,
    cpu_us: f64,
    /// Never sent, and so slower than all that have a time.
    dropped: u64,
    slices: usize,
    first_start_s: Option<f64>,
    latency: Distribution,
}

/// Whether anyone counted what the timing is made of.
pub(super) fn is_known(timing: Timing, measurement: &Measurement) -> bool {
    let counted = |slice: &Slice| slice.counters.contains_key(SERVER_CPU);
    timing != Timing::ServerCpu || measurement.series.iter().flat_map(|it| &it.slices).any(counted)
}

/// One log ratio a block, in order.
pub(super) fn log_ratios(
    timing: Timing,
    measurement: &Measurement,
    base: &str,
    head: &str,
) -> Result<Vec<f64>, Vec<String>> {
    let doubts = [&measurement.invalid[..], &measurement.invalid_latency].concat();
    if !doubts.is_empty() {
        return Err(doubts);
    }
    let one = |reason: String| vec![reason];
    let base = series(measurement, base).map_err(one)?;
    let head = series(measurement, head).map_err(one)?;
    let blocks = sides(base, head);
    balanced(&blocks).map_err(one)?;
    blocks.iter().map(|(block, sides)| log_ratio(timing, *block, sides).map_err(one)).collect()
}

fn series<'a>(measurement: &'a Measurement, variant: &str) -> Result<&'a Series, String> {
    let series = measurement.series(Some(variant)).ok_or(format!("`{variant}` was not measured"))?;
    // Who fails early is quick, and what never ended has no time: neither may pass for a better build.
    let tally = Tally::of(&series.slices);
    match tally.failed() {
        0 => Ok(series),
        failed => Err(format!(
            "{failed} requests to `{variant}` failed: {} answered wrongly, {} timed out, {} without an answer",
            tally.wrong, tally.timeout, tally.error
        )),
    }
}

fn sides(base: &Series, head: &Series) -> BTreeMap<u32, [Side; 2]> {
    let mut blocks: BTreeMap<u32, [Side; 2]> = BTreeMap::new();
    for (index, series) in [base, head].into_iter().enumerate() {
        for slice in &series.slices {
            blocks.entry(slice.block).or_default()[index].add(slice);
        }
    }
    blocks
}

impl Side {
    fn add(&mut self, slice: &Slice) {
        let counter = |name: &str| slice.counters.get(name).copied().unwrap_or(0) as f64;
        self.ok += counter("client.ok");
        self.cpu_us += counter(SERVER_CPU);
        self.dropped += slice.counters.get("client.dropped").copied().unwrap_or(0);
        self.seconds += slice.duration_s;
        self.slices += 1;
        self.first_start_s = Some(self.first_start_s.map_or(slice.start_s, |first| first.min(slice.start_s)));
        self.latency.merge(&slice.latency.unpack());
    }
}

impl Side {
    /// Zero where nothing has a time, and infinite where the quantile lies among what was dropped.
    fn quantile_us(&self, q: f64) -> f64 {
        match self.latency.count() {
            0 => 0.0,
            _ => self.latency.quantile_of_all_us(q, self.dropped).unwrap_or(f64::INFINITY),
        }
    }
}

/// Each block must hold both sides alike, and each side must come first about as often: a first slot
/// that is always the same passes for a difference between the builds.
fn balanced(blocks: &BTreeMap<u32, [Side; 2]>) -> Result<(), String> {
    if let Some((block, [base, head])) = blocks.iter().find(|(_, it)| it[0].slices != it[1].slices) {
        return Err(format!("block {block} has {} slices of base and {} of head", base.slices, head.slices));
    }
    let all = blocks.len();
    let base_first = blocks.values().filter(|[base, head]| base.first_start_s < head.first_start_s).count();
    if base_first.abs_diff(all - base_first) > (all / 8).max(2) {
        return Err(format!("base came first in {base_first} of {all} blocks: the order is not balanced"));
    }
    Ok(())
}

fn log_ratio(timing: Timing, block: u32, [base, head]: &[Side; 2]) -> Result<f64, String> {
    let value = |side: &Side| match timing {
        Timing::P50 => side.quantile_us(0.5),
        Timing::P99 => side.quantile_us(0.99),
        Timing::ServerCpu => side.cpu_us / side.ok,
        Timing::Throughput => side.seconds / side.ok,
    };
    let ratio = (value(head) / value(base)).ln();
    match ratio.is_finite() {
        true => Ok(ratio),
        false => Err(format!("block {block} has no {} of one side", timing.title())),
    }
}
