//! The generator's own error: its lag, how late requests were sent, its load, time stolen by the machine's host.

use crate::distribution::Distribution;
use crate::figure;
use crate::lag;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::inks;
use crate::plot::layer::Layer;
use crate::plot::percentiles::answered_within;
use crate::plot::sheet::Ink;
use crate::plot::time::{Course, cores, draw};
use crate::plot::{Plot, Table};
use crate::render::rates;
use crate::run::{GeneratorError, Series, Slice};

/// The sum of how late each request was sent, in microseconds.
const LATENESS: &str = "client.send_delay_us";

/// The sum of how late each arrival was noticed, in microseconds, and the arrivals.
const LAG: &str = "client.lag_us";
const ARRIVALS: &str = "client.arrivals";
const STEAL: &str = "machine.steal_us";
/// Cores that the host takes away at least where that is shaded.
const SHADED: f64 = 0.01;

/// Points of a curve to each nine: what is compared here differs by powers of ten.
const POINTS_A_NINE: u32 = 8;

/// How busy the generator was, and what the machine's host took away.
pub fn load(series: &Series) -> Option<Plot> {
    let courses: Vec<Course> = [
        ("generator", inks::GENERATOR, "cpu.generator_us"),
        ("waiting for its core", inks::BETWEEN, "cpu.generator_wait_us"),
        ("steal", inks::FAILED, STEAL),
    ]
    .into_iter()
    .filter(|(.., counter)| is_measured(series, counter))
    .map(|(name, ink, counter)| Course {
        name: name.to_owned(),
        look: ink.look(),
        slices: &series.slices,
        value: cores(counter.to_owned()),
    })
    .collect();
    let caption = "Where the generator has to wait for its core, or the host takes the cores away (steal), latencies are \
                   not the server's.";
    (!courses.is_empty()).then(|| {
        draw("generator", "The generator's own load", "cores", Reading::Number, &courses, caption.to_owned())
    })
}

/// What the generator added to the times that it tells: its lag, beside them.
pub fn error(series: &Series, known: Option<&GeneratorError>) -> Option<Plot> {
    let curves: Vec<(&str, Ink, &Distribution)> = [
        ("response", "response", inks::SERVER),
        ("send-delay", "send delay", inks::BETWEEN),
        (lag::NAME, "lag", inks::GENERATOR),
    ]
    .into_iter()
    .filter_map(|(name, label, ink)| Some((label, ink, filled(series, name)?)))
    .collect();
    let (lag, response) = (filled(series, lag::NAME)?, filled(series, "response")?);
    let most = curves.iter().map(|(.., times)| times.count()).max()?;
    let mut layers: Vec<Layer> = curves
        .iter()
        .map(|(label, ink, times)| Layer::Line {
            name: (*label).to_owned(),
            look: ink.look(),
            points: answered_within(times, POINTS_A_NINE).collect(),
        })
        .collect();
    let values: Vec<f64> =
        curves.iter().flat_map(|(.., times)| answered_within(times, POINTS_A_NINE)).map(|it| it.1).collect();
    layers.extend(
        known.map(|error| Layer::Level { name: "selftest p99".to_owned(), value: error.send_delay_p99_us }),
    );
    let bound = known.map(|error| error.send_delay_p99_us);
    let y = Axis::log("time", Reading::Microseconds, values.into_iter().chain(bound));
    Some(Plot {
        id: "own-error".to_owned(),
        title: "The generator's own error: lag".to_owned(),
        caption: format!("{}{}", told(lag, response), selftest(known)),
        measurement: None,
        folded: None,
        chart: Chart::new(
            Axis::tail("percentile: each step to the right is ten times rarer", most),
            y,
            layers,
        ),
        table: table(&curves),
    })
}

