//! The trials: drives against servers whose truth is known, and how far the recording is from it.

use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use proofload_reports::statistics::exponential::anderson_darling;
use proofload_scenarios::schedule::{Rate, Schedule};
use serde::Serialize;

use super::server::{Behaviour, TestServer};
use super::truth;
use crate::cores;
use crate::drive::{Drive, Load, Mutation, Recording, Source, Target, capacity, drive};
use crate::exchange::{Links, Operation, Shortener};

/// One comparison of what was reported with what is true.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    pub trial: &'static str,
    pub what: String,
    pub unit: &'static str,
    pub truth: f64,
    pub reported: f64,
    /// |reported / truth − 1|, where a truth is known.
    pub error: Option<f64>,
    /// What the test server's own stamps say, where it has them: not quite the truth where it was held up itself.
    pub served: Option<f64>,
    pub passed: bool,
    /// Why the comparison says little: something else had the generator's core.
    pub doubt: Option<String>,
}

impl Finding {
    fn near(
        trial: &'static str,
        what: &str,
        unit: &'static str,
        truth: f64,
        reported: f64,
        within: f64,
    ) -> Self {
        let error = (reported / truth - 1.0).abs();
        let what = what.to_owned();
        let passed = error <= within;
        Self { trial, what, unit, truth, reported, error: Some(error), served: None, passed, doubt: None }
    }

    /// The same beside what the server's stamps say. Where those explain the difference, it is not the generator's.
    fn beside(self, served: f64, within: f64) -> Self {
        let explained = !self.passed && (self.reported / served - 1.0).abs() <= within;
        let doubt = explained.then(|| {
            format!("the test server was held up: its own stamps say {served:.1} {unit}", unit = self.unit)
        });
        Self { served: Some(served), doubt, ..self }
    }

    fn at_most(trial: &'static str, what: &str, unit: &'static str, limit: f64, reported: f64) -> Self {
        let what = what.to_owned();
        Self {
            trial,
            what,
            unit,
            truth: limit,
            reported,
            error: None,
            served: None,
            passed: reported <= limit,
            doubt: None,
        }
    }
}

/// A generator that knows that it was held back makes a failed comparison doubtful.
fn doubt(mut findings: Vec<Finding>, recordings: &[Recording]) -> Vec<Finding> {
    let reason = recordings.iter().flat_map(|recording| &recording.invalid_latency).next();
    for finding in findings.iter_mut().filter(|finding| !finding.passed) {
        finding.doubt = finding.doubt.take().or_else(|| reason.cloned());
    }
    findings
}

/// Which cores trials run on, and which deliberate fault they are to find.
#[derive(Debug, Clone, Default)]
pub struct Bench {
    pub generator: Option<usize>,
    pub server: Option<usize>,
    #[doc(hidden)]
    pub mutation: Mutation,
}

impl Bench {
    /// The generator on the last core that this process may use, the server on the first.
    pub fn on_this_machine() -> Self {
        match cores::allowed().as_slice() {
            [first, .., last] => {
                Self { generator: Some(*last), server: Some(*first), mutation: Mutation::None }
            }
            _ => Self::default(),
        }
    }

    /// One at a time: each wants its core for itself.
    fn server(&self, behaviour: Behaviour) -> Result<TestServer> {
        TestServer::start(behaviour, self.server).context("no local port for a test server")
    }

    fn drive(&self, server: &TestServer, load: Load, lasting: Duration) -> (Drive, Arc<Shortener>) {
        let target = Target::at(server.addr);
        let links = Links::new([("abc", "https://example.com/")]);
        let exchange = Arc::new(Shortener::new(&target.host, Arc::new(links), 1));
        let mut spec = Drive::new(target, load, lasting);
        spec.cores = self.generator.into_iter().collect();
        spec.mutation = self.mutation;
        (spec, exchange)
    }

    fn record(&self, server: &TestServer, load: Load, lasting: Duration) -> Result<Recording> {
        let (spec, exchange) = self.drive(server, load, lasting);
        Ok(drive(&spec, exchange, visits(), &mut |_| ())?)
    }
}

fn visits() -> Source<Operation> {
    Arc::new(|| Box::new(std::iter::repeat(Operation::Visit { link: 0 })))
}

fn open(schedule: Schedule, connections: usize) -> Load {
    let arrivals: Source<Duration> = Arc::new(move || Box::new(schedule.arrivals(SEED)));
    Load::Open { arrivals, connections }
}

fn rate(per_second: f64) -> Rate {
    Rate::per_second(per_second).expect("the trials' rates are valid")
}

const SEED: u64 = 20_150_517;

fn quantile_us(recording: &Recording, name: &str, q: f64) -> f64 {
    recording.times.get(name).and_then(|times| times.quantile_us(q)).unwrap_or(0.0)
}

