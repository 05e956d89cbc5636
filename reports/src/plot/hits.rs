//! Hit rate over time, by the level that answered.

use crate::ceiling;
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::inks;
use crate::plot::layer::Layer;
use crate::plot::sheet::Ink;
use crate::plot::time::over_time;
use crate::plot::{Plot, Table, seconds, stride};
use crate::run::{Measurement, Series, Slice};

/// Counters of look-ups begin so; what follows names the level that answered.
const LOOKUPS: &str = "server.lookups_";
/// Levels that answer without the database.
const HITS: [&str; 2] = ["process", "redis"];
/// Levels that wait for the database, ask it, or could not. Look-ups of codes that no link has stand apart.
const MISSES: [&str; 3] = ["waiter", "store", "failed"];

/// Drawn where anything was looked up.
pub fn plot(measurement: &Measurement, series: &Series) -> Option<Plot> {
    rate(series)?;
    let levels: Vec<&str> = HITS.into_iter().filter(|level| total(series, level) > 0).collect();
    let end = series.slices.last().map_or(1.0, |slice| slice.start_s + slice.duration_s);
    // Each line adds a level to those below it, so that the axis may begin where the lines do.
    let mut layers: Vec<Layer> = (1..=levels.len())
        .rev()
        .map(|upto| {
            let name = if upto == 1 {
                label(levels[0]).to_owned()
            } else {
                format!("+ {}", label(levels[upto - 1]))
            };
            line(&name, [inks::SERVER, inks::BETWEEN][upto - 1], series, &levels[..upto])
        })
        .collect();
    layers.splice(0..0, by_chance(measurement, series, end));
    layers.extend(measurement.ceiling.map(|value| Layer::Level { name: "ceiling".to_owned(), value }));
    let chart = Chart::new(
        Axis::time(end),
        Axis::linear("answered without the database", Reading::Percent, lowest(&layers), 1.0),
        layers,
    );
    Some(Plot {
        id: "hit-rate".to_owned(),
        title: "Hit rate over time".to_owned(),
        caption: caption(measurement, series),
        measurement: None,
        folded: None,
        chart,
        table: table(series, &levels),
    })
}

/// Look-ups answered without the database, and all look-ups of links that exist, slice by slice.
pub fn pairs(series: &Series) -> Vec<(f64, f64)> {
    let hits = |slice: &Slice| HITS.iter().map(|level| of_level(slice, level)).sum::<u64>() as f64;
    series.slices.iter().map(|slice| (hits(slice), lookups(slice) as f64)).collect()
}

/// Look-ups answered without the database, of all look-ups of links that exist.
pub fn rate(series: &Series) -> Option<f64> {
    let all: u64 = series.slices.iter().map(lookups).sum();
    let hits: u64 = HITS.iter().map(|level| total(series, level)).sum();
    (all > 0).then(|| hits as f64 / all as f64)
}

fn line(name: &str, ink: Ink, series: &Series, levels: &[&str]) -> Layer {
    let answered = series.slices.iter().filter(|slice| lookups(slice) > 0);
    over_time(name, ink.look(), answered.map(|slice| (slice, share(slice, levels))))
}

/// Where the ceiling lets the hit rate of a slice lie, by chance alone.
fn by_chance(measurement: &Measurement, series: &Series, end: f64) -> Option<Layer> {
    let mut counts: Vec<u64> = series.slices.iter().map(lookups).filter(|count| *count > 0).collect();
    counts.sort_unstable();
    let spread = ceiling::spread(measurement, *counts.get(counts.len() / 2)? as f64)?;
    let ceiling = measurement.ceiling?;
    let (low, high) = ((ceiling - spread).max(0.0), (ceiling + spread).min(1.0));
    let outline = vec![(0.0, low), (end, low), (end, high), (0.0, high)];
    Some(Layer::Area { look: Ink::Limit.look().faint(0.12), outline })
}

/// The axis begins at a round number below all that is drawn: a hit rate of 99 % needs the room.
fn lowest(layers: &[Layer]) -> f64 {
    let values = layers.iter().flat_map(|layer| match layer {
        Layer::Line { points, .. } => points.iter().map(|(_, y)| *y).collect(),
        Layer::Steps { steps, .. } => steps.iter().map(|step| step.y).collect(),
        Layer::Level { value, .. } => vec![*value],
        Layer::Area { outline, .. } => outline.iter().map(|(_, y)| *y).collect(),
        _ => Vec::new(),
    });
    let low = values.fold(1.0, f64::min);
    [0.99, 0.98, 0.95, 0.9, 0.8, 0.6, 0.4, 0.2]
        .into_iter()
        .find(|floor| low > floor + (1.0 - floor) * 0.05)
        .unwrap_or(0.0)
}

fn share(slice: &Slice, levels: &[&str]) -> f64 {
    levels.iter().map(|level| of_level(slice, level)).sum::<u64>() as f64 / lookups(slice).max(1) as f64
}

/// All look-ups of links that exist.
fn lookups(slice: &Slice) -> u64 {
    HITS.iter().chain(&MISSES).map(|level| of_level(slice, level)).sum()
}

fn of_level(slice: &Slice, level: &str) -> u64 {
    slice.sum(&[format!("{LOOKUPS}{level}")])
}

fn total(series: &Series, level: &str) -> u64 {
    series.slices.iter().map(|slice| of_level(slice, level)).sum()
}

fn label(level: &str) -> &str {
    if level == "process" { "in process" } else { level }
}

fn caption(measurement: &Measurement, series: &Series) -> String {
    let rate = rate(series).unwrap_or(0.0) * 100.0;
    let Some(ceiling) = measurement.ceiling else { return format!("{rate:.2} % in all.") };
    let all: u64 = series.slices.iter().map(lookups).sum();
    let by_chance = match ceiling::told(measurement, all as f64) {
        Some(told) => format!(" It is {told}; the band around it is that of a single slice."),
        None => String::new(),
    };
    format!(
        "{rate:.2} % in all. The dashed line is the ceiling, {:.2} %: the most that a cache of that size can expect on this \
         workload.{by_chance}",
        ceiling * 100.0
    )
}

fn table(series: &Series, levels: &[&str]) -> Table {
    let stride = stride(series.slices.len());
    let mut table = Table::new([seconds(stride), "look-ups".to_owned()]);
    table.head.extend(levels.iter().map(|level| label(level).to_owned()));
    for slices in series.slices.chunks(stride) {
        let all: u64 = slices.iter().map(lookups).sum();
        let shares = levels.iter().map(|level| {
            let hits: f64 = slices.iter().map(|slice| share(slice, &[level]) * lookups(slice) as f64).sum();
            format!("{:.2} %", hits / (all as f64).max(1.0) * 100.0)
        });
        let row = [format!("{:.1}", slices[0].start_s), figure::count(all)];
        table.rows.push(row.into_iter().chain(shares).collect());
    }
    table
}
