//! What each technique contributes: each switched off alone.

use super::{Point, statements_per_create};
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::{Chart, Layer};
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table, hits};
use crate::render::rates;
use crate::run::{Measurement, Series};

/// What is compared, by its own axis: a bar chart each, where at least two points have it.
const MEASURES: [Measure; 4] = [
    Measure {
        id: "statements",
        title: "statements per create",
        reading: Reading::Number,
        of: |_, it| statements_per_create(it),
    },
    Measure { id: "hit-rate", title: "hit rate", reading: Reading::Percent, of: |_, it| hits::rate(it) },
    Measure { id: "p99", title: "p99 latency", reading: Reading::Microseconds, of: p99 },
    Measure {
        id: "cpu",
        title: "server CPU per request",
        reading: Reading::Microseconds,
        of: |_, it| server_cpu(it),
    },
];

struct Measure {
    id: &'static str,
    title: &'static str,
    reading: Reading,
    of: fn(&Measurement, &Series) -> Option<f64>,
}

pub fn plots(points: &[Point]) -> Vec<Plot> {
    MEASURES.iter().filter_map(|measure| plot(points, measure)).collect()
}

fn plot(points: &[Point], measure: &Measure) -> Option<Plot> {
    let mut bars: Vec<(String, f64)> = Vec::new();
    for point in points {
        for series in &point.measurement.series {
            let many = point.measurement.series.len() > 1;
            let name =
                if many { format!("{}, {}", point.name, series.variant) } else { point.name.to_owned() };
            bars.extend((measure.of)(point.measurement, series).map(|value| (name, value)));
        }
    }
    if bars.len() < 2 {
        return None;
    }
    let mut table = Table::new(["switched off", measure.title]);
    table.rows.extend(bars.iter().map(|(name, value)| vec![name.clone(), said(measure, *value)]));
    let caption =
        format!("Each bar is the design with one technique switched off; {} is the first.", bars[0].0);
    Some(Plot {
        id: measure.id.to_owned(),
        title: format!("Ablation: {}", measure.title),
        caption,
        measurement: None,
        chart: chart(measure, &bars),
        table,
    })
}

/// The first point, all techniques on, stands at the top and in its own colour.
fn chart(measure: &Measure, bars: &[(String, f64)]) -> Chart {
    let highest = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let x = Axis::linear(measure.title, measure.reading, 0.0, highest * 1.3);
    let y = Axis::named("", bars.iter().rev().map(|(name, _)| name.clone()).collect());
    let mut boxes = Vec::new();
    let mut layers = Vec::new();
    for (row, (_, value)) in bars.iter().rev().enumerate() {
        let ink = if row + 1 == bars.len() { Ink::Series(0) } else { Ink::Series(6) };
        boxes.push((0.0, row as f64 + 0.2, *value, row as f64 + 0.8, ink.look()));
        layers.push(Layer::Note { at: (*value, row as f64 + 0.5), text: said(measure, *value) });
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

fn p99(measurement: &Measurement, series: &Series) -> Option<f64> {
    series.times.get(rates::times_of(measurement.model))?.quantile_us(0.99)
}

fn server_cpu(series: &Series) -> Option<f64> {
    let sum = |name| series.slices.iter().map(|slice| rates::count(slice, name)).sum::<u64>() as f64;
    let (cpu, answered) = (sum("cpu.server_us"), sum("client.ok"));
    (cpu > 0.0 && answered > 0.0).then_some(cpu / answered)
}
