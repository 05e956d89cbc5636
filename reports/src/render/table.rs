//! The table of verdicts in a terminal, made to be read in ten seconds.

use crate::figure;
use crate::verdict::{CheckVerdict, ClaimVerdict, Verdict};

/// Narrower than this a row becomes several lines.
const NARROWEST: usize = 72;

/// One line a check, and the sentence of each claim below it. `width` is that of the terminal.
pub fn table(verdicts: &[ClaimVerdict], width: usize, colour: bool) -> String {
    let ink = Ink(colour);
    let rows: Vec<Row> = verdicts.iter().flat_map(rows).collect();
    let sizes = Sizes::of(&rows, width);
    let mut text = String::new();
    for claim in verdicts {
        text.push_str(&format!("{}\n", ink.bold(&claim.claim.id)));
        for row in claim.checks.iter().map(Row::of) {
            row.write(&sizes, ink, &mut text);
        }
        for line in wrapped(&claim.sentence, width.saturating_sub(2)) {
            text.push_str(&format!("  {}\n", ink.faint(&line)));
        }
    }
    text
}

struct Row {
    verdict: Verdict,
    kind: &'static str,
    title: String,
    measured: String,
    bound: String,
    reason: Option<String>,
}

impl Row {
    fn of(check: &CheckVerdict) -> Row {
        Row {
            verdict: check.verdict,
            kind: kind(check),
            title: check.check.title.clone(),
            measured: figure::measured(check),
            bound: figure::bound(&check.check),
            reason: check.reasons.first().filter(|_| check.verdict != Verdict::Holds).cloned(),
        }
    }

    fn write(&self, sizes: &Sizes, ink: Ink, text: &mut String) {
        let mark = ink.verdict(self.verdict, &format!("{} {:<12}", mark(self.verdict), self.verdict.name()));
        match sizes {
            Sizes::Columns { title, measured, bound } => {
                let short = clipped(&self.title, *title);
                text.push_str(&format!(
                    "  {mark} {:<6} {short:<title$}  {:>measured$}  {:<bound$}",
                    self.kind, self.measured, self.bound
                ));
                text.truncate(text.trim_end().len());
                text.push('\n');
            }
            Sizes::Stacked { width } => {
                text.push_str(&format!("  {mark} {}\n", self.kind));
                let figures = format!("{}, bound {}", self.measured, self.bound);
                for line in wrapped(&self.title, width - 4).into_iter().chain(wrapped(&figures, width - 4)) {
                    text.push_str(&format!("    {line}\n"));
                }
            }
        }
        if let Some(reason) = &self.reason {
            for line in wrapped(reason, sizes.width().saturating_sub(5)) {
                text.push_str(&format!("    {}\n", ink.faint(&line)));
            }
        }
    }
}

enum Sizes {
    Columns { title: usize, measured: usize, bound: usize },
    Stacked { width: usize },
}

impl Sizes {
    /// The mark and the kind take 24 columns, the gaps four; the title gets what the figures leave.
    fn of(rows: &[Row], width: usize) -> Sizes {
        let longest = |of: fn(&Row) -> &str| rows.iter().map(|row| columns(of(row))).max().unwrap_or(0);
        let (measured, bound) = (longest(|row| &row.measured), longest(|row| &row.bound));
        let left = width.saturating_sub(24 + 4 + measured + bound);
        if width < NARROWEST || left < 16 {
            return Sizes::Stacked { width: width.max(32) };
        }
        Sizes::Columns { title: left.min(longest(|row| &row.title)), measured, bound }
    }

    fn width(&self) -> usize {
        match self {
            Sizes::Columns { title, measured, bound } => 28 + title + measured + bound,
            Sizes::Stacked { width } => *width,
        }
    }
}

#[derive(Clone, Copy)]
struct Ink(bool);

impl Ink {
    fn wrap(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
    fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }
    fn faint(self, text: &str) -> String {
        self.wrap("2", text)
    }
    fn verdict(self, verdict: Verdict, text: &str) -> String {
        let code = match verdict {
            Verdict::Holds => "32",
            Verdict::Fails => "1;31",
            Verdict::Inconclusive => "33",
            Verdict::Invalid => "1;35",
        };
        self.wrap(code, text)
    }
}

/// A sign that tells the verdicts apart without colour.
pub fn mark(verdict: Verdict) -> char {
    match verdict {
        Verdict::Holds => '✓',
        Verdict::Fails => '✗',
        Verdict::Inconclusive => '?',
        Verdict::Invalid => '!',
    }
}

/// `stated` or `upheld`.
pub fn kind(check: &CheckVerdict) -> &'static str {
    match check.check.kind {
        proofload_scenarios::Kind::Stated => "stated",
        proofload_scenarios::Kind::Upheld => "upheld",
    }
}

fn rows(claim: &ClaimVerdict) -> impl Iterator<Item = Row> + '_ {
    claim.checks.iter().map(Row::of)
}

/// Columns that a text takes: all that we print is one column a character.
fn columns(text: &str) -> usize {
    text.chars().count()
}

fn clipped(text: &str, width: usize) -> String {
    if columns(text) <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if columns(line) + 1 + columns(word) <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
