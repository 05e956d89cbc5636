//! What happened over time: rates, processor time, and what the generator suffered.

use std::collections::BTreeSet;

use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::{Chart, Layer};
use crate::plot::sheet::{Ink, Look};
use crate::plot::{Plot, Table};
use crate::render::rates;
use crate::run::{Measurement, Model, Series, Slice};

/// One series' values over time.
pub struct Course<'a> {
    pub name: String,
    pub look: Look,
    pub slices: &'a [Slice],
    pub value: Box<dyn Fn(&Slice) -> f64 + 'a>,
}

/// Offered, achieved and dropped per second. Of several variants, what each achieved.
pub fn rates(measurement: &Measurement) -> Option<Plot> {
    let one = measurement.series.len() == 1;
    let mut courses = Vec::new();
    for (index, series) in measurement.series.iter().enumerate() {
        if one && measurement.model == Model::Open {
            courses.push(per_second("offered", Ink::Series(6).look().dashed(), series, rates::planned));
        }
        let name = if one { "achieved" } else { &series.variant };
        let ink = Ink::Series(index as u8 % 6).look();
        courses.push(per_second(name, ink, series, |slice| rates::count(slice, "client.ok")));
        for (name, ink, of) in LOSSES {
            if one && series.slices.iter().any(|slice| of(slice) > 0) {
                courses.push(per_second(name, Ink::Series(ink).look(), series, of));
            }
        }
    }
    let all: u64 = measurement.series.iter().flat_map(|it| &it.slices).map(rates::planned).sum();
    (all > 0).then(|| {
        let caption = rates_caption(measurement);
        draw("rates", "Offered, achieved, dropped", "requests per second", Reading::Number, &courses, caption)
    })
}

/// What is lost is told apart: never sent, or answered wrongly or not at all.
type Loss = (&'static str, u8, fn(&Slice) -> u64);
const LOSSES: [Loss; 2] =
    [("dropped", 1, |slice| rates::count(slice, "client.dropped")), ("failed", 3, rates::failed)];

/// Processor time of each process, in cores.
pub fn cpu(measurement: &Measurement) -> Option<Plot> {
    let one = measurement.series.len() == 1;
    let mut courses = Vec::new();
    for series in &measurement.series {
        for process in processes(series) {
            let counter = format!("cpu.{process}_us");
            let name = if one { process.clone() } else { format!("{process}, {}", series.variant) };
            let look = Ink::Series(courses.len() as u8 % 7).look();
            courses.push(Course { name, look, slices: &series.slices, value: cores(counter) });
        }
    }
    let caption =
        courses.iter().map(|course| format!("{} {:.2} cores", course.name, mean(course))).collect::<Vec<_>>();
    (!courses.is_empty()).then(|| {
        let caption = format!("On average: {}. One core is fully busy at 1.", caption.join(", "));
        draw("cpu", "Processor time of each process", "cores", Reading::Number, &courses, caption)
    })
}

/// What could have made the generator lie: its own load, time stolen by the machine's host, lateness.
pub fn generator(measurement: &Measurement) -> Option<Plot> {
    let series = measurement.series.first()?;
    let steal = Course {
        name: "steal".to_owned(),
        look: Ink::Series(1).look(),
        slices: &series.slices,
        value: cores("machine.steal_us".to_owned()),
    };
    let own = Course {
        name: "generator".to_owned(),
        look: Ink::Series(0).look(),
        slices: &series.slices,
        value: cores("cpu.generator_us".to_owned()),
    };
    let measured = |counter: &str| series.slices.iter().any(|slice| slice.counters.contains_key(counter));
    let mut courses = Vec::new();
    for (course, counter) in [(own, "cpu.generator_us"), (steal, "machine.steal_us")] {
        if measured(counter) {
            courses.push(course);
        }
    }
    let delay = series.times.get("send-delay");
    let at = |q| delay.and_then(|it| it.quantile_us(q)).map_or("–".to_owned(), figure::time_us);
    let lateness = match delay {
        Some(_) => {
            format!("It sent {} late at the median, {} at p99, {} at most. ", at(0.5), at(0.99), at(1.0))
        }
        None => String::new(),
    };
    let caption = format!(
        "{lateness}Where the generator lags or the host takes the processor away, latencies are not the server's."
    );
    (!courses.is_empty())
        .then(|| draw("generator", "The generator's own error", "cores", Reading::Number, &courses, caption))
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
    let highest = courses.iter().flat_map(points).map(|(_, y)| y).fold(0.0, f64::max);
    let layers = courses
        .iter()
        .map(|course| Layer::Line {
            name: course.name.clone(),
            look: course.look,
            points: points(course).collect(),
        })
        .collect();
    let y = Axis::linear(label, reading, 0.0, highest * 1.06);
    Plot {
        id: id.to_owned(),
        title: title.to_owned(),
        caption,
        measurement: None,
        chart: Chart::new(Axis::time(ends.fold(1.0, f64::max)), y, layers),
        table: table(courses),
    }
}

/// In the middle of each slice that saw anything.
fn points<'a>(course: &'a Course) -> impl Iterator<Item = (f64, f64)> + 'a {
    let whole = course.slices.iter().filter(|slice| slice.duration_s > 0.0);
    whole.map(|slice| (slice.start_s + slice.duration_s / 2.0, (course.value)(slice)))
}

