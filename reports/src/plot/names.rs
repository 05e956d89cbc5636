//! Names in a chart: at the ends of lines, above moments, beside points.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::plot::chart::{Area, Canvas, Chart, Drawn, TEXT, WIDTH, rule, write};
use crate::plot::layer::Layer;
use crate::plot::sheet::{Ink, TENTHS, text_width};

/// Height of a row of words.
const ROW: i32 = TEXT + 2 * TENTHS;
/// Between a line's end and its name.
const GAP: i32 = 5 * TENTHS;
/// The plotting area is at least so wide: what fits into it needs no margin.
const NARROWEST: f64 = 330.0 * TENTHS as f64;

/// Room to the right of the area, for the names of lines that end there.
pub fn margin(chart: &Chart) -> i32 {
    let outside = ends(chart).into_iter().filter(|end| !end.inside);
    match outside.map(|end| text_width(&end.text, TEXT)).max() {
        Some(widest) => widest + GAP + 4 * TENTHS,
        None => 6 * TENTHS,
    }
}

/// Room above the area, for the names of moments.
pub fn headroom(chart: &Chart, area: Area) -> i32 {
    flags(chart, area).iter().map(|flag| flag.row + 1).max().unwrap_or(0) * ROW
}

/// Names stand at the ends of their lines, moved apart where they would touch.
pub fn draw_ends(chart: &Chart, canvas: &Canvas, area: Area) -> Drawn {
    let mut ends: Vec<(i32, End)> =
        ends(chart).into_iter().map(|end| (chart.down(end.at.1, area), end)).collect();
    ends.sort_by_key(|(y, _)| *y);
    spread(&mut ends, area);
    for (y, end) in ends {
        let at = |x| (x + GAP, y);
        match end.inside {
            true => over(canvas, &end.text, end.ink, at(chart.across(end.at.0, area)), HPos::Left)?,
            false => write(canvas, &end.text, end.ink, at(area.right), HPos::Left, VPos::Center)?,
        }
    }
    Ok(())
}

/// The heat scale, to the right of what the y axis measures.
pub fn draw_scale(chart: &Chart, canvas: &Canvas) -> Drawn {
    const SIDE: i32 = 11 * TENTHS;
    const TOP: i32 = 4 * TENTHS;
    for layer in &chart.layers {
        let Layer::Scale { steps, few, many } = layer else { continue };
        let right = WIDTH - 6 * TENTHS - text_width(many, TEXT) - GAP;
        let left = right - SIDE * i32::from(steps.end() - steps.start() + 1);
        for (index, step) in (0..).zip(steps.clone()) {
            let corner = (left + index * SIDE, TOP);
            let style = Ink::Heat(step).look().colour().filled();
            let cell = Rectangle::new([corner, (corner.0 + SIDE, TOP + SIDE)], style);
            canvas.draw(&cell).map_err(|error| error.to_string())?;
        }
        write(canvas, few, Ink::Muted, (left - GAP, TOP), HPos::Right, VPos::Top)?;
        write(canvas, many, Ink::Muted, (right + GAP, TOP), HPos::Left, VPos::Top)?;
    }
    Ok(())
}

/// Words at points of the plane, and the names of moments.
pub fn draw_notes(chart: &Chart, canvas: &Canvas, area: Area) -> Drawn {
    for layer in &chart.layers {
        if let Layer::Note { at: (x, y), text } = layer {
            let at = (chart.across(*x, area) + 7 * TENTHS, chart.down(*y, area));
            over(canvas, text, Ink::Strong, at, HPos::Left)?;
        }
    }
    let flags = flags(chart, area);
    for flag in &flags {
        rule(canvas, (flag.x, area.top - flag.row * ROW - ROW), (flag.x, area.top), Ink::Muted)?;
    }
    for flag in flags {
        let y = area.top - flag.row * ROW - ROW / 2;
        let (x, side) = match flag.leftwards {
            true => (flag.x - 3 * TENTHS, HPos::Right),
            false => (flag.x + 3 * TENTHS, HPos::Left),
        };
        over(canvas, flag.name, Ink::Strong, (x, y), side)?;
    }
    Ok(())
}

/// The end of a line, and its name.
struct End {
    text: String,
    ink: Ink,
    at: (f64, f64),
    /// The line ends so early that its name has room within the area.
    inside: bool,
}

fn ends(chart: &Chart) -> Vec<End> {
    let low_high = (chart.x.place(chart.x.low), chart.x.place(chart.x.high));
    let end = |text: &str, ink, at: (f64, f64)| {
        let share = (chart.x.place(at.0) - low_high.0) / (low_high.1 - low_high.0);
        let room = (1.0 - share) * NARROWEST - f64::from(GAP);
        End { text: text.to_owned(), ink, at, inside: room > f64::from(text_width(text, TEXT)) }
    };
    let named = chart.layers.iter().filter_map(|layer| match layer {
        Layer::Line { name, look, points } | Layer::Marked { name, look, points } => {
            Some(end(name, look.ink, *points.last()?))
        }
        Layer::Steps { name, look, steps } => steps.last().map(|step| end(name, look.ink, (step.to, step.y))),
        Layer::Dots { name, look, points } => points.last().map(|dot| end(name, look.ink, (dot.x, dot.y))),
        Layer::Level { name, value } => Some(end(name, Ink::Limit, (chart.x.high, *value))),
        _ => None,
    });
    named.filter(|end| !end.text.is_empty()).collect()
}

/// Moves names down until none touches the one above, and back up where they leave the area.
fn spread(ends: &mut [(i32, End)], area: Area) {
    let step = TEXT + TENTHS;
    for index in 1..ends.len() {
        ends[index].0 = ends[index].0.max(ends[index - 1].0 + step);
    }
    let mut floor = area.bottom;
    for (y, _) in ends.iter_mut().rev() {
        *y = (*y).min(floor);
        floor = *y - step;
    }
}

/// The name of a moment, in a row above the area: 0 is the lowest.
struct Flag<'a> {
    name: &'a str,
    x: i32,
    row: i32,
    leftwards: bool,
}

/// From right to left each takes the lowest row that is free, so that no pole crosses a name.
fn flags(chart: &Chart, area: Area) -> Vec<Flag<'_>> {
    let mut poles: Vec<(i32, &str)> = chart
        .layers
        .iter()
        .filter_map(|layer| match layer {
            Layer::Upright { name, value } => Some((chart.across(*value, area), name.as_str())),
            _ => None,
        })
        .collect();
    poles.sort_by_key(|(x, _)| std::cmp::Reverse(*x));
    let mut taken: Vec<i32> = Vec::new();
    let mut flags = Vec::new();
    for (x, name) in poles {
        let width = text_width(name, TEXT) + 6 * TENTHS;
        let leftwards = x + width > WIDTH;
        let (left, right) = if leftwards { (x - width, x) } else { (x, x + width) };
        let row = taken.iter().position(|from| right <= *from).unwrap_or(taken.len());
        match taken.get_mut(row) {
            Some(from) => *from = left,
            None => taken.push(left),
        }
        flags.push(Flag { name, x, row: row as i32, leftwards });
    }
    flags
}

/// Words that stay legible on whatever lies below them.
fn over(canvas: &Canvas, text: &str, ink: Ink, at: (i32, i32), across: HPos) -> Drawn {
    let font = ("sans-serif", TEXT).into_font().style(FontStyle::Bold);
    let style = font.color(&ink.look().colour()).pos(Pos::new(across, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| error.to_string())
}
