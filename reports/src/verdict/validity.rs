//! Validity: every reason why a measurement cannot answer a check.

use std::collections::BTreeMap;

use proofload_scenarios::claim::{Agreement, Counted};
use proofload_scenarios::scenario::{FaultAction, FaultTarget};
use proofload_scenarios::{Check, Metric};

use crate::ceiling;
use crate::figure;
use crate::run::{Fault, Ledger, Measurement, Model, Run, Series, Slice, Standing, begun_anew, elapsed};

/// The measurement of the check's scenario.
pub(super) fn measurement<'a>(check: &Check, run: &'a Run) -> Result<&'a Measurement, String> {
    let mut found = run.measurements.iter().filter(|it| it.scenario.name == check.scenario);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(format!("the scenario `{}` was not measured", check.scenario)),
        (Some(_), Some(_)) => Err(format!(
            "the scenario `{}` was measured more than once; which one counts is not said",
            check.scenario
        )),
    }
}

/// The series that the check reads.
pub(super) fn series<'a>(check: &Check, measurement: &'a Measurement) -> Result<Vec<&'a Series>, String> {
    match &check.metric {
        Metric::Versus { compare, .. } => {
            [&compare.of, &compare.over].into_iter().map(|name| one_series(measurement, Some(name))).collect()
        }
        Metric::Slowdown { of, over, .. } => {
            [of, over].into_iter().map(|side| one_series(measurement, side.variant.as_deref())).collect()
        }
        Metric::Ratio { variant, .. }
        | Metric::Rate { variant, .. }
        | Metric::Response { variant, .. }
        | Metric::Service { variant, .. } => Ok(vec![one_series(measurement, variant.as_deref())?]),
        Metric::Count { sum, .. } if sum.iter().all(|name| is_of_ledger(name)) => Ok(Vec::new()),
        Metric::Count { variant, .. } => Ok(vec![one_series(measurement, variant.as_deref())?]),
        Metric::Fact { .. } => Ok(Vec::new()),
    }
}

fn one_series<'a>(measurement: &'a Measurement, variant: Option<&str>) -> Result<&'a Series, String> {
    if variant.is_none() && measurement.series.len() > 1 {
        return Err("the scenario has several variants and the check names none".to_owned());
    }
    let wanted = variant.map_or("any variant".to_owned(), |name| format!("the variant `{name}`"));
    match measurement.series(variant) {
        Some(series) if series.slices.is_empty() => Err(format!("nothing was measured of {wanted}")),
        Some(series) => Ok(series),
        None => Err(format!("{wanted} was not measured")),
    }
}

/// All that speaks against the measurement as evidence for this check.
pub(super) fn objections(
    check: &Check,
    untrusted: &[String],
    measurement: &Measurement,
    series: &[&Series],
) -> Vec<String> {
    let mut found = untrusted.to_vec();
    found.extend(unfit(check));
    found.extend(measurement.invalid.iter().cloned());
    found.extend(against_latency(check, measurement));
    found.extend(needed(check).iter().flat_map(|name| absent(name, measurement, series)));
    found.extend(wrong_answers(check, series));
    found.extend(against_creates(check, measurement));
    found.extend(forgotten(check, series));
    found.extend(restarted(check, measurement, series));
    found.extend(check.agree.iter().flat_map(|pair| disagreement(pair, measurement, series)));
    found
}

/// What makes the check itself no question that can be answered.
fn unfit(check: &Check) -> Option<String> {
    if !(check.confidence > 0.5 && check.confidence < 1.0) {
        return Some(format!(
            "a confidence of {} is none: it must lie above 0.5 and below 1",
            check.confidence
        ));
    }
    let (sum, per) = match &check.metric {
        Metric::Ratio { sum, per, .. } | Metric::Versus { sum, per, .. } => (&sum[..], &per[..]),
        Metric::Count { sum, .. } | Metric::Rate { sum, .. } => (&sum[..], &[][..]),
        _ => (&[][..], &[][..]),
    };
    counted_twice(sum).or_else(|| counted_twice(per))
}

/// A counter that two names of a sum stand for would be added twice.
fn counted_twice(names: &[String]) -> Option<String> {
    let holds = |one: &str, other: &str| {
        one.strip_suffix('*').map_or(one == other, |prefix| other.trim_end_matches('*').starts_with(prefix))
    };
    names.iter().enumerate().find_map(|(index, one)| {
        let mut others = names[index + 1..].iter();
        let other = others.find(|other| holds(one, other) || holds(other, one))?;
        Some(format!("`{one}` and `{other}` count the same twice"))
    })
}