fn per_second<'a>(name: &str, look: Look, series: &'a Series, of: fn(&Slice) -> u64) -> Course<'a> {
    let value = Box::new(move |slice: &Slice| of(slice) as f64 / slice.duration_s);
    Course { name: name.to_owned(), look, slices: &series.slices, value }
}

fn cores<'a>(counter: String) -> Box<dyn Fn(&Slice) -> f64 + 'a> {
    Box::new(move |slice| rates::count(slice, &counter) as f64 / 1e6 / slice.duration_s)
}

fn mean(course: &Course) -> f64 {
    let seconds: f64 = course.slices.iter().map(|slice| slice.duration_s).sum();
    let sum: f64 = course.slices.iter().map(|slice| (course.value)(slice) * slice.duration_s).sum();
    sum / seconds.max(f64::MIN_POSITIVE)
}

fn processes(series: &Series) -> BTreeSet<String> {
    let names = series.slices.iter().flat_map(|slice| slice.counters.keys());
    names.filter_map(|name| name.strip_prefix("cpu.")?.strip_suffix("_us").map(str::to_owned)).collect()
}

fn rates_caption(measurement: &Measurement) -> String {
    let slices = || measurement.series.iter().flat_map(|it| &it.slices);
    let sum = |of: fn(&Slice) -> u64| slices().map(of).sum::<u64>();
    let (planned, ok) = (sum(rates::planned), sum(|slice| rates::count(slice, "client.ok")));
    let (dropped, failed) = (sum(|slice| rates::count(slice, "client.dropped")), sum(rates::failed));
    let share = 100.0 * ok as f64 / planned.max(1) as f64;
    format!(
        "{} of {} requests were answered rightly ({share:.2} %); {} were dropped unsent, {} failed.",
        figure::count(ok),
        figure::count(planned),
        figure::count(dropped),
        figure::count(failed)
    )
}

/// At most so many rows stand behind a plot; longer series are in the CSV.
const ROWS: usize = 60;

fn table(courses: &[Course]) -> Table {
    let mut table = Table::new(["second"]);
    table.head.extend(courses.iter().map(|course| course.name.clone()));
    let mut starts: Vec<f64> =
        courses.iter().flat_map(|course| course.slices.iter().map(|it| it.start_s)).collect();
    starts.sort_by(f64::total_cmp);
    starts.dedup();
    let stride = starts.len().div_ceil(ROWS).max(1);
    for start in starts.into_iter().step_by(stride) {
        let cell = |course: &Course| {
            let slice = course.slices.iter().find(|slice| slice.start_s == start);
            slice.map_or(String::new(), |slice| figure::significant((course.value)(slice)))
        };
        table.rows.push([format!("{start:.1}")].into_iter().chain(courses.iter().map(cell)).collect());
    }
    table
}
