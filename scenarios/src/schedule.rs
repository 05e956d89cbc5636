//! When each arrival is due, as offsets from the start: a plain function of a rate and a seed.

use std::path::Path;
use std::time::Duration;

use rand_distr::{Distribution, Exp1};
use rand_pcg::Pcg64Mcg;
use thiserror::Error;

use crate::random::{self, Purpose};
use crate::scenario::{RateSpec, ScheduleSpec, Stage};
use crate::trace::{self, TraceError};

/// Arrivals per second: finite, more than zero, at most ten million.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rate(f64);

#[derive(Debug, Clone, Copy, PartialEq, Error)]
pub enum RateError {
    #[error("a rate of {0} per second sends nothing; give more than 0")]
    NotPositive(f64),
    #[error("a rate of {0} per second cannot be scheduled; give at most 10,000,000")]
    TooHigh(f64),
    #[error("the rate is a share of the capacity, which was not measured; give `per-second` instead")]
    CapacityUnknown,
}

/// Why arrivals cannot be scheduled.
#[derive(Debug, Clone, PartialEq, Error)]
pub enum ScheduleError {
    #[error(transparent)]
    Rate(#[from] RateError),
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// The arrivals of one open run.
#[derive(Debug, Clone, PartialEq)]
pub enum Schedule {
    /// Evenly spaced; the first is due one gap after the start.
    Constant(Rate),
    /// Exponential gaps: as from many users who know nothing of each other.
    Poisson(Rate),
    /// Poisson arrivals whose rate moves; ends with the last stage.
    Stages(Vec<Stage>),
    /// Recorded moments; ends with the last.
    Trace(Vec<Duration>),
}

/// An endless (or, for stages and traces, finite) run of due times that never go back.
#[derive(Debug, Clone)]
pub struct Arrivals {
    shape: Shape,
    random: Pcg64Mcg,
}

#[derive(Debug, Clone)]
enum Shape {
    Constant { rate: f64, sent: u64 },
    Poisson { rate: f64, seconds: f64 },
    Stages { left: std::vec::IntoIter<Stage>, start: f64, begun: f64, expected: f64 },
    Trace(std::vec::IntoIter<Duration>),
}

impl Rate {
    pub const MAX: f64 = 10_000_000.0;

    pub fn per_second(rate: f64) -> Result<Self, RateError> {
        if rate > Self::MAX {
            return Err(RateError::TooHigh(rate));
        }
        if rate.is_finite() && rate > 0.0 { Ok(Self(rate)) } else { Err(RateError::NotPositive(rate)) }
    }

    /// The rate that a file asks for; `capacity` is what the target was found to sustain.
    pub fn resolve(spec: RateSpec, capacity: Option<Rate>) -> Result<Self, RateError> {
        match spec {
            RateSpec::PerSecond(rate) => Self::per_second(rate),
            RateSpec::OfCapacity(share) => {
                let capacity = capacity.ok_or(RateError::CapacityUnknown)?;
                Self::per_second(share * capacity.0)
            }
        }
    }

    pub fn get(self) -> f64 {
        self.0
    }
}

impl Schedule {
    /// What a scenario file asks for, with shares of the capacity turned into rates, and the file of a trace read.
    pub fn resolve(spec: &ScheduleSpec, capacity: Option<Rate>) -> Result<Self, ScheduleError> {
        Ok(match spec {
            ScheduleSpec::Constant(rate) => Self::Constant(Rate::resolve(*rate, capacity)?),
            ScheduleSpec::Poisson(rate) => Self::Poisson(Rate::resolve(*rate, capacity)?),
            ScheduleSpec::Stages(stages) => Self::Stages(stages.clone()),
            ScheduleSpec::Trace { file, speed } => {
                // Unlike a log's visits, times of a file begin where the load does.
                let moments = trace::read(Path::new(file))?;
                Self::Trace(moments.into_iter().map(|moment| sped_up(moment, *speed)).collect())
            }
        })
    }

    /// Recorded moments, `speed` times as fast (finite, more than 0); a moment that lies before its
    /// predecessor is moved up to it, and the first is the start.
    pub fn trace(moments: impl IntoIterator<Item = Duration>, speed: f64) -> Self {
        let mut first = None;
        let mut latest = Duration::ZERO;
        let forward = moments.into_iter().map(|moment| {
            let since = moment.saturating_sub(*first.get_or_insert(moment));
            latest = latest.max(since);
            sped_up(latest, speed)
        });
        Self::Trace(forward.collect())
    }

    /// The due times, in order. The same seed gives the same times, to the nanosecond.
    pub fn arrivals(&self, seed: u64) -> Arrivals {
        let shape = match self {
            Self::Constant(rate) => Shape::Constant { rate: rate.0, sent: 0 },
            Self::Poisson(rate) => Shape::Poisson { rate: rate.0, seconds: 0.0 },
            Self::Stages(stages) => {
                Shape::Stages { left: stages.clone().into_iter(), start: 0.0, begun: 0.0, expected: 0.0 }
            }
            Self::Trace(moments) => Shape::Trace(moments.clone().into_iter()),
        };
        Arrivals { shape, random: random::stream(seed, Purpose::Arrivals) }
    }

    /// When the schedule ends by itself; `None` for one that goes on until it is stopped.
    pub fn length(&self) -> Option<Duration> {
        match self {
            Self::Constant(_) | Self::Poisson(_) => None,
            Self::Stages(stages) => Some(seconds(stages.iter().map(|stage| stage.seconds).sum())),
            Self::Trace(moments) => Some(moments.last().copied().unwrap_or_default()),
        }
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    #[inline]
    fn next(&mut self) -> Option<Duration> {
        match &mut self.shape {
            Shape::Constant { rate, sent } => {
                // From the count, not from the last arrival: rounding must not add up.
                *sent += 1;
                Some(seconds(*sent as f64 / *rate))
            }
            Shape::Poisson { rate, seconds: at } => {
                *at += gap(&mut self.random) / *rate;
                Some(seconds(*at))
            }
            Shape::Stages { left, start, begun, expected } => {
                *expected += gap(&mut self.random);
                next_in_stages(left, start, begun, *expected).map(seconds)
            }
            Shape::Trace(moments) => moments.next(),
        }
    }
}

/// Keeps a duration that no run reaches inside what `Duration` holds.
const MAX_SECONDS: f64 = 1e9;

/// The gap of a Poisson process of rate 1.
fn gap(random: &mut Pcg64Mcg) -> f64 {
    Exp1.sample(random)
}

fn sped_up(moment: Duration, speed: f64) -> Duration {
    Duration::from_secs_f64((moment.as_secs_f64() / speed).min(MAX_SECONDS))
}

fn seconds(seconds: f64) -> Duration {
    Duration::from_nanos((seconds.min(MAX_SECONDS) * 1e9).round() as u64)
}

/// The moment by which `expected` arrivals were to be expected: time-rescaling, which turns a
/// process of rate 1 into one of any rate. `begun` is what was expected before the first of `left`.
fn next_in_stages(
    left: &mut std::vec::IntoIter<Stage>,
    start: &mut f64,
    begun: &mut f64,
    expected: f64,
) -> Option<f64> {
    while let Some(stage) = left.as_slice().first() {
        let area = (stage.from + stage.to) / 2.0 * stage.seconds;
        if expected - *begun < area {
            return Some(*start + moment_in(stage, expected - *begun));
        }
        *begun += area;
        *start += stage.seconds;
        left.next();
    }
    None
}

/// Solves from · t + slope · t² / 2 = area for t, in the form that does not cancel near slope 0.
fn moment_in(stage: &Stage, area: f64) -> f64 {
    let slope = (stage.to - stage.from) / stage.seconds;
    let root = (stage.from * stage.from + 2.0 * slope * area).max(0.0).sqrt();
    (2.0 * area / (stage.from + root)).min(stage.seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(per_second: f64) -> Rate {
        Rate::per_second(per_second).unwrap()
    }

    fn stage(from: f64, to: f64, seconds: f64) -> Stage {
        Stage { from, to, seconds }
    }

    fn within(arrivals: &[Duration], from: f64, to: f64) -> f64 {
        arrivals.iter().filter(|due| (from..to).contains(&due.as_secs_f64())).count() as f64
    }

    #[test]
    fn a_rate_is_checked_where_it_enters() {
        for bad in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
            assert!(matches!(Rate::per_second(bad), Err(RateError::NotPositive(_))), "{bad}");
        }
        for bad in [10_000_000.1, f64::INFINITY] {
            assert!(matches!(Rate::per_second(bad), Err(RateError::TooHigh(_))), "{bad}");
        }
        assert_eq!(rate(10_000_000.0).get(), 10_000_000.0);
        assert_eq!(Rate::resolve(RateSpec::OfCapacity(0.5), Some(rate(80_000.0))), Ok(rate(40_000.0)));
        assert_eq!(Rate::resolve(RateSpec::OfCapacity(0.5), None), Err(RateError::CapacityUnknown));
    }

    #[test]
    fn constant_arrivals_do_not_wander() {
        let schedule = Schedule::Constant(rate(3_000.0));
        let arrivals: Vec<_> = schedule.arrivals(1).take(9_000_000).collect();
        assert_eq!(arrivals[2], Duration::from_millis(1));
        assert_eq!(arrivals[8_999_999], Duration::from_secs(3_000));
    }

    /// The first due times of a seed, written down: a change here breaks the promise that recorded
    /// seeds can be run again.
    #[test]
    fn a_seed_gives_these_arrivals_for_ever() {
        let schedule = Schedule::Poisson(rate(1_000.0));
        let nanos: Vec<_> = schedule.arrivals(20_150_517).take(4).map(|due| due.as_nanos()).collect();
        assert_eq!(nanos, [257_534, 508_332, 591_275, 866_372]);
        assert_eq!(schedule.arrivals(7).take(99).last(), schedule.arrivals(7).take(99).last());
        assert_ne!(schedule.arrivals(7).next(), schedule.arrivals(8).next());
    }

    /// Anderson and Darling's statistic against the exponential with its mean known: 3.878 is
    /// exceeded by one sample in a hundred.
    #[test]
    fn poisson_gaps_pass_anderson_darling() {
        let schedule = Schedule::Poisson(rate(20_000.0));
        let exceeded = (0..200).filter(|&seed| anderson_darling(&gaps(&schedule, seed), 20_000.0) > 3.878);
        assert!(exceeded.count() <= 6);
        let constant = gaps(&Schedule::Constant(rate(20_000.0)), 1);
        assert!(anderson_darling(&constant, 20_000.0) > 100.0, "the test must see what is not Poisson");
    }

    fn gaps(schedule: &Schedule, seed: u64) -> Vec<f64> {
        let due: Vec<_> = schedule.arrivals(seed).take(5_000).map(|due| due.as_secs_f64()).collect();
        due.windows(2).map(|pair| pair[1] - pair[0]).collect()
    }

    fn anderson_darling(gaps: &[f64], rate: f64) -> f64 {
        let mut gaps = gaps.to_vec();
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        let sum: f64 = gaps
            .iter()
            .zip(gaps.iter().rev())
            .enumerate()
            .map(|(i, (low, high))| {
                let log_below = (-(-rate * low.max(1e-12)).exp_m1()).ln();
                (2.0 * i as f64 + 1.0) * (log_below - rate * high)
            })
            .sum();
        -n - sum / n
    }

    #[test]
    fn stages_follow_their_line() {
        struct Case {
            name: &'static str,
            stages: Vec<Stage>,
            expected: Vec<(f64, f64, f64)>,
        }
        let cases = [
            Case {
                name: "ramp",
                stages: vec![stage(0.0, 10_000.0, 10.0)],
                expected: vec![(0.0, 5.0, 12_500.0), (5.0, 10.0, 37_500.0)],
            },
            Case {
                name: "ramp down",
                stages: vec![stage(10_000.0, 0.0, 10.0)],
                expected: vec![(0.0, 5.0, 37_500.0), (5.0, 10.0, 12_500.0)],
            },
            Case {
                name: "step",
                stages: vec![stage(1_000.0, 1_000.0, 5.0), stage(4_000.0, 4_000.0, 5.0)],
                expected: vec![(0.0, 5.0, 5_000.0), (5.0, 10.0, 20_000.0)],
            },
            Case {
                name: "spike",
                stages: vec![
                    stage(1_000.0, 1_000.0, 4.0),
                    stage(20_000.0, 20_000.0, 1.0),
                    stage(1_000.0, 1_000.0, 4.0),
                ],
                expected: vec![(0.0, 4.0, 4_000.0), (4.0, 5.0, 20_000.0), (5.0, 9.0, 4_000.0)],
            },
            Case {
                name: "a silence between two",
                stages: vec![
                    stage(5_000.0, 5_000.0, 2.0),
                    stage(0.0, 0.0, 3.0),
                    stage(5_000.0, 5_000.0, 2.0),
                ],
                expected: vec![(0.0, 2.0, 10_000.0), (2.0, 5.0, 0.0), (5.0, 7.0, 10_000.0)],
            },
            Case {
                name: "soak",
                stages: vec![stage(0.0, 500.0, 10.0), stage(500.0, 500.0, 100.0)],
                expected: vec![(0.0, 10.0, 2_500.0), (10.0, 110.0, 50_000.0)],
            },
        ];
        for Case { name, stages, expected } in cases {
            let schedule = Schedule::Stages(stages);
            let arrivals: Vec<_> = schedule.arrivals(3).collect();
            assert!(arrivals.is_sorted(), "{name}");
            assert!(arrivals.last() <= schedule.length().as_ref(), "{name}");
            for (from, to, count) in expected {
                let got = within(&arrivals, from, to);
                // Four standard deviations of a Poisson count.
                assert!(
                    (got - count).abs() <= 4.0 * count.sqrt(),
                    "{name}: {got} in {from}..{to} s, not {count}"
                );
            }
        }
    }

    #[test]
    fn a_trace_only_goes_forward() {
        let moments = [100, 101, 99, 103, 102, 110].map(Duration::from_secs);
        let due = |speed| Schedule::trace(moments, speed).arrivals(0).collect::<Vec<_>>();
        assert_eq!(due(1.0), [0, 1, 1, 3, 3, 10].map(Duration::from_secs));
        assert_eq!(due(10.0), [0, 100, 100, 300, 300, 1_000].map(Duration::from_millis));
        assert_eq!(Schedule::trace(moments, 1.0).length(), Some(Duration::from_secs(10)));
        assert_eq!(Schedule::trace([], 1.0).arrivals(0).next(), None);
    }
}
