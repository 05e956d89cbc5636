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
    /// Names in place of ticks: `(value, name)`.
    pub names: Vec<(f64, String)>,
}

impl Axis {
    /// From zero (or `low`) to the first round number at or above `high`.
    pub fn linear(label: &str, reading: Reading, low: f64, high: f64) -> Axis {
        let high = if high > low { high } else { low + 1.0 };
        Axis { label: label.to_owned(), scale: Scale::Linear, reading, low, high, names: Vec::new() }
    }

    /// Seconds since the measurement began.
    pub fn time(seconds: f64) -> Axis {
        Axis::linear("seconds since the measurement began", Reading::Seconds, 0.0, seconds)
    }

    /// Seconds stand on no other axis.
    pub fn is_time(&self) -> bool {
        self.reading == Reading::Seconds
    }

    /// A logarithmic axis a little wider than the values; zeroes are left out.
    pub fn log(label: &str, reading: Reading, values: impl Iterator<Item = f64>) -> Axis {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0 && value.is_finite()) {
            (low, high) = (low.min(value), high.max(value));
        }
        if low > high {
            (low, high) = (1.0, 10.0);
        }
        let (low, high) = (low / 1.15, high * 1.15);
        Axis { label: label.to_owned(), scale: Scale::Log, reading, low, high, names: Vec::new() }
    }

    /// Quantiles from the median's side to the last that `count` values can tell.
    pub fn tail(label: &str, count: u64) -> Axis {
        let high = 1.0 - 1.0 / count.max(10) as f64;
        Axis {
            label: label.to_owned(),
            scale: Scale::Tail,
            reading: Reading::Percent,
            low: 0.0,
            high,
            names: Vec::new(),
        }
    }

    /// One place for each name, from 0 up.
    pub fn named(label: &str, names: Vec<String>) -> Axis {
        let high = names.len() as f64;
        let names = names.into_iter().enumerate().map(|(index, name)| (index as f64 + 0.5, name)).collect();
        Axis {
            label: label.to_owned(),
            scale: Scale::Linear,
            reading: Reading::Number,
            low: 0.0,
            high,
            names,
        }
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
        let values = match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high),
            Scale::Log => log_ticks(self.low, self.high),
            Scale::Tail => return tail_ticks(self.high),
        };
        let step = if values.len() > 1 { values[1] - values[0] } else { 1.0 };
        values.into_iter().map(|value| (value, self.written(value, step))).collect()
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

/// About five round steps of 1, 2 or 5.
fn linear_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 4.5;
    let power = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|it| it * power)
        .into_iter()
        .find(|it| *it >= rough)
        .unwrap_or(power * 10.0);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    (first..=last).map(|n| n as f64 * step).collect()
}

/// Powers of ten; with 2 and 5 between them where there are few, and only every n-th where there are many.
fn log_ticks(low: f64, high: f64) -> Vec<f64> {
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    let decades = (high / low).log10();
    let steps: &[f64] = if decades < 1.5 {
        &[1.0, 2.0, 3.0, 5.0]
    } else if decades < 2.6 {
        &[1.0, 3.0]
    } else {
        &[1.0]
    };
    let stride = (decades / 6.0).ceil().max(1.0) as usize;
    (first..=last)
        .step_by(stride)
        .flat_map(|power| steps.iter().map(move |step| step * 10f64.powi(power)))
        .filter(|value| (low..=high).contains(value))
        .collect()
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
        assert_eq!(axis(0.0, 2_345.0), ["0", "1,000", "2,000"]);
        assert_eq!(axis(0.0, 0.06), ["0", "0.02", "0.04", "0.06"]);
        let hits = Axis::linear("", Reading::Percent, 0.86, 1.0);
        assert_eq!(written(&hits), ["90 %", "95 %", "100 %"]);
        let times = Axis::log("", Reading::Microseconds, [90.0, 9_000.0].into_iter());
        assert_eq!(written(&times), ["100 µs", "300 µs", "1 ms", "3 ms", "10 ms"]);
    }

    #[test]
    fn every_nine_takes_the_same_room() {
        let axis = Axis::tail("", 100_000);
        assert!((axis.place(0.99) - 2.0).abs() < 1e-9 && (axis.place(0.999) - 3.0).abs() < 1e-9);
        assert_eq!(written(&axis).last().unwrap(), "99.999 %");
    }
}
