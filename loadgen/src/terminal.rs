//! How wide the terminal is, and lines that fit into it.

use std::env;

use proofload_reports::render::wrapped;

/// Columns of a table that no terminal shows.
const USUAL: usize = 120;

/// Columns that a table may take.
pub fn width() -> usize {
    known().unwrap_or(USUAL)
}

/// Breaks lines that are wider than the terminal. Where there is none they stay whole, for programs that search them.
pub fn folded(text: &str) -> String {
    known().map_or_else(|| text.to_owned(), |width| fold(text, width))
}

/// What the user exported, or else what the terminal itself says: shells keep `$COLUMNS` to themselves.
fn known() -> Option<usize> {
    let exported = env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    exported.filter(|columns| *columns > 0).or_else(ask)
}

/// The columns of the terminal that output goes to. One that was never told its size says 0.
fn ask() -> Option<usize> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes into `size` alone, which outlives the call.
    let told = unsafe { libc::ioctl(libc::STDOUT_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    Some(usize::from(size.ws_col)).filter(|columns| told == 0 && *columns > 0)
}

/// What follows a break stands under the line's first word.
fn fold(text: &str, width: usize) -> String {
    let lines = text.split('\n').map(|line| {
        if line.chars().count() <= width {
            return line.to_owned();
        }
        let indent = line.len() - line.trim_start_matches(' ').len();
        let parts = wrapped(line, width.saturating_sub(indent));
        parts.iter().map(|part| format!("{:indent$}{part}", "")).collect::<Vec<_>>().join("\n")
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_lines_break_under_their_first_word_and_the_others_stay() {
        let text = "a  b\n\n  one two three\n  x  y\n";
        assert_eq!(fold(text, 9), "a  b\n\n  one two\n  three\n  x  y\n");
        assert_eq!(fold("    unbreakable", 6), "    unbreakable");
    }
}
