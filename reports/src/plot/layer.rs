//! Layers: what a chart is made of.

use crate::plot::sheet::Look;

/// One thing that is drawn. Coordinates are values of the axes.
#[derive(Debug, Clone, PartialEq)]
pub enum Layer {
    /// A line, labelled at its right end.
    Line {
        name: String,
        look: Look,
        points: Vec<(f64, f64)>,
    },
    /// A line through few measured points, each of them marked.
    Marked {
        name: String,
        look: Look,
        points: Vec<(f64, f64)>,
    },
    /// A stroke for each stretch, where there are gaps between them.
    Steps {
        name: String,
        look: Look,
        steps: Vec<Step>,
    },
    /// The area within a closed outline: bands of uncertainty.
    Area {
        look: Look,
        outline: Vec<(f64, f64)>,
    },
    /// Measured points with their interval.
    Dots {
        name: String,
        look: Look,
        points: Vec<Dot>,
    },
    /// A level to compare with, across the whole width or height.
    Level {
        name: String,
        value: f64,
    },
    /// A moment: a line across the whole height, named above the area.
    Upright {
        name: String,
        value: f64,
    },
    Boxes {
        boxes: Vec<Cell>,
    },
    /// What the steps of a heat scale mean, above the area: what the faintest and the strongest stand for.
    Scale {
        steps: std::ops::RangeInclusive<u8>,
        few: String,
        many: String,
    },
    /// Horizontal bars from `low` over `middle` to `high`, one a row.
    Spans {
        look: Look,
        spans: Vec<Span>,
    },
    /// Words beside a point, to its right.
    Note {
        at: (f64, f64),
        text: String,
    },
}

/// A filled rectangle: left, bottom, right, top, look.
pub type Cell = (f64, f64, f64, f64, Look);

/// Adds a cell to a map's row: neighbours of one colour are one rectangle, so that the page stays small.
pub fn push_joined(boxes: &mut Vec<Cell>, next: Cell) {
    match boxes.last_mut() {
        Some(last) if (last.1, last.2, last.4) == (next.1, next.0, next.4) => last.2 = next.2,
        _ => boxes.push(next),
    }
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Dot {
    pub x: f64,
    pub y: f64,
    pub low: f64,
    pub high: f64,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span {
    pub row: f64,
    pub low: f64,
    pub middle: f64,
    pub high: f64,
}

/// The counts of a map: columns between edges of the x axis, each with equally high rows from `low` to `high` on the y axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Counts {
    pub low: f64,
    pub high: f64,
    /// From, to, and the counts from the bottom to the top.
    pub columns: Vec<(f64, f64, Vec<u64>)>,
}

/// A value over a stretch of the x axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    pub from: f64,
    pub to: f64,
    pub y: f64,
}

impl Step {
    pub fn middle(&self) -> (f64, f64) {
        ((self.from + self.to) / 2.0, self.y)
    }
}

impl Layer {
    /// A measured point without an interval or a name.
    pub fn spot((x, y): (f64, f64), look: Look) -> Layer {
        Layer::Dots { name: String::new(), look, points: vec![Dot { x, y, low: y, high: y }] }
    }
}
