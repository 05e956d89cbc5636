//! Latency by percentile, out to the last that the samples can tell.

use statrs::distribution::{ContinuousCDF, StudentsT};

use crate::distribution::Distribution;
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::inks;
use crate::plot::layer::Layer;
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table};
use crate::render::rates;
use crate::run::{Measurement, Model, Series, Slice};
use crate::statistics::ratio;
use crate::tally::{Tally, untimed};

/// Points of the curve to each nine.
const POINTS_A_NINE: u32 = 20;
/// Blocks of slices that the band is made from, and the fewest that make one.
const BLOCKS: usize = 20;
const FEWEST_BLOCKS: usize = 8;

/// Response and service time of a single series; of several series, what each is judged by.
pub fn plot(measurement: &Measurement) -> Option<Plot> {
    drawn_of(measurement, &measurement.series)
}

/// Response and service time of one of several series.
pub fn of_variant(measurement: &Measurement, series: &Series) -> Option<Plot> {
    drawn_of(measurement, std::slice::from_ref(series))
}

fn drawn_of(measurement: &Measurement, all: &[Series]) -> Option<Plot> {
    let curves = curves(measurement.model, all);
    let caption = caption(measurement.model, all.len(), curves.first()?);
    drawn("Latency by percentile".to_owned(), caption, &curves)
}

/// What two measurements of one scenario are judged by, a plot for each variant that both have.
pub fn overlaid(a: &Measurement, b: &Measurement) -> Vec<Plot> {
    let name = rates::times_of(a.model);
    let mut plots = Vec::new();
    for (index, one) in a.series.iter().enumerate() {
        let other = b.series.iter().find(|it| it.variant == one.variant);
        let both = [("A", Some(one)), ("B", other)];
        let curves: Vec<Curve> = (0..)
            .map(inks::of_variant)
            .zip(both)
            .filter_map(|(ink, (side, series))| {
                let series = series?;
                let times = series.times.get(name).filter(|times| times.count() > 0)?;
                Some(Curve {
                    name: side.to_owned(),
                    ink,
                    series,
                    times,
                    lost: untimed(name, series),
                    slices: Some(&series.slices),
                })
            })
            .collect();
        if curves.len() < 2 {
            continue;
        }
        let title = format!("{}: {name} time", rates::name(a, one));
        let caption =
            "The bands are 95 % intervals of each run by itself, not of what the next run would give.";
        plots.extend(
            drawn(title, caption.to_owned(), &curves)
                .map(|plot| Plot { id: format!("overlaid-{index}"), ..plot }),
        );
    }
    plots
}

fn drawn(title: String, caption: String, curves: &[Curve]) -> Option<Plot> {
    let longest =
        curves.iter().map(|curve| curve.times.count() + curve.lost).max().filter(|count| *count > 0)?;
    let mut layers = Vec::new();
    for curve in curves {
        layers.extend(
            curve
                .slices
                .and_then(|slices| band(curve, slices))
                .map(|outline| Layer::Area { look: curve.ink.look().faint(0.2), outline }),
        );
    }
    layers.extend(curves.iter().map(|curve| Layer::Line {
        name: curve.name.clone(),
        look: curve.ink.look(),
        points: points(curve),
    }));
    let values = curves.iter().flat_map(points).map(|(_, us)| us);
    let y = Axis::log("time", Reading::Microseconds, values);
    let x = Axis::tail("percentile: each step to the right is ten times rarer", longest);
    Some(Plot {
        id: "percentiles".to_owned(),
        title,
        caption,
        measurement: None,
        folded: None,
        chart: Chart::new(x, y, layers),
        table: table(curves),
    })
}

struct Curve<'a> {
    name: String,
    ink: Ink,
    series: &'a Series,
    times: &'a Distribution,
    /// Requests that have no time: they lie beyond the right end of the curve.
    lost: u64,
    /// Slices to make a band from, where they hold the same times.
    slices: Option<&'a [Slice]>,
}

fn curves(model: Model, all: &[Series]) -> Vec<Curve<'_>> {
    let wanted: &[&str] = match (model, all.len()) {
        (Model::Open, 1) => &["response", "service"],
        (Model::Open, _) => &["response"],
        _ => &["service"],
    };
    let mut curves = Vec::new();
    for series in all {
        for name in wanted {
            let Some(times) = series.times.get(*name).filter(|times| times.count() > 0) else { continue };
            let ink = match all.len() {
                1 if *name == "service" => inks::SERVICE,
                1 => inks::SERVER,
                _ => inks::of_variant(curves.len()),
            };
            curves.push(Curve {
                name: if all.len() > 1 { series.variant.clone() } else { (*name).to_owned() },
                ink,
                series,
                times,
                lost: untimed(name, series),
                slices: band_of(name, wanted, series),
            });
        }
    }
    curves
}

/// The first kind of times is the one that the slices hold.
fn band_of<'a>(name: &str, wanted: &[&str], series: &'a Series) -> Option<&'a [Slice]> {
    (name == wanted[0]).then_some(series.slices.as_slice())
}

/// Quantiles among the recorded times alone, so many points to each nine.
pub fn answered_within(times: &Distribution, a_nine: u32) -> impl Iterator<Item = (f64, f64)> + '_ {
    quantiles(times.count(), a_nine).filter_map(|q| Some((q, times.quantile_us(q)?)))
}

/// Quantiles among all requests: the lost ones count as slowest, so the curve ends where they begin.
fn points(curve: &Curve) -> Vec<(f64, f64)> {
    let answered = curve.times.count() as f64 / (curve.times.count() + curve.lost) as f64;
    answered_within(curve.times, POINTS_A_NINE).map(|(q, us)| (q * answered, us)).collect()
}

