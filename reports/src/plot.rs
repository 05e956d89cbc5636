//! Plots: what a run holds, drawn with plotters in one visual language.

mod axis;
mod canvas;
mod chart;
mod groups;
mod heat;
mod hits;
mod percentiles;
mod phases;
mod png;
mod sheet;
mod svg;
mod time;

pub use axis::{Axis, Scale};
pub use chart::{Chart, Layer};
pub use sheet::{Ink, Look, Sheet};

use crate::file::ReportError;
use crate::run::{Measurement, Run};

/// A plot with all that a reader needs who cannot see it.
#[derive(Debug, Clone)]
pub struct Plot {
    /// Unique within the report; also the name of its file.
    pub id: String,
    pub title: String,
    /// What it says and how to read it, in a sentence or two.
    pub caption: String,
    /// The measurement that it belongs to, by its place in the run; none if it joins several.
    pub measurement: Option<usize>,
    pub chart: Chart,
    /// The figures behind it.
    pub table: Table,
}

/// Figures as text: the first column names the row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Table {
    pub head: Vec<String>,
    pub rows: Vec<Vec<String>>,
}

/// All plots that the run's data allows, in the order of reading.
pub fn plots(run: &Run) -> Vec<Plot> {
    let of_each = run.measurements.iter().enumerate().flat_map(|(index, it)| of_measurement(index, it));
    groups::plots(run).into_iter().chain(of_each).collect()
}

/// The percentile curves of what both runs measured, one over the other.
pub fn overlaid(a: &Run, b: &Run) -> Vec<Plot> {
    let mut plots = Vec::new();
    for one in &a.measurements {
        let Some(other) = b.measurements.iter().find(|it| it.scenario.name == one.scenario.name) else {
            continue;
        };
        plots.extend(percentiles::overlaid(one, other));
    }
    for (number, plot) in (1..).zip(&mut plots) {
        plot.id = format!("m{number}-{}", plot.id);
    }
    plots
}

/// Whether a measurement is one of many that a plot joins.
pub fn is_point(measurement: &Measurement) -> bool {
    groups::is_point(&measurement.scenario.name)
}

/// A name with nothing in it that a file system, a shell or a page's address could take amiss.
pub fn slug(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c } else { '-' };
    name.chars().map(plain).take(80).collect()
}

fn of_measurement(index: usize, measurement: &Measurement) -> Vec<Plot> {
    let drawn =
        if is_point(measurement) { vec![percentiles::plot(measurement)] } else { of_its_own(measurement) };
    let mut plots: Vec<Plot> = drawn.into_iter().flatten().collect();
    for plot in &mut plots {
        plot.id = format!("m{}-{}", index + 1, plot.id);
        plot.measurement = Some(index);
    }
    plots
}

/// The plots of a measurement that stands for itself, in the order of reading.
fn of_its_own(measurement: &Measurement) -> Vec<Option<Plot>> {
    vec![
        percentiles::plot(measurement),
        time::rates(measurement),
        hits::plot(measurement),
        heat::plot(measurement),
        phases::plot(measurement),
        time::cpu(measurement),
        time::generator(measurement),
    ]
}

impl Plot {
    /// An SVG element to stand in a page: its colours are classes of the page's style sheet.
    pub fn inline(&self) -> Result<String, ReportError> {
        Ok(svg::inline(&self.sheet()?, &self.chart, &self.id, &self.alternative()))
    }

    /// An SVG file of its own.
    pub fn svg(&self) -> Result<String, ReportError> {
        Ok(svg::standalone(&self.sheet()?, &self.chart, &self.title, &self.alternative()))
    }

    /// A PNG file of its own, light, twice as large.
    pub fn png(&self) -> Result<Vec<u8>, ReportError> {
        Ok(png::standalone(&self.sheet()?, &self.title))
    }

    /// Says in words what the drawing shows.
    pub fn alternative(&self) -> String {
        format!("{}. {}", self.title, self.caption)
    }

    fn sheet(&self) -> Result<Sheet, ReportError> {
        self.chart
            .draw()
            .map_err(|reason| ReportError::Undrawable { what: format!("the plot {}", self.title), reason })
    }
}

impl Table {
    pub fn new<const N: usize>(head: [&str; N]) -> Table {
        Table { head: head.map(str::to_owned).to_vec(), rows: Vec::new() }
    }
}
