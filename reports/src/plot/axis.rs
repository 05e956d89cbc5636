//! An axis: what it measures, its scale, its ticks.

use crate::figure;

/// How values are spread along an axis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Log,
    /// Quantiles, by the number of nines: 0.9, 0.99, 0.999 lie equally far apart.
    Tail,
}

/// How a value of the axis is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    Number,
    /// A share of one.
    Percent,
    Microseconds,
    Seconds,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    /// What it measures, with the unit where the ticks do not bear it.
    pub label: String,
    pub scale: Scale,
    pub reading: Reading,
    pub low: f64,
    pub high: f64,
    /// The values that ticks stand at.
    marks: Vec<f64>,
    /// Names in place of ticks: `(value, name)`.
    pub names: Vec<(f64, String)>,
}

impl Axis {
    /// From the last tick at or below `low` to the first at or above `high`.
    pub fn linear(label: &str, reading: Reading, low: f64, high: f64) -> Axis {
        let high = if high > low { high } else { low + 1.0 };
        let step = linear_step(low, high);
        let (first, last) = ((low / step + 1e-9).floor() as i64, (high / step - 1e-9).ceil() as i64);
        let marks = (first..=last).map(|n| n as f64 * step).collect();
        Axis::between_marks(label, Scale::Linear, reading, marks)
    }

    /// Seconds since the measurement began, to its very end: what comes after was not measured.
    pub fn time(seconds: f64) -> Axis {
        let label = "seconds since the measurement began";
        let mut axis = Axis::linear(label, Reading::Seconds, 0.0, seconds);
        axis.high = if seconds > 0.0 { seconds } else { axis.high };
        axis.marks.retain(|mark| *mark <= axis.high);
        axis
    }

    /// Parts of a whole, of which there is no more than all: beyond the last tick is room for words alone.
    pub fn share_with_room(label: &str, high: f64) -> Axis {
        let mut axis = Axis::linear(label, Reading::Percent, 0.0, high.min(1.0));
        axis.high *= 1.25;
        axis
    }

    /// Seconds stand on no other axis.
    pub fn is_time(&self) -> bool {
        self.reading == Reading::Seconds
    }

    /// A logarithmic axis between the ticks around the values; zeroes are left out.
    pub fn log(label: &str, reading: Reading, values: impl Iterator<Item = f64>) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        Axis::between_marks(label, Scale::Log, reading, log_marks(low, high))
    }

    /// Quantiles from the median's side to the last that `count` values can tell.
    pub fn tail(label: &str, count: u64) -> Axis {
        let marks = [0.0, 1.0 - 1.0 / count.max(10) as f64];
        Axis::between_marks(label, Scale::Tail, Reading::Percent, marks.into())
    }

    /// One place for each name, from 0 up.
    pub fn named(label: &str, names: Vec<String>) -> Axis {
        let marks = vec![0.0, names.len() as f64];
        let names = names.into_iter().enumerate().map(|(index, name)| (index as f64 + 0.5, name)).collect();
        Axis { names, ..Axis::between_marks(label, Scale::Linear, Reading::Number, marks) }
    }

    fn between_marks(label: &str, scale: Scale, reading: Reading, marks: Vec<f64>) -> Axis {
        let (low, high) = (marks[0], marks[marks.len() - 1]);
        Axis { label: label.to_owned(), scale, reading, low, high, marks, names: Vec::new() }
    }

    /// Where a value lies, in units in which the axis is even.
    pub fn place(&self, value: f64) -> f64 {
        match self.scale {
            Scale::Linear => value,
            Scale::Log => value.max(self.low).log10(),
            Scale::Tail => -(1.0 - value).max(1e-12).log10(),
        }
    }

    /// The value at a place: what [`Axis::place`] undoes.
    pub fn value(&self, place: f64) -> f64 {
        match self.scale {
            Scale::Linear => place,
            Scale::Log => 10f64.powf(place),
            Scale::Tail => 1.0 - 10f64.powf(-place),
        }
    }

    pub fn ticks(&self) -> Vec<(f64, String)> {
        if !self.names.is_empty() {
            return self.names.clone();
        }
        if self.scale == Scale::Tail {
            return tail_ticks(self.high);
        }
        let step = if self.marks.len() > 1 { self.marks[1] - self.marks[0] } else { 1.0 };
        self.marks.iter().map(|value| (*value, self.written(*value, step))).collect()
    }

    /// A tick's value with as many digits as its step needs.
    fn written(&self, value: f64, step: f64) -> String {
        let digits = |step: f64| (-step.log10().floor()).clamp(0.0, 6.0) as usize;
        match self.reading {
            _ if value == 0.0 => "0".to_owned(),
            Reading::Microseconds => figure::time_us(value),
            Reading::Percent if self.scale == Scale::Log => {
                format!("{} %", figure::significant(value * 100.0))
            }
            Reading::Percent => format!("{:.*} %", digits(step * 100.0), value * 100.0),
            _ if value >= 1_000.0 => figure::grouped(value),
            _ if self.scale == Scale::Log => figure::significant(value),
            _ => format!("{value:.*}", digits(step)),
        }
    }
}

