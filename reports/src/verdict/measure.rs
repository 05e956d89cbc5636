//! What a metric comes to: an estimate with bounds, or why there is none.

use proofload_scenarios::claim::Part;
use proofload_scenarios::{Check, Metric};

use super::validity::{is_of_ledger, of_ledger, total};
use super::{times, versus, words};
use crate::figure;
use crate::run::{Measurement, Series, Slice};
use crate::statistics::bootstrap::FEWEST_SLICES;
use crate::statistics::{Estimate, proportion, rare, slices};

/// An estimate, and what else decides how it may be used.
pub(super) struct Measured {
    pub estimate: Estimate,
    /// Effective samples that would decide, were the estimate the truth.
    pub needed: Option<u64>,
    /// Why it cannot be conclusive, whatever its bounds.
    pub doubts: Vec<String>,
    /// What qualifies it.
    pub notes: Vec<String>,
}

/// How far above the ceiling a hit rate may lie before ceiling or hits must be miscounted.
const CEILING_TOLERANCE: f64 = 0.005;

pub(super) fn measure(
    check: &Check,
    measurement: &Measurement,
    series: &[&Series],
) -> Result<Measured, String> {
    let part = check.metric.part();
    if !part.is_all() {
        let parts =
            series.iter().map(|series| of_part(part, series, measurement)).collect::<Result<Vec<_>, _>>()?;
        let whole = Check { metric: check.metric.clone().of_all(), ..check.clone() };
        let mut measured = measure(&whole, measurement, &parts.iter().collect::<Vec<_>>())?;
        measured.notes.push(format!("counted {part}"));
        return Ok(measured);
    }
    match &check.metric {
        Metric::Ratio { sum, per, of_ceiling, .. } => {
            let scale = if *of_ceiling { ceiling(measurement)? } else { 1.0 };
            let found = ratio(check, sum, per, series[0], scale)?;
            match words::is_of_hits(sum) {
                true => below_ceiling(found, scale, measurement),
                false => Ok(found),
            }
        }
        Metric::Versus { sum, per, compare } => versus::ratio(check, sum, per, compare, series),
        Metric::Count { sum, .. } => count(check, sum, measurement, series),
        Metric::Rate { sum, .. } => Ok(rate(check, sum, series[0])),
        Metric::Response { quantile, .. } => times::quantile(check, "response", *quantile, series[0]),
        Metric::Service { quantile, .. } => times::quantile(check, "service", *quantile, series[0]),
        Metric::Slowdown { quantile, of, over } => {
            let sides =
                [of_part(of.part(), series[0], measurement)?, of_part(over.part(), series[1], measurement)?];
            times::slowdown(check, *quantile, &sides, measurement.model)
        }
        Metric::Fact { name } => fact(name, measurement),
    }
}

/// The series, cut to the slices that the metric is about. The last slice of a drive lasts until the last answer: that is no reason
/// to leave it out, with all that was slow to end.
fn of_part(part: Part, series: &Series, measurement: &Measurement) -> Result<Series, String> {
    if part.is_all() {
        return Ok(series.clone());
    }
    let slice_s = measurement.scenario.phases.slice_s;
    let within = |slice: &&Slice| part.holds(slice.start_s, slice.start_s + slice.duration_s.min(slice_s));
    let slices: Vec<Slice> = series.slices.iter().filter(within).cloned().collect();
    match slices.is_empty() {
        true => Err(format!("no slice lies {part}")),
        false => Ok(Series { slices, ..series.clone() }),
    }
}

fn ceiling(measurement: &Measurement) -> Result<f64, String> {
    match measurement.ceiling {
        None => Err("the workload's ceiling was not computed".to_owned()),
        Some(ceiling) if ceiling > 0.0 && ceiling <= 1.0 => Ok(ceiling),
        Some(ceiling) => Err(format!("a ceiling of {ceiling} is none: it must lie above 0 and up to 1")),
    }
}

/// No hit rate beats the best cache. Where the measurement has several variants, their caches may differ
/// in size, and the ceiling is that of one.
fn below_ceiling(found: Measured, scale: f64, measurement: &Measurement) -> Result<Measured, String> {
    let Some(ceiling) = measurement.ceiling.filter(|_| scale < 1.0 || measurement.series.len() == 1) else {
        return Ok(found);
    };
    let attained = |share: f64| share * scale / ceiling;
    if attained(found.estimate.low) <= 1.0 + CEILING_TOLERANCE {
        return Ok(found);
    }
    let above = (attained(found.estimate.value) - 1.0) * 100.0;
    Err(format!(
        "the hit rate lies {above:.1} % above what any cache could reach: hits or ceiling are miscounted"
    ))
}

