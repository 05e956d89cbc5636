//! Short codes: the partition of 62^8 into slots, and the keyed permutation that makes them unguessable.
//!
//! An *id* is `n * 256 + slot`: a counter `n` below 31^8, within one of 256 slots. `62^8 = 256 * 31^8` exactly, so
//! ids fill `[0, 62^8)` without a gap. A [`Codec`] permutes that range under a key and writes the result as eight
//! base62 digits. Ids of different slots differ, and a permutation keeps different things different: stacks that
//! hold different slots cannot collide, whatever they do and without asking each other.

mod codec;
mod custom;
mod feistel;
mod text;

pub use codec::{Codec, Key128, KeyError, PUBLIC_DEFAULT_KEY};
pub use custom::{CustomCodeError, RESERVED, check_custom, is_custom};
pub use feistel::Feistel;
pub use text::Code;

/// Slots in the code space: one for each stack, assigned once and for good.
pub const SLOTS: u64 = 256;
/// Codes in one slot: 31^8.
pub const CODES_PER_SLOT: u64 = 852_891_037_441;
/// All codes: 62^8.
pub const CODE_SPACE: u64 = SLOTS * CODES_PER_SLOT;

/// The share of the code space that one stack allocates from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u8);

/// The names a link goes by in the store: its id, or the text of a custom code.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// `n * 256 + slot`, before permutation.
    Generated(u64),
    Custom(Box<str>),
}

/// Joins a counter and a slot; `n` must be below [`CODES_PER_SLOT`].
pub fn join(n: u64, slot: Slot) -> u64 {
    debug_assert!(n < CODES_PER_SLOT);
    n * SLOTS + u64::from(slot.0)
}

/// Splits an id into its counter and its slot.
pub fn split(id: u64) -> (u64, Slot) {
    (id / SLOTS, Slot((id % SLOTS) as u8))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_partition_is_exact() {
        assert_eq!(CODES_PER_SLOT, 31u64.pow(8));
        assert_eq!(CODE_SPACE, 62u64.pow(8));
        assert_eq!(CODE_SPACE, 218_340_105_584_896);
    }

    #[test]
    fn joining_and_splitting_are_inverse() {
        for n in [0, 1, 9_999, CODES_PER_SLOT - 1] {
            for slot in [0u8, 1, 128, 255] {
                assert_eq!(split(join(n, Slot(slot))), (n, Slot(slot)));
            }
        }
        assert_eq!(join(CODES_PER_SLOT - 1, Slot(255)), CODE_SPACE - 1);
    }
}
