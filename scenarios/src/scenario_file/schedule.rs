//! Whether arrivals can be scheduled as a file asks for.

use super::{Fault, LONGEST_S, need};
use crate::scenario::{Phases, RateSpec, Scenario, ScheduleSpec, Stage};
use crate::schedule::Rate;

const STAGES: &str = "load.open.schedule.stages";

pub fn check(scenario: &Scenario, schedule: &ScheduleSpec) -> Result<(), Fault> {
    match schedule {
        ScheduleSpec::Constant(rate) => check_rate("load.open.schedule.constant", *rate),
        ScheduleSpec::Poisson(rate) => check_rate("load.open.schedule.poisson", *rate),
        ScheduleSpec::Stages(stages) => {
            check_stages(stages)?;
            check_length(stages, &scenario.phases)?;
            scenario.full.iter().try_for_each(|full| check_length(stages, full))?;
            goes_on(scenario, STAGES)
        }
        ScheduleSpec::Trace { file, speed } => {
            let at = |field: &str| format!("load.open.schedule.trace.{field}");
            need(!file.is_empty(), at("file"), || "name the file that holds the times".to_owned())?;
            need(*speed > 0.0 && *speed <= 1e6, at("speed"), || {
                format!(
                    "a trace cannot be played {speed} times as fast; give more than 0 and at most 1,000,000"
                )
            })?;
            goes_on(scenario, "load.open.schedule.trace")
        }
    }
}

fn check_rate(path: &str, rate: RateSpec) -> Result<(), Fault> {
    match rate {
        RateSpec::PerSecond(rate) => Rate::per_second(rate)
            .map(drop)
            .map_err(|error| (format!("{path}.per-second"), error.to_string())),
        RateSpec::OfCapacity(share) => {
            need(share > 0.0 && share <= 1.0, format!("{path}.of-capacity"), || {
                format!("`of-capacity` is {share}; give a share of the capacity, more than 0 and at most 1")
            })
        }
    }
}

fn check_stages(stages: &[Stage]) -> Result<(), Fault> {
    for (index, stage) in stages.iter().enumerate() {
        let rates = [stage.from, stage.to];
        need(rates.iter().all(|rate| (0.0..=Rate::MAX).contains(rate)), format!("{STAGES}.{index}"), || {
            format!("a stage's rates lie between 0 and {} per second", Rate::MAX)
        })?;
        need(stage.seconds > 0.0 && stage.seconds <= LONGEST_S, format!("{STAGES}.{index}.seconds"), || {
            format!("a stage of {} s cannot be; give more than 0 and at most {LONGEST_S}", stage.seconds)
        })?;
    }
    need(stages.iter().any(|stage| stage.from + stage.to > 0.0), STAGES, || {
        "no stage has a rate of more than 0, so nothing would be sent; give one".to_owned()
    })
}

/// A stage beyond the measurement would never come, and a measurement beyond the stages would measure silence.
fn check_length(stages: &[Stage], phases: &Phases) -> Result<(), Fault> {
    let stages_s: f64 = stages.iter().map(|stage| stage.seconds).sum();
    let phases_s = phases.warm_up_s + phases.measurement_s;
    need((stages_s - phases_s).abs() < 1e-6, STAGES, || {
        format!("the stages take {stages_s} s, warm-up and measurement {phases_s} s; make them equal")
    })
}

/// Variants take turns, a slice each, and every slice is a load of its own.
fn goes_on(scenario: &Scenario, path: &str) -> Result<(), Fault> {
    need(scenario.variants.len() < 2, path, || {
        "arrivals that change with time would begin anew with each slice of each variant; leave one variant, or give a \
         rate"
            .to_owned()
    })
}
