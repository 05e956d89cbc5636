//! The summary of a load, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;

use proofload_reports::run::{GeneratorError, Measurement, Model, Run, Series};
use proofload_reports::{Distribution, lag, tally};
use proofload_scenarios::scenario::Load;
use serde::Serialize;

use crate::drive::Recording;
use crate::live::{grouped, microseconds};

/// What came of a load. As JSON it is one object.
#[derive(Debug, Serialize)]
pub struct Summary {
    /// The scenario's name; none where a URL was loaded without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Which variant of the scenario, where it has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    pub model: Model,
    /// Connections, or users.
    pub connections: u32,
    /// How long it lasted, with the wait for the last answers.
    pub duration_s: f64,
    /// Requests whose end is known: answered, rightly or not, or failed.
    pub requests: u64,
    /// Those of them that were not answered rightly.
    pub errors: u64,
    /// The errors by kind.
    pub error_kinds: BTreeMap<String, u64>,
    /// Answers by status, right or wrong.
    pub status: BTreeMap<String, u64>,
    /// Arrivals that were never sent: no connection was free, nor room to wait.
    pub dropped: u64,
    /// Requests that the end of an interrupted run cut off.
    pub unfinished: u64,
    /// Arrivals that found all connections busy: their response times hold the wait for one.
    pub queued: u64,
    /// Right answers per second, until the last.
    pub throughput: f64,
    /// Arrivals per second of the schedule, whatever became of them; in a closed run, which has none, requests sent.
    pub offered: f64,
    pub bytes_per_second: f64,
    /// From when a request was due. Null in a closed run, where nothing is ever due, and in a run whose
    /// generator did not keep up.
    pub response_us: Option<Quantiles>,
    /// From when a request was sent to the last byte of its answer.
    pub service_us: Option<Quantiles>,
    /// How late requests were sent.
    pub send_delay_us: Option<Quantiles>,
    pub phases_us: Phases,
    pub generator_cpu_us_per_request: f64,
    /// The generator's own error on this machine, where a selftest is known.
    pub generator_error: Option<GeneratorError>,
    /// Which of the quantiles above are not the target's alone.
    pub cautions: Vec<String>,
    /// Why latencies cannot be trusted.
    pub invalid_latency: Vec<String>,
    pub ended_early: Option<String>,
    /// The first errors in words, with how many were alike.
    pub samples: Vec<String>,
}

/// Where the time of a request went; what was never seen is null.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Phases {
    /// What making a connection took, with TLS.
    pub connect: Option<Quantiles>,
    /// From when a request was due until a connection was ready for it.
    pub ready: Option<Quantiles>,
    /// From the first byte sent to the last.
    pub write: Option<Quantiles>,
    /// From the first byte sent to the first of the answer.
    pub first_byte: Option<Quantiles>,
    /// From the first byte sent to the last of the answer: the service time.
    pub last_byte: Option<Quantiles>,
}

/// Times in microseconds. Requests that failed, and have no time, are the slowest of all: a quantile that lies among them is
/// infinite, which JSON calls null. The mean is of those that have one; of none it is null, too.
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
    fn of(distribution: Option<&Distribution>, untimed: u64) -> Option<Self> {
        let distribution = distribution.filter(|distribution| distribution.count() + untimed > 0)?;
        let at = |q: f64| distribution.quantile_of_all_us(q, untimed).unwrap_or(f64::INFINITY);
        let (p50, p90, p99, p999, max) = (at(0.5), at(0.9), at(0.99), at(0.999), at(1.0));
        let mean = if distribution.count() > 0 { distribution.0.mean() / 1_000.0 } else { f64::INFINITY };
        Some(Self { mean, p50, p90, p99, p999, max })
    }
}

const KINDS: [&str; 8] = ["wrong", "timeout", "refused", "reset", "cut", "garbage", "tls", "local"];

impl Summary {
    /// Of a URL that was loaded without a scenario.
    pub fn of_url(url: &str, connections: u32, model: Model, recording: &Recording) -> Self {
        Self {
            url: Some(url.to_owned()),
            connections,
            invalid_latency: recording.invalid_latency.clone(),
            ended_early: recording.ended_early.clone(),
            samples: recording.samples.clone(),
            ..Self::counted(
                model,
                recording.slices.totals(),
                (recording.scheduled_s, recording.duration_s()),
                &recording.times,
                recording.invalid_latency.is_empty(),
            )
        }
    }

