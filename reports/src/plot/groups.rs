//! Plots that join measurements: curves, ablations, envelopes, knees.

mod ablation;
mod curve;
mod envelope;
mod knee;

use crate::plot::{Plot, slug};
use crate::run::{Measurement, Run, Series};
use crate::statistics::bootstrap::FEWEST_SLICES;
use crate::statistics::slices;

/// One point of a group: the last part of its name, and its measurement.
struct Point<'a> {
    name: &'a str,
    measurement: &'a Measurement,
}

/// Measurements whose scenarios are named `KIND/GROUP/POINT`, as [`Run`] describes.
pub fn plots(run: &Run) -> Vec<Plot> {
    let mut plots = Vec::new();
    for (kind, draw) in KINDS {
        let groups = groups(run, kind);
        let many = groups.len() > 1;
        for (group, points) in groups {
            let mut drawn = draw(&points);
            for plot in &mut drawn {
                if many {
                    plot.title = format!("{}, {group}", plot.title);
                }
                plot.id = slug(&format!("{kind}-{group}-{}", plot.id));
            }
            plots.append(&mut drawn);
        }
    }
    plots
}

type Draw = fn(&[Point]) -> Vec<Plot>;
const KINDS: [(&str, Draw); 4] = [
    ("curve", curve::plots),
    ("ablation", ablation::plots),
    ("envelope", envelope::plots),
    ("knee", knee::plots),
];

/// Whether a scenario of that name belongs to a group.
pub fn is_point(name: &str) -> bool {
    name.split_once('/').is_some_and(|(found, _)| KINDS.iter().any(|(kind, _)| *kind == found))
}

/// The groups of a kind, in the order in which they first occur.
fn groups<'a>(run: &'a Run, kind: &str) -> Vec<(&'a str, Vec<Point<'a>>)> {
    let mut groups: Vec<(&str, Vec<Point>)> = Vec::new();
    for measurement in &run.measurements {
        let Some((found, rest)) = measurement.scenario.name.split_once('/') else { continue };
        if found != kind {
            continue;
        }
        let (group, name) = rest.rsplit_once('/').unwrap_or(("all", rest));
        let point = Point { name, measurement };
        match groups.iter_mut().find(|(of, _)| *of == group) {
            Some((_, points)) => points.push(point),
            None => groups.push((group, vec![point])),
        }
    }
    groups
}

/// Statements and creates slice by slice; none where no witness counted any statement.
fn statements_and_creates(series: &Series) -> Vec<(f64, f64)> {
    let counts = |name: &str| -> Vec<f64> {
        let names = [name.to_owned()];
        series.slices.iter().map(|slice| slice.sum(&names) as f64).collect()
    };
    let seen = STATEMENTS.into_iter().map(counts).find(|counts| counts.iter().any(|count| *count > 0.0));
    seen.unwrap_or_default().into_iter().zip(counts("client.created")).collect()
}

/// The 95 % interval of a ratio of sums over slices; none where they are too few.
fn interval_of_sums(slices: &[(f64, f64)]) -> Option<(f64, f64)> {
    // Each end misses on its own side alone.
    const EACH_END: f64 = 0.975;
    let all: f64 = slices.iter().map(|slice| slice.1).sum();
    let found = (slices.len() >= FEWEST_SLICES && all > 0.0).then(|| slices::ratio(slices, EACH_END))?;
    (found.low.is_finite() && found.high.is_finite()).then_some((found.low.max(0.0), found.high))
}

/// Independent counts first.
const STATEMENTS: [&str; 3] = ["postgres.statements", "postgres.calls", "server.statements*"];

/// Requests sent per second, over the whole measurement.
fn sent_per_second(series: &Series) -> f64 {
    let sent: u64 = series.slices.iter().map(|slice| crate::render::rates::count(slice, "client.sent")).sum();
    let seconds: f64 = series.slices.iter().map(|slice| slice.duration_s).sum();
    sent as f64 / seconds.max(f64::MIN_POSITIVE)
}
