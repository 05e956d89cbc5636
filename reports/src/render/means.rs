//! The means by which a run was measured, in words: environment, settings, command, bias.

use crate::figure;
use crate::gate;
use crate::plot;
use crate::run::{Bar, Measurement, NotChecked, Run};
use crate::tally::Tally;
use crate::verdict::{ClaimVerdict, Verdict};

/// One sentence that a person would say aloud.
pub fn headline(run: &Run, verdicts: &[ClaimVerdict]) -> String {
    if !run.invalid.is_empty() {
        return format!("The run cannot be trusted: {}", run.invalid[0]);
    }
    if verdicts.is_empty() {
        return match run.measurements.len() {
            1 => format!("One measurement, {}, and no claim to judge", run.measurements[0].scenario.name),
            n => format!("{n} measurements and no claim to judge"),
        };
    }
    if run.verb == gate::VERB {
        return verdicts[0].sentence.replace('`', "").trim_end_matches('.').to_owned();
    }
    let upheld = verdicts.iter().filter_map(|it| it.upheld);
    let outcome = match upheld.max() {
        Some(Verdict::Holds) => upheld_in_all(verdicts),
        Some(worst) => {
            let deciding = || verdicts.iter().filter_map(|it| it.upheld);
            let hold = deciding().filter(|it| *it == Verdict::Holds).count();
            let others = match hold {
                0 => String::new(),
                _ => format!("{hold} of {} claims hold; ", deciding().count()),
            };
            format!("{others}{} {}", named(verdicts, worst), verb(worst, verdicts))
        }
        None => "No claim has a bound that this project upholds".to_owned(),
    };
    let as_published: Vec<_> = verdicts
        .iter()
        .filter(|it| it.stated == Some(Verdict::Fails))
        .map(|it| it.claim.id.as_str())
        .collect();
    match as_published.len() {
        0 => outcome,
        1 => format!("{outcome}; as published, {} does not hold", as_published[0]),
        _ => format!("{outcome}; as published, {} do not hold", listed(&as_published)),
    }
}

/// What is said below the headline: of a single claim its sentence; then what was offered and what came of it.
pub fn aloud(run: &Run, verdicts: &[ClaimVerdict]) -> Vec<String> {
    let only = match verdicts {
        [only] if run.verb != gate::VERB => Some(only.sentence.clone()).filter(|it| !it.is_empty()),
        _ => None,
    };
    let left_out = |it: &NotChecked| format!("Not checked: {}: {}.", it.claims.join(", "), it.why);
    only.into_iter().chain(offered(run)).chain(run.not_checked.iter().map(left_out)).collect()
}

/// `61,430 of 61,442 requests were answered rightly (99.98 %): 2 dropped, 10 failed.` Points of curves and maps are left
/// out: many of those are overloaded on purpose.
fn offered(run: &Run) -> Option<String> {
    let of_their_own = || run.measurements.iter().filter(|it| !plot::is_point(it));
    let tally = Tally::of(of_their_own().flat_map(|it| &it.series).flat_map(|it| &it.slices));
    if tally.offered() == 0 {
        return None;
    }
    let untrusted = of_their_own().filter(|it| !it.invalid.is_empty() || !it.invalid_latency.is_empty());
    let doubt = match (untrusted.count(), of_their_own().count()) {
        (0, _) => String::new(),
        (_, 1) => " Its latencies cannot be trusted.".to_owned(),
        (n, all) => format!(" The latencies of {n} of {all} measurements cannot be trusted."),
    };
    Some(format!(
        "{} of {} requests were answered rightly ({}): {} dropped, {} failed.{doubt}",
        figure::count(tally.ok),
        figure::count(tally.offered()),
        figure::part(tally.ok, tally.offered()),
        figure::count(tally.dropped),
        figure::count(tally.failed())
    ))
}

/// The titles of the table of bars, and a row a bar: met or missed, what, measured, bound, and how it was measured when.
pub const BAR_TITLES: [&str; 5] = ["verdict", "bar", "measured", "bound", "measured by"];

pub fn bars(run: &Run) -> Vec<[String; 5]> {
    let row = |bar: &Bar| {
        let number = figure::significant;
        [
            if bar.met { "✓ met" } else { "✗ missed" }.to_owned(),
            bar.what.clone(),
            format!("{} ({} to {})", number(bar.measured), number(bar.low), number(bar.high)),
            format!("{} {}", bar.relation.replace("<=", "≤").replace(">=", "≥"), number(bar.bound)),
            format!("{}, {}", bar.command, figure::moment(bar.unix_ms)),
        ]
    };
    run.bars.iter().map(row).collect()
}

