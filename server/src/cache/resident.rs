//! One link in the table, where a look-up finds all of it at once.

use bytes::Bytes;

use super::name::{CUSTOM, Name};

/// A link on its way into the table.
#[derive(Clone, Copy, Debug)]
pub struct Newcomer<'a> {
    pub url: &'a str,
    /// Unix seconds.
    pub expires: Option<i64>,
    /// All redirects of this link that the store knows of.
    pub clicks: u64,
}

/// What each cached link takes: the entry itself, and its share of the index, of what both have to spare while they grow, and
/// of what their allocations are rounded up by.
pub const OVERHEAD: usize = 120;
/// The header of an allocation, and what it is rounded up by.
const ALLOCATION: usize = 16;

/// A line of the processor's cache, since lines are what a look-up waits for: one for a text that fits, two for a longer one.
/// For the same reason the text is copied when it is asked for, and has no count of who holds it.
#[repr(align(64))]
pub(super) struct Resident {
    pub(super) key: u64,
    pub(super) popularity: u32,
    /// Unix seconds, [`NEVER`] for a link that stays.
    pub(super) expires: u32,
    /// The URL; of a custom code, `URL NUL code`.
    text: Text,
}

enum Text {
    /// Up to the first of the NULs at its end.
    Short([u8; SHORT]),
    Long(Box<[u8]>),
}

/// As much as the line has room for.
const SHORT: usize = 47;

const _: () = assert!(size_of::<Resident>() == 64);

pub(super) const NEVER: u32 = u32::MAX;

impl Resident {
    pub(super) fn new(name: Name<'_>, newcomer: Newcomer<'_>, popularity: u32) -> Self {
        let text = match name.custom {
            None => Text::of(&[newcomer.url.as_bytes()]),
            Some(code) => Text::of(&[newcomer.url.as_bytes(), b"\0", code.as_bytes()]),
        };
        let expires = newcomer.expires.map_or(NEVER, |at| at.clamp(0, i64::from(NEVER - 1)) as u32);
        Self { key: name.key, text, popularity, expires }
    }

    #[inline]
    pub(super) fn is(&self, name: Name<'_>) -> bool {
        self.key == name.key && name.custom.is_none_or(|code| self.custom_code() == code.as_bytes())
    }

    /// URLs hold no NUL, so the last one ends the URL.
    fn custom_code(&self) -> &[u8] {
        let text = self.text.bytes();
        let nul = text.iter().rposition(|&byte| byte == 0);
        nul.map_or(&[], |at| &text[at + 1..])
    }

    #[inline]
    pub(super) fn url(&self) -> Bytes {
        let text = self.text.bytes();
        let code = if self.key & CUSTOM == 0 { 0 } else { self.custom_code().len() + 1 };
        Bytes::copy_from_slice(&text[..text.len() - code])
    }

    pub(super) fn size(&self) -> usize {
        match &self.text {
            Text::Short(_) => OVERHEAD,
            Text::Long(long) => OVERHEAD + ALLOCATION + long.len(),
        }
    }
}

impl Text {
    fn of(parts: &[&[u8]]) -> Self {
        let whole = parts.concat();
        let mut short = [0; SHORT];
        match short.get_mut(..whole.len()) {
            Some(room) => {
                room.copy_from_slice(&whole);
                Text::Short(short)
            }
            None => Text::Long(whole.into()),
        }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Text::Short(short) => {
                let nuls = short.iter().rev().take_while(|&&byte| byte == 0).count();
                &short[..SHORT - nuls]
            }
            Text::Long(long) => long,
        }
    }
}
