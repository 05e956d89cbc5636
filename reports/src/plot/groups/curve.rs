//! Statements per create against the arrival rate, or against the number of clients.

use proofload_scenarios::Load;

use super::{Point, interval_of_sums, sent_per_second, statements_and_creates};
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
    let values: Vec<Spot> = lines.iter().flat_map(|(_, spots)| spots.iter().copied()).collect();
    if values.len() < 2 {
        return None;
    }
    let (label, title) = match closed {
        true => ("clients", "Statements per create against the number of clients"),
        false => ("creates sent per second", "Statements per create against the rate"),
    };
    let x = Axis::log(label, Reading::Number, values.iter().map(|it| it.x));
    let y =
        Axis::log("statements per create", Reading::Number, values.iter().map(|it| it.y).chain([CLAIMED]));
    let caption = caption(&lines, closed);
    let mut layers = vec![Layer::Level { name: CLAIMED.to_string(), value: CLAIMED }];
    let mut table = Table::new(["variant", label, "statements per create", "95 % interval"]);
    for (index, (name, spots)) in lines.into_iter().enumerate() {
        for Spot { x, y, interval } in &spots {
            let interval = interval.map_or("too few samples".to_owned(), |(low, high)| {
                format!("{} to {}", figure::significant(low), figure::significant(high))
            });
            table.rows.push(vec![name.clone(), figure::significant(*x), figure::significant(*y), interval]);
        }
        let points = spots.iter().map(|it| (it.x, it.y)).collect();
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

/// A measured point.
#[derive(Clone, Copy)]
struct Spot {
    x: f64,
    y: f64,
    /// The 95 % interval of y.
    interval: Option<(f64, f64)>,
}

/// Says where the published figure holds, by the upper end of the interval, and where it cannot.
fn caption(lines: &[(String, Vec<Spot>)], closed: bool) -> String {
    let mut text =
        "All statements that the database saw, divided by acknowledged creates; the dashed line is the \
                    published 0.05."
            .to_owned();
    let unit = if closed { "clients" } else { "creates per second" };
    for (name, points) in lines {
        let holds = |it: &&Spot| it.interval.is_some_and(|(_, high)| high <= CLAIMED);
        // From there on, not once by chance below.
        let reached = points.iter().rev().take_while(|point| holds(point)).last();
        let missed = points.iter().rev().find(|point| !holds(point));
        text.push_str(&match (missed, reached) {
            (None, _) => format!(" `{name}` keeps it at every point."),
            (Some(_), None) => format!(" `{name}` surely keeps it at none of these points."),
            (Some(last), Some(first)) => format!(
                " `{name}` keeps it from {} {unit} on, and does not surely up to {}.",
                figure::significant(first.x),
                figure::significant(last.x)
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
fn lines(points: &[Point], closed: bool) -> Vec<(String, Vec<Spot>)> {
    let mut lines: Vec<(String, Vec<Spot>)> = Vec::new();
    for point in points.iter().filter(|point| point.measurement.invalid.is_empty()) {
        for series in &point.measurement.series {
            let x = match (&point.measurement.scenario.load, closed) {
                (Load::Open { .. }, false) => sent_per_second(series),
                (Load::Closed { connections, .. }, true) => f64::from(*connections),
                _ => continue,
            };
            let pairs = statements_and_creates(series);
            let (over, under) = pairs.iter().fold((0.0, 0.0), |sums, it| (sums.0 + it.0, sums.1 + it.1));
            if under <= 0.0 {
                continue;
            }
            let spot = Spot { x, y: over / under, interval: interval_of_sums(&pairs) };
            match lines.iter_mut().find(|(name, _)| *name == series.variant) {
                Some((_, line)) => line.push(spot),
                None => lines.push((series.variant.clone(), vec![spot])),
            }
        }
    }
    lines.iter_mut().for_each(|(_, line)| line.sort_by(|a, b| a.x.total_cmp(&b.x)));
    lines
}
