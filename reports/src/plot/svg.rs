//! A sheet as SVG.

use std::fmt::Write;

use crate::plot::axis::{Axis, Scale};
use crate::plot::chart::{Chart, TEXT};
use crate::plot::layer::Counts;
use crate::plot::sheet::{Across, HEADROOM, Ink, Look, Part, Shape, Sheet, TENTHS, title_size};

/// An element for a page whose style sheet gives the classes their colours.
///
/// Its data attributes tell a script where the axes lie, so that it can name the values under a pointer.
pub fn inline(sheet: &Sheet, chart: &Chart, id: &str) -> String {
    let area = chart.area();
    let mut out = String::new();
    let _ = write!(
        out,
        r#"<svg class="plot" id="{id}" viewBox="0 0 {} {}" role="img" aria-labelledby="{id}-title {id}-caption" font-size="{}" data-x="{}" data-y="{}"{}>"#,
        px(sheet.width),
        px(sheet.height),
        px(TEXT),
        axis(&chart.x, area.left, area.right),
        axis(&chart.y, area.bottom, area.top),
        chart.counts.as_ref().map(|it| counts(it, chart)).unwrap_or_default(),
    );
    parts(sheet, chart, &mut out);
    out.push_str("</svg>");
    out
}

/// A file of its own, which brings its colours and its title.
pub fn standalone(sheet: &Sheet, chart: &Chart, title: &str, alternative: &str) -> String {
    let (width, height) = (sheet.width, sheet.height + HEADROOM);
    let mut out = String::new();
    let _ = write!(
        out,
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {} {}" width="{}" height="{}" role="img" font-family="system-ui, sans-serif" font-size="{}"><title>{}</title><style>{}</style><rect width="100%" height="100%" style="fill:var(--card)"/><text class="ink fill" x="2" y="19" font-size="{:.1}" font-weight="600">{}</text><g transform="translate(0 {})">"#,
        px(width),
        px(height),
        px(width),
        px(height),
        px(TEXT),
        escaped(alternative),
        include_str!("../../templates/plot.css"),
        title_size(title, width),
        escaped(title),
        px(HEADROOM),
    );
    parts(sheet, chart, &mut out);
    out.push_str("</g></svg>\n");
    out
}

/// The parts that a script treats in its own way have a class.
fn parts(sheet: &Sheet, chart: &Chart, out: &mut String) {
    let mut start = 0;
    for (part, end) in &sheet.parts {
        out.push_str(match part {
            Part::Frame | Part::Names => "<g>",
            Part::Ticks => r#"<g class="ticks">"#,
            Part::Plane => r#"<g class="plane">"#,
            Part::Notes => r#"<g class="notes">"#,
        });
        shapes(&sheet.shapes[start..*end], chart, out);
        out.push_str("</g>");
        start = *end;
    }
}