/// Do requests arrive when the schedule says? A server that stamps them tells.
///
/// # Errors
/// As all trials: when no server can be started or reached.
pub fn arrivals(bench: &Bench, lasting: Duration) -> Result<Vec<Finding>> {
    const TRIAL: &str = "arrivals";
    let server = bench.server(Behaviour::Prompt)?;
    let constant = bench.record(&server, open(Schedule::Constant(rate(1_000.0)), 16), lasting)?;
    let mut even = gaps(&server.arrivals());
    let p50 = truth::quantile(&mut even, 0.5) * 1e6;
    let p99 = truth::quantile(&mut even, 0.99) * 1e6;
    drop(server);
    let server = bench.server(Behaviour::Prompt)?;
    let poisson = bench.record(&server, open(Schedule::Poisson(rate(1_000.0)), 16), lasting)?;
    let misfit = median_misfit(&gaps(&server.arrivals()));
    let findings = vec![
        Finding::near(TRIAL, "even gaps, p50", "µs", 1_000.0, p50, 0.01),
        Finding::near(TRIAL, "even gaps, p99", "µs", 1_000.0, p99, 0.05),
        Finding::at_most(TRIAL, "Poisson gaps, Anderson–Darling of a thousand", "", 1.341, misfit),
    ];
    Ok(doubt(findings, &[constant, poisson]))
}

/// The median misfit of a thousand gaps each. With more at once the test tells a schedule from this very seed's sample of it,
/// and the few milliseconds in which a machine stands still from any schedule; those are seen in the send delay. A pacer that
/// is always wrong is wrong in each thousand. Of thousands that are exponential, one in twenty exceeds 1.341.
fn median_misfit(gaps: &[f64]) -> f64 {
    const GAPS: usize = 1_000;
    let parts = gaps.chunks(GAPS).filter(|part| part.len() == GAPS || gaps.len() < GAPS);
    // None where two came at one instant, which is as bad as can be.
    let misfit = |part| anderson_darling(part).map_or(f64::INFINITY, |fit| fit.statistic);
    let mut misfits: Vec<f64> = parts.map(misfit).collect();
    truth::quantile(&mut misfits, 0.5)
}

fn gaps(arrivals: &[Instant]) -> Vec<f64> {
    arrivals.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
}

/// How late are requests sent, at 20,000 Poisson arrivals a second?
///
/// # Errors
/// As all trials.
pub fn send_delay(bench: &Bench, lasting: Duration) -> Result<Vec<Finding>> {
    const TRIAL: &str = "send delay";
    let server = bench.server(Behaviour::Prompt)?;
    let recording = bench.record(&server, open(Schedule::Poisson(rate(20_000.0)), 64), lasting)?;
    let delay = |q| quantile_us(&recording, "send-delay", q);
    let findings = vec![
        Finding::at_most(TRIAL, "p50", "µs", 2.0, delay(0.5)),
        Finding::at_most(TRIAL, "p99", "µs", 50.0, delay(0.99)),
    ];
    Ok(doubt(findings, &[recording]))
}

/// Is a stall seen in full by those who arrived in it?
///
/// # Errors
/// As all trials.
pub fn stall(bench: &Bench, every: Duration, lasting: Duration, periods: u32) -> Result<Vec<Finding>> {
    let connections = (STALL_RATE * lasting.as_secs_f64() * 1.1) as usize + 16;
    stall_over(bench, every, lasting, periods, connections)
}

const STALL_RATE: f64 = 500.0;

/// The same with so many connections: who finds none free waits as long as the others.
///
/// # Errors
/// As all trials.
pub fn stall_over(
    bench: &Bench,
    every: Duration,
    lasting: Duration,
    periods: u32,
    connections: usize,
) -> Result<Vec<Finding>> {
    const TRIAL: &str = "stall";
    const RATE: f64 = STALL_RATE;
    let prompt = bench.server(Behaviour::Prompt)?;
    let closed = Load::Closed { connections: 64, think: Duration::ZERO };
    let (spec, exchange) = bench.drive(&prompt, closed, Duration::from_millis(300));
    let busy = RATE / capacity(&spec, exchange, visits())?;
    drop(prompt);
    let server = bench.server(Behaviour::Stalls { every, lasting })?;
    let (schedule, lasts) = (Schedule::Constant(rate(RATE)), every * periods);
    let due: Vec<Duration> = schedule.arrivals(SEED).take_while(|offset| *offset < lasts).collect();
    let recording = bench.record(&server, open(schedule, connections), lasts)?;
    let mut served = truth::served_responses(&due, &server.served(), Duration::ZERO);
    let mut finding = |name: &str, q: f64| {
        let true_us = truth::stall_quantile(q, every, lasting, busy) * 1e6;
        let what = format!("{:?} every {:?}, response {name}", lasting, every);
        let served_us = truth::quantile(&mut served, q) * 1e6;
        Finding::near(TRIAL, &what, "µs", true_us, quantile_us(&recording, "response", q), 0.01)
            .beside(served_us, 0.01)
    };
    Ok(doubt(vec![finding("p99", 0.99), finding("p99.9", 0.999)], &[recording]))
}

