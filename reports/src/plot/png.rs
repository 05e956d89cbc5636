//! A sheet as a PNG file: light, at twice its size, for places that show no SVG.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Crc};

use crate::plot::canvas::{Canvas, Mask, Point, Rgb, typeset};
use crate::plot::sheet::{Across, HEADROOM, Ink, Look, Shape, Sheet, TENTHS, title_size};

/// Pixels of the file for each pixel of the sheet.
const SCALE: f32 = 2.0;

/// A file of its own, which brings its title.
pub fn standalone(sheet: &Sheet, title: &str) -> Vec<u8> {
    let (width, height) = (pixels(sheet.width), pixels(sheet.height + HEADROOM));
    let mut page = Page { canvas: Canvas::new(width, height, colour("card")) };
    page.title(title, title_size(title, sheet.width) * SCALE);
    for shape in &sheet.shapes {
        page.draw(shape);
    }
    encoded(width, height, page.canvas.bytes())
}

struct Page {
    canvas: Canvas,
}

impl Page {
    fn draw(&mut self, shape: &Shape) {
        match shape {
            Shape::Line { points, look, width } => self.line(points, *look, length(*width)),
            Shape::Area { points, look } => self.area(points, *look),
            Shape::Dot { at, radius, look } => {
                let (at, radius) = (place(*at), length(*radius));
                // An edge in the colour of the paper keeps dots apart.
                self.disc(at, radius + SCALE / 2.0, colour("card"));
                self.disc(at, radius - SCALE / 2.0, ink(look.ink));
            }
            Shape::Text { at, text, look, size, across, halo } => {
                let mask = self.words(text, place(*at), length(*size), *across);
                if *halo {
                    let halo = mask.grown(&self.canvas, 1.5 * SCALE);
                    self.canvas.lay(&halo, colour("card"), 1.0);
                }
                self.canvas.lay(&mask, ink(look.ink), 1.0);
            }
        }
    }

    fn line(&mut self, points: &[(i32, i32)], look: Look, width: f32) {
        let points: Vec<Point> = points.iter().copied().map(place).collect();
        let mut mask = self.canvas.mask(points.iter().copied(), width / 2.0 + 2.0);
        let strokes = if look.dashed { dashes(&points, 5.0 * SCALE, 7.0 * SCALE) } else { vec![points] };
        for stroke in &strokes {
            stroke.windows(2).for_each(|ends| mask.stroke(ends[0], ends[1], width));
        }
        self.canvas.lay(&mask, ink(look.ink), look.opacity as f32);
    }

    fn area(&mut self, points: &[(i32, i32)], look: Look) {
        let outline: Vec<Point> = points.iter().copied().map(place).collect();
        let mut mask = self.canvas.mask(outline.iter().copied(), 1.0);
        mask.polygon(&outline);
        self.canvas.lay(&mask, ink(look.ink), look.opacity as f32);
    }

    fn disc(&mut self, at: Point, radius: f32, colour: Rgb) {
        let mut mask = self.canvas.mask([at].into_iter(), radius + 1.0);
        mask.stroke(at, at, 2.0 * radius);
        self.canvas.lay(&mask, colour, 1.0);
    }

    /// Bold, by laying it twice: the one face that comes with us is plain.
    fn title(&mut self, title: &str, size: f32) {
        for shift in [0.0, 0.35 * SCALE] {
            let mask = self.words(title, (2.0 * SCALE + shift, 19.0 * SCALE), size, Across::Start);
            self.canvas.lay(&mask, ink(Ink::Strong), 1.0);
        }
    }

    fn words(&self, text: &str, (x, y): Point, size: f32, across: Across) -> Mask {
        let (mut glyphs, width) = typeset(text, size);
        let left = match across {
            Across::Start => x,
            Across::Middle => x - width / 2.0,
            Across::End => x - width,
        };
        for glyph in &mut glyphs {
            glyph.position.x += left;
            glyph.position.y = y;
        }
        let mut mask = self.canvas.mask([(left, y - size), (left + width, y + size / 2.0)].into_iter(), 2.0);
        mask.words(&glyphs);
        mask
    }
}

fn length(tenths: i32) -> f32 {
    tenths as f32 / TENTHS as f32 * SCALE
}

fn pixels(tenths: i32) -> usize {
    length(tenths).ceil() as usize
}

/// Where a point of the sheet lies, below the title.
fn place((x, y): (i32, i32)) -> Point {
    (length(x), length(y + HEADROOM))
}

/// The parts of a line that are drawn: so much on, so much off.
fn dashes(points: &[Point], on: f32, off: f32) -> Vec<Vec<Point>> {
    let (mut parts, mut walked) = (Vec::new(), 0.0f32);
    for ends in points.windows(2) {
        let (from, to) = (ends[0], ends[1]);
        let length = (to.0 - from.0).hypot(to.1 - from.1);
        let at =
            |way: f32| (from.0 + (to.0 - from.0) * way / length, from.1 + (to.1 - from.1) * way / length);
        let mut way = 0.0;
        while way < length {
            let phase = (walked + way) % (on + off);
            let next = (way + if phase < on { on - phase } else { on + off - phase }.max(0.01)).min(length);
            if phase < on {
                parts.push(vec![at(way), at(next)]);
            }
            way = next;
        }
        walked += length;
    }
    parts
}

fn ink(ink: Ink) -> Rgb {
    match ink {
        Ink::Strong => colour("ink"),
        Ink::Muted => colour("muted"),
        Ink::Grid => colour("grid"),
        Ink::Limit => colour("limit"),
        Ink::Series(n) => colour(&format!("s{n}")),
        Ink::Heat(n) => colour(&format!("h{n}")),
    }
}

/// A colour of the style sheet; the first of its name is the light one.
fn colour(name: &str) -> Rgb {
    const CSS: &str = include_str!("../../templates/plot.css");
    let mark = format!("--{name}:#");
    let digits: Vec<u8> = CSS
        .split_once(&mark)
        .map_or("000", |(_, rest)| rest)
        .bytes()
        .take_while(u8::is_ascii_hexdigit)
        .collect();
    let hex = |digits: &[u8]| u8::from_str_radix(&String::from_utf8_lossy(digits), 16).unwrap_or(0);
    match digits.len() {
        3 => [0, 1, 2].map(|index| hex(&digits[index..=index]) * 17),
        _ => [0, 2, 4].map(|index| digits.get(index..index + 2).map_or(0, hex)),
    }
}

/// The file format: signature, header, one block of packed rows, end.
fn encoded(width: usize, height: usize, bytes: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    // Eight bits a channel, red green blue, the one packing, the one set of filters, not interlaced.
    header.extend([8, 2, 0, 0, 0]);
    let mut rows = ZlibEncoder::new(Vec::new(), Compression::new(4));
    for row in bytes.chunks(width * 3) {
        // Each row says how it was filtered; flat colours pack best as they are.
        rows.write_all(&[0]).and_then(|()| rows.write_all(row)).expect("memory takes all");
    }
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    chunk(b"IHDR", &header, &mut file);
    chunk(b"IDAT", &rows.finish().expect("memory takes all"), &mut file);
    chunk(b"IEND", &[], &mut file);
    file
}

/// Length, name, content, and the checksum of the last two.
fn chunk(name: &[u8; 4], content: &[u8], file: &mut Vec<u8>) {
    file.extend((content.len() as u32).to_be_bytes());
    file.extend(name);
    file.extend(content);
    let mut sum = Crc::new();
    sum.update(name);
    sum.update(content);
    file.extend(sum.sum().to_be_bytes());
}
