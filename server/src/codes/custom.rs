//! The grammar of custom codes, disjoint from that of generated ones.

/// First path segments that the server itself answers, and words kept for what it may answer one day.
pub const RESERVED: &[&str] = &[
    "admin",
    "api",
    "assets",
    "docs",
    "favicon",
    "health",
    "login",
    "metrics",
    "openapi",
    "openapi-json",
    "ready",
    "robots",
    "static",
    "status",
    "well-known",
];

const SHORTEST: usize = 3;
const LONGEST: usize = 64;
const GENERATED: usize = 8;

/// Why a text cannot be a custom code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CustomCodeError {
    #[error("a custom code has 3 to 64 characters")]
    Length,
    #[error("a custom code is made of letters, digits, '-' and '_'")]
    Character,
    #[error("eight letters and digits are kept for generated codes: add a '-' or '_', or use another length")]
    LooksGenerated,
    #[error("this word is reserved by the server")]
    Reserved,
}

/// Whether `text` is in the grammar of custom codes and not reserved.
pub fn is_custom(text: &str) -> bool {
    check_custom(text).is_ok()
}

/// Checks `text` against the grammar: 3 to 64 of `[A-Za-z0-9_-]`, and not eight letters and digits, which is what
/// generated codes look like. Reserved words are refused in any case of letters.
pub fn check_custom(text: &str) -> Result<(), CustomCodeError> {
    if !(SHORTEST..=LONGEST).contains(&text.len()) {
        return Err(CustomCodeError::Length);
    }
    if !text.bytes().all(|b| b.is_ascii_alphanumeric() || is_mark(b)) {
        return Err(CustomCodeError::Character);
    }
    if text.len() == GENERATED && !text.bytes().any(is_mark) {
        return Err(CustomCodeError::LooksGenerated);
    }
    if RESERVED.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Err(CustomCodeError::Reserved);
    }
    Ok(())
}

fn is_mark(byte: u8) -> bool {
    byte == b'-' || byte == b'_'
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::Code;

    #[test]
    fn the_grammar() {
        let cases = [
            ("abc", Ok(())),
            ("a_b", Ok(())),
            ("summer-sale-2026", Ok(())),
            ("abcd-efg", Ok(())),
            ("ab", Err(CustomCodeError::Length)),
            ("", Err(CustomCodeError::Length)),
            ("a/b", Err(CustomCodeError::Character)),
            ("openapi.json", Err(CustomCodeError::Character)),
            ("naïve", Err(CustomCodeError::Character)),
            ("abcdefgh", Err(CustomCodeError::LooksGenerated)),
            ("API", Err(CustomCodeError::Reserved)),
            ("health", Err(CustomCodeError::Reserved)),
            ("metrics", Err(CustomCodeError::Reserved)),
        ];
        for (text, verdict) in cases {
            assert_eq!(check_custom(text), verdict, "{text:?}");
        }
        assert_eq!(check_custom(&"x".repeat(64)), Ok(()));
        assert_eq!(check_custom(&"x".repeat(65)), Err(CustomCodeError::Length));
    }

    #[test]
    fn no_text_is_both_custom_and_generated() {
        for text in ["abcdefgh", "12345678", "ABCDEFGH", "abcd_fgh", "abc-efgh", "abc", "abcdefghi"] {
            assert!(!(is_custom(text) && Code::parse(text.as_bytes()).is_some()), "{text:?}");
        }
    }
}
