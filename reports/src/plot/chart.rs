//! A chart: axes and layers, drawn by plotters onto a sheet.

use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::plot::axis::Axis;
use crate::plot::layer::{Counts, Layer, Span};
use crate::plot::names;
use crate::plot::sheet::{Ink, Look, Part, Pen, Sheet, TENTHS, text_width};

/// Size of a chart in pixels: two fit side by side on a desktop, and on a phone its text stays legible.
pub const WIDTH: i32 = 480 * TENTHS;
const HEIGHT: i32 = 280 * TENTHS;
pub const TEXT: i32 = 13 * TENTHS;
/// Line widths in tenths of a pixel.
const THIN: u32 = 10;
const LINE: u32 = 20;

#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    pub x: Axis,
    pub y: Axis,
    /// From the bottom to the top.
    pub layers: Vec<Layer>,
    /// What a map counted, for whoever wants to say what lies under the pointer.
    pub counts: Option<Counts>,
    /// Height as a share of the usual one: bars need as much as they are many.
    pub tall: f64,
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
pub type Canvas<'b> = DrawingArea<Pen<'b>, Shift>;
pub type Drawn = Result<(), String>;

/// What is drawn one after the other: later parts lie on top.
type Draw = fn(&Chart, &Canvas, Area) -> Drawn;
const PARTS: [(Part, Draw); 5] = [
    (Part::Frame, Chart::draw_frame),
    (Part::Ticks, Chart::draw_ticks),
    (Part::Plane, Chart::draw_plane),
    (Part::Names, Chart::draw_names),
    (Part::Notes, Chart::draw_notes),
];

impl Chart {
    pub fn new(x: Axis, y: Axis, layers: Vec<Layer>) -> Chart {
        Chart { x, y, layers, counts: None, tall: 1.0 }
    }

    /// # Errors
    /// The words of plotters, where it cannot draw.
    pub fn draw(&self) -> Result<Sheet, String> {
        let mut sheet = Sheet { width: WIDTH, height: self.height(), ..Sheet::default() };
        let area = self.area();
        for (part, draw) in PARTS {
            draw(self, &Pen(&mut sheet).into_drawing_area(), area)?;
            sheet.parts.push((part, sheet.shapes.len()));
        }
        Ok(sheet)
    }

    pub fn area(&self) -> Area {
        let ticks = self.y.ticks().iter().map(|(_, text)| text_width(text, TEXT)).max().unwrap_or(0);
        let last = self.x.ticks().last().map_or(0, |(_, text)| text_width(text, TEXT) / 2);
        let left = (ticks + 8 * TENTHS).max(24 * TENTHS);
        let right = WIDTH - names::margin(self).max(last);
        let area = Area { left, top: 26 * TENTHS, right, bottom: self.height() - 40 * TENTHS };
        Area { top: area.top + names::headroom(self, area), ..area }
    }

    /// The lines that have a name, for whoever wants to say what lies under the pointer.
    pub fn names(&self) -> impl Iterator<Item = (&str, Look)> {
        self.layers.iter().filter_map(|layer| match layer {
            Layer::Line { name, look, .. }
            | Layer::Steps { name, look, .. }
            | Layer::Marked { name, look, .. }
                if !name.is_empty() =>
            {
                Some((name.as_str(), *look))
            }
            _ => None,
        })
    }

    fn height(&self) -> i32 {
        (f64::from(HEIGHT) * self.tall) as i32
    }

    /// Grid and ticks of the y axis, and what both axes measure.
    /// plotters' own mesh knows neither our scales nor named ticks.
    fn draw_frame(&self, canvas: &Canvas, area: Area) -> Drawn {
        // First all lines, then all words: neighbours of one look share an element of the file.
        for (value, _) in self.y.ticks().iter().filter(|_| self.y.names.is_empty()) {
            let y = self.down(*value, area);
            rule(canvas, (area.left, y), (area.right, y), Ink::Grid)?;
        }
        for (value, text) in self.y.ticks() {
            let y = self.down(value, area);
            write(canvas, &text, Ink::Muted, (area.left - 6 * TENTHS, y), HPos::Right, VPos::Center)?;
        }
        let end = (area.right, self.height() - 2 * TENTHS);
        write(canvas, &self.x.label, Ink::Muted, end, HPos::Right, VPos::Bottom)?;
        write(canvas, &self.y.label, Ink::Muted, (2 * TENTHS, 4 * TENTHS), HPos::Left, VPos::Top)
    }

    fn draw_ticks(&self, canvas: &Canvas, area: Area) -> Drawn {
        let ticks = self.x_ticks(area);
        for (value, _) in &ticks {
            let x = self.across(*value, area);
            rule(canvas, (x, area.top), (x, area.bottom), Ink::Grid)?;
        }
        for (value, text) in ticks {
            let x = self.across(value, area);
            write(canvas, &text, Ink::Muted, (x, area.bottom + 5 * TENTHS), HPos::Center, VPos::Top)?;
        }
        Ok(())
    }

    fn draw_plane(&self, canvas: &Canvas, area: Area) -> Drawn {
        let mut plane = ChartBuilder::on(canvas)
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
        Ok(())
    }

    /// The line of the x axis comes after what stands on it.
    fn draw_names(&self, canvas: &Canvas, area: Area) -> Drawn {
        rule(canvas, (area.left, area.bottom), (area.right, area.bottom), Ink::Muted)?;
        names::draw_ends(self, canvas, area)?;
        names::draw_scale(self, canvas)
    }

    fn draw_notes(&self, canvas: &Canvas, area: Area) -> Drawn {
        names::draw_notes(self, canvas, area)
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
            Layer::Steps { look, steps, .. } => {
                let style = look.colour().stroke_width(LINE);
                plane.draw_series(steps.iter().map(|step| {
                    PathElement::new(vec![place((step.from, step.y)), place((step.to, step.y))], style)
                }))?;
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
                let style = Ink::Muted.look().dashed().colour().stroke_width(THIN);
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
            Layer::Note { .. } | Layer::Scale { .. } => {}
        }
        Ok(())
    }

    pub fn across(&self, value: f64, area: Area) -> i32 {
        let share = share(&self.x, value);
        area.left + (share * f64::from(area.right - area.left)).round() as i32
    }

    pub fn down(&self, value: f64, area: Area) -> i32 {
        let share = share(&self.y, value);
        area.bottom - (share * f64::from(area.bottom - area.top)).round() as i32
    }
}

/// How far along the axis a value lies, 0 to 1.
fn share(axis: &Axis, value: f64) -> f64 {
    let (low, high) = (axis.place(axis.low), axis.place(axis.high));
    ((axis.place(value) - low) / (high - low)).clamp(0.0, 1.0)
}

pub fn rule(canvas: &Canvas, from: (i32, i32), to: (i32, i32), ink: Ink) -> Drawn {
    let style = ink.look().colour().stroke_width(THIN);
    canvas.draw(&PathElement::new(vec![from, to], style)).map_err(|error| error.to_string())
}

pub fn write(canvas: &Canvas, text: &str, ink: Ink, at: (i32, i32), across: HPos, down: VPos) -> Drawn {
    let style = ("sans-serif", TEXT).into_font().color(&ink.look().colour()).pos(Pos::new(across, down));
    canvas.draw(&Text::new(text.to_owned(), at, style)).map_err(|error| error.to_string())
}
