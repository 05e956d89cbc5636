//! The table of verdicts in a terminal, made to be read in ten seconds.

use crate::figure;
use crate::render::claims;
use crate::verdict::{CheckVerdict, ClaimVerdict, Verdict};

/// Columns that a title needs beside the figures; with fewer, the figures stand below it.
const NARROWEST: usize = 28;
/// Columns that the mark, the verdict and the kind take.
const MARKS: usize = 24;

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
            reason: Some(claims::why(check)).filter(|it| !it.is_empty()),
        }
    }

    fn figures(&self) -> String {
        format!("{}, bound {}", self.measured, self.bound)
    }

    fn write(&self, sizes: &Sizes, ink: Ink, text: &mut String) {
        let mark = ink.verdict(self.verdict, &format!("{} {:<12}", mark(self.verdict), self.verdict.name()));
        match *sizes {
            Sizes::Columns { title, measured, bound } => {
                let mut lines = wrapped(&self.title, title).into_iter();
                let first = lines.next().unwrap_or_default();
                text.push_str(&format!(
                    "  {mark} {:<6} {first:<title$}  {:>measured$}  {:<bound$}",
                    self.kind, self.measured, self.bound
                ));
                text.truncate(text.trim_end().len());
                text.push('\n');
                lines.for_each(|line| text.push_str(&format!("{:MARKS$}{line}\n", "")));
            }
            Sizes::Hanging { width } => {
                let mut lines = wrapped(&self.title, width - MARKS).into_iter();
                let first = lines.next().unwrap_or_default();
                text.push_str(&format!("  {mark} {:<6} {first}\n", self.kind));
                for line in lines.chain(wrapped(&self.figures(), width - MARKS)) {
                    text.push_str(&format!("{:MARKS$}{line}\n", ""));
                }
            }
            Sizes::Stacked { width } => {
                text.push_str(&format!("  {mark} {}\n", self.kind));
                let title = wrapped(&self.title, width - 4);
                for line in title.into_iter().chain(wrapped(&self.figures(), width - 4)) {
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

/// How a row is laid out: the wider the terminal, the fewer lines.
enum Sizes {
    Columns {
        title: usize,
        measured: usize,
        bound: usize,
    },
    /// The figures below the title.
    Hanging {
        width: usize,
    },
    /// Both below the verdict.
    Stacked {
        width: usize,
    },
}

impl Sizes {
    /// The title gets what the figures and the gaps leave.
    fn of(rows: &[Row], width: usize) -> Sizes {
        let longest = |of: fn(&Row) -> &str| rows.iter().map(|row| columns(of(row))).max().unwrap_or(0);
        let (measured, bound) = (longest(|row| &row.measured), longest(|row| &row.bound));
        let title = width.saturating_sub(MARKS + 4 + measured + bound).min(longest(|row| &row.title));
        match () {
            () if title >= NARROWEST.min(longest(|row| &row.title)) => {
                Sizes::Columns { title, measured, bound }
            }
            () if width >= 2 * MARKS + 16 => Sizes::Hanging { width },
            () => Sizes::Stacked { width: width.max(32) },
        }
    }

    fn width(&self) -> usize {
        match self {
            Sizes::Columns { title, measured, bound } => MARKS + 4 + title + measured + bound,
            Sizes::Hanging { width } | Sizes::Stacked { width } => *width,
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

/// The words in lines of at most so many columns; one that is longer has a line of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
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
