//! Plots: what a run holds, drawn with plotters in one visual language.

mod axis;
mod canvas;
mod chart;
pub mod faults;
mod generator;
mod groups;
mod heat;
mod hits;
mod inks;
mod layer;
mod names;
mod percentiles;
mod phases;
mod png;
mod sheet;
mod svg;
mod time;

pub use axis::{Axis, Scale};
pub use chart::Chart;
pub use layer::Layer;
pub use sheet::{Ink, Look, Sheet};
pub(crate) use svg::escaped;

use crate::file::ReportError;
use crate::run::{GeneratorError, Measurement, Run, Series};

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
    /// The variant that it is of, where that is not the first of several: a reader unfolds it.
    pub folded: Option<String>,
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

/// At most so many rows stand behind a plot over time; longer series are in the CSV.
const MOST_ROWS: usize = 24;

/// So many slices stand in one row of a table.
fn stride(slices: usize) -> usize {
    slices.div_ceil(MOST_ROWS).max(1)
}

/// The head of the column that says when a row begins.
fn seconds(stride: usize) -> String {
    if stride == 1 { "second".to_owned() } else { format!("from second ({stride} slices a row)") }
}

/// All plots that the run's data allows, in the order of reading.
pub fn plots(run: &Run) -> Vec<Plot> {
    let known = run.generator_error.as_ref();
    let of_each =
        run.measurements.iter().enumerate().flat_map(|(index, it)| of_measurement(index, it, known));
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

fn of_measurement(index: usize, measurement: &Measurement, known: Option<&GeneratorError>) -> Vec<Plot> {
    let mut plots = match is_point(measurement) {
        true => percentiles::plot(measurement).into_iter().collect(),
        false => of_its_own(measurement, known),
    };
    for plot in &mut plots {
        mark_invalid(plot, measurement);
        plot.id = format!("m{}-{}", index + 1, plot.id);
        plot.measurement = Some(index);
        faults::mark(plot, &measurement.faults);
    }
    plots
}

/// A plot is copied without its page: one that cannot be trusted says so itself.
fn mark_invalid(plot: &mut Plot, measurement: &Measurement) {
    const LATENCIES: [&str; 3] = ["percentiles", "heat", "phases"];
    let is_latency = LATENCIES.iter().any(|kind| plot.id.starts_with(kind));
    let of_latency = measurement.invalid_latency.iter().filter(|_| is_latency);
    let reasons: Vec<&str> = measurement.invalid.iter().chain(of_latency).map(String::as_str).collect();
    if !reasons.is_empty() {
        plot.title.push_str(": invalid");
        plot.caption = format!("Not to be trusted: {}. {}", reasons.join("; "), plot.caption);
    }
}

/// The plots of a measurement that stands for itself, in the order of reading. Of several variants, first what compares
/// them, then all of each.
fn of_its_own(measurement: &Measurement, known: Option<&GeneratorError>) -> Vec<Plot> {
    let several = measurement.series.len() > 1;
    let joint = [percentiles::plot(measurement), time::achieved(measurement), time::cpu(measurement)];
    let of_each = measurement.series.iter().enumerate().flat_map(|(index, series)| {
        let mut plots = of_variant(measurement, series, known);
        if several {
            for plot in &mut plots {
                plot.title = format!("{}, {}", plot.title, series.variant);
                plot.id = format!("{}-{}", plot.id, slug(&series.variant));
                plot.folded = (index > 0).then(|| series.variant.clone());
            }
        }
        plots
    });
    joint.into_iter().filter(|_| several).flatten().chain(of_each).collect()
}

fn of_variant(measurement: &Measurement, series: &Series, known: Option<&GeneratorError>) -> Vec<Plot> {
    let plots = [
        percentiles::of_variant(measurement, series),
        time::rates(measurement, series),
        time::cpu_of(measurement, series),
        hits::plot(measurement, series),
        heat::plot(measurement, series),
        phases::plot(series),
        generator::error(series, known),
        generator::lag(series),
        generator::lateness(series),
        generator::load(series),
    ];
    plots.into_iter().flatten().collect()
}

impl Plot {
    /// An SVG element to stand in a page: its colours are classes of the page's style sheet, and the elements
    /// `ID-title` and `ID-caption` of the page say what it shows.
    pub fn inline(&self) -> Result<String, ReportError> {
        Ok(svg::inline(&self.sheet()?, &self.chart, &self.id))
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
        let moments = self.chart.layers.iter().filter_map(|layer| match layer {
            Layer::Upright { name, value } => Some(format!(" At {value:.1} s: {name}.")),
            _ => None,
        });
        format!("{}. {}{}", self.title, self.caption, moments.collect::<String>())
    }

    fn sheet(&self) -> Result<Sheet, ReportError> {
        self.chart
            .draw()
            .map_err(|reason| ReportError::Undrawable { what: format!("the plot {}", self.title), reason })
    }
}

impl Table {
    pub fn new<T: Into<String>, const N: usize>(head: [T; N]) -> Table {
        Table { head: head.map(Into::into).to_vec(), rows: Vec::new() }
    }
}