/// The counters that the metric is computed from.
pub(super) fn counters(metric: &Metric) -> Vec<String> {
    match metric {
        Metric::Ratio { sum, per, .. } | Metric::Versus { sum, per, .. } => [&sum[..], per].concat(),
        Metric::Count { sum, .. } | Metric::Rate { sum, .. } => sum.clone(),
        Metric::Response { .. } | Metric::Service { .. } | Metric::Slowdown { .. } | Metric::Fact { .. } => {
            Vec::new()
        }
    }
}

/// Those, and what they are checked against.
fn rests_on_counters(check: &Check) -> Vec<String> {
    let agreeing = check.agree.iter().flat_map(|pair| [&pair.counters.0, &pair.counters.1]);
    [counters(&check.metric), agreeing.flat_map(Counted::names).cloned().collect()].concat()
}

/// The counters without which the check cannot be judged: those of the metric, and the client's own,
/// which tell what was sent and how much of it went wrong.
fn needed(check: &Check) -> Vec<String> {
    let mut names = counters(&check.metric);
    if !matches!(check.metric, Metric::Fact { .. }) {
        names.extend(["client.sent", "client.wrong"].map(str::to_owned));
    }
    names.dedup();
    names
}

/// What the counters rest on, a line for each standing, and what they were checked against.
pub(super) fn rests_on(check: &Check, measurement: &Measurement) -> Vec<String> {
    let mut lines = by_standing(&counters(&check.metric), measurement);
    for pair in &check.agree {
        let (one, other) = &pair.counters;
        let line = match unseen(one, measurement).or_else(|| unseen(other, measurement)) {
            Some(witness) => {
                format!("{one} was not checked against {other}: no witness `{witness}` in this run")
            }
            None => format!(
                "{one} was checked against {other}: {}, {} allowed",
                standing(&other.names()[0], measurement),
                allowed(pair)
            ),
        };
        lines.push(line);
    }
    match &check.metric {
        Metric::Ratio { of_ceiling: true, per, variant, .. } => {
            let part = check.metric.part();
            let slices = measurement.series(variant.as_deref()).map_or(&[][..], |series| &series.slices);
            let within = slices.iter().filter(|it| part.holds(it.start_s, it.start_s + it.duration_s));
            let lookups: u64 = within.map(|slice| slice.sum(per)).sum();
            let told = ceiling::told(measurement, lookups as f64).map(|told| format!(" ({told})"));
            let told = told.unwrap_or_default();
            lines.push(format!("ceiling: computed from the workload and the cache's size{told}"));
        }
        Metric::Response { .. } => {
            lines
                .push("response times: recorded by the client, from the moment a request was due".to_owned());
        }
        Metric::Service { .. } => {
            lines
                .push("service times: recorded by the client, from the moment a request was sent".to_owned());
        }
        Metric::Slowdown { .. } => {
            let from = if measurement.model == Model::Open { "due" } else { "sent" };
            lines.push(format!("times: recorded by the client, from the moment a request was {from}"));
        }
        Metric::Fact { name } => lines.push(format!("{name}: a single number that the run recorded")),
        _ => {}
    }
    lines.dedup();
    lines
}

/// `client.ok, client.sent: counted by the client (…)`: each counter once, those of one standing together.
fn by_standing(names: &[String], measurement: &Measurement) -> Vec<String> {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for name in names {
        let standing = standing(name, measurement);
        match groups.iter_mut().find(|(of, _)| *of == standing) {
            Some((_, group)) if group.contains(&name.as_str()) => {}
            Some((_, group)) => group.push(name),
            None => groups.push((standing, vec![name])),
        }
    }
    groups.into_iter().map(|(standing, names)| format!("{}: {standing}", names.join(", "))).collect()
}

pub(super) fn is_of_ledger(name: &str) -> bool {
    name.starts_with("ledger.")
}

/// A number of the ledger by its name: `ledger.missing`.
pub(super) fn of_ledger(name: &str, ledger: &Ledger) -> Option<u64> {
    match name.strip_prefix("ledger.")? {
        "acknowledged" => Some(ledger.acknowledged),
        "indeterminate" => Some(ledger.indeterminate),
        "present" => Some(ledger.present),
        "missing" => Some(ledger.missing),
        "wrong" => Some(ledger.wrong),
        "duplicates" => Some(ledger.duplicates),
        "strangers" => Some(ledger.strangers),
        "unleased" => ledger.unleased,
        _ => None,
    }
}

fn standing(name: &str, measurement: &Measurement) -> String {
    if is_of_ledger(name) {
        let source = measurement.ledger.as_ref().map_or("missing", |ledger| ledger.source.as_str());
        return format!("the ledger ({source})");
    }
    match measurement.witnesses.get(witness(name)) {
        None => "of unknown origin".to_owned(),
        Some(witness) => {
            let standing = match witness.standing {
                Standing::Client => "counted by the client",
                Standing::SelfReported => "self-reported",
                Standing::Independent => "independent witness",
            };
            format!("{standing} ({})", witness.source)
        }
    }
}