/// Σ over Σ, divided by `scale`.
fn ratio(
    check: &Check,
    sum: &[String],
    per: &[String],
    series: &Series,
    scale: f64,
) -> Result<Measured, String> {
    let slices: Vec<(f64, f64)> =
        series.slices.iter().map(|slice| (slice.sum(sum) as f64, slice.sum(per) as f64)).collect();
    let (events, trials) = slices.iter().fold((0.0, 0.0), |(x, y), slice| (x + slice.0, y + slice.1));
    if trials == 0.0 {
        return Err(format!("{} counted nothing: there is nothing to divide by", per.join(" + ")));
    }
    let bound = check.bound.value() * scale;
    let (estimate, doubts) = match slices.len() >= FEWEST_SLICES {
        true => (slices::ratio(&slices, check.confidence), Vec::new()),
        false => (best_case_ratio(check, events, trials), vec![too_few_slices(slices.len())]),
    };
    // A share of lost requests counts them already.
    let counts_lost = sum.iter().any(|name| ["client.timeout", "client.error"].contains(&name.as_str()));
    let unanswered = if counts_lost { 0.0 } else { unanswered(series) };
    // Counts are no less than none, whatever the resamples' spread.
    let estimate = Estimate { low: estimate.low.max(0.0), ..estimate };
    let estimate = if events <= trials {
        let (low, high) = (estimate.low - unanswered, estimate.high + unanswered);
        estimate.widened_to(low.max(0.0), high.min(1.0))
    } else {
        estimate
    };
    // A few slices that depend on each other tell less than their variance alone would have it.
    let as_share = proportion::trials_needed(estimate.value, bound, check.confidence)
        .filter(|_| events <= trials && bound > 0.0 && bound < 1.0);
    let needed = as_share.max(needed(&estimate, bound));
    let notes = (unanswered > 0.0)
        .then(|| format!("widened for the {:.3} % of requests whose answer never came", unanswered * 100.0));
    Ok(Measured { estimate: estimate.divided_by(scale), needed, doubts, notes: notes.into_iter().collect() })
}

/// Σ per second that its witness counted; all of a sum are read at once, as a rule.
fn rate(check: &Check, sum: &[String], series: &Series) -> Measured {
    let seconds = |slice: &Slice| sum.first().map_or(slice.duration_s, |counter| slice.counted_s(counter));
    let slices: Vec<(f64, f64)> =
        series.slices.iter().map(|slice| (slice.sum(sum) as f64, seconds(slice))).collect();
    let (events, seconds) = slices.iter().fold((0.0, 0.0), |(x, y), slice| (x + slice.0, y + slice.1));
    let (low, high) = rare::poisson(events as u64, check.confidence);
    let (estimate, doubts) = match slices.len() >= FEWEST_SLICES {
        true => (slices::resampled(&slices, check.confidence).1, Vec::new()),
        false => {
            let method = "the best case, as if all came by chance".to_owned();
            let samples = slices.len() as f64;
            let value = events / seconds;
            (Estimate { value, low: value, high: value, samples, method }, vec![too_few_slices(slices.len())])
        }
    };
    let few = events < rare::FEW as f64;
    let estimate = if few { estimate.widened_to(low / seconds, high / seconds) } else { estimate };
    let needed = needed(&estimate, check.bound.value());
    Measured { estimate, needed, doubts, notes: Vec::new() }
}

fn best_case_ratio(check: &Check, events: f64, trials: f64) -> Estimate {
    let value = events / trials;
    let (low, high) = match events <= trials {
        true => proportion::clopper_pearson(events, trials, check.confidence),
        false => {
            let (low, high) = rare::poisson(events as u64, check.confidence);
            (low / trials, high / trials)
        }
    };
    let method = "the best case, as if all were independent".to_owned();
    Estimate { value, low, high, samples: trials, method }
}

pub(super) fn too_few_slices(slices: usize) -> String {
    format!("{slices} slices do not show how they depend on each other: {FEWEST_SLICES} are needed")
}

/// The share of requests that were sent and whose answer never came: they may have been anything.
pub(super) fn unanswered(series: &Series) -> f64 {
    let lost = total("client.timeout", &[series]) + total("client.error", &[series]);
    match total("client.sent", &[series]) {
        0 => 0.0,
        sent => (lost as f64 / sent as f64).min(1.0),
    }
}

