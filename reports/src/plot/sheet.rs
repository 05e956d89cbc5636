//! A drawing backend for plotters that keeps shapes, with roles in place of colours.
//!
//! A report is read in light and dark, on screens and on paper. So a shape does not say `#0072b2` but
//! "first series", and whoever writes the file (SVG classes, PNG pixels) decides what that looks like.
//! plotters' coordinates are whole numbers; a sheet counts tenths of a pixel, so that curves stay smooth.

use std::convert::Infallible;

use plotters::style::{Color, RGBAColor, RGBColor};
use plotters_backend::text_anchor::{HPos, VPos};
use plotters_backend::{
    BackendColor, BackendCoord, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontStyle,
};

/// Tenths of a pixel.
pub const TENTHS: i32 = 10;
/// Room for the title above a plot that stands alone.
pub const HEADROOM: i32 = 28 * TENTHS;

/// How many pixels high such a title is written: smaller where it would not fit, by the width of a letter on average.
pub fn title_size(title: &str, width: i32) -> f32 {
    const SIZE: f32 = 15.0;
    const LETTER: f32 = 0.6;
    let room = (width / TENTHS - 4) as f32;
    SIZE.min(room / (title.chars().count().max(1) as f32 * LETTER))
}

/// The role of a shape.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ink {
    /// Text and what must be seen first.
    Strong,
    /// Axes, ticks and notes.
    Muted,
    /// Grid lines.
    Grid,
    /// A bound or a ceiling to compare with.
    Limit,
    /// The n-th series, 0 to 6.
    Series(u8),
    /// A step of the heat scale, 0 (little) to 8 (much).
    Heat(u8),
}

/// A role, how much of what lies below shows through, and whether it is dashed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Look {
    pub ink: Ink,
    pub opacity: f64,
    pub dashed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Shape {
    Line { points: Vec<(i32, i32)>, look: Look, width: i32 },
    Area { points: Vec<(i32, i32)>, look: Look },
    Dot { at: (i32, i32), radius: i32, look: Look },
    Text { at: (i32, i32), text: String, look: Look, size: i32, across: Across, halo: bool },
}

/// Which end of a text lies at its point. (That of plotters can be neither compared nor shown.)
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Across {
    Start,
    Middle,
    End,
}

/// What was drawn, in order. All lengths are tenths of a pixel.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sheet {
    pub width: i32,
    pub height: i32,
    pub shapes: Vec<Shape>,
    /// Where each part ends, in the order of drawing.
    pub parts: Vec<(Part, usize)>,
}

/// A part of a drawing: whoever zooms along the x axis treats each in its own way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Stays as it is.
    Frame,
    /// Ticks and grid of the x axis.
    Ticks,
    /// What is measured, within the axes.
    Plane,
    /// Names of lines: stay as they are.
    Names,
    /// Words at a point of the plane.
    Notes,
}

impl Ink {
    pub const fn look(self) -> Look {
        Look { ink: self, opacity: 1.0, dashed: false }
    }

    /// Roles travel through plotters in the bytes of a colour.
    fn bytes(self) -> (u8, u8) {
        match self {
            Ink::Strong => (0, 0),
            Ink::Muted => (1, 0),
            Ink::Grid => (2, 0),
            Ink::Limit => (3, 0),
            Ink::Series(n) => (4, n),
            Ink::Heat(n) => (5, n),
        }
    }

    fn from_bytes(kind: u8, n: u8) -> Ink {
        match kind {
            0 => Ink::Strong,
            1 => Ink::Muted,
            2 => Ink::Grid,
            3 => Ink::Limit,
            4 => Ink::Series(n),
            _ => Ink::Heat(n),
        }
    }
}

impl Look {
    pub const fn dashed(self) -> Look {
        Look { dashed: true, ..self }
    }

    pub const fn faint(self, opacity: f64) -> Look {
        Look { opacity, ..self }
    }

    /// As plotters carries it.
    pub fn colour(self) -> RGBAColor {
        let (kind, n) = self.ink.bytes();
        RGBColor(kind, n, u8::from(self.dashed)).mix(self.opacity)
    }

    fn of(colour: BackendColor) -> Look {
        let (kind, n, dashed) = colour.rgb;
        Look { ink: Ink::from_bytes(kind, n), opacity: colour.alpha, dashed: dashed == 1 }
    }
}