fn witness(name: &str) -> &str {
    name.split('.').next().unwrap_or(name)
}

/// A witness of the counted that was no part of the run.
fn unseen<'a>(counted: &'a Counted, measurement: &Measurement) -> Option<&'a str> {
    let mut witnesses = counted.names().iter().map(|name| witness(name));
    witnesses.find(|witness| !measurement.witnesses.contains_key(*witness))
}

fn against_latency(check: &Check, measurement: &Measurement) -> Vec<String> {
    let is_latency = match &check.metric {
        Metric::Response { .. } | Metric::Service { .. } | Metric::Slowdown { .. } => true,
        Metric::Fact { name } => name.contains("latency") || name.ends_with("_us"),
        _ => false,
    };
    let mut found = if is_latency { measurement.invalid_latency.clone() } else { Vec::new() };
    if matches!(check.metric, Metric::Response { .. }) && measurement.model != Model::Open {
        found.push("closed runs have no response time: their arrivals wait for answers".to_owned());
    }
    found
}

/// A counter that no slice has, or that some lack: to read it as zero would flatter.
fn absent(name: &str, measurement: &Measurement, series: &[&Series]) -> Option<String> {
    if is_of_ledger(name) {
        return match &measurement.ledger {
            None => Some(format!("{name}: the creates were not read back, there is no ledger")),
            Some(ledger) => of_ledger(name, ledger).is_none().then(|| format!("the ledger has no `{name}`")),
        };
    }
    series.iter().find_map(|series| {
        let appeared = appearances(name, &series.slices);
        let lacks = |(index, slice): &(usize, &Slice)| match appeared.is_empty() {
            true => !has(&slice.counters, name),
            false => lacks(*index, slice, &appeared),
        };
        let mut lacking = series.slices.iter().enumerate().filter(lacks).map(|(_, slice)| slice);
        let first = lacking.next()?;
        let (without, all, variant) = (1 + lacking.count(), series.slices.len(), &series.variant);
        Some(match without == all {
            true => format!("`{name}` was not counted for variant `{variant}`"),
            false => format!(
                "`{name}` is missing from {without} of {all} slices of variant `{variant}`, first from {:.1} s",
                first.start_s
            ),
        })
    })
}

/// The slices that counters of the target by that name first appeared in. It shows a series, such as that of a status, once
/// there is something to be counted; none of it is to be lost from then on.
fn appearances<'a>(name: &str, slices: &'a [Slice]) -> BTreeMap<&'a str, usize> {
    let mut appeared = BTreeMap::new();
    if name.starts_with("target.") {
        let stem = name.trim_end_matches('*');
        for (index, slice) in slices.iter().enumerate() {
            let begun = slice.counters.range(stem.to_owned()..).map(|(key, _)| key.as_str());
            for key in begun.take_while(|key| key.starts_with(stem)) {
                if key == name || stem != name {
                    appeared.entry(key).or_insert(index);
                }
            }
        }
    }
    appeared
}

/// Whether the slice lacks a series that had appeared, or nobody read the target in it.
fn lacks(index: usize, slice: &Slice, appeared: &BTreeMap<&str, usize>) -> bool {
    let is_there = |key: &str| slice.counters.contains_key(key);
    let none_yet = appeared.values().all(|first| index < *first);
    (none_yet && !is_there(&elapsed("target")))
        || appeared.iter().any(|(key, first)| index >= *first && !is_there(key))
}

fn has(counters: &BTreeMap<String, u64>, name: &str) -> bool {
    match name.strip_suffix('*') {
        None => counters.contains_key(name) || (is_seldom(name) && counters.contains_key("client.sent")),
        Some(prefix) => {
            counters.range(prefix.to_owned()..).next().is_some_and(|(key, _)| key.starts_with(prefix))
                || (is_seldom(prefix) && counters.contains_key("client.sent"))
        }
    }
}

/// What the client enters only into slices in which it happened.
fn is_seldom(name: &str) -> bool {
    const SELDOM: [&str; 7] = ["refused", "reset", "cut", "garbage", "tls", "local", "unfinished"];
    name.strip_prefix("client.").is_some_and(|name| SELDOM.contains(&name) || name.starts_with("status/"))
}

/// A wrong answer did something else than what is claimed, and often faster.
fn wrong_answers(check: &Check, series: &[&Series]) -> Option<String> {
    let excused = matches!(check.metric, Metric::Count { .. } | Metric::Fact { .. })
        || counters(&check.metric).iter().any(|name| name == "client.wrong");
    let wrong = total("client.wrong", series);
    let sent = total("client.sent", series);
    let is_wrong = |slice: &&Slice| slice.counters.get("client.wrong").is_some_and(|count| *count > 0);
    let first = series.iter().find_map(|series| Some((series, series.slices.iter().find(is_wrong)?)));
    first.filter(|_| !excused).map(|(series, slice)| {
        format!(
            "{} of {} answers were wrong, first of variant `{}` from {:.1} s",
            figure::count(wrong),
            figure::count(sent),
            series.variant,
            slice.start_s
        )
    })
}