/// Is waiting in a queue seen in full? The truth is the queue replayed with the same arrivals and times, and the way
/// there and back, which a prompt server shows: it is a hundredth of what is compared.
///
/// # Errors
/// As all trials.
pub fn queue(bench: &Bench, lasting: Duration) -> Result<Vec<Finding>> {
    const TRIAL: &str = "queue";
    const ARRIVALS: f64 = 500.0;
    const SERVICES: f64 = 1_000.0;
    let mean = Duration::from_secs_f64(1.0 / SERVICES);
    // The gaps of a Poisson schedule are exponential: exactly what service times are to be.
    let ends: Vec<Duration> =
        Schedule::Poisson(rate(1.0 / mean.as_secs_f64())).arrivals(SEED + 1).take(100_000).collect();
    let times: Vec<Duration> = ends.windows(2).map(|pair| pair[1] - pair[0]).collect();
    let schedule = Schedule::Poisson(rate(ARRIVALS));
    let offsets: Vec<Duration> = schedule.arrivals(SEED).take_while(|offset| *offset < lasting).collect();
    let prompt = bench.server(Behaviour::Prompt)?;
    let unqueued = bench.record(&prompt, open(schedule.clone(), 256), lasting.min(Duration::from_secs(1)))?;
    let way_us = quantile_us(&unqueued, "response", 0.5);
    drop(prompt);
    let server = bench.server(Behaviour::Queue { times: Arc::new(times.clone()) })?;
    let recording = bench.record(&server, open(schedule, 256), lasting)?;
    let mut responses = truth::queue_responses(&offsets, &times);
    let way = Duration::from_secs_f64(way_us / 1e6);
    let mut served = truth::served_responses(&offsets, &server.served(), way);
    let mut finding = |name: &str, q: f64, within: f64| {
        let truth = truth::quantile(&mut responses, q) * 1e6 + way_us;
        let theory = truth::exponential_queue_quantile(q, ARRIVALS, SERVICES) * 1e6;
        let what = format!("response {name} (in theory {theory:.0} µs)");
        let served_us = truth::quantile(&mut served, q) * 1e6;
        Finding::near(TRIAL, &what, "µs", truth, quantile_us(&recording, "response", q), within)
            .beside(served_us, within)
    };
    Ok(doubt(vec![finding("p50", 0.5, 0.05), finding("p99", 0.99, 0.01)], &[recording]))
}

/// In a closed run, connections = throughput × time in the system (Little's law).
///
/// # Errors
/// As all trials.
pub fn little(bench: &Bench, lasting: Duration) -> Result<Vec<Finding>> {
    const CONNECTIONS: usize = 8;
    let times = Arc::new(vec![Duration::from_millis(1)]);
    let server = bench.server(Behaviour::Queue { times })?;
    let closed = Load::Closed { connections: CONNECTIONS, think: Duration::ZERO };
    let recording = bench.record(&server, closed, lasting)?;
    let mean_s = recording.times["service"].0.mean() / 1e9;
    let product = recording.throughput() * mean_s;
    let finding = Finding::near("little", "throughput × mean service", "", CONNECTIONS as f64, product, 0.01);
    Ok(doubt(vec![finding], &[recording]))
}

/// Does a generator that shares its core with a busy loop say so?
///
/// # Errors
/// As all trials.
pub fn starved(bench: &Bench, lasting: Duration) -> Result<Vec<Finding>> {
    let server = bench.server(Behaviour::Prompt)?;
    let over = Arc::new(AtomicBool::new(false));
    let rivals: Vec<_> = (0..2)
        .map(|_| {
            let (over, core) = (over.clone(), bench.generator);
            std::thread::spawn(move || {
                if let Some(core) = core {
                    let _ = cores::pin(core);
                }
                while !over.load(Ordering::Relaxed) {
                    black_box(0);
                }
            })
        })
        .collect();
    let recording = bench.record(&server, open(Schedule::Poisson(rate(2_000.0)), 16), lasting);
    over.store(true, Ordering::Relaxed);
    for rival in rivals {
        let _ = rival.join();
    }
    let recording = recording?;
    let noticed = !recording.invalid_latency.is_empty();
    Ok(vec![Finding {
        trial: "starved",
        what: recording.invalid_latency.first().cloned().unwrap_or_else(|| "not noticed".to_owned()),
        unit: "reasons",
        truth: 1.0,
        reported: recording.invalid_latency.len() as f64,
        error: None,
        served: None,
        passed: noticed,
        doubt: None,
    }])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gaps_of(schedule: Schedule) -> Vec<f64> {
        let due: Vec<Duration> = schedule.arrivals(SEED).take(10_001).collect();
        due.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
    }

    #[test]
    fn a_timer_that_is_a_millisecond_wide_is_no_poisson() {
        let gaps = gaps_of(Schedule::Poisson(rate(1_000.0)));
        assert!(median_misfit(&gaps) < 1.0);
        let coarse: Vec<f64> = gaps.iter().map(|gap| (gap * 1e3).ceil() / 1e3).collect();
        assert!(median_misfit(&coarse) > 10.0);
        assert!(median_misfit(&gaps_of(Schedule::Constant(rate(1_000.0)))) > 100.0);
    }
}
