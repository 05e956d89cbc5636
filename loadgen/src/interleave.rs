//! Several variants, measured a slice each in turn.

use std::time::Duration;

use anyhow::Result;
use proofload_reports::run::{Measurement, Series};
use proofload_scenarios::Scenario;

use crate::drive::Recording;
use crate::generate::{Generator, Settled};
use crate::lab::Lab;
use crate::live::Live;
use crate::measure::{ELAPSED, Phases, blank_series, describe_rate, elapsed_us};
use crate::observe::{Reading, difference};
use crate::subject::Subject;
use crate::{doubts, interrupt};

/// Several variants, a slice each in turn, so that drift of the machine hits all alike.
pub fn interleaved(
    scenario: &Scenario,
    lab: &Lab,
    subjects: &mut [Subject],
    live: &Live,
    into: &mut Measurement,
) -> Result<()> {
    let mut generators: Vec<Generator> = subjects
        .iter()
        .map(|subject| Generator::new(scenario, lab, subject.target(), subject.links.clone()))
        .collect();
    // Every variant gets the same rate, so that only the design differs.
    let rate = generators[0].settle()?;
    describe_rate(rate, into);
    let mut series: Vec<Series> = subjects.iter().map(|subject| blank_series(subject.variant())).collect();
    warm_up(scenario, &mut generators, subjects, rate)?;
    let mut elapsed = 0.0;
    for (block, index) in interleaving(scenario, subjects.len()) {
        if interrupt::requested() || !into.invalid.is_empty() {
            break;
        }
        let subject = &mut subjects[index];
        let before = subject.observer.read();
        let recording = generators[index].drive(
            Phases::only(Duration::from_secs_f64(scenario.phases.slice_s)),
            rate,
            &mut |boundary| live.show(boundary),
        )?;
        let after = subject.observer.read();
        doubts::enter(&recording, Some((subject.variant(), elapsed)), into);
        subject.note(scenario, &recording);
        elapsed += append(&mut series[index], recording, &difference(&before, &after), block, elapsed);
    }
    into.series = series;
    Ok(())
}

/// Loads each variant for the scenario's warm-up, and forgets what it timed.
pub fn warm_up(
    scenario: &Scenario,
    generators: &mut [Generator],
    subjects: &mut [Subject],
    rate: Option<Settled>,
) -> Result<()> {
    let measured = Duration::from_secs_f64(scenario.phases.warm_up_s);
    if measured.is_zero() {
        return Ok(());
    }
    let phases = Phases::only(measured);
    for (generator, subject) in generators.iter_mut().zip(subjects) {
        let recording = generator.drive(phases, rate, &mut |_| ())?;
        subject.note(scenario, &recording);
    }
    Ok(())
}

/// Adds one drive as one slice of a series; returns how long it lasted.
pub fn append(
    series: &mut Series,
    recording: Recording,
    witnessed: &Reading,
    block: u32,
    start_s: f64,
) -> f64 {
    for (name, times) in &recording.times {
        series.times.entry(name.clone()).or_default().merge(times);
    }
    let duration_s = recording.duration_s();
    for mut slice in recording.slices.iter() {
        slice.block = block;
        slice.start_s += start_s;
        slice.counters.insert(ELAPSED.to_owned(), elapsed_us(&slice));
        slice.counters.extend(witnessed.clone());
        series.slices.push(slice);
    }
    duration_s
}

/// Which variant each slice belongs to, with its block. A block goes forth and back (ABBA), and the next one starts
/// from the other end (BAAB): a straight drift cancels, and no variant is always first.
fn interleaving(scenario: &Scenario, variants: usize) -> Vec<(u32, usize)> {
    let slices = (scenario.phases.measurement_s / scenario.phases.slice_s).round() as usize;
    let blocks = (slices / (2 * variants)).max(1);
    (0..blocks as u32)
        .flat_map(|block| {
            let forth = 0..variants;
            let there_and_back: Vec<usize> = forth.clone().chain(forth.rev()).collect();
            let turned = block % 2 == 1;
            there_and_back
                .into_iter()
                .map(move |index| (block, if turned { variants - 1 - index } else { index }))
        })
        .collect()
}