/// Creates that the store does not confirm are no creates.
fn against_creates(check: &Check, measurement: &Measurement) -> Option<String> {
    let names = counters(&check.metric);
    // What a request costs, or how many there are, is known only where all of them did what was asked.
    let rests_on_them =
        matches!(check.metric, Metric::Ratio { .. } | Metric::Versus { .. } | Metric::Rate { .. })
            || names.iter().any(|name| name.contains("create"));
    let counts_them = names.iter().any(|name| is_of_ledger(name));
    measurement.ledger.as_ref().filter(|_| rests_on_them && !counts_them)?.denial()
}

/// Counters that fell though nobody was to restart who keeps them. That of several processes, which answer in turn, do so as
/// well, and each time all that one of them ever counted would be added.
fn restarted(check: &Check, measurement: &Measurement, series: &[&Series]) -> Option<String> {
    let names = rests_on_counters(check);
    let of = |witness: &str| names.iter().any(|name| self::witness(name) == witness);
    let on_purpose = |whom| {
        let ends =
            |it: &Fault| it.whom == whom && matches!(it.what, FaultAction::Kill | FaultAction::Restart);
        measurement.faults.iter().any(ends)
    };
    let meant = [
        ("server", on_purpose(FaultTarget::App)),
        ("keygen", on_purpose(FaultTarget::Keygen)),
        ("target", false),
    ];
    meant.into_iter().filter(|(witness, meant)| !meant && of(witness)).find_map(|(witness, _)| {
        let times = total(&begun_anew(witness), series);
        (times > 0).then(|| {
            format!(
                "the counters of the {witness} fell {} times: it was restarted, or its address leads to several processes in \
                 turn; name one process, whose counters only grow",
                figure::count(times)
            )
        })
    })
}

/// PostgreSQL keeps count of so many different statements, and forgets the rarest of more.
fn forgotten(check: &Check, series: &[&Series]) -> Option<String> {
    let rests = rests_on_counters(check).iter().any(|name| name.starts_with("postgres."));
    let evicted = total("postgres.evicted", series);
    (rests && evicted > 0).then(|| {
        format!(
            "PostgreSQL forgot statements {} times: its counts are too low; raise pg_stat_statements.max",
            figure::count(evicted)
        )
    })
}

/// Two witnesses that tell different things. A witness that was no part of the run cannot disagree; [`rests_on`] says so.
/// The target's own counters are no such: who writes a claim about a target knows what it counts.
fn disagreement(pair: &Agreement, measurement: &Measurement, series: &[&Series]) -> Vec<String> {
    let (one, other) = &pair.counters;
    match unseen(one, measurement).or_else(|| unseen(other, measurement)) {
        Some("target") => {
            return vec![format!(
                "{one} was to be checked against {other}, and nobody could read the counters of the target"
            )];
        }
        Some(_) => return Vec::new(),
        None => {}
    }
    let names = one.names().iter().chain(other.names());
    let missing: Vec<String> = names.filter_map(|name| absent(name, measurement, series)).collect();
    if !missing.is_empty() {
        return missing;
    }
    series.iter().filter_map(|series| apart(pair, series)).collect()
}

fn apart(pair: &Agreement, series: &Series) -> Option<String> {
    let (one, other) = &pair.counters;
    let counted = |it: &Counted| series.slices.iter().map(|slice| slice.sum(it.names())).sum::<u64>();
    let (left, right) = (counted(one), counted(other));
    let difference = if pair.at_most { left.saturating_sub(right) } else { left.abs_diff(right) };
    let apart = difference as f64 / left.max(right).max(1) as f64;
    (apart > pair.within && difference > pair.slack).then(|| {
        format!(
            "the witnesses disagree on variant `{}`: {one} says {}, {other} says {}; {:.1} % apart, {} allowed",
            series.variant,
            figure::count(left),
            figure::count(right),
            apart * 100.0,
            allowed(pair)
        )
    })
}

/// `2 %`, or `2 % or a count of 50`, or `2 % more`.
fn allowed(pair: &Agreement) -> String {
    let share = format!("{} %", pair.within * 100.0);
    let by =
        if pair.slack == 0 { share } else { format!("{share} or a count of {}", figure::count(pair.slack)) };
    if pair.at_most { format!("{by} more") } else { by }
}

/// The sum of a counter over all slices of the series.
pub(super) fn total(name: &str, series: &[&Series]) -> u64 {
    let names = [name.to_owned()];
    series.iter().flat_map(|series| &series.slices).map(|slice| slice.sum(&names)).sum()
}
