//! Where a hit rate of 99 % can be had: measured points on the ceiling of any cache.

use proofload_scenarios::zipf::ceiling;

use super::{Point, interval_of_sums};
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::layer::{Cell, Layer, push_joined};
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table, hits};

/// The published bound, and the published cache.
const CLAIMED: f64 = 0.99;
const PUBLISHED_ENTRIES: u32 = 27_000;
/// Cells of the map along each axis.
const ACROSS: usize = 36;
const UP: usize = 24;

/// A map for each number of links; the workload decides the rest. Points whose popularity drifts are drawn by the drift.
pub fn plots(points: &[Point]) -> Vec<Plot> {
    let (drifting, still): (Vec<Spot>, Vec<Spot>) =
        points.iter().filter_map(Spot::of).partition(|spot| spot.half_life.is_some());
    let mut links: Vec<u32> = still.iter().map(|spot| spot.links).collect();
    links.sort_unstable();
    links.dedup();
    let mut plots: Vec<Plot> =
        links.into_iter().map(|links| plot(links, &still)).chain(drift(&drifting)).collect();
    if let (Some(first), Some(said)) = (plots.first_mut(), in_one_sentence(&still)) {
        first.caption = format!("{said} {}", first.caption);
    }
    plots
}

/// Where the claim holds as stated, and where no cache could make it hold.
fn in_one_sentence(spots: &[Spot]) -> Option<String> {
    let published = |spot: &&Spot| spot.entries == PUBLISHED_ENTRIES;
    let place = |spot: &Spot| format!("{} over {} links", spot.zipf, figure::count(u64::from(spot.links)));
    let those = |which: &dyn Fn(&Spot) -> bool| -> Vec<String> {
        spots.iter().filter(published).filter(|spot| which(spot)).map(place).collect()
    };
    // What was reached by chance was within reach.
    let out_of_reach =
        |spot: &Spot| ceiling(spot.links, spot.zipf, spot.entries) < CLAIMED && spot.high < CLAIMED;
    let (holding, hopeless) = (those(&|spot| spot.low >= CLAIMED), those(&out_of_reach));
    let missed = those(&|spot| spot.high < CLAIMED && !out_of_reach(spot));
    let open = those(&|spot| spot.low < CLAIMED && spot.high >= CLAIMED);
    let list = |places: &[String]| match places.is_empty() {
        true => "nowhere that was measured".to_owned(),
        false => format!("at Zipf {}", places.join(", ")),
    };
    (!holding.is_empty() || !hopeless.is_empty()).then(|| {
        format!(
            "With the published 27,000 entries 99 % holds as stated {}; no cache of that size could make it hold {}{}{}.",
            list(&holding),
            list(&hopeless),
            if missed.is_empty() { String::new() } else { format!("; within reach and missed {}", list(&missed)) },
            if open.is_empty() { String::new() } else { format!("; not settled {}", list(&open)) }
        )
    })
}

/// A measured point: the workload, the cache, and what came of it.
struct Spot {
    links: u32,
    zipf: f64,
    entries: u32,
    /// Visits after which half of the links have another rank, where popularity drifts.
    half_life: Option<u64>,
    hit_rate: f64,
    /// Its 95 % interval.
    low: f64,
    high: f64,
}

impl Spot {
    fn of(point: &Point) -> Option<Spot> {
        let links = point.measurement.scenario.links.as_ref()?;
        let series = point.measurement.series.first().filter(|_| point.measurement.invalid.is_empty())?;
        let (low, high) = interval_of_sums(&hits::pairs(series)).unwrap_or((0.0, 1.0));
        Some(Spot {
            low,
            high: high.min(1.0),
            links: links.count,
            zipf: links.zipf,
            half_life: links.half_life_visits,
            entries: *point.measurement.facts.get("cache_entries")? as u32,
            hit_rate: hits::rate(series)?,
        })
    }
}

