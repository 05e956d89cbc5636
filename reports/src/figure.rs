//! How a measured value is written for people: with its unit, and no more digits than it bears.

use proofload_scenarios::{Bound, Check, Metric};

use crate::statistics::rare;
use crate::verdict::{CheckVerdict, Interval};

/// Significant digits of a time, where more are not needed.
const FEWEST_DIGITS: usize = 3;

/// The measured value of a check with its interval: `99.2 % (99.0 to 99.4)`. A ratio over nothing has
/// no value, but a lower bound.
pub fn measured(verdict: &CheckVerdict) -> String {
    let unit = Unit::of(&verdict.check);
    let digits = digits(verdict);
    if let Some(one_in) = none_in(verdict) {
        return format!("0 (at most 1 in {})", count(one_in));
    }
    match (verdict.estimate, verdict.interval) {
        (Some(estimate), Some(it)) if it.low < it.high => {
            let (low, high) = (unit.bare(it.low, digits), unit.bare(it.high, digits));
            format!("{} ({low} to {high})", unit.write(estimate, digits))
        }
        (Some(estimate), _) => unit.write(estimate, digits),
        (None, Some(it)) => format!("at least {}", unit.write(it.low, digits)),
        (None, None) => "–".to_owned(),
    }
}

/// What a count of none proves: at the check's confidence at most one in so many. A count as such has no interval.
pub fn none_in(verdict: &CheckVerdict) -> Option<u64> {
    let check = &verdict.check;
    let is_none = matches!(check.metric, Metric::Count { .. }) && verdict.estimate == Some(0.0);
    let one_in = 1.0 / rare::none_in(verdict.samples as f64, check.confidence);
    (is_none && check.bound.admits(0.0) && one_in >= 1.0).then_some(one_in as u64)
}

/// The upper end of a check's interval, where it has one.
pub fn at_most(verdict: &CheckVerdict) -> Option<String> {
    let interval = verdict.interval.filter(|it| it.high.is_finite() && it.high > it.low)?;
    Some(Unit::of(&verdict.check).write(interval.high, digits(verdict)))
}

/// The bound of a check in the unit of its metric: `≥ 99 %`.
pub fn bound(check: &Check) -> String {
    let sign = match check.bound {
        Bound::AtLeast(_) => "≥",
        Bound::AtMost(_) => "≤",
    };
    format!("{sign} {}", bound_value(check))
}

/// The bound's value alone: `99 %`.
pub fn bound_value(check: &Check) -> String {
    Unit::of(check).exact(check.bound.value())
}

/// A count with its thousands set apart: `27,000`.
pub fn count(number: u64) -> String {
    grouped(number as f64)
}

/// A part of a whole in percent; only all of it is 100 %, and only none of it 0 %.
pub fn part(of: u64, whole: u64) -> String {
    let share = 100.0 * of as f64 / whole.max(1) as f64;
    let rounded = format!("{share:.2}");
    match (of, rounded.as_str()) {
        (1.., "0.00") => "less than 0.01 %".to_owned(),
        _ if of < whole && rounded == "100.00" => "more than 99.99 %".to_owned(),
        _ => format!("{rounded} %"),
    }
}

/// The unit in which a metric is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share of one, read as percent.
    Percent,
    /// How many times one is of the other.
    Times,
    /// Microseconds, read in the unit that suits their size.
    Microseconds,
    Seconds,
    /// A count or a number of no unit.
    Plain,
}

impl Unit {
    /// A ratio is a share where it is bounded from below by at most one: hit rates, success rates.
    /// Statements per create are a ratio, too, but bounded from above.
    pub fn of(check: &Check) -> Unit {
        match &check.metric {
            Metric::Ratio { of_ceiling: true, .. } => Unit::Percent,
            Metric::Ratio { .. } if matches!(check.bound, Bound::AtLeast(bound) if bound <= 1.0) => {
                Unit::Percent
            }
            Metric::Versus { .. } | Metric::Slowdown { .. } => Unit::Times,
            Metric::Response { .. } | Metric::Service { .. } => Unit::Microseconds,
            Metric::Fact { name } => Unit::of_fact(name),
            Metric::Ratio { .. } | Metric::Count { .. } | Metric::Rate { .. } => Unit::Plain,
        }
    }

    /// Facts bear their unit as a suffix.
    pub fn of_fact(name: &str) -> Unit {
        match name.rsplit(['_', '-']).next() {
            Some("us") => Unit::Microseconds,
            Some("s") => Unit::Seconds,
            Some("ratio" | "times" | "speedup") => Unit::Times,
            Some("share" | "rate") => Unit::Percent,
            _ => Unit::Plain,
        }
    }

    fn scaled(self, value: f64) -> f64 {
        if self == Unit::Percent { value * 100.0 } else { value }
    }

