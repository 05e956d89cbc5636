//! Latency by time: how many requests took how long, and when.

use crate::distribution::Distribution;
use crate::figure;
use crate::plot::axis::{Axis, Reading};
use crate::plot::chart::Chart;
use crate::plot::layer::{Cell, Counts, Layer, push_joined};
use crate::plot::sheet::Ink;
use crate::plot::{Plot, Table, seconds, stride};
use crate::run::{Measurement, Model, Series, Slice};

/// Most columns (stretches of time) and rows (ranges of latency) of the map.
const COLUMNS: usize = 48;
const ROWS: usize = 26;

/// Drawn where there are slices enough to show a change.
pub fn plot(measurement: &Measurement, series: &Series) -> Option<Plot> {
    let grid = Grid::of(series)?;
    let times = if measurement.model == Model::Open { "response time" } else { "service time" };
    let x = Axis::time(grid.columns.last()?.end_s);
    let y = Axis::log(times, Reading::Microseconds, [grid.edge(0), grid.edge(ROWS)].into_iter());
    let most = grid.most();
    let scale = Layer::Scale { steps: FAINTEST..=STRONGEST, few: "1".to_owned(), many: figure::count(most) };
    let mut chart = Chart::new(x, y, vec![Layer::Boxes { boxes: grid.boxes() }, scale]);
    chart.counts = Some(grid.counts());
    Some(Plot {
        id: "heat".to_owned(),
        title: "Latency over time".to_owned(),
        caption: format!(
            "The stronger the colour, the more requests took that long at that time: up to {} a cell, each step about \
             three times as many as the one before. {}",
            figure::count(most),
            grid.worst()
        ),
        measurement: None,
        folded: None,
        chart,
        table: grid.table(),
    })
}

struct Grid {
    columns: Vec<Column>,
    low: f64,
    high: f64,
}

/// A stretch of time: how many requests took how long.
struct Column {
    start_s: f64,
    end_s: f64,
    counts: [u64; ROWS],
    p50_us: f64,
    p99_us: f64,
    max_us: f64,
}

impl Grid {
    fn of(series: &Series) -> Option<Grid> {
        let slices: Vec<&Slice> = series.slices.iter().filter(|slice| slice.latency.count() > 0).collect();
        if slices.len() < 4 {
            return None;
        }
        let ends = slices.iter().map(|slice| slice.latency.unpack().0).map(|it| (it.min_nz(), it.max()));
        let (low, high) = ends.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1)))?;
        let (low, high) = (low.max(1) as f64 / 1e3, high as f64 / 1e3 * 1.01);
        let size = slices.len().div_ceil(COLUMNS);
        let columns = slices.chunks(size).map(|chunk| Column::of(chunk, low, high)).collect();
        Some(Grid { columns, low, high })
    }

    /// The lower edge of a row, in microseconds: rows are equally high on a log axis.
    fn edge(&self, row: usize) -> f64 {
        self.low * (self.high / self.low).powf(row as f64 / ROWS as f64)
    }

    /// The most requests in any cell.
    fn most(&self) -> u64 {
        self.columns.iter().flat_map(|column| column.counts).max().unwrap_or(1)
    }

    fn counts(&self) -> Counts {
        let column = |it: &Column| (it.start_s, it.end_s, it.counts.to_vec());
        Counts { low: self.low, high: self.high, columns: self.columns.iter().map(column).collect() }
    }

    fn boxes(&self) -> Vec<Cell> {
        let most = self.most() as f64;
        let mut boxes: Vec<Cell> = Vec::new();
        for row in 0..ROWS {
            let (bottom, top) = (self.edge(row), self.edge(row + 1));
            for column in self.columns.iter().filter(|column| column.counts[row] > 0) {
                let look = Ink::Heat(step(column.counts[row] as f64 / most)).look();
                push_joined(&mut boxes, (column.start_s, bottom, column.end_s, top, look));
            }
        }
        boxes.sort_by_key(|(.., look)| look.ink);
        boxes
    }

    fn worst(&self) -> String {
        let worst = self.columns.iter().max_by(|a, b| a.p99_us.total_cmp(&b.p99_us));
        worst.map_or(String::new(), |column| {
            format!(
                "The worst stretch began at {:.0} s: p99 {}.",
                column.start_s,
                figure::time_us(column.p99_us)
            )
        })
    }

    fn table(&self) -> Table {
        let stride = stride(self.columns.len());
        let worst = |name: &str| if stride == 1 { name.to_owned() } else { format!("highest {name}") };
        let mut table = Table::new([seconds(stride), worst("p50"), worst("p99"), "longest".to_owned()]);
        for columns in self.columns.chunks(stride) {
            let highest = |of: fn(&Column) -> f64| columns.iter().map(of).fold(0.0, f64::max);
            let times = [highest(|it| it.p50_us), highest(|it| it.p99_us), highest(|it| it.max_us)];
            let times = times.map(figure::time_us);
            table.rows.push([format!("{:.1}", columns[0].start_s)].into_iter().chain(times).collect());
        }
        table
    }
}

impl Column {
    fn of(slices: &[&Slice], low: f64, high: f64) -> Column {
        let (first, last) = (slices[0], slices[slices.len() - 1]);
        let mut counts = [0; ROWS];
        let mut all = Distribution::default();
        for slice in slices {
            let latency = slice.latency.unpack();
            all.merge(&latency);
            for bin in latency.0.iter_recorded() {
                let us = (bin.value_iterated_to() as f64 / 1e3).clamp(low, high);
                let row = ((us / low).ln() / (high / low).ln() * ROWS as f64) as usize;
                counts[row.min(ROWS - 1)] += bin.count_at_value();
            }
        }
        let at = |q| all.quantile_us(q).unwrap_or(0.0);
        Column {
            start_s: first.start_s,
            end_s: last.start_s + last.duration_s,
            counts,
            p50_us: at(0.5),
            p99_us: at(0.99),
            max_us: at(1.0),
        }
    }
}

const FAINTEST: u8 = 1;
const STRONGEST: u8 = 8;

/// Steps of half a decade, so that a handful of slow requests stays visible beside thousands of fast ones.
fn step(share: f64) -> u8 {
    let strongest = f64::from(STRONGEST);
    (strongest + share.max(1e-9).log10() * 2.0).clamp(f64::from(FAINTEST), strongest).round() as u8
}
