//! Measures what rendering a long run takes: `ten_minutes make DIR`, then `ten_minutes render DIR`.
//!
//! Two processes, so that the memory that making the run took is not counted. Says whether the bars are met: a second of
//! processor time, which is what it takes on an idle machine, since one thread does it all, and 100 MB. How fast a second is
//! depends on the machine, so what ends with 1 is another: rendering that takes more times as long as packing the run
//! (gzip, by a library of others, in the same process) than it should on any.

#[path = "../tests/it/synthetic/mod.rs"]
mod synthetic;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use flate2::{Compression, write::GzEncoder};
use proofload_reports::{file, judge_all, read, write};

const MOST_S: f64 = 1.0;
const MOST_MB: u64 = 100;
/// Times as long as packing the run.
const MOST_PACKINGS: f64 = 14.0;

/// Ten minutes of 10 million requests.
const SLICES: u32 = 600;
const RATE: u32 = 16_667;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let (verb, dir) =
        (args.next().expect("make or render"), PathBuf::from(args.next().expect("a directory")));
    match verb.as_str() {
        "make" => {
            make(&dir);
            ExitCode::SUCCESS
        }
        _ => ExitCode::from(u8::from(!render(&dir))),
    }
}

fn make(dir: &Path) {
    let mut measurement = synthetic::measurement("hit-rate-entries", SLICES, RATE);
    measurement.ceiling = Some(0.892);
    let run = synthetic::run_of(vec![measurement]);
    std::fs::create_dir_all(dir).expect("a directory that can be written");
    std::fs::write(dir.join(file::NAME), file::text(&run)).expect("a directory that can be written");
}

/// Whether it took no more than it should.
fn render(dir: &Path) -> bool {
    let text = std::fs::read(dir.join(file::NAME)).expect("a run");
    let mut packing = packed_s(&text);
    let (begun, before) = (Instant::now(), processor_s());
    let run = read(dir).expect("a run");
    let reading = begun.elapsed();
    let verdicts = judge_all(&run);
    let judging = begun.elapsed() - reading;
    write(&dir.join("report"), &run, &verdicts).expect("a directory that can be written");
    let (took, spent) = (begun.elapsed(), processor_s() - before);
    packing = f64::midpoint(packing, packed_s(&text));
    let requests: u64 = run.measurements[0].series[0].slices.iter().map(|it| it.latency.count()).sum();
    let (peak, packings) = (peak_mb(), spent / packing);
    let met = |is_met| if is_met { "met" } else { "MISSED" };
    println!("{requests} requests: {took:.2?} in all, reading {reading:.2?}, judging {judging:.2?}");
    println!("{}: processor time {spent:.2} s, bar {MOST_S} s", met(spent <= MOST_S));
    println!("{}: peak memory {peak} MB, bar {MOST_MB} MB", met(peak <= MOST_MB));
    println!("{packings:.1} times as long as packing the run (at most {MOST_PACKINGS})");
    packings <= MOST_PACKINGS && peak <= MOST_MB
}

/// Processor time that packing takes: the measure of the machine.
fn packed_s(text: &[u8]) -> f64 {
    let before = processor_s();
    let mut packing = GzEncoder::new(std::io::sink(), Compression::default());
    packing.write_all(text).expect("a sink takes all");
    packing.finish().expect("a sink takes all");
    processor_s() - before
}

/// Time that this process spent on a processor, by Linux's account: a busy machine does not add to it.
fn processor_s() -> f64 {
    let spent = std::fs::read_to_string("/proc/self/schedstat").unwrap_or_default();
    spent.split(' ').next().and_then(|it| it.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

/// The most memory that this process ever had resident, by Linux's account.
fn peak_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap_or(0) / 1024
}