/// Quantiles that lie equally far apart on an axis of nines, to the last that `count` values can tell.
fn quantiles(count: u64, a_nine: u32) -> impl Iterator<Item = f64> {
    let nines = (count.max(1) as f64).log10();
    let last = (nines * f64::from(a_nine)).floor() as u32;
    (0..=last).map(move |step| 1.0 - 10f64.powf(-f64::from(step) / f64::from(a_nine)))
}

/// The outline of the 95 % band: at each time, the interval of the share of requests that took longer.
///
/// Requests that lie close together in time share their fate, so slices in blocks are the samples, not
/// requests: the share is a ratio of sums over blocks, its error that of a ratio estimator, on a log scale.
fn band(curve: &Curve, slices: &[Slice]) -> Option<Vec<(f64, f64)>> {
    let size = slices.len().div_ceil(BLOCKS).max(1);
    let blocks: Vec<Distribution> = slices.chunks(size).map(merged).collect();
    if blocks.len() < FEWEST_BLOCKS {
        return None;
    }
    let all = (curve.times.count() + curve.lost) as f64;
    // What is lost is shared out over the blocks: when it was lost is not kept with the times.
    let lost = curve.lost as f64 / blocks.len() as f64;
    let counts: Vec<f64> = blocks.iter().map(|block| block.count() as f64 + lost).collect();
    let t = StudentsT::new(0.0, 1.0, blocks.len() as f64 - 1.0).ok()?.inverse_cdf(0.975);
    let rarest = 1.0 / all;
    let steps: Vec<f64> = points(curve).into_iter().map(|(_, us)| us).collect();
    let above: Vec<Vec<f64>> = blocks.iter().map(|block| longer_than(block, &steps)).collect();
    let (mut fast, mut slow) = (Vec::new(), Vec::new());
    for (index, us) in steps.iter().enumerate() {
        let pairs: Vec<(f64, f64)> =
            above.iter().zip(&counts).map(|(block, count)| (block[index] + lost, *count)).collect();
        let Some((share, error)) = ratio::of_sums(&pairs) else { continue };
        // Of fewer than five slower requests no normal interval can be made.
        if share * all <= 5.0 {
            break;
        }
        let spread = (t * error / share).exp();
        fast.push((1.0 - (share / spread).clamp(rarest, 1.0), *us));
        slow.push((1.0 - (share * spread).clamp(rarest, 1.0), *us));
    }
    slow.reverse();
    fast.extend(slow);
    (fast.len() > 2).then_some(fast)
}

fn merged(slices: &[Slice]) -> Distribution {
    let mut all = Distribution::default();
    slices.iter().for_each(|slice| all.merge(&slice.latency.unpack()));
    all
}

/// How many took longer than each of the times, which ascend: one pass over the bins.
fn longer_than(times: &Distribution, ascending_us: &[f64]) -> Vec<f64> {
    let mut bins = times.0.iter_recorded().peekable();
    let mut up_to = 0;
    let mut above = Vec::with_capacity(ascending_us.len());
    for us in ascending_us {
        while let Some(bin) = bins.next_if(|bin| bin.value_iterated_to() as f64 <= us * 1_000.0) {
            up_to += bin.count_at_value();
        }
        above.push((times.count() - up_to) as f64);
    }
    above
}

fn caption(model: Model, variants: usize, first: &Curve) -> String {
    let at = |q| first.times.quantile_of_all_us(q, first.lost).map_or("never".to_owned(), figure::time_us);
    let lost = not_in_the_curve(model, first);
    let longest = first.times.quantile_us(1.0).map_or("–".to_owned(), figure::time_us);
    let figures = format!(
        "{}: half within {}, 99 % within {}, the longest {longest}.{lost}",
        first.name,
        at(0.5),
        at(0.99)
    );
    match (model, variants) {
        (Model::Open, 1) => format!(
            "{figures} Response time counts from when a request was due, service time from when it was sent; \
             the gap between the curves is waiting. The band is a 95 % interval."
        ),
        (Model::Open, _) => format!("{figures} Response time, from when a request was due, of each variant."),
        _ => {
            format!("{figures} Service time: in a closed run the client waits, so there is no response time.")
        }
    }
}

/// What a reader of the curve might look for in it.
fn not_in_the_curve(model: Model, curve: &Curve) -> String {
    let tally = Tally::of(&curve.series.slices);
    let timed_out = if model == Model::Open { tally.timeout } else { 0 };
    [
        (
            curve.lost,
            "were dropped, failed or answered wrongly and count as slowest, beyond the end of the curve",
        ),
        (timed_out, "timed out and count with the time that was waited"),
        (tally.under_way(), "were still under way at the end and are not counted"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!(" {} {what}.", figure::count(count)))
    .collect()
}

fn table(curves: &[Curve]) -> Table {
    let mut table = Table::new(["percentile"]);
    table.head.extend(curves.iter().map(|curve| curve.name.clone()));
    for (q, name) in [
        (0.5, "50 %"),
        (0.75, "75 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (1.0, "longest"),
    ] {
        let cells = curves.iter().map(|curve| cell(curve, q));
        table.rows.push([name.to_owned()].into_iter().chain(cells).collect());
    }
    table
}

/// A percentile that fewer than ten requests lie beyond is not told.
fn cell(curve: &Curve, q: f64) -> String {
    let all = (curve.times.count() + curve.lost) as f64;
    match () {
        () if q == 1.0 => curve.times.quantile_us(q).map_or("–".to_owned(), figure::time_us),
        () if (1.0 - q) * all < 10.0 => "too few".to_owned(),
        () => curve.times.quantile_of_all_us(q, curve.lost).map_or("never".to_owned(), figure::time_us),
    }
}
