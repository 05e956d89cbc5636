//! Pixels to draw on: strokes, discs, polygons and words, each with smooth edges.

use std::sync::LazyLock;

use ab_glyph::{Font, FontRef, Glyph, PxScale, ScaleFont, point};
use ab_glyph_rasterizer::Rasterizer;

/// Latin, Greek and the signs that plots use; what it lacks is drawn as an empty box.
static FACE: LazyLock<FontRef<'static>> = LazyLock::new(|| {
    FontRef::try_from_slice(include_bytes!("../../fonts/DejaVuSans-subset.ttf")).expect("it is a font")
});

pub type Rgb = [u8; 3];
/// Pixels from the left and from the top.
pub type Point = (f32, f32);

pub struct Canvas {
    width: usize,
    height: usize,
    /// Row by row from the top.
    pixels: Vec<Rgb>,
}

impl Canvas {
    pub fn new(width: usize, height: usize, paper: Rgb) -> Canvas {
        Canvas { width, height, pixels: vec![paper; width * height] }
    }

    pub fn bytes(&self) -> &[u8] {
        self.pixels.as_flattened()
    }

    /// Lays a colour where the mask is; `opacity` is that of the whole, so that strokes may cross themselves.
    pub fn lay(&mut self, mask: &Mask, colour: Rgb, opacity: f32) {
        for (row, shares) in mask.shares.chunks(mask.width.max(1)).enumerate() {
            let start = (mask.top + row) * self.width + mask.left;
            for (pixel, share) in self.pixels[start..].iter_mut().zip(shares) {
                let share = share * opacity;
                if share > 0.0 {
                    for (old, new) in pixel.iter_mut().zip(colour) {
                        *old = (f32::from(*old) + (f32::from(new) - f32::from(*old)) * share).round() as u8;
                    }
                }
            }
        }
    }

    /// An empty mask around points, with a margin; nothing lies outside the canvas.
    pub fn mask(&self, points: impl Iterator<Item = Point>, margin: f32) -> Mask {
        let (mut low, mut high) = ((f32::MAX, f32::MAX), (f32::MIN, f32::MIN));
        for (x, y) in points {
            (low, high) = ((low.0.min(x), low.1.min(y)), (high.0.max(x), high.1.max(y)));
        }
        let cut = |value: f32, most: usize| value.clamp(0.0, most as f32) as usize;
        let (left, top) = (cut(low.0 - margin, self.width), cut(low.1 - margin, self.height));
        let right = cut((high.0 + margin).ceil(), self.width).max(left);
        let bottom = cut((high.1 + margin).ceil(), self.height).max(top);
        let (width, height) = (right - left, bottom - top);
        Mask { left, top, width, height, shares: vec![0.0; width * height] }
    }
}

/// How much of each pixel of a part of the canvas a shape covers, 0 to 1.
pub struct Mask {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    shares: Vec<f32>,
}

impl Mask {
    /// A straight stroke with round ends; one of no length is a disc.
    pub fn stroke(&mut self, from: Point, to: Point, width: f32) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        let length = dx * dx + dy * dy;
        let reach = width / 2.0 + 1.0;
        let rows = span(from.1.min(to.1) - reach, from.1.max(to.1) + reach, self.top, self.height);
        for row in rows {
            let y = (self.top + row) as f32 + 0.5;
            let columns = span(from.0.min(to.0) - reach, from.0.max(to.0) + reach, self.left, self.width);
            for column in columns {
                let x = (self.left + column) as f32 + 0.5;
                let along = ((x - from.0) * dx + (y - from.1) * dy) / length.max(f32::MIN_POSITIVE);
                let along = along.clamp(0.0, 1.0);
                let away = (x - from.0 - along * dx).hypot(y - from.1 - along * dy);
                self.cover(column, row, width / 2.0 + 0.5 - away);
            }
        }
    }

    /// The inside of a closed outline.
    pub fn polygon(&mut self, outline: &[Point]) {
        if self.shares.is_empty() {
            return;
        }
        let mut fill = Rasterizer::new(self.width, self.height);
        let inside = |(x, y): Point| {
            let (x, y) = (x - self.left as f32, y - self.top as f32);
            ab_glyph_rasterizer::point(x.clamp(0.0, self.width as f32), y.clamp(0.0, self.height as f32))
        };
        for (index, from) in outline.iter().enumerate() {
            fill.draw_line(inside(*from), inside(outline[(index + 1) % outline.len()]));
        }
        fill.for_each_pixel(|index, share| self.shares[index] = self.shares[index].max(share.min(1.0)));
    }

    /// Words, from the left end of their baseline.
    pub fn words(&mut self, glyphs: &[Glyph]) {
        for outline in glyphs.iter().filter_map(|glyph| FACE.outline_glyph(glyph.clone())) {
            let corner = outline.px_bounds().min;
            outline.draw(|x, y, share| {
                let column = corner.x as i64 + i64::from(x) - self.left as i64;
                let row = corner.y as i64 + i64::from(y) - self.top as i64;
                let within =
                    (0..self.width as i64).contains(&column) && (0..self.height as i64).contains(&row);
                if within {
                    self.cover(column as usize, row as usize, share);
                }
            });
        }
    }

    /// The same with an edge around it, as wide as `reach`: what lies below must not touch words.
    pub fn grown(&self, canvas: &Canvas, reach: f32) -> Mask {
        let corners = [(self.left, self.top), (self.left + self.width, self.top + self.height)];
        let mut grown = canvas.mask(corners.map(|(x, y)| (x as f32, y as f32)).into_iter(), reach + 1.0);
        for (index, share) in self.shares.iter().enumerate().filter(|(_, share)| **share > 0.4) {
            let at =
                ((self.left + index % self.width) as f32 + 0.5, (self.top + index / self.width) as f32 + 0.5);
            grown.stroke(at, at, (reach + share - 0.5) * 2.0);
        }
        grown
    }

    fn cover(&mut self, column: usize, row: usize, share: f32) {
        let here = &mut self.shares[row * self.width + column];
        *here = here.max(share.clamp(0.0, 1.0));
    }
}

/// Rows or columns of a mask between two places.
fn span(low: f32, high: f32, start: usize, length: usize) -> std::ops::Range<usize> {
    let cut = |value: f32| (value - start as f32).clamp(0.0, length as f32) as usize;
    cut(low.floor())..cut(high.ceil())
}

/// The letters of a text in a row that begins at the origin, and how long the row is.
pub fn typeset(text: &str, size: f32) -> (Vec<Glyph>, f32) {
    let em = FACE.units_per_em().expect("the font says how it is scaled");
    let scale = PxScale::from(size * FACE.height_unscaled() / em);
    let (scaled, mut x) = (FACE.as_scaled(scale), 0.0);
    let glyphs = text
        .chars()
        .map(|letter| {
            let id = FACE.glyph_id(letter);
            let glyph = id.with_scale_and_position(scale, point(x, 0.0));
            x += scaled.h_advance(id);
            glyph
        })
        .collect();
    (glyphs, x)
}