fn plot(links: u32, spots: &[Spot]) -> Plot {
    let spots: Vec<&Spot> = spots.iter().filter(|spot| spot.links == links).collect();
    let share = |spot: &Spot| f64::from(spot.entries) / f64::from(links);
    let range = |of: &dyn Fn(&Spot) -> f64| {
        let values = spots.iter().map(|spot| of(spot));
        (values.clone().fold(f64::INFINITY, f64::min), values.fold(0.0, f64::max))
    };
    let (low, high) = range(&|spot| spot.zipf);
    let (smallest, _) = range(&share);
    let x =
        Axis::log("cache size, as a share of all links", Reading::Percent, [smallest * 0.5, 1.0].into_iter());
    let y = Axis::linear("Zipf exponent", Reading::Number, (low - 0.2).max(0.0), high.max(1.4) + 0.2);
    let mut layers = vec![Layer::Boxes { boxes: map(links, &x, &y) }];
    layers.push(Layer::Line {
        name: "99 %".to_owned(),
        look: Ink::Strong.look(),
        points: line(links, &x, &y),
    });
    for spot in &spots {
        let at = (share(spot), spot.zipf);
        layers.push(Layer::spot(at, Ink::Strong.look()));
        layers.push(Layer::Note { at, text: format!("{:.1}", spot.hit_rate * 100.0) });
    }
    Plot {
        id: format!("links-{links}"),
        title: format!("Where a hit rate of 99 % can be had, {} links", figure::count(u64::from(links))),
        caption: caption(links, &spots),
        measurement: None,
        folded: None,
        chart: Chart::new(x, y, layers),
        table: table(&spots),
    }
}

/// The hit rate against the drift of popularity: where half of the links change rank within few visits, a cache knows the
/// past only.
fn drift(spots: &[Spot]) -> Option<Plot> {
    let mut points: Vec<(f64, f64)> =
        spots.iter().filter_map(|spot| Some((spot.half_life? as f64, spot.hit_rate))).collect();
    points.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (first, (fastest, worst)) = (spots.first()?, points.first().copied()?);
    let (slowest, best) = points.last().copied()?;
    if points.len() < 2 {
        return None;
    }
    let attainable = ceiling(first.links, first.zipf, first.entries);
    let x = Axis::log(
        "visits until half of the links have another rank",
        Reading::Number,
        points.iter().map(|it| it.0),
    );
    let low = points.iter().map(|it| it.1).fold(attainable, f64::min);
    let y = Axis::linear("hit rate", Reading::Percent, (low - 0.05).max(0.0), 1.0);
    let mut table = Table::new(["half-life, visits", "measured", "ceiling without drift"]);
    for (half_life, rate) in &points {
        table.rows.push(vec![
            figure::count(*half_life as u64),
            format!("{:.2} %", rate * 100.0),
            format!("{:.2} %", attainable * 100.0),
        ]);
    }
    let layers = vec![
        Layer::Level { name: "99 %".to_owned(), value: CLAIMED },
        Layer::Level { name: "ceiling".to_owned(), value: attainable },
        Layer::Marked { name: "measured".to_owned(), look: Ink::Series(0).look(), points },
    ];
    Some(Plot {
        id: "drift".to_owned(),
        title: "The hit rate where popularity drifts".to_owned(),
        caption: format!(
            "{} links by Zipf {}, {} entries. The ceiling is that of a cache that always knows the hottest. Where half of \
             the links change rank within {} visits the hit rate is {:.1} %, within {} visits {:.1} %.",
            figure::count(u64::from(first.links)),
            first.zipf,
            figure::count(u64::from(first.entries)),
            figure::count(fastest as u64),
            worst * 100.0,
            figure::count(slowest as u64),
            best * 100.0,
        ),
        measurement: None,
        folded: None,
        chart: Chart::new(x, y, layers),
        table,
    })
}

