//! The codec between ids and codes.

use std::fmt;
use std::str::FromStr;

use super::feistel::LANES;
use super::{CODE_SPACE, Code, Feistel, Key, Slot, is_custom, join};

/// The key used when none is configured. It is public, so codes made under it can be enumerated: set your own.
pub const PUBLIC_DEFAULT_KEY: Key128 = Key128(*b"proofload-public");

const HALF: u32 = 62u32.pow(4);
/// So few ids are encoded one by one; for more it is cheaper to leave lanes idle.
const FEW: usize = 8;

/// The secret under which codes are permuted: 16 bytes, written as 32 hexadecimal digits.
///
/// All stacks that share a database share the key. It can change only together with the codes' length, since codes
/// already given away are decoded under it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key128(pub [u8; 16]);

/// The text is not 32 hexadecimal digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a code key is 32 hexadecimal digits (16 bytes)")]
pub struct KeyError;

impl FromStr for Key128 {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Key128, KeyError> {
        let is_hex = text.len() == 32 && text.bytes().all(|b| b.is_ascii_hexdigit());
        let bits = if is_hex {
            u128::from_str_radix(text, 16).map_err(|_| KeyError)?
        } else {
            return Err(KeyError);
        };
        Ok(Key128(bits.to_be_bytes()))
    }
}

impl fmt::Debug for Key128 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key128(..)")
    }
}

/// Turns ids into codes and back.
#[derive(Clone)]
pub struct Codec(Scheme);

#[derive(Clone)]
#[allow(clippy::large_enum_variant, reason = "one codec lives as long as the process")]
enum Scheme {
    Partitioned(Feistel),
    /// The counter itself in base62, as the published summary has it: stacks collide. Kept to show that the
    /// `no-collisions` check sees it.
    Unpartitioned,
}

impl Codec {
    /// Slots and a keyed permutation: no two stacks make the same code.
    pub fn new(key: &Key128) -> Codec {
        Codec(Scheme::Partitioned(Feistel::new(&key.0, HALF)))
    }

    /// The broken design, for demonstration: each stack's counter straight to base62, so that two stacks give out
    /// the same codes.
    pub fn unpartitioned() -> Codec {
        Codec(Scheme::Unpartitioned)
    }

    /// Whether ids carry their slot, so that a code tells its stack and [`super::split`] makes sense.
    pub fn is_partitioned(&self) -> bool {
        matches!(self.0, Scheme::Partitioned(_))
    }

    /// The id of the `n`th code of a slot.
    pub fn id(&self, n: u64, slot: Slot) -> u64 {
        match self.0 {
            Scheme::Partitioned(_) => join(n, slot),
            Scheme::Unpartitioned => n,
        }
    }

    /// The code of an id below 62^8.
    pub fn encode(&self, id: u64) -> Code {
        assert!(id < CODE_SPACE, "ids are below 62^8");
        match &self.0 {
            Scheme::Partitioned(feistel) => Code::from_value(feistel.permute(id)),
            Scheme::Unpartitioned => Code::from_value(id),
        }
    }

    /// The codes of many ids, appended to `codes`: ten times as fast as one by one.
    pub fn encode_all(&self, ids: &[u64], codes: &mut Vec<Code>) {
        let Scheme::Partitioned(feistel) = &self.0 else {
            codes.extend(ids.iter().map(|&id| self.encode(id)));
            return;
        };
        in_lanes(ids, codes, 0, |ids| encode_lanes(feistel, ids), |id| self.encode(id));
    }

    /// The id of a code. Every code has one, since ids fill the space; whether a link has it is for the store to say.
    pub fn decode(&self, code: Code) -> u64 {
        match &self.0 {
            Scheme::Partitioned(feistel) => feistel.invert(code.value()),
            Scheme::Unpartitioned => code.value(),
        }
    }

    /// The ids of many codes, as [`Codec::decode`] has them.
    pub fn decode_all(&self, codes: &[Code]) -> Vec<u64> {
        let mut ids = Vec::new();
        match &self.0 {
            Scheme::Partitioned(feistel) => {
                let first = Code::from_value(0);
                in_lanes(
                    codes,
                    &mut ids,
                    first,
                    |codes| decode_lanes(feistel, codes),
                    |code| self.decode(code),
                );
            }
            Scheme::Unpartitioned => ids.extend(codes.iter().map(|code| code.value())),
        }
        ids
    }

    /// The key that a path segment names: a generated code, a custom one, or nothing that a link could have.
    pub fn key(&self, text: &str) -> Option<Key> {
        match Code::parse(text.as_bytes()) {
            Some(code) => Some(Key::Generated(self.decode(code))),
            None if is_custom(text) => Some(Key::Custom(text.into())),
            None => None,
        }
    }

    /// The text of a key, as it stands in a short link.
    pub fn text(&self, key: &Key) -> String {
        match key {
            Key::Generated(id) => self.encode(*id).as_str().to_owned(),
            Key::Custom(text) => text.to_string(),
        }
    }
}

