//! Text for a page: escaped, with `code` as code, and no line that ends between a number and its unit.

use crate::plot::escaped;

/// What may stand behind a number.
const UNITS: [&str; 11] = ["%", "×", "ns", "µs", "ms", "s", "min", "kB", "MB", "GB", "UTC"];

pub fn html(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let parts: Vec<&str> = text.split('`').collect();
    for (index, part) in parts.iter().enumerate() {
        let part = bound(&escaped(part));
        // The last of an even number of parts follows a sign that nothing answers.
        match index % 2 {
            1 if index + 1 < parts.len() => out.push_str(&format!("<code>{part}</code>")),
            1 => out.push_str(&format!("`{part}")),
            _ => out.push_str(&part),
        }
    }
    out
}

/// With no-break spaces between numbers and units.
fn bound(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for (index, word) in text.split(' ').enumerate() {
        if index > 0 {
            let number = out.ends_with(|last: char| last.is_ascii_digit() || last == '∞');
            let unit = word.trim_end_matches(|last: char| ".,;:)?!".contains(last));
            out.push(if number && UNITS.contains(&unit) { '\u{a0}' } else { ' ' });
        }
        out.push_str(word);
    }
    out
}

/// Where askama looks for what templates call `prose`.
pub mod filters {
    use std::fmt::Display;

    use askama::filters::Safe;

    #[askama::filter_fn]
    pub fn prose(text: impl Display, _: &dyn askama::Values) -> askama::Result<Safe<String>> {
        Ok(Safe(super::html(&text.to_string())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_stay_with_their_numbers() {
        assert_eq!(html("99.2 % (99 to 99.4 %), 5 ms."), "99.2\u{a0}% (99 to 99.4\u{a0}%), 5\u{a0}ms.");
        assert_eq!(html("20 × fewer, 3 slices"), "20\u{a0}× fewer, 3 slices");
    }

    #[test]
    fn foreign_text_is_text_and_code_is_code() {
        assert_eq!(html("`a<b` is & was `c`"), "<code>a&lt;b</code> is &amp; was <code>c</code>");
        assert_eq!(html("one ` alone"), "one ` alone");
    }
}
