//! The generator's own error over time: its load, time stolen by the machine's host, lateness.

use crate::figure;
use crate::plot::Plot;
use crate::plot::axis::Reading;
use crate::plot::sheet::Ink;
use crate::plot::time::{Course, cores, draw};
use crate::render::rates;
use crate::run::Series;

/// The sum of how late each request was sent, in microseconds.
const LATENESS: &str = "client.send_delay_us";

/// How busy the generator was, and what the machine's host took away.
pub fn plot(series: &Series) -> Option<Plot> {
    let courses: Vec<Course> = [("generator", 0, "cpu.generator_us"), ("steal", 1, "machine.steal_us")]
        .into_iter()
        .filter(|(.., counter)| is_measured(series, counter))
        .map(|(name, ink, counter)| Course {
            name: name.to_owned(),
            look: Ink::Series(ink).look(),
            slices: &series.slices,
            value: cores(counter.to_owned()),
        })
        .collect();
    let caption =
        "Where the generator lags or the host takes the processor away, latencies are not the server's.";
    (!courses.is_empty()).then(|| {
        draw("generator", "The generator's own load", "cores", Reading::Number, &courses, caption.to_owned())
    })
}

/// How late requests were sent, slice by slice: the mean, which a single stall moves.
pub fn lateness(series: &Series) -> Option<Plot> {
    let times = series.times.get("send-delay").filter(|times| times.count() > 0)?;
    if !is_measured(series, LATENESS) {
        return None;
    }
    let course = Course {
        name: "send delay".to_owned(),
        look: Ink::Series(0).look(),
        slices: &series.slices,
        value: Box::new(|slice| rates::count(slice, LATENESS) as f64 / slice.latency.count().max(1) as f64),
    };
    let at = |q| times.quantile_us(q).map_or("–".to_owned(), figure::time_us);
    let caption = format!(
        "How late requests were sent, on average of each slice. Of all: {} at the median, {} at p99, {} at most. \
         Response times contain it.",
        at(0.5),
        at(0.99),
        at(1.0)
    );
    let title = "The generator's own error: send delay";
    Some(draw("send-delay", title, "mean send delay", Reading::Microseconds, &[course], caption))
}

fn is_measured(series: &Series, counter: &str) -> bool {
    series.slices.iter().any(|slice| slice.counters.contains_key(counter))
}
