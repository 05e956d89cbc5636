//! A chart: axes and layers, drawn by plotters onto a sheet.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::plot::axis::Axis;
use crate::plot::sheet::{Ink, Look, Pen, Sheet, TENTHS, text_width};

/// Size of a chart in pixels: two fit side by side on a desktop, and on a phone its text stays legible.
const WIDTH: i32 = 480 * TENTHS;
const HEIGHT: i32 = 280 * TENTHS;
const TEXT: i32 = 13 * TENTHS;
/// Line widths in tenths of a pixel.
const THIN: u32 = 10;
const LINE: u32 = 20;

#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    pub x: Axis,
    pub y: Axis,
    /// From the bottom to the top.
    pub layers: Vec<Layer>,
    /// Height as a share of the usual one: bars need as much as they are many.
    pub tall: f64,
}

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
    Upright {
        name: String,
        value: f64,
    },
    /// Filled rectangles: `(left, bottom, right, top, look)`.
    Boxes {
        boxes: Vec<(f64, f64, f64, f64, Look)>,
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

/// The plotting area within the sheet, in tenths of a pixel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Area {
    pub left: i32,
    pub top: i32,
    pub right: i32,
    pub bottom: i32,
}

/// Width, beginning and end of a span's thin and thick parts.
type SpanPart = (u32, fn(&Span) -> f64, fn(&Span) -> f64);
const SPAN_PARTS: [SpanPart; 2] =
    [(LINE, |span| span.middle, |span| span.high), (9 * TENTHS as u32, |span| span.low, |span| span.middle)];

type Plane<'a, 'b> = ChartContext<'a, Pen<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Canvas<'b> = DrawingArea<Pen<'b>, Shift>;

impl Layer {
    /// A measured point without an interval or a name.
    pub fn spot((x, y): (f64, f64), look: Look) -> Layer {
        Layer::Dots { name: String::new(), look, points: vec![Dot { x, y, low: y, high: y }] }
    }
}

impl Chart {
    pub fn new(x: Axis, y: Axis, layers: Vec<Layer>) -> Chart {
        Chart { x, y, layers, tall: 1.0 }
    }

    /// # Errors
    /// The words of plotters, where it cannot draw.
    pub fn draw(&self) -> Result<Sheet, String> {
        let mut sheet = Sheet { width: WIDTH, height: self.height(), shapes: Vec::new() };
        self.draw_on(&mut sheet).map_err(|error| error.to_string())?;
        Ok(sheet)
    }

    pub fn area(&self) -> Area {
        let labels = self.labels().iter().map(|label| text_width(&label.text, TEXT)).max().unwrap_or(0);
        let ticks = self.y.ticks().iter().map(|(_, text)| text_width(text, TEXT)).max().unwrap_or(0);
        let last = self.x.ticks().last().map_or(0, |(_, text)| text_width(text, TEXT) / 2);
        let right = if labels > 0 { labels + 9 * TENTHS } else { 6 * TENTHS }.max(last);
        Area {
            left: (ticks + 8 * TENTHS).max(24 * TENTHS),
            top: 26 * TENTHS,
            right: WIDTH - right,
            bottom: self.height() - 40 * TENTHS,
        }
    }

