//! What a link is called inside the table: what a look-up hashes and compares.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

/// A link's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a> {
    pub(super) key: u64,
    /// A custom code's text; a generated code is its key.
    pub(super) custom: Option<&'a str>,
}

/// Set in the keys of custom codes; generated codes are eight ASCII bytes, so theirs never have it.
pub(super) const CUSTOM: u64 = 1 << 63;

impl<'a> Name<'a> {
    #[inline]
    pub fn of(code: &'a str) -> Self {
        let bytes = code.as_bytes();
        match <[u8; 8]>::try_from(bytes) {
            Ok(eight) if bytes.iter().all(u8::is_ascii_alphanumeric) => {
                Self { key: u64::from_le_bytes(eight), custom: None }
            }
            _ => Self { key: hash_text(bytes) | CUSTOM, custom: Some(code) },
        }
    }

    /// The key of a generated code, or none for a custom one.
    pub fn generated(&self) -> Option<u64> {
        self.custom.is_none().then_some(self.key)
    }

    #[inline]
    pub(super) fn hash(&self) -> u64 {
        spread(self.key)
    }
}

/// The text of the generated code that has this key.
pub fn code_of(key: u64) -> [u8; 8] {
    key.to_le_bytes()
}

/// Spreads a key over all 64 bits (the finaliser of splitmix64).
#[inline]
pub(super) fn spread(key: u64) -> u64 {
    let key = (key ^ (key >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let key = (key ^ (key >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    key ^ (key >> 31)
}

/// Keyed at random, so that nobody can choose custom codes that fall together. Two texts with one hash are told apart by
/// the text that is kept beside the URL.
fn hash_text(text: &[u8]) -> u64 {
    static KEYS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    KEYS.hash_one(text)
}