    /// Of each measurement of a run, and of each of its variants.
    pub fn of_run(run: &Run) -> Vec<Self> {
        let of = |it: &'_ Measurement| -> Vec<Self> {
            it.series.iter().map(|series| Self::of_series(run, it, series)).collect()
        };
        run.measurements.iter().flat_map(of).collect()
    }

    fn of_series(run: &Run, measurement: &Measurement, series: &Series) -> Self {
        /// Of remarks that may be as many as a log has lines.
        const TOLD: usize = 8;
        let untrusted = [measurement.invalid.as_slice(), &run.invalid].concat();
        let mut totals = BTreeMap::new();
        for (name, count) in series.slices.iter().flat_map(|slice| &slice.counters) {
            *totals.entry(name.clone()).or_default() += count;
        }
        let duration_s = series.slices.iter().map(|slice| slice.duration_s).sum();
        let scheduled_s = tally::scheduled_s(measurement, series);
        let scenario = &measurement.scenario;
        Self {
            name: Some(scenario.name.clone()),
            variant: (measurement.series.len() > 1).then(|| series.variant.clone()),
            connections: match scenario.load {
                Load::Open { connections, .. } | Load::Closed { connections, .. } => connections,
                Load::Journeys { users } => users,
            },
            generator_error: run.generator_error.clone(),
            invalid_latency: measurement.invalid_latency.clone(),
            ended_early: (!untrusted.is_empty()).then(|| untrusted.join("; ")),
            samples: measurement.remarks.iter().take(TOLD).cloned().collect(),
            ..Self::counted(
                measurement.model,
                &totals,
                (scheduled_s, duration_s),
                &series.times,
                measurement.invalid_latency.is_empty(),
            )
        }
    }

    /// What the counters and times say. An open run whose generator lagged has no latencies, rather than wrong ones. A
    /// closed run promises none from the user's view: its service times stand, with the warning beside them.
    fn counted(
        model: Model,
        totals: &BTreeMap<String, u64>,
        (scheduled_s, duration_s): (f64, f64),
        times: &BTreeMap<String, Distribution>,
        trusted: bool,
    ) -> Self {
        let of = |name: &str| totals.get(name).copied().unwrap_or(0);
        let total = |name: &str| of(&format!("client.{name}"));
        let duration_s = duration_s.max(1e-9);
        let error_kinds: BTreeMap<String, u64> = KINDS
            .map(|kind| (kind.to_owned(), total(kind)))
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect();
        let errors = error_kinds.values().sum::<u64>();
        let requests = total("ok") + errors;
        let shown = trusted || model != Model::Open;
        let failed = total("wrong") + total("error");
        let quantiles = |name: &str| {
            let untimed = match name {
                // Response times hold time-outs, with the time that was waited.
                "response" => failed + total("dropped"),
                "service" => failed + total("timeout"),
                _ => 0,
            };
            Quantiles::of(times.get(name).filter(|_| shown), untimed)
        };
        let status = totals
            .iter()
            .filter_map(|(name, count)| Some((name.strip_prefix("client.status/")?.to_owned(), *count)));
        Self {
            name: None,
            variant: None,
            url: None,
            model,
            connections: 0,
            duration_s,
            requests,
            errors,
            error_kinds,
            status: status.collect(),
            dropped: total("dropped"),
            unfinished: total("unfinished"),
            queued: total("queued"),
            throughput: total("ok") as f64 / duration_s,
            offered: match total("arrivals") {
                0 => total("sent") as f64 / duration_s,
                arrivals => arrivals as f64 / scheduled_s.max(1e-9),
            },
            bytes_per_second: total("bytes") as f64 / duration_s,
            response_us: quantiles("response"),
            service_us: quantiles("service"),
            send_delay_us: Quantiles::of(times.get("send-delay"), 0),
            phases_us: Phases {
                connect: Quantiles::of(times.get("connect"), 0),
                ready: quantiles("ready"),
                write: quantiles("written"),
                first_byte: quantiles("first-byte"),
                last_byte: quantiles("service"),
            },
            generator_cpu_us_per_request: of("cpu.generator_us") as f64 / requests.max(1) as f64,
            generator_error: None,
            cautions: lag::caution(times).into_iter().filter(|_| model == Model::Open && trusted).collect(),
            invalid_latency: Vec::new(),
            ended_early: None,
            samples: Vec::new(),
        }
    }

    /// 4 where what was asked for was not measured, 1 where nothing was answered rightly. A closed run is made to
    /// saturate: that its generator was busy is said, and no failure.
    pub fn exit_code(&self) -> u8 {
        let latency = self.invalid_latency.is_empty() || self.model != Model::Open;
        match latency && self.ended_early.is_none() {
            false => 4,
            true => u8::from(self.requests == self.errors),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.name.as_deref().or(self.url.as_deref()).unwrap_or_default();
        let variant = self.variant.as_ref().map_or_else(String::new, |variant| format!(" ({variant})"));
        let load = match self.model {
            Model::Open => format!("open load, {} connections", self.connections),
            Model::Closed => format!("closed load, {} connections", self.connections),
            Model::Journeys => format!("journeys of {} users", self.connections),
        };
        writeln!(f, "{what}{variant}: {load}, {:.1} s\n", self.duration_s)?;
        let right = grouped((self.requests - self.errors) as f64);
        writeln!(f, "  answered rightly {right} of {} requests", grouped(self.requests as f64))?;
        writeln!(f, "  throughput       {} /s", grouped(self.throughput))?;
        if self.model == Model::Open {
            writeln!(f, "  offered          {} /s", grouped(self.offered))?;
        }
        if self.bytes_per_second > 0.0 {
            writeln!(f, "  received         {:.2} MB/s", self.bytes_per_second / 1e6)?;
        }
        if !self.status.is_empty() {
            let counts =
                self.status.iter().map(|(status, count)| format!("{status}: {}", grouped(*count as f64)));
            writeln!(f, "  status           {}", counts.collect::<Vec<_>>().join(", "))?;
        }
        write_times(f, self)?;
        match self.model {
            Model::Open => write_own_error(f, self.generator_error.as_ref())?,
            Model::Closed | Model::Journeys => {
                writeln!(
                    f,
                    "\n  A closed run has service times only: its connections wait with the server."
                )?;
                writeln!(f, "  For response times, as users see them, give arrivals a rate.")?;
            }
        }
        write_problems(f, self)
    }
}

