//! Words for numbers: units, digits that do not move a value across its bound, and nouns for counters.

use proofload_scenarios::{Bound, Check, Metric};

use super::{CheckVerdict, Interval};

/// How a check's values are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    /// A share, told as `88.2 %`.
    Percent,
    /// A ratio of variants, told as `31.2×`.
    Times,
    Microseconds,
    /// A count, or a ratio that is no share: `0.048`.
    Plain,
}

impl Unit {
    /// The unit of the check's metric. A ratio is a share where the check's author wrote its bound so.
    pub fn of(check: &Check) -> Self {
        match &check.metric {
            Metric::Ratio { of_ceiling: true, .. } => Unit::Percent,
            Metric::Ratio { .. } | Metric::Fact { .. } if check.title.contains('%') => Unit::Percent,
            Metric::Versus { .. } => Unit::Times,
            Metric::Fact { .. } if check.title.contains('×') => Unit::Times,
            Metric::Response { .. } | Metric::Service { .. } => Unit::Microseconds,
            Metric::Ratio { .. } | Metric::Count { .. } | Metric::Fact { .. } => Unit::Plain,
        }
    }

    fn scale(self) -> f64 {
        if self == Unit::Percent { 100.0 } else { 1.0 }
    }

    fn suffix(self) -> &'static str {
        match self {
            Unit::Percent => " %",
            Unit::Times => "×",
            Unit::Microseconds => " µs",
            Unit::Plain => "",
        }
    }

    /// A value with as many decimals as asked for.
    pub fn tell(self, value: f64, decimals: usize) -> String {
        format!("{}{}", self.number(value, decimals), self.suffix())
    }

    fn number(self, value: f64, decimals: usize) -> String {
        if value.is_infinite() {
            return if value > 0.0 { "∞".to_owned() } else { "−∞".to_owned() };
        }
        grouped(&format!("{:.decimals$}", value * self.scale()))
    }
}

/// `88.2 % [88.0, 88.4]`; the value alone where it has no width; `≥ 66.8×` where it is infinite.
pub fn estimate(verdict: &CheckVerdict) -> Option<String> {
    let unit = Unit::of(&verdict.check);
    let decimals = decimals(&verdict.check, verdict.estimate, verdict.interval);
    match (verdict.estimate, verdict.interval) {
        (Some(value), Some(interval)) if interval.low < interval.high => {
            let (low, high) = (unit.number(interval.low, decimals), unit.number(interval.high, decimals));
            Some(format!("{} [{low}, {high}]", unit.tell(value, decimals)))
        }
        (Some(value), _) => Some(unit.tell(value, decimals)),
        (None, Some(interval)) => Some(format!("at least {}", unit.tell(interval.low, decimals))),
        (None, None) => None,
    }
}

/// `[88.0 %, 88.4 %]`, in the digits of the check's estimate.
pub fn interval(check: &Check, estimate: Option<f64>, interval: Interval) -> String {
    let (unit, decimals) = (Unit::of(check), decimals(check, estimate, Some(interval)));
    format!("[{}, {}]", unit.tell(interval.low, decimals), unit.tell(interval.high, decimals))
}

/// The bound as it was written: `≥ 99 %`.
pub fn bound(check: &Check) -> String {
    let sign = match check.bound {
        Bound::AtLeast(_) => "≥",
        Bound::AtMost(_) => "≤",
    };
    format!("{sign} {}", bound_value(check))
}

/// The bound's value with no more digits than it has: `99 %`.
pub fn bound_value(check: &Check) -> String {
    let unit = Unit::of(check);
    // Twelve digits are more than anyone writes, and fewer than show 0.99 × 100 to be 99.00000000000001.
    let shown = format!("{:.10}", check.bound.value() * unit.scale());
    format!("{}{}", grouped(shown.trim_end_matches('0').trim_end_matches('.')), unit.suffix())
}

/// A whole number with its thousands apart: `27,000`.
pub fn count(number: u64) -> String {
    grouped(&number.to_string())
}

/// Decimals that show two digits of the interval's half width, and never round a value onto the other
/// side of the bound: 98.96 % is not told as 99.0 % where 99 % is the bound.
fn decimals(check: &Check, estimate: Option<f64>, interval: Option<Interval>) -> usize {
    let scale = Unit::of(check).scale();
    let values: Vec<f64> = estimate
        .into_iter()
        .chain(interval.into_iter().flat_map(|it| [it.low, it.high]))
        .filter(|value| value.is_finite())
        .map(|value| value * scale)
        .collect();
    let width = interval.map_or(0.0, |it| (it.high - it.low) * scale / 2.0);
    let largest = values.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    let fewest = match (width > 0.0 && width.is_finite(), largest > 0.0) {
        (true, _) => (-width.log10().floor()).clamp(0.0, 6.0) as usize,
        (false, true) if values.iter().any(|it| it.fract() != 0.0) => {
            (2.0 - largest.log10().floor()).clamp(0.0, 6.0) as usize
        }
        (false, _) => 0,
    };
    let bound = check.bound.value() * scale;
    let same_side = |decimals: usize, value: f64| {
        let shown: f64 = format!("{value:.decimals$}").parse().expect("it was just a number");
        (shown < bound) == (value < bound) && (shown > bound) == (value > bound)
    };
    (fewest..9).find(|&it| values.iter().all(|&value| same_side(it, value))).unwrap_or(9)
}

fn grouped(number: &str) -> String {
    let (sign, digits) = number.strip_prefix('-').map_or(("", number), |rest| ("−", rest));
    let (whole, rest) = digits.split_once('.').map_or((digits, None), |(whole, rest)| (whole, Some(rest)));
    let mut text = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    if let Some(rest) = rest {
        text.push('.');
        text.push_str(rest);
    }
    text
}

/// What a sum of counters counts, in a word: `database statements`.
pub(super) fn noun(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 9] = [
        ("statement", "database statements"),
        ("uniqueness", "uniqueness queries"),
        ("hit", "hits"),
        ("_us", "CPU µs"),
        ("collision", "collisions"),
        ("violation", "collisions"),
        ("duplicate", "duplicates"),
        ("missing", "lost links"),
        ("error", "failed requests"),
    ];
    let known = NOUNS.iter().find(|(part, _)| names.iter().all(|name| name.contains(part)));
    known.map_or_else(|| names.join(" + "), |(_, noun)| (*noun).to_owned())
}

/// What a denominator counts, one of them: `create`.
pub(super) fn unit_of(names: &[String]) -> String {
    const NOUNS: [(&str, &str); 6] = [
        ("create", "create"),
        ("redirect", "redirect"),
        ("visit", "redirect"),
        ("lookup", "redirect"),
        ("ok", "request"),
        ("sent", "request"),
    ];
    let known = NOUNS.iter().find(|(part, _)| names.iter().all(|name| name.contains(part)));
    known.map_or_else(|| names.join(" + "), |(_, noun)| (*noun).to_owned())
}