/// How many samples bring the nearer bound onto the wanted side, were the estimate the truth: widths
/// shrink with the root of the number.
pub(super) fn needed(estimate: &Estimate, bound: f64) -> Option<u64> {
    let side = if estimate.value >= bound { estimate.low } else { estimate.high };
    let factor = ((estimate.value - side) / (estimate.value - bound)).powi(2);
    let samples = estimate.samples * factor;
    samples.is_finite().then(|| samples.ceil().max(estimate.samples) as u64)
}

/// A sum as it stands. It has no interval; how much zero proves is told beside it.
fn count(
    check: &Check,
    sum: &[String],
    measurement: &Measurement,
    series: &[&Series],
) -> Result<Measured, String> {
    let ledger = measurement.ledger.as_ref();
    let events: u64 = sum
        .iter()
        .map(|name| match ledger.and_then(|ledger| of_ledger(name, ledger)) {
            Some(count) => count,
            None => total(name, series),
        })
        .sum();
    let of_ledger_alone = sum.iter().all(|name| is_of_ledger(name));
    let (trials, what) = match ledger {
        Some(ledger) if of_ledger_alone => (ledger.acknowledged, "acknowledged creates"),
        // Redirects make no codes: to count them as trials would flatter.
        _ if is_about_codes(sum) => (total("client.created", series), "acknowledged creates"),
        _ => (total("client.sent", series), "requests"),
    };
    if trials == 0 && check.bound.admits(0.0) {
        return Err(format!("no {what}: that none went wrong proves nothing"));
    }
    let value = events as f64;
    let method = format!("counted over {} {what}", figure::count(trials));
    let estimate = Estimate { value, low: value, high: value, samples: trials as f64, method };
    let mut notes = Vec::new();
    if events == 0 && trials > 0 && check.bound.admits(0.0) {
        notes.push(format!(
            "none in {}: at {} % confidence at most one in {} of them",
            figure::count(trials),
            check.confidence * 100.0,
            figure::count((1.0 / rare::none_in(trials as f64, check.confidence)) as u64)
        ));
        notes.extend(by_chance(sum, measurement, trials));
    }
    let few = check.bound.admits(0.0) && trials < FEWEST_TRIALS;
    let doubts =
        if few { vec![format!("{trials} {what} prove nothing of what is to be seldom")] } else { Vec::new() };
    Ok(Measured { estimate, needed: Some(FEWEST_TRIALS).filter(|_| few), doubts, notes })
}

/// Of fewer requests that none went wrong is no evidence: one in twenty may.
const FEWEST_TRIALS: u64 = 60;

/// Whether what is counted can go wrong once for each code that is made, and not otherwise.
fn is_about_codes(sum: &[String]) -> bool {
    const FAULTS: [&str; 5] = ["collision", "violation", "duplicate", "create_retries", "rolled_back"];
    sum.iter().all(|name| FAULTS.iter().any(|fault| name.contains(fault)))
}

/// How often random codes would have collided: where that is next to never, none proves little, and the
/// partition of the codes must be shown otherwise.
fn by_chance(sum: &[String], measurement: &Measurement, codes: u64) -> Option<String> {
    /// 62⁸ codes of eight letters and digits.
    const CODES: f64 = 218_340_105_584_896.0;
    let expected = codes as f64 * (codes as f64 - 1.0) / 2.0 / CODES;
    (measurement.witnesses.contains_key("server") && is_about_codes(sum)).then(|| {
        format!("{} random codes would have collided {expected:.1e} times on average", figure::count(codes))
    })
}

/// A number that the run recorded, with bounds where it recorded those: `name.low` and `name.high`. With the low one
/// alone there is no knowing how large it would have become.
fn fact(name: &str, measurement: &Measurement) -> Result<Measured, String> {
    let read = |name: &str| measurement.facts.get(name).copied();
    let value = read(name).ok_or_else(|| format!("`{name}` was not recorded"))?;
    if !value.is_finite() {
        return Err(format!("`{name}` is {value}: no number"));
    }
    let (low, high, method) = match (read(&format!("{name}.low")), read(&format!("{name}.high"))) {
        (Some(low), Some(high)) => (low, high, "recorded with its own bounds"),
        (Some(low), None) => (low, f64::INFINITY, "at least that: its end was not seen"),
        _ => (value, value, "a single value without an interval"),
    };
    let estimate = Estimate { value, low, high, samples: 1.0, method: method.to_owned() };
    Ok(Measured { estimate, needed: None, doubts: Vec::new(), notes: Vec::new() })
}
