//! `report.md`: the verdicts for a CI job summary.

use crate::plot;
use crate::render::{claims, figure, means, rates, rests, table};
use crate::run::Run;
use crate::verdict::{CheckVerdict, ClaimVerdict, Verdict};

/// A job summary may hold 1 MiB; a report that would be longer is cut at a line, and says so.
const CAP: usize = 1 << 20;

/// What is read in ten seconds stands open, all else is folded.
pub fn markdown(run: &Run, verdicts: &[ClaimVerdict]) -> String {
    let mut text = format!("# proofload: {}\n\n", escaped(&means::headline(run, verdicts)));
    for sentence in means::aloud(run, verdicts) {
        text.push_str(&format!("{}\n\n", escaped(&sentence)));
    }
    for reason in &run.invalid {
        text.push_str(&format!("> **Invalid:** {}\n\n", escaped(reason)));
    }
    if !verdicts.is_empty() {
        text.push_str(&in_short(verdicts));
        let bounds: usize = verdicts.iter().map(|it| it.checks.len()).sum();
        folded(&format!("All {bounds} bounds"), &all_bounds(verdicts), &mut text);
    }
    folded("Offered and achieved", &loads(run), &mut text);
    folded("Workloads and settings", &settings(run), &mut text);
    if !run.bars.is_empty() {
        folded("Bars of the server", &bars(run), &mut text);
    }
    folded("How it was measured", &environment(run), &mut text);
    text.push_str(&format!("```sh\n{}\n```\n", means::command(run)));
    capped(text)
}

/// Markdown within a fold needs an empty line above and below.
fn folded(title: &str, inner: &str, text: &mut String) {
    text.push_str(&format!("<details><summary>{title}</summary>\n\n{}\n\n</details>\n\n", inner.trim_end()));
}

/// One row a claim.
fn in_short(verdicts: &[ClaimVerdict]) -> String {
    let mut text = "| claim | verdict | measured | bound | as published | rests on |\n".to_owned();
    text.push_str("| --- | --- | --- | --- | --- | --- |\n");
    for row in claims::rows(verdicts) {
        let why = if row.why.is_empty() { String::new() } else { format!(": {}", escaped(&row.why)) };
        text.push_str(&format!(
            "| `{}` {} | {}{}{why} | {} | {} | {} | {} |\n",
            row.id,
            escaped(&row.title),
            row.told(),
            if row.upheld { "" } else { " (published only)" },
            row.measured,
            row.bound,
            row.stated(),
            escaped(&row.rests_on),
        ));
    }
    text + "\n"
}

fn all_bounds(verdicts: &[ClaimVerdict]) -> String {
    let mut text =
        "| claim | bound | measured | verdict | rests on |\n| --- | --- | --- | --- | --- |\n".to_owned();
    for claim in verdicts {
        text.extend(claim.checks.iter().map(|check| bound(claim, check)));
    }
    text.push('\n');
    for claim in verdicts.iter().filter(|claim| !claim.sentence.is_empty()) {
        text.push_str(&format!("- **{}**: {}\n", claim.claim.id, escaped(&claim.sentence)));
    }
    text.push('\n');
    for check in verdicts.iter().flat_map(|claim| &claim.checks).filter(|check| !check.reasons.is_empty()) {
        let (title, reasons) = (escaped(&check.check.title), escaped(&check.reasons.join("; ")));
        text.push_str(&format!("- {title}: {reasons}\n"));
    }
    text
}

fn bound(claim: &ClaimVerdict, check: &CheckVerdict) -> String {
    format!(
        "| `{}` | {}: {} | {} | {} {} | {} |\n",
        claim.claim.id,
        table::kind(check),
        escaped(&check.check.title),
        figure::measured(check),
        table::mark(check.verdict),
        check.verdict,
        escaped(&rests::in_short(check)),
    )
}

fn loads(run: &Run) -> String {
    let mut text = "| measured | offered/s | achieved/s | dropped | wrong or failed | p50 | p99 | longest | generator lag p99 |\n".to_owned();
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    let loads = rates::loads(run);
    for load in &loads {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n",
            escaped(&load.name),
            load.offered,
            load.achieved,
            load.dropped,
            load.failed,
            load.p50,
            load.p99,
            load.max,
            load.lag
        ));
    }
    text.push('\n');
    let untrusted: Vec<_> = loads.iter().filter(|load| !load.invalid.is_empty()).collect();
    for load in &untrusted {
        text.push_str(&format!("- **{}**: {}\n", escaped(&load.name), escaped(&load.invalid)));
    }
    if !untrusted.is_empty() {
        text.push_str(&format!("\nFigures marked {} cannot be trusted.\n", table::mark(Verdict::Invalid)));
    }
    text
}

/// Points of curves and maps are many; theirs stand in the page.
fn settings(run: &Run) -> String {
    let mut text = String::new();
    for measurement in run.measurements.iter().filter(|it| !plot::is_point(it)) {
        let settings = means::settings(measurement);
        let told: Vec<String> = settings.iter().map(|(name, value)| format!("{name} {value}")).collect();
        text.push_str(&format!(
            "- **{}**: {}\n",
            escaped(&measurement.scenario.name),
            escaped(&told.join(", "))
        ));
    }
    text
}

fn bars(run: &Run) -> String {
    let line = |cells: [String; 5]| format!("| {} |\n", cells.map(|cell| escaped(&cell)).join(" | "));
    let titles = line(means::BAR_TITLES.map(str::to_owned));
    let rows = means::bars(run).into_iter().map(line);
    [titles, "| --- | --- | --- | --- | --- |\n".to_owned()].into_iter().chain(rows).collect()
}

fn environment(run: &Run) -> String {
    let rows = means::environment(run);
    rows.iter().map(|(name, value)| format!("- {name}: {}\n", escaped(value))).collect()
}

/// What would end a table's cell or begin markup; foreign text stands in reasons and remarks.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' => out.push(' '),
            '|' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(character);
            }
            _ => out.push(character),
        }
    }
    out
}

fn capped(text: String) -> String {
    const NOTE: &str = "\n\n(cut at 1 MiB; the whole is in report.html)\n";
    if text.len() <= CAP {
        return text;
    }
    let mut end = CAP - NOTE.len();
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let end = text[..end].rfind('\n').unwrap_or(end);
    format!("{}{NOTE}", &text[..end])
}
