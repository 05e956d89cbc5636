//! What happened over time: rates and processor time.

use std::collections::BTreeSet;

use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::inks;
use crate::plot::layer::{Layer, Step};
use crate::plot::sheet::{Ink, Look};
use crate::plot::{Plot, Table, seconds, stride};
use crate::render::rates;
use crate::run::{Measurement, Model, Series, Slice};
use crate::tally::Tally;

/// One series' values over time.
pub struct Course<'a> {
    pub name: String,
    pub look: Look,
    pub slices: &'a [Slice],
    pub value: Of<'a>,
}

/// What a slice counted, and what that is divided by: seconds, requests.
pub type Of<'a> = Box<dyn Fn(&Slice) -> (f64, f64) + 'a>;

/// What each of several variants achieved per second, one over the other; [`rates`] tells the rest of each.
pub fn achieved(measurement: &Measurement) -> Option<Plot> {
    let all = &measurement.series;
    let tally = Tally::of(all.iter().flat_map(|it| &it.slices));
    (all.len() > 1 && tally.offered() > 0).then(|| {
        let courses: Vec<Course> = (all.iter().enumerate())
            .map(|(index, it)| per_second(&it.variant, inks::of_variant(index).look(), it, achieved_in))
            .collect();
        draw_rates("Achieved, variant by variant", &courses, &tally)
    })
}

/// Offered, achieved, dropped and failed per second.
pub fn rates(measurement: &Measurement, series: &Series) -> Option<Plot> {
    let mut courses = vec![per_second("achieved", inks::SERVER.look(), series, achieved_in)];
    // On top, and dashed: what was achieved shows through it.
    if measurement.model == Model::Open {
        courses.push(per_second("offered", inks::OFFERED.look().dashed(), series, planned));
    }
    for (name, ink, of) in LOSSES {
        if series.slices.iter().any(|slice| of(slice) > 0) {
            courses.push(per_second(name, ink.look(), series, of));
        }
    }
    let tally = Tally::of(&series.slices);
    (tally.offered() > 0).then(|| draw_rates("Offered, achieved, dropped", &courses, &tally))
}

fn draw_rates(title: &str, courses: &[Course], tally: &Tally) -> Plot {
    draw("rates", title, "requests per second", Reading::Number, courses, rates_caption(tally))
}

fn achieved_in(slice: &Slice) -> u64 {
    rates::count(slice, "client.ok")
}

/// What is lost is told apart: never sent, or answered wrongly or not at all.
type Loss = (&'static str, Ink, fn(&Slice) -> u64);
const LOSSES: [Loss; 2] = [
    ("dropped", inks::DROPPED, |slice| Tally::of([slice]).dropped),
    ("failed", inks::FAILED, |slice| Tally::of([slice]).failed()),
];

/// What was due in a slice: sent or dropped.
fn planned(slice: &Slice) -> u64 {
    let tally = Tally::of([slice]);
    tally.sent + tally.dropped
}

/// Most lines that a reader tells apart.
const MOST_LINES: usize = 6;

/// Processor time of each process, in cores: of all of several variants in one plot where the lines are few.
pub fn cpu(measurement: &Measurement) -> Option<Plot> {
    let lines: usize = measurement.series.iter().map(|series| processes(series).len()).sum();
    (lines <= MOST_LINES).then(|| drawn_cpu(&measurement.series)).flatten()
}

/// The processor time of one variant: of the only one, or where [`cpu`] would hold too many lines.
pub fn cpu_of(measurement: &Measurement, series: &Series) -> Option<Plot> {
    let joined = measurement.series.len() > 1 && cpu(measurement).is_some();
    (!joined).then(|| drawn_cpu(std::slice::from_ref(series))).flatten()
}

fn drawn_cpu(all: &[Series]) -> Option<Plot> {
    let mut courses = Vec::new();
    for series in all {
        for process in processes(series) {
            let counter = format!("cpu.{process}_us");
            let name =
                if all.len() == 1 { process.clone() } else { format!("{process}, {}", series.variant) };
            let look = match all.len() {
                1 => inks::of_process(&process, courses.len()).look(),
                _ => Ink::Series(courses.len() as u8 % 7).look(),
            };
            courses.push(Course { name, look, slices: &series.slices, value: cores(counter) });
        }
    }
    let caption =
        courses.iter().map(|course| format!("{} {} cores", course.name, figure::significant(mean(course))));
    (!courses.is_empty()).then(|| {
        let caption =
            format!("On average: {}. One core is fully busy at 1.", caption.collect::<Vec<_>>().join(", "));
        draw("cpu", "Processor time of each process", "cores", Reading::Number, &courses, caption)
    })
}

/// Lines over one time axis, with the figures of every slice behind them.
pub fn draw(
    id: &str,
    title: &str,
    label: &str,
    reading: Reading,
    courses: &[Course],
    caption: String,
) -> Plot {
    let ends = courses
        .iter()
        .filter_map(|course| course.slices.last())
        .map(|slice| slice.start_s + slice.duration_s);
    let highest = courses.iter().flat_map(values).map(|(_, y)| y).fold(0.0, f64::max);
    let layers = courses.iter().map(|course| over_time(&course.name, course.look, values(course))).collect();
    let y = Axis::linear(label, reading, 0.0, highest);
    Plot {
        id: id.to_owned(),
        title: title.to_owned(),
        caption,
        measurement: None,
        folded: None,
        chart: Chart::new(Axis::time(ends.fold(1.0, f64::max)), y, layers),
        table: table(courses, reading),
    }
}

/// Of each slice that has something to divide by.
fn values<'a>(course: &'a Course) -> impl Iterator<Item = (&'a Slice, f64)> + 'a {
    course.slices.iter().filter_map(|slice| Some((slice, ratio(&course.value, [slice])?)))
}

/// Of several slices together: what all counted by what all are divided by.
fn ratio<'a>(of: &Of, slices: impl IntoIterator<Item = &'a Slice>) -> Option<f64> {
    let sums = slices.into_iter().map(of).fold((0.0, 0.0), |sums, it| (sums.0 + it.0, sums.1 + it.1));
    (sums.1 > 0.0).then(|| sums.0 / sums.1)
}