fn write_times(f: &mut fmt::Formatter<'_>, summary: &Summary) -> fmt::Result {
    let rows = [
        ("response", &summary.response_us),
        ("service", &summary.service_us),
        ("send delay", &summary.send_delay_us),
        ("connect", &summary.phases_us.connect),
        ("write", &summary.phases_us.write),
        ("first byte", &summary.phases_us.first_byte),
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

fn write_own_error(f: &mut fmt::Formatter<'_>, error: Option<&GeneratorError>) -> fmt::Result {
    match error {
        Some(error) => writeln!(
            f,
            "\n  The generator's own error here: quantiles within {:.2} %, send delay p99 {} (selftest).",
            error.quantile_error * 100.0,
            microseconds(error.send_delay_p99_us)
        ),
        None => {
            writeln!(f, "\n  The generator's own error here is unknown: `proofload selftest` measures it.")
        }
    }
}

fn write_problems(f: &mut fmt::Formatter<'_>, summary: &Summary) -> fmt::Result {
    for caution in &summary.cautions {
        writeln!(f, "\n  Caution: {caution}")?;
    }
    if summary.queued > 0 {
        let all = summary.requests + summary.dropped + summary.unfinished;
        let of_all = summary.queued as f64 / all.max(1) as f64 * 100.0;
        writeln!(
            f,
            "\n  {} arrivals ({:.2} %) found all {} connections busy: their response times hold the wait for one",
            grouped(summary.queued as f64),
            of_all.min(100.0),
            summary.connections
        )?;
    }
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
    if summary.unfinished > 0 {
        writeln!(
            f,
            "\n  {} requests were cut off by the end of the run",
            grouped(summary.unfinished as f64)
        )?;
    }
    for sample in &summary.samples {
        writeln!(f, "    e.g. {sample}")?;
    }
    for reason in &summary.invalid_latency {
        writeln!(f, "\n  INVALID LATENCY: {reason}")?;
    }
    if summary.model == Model::Closed && summary.url.is_some() && !summary.invalid_latency.is_empty() {
        writeln!(f, "  The throughput stands. More workers, on cores of their own: --generator-cores 2,3")?;
    }
    if let Some(reason) = &summary.ended_early {
        writeln!(f, "\n  INVALID: {reason}")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of a thousand requests ten failed: p99 is the slowest that was answered, and what lies beyond is unknown.
    #[test]
    fn requests_without_a_time_are_the_slowest() {
        let mut times = Distribution::default();
        (1..=990).for_each(|n| times.record(n * 1_000));
        let found = Quantiles::of(Some(&times), 10).unwrap();
        assert!((found.p50 - 500.0).abs() < 2.0 && (found.p99 - 990.0).abs() < 1.0, "{found:?}");
        assert!(found.p999.is_infinite() && found.max.is_infinite(), "{found:?}");
        assert_eq!(serde_json::to_value(&found).unwrap()["max"], serde_json::Value::Null);
        assert!(Quantiles::of(Some(&times), 0).unwrap().max.is_finite());
    }

    /// Times that nobody kept are none; those of requests that all failed are beyond all times.
    #[test]
    fn where_all_failed_each_quantile_is_never() {
        let none = Distribution::default();
        let found = serde_json::to_value(Quantiles::of(Some(&none), 10)).unwrap();
        for name in ["mean", "p50", "p90", "p99", "p99.9", "max"] {
            assert_eq!(found.get(name), Some(&serde_json::Value::Null), "{name}: {found}");
        }
        assert!(Quantiles::of(Some(&none), 0).is_none(), "no request at all");
        assert!(Quantiles::of(None, 10).is_none(), "a closed run has no response time");
    }

    #[test]
    fn the_rows_of_requests_that_all_failed_stand() {
        let totals = BTreeMap::from([("client.wrong".to_owned(), 10), ("client.sent".to_owned(), 10)]);
        let times = ["response", "service"].map(|name| (name.to_owned(), Distribution::default())).into();
        let summary = Summary::counted(Model::Open, &totals, (1.0, 1.0), &times, true);
        let said = summary.to_string();
        for row in ["response", "service"] {
            let row = said.lines().find(|line| line.trim_start().starts_with(row));
            assert_eq!(row.map(|row| row.matches("never").count()), Some(5), "{said}");
        }
        let json = serde_json::to_value(&summary).unwrap();
        for times in ["response_us", "service_us"] {
            assert!(json[times].is_object() && json[times]["p50"].is_null(), "{times}: {json}");
        }
    }
}