/// The generator's lag slice by slice, the mean, which a single stall moves; where the host took the cores away is shaded.
pub fn lag(series: &Series) -> Option<Plot> {
    let times = filled(series, lag::NAME)?;
    let course = Course {
        name: "lag".to_owned(),
        look: inks::GENERATOR.look(),
        slices: &series.slices,
        value: Box::new(|slice| (rates::count(slice, LAG) as f64, rates::count(slice, ARRIVALS) as f64)),
    };
    if !is_measured(series, LAG) {
        return None;
    }
    let steal = cores(STEAL.to_owned());
    let stolen: Vec<&Slice> = series
        .slices
        .iter()
        .filter(|slice| {
            let (cores, seconds) = steal(slice);
            cores > SHADED * seconds
        })
        .collect();
    let shaded = match (is_measured(series, STEAL), stolen.len()) {
        (false, _) => String::new(),
        (true, 0) => " In no slice did the host take more than 0.01 cores away.".to_owned(),
        (true, n) => format!(" Shaded: {n} slices in which the host took more than 0.01 cores away (steal)."),
    };
    let caption = format!(
        "How late the generator noticed that requests were due, on average of each slice. Of all: {} at the median, {} at \
         p99, {} at most. Response times contain it.{shaded}",
        at(times, 0.5),
        at(times, 0.99),
        at(times, 1.0)
    );
    let mut plot = draw(
        "lag",
        "The generator's own error over time",
        "mean lag",
        Reading::Microseconds,
        &[course],
        caption,
    );
    let (low, high) = (plot.chart.y.low, plot.chart.y.high);
    let look = inks::FAILED.look().faint(0.25);
    let boxes = stolen.iter().map(|it| (it.start_s, low, it.start_s + it.duration_s, high, look)).collect();
    plot.chart.layers.insert(0, Layer::Boxes { boxes });
    Some(plot)
}

/// How late requests were sent, slice by slice: the mean, which a single stall moves.
pub fn lateness(series: &Series) -> Option<Plot> {
    let times = filled(series, "send-delay")?;
    if !is_measured(series, LATENESS) {
        return None;
    }
    let course = Course {
        name: "send delay".to_owned(),
        look: inks::BETWEEN.look(),
        slices: &series.slices,
        value: Box::new(|slice| (rates::count(slice, LATENESS) as f64, slice.latency.count() as f64)),
    };
    let caption = format!(
        "From when a request was due to when it was sent, on average of each slice: the wait for a free connection, \
         which is the server's doing, and the generator's own lag. Of all: {} at the median, {} at p99, {} at most. \
         Response times contain it.",
        at(times, 0.5),
        at(times, 0.99),
        at(times, 1.0)
    );
    Some(draw("send-delay", "Send delay", "mean send delay", Reading::Microseconds, &[course], caption))
}

fn told(lag: &Distribution, response: &Distribution) -> String {
    let beside = lag::JUDGED.map(|(name, q, _)| {
        let share =
            lag.quantile_us(q).zip(response.quantile_us(q)).map_or(0.0, |(lag, all)| lag / all * 100.0);
        format!("{} at {name}, {} % of the response time there", at(lag, q), figure::significant(share))
    });
    let harmless = lag::JUDGED.map(|(name, _, us)| format!("{} at {name}", figure::time_us(us)));
    format!(
        "Lag is how late the generator noticed that a request was due: {}. More than {} % (and more than {}) makes \
         latencies invalid. Send delay is lag and the wait for a free connection.",
        beside.join(", "),
        figure::significant(lag::OWN_SHARE * 100.0),
        harmless.join(", "),
    )
}

fn selftest(known: Option<&GeneratorError>) -> String {
    match known {
        Some(error) => format!(
            " The last selftest on this machine, against a server that never makes it wait, sent {} late at the median, \
             {} at p99.",
            figure::time_us(error.send_delay_p50_us),
            figure::time_us(error.send_delay_p99_us)
        ),
        None => String::new(),
    }
}

fn table(curves: &[(&str, Ink, &Distribution)]) -> Table {
    let mut table = Table::new(["percentile"]);
    table.head.extend(curves.iter().map(|(label, ..)| (*label).to_owned()));
    for (q, name) in [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"), (1.0, "longest")] {
        let cells = curves.iter().map(|(.., times)| at(times, q));
        table.rows.push([name.to_owned()].into_iter().chain(cells).collect());
    }
    table
}

fn at(times: &Distribution, q: f64) -> String {
    times.quantile_us(q).map_or("–".to_owned(), figure::time_us)
}

fn filled<'a>(series: &'a Series, name: &str) -> Option<&'a Distribution> {
    series.times.get(name).filter(|times| times.count() > 0)
}

fn is_measured(series: &Series, counter: &str) -> bool {
    series.slices.iter().any(|slice| slice.counters.contains_key(counter))
}