/// A line through the middles of slices; where they leave gaps, as those of interleaved variants do, a stroke for each, so
/// that no line crosses a time in which another was measured.
pub fn over_time<'a>(name: &str, look: Look, values: impl Iterator<Item = (&'a Slice, f64)>) -> Layer {
    let steps: Vec<Step> = values
        .map(|(slice, y)| Step { from: slice.start_s, to: slice.start_s + slice.duration_s, y })
        .collect();
    let name = name.to_owned();
    let gap = |pair: &[Step]| pair[1].from - pair[0].to > 0.5 * (pair[0].to - pair[0].from);
    match steps.windows(2).any(gap) {
        true => Layer::Steps { name, look, steps },
        false => Layer::Line { name, look, points: steps.iter().map(Step::middle).collect() },
    }
}

fn per_second<'a>(name: &str, look: Look, series: &'a Series, of: fn(&Slice) -> u64) -> Course<'a> {
    let value = Box::new(move |slice: &Slice| (of(slice) as f64, slice.duration_s));
    Course { name: name.to_owned(), look, slices: &series.slices, value }
}

/// Microseconds of a counter a second, as processor cores.
pub fn cores<'a>(counter: String) -> Of<'a> {
    Box::new(move |slice| (rates::count(slice, &counter) as f64 / 1e6, slice.counted_s(&counter)))
}

fn mean(course: &Course) -> f64 {
    ratio(&course.value, course.slices).unwrap_or(0.0)
}

fn processes(series: &Series) -> BTreeSet<String> {
    let names = series.slices.iter().flat_map(|slice| slice.counters.keys());
    let processes = names.filter_map(|name| name.strip_prefix("cpu.")?.strip_suffix("_us"));
    // To wait for a core is not to use one.
    processes.filter(|name| !name.ends_with("_wait")).map(str::to_owned).collect()
}

fn rates_caption(tally: &Tally) -> String {
    let under_way = match tally.under_way() {
        0 => String::new(),
        count => format!(", {} were still under way at the end", figure::count(count)),
    };
    format!(
        "{} of {} requests were answered rightly ({}); {} were dropped unsent, {} failed{under_way}.",
        figure::count(tally.ok),
        figure::count(tally.offered()),
        figure::part(tally.ok, tally.offered()),
        figure::count(tally.dropped),
        figure::count(tally.failed())
    )
}

fn table(courses: &[Course], reading: Reading) -> Table {
    let mut table = Table::new::<&str, 0>([]);
    let mut starts: Vec<f64> =
        courses.iter().flat_map(|course| course.slices.iter().map(|it| it.start_s)).collect();
    starts.sort_by(f64::total_cmp);
    starts.dedup();
    let stride = stride(starts.len());
    table.head.push(seconds(stride));
    table.head.extend(courses.iter().map(|course| course.name.clone()));
    for stretch in starts.chunks(stride) {
        let (first, last) = (stretch[0], stretch[stretch.len() - 1]);
        let cell = |course: &Course| {
            let within = course.slices.iter().filter(|slice| (first..=last).contains(&slice.start_s));
            ratio(&course.value, within).map_or(String::new(), |mean| said(reading, mean))
        };
        table.rows.push([format!("{first:.1}")].into_iter().chain(courses.iter().map(cell)).collect());
    }
    table
}

fn said(reading: Reading, value: f64) -> String {
    match reading {
        Reading::Microseconds => figure::time_us(value),
        _ => figure::significant(value),
    }
}
