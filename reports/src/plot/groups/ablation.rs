//! What each technique contributes: each switched off alone.

use super::{Point, interval_of_sums, statements_and_creates};
use crate::compare::Compared;
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::layer::Layer;
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table, hits};
use crate::render::rates;
use crate::run::{Measurement, Model, Series};

/// What is compared, by its own axis: a bar chart each, where at least two points have it.
const MEASURES: [Measure; 5] = [
    Measure {
        id: "statements",
        title: "statements per create",
        reading: Reading::Number,
        of: |_, it| of_sums(&statements_and_creates(it)).map(Ok),
    },
    Measure {
        id: "hit-rate",
        title: "hit rate",
        reading: Reading::Percent,
        of: |_, it| of_sums(&hits::pairs(it)).map(|bar| Ok(bar.up_to_all())),
    },
    Measure { id: "p99", title: "p99 latency", reading: Reading::Microseconds, of: p99 },
    Measure {
        id: "cpu",
        title: "server CPU per request",
        reading: Reading::Microseconds,
        of: |_, it| of_sums(&cpu_and_answers("cpu.server_us", it)).map(Ok),
    },
    Measure {
        id: "database-cpu",
        title: "database CPU per request",
        reading: Reading::Microseconds,
        of: |_, it| of_sums(&cpu_and_answers("cpu.postgres_us", it)).map(Ok),
    },
];

struct Measure {
    id: &'static str,
    title: &'static str,
    reading: Reading,
    /// None where it was not measured.
    of: fn(&Measurement, &Series) -> Option<Found>,
}

/// A bar, or why there is none.
type Found = Result<Bar, String>;

/// How long a bar is, with the ends of its 95 % interval where there is one.
#[derive(Clone, Copy)]
struct Bar {
    value: f64,
    interval: Option<(f64, f64)>,
}

impl Bar {
    /// A share is no more than all.
    fn up_to_all(self) -> Bar {
        Bar { interval: self.interval.map(|(low, high)| (low, high.min(1.0))), ..self }
    }
}

pub fn plots(points: &[Point]) -> Vec<Plot> {
    MEASURES.iter().filter_map(|measure| plot(points, measure)).collect()
}

fn plot(points: &[Point], measure: &Measure) -> Option<Plot> {
    let mut rows: Vec<(String, Found)> = Vec::new();
    for point in points {
        for series in &point.measurement.series {
            let many = point.measurement.series.len() > 1;
            let name =
                if many { format!("{}, {}", point.name, series.variant) } else { point.name.to_owned() };
            let found = (measure.of)(point.measurement, series);
            rows.extend(found.map(|found| (name, trusted(found, point.measurement))));
        }
    }
    if rows.len() < 2 {
        return None;
    }
    let mut table = Table::new(["design", measure.title, "95 % interval"]);
    table.rows.extend(rows.iter().map(|(name, found)| match found {
        Ok(bar) => {
            let interval = bar.interval.map_or("too few samples".to_owned(), |(low, high)| {
                format!("{} to {}", said(measure, low), said(measure, high))
            });
            vec![name.clone(), said(measure, bar.value), interval]
        }
        Err(reason) => vec![name.clone(), reason.clone(), "–".to_owned()],
    }));
    let mut caption = format!(
        "Each bar is the design that its name tells of; {}, the first, is what the others are compared with.",
        rows[0].0
    );
    if rows.iter().any(|(_, found)| found.as_ref().is_ok_and(|bar| bar.interval.is_some())) {
        caption.push_str(" The line at a bar's end is its 95 % interval.");
    }
    for (name, found) in &rows {
        caption.extend(found.as_ref().err().map(|reason| format!(" `{name}`: {reason}.")));
    }
    Some(Plot {
        id: measure.id.to_owned(),
        title: format!("Ablation: {}", measure.title),
        caption,
        measurement: None,
        folded: None,
        chart: chart(measure, &rows),
        table,
    })
}