    /// What a reader of `digits` takes the scaled value for.
    fn rounded(self, scaled: f64, digits: usize) -> f64 {
        let text = match self {
            Unit::Microseconds | Unit::Seconds => format!("{scaled:.*e}", digits - 1),
            _ => format!("{scaled:.digits$}"),
        };
        text.parse().expect("it was a number")
    }

    /// With its unit, `digits` after the point; of a time as many significant ones, three at least.
    pub fn write(self, value: f64, digits: usize) -> String {
        match self {
            _ if value.is_infinite() => "∞".to_owned(),
            Unit::Microseconds => time_us_to(value, digits),
            Unit::Seconds => time_us_to(value * 1e6, digits),
            Unit::Percent => format!("{} %", self.bare(value, digits)),
            Unit::Times => format!("{} ×", self.bare(value, digits)),
            Unit::Plain => self.bare(value, digits),
        }
    }

    fn bare(self, value: f64, digits: usize) -> String {
        match self {
            _ if value.is_infinite() => "∞".to_owned(),
            Unit::Microseconds | Unit::Seconds => self.write(value, digits),
            _ if value.fract() == 0.0 && self == Unit::Plain => grouped(value),
            _ => fixed(self.scaled(value), digits),
        }
    }

    /// As precisely as it was given, for bounds.
    pub fn exact(self, value: f64) -> String {
        match self {
            Unit::Microseconds | Unit::Seconds => self.write(value, 0),
            Unit::Plain if value.fract() == 0.0 => grouped(value),
            _ => {
                // Bounds have few digits; this undoes what scaling by 100 adds to them.
                let number = (self.scaled(value) * 1e9).round() / 1e9;
                let mark = match self {
                    Unit::Percent => " %",
                    Unit::Times => " ×",
                    _ => "",
                };
                set_apart(&number.to_string()) + mark
            }
        }
    }
}

/// Microseconds in the unit that suits their size, three significant digits.
pub fn time_us(us: f64) -> String {
    time_us_to(us, FEWEST_DIGITS)
}

fn time_us_to(us: f64, digits: usize) -> String {
    let (value, unit) = match us {
        _ if us < 0.9995 => (us * 1e3, "ns"),
        _ if us < 999.5 => (us, "µs"),
        _ if us < 999_500.0 => (us / 1e3, "ms"),
        _ if us < 120e6 => (us / 1e6, "s"),
        _ => (us / 60e6, "min"),
    };
    format!("{} {unit}", significant_to(value, digits))
}

/// Three significant digits, no trailing zeros after the point.
pub fn significant(value: f64) -> String {
    significant_to(value, FEWEST_DIGITS)
}

