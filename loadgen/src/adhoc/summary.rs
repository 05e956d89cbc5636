//! The summary of a load on one URL, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use proofload_reports::Distribution;
use serde::Serialize;

use super::AdhocArgs;
use crate::drive::Recording;
use crate::live::{grouped, microseconds};

/// What came of a load. As JSON it is one object.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub url: String,
    /// `closed` or `open`.
    pub model: &'static str,
    pub connections: u32,
    /// How long it lasted, with the wait for the last answers.
    pub duration_s: f64,
    /// Requests whose end is known: answered, rightly or not, or failed.
    pub requests: u64,
    /// Those of them that were not answered rightly.
    pub errors: u64,
    /// The errors by kind.
    pub error_kinds: BTreeMap<String, u64>,
    /// Arrivals that were never sent: no connection was free, nor room to wait.
    pub dropped: u64,
    /// Right answers per second.
    pub throughput: f64,
    /// Requests sent per second.
    pub offered: f64,
    pub bytes_per_second: f64,
    /// From when a request was due. Null in a closed run, where nothing is ever due, and in a run whose
    /// generator did not keep up.
    pub response_us: Option<Quantiles>,
    /// From when a request was sent.
    pub service_us: Option<Quantiles>,
    /// How late requests were sent.
    pub send_delay_us: Option<Quantiles>,
    pub generator_cpu_us_per_request: f64,
    /// Why latencies cannot be trusted.
    pub invalid_latency: Vec<String>,
    pub ended_early: Option<String>,
    /// The first errors in words.
    pub samples: Vec<String>,
}

/// Times in microseconds.
#[derive(Debug, Clone, Serialize)]
pub struct Quantiles {
    pub mean: f64,
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    #[serde(rename = "p99.9")]
    pub p999: f64,
    pub max: f64,
}

impl Quantiles {
    fn of(distribution: Option<&Distribution>) -> Option<Self> {
        let distribution = distribution.filter(|distribution| distribution.count() > 0)?;
        let at = |q| distribution.quantile_us(q).unwrap_or(0.0);
        let (p50, p90, p99, p999, max) = (at(0.5), at(0.9), at(0.99), at(0.999), at(1.0));
        Some(Self { mean: distribution.0.mean() / 1_000.0, p50, p90, p99, p999, max })
    }
}

const KINDS: [&str; 8] = ["wrong", "timeout", "refused", "reset", "cut", "garbage", "tls", "local"];

impl Summary {
    pub fn of(recording: &Recording, args: &AdhocArgs) -> Self {
        let total = |name: &str| recording.total(&format!("client.{name}"));
        let duration_s = recording.duration_s().max(1e-9);
        let error_kinds: BTreeMap<String, u64> = KINDS
            .map(|kind| (kind.to_owned(), total(kind)))
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        let errors = error_kinds.values().sum::<u64>();
        let requests = total("ok") + errors;
        // An open run whose generator lagged has no latencies, rather than wrong ones. A closed run
        // promises none from the user's view: its service times stand, with the warning beside them.
        let open = args.rate.is_some();
        let trusted = recording.invalid_latency.is_empty();
        let times = |name: &str| Quantiles::of(recording.times.get(name).filter(|_| trusted || !open));
        Self {
            url: args.url.clone().unwrap_or_default(),
            model: if open { "open" } else { "closed" },
            connections: args.connections,
            duration_s,
            requests,
            errors,
            error_kinds,
            dropped: total("dropped"),
            throughput: recording.throughput(),
            offered: total("sent") as f64 / duration_s,
            bytes_per_second: total("bytes") as f64 / duration_s,
            response_us: times("response"),
            service_us: times("service"),
            send_delay_us: Quantiles::of(recording.times.get("send-delay")),
            generator_cpu_us_per_request: recording.total("cpu.generator_us") as f64 / requests.max(1) as f64,
            invalid_latency: recording.invalid_latency.clone(),
            ended_early: recording.ended_early.clone(),
            samples: recording.samples.clone(),
        }
    }

    /// 4 where what was asked for was not measured, 1 where nothing was answered rightly.
    pub fn exit_code(&self) -> u8 {
        let latency = self.invalid_latency.is_empty() || self.model == "closed";
        match latency && self.ended_early.is_none() {
            false => 4,
            true => u8::from(self.requests == self.errors),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, model, connections, duration_s, .. } = self;
        writeln!(f, "{url}: {model} load, {connections} connections, {duration_s:.1} s\n")?;
        let right = grouped((self.requests - self.errors) as f64);
        writeln!(f, "  answered rightly {right} of {} requests", grouped(self.requests as f64))?;
        writeln!(f, "  throughput       {} /s", grouped(self.throughput))?;
        if self.model == "open" {
            writeln!(f, "  offered          {} /s", grouped(self.offered))?;
        }
        writeln!(f, "  received         {:.2} MB/s", self.bytes_per_second / 1e6)?;
        write_times(f, self)?;
        if self.model == "closed" {
            writeln!(f, "\n  A closed run has service times only: its connections wait with the server.")?;
            writeln!(f, "  For response times, as users see them, give a --rate.")?;
        }
        write_problems(f, self)
    }
}

fn write_times(f: &mut fmt::Formatter<'_>, summary: &Summary) -> fmt::Result {
    let rows = [
        ("response", &summary.response_us),
        ("service", &summary.service_us),
        ("send delay", &summary.send_delay_us),
    ];
    if rows.iter().all(|(_, times)| times.is_none()) {
        return Ok(());
    }
    writeln!(f, "\n  {:<11}{:>11}{:>11}{:>11}{:>11}{:>11}", "", "p50", "p90", "p99", "p99.9", "max")?;
    for (name, times) in rows {
        let Some(times) = times else { continue };
        write!(f, "  {name:<11}")?;
        for us in [times.p50, times.p90, times.p99, times.p999, times.max] {
            write!(f, "{:>11}", microseconds(us))?;
        }
        writeln!(f)?;
    }
    Ok(())
}

fn write_problems(f: &mut fmt::Formatter<'_>, summary: &Summary) -> fmt::Result {
    if summary.errors + summary.dropped > 0 {
        writeln!(
            f,
            "\n  errors {}, dropped {}",
            grouped(summary.errors as f64),
            grouped(summary.dropped as f64)
        )?;
        for (kind, count) in &summary.error_kinds {
            writeln!(f, "    {kind:<8} {}", grouped(*count as f64))?;
        }
    }
    // Of what many requests have in common, one is told.
    let how = |sample: &str| sample.split_once("}: ").map_or(sample, |(_, how)| how).to_owned();
    let mut told = Vec::new();
    for sample in &summary.samples {
        if !told.contains(&how(sample)) {
            writeln!(f, "    e.g. {sample}")?;
            told.push(how(sample));
        }
    }
    for reason in &summary.invalid_latency {
        writeln!(f, "\n  INVALID LATENCY: {reason}")?;
    }
    if let Some(reason) = &summary.ended_early {
        writeln!(f, "\n  INVALID: {reason}")?;
    }
    Ok(())
}
