//! One link in the table, in as little memory as it takes.

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

/// What one cached link costs beyond its URL and a custom code's text: the entry itself, its share of the growing
/// vector's and index's spare room, and the allocation's header.
pub const OVERHEAD: usize = 112;

/// Two to a cache line: what a look-up costs is the lines that it has to wait for. For the same reason the text is copied
/// when it is asked for, and has no count of who holds it.
pub(super) struct Resident {
    pub(super) key: u64,
    /// The URL; of a custom code, `URL NUL code`.
    text: Box<[u8]>,
    pub(super) popularity: u32,
    /// Unix seconds, [`NEVER`] for a link that stays.
    pub(super) expires: u32,
}

const _: () = assert!(size_of::<Resident>() == 32);

pub(super) const NEVER: u32 = u32::MAX;

impl Resident {
    pub(super) fn new(name: Name<'_>, newcomer: Newcomer<'_>, popularity: u32) -> Self {
        let text = match name.custom {
            None => newcomer.url.as_bytes().into(),
            Some(code) => [newcomer.url.as_bytes(), b"\0", code.as_bytes()].concat().into(),
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
        let nul = self.text.iter().rposition(|&byte| byte == 0);
        nul.map_or(&[], |at| &self.text[at + 1..])
    }

    #[inline]
    pub(super) fn url(&self) -> Bytes {
        let code = if self.key & CUSTOM == 0 { 0 } else { self.custom_code().len() + 1 };
        Bytes::copy_from_slice(&self.text[..self.text.len() - code])
    }

    pub(super) fn size(&self) -> usize {
        self.text.len() + OVERHEAD
    }
}
