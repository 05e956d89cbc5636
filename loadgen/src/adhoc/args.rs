//! The options of a load on one URL, and how their values are read.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use proofload_reports::knee::Slo;
use proofload_scenarios::scenario::Stage;
use proofload_scenarios::schedule::Rate;

/// What is sent to a URL, and how.
#[derive(Debug, Clone, Args)]
pub struct AdhocArgs {
    /// Load this URL: as fast as its answers come, or at a rate. User and password in it are sent as Basic
    /// authorization.
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Connections that are kept open.
    #[arg(long, short, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub connections: u32,
    /// How long to measure: `10s`, `500ms`, `2m`; 10 s where nothing is said.
    #[arg(long, short, value_name = "TIME", value_parser = duration)]
    pub duration: Option<Duration>,
    /// End after so many requests; with --duration, whichever comes first.
    #[arg(long, short = 'n', value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub requests: Option<u64>,
    /// Arrivals per second, whether answers come or not. Without it the load is closed.
    #[arg(long, short, value_name = "PER_SECOND")]
    pub rate: Option<f64>,
    /// How arrivals at a rate are spaced.
    #[arg(long, value_enum, default_value_t = Spacing::Poisson)]
    pub arrivals: Spacing,
    /// Poisson arrivals whose rate moves in a straight line to each of these in its time, as `10s:1000,30s:5000`. It begins
    /// at --rate, or at 0; a time of `0s` is a step.
    #[arg(long, value_name = "TIME:RATE,…", value_parser = stages)]
    pub stages: Option<Targets>,
    /// Search the highest Poisson rate that keeps an objective, such as `p99 <= 5ms`, with no errors. Each rate is
    /// tried for the duration; of a scenario, for as long as it measures.
    #[arg(long, value_name = "OBJECTIVE")]
    pub slo: Option<Slo>,
    /// Load before the measurement begins, which is not counted.
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = duration)]
    pub warm_up: Duration,
    /// Longest wait for an answer.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = duration)]
    pub timeout: Duration,
    /// The request's method; GET, or POST where there is a body.
    #[arg(long, short = 'X', value_name = "METHOD")]
    pub method: Option<String>,
    /// A header, as `name: value`; may be given several times. `{row}`, the request's number, and `{random}`, sixteen
    /// hexadecimal digits, stand for values that differ between requests, here as in the URL's path and the body.
    #[arg(long, short = 'H', value_name = "HEADER")]
    pub header: Vec<String>,
    /// The request's body.
    #[arg(long, value_name = "TEXT")]
    pub body: Option<String>,
    /// A file that holds the request's body.
    #[arg(long, value_name = "FILE")]
    pub body_file: Option<PathBuf>,
    /// The one status that is right; any 2xx or 3xx where nothing is said.
    #[arg(long, value_name = "CODE", value_parser = clap::value_parser!(u16).range(100..=599))]
    pub expect_status: Option<u16>,
    /// Cores that the generator is bound to, as `1` or `2,3`; a worker each. Without it there is one worker, not bound.
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    pub generator_cores: Vec<usize>,
    /// Speak HTTP/2, with one request at a time on each connection.
    #[arg(long)]
    pub http2: bool,
    /// Certificates to trust instead of the system's, in PEM form.
    #[arg(long, value_name = "FILE")]
    pub cacert: Option<PathBuf>,
    /// Accept any certificate.
    #[arg(long)]
    pub insecure: bool,
    /// Seed of the arrivals and of `{random}`.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub load_seed: u64,
}

/// How arrivals at a rate are spaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Spacing {
    /// As many independent users would: at random.
    Poisson,
    /// One like the other.
    Constant,
}

/// Rates that are moved to one after the other, and the time that each takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Targets(Vec<(Duration, f64)>);

impl Targets {
    /// The stages that lead there from a rate; those of no length are steps.
    pub fn stages(&self, mut from: f64) -> Vec<Stage> {
        let mut stages = Vec::new();
        for &(time, to) in &self.0 {
            if !time.is_zero() {
                stages.push(Stage { from, to, seconds: time.as_secs_f64() });
            }
            from = to;
        }
        stages
    }

    pub fn duration(&self) -> Duration {
        self.0.iter().map(|(time, _)| *time).sum()
    }
}

fn stages(text: &str) -> Result<Targets, String> {
    let stage = |text: &str| {
        let (time, rate) =
            text.split_once(':').ok_or_else(|| format!("`{text}` is no stage; write `10s:1000`"))?;
        let rate: f64 = rate.trim().parse().map_err(|_| format!("`{rate}` is no rate; write `10s:1000`"))?;
        if !(0.0..=Rate::MAX).contains(&rate) {
            return Err(format!("a rate lies between 0 and {} per second, not at {rate}", Rate::MAX));
        }
        Ok((duration(time.trim())?, rate))
    };
    let targets = Targets(text.split(',').map(|text| stage(text.trim())).collect::<Result<_, _>>()?);
    match targets.duration().is_zero() {
        true => Err("stages of no length send nothing; write `10s:1000`".to_owned()),
        false => Ok(targets),
    }
}

/// Longer is a mistake, and more than a clock of nanoseconds holds soon after.
const LONGEST_S: f64 = 30.0 * 86_400.0;

/// `10s`, `1.5s`, `500ms`, `2m`; a bare number is seconds.
pub fn duration(text: &str) -> Result<Duration, String> {
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let seconds = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        other => return Err(format!("`{other}` is no unit of time; write ms, s, m or h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{text}` is no time; write `10s`"))?;
    match number * seconds {
        seconds if seconds <= LONGEST_S => Ok(Duration::from_secs_f64(seconds)),
        _ => Err(format!("`{text}` is longer than 30 days")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("1.5"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("2m"), Ok(Duration::from_secs(120)));
        assert!(duration("ten").is_err());
        assert!(duration("5 parsecs").is_err());
        assert!(duration("-1s").is_err());
        assert!(duration("721h").is_err_and(|error| error.contains("30 days")));
        assert!(duration(&format!("{}h", "9".repeat(400))).is_err());
    }

    #[test]
    fn stages_lead_from_one_rate_to_the_next() {
        let read = stages("10s:1000, 0s:4000,30s:5000").unwrap();
        assert_eq!(read.duration(), Duration::from_secs(40));
        let stage = |from, to, seconds| Stage { from, to, seconds };
        assert_eq!(read.stages(0.0), [stage(0.0, 1_000.0, 10.0), stage(4_000.0, 5_000.0, 30.0)]);
        assert_eq!(read.stages(50.0)[0], stage(50.0, 1_000.0, 10.0));
    }

    #[test]
    fn what_is_no_stage_is_said() {
        for (text, word) in [
            ("", "no stage"),
            ("10s", "no stage"),
            ("10s:fast", "no rate"),
            ("10s:-1", "between 0"),
            ("10s:NaN", "between 0"),
            ("x:5", "no unit"),
            (":5", "no time"),
            ("0s:100", "no length"),
        ] {
            assert!(stages(text).is_err_and(|problem| problem.contains(word)), "{text}");
        }
    }
}
