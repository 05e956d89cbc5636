//! `report.md`: the verdicts for a CI job summary.

use crate::render::{figure, means, rates, rests, table};
use crate::run::Run;
use crate::verdict::{CheckVerdict, ClaimVerdict};

/// A job summary may hold 1 MiB; a report that would be longer is cut at a line, and says so.
const CAP: usize = 1 << 20;

pub fn markdown(run: &Run, verdicts: &[ClaimVerdict]) -> String {
    let mut text = format!("# proofload: {}\n\n", means::headline(run, verdicts));
    for reason in &run.invalid {
        text.push_str(&format!("> **Invalid:** {}\n\n", escaped(reason)));
    }
    if !verdicts.is_empty() {
        claims(verdicts, &mut text);
    }
    loads(run, &mut text);
    text.push_str("## How it was measured\n\n");
    for (name, value) in means::environment(run) {
        text.push_str(&format!("- {name}: {}\n", escaped(&value)));
    }
    text.push_str(&format!("\n```sh\n{}\n```\n", means::command(run)));
    capped(text)
}

fn claims(verdicts: &[ClaimVerdict], text: &mut String) {
    text.push_str("| claim | bound | measured | verdict | rests on |\n| --- | --- | --- | --- | --- |\n");
    for (claim, check) in
        verdicts.iter().flat_map(|claim| claim.checks.iter().map(move |check| (claim, check)))
    {
        text.push_str(&row(claim, check));
    }
    text.push('\n');
    for claim in verdicts.iter().filter(|claim| !claim.sentence.is_empty()) {
        text.push_str(&format!("- **{}**: {}\n", claim.claim.id, escaped(&claim.sentence)));
    }
    text.push('\n');
    reasons(verdicts, text);
}

fn row(claim: &ClaimVerdict, check: &CheckVerdict) -> String {
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

fn reasons(verdicts: &[ClaimVerdict], text: &mut String) {
    for check in verdicts.iter().flat_map(|claim| &claim.checks).filter(|check| !check.reasons.is_empty()) {
        text.push_str(&format!(
            "- {}: {}\n",
            escaped(&check.check.title),
            escaped(&check.reasons.join("; "))
        ));
    }
    text.push('\n');
}

fn loads(run: &Run, text: &mut String) {
    text.push_str("| measured | offered/s | achieved/s | dropped | wrong or failed | p50 | p99 | max |\n");
    text.push_str("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n");
    for load in rates::loads(run) {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} |\n",
            escaped(&load.name),
            load.offered,
            load.achieved,
            load.dropped,
            load.failed,
            load.p50,
            load.p99,
            load.max
        ));
    }
    text.push('\n');
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
