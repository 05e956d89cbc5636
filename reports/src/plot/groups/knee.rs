//! Response time against the rate: where the knee lies.

use super::{Point, sent_per_second};
use crate::figure;
use crate::knee::Slo;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::layer::Layer;
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table};

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Every rate that was probed, the objective as a level.
pub fn plots(points: &[Point]) -> Vec<Plot> {
    let mut probes: Vec<(f64, [f64; 3])> = points.iter().filter_map(probe).collect();
    if probes.len() < 2 {
        return Vec::new();
    }
    probes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let objective: Option<Slo> =
        points[0].measurement.settings.get("objective").and_then(|text| text.parse().ok());
    let level = objective.map(|slo| (slo.to_string(), slo.at_most_us));
    let times = probes.iter().flat_map(|(_, times)| *times).chain(level.iter().map(|(_, us)| *us));
    let x = Axis::log("requests sent per second", Reading::Number, probes.iter().map(|(rate, _)| *rate));
    let y = Axis::log("response time", Reading::Microseconds, times);
    let mut layers: Vec<Layer> =
        level.into_iter().map(|(name, value)| Layer::Level { name, value }).collect();
    for (index, (name, _)) in QUANTILES.iter().enumerate() {
        let points = probes.iter().map(|(rate, times)| (*rate, times[index])).collect();
        layers.push(Layer::Marked {
            name: (*name).to_owned(),
            look: Ink::Series(index as u8).look(),
            points,
        });
    }
    let mut table = Table::new(["requests sent per second", "p50", "p99", "p99.9"]);
    for (rate, times) in &probes {
        let cells = times.map(figure::time_us);
        table.rows.push([figure::significant(*rate)].into_iter().chain(cells).collect());
    }
    vec![Plot {
        id: "rate".to_owned(),
        title: "Response time against the rate".to_owned(),
        caption: "Every rate that the search for the knee tried, on servers of its own. Left of the knee the level \
                  of the objective is kept; right of it, queues grow as long as the load lasts."
            .to_owned(),
        measurement: None,
        folded: None,
        chart: Chart::new(x, y, layers),
        table,
    }]
}

fn probe(point: &Point) -> Option<(f64, [f64; 3])> {
    let series = point.measurement.series.first()?;
    let response = series.times.get("response")?;
    let [p50, p99, p999] = QUANTILES.map(|(_, q)| response.quantile_us(q));
    Some((sent_per_second(series), [p50?, p99?, p999?]))
}