/// Width of a text in the sans-serif faces of browsers, estimated: narrow signs are counted as such.
pub fn text_width(text: &str, size: i32) -> i32 {
    let ems: f64 = text
        .chars()
        .map(|c| match c {
            'i' | 'j' | 'l' | 'I' | '.' | ',' | ':' | ';' | '\'' | '|' | ' ' => 0.36,
            't' | 'f' | 'r' | '(' | ')' | '-' | '/' => 0.44,
            'm' | 'w' | 'M' | 'W' | '%' | '→' => 0.96,
            'A'..='Z' | '×' | '–' | '+' => 0.76,
            _ => 0.64,
        })
        .sum();
    (ems * f64::from(size)).ceil() as i32
}

/// Draws on a sheet.
pub struct Pen<'a>(pub &'a mut Sheet);

type Drawn = Result<(), DrawingErrorKind<Infallible>>;

impl Pen<'_> {
    fn add(&mut self, shape: Shape) -> Drawn {
        self.0.shapes.push(shape);
        Ok(())
    }
}

impl DrawingBackend for Pen<'_> {
    type ErrorType = Infallible;

    fn get_size(&self) -> (u32, u32) {
        (self.0.width as u32, self.0.height as u32)
    }

    fn ensure_prepared(&mut self) -> Drawn {
        Ok(())
    }

    fn present(&mut self) -> Drawn {
        Ok(())
    }

    fn draw_pixel(&mut self, at: BackendCoord, colour: BackendColor) -> Drawn {
        self.add(Shape::Dot { at, radius: TENTHS / 2, look: Look::of(colour) })
    }

    fn draw_line<S: BackendStyle>(&mut self, from: BackendCoord, to: BackendCoord, style: &S) -> Drawn {
        self.draw_path([from, to], style)
    }

    fn draw_rect<S: BackendStyle>(
        &mut self,
        (left, top): BackendCoord,
        (right, bottom): BackendCoord,
        style: &S,
        fill: bool,
    ) -> Drawn {
        // The cells of a map meet without a seam only where they end with a pixel.
        let on_grid = fill && matches!(Look::of(style.color()).ink, Ink::Heat(_));
        let round = |at: i32| if on_grid { (at + TENTHS / 2).div_euclid(TENTHS) * TENTHS } else { at };
        let [left, top, right, bottom] = [left, top, right, bottom].map(round);
        let corners = vec![(left, top), (right, top), (right, bottom), (left, bottom)];
        match fill {
            true => self.add(Shape::Area { points: corners, look: Look::of(style.color()) }),
            false => self.draw_path(corners.into_iter().chain([(left, top)]), style),
        }
    }

    fn draw_path<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        path: I,
        style: &S,
    ) -> Drawn {
        let points = path.into_iter().collect();
        self.add(Shape::Line { points, look: Look::of(style.color()), width: style.stroke_width() as i32 })
    }

    fn draw_circle<S: BackendStyle>(
        &mut self,
        at: BackendCoord,
        radius: u32,
        style: &S,
        _fill: bool,
    ) -> Drawn {
        self.add(Shape::Dot { at, radius: radius as i32, look: Look::of(style.color()) })
    }

    fn fill_polygon<S: BackendStyle, I: IntoIterator<Item = BackendCoord>>(
        &mut self,
        points: I,
        style: &S,
    ) -> Drawn {
        self.add(Shape::Area { points: points.into_iter().collect(), look: Look::of(style.color()) })
    }

    fn draw_text<S: BackendTextStyle>(&mut self, text: &str, style: &S, (x, y): BackendCoord) -> Drawn {
        let size = style.size().round() as i32;
        // A sheet's text hangs from its baseline.
        let baseline = match style.anchor().v_pos {
            VPos::Top => y + size * 8 / 10,
            VPos::Center => y + size * 35 / 100,
            VPos::Bottom => y - size * 2 / 10,
        };
        let across = match style.anchor().h_pos {
            HPos::Left => Across::Start,
            HPos::Center => Across::Middle,
            HPos::Right => Across::End,
        };
        // Bold stands for: must be read on top of whatever lies below.
        let halo = matches!(style.style(), FontStyle::Bold);
        let look = Look::of(style.color());
        self.add(Shape::Text { at: (x, baseline), text: text.to_owned(), look, size, across, halo })
    }

    fn estimate_text_size<S: BackendTextStyle>(
        &self,
        text: &str,
        style: &S,
    ) -> Result<(u32, u32), DrawingErrorKind<Infallible>> {
        let size = style.size().round() as i32;
        Ok((text_width(text, size) as u32, size as u32))
    }
}
