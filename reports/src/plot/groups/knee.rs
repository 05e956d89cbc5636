//! Response time against the rate: where the knee lies.

use super::{Point, sent_per_second};
use crate::figure;
use crate::knee::Slo;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::layer::{Dot, Layer};
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table};

const QUANTILES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Every rate that was probed, the objective as a level.
pub fn plots(points: &[Point]) -> Vec<Plot> {
    let objective: Option<Slo> =
        points.first().and_then(|it| it.measurement.settings.get("objective")?.parse().ok());
    let mut probes: Vec<Probe> = points.iter().filter_map(|point| probe(point, objective)).collect();
    if probes.len() < 2 {
        return Vec::new();
    }
    probes.sort_by(|a, b| a.rate.total_cmp(&b.rate));
    let (trusted, doubtful): (Vec<_>, Vec<_>) = probes.iter().partition(|probe| probe.doubt.is_none());
    let level = objective.map(|slo| (slo.to_string(), slo.at_most_us));
    let times = probes.iter().flat_map(|probe| probe.times_us).chain(level.iter().map(|(_, us)| *us));
    let x = Axis::log("requests sent per second", Reading::Number, probes.iter().map(|probe| probe.rate));
    let y = Axis::log("response time", Reading::Microseconds, times);
    let mut layers: Vec<Layer> =
        level.into_iter().map(|(name, value)| Layer::Level { name, value }).collect();
    for (index, (name, _)) in QUANTILES.iter().enumerate() {
        let points = trusted.iter().map(|probe| (probe.rate, probe.times_us[index])).collect();
        layers.push(Layer::Marked {
            name: (*name).to_owned(),
            look: Ink::Series(index as u8).look(),
            points,
        });
    }
    // Named once: the three lie above one another.
    for (index, name) in ["", "", "invalid"].into_iter().enumerate().filter(|_| !doubtful.is_empty()) {
        let dot = |probe: &&Probe| {
            let y = probe.times_us[index];
            Dot { x: probe.rate, y, low: y, high: y }
        };
        let points = doubtful.iter().map(dot).collect();
        layers.push(Layer::Dots { name: name.to_owned(), look: Ink::Muted.look(), points });
    }
    let mut table = Table::new(["requests sent per second", "p50", "p99", "p99.9", "valid", "objective"]);
    for probe in &probes {
        let cells = probe.times_us.map(figure::time_us);
        let valid = probe.doubt.as_ref().map_or("yes".to_owned(), |reason| format!("no: {reason}"));
        let row =
            [figure::significant(probe.rate)].into_iter().chain(cells).chain([valid, probe.verdict.clone()]);
        table.rows.push(row.collect());
    }
    let of_doubtful = match doubtful.is_empty() {
        true => "",
        false => " Grey dots are not to be trusted; the table says why.",
    };
    vec![Plot {
        id: "rate".to_owned(),
        title: "Response time against the rate".to_owned(),
        caption: format!(
            "Every rate that the search for the knee tried, on servers of its own. Left of the knee the level of the objective \
             is kept; right of it, queues grow as long as the load lasts.{of_doubtful}"
        ),
        measurement: None,
        folded: None,
        chart: Chart::new(x, y, layers),
        table,
    }]
}

struct Probe {
    rate: f64,
    times_us: [f64; 3],
    /// Why it is not to be trusted.
    doubt: Option<String>,
    /// What it says of the objective: `inconclusive` is not `fails`.
    verdict: String,
}

fn probe(point: &Point, objective: Option<Slo>) -> Option<Probe> {
    let measurement = point.measurement;
    let series = measurement.series.first()?;
    let response = series.times.get("response")?;
    let [p50, p99, p999] = QUANTILES.map(|(_, q)| response.quantile_us(q));
    let doubt = measurement.invalid.iter().chain(&measurement.invalid_latency).next().cloned();
    let rate = sent_per_second(series);
    let verdict = objective.map_or("–".to_owned(), |slo| slo.probe(rate, measurement).verdict.to_string());
    Some(Probe { rate, times_us: [p50?, p99?, p999?], doubt, verdict })
}
