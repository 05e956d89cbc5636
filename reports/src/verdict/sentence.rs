//! The sentence that a person would say aloud about a judged claim.

use proofload_scenarios::{Check, Claim, Kind, Metric};

use super::{CheckVerdict, Interval, Verdict, words};
use crate::ceiling;
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
    let published = worst(&stated).filter(|it| it.check.kind != headline.check.kind);
    let as_stated = published.is_some_and(|it| is_the_same(it, headline));
    if as_stated {
        text.push_str(", as stated");
    }
    if upheld.len() > 1 {
        text.push_str(&format!(" ({} upheld bounds hold)", tally(&upheld)));
    }
    if let Some(published) = published.filter(|_| !as_stated) {
        text.push_str("; ");
        text.push_str(&published_bound(published, headline, measurement(published, run)));
    }
    text.push('.');
    text
}

/// Whether the published bound asks for just what the headline says, and it holds.
fn is_the_same(published: &CheckVerdict, headline: &CheckVerdict) -> bool {
    let (one, other) = (&published.check, &headline.check);
    (&one.metric, one.bound, &one.scenario) == (&other.metric, other.bound, &other.scenario)
        && [published.verdict, headline.verdict] == [Verdict::Holds; 2]
}

fn of_kind(checks: &[CheckVerdict], kind: Kind) -> Vec<&CheckVerdict> {
    checks.iter().filter(|it| it.check.kind == kind).collect()
}

/// The worst, and the first of those that are equally bad.
fn worst<'a>(checks: &[&'a CheckVerdict]) -> Option<&'a CheckVerdict> {
    checks.iter().rev().max_by_key(|it| it.verdict).copied()
}

/// `both`, `all 3`, `2 of 3`, `none of 3`.
fn tally(checks: &[&CheckVerdict]) -> String {
    let all = checks.len();
    match checks.iter().filter(|it| it.verdict == Verdict::Holds).count() {
        2 if all == 2 => "both".to_owned(),
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
        Metric::Ratio { sum, per, .. } => ratio(verdict, sum, per),
        Metric::Versus { sum, per, compare } => format!(
            "`{}` {} {} as {} {} per {} as `{}`",
            compare.of,
            if words::unit_of(per) == "second" { "made" } else { "took" },
            value.replace(" ×", " times"),
            if words::is_cpu(sum) { "much" } else { "many" },
            words::noun(sum, "and"),
            words::unit_of(per),
            compare.over
        ),
        Metric::Count { sum, .. } if verdict.estimate == Some(0.0) => {
            format!("There were no {}, {}", words::noun(sum, "or"), verdict.method)
        }
        Metric::Count { sum, .. } => {
            format!("There were {value} {}, {}", words::noun(sum, "and"), verdict.method)
        }
        Metric::Rate { sum, .. } => {
            format!("There were {value} {} per second", words::noun(sum, "and"))
        }
        Metric::Response { quantile, .. } => {
            format!("{} of responses took at most {value}", percent(*quantile))
        }
        Metric::Service { quantile, .. } => {
            format!("{} of requests were served within {value}", percent(*quantile))
        }
        Metric::Slowdown { quantile, of, over } => {
            let times = value.replace(" ×", " times");
            format!(
                "By p{}, requests took {times} as long {of} as {over}",
                figure::significant(quantile * 100.0)
            )
        }
        Metric::Fact { name } => {
            words::fact(name, &value, verdict.interval.is_none_or(|interval| interval.high.is_finite()))
        }
    }
}

/// A share of a whole, or so many of one for each of another.
fn ratio(verdict: &CheckVerdict, sum: &[String], per: &[String]) -> String {
    let value = figure::measured(verdict);
    if sum.iter().all(|name| per.contains(name)) {
        return format!("{} made up {value} of {}", capitalised(&words::noun(sum, "and")), words::whole(per));
    }
    let unit = words::unit_of(per);
    match figure::at_most(verdict).filter(|_| verdict.estimate == Some(0.0)) {
        Some(most) => format!("There were no {}, at most {most} per {unit}", words::noun(sum, "or")),
        None => format!("It took {value} {} per {unit}", words::noun(sum, "and")),
    }
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}

/// What became of the bound as it was published.
fn published_bound(
    verdict: &CheckVerdict,
    headline: &CheckVerdict,
    measurement: Option<&Measurement>,
) -> String {
    let check = &verdict.check;
    // Where the headline tells of something else, a bare bound would be taken for one of that.
    let bound = match is_of_one_kind(&check.metric, &headline.check.metric) {
        true => figure::bound(check),
        false => format!("“{}”", check.title),
    };
    let out_of_reach = matches!(&check.metric, Metric::Ratio { sum, of_ceiling: false, .. } if words::is_of_hits(sum))
        && measurement.is_some_and(|it| is_beyond_chance(check.bound.value(), it, verdict.samples));
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

/// Whether a hit rate lies so far above the ceiling that so many look-ups would not come to it by chance.
fn is_beyond_chance(rate: f64, measurement: &Measurement, lookups: u64) -> bool {
    let spread = ceiling::spread(measurement, lookups as f64).unwrap_or(0.0);
    measurement.ceiling.is_some_and(|ceiling| rate > ceiling + spread)
}

/// Whether two metrics are told in the same words: of a hit rate, what the ceiling allows is another measure of it.
fn is_of_one_kind(one: &Metric, other: &Metric) -> bool {
    match (one, other) {
        (Metric::Ratio { sum: a, per: b, .. }, Metric::Ratio { sum: c, per: d, .. }) => a == c && b == d,
        _ => one == other,
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