    /// The lines that have a name, for whoever wants to say what lies under the pointer.
    pub fn names(&self) -> impl Iterator<Item = (&str, Look)> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Line { name, look, .. } | Layer::Marked { name, look, .. } if !name.is_empty() => {
                Some((name.as_str(), *look))
            }
            _ => None,
        })
    }

    fn height(&self) -> i32 {
        (f64::from(HEIGHT) * self.tall) as i32
    }

    fn draw_on(&self, sheet: &mut Sheet) -> Result<(), Box<dyn std::error::Error + '_>> {
        let area = self.area();
        let canvas = Pen(sheet).into_drawing_area();
        self.draw_frame(&canvas, area)?;
        let mut plane = ChartBuilder::on(&canvas)
            .margin_left(area.left)
            .margin_top(area.top)
            .margin_right(WIDTH - area.right)
            .margin_bottom(self.height() - area.bottom)
            .build_cartesian_2d(
                self.x.place(self.x.low)..self.x.place(self.x.high),
                self.y.place(self.y.low)..self.y.place(self.y.high),
            )
            .map_err(|error| error.to_string())?;
        for layer in &self.layers {
            self.draw_layer(&mut plane, layer).map_err(|error| error.to_string())?;
        }
        self.draw_labels(&canvas, area)
    }

    /// Grid, ticks and the axes' labels. plotters' own mesh knows neither our scales nor named ticks.
    fn draw_frame(&self, canvas: &Canvas, area: Area) -> Result<(), Box<dyn std::error::Error + '_>> {
        let grid = Ink::Grid.look().colour().stroke_width(THIN);
        let axis = Ink::Muted.look().colour().stroke_width(THIN);
        let draw = |from, to, style: &ShapeStyle| {
            canvas.draw(&PathElement::new(vec![from, to], *style)).map_err(|error| error.to_string())
        };
        for (value, text) in self.y.ticks() {
            let y = self.down(value, area);
            if self.y.names.is_empty() {
                draw((area.left, y), (area.right, y), &grid)?;
            }
            write(canvas, &text, Ink::Muted, (area.left - 6 * TENTHS, y), HPos::Right, VPos::Center)?;
        }
        for (value, text) in self.x_ticks(area) {
            let x = self.across(value, area);
            draw((x, area.top), (x, area.bottom), &grid)?;
            write(canvas, &text, Ink::Muted, (x, area.bottom + 5 * TENTHS), HPos::Center, VPos::Top)?;
        }
        draw((area.left, area.bottom), (area.right, area.bottom), &axis)?;
        let end = (area.right, self.height() - 2 * TENTHS);
        write(canvas, &self.x.label, Ink::Muted, end, HPos::Right, VPos::Bottom)?;
        write(canvas, &self.y.label, Ink::Muted, (2 * TENTHS, 4 * TENTHS), HPos::Left, VPos::Top)
    }

    /// The ticks of the x axis whose texts do not touch.
    fn x_ticks(&self, area: Area) -> Vec<(f64, String)> {
        let mut free = i32::MIN;
        let mut kept = self.x.ticks();
        kept.retain(|(value, text)| {
            let (at, half) = (self.across(*value, area), text_width(text, TEXT) / 2);
            let fits = at - half > free;
            if fits {
                free = at + half + 6 * TENTHS;
            }
            fits
        });
        kept
    }

    fn draw_layer<'b>(
        &self,
        plane: &mut Plane<'_, 'b>,
        layer: &Layer,
    ) -> Result<(), DrawingAreaErrorKind<<Pen<'b> as DrawingBackend>::ErrorType>> {
        let place = |(x, y): (f64, f64)| (self.x.place(x), self.y.place(y));
        match layer {
            Layer::Line { look, points, .. } => {
                let style = look.colour().stroke_width(LINE);
                plane.draw_series(LineSeries::new(points.iter().copied().map(place), style))?;
            }
            Layer::Marked { look, points, .. } => {
                let (line, fill) = (look.colour().stroke_width(LINE), look.colour().filled());
                plane.draw_series(LineSeries::new(points.iter().copied().map(place), line))?;
                plane.draw_series(points.iter().map(|at| Circle::new(place(*at), 4 * TENTHS, fill)))?;
            }
            Layer::Area { look, outline } => {
                let outline: Vec<_> = outline.iter().copied().map(place).collect();
                plane.draw_series([Polygon::new(outline, look.colour().filled())])?;
            }
            Layer::Dots { look, points, .. } => {
                let line = look.colour().stroke_width(LINE);
                plane.draw_series(points.iter().filter(|dot| dot.low < dot.high).map(|dot| {
                    PathElement::new(vec![place((dot.x, dot.low)), place((dot.x, dot.high))], line)
                }))?;
                let fill = look.colour().filled();
                plane.draw_series(
                    points.iter().map(|dot| Circle::new(place((dot.x, dot.y)), 4 * TENTHS, fill)),
                )?;
            }
            Layer::Level { value, .. } => {
                let ends = [(self.x.low, *value), (self.x.high, *value)].map(place);
                let style = Ink::Limit.look().dashed().colour().stroke_width(LINE - 5);
                plane.draw_series([PathElement::new(ends.to_vec(), style)])?;
            }
            Layer::Upright { value, .. } => {
                let ends = [(*value, self.y.low), (*value, self.y.high)].map(place);
                let style = Ink::Limit.look().dashed().colour().stroke_width(LINE - 5);
                plane.draw_series([PathElement::new(ends.to_vec(), style)])?;
            }
            Layer::Boxes { boxes } => {
                plane.draw_series(boxes.iter().map(|(left, bottom, right, top, look)| {
                    Rectangle::new([place((*left, *bottom)), place((*right, *top))], look.colour().filled())
                }))?;
            }
            Layer::Spans { look, spans } => {
                for (width, from, to) in SPAN_PARTS {
                    let style = look.colour().stroke_width(width);
                    plane.draw_series(spans.iter().map(|span| {
                        PathElement::new(
                            vec![place((from(span), span.row)), place((to(span), span.row))],
                            style,
                        )
                    }))?;
                }
            }
            Layer::Note { .. } => {}
        }
        Ok(())
    }

    /// Names stand at the ends of their lines, moved apart where they would touch.
    fn draw_labels(&self, canvas: &Canvas, area: Area) -> Result<(), Box<dyn std::error::Error + '_>> {
        let mut labels: Vec<(i32, Label)> =
            self.labels().into_iter().map(|label| (self.down(label.value, area), label)).collect();
        labels.sort_by_key(|(y, _)| *y);
        spread(&mut labels, area);
        for (y, label) in labels {
            write(canvas, &label.text, label.ink, (area.right + 5 * TENTHS, y), HPos::Left, VPos::Center)?;
        }
        for layer in &self.layers {
            match layer {
                Layer::Note { at: (x, y), text } => {
                    let at = (self.across(*x, area) + 5 * TENTHS, self.down(*y, area));
                    note(canvas, text, at)?;
                }
                Layer::Upright { name, value } => {
                    let at = (self.across(*value, area), area.top - 3 * TENTHS);
                    write(canvas, name, Ink::Limit, at, HPos::Center, VPos::Bottom)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn labels(&self) -> Vec<Label> {
        let labels = self.layers.iter().filter_map(|layer| match layer {
            Layer::Line { name, look, points } | Layer::Marked { name, look, points } => {
                Some(Label { text: name.clone(), ink: look.ink, value: points.last()?.1 })
            }
            Layer::Dots { name, look, points } => {
                Some(Label { text: name.clone(), ink: look.ink, value: points.last()?.y })
            }
            Layer::Level { name, value } => {
                Some(Label { text: name.clone(), ink: Ink::Limit, value: *value })
            }
            _ => None,
        });
        labels.filter(|label| !label.text.is_empty()).collect()
    }

    fn across(&self, value: f64, area: Area) -> i32 {
        let share = share(&self.x, value);
        area.left + (share * f64::from(area.right - area.left)).round() as i32
    }

    fn down(&self, value: f64, area: Area) -> i32 {
        let share = share(&self.y, value);
        area.bottom - (share * f64::from(area.bottom - area.top)).round() as i32
    }
}

struct Label {
    text: String,
    ink: Ink,
    value: f64,
}

/// How far along the axis a value lies, 0 to 1.
fn share(axis: &Axis, value: f64) -> f64 {
    let (low, high) = (axis.place(axis.low), axis.place(axis.high));
    ((axis.place(value) - low) / (high - low)).clamp(0.0, 1.0)
}

/// Moves labels down until none touches the one above, and back up where they leave the area.
fn spread(labels: &mut [(i32, Label)], area: Area) {
    let step = TEXT + TENTHS;
    for index in 1..labels.len() {
        labels[index].0 = labels[index].0.max(labels[index - 1].0 + step);
    }
    let mut floor = area.bottom;
    for (y, _) in labels.iter_mut().rev() {
        *y = (*y).min(floor);
        floor = *y - step;
    }
}

/// Words on top of a map or beside a bar.
fn note(canvas: &Canvas, text: &str, at: (i32, i32)) -> Result<(), Box<dyn std::error::Error>> {
    let font = ("sans-serif", TEXT).into_font().style(FontStyle::Bold);
    let style = font.color(&Ink::Strong.look().colour()).pos(Pos::new(HPos::Left, VPos::Center));
    canvas.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| error.to_string().into())
}

fn write(
    canvas: &Canvas,
    text: &str,
    ink: Ink,
    at: (i32, i32),
    across: HPos,
    down: VPos,
) -> Result<(), Box<dyn std::error::Error>> {
    let style = ("sans-serif", TEXT).into_font().color(&ink.look().colour()).pos(Pos::new(across, down));
    canvas.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| error.to_string().into())
}
