//! A generated code as text: eight base62 digits.

use std::fmt;
use std::str::FromStr;

use super::CODE_SPACE;

const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const NO_DIGIT: u8 = 255;
const VALUES: [u8; 256] = values();
const PAIRS: [[u8; 2]; 62 * 62] = pairs();

/// A generated code: eight base62 digits, checked once where text enters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code([u8; 8]);

impl Code {
    /// Reads eight base62 digits; `None` for anything else.
    pub fn parse(text: &[u8]) -> Option<Code> {
        let digits: [u8; 8] = text.try_into().ok()?;
        let all_known = digits.iter().all(|&d| VALUES[d as usize] != NO_DIGIT);
        all_known.then_some(Code(digits))
    }

    /// The number the digits stand for, below 62^8: a cheap, unique key for a cache, needing no decoding.
    pub fn value(self) -> u64 {
        self.0.iter().fold(0, |value, &d| value * 62 + u64::from(VALUES[d as usize]))
    }

    /// The code that stands for `value`, which must be below 62^8.
    pub fn from_value(value: u64) -> Code {
        debug_assert!(value < CODE_SPACE);
        let (high, low) = ((value / 62u64.pow(4)) as u32, (value % 62u64.pow(4)) as u32);
        Code::from_halves(high, low)
    }

    /// The code whose first and last four digits stand for `high` and `low`, each below 62^4.
    pub(super) fn from_halves(high: u32, low: u32) -> Code {
        let mut digits = [0; 8];
        digits[0..2].copy_from_slice(&PAIRS[(high / 3844) as usize]);
        digits[2..4].copy_from_slice(&PAIRS[(high % 3844) as usize]);
        digits[4..6].copy_from_slice(&PAIRS[(low / 3844) as usize]);
        digits[6..8].copy_from_slice(&PAIRS[(low % 3844) as usize]);
        Code(digits)
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("base62 digits are ASCII")
    }

    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Code({})", self.as_str())
    }
}

/// The text is not eight base62 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a generated code is eight digits and letters")]
pub struct NotACode;

impl FromStr for Code {
    type Err = NotACode;

    fn from_str(text: &str) -> Result<Code, NotACode> {
        Code::parse(text.as_bytes()).ok_or(NotACode)
    }
}

const fn values() -> [u8; 256] {
    let mut values = [NO_DIGIT; 256];
    let mut i = 0;
    while i < 62 {
        values[DIGITS[i] as usize] = i as u8;
        i += 1;
    }
    values
}

const fn pairs() -> [[u8; 2]; 62 * 62] {
    let mut pairs = [[0; 2]; 62 * 62];
    let mut i = 0;
    while i < 62 * 62 {
        pairs[i] = [DIGITS[i / 62], DIGITS[i % 62]];
        i += 1;
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_value_are_inverse() {
        for value in [0, 1, 61, 62, 3843, 3844, 14_776_335, 14_776_336, CODE_SPACE - 1] {
            let code = Code::from_value(value);
            assert_eq!(code.value(), value);
            assert_eq!(code.as_str().parse::<Code>(), Ok(code));
        }
        assert_eq!(Code::from_value(0).as_str(), "00000000");
        assert_eq!(Code::from_value(CODE_SPACE - 1).as_str(), "zzzzzzzz");
    }

    #[test]
    fn only_eight_base62_digits_are_a_code() {
        for text in ["", "abcdefg", "abcdefghi", "abcd-fgh", "abcd_fgh", "abcdefg ", "abcdéfg", "abc/efgh"] {
            assert_eq!(text.parse::<Code>(), Err(NotACode), "{text:?}");
        }
    }
}