/// A round step of 1, 2 or 5 of which about five take the whole way.
fn linear_step(low: f64, high: f64) -> f64 {
    let rough = (high - low) / 4.5;
    let power = 10f64.powf(rough.log10().floor());
    let steps = [1.0, 2.0, 5.0].map(|it| it * power);
    steps.into_iter().find(|it| *it >= rough).unwrap_or(power * 10.0)
}

/// Ticks from below the lowest value to above the highest: 1, 2 and 5 of each decade where there are few decades, and
/// only every n-th power of ten where there are many.
fn log_marks(low: f64, high: f64) -> Vec<f64> {
    let decades = (high / low).log10();
    let steps: &[f64] = match decades {
        _ if decades < 2.6 => &[1.0, 2.0, 5.0],
        _ if decades < 4.6 => &[1.0, 3.0],
        _ => &[1.0],
    };
    let stride = (decades / 7.0).ceil().max(1.0) as usize;
    let powers = low.log10().floor() as i32..;
    let ladder = powers.step_by(stride).flat_map(|power| steps.iter().map(move |it| it * 10f64.powi(power)));
    let mut marks: Vec<f64> = Vec::new();
    for mark in ladder {
        // What lies below the lowest value is of use only while nothing nearer does.
        if mark <= low * (1.0 + 1e-9) {
            marks.clear();
        }
        marks.push(mark);
        if mark >= high * (1.0 - 1e-9) && marks.len() > 1 {
            break;
        }
    }
    marks
}

fn tail_ticks(high: f64) -> Vec<(f64, String)> {
    const TICKS: [(f64, &str); 8] = [
        (0.5, "50 %"),
        (0.9, "90 %"),
        (0.99, "99 %"),
        (0.999, "99.9 %"),
        (0.9999, "99.99 %"),
        (0.99999, "99.999 %"),
        (0.999999, "99.9999 %"),
        (0.9999999, "99.99999 %"),
    ];
    TICKS
        .iter()
        .filter(|(value, _)| *value <= high)
        .map(|(value, name)| (*value, (*name).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(axis: &Axis) -> Vec<String> {
        axis.ticks().into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        let axis = |low, high| written(&Axis::linear("", Reading::Number, low, high));
        assert_eq!(axis(0.0, 20.0), ["0", "5", "10", "15", "20"]);
        assert_eq!(axis(0.0, 2_345.0), ["0", "1,000", "2,000", "3,000"]);
        assert_eq!(axis(0.0, 0.06), ["0", "0.02", "0.04", "0.06"]);
        let hits = Axis::linear("", Reading::Percent, 0.86, 1.0);
        assert_eq!(written(&hits), ["85 %", "90 %", "95 %", "100 %"]);
        let times = |low, high| written(&Axis::log("", Reading::Microseconds, [low, high].into_iter()));
        assert_eq!(
            times(90.0, 9_000.0),
            ["50 µs", "100 µs", "200 µs", "500 µs", "1 ms", "2 ms", "5 ms", "10 ms"]
        );
        assert_eq!(times(100.0, 100.0), ["100 µs", "200 µs"]);
        assert_eq!(times(40.0, 900_000.0).first().unwrap(), "30 µs");
    }

    #[test]
    fn axes_begin_and_end_with_a_tick_around_all_values() {
        for (low, high) in [(0.0, 4.4), (0.0, 4.6), (0.3, 0.7), (0.0, 1e-4), (7.0, 123_456.0), (3.0, 3.0)] {
            for axis in [
                Axis::linear("", Reading::Number, low, high),
                Axis::log("", Reading::Number, [low, high].into_iter()),
            ] {
                let ticks: Vec<f64> = axis.ticks().into_iter().map(|(value, _)| value).collect();
                assert_eq!((ticks[0], ticks[ticks.len() - 1]), (axis.low, axis.high), "{ticks:?}");
                let slack = 1e-9 * high;
                let around = axis.high >= high - slack && (axis.low <= low + slack || low == 0.0);
                assert!(around, "{low} to {high}: {ticks:?}");
                assert!((2..=11).contains(&ticks.len()), "{low} to {high}: {ticks:?}");
            }
        }
        let time = Axis::time(20.3);
        assert_eq!((time.high, written(&time).last().unwrap().as_str()), (20.3, "20"));
    }

    #[test]
    fn every_nine_takes_the_same_room() {
        let axis = Axis::tail("", 100_000);
        assert!((axis.place(0.99) - 2.0).abs() < 1e-9 && (axis.place(0.999) - 3.0).abs() < 1e-9);
        assert_eq!(written(&axis).last().unwrap(), "99.999 %");
    }
}
