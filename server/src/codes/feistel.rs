//! A keyed permutation of `[0, half^2)`: a balanced Feistel network whose round function is AES.
//!
//! # Why this is sound
//!
//! Write a number below `half^2` as `(left, right)`, both below `half`. Round `i` maps it to
//! `(right, (left + F(i, right)) mod half)`. Given `i` and the key this can be undone whatever `F` is: subtract
//! instead of adding. A chain of invertible maps of a finite set into itself is a permutation of it. No value
//! leaves `[0, half^2)`, so there is no cycle walking: for codes `half = 62^4` and the range is exactly `[0, 62^8)`.
//! The permutation is therefore a bijection by construction, not by the quality of `F`; the tests prove it once
//! more by going through small domains whole, with this very code.
//!
//! Unguessability does rest on `F`. It is one AES-128 block: `F(i, right) = floor(T * half / 2^64)`, where `T` is the
//! first 64 bits of `AES_key(i, half, right)`. Inputs of different rounds, domains and halves are different blocks,
//! so to anyone without the key the `F(i, .)` are independent random functions, up to AES's own distance from a
//! random permutation (q^2 / 2^129) and a rounding bias below `half / 2^64`, that is 2^-40. Luby and Rackoff's
//! theorem and its refinements (Patarin 2010: six rounds withstand chosen plaintext and ciphertext for nearly
//! `half` queries) then apply. We use ten rounds, as many as NIST's FF1 (SP 800-38G) has for the same shape, which
//! differs only in how `F` pads and reduces. SP 800-38G asks for a domain of at least a million; ours is 2.2e14.
//!
//! What it does not give: secrecy from who holds the key, or from who can list links. The key keeps outsiders from
//! walking the code space; it is no password on a link.

use aes::Aes128;
use aes::cipher::{Array, BlockCipherEncrypt, KeyInit};

const ROUNDS: u8 = 10;
/// Numbers permuted side by side, so that the processor overlaps their AES rounds. As many as the widest backend of the
/// `aes` crate takes at once: fewer would be encrypted one after the other there.
pub(super) const LANES: usize = 64;

type Block = aes::Block;

/// A permutation of `[0, half^2)` under a 128-bit key.
#[derive(Clone)]
pub struct Feistel {
    cipher: Aes128,
    half: u32,
}

impl Feistel {
    /// A permutation of `[0, half^2)`; `half` is at least 2.
    pub fn new(key: &[u8; 16], half: u32) -> Feistel {
        assert!(half >= 2, "a Feistel network needs two halves of at least two values");
        Feistel { cipher: Aes128::new(&Array::from(*key)), half }
    }

    /// How many numbers are permuted.
    pub fn domain(&self) -> u64 {
        u64::from(self.half) * u64::from(self.half)
    }

    pub fn permute(&self, x: u64) -> u64 {
        let (mut left, mut right) = self.halves(x);
        for round in 0..ROUNDS {
            let sum = self.add(left, self.round(round, right));
            (left, right) = (right, sum);
        }
        self.joined(left, right)
    }

    /// The inverse of [`Feistel::permute`].
    pub fn invert(&self, y: u64) -> u64 {
        let (mut left, mut right) = self.halves(y);
        for round in (0..ROUNDS).rev() {
            let difference = self.subtract(right, self.round(round, left));
            (left, right) = (difference, left);
        }
        self.joined(left, right)
    }

    /// Permutes as many numbers as there are lanes, given as halves, in place; the same permutation as [`Feistel::permute`].
    pub(super) fn permute_lanes(&self, left: &mut [u32; LANES], right: &mut [u32; LANES]) {
        for round in 0..ROUNDS {
            let mut blocks: [Block; LANES] = std::array::from_fn(|i| self.block(round, right[i]));
            self.cipher.encrypt_blocks(&mut blocks);
            for i in 0..LANES {
                let sum = self.add(left[i], self.reduce(&blocks[i]));
                (left[i], right[i]) = (right[i], sum);
            }
        }
    }

    /// The inverse of [`Feistel::permute_lanes`].
    pub(super) fn invert_lanes(&self, left: &mut [u32; LANES], right: &mut [u32; LANES]) {
        for round in (0..ROUNDS).rev() {
            let mut blocks: [Block; LANES] = std::array::from_fn(|i| self.block(round, left[i]));
            self.cipher.encrypt_blocks(&mut blocks);
            for i in 0..LANES {
                let difference = self.subtract(right[i], self.reduce(&blocks[i]));
                (left[i], right[i]) = (difference, left[i]);
            }
        }
    }

    pub(super) fn halves(&self, x: u64) -> (u32, u32) {
        debug_assert!(x < self.domain());
        let half = u64::from(self.half);
        ((x / half) as u32, (x % half) as u32)
    }

    pub(super) fn joined(&self, left: u32, right: u32) -> u64 {
        u64::from(left) * u64::from(self.half) + u64::from(right)
    }

    fn round(&self, round: u8, right: u32) -> u32 {
        let mut block = self.block(round, right);
        self.cipher.encrypt_block(&mut block);
        self.reduce(&block)
    }

    fn block(&self, round: u8, right: u32) -> Block {
        let low = u64::from(right) | u64::from(self.half) << 32;
        Array::from((u128::from(low) | u128::from(round) << 64).to_le_bytes())
    }

    fn reduce(&self, block: &Block) -> u32 {
        let bits = u64::from_le_bytes(block[..8].try_into().expect("eight of sixteen bytes"));
        ((u128::from(bits) * u128::from(self.half)) >> 64) as u32
    }

    fn add(&self, a: u32, b: u32) -> u32 {
        let sum = u64::from(a) + u64::from(b);
        let half = u64::from(self.half);
        (if sum >= half { sum - half } else { sum }) as u32
    }

    fn subtract(&self, a: u32, b: u32) -> u32 {
        if a >= b { a - b } else { a + (self.half - b) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [[u8; 16]; 3] = [[0; 16], *b"0123456789abcdef", [0xff; 16]];

    #[test]
    fn small_domains_are_permuted_whole() {
        for key in KEYS {
            for half in [2, 3, 5, 16, 31, 62, 100] {
                let feistel = Feistel::new(&key, half);
                let mut seen = vec![false; feistel.domain() as usize];
                for x in 0..feistel.domain() {
                    let y = feistel.permute(x);
                    assert!(!std::mem::replace(&mut seen[y as usize], true), "{y} twice, half {half}");
                    assert_eq!(feistel.invert(y), x);
                }
                assert!(seen.into_iter().all(|hit| hit));
            }
        }
    }

    #[test]
    fn lanes_agree_with_the_plain_form() {
        let feistel = Feistel::new(&KEYS[1], 62u32.pow(4));
        for start in [0, 12_345_678_901_234, feistel.domain() - LANES as u64] {
            let mut left = [0; LANES];
            let mut right = [0; LANES];
            for i in 0..LANES {
                (left[i], right[i]) = feistel.halves(start + i as u64);
            }
            feistel.permute_lanes(&mut left, &mut right);
            for i in 0..LANES {
                assert_eq!(feistel.joined(left[i], right[i]), feistel.permute(start + i as u64));
            }
            feistel.invert_lanes(&mut left, &mut right);
            assert!((0..LANES).all(|i| feistel.joined(left[i], right[i]) == start + i as u64));
        }
    }

    #[test]
    fn different_keys_give_different_permutations() {
        let [a, b, _] = KEYS.map(|key| Feistel::new(&key, 62u32.pow(4)));
        let equal = (0..10_000).filter(|&x| a.permute(x) == b.permute(x)).count();
        assert_eq!(equal, 0);
    }
}
