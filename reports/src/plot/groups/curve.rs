//! Statements per create against the arrival rate, or against the number of clients.

use proofload_scenarios::Load;

use super::{Point, sent_per_second, statements_per_create};
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::layer::Layer;
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
    let caption = caption(&lines, closed);
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
        caption,
        measurement: None,
        folded: None,
        chart: Chart::new(x, y, layers),
        table,
    })
}

/// Says where the published figure holds, and where it cannot.
fn caption(lines: &[(String, Vec<(f64, f64)>)], closed: bool) -> String {
    let mut text =
        "All statements that the database saw, divided by acknowledged creates; the dashed line is the \
                    published 0.05."
            .to_owned();
    let unit = if closed { "clients" } else { "creates per second" };
    for (name, points) in lines {
        let holds = |(_, y): &&(f64, f64)| *y <= CLAIMED;
        // From there on, not once by chance below.
        let reached = points.iter().rev().take_while(|point| holds(point)).last();
        let missed = points.iter().rev().find(|point| !holds(point));
        text.push_str(&match (missed, reached) {
            (None, _) => format!(" `{name}` keeps it at every point."),
            (Some(_), None) => format!(" `{name}` does not reach it at any of these points."),
            (Some((last, _)), Some((first, _))) => format!(
                " `{name}` keeps it from {} {unit} on, and misses it up to {}.",
                figure::significant(*first),
                figure::significant(*last)
            ),
        });
    }
    text.push_str(match closed {
        true => " With fewer than 20 clients that wait for their answers no more than 19 creates can meet in a statement: \
                 0.05 cannot be reached there.",
        false => " Where fewer than 20 creates arrive while one insert is under way, there are not 20 rows to share it.",
    });
    text
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
