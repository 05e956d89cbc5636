//! Seeded random numbers: the same seed gives the same choices, on every machine.

use rand::{Rng, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// What a stream of random numbers is for. Streams of one seed are independent of each other, so
/// that another mix of operations does not move the arrivals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Arrivals = 1,
    Operations = 2,
    Popularity = 3,
    Clicks = 4,
    UnknownCodes = 5,
    Drift = 6,
    Values = 7,
    Visits = 8,
}

/// The generator of one stream.
pub fn stream(seed: u64, purpose: Purpose) -> Pcg64Mcg {
    Pcg64Mcg::seed_from_u64(mix(seed ^ mix(purpose as u64)))
}

/// A number in `0..n` without a division; its bias of n / 2⁶⁴ is beyond any measurement.
pub(crate) fn below(random: &mut impl Rng, n: u64) -> u64 {
    ((u128::from(random.next_u64()) * u128::from(n)) >> 64) as u64
}

/// A bijection of 64 bits that leaves no pattern of a counter visible (the finaliser of SplitMix64).
pub fn mix(value: u64) -> u64 {
    let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