/// Name and value of what the numbers belong to.
pub fn environment(run: &Run) -> Vec<(&'static str, String)> {
    let environment = &run.environment;
    let mut rows = vec![
        ("measured", figure::moment(run.started_unix_ms)),
        ("took", figure::time_us(run.duration_s * 1e6)),
        ("proofload", environment.tool_version.clone()),
        (
            "machine",
            format!(
                "{} cores, {}, {} MB",
                environment.host_cores, environment.cpu_model, environment.memory_mb
            ),
        ),
        ("kernel", environment.kernel.clone()),
        ("pinning", environment.pinning.clone()),
        ("backends", environment.backends.join(", ")),
    ];
    if !run.profile.is_empty() {
        rows.insert(2, ("profile", run.profile.clone()));
    }
    rows.push((
        "generator's own error",
        match &run.generator_error {
            None => "not known on this machine: proofload selftest measures it".to_owned(),
            Some(error) => format!(
                "send delay p50 {}, p99 {}; quantiles within {:.2} %; selftest of {}",
                figure::time_us(error.send_delay_p50_us),
                figure::time_us(error.send_delay_p99_us),
                error.quantile_error * 100.0,
                figure::moment(error.measured_unix_ms)
            ),
        },
    ));
    rows.retain(|(_, value)| !value.is_empty());
    rows
}

/// The command that does it again, quoted for a shell.
pub fn command(run: &Run) -> String {
    run.command.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
}

/// Scenario parameters and settings of a measurement, flat: path and value.
pub fn settings(measurement: &Measurement) -> Vec<(String, String)> {
    let mut rows = Vec::new();
    let scenario = serde_json::to_value(&measurement.scenario).expect("a scenario has string keys only");
    flatten("", &scenario, &mut rows);
    rows.retain(|(name, _)| name != "name" && name != "about");
    rows.extend(measurement.settings.iter().map(|(name, value)| (name.clone(), value.clone())));
    if let Some(ceiling) = measurement.ceiling {
        rows.push(("ceiling of the hit rate".to_owned(), format!("{:.2} %", ceiling * 100.0)));
    }
    rows
}

/// What leans which way, said before a reader asks.
pub fn bias(run: &Run) -> Vec<&'static str> {
    let bundled = run.measurements.iter().any(|it| it.scenario.links.is_some());
    let compared = run.measurements.iter().any(|it| it.series.len() > 1);
    let mut lines = vec![GENERATOR];
    if bundled {
        lines.extend(BUNDLED);
    }
    if compared {
        lines.push(COMPARED);
    }
    lines
}

const GENERATOR: &str = "The times are this generator's own. Its lateness is measured and shown with them; where it \
                         could not keep up, they are marked invalid, not corrected.";
const BUNDLED: [&str; 4] = [
    "Generator and server share one machine: they compete for caches, memory bandwidth and the kernel even where they \
     are pinned to cores of their own. Ratios between variants suffer less from it than times do.",
    "The network is the loopback device: real networks add latency and loss that no figure here contains.",
    "The reference server and this tool come from the same people. Hence the independent witnesses, the ledger and \
     the raw data: do not take our word.",
    "Keys follow a fixed Zipf popularity. Real traffic drifts, and its hit rates are lower.",
];
const COMPARED: &str =
    "Variants that are compared ran on the same machine, with the same client, in slices that alternate.";

fn upheld_in_all(verdicts: &[ClaimVerdict]) -> String {
    match verdicts {
        [one] => format!("{} holds in the bounds that this project upholds", one.claim.id),
        _ => format!("All {} claims hold in the bounds that this project upholds", verdicts.len()),
    }
}

fn named(verdicts: &[ClaimVerdict], worst: Verdict) -> String {
    let ids: Vec<_> =
        verdicts.iter().filter(|it| it.upheld == Some(worst)).map(|it| it.claim.id.as_str()).collect();
    listed(&ids)
}

/// `a, b and c`.
fn listed(words: &[&str]) -> String {
    match words {
        [all @ .., last] if !all.is_empty() => format!("{} and {last}", all.join(", ")),
        _ => words.concat(),
    }
}

fn verb(worst: Verdict, verdicts: &[ClaimVerdict]) -> &'static str {
    let several = verdicts.iter().filter(|it| it.upheld == Some(worst)).count() > 1;
    match (worst, several) {
        (Verdict::Holds, false) => "holds",
        (Verdict::Holds, true) => "hold",
        (Verdict::Fails, false) => "fails",
        (Verdict::Fails, true) => "fail",
        (Verdict::Inconclusive, false) => "is inconclusive",
        (Verdict::Inconclusive, true) => "are inconclusive",
        (Verdict::Invalid, false) => "is invalid: its measurement cannot be trusted",
        (Verdict::Invalid, true) => "are invalid: their measurements cannot be trusted",
    }
}

fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

fn flatten(path: &str, value: &serde_json::Value, rows: &mut Vec<(String, String)>) {
    use serde_json::Value;
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    match value {
        Value::Null => {}
        Value::Object(members) => members.iter().for_each(|(name, value)| flatten(&below(name), value, rows)),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, value)| flatten(&below(&(index + 1).to_string()), value, rows));
        }
        Value::String(text) => rows.push((path.to_owned(), text.clone())),
        other => rows.push((path.to_owned(), other.to_string())),
    }
}
