//! Statements per create against the arrival rate, or against the number of clients.

use proofload_scenarios::Load;

use super::{Point, sent_per_second, statements_per_create};
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::{Chart, Layer};
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table};

/// What the published design claims in all.
const CLAIMED: f64 = 0.05;

pub fn plots(points: &[Point]) -> Vec<Plot> {
    [(false, "rate"), (true, "clients")]
        .into_iter()
        .filter_map(|(closed, id)| plot(points, closed, id))
        .collect()
}

fn plot(points: &[Point], closed: bool, id: &str) -> Option<Plot> {
    let lines = lines(points, closed);
    let values: Vec<(f64, f64)> = lines.iter().flat_map(|(_, points)| points.iter().copied()).collect();
    if values.len() < 2 {
        return None;
    }
    let (label, title) = match closed {
        true => ("clients", "Statements per create against the number of clients"),
        false => ("creates sent per second", "Statements per create against the rate"),
    };
    let x = Axis::log(label, Reading::Number, values.iter().map(|(x, _)| *x));
    let y =
        Axis::log("statements per create", Reading::Number, values.iter().map(|(_, y)| *y).chain([CLAIMED]));
    let mut layers = vec![Layer::Level { name: CLAIMED.to_string(), value: CLAIMED }];
    let mut table = Table::new(["variant", label, "statements per create"]);
    for (index, (name, points)) in lines.into_iter().enumerate() {
        for (x, y) in &points {
            table.rows.push(vec![name.clone(), figure::significant(*x), figure::significant(*y)]);
        }
        layers.push(Layer::Marked { name, look: Ink::Series(index as u8 % 7).look(), points });
    }
    Some(Plot {
        id: id.to_owned(),
        title: title.to_owned(),
        caption:
            "All statements that the database saw, divided by acknowledged creates. The dashed line is the \
                  published 0.05: coalescing needs creates enough at a time to reach it."
                .to_owned(),
        measurement: None,
        chart: Chart::new(x, y, layers),
        table,
    })
}

/// A line a variant, in the order of x.
fn lines(points: &[Point], closed: bool) -> Vec<(String, Vec<(f64, f64)>)> {
    let mut lines: Vec<(String, Vec<(f64, f64)>)> = Vec::new();
    for point in points {
        for series in &point.measurement.series {
            let x = match (&point.measurement.scenario.load, closed) {
                (Load::Open { .. }, false) => sent_per_second(series),
                (Load::Closed { connections, .. }, true) => f64::from(*connections),
                _ => continue,
            };
            let Some(y) = statements_per_create(series) else { continue };
            match lines.iter_mut().find(|(name, _)| *name == series.variant) {
                Some((_, line)) => line.push((x, y)),
                None => lines.push((series.variant.clone(), vec![(x, y)])),
            }
        }
    }
    lines.iter_mut().for_each(|(_, line)| line.sort_by(|a, b| a.0.total_cmp(&b.0)));
    lines
}