/// The ceiling of every cell: the stronger the colour, the more misses remain for any cache.
fn map(links: u32, x: &Axis, y: &Axis) -> Vec<Cell> {
    let mut boxes = Vec::new();
    for row in 0..UP {
        let (bottom, top) = (along(y, row, UP), along(y, row + 1, UP));
        let mass = Mass::of(links, (bottom + top) / 2.0);
        for column in 0..ACROSS {
            let (left, right) = (along(x, column, ACROSS), along(x, column + 1, ACROSS));
            let best = mass.of_hottest((f64::from(links) * (left * right).sqrt()) as u32);
            push_joined(&mut boxes, (left, bottom, right, top, Ink::Heat(step(best)).look()));
        }
    }
    boxes.sort_by_key(|(.., look)| look.ink);
    boxes
}

/// The smallest cache that could reach 99 %, by exponent.
fn line(links: u32, x: &Axis, y: &Axis) -> Vec<(f64, f64)> {
    // From the top down, so that its name stands where it ends: at the right.
    (0..=UP)
        .rev()
        .map(|row| {
            let exponent = along(y, row, UP);
            let share = f64::from(Mass::of(links, exponent).needed(CLAIMED)) / f64::from(links);
            (share.clamp(x.low, x.high), exponent)
        })
        .collect()
}

/// The value a part of the way along an axis.
fn along(axis: &Axis, part: usize, of: usize) -> f64 {
    axis.value(
        axis.place(axis.low) + (axis.place(axis.high) - axis.place(axis.low)) * part as f64 / of as f64,
    )
}

/// Misses that no cache avoids, in steps: 1 %, 2 %, 5 %, 10 %, 20 %, 40 %, 60 %.
fn step(best: f64) -> u8 {
    [0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6].iter().filter(|misses| 1.0 - best > **misses).count() as u8
}

/// The share of visits on the k hottest links, for all k at once.
struct Mass(Vec<f64>);

impl Mass {
    fn of(links: u32, exponent: f64) -> Mass {
        let mut sum = 0.0;
        let mut sums: Vec<f64> = (1..=links)
            .map(|rank| {
                sum += f64::from(rank).powf(-exponent);
                sum
            })
            .collect();
        sums.iter_mut().for_each(|it| *it /= sum);
        Mass(sums)
    }

    fn of_hottest(&self, entries: u32) -> f64 {
        match entries {
            0 => 0.0,
            k => self.0[(k as usize).min(self.0.len()) - 1],
        }
    }

    fn needed(&self, share: f64) -> u32 {
        self.0.partition_point(|mass| *mass < share) as u32 + 1
    }
}

fn caption(links: u32, spots: &[&Spot]) -> String {
    let holds = spots.iter().filter(|spot| spot.low >= CLAIMED).count();
    let cannot = spots.iter().filter(|spot| ceiling(links, spot.zipf, spot.entries) < CLAIMED).count();
    let stated = |zipf: f64| figure::count(u64::from(Mass::of(links, zipf).needed(CLAIMED)));
    format!(
        "Measured hit rates in percent, on the ceiling that no cache can pass; right of the line 99 % is within reach. \
         Of {} measured points {holds} reach 99 %; at {cannot} no cache of that size could: 99 % of the visits to {} links \
         take {} entries at Zipf 0.99, {} at 1.2 and {} at 1.41.",
        spots.len(),
        figure::count(u64::from(links)),
        stated(0.99),
        stated(1.2),
        stated(1.41),
    )
}

fn table(spots: &[&Spot]) -> Table {
    let mut table = Table::new(["Zipf exponent", "entries", "measured", "ceiling", "of the ceiling"]);
    for spot in spots {
        let best = ceiling(spot.links, spot.zipf, spot.entries);
        table.rows.push(vec![
            spot.zipf.to_string(),
            figure::count(u64::from(spot.entries)),
            format!("{:.2} %", spot.hit_rate * 100.0),
            format!("{:.2} %", best * 100.0),
            format!("{:.2} %", spot.hit_rate / best * 100.0),
        ]);
    }
    table
}
