//! Where the time of a request goes.

use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::inks;
use crate::plot::layer::{Layer, Span};
use crate::plot::{Plot, Table};
use crate::run::Series;

/// Recorded times, in the order of a request's life, and how they are told.
const PHASES: [(&str, &str); 5] = [
    ("send-delay", "due → sent"),
    ("written", "sent → written"),
    ("first-byte", "sent → first byte"),
    ("service", "sent → last byte"),
    ("response", "due → last byte"),
];

pub fn plot(series: &Series) -> Option<Plot> {
    let known: Vec<_> = PHASES
        .into_iter()
        .filter_map(|(name, label)| Some((label, series.times.get(name).filter(|it| it.count() > 0)?)))
        .collect();
    if known.len() < 3 {
        return None;
    }
    let at = |times: &crate::Distribution, q| times.quantile_us(q).unwrap_or(0.0);
    // The first phase stands at the top.
    let spans: Vec<Span> = known
        .iter()
        .rev()
        .enumerate()
        .map(|(row, (_, times))| Span {
            row: row as f64 + 0.5,
            low: at(times, 0.5),
            middle: at(times, 0.99),
            high: at(times, 1.0),
        })
        .collect();
    let values = spans.iter().flat_map(|span| [span.low, span.high]).collect::<Vec<_>>();
    let x =
        Axis::log("half, 99 % and all requests are done within", Reading::Microseconds, values.into_iter());
    let y = Axis::named("", known.iter().rev().map(|(label, _)| (*label).to_owned()).collect());
    let mut table = Table::new(["phase", "p50", "p99", "longest"]);
    for (label, times) in &known {
        let cells = [0.5, 0.99, 1.0].map(|q| figure::time_us(at(times, q)));
        table.rows.push([(*label).to_owned()].into_iter().chain(cells).collect());
    }
    let mut chart = Chart::new(x, y, vec![Layer::Spans { look: inks::SERVER.look(), spans }]);
    chart.tall = 0.8;
    Some(Plot {
        id: "phases".to_owned(),
        title: "Phases of a request".to_owned(),
        caption: "The thick part of each bar reaches from the median to the 99th percentile, the thin part to the longest.".to_owned(),
        measurement: None,
        folded: None,
        chart,
        table,
    })
}