/// Nothing of a measurement that cannot be trusted is drawn as if it could.
fn trusted(found: Found, measurement: &Measurement) -> Found {
    if measurement.invalid.is_empty() { found } else { Err(invalid(&measurement.invalid)) }
}

fn invalid(reasons: &[String]) -> String {
    format!("invalid: {}", reasons.join("; "))
}

/// The first point, all techniques on, stands at the top and in its own colour.
fn chart(measure: &Measure, rows: &[(String, Found)]) -> Chart {
    let end = |bar: &Bar| bar.interval.map_or(bar.value, |(_, high)| high.max(bar.value));
    let highest = rows.iter().filter_map(|(_, found)| found.as_ref().ok()).map(end).fold(0.0, f64::max);
    let x = match measure.reading {
        Reading::Percent => Axis::share_with_room(measure.title, highest),
        _ => Axis::linear(measure.title, measure.reading, 0.0, highest * 1.3),
    };
    let y = Axis::named("", rows.iter().rev().map(|(name, _)| name.clone()).collect());
    let (mut boxes, mut layers) = (Vec::new(), Vec::new());
    for (row, (_, found)) in rows.iter().rev().enumerate() {
        let (row, first) = (row as f64, row + 1 == rows.len());
        let bar = match found {
            Ok(bar) => bar,
            Err(reason) => {
                let word = reason.split(':').next().unwrap_or(reason).to_owned();
                layers.push(Layer::Note { at: (0.0, row + 0.5), text: word });
                continue;
            }
        };
        let ink = if first { Ink::Series(0) } else { Ink::Series(6) };
        boxes.push((0.0, row + 0.2, bar.value, row + 0.8, ink.look().faint(0.75)));
        layers.extend(bar.interval.map(|(low, high)| Layer::Line {
            name: String::new(),
            look: Ink::Strong.look(),
            points: vec![(low, row + 0.5), (high, row + 0.5)],
        }));
        layers.push(Layer::Note { at: (end(bar), row + 0.5), text: said(measure, bar.value) });
    }
    layers.insert(0, Layer::Boxes { boxes });
    let mut chart = Chart::new(x, y, layers);
    chart.tall = (0.3 + rows.len() as f64 * 0.1).clamp(0.5, 2.0);
    chart
}

fn said(measure: &Measure, value: f64) -> String {
    match measure.reading {
        Reading::Percent => format!("{:.2} %", value * 100.0),
        Reading::Microseconds => figure::time_us(value),
        Reading::Number | Reading::Seconds => figure::significant(value),
    }
}

/// A ratio of sums over slices.
fn of_sums(slices: &[(f64, f64)]) -> Option<Bar> {
    let (over, under) = slices.iter().fold((0.0, 0.0), |sums, it| (sums.0 + it.0, sums.1 + it.1));
    (under > 0.0).then(|| Bar { value: over / under, interval: interval_of_sums(slices) })
}

/// CPU time and right answers; none where the process was not watched.
fn cpu_and_answers(cpu: &str, series: &Series) -> Vec<(f64, f64)> {
    if series.slices.iter().all(|slice| rates::count(slice, cpu) == 0) {
        return Vec::new();
    }
    let pair = |slice| (rates::count(slice, cpu) as f64, rates::count(slice, "client.ok") as f64);
    series.slices.iter().map(pair).collect()
}

fn p99(measurement: &Measurement, series: &Series) -> Option<Found> {
    let name = rates::times_of(measurement.model);
    series.times.get(name).filter(|times| times.count() > 0)?;
    let metric = match measurement.model {
        Model::Open => Compared::Response { quantile: 0.99 },
        Model::Closed | Model::Journeys => Compared::Service { quantile: 0.99 },
    };
    let found = metric.value((measurement, series));
    // Where too few requests reach the tail, its upper bound is unknown, and infinite.
    let interval = found.bounds.filter(|(low, high)| low.is_finite() && high.is_finite());
    Some(match found.value {
        Some(value) => Ok(Bar { value, interval }),
        None if found.invalid => Err(invalid(&found.reasons)),
        None => Err("never: so many requests were lost".to_owned()),
    })
}
