//! Measures what rendering a long run takes: `ten_minutes make DIR`, then `ten_minutes render DIR`.
//!
//! Two processes, so that the memory that making the run took is not counted. Ends with 1 where a bar is missed: a second
//! of processor time, which is what it takes on an idle machine, since one thread does it all, and 100 MB.

#[path = "../tests/synthetic/mod.rs"]
mod synthetic;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use proofload_reports::{file, judge_all, read, write};

const MOST_S: f64 = 1.0;
const MOST_MB: u64 = 100;

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

fn make(dir: &std::path::Path) {
    let mut measurement = synthetic::measurement("hit-rate-entries", SLICES, RATE);
    measurement.ceiling = Some(0.892);
    let run = synthetic::run_of(vec![measurement]);
    std::fs::create_dir_all(dir).expect("a directory that can be written");
    std::fs::write(dir.join(file::NAME), file::text(&run)).expect("a directory that can be written");
}

/// Whether the bars were met.
fn render(dir: &std::path::Path) -> bool {
    let begun = Instant::now();
    let run = read(dir).expect("a run");
    let reading = begun.elapsed();
    let verdicts = judge_all(&run);
    let judging = begun.elapsed() - reading;
    write(&dir.join("report"), &run, &verdicts).expect("a directory that can be written");
    let requests: u64 = run.measurements[0].series[0].slices.iter().map(|it| it.latency.count()).sum();
    println!("{requests} requests: {:?} in all, reading {reading:?}, judging {judging:?}", begun.elapsed());
    let (spent, peak) = (processor_s(), peak_mb());
    println!(
        "processor time {spent:.2} s (at most {MOST_S} s), peak memory {peak} MB (at most {MOST_MB} MB)"
    );
    spent <= MOST_S && peak <= MOST_MB
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