/// Neighbours of one look share an element: a map has hundreds of cells, a grid a dozen lines and as many words.
fn shapes(shapes: &[Shape], chart: &Chart, out: &mut String) {
    let mut rest = shapes;
    while let [first, ..] = rest {
        let head = head(first, chart);
        let alike = rest.iter().take_while(|shape| self::head(shape, chart) == head).count();
        let (together, others) = rest.split_at(alike);
        match first {
            Shape::Line { .. } | Shape::Area { .. } => {
                let _ = write!(out, r#"<path{head} d="{}"/>"#, outline(together));
            }
            Shape::Text { .. } if alike == 1 => words(first, &head, out),
            Shape::Text { .. } => {
                let _ = write!(out, "<g{head}>");
                together.iter().for_each(|shape| words(shape, "", out));
                out.push_str("</g>");
            }
            Shape::Dot { .. } => together.iter().for_each(|shape| dot(shape, &head, out)),
        }
        rest = others;
    }
}

/// The attributes of a shape that are not its place.
fn head(shape: &Shape, chart: &Chart) -> String {
    match shape {
        Shape::Line { look, width, .. } => line(*look, *width, chart),
        Shape::Area { look, .. } => format!(r#" class="{} fill"{}"#, class(look.ink), opacity(*look)),
        Shape::Dot { look, .. } => format!(r#" class="{} fill""#, class(look.ink)),
        Shape::Text { look, size, across, halo, .. } => {
            let anchor = match across {
                Across::Start => "",
                Across::Middle => r#" text-anchor="middle""#,
                Across::End => r#" text-anchor="end""#,
            };
            let halo = if *halo { " halo" } else { "" };
            let size = if *size == TEXT { String::new() } else { format!(r#" font-size="{}""#, px(*size)) };
            format!(r#" class="{} fill{halo}"{size}{anchor}"#, class(look.ink))
        }
    }
}

fn outline(shapes: &[Shape]) -> String {
    let mut out = String::new();
    // Where the last one ended: the next is told by its distance.
    let mut pen = None;
    for shape in shapes {
        match shape {
            Shape::Line { points, .. } => open(points, &mut pen, &mut out),
            Shape::Area { points, .. } => closed(points, &mut pen, &mut out),
            Shape::Dot { .. } | Shape::Text { .. } => {}
        }
    }
    out
}

fn dot(shape: &Shape, head: &str, out: &mut String) {
    let Shape::Dot { at, radius, .. } = shape else { return };
    let (x, y, r) = (px(at.0), px(at.1), px(*radius));
    let _ = write!(out, r#"<circle{head} cx="{x}" cy="{y}" r="{r}"/>"#);
}

fn words(shape: &Shape, head: &str, out: &mut String) {
    let Shape::Text { at, text, .. } = shape else { return };
    let _ = write!(out, r#"<text{head} x="{}" y="{}">{}</text>"#, px(at.0), px(at.1), escaped(text));
}

fn line(look: Look, width: i32, chart: &Chart) -> String {
    let mut out =
        format!(r#" class="{} line" stroke-width="{}"{}"#, class(look.ink), px(width), opacity(look));
    if look.dashed {
        out.push_str(r#" stroke-dasharray="5 7""#);
    }
    if let Some((name, _)) = chart.names().find(|(_, of)| *of == look) {
        let _ = write!(out, r#" data-name="{}""#, escaped(name));
    }
    out
}

/// A line, by its distance from the last one; level and upright strokes in few letters.
fn open(points: &[(i32, i32)], pen: &mut Option<(i32, i32)>, out: &mut String) {
    let [first, rest @ ..] = points else { return };
    start(*first, pen, out);
    match rest {
        [last] if last.1 == first.1 => out.push_str(&format!("h{}", px(last.0 - first.0))),
        [last] if last.0 == first.0 => out.push_str(&format!("v{}", px(last.1 - first.1))),
        _ => steps(points, out),
    }
    *pen = points.last().copied();
}

/// The outline of an area; that of a rectangle in few letters, and by its distance from the last one.
fn closed(points: &[(i32, i32)], pen: &mut Option<(i32, i32)>, out: &mut String) {
    let Some(&first) = points.first() else { return };
    start(first, pen, out);
    match points {
        [(left, top), (right, a), (b, bottom), (c, d)] if (a, b, c, d) == (top, right, left, bottom) => {
            let (width, height) = (right - left, bottom - top);
            let _ = write!(out, "h{}v{}h{}z", px(width), px(height), px(-width));
        }
        _ => {
            steps(points, out);
            out.push('z');
        }
    }
    // To close an outline leads back to where it began.
    *pen = Some(first);
}

/// Moves to a point.
fn start((x, y): (i32, i32), pen: &Option<(i32, i32)>, out: &mut String) {
    out.push_str(&match pen {
        Some((from_x, from_y)) => format!("m{}", pair(x - from_x, y - from_y)),
        None => format!("M{}", pair(x, y)),
    });
}

/// Relative steps from the first point: half the bytes.
fn steps(points: &[(i32, i32)], out: &mut String) {
    for (index, ends) in points.windows(2).enumerate() {
        let step = pair(ends[1].0 - ends[0].0, ends[1].1 - ends[0].1);
        let apart = if index > 0 && !step.starts_with('-') { " " } else { "" };
        out.push_str(if index == 0 { "l" } else { apart });
        out.push_str(&step);
    }
}

/// Two numbers; a minus sign keeps them apart as well as a space does.
fn pair(x: i32, y: i32) -> String {
    let y = px(y);
    format!("{}{}{y}", px(x), if y.starts_with('-') { "" } else { " " })
}

/// Tenths as pixels, without a needless `.0`.
fn px(tenths: i32) -> String {
    match tenths % TENTHS {
        0 => (tenths / TENTHS).to_string(),
        rest => {
            let sign = if tenths < 0 { "-" } else { "" };
            match (tenths / TENTHS).abs() {
                0 => format!("{sign}.{}", rest.abs()),
                whole => format!("{sign}{whole}.{}", rest.abs()),
            }
        }
    }
}

/// `scale,first pixel,last pixel,first place,last place,reading`: all that turning a pixel into a value needs.
fn axis(axis: &Axis, from: i32, to: i32) -> String {
    let scale = match axis.scale {
        Scale::Linear if !axis.names.is_empty() => "names",
        Scale::Linear => "linear",
        Scale::Log => "log",
        Scale::Tail => "tail",
    };
    let reading = format!("{:?}", axis.reading).to_lowercase();
    format!(
        "{scale},{},{},{:.6},{:.6},{reading}",
        px(from),
        px(to),
        axis.place(axis.low),
        axis.place(axis.high)
    )
}

/// `lowest place,highest place,rows;from,to,count,…;…`: columns of rows from the bottom up. Empty cells are empty.
fn counts(counts: &Counts, chart: &Chart) -> String {
    let (low, high) = (chart.y.place(counts.low), chart.y.place(counts.high));
    let rows = counts.columns.first().map_or(0, |(.., rows)| rows.len());
    let mut out = format!(r#" data-counts="{low:.4},{high:.4},{rows}"#);
    for (from, to, rows) in &counts.columns {
        let _ = write!(out, ";{},{}", short(*from), short(*to));
        let filled = rows.iter().rposition(|count| *count > 0).map_or(0, |last| last + 1);
        for count in &rows[..filled] {
            out.push(',');
            if *count > 0 {
                let _ = write!(out, "{count}");
            }
        }
    }
    out + "\""
}

/// Hundredths, without needless digits.
fn short(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

fn opacity(look: Look) -> String {
    if look.opacity < 1.0 { format!(r#" opacity="{}""#, look.opacity) } else { String::new() }
}

fn class(ink: Ink) -> String {
    match ink {
        Ink::Strong => "ink".to_owned(),
        Ink::Muted => "muted".to_owned(),
        Ink::Grid => "grid".to_owned(),
        Ink::Limit => "limit".to_owned(),
        Ink::Series(n) => format!("s{n}"),
        Ink::Heat(n) => format!("h{n}"),
    }
}

pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}