/// Appends what all of `from` become: by whole lanes, the last of which are filled up, or one by one where few are left.
fn in_lanes<A: Copy, B: Copy>(
    from: &[A],
    to: &mut Vec<B>,
    filler: A,
    all: impl Fn(&[A; LANES]) -> [B; LANES],
    one: impl Fn(A) -> B,
) {
    to.reserve(from.len());
    let (lanes, rest) = from.as_chunks::<LANES>();
    for lane in lanes {
        to.extend(all(lane));
    }
    if rest.len() < FEW {
        to.extend(rest.iter().map(|&rest| one(rest)));
    } else {
        let mut padded = [filler; LANES];
        padded[..rest.len()].copy_from_slice(rest);
        to.extend_from_slice(&all(&padded)[..rest.len()]);
    }
}

fn decode_lanes(feistel: &Feistel, codes: &[Code; LANES]) -> [u64; LANES] {
    let (mut left, mut right) = ([0; LANES], [0; LANES]);
    for i in 0..LANES {
        (left[i], right[i]) = feistel.halves(codes[i].value());
    }
    feistel.invert_lanes(&mut left, &mut right);
    std::array::from_fn(|i| feistel.joined(left[i], right[i]))
}

fn encode_lanes(feistel: &Feistel, ids: &[u64; LANES]) -> [Code; LANES] {
    let mut left = [0; LANES];
    let mut right = [0; LANES];
    for i in 0..LANES {
        assert!(ids[i] < CODE_SPACE, "ids are below 62^8");
        (left[i], right[i]) = feistel.halves(ids[i]);
    }
    feistel.permute_lanes(&mut left, &mut right);
    std::array::from_fn(|i| Code::from_halves(left[i], right[i]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codes::{CODES_PER_SLOT, split};
    use std::collections::HashSet;

    #[test]
    fn codes_decode_to_their_slot() {
        let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
        for slot in [0, 1, 7, 255].map(Slot) {
            for n in [0, 1, 2, 1_000_000, CODES_PER_SLOT - 1] {
                let id = codec.id(n, slot);
                assert_eq!(split(codec.decode(codec.encode(id))), (n, slot));
            }
        }
    }

    /// Computed by a second implementation: a few lines of Python over openssl's AES, from the description in
    /// `feistel`. Should these ever change, every link given out before is lost.
    #[test]
    fn golden_vectors() {
        let public = [
            (0, 0, "FHz7wqzy"),
            (1, 0, "SLzc9B7n"),
            (0, 1, "MgVcIoQ6"),
            (123_456_789, 7, "QOyUHlNX"),
            (CODES_PER_SLOT - 1, 255, "qJfbghy9"),
        ];
        let counted = [
            (0, 0, "r8wkzRb9"),
            (1, 0, "SYdEbmLc"),
            (0, 1, "uhwkQmA5"),
            (123_456_789, 7, "0AKheXUH"),
            (CODES_PER_SLOT - 1, 255, "z2150TDh"),
        ];
        let key = "000102030405060708090a0b0c0d0e0f".parse().unwrap();
        for (key, vectors) in [(PUBLIC_DEFAULT_KEY, public), (key, counted)] {
            let codec = Codec::new(&key);
            for (n, slot, text) in vectors {
                assert_eq!(codec.encode(codec.id(n, Slot(slot))).as_str(), text);
                assert_eq!(split(codec.decode(text.parse().unwrap())), (n, Slot(slot)));
            }
        }
        let plain = Codec::unpartitioned();
        assert_eq!(plain.encode(plain.id(123_456_789, Slot(7))).as_str(), "0008M0kX");
    }

    #[test]
    fn many_at_once_equal_one_by_one() {
        let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
        for count in [0, 1, 7, 8, 63, 64, 65, 71, 72, 300] {
            let ids: Vec<u64> = (0..count).map(|n| codec.id(n * 977, Slot(3))).collect();
            let mut codes = Vec::new();
            codec.encode_all(&ids, &mut codes);
            assert_eq!(codes, ids.iter().map(|&id| codec.encode(id)).collect::<Vec<_>>());
            assert_eq!(codec.decode_all(&codes), ids);
        }
    }

    #[test]
    fn two_stacks_never_meet_unless_unpartitioned() {
        let overlap = |codec: &Codec| {
            let codes = |slot| (0..10_000).map(|n| codec.encode(codec.id(n, slot))).collect::<HashSet<_>>();
            codes(Slot(0)).intersection(&codes(Slot(1))).count()
        };
        assert_eq!(overlap(&Codec::new(&PUBLIC_DEFAULT_KEY)), 0);
        assert_eq!(overlap(&Codec::unpartitioned()), 10_000);
    }

    #[test]
    fn a_segment_names_a_generated_link_a_custom_one_or_none() {
        let codec = Codec::new(&PUBLIC_DEFAULT_KEY);
        assert_eq!(codec.key(codec.encode(77).as_str()), Some(Key::Generated(77)));
        assert_eq!(codec.key("my-link"), Some(Key::Custom("my-link".into())));
        assert_eq!(codec.key("health"), None);
        assert_eq!(codec.key("a b c"), None);
    }

    #[test]
    fn keys_are_thirty_two_hexadecimal_digits() {
        assert_eq!("00000000000000000000000000000001".parse::<Key128>().unwrap().0[15], 1);
        for text in ["", "1", "+0000000000000000000000000000001", "0000000000000000000000000000000g"] {
            assert_eq!(text.parse::<Key128>(), Err(KeyError), "{text:?}");
        }
    }
}
