//! The sentence that a person would say aloud about a judged claim.

use proofload_scenarios::{Check, Claim, Kind, Metric};

use super::{CheckVerdict, Interval, Verdict, words};
use crate::figure;
use crate::run::{Measurement, Run};

/// Tells the check that decides, then what became of the published bound.
pub(super) fn sentence(claim: &Claim, checks: &[CheckVerdict], run: &Run) -> String {
    let upheld = of_kind(checks, Kind::Upheld);
    let stated = of_kind(checks, Kind::Stated);
    let Some(headline) = worst(&upheld).or_else(|| worst(&stated)) else {
        return format!("Nothing was checked of {}.", claim.id);
    };
    let mut text = told(headline, measurement(headline, run));
    if upheld.len() > 1 {
        text.push_str(&format!(" ({} upheld bounds hold)", tally(&upheld)));
    }
    if let Some(published) = worst(&stated).filter(|it| it.check.kind != headline.check.kind) {
        text.push_str("; ");
        text.push_str(&published_bound(published, measurement(published, run)));
    }
    text.push('.');
    text
}

fn of_kind(checks: &[CheckVerdict], kind: Kind) -> Vec<&CheckVerdict> {
    checks.iter().filter(|it| it.check.kind == kind).collect()
}

/// The worst, and the first of those that are equally bad.
fn worst<'a>(checks: &[&'a CheckVerdict]) -> Option<&'a CheckVerdict> {
    checks.iter().rev().max_by_key(|it| it.verdict).copied()
}

/// `all 3`, `2 of 3`, `none of 3`.
fn tally(checks: &[&CheckVerdict]) -> String {
    let all = checks.len();
    match checks.iter().filter(|it| it.verdict == Verdict::Holds).count() {
        hold if hold == all => format!("all {all}"),
        0 => format!("none of {all}"),
        hold => format!("{hold} of {all}"),
    }
}

fn measurement<'a>(verdict: &CheckVerdict, run: &'a Run) -> Option<&'a Measurement> {
    run.measurements.iter().find(|it| it.scenario.name == verdict.check.scenario)
}

/// What was measured, and what that says of the bound.
fn told(verdict: &CheckVerdict, measurement: Option<&Measurement>) -> String {
    let check = &verdict.check;
    let bound = figure::bound(check);
    let title = &check.title;
    if verdict.verdict == Verdict::Invalid {
        let reason = verdict.reasons.first().map_or("the evidence is missing", String::as_str);
        return format!("Nothing can be said about “{title}”: {reason}");
    }
    let measured = measured(verdict, measurement);
    match verdict.verdict {
        Verdict::Holds => format!("{measured}: {bound} holds"),
        Verdict::Fails => format!("{measured}: {bound} fails"),
        Verdict::Inconclusive | Verdict::Invalid => {
            let enough = match verdict.needed {
                Some(needed) if needed > verdict.samples => {
                    format!(", about {} effective samples would", figure::count(needed))
                }
                _ => String::new(),
            };
            format!("{measured}: that does not settle {bound}{enough}")
        }
    }
}

fn measured(verdict: &CheckVerdict, measurement: Option<&Measurement>) -> String {
    let check = &verdict.check;
    let value = figure::measured(verdict);
    match &check.metric {
        Metric::Ratio { sum, per, of_ceiling, .. } if words::is_of_hits(sum) => {
            let whole = words::unit_of(per);
            let share = format!("{value} of what any cache{} could", size(check, measurement));
            match measurement.and_then(|it| it.ceiling).filter(|_| *of_ceiling) {
                Some(ceiling) => {
                    format!("The cache answered {} of {whole}s: {share}", unscaled(verdict, ceiling))
                }
                None if *of_ceiling => format!("The cache answered {share}"),
                None => format!("The cache{} answered {value} of {whole}s", size(check, measurement)),
            }
        }
        Metric::Ratio { sum, per, .. } => {
            format!("It took {value} {} per {}", words::noun(sum), words::unit_of(per))
        }
        Metric::Versus { sum, per, compare } => format!(
            "`{}` {} {} as many {} per {} as `{}`",
            compare.of,
            if words::unit_of(per) == "second" { "made" } else { "took" },
            value.replace(" ×", " times"),
            words::noun(sum),
            words::unit_of(per),
            compare.over
        ),
        Metric::Count { sum, .. } => {
            let value = if verdict.estimate == Some(0.0) { "no".to_owned() } else { value };
            format!("There were {value} {}, {}", words::noun(sum), verdict.method)
        }
        Metric::Rate { sum, .. } => format!("There were {value} {} per second", words::noun(sum)),
        Metric::Response { quantile, .. } => {
            format!("{} of responses took at most {value}", percent(*quantile))
        }
        Metric::Service { quantile, .. } => {
            format!("{} of requests were served within {value}", percent(*quantile))
        }
        Metric::Fact { name } => format!("{} came to {value}", name.replace(['_', '-'], " ")),
    }
}

/// What became of the bound as it was published.
fn published_bound(verdict: &CheckVerdict, measurement: Option<&Measurement>) -> String {
    let (check, bound) = (&verdict.check, figure::bound(&verdict.check));
    let attainable = measurement.and_then(|it| it.ceiling).unwrap_or(1.0);
    let out_of_reach = matches!(&check.metric, Metric::Ratio { sum, of_ceiling: false, .. } if words::is_of_hits(sum))
        && check.bound.value() > attainable;
    match verdict.verdict {
        Verdict::Holds => format!("the stated {bound} holds"),
        Verdict::Fails if out_of_reach => {
            format!("the stated {} cannot be reached there", figure::bound_value(check))
        }
        Verdict::Fails => {
            format!("the stated {bound} fails at {}", figure::measured(verdict))
        }
        Verdict::Inconclusive => format!("the stated {bound} is not settled"),
        Verdict::Invalid => format!("the stated {bound} cannot be judged"),
    }
}

/// ` of 27,000 entries`, where the variant's settings say so.
fn size(check: &Check, measurement: Option<&Measurement>) -> String {
    let Metric::Ratio { variant, .. } = &check.metric else { return String::new() };
    let entries = measurement.and_then(|it| {
        let variants = &it.scenario.variants;
        let settings = match variant {
            Some(name) => variants.get(name),
            None => variants.values().next(),
        };
        settings?.flags.get("cache-entries")?.as_integer()
    });
    entries
        .map_or_else(String::new, |entries| format!(" of {} entries", figure::count(entries.unsigned_abs())))
}

/// The hit rate itself, of a check that judges its share of the ceiling.
fn unscaled(verdict: &CheckVerdict, ceiling: f64) -> String {
    let interval =
        verdict.interval.map(|it| Interval { low: it.low * ceiling, high: it.high * ceiling, ..it });
    let mut plain = verdict.clone();
    plain.estimate = verdict.estimate.map(|it| it * ceiling);
    plain.interval = interval;
    figure::measured(&plain)
}

fn percent(quantile: f64) -> String {
    let shown = format!("{:.6}", quantile * 100.0);
    format!("{} %", shown.trim_end_matches('0').trim_end_matches('.'))
}
