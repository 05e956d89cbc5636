//! What each technique contributes: each switched off alone.

use statrs::distribution::{ContinuousCDF, StudentsT};

use super::{Point, statements_and_creates};
use crate::compare::Compared;
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::layer::Layer;
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table, hits};
use crate::render::rates;
use crate::run::{Measurement, Model, Series};
use crate::statistics::ratio;

/// What is compared, by its own axis: a bar chart each, where at least two points have it.
const MEASURES: [Measure; 4] = [
    Measure {
        id: "statements",
        title: "statements per create",
        reading: Reading::Number,
        of: |_, it| of_sums(&statements_and_creates(it)),
    },
    Measure {
        id: "hit-rate",
        title: "hit rate",
        reading: Reading::Percent,
        of: |_, it| of_sums(&hits::pairs(it)),
    },
    Measure { id: "p99", title: "p99 latency", reading: Reading::Microseconds, of: p99 },
    Measure {
        id: "cpu",
        title: "server CPU per request",
        reading: Reading::Microseconds,
        of: |_, it| of_sums(&cpu_and_answers(it)),
    },
];

struct Measure {
    id: &'static str,
    title: &'static str,
    reading: Reading,
    of: fn(&Measurement, &Series) -> Option<Bar>,
}

/// How long a bar is, with the ends of its 95 % interval where there is one.
#[derive(Clone, Copy)]
struct Bar {
    value: f64,
    interval: Option<(f64, f64)>,
}

pub fn plots(points: &[Point]) -> Vec<Plot> {
    MEASURES.iter().filter_map(|measure| plot(points, measure)).collect()
}

fn plot(points: &[Point], measure: &Measure) -> Option<Plot> {
    let mut bars: Vec<(String, Bar)> = Vec::new();
    for point in points {
        for series in &point.measurement.series {
            let many = point.measurement.series.len() > 1;
            let name =
                if many { format!("{}, {}", point.name, series.variant) } else { point.name.to_owned() };
            bars.extend((measure.of)(point.measurement, series).map(|bar| (name, bar)));
        }
    }
    if bars.len() < 2 {
        return None;
    }
    let mut table = Table::new(["switched off", measure.title, "95 % interval"]);
    table.rows.extend(bars.iter().map(|(name, bar)| {
        let interval = bar.interval.map_or("too few samples".to_owned(), |(low, high)| {
            format!("{} to {}", said(measure, low), said(measure, high))
        });
        vec![name.clone(), said(measure, bar.value), interval]
    }));
    let drawn = match bars.iter().any(|(_, bar)| bar.interval.is_some()) {
        true => " The line at a bar's end is its 95 % interval.",
        false => "",
    };
    let caption = format!(
        "Each bar is the design with one technique switched off; {}, the first, has all on.{drawn}",
        bars[0].0
    );
    Some(Plot {
        id: measure.id.to_owned(),
        title: format!("Ablation: {}", measure.title),
        caption,
        measurement: None,
        folded: None,
        chart: chart(measure, &bars),
        table,
    })
}

/// The first point, all techniques on, stands at the top and in its own colour.
fn chart(measure: &Measure, bars: &[(String, Bar)]) -> Chart {
    let end = |bar: &Bar| bar.interval.map_or(bar.value, |(_, high)| high.max(bar.value));
    let highest = bars.iter().map(|(_, bar)| end(bar)).fold(0.0, f64::max);
    let x = Axis::linear(measure.title, measure.reading, 0.0, highest * 1.3);
    let y = Axis::named("", bars.iter().rev().map(|(name, _)| name.clone()).collect());
    let (mut boxes, mut layers) = (Vec::new(), Vec::new());
    for (row, (_, bar)) in bars.iter().rev().enumerate() {
        let (row, first) = (row as f64, row + 1 == bars.len());
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
    chart.tall = (0.3 + bars.len() as f64 * 0.1).clamp(0.5, 2.0);
    chart
}

fn said(measure: &Measure, value: f64) -> String {
    match measure.reading {
        Reading::Percent => format!("{:.2} %", value * 100.0),
        Reading::Microseconds => figure::time_us(value),
        Reading::Number | Reading::Seconds => figure::significant(value),
    }
}

/// Blocks of slices that an interval is made from, and the fewest that make one.
const BLOCKS: usize = 20;
const FEWEST_BLOCKS: usize = 8;

/// A ratio of sums over slices. Neighbours share their fate, so blocks of them are the samples.
fn of_sums(slices: &[(f64, f64)]) -> Option<Bar> {
    let sum = |part: &[(f64, f64)]| part.iter().fold((0.0, 0.0), |sums, it| (sums.0 + it.0, sums.1 + it.1));
    let (over, under) = sum(slices);
    if under <= 0.0 {
        return None;
    }
    let blocks: Vec<(f64, f64)> = slices.chunks(slices.len().div_ceil(BLOCKS)).map(sum).collect();
    let interval = (blocks.len() >= FEWEST_BLOCKS).then(|| {
        let t = StudentsT::new(0.0, 1.0, blocks.len() as f64 - 1.0).ok()?.inverse_cdf(0.975);
        let (value, error) = ratio::of_sums(&blocks)?;
        Some(((value - t * error).max(0.0), value + t * error))
    });
    Some(Bar { value: over / under, interval: interval.flatten() })
}

fn cpu_and_answers(series: &Series) -> Vec<(f64, f64)> {
    let counted = |name: &str| series.slices.iter().any(|slice| rates::count(slice, name) > 0);
    if !counted("cpu.server_us") {
        return Vec::new();
    }
    let pair = |slice| (rates::count(slice, "cpu.server_us") as f64, rates::count(slice, "client.ok") as f64);
    series.slices.iter().map(pair).collect()
}

fn p99(measurement: &Measurement, series: &Series) -> Option<Bar> {
    let metric = match measurement.model {
        Model::Open => Compared::Response { quantile: 0.99 },
        Model::Closed | Model::Journeys => Compared::Service { quantile: 0.99 },
    };
    let found = metric.value((measurement, series));
    // Where too few requests reach the tail, its upper bound is unknown, and infinite.
    let interval = found.bounds.filter(|(low, high)| low.is_finite() && high.is_finite());
    Some(Bar { value: found.value?, interval })
}