fn significant_to(value: f64, significant: usize) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    let digits =
        (significant.max(FEWEST_DIGITS) as i32 - 1 - value.abs().log10().floor() as i32).clamp(0, 9) as usize;
    if digits == 0 {
        return grouped(value);
    }
    let text = format!("{value:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A whole number with its thousands set apart: `12,345`.
pub fn grouped(value: f64) -> String {
    match format!("{value:.0}").as_str() {
        "-0" => "0".to_owned(),
        digits => set_apart(digits),
    }
}

/// Date and time in UTC to the second: `2026-03-01 14:05:59 UTC`.
pub fn moment(unix_ms: u64) -> String {
    let (days, seconds) = (unix_ms / 86_400_000, unix_ms / 1000 % 86_400);
    let (year, month, day) = civil(days as i64);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// The Gregorian date of a day since 1970: the era is 400 years, the year begins in March.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

/// So many digits after the point, fewer where there are many before it.
fn fixed(value: f64, digits: usize) -> String {
    if value.abs() >= 10_000.0 { grouped(value) } else { set_apart(&format!("{value:.digits$}")) }
}

/// The thousands of a written number set apart.
fn set_apart(text: &str) -> String {
    let (sign, text) = text.strip_prefix('-').map_or(("", text), |rest| ("-", rest));
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut out = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out + rest
}

/// Digits that show the interval, and never move a value across its bound: 98.96 % is not written as
/// 99.0 % where 99 % is the bound.
fn digits(verdict: &CheckVerdict) -> usize {
    let unit = Unit::of(&verdict.check);
    let values: Vec<f64> = verdict
        .estimate
        .into_iter()
        .chain(verdict.interval.into_iter().flat_map(|Interval { low, high, .. }| [low, high]))
        .filter(|value| value.is_finite())
        .map(|value| unit.scaled(value))
        .collect();
    let bound = unit.scaled(verdict.check.bound.value());
    let keeps_side = |digits: usize| {
        let shown = |value: f64| unit.rounded(value, digits);
        values
            .iter()
            .all(|&value| (shown(value) < bound, shown(value) > bound) == (value < bound, value > bound))
    };
    let fewest = match verdict.interval {
        _ if matches!(unit, Unit::Microseconds | Unit::Seconds) => FEWEST_DIGITS,
        Some(it) => digits_that_differ(unit.scaled(it.low), unit.scaled(it.high)),
        None => 2,
    };
    (fewest..=9).find(|&digits| keeps_side(digits)).unwrap_or(fewest)
}

/// Digits after the point that an interval needs so that its ends read apart: two digits of its width.
fn digits_that_differ(low: f64, high: f64) -> usize {
    let width = (high - low).abs();
    if width == 0.0 || !width.is_finite() {
        return 2;
    }
    (1 - width.log10().floor() as i32).clamp(0, 6) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_choose_their_unit() {
        let written = [0.4, 1.0, 12.34, 999.9, 1_000.0, 45_678.0, 1_500_000.0, 600e6].map(time_us);
        assert_eq!(written, ["400 ns", "1 µs", "12.3 µs", "1 ms", "1 ms", "45.7 ms", "1.5 s", "10 min"]);
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(
            [0.0, 999.0, 1000.0, 1234567.0, -5000.0].map(grouped),
            ["0", "999", "1,000", "1,234,567", "-5,000"]
        );
        assert_eq!([fixed(1398.25, 1), fixed(-1311.0, 0), fixed(0.5, 2)], ["1,398.2", "-1,311", "0.50"]);
        assert_eq!(Unit::Times.exact(1_000.5), "1,000.5 ×");
        assert_eq!(grouped(-0.2), "0");
    }

    #[test]
    fn only_all_of_it_is_a_hundred_percent() {
        assert_eq!(part(5, 5), "100.00 %");
        assert_eq!(part(999_999, 1_000_000), "more than 99.99 %");
        assert_eq!([part(0, 9), part(1, 1_000_000)], ["0.00 %", "less than 0.01 %"]);
        assert_eq!(part(0, 0), "0.00 %");
    }

    #[test]
    fn moments_follow_the_calendar() {
        assert_eq!(moment(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(moment(951_782_400_000), "2000-02-29 00:00:00 UTC");
        assert_eq!(moment(1_772_373_959_000), "2026-03-01 14:05:59 UTC");
    }

    #[test]
    fn bounds_bear_the_unit_of_their_metric() {
        assert_eq!(Unit::Percent.exact(0.99), "99 %");
        assert_eq!(Unit::Percent.exact(0.999), "99.9 %");
        assert_eq!(Unit::Times.exact(20.0), "20 ×");
        assert_eq!(Unit::Plain.exact(0.05), "0.05");
        assert_eq!(Unit::Microseconds.exact(5_000.0), "5 ms");
    }

    fn judged(metric: Metric, bound: Bound, estimate: Option<f64>, interval: (f64, f64)) -> CheckVerdict {
        CheckVerdict {
            check: Check {
                kind: proofload_scenarios::Kind::Upheld,
                title: String::new(),
                scenario: String::new(),
                metric,
                bound,
                confidence: 0.95,
                agree: Vec::new(),
            },
            estimate,
            interval: Some(Interval { low: interval.0, high: interval.1, confidence: 0.9 }),
            verdict: crate::Verdict::Fails,
            reasons: Vec::new(),
            samples: 1,
            needed: None,
            rests_on: Vec::new(),
            method: String::new(),
        }
    }

    #[test]
    fn no_value_is_rounded_across_its_bound() {
        let ratio = || Metric::Ratio {
            sum: Vec::new(),
            per: Vec::new(),
            of_ceiling: false,
            variant: None,
            part: Default::default(),
        };
        let short = judged(ratio(), Bound::AtLeast(0.99), Some(0.9896), (0.9799, 0.98999));
        assert_eq!(measured(&short), "98.960 % (97.990 to 98.999)");
        let time = Metric::Response { quantile: 0.5, variant: None };
        let late = judged(time, Bound::AtMost(5_000.0), Some(5_004.0), (5_001.0, 5_200.0));
        assert_eq!(measured(&late), "5.004 ms (5.001 ms to 5.2 ms)");
    }

    #[test]
    fn what_has_no_upper_bound_says_so() {
        let compare = proofload_scenarios::Compare { of: String::new(), over: String::new() };
        let versus = || Metric::Versus { sum: Vec::new(), per: Vec::new(), compare: compare.clone() };
        let open = (20.5, f64::INFINITY);
        assert_eq!(measured(&judged(versus(), Bound::AtLeast(20.0), None, open)), "at least 20.50 ×");
        assert_eq!(
            measured(&judged(versus(), Bound::AtLeast(20.0), Some(40.0), open)),
            "40.00 × (20.50 to ∞)"
        );
    }
}
